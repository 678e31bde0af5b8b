//! Rate limits in fixed memory.

use super::{Error, Request, Settings, Source};
use crate::rng::HashKey;
use crate::time::Instant;

/// Memory
pub struct LimiterStorage<const CELLS: usize> {
    cells: [[[u32; CELLS]; 3]; 3],
}
impl<const CELLS: usize> LimiterStorage<CELLS> {
    /// new
    pub const fn new() -> Self {
        Self { cells: [[[0; CELLS]; 3]; 3] }
    }
}
/// limiter
pub struct RateLimiter<'s> {
    _a: &'s (),
}
/// What a request is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spending {
    /// q
    Query,
    /// a
    Announce,
}
impl Spending {
    /// of
    pub const fn of(request: &Request<'_>) -> Self {
        match request {
            Request::Announce(_) => Self::Announce,
            _ => Self::Query,
        }
    }
}
impl<'s> RateLimiter<'s> {
    /// new
    pub fn new<const CELLS: usize>(
        storage: &'s mut LimiterStorage<CELLS>,
        settings: &Settings,
        key: HashKey,
    ) -> Self {
        Self { _a: &() }
    }
    /// # Errors
    /// RateLimited
    pub fn spend(&mut self, now: Instant, source: &Source, spending: Spending) -> Result<(), Error> {
        Ok(())
    }
    /// Re-keys
    pub fn tick(&mut self, now: Instant) {}
}
/// One GCRA for the whole server.
pub struct Gate {}
impl Gate {
    /// Passes `capacity / 60` a second, with a burst of a sixth of the capacity, at least 64.
    pub const fn table_in_a_minute(capacity: usize) -> Self {
        Self {}
    }
    /// # Errors
    /// seconds
    pub fn pass(&mut self, now: Instant) -> Result<(), u32> {
        Ok(())
    }
}
