//! `/etc/resolv.conf` (resolv.conf(5)): where the system's resolvers are.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Where the file is.
pub const PATH: &str = "/etc/resolv.conf";
/// Most of the file that is looked at, in bytes.
pub const MAX_BYTES: u64 = 64 * 1024;
/// Most resolvers that are asked, as the system's own one has it (`MAXNS`).
const MAX_NAMESERVERS: usize = 3;
/// The port of resolvers (RFC 1035 section 4.2).
const PORT: u16 = 53;

/// The resolvers that a file names, the first three; the one of this host if there are none. Options are not looked at, nor
/// are search lists: only whole names are looked up. `index_of` tells the number of an interface, for link-local addresses.
pub fn nameservers(file: &[u8], index_of: impl Fn(&str) -> Option<u32>) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for line in file.split(|byte| *byte == b'\n') {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let line = line.split(['#', ';']).next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        if line.starts_with("nameserver")
            && words.next() == Some("nameserver")
            && let Some(address) = words.next().and_then(|word| address(word, &index_of))
            && !found.contains(&address)
        {
            found.push(address);
        }
    }
    found.truncate(MAX_NAMESERVERS);
    if found.is_empty() {
        found.push((Ipv4Addr::LOCALHOST, PORT).into());
    }
    found
}

/// An address, an IPv6 one perhaps with its interface behind a `%`, by name or number.
fn address(word: &str, index_of: impl Fn(&str) -> Option<u32>) -> Option<SocketAddr> {
    let (ip, interface) = match word.split_once('%') {
        Some((ip, interface)) => (ip, Some(interface)),
        None => (word, None),
    };
    let mut address = SocketAddr::new(ip.parse::<IpAddr>().ok()?, PORT);
    match (&mut address, interface) {
        (_, None) => {}
        (SocketAddr::V4(_), Some(_)) => return None,
        (SocketAddr::V6(address), Some(interface)) => {
            address.set_scope_id(interface.parse().ok().or_else(|| index_of(interface))?);
        }
    }
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str) -> Vec<String> {
        let index_of = |name: &str| (name == "eth0").then_some(7);
        nameservers(file.as_bytes(), index_of).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nameservers_are_read() {
        let file = "# made by somebody\nsearch a.example\nnameserver 192.0.2.1\nnameserver\t2001:db8::1 # mine\n\
            options timeout:1\nnameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n";
        assert_eq!(read(file), ["192.0.2.1:53", "[2001:db8::1]:53", "192.0.2.2:53"]);
        assert_eq!(
            read("nameserver fe80::1%eth0\r\nnameserver fe80::2%3"),
            ["[fe80::1%7]:53", "[fe80::2%3]:53"]
        );
    }

    #[test]
    fn without_any_it_is_this_host() {
        for file in [
            "",
            "nameserver",
            "nameserver dns.example",
            "nameservers 192.0.2.1",
            " nameserver 192.0.2.1",
            "#nameserver 192.0.2.1",
            "; nameserver 192.0.2.1",
            "Nameserver 192.0.2.1",
            "nameserver fe80::1%eth9",
            "nameserver 192.0.2.1%eth0",
            "nameserver 192.0.2.1:53",
        ] {
            assert_eq!(read(file), ["127.0.0.1:53"], "{file}");
        }
        let odd = b"\xff\xfe\nnameserver 192.0.2.1\xff\nnameserver 192.0.2.2\n";
        assert_eq!(nameservers(odd, |_| None), ["192.0.2.2:53".parse().unwrap()]);
    }
}
