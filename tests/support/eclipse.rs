//! Attacks on the admission of peers, in virtual time: a table that honest peers share with a flood of announces.
//!
//! `tests/eclipse.rs` asserts what the engine makes of them; `benches/eclipse.rs` prints it beside simpler policies.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "the bench and the test use different parts")]

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use waypost::addr::{CanonicalAddr, Scope};
use waypost::endpoint::Endpoint;
use waypost::engine::pow::Pricing;
use waypost::engine::{
    Announce, Engine, Leave, PeersQuery, Proof, Protocol, Reply, Request, Settings, Source, Storage,
};
use waypost::id::{NetworkKey, PeerId};
use waypost::rng::{HashKey, Rng, Seed};
use waypost::time::Instant;

const NETWORK: NetworkKey = NetworkKey([1; 20]);
/// The attack begins when the established have been there for two lifetimes, and lasts ten minutes.
const START_MS: u64 = 600_000;
const LENGTH_MS: u64 = 600_000;
/// Who is honest announces again after half a lifetime.
const AGAIN_MS: u64 = 150_000;
const TICK_MS: u64 = 250;
/// Who draws a sample after the attack.
const ASKERS: u32 = 200;
/// Stack of a thread besides the storage of its table.
const STACK_BYTES: usize = 8 << 20;

/// Where the announces of the flood come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// One IPv4 /24.
    Narrow4,
    /// One IPv6 /48.
    Narrow6,
    /// One IPv4 /16.
    Wide4,
    /// 256 hosts in as many /16s, all with a new id in every announce.
    Hosts,
    /// 4,600 hosts at random addresses, all with a new id in every announce.
    Bots,
    /// The same hosts, but each keeps its id, and stays.
    StayingBots,
}

impl Attack {
    pub const ALL: [Self; 6] =
        [Self::Narrow4, Self::Narrow6, Self::Wide4, Self::Hosts, Self::Bots, Self::StayingBots];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Narrow4 => "one IPv4 /24",
            Self::Narrow6 => "one IPv6 /48",
            Self::Wide4 => "one IPv4 /16",
            Self::Hosts => "256 hosts in 256 /16s",
            Self::Bots => "4,600 bots",
            Self::StayingBots => "4,600 bots that stay",
        }
    }

    /// The hosts it has, if it does not make up addresses as it goes.
    fn hosts(self, scale: u32, rng: &mut Rng) -> Vec<CanonicalAddr> {
        let count = match self {
            Self::Hosts => 256,
            Self::Bots | Self::StayingBots => 4600,
            _ => return Vec::new(),
        };
        let mut wides = BTreeSet::new();
        let mut hosts = Vec::new();
        while hosts.len() < (count * scale) as usize {
            let host = random_v4(rng);
            if self != Self::Hosts || wides.insert(host.octets()[12..14].to_vec()) {
                hosts.push(host);
            }
        }
        hosts
    }

    /// The host that sends the `n`th announce, and its id.
    fn sender(self, n: u32, hosts: &[CanonicalAddr], rng: &mut Rng) -> (CanonicalAddr, String) {
        let new_id = format!("attacker-{n}");
        let v4 = |a, b, c, d| CanonicalAddr::new(Ipv4Addr::new(a, b, c, d).into());
        let byte = |rng: &mut Rng| rng.below(256) as u8;
        match self {
            Self::Narrow4 => (v4(66, 6, 6, byte(rng)), new_id),
            Self::Wide4 => (v4(66, 6, byte(rng), byte(rng)), new_id),
            Self::Narrow6 => {
                let rest = u128::from(rng.next_u64()) << 16 | u128::from(rng.next_u64() & 0xffff);
                let addr = Ipv6Addr::from(0x2a0d_0006_0006_u128 << 80 | rest);
                (CanonicalAddr::new(addr.into()), new_id)
            }
            Self::Hosts | Self::Bots => (hosts[rng.below(hosts.len() as u32) as usize], new_id),
            Self::StayingBots => {
                let bot = n as usize % hosts.len();
                (hosts[bot], format!("attacker-{bot}"))
            }
        }
    }
}

/// A table under attack.
pub trait Table {
    /// A peer announces itself, for 300 s.
    fn announce(&mut self, now: Instant, id: &str, from: CanonicalAddr);
    /// A quarter of a second has passed.
    fn tick(&mut self, now: Instant);
    /// How many peers are listed.
    fn len(&self) -> usize;
    /// How many peers had to make room for others.
    fn evictions(&self) -> u64;
    /// The ids of the peers that `asker` is shown.
    fn sample(&mut self, now: Instant, asker: CanonicalAddr) -> Vec<String>;
    /// Takes a peer out. Returns whether it was listed.
    fn remove(&mut self, now: Instant, id: &str, from: CanonicalAddr) -> bool;
}

/// What an attack came to.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Percent of those who had been there before that are listed.
    pub established: f64,
    /// Percent of those who joined during the attack that are listed.
    pub newcomers: f64,
    /// Peers of the attacker that are listed,
    pub attackers: usize,
    /// in percent of all.
    pub attacker_share: f64,
    /// Peers that had to make room for others.
    pub evictions: u64,
    /// Percent of the peers in answers that are the attacker's.
    pub in_answers: f64,
}

/// Runs `attack` on `table`: 200 honest peers are there, 100 join, 200 announces a second flood it, all times `scale`.
pub fn run(table: &mut dyn Table, attack: Attack, seed: u8, scale: u32) -> Outcome {
    let rng = &mut Rng::new(HashKey::new([seed; 16]));
    let (established, newcomers, flood) = (200 * scale, 100 * scale, 120_000 * scale);
    let honest: Vec<(CanonicalAddr, String)> = (0..established + newcomers)
        .map(|n| (if n % 4 == 3 { random_v6(rng) } else { random_v4(rng) }, format!("honest-{n}")))
        .collect();
    let mut due = BTreeSet::new();
    for n in 0..established {
        due.insert((u64::from(rng.below(AGAIN_MS as u32)), n));
    }
    for n in 0..newcomers {
        due.insert((START_MS + LENGTH_MS * u64::from(n) / u64::from(newcomers), established + n));
    }
    let hosts = attack.hosts(scale, rng);
    let mut ticked_ms = 0;
    let mut advance = |table: &mut dyn Table, to_ms: u64| {
        while let Some(&(at_ms, n)) = due.first().filter(|(at_ms, _)| *at_ms <= to_ms) {
            due.pop_first();
            due.insert((at_ms + AGAIN_MS, n));
            while ticked_ms + TICK_MS <= at_ms {
                ticked_ms += TICK_MS;
                table.tick(Instant::from_ms(ticked_ms));
            }
            let (addr, id) = &honest[n as usize];
            table.announce(Instant::from_ms(at_ms), id, *addr);
        }
    };
    for n in 0..flood {
        let now_ms = START_MS + LENGTH_MS * u64::from(n) / u64::from(flood);
        advance(table, now_ms);
        let (addr, id) = attack.sender(n, &hosts, rng);
        table.announce(Instant::from_ms(now_ms), &id, addr);
    }
    advance(table, START_MS + LENGTH_MS - 1);
    let end = Instant::from_ms(START_MS + LENGTH_MS);
    table.tick(end);

    let (mut shown, mut shown_attackers) = (0, 0);
    for _ in 0..ASKERS {
        let sample = table.sample(end, random_v4(rng));
        shown += sample.len();
        shown_attackers += sample.iter().filter(|id| id.starts_with("attacker")).count();
    }
    let listed = table.len();
    let mut count = |range: std::ops::Range<u32>| {
        let honest = honest.get(range.start as usize..range.end as usize).unwrap();
        honest.iter().filter(|(addr, id)| table.remove(end, id, *addr)).count()
    };
    let established_listed = count(0..established);
    let newcomers_listed = count(established..established + newcomers);
    let attackers = listed - established_listed - newcomers_listed;
    let percent = |part: usize, whole: usize| part as f64 * 100.0 / whole.max(1) as f64;
    Outcome {
        established: percent(established_listed, established as usize),
        newcomers: percent(newcomers_listed, newcomers as usize),
        attackers,
        attacker_share: percent(attackers, listed),
        evictions: table.evictions(),
        in_answers: percent(shown_attackers, shown),
    }
}

/// Runs `attack` on an engine of `PEERS` places, with the limits it has by default or with none.
pub fn run_on_engine<const PEERS: usize>(attack: Attack, seed: u8, scale: u32, limited: bool) -> Outcome {
    let run = move || {
        let mut settings = Settings { max_peers: PEERS, pow: Pricing::Off, ..Settings::default() };
        if !limited {
            settings.queries_per_minute = 0;
            settings.announces_per_minute = 0;
        }
        let mut storage = Storage::<PEERS, 16_384>::new();
        run(&mut Real(storage.engine(settings, &Seed([seed; 32]))), attack, seed, scale)
    };
    // Without optimisation it is copied when it is made.
    let stack_bytes = STACK_BYTES + 3 * size_of::<Storage<PEERS, 16_384>>();
    let thread = std::thread::Builder::new().stack_size(stack_bytes).spawn(run).unwrap();
    thread.join().expect("the engine does not panic")
}

struct Real<'s>(Engine<'s>);

fn source(addr: CanonicalAddr) -> Source {
    Source { addr, port: 40_000, protocol: Protocol::Http, proof: Proof::Tcp }
}

impl Table for Real<'_> {
    fn announce(&mut self, now: Instant, id: &str, from: CanonicalAddr) {
        let announce = Announce {
            network: NETWORK,
            id: PeerId::parse(id).unwrap(),
            endpoints: [Endpoint::parse("tcp://:9000").unwrap()].into_iter().collect(),
            ttl_s: None,
            seeding: false,
            owner: None,
            seal: None,
            work: None,
        };
        let _ = self.0.handle(now, &source(from), &Request::Announce(announce));
    }

    fn tick(&mut self, now: Instant) {
        while self.0.tick(now) {}
    }

    fn len(&self) -> usize {
        self.0.peers().len()
    }

    fn evictions(&self) -> u64 {
        self.0.peers().evictions()
    }

    fn sample(&mut self, now: Instant, asker: CanonicalAddr) -> Vec<String> {
        let query =
            PeersQuery { network: NETWORK, limit: 50, schemes: [].into_iter().collect(), exclude: None };
        match self.0.handle(now, &source(asker), &Request::Peers(query)) {
            Reply::Peers(sample) => sample.peers().map(|peer| peer.id.as_str().into()).collect(),
            _ => panic!("a query is answered with a sample"),
        }
    }

    fn remove(&mut self, now: Instant, id: &str, from: CanonicalAddr) -> bool {
        let leave = Leave { network: NETWORK, id: PeerId::parse(id).unwrap(), owner: None, seal: None };
        matches!(self.0.handle(now, &source(from), &Request::Leave(leave)), Reply::Left { removed: true })
    }
}

/// A host anywhere on the IPv4 internet.
pub fn random_v4(rng: &mut Rng) -> CanonicalAddr {
    loop {
        let addr = CanonicalAddr::new(Ipv4Addr::from(rng.next_u64() as u32).into());
        if addr.scope() == Scope::Global {
            return addr;
        }
    }
}

/// A host anywhere in the 2a00::/12 of IPv6.
fn random_v6(rng: &mut Rng) -> CanonicalAddr {
    let bits = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
    CanonicalAddr::new(Ipv6Addr::from(0x2a0_u128 << 116 | bits >> 12).into())
}
