//! The server as a node of the DHT (BEP 5): whom it knows there, and how it makes sure of them.
//!
//! There is no routing table: a bootstrap node needs a few good nodes for whoever asks, not those near some id. Whoever
//! asks something becomes a candidate, unless it is read-only. A candidate is pinged once; the transaction id of the ping
//! proves, when it comes back, that the node is where it seems to be. Only then is it handed out, and as long as it answers
//! a ping every quarter of an hour. So nobody can make the server list, or bother, an endpoint that is not a node.
//!
//! With `--dht-node` the server asks these nodes for others while it knows few, and becomes part of their DHT.

mod asked;
mod node_id;
mod ring;

use core::net::SocketAddr;

use heapless::Vec;

use self::asked::{Asked, AskedStorage};
use self::node_id::OwnId;
use self::ring::{Ring, RingStorage};
use super::token::{Minter, Token, Use};
use crate::addr::{CanonicalAddr, Level, Scope};
use crate::limits::{
    DHT_NODE_PAUSE_S, LOWEST_CLIENT_PORT, MAX_DHT_ADDRESSES, PING_CANDIDATES, PING_PAUSE_MS, TICK_MS,
};
use crate::rng::{HashKey, Rng};
use crate::time::Instant;
use crate::wire::Writer;
use crate::wire::krpc::{self, Contact, Id, MAX_NODES, PING_BYTES, Response};

/// The memory of a [`Dht`]. All zero when new.
pub(super) struct DhtStorage {
    v4: RingStorage,
    v6: RingStorage,
    asked: AskedStorage,
}

impl DhtStorage {
    pub(super) const fn new() -> Self {
        Self { v4: RingStorage::new(), v6: RingStorage::new(), asked: AskedStorage::new() }
    }
}

/// What the server knows of the DHT, or rather of two: IPv4 and IPv6 are kept apart (BEP 32).
pub(super) struct Dht<'s> {
    v4: Side<'s>,
    v6: Side<'s>,
    asked: Asked<'s>,
    candidates: Vec<(CanonicalAddr, u16), PING_CANDIDATES>,
    /// The nodes of `--dht-node`, and when each may be asked again.
    entries: Vec<(SocketAddr, Instant), MAX_DHT_ADDRESSES>,
    /// When the next ping may leave.
    pace: Instant,
    queries: u64,
    rng: Rng,
}

/// The DHT of one address family.
struct Side<'s> {
    own: OwnId,
    ring: Ring<'s>,
}

impl<'s> Dht<'s> {
    /// A node that knows nobody but `entries`.
    pub(super) fn new(storage: &'s mut DhtStorage, entries: &[SocketAddr], key: HashKey) -> Self {
        let mut rng = Rng::new(key.derive(b"draws"));
        let v4 = Side { own: OwnId::new(&mut rng), ring: Ring::new(&mut storage.v4) };
        let v6 = Side { own: OwnId::new(&mut rng), ring: Ring::new(&mut storage.v6) };
        Self {
            v4,
            v6,
            asked: Asked::new(&mut storage.asked, key.derive(b"asked")),
            candidates: Vec::new(),
            entries: entries.iter().take(MAX_DHT_ADDRESSES).map(|&entry| (entry, Instant::START)).collect(),
            pace: Instant::START,
            queries: 0,
            rng,
        }
    }

    /// The server's node id, as nodes of the family of `addr` know it.
    pub(super) fn own_id(&self, addr: CanonicalAddr) -> Id {
        if addr.is_v4() { self.v4.own.id } else { self.v6.own.id }
    }

    /// Makes the server's node id fit an address that is known to be its own.
    pub(super) fn settle(&mut self, addr: CanonicalAddr) {
        if addr.scope() == Scope::Global {
            let side = if addr.is_v4() { &mut self.v4 } else { &mut self.v6 };
            side.own.settle(addr, &mut self.rng);
        }
    }

    /// Good nodes of IPv4, or else of IPv6, for an asker.
    pub(super) fn nodes(
        &mut self,
        now: Instant,
        v4: bool,
        asker: CanonicalAddr,
        port: u16,
    ) -> Vec<Contact, MAX_NODES> {
        let side = if v4 { &self.v4 } else { &self.v6 };
        side.ring.sample(now, asker, port, &mut self.rng)
    }

    /// How many good nodes are known, of both families.
    pub(super) fn len(&self, now: Instant) -> usize {
        self.v4.ring.len(now).saturating_add(self.v6.ring.len(now))
    }

    /// Queries sent since the start.
    pub(super) const fn queries(&self) -> u64 {
        self.queries
    }

    /// Takes note of who sent a query of `bytes`, and is not read-only. It will be pinged, if it has not been lately, may be a
    /// node, and the ping is no longer than the query: whoever forges queries gains nothing by it.
    pub(super) fn meet(&mut self, addr: CanonicalAddr, port: u16, bytes: usize) {
        if bytes >= PING_BYTES {
            self.consider(addr, port);
        }
    }

    /// Makes an endpoint a candidate, if it may be a node and has not been pinged lately.
    fn consider(&mut self, addr: CanonicalAddr, port: u16) {
        // What nearly all have had who ask again comes first.
        let is_asked = self.asked.has(&endpoint(addr, port));
        if is_asked || !may_be_node(addr) || port < LOWEST_CLIENT_PORT {
            return;
        }
        // One network waits in one place, and a full queue gives up any other.
        let is_near = |&(other, other_port): &(CanonicalAddr, u16)| {
            if addr.is_lan() {
                (other, other_port) == (addr, port)
            } else {
                other.prefix(Level::Narrow) == addr.prefix(Level::Narrow)
            }
        };
        if self.candidates.iter().any(is_near) {
            return;
        }
        if let Err(candidate) = self.candidates.push((addr, port)) {
            let place = self.rng.below(u32::try_from(PING_CANDIDATES).unwrap_or(0));
            self.candidates.get_mut(place as usize).into_iter().for_each(|place| *place = candidate);
        }
    }

    /// Takes an answer from `addr` and `port`. Returns whether it is one to a query of ours.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        addr: CanonicalAddr,
        port: u16,
        response: &Response<'_>,
        minter: &Minter,
    ) -> bool {
        let token = response.transaction.try_into().map(Token);
        if !token.is_ok_and(|token| minter.proves_address(now, addr, Use::Ping(port), token)) {
            return false;
        }
        let side = if addr.is_v4() { &mut self.v4 } else { &mut self.v6 };
        let node = Contact { id: response.id, addr, port };
        let is_news = node.id != side.own.id && side.ring.list(now, node, &mut self.rng);
        if let (true, Some((own, _))) = (is_news, krpc::compact(response.ip)) {
            side.own.vote(addr, own, &mut self.rng);
        }
        // Only those the operator trusts are believed about others, and even these are pinged first.
        if self.entries.iter().any(|(entry, _)| CanonicalAddr::from(*entry) == addr && entry.port() == port) {
            let v4 = response.nodes.iter().filter_map(|node| node.get(20..));
            let v6 = response.nodes6.iter().filter_map(|node| node.get(20..));
            for (addr, port) in v4.chain(v6).filter_map(krpc::compact) {
                self.consider(addr, port);
            }
        }
        true
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, now: Instant) {
        self.asked.tick(now);
    }

    /// Writes the next query of ours, if one is due. Returns where to, and its length.
    pub(super) fn poll_transmit(
        &mut self,
        now: Instant,
        minter: &Minter,
        out: &mut [u8],
    ) -> Option<(SocketAddr, usize)> {
        // What was not sent between two ticks may leave at this one.
        if self.pace > now.plus_ms(TICK_MS) {
            return None;
        }
        let mut out = Writer::new(out);
        let (addr, port) = if let Some(entry) = self.entry_due(now) {
            let to = (CanonicalAddr::from(entry), entry.port());
            let transaction = minter.address_token(now, to.0, Use::Ping(to.1)).0;
            krpc::emit_find_node(&self.own_id(to.0), &transaction, &mut out).ok()?;
            to
        } else {
            // Those who have proved themselves come first: a flood of forged queries must not keep us from asking them
            // again in time.
            let known = self.v4.ring.due(now).or_else(|| self.v6.ring.due(now));
            let to = known.or_else(|| self.candidates.pop())?;
            let transaction = minter.address_token(now, to.0, Use::Ping(to.1)).0;
            krpc::emit_ping(&self.own_id(to.0), &transaction, &mut out).ok()?;
            to
        };
        self.asked.note(&endpoint(addr, port));
        self.pace = self.pace.max(now).plus_ms(PING_PAUSE_MS);
        self.queries = self.queries.saturating_add(1);
        Some((SocketAddr::new(addr.ip(), port), out.len()))
    }

    /// A node of `--dht-node` that is to be asked for others: while fewer are known than one answer holds.
    fn entry_due(&mut self, now: Instant) -> Option<SocketAddr> {
        let (v4, v6) = (&self.v4.ring, &self.v6.ring);
        let is_due = |entry: &&mut (SocketAddr, Instant)| {
            let ring = if CanonicalAddr::from(entry.0).is_v4() { v4 } else { v6 };
            entry.1 <= now && ring.len(now) < MAX_NODES
        };
        let (entry, again) = self.entries.iter_mut().find(is_due)?;
        *again = now.plus_s(DHT_NODE_PAUSE_S);
        Some(*entry)
    }
}

/// An address and a port in one.
fn endpoint(addr: CanonicalAddr, port: u16) -> [u8; 18] {
    let mut bytes = [0; 18];
    bytes
        .iter_mut()
        .zip(addr.octets().into_iter().chain(port.to_be_bytes()))
        .for_each(|(to, from)| *to = from);
    bytes
}

/// Whether a node can be at `addr`: on the LAN, or at a global address that is not of a special purpose (RFC 6890).
fn may_be_node(addr: CanonicalAddr) -> bool {
    addr.is_lan() || (addr.scope() == Scope::Global && !addr.has_special_purpose())
}
