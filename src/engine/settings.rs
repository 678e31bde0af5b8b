//! What the operator chooses, as far as the engine is concerned.

use core::net::{IpAddr, SocketAddr};

use heapless::Vec;

use super::identity::Secret;
use super::pow::Pricing;
use crate::addr::CanonicalAddr;
use crate::id::NetworkKey;
use crate::limits::{
    DEFAULT_ANNOUNCES_PER_MINUTE, DEFAULT_MAX_TTL_S, DEFAULT_QUERIES_PER_MINUTE, DEFAULT_TTL_S,
    MAX_DHT_ADDRESSES, MAX_PEERS, MAX_SERVED_NETWORKS, MAX_TRUSTED_PROXIES, MIN_TTL_S,
};

/// The network of a request that names none.
pub const DEFAULT_NETWORK: &str = "pscryptochat";

/// The engine's settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Life of a peer whose client asks for none, in seconds.
    pub peer_ttl_s: u32,
    /// Longest life a client may ask for, in seconds.
    pub max_ttl_s: u32,
    /// Places in the table; at most what the storage has.
    pub max_peers: usize,
    /// Queries a minute for one address; 0 = no limit.
    pub queries_per_minute: u32,
    /// Announces a minute for one address; 0 = no limit, and no limit on new peers over all clients.
    pub announces_per_minute: u32,
    /// When newcomers have to work for their place.
    pub pow: Pricing,
    /// Refuse unsigned announces.
    pub require_signed: bool,
    /// Accept endpoints whose address is not the announcer's.
    pub allow_foreign_endpoints: bool,
    /// Give one client network the same sample for ten minutes.
    pub stable_samples: bool,
    /// The networks served; all if empty.
    pub networks: Vec<NetworkKey, MAX_SERVED_NETWORKS>,
    /// The key of [`DEFAULT_NETWORK`].
    pub default_network: NetworkKey,
    /// Nodes of a wider DHT to join.
    pub dht_nodes: Vec<SocketAddr, MAX_DHT_ADDRESSES>,
    /// What the server's key is made of; a fresh one at each start if there is none.
    pub identity: Option<Secret>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Cidr, MAX_TRUSTED_PROXIES>,
}

impl Settings {
    /// Life of a peer that a tracker's client announces, in seconds: twice [`Settings::tracker_interval_s`]. Clients keep to an
    /// interval loosely, and libtorrent never announces more often than every five minutes: a life of one interval
    /// would lose every peer at every announce.
    pub fn tracker_life_s(&self) -> u32 {
        self.peer_ttl_s.saturating_mul(2).clamp(MIN_TTL_S, self.max_ttl_s.max(MIN_TTL_S))
    }

    /// After how many seconds a tracker's client is told to announce again: `--peer-ttl`, unless `--max-ttl` is less than twice
    /// that.
    pub fn tracker_interval_s(&self) -> u32 {
        self.tracker_life_s() / 2
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            peer_ttl_s: DEFAULT_TTL_S,
            max_ttl_s: DEFAULT_MAX_TTL_S,
            max_peers: MAX_PEERS,
            queries_per_minute: DEFAULT_QUERIES_PER_MINUTE,
            announces_per_minute: DEFAULT_ANNOUNCES_PER_MINUTE,
            pow: Pricing::Auto,
            require_signed: false,
            allow_foreign_endpoints: false,
            stable_samples: false,
            networks: Vec::new(),
            default_network: NetworkKey::of_name(DEFAULT_NETWORK).unwrap_or_default(),
            dht_nodes: Vec::new(),
            identity: None,
            trusted_proxies: Vec::new(),
        }
    }
}

/// A block of addresses, `address/bits`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    network: u128,
    mask: u128,
}

impl Cidr {
    /// Takes `address/bits` as a block; a bare address is a block of one.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let ip: IpAddr = address.parse().ok()?;
        let width = if ip.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(width), |b| b.parse::<u32>().ok())?;
        let host_bits = width.checked_sub(bits)?;
        let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
        Some(Self { network: u128::from_be_bytes(CanonicalAddr::new(ip).octets()) & mask, mask })
    }

    /// Whether the block holds `addr`.
    pub const fn contains(&self, addr: CanonicalAddr) -> bool {
        u128::from_be_bytes(addr.octets()) & self.mask == self.network
    }
}

impl core::fmt::Debug for Cidr {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "{}/{}",
            CanonicalAddr::new(core::net::Ipv6Addr::from(self.network).into()).ip(),
            self.mask.count_ones()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> CanonicalAddr {
        CanonicalAddr::new(text.parse().unwrap())
    }

    #[test]
    fn a_tracked_peer_lives_for_two_intervals() {
        for (peer_ttl_s, max_ttl_s, life_s, interval_s) in [
            (300, 3600, 600, 300),
            (300, 600, 600, 300),
            (300, 599, 599, 299),
            (300, 300, 300, 150),
            (30, 30, 30, 15),
            (86_400, 86_400, 86_400, 43_200),
        ] {
            let settings = Settings { peer_ttl_s, max_ttl_s, ..Settings::default() };
            let told = (settings.tracker_life_s(), settings.tracker_interval_s());
            assert_eq!(told, (life_s, interval_s), "{peer_ttl_s} of {max_ttl_s}");
        }
    }

    #[test]
    fn blocks_hold_their_addresses() {
        let block = Cidr::parse("10.1.0.0/16").unwrap();
        assert!(block.contains(addr("10.1.255.1")) && block.contains(addr("::ffff:10.1.0.1")));
        assert!(!block.contains(addr("10.2.0.1")) && !block.contains(addr("a01::")));
        assert!(Cidr::parse("127.0.0.1").unwrap().contains(addr("127.0.0.1")));
        assert!(!Cidr::parse("127.0.0.1").unwrap().contains(addr("127.0.0.2")));
        assert!(Cidr::parse("2001:db8::/32").unwrap().contains(addr("2001:db8:ffff::1")));
        assert!(Cidr::parse("0.0.0.0/0").unwrap().contains(addr("9.9.9.9")));
        assert!(!Cidr::parse("0.0.0.0/0").unwrap().contains(addr("2001::1")));
        assert!(Cidr::parse("::/0").unwrap().contains(addr("2001::1")));
    }

    #[test]
    fn what_is_no_block_is_refused() {
        for text in ["", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "::/129", "host/8", "10.0.0/8"] {
            assert_eq!(Cidr::parse(text), None, "{text}");
        }
    }
}
