//! Rate limits in fixed memory: there are no entries to exhaust.
//!
//! Every source is counted at each level of its prefix hierarchy: a host, and the networks it is part of. A request
//! passes if it passes at every level, and is charged only then. Wider prefixes have more to spend, by the factors in
//! [`multipliers`]. One allowance is `N` requests a minute, and all `N` of them at once if need be, so the first `N`
//! requests of anybody always pass; after that one passes every `60 / N` seconds.
//!
//! Counters are cells of a keyed count-min [`sketch`]: a prefix has one cell in each of three rows, and is over its
//! allowance only if all three are. A stranger is refused by mistake if all three of its cells are shared with busy
//! prefixes: with 16,384 cells a row and 500 busy prefixes once in 37,000 times, and for ten minutes at most, because
//! then the key changes. Unproven datagrams, proven datagrams and TCP have a sketch each: a flood in one never refuses
//! another.
//!
//! Cells hold microseconds since the last change of key. Nothing can wrap within one key's life, and admission times
//! are exact; time units coarse enough to last for years would not be. The price: with the new key every allowance is
//! fresh, once in ten minutes.

mod gcra;
mod sketch;

pub use gcra::Gate;

use heapless::Vec;

use self::gcra::Gcra;
use self::sketch::{Cells, Rows, Sketch};
use super::{Error, Proof, Request, Settings, Source};
use crate::addr::{CanonicalAddr, Level};
use crate::limits::LIMITER_EPOCH_S;
use crate::rng::HashKey;
use crate::time::Instant;

/// The memory of a [`RateLimiter`]: three sketches of three rows of `CELLS` cells. All zero when new.
pub struct LimiterStorage<const CELLS: usize> {
    classes: [Rows<CELLS>; 3],
}

/// Limits how often every source, and every network it is part of, may ask.
pub struct RateLimiter<'s> {
    unproven: Sketch<'s>,
    proven: Sketch<'s>,
    tcp: Sketch<'s>,
    key: HashKey,
    rekeyed: Instant,
    epoch: u64,
    queries_per_minute: u32,
    announces_per_minute: u32,
}

/// What a request is counted as. Each has an allowance of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spending {
    /// Everything that registers nothing.
    Query,
    /// An announce.
    Announce,
}

impl<const CELLS: usize> LimiterStorage<CELLS> {
    /// Empty storage.
    pub const fn new() -> Self {
        Self { classes: [const { Rows::new() }; 3] }
    }
}

impl<const CELLS: usize> Default for LimiterStorage<CELLS> {
    fn default() -> Self {
        Self::new()
    }
}

impl Spending {
    /// What `request` is counted as.
    pub const fn of(request: &Request<'_>) -> Self {
        match request {
            Request::Announce(_) | Request::Track(_) => Self::Announce,
            _ => Self::Query,
        }
    }
}

impl<'s> RateLimiter<'s> {
    /// A limiter in new storage.
    pub fn new<const CELLS: usize>(
        storage: &'s mut LimiterStorage<CELLS>,
        settings: &Settings,
        key: HashKey,
    ) -> Self {
        let [unproven, proven, tcp] = &mut storage.classes;
        Self {
            unproven: Sketch::new(unproven, class_key(&key, Proof::None, 0)),
            proven: Sketch::new(proven, class_key(&key, Proof::Token, 0)),
            tcp: Sketch::new(tcp, class_key(&key, Proof::Tcp, 0)),
            key,
            rekeyed: Instant::START,
            epoch: 0,
            queries_per_minute: settings.queries_per_minute,
            announces_per_minute: settings.announces_per_minute,
        }
    }

    /// Takes one request from the allowances of `source`.
    ///
    /// # Errors
    /// [`Error::RateLimited`] if one of them is used up; then nothing is taken from any.
    pub fn spend(&mut self, now: Instant, source: &Source, spending: Spending) -> Result<(), Error> {
        let per_minute = match spending {
            Spending::Query => self.queries_per_minute,
            Spending::Announce => self.announces_per_minute,
        };
        if per_minute == 0 {
            return Ok(());
        }
        self.tick(now);
        let now_us = now.ms_since(self.rekeyed).saturating_mul(1000);
        let sketch = match source.proof {
            Proof::None => &mut self.unproven,
            Proof::Token => &mut self.proven,
            Proof::Tcp => &mut self.tcp,
        };
        let mut charges = Vec::<(Cells, u64), 4>::new();
        let mut wait_us = 0;
        for &(level, multiplier) in multipliers(source.addr, spending) {
            let allowance = Gcra::per_minute(per_minute.saturating_mul(multiplier));
            let cells = sketch.cells(&hash_input(source.addr, spending, level));
            match allowance.admit(now_us, sketch.due_us(cells)) {
                // There is a charge for every level, and no address has more than four.
                Ok(due_us) => drop(charges.push((cells, due_us))),
                Err(longer_us) => wait_us = longer_us.max(wait_us),
            }
        }
        if wait_us > 0 {
            let retry_after_s = u32::try_from(wait_us.div_ceil(1_000_000)).unwrap_or(u32::MAX);
            return Err(Error::RateLimited { retry_after_s });
        }
        for (cells, due_us) in charges {
            sketch.raise(cells, due_us);
        }
        Ok(())
    }

    /// Changes the key, and with it who shares cells with whom, when it is due.
    pub fn tick(&mut self, now: Instant) {
        if now.s_since(self.rekeyed) < u64::from(LIMITER_EPOCH_S) {
            return;
        }
        self.rekeyed = now;
        self.epoch = self.epoch.saturating_add(1);
        self.unproven.reset(class_key(&self.key, Proof::None, self.epoch));
        self.proven.reset(class_key(&self.key, Proof::Token, self.epoch));
        self.tcp.reset(class_key(&self.key, Proof::Tcp, self.epoch));
    }
}

/// The levels a source is counted at, and how many times a host's allowance each has: enough for the households behind
/// one carrier's address, too little for a hosting company to drown the rest. LAN sources are counted one by one.
fn multipliers(addr: CanonicalAddr, spending: Spending) -> &'static [(Level, u32)] {
    const LAN: &[(Level, u32)] = &[(Level::Host, 1)];
    const V4_QUERY: &[(Level, u32)] = &[(Level::Host, 1), (Level::Narrow, 32), (Level::Wide, 256)];
    const V4_ANNOUNCE: &[(Level, u32)] = &[(Level::Host, 1), (Level::Narrow, 8), (Level::Wide, 64)];
    const V6: &[(Level, u32)] = &[(Level::Host, 1), (Level::Site, 2), (Level::Narrow, 4), (Level::Wide, 64)];
    match (addr.is_lan(), addr.is_v4(), spending) {
        (true, ..) => LAN,
        (false, true, Spending::Query) => V4_QUERY,
        (false, true, Spending::Announce) => V4_ANNOUNCE,
        (false, false, _) => V6,
    }
}

/// What is hashed for one level. On the LAN that is the whole address: there one /64 is everybody.
fn hash_input(addr: CanonicalAddr, spending: Spending, level: Level) -> [u8; 18] {
    let counted =
        if addr.is_lan() { u128::from_be_bytes(addr.octets()) } else { u128::from(addr.prefix(level).0) };
    let mut input = [0; 18];
    let fields = [spending as u8, level as u8].into_iter().chain(counted.to_be_bytes());
    input.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
    input
}

/// The key of one class of requests in one epoch.
fn class_key(key: &HashKey, class: Proof, epoch: u64) -> HashKey {
    let [a, b, c, d, e, f, g, h] = epoch.to_be_bytes();
    key.derive(&[class as u8, a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests;
