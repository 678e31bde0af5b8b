//! Time as the engine sees it: milliseconds on a monotonic clock that starts with the server.

use crate::limits::EARLIEST_CREDIBLE_UNIX_S;

/// A moment, in milliseconds since the server started. Never wraps (584 million years), never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    /// The moment the server started.
    pub const START: Self = Self(0);

    /// The moment `ms` milliseconds after the start.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// The moment `s` seconds after the start.
    pub const fn from_s(s: u64) -> Self {
        Self(s.saturating_mul(1000))
    }

    /// Milliseconds since the start.
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// Whole seconds since the start.
    pub const fn as_s(self) -> u64 {
        self.0 / 1000
    }

    /// The moment `ms` milliseconds later.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// The moment `s` seconds later.
    #[must_use]
    pub const fn plus_s(self, s: u32) -> Self {
        self.plus_ms((s as u64) * 1000)
    }

    /// Milliseconds from `earlier` to here; 0 if `earlier` is later.
    pub const fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole seconds from `earlier` to here; 0 if `earlier` is later.
    pub const fn s_since(self, earlier: Self) -> u64 {
        self.ms_since(earlier) / 1000
    }
}

/// The wall clock, told to the engine by its driver, quoted to clients while credible, and used for nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallClock {
    /// What it would have shown at [`Instant::START`], in Unix milliseconds. Kept so, a moment has the same Unix second
    /// whenever it is asked for.
    start_unix_ms: Option<u64>,
}

impl WallClock {
    /// The clock showed `unix_ms` (Unix milliseconds) at `now`. Times before 2026 are taken for a board without a clock
    /// chip.
    pub fn read(now: Instant, unix_ms: u64) -> Self {
        let credible = unix_ms / 1000 >= EARLIEST_CREDIBLE_UNIX_S;
        Self { start_unix_ms: credible.then(|| unix_ms.saturating_sub(now.as_ms())) }
    }

    /// The Unix second of `moment`, or `None` while the clock is not credible.
    pub fn unix_s(self, moment: Instant) -> Option<u64> {
        self.start_unix_ms.map(|start| start.saturating_add(moment.as_ms()) / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_saturate_at_zero() {
        assert_eq!(Instant::from_ms(5).ms_since(Instant::from_ms(9)), 0);
        assert_eq!(Instant::from_ms(u64::MAX).plus_s(60), Instant::from_ms(u64::MAX));
        assert_eq!(Instant::from_s(7).plus_ms(1999).s_since(Instant::from_s(2)), 6);
    }

    #[test]
    fn a_clock_before_2026_is_not_quoted() {
        let now = Instant::from_s(10);
        assert_eq!(WallClock::read(now, 0).unix_s(now), None);
        assert_eq!(WallClock::read(now, 1_767_225_599_999).unix_s(now), None);
        let credible = WallClock::read(now, 1_767_225_600_000);
        assert_eq!(credible.unix_s(Instant::from_s(13)), Some(1_767_225_603));
        let year_2106 = WallClock::read(now, 4_294_967_300_000);
        assert_eq!(year_2106.unix_s(now), Some(4_294_967_300));
    }

    #[test]
    fn a_moment_has_one_second_whenever_the_clock_is_read() {
        let moment = Instant::from_ms(12_345);
        for now_ms in (20_000..40_000).step_by(77) {
            let clock = WallClock::read(Instant::from_ms(now_ms), 1_800_000_000_600 + now_ms);
            assert_eq!(clock.unix_s(moment), Some(1_800_000_012));
        }
    }
}
