//! Who can reach a peer, and where.

use core::net::Ipv4Addr;

use crate::addr::{CanonicalAddr, Level};
use crate::endpoint::{Endpoint, Host};
use crate::engine::reply::Contact;
use crate::engine::request::{ContactsQuery, Families, Transport};

/// By which families strangers and the LAN can reach a peer. Peers that agree in this are one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach(u8);

/// Bits of a [`Reach`]: strangers can reach the peer by IPv4, by IPv6,
const STRANGERS_V4: u8 = 0;
const STRANGERS_V6: u8 = 1;
/// and the LAN can,
const LAN_V4: u8 = 2;
const LAN_V6: u8 = 3;
/// strangers can see some endpoint, be it of IP or not,
const STRANGERS: u8 = 4;
/// and there are endpoints that they cannot see. This bit is of no class.
const HIDDEN: u8 = 5;

/// How many classes there are.
pub(super) const CLASSES: u32 = 32;

/// A set of classes: a bit for each.
pub(super) type Classes = u32;

/// The classes that have each bit.
const WITH: [Classes; 5] = [0xaaaa_aaaa, 0xcccc_cccc, 0xf0f0_f0f0, 0xff00_ff00, 0xffff_0000];

/// Who asks, as far as it matters for what it may see.
#[derive(Clone, Copy)]
pub struct Viewer {
    addr: CanonicalAddr,
    is_lan: bool,
}

/// The one address by which a peer can be reached over TCP and UDP, when that is all there is to know: nearly all peers
/// have one, and an answer that shows it looks at nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Direct {
    /// The IPv4 address. An IPv6 address is the peer's source.
    v4: [u8; 4],
    /// The ports of TCP and of UDP, in network order; 0 if this is not all there is to know.
    ports: [[u8; 2]; 2],
}

impl Reach {
    /// Of no peer.
    pub(super) const NONE: Self = Self(0);

    /// By which families a peer with these endpoints can be reached.
    pub(super) fn of(endpoints: &[Endpoint<'_>]) -> Self {
        let bits = |endpoint: &Endpoint<'_>| {
            let (strangers, lan) = match endpoint.ip().map(CanonicalAddr::is_v4) {
                Some(true) => (1 << STRANGERS_V4, 1 << LAN_V4),
                Some(false) => (1 << STRANGERS_V6, 1 << LAN_V6),
                None => (0, 0),
            };
            if is_lan(endpoint) { lan | 1 << HIDDEN } else { strangers | lan | 1 << STRANGERS }
        };
        Self(endpoints.iter().map(bits).fold(0, |all, bits| all | bits))
    }

    /// The peer's class, below [`CLASSES`].
    pub(super) fn class(self) -> u32 {
        u32::from(self.0 & !(1 << HIDDEN))
    }

    /// The set of nothing but this class.
    pub(super) fn class_bit(self) -> Classes {
        1u32.wrapping_shl(self.class())
    }

    /// Whether strangers can see some of the endpoints.
    pub(super) const fn is_public(self) -> bool {
        self.has(STRANGERS)
    }

    /// Whether all that may draw the peer can see all of its endpoints: strangers, or nobody but the LAN.
    const fn is_plain(self) -> bool {
        !(self.has(STRANGERS) && self.has(HIDDEN))
    }

    const fn has(self, bit: u8) -> bool {
        self.0.wrapping_shr(bit as u32) & 1 == 1
    }
}

impl Viewer {
    /// Who asks from this address.
    pub fn new(addr: CanonicalAddr) -> Self {
        Self { addr, is_lan: addr.is_lan() }
    }

    /// Whether it is of the LAN.
    pub(super) const fn is_lan(self) -> bool {
        self.is_lan
    }

    /// The classes of the peers that it may see.
    pub(super) fn classes(self) -> Classes {
        let [.., strangers] = WITH;
        if self.is_lan { Classes::MAX } else { strangers }
    }

    /// The classes of the peers that it may see an address of these families of.
    pub(super) fn classes_of(self, families: Families) -> Classes {
        let [strangers_v4, strangers_v6, lan_v4, lan_v6, _] = WITH;
        let (v4, v6) = if self.is_lan { (lan_v4, lan_v6) } else { (strangers_v4, strangers_v6) };
        match families {
            Families::V4 => v4,
            Families::V6 => v6,
            Families::Both => v4 | v6,
        }
    }

    /// Whether it may see all endpoints of a peer that was announced from `source`.
    pub(super) fn sees_all(self, reach: Reach, source: CanonicalAddr) -> bool {
        !reach.has(HIDDEN) || self.is_lan || are_neighbours(self.addr, source)
    }
}

impl Direct {
    /// Of no peer.
    pub(super) const NONE: Self = Self { v4: [0; 4], ports: [[0; 2]; 2] };

    /// What there is to know of a peer with these endpoints, announced from `source`.
    pub(super) fn of(endpoints: &[Endpoint<'_>], reach: Reach, source: CanonicalAddr) -> Self {
        let contact = |transport| best(&mut endpoints.iter().copied(), Families::Both, transport);
        let one_family = reach.has(LAN_V4) != reach.has(LAN_V6);
        match (contact(Transport::Tcp), contact(Transport::Udp)) {
            (Some((addr, tcp)), Some((same, udp)))
                if reach.is_plain() && one_family && addr == same && (addr.is_v4() || addr == source) =>
            {
                let [.., a, b, c, d] = addr.octets();
                Self { v4: [a, b, c, d], ports: [tcp.to_be_bytes(), udp.to_be_bytes()] }
            }
            _ => Self::NONE,
        }
    }

    /// The answer to a query; `None` if that takes a look at the endpoints of the peer, which is of this reach. `source`
    /// tells where it was announced from.
    #[inline]
    pub(super) fn contact(
        self,
        reach: Reach,
        source: impl FnOnce() -> CanonicalAddr,
        query: ContactsQuery,
    ) -> Option<Contact> {
        if let Some([a, b, c, d, port @ ..]) = self.compact_v4(reach, query) {
            return Some((CanonicalAddr::new(Ipv4Addr::new(a, b, c, d).into()), u16::from_be_bytes(port)));
        }
        let port = u16::from_be_bytes(self.port(query));
        (port != 0 && !reach.has(LAN_V4) && query.families != Families::V4).then(|| (source(), port))
    }

    /// The same in compact form (BEP 5, BEP 23); `None` also if it is of IPv6.
    #[inline]
    pub(super) fn compact_v4(self, reach: Reach, query: ContactsQuery) -> Option<[u8; 6]> {
        let ([a, b, c, d], [high, low]) = (self.v4, self.port(query));
        let fits = [high, low] != [0; 2] && reach.has(LAN_V4) && query.families != Families::V6;
        fits.then_some([a, b, c, d, high, low])
    }

    fn port(self, query: ContactsQuery) -> [u8; 2] {
        let [tcp, udp] = self.ports;
        if query.transport == Transport::Tcp { tcp } else { udp }
    }
}

/// The address of the first of `endpoints` that has the wanted transport and one of the families, or else of the first
/// one of the families.
pub(super) fn best<'e>(
    endpoints: &mut dyn Iterator<Item = Endpoint<'e>>,
    families: Families,
    transport: Transport,
) -> Option<Contact> {
    let mut best = None;
    for endpoint in endpoints {
        let Some(addr) = endpoint.ip().filter(|&addr| families.contain(addr)) else { continue };
        let contact = Some((addr, endpoint.port));
        if endpoint.scheme == transport.scheme() {
            return contact;
        }
        best = best.or(contact);
    }
    best
}

/// Whether `endpoint` is of the LAN: it says nothing to strangers.
pub(super) fn is_lan(endpoint: &Endpoint<'_>) -> bool {
    matches!(endpoint.host, Host::Ip(addr) if addr.is_lan())
}

/// Whether two addresses belong to one household: the same IPv4 address, or the same IPv6 /64.
fn are_neighbours(a: CanonicalAddr, b: CanonicalAddr) -> bool {
    a.is_v4() == b.is_v4() && a.prefix(Level::Host) == b.prefix(Level::Host)
}
