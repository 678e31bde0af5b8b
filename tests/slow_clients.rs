//! Clients that hold all places by being slow, each kind in its own way, while a good one is served.
#![cfg(target_os = "linux")]

mod support;

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
use support::{Http, PATIENCE, Server, peak_bytes};

/// Slow clients that come while all places are taken.
const WAITING: usize = 20;
const SLOW: usize = waypost::limits::MAX_CONNECTIONS + WAITING;

/// How the server ended a connection, as the client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed,
    Reset,
}

/// Waits for the end of a connection without reading from it, then reads what came before, and tells which end it was.
fn end_of(stream: &mut TcpStream) -> (usize, End) {
    let timeout = Timespec::try_from(PATIENCE).unwrap();
    let events = poll(&mut [PollFd::new(&*stream, PollFlags::RDHUP)], Some(&timeout)).unwrap();
    assert_eq!(events, 1, "it was not ended");
    let (mut read, mut chunk) = (0, [0; 4096]);
    loop {
        match support::uninterrupted(|| stream.read(&mut chunk)) {
            Ok(0) => return (read, End::Closed),
            Ok(n) => read += n,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return (read, End::Reset),
            Err(error) => panic!("{error} after {read} bytes"),
        }
    }
}

/// How many connections the server has ended in this way.
fn ended(server: &Server, how: &str) -> u64 {
    let metrics = server.get("/metrics").body;
    let start = format!("waypost_http_connections_ended_total{{how=\"{how}\"}} ");
    let number = metrics.lines().find_map(|line| line.strip_prefix(&start));
    number.unwrap_or_else(|| panic!("no {start:?} in\n{metrics}")).parse().unwrap()
}

/// A client that sends `bytes` and takes next to nothing of what is answered.
fn slow(server: &Server, bytes: &str) -> Http {
    let fd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_recv_buffer_size(&fd, 1024).unwrap();
    connect(&fd, &server.http).unwrap();
    let mut http = Http::of(fd.into());
    http.send(bytes);
    http
}

/// Holds all places by clients that send `bytes` and then do nothing, has a good client served, and tells how the server ended
/// the first of the slow ones.
fn hold(bytes: &str) -> (usize, End) {
    let server = Server::start(&[]);
    let mut held: Vec<Http> = (0..SLOW).map(|_| slow(&server, bytes)).collect();
    for _ in 0..10 {
        assert_eq!(server.get("/health").status, 200);
    }
    assert!(ended(&server, "displaced") >= WAITING as u64, "who was in the way had to go");
    let peak = peak_bytes(server.pid());
    if support::runner().is_empty() {
        assert!(peak < server.announced(" bytes\n"), "{peak} bytes");
    }
    end_of(&mut held[0].stream)
}

/// More answers than any buffer between here and there holds.
fn many_requests() -> String {
    "GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n".repeat(100)
}

#[test]
fn who_says_nothing_makes_room() {
    assert_eq!(hold(""), (0, End::Closed));
}

#[test]
fn who_is_slow_with_a_head_makes_room() {
    assert_eq!(hold("GET /health HTTP/1.1\r\nHost: te"), (0, End::Closed));
}

#[test]
fn who_is_slow_with_a_body_makes_room() {
    let head =
        "POST /hello HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n";
    assert_eq!(hold(&format!("{head}{{")), (0, End::Closed));
}

#[test]
fn who_keeps_a_connection_for_later_makes_room() {
    let (read, end) = hold("GET /health HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(read > 0 && end == End::Closed, "{read} bytes, {end:?}");
}

#[test]
fn who_does_not_read_makes_room() {
    let (read, end) = hold(&many_requests());
    assert!(read > 0 && end == End::Reset, "{read} bytes, {end:?}");
}

#[test]
fn who_does_not_read_is_reset_in_time_also_when_nobody_waits() {
    let server = Server::start(&[]);
    let mut reader = slow(&server, &many_requests());
    let (read, end) = end_of(&mut reader.stream);
    assert!(read > 0 && end == End::Reset, "{read} bytes, {end:?}");
    assert_eq!(ended(&server, "slow_reader"), 1);
}
