//! The engine among simulated clients, in virtual time, over a network that loses, delays, reorders and duplicates.
//!
//! A naive model keeps what the server has been told, message by message, and every answer must agree with it. One seed
//! is one run: `WAYPOST_SEED=17 cargo test --test simulation` repeats the run that a failure names.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::Ipv4Addr;

use waypost::addr::CanonicalAddr;
use waypost::endpoint::Endpoint;
use waypost::engine::request::{EndpointList, SchemeList};
use waypost::engine::{
    Announce, Engine, Error, Leave, PeersQuery, Proof, Protocol, Reply, Request, Settings, Source, Storage,
};
use waypost::id::{NetworkKey, PeerId};
use waypost::limits::MAX_SAMPLE;
use waypost::rng::{HashKey, Rng, Seed};
use waypost::time::Instant;

/// Runs of each scenario.
const SEEDS: u64 = 16;
/// Clients of one run. Client number `n` announces the id number `n`, and now and then one that is not its own.
const CLIENTS: usize = 24;
/// How long a run lasts in virtual time.
const RUN_MS: u64 = 30 * 60 * 1000;
/// Longest way of a message, one way: long enough to overtake.
const MAX_DELAY_MS: u32 = 1500;
/// Messages lost and messages that arrive twice, of 100.
const LOST_PERCENT: u32 = 20;
const DOUBLED_PERCENT: u32 = 10;
/// Life that clients ask for, in seconds. They announce twice in that time.
const TTL_S: u32 = 120;
/// How long an expired peer may still be counted, though never named.
const SWEPT_WITHIN_MS: u64 = 1000;
/// Events of one run: more means that the simulation feeds itself.
const MAX_EVENTS: u32 = 100_000;

#[test]
fn a_roomy_table_holds_what_its_clients_said() {
    let mut figures = Figures::default();
    for seed in seeds() {
        figures.add(run(seed, 128));
    }
    // A client is listed if one of its two announces within a life arrived.
    let expected = 1.0 - (f64::from(LOST_PERCENT) / 100.0).powi(2);
    let found = figures.found as f64 / figures.sought as f64;
    assert!(figures.sought > 1000, "too few searches to judge: {}", figures.sought);
    let tolerance = if figures.sought > 100_000 { 0.01 } else { 0.05 };
    assert!((found - expected).abs() < tolerance, "{found:.3} of the clients were found, not {expected:.3}");
}

#[test]
fn a_table_too_small_for_its_clients_never_says_more_than_it_was_told() {
    for seed in seeds() {
        let figures = run(seed, 16);
        assert!(figures.refused > 0, "seed {seed}: the table was never full");
    }
}

/// The seed from `WAYPOST_SEED`, or all of them.
fn seeds() -> impl Iterator<Item = u64> {
    let only = std::env::var("WAYPOST_SEED").ok().map(|text| text.parse::<u64>().expect("a number"));
    only.map_or(0..SEEDS, |seed| seed..seed + 1)
}

/// Counts over a run.
#[derive(Default)]
struct Figures {
    /// Answers to searches, times the clients they should have named.
    sought: u64,
    /// How many of these they named.
    found: u64,
    /// Announces refused because the table was full.
    refused: u64,
}

impl Figures {
    const fn add(&mut self, other: Self) {
        self.sought += other.sought;
        self.found += other.found;
        self.refused += other.refused;
    }
}

/// Names the seed when a run panics.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the run failed with WAYPOST_SEED={}", self.0);
        }
    }
}

fn run(seed: u64, places: usize) -> Figures {
    let _named = Named(seed);
    let mut key = [0; 16];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = Rng::new(HashKey::new(key));
    let mut storage = Box::new(Storage::<128, 256>::new());
    let settings =
        Settings { max_peers: places, queries_per_minute: 0, announces_per_minute: 0, ..Settings::default() };
    let mut engine_seed = [0; 32];
    engine_seed[..16].copy_from_slice(&key);
    let network = settings.default_network;
    let engine = storage.engine(settings, &Seed(engine_seed));
    let mut simulation = Simulation {
        engine,
        rng,
        network,
        roomy: places > CLIENTS,
        now_ms: 0,
        queue: BinaryHeap::new(),
        events: 0,
        live: BTreeMap::new(),
        figures: Figures::default(),
    };
    simulation.play();
    simulation.figures
}

/// What happens at some time.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A client renews its own entry.
    Renew { client: usize },
    /// A client does something else: searches, leaves and comes back, tries an id that is not its own.
    Wander { client: usize },
    /// A message arrives at the server.
    Arrive(Message),
    /// The driver gives the engine time for upkeep.
    Tick,
}

/// A message to the server.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Message {
    Announce { client: usize, id: usize },
    Leave { client: usize, id: usize },
    Search { client: usize, limit: usize },
}

/// A live entry of the model.
struct Life {
    owner: usize,
    seen_ms: u64,
}

impl Life {
    fn is_over(&self, now_ms: u64) -> bool {
        now_ms >= self.seen_ms + u64::from(TTL_S) * 1000
    }
}

struct Simulation<'s> {
    engine: Engine<'s>,
    rng: Rng,
    network: NetworkKey,
    /// Whether the table has a place for every id.
    roomy: bool,
    now_ms: u64,
    queue: BinaryHeap<Reverse<(u64, u32, Event)>>,
    events: u32,
    /// The naive model: who registered which id, and when.
    live: BTreeMap<usize, Life>,
    figures: Figures,
}

impl Simulation<'_> {
    fn play(&mut self) {
        for client in 0..CLIENTS {
            self.later(TTL_S * 500, Event::Renew { client });
            self.later(TTL_S * 1000, Event::Wander { client });
        }
        self.later(0, Event::Tick);
        while let Some(Reverse((at_ms, _, event))) = self.queue.pop() {
            if at_ms > RUN_MS {
                return;
            }
            self.now_ms = at_ms;
            self.happen(event);
        }
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

    /// Sends a message over the network.
    fn send(&mut self, message: Message) {
        if self.chance(LOST_PERCENT) {
            return;
        }
        if self.chance(DOUBLED_PERCENT) {
            self.later(MAX_DELAY_MS, Event::Arrive(message.clone()));
        }
        self.later(MAX_DELAY_MS, Event::Arrive(message));
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.below(100) < percent
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Renew { client } => {
                self.send(Message::Announce { client, id: client });
                // Twice in a life, less some jitter.
                let jitter_ms = u64::from(self.rng.below(TTL_S * 10));
                self.at(self.now_ms + u64::from(TTL_S) * 500 - jitter_ms, Event::Renew { client });
            }
            Event::Wander { client } => {
                self.wander(client);
                self.later(30_000, Event::Wander { client });
            }
            Event::Arrive(Message::Announce { client, id }) => self.announce(client, id),
            Event::Arrive(Message::Leave { client, id }) => self.leave(client, id),
            Event::Arrive(Message::Search { client, limit }) => self.search(client, limit),
            Event::Tick => self.tick(),
        }
    }

    fn wander(&mut self, client: usize) {
        // Ids from CLIENTS on belong to whoever comes first, and are fought over.
        let contested = CLIENTS + self.rng.below(3) as usize;
        match self.rng.below(10) {
            0 => self.send(Message::Announce { client, id: contested }),
            1 => self.send(Message::Leave { client, id: contested }),
            2 => {
                let stranger = self.rng.below(CLIENTS as u32) as usize;
                self.send(Message::Leave { client, id: stranger + 2 * CLIENTS });
            }
            3 => self.send(Message::Search { client, limit: 1 }),
            4 => self.send(Message::Search { client, limit: 8 }),
            _ => self.send(Message::Search { client, limit: MAX_SAMPLE }),
        }
    }

    fn now(&self) -> Instant {
        Instant::from_ms(self.now_ms)
    }

    /// The model's entry for `id`, if it is live.
    fn life(&self, id: usize) -> Option<&Life> {
        self.live.get(&id).filter(|life| !life.is_over(self.now_ms))
    }

    fn announce(&mut self, client: usize, id: usize) {
        let name = name(id);
        let mut endpoints = EndpointList::new();
        endpoints.push(Endpoint::parse("udp://:9000").unwrap()).unwrap();
        let announce = Announce {
            network: self.network,
            id: PeerId::parse(&name).unwrap(),
            endpoints,
            ttl_s: Some(TTL_S),
            seeding: false,
            owner: None,
            seal: None,
            work: None,
        };
        let owner = self.life(id).map(|life| life.owner);
        let full = self.engine.peers().len() == self.engine.peers().capacity();
        let now = self.now();
        match self.engine.handle(now, &source(client), &Request::Announce(announce)) {
            Reply::Registered(registration) => {
                assert!(owner.is_none_or(|owner| owner == client) || !self.roomy, "{name} was taken over");
                assert_eq!(registration.expires_s, TTL_S);
                self.live.insert(id, Life { owner: client, seen_ms: self.now_ms });
            }
            Reply::Refused(Error::IdTaken) => {
                assert!(owner.is_some_and(|owner| owner != client), "{name} was free or its own");
            }
            Reply::Refused(Error::TableFull) => {
                assert!(!self.roomy, "there was a place for {name}");
                assert!(full, "there was a place left");
                self.live.remove(&id);
                self.figures.refused += 1;
            }
            Reply::Refused(error) => panic!("{name}: {error}"),
            _ => panic!("{name}: an announce was not answered as one"),
        }
    }

    fn leave(&mut self, client: usize, id: usize) {
        let name = name(id);
        let leave =
            Leave { network: self.network, id: PeerId::parse(&name).unwrap(), owner: None, seal: None };
        let owner = self.life(id).map(|life| life.owner);
        let now = self.now();
        match self.engine.handle(now, &source(client), &Request::Leave(leave)) {
            Reply::Left { removed: true } => {
                assert_eq!(owner, Some(client), "{name} was not there, or not its own");
                self.live.remove(&id);
            }
            Reply::Left { removed: false } => {
                assert!(owner.is_none() || !self.roomy, "{name} was forgotten");
                self.live.remove(&id);
            }
            Reply::Refused(Error::IdTaken) => assert!(owner.is_some_and(|owner| owner != client)),
            _ => panic!("{name}: a leave was not answered as one"),
        }
    }

    fn search(&mut self, client: usize, limit: usize) {
        let own = name(client);
        let query = PeersQuery {
            network: self.network,
            limit,
            schemes: SchemeList::new(),
            exclude: PeerId::parse(&own).ok(),
        };
        let now = self.now();
        let mut found = BTreeSet::new();
        let Reply::Peers(sample) = self.engine.handle(now, &source(client), &Request::Peers(query)) else {
            panic!("a search was not answered as one");
        };
        for peer in sample.peers() {
            let id = number(peer.id.as_str());
            assert!(found.insert(id), "{id} was named twice");
            let life = self.live.get(&id).unwrap_or_else(|| panic!("{id} was never there, or left"));
            assert!(
                !life.is_over(self.now_ms),
                "{id}, seen at {}, has expired and was named at {now:?}",
                life.seen_ms
            );
            assert_eq!(peer.age_s, (self.now_ms - life.seen_ms) / 1000, "the age of {id}");
            let endpoints: Vec<String> = peer.endpoints().map(|endpoint| endpoint.to_string()).collect();
            assert_eq!(endpoints, [format!("udp://{}:9000", address(life.owner))]);
        }
        assert!(found.len() <= limit && !found.contains(&client));
        if self.roomy {
            let others = self.live.iter().filter(|(id, l)| **id != client && !l.is_over(self.now_ms)).count();
            assert_eq!(found.len(), others.min(limit), "of {others} live peers");
        }
        // Judge what clients find once each has had a life's time to announce.
        if limit == MAX_SAMPLE && self.now_ms > u64::from(TTL_S) * 2000 {
            self.figures.sought += CLIENTS as u64 - 1;
            self.figures.found += found.iter().filter(|&&id| id < CLIENTS).count() as u64;
        }
    }

    /// Upkeep, and a look at the books.
    fn tick(&mut self) {
        let now = self.now();
        let mut rounds = 0;
        while self.engine.tick(now) {
            rounds += 1;
            assert!(rounds < 1000, "upkeep does not end");
        }
        let swept_ms = self.now_ms.saturating_sub(SWEPT_WITHIN_MS);
        self.live.retain(|_, life| !life.is_over(swept_ms));
        let live = self.live.values().filter(|life| !life.is_over(self.now_ms)).count();
        let count = self.engine.peers().len();
        assert!(count <= self.engine.peers().capacity());
        assert!(count <= self.live.len(), "{count} peers, and {} were announced", self.live.len());
        assert!(count >= live || !self.roomy, "{count} peers of {live}");
        self.at(self.now_ms + 1000, Event::Tick);
    }
}

/// Each client has an address in a /16 of its own, so that no cap on prefixes comes in.
fn address(client: usize) -> Ipv4Addr {
    let wide = u8::try_from(client).unwrap();
    Ipv4Addr::new(20 + wide, wide, 3, 4)
}

fn source(client: usize) -> Source {
    Source {
        addr: CanonicalAddr::new(address(client).into()),
        port: 40_000,
        protocol: Protocol::Http,
        proof: Proof::Tcp,
    }
}

fn name(id: usize) -> String {
    format!("peer-{id}")
}

fn number(name: &str) -> usize {
    name.strip_prefix("peer-").and_then(|digits| digits.parse().ok()).expect("a name that was announced")
}
