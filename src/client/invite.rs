//! Invites: all that somebody needs to join, in one line of text that fits a QR code.
//!
//! An invite is `waypost:` and the base64url (RFC 4648 section 5, without padding) of four values in
//! [postcard](https://postcard.jamesmunns.com)'s encoding, one after the other: the list of a server's URLs (texts), its
//! `bootstrap_id` (20 bytes; all zero = any key will do), the network's name (text), and the Unix second it expires at (a
//! number; 0 = never). At most 160 characters.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use serde::{Deserialize, Serialize};

use super::url::Way;
use crate::id::NetworkKey;
use crate::limits::EARLIEST_CREDIBLE_UNIX_S;

/// What an invite begins with.
pub const SCHEME: &str = "waypost:";
/// Longest invite, in characters.
pub const MAX_INVITE_CHARS: usize = 160;
/// Most ways to the server in one invite.
pub const MAX_INVITE_WAYS: usize = 4;

/// An invite to a network, by way of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// Ways to the server, 1..=4.
    pub ways: Vec<Way>,
    /// Whose key must have signed the server's answers; `None` = anybody's.
    pub bootstrap_id: Option<[u8; 20]>,
    /// The network: 1 to 64 bytes of `[A-Za-z0-9._-]`.
    pub network: String,
    /// The Unix second from which it is not to be used; `None` = never.
    pub expires_unix_s: Option<u64>,
}

/// Why a text is no invite, or an invite cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadInvite {
    /// It does not begin with `waypost:`.
    Scheme,
    /// It is damaged, or cut short.
    Damaged,
    /// It names no server, more than four ways to it, or one twice.
    Ways,
    /// The id or the second of the end is zero, which stands for none.
    Zero,
    /// The network has no right name.
    Network,
    /// It is longer than 160 characters.
    TooLong,
}

/// What is encoded.
#[derive(Serialize, Deserialize)]
struct Content<'a> {
    ways: heapless::Vec<&'a str, MAX_INVITE_WAYS>,
    bootstrap_id: [u8; 20],
    network: &'a str,
    expires_unix_s: u64,
}

impl Invite {
    /// Takes `text` as an invite, whatever the case of its scheme.
    ///
    /// # Errors
    /// [`BadInvite`] if it is none.
    pub fn parse(text: &str) -> Result<Self, BadInvite> {
        let (scheme, content) = text.split_at_checked(SCHEME.len()).ok_or(BadInvite::Scheme)?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(BadInvite::Scheme);
        }
        if text.len() > MAX_INVITE_CHARS {
            return Err(BadInvite::TooLong);
        }
        let mut bytes = [0; MAX_INVITE_CHARS];
        let bytes = Base64UrlUnpadded::decode(content, &mut bytes).map_err(|_| BadInvite::Damaged)?;
        let (content, rest) =
            postcard::take_from_bytes::<Content<'_>>(bytes).map_err(|_| BadInvite::Damaged)?;
        if !rest.is_empty() {
            return Err(BadInvite::Damaged);
        }
        let ways = content.ways.iter().map(|way| Way::parse(way)).collect::<Result<Vec<_>, _>>();
        let ways = ways.ok().filter(|ways| !ways.is_empty()).ok_or(BadInvite::Ways)?;
        NetworkKey::of_name(content.network).map_err(|_| BadInvite::Network)?;
        let invite = Self {
            ways,
            bootstrap_id: Some(content.bootstrap_id).filter(|id| *id != [0; 20]),
            network: content.network.into(),
            expires_unix_s: Some(content.expires_unix_s).filter(|second| *second != 0),
        };
        // The encoding has several spellings of one number, and URLs have. An invite has one.
        let own = invite.emit()?;
        if own.get(SCHEME.len()..) == text.get(SCHEME.len()..) { Ok(invite) } else { Err(BadInvite::Damaged) }
    }

    /// Whether it is not to be used any more at this Unix second. A clock that is not set cannot tell: then it is not.
    pub fn has_expired(&self, now_unix_s: u64) -> bool {
        let is_over = |end| end <= now_unix_s && now_unix_s >= EARLIEST_CREDIBLE_UNIX_S;
        self.expires_unix_s.is_some_and(is_over)
    }

    /// The invite as text.
    ///
    /// # Errors
    /// [`BadInvite`] if it names no server or too many ways, no right network, a zero, or would be longer than 160 characters.
    pub fn emit(&self) -> Result<String, BadInvite> {
        NetworkKey::of_name(&self.network).map_err(|_| BadInvite::Network)?;
        // It would be read as one that pins nobody, or never ends.
        if self.bootstrap_id == Some([0; 20]) || self.expires_unix_s == Some(0) {
            return Err(BadInvite::Zero);
        }
        let ways: Vec<String> = self.ways.iter().map(ToString::to_string).collect();
        let once = ways.iter().enumerate().all(|(at, way)| !ways.iter().take(at).any(|before| before == way));
        if !once || !(1..=MAX_INVITE_WAYS).contains(&ways.len()) {
            return Err(BadInvite::Ways);
        }
        let content = Content {
            ways: ways.iter().map(String::as_str).collect(),
            bootstrap_id: self.bootstrap_id.unwrap_or_default(),
            network: &self.network,
            expires_unix_s: self.expires_unix_s.unwrap_or(0),
        };
        let mut bytes = [0; MAX_INVITE_CHARS];
        let bytes = postcard::to_slice(&content, &mut bytes).map_err(|_| BadInvite::TooLong)?;
        let mut text = [0; MAX_INVITE_CHARS - SCHEME.len()];
        let text = Base64UrlUnpadded::encode(bytes, &mut text).map_err(|_| BadInvite::TooLong)?;
        Ok(format!("{SCHEME}{text}"))
    }
}

impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.emit().as_deref().unwrap_or(SCHEME))
    }
}

impl fmt::Display for BadInvite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "an invite begins with waypost:",
            Self::Damaged => "the invite is damaged or was cut short",
            Self::Ways => "an invite names one to four different ways to a server",
            Self::Zero => "an invite's id and end cannot be zero, which stands for none",
            Self::Network => "the network's name must be 1 to 64 bytes of [A-Za-z0-9._-]",
            Self::TooLong => "the invite is longer than 160 characters",
        })
    }
}

impl std::error::Error for BadInvite {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of docs/invites.md.
    const GOLDEN: &str = "waypost:AhhodHRwOi8vMTk4LjUxLjEwMC43OjgwODAXdWRwOi8vMTk4LjUxLjEwMC43OjY4ODFWR1qnVGNHTAKF312_K8q3PaZRNQxwc2NyeXB0b2NoYXSAqNa5Bw";

    fn example() -> Invite {
        Invite {
            ways: ["http://198.51.100.7:8080", "udp://198.51.100.7:6881"]
                .map(|way| Way::parse(way).unwrap())
                .into(),
            bootstrap_id: crate::wire::hex::decode(b"56475aa75463474c0285df5dbf2bcab73da65135"),
            network: "pscryptochat".into(),
            expires_unix_s: Some(2_000_000_000),
        }
    }

    fn written(bytes: &[u8]) -> String {
        let mut text = [0; 400];
        format!("{SCHEME}{}", Base64UrlUnpadded::encode(bytes, &mut text).unwrap())
    }

    fn bytes() -> Vec<u8> {
        let mut bytes = [0; MAX_INVITE_CHARS];
        Base64UrlUnpadded::decode(&GOLDEN[SCHEME.len()..], &mut bytes).unwrap().into()
    }

    #[test]
    fn an_invite_is_these_bytes() {
        assert_eq!(example().emit().as_deref(), Ok(GOLDEN));
        assert_eq!(Invite::parse(GOLDEN), Ok(example()));
        assert_eq!(Invite::parse(&GOLDEN.replace("waypost:", "WAYPOST:")), Ok(example()));
        let open = Invite { bootstrap_id: None, expires_unix_s: None, ..example() };
        assert_eq!(Invite::parse(&open.emit().unwrap()), Ok(open));
    }

    #[test]
    fn what_is_cut_short_or_spelt_otherwise_is_none() {
        for end in 0..GOLDEN.len() {
            assert!(Invite::parse(&GOLDEN[..end]).is_err(), "{end}");
        }
        let mut longer = bytes();
        longer.push(0);
        assert_eq!(Invite::parse(&written(&longer)), Err(BadInvite::Damaged));
        // 2 as a number of two bytes.
        let padded = [&[0x82, 0x00], &bytes()[1..]].concat();
        assert_eq!(Invite::parse(&written(&padded)), Err(BadInvite::Damaged));
        for text in
            ["", "waypost:", "wayport:AAAA", "waypost:A", "waypost:AA==", "waypost:A A", "waypost:\u{e4}"]
        {
            assert!(Invite::parse(text).is_err(), "{text}");
        }
        let capitals =
            bytes().iter().map(|byte| if *byte == b'h' { b'H' } else { *byte }).collect::<Vec<_>>();
        assert!(Invite::parse(&written(&capitals)).is_err());
    }

    #[test]
    fn a_flipped_bit_makes_another_invite_or_none() {
        let bytes = bytes();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(invite) = Invite::parse(&written(&flipped)) {
                assert_ne!(invite, example(), "bit {bit}");
                assert_eq!(invite.emit(), Ok(written(&flipped)));
            }
        }
    }

    #[test]
    fn an_invite_that_cannot_be_is_not_written() {
        let way = |text: &str| Way::parse(text).unwrap();
        for (invite, why) in [
            (Invite { ways: vec![], ..example() }, BadInvite::Ways),
            (Invite { ways: vec![way("http://a.example"); 2], ..example() }, BadInvite::Ways),
            (
                Invite { ways: (1..6).map(|n| way(&format!("http://a.example:{n}"))).collect(), ..example() },
                BadInvite::Ways,
            ),
            (Invite { bootstrap_id: Some([0; 20]), ..example() }, BadInvite::Zero),
            (Invite { expires_unix_s: Some(0), ..example() }, BadInvite::Zero),
            (Invite { network: "a b".into(), ..example() }, BadInvite::Network),
            (Invite { network: "a".repeat(64), ..example() }, BadInvite::TooLong),
        ] {
            assert_eq!(invite.emit(), Err(why));
        }
        assert!(example().emit().unwrap().len() <= MAX_INVITE_CHARS);
    }

    #[test]
    fn an_invite_has_an_end_if_the_clock_can_tell() {
        let invite = example();
        for (now, expired) in
            [(0, false), (1_000_000_000, false), (1_999_999_999, false), (2_000_000_000, true)]
        {
            assert_eq!(invite.has_expired(now), expired, "{now}");
        }
        assert!(!Invite { expires_unix_s: Some(5), ..example() }.has_expired(6), "it is not 1970");
        assert!(!Invite { expires_unix_s: None, ..example() }.has_expired(u64::MAX));
    }
}
