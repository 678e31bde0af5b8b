//! Things that exist while they have members: networks, and address prefixes.

use super::cut;
use super::index::{Index, IndexStorage, Tag};
use super::part::Part;
use super::pool::{Free, Pool};
use super::ranking::Rank;

/// The memory of a [`Directory`] of up to `N` things with keys of type `K`.
pub(super) struct DirectoryStorage<K, X, const N: usize> {
    index: IndexStorage<N>,
    entries: [Entry<K, X>; N],
}

/// The row of one thing.
#[derive(Clone, Copy)]
pub(super) struct Entry<K, X> {
    key: K,
    tag: Tag,
    members: u32,
    free: Free,
    /// What other components keep about it.
    extra: X,
}

/// Counts members by key. A thing comes with its first member and goes with its last, so there are never more things
/// than members. It keeps its number, below the capacity, while it exists.
pub(super) struct Directory<'s, K, X = ()> {
    index: Index<'s>,
    pool: Pool,
    entries: &'s mut [Entry<K, X>],
}

impl<K, X> Part<Free> for Entry<K, X> {
    fn part(&self) -> &Free {
        &self.free
    }

    fn part_mut(&mut self) -> &mut Free {
        &mut self.free
    }
}

impl<K> Part<Rank> for Entry<K, Rank> {
    fn part(&self) -> &Rank {
        &self.extra
    }

    fn part_mut(&mut self) -> &mut Rank {
        &mut self.extra
    }
}

impl<K: Copy, X: Copy, const N: usize> DirectoryStorage<K, X, N> {
    /// New storage; `zero` is any key, and `extra` the start of any extra part, whose bytes are all zero.
    pub(super) const fn new(zero: K, extra: X) -> Self {
        let entry = Entry { key: zero, tag: Tag::ZERO, members: 0, free: Free::LAST, extra };
        Self { index: IndexStorage::new(), entries: [entry; N] }
    }
}

impl<'s, K: Copy + PartialEq, X> Directory<'s, K, X> {
    /// An empty directory with room for `n` things in new storage.
    pub(super) fn new<const N: usize>(storage: &'s mut DirectoryStorage<K, X, N>, n: usize) -> Self {
        Self {
            index: Index::new(&mut storage.index, n),
            pool: Pool::new(),
            entries: cut(&mut storage.entries, n),
        }
    }

    /// How many things there are.
    pub(super) const fn len(&self) -> usize {
        self.pool.taken()
    }

    /// The thing with this key. `tag` must be the key's, and keyed.
    pub(super) fn find(&self, tag: Tag, key: K) -> Option<u32> {
        self.index.find(tag, |item| self.key(item) == Some(key))
    }

    /// Adds a member to the thing with this key. `None` if that would be a new thing and there is no room.
    pub(super) fn join(&mut self, tag: Tag, key: K) -> Option<u32> {
        if let Some(item) = self.find(tag, key) {
            let entry = self.entries.get_mut(item as usize)?;
            entry.members = entry.members.saturating_add(1);
            return Some(item);
        }
        let item = self.pool.take(self.entries)?;
        let entry = self.entries.get_mut(item as usize)?;
        (entry.key, entry.tag, entry.members) = (key, tag, 1);
        self.index.insert(tag, item);
        Some(item)
    }

    /// Takes a member from `item`, a thing that exists.
    pub(super) fn leave(&mut self, item: u32) {
        let Some(entry) = self.entries.get_mut(item as usize) else { return };
        entry.members = entry.members.saturating_sub(1);
        if entry.members == 0 {
            self.index.remove(entry.tag, item);
            self.pool.put_back(self.entries, item);
        }
    }

    /// Has what leads to the thing with this tag fetched into the cache, without waiting for it.
    pub(super) fn touch(&self, tag: Tag) {
        self.index.touch(tag);
    }

    /// Has what a change of `item` looks at fetched into the cache, without waiting for it.
    pub(super) fn touch_item(&self, item: u32) {
        self.entries.get(item as usize).into_iter().for_each(|entry| self.index.touch(entry.tag));
    }

    /// The key of `item`.
    pub(super) fn key(&self, item: u32) -> Option<K> {
        self.entries.get(item as usize).map(|entry| entry.key)
    }

    /// How many members `item` has.
    pub(super) fn members(&self, item: u32) -> u32 {
        self.entries.get(item as usize).map_or(0, |entry| entry.members)
    }

    /// What another component keeps about `item`.
    pub(super) fn extra(&self, item: u32) -> Option<&X> {
        self.entries.get(item as usize).map(|entry| &entry.extra)
    }

    /// What another component keeps about `item`, to be changed.
    pub(super) fn extra_mut(&mut self, item: u32) -> Option<&mut X> {
        self.entries.get_mut(item as usize).map(|entry| &mut entry.extra)
    }

    /// The rows of all things.
    pub(super) const fn rows(&self) -> &[Entry<K, X>] {
        self.entries
    }

    /// The rows of all things, for what other components keep there.
    pub(super) const fn rows_mut(&mut self) -> &mut [Entry<K, X>] {
        self.entries
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::rng::{HashKey, Rng};

    #[test]
    fn agrees_with_a_map_of_counts_under_random_operations() {
        let key = HashKey::new([4; 16]);
        let tag = |n: u64| Tag::of(key.hash(&n.to_be_bytes()));
        let mut storage = DirectoryStorage::<u64, (), 16>::new(0, ());
        let mut directory = Directory::new(&mut storage, 10);
        let mut model: BTreeMap<u64, u32> = BTreeMap::new();
        let mut rng = Rng::new(HashKey::new([5; 16]));
        for _ in 0..20_000 {
            let thing = u64::from(rng.below(14));
            if rng.below(2) == 0 {
                let joined = directory.join(tag(thing), thing).is_some();
                assert_eq!(joined, model.contains_key(&thing) || model.len() < 10);
                if joined {
                    *model.entry(thing).or_default() += 1;
                }
            } else if let Some(item) = directory.find(tag(thing), thing) {
                directory.leave(item);
                *model.get_mut(&thing).unwrap() -= 1;
                model.retain(|_, &mut members| members > 0);
            }
            assert_eq!(directory.len(), model.len());
            for thing in 0..14 {
                let found = directory.find(tag(thing), thing);
                assert_eq!(found.map(|item| directory.members(item)), model.get(&thing).copied());
                assert_eq!(found.and_then(|item| directory.key(item)), found.map(|_| thing));
            }
        }
    }
}
