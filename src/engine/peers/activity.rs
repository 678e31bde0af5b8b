//! How many peers were seen lately, without looking at all of them.

use crate::limits::ACTIVE_WINDOW_S;
use crate::time::Instant;

/// Seconds in the window.
const WINDOW: usize = ACTIVE_WINDOW_S as usize;

/// Counts peers by the second they were last seen in, for the seconds of the window.
pub(super) struct Activity {
    seen: [u32; WINDOW],
    total: u32,
    /// The last second of the window.
    now_s: u64,
}

impl Activity {
    /// Nobody has been seen.
    pub(super) const fn new() -> Self {
        Self { seen: [0; WINDOW], total: 0, now_s: 0 }
    }

    /// Moves the window up to `now`.
    pub(super) fn advance(&mut self, now: Instant) {
        let seconds = now.as_s().saturating_sub(self.now_s).min(ACTIVE_WINDOW_S.into());
        self.now_s = self.now_s.max(now.as_s());
        for back in 0..seconds {
            let second = self.now_s.saturating_sub(back);
            if let Some(seen) = self.seen.get_mut(place(second)) {
                self.total = self.total.saturating_sub(core::mem::take(seen));
            }
        }
    }

    /// A peer is seen now; before, it was last seen at `before`, if ever.
    pub(super) fn count(&mut self, now: Instant, before: Option<Instant>) {
        self.advance(now);
        if let Some(before) = before {
            self.forget(before);
        }
        if let Some(seen) = self.seen.get_mut(place(self.now_s)) {
            *seen = seen.saturating_add(1);
            self.total = self.total.saturating_add(1);
        }
    }

    /// A peer last seen at `seen` is gone.
    pub(super) fn forget(&mut self, seen: Instant) {
        if self.now_s.saturating_sub(seen.as_s()) >= ACTIVE_WINDOW_S.into() {
            return;
        }
        if let Some(count) = self.seen.get_mut(place(seen.as_s())) {
            *count = count.saturating_sub(1);
            self.total = self.total.saturating_sub(1);
        }
    }

    /// Peers last seen in the window.
    pub(super) const fn total(&self) -> usize {
        self.total as usize
    }
}

/// A second's place in the ring.
fn place(second: u64) -> usize {
    let place = second.checked_rem(ACTIVE_WINDOW_S.into());
    place.and_then(|place| usize::try_from(place).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::rng::{HashKey, Rng};

    #[test]
    fn a_peer_is_active_for_exactly_the_window() {
        let mut activity = Activity::new();
        activity.count(Instant::from_ms(7999), None);
        activity.advance(Instant::from_ms(306_999));
        assert_eq!(activity.total(), 1);
        activity.advance(Instant::from_s(307));
        assert_eq!(activity.total(), 0);
        activity.forget(Instant::from_ms(7999));
        assert_eq!(activity.total(), 0);
    }

    #[test]
    fn agrees_with_a_recount_under_random_operations() {
        let mut activity = Activity::new();
        let mut seen: Vec<Option<Instant>> = std::vec![None; 20];
        let mut rng = Rng::new(HashKey::new([7; 16]));
        let mut now = Instant::START;
        for step in 0..20_000 {
            let longest_ms = if rng.below(100) == 0 { 400_000 } else { 9000 };
            now = now.plus_ms(rng.below(longest_ms).into());
            let peer = &mut seen[rng.below(20) as usize];
            match *peer {
                Some(before) if rng.below(4) == 0 => {
                    activity.forget(before);
                    *peer = None;
                }
                before => {
                    activity.count(now, before);
                    *peer = Some(now);
                }
            }
            activity.advance(now);
            let active = seen.iter().flatten().filter(|seen| now.as_s() - seen.as_s() < 300).count();
            assert_eq!(activity.total(), active, "step {step}");
        }
    }
}
