//! What BitTorrent's protocols have in common: how a client of theirs becomes a peer, and how peers are counted for it.
//!
//! Such a peer is known by the address it announces from and the port it names, whatever protocol it uses, and however
//! many: what it calls itself can neither be checked nor compared between them.

use super::request::{Announce, EndpointList};
use super::{Counts, Engine, Error, Reply, Request, Source};
use crate::endpoint::{Endpoint, Host};
use crate::id::{AddressId, NetworkKey};
use crate::time::Instant;

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
        seal: None,
        work: None,
    }
}

impl Engine<'_> {
    /// How many peers `network` has: what a scrape counts as, however many networks it names.
    pub(super) fn count(
        &mut self,
        now: Instant,
        source: &Source,
        network: NetworkKey,
    ) -> Result<Counts, Error> {
        match self.handle(now, source, &Request::Count(network)) {
            Reply::Counts(counts) => Ok(counts),
            reply => Err(refusal(&reply)),
        }
    }
}

/// Why `reply` is no answer in kind. The engine answers in kind or refuses.
pub(super) const fn refusal(reply: &Reply<'_>) -> Error {
    match reply {
        Reply::Refused(error) => *error,
        _ => Error::Unsupported("there is no answer to that"),
    }
}
