//! The row of one peer.

use core::hint::black_box;

use super::groups::Membership;
use super::index::Tag;
use super::part::{Part, parts};
use super::pool::Free;
use super::record::Near;
use super::roster::Place;
use super::view::LanEndpoints;
use crate::addr::CanonicalAddr;
use crate::time::Instant;

/// The roster of the members of networks.
#[derive(Clone, Copy)]
pub(super) enum InNetwork {}

/// The roster of the peers of narrow prefixes that are open to eviction.
#[derive(Clone, Copy)]
pub(super) enum OpenInNarrow {}

/// All that is known about one peer: three cache lines. What a draw looks at is in the first, what an answer shows in
/// the second, and what only changes of the table look at in the last.
///
/// The number of lines is odd on purpose. Rows of four would put the first lines of all rows, which are needed most, into
/// a quarter of the sets of every cache: measured, that makes a miss three times as dear.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Peer {
    /// The peer is live before this moment. 0 in a free row.
    pub(super) expires: Instant,
    pub(super) seen: Instant,
    pub(super) groups: Membership,
    in_network: Place<InNetwork>,
    pub(super) network: u32,
    /// Of its network and id.
    pub(super) tag: Tag,
    free: Free,
    pub(super) lan: LanEndpoints,
    /// It has tenure: nobody else's announce can evict it.
    pub(super) protected: bool,
    /// It has all there is to have.
    pub(super) seeding: bool,

    pub(super) record: Near,

    pub(super) born: Instant,
    pub(super) source: CanonicalAddr,
    open_in_narrow: Place<OpenInNarrow>,
}

const _: () = assert!(size_of::<Peer>() == 192, "a row is three cache lines");

parts!(Peer {
    in_network: Place<InNetwork>,
    open_in_narrow: Place<OpenInNarrow>,
    free: Free,
});

impl Peer {
    /// The row of no peer.
    pub(super) const NONE: Self = Self {
        expires: Instant::START,
        seen: Instant::START,
        groups: Membership::NONE,
        in_network: Place::NONE,
        network: 0,
        lan: LanEndpoints::None,
        protected: false,
        seeding: false,
        record: Near::EMPTY,
        born: Instant::START,
        source: CanonicalAddr::ZERO,
        open_in_narrow: Place::NONE,
        tag: Tag::ZERO,
        free: Free::LAST,
    };

    /// Has the lines that an answer shows fetched into the cache, without waiting for them.
    pub(super) fn touch(&self) {
        black_box(self.expires);
        self.record.touch();
    }
}
