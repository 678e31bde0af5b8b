//! Many sets over one universe of items, with every member in reach by its rank.
//!
//! Each item is in at most one set. It stores which set and its rank there (`0..len`), and a hash index leads from a
//! set and a rank to the item. So there may be as many sets as items, of any sizes, and still a uniform draw from any
//! of them, an addition and a removal cost a fixed number of steps. A set's length lies with its first member.

use super::cut;
use super::index::{Index, IndexStorage};
use crate::rng::HashKey;

/// A set's name: any two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Set(pub(super) u32, pub(super) u32);

/// The memory of a [`Roster`] of up to `N` items.
pub(super) struct RosterStorage<const N: usize> {
    index: IndexStorage<N>,
    places: [Place; N],
}

/// Where an item is.
#[derive(Clone, Copy)]
struct Place {
    set: Set,
    rank: u32,
    /// Of the first member: how many members the set has.
    len: u32,
}

/// Sets of items.
pub(super) struct Roster<'s> {
    index: Index<'s>,
    places: &'s mut [Place],
    key: u64,
}

impl<const N: usize> RosterStorage<N> {
    pub(super) const fn new() -> Self {
        Self { index: IndexStorage::new(), places: [Place { set: Set(0, 0), rank: 0, len: 0 }; N] }
    }
}

impl<'s> Roster<'s> {
    /// A roster of the items `0..n`, none in a set, in new storage.
    pub(super) fn new<const N: usize>(storage: &'s mut RosterStorage<N>, n: usize, key: HashKey) -> Self {
        Self {
            index: Index::new(&mut storage.index, n),
            places: cut(&mut storage.places, n),
            key: key.hash(b"roster"),
        }
    }

    /// How many members `set` has.
    pub(super) fn len(&self, set: Set) -> u32 {
        self.first(set).map_or(0, |(_, len)| len)
    }

    /// The member of `set` with this rank. All ranks below [`Roster::len`] have one.
    pub(super) fn member(&self, set: Set, rank: u32) -> Option<u32> {
        let is_it =
            |item: u32| self.places.get(item as usize).is_some_and(|p| p.rank == rank && p.set == set);
        self.index.find(self.hash(set, rank), is_it)
    }

    /// Adds `item`, which must be in no set, to `set`.
    pub(super) fn push(&mut self, set: Set, item: u32) {
        let (first, len) = self.first(set).unwrap_or((item, 0));
        if let Some(place) = self.places.get_mut(item as usize) {
            *place = Place { set, rank: len, len: 0 };
            self.index.insert(self.hash(set, len), item);
            self.set_len(first, len.saturating_add(1));
        }
    }

    /// Takes `item`, which must be in a set, out of it. The last member takes its rank.
    pub(super) fn remove(&mut self, item: u32) {
        let Some(&Place { set, rank, .. }) = self.places.get(item as usize) else { return };
        let Some((first, len)) = self.first(set) else { return };
        let left = len.saturating_sub(1);
        let Some(last) = self.member(set, left) else { return };
        self.index.remove(item);
        if last != item {
            self.index.remove(last);
            self.index.insert(self.hash(set, rank), last);
            self.places.get_mut(last as usize).into_iter().for_each(|place| place.rank = rank);
        }
        self.set_len(if first == item { last } else { first }, left);
    }

    fn first(&self, set: Set) -> Option<(u32, u32)> {
        let first = self.member(set, 0)?;
        Some((first, self.places.get(first as usize)?.len))
    }

    fn set_len(&mut self, first: u32, len: u32) {
        self.places.get_mut(first as usize).into_iter().for_each(|place| place.len = len);
    }

    /// A keyed mixer, not a MAC: sets and ranks are given by the table itself, not chosen by strangers, and samples
    /// take dozens of these.
    fn hash(&self, set: Set, rank: u32) -> u64 {
        let mut hash = self.key ^ (u64::from(set.0) << 32 | u64::from(set.1));
        hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 32 ^ u64::from(rank);
        hash = hash.wrapping_mul(0xd6e8_feb8_6659_fd93);
        hash ^= hash >> 32;
        hash.wrapping_mul(0xd6e8_feb8_6659_fd93)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::vec::Vec;

    use super::*;
    use crate::rng::Rng;

    #[test]
    fn agrees_with_a_map_of_vectors_under_random_operations() {
        const ITEMS: u32 = 40;
        let mut storage = RosterStorage::<64>::new();
        let mut roster = Roster::new(&mut storage, ITEMS as usize, HashKey::new([2; 16]));
        let mut model: BTreeMap<Set, Vec<u32>> = BTreeMap::new();
        let mut set_of = BTreeMap::new();
        let mut rng = Rng::new(HashKey::new([3; 16]));
        for step in 0..20_000 {
            let item = rng.below(ITEMS);
            match set_of.remove(&item) {
                Some(set) => {
                    roster.remove(item);
                    let members = model.get_mut(&set).unwrap();
                    let rank = members.iter().position(|&m| m == item).unwrap();
                    members.swap_remove(rank);
                }
                None => {
                    let set = Set(rng.below(3), rng.below(3));
                    roster.push(set, item);
                    model.entry(set).or_default().push(item);
                    set_of.insert(item, set);
                }
            }
            for (&set, members) in &model {
                assert_eq!(roster.len(set) as usize, members.len(), "step {step}");
                for rank in 0..=members.len() {
                    assert_eq!(roster.member(set, rank as u32), members.get(rank).copied(), "step {step}");
                }
            }
        }
    }

    #[test]
    fn hashes_spread_over_the_buckets() {
        let mut storage = RosterStorage::<1>::new();
        let roster = Roster::new(&mut storage, 1, HashKey::new([9; 16]));
        for sets in [1, 64, 4096] {
            let mut buckets = [0u32; 64];
            (0..4096).for_each(|n| buckets[(roster.hash(Set(n % sets, 0), n / sets) >> 58) as usize] += 1);
            let chi_squared: f64 = buckets.iter().map(|&n| (f64::from(n) - 64.0).powi(2) / 64.0).sum();
            assert!(chi_squared < 140.0, "{chi_squared} with 63 degrees of freedom, {sets} sets");
        }
    }
}
