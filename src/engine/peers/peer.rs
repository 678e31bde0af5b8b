//! The row of one peer.

use core::hint::black_box;
use core::mem::offset_of;

use super::groups::Membership;
use super::index::Tag;
use super::part::{Part, parts};
use super::pool::Free;
use super::reach::{Direct, Reach};
use super::record::Near;
use super::roster::Place;
use crate::addr::CanonicalAddr;
use crate::time::Instant;

/// The roster of the peers of narrow prefixes that are open to eviction.
#[derive(Clone, Copy)]
pub(super) enum OpenInNarrow {}

/// All that is known about one peer: three cache lines. What a draw looks at is in the first, and nearly always what a
/// compact answer shows; what other answers show is in the second, and what only changes of the table look at in the last.
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
    pub(super) direct: Direct,
    pub(super) network: u32,
    /// Among the peers of its network and class.
    pub(super) rank: u32,
    /// Of its network and id.
    pub(super) tag: Tag,
    free: Free,
    pub(super) reach: Reach,
    /// It has tenure: nobody else's announce can evict it.
    pub(super) protected: bool,
    /// It has all there is to have.
    pub(super) seeding: bool,
    /// Its record is signed.
    pub(super) signed: bool,

    pub(super) record: Near,

    pub(super) born: Instant,
    pub(super) source: CanonicalAddr,
    open_in_narrow: Place<OpenInNarrow>,
}

const _: () = assert!(size_of::<Peer>() == 192, "a row is three cache lines");
const _: () = assert!(offset_of!(Peer, record) <= 64, "the first line holds all that a draw looks at");

parts!(Peer {
    open_in_narrow: Place<OpenInNarrow>,
    free: Free,
});

impl Peer {
    /// The row of no peer.
    pub(super) const NONE: Self = Self {
        expires: Instant::START,
        seen: Instant::START,
        groups: Membership::NONE,
        direct: Direct::NONE,
        network: 0,
        rank: 0,
        reach: Reach::NONE,
        protected: false,
        seeding: false,
        signed: false,
        record: Near::EMPTY,
        born: Instant::START,
        source: CanonicalAddr::ZERO,
        open_in_narrow: Place::NONE,
        tag: Tag::ZERO,
        free: Free::LAST,
    };

    /// Has what a draw looks at fetched into the cache, without waiting for it.
    pub(super) fn touch(&self) {
        black_box(self.expires);
    }
}
