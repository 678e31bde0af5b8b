//! The peer table: who is in which network, where, and until when.
//!
//! All memory is in [`PeerStorage`]: arrays of fixed length, all zero when new. Everything is found by number; an id, a
//! network or a prefix leads to a number by a keyed hash. Every operation takes a number of steps that does not grow
//! with the number of peers.
//!
//! - `peer`: what is known about one peer, in a row. `record`: what it announces. `reach`: who can reach it. `view`: what
//!   of it one asker may see.
//! - `networks`: the members of every network, by their reach. `sample`: a random draw from them.
//! - `groups`: how many peers come from each address prefix. `admission`: who gets a place, and who loses it.
//! - `signed`: what signed peers are signed with, and what is remembered of those that are gone.
//! - `wheel`: lifetimes. `activity`: how many peers were seen lately.
//! - `index`, `pool`, `directory`, `members`, `roster`, `ranking`, `part`: what these are made of.

mod activity;
mod admission;
mod directory;
mod groups;
mod index;
mod members;
mod networks;
mod part;
mod peer;
mod pool;
mod ranking;
mod reach;
mod record;
mod roster;
mod sample;
mod signed;
mod view;
mod wheel;

#[cfg(test)]
mod tests;

pub use reach::Viewer;
pub use view::PeerView;

use heapless::Vec;

use self::activity::Activity;
use self::groups::{GroupStorage, Groups};
use self::index::{Index, IndexStorage, Tag};
use self::networks::{NetworkStorage, Networks};
use self::peer::Peer;
use self::pool::Pool;
use self::reach::{Direct, Reach};
use self::record::Far;
use self::signed::{TombStorage, Tombs, put_seal};
use self::wheel::{Wheel, WheelStorage};
use crate::addr::CanonicalAddr;
use crate::endpoint::Endpoint;
use crate::engine::reply::Counts;
use crate::id::{NetworkKey, PeerId};
use crate::limits::{EXPIRY_STEPS, MAX_ID_BYTES, MAX_SAMPLE, TOMB_LIVES};
use crate::record::Seal;
use crate::rng::{HashKey, Rng};
use crate::time::Instant;
use crate::wire::Writer;

/// Peers that a sweep fetches into the cache at the same time: as many misses as a core can wait for.
const EXPIRY_WAVE: usize = 8;

/// A place in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(u16);

impl Slot {
    /// The place of row number `row`; there are at most 65,536.
    fn of(row: u32) -> Self {
        Self(u16::try_from(row).unwrap_or(u16::MAX))
    }

    const fn row(self) -> u32 {
        self.0 as u32
    }
}

/// The places of a sample.
pub type Slots = Vec<Slot, MAX_SAMPLE>;

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
    /// Whether it has all there is to have.
    pub seeding: bool,
    /// The address it was announced from.
    pub source: CanonicalAddr,
    /// What it is signed with, if it is. It has been verified.
    pub seal: Option<&'a Seal>,
}

/// The admission rule found no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPlace;

/// The memory of a [`PeerTable`] of up to `PEERS` peers. All zero when new.
pub struct PeerStorage<const PEERS: usize> {
    peers: [Peer; PEERS],
    far: [Far; PEERS],
    seals: [Seal; PEERS],
    ids: IndexStorage<PEERS>,
    networks: NetworkStorage<PEERS>,
    groups: GroupStorage<PEERS>,
    wheel: WheelStorage<PEERS>,
    tombs: TombStorage,
}

/// The peers of all networks. Every peer has a [`Slot`] while it is in the table.
pub struct PeerTable<'s> {
    peers: &'s mut [Peer],
    /// The ends of long records.
    far: &'s mut [Far],
    /// What signed records are signed with.
    seals: &'s mut [Seal],
    slots: Pool,
    ids: Index<'s>,
    networks: Networks<'s>,
    groups: Groups<'s>,
    wheel: Wheel<'s>,
    tombs: Tombs<'s>,
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
            far: [Far::EMPTY; PEERS],
            seals: [Seal::NONE; PEERS],
            ids: IndexStorage::new(),
            networks: NetworkStorage::new(),
            groups: GroupStorage::new(),
            wheel: WheelStorage::new(),
            tombs: TombStorage::new(),
        }
    }
}

impl<const PEERS: usize> Default for PeerStorage<PEERS> {
    fn default() -> Self {
        Self::new()
    }
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
            far: cut(&mut storage.far, n),
            seals: cut(&mut storage.seals, n),
            slots: Pool::new(),
            ids: Index::new(&mut storage.ids, n),
            networks: Networks::new(&mut storage.networks, n, key.derive(b"networks")),
            groups: Groups::new(&mut storage.groups, n, key.derive(b"groups")),
            wheel: Wheel::new(&mut storage.wheel, n),
            tombs: Tombs::new(&mut storage.tombs, key.derive(b"tombs")),
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
        loop {
            let due = core::iter::from_fn(|| self.wheel.pop(now, &mut steps));
            let due: Vec<u32, EXPIRY_WAVE> = due.take(EXPIRY_WAVE).collect();
            if due.is_empty() {
                return steps == 0;
            }
            due.iter().for_each(|&slot| self.peer(slot).touch());
            due.iter().for_each(|&slot| self.touch(slot));
            due.into_iter().for_each(|slot| self.meet(now, slot));
        }
    }

    /// Does what is due for the peer at `slot`, whose timer has been met.
    fn meet(&mut self, now: Instant, slot: u32) {
        match self.peer(slot).expires {
            Instant::START => {} // It left, and nobody has its place.
            expires if expires > now => self.wheel.set(slot, expires),
            _ => self.bury(slot),
        }
    }

    /// The live peer `id` of `network`. An expired one is removed on sight.
    pub fn find(&mut self, now: Instant, network: NetworkKey, id: PeerId<'_>) -> Option<Slot> {
        let slot = self.lookup(network, id)?;
        if self.is_live(slot, now) {
            return Some(Slot::of(slot));
        }
        self.bury(slot);
        None
    }

    /// The source address of a peer's last announce.
    pub fn source(&self, slot: Slot) -> CanonicalAddr {
        self.peer(slot.row()).source
    }

    /// What an owner token is made of: network, id and the moment of registration.
    pub fn registration(&self, slot: Slot) -> (NetworkKey, PeerId<'_>, Instant) {
        let peer = self.peer(slot.row());
        (self.networks.key(peer.network), peer.record.id(), peer.born)
    }

    /// Registers a peer that is not in the table. Returns its place, and whether it took that of one of its own wide prefix:
    /// then nothing has changed for all others.
    ///
    /// # Errors
    /// [`NoPlace`] if the admission rule finds none.
    pub fn insert(
        &mut self,
        now: Instant,
        record: &Record<'_>,
        rng: &mut Rng,
    ) -> Result<(Slot, bool), NoPlace> {
        let origin = self.groups.origin(record.source);
        let among_its_own = self.make_place(now, origin.as_ref(), rng)?;
        let slot = self.slots.take(self.peers).ok_or(NoPlace)?;
        let peer = self.peers.get_mut(slot as usize).ok_or(NoPlace)?;
        let far = self.far.get_mut(slot as usize).ok_or(NoPlace)?;
        let (reach, expires) = (Reach::of(record.endpoints), now.plus_s(record.ttl_s));
        let tag = tag(&self.key, record.network, record.id);
        (peer.born, peer.seen, peer.expires) = (now, now, expires);
        (peer.source, peer.reach, peer.tag, peer.seeding) = (record.source, reach, tag, record.seeding);
        peer.direct = Direct::of(record.endpoints, reach, record.source);
        peer.record.store(far, record.id, record.endpoints);
        peer.signed = record.seal.is_some();
        put_seal(self.seals, slot, record.seal);
        self.ids.insert(tag, slot);
        self.networks.join(self.peers, slot, record.network);
        self.enrol(slot, origin.as_ref());
        self.wheel.set(slot, expires);
        self.activity.count(now, None);
        Ok((Slot::of(slot), among_its_own))
    }

    /// Renews the peer at `slot` with what it announces now. Its network and id stay; all else may change.
    pub fn refresh(&mut self, now: Instant, slot: Slot, record: &Record<'_>) {
        let slot = slot.row();
        let moved = record.source != self.peer(slot).source;
        if moved {
            self.move_house(slot, record.source);
        }
        self.grant_tenure(now, slot);
        let Some(peer) = self.peers.get_mut(slot as usize) else { return };
        let Some(far) = self.far.get_mut(slot as usize) else { return };
        self.activity.count(now, Some(peer.seen));
        let (was_due, expires) = (peer.expires, now.plus_s(record.ttl_s));
        (peer.seen, peer.expires) = (now, expires);
        let mut reach = peer.reach;
        if moved
            || peer.signed
            || record.seal.is_some()
            || !peer.record.endpoints(far).eq(record.endpoints.iter().copied())
        {
            reach = Reach::of(record.endpoints);
            peer.direct = Direct::of(record.endpoints, reach, record.source);
            peer.record.store(far, record.id, record.endpoints);
            peer.signed = record.seal.is_some();
            put_seal(self.seals, slot, record.seal);
        }
        if (reach, record.seeding) != (peer.reach, peer.seeding) {
            self.networks.leave_set(self.peers, slot);
            if let Some(peer) = self.peers.get_mut(slot as usize) {
                (peer.reach, peer.seeding) = (reach, record.seeding);
            }
            self.networks.join_set(self.peers, slot);
        }
        // The wheel meets it no later than it was due, and sets its timer anew.
        if expires < was_due {
            self.wheel.set(slot, expires);
        }
    }

    /// Removes the peer at `slot`.
    pub fn remove(&mut self, slot: Slot) {
        let slot = slot.row();
        self.touch(slot);
        let &Peer { seen, tag, expires, signed, network, .. } = self.peer(slot);
        if signed {
            let until = expires.plus_ms(expires.ms_since(seen).saturating_mul(TOMB_LIVES));
            let network = self.networks.key(network);
            if let (Some(peer), Some(seal)) = (self.peers.get(slot as usize), self.seals.get(slot as usize)) {
                self.tombs.bury(network, peer.record.id(), seal.seq, until);
            }
        }
        self.activity.forget(seen);
        self.ids.remove(tag, slot);
        self.networks.leave(self.peers, slot);
        self.strike_off(slot);
        self.peers.get_mut(slot as usize).into_iter().for_each(|peer| peer.expires = Instant::START);
        self.slots.put_back(self.peers, slot);
    }

    /// How many peers of `network` an asker may know of.
    pub fn counts(&self, network: NetworkKey, viewer: CanonicalAddr) -> Counts {
        let network = self.networks.find(network);
        network.map_or(Counts::default(), |network| self.networks.counts(network, Viewer::new(viewer)))
    }

    /// The same of the network of the peer at `slot`.
    pub fn counts_around(&self, slot: Slot, viewer: CanonicalAddr) -> Counts {
        self.networks.counts(self.peer(slot.row()).network, Viewer::new(viewer))
    }

    /// Takes note that the peer at `slot` says that it has finished.
    pub fn count_completed(&mut self, slot: Slot) {
        let network = self.peer(slot.row()).network;
        self.networks.count_completed(network);
    }

    /// Removes the peer at `slot`, which has expired.
    fn bury(&mut self, slot: u32) {
        self.expirations = self.expirations.saturating_add(1);
        self.remove(Slot::of(slot));
    }

    /// Has what the removal of the peer at `slot` looks at fetched into the cache, without waiting for it. In a large
    /// table that is scattered over memory: so all is fetched at the same time, not one after the other.
    fn touch(&self, slot: u32) {
        let peer = self.peer(slot);
        self.ids.touch(peer.tag);
        self.networks.touch_peer(peer);
        self.groups.touch_peer(peer);
    }

    /// The peer `id` of `network`, live or not.
    fn lookup(&self, network: NetworkKey, id: PeerId<'_>) -> Option<u32> {
        self.ids.find(tag(&self.key, network, id), |slot| {
            let peer = self.peer(slot);
            peer.record.has_id(id) && self.networks.key(peer.network) == network
        })
    }

    /// The network with this key. `member`, if there is one, must be of it: that saves the search.
    fn network(&self, key: NetworkKey, member: Option<Slot>) -> Option<u32> {
        member.map(|slot| self.peer(slot.row()).network).or_else(|| self.networks.find(key))
    }

    fn is_live(&self, slot: u32, now: Instant) -> bool {
        now < self.peer(slot).expires
    }

    fn peer(&self, slot: u32) -> &Peer {
        self.peers.get(slot as usize).unwrap_or(&Peer::NONE)
    }
}

/// The keyed tag of a network and an id.
fn tag(key: &HashKey, network: NetworkKey, id: PeerId<'_>) -> Tag {
    Tag::of(hash_of(key, network, id))
}

/// The keyed hash of a network and an id. The network's key has a fixed length, so no other pair gives the same bytes.
fn hash_of(key: &HashKey, network: NetworkKey, id: PeerId<'_>) -> u64 {
    let mut bytes = [0; 20 + MAX_ID_BYTES];
    let mut writer = Writer::new(&mut bytes);
    let _ = writer.put(&network.0).and_then(|()| writer.put_str(id.as_str()));
    key.hash(writer.written())
}

/// The first `n` elements of storage: what a run with fewer places than the build has uses.
fn cut<T>(storage: &mut [T], n: usize) -> &mut [T] {
    let n = n.min(storage.len());
    storage.get_mut(..n).unwrap_or_default()
}
