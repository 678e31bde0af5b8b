//! Hosts to addresses.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The addresses behind `host:port`: an address, an IPv6 one in brackets, `localhost`, or a name.
///
/// # Errors
/// There is no such host, or (without the feature `names`) it is one that would have to be looked up.
pub fn addresses(target: &str) -> io::Result<Vec<SocketAddr>> {
    if let Ok(addr) = target.parse() {
        return Ok(vec![addr]);
    }
    // RFC 6761, section 6.3: always the loopback addresses.
    if let Some(("localhost", Ok(port))) = target.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        return Ok(loopback.map(|ip| SocketAddr::new(ip, port)).into());
    }
    look_up(target)
}

#[cfg(feature = "names")]
fn look_up(target: &str) -> io::Result<Vec<SocketAddr>> {
    std::net::ToSocketAddrs::to_socket_addrs(target).map(Iterator::collect)
}

/// The system's resolver is a tenth of a board's binary.
#[cfg(not(feature = "names"))]
fn look_up(_: &str) -> io::Result<Vec<SocketAddr>> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this build looks up no names; give an address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(target: &str) -> Vec<String> {
        addresses(target).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn addresses_and_localhost_need_no_look_up() {
        assert_eq!(found("192.0.2.1:80"), ["192.0.2.1:80"]);
        assert_eq!(found("[2001:db8::1]:80"), ["[2001:db8::1]:80"]);
        assert_eq!(found("localhost:80"), ["127.0.0.1:80", "[::1]:80"]);
    }

    #[test]
    fn what_is_no_host_is_an_error() {
        for target in ["", "localhost", "localhost:x", "localhost:65536", "no host:80"] {
            assert!(addresses(target).is_err(), "{target}");
        }
    }
}
