//! Counters: plain integers, no addresses, no ids.

use super::{Error, Protocol, Request};
use crate::time::Instant;

/// Counts what happens.
pub struct Stats {
    requests: u64,
}
impl Stats {
    /// All zero.
    pub const fn new() -> Self {
        Self { requests: 0 }
    }
    /// count
    pub fn count_request(&mut self, now: Instant, protocol: Protocol, request: &Request<'_>) {
        self.requests += 1;
    }
    /// count
    pub fn count_outcome(&mut self, protocol: Protocol, error: Option<&Error>) {}
    /// tick
    pub fn tick(&mut self, now: Instant) {}
}
