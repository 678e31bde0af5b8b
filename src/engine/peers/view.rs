//! Peers as one asker may see them.

use super::peer::Peer;
use super::record::{Endpoints, Far};
use crate::addr::{CanonicalAddr, Level};
use crate::endpoint::{Endpoint, Host};
use crate::id::PeerId;
use crate::limits::MAX_ENDPOINTS;
use crate::time::Instant;

const _: () = assert!(MAX_ENDPOINTS <= 8, "the endpoints shown are marked in the bits of one byte");

/// One peer as one asker may see it.
pub struct PeerView<'t> {
    /// Its id.
    pub id: PeerId<'t>,
    /// When it was last seen.
    pub seen: Instant,
    /// Seconds since then.
    pub age_s: u64,
    endpoints: Endpoints<'t>,
    /// Bit `n` is set if endpoint number `n` is shown.
    shown: u8,
}

impl<'t> PeerView<'t> {
    /// The view of `peer`; `None` if it has no endpoint that `viewer` may see, of a scheme in `schemes` if there are
    /// any.
    pub(super) fn new(
        peer: &'t Peer,
        far: &'t Far,
        now: Instant,
        viewer: CanonicalAddr,
        schemes: &[&str],
    ) -> Option<Self> {
        let sees_lan =
            peer.lan == LanEndpoints::None || viewer.is_lan() || are_neighbours(viewer, peer.source);
        let shows = |endpoint: &Endpoint<'_>| {
            (sees_lan || !is_lan(endpoint)) && (schemes.is_empty() || schemes.contains(&endpoint.scheme))
        };
        let endpoints = peer.record.endpoints(far);
        let bits = endpoints.clone().zip(0..8).filter(|(endpoint, _)| shows(endpoint));
        let shown = bits.fold(0, |shown, (_, n)| shown | 1u8.wrapping_shl(n));
        (shown != 0).then(|| Self {
            id: peer.record.id(),
            seen: peer.seen,
            age_s: now.s_since(peer.seen),
            endpoints,
            shown,
        })
    }

    /// The endpoints the asker may see, of the schemes it asked for, in the order announced. At least one.
    pub fn endpoints(&self) -> impl Iterator<Item = Endpoint<'t>> {
        let shown = self.shown;
        let bits = self.endpoints.clone().zip(0..8);
        bits.filter(move |&(_, n)| shown.wrapping_shr(n) & 1 == 1).map(|(endpoint, _)| endpoint)
    }
}

/// How many of a peer's endpoints are of the LAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LanEndpoints {
    /// None: anyone may see them all.
    None,
    /// Some of them.
    Some,
    /// All of them: strangers may not see the peer.
    All,
}

impl LanEndpoints {
    /// How many of these are.
    pub(super) fn among(endpoints: &[Endpoint<'_>]) -> Self {
        match endpoints.iter().filter(|endpoint| is_lan(endpoint)).count() {
            0 => Self::None,
            lan if lan == endpoints.len() => Self::All,
            _ => Self::Some,
        }
    }
}

/// Whether `endpoint` is of the LAN: it says nothing to strangers.
fn is_lan(endpoint: &Endpoint<'_>) -> bool {
    matches!(endpoint.host, Host::Ip(addr) if addr.is_lan())
}

/// Whether two addresses belong to one household: the same IPv4 address, or the same IPv6 /64.
fn are_neighbours(a: CanonicalAddr, b: CanonicalAddr) -> bool {
    a.is_v4() == b.is_v4() && a.prefix(Level::Host) == b.prefix(Level::Host)
}
