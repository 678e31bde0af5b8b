//! Bencode, and KRPC over it.

use core::net::SocketAddr;

use super::{SmallStorage, answer};
use crate::addr::CanonicalAddr;
use crate::engine::{Engine, Settings};
use crate::limits::{BINARY_AMPLIFICATION, MAX_KRPC_REPLY_BYTES};
use crate::rng::Seed;
use crate::time::Instant;
use crate::wire::Writer;
use crate::wire::bencode::{Dict, Value};
use crate::wire::krpc::{Answer, Contact, Drop, Found, Message, Method, Query};

/// What stands in a datagram where a valid token shall be put in.
const TOKEN_PLACE: &[u8; 8] = b"TOKENTOK";

/// A dictionary: the same verdict as that of a plain reader beside it, and keys that can be looked up.
pub fn bencode(data: &[u8]) {
    let parsed = Dict::parse(data);
    let plain = Plain { data, values: 0 }.value(0, 0);
    let accepted = data.first() == Some(&b'd') && plain == Some(data.len());
    assert_eq!(parsed.is_ok(), accepted, "the two readers disagree");
    let Ok(dict) = parsed else { return };
    for key in (0..data.len()).flat_map(|at| (0..4).filter_map(move |length| data.get(at..at + length))) {
        if let Some(Value::Bytes(bytes)) = dict.get(key) {
            assert!(bytes.is_empty() || data.windows(bytes.len()).any(|window| window == bytes));
        }
        assert_eq!(dict.integer(key).is_some(), matches!(dict.get(key), Some(Value::Integer(_))));
    }
}

/// Reads bencode by the letter of BEP 3 and the limits of SECURITY.md, U7.
struct Plain<'a> {
    data: &'a [u8],
    values: u32,
}

impl<'a> Plain<'a> {
    /// The end of the value that begins at `at`, inside of `depth` lists and dictionaries.
    fn value(&mut self, at: usize, depth: u32) -> Option<usize> {
        self.values += 1;
        if self.values > 100 {
            return None;
        }
        match self.data.get(at)? {
            b'i' => {
                let length = self.data.get(at..)?.iter().position(|&byte| byte == b'e')?;
                let text = core::str::from_utf8(self.data.get(at + 1..at + length)?).ok()?;
                let digits = text.strip_prefix('-').unwrap_or(text);
                let is_plain = is_decimal(digits) && text != "-0" && text.parse::<i64>().is_ok();
                // The lowest number has no opposite: it is not worth a special case.
                (is_plain && text != "-9223372036854775808").then_some(at + length + 1)
            }
            kind @ (b'l' | b'd') if depth < 5 => {
                let mut at = at + 1;
                let mut last = None;
                while *self.data.get(at)? != b'e' {
                    if *kind == b'd' {
                        let (key, end) = self.string(at)?;
                        if last.is_some_and(|last| last >= key) {
                            return None;
                        }
                        last = Some(key);
                        at = end;
                    }
                    at = self.value(at, depth + 1)?;
                }
                Some(at + 1)
            }
            _ => self.string(at).map(|(_, end)| end),
        }
    }

    /// The string that begins at `at`, and its end.
    fn string(&self, at: usize) -> Option<(&'a [u8], usize)> {
        let colon = self.data.get(at..)?.iter().position(|&byte| byte == b':')? + at;
        let digits = core::str::from_utf8(self.data.get(at..colon)?).ok()?;
        let length = digits.parse::<usize>().ok().filter(|_| is_decimal(digits))?;
        let end = colon.checked_add(1)?.checked_add(length)?;
        Some((self.data.get(colon + 1..end)?, end))
    }
}

fn is_decimal(digits: &str) -> bool {
    digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'))
}

/// A KRPC message: what is read of it comes from it, what answers it fits and is no query, and an engine that knows nodes and
/// peers keeps its bounds, with a valid token and without.
pub fn krpc(data: &[u8]) {
    match Message::parse(data) {
        Ok(Message::Query(query)) => emit_answers(&query),
        Ok(Message::Response(response)) => {
            assert!((1..=32).contains(&response.transaction.len()));
            assert!(holds(data, response.transaction) && holds(data, &response.id));
        }
        Err(Drop::Malformed | Drop::NotARequest) => {}
    }
    let mut storage = SmallStorage::new();
    let settings = Settings { queries_per_minute: 0, announces_per_minute: 0, ..Settings::default() };
    let mut engine = storage.engine(settings, &Seed([1; 32]));
    let now = Instant::from_s(1);
    for from in [
        ([20, 0, 0, 1], 6881).into(),
        ([10, 0, 0, 1], 6881).into(),
        ([0x2a00, 0, 0, 0, 0, 0, 0, 1], 6881).into(),
    ] {
        introduce(&mut engine, now, from);
    }
    for from in [SocketAddr::from(([20, 0, 0, 2], 40_000)), ([0x2a00, 0, 0, 0, 0, 0, 0, 2], 40_000).into()] {
        let known = engine.peers().len();
        exchange(&mut engine, now, from, data);
        assert_eq!(engine.peers().len(), known, "without a token nothing changes");
        let mut proven = [0; 2048];
        let Some(proven) = proven.get_mut(..data.len()) else { return };
        proven.copy_from_slice(data);
        let Some(at) = data.windows(TOKEN_PLACE.len()).position(|window| window == TOKEN_PLACE) else {
            continue;
        };
        let token = token(&mut engine, now, from);
        proven.iter_mut().skip(at).zip(token).for_each(|(to, from)| *to = from);
        exchange(&mut engine, now, from, proven);
    }
}

/// Writes answers to a query into less and less room.
fn emit_answers(query: &Query<'_>) {
    assert!((1..=32).contains(&query.transaction.len()));
    if let Method::AnnouncePeer(announce) = query.method {
        assert_ne!(announce.port, Some(0));
    }
    let addr = CanonicalAddr::new([20, 0, 0, 2].into());
    let nodes = [Contact { id: [7; 20], addr, port: 7 }; 8];
    let values = [(addr, 9); 50];
    let found = Found { token: Some([8; 8]), values: &values, nodes: Some(&nodes), nodes6: None };
    let reply = Answer { transaction: query.transaction, addr, port: 40_000 };
    let mut buffer = [0; MAX_KRPC_REPLY_BYTES];
    for room in 0..MAX_KRPC_REPLY_BYTES {
        let mut out = Writer::new(buffer.get_mut(..room).unwrap_or_default());
        if reply.emit_response(&[6; 20], &found, &mut out).is_ok() {
            let Ok(Message::Response(response)) = Message::parse(out.written()) else {
                panic!("an answer is a response");
            };
            assert_eq!((response.transaction, response.id), (query.transaction, [6; 20]));
        }
        let mut out = Writer::new(buffer.get_mut(..room).unwrap_or_default());
        if reply.emit_error(203, "bad_token", &mut out).is_ok() {
            assert_eq!(Message::parse(out.written()), Err(Drop::NotARequest));
        }
    }
}

fn holds(data: &[u8], part: &[u8]) -> bool {
    data.windows(part.len()).any(|window| window == part)
}

/// Sends a datagram, and checks what must hold of any answer.
fn exchange(engine: &mut Engine<'_>, now: Instant, from: SocketAddr, datagram: &[u8]) {
    let (reply, bytes) = answer(engine, now, from, datagram);
    assert!(bytes <= datagram.len().saturating_mul(BINARY_AMPLIFICATION).min(MAX_KRPC_REPLY_BYTES));
    let reply = reply.get(..bytes).unwrap_or_default();
    if reply.is_empty() {
        return;
    }
    let Ok(Message::Query(query)) = Message::parse(datagram) else { panic!("only queries are answered") };
    match Message::parse(reply) {
        Ok(Message::Response(response)) => assert_eq!(response.transaction, query.transaction),
        Err(Drop::NotARequest) => assert!(holds(reply, query.transaction)),
        other => panic!("an answer is none: {other:?}"),
    }
    assert_eq!(answer(engine, now, from, reply).1, 0, "an answer is answered");
}

/// Makes the engine list a node and register a peer at `from`.
fn introduce(engine: &mut Engine<'_>, now: Instant, from: SocketAddr) {
    let token = token(engine, now, from);
    let mut buffer = [0; 256];
    let mut out = Writer::new(&mut buffer);
    let announce = b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:";
    let written = out.put(announce).and_then(|()| out.put(&token));
    assert!(written.and_then(|()| out.put(b"e1:q13:announce_peer1:t2:aa1:y1:qe")).is_ok());
    answer(engine, now, from, out.written());
    let mut query = [0; 128];
    let Some((to, bytes)) = engine.poll_transmit(now, &mut query) else { panic!("a new node is pinged") };
    let Some(Ok(Message::Query(ping))) = query.get(..bytes).map(Message::parse) else { panic!("by a ping") };
    assert_eq!(to, from);
    out.rewind(0);
    let written = out.put(b"d1:rd2:id20:abcdefghij0123456789e1:t8:").and_then(|()| out.put(ping.transaction));
    assert!(written.and_then(|()| out.put(b"1:y1:re")).is_ok());
    answer(engine, now, from, out.written());
}

/// The token for an announce.
fn token(engine: &mut Engine<'_>, now: Instant, from: SocketAddr) -> [u8; 8] {
    // Read-only, so that nobody is pinged for it.
    let query = b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers2:roi1e1:t2:aa1:y1:qe";
    let (reply, bytes) = answer(engine, now, from, query);
    let values = reply.get(..bytes).and_then(|reply| Dict::parse(reply).ok()?.dict(b"r"));
    let token = values.and_then(|values| values.bytes(b"token")?.try_into().ok());
    token.expect("get_peers is answered with a token")
}
