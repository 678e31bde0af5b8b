//! Who gets a place, and who loses it.
//!
//! The table resists capture by address prefix, which is what an attacker has few of:
//!
//! 1. **Caps.** One prefix gets a limited number of places, at every level of aggregation.
//! 2. **Longest-queue-drop.** When the table is full, the largest wide prefix (/16 or /32) loses a peer: a random one
//!    of its largest narrow prefix (/24 or /48). The newcomer is counted in, so a newcomer from the largest prefix can
//!    only displace its own neighbours, or is refused.
//! 3. **Tenure.** A peer that has stayed for a whole lifetime is protected from eviction. At most half of the places,
//!    and one wide prefix's share of them, are.
//!
//! The LAN is trusted: its peers are not counted, not limited and not evicted.

use heapless::Vec;

use super::groups::{Crowd, Membership, Origin};
use super::{NoPlace, PeerTable, Slot};
use crate::addr::CanonicalAddr;
use crate::limits::{
    MIN_PLACES_PER_WIDE, MIN_TENURE_S, OVERDUE_STEPS, PLACES_PER_V4_HOST, PLACES_PER_V4_NARROW,
    PLACES_PER_V6_HOST, PLACES_PER_V6_NARROW, PLACES_PER_V6_SITE, WIDE_SHARE_DIVISOR,
};
use crate::rng::Rng;
use crate::time::Instant;

impl PeerTable<'_> {
    /// Makes sure that there is a place for a newcomer from `origin` (`None`: from the LAN). Returns whether that cost one of its
    /// own wide prefix its place, and so nobody else anything.
    ///
    /// # Errors
    /// [`NoPlace`] if its prefix has all the places it may have, or if the table is full and the newcomer has no claim
    /// to anyone's place.
    pub(super) fn make_place(
        &mut self,
        now: Instant,
        origin: Option<&Origin>,
        rng: &mut Rng,
    ) -> Result<bool, NoPlace> {
        let mut may_join = self.may_join(origin);
        let full = self.len() == self.capacity();
        if (full || !may_join) && self.expire_overdue(now) {
            may_join = self.may_join(origin);
        }
        if !may_join {
            return Err(NoPlace);
        }
        if self.len() < self.capacity() {
            return Ok(false);
        }
        let victim = self.victim(origin, rng).ok_or(NoPlace)?;
        let wide = self.peer(victim).groups.narrow_and_wide().map(|(_, wide)| wide);
        let among_its_own = wide.is_some() && wide == origin.and_then(|origin| self.groups.wide(origin));
        self.evictions = self.evictions.saturating_add(1);
        self.remove(Slot::of(victim));
        Ok(among_its_own)
    }

    /// Whether the caps leave room for one more peer from `origin`.
    pub(super) fn may_join(&self, origin: Option<&Origin>) -> bool {
        let Some(origin) = origin else { return true };
        let Crowd { host, site, narrow, wide } = self.groups.crowd(origin);
        let in_family = match site {
            None => host < PLACES_PER_V4_HOST && narrow < PLACES_PER_V4_NARROW,
            Some(site) => {
                host < PLACES_PER_V6_HOST && site < PLACES_PER_V6_SITE && narrow < PLACES_PER_V6_NARROW
            }
        };
        in_family && wide < self.places_per_wide()
    }

    /// Most peers, and most protected peers, of one wide prefix.
    fn places_per_wide(&self) -> u32 {
        let share = self.capacity().checked_div(WIDE_SHARE_DIVISOR as usize).unwrap_or(0);
        u32::try_from(share).unwrap_or(u32::MAX).max(MIN_PLACES_PER_WIDE)
    }

    /// Removes peers that have expired, in a bounded number of steps; also of those of the running second, which the
    /// wheel has not met yet. Returns whether there were any.
    fn expire_overdue(&mut self, now: Instant) -> bool {
        let before = self.len();
        self.expire(now);
        let is_overdue = |&slot: &u32| {
            let expires = self.peer(slot).expires;
            expires > Instant::START && expires <= now
        };
        let this_second = self.wheel.next_second(now).take(OVERDUE_STEPS);
        let overdue: Vec<u32, OVERDUE_STEPS> = this_second.filter(is_overdue).collect();
        overdue.into_iter().for_each(|slot| self.bury(slot));
        self.len() < before
    }

    /// The peer that has to go for a newcomer from `origin`.
    pub(super) fn victim(&self, origin: Option<&Origin>, rng: &mut Rng) -> Option<u32> {
        let own = origin.and_then(|origin| self.groups.wide(origin));
        let own_size = match origin {
            Some(_) => own.map_or(0, |own| self.groups.open_in(own)).saturating_add(1),
            None => 0,
        };
        let (largest, tied) = self.groups.largest_wide();
        let wide = match own_size.cmp(&largest) {
            core::cmp::Ordering::Greater => own,
            core::cmp::Ordering::Less => self.groups.nth_largest_wide(rng.below(tied)),
            // With the newcomer, its own group is one more of the largest.
            core::cmp::Ordering::Equal => match rng.below(tied.saturating_add(1)) {
                pick if pick == tied => own,
                pick => self.groups.nth_largest_wide(pick),
            },
        };
        self.groups.random_open_in(self.peers, wide?, rng)
    }

    /// Counts the peer at `slot` where it was announced from.
    pub(super) fn enrol(&mut self, slot: u32, origin: Option<&Origin>) {
        let groups = origin.map_or(Membership::NONE, |origin| self.groups.join(origin));
        self.peers.get_mut(slot as usize).into_iter().for_each(|peer| peer.groups = groups);
        self.groups.open(self.peers, slot, groups);
    }

    /// No longer counts the peer at `slot`.
    pub(super) fn strike_off(&mut self, slot: u32) {
        let Some(peer) = self.peers.get_mut(slot as usize) else { return };
        let groups = peer.groups;
        if core::mem::take(&mut peer.protected) {
            self.protected = self.protected.saturating_sub(1);
        } else {
            self.groups.close(self.peers, slot, groups);
        }
        self.groups.leave(groups);
    }

    /// Counts the peer at `slot` under another address. Whether it keeps its tenure there is decided anew.
    pub(super) fn move_house(&mut self, slot: u32, source: CanonicalAddr) {
        self.strike_off(slot);
        let origin = self.groups.origin(source);
        self.enrol(slot, origin.as_ref());
        self.peers.get_mut(slot as usize).into_iter().for_each(|peer| peer.source = source);
    }

    /// Protects the peer at `slot`, which announces again now, if it has stayed long enough and there is room.
    pub(super) fn grant_tenure(&mut self, now: Instant, slot: u32) {
        let (half, places_per_wide) = (self.capacity() / 2, self.places_per_wide());
        let Some(peer) = self.peers.get_mut(slot as usize) else { return };
        let lifetime_ms = peer.expires.ms_since(peer.seen).max(u64::from(MIN_TENURE_S) * 1000);
        let earned = now.ms_since(peer.born) >= lifetime_ms;
        if !peer.protected
            && earned
            && peer.groups.narrow_and_wide().is_some()
            && self.protected < half
            && self.groups.closed_in_wide(peer.groups) < places_per_wide
        {
            peer.protected = true;
            self.protected = self.protected.saturating_add(1);
            let groups = peer.groups;
            self.groups.close(self.peers, slot, groups);
        }
    }
}
