//! Many sets over one universe of items, with every member in reach by its rank.
//!
//! Each item is in at most one set. It stores which set and its rank there (`0..len`), and a hash index leads from a
//! set and a rank to the item. So there may be as many sets as items, of any sizes, and still a uniform draw from any
//! of them, an addition and a removal cost a fixed number of steps. A set's length lies with its first member.

use core::marker::PhantomData;

use super::index::{Index, IndexStorage, Tag};
use super::part::Part;
use crate::rng::HashKey;

/// A set's name: any two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Set(pub(super) u32, pub(super) u32);

/// Where an item is in the roster of kind `S`: a part of the item's row.
#[derive(Clone, Copy)]
pub(super) struct Place<S> {
    set: Set,
    rank: u32,
    /// Of the first member: how many members the set has.
    len: u32,
    kind: PhantomData<S>,
}

/// Sets of items. An item may be in several rosters, of different kinds `S`.
pub(super) struct Roster<'s, S> {
    index: Index<'s>,
    key: u64,
    kind: PhantomData<S>,
}

impl<S> Place<S> {
    /// In no set.
    pub(super) const NONE: Self = Self { set: Set(0, 0), rank: 0, len: 0, kind: PhantomData };
}

impl<'s, S> Roster<'s, S> {
    /// A roster of the items `0..n`, none in a set, in new storage.
    pub(super) fn new<const N: usize>(storage: &'s mut IndexStorage<N>, n: usize, key: HashKey) -> Self {
        Self { index: Index::new(storage, n), key: key.hash(b"roster"), kind: PhantomData }
    }

    /// How many members `set` has.
    pub(super) fn len<R: Part<Place<S>>>(&self, rows: &[R], set: Set) -> u32 {
        self.first(rows, set).map_or(0, |(_, len)| len)
    }

    /// The member of `set` with this rank. All ranks below [`Roster::len`] have one.
    pub(super) fn member<R: Part<Place<S>>>(&self, rows: &[R], set: Set, rank: u32) -> Option<u32> {
        self.index.find(self.tag(set, rank), |item| {
            rows.get(item as usize)
                .map(Part::part)
                .is_some_and(|place| place.rank == rank && place.set == set)
        })
    }

    /// Adds `item`, which must be in no set, to `set`.
    pub(super) fn push<R: Part<Place<S>>>(&mut self, rows: &mut [R], set: Set, item: u32) {
        let (first, len) = self.first(rows, set).unwrap_or((item, 0));
        if let Some(row) = rows.get_mut(item as usize) {
            *row.part_mut() = Place { set, rank: len, len: 0, kind: PhantomData };
            self.index.insert(self.tag(set, len), item);
            set_len(rows, first, len.saturating_add(1));
        }
    }

    /// Takes `item`, which must be in a set, out of it. The last member takes its rank.
    pub(super) fn remove<R: Part<Place<S>>>(&mut self, rows: &mut [R], item: u32) {
        let Some(&Place { set, rank, .. }) = rows.get(item as usize).map(Part::part) else { return };
        let Some((first, len)) = self.first(rows, set) else { return };
        let left = len.saturating_sub(1);
        let Some(last) = self.member(rows, set, left) else { return };
        self.index.remove(self.tag(set, rank), item);
        if last != item {
            self.index.remove(self.tag(set, left), last);
            self.index.insert(self.tag(set, rank), last);
            rows.get_mut(last as usize).into_iter().for_each(|row| row.part_mut().rank = rank);
        }
        set_len(rows, if first == item { last } else { first }, left);
    }

    /// Has what leads to the member of `set` with this rank fetched into the cache, without waiting for it.
    pub(super) fn touch(&self, set: Set, rank: u32) {
        self.index.touch(self.tag(set, rank));
    }

    /// Has what leads to the item of `place` fetched into the cache, without waiting for it.
    pub(super) fn touch_place(&self, place: &Place<S>) {
        self.touch(place.set, place.rank);
    }

    fn first<R: Part<Place<S>>>(&self, rows: &[R], set: Set) -> Option<(u32, u32)> {
        let first = self.member(rows, set, 0)?;
        Some((first, rows.get(first as usize)?.part().len))
    }

    /// A keyed mixer, not a MAC: sets and ranks are given by the table itself, not chosen by strangers, and samples
    /// take dozens of these.
    fn tag(&self, set: Set, rank: u32) -> Tag {
        let mut hash = self.key ^ (u64::from(set.0) << 32 | u64::from(set.1));
        hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 32 ^ u64::from(rank);
        hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
        hash ^= hash >> 32;
        Tag::of(hash.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }
}

fn set_len<S, R: Part<Place<S>>>(rows: &mut [R], first: u32, len: u32) {
    rows.get_mut(first as usize).into_iter().for_each(|row| row.part_mut().len = len);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::vec::Vec;

    use super::*;
    use crate::engine::peers::part::parts;
    use crate::rng::Rng;

    #[derive(Clone, Copy)]
    struct Row {
        place: Place<()>,
    }

    parts!(Row { place: Place<()> });

    #[test]
    fn agrees_with_a_map_of_vectors_under_random_operations() {
        const ITEMS: u32 = 40;
        let mut storage = IndexStorage::<64>::new();
        let mut roster = Roster::new(&mut storage, ITEMS as usize, HashKey::new([2; 16]));
        let mut rows = [Row { place: Place::NONE }; ITEMS as usize];
        let mut model: BTreeMap<Set, Vec<u32>> = BTreeMap::new();
        let mut set_of = BTreeMap::new();
        let mut rng = Rng::new(HashKey::new([3; 16]));
        for step in 0..20_000 {
            let item = rng.below(ITEMS);
            match set_of.remove(&item) {
                Some(set) => {
                    roster.remove(&mut rows, item);
                    let members = model.get_mut(&set).unwrap();
                    let rank = members.iter().position(|&m| m == item).unwrap();
                    members.swap_remove(rank);
                }
                None => {
                    let set = Set(rng.below(3), rng.below(3));
                    roster.push(&mut rows, set, item);
                    model.entry(set).or_default().push(item);
                    set_of.insert(item, set);
                }
            }
            for (&set, members) in &model {
                assert_eq!(roster.len(&rows, set) as usize, members.len(), "step {step}");
                for rank in 0..=members.len() {
                    let found = roster.member(&rows, set, rank as u32);
                    assert_eq!(found, members.get(rank).copied(), "step {step}");
                }
            }
        }
    }

    #[test]
    fn tags_spread_evenly() {
        let mut storage = IndexStorage::<1>::new();
        let roster = Roster::<()>::new(&mut storage, 1, HashKey::new([9; 16]));
        for sets in [1, 64, 4096] {
            let mut buckets = [0u32; 64];
            (0..4096).for_each(|n| buckets[(roster.tag(Set(n % sets, 0), n / sets).0 >> 26) as usize] += 1);
            let chi_squared: f64 = buckets.iter().map(|&n| (f64::from(n) - 64.0).powi(2) / 64.0).sum();
            assert!(chi_squared < 140.0, "{chi_squared} with 63 degrees of freedom, {sets} sets");
        }
    }
}
