//! Datagrams and their answers, letter for letter.

use core::net::SocketAddr;

use crate::engine::tests::send;
use crate::engine::{Engine, Settings, Storage};
use crate::limits::{MAX_UDP_REPLY_BYTES, TOKEN_EPOCH_S};
use crate::rng::Seed;
use crate::time::Instant;

const CLIENT: &str = "198.51.100.7:40000";

type Memory = Storage<256, 1024>;

fn memory() -> Box<Memory> {
    Box::new(Memory::new())
}

/// An engine that limits nobody, so that a test can ask often.
fn engine(memory: &mut Memory) -> Engine<'_> {
    let settings = Settings { queries_per_minute: 0, announces_per_minute: 0, ..Settings::default() };
    memory.engine(settings, &Seed([4; 32]))
}

fn ask_at(engine: &mut Engine<'_>, now: Instant, from: &str, datagram: &str) -> String {
    String::from_utf8(send(engine, now, from, datagram.as_bytes())).unwrap()
}

fn ask(engine: &mut Engine<'_>, from: &str, datagram: &str) -> String {
    ask_at(engine, Instant::from_s(1000), from, datagram)
}

/// A token for `from`, got the way a client gets it.
fn token_for(engine: &mut Engine<'_>, from: &str) -> String {
    let answer = ask(engine, from, r#"{"type":"announce","id":"t","pad":"...................."}"#);
    let token = answer.strip_prefix(r#"{"type":"token","id":"t","token":""#).unwrap();
    let token = token.strip_suffix(r#""}"#).unwrap();
    assert_eq!(token.len(), 11);
    token.into()
}

/// Asks with a valid token: `rest` follows `type` and `id`.
fn ask_proven(engine: &mut Engine<'_>, from: &str, kind: &str, rest: &str) -> String {
    let token = token_for(engine, from);
    let answer = ask(engine, from, &format!(r#"{{"type":"{kind}","id":"m1","token":"{token}"{rest}}}"#));
    answer.replace(&token, "TOKEN")
}

#[test]
fn a_ping_gets_what_fits() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    let id: String = engine.bootstrap_id().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(ask(engine, CLIENT, r#"{"type":"ping","id":"p"}"#), r#"{"type":"pong","id":"p"}"#);
    let padded = format!(r#"{{"type":"ping","id":"p","pad":"{}"}}"#, "x".repeat(100));
    let whole = format!(r#"{{"type":"pong","id":"p","server_id":"{id}","you":"{CLIENT}"}}"#);
    assert_eq!(ask(engine, CLIENT, &padded), whole);
    assert_eq!(ask_proven(engine, CLIENT, "ping", ""), whole.replace(r#""p""#, r#""m1""#));
    // One byte at a time: each member comes as soon as it fits, and never before.
    for pad in 0..100 {
        let request = format!(r#"{{"type":"ping","id":"p"{}}}"#, " ".repeat(pad));
        let expected = match request.len() {
            0..79 => format!(
                r#"{{"type":"pong","id":"p"{}}}"#,
                if request.len() < 51 { "" } else { r#","you":"198.51.100.7:40000""# }
            ),
            79..106 => format!(r#"{{"type":"pong","id":"p","server_id":"{id}"}}"#),
            _ => whole.clone(),
        };
        assert_eq!(ask(engine, CLIENT, &request), expected, "{} bytes", request.len());
    }
}

#[test]
fn without_a_token_nothing_is_changed_and_a_token_is_offered() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    for kind in ["find_peers", "announce", "leave"] {
        let short = format!(r#"{{"type":"{kind}","id":"a"}}"#);
        assert_eq!(ask(engine, CLIENT, &short), "", "{kind}: the token does not fit");
        let enough = format!(r#"{{"type":"{kind}","id":"a","network":"pscryptochat"}}"#);
        let answer = ask(engine, CLIENT, &enough);
        assert!(answer.starts_with(r#"{"type":"token","id":"a","token":""#), "{kind}: {answer}");
        for token in ["AAAAAAAAAAA", "short", ""] {
            let forged =
                format!(r#"{{"type":"{kind}","id":"a","token":"{token}","network":"pscryptochat"}}"#);
            assert_eq!(ask(engine, CLIENT, &forged), answer, "{kind}");
        }
    }
    assert!(engine.peers().is_empty());
}

#[test]
fn a_token_is_for_one_address_and_some_minutes() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    let token = token_for(engine, CLIENT);
    let request = format!(r#"{{"type":"find_peers","id":"a","token":"{token}"}}"#);
    let proven = |engine: &mut Engine<'_>, at_s, from: &str| {
        ask_at(engine, Instant::from_s(at_s), from, &request).starts_with(r#"{"type":"peers""#)
    };
    assert!(proven(engine, 1000, CLIENT));
    assert!(proven(engine, 1000, "198.51.100.7:50000"), "a NAT may choose another port");
    assert!(proven(engine, 1000, "[::ffff:198.51.100.7]:50000"));
    assert!(!proven(engine, 1000, "198.51.100.8:40000"));
    assert!(!proven(engine, 1000, "[2001:db8::7]:40000"));
    assert!(proven(engine, 1000 + u64::from(TOKEN_EPOCH_S), CLIENT));
    assert!(!proven(engine, 1000 + 2 * u64::from(TOKEN_EPOCH_S), CLIENT));
}

#[test]
fn an_announce_is_acknowledged_and_found() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    let ack = ask_proven(engine, CLIENT, "announce", r#","peer_id":"node-1","port":9000,"ttl":60"#);
    assert_eq!(
        ack,
        r#"{"type":"ack","id":"m1","peer_id":"node-1","registered":true,"expires":60,"you":"198.51.100.7:40000"}"#
    );
    let found = ask_proven(engine, "203.0.113.5:2000", "find_peers", "");
    assert!(
        found.starts_with(r#"{"type":"peers","id":"m1","peers":["198.51.100.7:9000"],"token":""#),
        "{found}"
    );
    let own = ask_proven(engine, CLIENT, "find_peers", r#","exclude":"node-1""#);
    assert!(own.contains(r#""peers":[]"#), "{own}");
    let own = ask_proven(engine, CLIENT, "find_peers", r#","peer_id":"node-1""#);
    assert!(own.contains(r#""peers":[]"#), "{own}");
    let elsewhere = ask_proven(engine, CLIENT, "find_peers", r#","network":"elsewhere""#);
    assert!(elsewhere.contains(r#""peers":[]"#), "{elsewhere}");
}

#[test]
fn an_announce_without_id_and_port_has_both() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    let ack = ask_proven(engine, CLIENT, "announce", "");
    let id = CLIENT;
    assert_eq!(
        ack,
        format!(
            r#"{{"type":"ack","id":"m1","peer_id":"{id}","registered":true,"expires":300,"you":"{CLIENT}"}}"#
        )
    );
    assert_eq!(ask_proven(engine, CLIENT, "announce", ""), ack, "the same peer, refreshed");
    assert_eq!(engine.peers().len(), 1);
    let found = ask_proven(engine, CLIENT, "find_peers", "");
    assert!(found.contains(r#""peers":["198.51.100.7:40000"]"#), "{found}");
    let other = ask_proven(engine, CLIENT, "announce", r#","port":40001"#);
    assert!(other.contains(r#""peer_id":"198.51.100.7:40001","registered":true"#), "{other}");
    assert_eq!(ask_proven(engine, CLIENT, "leave", ""), r#"{"type":"ack","id":"m1","removed":true}"#);
    assert_eq!(ask_proven(engine, CLIENT, "leave", ""), r#"{"type":"ack","id":"m1","removed":false}"#);
    let left = ask_proven(engine, CLIENT, "leave", r#","port":40001"#);
    assert_eq!(left, r#"{"type":"ack","id":"m1","removed":true}"#);
    assert!(engine.peers().is_empty());
}

#[test]
fn the_compact_form_is_the_first_udp_endpoint_with_an_address() {
    for (endpoints, shown) in [
        (r#"["tcp://:1","udp://:2","udp://:3"]"#, r#"["198.51.100.7:2"]"#),
        (r#"["tcp://a.onion:1","quic://:2"]"#, r#"["198.51.100.7:2"]"#),
        (r#"["tcp://a.onion:1"]"#, "[]"),
        (r#"["udp://a.onion:1","tcp://:2"]"#, r#"["198.51.100.7:2"]"#),
    ] {
        let memory = &mut memory();
        let engine = &mut engine(memory);
        let rest = format!(r#","peer_id":"n","endpoints":{endpoints}"#);
        assert!(
            ask_proven(engine, CLIENT, "announce", &rest).contains(r#""registered":true"#),
            "{endpoints}"
        );
        let found = ask_proven(engine, "203.0.113.5:2000", "find_peers", "");
        assert!(found.contains(&format!(r#""peers":{shown}"#)), "{endpoints}: {found}");
    }
}

#[test]
fn a_transport_may_be_asked_for() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    ask_proven(engine, CLIENT, "announce", r#","peer_id":"n","endpoints":["tcp://:1","udp://:2"]"#);
    for (transport, shown) in
        [("tcp", r#"["198.51.100.7:1"]"#), ("udp,tcp", r#"["198.51.100.7:2"]"#), ("ws", "[]")]
    {
        let found = ask_proven(engine, CLIENT, "find_peers", &format!(r#","transport":"{transport}""#));
        assert!(found.contains(&format!(r#""peers":{shown}"#)), "{transport}: {found}");
    }
}

#[test]
fn ipv6_is_bracketed_and_mapped_ipv4_is_ipv4() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    let ack = ask_proven(engine, "[2001:db8:0:0::7]:40000", "announce", r#","peer_id":"six""#);
    assert!(ack.ends_with(r#""you":"[2001:db8::7]:40000"}"#), "{ack}");
    let ack = ask_proven(engine, "[::ffff:198.51.100.7]:40000", "announce", r#","peer_id":"four""#);
    assert!(ack.ends_with(r#""you":"198.51.100.7:40000"}"#), "{ack}");
    let found = ask_proven(engine, CLIENT, "find_peers", r#","exclude":"four""#);
    assert!(found.contains(r#""peers":["[2001:db8::7]:40000"]"#), "{found}");
    let refreshed = ask_proven(engine, CLIENT, "announce", r#","peer_id":"four""#);
    assert!(refreshed.contains(r#""registered":true"#), "the same address: {refreshed}");
}

#[test]
fn refusals_have_words() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    for (kind, rest, answer) in [
        ("find_peers", r#","limit":0"#, r#"{"type":"error","id":"m1","error":"bad_request"}"#),
        ("find_peers", r#","limit":33"#, r#"{"type":"error","id":"m1","error":"bad_request"}"#),
        ("find_peers", r#","limit":1.5"#, r#"{"type":"error","id":"m1","error":"bad_request"}"#),
        ("find_peers", r#","transport":"TCP""#, r#"{"type":"error","id":"m1","error":"bad_request"}"#),
        ("find_peers", r#","network":"a/b""#, r#"{"type":"error","id":"m1","error":"bad_network"}"#),
        ("find_peers", r#","exclude":"""#, r#"{"type":"error","id":"m1","error":"bad_id"}"#),
        ("announce", r#","port":0"#, r#"{"type":"ack","id":"m1","registered":false,"error":"bad_request"}"#),
        (
            "announce",
            r#","peer_id":"a b""#,
            r#"{"type":"ack","id":"m1","registered":false,"error":"bad_id"}"#,
        ),
        (
            "announce",
            r#","endpoints":["udp://203.0.113.9:1"]"#,
            r#"{"type":"ack","id":"m1","registered":false,"error":"endpoint_not_yours"}"#,
        ),
        (
            "announce",
            r#","endpoints":[]"#,
            r#"{"type":"ack","id":"m1","registered":false,"error":"bad_endpoint"}"#,
        ),
        (
            "announce",
            r#","sig":"x""#,
            r#"{"type":"ack","id":"m1","registered":false,"error":"bad_signature"}"#,
        ),
        ("leave", r#","network":9"#, r#"{"type":"ack","id":"m1","registered":false,"error":"bad_network"}"#),
    ] {
        assert_eq!(ask_proven(engine, CLIENT, kind, rest), answer, "{kind} {rest}");
    }
    assert!(engine.peers().is_empty());
    ask_proven(engine, CLIENT, "announce", r#","peer_id":"n""#);
    for kind in ["announce", "leave"] {
        assert_eq!(
            ask_proven(engine, "203.0.113.5:2000", kind, r#","peer_id":"n""#),
            r#"{"type":"ack","id":"m1","registered":false,"error":"id_taken"}"#
        );
    }
}

#[test]
fn limits_are_told_to_the_proven_and_kept_from_the_rest() {
    let memory = &mut memory();
    let settings = Settings { queries_per_minute: 2, announces_per_minute: 1, ..Settings::default() };
    let engine = &mut memory.engine(settings, &Seed([4; 32]));
    assert!(ask_proven(engine, CLIENT, "announce", "").contains(r#""registered":true"#));
    assert_eq!(
        ask_proven(engine, CLIENT, "announce", ""),
        r#"{"type":"ack","id":"m1","registered":false,"error":"rate_limited"}"#
    );
    for _ in 0..2 {
        assert!(ask_proven(engine, CLIENT, "find_peers", "").contains(r#""peers""#));
    }
    for kind in ["find_peers", "ping"] {
        assert_eq!(
            ask_proven(engine, CLIENT, kind, ""),
            r#"{"type":"error","id":"m1","error":"rate_limited"}"#
        );
    }
    let ping = format!(r#"{{"type":"ping","id":"p","pad":"{}"}}"#, "x".repeat(200));
    assert!(ask(engine, CLIENT, &ping).contains("pong"), "the unproven have an allowance of their own");
    assert!(ask(engine, CLIENT, &ping).contains("pong"));
    assert_eq!(ask(engine, CLIENT, &ping), "");
    token_for(engine, CLIENT);
}

#[test]
fn a_padded_request_gets_as_many_peers_as_fit() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    for n in 0..40 {
        ask_proven(engine, &format!("198.51.{n}.7:40000"), "announce", "");
        ask_proven(engine, &format!("[2001:db8:{n:x}::7]:40000"), "announce", "");
    }
    let mut counts = std::collections::BTreeSet::new();
    for pad in 0..1300 {
        let request = format!(r#"{{"type":"find_peers","id":"a","limit":32,"pad":"{}"}}"#, "x".repeat(pad));
        let answer = ask(engine, CLIENT, &request);
        assert!(answer.len() <= request.len().min(MAX_UDP_REPLY_BYTES), "{answer}");
        if answer.is_empty() {
            continue;
        }
        let count = answer.matches(":40000\"").count();
        counts.insert(count);
        let room = request.len().min(MAX_UDP_REPLY_BYTES) - answer.len();
        let kind = if count == 0 { r#"{"type":"token","id":"a","# } else { r#"{"type":"peers","id":"a","# };
        assert!(answer.starts_with(kind) && answer.ends_with("\"}"), "{answer}");
        // An IPv6 entry here takes 26 bytes at most; there are more peers than fit.
        assert!(room < 27 || count == 32 || count == 0, "{room} bytes to spare: {answer}");
    }
    assert_eq!(counts.first(), Some(&0));
    assert!(counts.last() >= Some(&30), "{counts:?}");
}

#[test]
fn a_padded_request_in_an_empty_network_gets_an_empty_list() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    let request = format!(r#"{{"type":"find_peers","id":"a","pad":"{}"}}"#, "x".repeat(100));
    let answer = ask(engine, CLIENT, &request);
    assert!(answer.starts_with(r#"{"type":"peers","id":"a","peers":[],"token":""#), "{answer}");
}

#[test]
fn the_default_is_eight_peers_and_the_most_what_fits() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    for n in 0..60 {
        let wordy = format!("[2001:db8:{n:x}:1111:2222:3333:4444:5555]:40000");
        ask_proven(engine, &wordy, "announce", "");
    }
    let count = |answer: &str| answer.matches(":40000\"").count();
    assert_eq!(count(&ask_proven(engine, CLIENT, "find_peers", "")), 8);
    assert_eq!(count(&ask_proven(engine, CLIENT, "find_peers", r#","limit":3"#)), 3);
    let token = token_for(engine, CLIENT);
    let id = "i".repeat(32);
    let request = format!(r#"{{"type":"find_peers","id":"{id}","token":"{token}","limit":32}}"#);
    let most = ask(engine, CLIENT, &request);
    assert!(most.len() <= MAX_UDP_REPLY_BYTES && most.len() > MAX_UDP_REPLY_BYTES - 50, "{}", most.len());
    assert!(most.ends_with("\"}") && count(&most) < 32, "{most}");
}

#[test]
fn what_is_no_request_gets_silence() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    let token = token_for(engine, CLIENT);
    let pad = "x".repeat(300);
    for kind in ["pong", "peers", "ack", "error", "token", "Ping", "", "hello"] {
        let datagram = format!(r#"{{"type":"{kind}","id":"a","token":"{token}","pad":"{pad}"}}"#);
        assert_eq!(ask(engine, CLIENT, &datagram), "", "{kind}");
    }
    for datagram in [
        r#"{"id":"a","type":1}"#,
        r#"{"id":"a"}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"ping","id":"a","id":"a"}"#,
        r#"{"type":"ping","id":"a"} {}"#,
        r#"{"type":"ping","id":"a",}"#,
        r#"{"type":"ping","id":"\u0061"}"#,
        r#"{"type":"ping","id":"a""#,
        r#"[{"type":"ping","id":"a"}]"#,
        "{",
        "{}",
    ] {
        assert_eq!(ask(engine, CLIENT, datagram), "", "{datagram}");
    }
}

#[test]
fn any_id_is_echoed_as_it_is() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    for id in ["a", "\u{e4}\u{1f600}", "<&'/>", "12345678901234567890123456789012"] {
        let answer = ask(engine, CLIENT, &format!(r#"{{"type":"ping","id":"{id}"}}"#));
        assert_eq!(answer, format!(r#"{{"type":"pong","id":"{id}"}}"#));
    }
}

#[test]
fn a_small_buffer_gets_less_and_never_half() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    let from: SocketAddr = CLIENT.parse().unwrap();
    let request = format!(r#"{{"type":"ping","id":"p","pad":"{}"}}"#, "x".repeat(200));
    for room in 0..200 {
        let mut out = vec![0; room];
        let length = engine.datagram(Instant::from_s(1), from, request.as_bytes(), &mut out);
        assert!(length == 0 || out[..length].ends_with(b"}"), "{room}");
        assert_eq!(length == 0, room < 24);
    }
}

#[test]
fn refusals_and_silence_are_counted() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    ask_proven(engine, CLIENT, "find_peers", r#","network":"a/b""#);
    ask_proven(engine, CLIENT, "announce", r#","peer_id":"a b""#);
    ask_proven(engine, CLIENT, "announce", r#","endpoints":["udp://203.0.113.9:1"]"#);
    let refusals = engine.stats.refusals().filter(|&(_, _, count)| count > 0);
    let words: Vec<_> =
        refusals.map(|(protocol, word, count)| format!("{protocol} {word} {count}")).collect();
    assert_eq!(words, ["udp_json bad_id 1", "udp_json endpoint_not_yours 1", "udp_json bad_network 1"]);
    for datagram in ["{", r#"{"type":"pong","id":"a"}"#, r#"{"type":"leave","id":"a"}"#] {
        assert_eq!(ask(engine, CLIENT, datagram), "");
    }
    let dropped: Vec<_> = engine.stats.dropped().filter(|&(_, count)| count > 0).collect();
    assert_eq!(dropped, [("malformed", 1), ("not_a_request", 1), ("unproven", 1)]);
}
