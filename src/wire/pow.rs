//! Proof of work: what a challenge says, and what solves it.
//!
//! Work is a nonce for which SHA-256(challenge text, then the nonce in decimal) begins with at least as many zero bits as
//! the challenge asks for. The text has one fixed length, so no challenge and nonce can be read as another pair.

use super::{Writer, base64url, sha256};

/// Length of a challenge, in bytes.
pub const CHALLENGE_BYTES: usize = 40;
/// Length of a challenge as text, in bytes: base64url (RFC 4648 section 5) without padding.
pub const CHALLENGE_TEXT_BYTES: usize = 54;
/// Longest nonce in decimal, in bytes.
const MAX_NONCE_BYTES: usize = 20;
/// The version that challenges begin with.
const VERSION: u8 = 1;

/// A challenge as its fields: whom it was made for, when, and what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Zero bits asked for.
    pub difficulty: u8,
    /// 4 or 6, of the address it was made for.
    pub family: u8,
    /// What the work is for; 1 is an announce.
    pub action: u8,
    /// When it was made, in seconds of the server's own clock.
    pub issued_s: u32,
    /// The network the asker's address is in: its /24 or /48.
    pub prefix: [u8; 8],
    /// First bytes of SHA-256(network key, then the id).
    pub record: [u8; 8],
}

/// Length of [`Terms`] as bytes.
pub const TERMS_BYTES: usize = 24;
/// Length of the tag behind them.
pub const TAG_BYTES: usize = CHALLENGE_BYTES - TERMS_BYTES;

/// A challenge as text, and what it asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Challenge {
    text: [u8; CHALLENGE_TEXT_BYTES],
    /// Zero bits asked for.
    pub difficulty: u8,
}

impl Terms {
    /// The terms as bytes: version, then the fields in order, numbers in network order.
    pub fn emit(&self) -> [u8; TERMS_BYTES] {
        let mut bytes = [0; TERMS_BYTES];
        let fields = [VERSION, self.difficulty, self.family, self.action].into_iter();
        let fields = fields.chain(self.issued_s.to_be_bytes()).chain(self.prefix).chain(self.record);
        bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        bytes
    }

    /// Takes `text` as a challenge: its terms and its tag. `None` if it is not 54 characters of base64url in canonical
    /// form, or of another version.
    pub fn parse(text: &str) -> Option<(Self, [u8; TAG_BYTES])> {
        let mut bytes = [0; CHALLENGE_BYTES];
        if !base64url::decode(text, &mut bytes) {
            return None;
        }
        let (head, rest) = bytes.split_first_chunk::<4>()?;
        let (issued, rest) = rest.split_first_chunk::<4>()?;
        let (prefix, rest) = rest.split_first_chunk::<8>()?;
        let (record, tag) = rest.split_first_chunk::<8>()?;
        let &[VERSION, difficulty, family, action] = head else { return None };
        let (issued_s, prefix, record) = (u32::from_be_bytes(*issued), *prefix, *record);
        Some((Self { difficulty, family, action, issued_s, prefix, record }, tag.try_into().ok()?))
    }
}

impl Challenge {
    /// The challenge of `terms` with the server's tag.
    pub fn new(terms: &Terms, tag: [u8; TAG_BYTES]) -> Self {
        let mut bytes = [0; CHALLENGE_BYTES];
        bytes.iter_mut().zip(terms.emit().into_iter().chain(tag)).for_each(|(to, from)| *to = from);
        let mut text = [0; CHALLENGE_TEXT_BYTES];
        // The text of 40 bytes fills it.
        let _ = base64url::put(&bytes, &mut Writer::new(&mut text));
        Self { text, difficulty: terms.difficulty }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.text).unwrap_or_default()
    }
}

impl core::fmt::Debug for Challenge {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Zero bits at the front of SHA-256(`challenge`, then `nonce` in decimal): what the work is worth, 0..=256.
///
/// For the texts a server gives out that is a hash of two blocks.
pub fn worth(challenge: &str, nonce: u64) -> u32 {
    let mut digits = [0; MAX_NONCE_BYTES];
    let mut writer = Writer::new(&mut digits);
    // A number of 64 bits has at most 20 digits.
    let _ = writer.put_decimal(nonce);
    zero_bits(&sha256::digest(&[challenge.as_bytes(), writer.written()]))
}

/// Zero bits at the front of `hash`.
fn zero_bits(hash: &[u8]) -> u32 {
    let zero_bytes = hash.iter().take_while(|&&byte| byte == 0).count();
    let bits = u32::try_from(zero_bytes).unwrap_or(u32::MAX).saturating_mul(8);
    bits.saturating_add(hash.get(zero_bytes).map_or(0, |byte| byte.leading_zeros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms {
        difficulty: 17,
        family: 4,
        action: 1,
        issued_s: 0x0102_0304,
        prefix: *b"prefix--",
        record: *b"record--",
    };

    #[test]
    fn a_challenge_has_one_layout() {
        let challenge = Challenge::new(&TERMS, *b"sixteen bytes...");
        // base64url(01 11 04 01, 01 02 03 04, "prefix--record--sixteen bytes..."), counted out elsewhere.
        assert_eq!(challenge.as_str(), "AREEAQECAwRwcmVmaXgtLXJlY29yZC0tc2l4dGVlbiBieXRlcy4uLg");
        assert_eq!(Terms::parse(challenge.as_str()), Some((TERMS, *b"sixteen bytes...")));
    }

    #[test]
    fn other_texts_are_no_challenges() {
        let text = Challenge::new(&TERMS, [0xff; 16]);
        let text = text.as_str();
        for end in 0..text.len() {
            assert_eq!(Terms::parse(&text[..end]), None, "{end}");
        }
        assert_eq!(Terms::parse(&std::format!("{text}A")), None, "longer");
        assert_eq!(Terms::parse(&std::format!("{text}==")), None, "padded");
        assert_eq!(Terms::parse(&text.replacen('A', "B", 1)), None, "another version");
        let other_end = std::format!("{}x", &text[..53]);
        assert_eq!(Terms::parse(&other_end), None, "bits behind the last byte");
        assert_eq!(Terms::parse(&text.replace('_', "/")), None, "the other alphabet");
        assert_eq!(Terms::parse(&"\u{e4}".repeat(27)), None);
    }

    #[test]
    fn bits_are_counted_exactly() {
        for bits in 0..=255_usize {
            let mut hash = [0xff_u8; 32];
            hash[..bits / 8].fill(0);
            hash[bits / 8] = 0xff >> (bits % 8);
            assert_eq!(zero_bits(&hash), bits as u32);
            // All that follows the first bit set is of no account.
            hash[bits / 8] = 0x80 >> (bits % 8);
            hash[bits / 8 + 1..].fill(0);
            assert_eq!(zero_bits(&hash), bits as u32);
        }
        assert_eq!(zero_bits(&[0; 32]), 256);
    }

    #[test]
    fn work_takes_as_many_tries_as_it_should() {
        // Each of 1,000 searches for 6 bits is geometric with mean 64 and deviation 63.5; their mean deviates by 2.0.
        let mut tries = 0;
        for search in 0..1000 {
            let challenge = std::format!("challenge {search}");
            tries += (0..).position(|nonce| worth(&challenge, nonce) >= 6).unwrap() + 1;
        }
        let mean = tries as f64 / 1000.0;
        assert!((mean - 64.0).abs() < 5.0 * 2.01, "{mean}");
    }
}
