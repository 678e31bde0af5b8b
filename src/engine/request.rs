//! What every transport asks of the engine.

use crate::addr::CanonicalAddr;
use crate::endpoint::Endpoint;
use crate::engine::token::Token;
use crate::id::{NetworkKey, PeerId};
pub use crate::limits::MAX_SCHEMES;
use crate::limits::{MAX_ENDPOINTS, MAX_SAMPLE};
pub use crate::wire::json::{SealText, Work};

/// Who asks, and how.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// The asker's address as seen, or as a trusted proxy saw it.
    pub addr: CanonicalAddr,
    /// The asker's port.
    pub port: u16,
    /// Which protocol it speaks.
    pub protocol: Protocol,
    /// What shows that the address is really the asker's.
    pub proof: Proof,
}

/// A protocol, for statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// JSON over HTTP.
    Http,
    /// JSON over UDP.
    UdpJson,
    /// The DHT's protocol (BEP 5).
    Krpc,
    /// The UDP tracker protocol (BEP 15).
    UdpTracker,
    /// The HTTP tracker protocol (BEP 3).
    HttpTracker,
    /// Session traversal utilities for NAT (RFC 8489).
    Stun,
}

impl Protocol {
    /// Whether an announce can bring work.
    pub const fn has_place_for_work(self) -> bool {
        matches!(self, Self::Http | Self::UdpJson)
    }

    /// Names of all protocols, in the order of their discriminants.
    pub const NAMES: [&'static str; 6] = ["http", "udp_json", "krpc", "udp_tracker", "http_tracker", "stun"];
}

/// What shows that a source address is no forgery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing: a bare datagram.
    None,
    /// A token that was sent to that address.
    Token,
    /// A TCP handshake.
    Tcp,
}

/// A request, whatever protocol it came by.
#[derive(Clone, Debug)]
pub enum Request<'a> {
    /// Are you there?
    Ping,
    /// Which nodes of the DHT do you know? The answer is in kind: the protocol adds the nodes.
    FindNode,
    /// What would an announce cost?
    Challenge(ChallengeQuery<'a>),
    /// Who is there?
    Peers(PeersQuery<'a>),
    /// Who is there, as bare addresses?
    Contacts(NetworkKey, ContactsQuery),
    /// How many are there?
    Count(NetworkKey),
    /// Here I am, or no longer; and who else is there, as bare addresses?
    Track(Track<'a>),
    /// Here I am.
    Announce(Announce<'a>),
    /// I am going.
    Leave(Leave<'a>),
}

/// Asks for a uniform sample of a network's live peers.
#[derive(Clone, Debug)]
pub struct PeersQuery<'a> {
    /// In which network.
    pub network: NetworkKey,
    /// How many at most, 1..=50.
    pub limit: usize,
    /// Only endpoints of these schemes, and only peers that have one; all if empty.
    pub schemes: SchemeList<'a>,
    /// The asker's own id, to be left out.
    pub exclude: Option<PeerId<'a>>,
}

/// Asks for a uniform sample of a network's live peers as bare addresses: what BitTorrent's compact lists hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContactsQuery {
    /// How many at most, up to [`MAX_SAMPLE`].
    pub limit: usize,
    /// Of which address families.
    pub families: Families,
    /// Which of a peer's addresses is preferred.
    pub transport: Transport,
}

/// Sets of address families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// IPv4 and IPv6.
    Both,
}

/// What the asker will speak to the peers it is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// What a BitTorrent client tells its tracker.
#[derive(Clone, Debug)]
pub struct Track<'a> {
    /// Who it is.
    pub announce: Announce<'a>,
    /// What has happened.
    pub event: Event,
    /// Whom it wants to know of in the same network, itself left out.
    pub contacts: ContactsQuery,
}

/// What has happened to a BitTorrent client (BEP 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It has started, or nothing has happened.
    None,
    /// It has finished its download.
    Completed,
    /// It is going.
    Stopped,
}

/// Registers or refreshes a peer.
#[derive(Clone, Debug)]
pub struct Announce<'a> {
    /// In which network.
    pub network: NetworkKey,
    /// Under which id.
    pub id: PeerId<'a>,
    /// Where it can be reached.
    pub endpoints: EndpointList<'a>,
    /// How long it wants to be listed, in seconds; clamped to what the server allows.
    pub ttl_s: Option<u32>,
    /// Whether it has all there is to have in the network, and is a seeder in BitTorrent's terms.
    pub seeding: bool,
    /// The token of its registration, for an announce from another address.
    pub owner: Option<Token>,
    /// What it is signed with, if it is; not yet verified.
    pub seal: Option<SealText<'a>>,
    /// The work for a place, if that was asked for.
    pub work: Option<Work<'a>>,
}

/// Asks what the announce of a newcomer costs.
#[derive(Clone, Debug)]
pub struct ChallengeQuery<'a> {
    /// In which network.
    pub network: NetworkKey,
    /// Under which id; needed if it costs anything.
    pub id: Option<PeerId<'a>>,
}

/// Removes a peer.
#[derive(Clone, Debug)]
pub struct Leave<'a> {
    /// From which network.
    pub network: NetworkKey,
    /// Which peer.
    pub id: PeerId<'a>,
    /// The token of its registration, for a request from another address.
    pub owner: Option<Token>,
    /// What the leave of a signed peer is signed with; not yet verified.
    pub seal: Option<SealText<'a>>,
}

impl Families {
    /// The family of `addr`.
    pub fn of(addr: CanonicalAddr) -> Self {
        if addr.is_v4() { Self::V4 } else { Self::V6 }
    }

    /// Whether the family of `addr` is one of these.
    pub fn contain(self, addr: CanonicalAddr) -> bool {
        self == Self::Both || self == Self::of(addr)
    }
}

impl Transport {
    /// The scheme of endpoints that speak it.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// The endpoints of one peer.
pub type EndpointList<'a> = heapless::Vec<Endpoint<'a>, MAX_ENDPOINTS>;

/// Schemes a client understands; at most [`MAX_SCHEMES`].
pub type SchemeList<'a> = heapless::Vec<&'a str, MAX_SCHEMES>;

const _: () = assert!(MAX_SAMPLE <= 64, "a sample lives on the stack");
