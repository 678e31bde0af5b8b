//! Many sets of peers, with every member in reach by its rank.
//!
//! A set is a row of blocks of [`BLOCK`] members, and a hash index leads from a set and a block's number to the block. So
//! there may be as many sets as peers, of any sizes, and still a uniform draw from any of them, an addition and a removal
//! cost a fixed number of steps; a small set is read whole in a few. A block has a member, so that there are never more
//! blocks than peers.

use super::cut;
use super::index::{Index, IndexStorage, Tag};
use super::part::{Part, parts};
use super::pool::{Free, Pool};
use crate::rng::HashKey;

/// Members in a block: with them, it takes half a cache line.
const BLOCK: u32 = 10;

/// The memory of [`Members`] of up to `N` peers altogether.
pub(super) struct MemberStorage<const N: usize> {
    index: IndexStorage<N>,
    blocks: [Block; N],
}

/// A set's name: any number.
pub(super) type Set = u32;

/// Some members of one set: those with ranks from `number * BLOCK` on.
#[derive(Clone, Copy)]
#[repr(C, align(32))]
struct Block {
    set: Set,
    free: Free,
    number: u16,
    /// In the first block of a set: how many members the set has, less one.
    last: u16,
    /// Places in the table. There are at most 65,536 of them.
    slots: [u16; BLOCK as usize],
}

const _: () = assert!(size_of::<Block>() == 32, "a block is half a cache line");

parts!(Block { free: Free });

/// Sets of peers. A peer may be in one of them, and must know which one and its rank there.
pub(super) struct Members<'s> {
    index: Index<'s>,
    blocks: &'s mut [Block],
    pool: Pool,
    key: u64,
}

impl Block {
    const EMPTY: Self = Self { set: 0, free: Free::LAST, number: 0, last: 0, slots: [0; BLOCK as usize] };
}

impl<const N: usize> MemberStorage<N> {
    pub(super) const fn new() -> Self {
        const { assert!(N <= 1 << 16, "places in the table are 16-bit numbers") };
        Self { index: IndexStorage::new(), blocks: [Block::EMPTY; N] }
    }
}

impl<'s> Members<'s> {
    /// No sets, with room for `n` members in new storage.
    pub(super) fn new<const N: usize>(storage: &'s mut MemberStorage<N>, n: usize, key: HashKey) -> Self {
        Self {
            index: Index::new(&mut storage.index, n),
            blocks: cut(&mut storage.blocks, n),
            pool: Pool::new(),
            key: key.hash(b"members"),
        }
    }

    /// How many members `set` has.
    pub(super) fn len(&self, set: Set) -> u32 {
        let first = self.find(set, 0).and_then(|first| self.blocks.get(first as usize));
        first.map_or(0, |first| u32::from(first.last).saturating_add(1))
    }

    /// The member of `set` with this rank. All ranks below [`Members::len`] have one.
    pub(super) fn member(&self, set: Set, rank: u32) -> Option<u16> {
        self.block(set, rank / BLOCK).get((rank % BLOCK) as usize).copied()
    }

    /// All members of `set`, which has `len`, block by block.
    pub(super) fn blocks(&self, set: Set, len: u32) -> impl Iterator<Item = &[u16]> {
        (0..len.div_ceil(BLOCK)).map(move |number| {
            let left = len.saturating_sub(number.saturating_mul(BLOCK)).min(BLOCK);
            self.block(set, number).get(..left as usize).unwrap_or_default()
        })
    }

    /// Adds `slot`, which must be in no set, to `set`. Returns its rank. There is room.
    pub(super) fn push(&mut self, set: Set, slot: u16) -> u32 {
        let rank = self.len(set);
        let number = rank / BLOCK;
        if rank.is_multiple_of(BLOCK) {
            self.add_block(set, number);
        }
        self.set_member(set, rank, slot);
        self.set_len(set, rank.saturating_add(1));
        rank
    }

    /// Takes the member of `set` with this rank out of it. Returns the member that takes its rank, if one does: the last.
    pub(super) fn remove(&mut self, set: Set, rank: u32) -> Option<u16> {
        let last = self.len(set).checked_sub(1)?;
        let mover = self.member(set, last).filter(|_| rank != last);
        mover.into_iter().for_each(|slot| self.set_member(set, rank, slot));
        self.set_len(set, last);
        if last.is_multiple_of(BLOCK) {
            self.remove_block(set, last / BLOCK);
        }
        mover
    }

    /// Has what leads to the member of `set` with this rank fetched into the cache, without waiting for it.
    pub(super) fn touch(&self, set: Set, rank: u32) {
        self.index.touch(self.tag(set, rank / BLOCK));
    }

    fn block(&self, set: Set, number: u32) -> &[u16] {
        let block = self.find(set, number).and_then(|block| self.blocks.get(block as usize));
        block.map(|block| block.slots.as_slice()).unwrap_or_default()
    }

    fn find(&self, set: Set, number: u32) -> Option<u32> {
        self.index.find(self.tag(set, number), |block| {
            let block = self.blocks.get(block as usize);
            block.is_some_and(|block| block.set == set && u32::from(block.number) == number)
        })
    }

    fn add_block(&mut self, set: Set, number: u32) {
        let tag = self.tag(set, number);
        let Some(at) = self.pool.take(self.blocks) else { return };
        let Some(block) = self.blocks.get_mut(at as usize) else { return };
        (block.set, block.number) = (set, short(number));
        self.index.insert(tag, at);
    }

    fn remove_block(&mut self, set: Set, number: u32) {
        if let Some(at) = self.find(set, number) {
            self.index.remove(self.tag(set, number), at);
            self.pool.put_back(self.blocks, at);
        }
    }

    fn set_member(&mut self, set: Set, rank: u32, slot: u16) {
        let at = self.find(set, rank / BLOCK);
        let block = at.and_then(|at| self.blocks.get_mut(at as usize));
        let place = block.and_then(|block| block.slots.get_mut((rank % BLOCK) as usize));
        place.into_iter().for_each(|place| *place = slot);
    }

    /// Takes note of the length of `set`, unless it is 0: then it has no block.
    fn set_len(&mut self, set: Set, len: u32) {
        let first = self.find(set, 0).and_then(|first| self.blocks.get_mut(first as usize));
        if let (Some(first), Some(last)) = (first, len.checked_sub(1)) {
            first.last = short(last);
        }
    }

    /// A keyed mixer, not a MAC: sets and numbers are given by the table itself, not chosen by strangers, and samples
    /// take dozens of these.
    fn tag(&self, set: Set, number: u32) -> Tag {
        let mut hash = self.key ^ (u64::from(set) << 32 | u64::from(number));
        hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 32;
        hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
        hash ^= hash >> 32;
        Tag::of(hash.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }
}

/// A number that is below 65,536, as all here are.
fn short(number: u32) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::vec::Vec;

    use super::*;
    use crate::rng::Rng;

    #[test]
    fn agrees_with_a_map_of_vectors_under_random_operations() {
        const SLOTS: u32 = 60;
        let mut storage = MemberStorage::<64>::new();
        let mut members = Members::new(&mut storage, SLOTS as usize, HashKey::new([2; 16]));
        let mut model: BTreeMap<Set, Vec<u16>> = BTreeMap::new();
        let mut set_of = BTreeMap::new();
        let mut rng = Rng::new(HashKey::new([3; 16]));
        for step in 0..20_000 {
            let slot = rng.below(SLOTS) as u16;
            match set_of.remove(&slot) {
                Some(set) => {
                    let others = model.get_mut(&set).unwrap();
                    let rank = others.iter().position(|&other| other == slot).unwrap();
                    others.swap_remove(rank);
                    assert_eq!(members.remove(set, rank as u32), others.get(rank).copied(), "step {step}");
                }
                None => {
                    // At first every peer is in a set of its own: as many blocks as there can be.
                    let set = if step < 1000 { u32::from(slot) } else { rng.below(3) * 7 };
                    let others = model.entry(set).or_default();
                    assert_eq!(members.push(set, slot) as usize, others.len());
                    others.push(slot);
                    set_of.insert(slot, set);
                }
            }
            for (&set, expected) in &model {
                assert_eq!(members.len(set) as usize, expected.len(), "step {step}");
                let found: Vec<u16> = members.blocks(set, members.len(set)).flatten().copied().collect();
                assert_eq!(&found, expected, "step {step}");
                for (rank, &slot) in (0..).zip(expected) {
                    assert_eq!(members.member(set, rank), Some(slot), "step {step}");
                }
            }
            let blocks: usize = model.values().map(|others| others.len().div_ceil(BLOCK as usize)).sum();
            assert_eq!(members.pool.taken(), blocks, "step {step}");
        }
    }

    #[test]
    fn tags_spread_evenly() {
        let mut storage = MemberStorage::<1>::new();
        let members = Members::new(&mut storage, 1, HashKey::new([9; 16]));
        for sets in [1, 64, 4096] {
            let mut buckets = [0u32; 64];
            (0..4096).for_each(|n| buckets[(members.tag((n % sets) << 5, n / sets).0 >> 26) as usize] += 1);
            let chi_squared: f64 = buckets.iter().map(|&n| (f64::from(n) - 64.0).powi(2) / 64.0).sum();
            assert!(chi_squared < 140.0, "{chi_squared} with 63 degrees of freedom, {sets} sets");
        }
    }
}
