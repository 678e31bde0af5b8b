//! The server without its sockets: all state, all rules, no input or output.
//!
//! # The contract with the driver
//!
//! A driver (see [`crate::net`]) owns sockets and clocks; the engine owns everything else.
//!
//! - Memory: the driver places one [`Storage`], usually a `static`, and borrows an [`Engine`] from it. Nothing else is
//!   ever allocated.
//! - HTTP: for every accepted connection the driver drives an [`http::Connection`]: bytes in, bytes out, a deadline.
//! - UDP: for every datagram the driver calls [`Engine::datagram`], and sends what was rendered, if anything.
//! - Time: `now` is always the first argument. The driver calls [`Engine::tick`] about four times a second, again at
//!   once while it answers that there is more to do, and tells the wall clock and resident memory when it knows them.
//!
//! All transports meet in [`Engine::handle`], which turns one [`Request`] into one [`Reply`].
#![deny(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_sign_loss,
        clippy::string_slice
    )
)]

mod bittorrent;
pub mod datagram;
mod dht;
mod door;
mod egress;
pub mod http;
pub mod identity;
pub mod intake;
mod krpc;
pub mod mdns;
pub mod peers;
pub mod pow;
pub mod ratelimit;
mod register;
pub mod reply;
pub mod request;
pub mod settings;
pub mod stats;
mod stun;
pub mod token;
pub mod udp_json;
mod udp_tracker;

pub use reply::{Contact, Contacts, Counts, Error, Registration, Reply, Tracked};
pub use request::{
    Announce, ChallengeQuery, ContactsQuery, Event, Families, Leave, PeersQuery, Proof, Protocol, Request,
    SealText, Source, Track, Transport,
};
pub use settings::Settings;

use core::net::SocketAddr;

use crate::addr::{CanonicalAddr, Level};
use crate::id::NetworkKey;
use crate::limits::STABLE_SAMPLE_EPOCH_S;
use crate::rng::{HashKey, Rng, Seed};
use crate::time::{Instant, WallClock};
use crate::wire::pow::Challenge;
use dht::{Dht, DhtStorage};
use door::Door;
use egress::Egress;
use identity::{Identity, Secret};
use peers::{PeerStorage, PeerTable, Slot};
use pow::Challenger;
use ratelimit::{LimiterStorage, RateLimiter, Spending};
use reply::Sample;
use stats::{Kind, Stats};
use token::Minter;

/// Purposes of the keys derived from the seed. A number, once used, is never given to another purpose.
mod purpose {
    pub(super) const SAMPLING: u8 = 1;
    pub(super) const TOKENS: u8 = 2;
    pub(super) const TABLE: u8 = 3;
    pub(super) const LIMITS: u8 = 4;
    pub(super) const IDENTITY: u8 = 5;
    pub(super) const STABLE_SAMPLES: u8 = 6;
    pub(super) const DHT: u8 = 7;
    pub(super) const CHALLENGES: u8 = 8;
    pub(super) const MDNS: u8 = 9;
}

/// All the memory of an engine: `PEERS` places in the table and sketches of `CELLS` cells a row. All zero when new, so
/// that a `static` of it costs nothing in the binary and no resident memory until it is used.
pub struct Storage<const PEERS: usize, const CELLS: usize> {
    peers: PeerStorage<PEERS>,
    limiter: LimiterStorage<CELLS>,
    dht: DhtStorage,
}

impl<const PEERS: usize, const CELLS: usize> Storage<PEERS, CELLS> {
    /// Empty storage.
    pub const fn new() -> Self {
        Self { peers: PeerStorage::new(), limiter: LimiterStorage::new(), dht: DhtStorage::new() }
    }

    /// An engine in this storage, which must be new. `seed` must come from the operating system's generator, except
    /// in tests.
    pub fn engine(&mut self, settings: Settings, seed: &Seed) -> Engine<'_> {
        let secret = settings.identity.unwrap_or(Secret(seed.seed(purpose::IDENTITY).0));
        let peers = PeerTable::new(&mut self.peers, settings.max_peers, seed.key(purpose::TABLE));
        let capacity = peers.capacity();
        Engine {
            peers,
            limiter: RateLimiter::new(&mut self.limiter, &settings, seed.key(purpose::LIMITS)),
            dht: Dht::new(&mut self.dht, &settings.dht_nodes, seed.key(purpose::DHT)),
            door: Door::new(capacity, &settings),
            challenger: Challenger::new(&seed.key(purpose::CHALLENGES)),
            egress: Egress::new(&settings),
            minter: Minter::new(seed.key(purpose::TOKENS)),
            rng: Rng::new(seed.key(purpose::SAMPLING)),
            stable_key: seed.key(purpose::STABLE_SAMPLES),
            stats: Stats::new(),
            wall: WallClock::default(),
            resident_bytes: 0,
            identity: Identity::new(secret),
            settings,
        }
    }
}

impl<const PEERS: usize, const CELLS: usize> Default for Storage<PEERS, CELLS> {
    fn default() -> Self {
        Self::new()
    }
}

/// The server's state and rules. See the [module](self) for how it is driven.
pub struct Engine<'s> {
    settings: Settings,
    peers: PeerTable<'s>,
    limiter: RateLimiter<'s>,
    dht: Dht<'s>,
    door: Door,
    challenger: Challenger,
    /// Bytes a second to addresses that have not proved themselves.
    egress: Egress,
    minter: Minter,
    rng: Rng,
    stable_key: HashKey,
    stats: Stats,
    wall: WallClock,
    resident_bytes: u64,
    identity: Identity,
}

/// What [`Engine::handle`] decided, before the table is lent to the reply.
enum Decision {
    Pong,
    Challenge(Option<Challenge>),
    Sampled(peers::Slots),
    Contacts(ContactsQuery, peers::Slots),
    Counted(Counts),
    Tracked { expires_s: u32, counts: Counts, query: ContactsQuery, slots: peers::Slots },
    Registered(Registration),
    Left { removed: bool },
}

impl Engine<'_> {
    /// Answers one request. Every transport comes through here.
    pub fn handle<'r>(&'r mut self, now: Instant, source: &Source, request: &Request<'r>) -> Reply<'r> {
        self.stats.count_request(now, source.protocol, request);
        let decision = self.decide(now, source, request);
        self.stats.count_outcome(now, source.protocol, decision.as_ref().err());
        match decision {
            Err(error) => Reply::Refused(error),
            Ok(Decision::Pong) => Reply::Pong,
            Ok(Decision::Challenge(challenge)) => Reply::Challenge(challenge),
            Ok(Decision::Registered(registration)) => Reply::Registered(registration),
            Ok(Decision::Left { removed }) => Reply::Left { removed },
            Ok(Decision::Counted(counts)) => Reply::Counts(counts),
            Ok(Decision::Contacts(query, slots)) => {
                Reply::Contacts(Contacts::new(&self.peers, slots, source.addr, query))
            }
            Ok(Decision::Tracked { expires_s, counts, query, slots }) => {
                let contacts = Contacts::new(&self.peers, slots, source.addr, query);
                Reply::Tracked(Tracked { expires_s, counts, contacts })
            }
            Ok(Decision::Sampled(slots)) => {
                let schemes = match request {
                    Request::Peers(query) => query.schemes.clone(),
                    _ => request::SchemeList::new(),
                };
                Reply::Peers(Sample::new(&self.peers, slots, source.addr, schemes, now, self.wall))
            }
        }
    }

    fn decide(&mut self, now: Instant, source: &Source, request: &Request<'_>) -> Result<Decision, Error> {
        self.limiter.spend(now, source, Spending::of(request))?;
        match request {
            Request::Ping | Request::FindNode => Ok(Decision::Pong),
            Request::Challenge(query) => Ok(Decision::Challenge(self.challenge(now, source, query)?)),
            Request::Peers(query) => self.sample(now, source, query),
            &Request::Contacts(network, query) => {
                self.check_served(network)?;
                Ok(Decision::Contacts(query, self.contacts(now, source, network, query, None)))
            }
            &Request::Count(network) => {
                self.check_served(network)?;
                Ok(Decision::Counted(self.peers.counts(network, source.addr)))
            }
            Request::Track(track) => self.track(now, source, track),
            Request::Announce(announce) => {
                let (slot, expires_s) = self.register(now, source, announce)?;
                Ok(Decision::Registered(Registration { expires_s, token: self.owner_token(slot) }))
            }
            Request::Leave(leave) => Ok(Decision::Left { removed: self.leave(now, source, leave)? }),
        }
    }

    /// Charges and counts a request of this kind that is no proper one. Returns why there is no answer: that, or that its
    /// sender asks too often.
    fn refuse(&mut self, now: Instant, source: &Source, kind: Kind, error: Error) -> Error {
        let error = self.limiter.spend(now, source, Spending::Query).err().unwrap_or(error);
        self.stats.count_refused(now, source.protocol, kind, &error);
        error
    }

    fn sample(&mut self, now: Instant, source: &Source, query: &PeersQuery<'_>) -> Result<Decision, Error> {
        self.check_served(query.network)?;
        let slots = match self.stable_rng(now, source.addr) {
            Some(mut rng) => self.peers.stable_sample(now, query, source.addr, &mut rng),
            None => self.peers.sample(now, query, source.addr, &mut self.rng),
        };
        Ok(Decision::Sampled(slots))
    }

    fn contacts(
        &mut self,
        now: Instant,
        source: &Source,
        network: NetworkKey,
        query: ContactsQuery,
        exclude: Option<Slot>,
    ) -> peers::Slots {
        let viewer = source.addr;
        match self.stable_rng(now, viewer) {
            Some(mut rng) => self.peers.stable_contacts(now, network, query, viewer, exclude, &mut rng),
            None => self.peers.sample_contacts(now, network, query, viewer, exclude, &mut self.rng),
        }
    }

    /// A generator that is the same for one client network during one epoch, if samples are to be stable.
    fn stable_rng(&self, now: Instant, client: CanonicalAddr) -> Option<Rng> {
        if !self.settings.stable_samples {
            return None;
        }
        const EPOCH_S: u64 = STABLE_SAMPLE_EPOCH_S as u64;
        let epoch = now.as_s() / EPOCH_S;
        let mut input = [0; 16];
        let (prefix, rest) = input.split_at_mut(8);
        prefix.copy_from_slice(&client.prefix(Level::Narrow).0.to_be_bytes());
        rest.copy_from_slice(&epoch.to_be_bytes());
        Some(Rng::new(self.stable_key.derive(&input)))
    }

    /// Does bounded upkeep. Returns whether there is more to do at once.
    pub fn tick(&mut self, now: Instant) -> bool {
        self.stats.tick(now);
        self.limiter.tick(now);
        self.dht.tick(now);
        self.door.tick(now);
        self.peers.expire(now)
    }

    /// Renders the next datagram that the engine sends of its own accord, if there is one: a query to a node of the DHT. Returns
    /// where to, and its length. The driver asks after every tick until there is none.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<(SocketAddr, usize)> {
        let sent = self.dht.poll_transmit(now, &self.minter, out);
        if let Some((_, bytes)) = sent {
            self.stats.count_datagram(0, bytes);
        }
        sent
    }

    /// Tells the engine a public address of the server, so that its node id in the DHT fits it.
    pub fn settle_address(&mut self, addr: CanonicalAddr) {
        self.dht.settle(addr);
    }

    /// Tells the engine what the wall clock shows, in Unix milliseconds.
    pub fn set_wall_clock(&mut self, now: Instant, unix_ms: u64) {
        self.wall = WallClock::read(now, unix_ms);
    }

    /// Tells the engine how much memory the process has resident, in bytes.
    pub const fn set_resident_bytes(&mut self, bytes: u64) {
        self.resident_bytes = bytes;
    }

    /// The settings it runs with.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The server's id: the first 20 bytes of SHA-256 of its key.
    pub fn bootstrap_id(&self) -> [u8; 20] {
        self.identity.bootstrap_id()
    }

    /// What a newcomer has to work, in bits; 0 for nothing.
    pub const fn price(&self) -> u8 {
        self.door.price()
    }

    /// The counters, for drivers that count what only they see.
    pub const fn stats_mut(&mut self) -> &mut Stats {
        &mut self.stats
    }

    /// The peer table, for figures.
    pub const fn peers(&self) -> &PeerTable<'_> {
        &self.peers
    }
}

#[cfg(test)]
mod tests;
