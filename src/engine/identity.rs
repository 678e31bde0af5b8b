//! The server's key: who it is, and how it signs what it says.

use ed25519_compact::{KeyPair, PublicKey, Seed, Signature};

use super::ratelimit::Gate;
use crate::id::first_20;
use crate::limits::{MAX_NONCE_BYTES, SIGNED_REPLIES_AT_ONCE, SIGNED_REPLIES_PER_S};
use crate::record::{KEY_BYTES, SIG_BYTES, Seal, put_key, put_sig};
use crate::time::Instant;
use crate::wire::{Full, Writer, hex, sha256};

/// What signed replies begin with, so that a signature is good for nothing else.
const DOMAIN: &[u8] = b"waypost-reply-1\0";
/// The most that is signed.
const SIGNED_BYTES: usize = DOMAIN.len() + MAX_NONCE_BYTES + 32;

/// What an [`Identity`] is made of: 32 bytes that nobody else may know.
#[derive(Clone, Copy)]
pub struct Secret(pub [u8; 32]);

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What a client sends to be sure that an answer is not an old one: 8 to 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce {
    bytes: [u8; MAX_NONCE_BYTES],
    len: usize,
}

/// The signature of a reply, and the key that made it.
#[derive(Clone, Copy, Debug)]
pub struct ReplySignature {
    key: [u8; KEY_BYTES],
    sig: [u8; SIG_BYTES],
}

/// The server's key pair, made when it is first needed.
pub(super) struct Identity {
    secret: Secret,
    made: core::cell::OnceCell<Made>,
    gate: Gate,
}

struct Made {
    pair: KeyPair,
    bootstrap_id: [u8; 20],
}

impl Nonce {
    /// Takes `text` as a nonce. `None` if it is not 16 to 64 hex digits, an even number of them.
    pub fn parse(text: &str) -> Option<Self> {
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
        if !(crate::limits::MIN_NONCE_BYTES..=MAX_NONCE_BYTES).contains(&pairs.len()) {
            return None;
        }
        let mut nonce = Self { bytes: [0; MAX_NONCE_BYTES], len: pairs.len() };
        for (byte, pair) in nonce.bytes.iter_mut().zip(pairs) {
            [*byte] = hex::decode(pair)?;
        }
        Some(nonce)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl ReplySignature {
    /// Takes `text` as the value of a header field. `None` if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (key, sig) = text.strip_prefix("key=")?.split_once(", sig=")?;
        let seal = Seal::parse(key, 0, sig)?;
        Some(Self { key: seal.key, sig: seal.sig })
    }

    /// The key that made it, which whoever made it says: is it the one that is expected?
    pub const fn key(&self) -> &[u8; KEY_BYTES] {
        &self.key
    }

    /// Whether its key made it, for a reply with this body to who has sent `nonce`.
    pub fn verify(&self, nonce: &Nonce, body: &[u8]) -> bool {
        let mut bytes = [0; SIGNED_BYTES];
        let mut writer = Writer::new(&mut bytes);
        put_signed(nonce, body, &mut writer).is_ok()
            && PublicKey::new(self.key).verify(writer.written(), &Signature::new(self.sig)).is_ok()
    }

    /// Writes it as the value of a header field.
    ///
    /// # Errors
    /// [`Full`] if it does not fit.
    pub fn emit(&self, out: &mut Writer<'_>) -> Result<(), Full> {
        out.put_str("key=")?;
        put_key(&self.key, out)?;
        out.put_str(", sig=")?;
        put_sig(&self.sig, out)
    }
}

impl Identity {
    pub(super) fn new(secret: Secret) -> Self {
        let gate = Gate::per_second(SIGNED_REPLIES_PER_S, SIGNED_REPLIES_AT_ONCE);
        Self { secret, made: core::cell::OnceCell::new(), gate }
    }

    /// The public key.
    pub(super) fn key(&self) -> [u8; KEY_BYTES] {
        *self.made().pair.pk
    }

    /// The server's id: the first 20 bytes of SHA-256 of its public key.
    pub(super) fn bootstrap_id(&self) -> [u8; 20] {
        self.made().bootstrap_id
    }

    /// Asks whether one more reply may be signed now.
    ///
    /// # Errors
    /// After how many seconds it may.
    pub(super) fn may_sign(&mut self, now: Instant) -> Result<(), u32> {
        self.gate.pass(now)
    }

    /// Signs a reply with this body to a client that has sent `nonce`.
    #[inline(never)]
    pub(super) fn sign(&self, nonce: &Nonce, body: &[u8]) -> ReplySignature {
        let mut bytes = [0; SIGNED_BYTES];
        let mut writer = Writer::new(&mut bytes);
        // There is room for the longest nonce.
        let _ = put_signed(nonce, body, &mut writer);
        let Made { pair, .. } = self.made();
        ReplySignature { key: *pair.pk, sig: *pair.sk.sign(writer.written(), None) }
    }

    #[inline(never)]
    fn made(&self) -> &Made {
        self.made.get_or_init(|| {
            let pair = key_pair(self.secret.0);
            let bootstrap_id = first_20(&sha256::digest(&[&*pair.pk]));
            Made { pair, bootstrap_id }
        })
    }
}

/// The key pair of a seed. One of nothing but zeros, which no generator gives, is hashed first.
fn key_pair(mut seed: [u8; 32]) -> KeyPair {
    loop {
        match KeyPair::try_from_seed(Seed::new(seed)) {
            Ok(pair) => return pair,
            Err(_) => seed = sha256::digest(&[&seed]),
        }
    }
}

/// Writes the bytes that the signature of a reply covers: `waypost-reply-1` and a zero byte, the nonce, and SHA-256 of the
/// body.
///
/// # Errors
/// [`Full`] if they do not fit.
pub fn put_signed(nonce: &Nonce, body: &[u8], out: &mut Writer<'_>) -> Result<(), Full> {
    out.put(DOMAIN)?;
    out.put(nonce.as_bytes())?;
    out.put(&sha256::digest(&[body]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity::new(Secret(core::array::from_fn(|n| n as u8)))
    }

    #[test]
    fn the_id_is_made_of_the_key() {
        let hex: std::string::String =
            identity().bootstrap_id().iter().map(|byte| std::format!("{byte:02x}")).collect();
        assert_eq!(hex, "56475aa75463474c0285df5dbf2bcab73da65135");
    }

    #[test]
    fn a_secret_of_zeros_makes_a_key() {
        let identity = Identity::new(Secret([0; 32]));
        assert_ne!(identity.key(), [0; 32]);
    }

    /// The reply of docs/signatures.md.
    #[test]
    fn golden_bytes() {
        let document = include_str!("../../docs/signatures.md");
        let document: std::string::String = document.split_whitespace().collect();
        let (nonce, body) = (Nonce::parse("00112233445566778899aabbccddeeff").unwrap(), br#"{"peers":[]}"#);
        let mut bytes = [0; 128];
        let mut writer = Writer::new(&mut bytes);
        put_signed(&nonce, body, &mut writer).unwrap();
        let signature = identity().sign(&nonce, body);
        for golden in [writer.written(), &signature.key, &signature.sig] {
            let digits: std::string::String =
                golden.iter().flat_map(|&byte| hex::encode(byte)).map(char::from).collect();
            assert!(document.contains(&digits), "docs/signatures.md lacks {digits}");
        }
    }

    #[test]
    fn nonces_have_a_length() {
        for digits in (16..=64).step_by(2) {
            let text = "0123456789abcdefABCDEF0123456789".repeat(2);
            let nonce = Nonce::parse(&text[..digits]).unwrap();
            assert_eq!(nonce.as_bytes().len(), digits / 2);
            assert_eq!(nonce.as_bytes()[..8], [1, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]);
        }
        for text in ["", "0123456789abcd", "0123456789abcdef0", "0123456789abcdeg", &"0".repeat(66)] {
            assert_eq!(Nonce::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_signature_is_good_for_one_nonce_and_one_body() {
        let (identity, nonce) = (identity(), Nonce::parse("0011223344556677").unwrap());
        let signed = identity.sign(&nonce, b"body");
        let mut text = [0; 256];
        let mut writer = Writer::new(&mut text);
        signed.emit(&mut writer).unwrap();
        let text = core::str::from_utf8(writer.written()).unwrap();
        let read = ReplySignature::parse(text).unwrap();
        assert_eq!(*read.key(), signed.key);
        for end in 0..text.len() {
            assert!(ReplySignature::parse(&text[..end]).is_none());
        }
        let verifies = |nonce: &str, body: &[u8]| read.verify(&Nonce::parse(nonce).unwrap(), body);
        assert!(verifies("0011223344556677", b"body"));
        assert!(!verifies("0011223344556678", b"body"));
        assert!(!verifies("001122334455667700", b"body"));
        assert!(!verifies("0011223344556677", b"bodY"));
    }

    #[test]
    fn signing_is_limited() {
        let mut identity = identity();
        let mut signed =
            |ms: u64| (0..1000).take_while(|_| identity.may_sign(Instant::from_ms(ms)).is_ok()).count();
        assert_eq!([0, 99, 100, 1_100, 100_000].map(&mut signed), [30, 0, 1, 10, 30]);
        assert_eq!(identity.may_sign(Instant::from_ms(100_000)), Err(1));
    }
}
