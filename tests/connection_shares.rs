//! One address and one network have a share of the connections. The LAN has no such limit, so this is tried in a network namespace
//! that has addresses of the Internet and no way out.
#![cfg(target_os = "linux")]

mod support;

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::Command;

use rustix::net::{AddressFamily, SocketType, bind, connect, socket, sockopt};
use support::{Http, Server};
use waypost::limits::{CONNECTIONS_PER_HOST, MAX_CONNECTIONS, NARROW_CONNECTIONS_DIVISOR};

#[test]
fn an_address_and_a_network_have_a_share() {
    support::in_a_namespace("inside_of_a_namespace", &[]);
}

#[test]
#[ignore = "run by the other test, in a network namespace"]
fn inside_of_a_namespace() {
    let mut families = vec![IpAddr::V4(Ipv4Addr::new(81, 255, 0, 1))];
    ip(&["link", "set", "lo", "up"]);
    ip(&["route", "add", "local", "81.0.0.0/8", "dev", "lo"]);
    let server = Server::start(&[]);
    if server.has_ipv6 {
        ip(&["-6", "route", "add", "local", "2a00::/16", "dev", "lo"]);
        families.push("2a00:ffff::1".parse().unwrap());
    }
    for to in families {
        let target = SocketAddr::new(to, server.http.port());
        // A host is an IPv4 address or an IPv6 /64; a network is a /24 or a /48.
        let client = |network: u8, host: u8, address: u8| match to {
            IpAddr::V4(_) => Ipv4Addr::new(81, 0, network, host).into(),
            IpAddr::V6(_) => {
                let [network, host, address] = [network, host, address].map(u16::from);
                IpAddr::from(Ipv6Addr::new(0x2a00, 1, network, host, 0, 0, 0, address))
            }
        };
        let mut held = Vec::new();
        let share = MAX_CONNECTIONS.div_ceil(NARROW_CONNECTIONS_DIVISOR);
        for n in 0..share {
            let host = u8::try_from(n / CONNECTIONS_PER_HOST + 1).unwrap();
            let mut http = from(client(1, host, 1), target);
            assert_eq!(http.get("/health").status, 200, "connection {n}");
            held.push(http);
            if held.len() == CONNECTIONS_PER_HOST {
                assert!(!is_served(client(1, 1, 2), target), "one too many of one host");
            }
        }
        assert!(!is_served(client(1, 250, 1), target), "one too many of one network");
        assert_eq!(from(client(2, 1, 1), target).get("/health").status, 200, "others have their own");
        // A place that is given back is the client's again. The server may hear of it after the next connection.
        drop(held.pop());
        let again = || is_served(client(1, 250, 1), target);
        assert!((0..1000).any(|_| again()), "the share is free again");
    }
}

/// Whether a new connection is served, and not reset, which may be before it has said anything.
fn is_served(source: IpAddr, target: SocketAddr) -> bool {
    let mut http = from(source, target);
    let sent = http.stream.write_all(b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n");
    sent.is_ok() && http.try_response(true).is_some()
}

/// Changes the network of this namespace.
fn ip(words: &[&str]) {
    assert!(Command::new("ip").args(words).status().unwrap().success(), "ip {words:?}");
}

fn from(source: IpAddr, target: SocketAddr) -> Http {
    let family = if source.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = socket(family, SocketType::STREAM, None).unwrap();
    if source.is_ipv6() {
        // The route makes all these addresses local; only for IPv4 is that enough.
        sockopt::set_ipv6_freebind(&fd, true).unwrap();
    }
    bind(&fd, &SocketAddr::new(source, 0)).unwrap();
    connect(&fd, &target).unwrap();
    Http::of(TcpStream::from(fd))
}
