//! Names of peers and of networks.

use crate::addr::CanonicalAddr;
use crate::limits::{MAX_ID_BYTES, MAX_NETWORK_NAME_BYTES};
use crate::wire::{Full, Writer, sha256};

/// Longest id made of an address, in bytes: 39 of an IPv6 address, a colon, and 5 digits.
const MAX_ADDRESS_ID_BYTES: usize = 45;

/// A peer's id: 1 to 64 bytes of `[A-Za-z0-9._:-]`, chosen by the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerId<'a>(&'a str);

/// The id of a peer that has chosen none: its address and port, `198.51.100.7:6881` or `2001:db8::7:6881`. It is the
/// same on every protocol and on every server.
pub struct AddressId {
    text: [u8; MAX_ADDRESS_ID_BYTES],
    len: usize,
}

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

    /// Whether this is the id of a peer at `addr`, at any port, that has chosen none.
    pub fn is_of(self, addr: CanonicalAddr) -> bool {
        let mut text = [0; MAX_ADDRESS_ID_BYTES];
        let mut writer = Writer::new(&mut text);
        // There is room for the longest address.
        let _ = put_address(addr, &mut writer);
        let port = self.0.as_bytes().strip_prefix(writer.written());
        port.is_some_and(|port| !port.is_empty() && port.iter().all(u8::is_ascii_digit))
    }

    /// The id's text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl AddressId {
    /// The id of a peer at this address and port.
    pub fn of(addr: CanonicalAddr, port: u16) -> Self {
        let mut text = [0; MAX_ADDRESS_ID_BYTES];
        let mut writer = Writer::new(&mut text);
        // There is room for the longest address.
        let _ = put_address(addr, &mut writer).and_then(|()| writer.put_decimal(port.into()));
        let len = writer.len();
        Self { text, len }
    }

    /// The id.
    pub fn id(&self) -> PeerId<'_> {
        PeerId::from_stored(self.text.get(..self.len).unwrap_or_default())
    }
}

fn put_address(addr: CanonicalAddr, out: &mut Writer<'_>) -> Result<(), Full> {
    out.put_ip(addr)?;
    out.put(b":")
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
        Ok(Self(first_20(&sha256::digest(&[name.as_bytes()]))))
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
    fn an_address_makes_an_id() {
        let addr = |text: &str| CanonicalAddr::new(text.parse().unwrap());
        for (ip, port, text) in [
            ("198.51.100.7", 6881, "198.51.100.7:6881"),
            ("::ffff:198.51.100.7", 1, "198.51.100.7:1"),
            ("2001:db8::7", 65535, "2001:db8::7:65535"),
            (
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                65535,
                "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:65535",
            ),
        ] {
            let id = AddressId::of(addr(ip), port);
            assert_eq!(id.id().as_str(), text);
            assert_eq!(PeerId::parse(text), Ok(id.id()));
            assert!(id.id().is_of(addr(ip)) && !id.id().is_of(addr("198.51.100.70")));
        }
        for other in
            ["198.51.100.7", "198.51.100.7:", "198.51.100.7:x", "198.51.100.77:1", "198.51.100.7:1:2"]
        {
            assert!(!PeerId::parse(other).unwrap().is_of(addr("198.51.100.7")), "{other}");
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
