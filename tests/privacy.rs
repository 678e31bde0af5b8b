//! What the server prints and shows names nobody (SPEC 3.10): no client address, no peer id, no network.
#![cfg(target_os = "linux")]

mod support;

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Stdio;

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use rustix::process::Signal;
use support::{Http, Server, member, post};

/// Part of every id and every network's name. Hex digits, so that it may be part of a key as well.
const MARK: &str = "0ddba11f00d";
/// Where clients come from. Each text is in no address of the server.
const CLIENTS: [&str; 4] = ["127.83.7.19", "127.84.201.6", "127.85.33.77", "127.86.9.91"];
/// An address that a client only claims to have.
const CLAIMED: &str = "203.0.113.77";

fn tcp_from(ip: &str, server: SocketAddr) -> Http {
    let fd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&fd, &SocketAddr::new(ip.parse().unwrap(), 0)).unwrap();
    connect(&fd, &server).unwrap();
    Http::of(TcpStream::from(fd))
}

/// Everything a client can ask for over HTTP, good and bad. Connections that end early are no concern.
fn speak_http(ip: &str, server: &Server) {
    let id = format!("id-{MARK}-{ip}");
    let network = format!("net-{MARK}");
    let hash = format!("{MARK}{}", "0".repeat(40 - MARK.len()));
    let announce = format!(r#"{{"id":"{id}","network":"{network}","endpoints":["tcp://:9000"]}}"#);
    let foreign = format!(r#"{{"id":"x{id}","endpoints":["tcp://{CLAIMED}:9000"]}}"#);
    let good = [
        post("/announce", &announce),
        post("/announce", &foreign),
        post("/announce", &announce.replace("tcp://", "nothing")),
        post("/announce", &announce.replace('}', r#","ttl":"x"}"#)),
        post("/hello", &format!(r#"{{"client_id":"{id}","network":"{network}"}}"#)),
        post("/leave", &format!(r#"{{"id":"{id}","network":"{network}","token":"{MARK}"}}"#)),
        post("/announce", &announce),
        format!("GET /peers?network={network}&exclude={id} HTTP/1.1\r\nHost: {MARK}\r\n\r\n"),
        format!("GET /challenge?network={network}&id={id} HTTP/1.1\r\nHost: test\r\n\r\n"),
        format!(
            "GET /announce?info_hash={hash}&peer_id={hash}&port=9001&ip={CLAIMED} HTTP/1.1\r\nHost: test\r\n\r\n"
        ),
        format!("GET /scrape?info_hash={hash} HTTP/1.1\r\nHost: test\r\n\r\n"),
        format!(
            "GET /{MARK} HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: {CLAIMED}\r\nForwarded: for={CLAIMED}\r\n\r\n"
        ),
        format!("DELETE /peers?{MARK} HTTP/1.1\r\nHost: test\r\n\r\n"),
    ];
    let mut http = tcp_from(ip, server.http);
    for request in &good {
        http.send(request);
        http.try_response(true).expect("an answer");
    }
    let bad = [
        format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", MARK.repeat(300)),
        format!("GET /{MARK} HTTP/1.1\r\n\r\n"),
        format!("{MARK} / HTTP/1.1\r\nHost: test\r\n\r\n"),
        format!(
            "POST /announce HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\nContent-Length: 2\r\nX: {MARK}\r\n\r\n"
        ),
        post("/announce", &MARK.repeat(500)),
        format!("\0\x01{MARK}\r\n\r\n"),
    ];
    for request in &bad {
        let mut http = tcp_from(ip, server.http);
        http.send(request);
        http.try_response(true).expect("a refusal");
    }
    // One is left half said for the server's end.
    let mut half = tcp_from(ip, server.http);
    half.send(&format!("GET /{MARK} HTTP/1.1\r\nHost: {ip}"));
    drop(half);
}

/// Everything over UDP, good and bad.
fn speak_udp(ip: &str, server: &Server) {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.connect(server.udp.unwrap()).unwrap();
    let client = support::Udp { socket };
    client.socket.set_read_timeout(Some(support::PATIENCE)).unwrap();
    let token = client.token();
    let id = format!("udp-{MARK}-{ip}");
    let call = |kind: &str, rest: &str| {
        format!(r#"{{"type":"{kind}","id":"{MARK}","peer_id":"{id}","network":"net-{MARK}"{rest}}}"#)
    };
    let with_token = format!(r#","token":"{token}""#);
    for kind in ["announce", "leave", "announce"] {
        let answer = client.ask(&call(kind, &with_token));
        assert_eq!(member(&answer, "type").as_deref(), Some("ack"), "{answer}");
    }
    let silent: [Vec<u8>; 6] = [
        call("announce", r#","token":"AAAAAAAAAAA""#).into(),
        call("nonsense", &with_token).into(),
        format!("{{\"{MARK}\":").into(),
        MARK.repeat(200).into(),
        format!("d1:ad2:id20:{MARK}000000000e1:q4:ping1:t2:aa1:y1:qe").into(),
        format!("d1:ad2:id20:{MARK}000000000e1:q9:{MARK}").into(),
    ];
    for datagram in &silent {
        client.socket.send(datagram).unwrap();
    }
}

#[test]
fn nobody_is_named_in_logs_or_figures() {
    let mut command = support::waypost();
    command.args(["serve", "--port=0", "--udp-port=auto", "--bind=127.0.0.1", "--rate-limit=60"]);
    let (mut errors, to_errors) = std::io::pipe().unwrap();
    command.stderr(Stdio::from(to_errors));
    let mut server = Server::spawn(command);
    let output = server.take_output();
    for ip in CLIENTS {
        speak_http(ip, &server);
        speak_udp(ip, &server);
    }
    // More than is allowed of one address.
    let mut limited = tcp_from(CLIENTS[0], server.http);
    let refused = (0..80).any(|_| limited.get(&format!("/peers?network=net-{MARK}")).status == 429);
    assert!(refused, "a limit was to be reached");
    let listed = tcp_from(CLIENTS[1], server.http).get(&format!("/peers?network=net-{MARK}"));
    assert!(listed.body.contains(MARK) && listed.body.contains(CLIENTS[1]), "the search can find something");

    let mut shown = String::new();
    for page in ["/metrics", "/health", "/", "/.well-known/waypost"] {
        let answer = tcp_from("127.0.0.1", server.http).get(page);
        assert_eq!(answer.status, 200);
        shown += &answer.head;
        shown += &answer.body;
    }
    let banner = server.banner.clone();
    let crowd: Vec<Http> = (0..waypost::limits::MAX_CONNECTIONS + 5)
        .map(|_| {
            let mut http = tcp_from(CLIENTS[2], server.http);
            http.send(&format!("GET /{MARK}"));
            http
        })
        .collect();
    assert_eq!(tcp_from(CLIENTS[3], server.http).get("/health").status, 200);
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
    drop(crowd);
    let mut said = [banner, shown].join("\n");
    output.for_each(|line| said += &line.unwrap());
    errors.read_to_string(&mut said).unwrap();
    assert!(said.contains("\nready ") && said.contains("waypost_peers "), "{said}");
    for secret in CLIENTS.iter().copied().chain([MARK, CLAIMED]) {
        let line = said.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is told");
    }
}
