//! A signal ends the server cleanly, soon, and with the exit code that tells which.
#![cfg(unix)]

mod support;

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::{PATIENCE, Server, post};

#[expect(clippy::disallowed_methods, reason = "the time a real process takes is what is tested")]
fn now() -> Instant {
    Instant::now()
}

/// Waits until the server accepts no connection any more.
fn closed(server: &Server) {
    let began = now();
    // A connection that is begun while the listener closes may be dropped without a word. The system would try it again a
    // second later, when the server is gone.
    let attempt = || TcpStream::connect_timeout(&server.http, Duration::from_millis(50));
    while attempt().map_or_else(|error| error.kind() == ErrorKind::TimedOut, |_| true) {
        assert!(began.elapsed() < PATIENCE, "it still listens");
    }
}

#[test]
fn sigterm_is_exit_code_0() {
    let server = Server::start(&[]);
    server.get("/health");
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn sigint_is_exit_code_130() {
    let server = Server::start(&[]);
    server.signal(Signal::INT);
    assert_eq!(server.wait(), Some(130));
}

#[test]
fn a_request_under_way_is_answered_and_an_idle_connection_closed() {
    let server = Server::start(&[]);
    let mut idle = server.connect();
    assert_eq!(idle.get("/health").status, 200);
    let mut busy = server.connect();
    let request = post("/announce", r#"{"id":"late","endpoints":["tcp://:1"]}"#);
    let (first, rest) = request.split_at(request.len() - 10);
    busy.send(&first.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n"));
    assert_eq!(busy.response().status, 100, "the server has read the head");
    server.signal(Signal::TERM);
    closed(&server);
    busy.send(rest);
    let answer = busy.response();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{answer:?}");
    assert!(idle.ends());
    drop(busy);
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_client_that_never_ends_its_request_does_not_hold_it_up() {
    let server = Server::start(&[]);
    let mut stuck = server.connect();
    let request = post("/announce", r#"{"id":"stuck"}"#);
    stuck.send(&request.replace("\r\n\r\n{", "\r\nExpect: 100-continue\r\n\r\n{").replace('}', ""));
    assert_eq!(stuck.response().status, 100, "the server has read the head");
    server.signal(Signal::TERM);
    let began = now();
    assert_eq!(server.wait(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
    assert!(matches!(stuck.stream.read(&mut [0; 1]), Ok(0) | Err(_)));
}

#[test]
fn the_port_is_free_for_the_next_server() {
    let first = Server::start(&["--bind=127.0.0.1"]);
    let port = first.http.port();
    // A connection that the first server closes is remembered by the system for a while.
    let mut connection = first.connect();
    connection.send("GET /health HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    connection.response();
    first.signal(Signal::TERM);
    first.wait();
    let next = Server::start_bare(&["--bind=127.0.0.1", "--udp-port=0", &format!("--port={port}")]);
    assert_eq!(next.get("/health").status, 200);
}
