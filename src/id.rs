//! Names of peers and of networks.

use sha2::{Digest, Sha256};

use crate::limits::{MAX_ID_BYTES, MAX_NETWORK_NAME_BYTES};

/// A peer's id: 1 to 64 bytes of `[A-Za-z0-9._:-]`, chosen by the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerId<'a>(&'a str);

/// The text is no peer id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadId;

/// A network's key: 20 bytes, as in BitTorrent, so that one key names the same room on every protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct NetworkKey(pub [u8; 20]);

/// The text is no network name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadNetwork;

impl<'a> PeerId<'a> {
    /// Takes `text` as an id.
    ///
    /// # Errors
    /// [`BadId`] if it is empty, longer than 64 bytes, or has a byte outside `[A-Za-z0-9._:-]`.
    pub fn parse(text: &'a str) -> Result<Self, BadId> {
        let fits = (1..=MAX_ID_BYTES).contains(&text.len());
        let clean = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:-".contains(&b));
        if fits && clean { Ok(Self(text)) } else { Err(BadId) }
    }

    /// The id whose text was stored as `bytes`. It is not checked again.
    pub(crate) fn from_stored(bytes: &'a [u8]) -> Self {
        Self(str::from_utf8(bytes).unwrap_or_default())
    }

    /// The id's text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl NetworkKey {
    /// The key of a network name: the first 20 bytes of its SHA-256, or the name itself if it is 40 hex digits.
    ///
    /// # Errors
    /// [`BadNetwork`] if it is empty, longer than 64 bytes, or has a byte outside `[A-Za-z0-9._-]`.
    pub fn of_name(name: &str) -> Result<Self, BadNetwork> {
        let fits = (1..=MAX_NETWORK_NAME_BYTES).contains(&name.len());
        let clean = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if !fits || !clean {
            return Err(BadNetwork);
        }
        if let Some(raw) = crate::wire::hex::decode::<20>(name.as_bytes()) {
            return Ok(Self(raw));
        }
        Ok(Self(first_20(&Sha256::digest(name.as_bytes()))))
    }
}

/// The first 20 bytes of a SHA-256 digest: what ids and network keys are cut to.
pub fn first_20(digest: &[u8]) -> [u8; 20] {
    let mut key = [0; 20];
    key.iter_mut().zip(digest).for_each(|(to, from)| *to = *from);
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_a_charset_and_a_length() {
        for good in ["a", "peer-1", "A.b_c:d-9", &"x".repeat(64)] {
            assert_eq!(PeerId::parse(good).map(PeerId::as_str), Ok(good));
        }
        for bad in ["", "a b", "a/b", "ä", "a\"", "a\\", "a\0", &"x".repeat(65)] {
            assert_eq!(PeerId::parse(bad), Err(BadId), "{bad:?}");
        }
    }

    #[test]
    fn a_name_is_hashed_and_a_raw_key_is_not() {
        // printf pscryptochat | sha256sum | cut -c1-40
        let key = NetworkKey::of_name("pscryptochat").unwrap();
        assert_eq!(key.0, PSCRYPTOCHAT);
        let raw = "00112233445566778899aabbccddeeff01234567";
        let raw_key = NetworkKey::of_name(raw).unwrap();
        assert_eq!(raw_key.0[..3], [0x00, 0x11, 0x22]);
        assert_eq!(NetworkKey::of_name(&raw.to_uppercase()), Ok(raw_key));
        assert_ne!(NetworkKey::of_name(&raw[1..]).unwrap().0[..3], [0x01, 0x12, 0x23]);
    }

    #[test]
    fn names_have_a_charset_and_a_length() {
        for bad in ["", "a:b", "a b", "a/b", &"x".repeat(65)] {
            assert_eq!(NetworkKey::of_name(bad), Err(BadNetwork), "{bad:?}");
        }
    }

    const PSCRYPTOCHAT: [u8; 20] = [
        0xdc, 0x90, 0xeb, 0x70, 0x3f, 0xbe, 0x5e, 0xd4, 0x56, 0x2f, 0xcd, 0xe5, 0x93, 0x77, 0x31, 0x0f, 0x23,
        0x76, 0x80, 0xe7,
    ];
}
