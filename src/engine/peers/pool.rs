//! Which rows of a table are free.

use super::part::Part;

/// The part of a free row that leads to the next free one: its number plus one; 0 in the last.
#[derive(Clone, Copy)]
pub(super) struct Free(u32);

/// Hands out rows. The last one put back is the first one handed out again, and no row is touched before all lower ones
/// are in use: a table that is mostly empty keeps most of its memory untouched.
pub(super) struct Pool {
    /// The first free row that has been taken before: its number plus one.
    first: u32,
    /// Rows from here on have never been taken.
    fresh: u32,
    taken: u32,
}

impl Free {
    /// Of the last free row.
    pub(super) const LAST: Self = Self(0);
}

impl Pool {
    /// All rows are free.
    pub(super) const fn new() -> Self {
        Self { first: 0, fresh: 0, taken: 0 }
    }

    /// Takes a row, if one is free.
    pub(super) fn take<R: Part<Free>>(&mut self, rows: &[R]) -> Option<u32> {
        let row = match self.first.checked_sub(1) {
            Some(row) => {
                self.first = rows.get(row as usize)?.part().0;
                row
            }
            None => {
                let row = self.fresh;
                rows.get(row as usize)?;
                self.fresh = row.saturating_add(1);
                row
            }
        };
        self.taken = self.taken.saturating_add(1);
        Some(row)
    }

    /// Puts back a row, which must have been taken.
    pub(super) fn put_back<R: Part<Free>>(&mut self, rows: &mut [R], row: u32) {
        if let Some(place) = rows.get_mut(row as usize) {
            *place.part_mut() = Free(self.first);
            self.first = row.saturating_add(1);
            self.taken = self.taken.saturating_sub(1);
        }
    }

    /// How many rows are taken.
    pub(super) const fn taken(&self) -> usize {
        self.taken as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::peers::part::parts;

    #[derive(Clone, Copy)]
    struct Row {
        free: Free,
    }

    parts!(Row { free: Free });

    #[test]
    fn every_row_is_handed_out_once() {
        let rows = &mut [Row { free: Free::LAST }; 3];
        let mut pool = Pool::new();
        let taken = [pool.take(rows), pool.take(rows), pool.take(rows), pool.take(rows)];
        assert_eq!((taken, pool.taken()), ([Some(0), Some(1), Some(2), None], 3));
        pool.put_back(rows, 0);
        pool.put_back(rows, 2);
        assert_eq!([pool.take(rows), pool.take(rows), pool.take(rows)], [Some(2), Some(0), None]);
    }
}
