//! Which items of an array are free.

use super::cut;

/// The memory of a [`Pool`] of up to `N` items.
pub(super) struct PoolStorage<const N: usize> {
    next: [u32; N],
}

/// Hands out the items `0..n`. The last one put back is the first one handed out again, and no item is touched before
/// all lower ones are in use: a table that is mostly empty keeps most of its memory untouched.
pub(super) struct Pool<'s> {
    /// The free item after this free one, plus one; 0 for the last.
    next: &'s mut [u32],
    first: u32,
    /// Items from here on have never been taken.
    fresh: u32,
    taken: u32,
}

impl<const N: usize> PoolStorage<N> {
    pub(super) const fn new() -> Self {
        Self { next: [0; N] }
    }
}

impl<'s> Pool<'s> {
    /// A pool of the items `0..n`, all free, in new storage.
    pub(super) fn new<const N: usize>(storage: &'s mut PoolStorage<N>, n: usize) -> Self {
        Self { next: cut(&mut storage.next, n), first: 0, fresh: 0, taken: 0 }
    }

    /// Takes an item, if one is free.
    pub(super) fn take(&mut self) -> Option<u32> {
        let item = match self.first.checked_sub(1) {
            Some(item) => {
                self.first = self.next.get(item as usize).copied()?;
                item
            }
            None => {
                let item = self.fresh;
                self.next.get(item as usize)?;
                self.fresh = item.saturating_add(1);
                item
            }
        };
        self.taken = self.taken.saturating_add(1);
        Some(item)
    }

    /// Puts back `item`, which must have been taken.
    pub(super) fn put_back(&mut self, item: u32) {
        if let Some(next) = self.next.get_mut(item as usize) {
            *next = self.first;
            self.first = item.saturating_add(1);
            self.taken = self.taken.saturating_sub(1);
        }
    }

    /// How many items are taken.
    pub(super) const fn taken(&self) -> usize {
        self.taken as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_handed_out_once() {
        let mut storage = PoolStorage::<8>::new();
        let mut pool = Pool::new(&mut storage, 3);
        assert_eq!([pool.take(), pool.take(), pool.take(), pool.take()], [Some(0), Some(1), Some(2), None]);
        assert_eq!(pool.taken(), 3);
        pool.put_back(0);
        pool.put_back(2);
        assert_eq!([pool.take(), pool.take(), pool.take()], [Some(2), Some(0), None]);
    }
}
