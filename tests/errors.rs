//! Every error word that a client can meet over HTTP, with its status.

mod support;

use support::{Response, Server};

fn refusal(answer: &Response) -> (u16, String) {
    assert!(!answer.json("detail").unwrap_or_default().is_empty(), "{answer:?}");
    (answer.status, answer.json("error").unwrap())
}

#[test]
fn announces() {
    let server = Server::start(&[]);
    let long_id = "x".repeat(65);
    for (body, status, word) in [
        ("", 400, "bad_json"),
        ("[]", 400, "bad_json"),
        (r#"{"id":"a","id":"b"}"#, 400, "bad_json"),
        (r#"{"endpoints":["tcp://:1"]}"#, 400, "bad_id"),
        (r#"{"id":"a b","endpoints":["tcp://:1"]}"#, 400, "bad_id"),
        (r#"{"id":"\u0061","endpoints":["tcp://:1"]}"#, 400, "bad_id"),
        (&format!(r#"{{"id":"{long_id}","endpoints":["tcp://:1"]}}"#), 400, "bad_id"),
        (r#"{"id":"a"}"#, 400, "bad_endpoint"),
        (r#"{"id":"a","endpoints":[]}"#, 400, "bad_endpoint"),
        (r#"{"id":"a","endpoints":["tcp://:0"]}"#, 400, "bad_endpoint"),
        (r#"{"id":"a","endpoints":["tcp://224.0.0.1:1"]}"#, 400, "bad_endpoint"),
        (r#"{"id":"a","endpoints":["tcp://8.8.8.8:1"]}"#, 403, "endpoint_not_yours"),
        (r#"{"id":"a","endpoints":["tcp://host.example:1"]}"#, 403, "endpoint_not_yours"),
        (r#"{"id":"a","endpoints":["tcp://:1"],"network":"a b"}"#, 400, "bad_network"),
        (r#"{"id":"a","endpoints":["tcp://:1"],"token":"?"}"#, 400, "bad_token"),
        (r#"{"id":"a","endpoints":["tcp://:1"],"ttl":-1}"#, 400, "bad_request"),
    ] {
        assert_eq!(refusal(&server.post("/announce", body)), (status, word.into()), "{body}");
    }
    assert_eq!(server.get("/peers").peer_ids(), [""; 0], "a bad input changes nothing");
}

#[test]
fn other_requests() {
    let server = Server::start(&[]);
    assert_eq!(refusal(&server.get("/peers?limit=0")), (400, "bad_request".into()));
    assert_eq!(refusal(&server.get("/peers?network=a%20b")), (400, "bad_network".into()));
    assert_eq!(refusal(&server.get("/peers?exclude=")), (400, "bad_id".into()));
    assert_eq!(refusal(&server.post("/hello", r#"{"version":"2.0"}"#)), (400, "unsupported".into()));
    assert_eq!(server.get("/nothing").status, 404);
    let wrong = server.post("/peers", "{}");
    assert_eq!(wrong.status, 405);
    assert!(wrong.header("allow").unwrap().contains("GET"));
    let mut http = server.connect();
    http.send("POST /announce HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!(http.response().status, 415);
}

#[test]
fn what_is_too_large() {
    let server = Server::start(&[]);
    assert_eq!(server.post("/announce", &"x".repeat(5000)).status, 413);
    assert_eq!(server.get(&format!("/peers?network={}", "x".repeat(2048))).status, 414);
    let mut http = server.connect();
    http.send(&format!("GET / HTTP/1.1\r\nHost: test\r\nX: {}\r\n\r\n", "x".repeat(5000)));
    assert_eq!(http.response().status, 431);
}

#[test]
fn an_id_belongs_to_whoever_has_it() {
    let server = Server::start(&[]);
    if !server.has_ipv6 {
        return;
    }
    let mine = server.post("/announce", r#"{"id":"mine","endpoints":["tcp://:1"]}"#);
    let mut other = support::Http::connect(server.http_v6());
    let body = r#"{"id":"mine","endpoints":["tcp://:2"]}"#;
    assert_eq!(refusal(&other.post("/announce", body)), (409, "id_taken".into()));
    assert_eq!(refusal(&other.post("/leave", r#"{"id":"mine"}"#)), (409, "id_taken".into()));
    let token = mine.json("token").unwrap();
    let body = format!(r#"{{"id":"mine","endpoints":["tcp://:2"],"token":"{token}"}}"#);
    assert_eq!(other.post("/announce", &body).status, 200);
}

#[test]
fn what_the_operator_does_not_want() {
    let server = Server::start(&["--network=chess", "--require-signed"]);
    assert_eq!(refusal(&server.get("/peers")), (403, "network_not_served".into()));
    assert_eq!(server.get("/peers?network=chess").status, 200);
    let unsigned = r#"{"id":"a","endpoints":["tcp://:1"],"network":"chess"}"#;
    assert_eq!(refusal(&server.post("/announce", unsigned)), (403, "signature_required".into()));
    let server = Server::start(&["--allow-foreign-endpoints"]);
    let foreign = r#"{"id":"a","endpoints":["tcp://8.8.8.8:1","tcp://host.example:2"]}"#;
    assert_eq!(server.post("/announce", foreign).status, 200);
}
