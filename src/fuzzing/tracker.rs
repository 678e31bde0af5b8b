//! The datagrams of the UDP tracker and of STUN, and the HTTP tracker's queries.

use core::net::{IpAddr, SocketAddr};

use super::SmallStorage;
use crate::addr::CanonicalAddr;
use crate::engine::http::{Connection, Wants};
use crate::engine::{Engine, Settings};
use crate::limits::{MAX_RESPONSE_BYTES, MAX_TARGET_BYTES};
use crate::rng::Seed;
use crate::time::Instant;
use crate::wire::bencode::Dict;
use crate::wire::http::query;
use crate::wire::tracker::{Action, HEADER_BYTES, MAX_SCRAPED, Request};
use crate::wire::{Writer, stun};

/// A request to the UDP tracker: what is accepted has its fields where BEP 15 puts them, whatever is behind it.
pub fn tracker(data: &[u8]) {
    let Ok(request) = Request::parse(data) else { return };
    let bytes = |at: usize, length: usize| data.get(at..).and_then(|rest| rest.get(..length));
    assert_eq!(bytes(0, 8), Some(&request.connection_id[..]));
    assert_eq!(bytes(12, 4), Some(&request.transaction_id[..]));
    let (code, needed) = match request.action {
        Action::Connect => (0, HEADER_BYTES),
        Action::Announce(announce) => {
            assert_eq!(bytes(16, 20), Some(&announce.info_hash[..]));
            assert_eq!(bytes(64, 8) == Some(&[0; 8]), announce.is_complete);
            assert_eq!(bytes(80, 4), Some(&announce.event.to_be_bytes()[..]));
            assert_eq!(bytes(92, 4), Some(&announce.num_want.to_be_bytes()[..]));
            assert_eq!(bytes(96, 2), Some(&announce.port.to_be_bytes()[..]));
            (1, 98)
        }
        Action::Scrape(info_hashes) => {
            assert!(info_hashes.len() <= MAX_SCRAPED);
            let hashes = info_hashes.as_flattened();
            assert_eq!(bytes(HEADER_BYTES, hashes.len()), Some(hashes));
            (2, HEADER_BYTES.saturating_add(hashes.len()))
        }
    };
    assert_eq!(bytes(8, 4), Some(&[0, 0, 0, code][..]));
    let shortest = data.get(..needed).unwrap_or_default();
    assert_eq!(Request::parse(shortest), Ok(request), "what is behind a request changes nothing");
}

/// A Binding request: the answer is short enough, is no request, and holds the address.
pub fn stun(data: &[u8]) {
    let Ok(request) = stun::Request::parse(data) else { return };
    let port = 0x1234;
    for ip in [IpAddr::from([198, 51, 100, 7]), IpAddr::from([0x2001, 0xdb8, 1, 2, 3, 4, 5, 6])] {
        let mut buffer = [0; 64];
        let mut out = Writer::new(&mut buffer);
        assert!(
            request.emit_answer(CanonicalAddr::new(ip), port, &mut out).is_ok(),
            "there is room for any answer"
        );
        let answer = out.written();
        assert!(answer.len() <= data.len().saturating_mul(3), "too long an answer");
        assert_eq!(stun::Request::parse(answer), Err(stun::Malformed), "an answer is no request");
        assert_eq!(answer.get(4..20), data.get(4..20), "cookie and transaction id come back");
        if answer.first_chunk() == Some(&[1, 1]) {
            let masks = data.get(4..).unwrap_or_default();
            let octets =
                answer.get(28..).unwrap_or_default().iter().zip(masks).map(|(octet, mask)| octet ^ mask);
            assert!(match ip {
                IpAddr::V4(ip) => octets.eq(ip.octets()),
                IpAddr::V6(ip) => octets.eq(ip.octets()),
            });
        }
    }
}

/// A query of an announce, and of a scrape: the answer is one bencoded dictionary, and only an announce that is accepted
/// registers anybody.
pub fn http_tracker(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let mut storage = SmallStorage::new();
    let settings = Settings { queries_per_minute: 0, announces_per_minute: 0, ..Settings::default() };
    let mut engine = storage.engine(settings, &Seed([1; 32]));
    for asker in [[198, 51, 100, 7], [203, 0, 113, 9]] {
        let before = engine.peers().len();
        let Some(answer) = track(&mut engine, asker.into(), "/announce?", text) else { return };
        let accepted = answer.dict().is_some_and(|answer| answer.get(b"complete").is_some());
        let refused = answer.dict().is_some_and(|answer| answer.get(b"failure reason").is_some());
        assert!(accepted != refused, "accepted, or refused");
        assert!(engine.peers().len() == before || accepted, "a refusal registers nobody");
    }
    let known = engine.peers().len();
    let Some(answer) = track(&mut engine, [198, 51, 100, 7].into(), "/scrape?", text) else { return };
    // More of them are more values than the reader of datagrams takes.
    if query::pairs(text).filter(|(name, _)| *name == "info_hash").count() <= 8 {
        let answer = answer.dict().expect("the answer is a dictionary");
        assert!(
            answer.get(b"files").is_some() != answer.get(b"failure reason").is_some(),
            "counts, or a refusal"
        );
    }
    assert_eq!(engine.peers().len(), known, "a scrape registers nobody");
}

/// The body of a response.
struct Body {
    response: [u8; MAX_RESPONSE_BYTES],
    start: usize,
    end: usize,
}

impl Body {
    fn dict(&self) -> Option<Dict<'_>> {
        Dict::parse(self.response.get(self.start..self.end)?).ok()
    }
}

/// The tracker's answer; `None` if the target is none that the tracker sees.
fn track(engine: &mut Engine<'_>, asker: IpAddr, path: &str, query: &str) -> Option<Body> {
    let mut request = [0; MAX_TARGET_BYTES + 64];
    let mut out = Writer::new(&mut request);
    ["GET ", path, query, " HTTP/1.1\r\nHost: a\r\n\r\n"]
        .iter()
        .try_for_each(|text| out.put_str(text))
        .ok()?;
    let (mut connection, now) = (Connection::new(), Instant::from_s(1));
    connection.open(now, SocketAddr::new(asker, 40_000));
    let sent = out.written();
    connection.space().get_mut(..sent.len())?.copy_from_slice(sent);
    connection.received(now, sent.len(), engine);
    if connection.wants() != Wants::Write {
        return None;
    }
    let pending = connection.pending();
    let start = pending.windows(4).position(|window| window == b"\r\n\r\n")?.saturating_add(4);
    let is_bencode = pending.starts_with(b"HTTP/1.1 200 ") && pending.windows(10).any(|w| w == b"text/plain");
    let mut body = Body { response: [0; MAX_RESPONSE_BYTES], start, end: pending.len() };
    body.response.get_mut(..pending.len())?.copy_from_slice(pending);
    is_bencode.then_some(body)
}
