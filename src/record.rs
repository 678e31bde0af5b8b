//! Signed records: what a peer says of itself, sealed with its key, so that whoever hands it on need not be trusted.
//!
//! The key makes the id, and the signature covers the network, a sequence number and the endpoints as text. A client checks
//! what a server hands out with the same [`Seal::verify`] that the server used.

use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_compact::{KeyPair, PublicKey, Seed, Signature};
use sha2::{Digest, Sha256};

use crate::endpoint::Endpoint;
use crate::id::{NetworkKey, PeerId, first_20};
use crate::limits::{MAX_ENDPOINT_BYTES, MAX_ENDPOINTS};
use crate::wire::{Full, Writer, hex};

/// Length of a public key, in bytes.
pub const KEY_BYTES: usize = 32;
/// Length of a signature, in bytes.
pub const SIG_BYTES: usize = 64;
/// Length of a public key as text: base64url (RFC 4648 section 5) without padding.
pub const KEY_TEXT_BYTES: usize = 43;
/// Length of a signature as text.
pub const SIG_TEXT_BYTES: usize = 86;
/// Sequence numbers are below this, 2^53: every language's numbers hold them.
pub const SEQ_END: u64 = 1 << 53;

/// What signed bytes begin with, so that a signature is good for nothing else.
const DOMAIN: &[u8] = b"waypost-record-1\0";
/// Longest signed bytes.
const MAX_SIGNED_BYTES: usize =
    DOMAIN.len() + 20 + KEY_BYTES + 8 + 1 + MAX_ENDPOINTS * (1 + MAX_ENDPOINT_BYTES);

/// A signature, and what it takes to check it besides the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The version of the record: a higher one replaces it.
    pub seq: u64,
    /// The public key, of Ed25519.
    pub key: [u8; KEY_BYTES],
    /// The signature.
    pub sig: [u8; SIG_BYTES],
}

/// The id that a key makes: the first 20 bytes of its SHA-256, in hex.
pub struct KeyId([u8; 40]);

impl Seal {
    /// No seal. It verifies nothing.
    pub const NONE: Self = Self { seq: 0, key: [0; KEY_BYTES], sig: [0; SIG_BYTES] };

    /// Takes `text` as a public key. `None` if it is not base64url of the right length in canonical form.
    pub fn parse_key(text: &str) -> Option<[u8; KEY_BYTES]> {
        let mut key = [0; KEY_BYTES];
        decode(text, &mut key).then_some(key)
    }

    /// Takes texts as a seal. `None` if one is not base64url of the right length in canonical form, or `seq` is 2^53 or
    /// more.
    pub fn parse(key: &str, seq: u64, sig: &str) -> Option<Self> {
        let mut seal = Self { seq, key: Self::parse_key(key)?, ..Self::NONE };
        (decode(sig, &mut seal.sig) && seq < SEQ_END).then_some(seal)
    }

    /// Makes the seal of a record with these endpoints in `network`, or without any that of a peer which leaves. The key
    /// is that of `seed`, which RFC 8032 calls the private key: it is never asked for both, so that they always belong
    /// together. `None` if `seq` is 2^53 or more, the record is too long, or the seed is nothing but zeros.
    pub fn sign<'e>(
        seed: &[u8; 32],
        network: NetworkKey,
        seq: u64,
        endpoints: impl IntoIterator<Item = Endpoint<'e>>,
    ) -> Option<Self> {
        let pair = KeyPair::try_from_seed(Seed::new(*seed)).ok()?;
        let mut bytes = [0; MAX_SIGNED_BYTES];
        let mut writer = Writer::new(&mut bytes);
        put_signed(&mut writer, network, &pair.pk, seq, endpoints).ok()?;
        let sig = *pair.sk.sign(writer.written(), None);
        (seq < SEQ_END).then_some(Self { seq, key: *pair.pk, sig })
    }

    /// The id of the key.
    pub fn id(&self) -> KeyId {
        KeyId::of(&self.key)
    }

    /// Whether the seal is that of a record with these endpoints in `network`. Keys of small order and signatures that are
    /// not in their one canonical form are refused, so that nobody can make a second seal of one.
    pub fn verify<'e>(&self, network: NetworkKey, endpoints: impl IntoIterator<Item = Endpoint<'e>>) -> bool {
        let mut bytes = [0; MAX_SIGNED_BYTES];
        let mut writer = Writer::new(&mut bytes);
        if put_signed(&mut writer, network, &self.key, self.seq, endpoints).is_err() {
            return false;
        }
        let key = PublicKey::new(self.key);
        key.verify(writer.written(), &Signature::new(self.sig)).is_ok()
    }

    /// Writes the key as text.
    ///
    /// # Errors
    /// [`Full`] if it does not fit.
    pub fn emit_key(&self, out: &mut Writer<'_>) -> Result<(), Full> {
        put_key(&self.key, out)
    }

    /// Writes the signature as text.
    ///
    /// # Errors
    /// [`Full`] if it does not fit.
    pub fn emit_sig(&self, out: &mut Writer<'_>) -> Result<(), Full> {
        put_sig(&self.sig, out)
    }
}

impl KeyId {
    /// The id that `key` makes.
    pub fn of(key: &[u8; KEY_BYTES]) -> Self {
        let mut text = [0; 40];
        let digits = first_20(&Sha256::digest(key)).into_iter().flat_map(hex::encode);
        text.iter_mut().zip(digits).for_each(|(to, from)| *to = from);
        Self(text)
    }

    /// The id.
    pub fn id(&self) -> PeerId<'_> {
        PeerId::from_stored(&self.0)
    }
}

/// Writes the bytes that a record's signature covers: `waypost-record-1` and a zero byte, the network's key (20), the key (32),
/// `seq` (8, the highest byte first), the number of endpoints (1), and each endpoint with its length (1) before it. A
/// record without endpoints says that the peer leaves.
///
/// # Errors
/// [`Full`] if they do not fit.
pub fn put_signed<'e>(
    out: &mut Writer<'_>,
    network: NetworkKey,
    key: &[u8; KEY_BYTES],
    seq: u64,
    endpoints: impl IntoIterator<Item = Endpoint<'e>>,
) -> Result<(), Full> {
    let mut texts = [0; MAX_ENDPOINTS * (1 + MAX_ENDPOINT_BYTES)];
    let mut list = Writer::new(&mut texts);
    let mut count = 0_u8;
    for endpoint in endpoints {
        let mut text = [0; MAX_ENDPOINT_BYTES];
        let mut writer = Writer::new(&mut text);
        endpoint.emit(&mut writer)?;
        list.put(&[u8::try_from(writer.len()).map_err(|_| Full)?])?;
        list.put(writer.written())?;
        count = count.checked_add(1).filter(|&count| usize::from(count) <= MAX_ENDPOINTS).ok_or(Full)?;
    }
    out.put(DOMAIN)?;
    out.put(&network.0)?;
    out.put(key)?;
    out.put(&seq.to_be_bytes())?;
    out.put(&[count])?;
    out.put(list.written())
}

/// Writes a public key as text.
///
/// # Errors
/// [`Full`] if it does not fit.
pub fn put_key(key: &[u8; KEY_BYTES], out: &mut Writer<'_>) -> Result<(), Full> {
    put_base64(key, &mut [0; KEY_TEXT_BYTES], out)
}

/// Writes a signature as text.
///
/// # Errors
/// [`Full`] if it does not fit.
pub fn put_sig(sig: &[u8; SIG_BYTES], out: &mut Writer<'_>) -> Result<(), Full> {
    put_base64(sig, &mut [0; SIG_TEXT_BYTES], out)
}

fn put_base64(bytes: &[u8], text: &mut [u8], out: &mut Writer<'_>) -> Result<(), Full> {
    out.put_str(Base64UrlUnpadded::encode(bytes, text).map_err(|_| Full)?)
}

/// Fills `bytes` with what `text` stands for. Returns whether it stands for exactly as many.
fn decode(text: &str, bytes: &mut [u8]) -> bool {
    let length = bytes.len();
    Base64UrlUnpadded::decode(text, bytes).is_ok_and(|decoded| decoded.len() == length)
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec::Vec;

    use super::*;

    const NETWORK: NetworkKey = NetworkKey([0x11; 20]);
    const ENDPOINTS: [&str; 2] = ["tcp://198.51.100.7:9000", "udp://[2001:db8::7]:9001"];

    fn endpoints<'a>(texts: &[&'a str]) -> Vec<Endpoint<'a>> {
        texts.iter().map(|text| Endpoint::parse(text).unwrap()).collect()
    }

    fn seed() -> [u8; 32] {
        core::array::from_fn(|n| n as u8)
    }

    fn signed_bytes(seq: u64, texts: &[&str]) -> Vec<u8> {
        let mut bytes = [0; MAX_SIGNED_BYTES];
        let mut writer = Writer::new(&mut bytes);
        put_signed(&mut writer, NETWORK, &seal(seq, texts).key, seq, endpoints(texts)).unwrap();
        writer.written().to_vec()
    }

    fn seal(seq: u64, texts: &[&str]) -> Seal {
        Seal::sign(&seed(), NETWORK, seq, endpoints(texts)).unwrap()
    }

    fn hex_of(bytes: &[u8]) -> String {
        bytes.iter().flat_map(|&byte| hex::encode(byte)).map(char::from).collect()
    }

    fn text(put: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> String {
        let mut buffer = [0; 128];
        let mut writer = Writer::new(&mut buffer);
        put(&mut writer).unwrap();
        String::from_utf8(writer.written().into()).unwrap()
    }

    #[test]
    fn the_signed_bytes_have_one_layout() {
        let key = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";
        let expected = [
            "776179706f73742d7265636f72642d3100",
            &"11".repeat(20),
            key,
            "0000000000000007",
            "02",
            "17",
            "7463703a2f2f3139382e35312e3130302e373a39303030",
            "18",
            "7564703a2f2f5b323030313a6462383a3a375d3a39303031",
        ]
        .concat();
        assert_eq!(hex_of(&signed_bytes(7, &ENDPOINTS)), expected);
    }

    /// The records of docs/signatures.md.
    #[test]
    fn golden_bytes() {
        let document: String = include_str!("../docs/signatures.md").split_whitespace().collect();
        let network = NetworkKey::of_name("pscryptochat").unwrap();
        for (seq, texts) in [(7, &ENDPOINTS[..]), (8, &[])] {
            let seal = Seal::sign(&seed(), network, seq, endpoints(texts)).unwrap();
            assert!(seal.verify(network, endpoints(texts)));
            let mut bytes = [0; MAX_SIGNED_BYTES];
            let mut writer = Writer::new(&mut bytes);
            put_signed(&mut writer, network, &seal.key, seq, endpoints(texts)).unwrap();
            let (key, sig) = (text(|out| seal.emit_key(out)), text(|out| seal.emit_sig(out)));
            for golden in [
                hex_of(writer.written()),
                hex_of(&seal.key),
                hex_of(&seal.sig),
                seal.id().id().as_str().into(),
                std::format!(r#"{{"key":"{key}","seq":{seq},"sig":"{sig}"}}"#),
            ] {
                assert!(document.contains(&golden), "docs/signatures.md lacks {golden}");
            }
        }
    }

    #[test]
    fn nothing_is_signed_that_would_not_be_taken() {
        assert!(Seal::sign(&seed(), NETWORK, SEQ_END - 1, endpoints(&ENDPOINTS)).is_some());
        assert_eq!(Seal::sign(&seed(), NETWORK, SEQ_END, endpoints(&ENDPOINTS)), None);
        assert_eq!(Seal::sign(&[0; 32], NETWORK, 1, endpoints(&ENDPOINTS)), None, "no seed");
        assert_eq!(Seal::sign(&seed(), NETWORK, 1, endpoints(&[ENDPOINTS[0]; 5])), None, "too many");
    }

    #[test]
    fn every_byte_of_what_is_signed_counts() {
        let (seal, bytes) = (seal(7, &ENDPOINTS), signed_bytes(7, &ENDPOINTS));
        let (key, sig) = (PublicKey::new(seal.key), Signature::new(seal.sig));
        assert!(key.verify(&bytes, &sig).is_ok());
        for at in 0..bytes.len() {
            assert!(key.verify(&bytes[..at], &sig).is_err(), "cut at {at}");
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(key.verify(&changed, &sig).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_seal_is_good_for_one_record() {
        let seal = seal(7, &ENDPOINTS);
        assert!(seal.verify(NETWORK, endpoints(&ENDPOINTS)));
        assert!(!seal.verify(NetworkKey([0x12; 20]), endpoints(&ENDPOINTS)), "another network");
        assert!(!seal.verify(NETWORK, endpoints(&ENDPOINTS[..1])), "an endpoint less");
        assert!(!seal.verify(NETWORK, endpoints(&[ENDPOINTS[1], ENDPOINTS[0]])), "another order");
        assert!(!seal.verify(NETWORK, []), "a leave");
        assert!(!Seal { seq: 8, ..seal }.verify(NETWORK, endpoints(&ENDPOINTS)), "another number");
        for bit in 0..8 * (KEY_BYTES + SIG_BYTES) {
            let mut forged = seal;
            let byte =
                if bit < 256 { &mut forged.key[bit / 8] } else { &mut forged.sig[bit / 8 - KEY_BYTES] };
            *byte ^= 1 << (bit % 8);
            assert!(!forged.verify(NETWORK, endpoints(&ENDPOINTS)), "bit {bit}");
        }
        assert!(!Seal::NONE.verify(NETWORK, endpoints(&ENDPOINTS)));
    }

    #[test]
    fn texts_round_trip_and_have_one_spelling() {
        let seal = seal(7, &ENDPOINTS);
        let (key, sig) = (text(|out| seal.emit_key(out)), text(|out| seal.emit_sig(out)));
        assert_eq!(key, "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg");
        assert_eq!((key.len(), sig.len()), (KEY_TEXT_BYTES, SIG_TEXT_BYTES));
        assert_eq!(Seal::parse(&key, 7, &sig), Some(seal));
        assert_eq!(Seal::parse(&key, SEQ_END, &sig), None);
        for end in 0..key.len() {
            assert_eq!(Seal::parse(&key[..end], 7, &sig), None);
        }
        for end in 0..sig.len() {
            assert_eq!(Seal::parse(&key, 7, &sig[..end]), None);
        }
        assert_eq!(Seal::parse(&std::format!("{key}="), 7, &sig), None);
        assert_eq!(Seal::parse(&key.replace("bg", "bh"), 7, &sig), None, "bits behind the last byte");
        assert_eq!(Seal::parse(&key.replace('_', "/"), 7, &sig), None);
    }

    #[test]
    fn a_key_makes_an_id() {
        let id = seal(1, &ENDPOINTS).id();
        assert_eq!(id.id().as_str(), "56475aa75463474c0285df5dbf2bcab73da65135");
    }

    #[test]
    fn the_longest_record_fits() {
        let longest: Vec<String> = (1..=4)
            .map(|port| std::format!("abcdefghijkl://{}.{}:{port}", "a".repeat(60), "b".repeat(18)))
            .collect();
        let longest: Vec<&str> = longest.iter().map(String::as_str).collect();
        assert_eq!(signed_bytes(1, &longest).len(), MAX_SIGNED_BYTES);
        assert!(seal(1, &longest).verify(NETWORK, endpoints(&longest)));
        assert!(!seal(1, &longest).verify(NETWORK, endpoints(&[longest[0]; 5])), "and no longer one");
    }
}
