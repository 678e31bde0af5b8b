//! What BitTorrent's protocols have in common: how a client of theirs becomes a peer.
//!
//! Such a peer is known by the address it announces from and the port it names, whatever protocol it uses, and however
//! many: what it calls itself can neither be checked nor compared between them.

use super::request::{Announce, EndpointList};
use crate::endpoint::{Endpoint, Host};
use crate::id::{AddressId, NetworkKey};

/// The announce of a BitTorrent peer that listens on this port of its own address, by TCP and UDP, and asks for so many
/// seconds. `id` must be made of both.
pub(super) fn announce(
    network: NetworkKey,
    id: &AddressId,
    port: u16,
    ttl_s: u32,
    seeding: bool,
) -> Announce<'_> {
    let endpoint = |scheme| Endpoint { scheme, host: Host::Observed, port };
    Announce {
        network,
        id: id.id(),
        endpoints: EndpointList::from_array([endpoint("tcp"), endpoint("udp")]),
        ttl_s: Some(ttl_s),
        seeding,
        owner: None,
    }
}
