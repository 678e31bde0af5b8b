//! Whom we have pinged lately, in fixed memory.

use crate::limits::PING_AGAIN_S;
use crate::rng::HashKey;
use crate::time::Instant;

/// Bits of one generation. One endpoint in three at most is taken for another and waits for the next generation: while
/// forged queries keep us pinging at full pace, 14,400 bits of each are set in the end.
const BITS: usize = 65_536;
const WORDS: usize = BITS / 32;

/// The memory of [`Asked`]. All zero when new.
pub(super) struct AskedStorage([[u32; WORDS]; 2]);

impl AskedStorage {
    /// Nobody has been asked.
    pub(super) const fn new() -> Self {
        Self([[0; WORDS]; 2])
    }
}

/// Keyed hashes of endpoints, each for one to two times [`PING_AGAIN_S`]: nobody can make us ping an endpoint again before
/// that, however it forges its queries.
pub(super) struct Asked<'s> {
    /// The current generation, and the one before.
    generations: &'s mut [[u32; WORDS]; 2],
    key: HashKey,
    began: Instant,
}

impl<'s> Asked<'s> {
    pub(super) const fn new(storage: &'s mut AskedStorage, key: HashKey) -> Self {
        Self { generations: &mut storage.0, key, began: Instant::START }
    }

    /// Begins a new generation when the current one is old enough.
    pub(super) fn tick(&mut self, now: Instant) {
        if now.s_since(self.began) < u64::from(PING_AGAIN_S) {
            return;
        }
        self.began = now;
        self.generations.swap(0, 1);
        let [current, _] = self.generations;
        current.fill(0);
    }

    /// Whether the endpoint was noted lately.
    pub(super) fn has(&self, endpoint: &[u8; 18]) -> bool {
        let (word, bit) = self.place(endpoint);
        self.generations.iter().any(|words| words.get(word).is_some_and(|word| word & bit != 0))
    }

    /// Notes an endpoint.
    pub(super) fn note(&mut self, endpoint: &[u8; 18]) {
        let (word, bit) = self.place(endpoint);
        let [current, _] = self.generations;
        current.get_mut(word).into_iter().for_each(|word| *word |= bit);
    }

    fn place(&self, endpoint: &[u8; 18]) -> (usize, u32) {
        let [a, b, c, ..] = self.key.hash(endpoint).to_be_bytes();
        let word = usize::from(u16::from_be_bytes([a, b])) % WORDS;
        (word, 1_u32.wrapping_shl(c.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::boxed::Box;

    use super::*;

    fn endpoint(n: u16) -> [u8; 18] {
        let mut bytes = [7; 18];
        bytes[16..].copy_from_slice(&n.to_be_bytes());
        bytes
    }

    #[test]
    fn nobody_is_asked_twice_in_a_quarter_of_an_hour() {
        let mut storage = Box::new(AskedStorage::new());
        let mut asked = Asked::new(&mut storage, HashKey::new([3; 16]));
        let quarter = u64::from(PING_AGAIN_S);
        for start_s in [0, 3 * quarter - 1, quarter * 13 / 2] {
            asked.tick(Instant::from_s(start_s));
            asked.note(&endpoint(1));
            for later_s in 0..quarter {
                asked.tick(Instant::from_s(start_s + later_s));
                assert!(asked.has(&endpoint(1)), "{start_s} + {later_s}");
            }
            for later_s in quarter..=2 * quarter {
                asked.tick(Instant::from_s(start_s + later_s));
            }
            assert!(!asked.has(&endpoint(1)));
        }
    }

    #[test]
    fn few_are_taken_for_others() {
        let mut storage = Box::new(AskedStorage::new());
        let mut asked = Asked::new(&mut storage, HashKey::new([3; 16]));
        (0..4000).for_each(|n| asked.note(&endpoint(n)));
        let mistaken = (10_000..20_000).filter(|&n| asked.has(&endpoint(n))).count();
        assert!((400..800).contains(&mistaken), "{mistaken} of 10,000, where 4,000 of 65,536 bits are set");
    }
}
