//! The hosts in heads: of the Host field and of targets.

use core::net::Ipv6Addr;

/// Whether `text` is `host[:port]` (RFC 3986 section 3.2.2), or nothing at all.
pub(super) fn is_host(text: &[u8]) -> bool {
    let (host_is_good, rest) = match text.strip_prefix(b"[") {
        Some(inside) => {
            let end = inside.iter().position(|&b| b == b']').unwrap_or(inside.len());
            let (literal, rest) = inside.split_at_checked(end).unwrap_or_default();
            let good = str::from_utf8(literal).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
            (good, rest.strip_prefix(b"]"))
        }
        None => {
            let end = text.iter().position(|&b| b == b':').unwrap_or(text.len());
            let (name, rest) = text.split_at_checked(end).unwrap_or_default();
            (name.iter().all(|&b| is_host_byte(b)), Some(rest))
        }
    };
    let port_is_good = match rest {
        Some([b':', port @ ..]) => is_port(port),
        Some(rest) => rest.is_empty(),
        None => false,
    };
    host_is_good && port_is_good
}

/// Whether `text` is an IPv6 address without the brackets it should be in, with or without a port. That is how libtorrent names a
/// tracker that it was given by its address.
pub(super) fn is_bare_v6(text: &[u8]) -> bool {
    let is_v6 = |text: &[u8]| str::from_utf8(text).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
    let colon = text.iter().rposition(|&b| b == b':');
    let parts = colon.and_then(|colon| text.split_at_checked(colon));
    is_v6(text) || parts.is_some_and(|(addr, port)| is_v6(addr) && port.get(1..).is_some_and(is_port))
}

fn is_port(text: &[u8]) -> bool {
    text.len() <= 5 && text.iter().all(u8::is_ascii_digit)
}

const fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'%'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
        )
}
