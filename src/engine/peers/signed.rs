//! Signed peers: what they are signed with, and what is remembered of those that are gone, enough to know an old record when
//! somebody sends it again.
//!
//! A set of four for each hash, and the one that is forgotten first makes room: so many that to push one out takes four signed
//! records whose hashes fall where nobody but the server knows.

use super::{PeerTable, Slot, hash_of};
use crate::id::{NetworkKey, PeerId};
use crate::limits::{TOMBS, TOMBS_PER_SET};
use crate::record::Seal;
use crate::rng::HashKey;
use crate::time::Instant;

/// The memory of [`Tombs`]. All zero when new.
pub(super) struct TombStorage([[Tomb; TOMBS_PER_SET]; TOMBS / TOMBS_PER_SET]);

/// The sequence numbers of signed peers that are gone.
pub(super) struct Tombs<'s> {
    sets: &'s mut [[Tomb; TOMBS_PER_SET]],
    key: HashKey,
}

#[derive(Clone, Copy)]
struct Tomb {
    /// Of network and id, under a key that nobody knows: two share one by chance alone.
    hash: u64,
    seq: u64,
    /// It is remembered before this moment.
    until: Instant,
}

impl TombStorage {
    pub(super) const fn new() -> Self {
        Self([[Tomb { hash: 0, seq: 0, until: Instant::START }; TOMBS_PER_SET]; TOMBS / TOMBS_PER_SET])
    }
}

impl<'s> Tombs<'s> {
    pub(super) fn new(storage: &'s mut TombStorage, key: HashKey) -> Self {
        Self { sets: &mut storage.0, key }
    }

    /// Remembers that the last record of a peer had this number.
    pub(super) fn bury(&mut self, network: NetworkKey, id: PeerId<'_>, seq: u64, until: Instant) {
        let hash = hash_of(&self.key, network, id);
        let Some(set) = self.set_mut(hash) else { return };
        let own = set.iter().position(|tomb| tomb.hash == hash);
        let oldest = || set.iter().enumerate().min_by_key(|(_, tomb)| tomb.until).map(|(at, _)| at);
        let place = own.or_else(oldest).and_then(|at| set.get_mut(at));
        if let Some(tomb) = place {
            *tomb = Tomb { hash, seq, until };
        }
    }

    /// The number of a peer's last record, if it is remembered.
    pub(super) fn last_seq(&self, now: Instant, network: NetworkKey, id: PeerId<'_>) -> Option<u64> {
        let hash = hash_of(&self.key, network, id);
        let set = self.sets.get(self.place(hash))?;
        set.iter().find(|tomb| tomb.hash == hash && now < tomb.until).map(|tomb| tomb.seq)
    }

    fn set_mut(&mut self, hash: u64) -> Option<&mut [Tomb; TOMBS_PER_SET]> {
        let place = self.place(hash);
        self.sets.get_mut(place)
    }

    fn place(&self, hash: u64) -> usize {
        let sets = u64::try_from(self.sets.len()).unwrap_or(1);
        usize::try_from(hash.checked_rem(sets).unwrap_or(0)).unwrap_or(0)
    }
}

impl PeerTable<'_> {
    /// What the peer at `slot` is signed with, if it is.
    pub fn seal(&self, slot: Slot) -> Option<&Seal> {
        let seal = self.seals.get(slot.row() as usize);
        seal.filter(|_| self.peer(slot.row()).signed)
    }

    /// Takes note that the signed peer at `slot` has signed a record with this number.
    pub fn set_seq(&mut self, slot: Slot, seq: u64) {
        self.seals.get_mut(slot.row() as usize).into_iter().for_each(|seal| seal.seq = seq);
    }

    /// The number of the last record of a signed peer that is gone, as long as that is remembered.
    pub fn last_seq(&self, now: Instant, network: NetworkKey, id: PeerId<'_>) -> Option<u64> {
        self.tombs.last_seq(now, network, id)
    }
}

/// Stores what the record at `slot` is signed with. What is not signed leaves the memory alone.
pub(super) fn put_seal(seals: &mut [Seal], slot: u32, seal: Option<&Seal>) {
    if let (Some(place), Some(seal)) = (seals.get_mut(slot as usize), seal) {
        *place = *seal;
    }
}

#[cfg(test)]
mod tests {
    use std::boxed::Box;

    use super::*;

    const NETWORK: NetworkKey = NetworkKey([1; 20]);

    fn id(text: &str) -> PeerId<'_> {
        PeerId::parse(text).unwrap()
    }

    #[test]
    fn the_last_number_is_remembered_for_its_time() {
        let mut storage = Box::new(TombStorage::new());
        let mut tombs = Tombs::new(&mut storage, HashKey::new([3; 16]));
        let (now, end) = (Instant::from_s(10), Instant::from_s(100));
        assert_eq!(tombs.last_seq(now, NETWORK, id("a")), None);
        tombs.bury(NETWORK, id("a"), 7, end);
        assert_eq!(tombs.last_seq(now, NETWORK, id("a")), Some(7));
        assert_eq!(tombs.last_seq(now, NetworkKey([2; 20]), id("a")), None);
        tombs.bury(NETWORK, id("a"), 9, end);
        assert_eq!(tombs.last_seq(Instant::from_ms(99_999), NETWORK, id("a")), Some(9));
        assert_eq!(tombs.last_seq(end, NETWORK, id("a")), None);
    }

    #[test]
    fn the_oldest_make_room() {
        let mut storage = Box::new(TombStorage::new());
        let mut tombs = Tombs::new(&mut storage, HashKey::new([3; 16]));
        let count = 10 * TOMBS;
        for n in 0..count {
            tombs.bury(NETWORK, id(&std::format!("{n}")), 1, Instant::from_s(1 + n as u64));
        }
        let left: std::vec::Vec<usize> = (0..count)
            .filter(|n| tombs.last_seq(Instant::START, NETWORK, id(&std::format!("{n}"))).is_some())
            .collect();
        assert_eq!(left.len(), TOMBS);
        // Each set holds its four youngest: nobody much older than the average is left.
        assert!(left.iter().all(|&n| n > count - 5 * TOMBS), "{}", left[0]);
    }
}
