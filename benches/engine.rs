//! What requests cost the engine, with few peers and with many: `cargo bench --bench engine`.
//!
//! No operation takes more steps in a large table than in a small one; what grows is the time the processor waits for
//! memory that is not in its caches. The first rows are whole requests, from the bytes of a datagram to the bytes of its
//! answer: the figures a server sees, before what the system takes for receiving and sending. The others are
//! [`Engine::handle`] alone. There are no rate limits.
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
    Announce, Engine, Leave, PeersQuery, Proof, Protocol, Reply, Request, Settings, Source, Storage,
};
use waypost::id::{NetworkKey, PeerId};
use waypost::limits::MAX_UDP_REPLY_BYTES;
use waypost::rng::Seed;
use waypost::time::Instant;

/// The largest table a build can have, whatever this build's capacity is.
const PEERS: usize = 65_536;
const ROUNDS: usize = 24;
/// Operations in a round.
const OPERATIONS: u32 = 20_000;

/// Lives of peers are from this long, in seconds,
const SHORTEST_TTL_S: u32 = 30;
/// to this long.
const LONGEST_TTL_S: u32 = 630;

/// Numbers of peers and of networks. What has more than [`FEW`] peers is compared with the one before that has so few.
const SIZES: [(u32, u32); 5] = [(FEW, 1), (4096, 1), (65_536, 1), (FEW, 10), (65_536, 10_000)];
const FEW: u32 = 100;

/// A storage for each size: an engine needs a new one.
static STORAGE: [Mutex<Storage<PEERS, 256>>; SIZES.len()] =
    [const { Mutex::new(Storage::new()) }; SIZES.len()];

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

fn main() {
    print!("{:26}", "ns, peers in networks");
    SIZES.iter().for_each(|(peers, networks)| print!("{:>18}", format!("{peers} in {networks}")));
    println!();
    let columns: Vec<_> = SIZES.iter().zip(&STORAGE).map(|(&size, storage)| measure(size, storage)).collect();
    for (n, (name, _)) in MEASURED.iter().enumerate() {
        print!("{name:26}");
        let mut few = 0.0;
        for (&(peers, _), figures) in SIZES.iter().zip(&columns) {
            if peers == FEW {
                few = figures[n];
                print!("{few:18.0}");
            } else {
                print!("{:10.0} ({:.2}x)", figures[n], figures[n] / few);
            }
        }
        println!();
    }
    println!(
        "storage: {} bytes for 4,096 peers, {} for 65,536",
        size_of::<PeerStorage<4096>>(),
        size_of::<PeerStorage<65_536>>()
    );
}

/// All figures of one size. The rounds of one operation follow each other, so that what it uses comes to lie in the cache
/// as far as it fits.
fn measure((peers, networks): (u32, u32), storage: &Mutex<Storage<PEERS, 256>>) -> [f64; MEASURED.len()] {
    let mut storage = storage.lock().expect("nobody panicked with it");
    let mut bench = Bench::new(&mut storage, peers, networks);
    MEASURED.map(|(_, round)| {
        let mut figures: Vec<f64> = (0..ROUNDS).map(|_| round(&mut bench)).collect();
        figures.sort_by(f64::total_cmp);
        figures[ROUNDS / 4]
    })
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
    peers: u32,
    networks: u32,
    /// Numbers of the first peers, until some are displaced or expire.
    members: Vec<u32>,
    /// The next random one of them, its place and its number: read in time, so that it is not waited for.
    ahead: (usize, u32),
    /// Numbers below have been given.
    next: u32,
}

impl<'s> Bench<'s> {
    fn new(storage: &'s mut Storage<PEERS, 256>, peers: u32, networks: u32) -> Self {
        let settings = Settings {
            max_peers: peers as usize,
            queries_per_minute: 0,
            announces_per_minute: 0,
            ..Settings::default()
        };
        let engine = storage.engine(settings, &Seed([1; 32]));
        let now = Instant::from_s(1000);
        let mut bench =
            Self { engine, choice: 1, now, peers, networks, members: Vec::new(), ahead: (0, 1), next: 0 };
        bench.fill();
        bench
    }

    /// Announces newcomers until all places are taken.
    fn fill(&mut self) {
        while self.engine.peers().len() < self.peers as usize {
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
        let (id, source) = (id(n), source(n));
        let mut endpoints = EndpointList::new();
        endpoints.push(Endpoint { scheme: "tcp", host: Host::Observed, port: 9000 }).expect("room for one");
        let announce = Announce {
            network: self.network(n),
            id: peer_id(&id),
            endpoints,
            ttl_s: Some(SHORTEST_TTL_S + n.wrapping_mul(0x9e37_79b1) % (LONGEST_TTL_S - SHORTEST_TTL_S)),
            seeding: false,
            owner: None,
        };
        let reply = self.engine.handle(self.now, &source, &Request::Announce(announce));
        matches!(reply, Reply::Registered(_))
    }

    fn network(&self, n: u32) -> NetworkKey {
        let mut key = [0; 20];
        key[..4].copy_from_slice(&(n % self.networks).to_be_bytes());
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
        let place = self.choose(self.peers) as usize;
        std::mem::replace(&mut self.ahead, (place, self.members[place]))
    }

    /// A random peer leaves, and a new one comes.
    fn churn(&mut self) -> f64 {
        each(|| {
            let (place, n) = self.member();
            let id = id(n);
            let leave = Leave { network: self.network(n), id: peer_id(&id), owner: None };
            let removed = match self.engine.handle(self.now, &source(n), &Request::Leave(leave)) {
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
        let viewer = source(u32::MAX);
        each(|| {
            let network = self.choose(self.networks);
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
                let from = SocketAddr::new(source(n).addr.ip(), 40_000);
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
            self.now = self.now.plus_s(200 * LONGEST_TTL_S / self.peers);
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

/// A source in a /24 of its own, in one of 20,000 /16s.
fn source(n: u32) -> Source {
    let [_, b, c, d] = n.wrapping_mul(0x9e37_79b1).to_be_bytes();
    let addr = CanonicalAddr::new(Ipv4Addr::new(20 + (n % 77) as u8, b, c, d).into());
    Source { addr, port: 40_000, protocol: Protocol::Http, proof: Proof::Tcp }
}
