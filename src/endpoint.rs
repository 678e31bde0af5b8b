//! Endpoints: `scheme://host:port`, as text for people and packed for the table.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::addr::{CanonicalAddr, Scope};
use crate::limits::{MAX_ENDPOINT_BYTES, MAX_SCHEME_BYTES};
use crate::wire::{Full, Writer};

/// One address a peer can be reached at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint<'a> {
    /// How to speak to it: `tcp`, `udp`, `wss` ...; 1 to 12 bytes of `[a-z0-9+.-]`.
    pub scheme: &'a str,
    /// Which host.
    pub host: Host<'a>,
    /// Which port, 1..=65535.
    pub port: u16,
}

/// The host of an [`Endpoint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host<'a> {
    /// Left out: the address the announce came from.
    Observed,
    /// An IP literal.
    Ip(CanonicalAddr),
    /// A name in an overlay network, ending in `.onion` or `.i2p`.
    Overlay(&'a str),
    /// Any other name.
    Name(&'a str),
}

/// The text is no endpoint, or one that no peer can be reached at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadEndpoint;

/// Longest packed endpoint, in bytes: kind, port, host, and a spelled-out scheme with its length.
pub const MAX_PACKED_BYTES: usize = 4 + MAX_ENDPOINT_BYTES;

/// Schemes with a code of their own in packed form: code = place + 1. Append only.
const KNOWN_SCHEMES: [&str; 8] = ["tcp", "udp", "ws", "wss", "quic", "http", "https", "utp"];
/// Code of a scheme that is spelled out.
const SPELLED: u8 = 0;
/// Packed kinds of host. A value of 3 or more is a name of that many bytes.
const KIND_OBSERVED: u8 = 0;
const KIND_V4: u8 = 1;
const KIND_V6: u8 = 2;

impl<'a> Endpoint<'a> {
    /// Takes `text` as an endpoint.
    ///
    /// # Errors
    /// [`BadEndpoint`] if it is longer than 96 bytes, is not `scheme://host:port`, has port 0, or names a multicast,
    /// broadcast, unspecified or reserved address.
    pub fn parse(text: &'a str) -> Result<Self, BadEndpoint> {
        if text.len() > MAX_ENDPOINT_BYTES {
            return Err(BadEndpoint);
        }
        let (scheme, rest) = text.split_once(':').ok_or(BadEndpoint)?;
        let rest = rest.strip_prefix("//").ok_or(BadEndpoint)?;
        let (host, port) = rest.rsplit_once(':').ok_or(BadEndpoint)?;
        if !is_scheme(scheme) {
            return Err(BadEndpoint);
        }
        Ok(Self { scheme, host: Host::parse(host)?, port: parse_port(port)? })
    }

    /// Takes `text` as an endpoint that is spelt as a server hands it out, with its host: what a signature covers is the
    /// text, and it must come out as it went in.
    ///
    /// # Errors
    /// [`BadEndpoint`] if it is no endpoint, is spelt otherwise, or has no host.
    pub fn parse_canonical(text: &'a str) -> Result<Self, BadEndpoint> {
        let endpoint = Self::parse(text)?;
        let mut canonical = [0; MAX_ENDPOINT_BYTES];
        let mut canonical = Writer::new(&mut canonical);
        let same = endpoint.emit(&mut canonical).is_ok() && canonical.written() == text.as_bytes();
        if same && endpoint.host != Host::Observed { Ok(endpoint) } else { Err(BadEndpoint) }
    }

    /// Its IP address, if its host is one.
    pub fn ip(&self) -> Option<CanonicalAddr> {
        match self.host {
            Host::Ip(addr) => Some(addr),
            _ => None,
        }
    }

    /// Writes the endpoint as text, in canonical form (RFC 5952 for IPv6).
    ///
    /// # Errors
    /// [`Full`] if it does not fit.
    pub fn emit(&self, out: &mut Writer<'_>) -> Result<(), Full> {
        out.put_str(self.scheme)?;
        out.put_str("://")?;
        match self.host {
            Host::Observed => out.put_str(":")?,
            Host::Ip(addr) => return out.put_socket(addr, self.port),
            Host::Overlay(name) | Host::Name(name) => {
                out.put_str(name)?;
                out.put_str(":")?;
            }
        }
        out.put_decimal(u64::from(self.port))
    }

    /// Writes the endpoint in packed form: scheme code, kind of host, port, host, and the scheme if it has no code.
    ///
    /// # Errors
    /// [`Full`] if it does not fit.
    pub fn pack(&self, out: &mut Writer<'_>) -> Result<(), Full> {
        let known = KNOWN_SCHEMES.iter().position(|&s| s == self.scheme);
        let code = known.and_then(|at| u8::try_from(at.saturating_add(1)).ok()).unwrap_or(SPELLED);
        let [port_high, port_low] = self.port.to_be_bytes();
        let head = |out: &mut Writer<'_>, kind: u8| out.put(&[code, kind, port_high, port_low]);
        match self.host {
            Host::Observed => head(out, KIND_OBSERVED)?,
            Host::Ip(addr) => match addr.ip() {
                IpAddr::V4(ip) => head(out, KIND_V4).and_then(|()| out.put(&ip.octets()))?,
                IpAddr::V6(ip) => head(out, KIND_V6).and_then(|()| out.put(&ip.octets()))?,
            },
            Host::Overlay(name) | Host::Name(name) => {
                head(out, u8::try_from(name.len()).map_err(|_| Full)?)?;
                out.put_str(name)?;
            }
        }
        if code == SPELLED {
            out.put(&[u8::try_from(self.scheme.len()).map_err(|_| Full)?])?;
            out.put_str(self.scheme)?;
        }
        Ok(())
    }

    /// Reads one packed endpoint, and returns it with the bytes behind it. `None` if `packed` is not what
    /// [`Endpoint::pack`] wrote.
    pub fn unpack(packed: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&[code, kind, port_high, port_low], rest) = packed.split_first_chunk()?;
        let (host, rest) = match kind {
            KIND_OBSERVED => (Host::Observed, rest),
            KIND_V4 => {
                let (octets, rest) = rest.split_first_chunk::<4>()?;
                (Host::Ip(CanonicalAddr::new(Ipv4Addr::from(*octets).into())), rest)
            }
            KIND_V6 => {
                let (octets, rest) = rest.split_first_chunk::<16>()?;
                (Host::Ip(CanonicalAddr::new(Ipv6Addr::from(*octets).into())), rest)
            }
            name_bytes => {
                let (name, rest) = rest.split_at_checked(usize::from(name_bytes))?;
                (Host::named(str::from_utf8(name).ok()?), rest)
            }
        };
        let (scheme, rest) = match code.checked_sub(1) {
            Some(at) => (*KNOWN_SCHEMES.get(usize::from(at))?, rest),
            None => {
                let (&scheme_bytes, rest) = rest.split_first()?;
                let (scheme, rest) = rest.split_at_checked(usize::from(scheme_bytes))?;
                (str::from_utf8(scheme).ok()?, rest)
            }
        };
        Some((Self { scheme, host, port: u16::from_be_bytes([port_high, port_low]) }, rest))
    }
}

impl<'a> Host<'a> {
    fn parse(text: &'a str) -> Result<Self, BadEndpoint> {
        if text.is_empty() {
            return Ok(Self::Observed);
        }
        if let Some(inside) = text.strip_prefix('[') {
            let literal = inside.strip_suffix(']').ok_or(BadEndpoint)?;
            return Self::reachable(literal.parse::<Ipv6Addr>().map_err(|_| BadEndpoint)?.into());
        }
        if let Ok(ip) = text.parse::<Ipv4Addr>() {
            return Self::reachable(ip.into());
        }
        if is_name(text) { Ok(Self::named(text)) } else { Err(BadEndpoint) }
    }

    fn reachable(ip: IpAddr) -> Result<Self, BadEndpoint> {
        let addr = CanonicalAddr::new(ip);
        if addr.scope() == Scope::Invalid { Err(BadEndpoint) } else { Ok(Self::Ip(addr)) }
    }

    fn named(name: &'a str) -> Self {
        let overlay = |suffix: &str| name.len() > suffix.len() && name.ends_with(suffix);
        if overlay(".onion") || overlay(".i2p") { Self::Overlay(name) } else { Self::Name(name) }
    }
}

impl fmt::Display for Endpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 2 * MAX_ENDPOINT_BYTES];
        let mut writer = Writer::new(&mut text);
        self.emit(&mut writer).map_err(|_| fmt::Error)?;
        f.write_str(str::from_utf8(writer.written()).map_err(|_| fmt::Error)?)
    }
}

/// Whether `text` can be a scheme: 1 to 12 bytes of `[a-z0-9+.-]`.
pub fn is_scheme(text: &str) -> bool {
    let clean = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+.-".contains(&b);
    (1..=MAX_SCHEME_BYTES).contains(&text.len()) && text.bytes().all(clean)
}

/// A host name, longer than what a mistyped scheme leaves.
fn is_name(text: &str) -> bool {
    text.len() > 2 && is_host_name(text)
}

/// Whether `text` is a host name in lower case: labels of letters, digits and hyphens, the last one not a number (that would
/// be a mistyped address).
pub(crate) fn is_host_name(text: &str) -> bool {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let last_is_number = text.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
    text.split('.').all(label) && !last_is_number
}

/// A port: 1..=65535 in decimal, without sign or leading zero.
fn parse_port(text: &str) -> Result<u16, BadEndpoint> {
    let digits = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| digits).ok_or(BadEndpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONION: &str = "tcp://2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion:9000";

    #[test]
    fn text_round_trips() {
        for text in [
            "tcp://198.51.100.7:9000",
            "udp://[2001:db8::7]:1",
            "x-my.own+1://198.51.100.7:65535",
            "tcp://:9000",
            ONION,
            "wss://node.b32.i2p:443",
            "https://chat.example.com:443",
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!(std::format!("{endpoint}"), text);
            let mut packed = [0; MAX_PACKED_BYTES];
            let mut writer = Writer::new(&mut packed);
            endpoint.pack(&mut writer).unwrap();
            writer.put(b"behind").unwrap();
            let written = writer.written();
            assert_eq!(Endpoint::unpack(written), Some((endpoint, &b"behind"[..])));
            for cut in 0..written.len() - 6 {
                assert_eq!(Endpoint::unpack(&written[..cut]), None, "{text} cut at {cut}");
            }
        }
    }

    #[test]
    fn common_endpoints_pack_small() {
        for (text, bytes) in [("tcp://198.51.100.7:9000", 8), ("udp://[2001:db8::7]:1", 20), (ONION, 66)] {
            let mut packed = [0; MAX_PACKED_BYTES];
            let mut writer = Writer::new(&mut packed);
            Endpoint::parse(text).unwrap().pack(&mut writer).unwrap();
            assert_eq!(writer.written().len(), bytes, "{text}");
        }
    }

    #[test]
    fn the_longest_endpoint_packs() {
        let longest =
            std::format!("abcdefghijkl://{}.{}.{}:1", "a".repeat(60), "b".repeat(10), "c".repeat(7));
        assert_eq!(longest.len(), 96);
        let mut packed = [0; MAX_PACKED_BYTES];
        Endpoint::parse(&longest).unwrap().pack(&mut Writer::new(&mut packed)).unwrap();
    }

    #[test]
    fn a_mapped_address_is_shown_as_ipv4() {
        let endpoint = Endpoint::parse("tcp://[::ffff:198.51.100.7]:9").unwrap();
        assert_eq!(std::format!("{endpoint}"), "tcp://198.51.100.7:9");
    }

    #[test]
    fn signed_endpoints_have_one_spelling() {
        for text in ["tcp://198.51.100.7:9000", "udp://[2001:db8::7]:1", "tcp://abc.onion:1", ONION] {
            assert_eq!(Endpoint::parse_canonical(text), Endpoint::parse(text));
        }
        for text in [
            "tcp://:9000",
            "udp://[2001:DB8::7]:1",
            "udp://[2001:db8:0::7]:1",
            "tcp://[::ffff:198.51.100.7]:1",
            "tcp",
        ] {
            assert_eq!(Endpoint::parse_canonical(text), Err(BadEndpoint), "{text}");
        }
    }

    #[test]
    fn hosts_are_told_apart() {
        let host = |text| Endpoint::parse(text).unwrap().host;
        assert_eq!(host("tcp://:1"), Host::Observed);
        assert_eq!(host("tcp://a.onion:1"), Host::Overlay("a.onion"));
        assert_eq!(host("tcp://a.i2p:1"), Host::Overlay("a.i2p"));
        assert_eq!(host("tcp://a.example:1"), Host::Name("a.example"));
        assert!(matches!(host("tcp://10.0.0.1:1"), Host::Ip(_)));
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        let too_long = std::format!("tcp://{}.onion:9000", "a".repeat(96));
        for text in [
            "",
            "tcp",
            "tcp://",
            "tcp://1.2.3.4",
            "tcp://1.2.3.4:",
            "tcp://1.2.3.4:0",
            "tcp://1.2.3.4:00080",
            "tcp://1.2.3.4:65536",
            "tcp://1.2.3.4:+80",
            "tcp://1.2.3.4:80/",
            "tcp://1.2.3:80",
            "tcp://1.2.3.256:80",
            "tcp://01.2.3.4:80",
            "tcp://2001:db8::1:80",
            "tcp://[2001:db8::1:80",
            "tcp://[fe80::1%eth0]:80",
            "tcp://[1.2.3.4]:80",
            "TCP://1.2.3.4:80",
            "tcp ://1.2.3.4:80",
            "://1.2.3.4:80",
            "abcdefghijklm://1.2.3.4:80",
            "tcp://user@host.onion:80",
            "tcp://a..onion:80",
            "tcp://\u{e4}.onion:80",
            "tcp://0.0.0.0:80",
            "tcp://255.255.255.255:80",
            "tcp://224.0.0.1:80",
            "tcp://[::]:80",
            "tcp://[ff02::1]:80",
            &too_long,
        ] {
            assert_eq!(Endpoint::parse(text), Err(BadEndpoint), "{text}");
        }
    }
}
