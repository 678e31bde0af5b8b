//! The generator's clock.

use std::time::{Duration, Instant};

/// This moment.
#[expect(clippy::disallowed_methods, reason = "the generator measures real time; the rule is for the server")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits for a process to start.
#[expect(clippy::disallowed_methods, reason = "nothing else runs in the generator while the server starts")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
