//! Who asks: the client itself, or the client a trusted proxy speaks for.

use core::net::{IpAddr, SocketAddr};

use crate::addr::{CanonicalAddr, Scope};
use crate::engine::{Proof, Protocol, Settings, Source};
use crate::wire::http::Head;

/// The source of a request that came from `addr`. X-Forwarded-For counts only as far as trusted proxies vouch for it: from
/// the nearest hop back to the first one that is no trusted proxy. What is no address ends the walk.
pub(super) fn of(settings: &Settings, addr: CanonicalAddr, port: u16, head: &Head<'_>) -> Source {
    let is_trusted = |addr| settings.trusted_proxies.iter().any(|block| block.contains(addr));
    let mut source = Source { addr, port, protocol: Protocol::Http, proof: Proof::Tcp };
    if !settings.trusted_proxies.is_empty() {
        let mut hops = head.forwarded_for();
        while is_trusted(source.addr) {
            let Some((addr, port)) = hops.next().and_then(parse_hop) else { break };
            (source.addr, source.port) = (addr, port);
        }
    }
    source
}

/// A hop: an address, with or without brackets, with or without a port; port 0 stands for unknown.
fn parse_hop(text: &[u8]) -> Option<(CanonicalAddr, u16)> {
    let text = str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|inside| inside.strip_suffix(']')).unwrap_or(text);
    let (addr, port) = match bare.parse::<IpAddr>() {
        Ok(ip) => (CanonicalAddr::new(ip), 0),
        Err(_) => {
            let socket: SocketAddr = text.parse().ok()?;
            (socket.into(), socket.port())
        }
    };
    (addr.scope() != Scope::Invalid).then_some((addr, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::settings::Cidr;

    fn addr(text: &str) -> CanonicalAddr {
        CanonicalAddr::new(text.parse().unwrap())
    }

    /// The source seen behind the trusted proxies 10.0.0.0/8, for a request from `peer` with these fields.
    fn seen(peer: &str, fields: &str) -> (IpAddr, u16) {
        let mut settings = Settings::default();
        settings.trusted_proxies.push(Cidr::parse("10.0.0.0/8").unwrap()).unwrap();
        let text = std::format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let source = of(&settings, addr(peer), 9, &Head::parse(text.as_bytes()).unwrap());
        (source.addr.ip(), source.port)
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let field = "X-Forwarded-For: 198.51.100.7\r\n";
        assert_eq!(seen("10.0.0.1", field), ("198.51.100.7".parse().unwrap(), 0));
        assert_eq!(seen("203.0.113.1", field), ("203.0.113.1".parse().unwrap(), 9));
        let head = std::format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n");
        let head = Head::parse(head.as_bytes()).unwrap();
        assert_eq!(of(&Settings::default(), addr("10.0.0.1"), 9, &head).addr, addr("10.0.0.1"));
    }

    #[test]
    fn the_rightmost_untrusted_hop_counts() {
        for (fields, expected) in [
            ("", "10.0.0.1"),
            ("X-Forwarded-For: 1.2.3.4, 198.51.100.7\r\n", "198.51.100.7"),
            ("X-Forwarded-For: 198.51.100.7, 10.0.0.2\r\n", "198.51.100.7"),
            ("X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 198.51.100.7,10.0.0.2\r\n", "198.51.100.7"),
            ("X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-For: 10.0.0.3\r\n", "198.51.100.7"),
            ("X-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n", "10.0.0.3"),
            ("X-Forwarded-For: 198.51.100.7, unknown\r\n", "10.0.0.1"),
            ("X-Forwarded-For: 198.51.100.7, unknown, 10.0.0.2\r\n", "10.0.0.2"),
            ("X-Forwarded-For: nonsense, 198.51.100.7\r\n", "198.51.100.7"),
            ("X-Forwarded-For: \u{e4}\r\n", "10.0.0.1"),
            ("X-Forwarded-For: \r\n", "10.0.0.1"),
            ("X-Forwarded-For: 0.0.0.0\r\n", "10.0.0.1"),
            ("X-Forwarded-For: [2001:db8::7]\r\n", "2001:db8::7"),
            ("X-Forwarded-For: 2001:db8::7\r\n", "2001:db8::7"),
            ("X-Forwarded-For: ::ffff:198.51.100.7\r\n", "198.51.100.7"),
        ] {
            assert_eq!(seen("10.0.0.1", fields).0, expected.parse::<IpAddr>().unwrap(), "{fields:?}");
        }
        assert_eq!(seen("10.0.0.1", "X-Forwarded-For: 198.51.100.7:4711\r\n").1, 4711);
        assert_eq!(seen("10.0.0.1", "X-Forwarded-For: [2001:db8::7]:4711\r\n").1, 4711);
    }
}
