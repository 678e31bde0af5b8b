//! The clocks. No other file of the crate reads one.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::time::Instant;

/// A monotonic clock that starts with the server. Where the system allows it goes on while the machine is suspended, so
/// that peers expire in its sleep.
#[derive(Clone, Copy)]
pub struct Clock {
    started: Ticks,
}

impl Clock {
    /// A clock that shows [`Instant::START`] now.
    pub fn start() -> Self {
        Self { started: ticks() }
    }

    /// The time since the start.
    pub fn now(&self) -> Instant {
        Instant::from_ms(ms_between(self.started, ticks()))
    }
}

/// What the wall clock shows, in Unix milliseconds; 0 if it is set to before 1970.
#[expect(clippy::disallowed_methods, reason = "this file is where the wall clock is read")]
pub fn unix_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
use boot_time::{Ticks, ms_between, ticks};

#[cfg(any(target_os = "linux", target_os = "android"))]
mod boot_time {
    use rustix::time::{ClockId, Timespec, clock_gettime};

    pub(super) type Ticks = Timespec;

    /// `CLOCK_BOOTTIME`: monotonic, and counts suspended time.
    pub(super) fn ticks() -> Ticks {
        clock_gettime(ClockId::Boottime)
    }

    pub(super) fn ms_between(from: Ticks, to: Ticks) -> u64 {
        let ms = |t: Ticks| t.tv_sec.saturating_mul(1000).saturating_add(t.tv_nsec / 1_000_000);
        u64::try_from(ms(to).saturating_sub(ms(from))).unwrap_or(0)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
use monotonic::{Ticks, ms_between, ticks};

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod monotonic {
    pub(super) type Ticks = std::time::Instant;

    #[expect(clippy::disallowed_methods, reason = "this file is where the monotonic clock is read")]
    pub(super) fn ticks() -> Ticks {
        std::time::Instant::now()
    }

    pub(super) fn ms_between(from: Ticks, to: Ticks) -> u64 {
        u64::try_from(to.saturating_duration_since(from).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_at_zero_and_never_goes_back() {
        let clock = Clock::start();
        let mut before = clock.now();
        assert!(before < Instant::from_s(1));
        for _ in 0..1000 {
            let now = clock.now();
            assert!(now >= before);
            before = now;
        }
    }
}
