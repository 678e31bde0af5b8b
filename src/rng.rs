//! Randomness and keyed hashing, all from one 32-byte seed that the driver takes from the operating system once.

use core::hash::Hasher;

use siphasher::sip::SipHasher24;

/// What everything unpredictable in one run of the server is derived from.
#[derive(Clone, Copy)]
pub struct Seed(pub [u8; 32]);

/// A SipHash-2-4 key: hashes that outsiders can neither predict nor collide on purpose.
#[derive(Clone, Copy)]
pub struct HashKey([u8; 16]);

impl Seed {
    /// The key for one purpose. Different `purpose` bytes give unrelated keys.
    pub fn key(&self, purpose: u8) -> HashKey {
        HashKey::of_words(self.word(purpose, 0), self.word(purpose, 1))
    }

    /// A seed for one purpose, for what takes a whole one.
    pub fn seed(&self, purpose: u8) -> Self {
        let mut seed = [0; 32];
        let words = (0..4).flat_map(|n| self.word(purpose, n).to_le_bytes());
        seed.iter_mut().zip(words).for_each(|(to, from)| *to = from);
        Self(seed)
    }

    /// Word number `n` of the stream for `purpose`: a SipHash of both under each half of the seed.
    fn word(&self, purpose: u8, n: u8) -> u64 {
        let (low, high) = self.0.split_at(16);
        let half = |bytes: &[u8]| {
            let mut key = [0; 16];
            key.copy_from_slice(bytes);
            HashKey(key).hash(&[purpose, n])
        };
        half(low) ^ half(high).rotate_left(32)
    }
}

impl core::fmt::Debug for Seed {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Seed(..)")
    }
}

impl HashKey {
    /// The key made of these 16 bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    fn of_words(low: u64, high: u64) -> Self {
        Self((u128::from(high) << 64 | u128::from(low)).to_le_bytes())
    }

    /// A new key made from this one and `bytes`.
    pub fn derive(&self, bytes: &[u8]) -> Self {
        Self::of_words(self.hash(bytes), Self(self.0.map(|b| !b)).hash(bytes))
    }

    /// SipHash-2-4 of `bytes`. Same result on every platform.
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(bytes);
        hasher.finish()
    }
}

/// A random number generator: SipHash-2-4 in counter mode, so that seeing outputs tells nothing about other ones.
pub struct Rng {
    key: HashKey,
    counter: u64,
}

impl Rng {
    /// The generator with this key. Equal keys give equal streams.
    pub const fn new(key: HashKey) -> Self {
        Self { key, counter: 0 }
    }

    /// 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(1);
        self.key.hash(&self.counter.to_le_bytes())
    }

    /// A uniform number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        below(bound, || self.next_u64())
    }

    /// A fast generator for the draws of one sample.
    pub fn burst(&mut self) -> Burst {
        Burst(self.next_u64())
    }
}

/// A fast generator (SplitMix64) that starts at one output of an [`Rng`]. What is drawn from it may tell what else is; it
/// tells nothing about any other burst, nor about the generator it comes from.
pub struct Burst(u64);

impl Burst {
    /// A uniform number below `bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        below(bound, || self.next_u64())
    }

    const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }
}

/// Lemire's bounded draw from the upper halves of uniform bits: no modulo bias.
#[expect(clippy::cast_possible_truncation, reason = "the low and the high half of a 64-bit product")]
fn below(bound: u32, mut next_u64: impl FnMut() -> u64) -> u32 {
    let mut product = (next_u64() >> 32) * u64::from(bound);
    if (product as u32) < bound {
        let floor = bound.wrapping_neg().checked_rem(bound).unwrap_or(0);
        while (product as u32) < floor {
            product = (next_u64() >> 32) * u64::from(bound);
        }
    }
    (product >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siphash_matches_its_reference_vector() {
        let key: [u8; 16] = core::array::from_fn(|i| i as u8);
        let message: [u8; 15] = core::array::from_fn(|i| i as u8);
        assert_eq!(HashKey::new(key).hash(&message), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn purposes_have_unrelated_keys() {
        let seed = Seed([7; 32]);
        assert_ne!(seed.key(1).0, seed.key(2).0);
        assert_eq!(seed.key(1).0, Seed([7; 32]).key(1).0);
        assert_ne!(seed.key(1).0, Seed([8; 32]).key(1).0);
    }

    #[test]
    fn splitmix_matches_its_reference_vector() {
        let mut burst = Burst(1_234_567);
        assert_eq!(
            [burst.next_u64(), burst.next_u64()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]
        );
    }

    #[test]
    fn bounded_draws_are_uniform() {
        let mut rng = Rng::new(HashKey::new([3; 16]));
        let mut burst = rng.burst();
        assert_eq!((rng.below(0), rng.below(1), burst.below(0), burst.below(1)), (0, 0, 0, 0));
        assert_uniform(|| rng.below(10));
        assert_uniform(|| burst.below(10));
        let mut rng = Rng::new(HashKey::new([4; 16]));
        assert_uniform(|| rng.burst().below(10));
    }

    fn assert_uniform(mut draw: impl FnMut() -> u32) {
        let mut seen = [0u32; 10];
        for _ in 0..100_000 {
            seen[draw() as usize] += 1;
        }
        let chi_squared: f64 = seen.iter().map(|&n| (f64::from(n) - 10_000.0).powi(2) / 10_000.0).sum();
        assert!(chi_squared < 45.0, "{chi_squared} with 9 degrees of freedom: {seen:?}");
    }
}
