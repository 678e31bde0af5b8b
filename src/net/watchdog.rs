//! Ends the process when its loop hangs, so that a supervisor starts it anew.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use crate::limits::{WATCHDOG_LOOKS, WATCHDOG_PAUSE_MS, WATCHDOG_STACK_BYTES};

/// How often the loop has come round. It wraps: only that it changes is looked at.
static ROUNDS: AtomicU32 = AtomicU32::new(0);

/// Notes that the loop has come round.
pub(super) fn come_round() {
    ROUNDS.fetch_add(1, Ordering::Relaxed);
}

/// Watches the loop for ever, from a thread of its own. If it does not come round for [`WATCHDOG_LOOKS`] looks of the thread, the
/// process aborts.
///
/// # Errors
/// The system gives no thread.
pub fn start() -> io::Result<()> {
    watch(&ROUNDS, Duration::from_millis(WATCHDOG_PAUSE_MS), WATCHDOG_LOOKS, || {
        let _ = writeln!(io::stderr(), "waypost: the loop hangs; it aborts, to be started again");
        std::process::abort();
    })
}

/// Looks at `rounds` after each `pause`, and calls `hung` once they have not changed for so many looks.
fn watch(
    rounds: &'static AtomicU32,
    pause: Duration,
    looks: u32,
    hung: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let mut patience = Patience { seen: rounds.load(Ordering::Relaxed), looks_in_vain: 0 };
    let look = move || {
        while patience.look(rounds.load(Ordering::Relaxed)) < looks {
            #[expect(clippy::disallowed_methods, reason = "this thread does nothing else")]
            thread::sleep(pause);
        }
        hung();
    };
    thread::Builder::new().stack_size(WATCHDOG_STACK_BYTES).spawn(look).map(drop)
}

/// Counts looks, not time: whatever stops the loop from outside (SIGSTOP, a suspended or overloaded machine) stops the looks as
/// well, and is no reason to end.
struct Patience {
    seen: u32,
    looks_in_vain: u32,
}

impl Patience {
    /// Looks once, and returns how many looks in a row have found nothing new.
    const fn look(&mut self, rounds: u32) -> u32 {
        self.looks_in_vain = if rounds == self.seen { self.looks_in_vain.saturating_add(1) } else { 0 };
        self.seen = rounds;
        self.looks_in_vain
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn each_round_begins_a_new_patience() {
        let mut patience = Patience { seen: u32::MAX, looks_in_vain: 0 };
        let looks = [u32::MAX, u32::MAX, 0, 0, 0, 1, 2, 2].map(|rounds| patience.look(rounds));
        assert_eq!(looks, [1, 2, 0, 1, 2, 0, 0, 1]);
    }

    #[test]
    fn a_loop_that_hangs_is_noticed_once() {
        static ROUNDS: AtomicU32 = AtomicU32::new(0);
        let (calls, called) = mpsc::channel();
        watch(&ROUNDS, Duration::from_millis(1), 30, move || calls.send(()).unwrap()).unwrap();
        assert_eq!(called.recv_timeout(Duration::from_secs(20)), Ok(()));
        assert!(called.recv().is_err(), "the thread has ended");
    }
}
