//! What happens, when, and to whom.

mod trouble;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;

use waypost::engine::Settings;
use waypost::engine::datagram::{Kind, classify};
use waypost::engine::http::Wants;
use waypost::rng::{HashKey, Rng};
use waypost::time::Instant;

use crate::client::{Client, Learnt, SPEECHES, Speech, Wish, address, listed, response};
use crate::server::{Memory, PLACES, Server};

/// Servers and clients of one run, and the networks of the clients.
const SERVERS: usize = 3;
const CLIENTS: usize = 12;
const NETWORKS: [&str; 2] = ["room", "hall"];
/// The world is wild for so long, and then calm for so long.
const WILD_MS: u64 = 120_000;
const CALM_MS: u64 = 45_000;
/// Longest way of a datagram: long enough to overtake.
const MAX_DELAY_MS: u32 = 1500;
/// Datagrams lost, and datagrams that arrive twice, of 100.
const LOST_PERCENT: u32 = 15;
const DOUBLED_PERCENT: u32 = 10;
/// Restarts of all servers of one run, at most.
const RESTARTS: usize = 3;
/// Events of one run: more means that the simulation feeds itself.
const MAX_EVENTS: u32 = 50_000;

/// What happens at some time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A client does something.
    Act { client: usize },
    /// A datagram arrives. `by` is who really sent it, a client or a server; the hostile host is neither.
    Arrive { from: SocketAddr, to: SocketAddr, by: Option<usize>, datagram: Vec<u8> },
    /// A connection moves on.
    Step { server: usize, place: usize, generation: u64, wishes: usize },
    /// The hostile host sends something.
    Attack,
    /// Something befalls a server.
    Befall,
    /// Drivers do their upkeep.
    Tick,
}

/// What was done over all runs, so that a simulation that does nothing does not pass.
#[derive(Default, Debug)]
pub(crate) struct Totals {
    registered: u64,
    named: u64,
    left: u64,
    forged: u64,
    restarts: u64,
    responses: u64,
    vanished: u64,
    found_in_the_end: u64,
}

pub(crate) struct World<'m> {
    servers: Vec<Server<'m>>,
    spare: Vec<&'m mut Memory>,
    clients: Vec<Client>,
    rng: Rng,
    now_ms: u64,
    queue: BinaryHeap<Reverse<(u64, u32, Event)>>,
    events: u32,
    totals: Totals,
    unix_ms: u64,
    /// Wishes of connections under way, and the client as it was when it wished.
    wishes: BTreeMap<(usize, usize), (Vec<Wish>, Client)>,
    /// A server has no descriptors until then.
    exhausted_until_ms: [u64; SERVERS],
    /// The hostile host's own proofs, by server.
    hostile_tokens: BTreeMap<usize, Vec<u8>>,
    traced: bool,
}

const HOSTILE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(66, 6, 6, 6)), 6666);

impl Totals {
    pub(crate) fn add(&mut self, other: &Self) {
        let Self { registered, named, left, forged, restarts, responses, vanished, found_in_the_end } = other;
        self.registered += registered;
        self.named += named;
        self.left += left;
        self.forged += forged;
        self.restarts += restarts;
        self.responses += responses;
        self.vanished += vanished;
        self.found_in_the_end += found_in_the_end;
    }

    /// Checks that so many runs did what runs are for.
    pub(crate) fn check(&self, runs: u64) {
        let Self { registered, named, left, forged, restarts, responses, vanished, found_in_the_end } = self;
        for (what, count, least) in [
            ("registrations", registered, 20),
            ("peers named", named, 50),
            ("leaves", left, 1),
            ("forged datagrams", forged, 100),
            ("restarts", restarts, 1),
            ("responses", responses, 20),
            ("clients that vanished", vanished, 1),
            ("peers found in the end", found_in_the_end, 8),
        ] {
            assert!(*count >= least * runs, "{count} {what} in {runs} runs: {self:?}");
        }
    }
}

impl World<'_> {
    /// One run.
    pub(crate) fn run(seed: u64) -> Totals {
        let mut memories: Vec<Box<Memory>> =
            (0..SERVERS + RESTARTS).map(|_| Box::new(Memory::new())).collect();
        let mut memories = memories.iter_mut().map(AsMut::as_mut);
        let servers = (0..SERVERS).filter_map(|n| {
            let addr = SocketAddr::new([81, 2, 3, 4 + n as u8].into(), 6881);
            Some(Server::new(addr, memories.next()?, settings(n), seed * 64 + n as u64, n == 0))
        });
        let servers = servers.collect();
        let mut world = World {
            servers,
            spare: memories.collect(),
            clients: (0..CLIENTS)
                .map(|number| Client {
                    number,
                    addr: address(number),
                    speech: SPEECHES[number % SPEECHES.len()],
                    network: NETWORKS[number / SPEECHES.len() % NETWORKS.len()],
                    proofs: BTreeMap::new(),
                })
                .collect(),
            rng: Rng::new(HashKey::new(*b"the small world.").derive(&seed.to_le_bytes())),
            now_ms: 0,
            queue: BinaryHeap::new(),
            events: 0,
            totals: Totals::default(),
            unix_ms: 1_800_000_000_000,
            wishes: BTreeMap::new(),
            exhausted_until_ms: [0; SERVERS],
            hostile_tokens: BTreeMap::new(),
            traced: std::env::var_os("WAYPOST_TRACE").is_some(),
        };
        for client in 0..CLIENTS {
            world.later(20_000, Event::Act { client });
        }
        world.later(1000, Event::Attack);
        world.later(40_000, Event::Befall);
        world.at(0, Event::Tick);
        while let Some(Reverse((at_ms, _, event))) = world.queue.pop() {
            if at_ms > WILD_MS + CALM_MS {
                break;
            }
            world.now_ms = at_ms;
            if world.traced {
                eprintln!("{at_ms} {event:?}");
            }
            world.happen(event);
        }
        world.judge();
        world.totals
    }

    fn is_wild(&self) -> bool {
        self.now_ms < WILD_MS
    }

    /// Schedules `event` within the next `within_ms` milliseconds.
    fn later(&mut self, within_ms: u32, event: Event) {
        let at_ms = self.now_ms + u64::from(self.rng.below(within_ms + 1));
        self.at(at_ms, event);
    }

    fn at(&mut self, at_ms: u64, event: Event) {
        self.events += 1;
        assert!(self.events < MAX_EVENTS, "the run does not end");
        self.queue.push(Reverse((at_ms, self.events, event)));
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.below(100) < percent
    }

    fn below(&mut self, bound: usize) -> usize {
        self.rng.below(bound as u32) as usize
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Act { client } => self.act(client),
            Event::Arrive { from, to, by, datagram } => self.arrive(from, to, by, &datagram),
            Event::Step { server, place, generation, wishes } => self.step(server, place, generation, wishes),
            Event::Attack => self.attack(),
            Event::Befall => self.befall(),
            Event::Tick => self.tick(),
        }
    }

    /// Sends a datagram over the network.
    fn send(&mut self, from: SocketAddr, to: SocketAddr, by: Option<usize>, datagram: Vec<u8>) {
        let (lost, doubled) = if self.is_wild() { (LOST_PERCENT, DOUBLED_PERCENT) } else { (0, 0) };
        let arrive = Event::Arrive { from, to, by, datagram };
        if self.chance(doubled) {
            self.later(MAX_DELAY_MS, arrive.clone());
        }
        if !self.chance(lost) {
            let most_ms = if self.is_wild() { MAX_DELAY_MS } else { 50 };
            self.later(most_ms, arrive);
        }
    }

    fn act(&mut self, client: usize) {
        if self.is_wild() && self.now_ms > 20_000 && self.chance(3) {
            // It is switched off, and says nothing.
            return;
        }
        // Often enough that what one server forgot, or lost, is soon said again.
        self.later(if self.is_wild() { 20_000 } else { 6_000 }, Event::Act { client });
        if self.is_wild() && self.chance(2) {
            // The NAT gives it another port.
            let port = self.clients[client].addr.port() + 100;
            self.clients[client].addr.set_port(port);
        }
        let server = self.below(SERVERS);
        let wish = match self.rng.below(10) {
            0 if self.is_wild() => Wish::Leave,
            0..5 => Wish::Announce,
            _ => Wish::Find,
        };
        let speaker = &self.clients[client];
        if matches!(speaker.speech, Speech::Http | Speech::HttpTracker) {
            self.connect(client, server, wish);
        } else {
            let (from, to, datagram) = (speaker.addr, self.servers[server].addr, speaker.say(wish, server));
            self.send(from, to, Some(client), datagram);
        }
    }

    /// A datagram arrives at whoever has the address.
    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, by: Option<usize>, datagram: &[u8]) {
        if let Some(server) = self.servers.iter().position(|server| server.addr == to) {
            self.serve(server, from, by, datagram);
        } else if let Some(client) = self.clients.iter().position(|client| client.addr == to) {
            self.hear(client, from, datagram);
        } else if to == HOSTILE
            && let Some(server) = self.servers.iter().position(|server| server.addr == from)
        {
            // It proves its own address, as anybody may.
            let text = String::from_utf8_lossy(datagram).into_owned();
            if let Some(token) = text.split(r#""token":""#).nth(1).and_then(|rest| rest.split('"').next()) {
                self.hostile_tokens.insert(server, token.into());
            }
        }
    }

    /// A server gets a datagram.
    fn serve(&mut self, server: usize, from: SocketAddr, by: Option<usize>, datagram: &[u8]) {
        let proven = by.is_some() || from == HOSTILE;
        let now_ms = self.now_ms;
        let host = &mut self.servers[server];
        let answer = host.datagram(now_ms, from, datagram, proven);
        let own_ms = host.now_ms(now_ms);
        if answer.is_empty() {
            return;
        }
        // What a server confirms has happened, whether its answer arrives or not.
        let sender = by.filter(|&client| client < CLIENTS);
        match sender {
            Some(client) if self.clients[client].addr == from => {
                let client = &self.clients[client];
                let learnt = client.hear(&answer);
                note(host, client, wish_of(client, datagram), &learnt, own_ms);
                self.totals.registered += u64::from(learnt.registered_s.is_some());
            }
            // From an address that it no longer has: what that registers is true for a while.
            Some(_) => {
                let before = Client { addr: from, ..self.clients[sender.expect("it is there")].like() };
                let learnt = before.hear(&answer);
                note(host, &before, wish_of(&before, datagram), &learnt, own_ms);
            }
            None => {
                let text = String::from_utf8_lossy(&answer);
                let claims = text.contains(r#""registered":true"#) || text.contains(r#""removed":true"#);
                assert!(!claims || from == HOSTILE, "a forged datagram was taken: {text}");
                if claims {
                    // Its own address, and perhaps somebody else's id: which it may have only if nobody has it.
                    let id = text.split(r#""peer_id":""#).nth(1).and_then(|rest| rest.split('"').next());
                    let (id, endpoint) = (id.expect("an id"), format!("udp://{HOSTILE}"));
                    // In a small table whoever had it may have lost its place.
                    let has_room = host.engine.peers().capacity() > 2 * CLIENTS;
                    let taken = host.oracle.is_of_another("room", id, &endpoint, own_ms);
                    assert!(!(has_room && taken), "{id} was taken over");
                    host.oracle.registered("room", id, vec![endpoint], own_ms, 90);
                }
            }
        }
        let from_server = self.servers[server].addr;
        self.send(from_server, from, None, answer);
    }

    /// A client hears from a server.
    fn hear(&mut self, client: usize, from: SocketAddr, datagram: &[u8]) {
        let Some(server) = self.servers.iter().position(|server| server.addr == from) else { return };
        if classify(datagram) == Kind::Krpc && datagram.ends_with(b"1:y1:qe") {
            // A ping: it answers like every node.
            let at = datagram.windows(3).position(|window| window == b"1:t").expect("a transaction");
            let transaction = &datagram[at + 3..datagram.len() - 7];
            let answer = [&b"d1:rd2:id20:client-of-the-dht-xxe1:t"[..], transaction, b"1:y1:re"].concat();
            let own = self.clients[client].addr;
            // Nothing that registers anybody: so it does not matter who says it.
            self.send(own, from, None, answer);
            return;
        }
        if !self.clients[client].has_asked_for(datagram) {
            return;
        }
        let learnt = self.clients[client].hear(datagram);
        if learnt.wrong_proof {
            self.clients[client].proofs.remove(&server);
        }
        if let Some(proof) = learnt.proof {
            self.clients[client].proofs.insert(server, proof);
        }
        self.totals.named += learnt.contacts.len() as u64;
        if let Some(own) = learnt.own {
            assert_eq!(own.ip(), self.clients[client].addr.ip(), "it sees our address");
        }
    }

    /// A client opens a connection, and wishes one to three things on it.
    fn connect(&mut self, client: usize, server: usize, wish: Wish) {
        if self.exhausted_until_ms[server] > self.now_ms {
            return;
        }
        let now_ms = self.now_ms;
        let Some(place) = (0..PLACES).find(|&at| self.servers[server].places[at].client.is_none()) else {
            return;
        };
        let mut wishes = vec![wish];
        while wishes.len() < 3 && self.chance(40) {
            wishes.push(if self.chance(50) { Wish::Find } else { Wish::Announce });
        }
        let speaker = &self.clients[client];
        let unsent = speaker.requests(&wishes);
        let host = &mut self.servers[server];
        let now = Instant::from_ms(host.now_ms(now_ms));
        let tcp = &mut host.places[place];
        tcp.connection.open(now, speaker.addr);
        (tcp.client, tcp.unsent, tcp.received) = (Some(client), unsent, Vec::new());
        tcp.generation += 1;
        let generation = tcp.generation;
        let wished = (wishes, speaker.like());
        self.wishes.insert((server, place), wished);
        self.later(50, Event::Step { server, place, generation, wishes: 0 });
    }

    /// A connection moves on by some bytes, and its client reads what has become whole.
    fn step(&mut self, server: usize, place: usize, generation: u64, done: usize) {
        let now_ms = self.now_ms;
        let tcp = &self.servers[server].places[place];
        if tcp.client.is_none() || tcp.generation != generation {
            return;
        }
        if self.is_wild() && self.chance(1) {
            // It vanishes; the server has to notice.
            self.totals.vanished += 1;
            return;
        }
        let most = if self.chance(30) { 1 + self.below(40) } else { 4000 };
        let goes_on = self.servers[server].step(now_ms, place, most);
        let mut done = done;
        // A request is done when its answer begins to be there, even if its client reads it later.
        loop {
            let host = &mut self.servers[server];
            let tcp = &host.places[place];
            let pending = [&tcp.received[..], tcp.connection.pending()].concat();
            let mut rest = &pending[..];
            let mut whole = None;
            for _ in 0..=done {
                whole = response(rest);
                let Some((.., behind)) = whole else { break };
                rest = behind;
            }
            let Some((status, body, _)) = whole else { break };
            let (wishes, client) = &self.wishes[&(server, place)];
            let Some(&wish) = wishes.get(done) else {
                panic!("an answer that nobody asked for: {status} {body}");
            };
            let (body, client) = (body.to_owned(), client.like());
            self.answered(server, &client, wish, status, &body);
            done += 1;
        }
        let wants = self.servers[server].places[place].connection.wants();
        if !goes_on || matches!(wants, Wants::Close | Wants::Reset) {
            let tcp = &mut self.servers[server].places[place];
            assert!(matches!(wants, Wants::Close | Wants::Reset), "the end of a stream ends a connection");
            tcp.client = None;
            return;
        }
        let within_ms = if self.is_wild() && self.chance(5) { 3000 } else { 40 };
        self.later(within_ms, Event::Step { server, place, generation, wishes: done });
    }

    /// A client has got a whole response to what it wished.
    fn answered(&mut self, server: usize, client: &Client, wish: Wish, status: u16, body: &str) {
        self.totals.responses += 1;
        let now_ms = self.now_ms;
        let host = &mut self.servers[server];
        let own_ms = host.now_ms(now_ms);
        if client.speech == Speech::HttpTracker {
            assert_eq!(status, 200);
            if !body.contains("failure reason") {
                let life = if wish == Wish::Leave {
                    Learnt { left: true, ..Learnt::default() }
                } else {
                    Learnt { registered_s: Some(600), ..Learnt::default() }
                };
                note(host, client, wish, &life, own_ms);
            }
            return;
        }
        match (wish, status) {
            (Wish::Announce, 200) => {
                self.totals.registered += 1;
                host.oracle.registered(client.network, &client.id(), client.endpoints(), own_ms, 120);
            }
            (Wish::Leave, 200) => {
                self.totals.left += 1;
                host.oracle.left(client.network, &client.id());
            }
            (Wish::Find, 200) => {
                assert_eq!(waypost::wire::json::check(body.as_bytes()), Ok(()), "{body}");
                for (id, endpoints, age_s) in listed(body) {
                    self.totals.named += 1;
                    assert_ne!(id, client.id(), "it left itself out");
                    host.oracle.is_named(client.network, &id, &endpoints, age_s, own_ms);
                }
            }
            (_, 409 | 429 | 503) => {}
            _ => panic!("{wish:?}: {status} {body}"),
        }
    }

    fn tick(&mut self) {
        self.at(self.now_ms + 250, Event::Tick);
        for server in 0..SERVERS {
            let (now_ms, unix_ms) = (self.now_ms, self.unix_ms);
            if now_ms >= WILD_MS {
                self.servers[server].stand_still(now_ms, false);
            }
            let own = self.servers[server].addr;
            for (to, query) in self.servers[server].tick(now_ms, unix_ms) {
                self.send(own, to, None, query);
            }
            // A driver sees that a connection wants to be closed.
            for tcp in &mut self.servers[server].places {
                if matches!(tcp.connection.wants(), Wants::Close | Wants::Reset) {
                    tcp.client = None;
                }
            }
        }
    }

    /// In the end, after a calm time, a server that had room for all names all that it was told of.
    fn judge(&mut self) {
        let now_ms = self.now_ms;
        for server in &mut self.servers {
            let own_ms = server.now_ms(now_ms);
            for network in NETWORKS {
                let expected = server.oracle.live(network, own_ms);
                let body = ask_all(server, own_ms, network);
                let mut found = std::collections::BTreeSet::new();
                for (id, endpoints, age_s) in listed(&body) {
                    server.oracle.is_named(network, &id, &endpoints, age_s, own_ms);
                    assert!(found.insert(id.clone()), "{id} is named twice");
                }
                if server.is_roomy {
                    assert_eq!(found, expected, "everybody of {network}");
                    self.totals.found_in_the_end += found.len() as u64;
                }
            }
        }
    }
}

impl Client {
    /// Another one of the same address and speech, without any proof.
    fn like(&self) -> Self {
        Self {
            number: self.number,
            addr: self.addr,
            speech: self.speech,
            network: self.network,
            proofs: BTreeMap::new(),
        }
    }
}

/// What a client's datagram wished: its answer does not always tell.
fn wish_of(client: &Client, datagram: &[u8]) -> Wish {
    if client.speech == Speech::UdpTracker && datagram.len() >= 98 {
        return if datagram[83] == 3 { Wish::Leave } else { Wish::Announce };
    }
    Wish::Find
}

/// Notes what a server's answer to a client confirms, and holds what it names against what was confirmed before.
fn note(server: &mut Server<'_>, client: &Client, wish: Wish, learnt: &Learnt, own_ms: u64) {
    let (network, id) = (client.network, client.id());
    if learnt.left || wish == Wish::Leave && learnt.registered_s.is_some() {
        server.oracle.left(network, &id);
    } else if let Some(life_s) = learnt.registered_s {
        let life_s = if client.speech == Speech::UdpJson { 90 } else { life_s };
        server.oracle.registered(network, &id, client.endpoints(), own_ms, life_s);
    }
    for &contact in &learnt.contacts {
        server.oracle.is_contact(network, contact, own_ms);
    }
}

/// Asks a server for all it has, on a connection of its own.
fn ask_all(server: &mut Server<'_>, own_ms: u64, network: &str) -> String {
    let now = Instant::from_ms(own_ms);
    let tcp = &mut server.places[0];
    tcp.connection.open(now, SocketAddr::new([99, 9, 9, 9].into(), 9999));
    let request = format!("GET /peers?network={network} HTTP/1.0\r\n\r\n");
    tcp.connection.space()[..request.len()].copy_from_slice(request.as_bytes());
    tcp.connection.received(now, request.len(), &mut server.engine);
    let answer = tcp.connection.pending().to_vec();
    let (status, body, _) = response(&answer).expect("a whole answer");
    assert_eq!(status, 200, "{body}");
    body.to_owned()
}

/// The first server has room and no limits; the second is small and strict; the third shows samples that last.
fn settings(server: usize) -> Settings {
    let unlimited = Settings { queries_per_minute: 0, announces_per_minute: 0, ..Settings::default() };
    match server {
        0 => Settings { max_peers: 64, ..unlimited },
        1 => Settings { max_peers: 4, ..Settings::default() },
        _ => Settings { stable_samples: true, max_peers: 64, ..unlimited },
    }
}
