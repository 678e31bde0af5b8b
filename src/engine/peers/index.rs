//! A hash index over numbered items, for tables whose items lie in arrays.
//!
//! Open addressing with linear probing, two cells for an item: a search reads one or two cache lines however full the
//! table is, and nothing is ever rebuilt. Cells hold tags, so that a search looks at hardly any item but the right
//! one. What the hash is made of is the owner's business; it must be keyed.

use core::hint::black_box;

use super::cut;

/// The memory of an [`Index`] of up to `N` items.
pub(super) struct IndexStorage<const N: usize> {
    cells: [[Cell; 2]; N],
}

/// The part of an item's hash that an index goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag(pub(super) u32);

#[derive(Clone, Copy)]
struct Cell {
    tag: Tag,
    /// The item's number plus one; 0 in an empty cell.
    link: u32,
}

/// Finds items by hash.
pub(super) struct Index<'s> {
    cells: &'s mut [Cell],
}

impl Tag {
    /// All bits zero.
    pub(super) const ZERO: Self = Self(0);

    /// The tag of a hash.
    pub(super) const fn of(hash: u64) -> Self {
        Self((hash >> 32) as u32)
    }
}

impl Cell {
    const EMPTY: Self = Self { tag: Tag::ZERO, link: 0 };
}

impl<const N: usize> IndexStorage<N> {
    pub(super) const fn new() -> Self {
        Self { cells: [[Cell::EMPTY; 2]; N] }
    }
}

impl<'s> Index<'s> {
    /// An empty index of the items `0..n` in new storage.
    pub(super) fn new<const N: usize>(storage: &'s mut IndexStorage<N>, n: usize) -> Self {
        Self { cells: cut(&mut storage.cells, n).as_flattened_mut() }
    }

    /// The item with this tag that `is_it`.
    pub(super) fn find(&self, tag: Tag, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.home(tag);
        loop {
            let cell = self.cell(at);
            let item = cell.link.checked_sub(1)?;
            if cell.tag == tag && is_it(item) {
                return Some(item);
            }
            at = self.after(at);
        }
    }

    /// Adds `item`, which must not be in the index.
    pub(super) fn insert(&mut self, tag: Tag, item: u32) {
        let mut at = self.home(tag);
        // Half of the cells are always empty.
        while self.cell(at).link != 0 {
            at = self.after(at);
        }
        self.set(at, Cell { tag, link: item.saturating_add(1) });
    }

    /// Takes `item` out, which must have been inserted with this tag.
    pub(super) fn remove(&mut self, tag: Tag, item: u32) {
        let mut hole = self.home(tag);
        while self.cell(hole).link.checked_sub(1) != Some(item) {
            if self.cell(hole).link == 0 {
                return;
            }
            hole = self.after(hole);
        }
        // Cells up to the next empty one move back, unless that would put them before their home.
        let mut at = self.after(hole);
        while self.cell(at).link != 0 {
            let home = self.home(self.cell(at).tag);
            if self.distance(home, at) >= self.distance(hole, at) {
                self.set(hole, self.cell(at));
                hole = at;
            }
            at = self.after(at);
        }
        self.set(hole, Cell::EMPTY);
    }

    /// Has the cells for `tag` fetched into the cache, without waiting for them.
    pub(super) fn touch(&self, tag: Tag) {
        black_box(self.cell(self.home(tag)).link);
    }

    /// Where the search for `tag` begins: multiply and shift, which needs no power of two.
    fn home(&self, tag: Tag) -> usize {
        let cells = u64::try_from(self.cells.len()).unwrap_or(0);
        usize::try_from(u64::from(tag.0).saturating_mul(cells) >> 32).unwrap_or(0)
    }

    fn after(&self, at: usize) -> usize {
        let after = at.saturating_add(1);
        if after < self.cells.len() { after } else { 0 }
    }

    /// Steps from one cell on to another.
    fn distance(&self, from: usize, to: usize) -> usize {
        let around = if from <= to { 0 } else { self.cells.len() };
        to.saturating_add(around).saturating_sub(from)
    }

    fn cell(&self, at: usize) -> Cell {
        self.cells.get(at).copied().unwrap_or(Cell::EMPTY)
    }

    fn set(&mut self, at: usize, cell: Cell) {
        self.cells.get_mut(at).into_iter().for_each(|place| *place = cell);
    }
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
        // Few distinct hashes, so that runs of cells are long, go around the end, and share tags.
        let mut hashes = Rng::new(HashKey::new([2; 16]));
        let mut tag = || Tag::of(u64::from(hashes.below(12) * 3 + 220) << 56);
        for _ in 0..4_000 {
            let item = rng.below(50);
            if let Some(tag) = model.remove(&item) {
                index.remove(tag, item);
            } else {
                let tag = tag();
                index.insert(tag, item);
                model.insert(item, tag);
            }
            for (&item, &tag) in &model {
                assert_eq!(index.find(tag, |found| found == item), Some(item));
            }
            let (asked, tag) = (rng.below(50), tag());
            let found = index.find(tag, |item| item == asked);
            assert_eq!(found, (model.get(&asked) == Some(&tag)).then_some(asked));
        }
    }

    #[test]
    fn a_full_index_finds_everything() {
        let key = HashKey::new([3; 16]);
        let tag = |item: u32| Tag::of(key.hash(&item.to_be_bytes()));
        let mut storage = IndexStorage::<1000>::new();
        let mut index = Index::new(&mut storage, 1000);
        (0..1000).for_each(|item| index.insert(tag(item), item));
        assert!((0..1000).all(|item| index.find(tag(item), |found| found == item) == Some(item)));
        assert!((1000..2000).all(|item| index.find(tag(item), |found| found == item).is_none()));
        (0..1000).for_each(|item| index.remove(tag(item), item));
        assert!(index.cells.iter().all(|cell| cell.link == 0));
    }
}
