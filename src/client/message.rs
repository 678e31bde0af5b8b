//! What is asked of a server and what it answers, the same over HTTP and UDP: values, and their JSON.

use std::fmt::{self, Write as _};
use std::net::{IpAddr, SocketAddr};

use super::failure::Failure;
use super::json::{Document, Odd, plain_text};
use crate::endpoint::Endpoint;
use crate::id::{NetworkKey, PeerId};
use crate::limits::{MAX_ENDPOINTS, MAX_UDP_SAMPLE};
use crate::quoted::Quoted;
use crate::record::{KEY_TEXT_BYTES, SIG_TEXT_BYTES, Seal, put_key, put_sig};
use crate::wire::hex;
use crate::wire::{Full, Writer};

/// Most peers of one answer that are looked at: more than a server sends.
const MAX_ANSWERED_PEERS: usize = 64;
/// Longest token or challenge that is kept, in bytes: those of servers have 11 and 54.
const MAX_TOKEN_BYTES: usize = 256;

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

/// An announce: `POST /announce`, or a datagram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announce {
    /// The network's name, or 40 hex digits.
    pub network: String,
    /// The peer's id; `None` only of a signed one, whose id is its key's.
    pub id: Option<String>,
    /// Where it can be reached, 1..=4.
    pub endpoints: Vec<String>,
    /// The life wanted, in seconds.
    pub ttl_s: Option<u32>,
    /// The token of the registration.
    pub token: Option<String>,
    /// Work: the challenge, and the nonce that solves it.
    pub pow: Option<(String, u64)>,
    /// What it is signed with.
    pub seal: Option<Seal>,
}

/// A goodbye: `POST /leave`, or a datagram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leave {
    /// The network's name, or 40 hex digits.
    pub network: String,
    /// The peer's id; `None` only of a signed one.
    pub id: Option<String>,
    /// The token of the registration.
    pub token: Option<String>,
    /// The signature of a record without endpoints.
    pub seal: Option<Seal>,
}

/// What a server says to an announce, unless it refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnnounceAnswer {
    /// It is registered.
    Registered {
        /// Seconds until it expires.
        expires_s: u32,
        /// The peer's id.
        id: Option<String>,
        /// The announcer's address as the server sees it.
        you: Option<IpAddr>,
        /// Gives the right to refresh and leave from another address.
        token: Option<String>,
    },
    /// It must come again, with work.
    WorkWanted {
        /// The challenge.
        challenge: String,
        /// How many bits of work.
        difficulty: u8,
    },
}

/// The answer to a `ping` over UDP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pong {
    /// The server's id, 40 hex digits. Another one than before means that it started anew.
    pub server_id: Option<String>,
    /// The asker's address and port as the server sees them.
    pub you: Option<SocketAddr>,
}

/// How a server is, from `GET /health`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// `healthy` or `degraded`.
    pub status: String,
    /// Seconds since it started.
    pub uptime_s: Option<u64>,
    /// How many peers it has; small numbers are rounded.
    pub peers: Option<u64>,
    /// Its version.
    pub version: Option<String>,
}

/// What `GET /.well-known/waypost` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WellKnown {
    /// Servers that serve for this one, with their priorities, lowest first; empty = it serves itself.
    pub servers: Vec<(String, u32)>,
    /// Its id, 40 hex digits.
    pub bootstrap_id: Option<String>,
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

impl Announce {
    /// The JSON of `POST /announce`.
    pub fn body(&self) -> String {
        let mut fields = Fields::default();
        fields.maybe_text("id", self.id.as_deref());
        self.put(&mut fields);
        fields.maybe_text("token", self.token.as_deref());
        fields.end()
    }

    /// The datagram, `id` being the message's and `token` what proves our address.
    pub fn datagram(&self, id: &str, token: &str) -> String {
        let mut fields = Fields::message("announce", id);
        fields.maybe_text("peer_id", self.id.as_deref());
        self.put(&mut fields);
        fields.text("token", token);
        fields.end()
    }

    /// The fields that are the same over HTTP and UDP.
    fn put(&self, fields: &mut Fields) {
        fields.text("network", &self.network);
        let endpoints: Vec<String> = self.endpoints.iter().map(|text| Quoted(text).to_string()).collect();
        fields.put("endpoints", format_args!("[{}]", endpoints.join(",")));
        if let Some(ttl) = self.ttl_s {
            fields.put("ttl", format_args!("{ttl}"));
        }
        if let Some((challenge, nonce)) = &self.pow {
            fields.put("pow", format_args!("{{\"challenge\":{},\"nonce\":{nonce}}}", Quoted(challenge)));
        }
        fields.seal(self.seal.as_ref());
    }
}

impl Leave {
    /// The JSON of `POST /leave`.
    pub fn body(&self) -> String {
        let mut fields = Fields::default();
        fields.maybe_text("id", self.id.as_deref());
        fields.text("network", &self.network);
        fields.maybe_text("token", self.token.as_deref());
        fields.seal(self.seal.as_ref());
        fields.end()
    }

    /// The datagram, `id` being the message's and `token` what proves our address.
    pub fn datagram(&self, id: &str, token: &str) -> String {
        let mut fields = Fields::message("leave", id);
        fields.maybe_text("peer_id", self.id.as_deref());
        fields.text("network", &self.network);
        fields.seal(self.seal.as_ref());
        fields.text("token", token);
        fields.end()
    }

    /// Whether the server says that somebody left: the answer to `POST /leave`, or an `ack`.
    ///
    /// # Errors
    /// [`Failure::Nonsense`] if it is no such answer, [`Failure::Refused`] if it carries an error.
    pub fn parse_answer(body: &[u8]) -> Result<bool, Failure> {
        let document = Document::parse(body).ok_or(Failure::Nonsense("no strict JSON object"))?;
        refusal(&document, None)?;
        document.flag("removed").map_err(nonsense)?.ok_or(Failure::Nonsense("no removed"))
    }
}

impl AnnounceAnswer {
    /// Reads the answer to an announce, over HTTP (200, 428) or UDP (`ack`).
    ///
    /// # Errors
    /// [`Failure::Refused`] if the server refuses, [`Failure::Nonsense`] if it is no such answer.
    pub fn parse(body: &[u8]) -> Result<Self, Failure> {
        let document = Document::parse(body).ok_or(Failure::Nonsense("no strict JSON object"))?;
        if document.text("error").map_err(nonsense)? == Some("pow_required") {
            let challenge =
                document.text("challenge").map_err(nonsense)?.filter(|text| text.len() <= MAX_TOKEN_BYTES);
            let difficulty = document.number("difficulty").map_err(nonsense)?;
            return match challenge.zip(difficulty) {
                Some((challenge, difficulty)) => {
                    Ok(Self::WorkWanted { challenge: challenge.into(), difficulty })
                }
                None => Err(Failure::Nonsense("no challenge")),
            };
        }
        refusal(&document, None)?;
        if document.flag("registered").map_err(nonsense)? != Some(true) {
            return Err(Failure::Nonsense("neither registered nor refused"));
        }
        let id = document.text("id").map_err(nonsense)?;
        let token = document.text("token").map_err(nonsense)?.filter(|token| token.len() <= MAX_TOKEN_BYTES);
        Ok(Self::Registered {
            expires_s: document
                .number("expires")
                .map_err(nonsense)?
                .ok_or(Failure::Nonsense("no expires"))?,
            id: document.text("peer_id").map_err(nonsense)?.or(id).map(Into::into),
            you: address(&document)?,
            token: token.map(Into::into),
        })
    }
}

impl Pong {
    /// The `ping` datagram, `id` being the message's.
    pub fn datagram(id: &str) -> String {
        Fields::message("ping", id).end()
    }

    /// Reads a `pong`.
    ///
    /// # Errors
    /// [`Failure::Nonsense`] if it is none.
    pub fn parse(datagram: &[u8]) -> Result<Self, Failure> {
        let document = Document::parse(datagram).ok_or(Failure::Nonsense("no strict JSON object"))?;
        let you = document.text("you").map_err(nonsense)?;
        Ok(Self {
            server_id: server_id(&document, "server_id")?,
            you: you.map(|text| text.parse().map_err(|_| Failure::Nonsense("you"))).transpose()?,
        })
    }
}

impl Health {
    /// Reads the body of `GET /health`.
    ///
    /// # Errors
    /// [`Failure::Nonsense`] if it is none.
    pub fn parse(body: &[u8]) -> Result<Self, Failure> {
        let document = Document::parse(body).ok_or(Failure::Nonsense("no strict JSON object"))?;
        let status = document.text("status").map_err(nonsense)?;
        let status = status.filter(|status| matches!(*status, "healthy" | "degraded"));
        let peers = document.object("peers").map_err(nonsense)?;
        Ok(Self {
            status: status.ok_or(Failure::Nonsense("no status"))?.into(),
            uptime_s: document.number("uptime_seconds").map_err(nonsense)?,
            peers: peers.map_or(Ok(None), |peers| peers.number("total")).map_err(nonsense)?,
            version: document.text("version").map_err(nonsense)?.map(Into::into),
        })
    }
}

impl WellKnown {
    /// Reads the body of `GET /.well-known/waypost`.
    ///
    /// # Errors
    /// [`Failure::Nonsense`] if it is none.
    pub fn parse(body: &[u8]) -> Result<Self, Failure> {
        let document = Document::parse(body).ok_or(Failure::Nonsense("no strict JSON object"))?;
        let mut servers = Vec::new();
        for entry in document.list("servers").map_err(nonsense)?.ok_or(Failure::Nonsense("no servers"))? {
            let server = Document::parse(entry.as_bytes()).ok_or(Failure::Nonsense("servers"))?;
            let url = server.text("url").map_err(nonsense)?.ok_or(Failure::Nonsense("no url"))?;
            servers.push((url.into(), server.number("priority").map_err(nonsense)?.unwrap_or(1)));
        }
        servers.sort_by_key(|(_, priority)| *priority);
        Ok(Self { servers, bootstrap_id: server_id(&document, "bootstrap_id")? })
    }
}

/// The refusal in an answer, if there is one.
///
/// # Errors
/// It, as [`Failure::Refused`].
pub(crate) fn refusal(document: &Document<'_>, retry_after_s: Option<u32>) -> Result<(), Failure> {
    let Some(word) = document.text("error").map_err(nonsense)? else { return Ok(()) };
    let detail = document.text("detail").unwrap_or_default().unwrap_or_default();
    let cut = |text: &str| text.chars().take(200).collect();
    Err(Failure::Refused { word: cut(word), detail: cut(detail), retry_after_s })
}

fn nonsense(Odd(field): Odd) -> Failure {
    Failure::Nonsense(field)
}

/// `you`: an address, over UDP with a port.
fn address(document: &Document<'_>) -> Result<Option<IpAddr>, Failure> {
    let Some(text) = document.text("you").map_err(nonsense)? else { return Ok(None) };
    let with_port = || text.parse::<SocketAddr>().map(|addr| addr.ip());
    text.parse().or_else(|_| with_port()).map(Some).map_err(|_| Failure::Nonsense("you"))
}

/// The id of a server: 40 hex digits.
fn server_id(document: &Document<'_>, key: &'static str) -> Result<Option<String>, Failure> {
    let Some(text) = document.text(key).map_err(nonsense)? else { return Ok(None) };
    hex::decode::<20>(text.as_bytes()).map(|_| Some(text.to_ascii_lowercase())).ok_or(Failure::Nonsense(key))
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

/// A JSON object that is being written.
#[derive(Default)]
struct Fields(String);

impl Fields {
    /// A datagram of this type and id.
    fn message(kind: &str, id: &str) -> Self {
        let mut fields = Self::default();
        fields.text("type", kind);
        fields.text("id", id);
        fields
    }

    fn put(&mut self, key: &str, value: impl fmt::Display) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        // A string takes everything.
        let _ = write!(self.0, "\"{key}\":{value}");
    }

    fn text(&mut self, key: &str, text: &str) {
        self.put(key, Quoted(text));
    }

    fn maybe_text(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    fn seal(&mut self, seal: Option<&Seal>) {
        if let Some(seal) = seal {
            self.text("key", &written::<KEY_TEXT_BYTES>(|out| put_key(&seal.key, out)));
            self.put("seq", seal.seq);
            self.text("sig", &written::<SIG_TEXT_BYTES>(|out| put_sig(&seal.sig, out)));
        }
    }

    fn end(mut self) -> String {
        self.0.push_str(if self.0.is_empty() { "{}" } else { "}" });
        self.0
    }
}

/// What `put` writes in at most `N` bytes.
fn written<const N: usize>(put: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> String {
    let mut buffer = [0; N];
    let mut out = Writer::new(&mut buffer);
    // There is room for it: `N` is its length.
    let _ = put(&mut out);
    String::from_utf8_lossy(out.written()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN_KEY: &str = "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg";
    const GOLDEN_SIG: &str =
        "TcWWNOlA_Gcl7zllZdHj2-jANVPdnwr-XKTR6yqCAXaqxkm0nQVzwenLxN8Hu0I3bi0Npl5W7jrb7AgpOzmcDA";
    const GOLDEN_ID: &str = "56475aa75463474c0285df5dbf2bcab73da65135";

    fn network() -> NetworkKey {
        NetworkKey::of_name("pscryptochat").unwrap()
    }

    #[test]
    fn an_answer_is_read_and_what_is_wrong_in_it_left_out() {
        let signed = |id: &str, port: u16| {
            format!(
                r#"{{"id":"{id}","endpoints":["tcp://198.51.100.7:{port}","udp://[2001:db8::7]:9001"],"age":1,"key":"{GOLDEN_KEY}","seq":7,"sig":"{GOLDEN_SIG}"}}"#
            )
        };
        let peers = [
            r#"{"id":"alice","endpoints":["tcp://192.0.2.1:9000"],"age":3,"last_seen":1795390000}"#.into(),
            signed(GOLDEN_ID, 9000),
            signed(GOLDEN_ID, 9001),
            signed("alice", 9000),
            r#"{"id":"","endpoints":["tcp://192.0.2.1:9000"]}"#.into(),
            r#"{"id":"b","endpoints":[]}"#.into(),
            r#"{"id":"b","endpoints":["tcp://:9000"]}"#.into(),
            r#"{"id":"b","endpoints":["tcp://224.0.0.1:9000"]}"#.into(),
            r#"{"id":"b","endpoints":["tcp://192.0.2.1:9000"],"key":"A"}"#.into(),
            "7".into(),
        ];
        let body = format!(
            r#"{{"peers":[{}],"server_time":1795390003,"ttl":300,"bootstrap_id":"{}","you":"192.0.2.9","new":[{{}}]}}"#,
            peers.join(","),
            "AB".repeat(20)
        );
        let answer = PeersAnswer::parse(body.as_bytes(), network()).unwrap();
        assert_eq!((answer.peers.len(), answer.refused), (2, 8));
        assert_eq!(answer.peers[0].age_s, Some(3));
        assert_eq!(answer.peers[1].seal.unwrap().seq, 7);
        assert_eq!((answer.you, answer.server_time), ("192.0.2.9".parse().ok(), Some(1_795_390_003)));
        assert_eq!(answer.bootstrap_id, Some("ab".repeat(20)));
        for end in 0..body.len() {
            assert!(PeersAnswer::parse(&body.as_bytes()[..end], network()).is_err());
        }
    }

    #[test]
    fn a_datagram_tells_addresses() {
        let datagram = br#"{"type":"peers","id":"1","peers":["192.0.2.1:4000","[2001:db8::1]:5","x","0.0.0.0:1"],"token":"t"}"#;
        let answer = PeersAnswer::parse_datagram(datagram).unwrap();
        let endpoints: Vec<&str> = answer.peers.iter().map(|peer| peer.endpoints[0].as_str()).collect();
        assert_eq!(endpoints, ["udp://192.0.2.1:4000", "udp://[2001:db8::1]:5"]);
        assert_eq!(answer.refused, 2);
    }

    #[test]
    fn requests_are_what_the_server_reads() {
        let seal = Seal::parse(GOLDEN_KEY, 7, GOLDEN_SIG).unwrap();
        let announce = Announce {
            network: "chess".into(),
            id: Some("a".into()),
            endpoints: vec!["tcp://:9000".into()],
            ttl_s: Some(60),
            token: Some("T".into()),
            pow: Some(("C".into(), 5)),
            seal: Some(seal),
        };
        let body = announce.body();
        let read = crate::wire::json::AnnounceBody::parse(body.as_bytes()).unwrap();
        assert_eq!(
            (read.id, read.network, read.ttl_s, read.token),
            (Some("a"), Some("chess"), Some(60), Some("T"))
        );
        assert_eq!(read.endpoints.unwrap(), ["tcp://:9000"]);
        assert_eq!(read.work.unwrap().nonce, 5);
        assert_eq!((read.seal.unwrap().key, read.seal.unwrap().sig), (GOLDEN_KEY, GOLDEN_SIG));
        assert_eq!(Leave::default().body(), r#"{"network":""}"#);
        let leave = Leave { network: "chess".into(), id: Some("a".into()), ..Leave::default() };
        assert_eq!(
            leave.datagram("7", "T"),
            r#"{"type":"leave","id":"7","peer_id":"a","network":"chess","token":"T"}"#
        );
        let query = PeersQuery {
            network: "chess".into(),
            limit: 5,
            transport: vec!["tcp".into(), "a+b".into()],
            exclude: Some("me".into()),
        };
        assert_eq!(
            query.target(Some("00")),
            "/peers?network=chess&limit=5&transport=tcp,a%2Bb&exclude=me&nonce=00"
        );
        let odd = PeersQuery { network: "a b&c\r\né".into(), ..query.clone() };
        assert!(odd.target(None).starts_with("/peers?network=a%20b%26c%0D%0A%C3%A9&limit=5"));
        let datagram = PeersQuery { limit: 50, ..query }.datagram("7", "T");
        let read = crate::wire::json::UdpMessage::parse(datagram.as_bytes()).unwrap();
        assert_eq!((read.id, read.token, read.query().unwrap().limit), ("7", Some("T"), Some(32)));
    }

    #[test]
    fn a_pong_is_read() {
        let id = "AB".repeat(20);
        let pong = format!(r#"{{"type":"pong","id":"1","server_id":"{id}","you":"[2001:db8::1]:7"}}"#);
        let read = Pong::parse(pong.as_bytes()).unwrap();
        assert_eq!(read, Pong { server_id: Some(id.to_lowercase()), you: "[2001:db8::1]:7".parse().ok() });
        assert_eq!(Pong::parse(br#"{"type":"pong","id":"1"}"#), Ok(Pong::default()));
        assert!(Pong::parse(br#"{"you":"192.0.2.1"}"#).is_err());
    }

    #[test]
    fn answers_to_announces_are_told_apart() {
        let read = |text: &str| AnnounceAnswer::parse(text.as_bytes());
        assert_eq!(
            read(r#"{"registered":true,"expires":300,"id":"a","you":"192.0.2.1","token":"T"}"#),
            Ok(AnnounceAnswer::Registered {
                expires_s: 300,
                id: Some("a".into()),
                you: "192.0.2.1".parse().ok(),
                token: Some("T".into())
            })
        );
        let ack =
            r#"{"type":"ack","id":"1","peer_id":"a","registered":true,"expires":30,"you":"[2001:db8::1]:7"}"#;
        assert!(matches!(read(ack), Ok(AnnounceAnswer::Registered { id: Some(id), .. }) if id == "a"));
        let work =
            r#"{"registered":false,"error":"pow_required","challenge":"C","difficulty":16,"expires":120}"#;
        assert_eq!(read(work), Ok(AnnounceAnswer::WorkWanted { challenge: "C".into(), difficulty: 16 }));
        let full = read(r#"{"registered":false,"error":"table_full","detail":"No place."}"#).unwrap_err();
        assert!(matches!(full, Failure::Refused { word, .. } if word == "table_full"));
        assert!(read("{}").is_err() && read(r#"{"registered":true}"#).is_err());
        assert_eq!(Leave::parse_answer(br#"{"removed":true}"#), Ok(true));
    }
}
