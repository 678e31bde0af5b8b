//! The generic cell rate algorithm (ITU-T I.371): a rate and a burst from one number, the theoretical arrival time.

use crate::time::Instant;

/// Microseconds in a minute.
const MINUTE_US: u64 = 60_000_000;

/// A rate and a burst, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gcra {
    interval_us: u64,
    tolerance_us: u64,
}

impl Gcra {
    /// One request every `interval_us`, and up to `burst` at once.
    const fn new(interval_us: u64, burst: u64) -> Self {
        Self { interval_us, tolerance_us: interval_us.saturating_mul(burst.saturating_sub(1)) }
    }

    /// `n` requests a minute, all of them at once if need be.
    pub(super) fn per_minute(n: u32) -> Self {
        let n = u64::from(n);
        Self::new(MINUTE_US.checked_div(n).unwrap_or(0), n)
    }

    /// Asks for one request at `now_us` when the next one had been due at `due_us`. Returns when the next one is due
    /// then.
    ///
    /// # Errors
    /// How many microseconds later the request would be admitted.
    pub(super) const fn admit(self, now_us: u64, due_us: u64) -> Result<u64, u64> {
        let latest_us = now_us.saturating_add(self.tolerance_us);
        if due_us > latest_us {
            return Err(due_us.saturating_sub(latest_us));
        }
        let from_us = if due_us > now_us { due_us } else { now_us };
        Ok(from_us.saturating_add(self.interval_us))
    }
}

/// One limit for the whole server.
pub struct Gate {
    rate: Gcra,
    due_us: u64,
}

impl Gate {
    /// Passes `capacity / 60` a second, at least one, so that no flood turns the table over faster than once a minute;
    /// and a sixth of the capacity at once, at least 64, so that a whole network can come back after a restart.
    pub const fn table_in_a_minute(capacity: usize) -> Self {
        let capacity = capacity as u64;
        let interval_us = match MINUTE_US.checked_div(capacity) {
            Some(us) if us < 1_000_000 => us,
            _ => 1_000_000,
        };
        let sixth = capacity / 6;
        Self { rate: Gcra::new(interval_us, if sixth > 64 { sixth } else { 64 }), due_us: 0 }
    }

    /// Passes `n` a second, and `burst` at once.
    pub fn per_second(n: u32, burst: u32) -> Self {
        let interval_us = 1_000_000_u64.checked_div(n.into()).unwrap_or(0);
        Self { rate: Gcra::new(interval_us, burst.into()), due_us: 0 }
    }

    /// Asks for one pass.
    ///
    /// # Errors
    /// After how many seconds there would be one, at least 1.
    pub fn pass(&mut self, now: Instant) -> Result<(), u32> {
        match self.rate.admit(now.as_ms().saturating_mul(1000), self.due_us) {
            Ok(due_us) => {
                self.due_us = due_us;
                Ok(())
            }
            Err(wait_us) => Err(u32::try_from(wait_us.div_ceil(1_000_000)).unwrap_or(u32::MAX)),
        }
    }

    /// How much of what may pass at once has passed lately, in percent, 0..=100: 0 when nothing has passed for long, 100
    /// when nothing more passes.
    pub fn taken_percent(&self, now: Instant) -> u64 {
        let owed_us = self.due_us.saturating_sub(now.as_ms().saturating_mul(1000));
        let percent = owed_us.saturating_mul(100).checked_div(self.rate.tolerance_us);
        percent.unwrap_or(0).min(100)
    }

    /// Takes a pass back that was not used.
    pub const fn give_back(&mut self) {
        self.due_us = self.due_us.saturating_sub(self.rate.interval_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_one_every_interval() {
        let rate = Gcra::per_minute(3);
        let mut due_us = 0;
        let mut verdicts = std::vec::Vec::new();
        for now_s in [0, 0, 0, 0, 19, 20, 20, 40, 45, 60, 200, 200, 200, 200] {
            let verdict = rate.admit(now_s * 1_000_000, due_us);
            due_us = verdict.unwrap_or(due_us);
            verdicts.push(verdict.map(drop).map_err(|wait_us| wait_us / 1_000_000));
        }
        let (pass, wait) = (Ok(()), Err);
        assert_eq!(
            verdicts,
            [
                pass,
                pass,
                pass,
                wait(20),
                wait(1),
                pass,
                wait(20),
                pass,
                wait(15),
                pass,
                pass,
                pass,
                pass,
                wait(20)
            ]
        );
    }

    #[test]
    fn rates_beyond_the_unit_of_time_are_no_limit() {
        for n in [0, 60_000_001, u32::MAX] {
            let rate = Gcra::per_minute(n);
            let mut due_us = 0;
            for _ in 0..1000 {
                due_us = rate.admit(0, due_us).unwrap();
            }
        }
    }

    #[test]
    fn nothing_overflows_at_the_end_of_time() {
        let rate = Gcra::per_minute(1);
        assert_eq!(rate.admit(u64::MAX, 0), Ok(u64::MAX));
        assert_eq!(rate.admit(0, u64::MAX), Err(u64::MAX));
    }

    #[test]
    fn a_gate_passes_a_table_in_a_minute() {
        for (capacity, burst, a_minute) in
            [(16, 64, 60), (1024, 170, 1024), (4096, 682, 4096), (65_536, 10_922, 65_536)]
        {
            let mut gate = Gate::table_in_a_minute(capacity);
            let at_once = (0..100_000).take_while(|_| gate.pass(Instant::from_s(7)).is_ok()).count();
            assert_eq!(at_once, burst, "{capacity}");
            assert_eq!(gate.pass(Instant::from_s(7)), Err(1));
            let passed: usize = (1..=60_000)
                .map(|ms| {
                    let now = Instant::from_s(7).plus_ms(ms);
                    (0..100).take_while(|_| gate.pass(now).is_ok()).count()
                })
                .sum();
            assert!(passed.abs_diff(a_minute) <= a_minute / 1000, "{capacity}: {passed}");
            let later = Instant::from_s(1000);
            let unused = (0..100_000).take_while(|_| gate.pass(later).map(|()| gate.give_back()).is_ok());
            assert_eq!(unused.count(), 100_000, "{capacity}");
            assert_eq!((0..100_000).take_while(|_| gate.pass(later).is_ok()).count(), burst, "{capacity}");
        }
    }
}
