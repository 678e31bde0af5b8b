//! What a supervisor hears (sd_notify(3)) from the first answer to the end.
#![cfg(target_os = "linux")]

mod support;

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::process::Signal;
use support::{PATIENCE, Server};

/// A supervisor's socket, and its name for the environment.
fn supervisor(about: &str) -> (UnixDatagram, String) {
    let name = format!("waypost-{}-{about}", std::process::id());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    (socket, format!("@{name}"))
}

fn heard(socket: &UnixDatagram) -> String {
    let mut message = [0; 512];
    let n = support::uninterrupted(|| socket.recv(&mut message)).expect("a message");
    String::from_utf8(message[..n].into()).unwrap()
}

fn start(variables: &[(&str, &str)]) -> Server {
    let mut command = support::waypost();
    command.args(["serve", "--port=0", "--udp-port=auto", "--no-mdns"]).envs(variables.iter().copied());
    Server::spawn(command)
}

#[test]
fn it_hears_of_the_start_of_each_round_and_of_the_end() {
    let (socket, path) = supervisor("whole");
    let server = start(&[("NOTIFY_SOCKET", &path), ("WATCHDOG_USEC", "600000")]);
    server.post("/announce", r#"{"id":"a","endpoints":["tcp://:1"]}"#);
    let first: Vec<String> = (0..2).map(|_| heard(&socket)).collect();
    assert!(first.iter().any(|message| message == "READY=1"), "{first:?}");
    // The next one comes when half of the time is over, and knows of the peer.
    let message = heard(&socket);
    let room = server.announced(" peers");
    assert_eq!(message, format!("WATCHDOG=1\nSTATUS=1 peers, room for {room}"));
    server.signal(Signal::TERM);
    while !heard(&socket).starts_with("STOPPING=1\n") {}
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn one_that_cannot_be_told_anything_is_no_reason_not_to_serve() {
    let server = start(&[("NOTIFY_SOCKET", "@waypost-nobody-listens"), ("WATCHDOG_USEC", "1")]);
    assert_eq!(server.get("/health").status, 200);
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
}
