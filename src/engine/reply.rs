//! What the engine answers, and the words it refuses with.

use core::fmt;

use super::peers::{PeerTable, PeerView, Slot, Slots, Viewer};
use super::request::{ContactsQuery, SchemeList};
use super::token::Token;
use crate::addr::CanonicalAddr;
use crate::time::{Instant, WallClock};
use crate::wire::pow::Challenge;
use crate::wire::{Full, Writer};

/// The answer to a [`Request`](super::Request), whatever protocol it goes out by.
pub enum Reply<'r> {
    /// Here I am.
    Pong,
    /// The work a newcomer has to do; `None` if there is none to be done.
    Challenge(Option<Challenge>),
    /// Some of the peers, to be rendered straight into the send buffer.
    Peers(Sample<'r>),
    /// Some of the peers as bare addresses, to be rendered straight into the send buffer.
    Contacts(Contacts<'r>),
    /// How many peers there are.
    Counts(Counts),
    /// The peer is registered, or gone as it wished; and some of the others.
    Tracked(Tracked<'r>),
    /// The peer is registered.
    Registered(Registration),
    /// The peer is gone; `removed` tells whether it had been there.
    Left {
        /// Whether a peer was removed.
        removed: bool,
    },
    /// No, and nothing has changed.
    Refused(Error),
}

/// A successful announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Seconds until the peer expires unless it announces again.
    pub expires_s: u32,
    /// Proves ownership of the id from any address.
    pub token: Token,
}

/// What a tracker answers.
pub struct Tracked<'r> {
    /// Seconds until the peer expires unless it announces again; 0 if it has gone.
    pub expires_s: u32,
    /// How many peers there are, this one included.
    pub counts: Counts,
    /// Some of the others.
    pub contacts: Contacts<'r>,
}

/// How many peers a network has, as one asker may know (BEP 15, BEP 48).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Peers that have all there is.
    pub seeders: u32,
    /// Other peers.
    pub leechers: u32,
    /// Times a peer has said that it finished, since the network last had no peers.
    pub completed: u32,
}

/// A sample of live peers as bare addresses, each peer once.
pub struct Contacts<'r> {
    table: &'r PeerTable<'r>,
    slots: Slots,
    viewer: Viewer,
    query: ContactsQuery,
}

impl<'r> Contacts<'r> {
    pub(super) fn new(
        table: &'r PeerTable<'r>,
        slots: Slots,
        viewer: CanonicalAddr,
        query: ContactsQuery,
    ) -> Self {
        Self { table, slots, viewer: Viewer::new(viewer), query }
    }

    /// The addresses and ports, in random order: of each peer its first endpoint of the wanted transport that has an
    /// IP address of a wanted family and that the asker may see, or else its first such endpoint of any scheme.
    pub fn iter(&self) -> impl Iterator<Item = Contact> {
        self.slots.iter().filter_map(|&slot| self.table.contact(slot, self.viewer, self.query))
    }

    /// Writes them in compact form, one behind the other (BEP 7, BEP 15, BEP 23). What does not fit is left out.
    pub fn emit_compact(&self, out: &mut Writer<'_>) {
        for &slot in &self.slots {
            let written = match self.table.compact_v4(slot, self.query) {
                Some(compact) => out.put(&compact),
                None => self.emit_other(slot, out),
            };
            if written.is_err() {
                break;
            }
        }
    }

    /// Writes one whose address takes a closer look.
    #[inline(never)]
    fn emit_other(&self, slot: Slot, out: &mut Writer<'_>) -> Result<(), Full> {
        let contact = self.table.contact(slot, self.viewer, self.query);
        contact.map_or(Ok(()), |(addr, port)| out.put_compact(addr, port))
    }
}

/// An address and a port a peer can be reached at.
pub type Contact = (CanonicalAddr, u16);

/// A sample of live peers, as one asker may see them.
pub struct Sample<'r> {
    table: &'r PeerTable<'r>,
    slots: Slots,
    viewer: CanonicalAddr,
    schemes: SchemeList<'r>,
    now: Instant,
    wall: WallClock,
}

impl<'r> Sample<'r> {
    pub(super) const fn new(
        table: &'r PeerTable<'r>,
        slots: Slots,
        viewer: CanonicalAddr,
        schemes: SchemeList<'r>,
        now: Instant,
        wall: WallClock,
    ) -> Self {
        Self { table, slots, viewer, schemes, now, wall }
    }

    /// The sampled peers, in random order.
    pub fn peers(&self) -> impl Iterator<Item = PeerView<'_>> {
        self.slots.iter().filter_map(|&slot| self.table.view(slot, self.now, self.viewer, &self.schemes))
    }

    /// What the server's wall clock shows, in Unix seconds, while it is credible.
    pub fn server_time(&self) -> Option<u64> {
        self.wall.unix_s(self.now)
    }

    /// When `peer` was last seen, in Unix seconds, while the wall clock is credible.
    pub fn last_seen(&self, peer: &PeerView<'_>) -> Option<u64> {
        self.wall.unix_s(peer.seen)
    }
}

/// Why a request was refused. One stable word each, the same on every protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The request is malformed; the sentence says how.
    BadRequest(&'static str),
    /// The body is no strict, small JSON object.
    BadJson,
    /// The id is missing or malformed.
    BadId,
    /// An endpoint is missing, malformed or unreachable.
    BadEndpoint,
    /// An endpoint's address is not the announcer's.
    EndpointNotYours,
    /// The network name is malformed.
    BadNetwork,
    /// The server serves other networks.
    NetworkNotServed,
    /// The id belongs to someone else until it expires.
    IdTaken,
    /// The token is malformed.
    BadToken,
    /// The request needs a token.
    TokenRequired,
    /// The announce needs work.
    PowRequired(Challenge),
    /// The proof of work is wrong or stale.
    BadPow,
    /// The signature does not verify.
    BadSignature,
    /// The server takes signed records only.
    SignatureRequired,
    /// The sequence number is not higher than the stored one.
    StaleSeq,
    /// There is no place for another peer from there.
    TableFull,
    /// Too many requests from there.
    RateLimited {
        /// Seconds after which the next one is accepted, at least 1.
        retry_after_s: u32,
    },
    /// The request is larger than the server's fixed buffers.
    TooLarge,
    /// The server does not do that.
    Unsupported(&'static str),
}

/// An [`Error`] as the protocols show it.
pub struct Meaning {
    /// The stable word.
    pub word: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// One sentence for people.
    pub detail: &'static str,
}

impl Error {
    /// The words of all errors, in the order of [`Error::index`].
    pub const WORDS: [&'static str; 19] = [
        "bad_request",
        "bad_json",
        "bad_id",
        "bad_endpoint",
        "endpoint_not_yours",
        "bad_network",
        "network_not_served",
        "id_taken",
        "bad_token",
        "token_required",
        "pow_required",
        "bad_pow",
        "bad_signature",
        "signature_required",
        "stale_seq",
        "table_full",
        "rate_limited",
        "too_large",
        "unsupported",
    ];

    /// The error's place in [`Error::WORDS`].
    pub const fn index(self) -> usize {
        match self {
            Self::BadRequest(_) => 0,
            Self::BadJson => 1,
            Self::BadId => 2,
            Self::BadEndpoint => 3,
            Self::EndpointNotYours => 4,
            Self::BadNetwork => 5,
            Self::NetworkNotServed => 6,
            Self::IdTaken => 7,
            Self::BadToken => 8,
            Self::TokenRequired => 9,
            Self::PowRequired(_) => 10,
            Self::BadPow => 11,
            Self::BadSignature => 12,
            Self::SignatureRequired => 13,
            Self::StaleSeq => 14,
            Self::TableFull => 15,
            Self::RateLimited { .. } => 16,
            Self::TooLarge => 17,
            Self::Unsupported(_) => 18,
        }
    }

    /// What every protocol makes of the error: the one place that maps it to a word, a status and a sentence.
    pub fn meaning(self) -> Meaning {
        let (status, detail) = match self {
            Self::BadRequest(detail) | Self::Unsupported(detail) => (400, detail),
            Self::BadJson => {
                (400, "the body must be one JSON object, strict, without duplicate keys, not nested deeply")
            }
            Self::BadId => (400, "id must be 1 to 64 bytes of [A-Za-z0-9._:-]"),
            Self::BadEndpoint => {
                (400, "endpoints must be 1 to 4 of scheme://host:port, with a host that can be reached")
            }
            Self::EndpointNotYours => (403, "an endpoint must have the address the announce comes from"),
            Self::BadNetwork => (400, "network must be 1 to 64 bytes of [A-Za-z0-9._-]"),
            Self::NetworkNotServed => (403, "this server serves other networks"),
            Self::IdTaken => {
                (409, "another address registered this id; send its token or wait until it expires")
            }
            Self::BadToken => (400, "token must be one this server gave out"),
            Self::TokenRequired => (403, "send the token this server gave to your address"),
            Self::PowRequired(_) => (428, "solve the challenge and announce again"),
            Self::BadPow => (400, "the proof of work is wrong, expired, or was made for another announce"),
            Self::BadSignature => (400, "the signature does not verify"),
            Self::SignatureRequired => (403, "this server takes signed records only"),
            Self::StaleSeq => (409, "seq must be higher than in the record this server has"),
            Self::TableFull => (503, "no place for another peer from your part of the network"),
            Self::RateLimited { .. } => (429, "too many requests from your address"),
            Self::TooLarge => (413, "the request is larger than this server takes"),
        };
        Meaning { word: Self::WORDS.get(self.index()).copied().unwrap_or_default(), status, detail }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meaning = self.meaning();
        write!(f, "{}: {}", meaning.word, meaning.detail)
    }
}

impl core::error::Error for Error {}
