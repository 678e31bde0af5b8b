//! The peer table.

use super::request::PeersQuery;
use crate::addr::CanonicalAddr;
use crate::endpoint::Endpoint;
use crate::id::{NetworkKey, PeerId};
use crate::limits::MAX_SAMPLE;
use crate::rng::{HashKey, Rng};
use crate::time::Instant;

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

/// Memory
pub struct PeerStorage<const PEERS: usize> {
    slots: [u32; PEERS],
}
impl<const PEERS: usize> PeerStorage<PEERS> {
    /// new
    pub const fn new() -> Self {
        Self { slots: [0; PEERS] }
    }
}

/// The table.
pub struct PeerTable<'s> {
    slots: &'s mut [u32],
}

/// One peer as one asker may see it.
pub struct PeerView<'t> {
    /// Its id.
    pub id: PeerId<'t>,
    /// Seconds since it was last seen.
    pub age_s: u64,
    viewer: &'t (),
}
impl<'t> PeerView<'t> {
    /// The endpoints the asker may see, of the schemes it asked for, in the order announced. At least one.
    pub fn endpoints(&self) -> impl Iterator<Item = Endpoint<'t>> {
        core::iter::empty()
    }
}

impl<'s> PeerTable<'s> {
    /// An empty table of `capacity` places in new storage.
    pub fn new<const PEERS: usize>(
        storage: &'s mut PeerStorage<PEERS>,
        capacity: usize,
        key: HashKey,
    ) -> Self {
        Self { slots: &mut storage.slots }
    }
    /// Places.
    pub const fn capacity(&self) -> usize {
        self.slots.len()
    }
    /// Peers, including expired ones not yet swept.
    pub const fn len(&self) -> usize {
        0
    }
    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        true
    }
    /// Peers seen within the last five minutes.
    pub const fn active(&self) -> usize {
        0
    }
    /// Removes a bounded number of expired peers; whether there are more.
    pub fn expire(&mut self, now: Instant) -> bool {
        false
    }
    /// The live peer `id` of `network`. An expired one is removed on sight.
    pub fn find(&mut self, now: Instant, network: NetworkKey, id: PeerId<'_>) -> Option<Slot> {
        None
    }
    /// Source address of the last announce.
    pub fn source(&self, slot: Slot) -> CanonicalAddr {
        CanonicalAddr::default()
    }
    /// What an owner token is made of: network, id and the moment of registration.
    pub fn registration(&self, slot: Slot) -> (NetworkKey, PeerId<'_>, Instant) {
        todo!()
    }
    /// Registers a peer that is not in the table.
    ///
    /// # Errors
    /// [`NoPlace`] if the admission rule finds none.
    pub fn insert(&mut self, now: Instant, record: &Record<'_>, rng: &mut Rng) -> Result<Slot, NoPlace> {
        Err(NoPlace)
    }
    /// Renews a peer with what it announces now.
    pub fn refresh(&mut self, now: Instant, slot: Slot, record: &Record<'_>) {}
    /// Removes a peer.
    pub fn remove(&mut self, slot: Slot) {}
    /// A uniform sample.
    pub fn sample(
        &self,
        now: Instant,
        query: &PeersQuery<'_>,
        viewer: CanonicalAddr,
        rng: &mut Rng,
    ) -> Slots {
        Slots::new()
    }
    /// The peer at `slot` as `viewer` may see it; `None` if it has no endpoint to show.
    pub fn view(
        &self,
        slot: Slot,
        now: Instant,
        viewer: CanonicalAddr,
        schemes: &[&str],
    ) -> Option<PeerView<'_>> {
        None
    }
}
