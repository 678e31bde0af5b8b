//! What servers answer, as the client reads it: any bytes may come from a hostile one.

use std::format;
use std::string::{String, ToString as _};
use std::vec::Vec;

use crate::client::failure::Failure;
use crate::client::http::{MAX_BODY_BYTES, Reader, Response};
use crate::client::invite::BadInvite;
use crate::client::message::{
    Announce, AnnounceAnswer, Health, Leave, PeersAnswer, PeersQuery, Pong, WellKnown,
};
use crate::client::udp::{Answer, Dialogue, Question};
use crate::client::url::ServerUrl;
use crate::endpoint::Endpoint;
use crate::engine::identity::ReplySignature;
use crate::id::{NetworkKey, PeerId};
use crate::limits::{MAX_DATAGRAM_BYTES, MAX_ENDPOINTS};
use crate::rng::{HashKey, Rng};
use crate::time::Instant;
use crate::wire::json::Object;
use crate::wire::{Writer, stun};

/// Stands for the id of our question in a datagram of the corpus.
const ID_PLACE: &str = "IIIIIIIIIIIIIIII";

/// An answer, whose first byte says of what kind: of HTTP (the next byte tells how it is cut), a body, a datagram, or a text that
/// names a server.
pub fn client_answers(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    match kind & 3 {
        0 => http(rest),
        1 => body(rest),
        2 => datagram(rest),
        _ => text(rest),
    }
}

/// A response: the same however it is cut, and never longer than it may be.
fn http(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else { return };
    let whole = read(stream, usize::MAX);
    assert_eq!(read(stream, usize::from(cut).max(1)), whole, "it depends on how the bytes came in");
    if let Some(response) = told(whole) {
        assert!((200..600).contains(&response.status) && response.body.len() <= MAX_BODY_BYTES);
        body(&response.body);
        let _ = response.signature.as_deref().map(signature);
    }
}

fn read(stream: &[u8], piece: usize) -> Result<Response, Failure> {
    let mut reader = Reader::new();
    for bytes in stream.chunks(piece) {
        if let Some(response) = reader.feed(bytes)? {
            return Ok(response);
        }
    }
    reader.end()
}

/// What came of an answer. What people are told of a failure is one line, and moves no cursor.
fn told<T>(result: Result<T, Failure>) -> Option<T> {
    result.map_err(|failure| assert!(!failure.to_string().chars().any(char::is_control))).ok()
}

/// A body, as the answer to every question.
fn body(body: &[u8]) {
    let network = NetworkKey([7; 20]);
    if let Some(answer) = told(PeersAnswer::parse(body, network)) {
        check_peers(&answer);
        for peer in &answer.peers {
            assert!(peer.id.as_deref().is_some_and(|id| PeerId::parse(id).is_ok()));
            let endpoints = peer.endpoints.iter().filter_map(|text| Endpoint::parse(text).ok());
            assert!(peer.seal.is_none_or(|seal| seal.verify(network, endpoints)));
        }
    }
    if let Some(answer) = told(PeersAnswer::parse_datagram(body)) {
        check_peers(&answer);
    }
    let _ = told(AnnounceAnswer::parse(body));
    let _ = told(Leave::parse_answer(body));
    let _ = told(Health::parse(body));
    let _ = told(WellKnown::parse(body));
    let _ = told(Pong::parse(body));
}

fn check_peers(answer: &PeersAnswer) {
    for peer in &answer.peers {
        assert!((1..=MAX_ENDPOINTS).contains(&peer.endpoints.len()));
        assert!(peer.endpoints.iter().all(|text| Endpoint::parse_canonical(text).is_ok()));
    }
}

/// A datagram, as the answer to every question: as it is, and with the question's id in it.
fn datagram(data: &[u8]) {
    let query =
        PeersQuery { network: "chess".into(), limit: 50, transport: Vec::new(), exclude: Some("me".into()) };
    let announce = Announce { endpoints: Vec::from(["udp://:9".to_string()]), ..Announce::default() };
    let leave = Leave::default();
    for question in [
        Question::Peers(&query),
        Question::PeersOfStranger(&query),
        Question::Announce(&announce),
        Question::Leave(&leave),
        Question::Ping,
    ] {
        converse(question, data);
    }
    let transaction = [7; 12];
    let mut request = [0; stun::HEADER_BYTES];
    assert!(stun::emit_request(&transaction, &mut Writer::new(&mut request)).is_ok());
    let _ = stun::mapped_address(data, &transaction);
}

fn converse(question: Question<'_>, data: &[u8]) {
    let server = ([192, 0, 2, 1], 6881).into();
    let mut rng = Rng::new(HashKey::new([1; 16]));
    let end = Instant::from_s(10);
    let mut dialogue = Dialogue::new(Instant::START, question, server, None, &mut rng, end);
    let Some(first) = dialogue.poll_transmit(Instant::START) else { panic!("nothing is asked") };
    let id = Object::parse(first.as_bytes())
        .ok()
        .and_then(|object| object.members().find(|(key, _)| *key == "id").map(|(_, value)| value.to_string()))
        .expect("a question is an object with an id");
    let datagram = String::from_utf8_lossy(data).replace(&format!("\"{ID_PLACE}\""), &id);
    let mut answer = dialogue.receive(Instant::START, server, data);
    answer = answer.or_else(|| dialogue.receive(Instant::START, server, datagram.as_bytes()));
    if let Some(Answer::Peers(answer)) = answer.and_then(told) {
        check_peers(&answer);
    }
    let (mut now, mut sent) = (Instant::START, 0);
    while !dialogue.is_over(now) {
        if let Some(text) = dialogue.poll_transmit(now) {
            assert!(text.len() <= MAX_DATAGRAM_BYTES && Object::parse(text.as_bytes()).is_ok(), "{text}");
            sent += 1;
        }
        assert!(sent <= 6, "it is asked {sent} times");
        now = dialogue.poll_timeout();
    }
}

/// The name of a server, an invite, or the signature of an answer: what is taken is written as it is read.
fn text(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    if let Ok(url) = ServerUrl::parse(text) {
        // An invite may leave the port of udp:// out, and be too long with it.
        let is_long = matches!(&url, ServerUrl::Invite(invite) if invite.emit() == Err(BadInvite::TooLong));
        let written = url.to_string();
        assert!(is_long || ServerUrl::parse(&written).as_ref() == Ok(&url), "{written}");
    }
    signature(text);
}

fn signature(text: &str) {
    if let Some(read) = ReplySignature::parse(text) {
        let mut bytes = [0; 256];
        let mut out = Writer::new(&mut bytes);
        assert!(read.emit(&mut out).is_ok() && out.written() == text.as_bytes(), "one spelling");
    }
}
