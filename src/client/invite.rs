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
    /// It names no server, or more than four ways to it.
    Ways,
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
        Ok(Self {
            ways,
            bootstrap_id: Some(content.bootstrap_id).filter(|id| *id != [0; 20]),
            network: content.network.into(),
            expires_unix_s: Some(content.expires_unix_s).filter(|second| *second != 0),
        })
    }

    /// The invite as text.
    ///
    /// # Errors
    /// [`BadInvite`] if it names no server or too many ways, no right network, or would be longer than 160 characters.
    pub fn emit(&self) -> Result<String, BadInvite> {
        NetworkKey::of_name(&self.network).map_err(|_| BadInvite::Network)?;
        let ways: Vec<String> = self.ways.iter().map(ToString::to_string).collect();
        if !(1..=MAX_INVITE_WAYS).contains(&ways.len()) {
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
            Self::Ways => "the invite names no server, or more than four ways to it",
            Self::Network => "the network's name must be 1 to 64 bytes of [A-Za-z0-9._-]",
            Self::TooLong => "the invite is longer than 160 characters",
        })
    }
}

impl std::error::Error for BadInvite {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invite_round_trips() {
        let invite = Invite {
            ways: ["http://198.51.100.7:8080", "udp://198.51.100.7:6881"]
                .map(|way| Way::parse(way).unwrap())
                .into(),
            bootstrap_id: Some([7; 20]),
            network: "pscryptochat".into(),
            expires_unix_s: Some(1_800_000_000),
        };
        let text = invite.emit().unwrap();
        assert!(text.starts_with("waypost:") && text.len() <= MAX_INVITE_CHARS, "{text}");
        assert_eq!(Invite::parse(&text), Ok(invite.clone()));
        for end in 0..text.len() {
            assert!(Invite::parse(&text[..end]).is_err(), "{end}");
        }
        let open = Invite { bootstrap_id: None, expires_unix_s: None, ..invite };
        assert_eq!(Invite::parse(&open.emit().unwrap()), Ok(open));
    }
}
