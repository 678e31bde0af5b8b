//! IP addresses in one canonical form, their scope, and the prefixes they are counted under.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// An IP address as 16 bytes, IPv4 in its IPv4-mapped form: the same host is always the same value, however it came.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct CanonicalAddr([u8; 16]);

/// Where an address can be reached from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Anywhere.
    Global,
    /// The local network: RFC 1918, RFC 6598 (shared), link-local, and IPv6 unique local addresses.
    Private,
    /// The same machine.
    Loopback,
    /// Nowhere a peer could be: unspecified, multicast, broadcast, reserved.
    Invalid,
}

/// A level of aggregation. One party gets a host, a hosting company a wide prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// An IPv4 address, or an IPv6 /64: what one household has.
    Host,
    /// An IPv6 /56. For IPv4 the same as [`Level::Host`].
    Site,
    /// An IPv4 /24 or IPv6 /48.
    Narrow,
    /// An IPv4 /16 or IPv6 /32.
    Wide,
}

/// The upper 64 bits of a masked address, IPv4 in the lower half: `::/32` holds no global IPv6 address, so the families
/// never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Prefix(pub u64);

impl CanonicalAddr {
    /// All bytes zero: no host's address.
    pub(crate) const ZERO: Self = Self([0; 16]);

    /// The address `ip`. An IPv4-mapped IPv6 address becomes the IPv4 address.
    pub fn new(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self(v4.to_ipv6_mapped().octets()),
            IpAddr::V6(v6) => Self(v6.octets()),
        }
    }

    /// The address as the standard library's type, IPv4 as IPv4.
    pub fn ip(self) -> IpAddr {
        Ipv6Addr::from(self.0).to_canonical()
    }

    /// Its 16 bytes, IPv4 in IPv4-mapped form.
    pub const fn octets(self) -> [u8; 16] {
        self.0
    }

    /// Whether this is an IPv4 address.
    pub fn is_v4(self) -> bool {
        self.v4().is_some()
    }

    fn v4(self) -> Option<Ipv4Addr> {
        Ipv6Addr::from(self.0).to_ipv4_mapped()
    }

    /// Where it can be reached from.
    pub fn scope(self) -> Scope {
        match self.ip() {
            IpAddr::V4(ip) => scope_v4(ip),
            IpAddr::V6(ip) => scope_v6(ip),
        }
    }

    /// Whether it belongs to the trusted LAN: private or loopback.
    pub fn is_lan(self) -> bool {
        matches!(self.scope(), Scope::Private | Scope::Loopback)
    }

    /// Whether it is of a block with a special purpose (RFC 6890 and the registries it made): no host on the internet has
    /// it, though [`Scope`] is global.
    pub fn has_special_purpose(self) -> bool {
        match self.ip() {
            IpAddr::V4(ip) => matches!(
                ip.octets(),
                // IETF assignments, documentation, 6to4 relays, benchmarks.
                [192, 0, 0 | 2, _]
                    | [192, 88, 99, _]
                    | [198, 18 | 19, ..]
                    | [198, 51, 100, _]
                    | [203, 0, 113, _]
            ),
            IpAddr::V6(ip) => match ip.segments() {
                // IETF assignments with Teredo, documentation twice, 6to4.
                [0x2001, 0..0x200 | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..0x1000, ..] => true,
                // Outside of 2000::/3 nothing is assigned yet but translations (NAT64) and the like.
                [first, ..] => first & 0xe000 != 0x2000,
            },
        }
    }

    /// The prefix it is counted under at `level`.
    pub fn prefix(self, level: Level) -> Prefix {
        let host_bits = match (self.v4().is_some(), level) {
            (true, Level::Host | Level::Site) | (false, Level::Host) => 0,
            (true, Level::Narrow) | (false, Level::Site) => 8,
            (true, Level::Wide) | (false, Level::Narrow) => 16,
            (false, Level::Wide) => 32,
        };
        let bits = match self.v4() {
            Some(v4) => u64::from(u32::from(v4)),
            None => u64::from_be_bytes(upper_half(self.0)),
        };
        Prefix(bits >> host_bits << host_bits)
    }
}

fn upper_half(octets: [u8; 16]) -> [u8; 8] {
    let [a, b, c, d, e, f, g, h, ..] = octets;
    [a, b, c, d, e, f, g, h]
}

fn scope_v4(ip: Ipv4Addr) -> Scope {
    let [a, b, ..] = ip.octets();
    if ip.is_loopback() {
        Scope::Loopback
    } else if ip.is_private() || ip.is_link_local() || (a == 100 && b & 0xc0 == 64) {
        Scope::Private
    } else if a == 0 || a >= 224 {
        Scope::Invalid
    } else {
        Scope::Global
    }
}

fn scope_v6(ip: Ipv6Addr) -> Scope {
    if ip.is_loopback() {
        Scope::Loopback
    } else if ip.is_unique_local() || ip.is_unicast_link_local() {
        Scope::Private
    } else if ip.is_multicast() || (ip.segments()[0] == 0 && ip.segments()[1] == 0) {
        // ::/32 holds the unspecified address and the abandoned IPv4-compatible ones.
        Scope::Invalid
    } else {
        Scope::Global
    }
}

impl From<SocketAddr> for CanonicalAddr {
    fn from(addr: SocketAddr) -> Self {
        Self::new(addr.ip())
    }
}

/// Shows the prefix only: no full client address may reach a log.
impl core::fmt::Debug for CanonicalAddr {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.ip() {
            IpAddr::V4(ip) => {
                let [a, b, c, _] = ip.octets();
                write!(f, "{a}.{b}.{c}.0/24")
            }
            IpAddr::V6(ip) => {
                let [a, b, c, ..] = ip.segments();
                write!(f, "{a:x}:{b:x}:{c:x}::/48")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> CanonicalAddr {
        CanonicalAddr::new(text.parse().unwrap())
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        assert_eq!(addr("::ffff:192.0.2.7"), addr("192.0.2.7"));
        assert_eq!(addr("::ffff:192.0.2.7").ip(), "192.0.2.7".parse::<IpAddr>().unwrap());
        assert!(addr("192.0.2.7").is_v4() && !addr("2001:db8::7").is_v4());
    }

    #[test]
    fn scopes() {
        for (text, scope) in [
            ("8.8.8.8", Scope::Global),
            ("203.0.113.9", Scope::Global),
            ("2001:db8::1", Scope::Global),
            ("64:ff9b::808:808", Scope::Global),
            ("10.1.2.3", Scope::Private),
            ("172.31.0.1", Scope::Private),
            ("172.32.0.1", Scope::Global),
            ("192.168.0.1", Scope::Private),
            ("169.254.3.4", Scope::Private),
            ("100.64.0.1", Scope::Private),
            ("100.128.0.1", Scope::Global),
            ("fe80::1", Scope::Private),
            ("fd00::1", Scope::Private),
            ("127.0.0.1", Scope::Loopback),
            ("::ffff:127.0.0.1", Scope::Loopback),
            ("::1", Scope::Loopback),
            ("0.0.0.0", Scope::Invalid),
            ("0.1.2.3", Scope::Invalid),
            ("224.0.0.251", Scope::Invalid),
            ("255.255.255.255", Scope::Invalid),
            ("240.0.0.1", Scope::Invalid),
            ("::", Scope::Invalid),
            ("::8.8.8.8", Scope::Invalid),
            ("ff02::fb", Scope::Invalid),
        ] {
            assert_eq!(addr(text).scope(), scope, "{text}");
        }
    }

    #[test]
    fn prefixes_of_both_families() {
        let v4 = addr("198.51.100.23");
        assert_eq!(v4.prefix(Level::Host), Prefix(0xc633_6417));
        assert_eq!(v4.prefix(Level::Site), Prefix(0xc633_6417));
        assert_eq!(v4.prefix(Level::Narrow), Prefix(0xc633_6400));
        assert_eq!(v4.prefix(Level::Wide), Prefix(0xc633_0000));
        let v6 = addr("2001:db8:1234:5678:9abc::1");
        assert_eq!(v6.prefix(Level::Host), Prefix(0x2001_0db8_1234_5678));
        assert_eq!(v6.prefix(Level::Site), Prefix(0x2001_0db8_1234_5600));
        assert_eq!(v6.prefix(Level::Narrow), Prefix(0x2001_0db8_1234_0000));
        assert_eq!(v6.prefix(Level::Wide), Prefix(0x2001_0db8_0000_0000));
    }

    #[test]
    fn debug_output_hides_the_host() {
        assert_eq!(std::format!("{:?}", addr("198.51.100.23")), "198.51.100.0/24");
        assert_eq!(std::format!("{:?}", addr("2001:db8:1:2::3")), "2001:db8:1::/48");
    }

    #[test]
    fn blocks_with_a_special_purpose() {
        let special = |text: &str| CanonicalAddr::new(text.parse().unwrap()).has_special_purpose();
        for text in [
            "192.0.0.9",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.5",
            "::ffff:203.0.113.5",
            "64:ff9b::1.2.3.4",
            "100::1",
            "2001::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:102:304::1",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fec0::1",
        ] {
            assert!(special(text), "{text}");
        }
        for text in [
            "192.0.1.1",
            "192.0.3.1",
            "192.88.98.1",
            "198.17.0.1",
            "198.20.0.1",
            "198.51.101.1",
            "203.0.112.1",
            "8.8.8.8",
            "2001:200::1",
            "2001:db7::1",
            "2001:db9::1",
            "2003::1",
            "2600::1",
            "2a00::1",
            "3fff:1000::1",
        ] {
            assert!(!special(text), "{text}");
        }
    }
}
