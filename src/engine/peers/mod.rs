//! The peer table: who is in which network, where, and until when.
//!
//! All memory is in [`PeerStorage`]: arrays of fixed length, all zero when new. Everything is found by number; an id, a
//! network or a prefix leads to a number by a keyed hash. Every operation takes a number of steps that does not grow
//! with the number of peers.
//!
//! - [`record`]: what a peer announces. [`view`]: what of it one asker may see.
//! - [`networks`]: the members of every network. [`sample`]: a random draw from them.
//! - [`groups`]: how many peers come from each address prefix. [`admission`]: who gets a place, and who loses it.
//! - [`wheel`]: lifetimes. [`activity`]: how many peers were seen lately.
//! - [`index`], [`pool`], [`directory`], [`roster`], [`ranking`]: the parts these are made of.

mod activity;
mod admission;
mod directory;
mod groups;
mod index;
mod networks;
mod pool;
mod ranking;
mod record;
mod roster;
mod sample;
mod view;
mod wheel;

#[cfg(test)]
mod tests;

pub use view::PeerView;

use self::activity::Activity;
use self::groups::{GroupStorage, Groups, Membership};
use self::index::{Index, IndexStorage};
use self::networks::{NetworkStorage, Networks};
use self::pool::{Pool, PoolStorage};
use self::record::{RecordStorage, Records};
use self::wheel::{Wheel, WheelStorage};
use crate::addr::CanonicalAddr;
use crate::endpoint::Endpoint;
use crate::id::{NetworkKey, PeerId};
use crate::limits::{EXPIRY_STEPS, MAX_ID_BYTES, MAX_SAMPLE};
use crate::rng::{HashKey, Rng};
use crate::time::Instant;
use crate::wire::Writer;

/// A place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u32);

/// The places of a sample.
pub type Slots = heapless::Vec<Slot, MAX_SAMPLE>;

/// A peer to be registered.
pub struct Record<'a> {
    /// In which network.
    pub network: NetworkKey,
    /// Under which id.
    pub id: PeerId<'a>,
    /// Where it can be reached; 1 to 4, all hosts known.
    pub endpoints: &'a [Endpoint<'a>],
    /// Its life, in seconds.
    pub ttl_s: u32,
    /// The address it was announced from.
    pub source: CanonicalAddr,
}

/// The admission rule found no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPlace;

/// The memory of a [`PeerTable`] of up to `PEERS` peers. All zero when new.
pub struct PeerStorage<const PEERS: usize> {
    peers: [Peer; PEERS],
    records: RecordStorage<PEERS>,
    ids: IndexStorage<PEERS>,
    slots: PoolStorage<PEERS>,
    networks: NetworkStorage<PEERS>,
    groups: GroupStorage<PEERS>,
    wheel: WheelStorage<PEERS>,
}

/// What the table knows about a peer beside its record.
#[derive(Clone, Copy)]
struct Peer {
    source: CanonicalAddr,
    born: Instant,
    seen: Instant,
    /// The peer is live before this moment. 0 in a free slot.
    expires: Instant,
    network: u32,
    groups: Membership,
    lan_only: bool,
    /// It has tenure: nobody else's announce can evict it.
    protected: bool,
}

/// The peers of all networks. Every peer has a [`Slot`] while it is in the table.
pub struct PeerTable<'s> {
    peers: &'s mut [Peer],
    records: Records<'s>,
    ids: Index<'s>,
    slots: Pool<'s>,
    networks: Networks<'s>,
    groups: Groups<'s>,
    wheel: Wheel<'s>,
    activity: Activity,
    key: HashKey,
    protected: usize,
    evictions: u64,
    expirations: u64,
}

impl<const PEERS: usize> PeerStorage<PEERS> {
    /// Empty storage.
    pub const fn new() -> Self {
        Self {
            peers: [Peer::NONE; PEERS],
            records: RecordStorage::new(),
            ids: IndexStorage::new(),
            slots: PoolStorage::new(),
            networks: NetworkStorage::new(),
            groups: GroupStorage::new(),
            wheel: WheelStorage::new(),
        }
    }
}

impl<const PEERS: usize> Default for PeerStorage<PEERS> {
    fn default() -> Self {
        Self::new()
    }
}

impl Peer {
    const NONE: Self = Self {
        source: CanonicalAddr::ZERO,
        born: Instant::START,
        seen: Instant::START,
        expires: Instant::START,
        network: 0,
        groups: Membership::NONE,
        lan_only: false,
        protected: false,
    };
}

impl<'s> PeerTable<'s> {
    /// An empty table in new storage, with `capacity` places, but at least 1 and at most `PEERS`.
    pub fn new<const PEERS: usize>(
        storage: &'s mut PeerStorage<PEERS>,
        capacity: usize,
        key: HashKey,
    ) -> Self {
        let n = capacity.clamp(1, PEERS.max(1));
        Self {
            peers: cut(&mut storage.peers, n),
            records: Records::new(&mut storage.records, n),
            ids: Index::new(&mut storage.ids, n),
            slots: Pool::new(&mut storage.slots, n),
            networks: Networks::new(&mut storage.networks, n, key.derive(b"networks")),
            groups: Groups::new(&mut storage.groups, n, key.derive(b"groups")),
            wheel: Wheel::new(&mut storage.wheel, n),
            activity: Activity::new(),
            key: key.derive(b"ids"),
            protected: 0,
            evictions: 0,
            expirations: 0,
        }
    }

    /// Places.
    pub const fn capacity(&self) -> usize {
        self.peers.len()
    }

    /// Peers, including expired ones not yet swept.
    pub const fn len(&self) -> usize {
        self.slots.taken()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Peers seen within the last five minutes, as of the last call that was told the time.
    pub const fn active(&self) -> usize {
        self.activity.total()
    }

    /// Networks that have a peer.
    pub const fn networks(&self) -> usize {
        self.networks.len()
    }

    /// Peers with tenure: they have stayed for a whole lifetime, and newcomers cannot displace them.
    pub const fn protected(&self) -> usize {
        self.protected
    }

    /// Peers that have lost their place to a newcomer since the start.
    pub const fn evictions(&self) -> u64 {
        self.evictions
    }

    /// Peers that have expired since the start.
    pub const fn expirations(&self) -> u64 {
        self.expirations
    }

    /// Removes expired peers, in a bounded number of steps. Returns whether there may be more.
    ///
    /// A late sweep is never visible: a peer that has expired is not found and not sampled, swept or not.
    pub fn expire(&mut self, now: Instant) -> bool {
        self.activity.advance(now);
        let mut steps = EXPIRY_STEPS;
        while let Some(slot) = self.wheel.pop(now, &mut steps) {
            match self.peer(slot).expires {
                // It was refreshed since it was put on the wheel.
                expires if expires > now => self.wheel.insert(slot, expires),
                _ => {
                    self.expirations = self.expirations.saturating_add(1);
                    self.forget(slot);
                }
            }
        }
        steps == 0
    }

    /// The live peer `id` of `network`. An expired one is removed on sight.
    pub fn find(&mut self, now: Instant, network: NetworkKey, id: PeerId<'_>) -> Option<Slot> {
        let slot = self.lookup(network, id)?;
        if self.is_live(slot, now) {
            return Some(Slot(slot));
        }
        self.bury(slot);
        None
    }

    /// The source address of a peer's last announce.
    pub fn source(&self, slot: Slot) -> CanonicalAddr {
        self.peer(slot.0).source
    }

    /// What an owner token is made of: network, id and the moment of registration.
    pub fn registration(&self, slot: Slot) -> (NetworkKey, PeerId<'_>, Instant) {
        let peer = self.peer(slot.0);
        (self.networks.key(peer.network), self.records.id(slot.0), peer.born)
    }

    /// Registers a peer that is not in the table.
    ///
    /// # Errors
    /// [`NoPlace`] if the admission rule finds none.
    pub fn insert(&mut self, now: Instant, record: &Record<'_>, rng: &mut Rng) -> Result<Slot, NoPlace> {
        let origin = self.groups.origin(record.source);
        self.make_place(now, origin.as_ref(), rng)?;
        let slot = self.slots.take().ok_or(NoPlace)?;
        let lan_only = is_lan_only(record);
        let expires = now.plus_s(record.ttl_s);
        let peer = Peer {
            source: record.source,
            born: now,
            seen: now,
            expires,
            network: self.networks.join(record.network, slot, lan_only),
            groups: self.enrol(slot, origin.as_ref()),
            lan_only,
            protected: false,
        };
        self.put(slot, peer);
        self.records.store(slot, record.id, record.endpoints);
        self.ids.insert(self.hash(record.network, record.id), slot);
        self.wheel.insert(slot, expires);
        self.activity.count(now, None);
        Ok(Slot(slot))
    }

    /// Renews the peer at `slot` with what it announces now. Its network and id stay; all else may change.
    pub fn refresh(&mut self, now: Instant, slot: Slot, record: &Record<'_>) {
        let slot = slot.0;
        let mut peer = self.peer(slot);
        if record.source != peer.source {
            self.move_house(slot, &mut peer, record.source);
        }
        self.grant_tenure(now, slot, &mut peer);
        let lan_only = is_lan_only(record);
        if lan_only != peer.lan_only {
            self.networks.move_to(peer.network, slot, lan_only);
            peer.lan_only = lan_only;
        }
        self.activity.count(now, Some(peer.seen));
        peer.seen = now;
        peer.expires = now.plus_s(record.ttl_s);
        // Otherwise the wheel meets it at the old deadline, and puts it back at the new one.
        if self.wheel.is_late_for(slot, peer.expires) {
            self.wheel.remove(slot);
            self.wheel.insert(slot, peer.expires);
        }
        self.put(slot, peer);
        self.records.store(slot, record.id, record.endpoints);
    }

    /// Removes the peer at `slot`.
    pub fn remove(&mut self, slot: Slot) {
        self.wheel.remove(slot.0);
        self.forget(slot.0);
    }

    /// The peer at `slot` as `viewer` may see it; `None` if it has no endpoint to show.
    pub fn view(
        &self,
        slot: Slot,
        now: Instant,
        viewer: CanonicalAddr,
        schemes: &[&str],
    ) -> Option<PeerView<'_>> {
        let peer = self.peers.get(slot.0 as usize)?;
        let endpoints = self.records.endpoints(slot.0);
        let age_s = now.s_since(peer.seen);
        PeerView::new(self.records.id(slot.0), age_s, endpoints, peer.source, viewer, schemes)
    }

    /// Removes the peer at `slot`, which has expired.
    fn bury(&mut self, slot: u32) {
        self.expirations = self.expirations.saturating_add(1);
        self.remove(Slot(slot));
    }

    /// Removes the peer at `slot`, which is no longer on the wheel.
    fn forget(&mut self, slot: u32) {
        let peer = self.peer(slot);
        self.activity.forget(peer.seen);
        self.ids.remove(slot);
        self.networks.leave(peer.network, slot);
        self.strike_off(slot, &peer);
        self.put(slot, Peer::NONE);
        self.slots.put_back(slot);
    }

    /// The peer `id` of `network`, live or not.
    fn lookup(&self, network: NetworkKey, id: PeerId<'_>) -> Option<u32> {
        self.ids.find(self.hash(network, id), |slot| {
            self.records.has_id(slot, id) && self.networks.key(self.peer(slot).network) == network
        })
    }

    fn is_live(&self, slot: u32, now: Instant) -> bool {
        now < self.peer(slot).expires
    }

    fn peer(&self, slot: u32) -> Peer {
        self.peers.get(slot as usize).copied().unwrap_or(Peer::NONE)
    }

    fn put(&mut self, slot: u32, peer: Peer) {
        self.peers.get_mut(slot as usize).into_iter().for_each(|place| *place = peer);
    }

    /// The keyed hash of a network and an id. The key has a fixed length, so no other pair gives the same bytes.
    fn hash(&self, network: NetworkKey, id: PeerId<'_>) -> u64 {
        let mut bytes = [0; 20 + MAX_ID_BYTES];
        let mut writer = Writer::new(&mut bytes);
        let _ = writer.put(&network.0).and_then(|()| writer.put_str(id.as_str()));
        self.key.hash(writer.written())
    }
}

/// Whether a record has no endpoint that anyone may see.
fn is_lan_only(record: &Record<'_>) -> bool {
    !record.endpoints.iter().any(view::is_public)
}

/// The first `n` elements of storage: what a run with fewer places than the build has uses.
fn cut<T>(storage: &mut [T], n: usize) -> &mut [T] {
    let n = n.min(storage.len());
    storage.get_mut(..n).unwrap_or_default()
}
