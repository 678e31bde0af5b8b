//! What requests cost the engine, with few peers and with many: `cargo bench --bench engine [part of a name]`.
//!
//! No operation takes more steps in a large table than in a small one; what grows is the time the processor waits for
//! memory that is not in its caches. The first rows are whole requests, from the bytes of a datagram to the bytes of its
//! answer: the figures a server sees, before what the system takes for receiving and sending. The others are
//! [`Engine::handle`] alone. The second table is what BitTorrent's trackers do all day, in networks of some fifty peers,
//! whose endpoints are public or of the LAN. There are no rate limits.
//!
//! A figure is the lower quartile of many rounds, in nanoseconds of one operation: what else runs on the machine only
//! ever adds to it.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;

use waypost::addr::CanonicalAddr;
use waypost::endpoint::{Endpoint, Host};
use waypost::engine::peers::PeerStorage;
use waypost::engine::request::{EndpointList, SchemeList};
use waypost::engine::{
    Announce, Contacts, ContactsQuery, Engine, Event, Families, Leave, PeersQuery, Proof, Protocol, Reply,
    Request, Settings, Source, Storage, Track, Transport,
};
use waypost::id::{AddressId, NetworkKey, PeerId};
use waypost::limits::{MAX_SAMPLE, MAX_UDP_REPLY_BYTES};
use waypost::rng::Seed;
use waypost::time::Instant;
use waypost::wire::Writer;

/// The largest table a build can have, whatever this build's capacity is.
const PEERS: usize = 65_536;
const ROUNDS: usize = 24;
/// Operations in a round.
const OPERATIONS: u32 = 20_000;

/// Lives of peers are from this long, in seconds,
const SHORTEST_TTL_S: u32 = 30;
/// to this long.
const LONGEST_TTL_S: u32 = 630;

/// How many peers, in how many networks. What has more than [`FEW`] peers is compared with the one before that has so few.
#[derive(Clone, Copy)]
struct Size {
    peers: u32,
    networks: u32,
    clients: Clients,
}

/// What the peers are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clients {
    /// They announce ids and endpoints of their choice.
    Chosen,
    /// They announce themselves to a tracker.
    Public,
    /// The same from addresses of the LAN.
    Lan,
}

const SIZES: [Size; 5] = [size(FEW, 1), size(4096, 1), size(65_536, 1), size(FEW, 10), size(65_536, 10_000)];
const SWARMS: [Size; 6] = [
    swarms(FEW, 2, Clients::Public),
    swarms(4096, 64, Clients::Public),
    swarms(65_536, 1024, Clients::Public),
    swarms(FEW, 2, Clients::Lan),
    swarms(4096, 64, Clients::Lan),
    swarms(65_536, 1024, Clients::Lan),
];
const FEW: u32 = 100;

/// A storage for each size: an engine needs a new one.
static STORAGE: [Mutex<Storage<PEERS, 256>>; SIZES.len() + SWARMS.len()] =
    [const { Mutex::new(Storage::new()) }; SIZES.len() + SWARMS.len()];

/// An operation: its name, and what does a round of it and returns the nanoseconds that one took.
type Operation = (&'static str, fn(&mut Bench<'_>) -> f64);

const MEASURED: [Operation; 8] = [
    ("datagram: announce again", |b| b.datagrams(Bench::announcement)),
    ("datagram: find 8 peers", |b| b.datagrams(Bench::search)),
    ("leave and announce anew", |b| b.churn()),
    ("announce again", |b| b.refresh()),
    ("sample and read 8", |b| b.sample(8)),
    ("sample and read 50", |b| b.sample(50)),
    ("announce to a full table", |b| b.displace()),
    ("expire", |b| b.expire()),
];

const TRACKED: [Operation; 4] = [
    ("track: refresh, no contacts", |b| b.track(0)),
    ("track: refresh, 30 contacts", |b| b.track(30)),
    ("contacts: 8", |b| b.contacts(8)),
    ("contacts: 50", |b| b.contacts(50)),
];

const fn size(peers: u32, networks: u32) -> Size {
    swarms(peers, networks, Clients::Chosen)
}

const fn swarms(peers: u32, networks: u32, clients: Clients) -> Size {
    Size { peers, networks, clients }
}

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let only = |all: &[Operation]| -> Vec<Operation> {
        all.iter().copied().filter(|(name, _)| name.contains(&wanted)).collect()
    };
    let (sizes, swarms) = STORAGE.split_at(SIZES.len());
    table(&only(&MEASURED), &SIZES, sizes);
    table(&only(&TRACKED), &SWARMS, swarms);
    println!(
        "storage: {} bytes for 4,096 peers, {} for 65,536",
        size_of::<PeerStorage<4096>>(),
        size_of::<PeerStorage<65_536>>()
    );
}

/// Measures these operations at these sizes, and prints a row for each operation.
fn table(operations: &[Operation], sizes: &[Size], storage: &[Mutex<Storage<PEERS, 256>>]) {
    if operations.is_empty() {
        return;
    }
    print!("{:28}", "ns, peers in networks");
    for Size { peers, networks, clients } in sizes {
        let lan = if *clients == Clients::Lan { "LAN " } else { "" };
        print!("{:>18}", format!("{lan}{peers} in {networks}"));
    }
    println!();
    let columns: Vec<_> =
        sizes.iter().zip(storage).map(|(&size, storage)| measure(operations, size, storage)).collect();
    for (n, (name, _)) in operations.iter().enumerate() {
        print!("{name:28}");
        let mut few = 0.0;
        for (size, figures) in sizes.iter().zip(&columns) {
            if size.peers == FEW {
                few = figures[n];
                print!("{few:18.0}");
            } else {
                print!("{:10.0} ({:.2}x)", figures[n], figures[n] / few);
            }
        }
        println!();
    }
}

/// All figures of one size. The rounds of one operation follow each other, so that what it uses comes to lie in the cache
/// as far as it fits.
fn measure(operations: &[Operation], size: Size, storage: &Mutex<Storage<PEERS, 256>>) -> Vec<f64> {
    let mut storage = storage.lock().expect("nobody panicked with it");
    let mut bench = Bench::new(&mut storage, size);
    let measure = |(_, round): &Operation| {
        let mut figures: Vec<f64> = (0..ROUNDS).map(|_| round(&mut bench)).collect();
        figures.sort_by(f64::total_cmp);
        figures[ROUNDS / 4]
    };
    operations.iter().map(measure).collect()
}

/// Nanoseconds that `run` takes.
fn time(run: impl FnOnce()) -> f64 {
    #[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
    let start = std::time::Instant::now();
    run();
    start.elapsed().as_secs_f64() * 1e9
}

/// Nanoseconds that one of [`OPERATIONS`] takes.
fn each(mut operation: impl FnMut()) -> f64 {
    time(|| (0..OPERATIONS).for_each(|_| operation())) / f64::from(OPERATIONS)
}

/// An engine whose table is full, and who is in it.
struct Bench<'s> {
    engine: Engine<'s>,
    /// Cheap randomness for the choice of peers: it must not be what is measured.
    choice: u64,
    now: Instant,
    size: Size,
    /// Numbers of the first peers, until some are displaced or expire.
    members: Vec<u32>,
    /// The next random one of them, its place and its number: read in time, so that it is not waited for.
    ahead: (usize, u32),
    /// Numbers below have been given.
    next: u32,
}

impl<'s> Bench<'s> {
    fn new(storage: &'s mut Storage<PEERS, 256>, size: Size) -> Self {
        let settings = Settings {
            max_peers: size.peers as usize,
            queries_per_minute: 0,
            announces_per_minute: 0,
            ..Settings::default()
        };
        let engine = storage.engine(settings, &Seed([1; 32]));
        let now = Instant::from_s(1000);
        let mut bench = Self { engine, choice: 1, now, size, members: Vec::new(), ahead: (0, 1), next: 0 };
        bench.fill();
        bench
    }

    /// Announces newcomers until all places are taken.
    fn fill(&mut self) {
        while self.engine.peers().len() < self.size.peers as usize {
            let n = self.newcomer();
            if self.announce(n) {
                self.members.push(n);
            }
        }
    }

    fn newcomer(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// Announces peer number `n`, all about which follows from its number. Returns whether it got a place.
    fn announce(&mut self, n: u32) -> bool {
        if self.size.clients != Clients::Chosen {
            return self.announce_to_tracker(n, 0, &mut []).is_some();
        }
        let (id, source) = (id(n), self.source(n));
        let mut endpoints = EndpointList::new();
        endpoints.push(Endpoint { scheme: "tcp", host: Host::Observed, port: 9000 }).expect("room for one");
        let announce = Announce {
            network: self.network(n),
            id: peer_id(&id),
            endpoints,
            ttl_s: Some(SHORTEST_TTL_S + n.wrapping_mul(0x9e37_79b1) % (LONGEST_TTL_S - SHORTEST_TTL_S)),
            seeding: false,
            owner: None,
            seal: None,
            work: None,
        };
        let reply = self.engine.handle(self.now, &source, &Request::Announce(announce));
        matches!(reply, Reply::Registered(_))
    }

    /// A source in a /24 of its own, in one of 20,000 /16s; or in 127.0.0.0/8.
    fn source(&self, n: u32) -> Source {
        let [_, b, c, d] = n.wrapping_mul(0x9e37_79b1).to_be_bytes();
        let a = if self.size.clients == Clients::Lan { 127 } else { 20 + (n % 77) as u8 };
        let addr = CanonicalAddr::new(Ipv4Addr::new(a, b, c, d).into());
        Source { addr, port: 40_000, protocol: Protocol::Http, proof: Proof::Tcp }
    }

    fn network(&self, n: u32) -> NetworkKey {
        let mut key = [0; 20];
        key[..4].copy_from_slice(&(n % self.size.networks).to_be_bytes());
        NetworkKey(key)
    }

    fn choose(&mut self, bound: u32) -> u32 {
        self.choice ^= self.choice << 13;
        self.choice ^= self.choice >> 7;
        self.choice ^= self.choice << 17;
        (((self.choice >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// The place and the number of a random peer.
    fn member(&mut self) -> (usize, u32) {
        let place = self.choose(self.size.peers) as usize;
        std::mem::replace(&mut self.ahead, (place, self.members[place]))
    }

    /// A random peer leaves, and a new one comes.
    fn churn(&mut self) -> f64 {
        each(|| {
            let (place, n) = self.member();
            let id = id(n);
            let leave = Leave { network: self.network(n), id: peer_id(&id), owner: None, seal: None };
            let removed = match self.engine.handle(self.now, &self.source(n), &Request::Leave(leave)) {
                Reply::Left { removed } => removed,
                _ => false,
            };
            assert!(removed);
            let n = self.newcomer();
            assert!(self.announce(n));
            self.members[place] = n;
            if self.ahead.0 == place {
                self.ahead.1 = n;
            }
        })
    }

    /// A random peer announces again.
    fn refresh(&mut self) -> f64 {
        each(|| {
            let (_, n) = self.member();
            assert!(self.announce(n));
        })
    }

    /// A stranger asks for peers of a random network, and reads all it gets.
    fn sample(&mut self, limit: usize) -> f64 {
        let viewer = self.source(u32::MAX);
        each(|| {
            let network = self.choose(self.size.networks);
            let network = self.network(network);
            let query = PeersQuery { network, limit, schemes: SchemeList::new(), exclude: None };
            let reply = self.engine.handle(self.now, &viewer, &Request::Peers(query));
            let Reply::Peers(sample) = reply else { unreachable!("a query is answered with peers") };
            for peer in sample.peers() {
                black_box(peer.id.as_str().len());
                black_box(peer.endpoints().map(|endpoint| endpoint.port).sum::<u16>());
            }
        })
    }

    /// A random peer announces itself to a tracker again, and is told of others.
    fn track(&mut self, limit: usize) -> f64 {
        let mut out = [0; 6 * MAX_SAMPLE];
        each(|| {
            let (_, n) = self.member();
            assert_eq!(self.announce_to_tracker(n, limit, &mut out), Some(6 * limit));
        })
    }

    /// All that an engine does for an announce by BEP 15. Returns how many bytes of compact addresses there are;
    /// `None` if it is refused.
    fn announce_to_tracker(&mut self, n: u32, limit: usize, out: &mut [u8]) -> Option<usize> {
        let source = self.source(n);
        let port = 9000;
        let id = AddressId::of(source.addr, port);
        let endpoint = |scheme| Endpoint { scheme, host: Host::Observed, port };
        let mut endpoints = EndpointList::new();
        let _ = endpoints.push(endpoint("tcp"));
        let _ = endpoints.push(endpoint("udp"));
        let announce = Announce {
            network: self.network(n),
            id: id.id(),
            endpoints,
            ttl_s: None,
            seeding: false,
            owner: None,
            seal: None,
            work: None,
        };
        let contacts = ContactsQuery { limit, families: Families::V4, transport: Transport::Udp };
        let track = Track { announce, event: Event::None, contacts };
        match self.engine.handle(self.now, &source, &Request::Track(track)) {
            Reply::Tracked(tracked) => Some(compact(&tracked.contacts, out)),
            _ => None,
        }
    }

    /// Someone asks for addresses in a random network.
    fn contacts(&mut self, limit: usize) -> f64 {
        let viewer = self.source(u32::MAX);
        let mut out = [0; 6 * MAX_SAMPLE];
        let query = ContactsQuery { limit, families: Families::V4, transport: Transport::Udp };
        let fewest = limit.min(self.size.peers as usize / self.size.networks as usize - 2);
        each(|| {
            let network = self.choose(self.size.networks);
            let request = Request::Contacts(self.network(network), query);
            let Reply::Contacts(contacts) = self.engine.handle(self.now, &viewer, &request) else {
                unreachable!("a query is answered with contacts")
            };
            assert!(compact(&contacts, &mut out) >= 6 * fewest);
        })
    }

    /// A newcomer displaces someone.
    fn displace(&mut self) -> f64 {
        let before = self.engine.peers().evictions();
        let figure = each(|| {
            let n = self.newcomer();
            self.announce(n);
        });
        let evictions = self.engine.peers().evictions() - before;
        assert!(evictions > u64::from(OPERATIONS) / 2, "most of them displace someone: {evictions}");
        figure
    }

    /// Random peers send what `message` makes of their number and of their token.
    fn datagrams(&mut self, message: fn(&Self, u32, &str) -> String) -> f64 {
        let mut out = [0; MAX_UDP_REPLY_BYTES];
        let messages: Vec<(SocketAddr, String)> = (0..OPERATIONS)
            .map(|_| {
                let (_, n) = self.member();
                let from = SocketAddr::new(self.source(n).addr.ip(), 40_000);
                let token = self.token(from);
                (from, message(self, n, &token))
            })
            .collect();
        let mut messages = messages.iter();
        each(|| {
            let (from, message) = messages.next().expect("as many as operations");
            let answer = self.engine.datagram(self.now, *from, message.as_bytes(), &mut out);
            assert!(answer > 40, "answered in full: {message}");
        })
    }

    /// The token of an address.
    fn token(&mut self, from: SocketAddr) -> String {
        let message = format!(r#"{{"type":"find_peers","id":"1","network":"none","pad":"{:60}"}}"#, "");
        let mut out = [0; MAX_UDP_REPLY_BYTES];
        let answer = self.engine.datagram(self.now, from, message.as_bytes(), &mut out);
        let answer = std::str::from_utf8(&out[..answer]).expect("JSON");
        let (_, token) = answer.split_once(r#""token":""#).expect("a token");
        token[..11].into()
    }

    /// Peer number `n` announces itself again.
    fn announcement(&self, n: u32, token: &str) -> String {
        let id = id(n);
        format!(
            r#"{{"type":"announce","id":"1","peer_id":"{}","port":9000,"network":"{}","token":"{token}"}}"#,
            peer_id(&id).as_str(),
            self.network_name(n)
        )
    }

    /// Peer number `n` asks who else is in its network.
    fn search(&self, n: u32, token: &str) -> String {
        format!(r#"{{"type":"find_peers","id":"1","network":"{}","token":"{token}"}}"#, self.network_name(n))
    }

    fn network_name(&self, n: u32) -> String {
        self.network(n).0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Time passes, and peers expire.
    fn expire(&mut self) -> f64 {
        self.fill();
        let before = self.engine.peers().expirations();
        let expired = |engine: &Engine<'_>| engine.peers().expirations() - before;
        let mut ns = 0.0;
        while expired(&self.engine) < u64::from(OPERATIONS) {
            self.fill();
            // Some two hundred are due at a time, whatever the size.
            self.now = self.now.plus_s(200 * LONGEST_TTL_S / self.size.peers);
            ns += time(|| while self.engine.tick(self.now) {});
        }
        ns / expired(&self.engine) as f64
    }
}

fn peer_id(id: &[u8; 40]) -> PeerId<'_> {
    PeerId::parse(std::str::from_utf8(id).expect("hex")).expect("an id")
}

/// Forty hex digits, as of a key's hash.
fn id(n: u32) -> [u8; 40] {
    let mut id = [b'0'; 40];
    let mut bits = u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for digit in &mut id {
        *digit = b"0123456789abcdef"[(bits >> 60) as usize];
        bits = bits.rotate_left(4);
    }
    id
}

/// Writes contacts as BitTorrent does, 6 bytes each.
fn compact(contacts: &Contacts<'_>, out: &mut [u8]) -> usize {
    let mut writer = Writer::new(out);
    contacts.emit_compact(&mut writer);
    black_box(writer.written()).len()
}
