//! What the fuzz targets do with their bytes. It is part of the crate so that it cannot rot, and runs without a fuzzer
//! too: `tests/corpus_fuzz.rs` replays the committed corpus.
//!
//! Each function takes any bytes. It panics where the code under test breaks a promise, and nowhere else.

mod challenge;
#[cfg(feature = "client")]
mod client;
mod conversation;
mod dns;
mod krpc;
mod record;
#[cfg(feature = "client")]
mod srv;
mod tracker;

pub use challenge::challenge;
#[cfg(feature = "client")]
pub use client::client_answers;
pub use conversation::conversation;
pub use dns::{dns, mdns};
pub use krpc::{bencode, krpc};
pub use record::record;
#[cfg(feature = "client")]
pub use srv::srv_answer;
pub use tracker::{http_tracker, stun, tracker};

use core::net::{IpAddr, SocketAddr};

use heapless::Vec;

use crate::addr::CanonicalAddr;
use crate::endpoint::Endpoint;
use crate::engine::datagram::{Kind, classify};
use crate::engine::http::{Connection, Wants};
use crate::engine::request::SchemeList;
use crate::engine::{
    Announce, Engine, Leave, PeersQuery, Proof, Protocol, Reply, Request, Settings, Source, Storage,
};
use crate::id::PeerId;
use crate::limits::{
    BINARY_AMPLIFICATION, LOWEST_CLIENT_PORT, MAX_BODY_BYTES, MAX_REQUESTS_PER_CONNECTION,
    MAX_RESPONSE_BYTES, MAX_SAMPLE, MAX_TARGET_BYTES, MAX_UDP_REPLY_BYTES,
};
use crate::rng::Seed;
use crate::time::Instant;
use crate::wire::http::{Chunked, Framing, Head, HeadScan, Step, query};
use crate::wire::tracker::CONNECT_MAGIC;
use crate::wire::{hex, json};

/// Memory of an engine small enough to be full soon, and for a stack.
type SmallStorage = Storage<16, 256>;

/// A JSON document: what is accepted is UTF-8, and is no document with a bracket more or less.
pub fn json(data: &[u8]) {
    let object = json::Object::parse(data);
    let _ = (json::AnnounceBody::parse(data), json::LeaveBody::parse(data), json::HelloBody::parse(data));
    if let Ok(message) = json::UdpMessage::parse(data) {
        assert!(object.is_ok(), "a message is an object");
        let _ = (message.query(), message.announce());
    }
    if object.is_err() {
        return;
    }
    assert_eq!(json::check(data), Ok(()), "an object is a document");
    assert!(core::str::from_utf8(data).is_ok());
    let document = data.trim_ascii();
    let shorter = document.get(..document.len().saturating_sub(1)).unwrap_or_default();
    assert!(json::check(shorter).is_err(), "an object without its bracket is none");
    let mut longer = [b'}'; 4096];
    if let Some(copy) = longer.get_mut(..document.len()) {
        copy.copy_from_slice(document);
        assert!(
            json::check(longer.get(..=document.len()).unwrap_or_default()).is_err(),
            "a bracket too many"
        );
    }
}

/// The head of a request: the same verdict however it is cut, and sane fields when it is accepted.
pub fn http_head(data: &[u8]) {
    let whole = HeadScan::new().advance(data);
    let mut scan = HeadScan::new();
    let in_pieces = (1..=data.len()).find_map(|end| scan.advance(data.get(..end)?).transpose());
    assert_eq!(in_pieces.transpose(), whole, "the verdict depends on how the bytes came in");
    let Ok(Some(end)) = whole else { return };
    let Some(Ok(head)) = data.get(..end).map(Head::parse) else { return };
    assert!(head.path.len().saturating_add(head.query.len()) <= MAX_TARGET_BYTES);
    assert!(!matches!(head.framing, Framing::Length(bytes) if bytes > MAX_BODY_BYTES));
    for (name, value) in query::pairs(head.query) {
        let mut buffer = [0; MAX_TARGET_BYTES];
        for text in [name, value] {
            assert!(
                query::decode(text, &mut buffer).map_or(0, str::len) <= text.len(),
                "decoding makes shorter"
            );
        }
    }
}

/// A chunked body: the same body and the same end however it is cut.
pub fn http_chunked(data: &[u8]) {
    let mut buffer = [0; 2 * MAX_BODY_BYTES];
    let Some(whole) = buffer.get_mut(..data.len()) else { return };
    whole.copy_from_slice(data);
    let step = Chunked::new().advance(whole);

    let mut chunked = Chunked::new();
    let mut decoded = 0;
    let mut consumed = 0;
    for &byte in data {
        let mut piece = [byte];
        match chunked.advance(&mut piece) {
            Err(reject) => return assert_eq!(step, Err(reject)),
            Ok(part) => {
                consumed += part.consumed;
                if part.decoded == 1 {
                    assert_eq!(whole.get(decoded), piece.first(), "byte {decoded} of the body");
                    decoded += 1;
                }
                if part.complete {
                    return assert_eq!(step, Ok(Step { decoded, consumed, complete: true }));
                }
            }
        }
    }
    assert_eq!(step, Ok(Step { decoded, consumed, complete: false }));
}

/// One connection's bytes, the first of which tells how the others are cut: the verdicts must not depend on it.
///
/// Only how far a connection gets may: a refusal ends it if the client said that it waits before it sends the body, and
/// the body has not come with the head.
pub fn http_connection(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else { return };
    let whole = converse(stream, usize::MAX);
    let in_pieces = converse(stream, usize::from(cut).max(1));
    let may_end_early = contains_ignoring_case(stream, b"100-continue") && whole.starts_with(&in_pieces);
    assert!(
        whole == in_pieces || may_end_early,
        "depends on how the bytes came in: {whole:?}, {in_pieces:?}"
    );
}

fn contains_ignoring_case(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}

/// The first bytes of a response.
type StatusLine = [u8; STATUS_BYTES];

/// The status lines of a new server's responses to `stream`, sent and received in pieces of `piece` bytes. Not their
/// bodies, as the metrics tell how far a request had come; and without any `100 Continue`, which a client that does not
/// wait for it does not get.
fn converse(stream: &[u8], piece: usize) -> Vec<StatusLine, { MAX_REQUESTS_PER_CONNECTION as usize + 1 }> {
    let mut storage = SmallStorage::new();
    let mut engine = storage.engine(Settings::default(), &Seed([1; 32]));
    let mut connection = Connection::new();
    let now = Instant::from_s(1);
    connection.open(now, SocketAddr::new([198, 51, 100, 1].into(), 40_000));
    let (mut unsent, mut statuses) = (stream, Vec::new());
    let mut fresh = true;
    // A byte sent brings one response at most; the end of the stream brings one more, and ends the connection.
    for _ in 0..(stream.len() + 2).saturating_mul(MAX_RESPONSE_BYTES) {
        match connection.wants() {
            Wants::Write => {
                let pending = connection.pending();
                if fresh {
                    assert!(pending.starts_with(b"HTTP/1.1 "), "a response begins with a status line");
                    if !pending.starts_with(b"HTTP/1.1 100 ") {
                        let status_line = pending.first_chunk().expect("a response has a status");
                        statuses.push(*status_line).expect("a connection has an end");
                    }
                }
                let taken = piece.min(pending.len());
                fresh = taken == pending.len();
                connection.sent(now, taken, &mut engine);
            }
            Wants::Read | Wants::Drain => {
                let space = connection.space();
                assert!(!space.is_empty(), "there is no space to read to");
                let taken = piece.min(space.len()).min(unsent.len());
                let (now_sent, rest) = unsent.split_at(taken);
                space.iter_mut().zip(now_sent).for_each(|(to, from)| *to = *from);
                unsent = rest;
                connection.received(now, taken, &mut engine);
            }
            Wants::Close | Wants::Reset => return statuses,
        }
    }
    panic!("the connection does not end");
}

/// Bytes of `HTTP/1.1 200`.
const STATUS_BYTES: usize = 12;

/// Stands for a valid token in a JSON datagram of the corpus.
const TOKEN_PLACE: &[u8] = b"AAAAAAAAAAA";

/// One datagram, whose first byte chooses the sender: as it is, and with a valid proof of the sender's address in place of
/// one that is not.
pub fn datagram(data: &[u8]) {
    let Some((&client, datagram)) = data.split_first() else { return };
    let mut storage = SmallStorage::new();
    let settings = Settings { queries_per_minute: 0, announces_per_minute: 0, ..Settings::default() };
    let mut engine = storage.engine(settings, &Seed([1; 32]));
    let now = Instant::from_s(1);
    for number in 0..16_u8 {
        step(&mut engine, now, 0x10, &client_source(number.saturating_mul(16)), number);
    }
    let source = client_source(client);
    let from = SocketAddr::new(source.addr.ip(), source.port);

    let longest = match classify(datagram) {
        Kind::Krpc | Kind::Stun => datagram.len().saturating_mul(BINARY_AMPLIFICATION),
        _ => datagram.len(),
    };
    let (reply, bytes) = answer(&mut engine, now, from, datagram);
    assert!(bytes <= longest, "an answer without a token is too long for the question");
    check_reply(&mut engine, now, from, datagram, reply.get(..bytes).unwrap_or_default());
    let low_port = SocketAddr::new(source.addr.ip(), LOWEST_CLIENT_PORT.saturating_sub(1));
    assert_eq!(answer(&mut engine, now, low_port, datagram).1, 0);

    let mut proven = [0; 2048];
    let Some(proven) = proven.get_mut(..datagram.len()) else { return };
    proven.copy_from_slice(datagram);
    if prove(&mut engine, now, from, proven) {
        let (reply, bytes) = answer(&mut engine, now, from, proven);
        check_reply(&mut engine, now, from, proven, reply.get(..bytes).unwrap_or_default());
    }
}

fn answer(
    engine: &mut Engine<'_>,
    now: Instant,
    from: SocketAddr,
    datagram: &[u8],
) -> ([u8; MAX_UDP_REPLY_BYTES], usize) {
    let mut reply = [0; MAX_UDP_REPLY_BYTES];
    let bytes = engine.datagram(now, from, datagram, &mut reply);
    (reply, bytes)
}

/// Puts a valid proof of the sender's address into a datagram that has a place for one.
fn prove(engine: &mut Engine<'_>, now: Instant, from: SocketAddr, datagram: &mut [u8]) -> bool {
    if classify(datagram) == Kind::TrackerTagged {
        let mut connect = [0; 16];
        connect.iter_mut().zip(CONNECT_MAGIC).for_each(|(to, from)| *to = from);
        let (reply, bytes) = answer(engine, now, from, &connect);
        assert_eq!(bytes, connect.len(), "a connect request is answered");
        datagram.iter_mut().zip(reply.iter().skip(8).take(8)).for_each(|(to, from)| *to = *from);
        return true;
    }
    let ask = br#"{"type":"find_peers","id":"1","pad":"                                "}"#;
    let (reply, bytes) = answer(engine, now, from, ask);
    let reply = core::str::from_utf8(reply.get(..bytes).unwrap_or_default()).unwrap_or_default();
    let Some(token) = reply.split("\"token\":\"").nth(1).and_then(|rest| rest.split('"').next()) else {
        panic!("a question with room for a token gets one: {reply}");
    };
    let Some(at) = datagram.windows(TOKEN_PLACE.len()).position(|window| window == TOKEN_PLACE) else {
        return false;
    };
    let place = datagram.iter_mut().skip(at).take(TOKEN_PLACE.len());
    place.zip(token.bytes()).for_each(|(to, from)| *to = from);
    true
}

/// A reply is of the request's protocol, and starts no conversation when it is sent to a server.
fn check_reply(engine: &mut Engine<'_>, now: Instant, from: SocketAddr, request: &[u8], reply: &[u8]) {
    if reply.is_empty() {
        return;
    }
    match classify(request) {
        Kind::Json => assert!(json::Object::parse(reply).is_ok(), "the answer is no JSON object"),
        Kind::Krpc => assert_eq!(classify(reply), Kind::Krpc),
        Kind::Stun => assert_eq!(classify(reply), Kind::Stun),
        Kind::TrackerConnect | Kind::TrackerTagged => {
            assert_eq!(reply.get(4..8), request.get(12..16), "the transaction id comes back");
        }
        Kind::Unknown => panic!("what is of no protocol is answered"),
    }
    assert_eq!(answer(engine, now, from, reply).1, 0, "an answer is answered");
}

/// A sequence of requests to an engine, four bytes a step: what to do, as whom, with which id, and how much later.
pub fn engine_sequence(data: &[u8]) {
    let mut storage = SmallStorage::new();
    let settings = Settings { queries_per_minute: 0, announces_per_minute: 0, ..Settings::default() };
    let mut engine = storage.engine(settings, &Seed([1; 32]));
    let mut now = Instant::START;
    let (steps, _) = data.as_chunks::<4>();
    for &[what, client, id, later] in steps {
        // Up to a quarter of an hour.
        now = now.plus_ms(u64::from(later).pow(2) * 15);
        step(&mut engine, now, what, &client_source(client), id);
        assert!(engine.peers().len() <= engine.peers().capacity());
    }
    // The sweep may be a second late.
    now = now.plus_s(engine.settings().max_ttl_s).plus_ms(1000);
    while engine.tick(now) {}
    assert!(engine.peers().is_empty(), "everybody has expired");
}

/// One of 256 clients: a few on the LAN, many in one /24, the others spread, of both families.
fn client_source(client: u8) -> Source {
    let ip = match client {
        0..16 => IpAddr::from([192, 168, 1, client]),
        16..128 => IpAddr::from([198, 51, 100, client]),
        128..192 => IpAddr::from([client, 7, 7, 7]),
        _ => IpAddr::from([0x2001, 0xdb8, client.into(), 0, 0, 0, 0, 1]),
    };
    Source { addr: CanonicalAddr::new(ip), port: 40_000, protocol: Protocol::Http, proof: Proof::Tcp }
}

/// Does what `what` says: its lower two bits choose the request, the others its details.
fn step(engine: &mut Engine<'_>, now: Instant, what: u8, source: &Source, number: u8) {
    let text = hex::encode(number);
    let Some(id) = core::str::from_utf8(&text).ok().and_then(|text| PeerId::parse(text).ok()) else { return };
    let network = engine.settings().default_network;
    let detail = what >> 2;
    match what & 3 {
        0 | 1 => {
            let texts = ["tcp://:9000", "udp://10.0.0.1:9", "ws://abcdefghijklmnop.onion:80"];
            let endpoints = texts.iter().take(1 + usize::from(detail & 1) * 2);
            let announce = Announce {
                network,
                id,
                endpoints: endpoints.filter_map(|text| Endpoint::parse(text).ok()).collect(),
                ttl_s: Some(u32::from(detail) * 60),
                seeding: false,
                owner: None,
                seal: None,
                work: None,
            };
            let before = engine.peers().len();
            if matches!(engine.handle(now, source, &Request::Announce(announce)), Reply::Registered(_)) {
                let named = search(engine, now, source, MAX_SAMPLE, None);
                assert!(named.contains(&number), "who registered is there");
            } else {
                assert!(engine.peers().len() <= before, "a refusal adds nobody");
            }
        }
        2 => {
            let leave = Request::Leave(Leave { network, id, owner: None, seal: None });
            let left = matches!(engine.handle(now, source, &leave), Reply::Left { .. });
            let named = search(engine, now, source, MAX_SAMPLE, None);
            assert!(!left || !named.contains(&number), "who left is gone");
        }
        _ => {
            let named = search(engine, now, source, usize::from(detail), Some(id));
            assert!(!named.contains(&number), "the asker is left out");
        }
    }
}

/// The numbers of the peers in a sample of at most `limit`.
fn search(
    engine: &mut Engine<'_>,
    now: Instant,
    source: &Source,
    limit: usize,
    exclude: Option<PeerId<'_>>,
) -> Vec<u8, MAX_SAMPLE> {
    let network = engine.settings().default_network;
    let limit = limit.clamp(1, MAX_SAMPLE);
    let query = Request::Peers(PeersQuery { network, limit, schemes: SchemeList::new(), exclude });
    let mut named = Vec::new();
    if let Reply::Peers(sample) = engine.handle(now, source, &query) {
        for peer in sample.peers() {
            assert!(peer.endpoints().next().is_some(), "a peer without an endpoint is not named");
            let [number] = hex::decode(peer.id.as_str().as_bytes()).unwrap_or_default();
            assert!(!named.contains(&number), "{number} is named twice");
            let _ = named.push(number);
        }
    }
    assert!(named.len() <= limit);
    named
}
