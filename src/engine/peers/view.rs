//! Peers as one asker may see them.

use super::peer::Peer;
use super::reach::{Viewer, best, is_lan};
use super::record::{Endpoints, Far};
use super::{PeerTable, Slot};
use crate::addr::CanonicalAddr;
use crate::endpoint::Endpoint;
use crate::engine::reply::Contact;
use crate::engine::request::{ContactsQuery, Families, Transport};
use crate::id::PeerId;
use crate::limits::MAX_ENDPOINTS;
use crate::record::Seal;
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
    /// What its record is signed with, if it is.
    pub seal: Option<&'t Seal>,
    endpoints: Endpoints<'t>,
    /// Bit `n` is set if endpoint number `n` is shown.
    shown: u8,
}

impl PeerTable<'_> {
    /// The peer at `slot` as `viewer` may see it; `None` if it has no endpoint to show.
    pub fn view(
        &self,
        slot: Slot,
        now: Instant,
        viewer: CanonicalAddr,
        schemes: &[&str],
    ) -> Option<PeerView<'_>> {
        self.view_for(slot, now, Viewer::new(viewer), schemes)
    }

    pub(super) fn view_for(
        &self,
        slot: Slot,
        now: Instant,
        viewer: Viewer,
        schemes: &[&str],
    ) -> Option<PeerView<'_>> {
        let (peer, far) = (self.peers.get(slot.row() as usize)?, self.far.get(slot.row() as usize)?);
        PeerView::new(peer, far, self.seal(slot), now, viewer, schemes)
    }

    /// One address of the peer at `slot`, which must have been drawn for `viewer`: of its first endpoint of the wanted
    /// transport and families, or else of its first one of the families. `None` if it has none.
    #[inline]
    pub fn contact(&self, slot: Slot, viewer: Viewer, query: ContactsQuery) -> Option<Contact> {
        let peer = self.peer(slot.row());
        let direct = peer.direct.contact(peer.reach, || peer.source, query);
        direct.or_else(|| {
            // A bare address is no record: nobody verifies it, and it need not be whole.
            let far = self.far.get(slot.row() as usize)?;
            let view = PeerView::new(peer, far, None, Instant::START, viewer, &[])?;
            view.contact(query.families, query.transport)
        })
    }

    /// The same in compact form, if it is IPv4 and the row's first line tells it.
    #[inline]
    pub fn compact_v4(&self, slot: Slot, query: ContactsQuery) -> Option<[u8; 6]> {
        let peer = self.peer(slot.row());
        peer.direct.compact_v4(peer.reach, query)
    }
}

impl<'t> PeerView<'t> {
    /// The view of `peer`; `None` if it has no endpoint that `viewer` may see, of a scheme in `schemes` if there are
    /// any. With its seal it is shown whole or not at all: what is left out could not be verified.
    pub(super) fn new(
        peer: &'t Peer,
        far: &'t Far,
        seal: Option<&'t Seal>,
        now: Instant,
        viewer: Viewer,
        schemes: &[&str],
    ) -> Option<Self> {
        let sees_all = viewer.sees_all(peer.reach, peer.source);
        let shows = |endpoint: &Endpoint<'_>| {
            (sees_all || !is_lan(endpoint)) && (schemes.is_empty() || schemes.contains(&endpoint.scheme))
        };
        let endpoints = peer.record.endpoints(far);
        let bits = endpoints.clone().zip(0..8).filter(|(endpoint, _)| shows(endpoint));
        let mut shown = bits.fold(0, |shown, (_, n)| shown | 1u8.wrapping_shl(n));
        if seal.is_some() && shown != 0 {
            shown = if sees_all { u8::MAX } else { 0 };
        }
        (shown != 0).then(|| Self {
            id: peer.record.id(),
            seen: peer.seen,
            age_s: now.s_since(peer.seen),
            seal,
            endpoints,
            shown,
        })
    }

    /// The one address that stands for the peer: of its first endpoint that has the wanted transport and one of the
    /// families, or else of its first one of the families.
    pub fn contact(&self, families: Families, transport: Transport) -> Option<Contact> {
        best(&mut self.endpoints(), families, transport)
    }

    /// The endpoints the asker may see, of the schemes it asked for, in the order announced. At least one.
    pub fn endpoints(&self) -> impl Iterator<Item = Endpoint<'t>> {
        let shown = self.shown;
        let bits = self.endpoints.clone().zip(0..8);
        bits.filter(move |&(_, n)| shown.wrapping_shr(n) & 1 == 1).map(|(endpoint, _)| endpoint)
    }
}
