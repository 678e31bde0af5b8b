//! What every transport asks of the engine.

use crate::addr::CanonicalAddr;
use crate::endpoint::Endpoint;
use crate::engine::token::Token;
use crate::id::{NetworkKey, PeerId};
pub use crate::limits::MAX_SCHEMES;
use crate::limits::{MAX_ENDPOINTS, MAX_SAMPLE};

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
}

impl Protocol {
    /// Names of all protocols, in the order of their discriminants.
    pub const NAMES: [&'static str; 2] = ["http", "udp_json"];
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
    /// What would an announce cost?
    Challenge,
    /// Who is there?
    Peers(PeersQuery<'a>),
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
    /// The token of its registration, for an announce from another address.
    pub owner: Option<Token>,
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
}

/// The endpoints of one peer.
pub type EndpointList<'a> = heapless::Vec<Endpoint<'a>, MAX_ENDPOINTS>;

/// Schemes a client understands; at most [`MAX_SCHEMES`].
pub type SchemeList<'a> = heapless::Vec<&'a str, MAX_SCHEMES>;

const _: () = assert!(MAX_SAMPLE <= 64, "a sample lives on the stack");
