//! One HTTP connection: many requests, in any pieces.

mod support;

use support::{Server, post};

#[test]
fn requests_follow_each_other_on_one_connection() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    for _ in 0..50 {
        assert_eq!(http.get("/health").status, 200);
    }
    assert_eq!(http.post("/announce", r#"{"id":"a","endpoints":["tcp://:1"]}"#).status, 200);
    assert_eq!(http.get("/nothing").status, 404);
    assert_eq!(http.get("/peers").peer_ids(), ["a"]);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    let announces: String = (0..20)
        .map(|i| post("/announce", &format!(r#"{{"id":"peer-{i}","endpoints":["tcp://:{}"]}}"#, i + 1)))
        .collect();
    http.send(&announces);
    for i in 0..20 {
        assert_eq!(http.response().json("id"), Some(format!("peer-{i}")));
    }
}

#[test]
fn a_request_may_come_byte_by_byte() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    let request = post("/announce", r#"{"id":"slow","endpoints":["tcp://:1"]}"#);
    for at in 0..request.len() {
        http.send(&request[at..=at]);
    }
    assert_eq!(http.response().json("id").as_deref(), Some("slow"));
    assert_eq!(http.get("/peers").peer_ids(), ["slow"]);
}

#[test]
fn a_body_may_be_chunked() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    http.send(
        "POST /announce HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n8\r\n{\"id\":\"c\r\n1D\r\nhunky\",\"endpoints\":[\"tcp://:1\r\n3\r\n\"]}\r\n0\r\n\r\n",
    );
    assert_eq!(http.response().json("id").as_deref(), Some("chunky"));
    assert_eq!(http.get("/health").status, 200);
}

#[test]
fn head_is_get_without_the_body() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    http.send("HEAD /peers HTTP/1.1\r\nHost: test\r\n\r\n");
    let head = http.try_response(false).unwrap();
    assert_eq!(head.status, 200);
    assert_ne!(head.header("content-length"), Some("0"));
    assert_eq!(http.get("/health").status, 200, "the next response begins where the head ended");
}

#[test]
fn a_client_may_ask_for_the_end() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    http.send("GET /health HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert_eq!(http.response().header("connection"), Some("close"));
    assert!(http.ends());
    let mut old = server.connect();
    old.send("GET /health HTTP/1.0\r\n\r\n");
    assert_eq!(old.response().status, 200);
    assert!(old.ends());
}

#[test]
fn a_body_never_becomes_the_next_request() {
    let server = Server::start(&[]);
    let hidden = "GET /health HTTP/1.1\r\nHost: test\r\n\r\n";
    let padded = |bytes: usize| format!("{}{}", hidden.repeat(20), "x".repeat(bytes - 20 * hidden.len()));
    let mut http = server.connect();
    http.send(&(post("/nothing", &padded(4000)) + hidden));
    assert_eq!((http.response().status, http.response().status), (404, 200));
    let mut http = server.connect();
    // The server need not read it all.
    let _ = std::io::Write::write_all(
        &mut http.stream,
        (post("/nothing", &padded(10 * 1024)) + hidden).as_bytes(),
    );
    assert_eq!(http.response().status, 413);
    assert!(http.ends());
}

#[test]
fn what_cannot_be_framed_is_refused_and_ends_the_connection() {
    let server = Server::start(&[]);
    for head in [
        "GET /health HTTP/1.1\r\n\r\n",
        "GET /health HTTP/1.1\nHost: test\n\n",
        "POST /hello HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /hello HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    ] {
        let mut http = server.connect();
        http.send(head);
        assert_eq!(http.response().status, 400, "{head}");
        assert!(http.ends(), "{head}");
    }
}
