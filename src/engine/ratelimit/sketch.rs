//! A count-min sketch with conservative update: what it says of a key is never too low, and seldom too high.

use crate::rng::HashKey;

/// Rows of a sketch. The chance that a stranger shares all its cells falls with the power of this.
const ROWS: usize = 3;
/// Bits of a hash that choose a cell in one row; three times this fits a hash.
const BITS: u32 = 21;

/// The memory of a sketch.
pub(super) struct Rows<const CELLS: usize>([[u32; CELLS]; ROWS]);

/// Moments when the next request of a key is due, in microseconds since the last reset.
pub(super) struct Sketch<'s> {
    rows: [&'s mut [u32]; ROWS],
    key: HashKey,
    /// Whether a cell may be other than zero: memory that was never used is never touched.
    dirty: bool,
}

/// The cells of one key: a place in each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cells([usize; ROWS]);

impl<const CELLS: usize> Rows<CELLS> {
    /// All zero.
    pub(super) const fn new() -> Self {
        const { assert!(CELLS >= 1 && CELLS <= 1 << 16) };
        Self([[0; CELLS]; ROWS])
    }
}

impl<'s> Sketch<'s> {
    /// An empty sketch in new memory.
    pub(super) fn new<const CELLS: usize>(rows: &'s mut Rows<CELLS>, key: HashKey) -> Self {
        Self { rows: rows.0.each_mut().map(|row| &mut row[..]), key, dirty: false }
    }

    /// The cells of what was hashed from `input`.
    pub(super) fn cells(&self, input: &[u8]) -> Cells {
        let hash = self.key.hash(input);
        let mut cells = [0; ROWS];
        for ((cell, row), shift) in cells.iter_mut().zip(&self.rows).zip([0, BITS, 2 * BITS]) {
            let draw = hash.wrapping_shr(shift) & ((1 << BITS) - 1);
            let cells_in_row = u64::try_from(row.len()).unwrap_or(0);
            // A draw of 21 bits times at most 2^16 cells, scaled back: below the number of cells.
            *cell = usize::try_from(draw.saturating_mul(cells_in_row) >> BITS).unwrap_or(0);
        }
        Cells(cells)
    }

    /// When the next request of the key with these cells is due: the least of them, for each may be shared with others
    /// that ask more often.
    pub(super) fn due_us(&self, cells: Cells) -> u64 {
        let values = self.rows.iter().zip(cells.0).filter_map(|(row, cell)| row.get(cell));
        values.min().copied().map_or(0, u64::from)
    }

    /// Notes that the next request is due at `due_us`. Cells that say so already, or more, stay as they are.
    pub(super) fn raise(&mut self, cells: Cells, due_us: u64) {
        let due_us = u32::try_from(due_us).unwrap_or(u32::MAX);
        self.dirty = true;
        for (row, cell) in self.rows.iter_mut().zip(cells.0) {
            if let Some(value) = row.get_mut(cell) {
                *value = due_us.max(*value);
            }
        }
    }

    /// Forgets everything, and goes on with another key.
    pub(super) fn reset(&mut self, key: HashKey) {
        self.key = key;
        if self.dirty {
            self.rows.iter_mut().for_each(|row| row.fill(0));
            self.dirty = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_keys_give_different_cells() {
        let (mut a, mut b) = (Rows::<4096>::new(), Rows::<4096>::new());
        let a = Sketch::new(&mut a, HashKey::new([1; 16]));
        let b = Sketch::new(&mut b, HashKey::new([2; 16]));
        let same = (0..1000u32).filter(|n| a.cells(&n.to_be_bytes()) == b.cells(&n.to_be_bytes())).count();
        assert_eq!(same, 0);
        assert_eq!(a.cells(b"x"), a.cells(b"x"));
    }

    #[test]
    fn every_cell_is_used_alike() {
        let mut rows = Rows::<256>::new();
        let sketch = Sketch::new(&mut rows, HashKey::new([3; 16]));
        let mut used = [[0u32; 256]; ROWS];
        for n in 0..100_000u32 {
            let Cells(cells) = sketch.cells(&n.to_be_bytes());
            used.iter_mut().zip(cells).for_each(|(row, cell)| row[cell] += 1);
        }
        for row in used {
            let expected = 100_000.0 / 256.0;
            let chi_squared: f64 = row.iter().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum();
            assert!(chi_squared < 370.0, "{chi_squared} with 255 degrees of freedom");
        }
    }

    #[test]
    fn the_least_cell_counts_and_none_is_lowered() {
        let mut rows = Rows::<16>::new();
        let mut sketch = Sketch::new(&mut rows, HashKey::new([4; 16]));
        sketch.raise(Cells([1, 2, 3]), 70);
        sketch.raise(Cells([1, 2, 4]), 50);
        assert_eq!(sketch.due_us(Cells([1, 2, 3])), 70);
        assert_eq!(sketch.due_us(Cells([1, 2, 4])), 50);
        assert_eq!(sketch.due_us(Cells([5, 2, 3])), 0);
        sketch.raise(Cells([1, 2, 3]), u64::MAX);
        assert_eq!(sketch.due_us(Cells([1, 2, 3])), u64::from(u32::MAX));
        sketch.reset(HashKey::new([5; 16]));
        assert_eq!(sketch.due_us(Cells([1, 2, 3])), 0);
    }
}
