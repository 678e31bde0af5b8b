//! SHA-256 (FIPS 180-4), of parts that lie anywhere: one function for the whole program, as each use of the library's would be
//! a copy of it.

use sha2::{Digest, Sha256};

/// SHA-256 of `parts`, one after the other.
#[inline(never)]
pub fn digest(parts: &[&[u8]]) -> [u8; 32] {
    #[cfg(test)]
    HASHES.set(HASHES.get() + 1);
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}

#[cfg(test)]
std::thread_local! {
    /// How often this thread has hashed, so that tests see what a refusal costs.
    pub(crate) static HASHES: core::cell::Cell<u32> = const { core::cell::Cell::new(0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_hashed_as_one() {
        let expected = crate::wire::hex::decode::<32>(
            b"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        );
        assert_eq!(Some(digest(&[b"abc"])), expected);
        assert_eq!(Some(digest(&[b"", b"a", b"bc"])), expected);
    }
}
