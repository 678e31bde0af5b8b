//! KRPC, the DHT's protocol (BEP 5), with its extensions for IPv6 (BEP 32), node ids (BEP 42), read-only nodes (BEP 43), and
//! seeds (BEP 33).

use core::net::IpAddr;

use heapless::Vec;

use super::bencode::{Dict, Malformed, Value, put_bytes, put_integer, put_length};
use super::{Full, Writer};
use crate::addr::CanonicalAddr;

/// Longest transaction id that is sent back, in bytes. Clients use two to eight.
const MAX_TRANSACTION_BYTES: usize = 32;
/// Most nodes in one list (BEP 5: K = 8).
pub const MAX_NODES: usize = 8;
/// Length of a compact node of each family, in bytes.
const NODE_V4_BYTES: usize = 26;
const NODE_V6_BYTES: usize = 38;
/// Nodes that values leave room for, if there are any.
const NODES_BESIDE_VALUES: usize = 2;

/// Names a node, or a torrent.
pub type Id = [u8; 20];

/// A message that is for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Asks for something.
    Query(Query<'a>),
    /// Answers something.
    Response(Response<'a>),
}

/// Why a message is not for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drop {
    /// No KRPC message.
    Malformed,
    /// An error, which must never be answered.
    NotARequest,
}

/// A query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// To be sent back: 1 to 32 bytes.
    pub transaction: &'a [u8],
    /// The asker must not be taken for a node (BEP 43).
    pub read_only: bool,
    /// Which nodes it wants (BEP 32); neither for those of the packet's family.
    pub want: Want,
    /// What it asks.
    pub method: Method<'a>,
}

/// The families of nodes asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// `nodes`.
    pub v4: bool,
    /// `nodes6`.
    pub v6: bool,
}

/// What a query asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method<'a> {
    /// Are you there?
    Ping,
    /// Who is near this id? Also any method that is not known and has a target (BEP 51).
    FindNode,
    /// Who has this torrent?
    GetPeers(Id),
    /// I have.
    AnnouncePeer(AnnouncePeer<'a>),
    /// Arguments are missing or malformed.
    BadArguments,
    /// Nobody knows.
    Unknown,
}

/// The arguments of `announce_peer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnnouncePeer<'a> {
    /// Which torrent.
    pub info_hash: Id,
    /// Where it listens, 1..=65535; `None` for the port the query comes from (`implied_port`).
    pub port: Option<u16>,
    /// What it was given with `get_peers`.
    pub token: &'a [u8],
    /// It has all there is (BEP 33).
    pub seed: bool,
}

/// An answer to a query of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// Of the query.
    pub transaction: &'a [u8],
    /// The node's id.
    pub id: Id,
    /// Our address and port as the node sees them, in compact form (BEP 42); empty if it does not say.
    pub ip: &'a [u8],
    /// Compact nodes.
    pub nodes: &'a [[u8; NODE_V4_BYTES]],
    /// Compact nodes of IPv6.
    pub nodes6: &'a [[u8; NODE_V6_BYTES]],
}

/// A node, as it is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Its id.
    pub id: Id,
    /// Its address.
    pub addr: CanonicalAddr,
    /// Its port.
    pub port: u16,
}

impl<'a> Message<'a> {
    /// Takes a datagram as a message.
    ///
    /// # Errors
    /// [`Drop`]: such a message gets silence.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Drop> {
        let message = Dict::parse(datagram).map_err(|Malformed| Drop::Malformed)?;
        let transaction = message.bytes(b"t").filter(|t| (1..=MAX_TRANSACTION_BYTES).contains(&t.len()));
        let transaction = transaction.ok_or(Drop::Malformed)?;
        match message.bytes(b"y") {
            Some(b"q") => Query::of(message, transaction).map(Self::Query),
            Some(b"r") => Response::of(message, transaction).map(Self::Response),
            Some(b"e") => Err(Drop::NotARequest),
            _ => Err(Drop::Malformed),
        }
    }
}

impl<'a> Query<'a> {
    fn of(message: Dict<'a>, transaction: &'a [u8]) -> Result<Self, Drop> {
        let name = message.bytes(b"q").ok_or(Drop::Malformed)?;
        let arguments = message.dict(b"a").ok_or(Drop::Malformed)?;
        let want = match arguments.get(b"want") {
            Some(Value::List(list)) => Want { v4: list.has(b"n4"), v6: list.has(b"n6") },
            _ => Want::default(),
        };
        let read_only = message.integer(b"ro") == Some(1);
        Ok(Self { transaction, read_only, want, method: Method::of(name, arguments) })
    }
}

impl<'a> Method<'a> {
    fn of(name: &[u8], arguments: Dict<'a>) -> Self {
        let id = |key| arguments.bytes(key).and_then(|bytes| Id::try_from(bytes).ok());
        if id(b"id").is_none() {
            return Self::BadArguments;
        }
        let target = id(b"target");
        let info_hash = id(b"info_hash");
        match (name, target, info_hash) {
            (b"ping", ..) => Self::Ping,
            (b"find_node", Some(_), _) => Self::FindNode,
            (b"get_peers", _, Some(info_hash)) => Self::GetPeers(info_hash),
            (b"announce_peer", _, Some(info_hash)) => {
                AnnouncePeer::of(info_hash, arguments).map_or(Self::BadArguments, Self::AnnouncePeer)
            }
            (b"find_node" | b"get_peers" | b"announce_peer", ..) => Self::BadArguments,
            (_, None, None) => Self::Unknown,
            _ => Self::FindNode,
        }
    }
}

impl<'a> AnnouncePeer<'a> {
    fn of(info_hash: Id, arguments: Dict<'a>) -> Option<Self> {
        let port = if arguments.integer(b"implied_port").unwrap_or(0) == 0 {
            Some(
                arguments
                    .integer(b"port")
                    .and_then(|port| u16::try_from(port).ok())
                    .filter(|&port| port != 0)?,
            )
        } else {
            None
        };
        let seed = arguments.integer(b"seed") == Some(1);
        Some(Self { info_hash, port, token: arguments.bytes(b"token")?, seed })
    }
}

impl<'a> Response<'a> {
    fn of(message: Dict<'a>, transaction: &'a [u8]) -> Result<Self, Drop> {
        let values = message.dict(b"r").ok_or(Drop::Malformed)?;
        let id = values.bytes(b"id").and_then(|bytes| Id::try_from(bytes).ok()).ok_or(Drop::Malformed)?;
        Ok(Self {
            transaction,
            id,
            ip: message.bytes(b"ip").unwrap_or_default(),
            nodes: values.bytes(b"nodes").unwrap_or_default().as_chunks().0,
            nodes6: values.bytes(b"nodes6").unwrap_or_default().as_chunks().0,
        })
    }
}

/// An answer under way, to a query that came from `addr` and `port`.
pub struct Answer<'a> {
    /// Of the query.
    pub transaction: &'a [u8],
    /// Where it came from.
    pub addr: CanonicalAddr,
    /// And from which port.
    pub port: u16,
}

/// What a response holds beside the server's id.
#[derive(Default)]
pub struct Found<'v> {
    /// Proves the asker's address in `announce_peer`.
    pub token: Option<[u8; 8]>,
    /// Peers, all of the packet's family.
    pub values: &'v [(CanonicalAddr, u16)],
    /// Nodes of IPv4, if they are wanted.
    pub nodes: Option<&'v [Contact]>,
    /// Nodes of IPv6, if they are wanted.
    pub nodes6: Option<&'v [Contact]>,
}

impl Answer<'_> {
    /// Writes a response: as many values as fit, and as many nodes as fit beside them.
    ///
    /// # Errors
    /// [`Full`] if not even one without values and nodes fits.
    pub fn emit_response(&self, id: &Id, found: &Found<'_>, out: &mut Writer<'_>) -> Result<(), Full> {
        out.put(b"d")?;
        self.emit_ip(out)?;
        out.put(b"1:rd2:id")?;
        put_bytes(id, out)?;
        let token_bytes = found.token.map_or(0, |token| b"5:token8:".len().saturating_add(token.len()));
        let end_bytes = self.end_bytes().saturating_add(b"e".len()).saturating_add(token_bytes);
        let mut room = out.room().checked_sub(end_bytes).ok_or(Full)?;

        let values = self.values_that_fit(found, room);
        room = room.saturating_sub(list_bytes(values));
        for (key, nodes, bytes) in
            [(&b"5:nodes"[..], found.nodes, NODE_V4_BYTES), (b"6:nodes6", found.nodes6, NODE_V6_BYTES)]
        {
            let Some(nodes) = nodes else { continue };
            // In front of the string are its key, up to three digits, and a colon.
            let Some(fit) = room.checked_sub(key.len().saturating_add(4)) else { continue };
            let nodes = nodes.get(..fit.checked_div(bytes).unwrap_or(0)).unwrap_or(nodes);
            let mark = out.len();
            out.put(key)?;
            put_length(nodes.len().saturating_mul(bytes), out)?;
            for node in nodes {
                out.put(&node.id)?;
                out.put_compact(node.addr, node.port)?;
            }
            room = room.saturating_sub(out.len().saturating_sub(mark));
        }
        if let Some(token) = found.token {
            out.put(b"5:token")?;
            put_bytes(&token, out)?;
        }
        if !values.is_empty() {
            out.put(b"6:valuesl")?;
            for &(addr, port) in values {
                put_compact(addr, port, out)?;
            }
            out.put(b"e")?;
        }
        out.put(b"e")?;
        self.emit_end(b"r", out)
    }

    /// Writes an error (BEP 5): 201 generic, 202 server, 203 protocol, 204 unknown method.
    ///
    /// # Errors
    /// [`Full`] if it does not fit.
    pub fn emit_error(&self, code: u32, text: &str, out: &mut Writer<'_>) -> Result<(), Full> {
        out.put(b"d1:el")?;
        put_integer(code, out)?;
        put_bytes(text.as_bytes(), out)?;
        out.put(b"e")?;
        self.emit_ip(out)?;
        self.emit_end(b"e", out)
    }

    /// The first of the values, as many as fit into `room` bytes and leave some to nodes.
    fn values_that_fit<'v>(&self, found: &Found<'v>, room: usize) -> &'v [(CanonicalAddr, u16)] {
        let node_bytes = if self.addr.is_v4() { NODE_V4_BYTES } else { NODE_V6_BYTES };
        let nodes = found.nodes.or(found.nodes6).map_or(0, <[_]>::len).min(NODES_BESIDE_VALUES);
        let kept = if nodes == 0 {
            0
        } else {
            nodes.saturating_mul(node_bytes).saturating_add(b"6:nodes6000:".len())
        };
        let mut fit = found.values.len();
        while list_bytes(found.values.get(..fit).unwrap_or_default()).saturating_add(kept) > room && fit > 0 {
            fit = fit.saturating_sub(1);
        }
        found.values.get(..fit).unwrap_or_default()
    }

    /// Who asked, as we see it (BEP 42).
    fn emit_ip(&self, out: &mut Writer<'_>) -> Result<(), Full> {
        out.put(b"2:ip")?;
        put_compact(self.addr, self.port, out)
    }

    fn emit_end(&self, kind: &[u8; 1], out: &mut Writer<'_>) -> Result<(), Full> {
        out.put(b"1:t")?;
        put_bytes(self.transaction, out)?;
        out.put(b"1:y1:")?;
        out.put(kind)?;
        out.put(b"e")
    }

    /// Length of what [`Answer::emit_end`] writes, with up to two digits of a length.
    fn end_bytes(&self) -> usize {
        let digits = if self.transaction.len() < 10 { 1 } else { 2 };
        b"1:t:1:y1:re".len().saturating_add(digits).saturating_add(self.transaction.len())
    }
}

/// Writes an address and a port as a string in compact form.
fn put_compact(addr: CanonicalAddr, port: u16, out: &mut Writer<'_>) -> Result<(), Full> {
    out.put(if addr.is_v4() { b"6:" } else { b"18:" })?;
    out.put_compact(addr, port)
}

/// The address and port in a compact form of either family; `None` if it has another length.
pub fn compact(bytes: &[u8]) -> Option<(CanonicalAddr, u16)> {
    let (addr, &port) = bytes.split_last_chunk()?;
    let ip = match addr.len() {
        4 => IpAddr::from(*addr.first_chunk::<4>()?),
        16 => IpAddr::from(*addr.first_chunk::<16>()?),
        _ => return None,
    };
    Some((CanonicalAddr::new(ip), u16::from_be_bytes(port)))
}

/// Length of a list of values, with its key; 0 for none.
fn list_bytes(values: &[(CanonicalAddr, u16)]) -> usize {
    let Some((first, _)) = values.first() else { return 0 };
    let each = if first.is_v4() { "6:aaaapp".len() } else { "18:aaaaaaaaaaaaaaaapp".len() };
    values.len().saturating_mul(each).saturating_add(b"6:valuesle".len())
}

/// Writes a ping: 62 bytes.
///
/// # Errors
/// [`Full`] if it does not fit.
pub fn emit_ping(id: &Id, transaction: &[u8; 8], out: &mut Writer<'_>) -> Result<(), Full> {
    emit_query(id, b"e1:q4:ping1:t", transaction, out)
}

/// Length of what [`emit_ping`] writes, in bytes.
pub const PING_BYTES: usize = 62;

/// Writes a `find_node` for a node's own neighbours.
///
/// # Errors
/// [`Full`] if it does not fit.
pub fn emit_find_node(id: &Id, transaction: &[u8; 8], out: &mut Writer<'_>) -> Result<(), Full> {
    let mut rest = Vec::<u8, 64>::new();
    for part in [&b"6:target20:"[..], id, b"e1:q9:find_node1:t"] {
        rest.extend_from_slice(part).map_err(|_| Full)?;
    }
    emit_query(id, &rest, transaction, out)
}

fn emit_query(id: &Id, rest: &[u8], transaction: &[u8; 8], out: &mut Writer<'_>) -> Result<(), Full> {
    out.put(b"d1:ad2:id")?;
    put_bytes(id, out)?;
    out.put(rest)?;
    put_bytes(transaction, out)?;
    out.put(b"1:y1:qe")
}

#[cfg(test)]
mod tests;
