//! A hash index over numbered items, for tables whose items lie in arrays.
//!
//! Chained: `n` buckets for items `0..n`, so that chains stay short however full the table is, and nothing is ever
//! moved or rebuilt. What the hash is made of is the owner's business; it must be keyed.

use super::cut;

/// The memory of an [`Index`] of up to `N` items. A link is the item's number plus one; 0 ends a chain.
pub(super) struct IndexStorage<const N: usize> {
    heads: [u32; N],
    nodes: [Node; N],
}

/// Where an item hangs.
#[derive(Clone, Copy)]
struct Node {
    next: u32,
    /// Part of the item's hash: it names the bucket, and saves looking at most other items of a chain.
    tag: u32,
}

/// Finds items by hash.
pub(super) struct Index<'s> {
    heads: &'s mut [u32],
    nodes: &'s mut [Node],
}

impl<const N: usize> IndexStorage<N> {
    pub(super) const fn new() -> Self {
        Self { heads: [0; N], nodes: [Node { next: 0, tag: 0 }; N] }
    }
}

impl<'s> Index<'s> {
    /// An empty index of the items `0..n` in new storage.
    pub(super) fn new<const N: usize>(storage: &'s mut IndexStorage<N>, n: usize) -> Self {
        Self { heads: cut(&mut storage.heads, n), nodes: cut(&mut storage.nodes, n) }
    }

    /// The item with this hash that `is_it`.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let tag = tag(hash);
        let mut link = self.heads.get(self.bucket(tag)).copied()?;
        while let Some(item) = link.checked_sub(1) {
            let node = self.nodes.get(item as usize)?;
            if node.tag == tag && is_it(item) {
                return Some(item);
            }
            link = node.next;
        }
        None
    }

    /// Adds `item`, which must not be in the index.
    pub(super) fn insert(&mut self, hash: u64, item: u32) {
        let tag = tag(hash);
        let bucket = self.bucket(tag);
        if let (Some(head), Some(node)) = (self.heads.get_mut(bucket), self.nodes.get_mut(item as usize)) {
            *node = Node { next: *head, tag };
            *head = item.saturating_add(1);
        }
    }

    /// Takes `item` out.
    pub(super) fn remove(&mut self, item: u32) {
        let Some(&node) = self.nodes.get(item as usize) else { return };
        let bucket = self.bucket(node.tag);
        let Some(&head) = self.heads.get(bucket) else { return };
        if head.checked_sub(1) == Some(item) {
            self.heads.get_mut(bucket).into_iter().for_each(|head| *head = node.next);
            return;
        }
        let mut link = head;
        while let Some(before) = link.checked_sub(1).and_then(|before| self.nodes.get_mut(before as usize)) {
            if before.next.checked_sub(1) == Some(item) {
                before.next = node.next;
                return;
            }
            link = before.next;
        }
    }

    /// The bucket of `tag`: multiply and shift, which needs no power of two.
    fn bucket(&self, tag: u32) -> usize {
        let buckets = u64::try_from(self.heads.len()).unwrap_or(0);
        usize::try_from(u64::from(tag).saturating_mul(buckets) >> 32).unwrap_or(0)
    }
}

/// The upper half of the hash.
const fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::rng::{HashKey, Rng};

    #[test]
    fn agrees_with_a_map_under_random_operations() {
        let mut storage = IndexStorage::<64>::new();
        let mut index = Index::new(&mut storage, 50);
        let mut model = BTreeMap::new();
        let mut rng = Rng::new(HashKey::new([1; 16]));
        for _ in 0..20_000 {
            let item = rng.below(50);
            if model.remove(&item).is_some() {
                index.remove(item);
            } else {
                // Few distinct hashes, so that chains are long and tags are shared.
                let hash = u64::from(rng.below(8)) << 61;
                index.insert(hash, item);
                model.insert(item, hash);
            }
            let asked = rng.below(50);
            let hash = u64::from(rng.below(8)) << 61;
            let found = index.find(hash, |item| item == asked);
            assert_eq!(found, (model.get(&asked) == Some(&hash)).then_some(asked));
        }
    }

    #[test]
    fn a_tag_alone_is_no_proof() {
        let mut storage = IndexStorage::<4>::new();
        let mut index = Index::new(&mut storage, 4);
        index.insert(7 << 32, 0);
        index.insert(7 << 32, 1);
        assert_eq!(index.find(7 << 32, |item| item == 0), Some(0));
        assert_eq!(index.find(7 << 32, |item| item == 2), None);
        assert_eq!(index.find(8 << 32, |_| true), None);
    }
}
