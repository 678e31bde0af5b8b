//! Who is there: the question and the answer.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};

use super::fields::Fields;
use super::{address, nonsense, server_id};
use crate::client::failure::Failure;
use crate::client::json::{Document, plain_text};
use crate::endpoint::Endpoint;
use crate::id::{NetworkKey, PeerId};
use crate::limits::{MAX_ENDPOINTS, MAX_UDP_SAMPLE};
use crate::record::Seal;

/// Most peers of one answer that are looked at: more than a server sends.
const MAX_ANSWERED_PEERS: usize = 64;

/// Asks for peers: `GET /peers`, `find_peers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeersQuery {
    /// The network's name, or 40 hex digits.
    pub network: String,
    /// Most peers wanted, 1..=50.
    pub limit: u8,
    /// Schemes wanted; all if empty.
    pub transport: Vec<String>,
    /// The asker's own id, to be left out.
    pub exclude: Option<String>,
}

/// A peer as a server told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRecord {
    /// Its id; `None` where only an address was told.
    pub id: Option<String>,
    /// Where it can be reached, 1..=4, in canonical form and with a host.
    pub endpoints: Vec<String>,
    /// Seconds since the server last heard of it.
    pub age_s: Option<u32>,
    /// What it is signed with. The signature has been verified.
    pub seal: Option<Seal>,
}

/// The answer to a [`PeersQuery`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeersAnswer {
    /// The peers, in the server's order.
    pub peers: Vec<PeerRecord>,
    /// How many more it told of that are not right: malformed, or with a wrong signature.
    pub refused: usize,
    /// The asker's address as the server sees it.
    pub you: Option<IpAddr>,
    /// The server's id, 40 hex digits.
    pub bootstrap_id: Option<String>,
    /// The server's wall clock, in Unix seconds, if it has a credible one.
    pub server_time: Option<u64>,
    /// The address it came from, as far as there is one.
    pub from: Option<IpAddr>,
}

impl PeersQuery {
    /// The target of `GET /peers`. `nonce`, 16 to 64 hex digits, asks for a signature.
    pub fn target(&self, nonce: Option<&str>) -> String {
        let mut target = format!("/peers?network={}&limit={}", Encoded(&self.network), self.limit);
        if !self.transport.is_empty() {
            // A string takes everything.
            let _ = write!(target, "&transport={}", Encoded(&self.transport.join(",")));
        }
        if let Some(id) = &self.exclude {
            let _ = write!(target, "&exclude={}", Encoded(id));
        }
        if let Some(nonce) = nonce {
            let _ = write!(target, "&nonce={nonce}");
        }
        target
    }

    /// The `find_peers` datagram, `id` being the message's and `token` what proves our address. Over UDP at most 32
    /// peers can be asked for.
    pub fn datagram(&self, id: &str, token: &str) -> String {
        let mut fields = Fields::message("find_peers", id);
        fields.text("network", &self.network);
        fields.put("limit", usize::from(self.limit).min(MAX_UDP_SAMPLE));
        if !self.transport.is_empty() {
            fields.text("transport", &self.transport.join(","));
        }
        fields.maybe_text("exclude", self.exclude.as_deref());
        fields.text("token", token);
        fields.end()
    }
}

impl PeersAnswer {
    /// Reads the body of an answer to `GET /peers` about `network`. Peers that are not right are left out and counted.
    ///
    /// # Errors
    /// [`Failure::Nonsense`] if it is no such answer.
    pub fn parse(body: &[u8], network: NetworkKey) -> Result<Self, Failure> {
        let document = Document::parse(body).ok_or(Failure::Nonsense("no strict JSON object"))?;
        let list = document.list("peers").map_err(nonsense)?.ok_or(Failure::Nonsense("no peers"))?;
        let mut answer = Self {
            you: address(&document)?,
            bootstrap_id: server_id(&document, "bootstrap_id")?,
            server_time: document.number("server_time").map_err(nonsense)?,
            ..Self::default()
        };
        for entry in list {
            match PeerRecord::parse(entry, network).filter(|_| answer.peers.len() < MAX_ANSWERED_PEERS) {
                Some(record) => answer.peers.push(record),
                None => answer.refused = answer.refused.saturating_add(1),
            }
        }
        Ok(answer)
    }

    /// Reads a `peers` datagram: bare addresses, each of which becomes an endpoint of scheme `udp`.
    ///
    /// # Errors
    /// [`Failure::Nonsense`] if it is no such datagram.
    pub fn parse_datagram(datagram: &[u8]) -> Result<Self, Failure> {
        let document = Document::parse(datagram).ok_or(Failure::Nonsense("no strict JSON object"))?;
        let list = document.list("peers").map_err(nonsense)?.ok_or(Failure::Nonsense("no peers"))?;
        let mut answer = Self::default();
        for entry in list {
            let address = plain_text(entry).and_then(|text| text.parse::<SocketAddr>().ok());
            let endpoint = address.map(|address| format!("udp://{address}")).filter(|text| is_endpoint(text));
            match endpoint.filter(|_| answer.peers.len() < MAX_ANSWERED_PEERS) {
                Some(endpoint) => answer.peers.push(PeerRecord {
                    id: None,
                    endpoints: vec![endpoint],
                    age_s: None,
                    seal: None,
                }),
                None => answer.refused = answer.refused.saturating_add(1),
            }
        }
        Ok(answer)
    }
}

impl PeerRecord {
    /// Reads one peer of an answer about `network`; `None` if it is not right.
    fn parse(text: &str, network: NetworkKey) -> Option<Self> {
        let document = Document::parse(text.as_bytes())?;
        let id = document.text("id").ok()??;
        PeerId::parse(id).ok()?;
        let endpoints = document.texts("endpoints").ok()??;
        if !(1..=MAX_ENDPOINTS).contains(&endpoints.len()) || !endpoints.iter().all(|text| is_endpoint(text))
        {
            return None;
        }
        let seal =
            match (document.text("key").ok()?, document.number("seq").ok()?, document.text("sig").ok()?) {
                (None, None, None) => None,
                (Some(key), Some(seq), Some(sig)) => {
                    let seal = Seal::parse(key, seq, sig)?;
                    let signed = endpoints.iter().filter_map(|text| Endpoint::parse_canonical(text).ok());
                    let right = seal.id().id().as_str() == id && seal.verify(network, signed);
                    Some(seal).filter(|_| right)?.into()
                }
                _ => return None,
            };
        Some(Self {
            id: Some(id.into()),
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            age_s: document.number("age").ok()?,
            seal,
        })
    }
}

/// Whether a peer can be reached at `text`, spelt as a server spells it.
fn is_endpoint(text: &str) -> bool {
    Endpoint::parse_canonical(text).is_ok()
}

/// A text as it may stand in the query of a target: percent-encoded where it must be (RFC 3986 section 2).
struct Encoded<'t>(&'t str);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.bytes().try_for_each(|byte| {
            if byte.is_ascii_alphanumeric() || b"-._~:,".contains(&byte) {
                f.write_char(char::from(byte))
            } else {
                write!(f, "%{byte:02X}")
            }
        })
    }
}
