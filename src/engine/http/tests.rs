//! Literal requests in, literal responses out, through a whole connection.

use super::*;
use crate::engine::settings::{Cidr, Settings};
use crate::engine::{Engine, Storage};
use crate::rng::Seed;
use crate::time::Instant;

type Memory = Storage<64, 256>;

const NOW: Instant = Instant::from_s(100);
const PEER: &str = "198.51.100.7:40000";

fn engine(memory: &mut Memory) -> Engine<'_> {
    memory.engine(Settings { max_peers: 64, ..Settings::default() }, &Seed([9; 32]))
}

/// Sends `bytes` in pieces that end at the offsets `cuts`, as far as they are wanted. Returns what came back, and what the
/// connection wants in the end.
fn converse(engine: &mut Engine<'_>, peer: &str, bytes: &[u8], cuts: &[usize]) -> (String, Wants) {
    let (answer, wants) = exchange(engine, peer, bytes, cuts);
    (String::from_utf8(answer).unwrap(), wants)
}

/// The same, for answers that are no text.
fn exchange(engine: &mut Engine<'_>, peer: &str, bytes: &[u8], cuts: &[usize]) -> (Vec<u8>, Wants) {
    let mut connection = Box::new(Connection::new());
    connection.open(NOW, peer.parse().unwrap());
    let mut cuts = cuts.iter().copied().chain([bytes.len()]);
    let (mut at, mut end, mut answer) = (0, cuts.next().unwrap(), Vec::new());
    loop {
        match connection.wants() {
            Wants::Write => {
                let n = connection.pending().len().min(1000);
                answer.extend(&connection.pending()[..n]);
                connection.sent(NOW, n, engine);
            }
            Wants::Read | Wants::Drain if at == end && at == bytes.len() => break,
            Wants::Read | Wants::Drain if at == end => end = cuts.next().unwrap(),
            Wants::Read | Wants::Drain => {
                let space = connection.space();
                let n = space.len().min(end - at);
                assert!(n > 0, "a connection that wants to read has space");
                space[..n].copy_from_slice(&bytes[at..at + n]);
                at += n;
                connection.received(NOW, n, engine);
            }
            Wants::Close | Wants::Reset => break,
        }
    }
    (answer, connection.wants())
}

/// The answer to `bytes` from a client at [`PEER`].
fn ask(engine: &mut Engine<'_>, bytes: &str) -> (String, Wants) {
    converse(engine, PEER, bytes.as_bytes(), &[])
}

/// The same from a fresh engine, after one peer was announced.
fn ask_one(bytes: &str) -> (String, Wants) {
    let mut memory = Memory::new();
    let engine = &mut engine(&mut memory);
    ask(engine, &announce("n1"));
    ask(engine, bytes)
}

fn announce(id: &str) -> String {
    post("/announce", &format!(r#"{{"id":"{id}","endpoints":["tcp://:9000"],"network":"room"}}"#))
}

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// A tracker's client of the network `pscryptochat`.
const TRACK: &str =
    "/announce?info_hash=%DC%90%EBp%3F%BE%5E%D4V%2F%CD%E5%93w1%0F%23v%80%E7&port=6881&numwant=0";

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[test]
fn an_announce_and_what_others_see_of_it() {
    let mut memory = Memory::new();
    let engine = &mut engine(&mut memory);
    let (answer, wants) = ask(engine, &announce("n1"));
    let (head, registered) = answer.split_once("\r\n\r\n").unwrap();
    let token = registered.rsplit('"').nth(1).unwrap();
    assert_eq!(token.len(), 11);
    assert_eq!(
        registered,
        format!(r#"{{"registered":true,"expires":300,"id":"n1","you":"198.51.100.7","token":"{token}"}}"#)
    );
    assert_eq!(
        head,
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nContent-Length: {}",
            registered.len()
        )
    );
    assert_eq!(wants, Wants::Read);
    let id = hex(&engine.bootstrap_id());
    let (answer, _) = converse(engine, "[2001:db8::7]:1", get("/peers?network=room").as_bytes(), &[]);
    let expected = format!(
        r#"{{"peers":[{{"id":"n1","endpoints":["tcp://198.51.100.7:9000"],"age":0}}],"ttl":300,"bootstrap_id":"{id}","you":"2001:db8::7"}}"#
    );
    assert_eq!(
        answer,
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nContent-Length: {}\r\nAccess-Control-Allow-Origin: *\r\n\r\n{expected}",
            expected.len()
        )
    );
    let (answer, _) = ask(engine, &post("/leave", r#"{"id":"n1","network":"room"}"#));
    assert_eq!(body(&answer), r#"{"removed":true}"#);
    let (answer, _) = ask(engine, &post("/leave", r#"{"id":"n1","network":"room"}"#));
    assert_eq!(body(&answer), r#"{"removed":false}"#);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn wall_clock_times_are_there_while_they_are_credible() {
    let mut memory = Memory::new();
    let engine = &mut engine(&mut memory);
    engine.set_wall_clock(Instant::from_s(90), 1_800_000_000_000);
    ask(engine, &announce("n1"));
    let (answer, _) = ask(engine, &get("/peers?network=room"));
    assert!(body(&answer).starts_with(
        r#"{"peers":[{"id":"n1","endpoints":["tcp://198.51.100.7:9000"],"age":0,"last_seen":1800000010}],"server_time":1800000010,"ttl":300,"#
    ));
}

#[test]
fn a_hello_is_answered_with_peers() {
    let hello = |body| ask_one(&post("/hello", body)).0;
    let n1 = r#"{"peers":[{"id":"n1","#;
    assert!(
        body(&hello(r#"{"client_id":"c","supports":["tcp"],"version":"1.0","network":"room"}"#))
            .starts_with(n1)
    );
    for none in [
        r#"{"client_id":"n1","network":"room"}"#,
        r#"{"client_id":"c","supports":["udp"],"network":"room"}"#,
        r#"{"client_id":"c"}"#,
    ] {
        assert!(body(&hello(none)).starts_with(r#"{"peers":[],"ttl":300,"#), "{none}");
    }
    let refused = hello(r#"{"client_id":"c","version":"2.0"}"#);
    assert_eq!(status(&refused), 400);
    assert!(body(&refused).starts_with(r#"{"error":"unsupported","#));
    assert!(refused.contains("Access-Control-Allow-Origin: *\r\n"));
}

#[test]
fn small_answers_in_full() {
    let (answer, _) = ask_one(&get("/challenge?id=n1&network=room"));
    assert_eq!(body(&answer), r#"{"challenge":"","difficulty":0,"expires":120}"#);
    let (answer, _) = ask_one(&get("/health"));
    assert_eq!(
        body(&answer),
        format!(
            r#"{{"status":"healthy","uptime_seconds":100,"peers":{{"total":1,"active_5m":1}},"requests":{{"total":2,"rate_per_minute":2}},"memory_mb":0.0,"version":"{}"}}"#,
            bodies::VERSION
        )
    );
    let mut memory = Memory::new();
    let engine = &mut engine(&mut memory);
    engine.set_resident_bytes(1_363_149);
    assert!(ask(engine, &get("/health")).0.contains(r#""memory_mb":1.3,"#));
    let id = hex(&engine.bootstrap_id());
    let (answer, _) = ask(engine, &get("/.well-known/waypost"));
    assert_eq!(
        body(&answer),
        format!(
            r#"{{"servers":[],"bootstrap_id":"{id}","key":"{}","version":"{}"}}"#,
            "kaiN8S6H8Vit-E08MEDQ01GcETFrzA8RNMRZmepVoTc",
            bodies::VERSION
        )
    );
}

#[test]
fn each_refusal_has_its_status_and_word() {
    let json = "Content-Type: application/json\r\n";
    for (request, expected, word) in [
        (get("/nothing"), 404, "bad_request"),
        (get("/peers/"), 404, "bad_request"),
        (get(TRACK).replace("Host: a", "Host: a\r\nOrigin: http://b"), 403, "bad_request"),
        (get(TRACK).replace("Host: a", "Host: a\r\nAccept-Language: en"), 403, "bad_request"),
        (get("/scrape").replace("GET", "POST"), 405, "unsupported"),
        (get("/peers").replace("GET", "POST"), 405, "unsupported"),
        (get("/peers").replace("GET", "DELETE"), 405, "unsupported"),
        (get("/peers").replace("GET", "BREW"), 501, "unsupported"),
        (get("/peers?limit=0"), 400, "bad_request"),
        (get("/peers?limit=51"), 400, "bad_request"),
        (get("/peers?network=a%20b"), 400, "bad_network"),
        (get("/peers?exclude=%20"), 400, "bad_id"),
        (post("/announce", "{"), 400, "bad_json"),
        (post("/announce", r#"{"endpoints":["tcp://:1"]}"#), 400, "bad_id"),
        (post("/announce", r#"{"id":"a","endpoints":["tcp://:0"]}"#), 400, "bad_endpoint"),
        (post("/announce", r#"{"id":"a","endpoints":["tcp://203.0.113.1:1"]}"#), 403, "endpoint_not_yours"),
        (post("/announce", "{}").replace(json, ""), 415, "unsupported"),
        (post("/announce", "{}").replace("application/json", "text/plain"), 415, "unsupported"),
        (post("/announce", "{}").replace("Host: a", "Host: a\r\nOrigin: http://b"), 403, "bad_request"),
        (post("/leave", "{}").replace("Host: a", "Host: a\r\nOrigin: null"), 403, "bad_request"),
        (post("/announce", "{}").replace("Content-Length: 2", "X: y"), 411, "bad_request"),
        (post("/announce", "{}").replace("Content-Length: 2", "Content-Length: 4097"), 413, "too_large"),
        (post("/announce", "{}").replace("Host: a", "Host: a\r\nExpect: x"), 417, "unsupported"),
        (get(&format!("/{}", "x".repeat(2048))), 414, "too_large"),
        (get("/").replace("Host", &format!("X: {}\r\nHost", "x".repeat(4096))), 431, "too_large"),
        (get("/").replace("HTTP/1.1", "HTTP/1.2"), 505, "unsupported"),
        (get("/").replace("Host: a\r\n", ""), 400, "bad_request"),
    ] {
        let (answer, wants) = ask_one(&request);
        assert_eq!(status(&answer), expected, "{request:?}");
        let body = body(&answer);
        assert!(body.starts_with(&format!(r#"{{"error":"{word}","detail":""#)), "{request:?}: {body}");
        assert!(body.ends_with(r#"."}"#) || body.ends_with(r#""}"#));
        assert!(answer.contains(&format!("Content-Length: {}\r\n", body.len())), "{request:?}");
        let closes = matches!(expected, 413 | 414 | 417 | 431 | 501 | 505) || !request.contains("Host");
        assert_eq!(answer.contains("Connection: close\r\n"), closes, "{request:?}");
        assert_eq!(wants, if closes { Wants::Drain } else { Wants::Read }, "{request:?}");
    }
}

#[test]
fn a_tracker_refuses_with_status_200() {
    for target in ["/announce", "/announce?info_hash=x&port=1", "/announce?port=1&port=1", "/scrape"] {
        let (answer, wants) = ask_one(&get(target));
        let failure = body(&answer);
        let sharing = if target == "/scrape" { "Access-Control-Allow-Origin: *\r\n" } else { "" };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nContent-Length: {}\r\n{sharing}\r\n",
            failure.len()
        );
        assert_eq!(answer, format!("{head}{failure}"));
        assert!(failure.starts_with("d14:failure reason") && failure.contains(":bad_request: "), "{failure}");
        assert_eq!(wants, Wants::Read);
    }
}

#[test]
fn a_tracker_sees_the_client_behind_a_trusted_proxy() {
    let mut memory = Memory::new();
    let mut settings = Settings::default();
    settings.trusted_proxies.push(Cidr::parse("10.0.0.0/8").unwrap()).unwrap();
    let engine = &mut memory.engine(settings, &Seed([9; 32]));
    // The address of an IPv4 client is no UTF-8, that of this one is.
    let request = get(TRACK).replace("Host: a", "Host: a\r\nX-Forwarded-For: 80.81.82.83:4711");
    let (answer, _) = converse(engine, "10.0.0.1:1", request.as_bytes(), &[]);
    assert!(body(&answer).contains("11:external ip4:PQRS10:incompletei1e"), "{answer}");
    let (answer, _) = ask(engine, &get("/peers"));
    assert!(body(&answer).contains(r#""id":"80.81.82.83:6881","endpoints":["tcp://80.81.82.83:6881","#));
}

#[test]
fn an_id_of_someone_else_is_a_conflict() {
    let mut memory = Memory::new();
    let engine = &mut engine(&mut memory);
    ask(engine, &announce("n1"));
    let (answer, _) = converse(engine, "203.0.113.1:1", announce("n1").as_bytes(), &[]);
    assert_eq!(status(&answer), 409);
    assert!(body(&answer).starts_with(r#"{"error":"id_taken","#));
}

#[test]
fn a_table_without_a_place_says_that_nothing_was_registered() {
    let mut memory = Memory::new();
    let settings = Settings { announces_per_minute: 0, ..Settings::default() };
    let engine = &mut memory.engine(settings, &Seed([9; 32]));
    let refused = (0..64).find_map(|n| {
        let (answer, _) = ask(engine, &announce(&format!("n{n}")));
        (status(&answer) != 200).then_some(answer)
    });
    let answer = refused.expect("one address does not get the whole table");
    assert_eq!(status(&answer), 503);
    assert!(body(&answer).starts_with(r#"{"registered":false,"error":"table_full","detail":""#));
    assert!(ask(engine, &get("/health")).0.contains(r#""status":"degraded""#));
}

#[test]
fn head_measures_what_get_sends() {
    for target in ["/", "/peers?network=room", "/health", "/metrics", "/nothing"] {
        let mut memory = Memory::new();
        let mut another = Memory::new();
        let (full, _) = ask(&mut engine(&mut memory), &get(target));
        let request = get(target).replace("GET", "HEAD");
        let (head, wants) = ask(&mut engine(&mut another), &request);
        assert_eq!(head, full[..full.len() - body(&full).len()], "{target}");
        assert_eq!(wants, Wants::Read);
    }
}

#[test]
fn options_say_what_is_possible() {
    let options = |target: &str| ask_one(&get(target).replace("GET", "OPTIONS")).0;
    assert_eq!(options("*"), "HTTP/1.1 204 No Content\r\nAllow: GET, HEAD, POST, OPTIONS\r\n\r\n");
    assert_eq!(options("/announce"), "HTTP/1.1 204 No Content\r\nAllow: GET, POST, OPTIONS\r\n\r\n");
    assert_eq!(
        options("/hello"),
        "HTTP/1.1 204 No Content\r\nAllow: POST, OPTIONS\r\nAccess-Control-Allow-Origin: *\r\n\
         Access-Control-Allow-Methods: POST\r\nAccess-Control-Allow-Headers: Content-Type\r\n\
         Access-Control-Max-Age: 86400\r\n\r\n"
    );
    assert!(options("/peers").contains("Access-Control-Allow-Methods: GET, HEAD\r\n"));
    assert_eq!(status(&options("/nothing")), 404);
}

#[test]
fn a_wrong_method_is_told_the_right_ones() {
    let (answer, _) = ask_one(&get("/announce").replace("GET", "DELETE"));
    assert!(answer.contains("\r\nAllow: GET, POST, OPTIONS\r\n") && !answer.contains("Access-Control"));
    let mut memory = Memory::new();
    let engine = &mut engine(&mut memory);
    let (answer, _) = ask(engine, &get(TRACK).replace("GET", "HEAD"));
    assert_eq!(status(&answer), 405);
    assert!(answer.contains("\r\nAllow: GET, POST, OPTIONS\r\n") && engine.peers().is_empty());
    let (answer, _) = ask_one(&post("/health", "{}"));
    assert!(answer.contains("\r\nAllow: GET, HEAD, OPTIONS\r\n"));
}

#[test]
fn pages_of_this_site_may_announce_but_not_by_a_name_that_was_bent() {
    let from = |peer: &str, host: &str| {
        let fields = format!("Host: {host}\r\nOrigin: http://{host}");
        let mut memory = Memory::new();
        let engine = &mut engine(&mut memory);
        let track = get(TRACK).replace("Host: a", &fields);
        let (tracked, _) = exchange(engine, peer, track.as_bytes(), &[]);
        assert!(tracked.starts_with(b"HTTP/1.1 403 "), "only by posting");
        let request = announce("n1").replace("Host: a", &fields);
        let status = status(&converse(engine, peer, request.as_bytes(), &[]).0);
        assert_eq!(engine.peers().len(), usize::from(status == 200));
        status
    };
    assert_eq!(from(PEER, "boot.example"), 200);
    assert_eq!(from("192.168.1.9:1", "evil.example"), 403);
    assert_eq!(from("192.168.1.9:1", "192.168.1.2:8080"), 200);
    assert_eq!(from("127.0.0.1:1", "localhost:8080"), 200);
    assert_eq!(from("[fd00::9]:1", "pi.local:8080"), 200);
}

#[test]
fn proxies_speak_for_their_clients() {
    let mut memory = Memory::new();
    let mut settings = Settings::default();
    settings.trusted_proxies.push(Cidr::parse("127.0.0.1").unwrap()).unwrap();
    let engine = &mut memory.engine(settings, &Seed([9; 32]));
    let request = announce("n1").replace("Host: a", "Host: a\r\nX-Forwarded-For: 1.1.1.1, 203.0.113.5");
    let (answer, _) = converse(engine, "127.0.0.1:9", request.as_bytes(), &[]);
    assert!(body(&answer).contains(r#""you":"203.0.113.5""#), "{answer}");
}

#[test]
fn limits_say_when_to_come_back() {
    let mut memory = Memory::new();
    let settings = Settings { queries_per_minute: 1, ..Settings::default() };
    let engine = &mut memory.engine(settings, &Seed([9; 32]));
    let limited = (0..1000).find_map(|_| {
        let (answer, _) = ask(engine, &get("/peers"));
        (status(&answer) == 429).then_some(answer)
    });
    let answer = limited.expect("one query a minute is a limit");
    assert!(answer.contains("\r\nRetry-After: ") && body(&answer).starts_with(r#"{"error":"rate_limited","#));
    assert!(ask(engine, &get("/health")).0.contains(r#""status":"degraded""#));
}

/// Requests of all kinds, each with what a fresh engine answers.
fn samples() -> Vec<String> {
    let json = r#"{"id":"n1","endpoints":["tcp://:9000"]}"#;
    let chunked = post("/announce", "").replace("Content-Length: 0", "Transfer-Encoding: chunked");
    vec![
        get("/"),
        format!("\r\n{}", get("/peers?limit=3")),
        get("/health").replace("Host", "Connection: close\r\nHost"),
        announce("n1"),
        format!("{chunked}1\r\n{{\r\n{:x};x=y\r\n{}\r\n0\r\nA: b\r\n\r\n", json.len() - 1, &json[1..]),
        format!("{}{}{}", get("/peers"), announce("n1"), get("/peers").replace("1.1", "1.0")),
        format!("{chunked}5\r\nhelloX"),
        post("/nothing", "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"),
        get("/peers").replace("Host", "Content-Length: 5\r\nHost") + "hello",
        get("/").replace("\r\n\r\n", "\n\r\n"),
        "GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /health HTTP/1.0\r\n\r\nGET /".into(),
    ]
}

#[test]
fn the_pace_of_a_request_does_not_matter() {
    for sample in samples() {
        let answer = |cuts: &[usize]| {
            let mut memory = Memory::new();
            let (answer, wants) = converse(&mut engine(&mut memory), PEER, sample.as_bytes(), cuts);
            // Whether a closing connection is drained depends on what had come in by then.
            (answer, wants == Wants::Read)
        };
        let whole = answer(&[]);
        for cut in 1..sample.len() {
            assert_eq!(answer(&[cut]), whole, "{sample:?} cut at {cut}");
        }
        assert_eq!(answer(&(1..sample.len()).collect::<Vec<_>>()), whole, "{sample:?} byte by byte");
    }
}

#[test]
fn no_prefix_is_answered_twice_or_with_more() {
    for sample in samples() {
        let answer = |end: usize| {
            let mut memory = Memory::new();
            converse(&mut engine(&mut memory), PEER, &sample.as_bytes()[..end], &[]).0
        };
        let whole = answer(sample.len());
        for end in 0..sample.len() {
            assert!(whole.starts_with(&answer(end)), "{sample:?} cut at {end}");
        }
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let pipeline = format!("{}{}{}", announce("n1"), get("/peers?network=room"), get("/health"));
    let mut memory = Memory::new();
    let (answers, wants) = ask(&mut engine(&mut memory), &pipeline);
    let bodies: Vec<_> = answers.split("HTTP/1.1 200 OK\r\n").skip(1).map(body).collect();
    assert_eq!(bodies.len(), 3);
    assert!(bodies[0].starts_with(r#"{"registered":true"#) && bodies[2].starts_with(r#"{"status":"#));
    assert!(bodies[1].starts_with(r#"{"peers":[{"id":"n1""#), "the announce before it has been done");
    assert_eq!(wants, Wants::Read);
}

#[test]
fn a_body_is_never_taken_for_a_request() {
    let hidden = get("/health");
    let (answer, wants) = ask_one(&post("/nothing", &hidden));
    assert_eq!((status(&answer), answer.matches("HTTP/1.1 ").count(), wants), (404, 1, Wants::Read));
    let length = "Content-Length: 10240";
    let long = format!("{}{hidden}", post("/nothing", "").replace("Content-Length: 0", length));
    let (answer, wants) = ask_one(&long);
    assert_eq!((status(&answer), answer.matches("HTTP/1.1 ").count(), wants), (413, 1, Wants::Drain));
    let chunked = post("/announce", "").replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let (answer, wants) = ask_one(&format!("{chunked}0\r\n\n{hidden}"));
    assert_eq!((status(&answer), answer.matches("HTTP/1.1 ").count(), wants), (400, 1, Wants::Drain));
}

#[test]
fn a_client_that_waits_for_the_100_gets_it_or_a_final_answer() {
    let json = r#"{"id":"n1","endpoints":["tcp://:9000"]}"#;
    let request = post("/announce", json).replace("Host", "Expect: 100-continue\r\nHost");
    let head = request.len() - json.len();
    let mut memory = Memory::new();
    let (answer, wants) = converse(&mut engine(&mut memory), PEER, request.as_bytes(), &[head]);
    let rest = answer.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").expect("a 100 first");
    assert_eq!((status(rest), wants), (200, Wants::Read));
    let wrong = request.replace("/announce", "/nothing");
    let (answer, wants) = converse(&mut engine(&mut memory), PEER, &wrong.as_bytes()[..head], &[]);
    assert_eq!((status(&answer), wants), (404, Wants::Drain));
    assert!(answer.contains("Connection: close\r\n"));
    let empty = get("/health").replace("Host", "Expect: 100-continue\r\nHost");
    assert_eq!(status(&ask_one(&empty).0), 200);
}

#[test]
fn a_connection_has_its_share_of_requests() {
    let mut memory = Memory::new();
    let (answers, wants) = ask(&mut engine(&mut memory), &get("/health").repeat(101));
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 100);
    assert_eq!(answers.matches("Connection: close").count(), 1);
    assert_eq!(wants, Wants::Drain);
}

#[test]
fn the_largest_bodies_fit() {
    let padding = " ".repeat(4096 - 17);
    let (answer, _) = ask_one(&post("/hello", &format!(r#"{{"client_id":"c"{padding}}}"#)));
    assert_eq!(status(&answer), 200);
    let chunked = post("/hello", "").replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let fields = 4096 - chunked.len() - "X: \r\n".len();
    let head = chunked.replace("Host", &format!("X: {}\r\nHost", "x".repeat(fields)));
    assert_eq!(head.len(), 4096);
    let (answer, _) = ask_one(&format!("{head}1000\r\n{{\"client_id\":\"c\"{padding}}}\r\n0\r\n\r\n"));
    assert_eq!(status(&answer), 200);
}

#[test]
fn a_list_of_peers_stops_before_the_buffer_is_full() {
    let mut memory = Storage::<64, 256>::new();
    let settings = Settings { announces_per_minute: 0, queries_per_minute: 0, ..Settings::default() };
    let engine = &mut memory.engine(settings, &Seed([9; 32]));
    let onion =
        |n: usize, scheme: usize| format!("\"abcdefghijk{scheme}://{}.{n}.onion:65535\"", "a".repeat(63));
    for n in 10..60 {
        let endpoints: Vec<_> = (0..4).map(|scheme| onion(n, scheme)).collect();
        let id = format!("{n}{}", "i".repeat(62));
        let body = format!(r#"{{"id":"{id}","endpoints":[{}]}}"#, endpoints.join(","));
        let (answer, _) =
            converse(engine, &format!("10.0.{n}.1:1"), post("/announce", &body).as_bytes(), &[]);
        assert_eq!(status(&answer), 200, "{answer}");
    }
    let (answer, _) = ask(engine, &get("/peers"));
    assert!(answer.len() <= crate::limits::MAX_RESPONSE_BYTES && answer.len() > 14_000, "{}", answer.len());
    assert!(body(&answer).ends_with(r#""you":"198.51.100.7"}"#));
    assert_eq!(body(&answer).matches(r#"{"id":""#).count(), body(&answer).matches(r#"],"age":0}"#).count());
}

#[test]
fn the_metrics_are_well_formed() {
    let mut memory = Memory::new();
    let engine = &mut engine(&mut memory);
    ask(engine, &announce("n1"));
    ask(engine, &announce("n1"));
    ask(engine, &post("/announce", "{"));
    let (answer, _) = ask(engine, &get("/metrics"));
    assert!(answer.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    let mut family = "";
    for line in body(&answer).lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().unwrap();
            continue;
        }
        let name = line.strip_prefix("# TYPE ").unwrap_or(line);
        assert!(name.starts_with(family), "{line:?} belongs to no family");
    }
    for line in [
        "waypost_peers 1",
        "waypost_registrations_total 1",
        "waypost_refreshes_total 1",
        "waypost_requests_total{protocol=\"http\",kind=\"announce\"} 3",
        "waypost_requests_total{protocol=\"http\",kind=\"page\"} 1",
        "waypost_refusals_total{protocol=\"http\",error=\"bad_json\"} 1",
        "waypost_http_responses_total{code=\"200\"} 2",
    ] {
        assert!(body(&answer).lines().any(|l| l == line), "{line} is missing in {answer}");
    }
    assert!(!answer.contains("198.51.100") && !answer.contains("n1"));
}

#[test]
fn the_page_is_for_people() {
    let (answer, _) = ask_one(&get("/"));
    assert!(answer.contains("Content-Type: text/html; charset=utf-8\r\n"));
    assert!(answer.contains("Content-Security-Policy: default-src 'none'; style-src 'sha256-"));
    assert!(body(&answer).starts_with("<!doctype html>") && body(&answer).ends_with("</html>\n"));
    assert!(body(&answer).contains("<dt>Peers now</dt><dd>1</dd>"));
}

#[test]
fn no_head_of_a_response_echoes_the_client() {
    let mark = "evil-mark";
    for sample in samples() {
        let marked = sample.replace("Host: a", &format!("Host: {mark}\r\nX-A: {mark}")).replace("n1", mark);
        let (answer, _) = ask_one(&marked);
        let heads = answer.split("\r\n\r\n").filter(|part| part.contains("HTTP/1.1 "));
        for head in heads.map(|part| part.rsplit("HTTP/1.1 ").next().unwrap()) {
            assert!(!head.contains(mark), "{head}");
        }
    }
}
