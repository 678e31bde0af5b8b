//! Drawing peers at random.

use super::{PeerTable, Slot, Slots};
use crate::addr::CanonicalAddr;
use crate::engine::request::PeersQuery;
use crate::limits::{MAX_SAMPLE, SAMPLE_EXAMINED_AT_LEAST, SAMPLE_EXAMINED_PER_PEER};
use crate::rng::Rng;
use crate::time::Instant;

/// Most peers examined for one sample.
const MAX_EXAMINED: usize = MAX_SAMPLE * SAMPLE_EXAMINED_PER_PEER;

const _: () = assert!(MAX_EXAMINED >= SAMPLE_EXAMINED_AT_LEAST);

impl PeerTable<'_> {
    /// A uniform sample, without repeats and in random order, of the live peers of the query's network that `viewer`
    /// may see, spread over prefixes. At most `query.limit` of them, and at most [`MAX_SAMPLE`].
    pub fn sample(
        &self,
        now: Instant,
        query: &PeersQuery<'_>,
        viewer: CanonicalAddr,
        rng: &mut Rng,
    ) -> Slots {
        let mut chosen = Slots::new();
        let Some(population) = self.networks.population(query.network, viewer.is_lan()) else {
            return chosen;
        };
        let limit = query.limit.min(MAX_SAMPLE);
        let examined = limit.saturating_mul(SAMPLE_EXAMINED_PER_PEER).max(SAMPLE_EXAMINED_AT_LEAST);
        let excluded = query.exclude.and_then(|id| self.lookup(query.network, id));
        let mut draw = Draw::new(population.len());
        for _ in 0..examined {
            if chosen.len() >= limit {
                break;
            }
            let Some(number) = draw.next(rng) else { break };
            let Some(slot) = self.networks.member(population, number) else { continue };
            let shown =
                || query.schemes.is_empty() || self.view(Slot(slot), now, viewer, &query.schemes).is_some();
            if Some(slot) != excluded && self.is_live(slot, now) && shown() {
                let _ = chosen.push(Slot(slot));
            }
        }
        chosen
    }
}

/// Draws numbers below a bound in random order, each at most once.
enum Draw {
    /// Few numbers: a shuffle of them all, one step a draw.
    Shuffle { order: heapless::Vec<u32, MAX_EXAMINED>, done: usize },
    /// Many numbers: draws that repeat an earlier one are drawn again.
    Reject { drawn: heapless::Vec<u32, MAX_EXAMINED>, bound: u32 },
}

impl Draw {
    fn new(bound: u32) -> Self {
        // Below this, a draw could meet an earlier one more often than not.
        if u32::try_from(MAX_EXAMINED).is_ok_and(|few| bound <= few) {
            Self::Shuffle { order: (0..bound).collect(), done: 0 }
        } else {
            Self::Reject { drawn: heapless::Vec::new(), bound }
        }
    }

    /// The next number; `None` when all have been drawn.
    fn next(&mut self, rng: &mut Rng) -> Option<u32> {
        match self {
            Self::Shuffle { order, done } => {
                let left = order.get_mut(*done..)?;
                let pick = rng.below(u32::try_from(left.len()).ok()?);
                left.get_mut(pick as usize)?;
                left.swap(0, pick as usize);
                *done = done.saturating_add(1);
                left.first().copied()
            }
            Self::Reject { drawn, bound } => loop {
                let number = rng.below(*bound);
                if !drawn.contains(&number) {
                    drawn.push(number).ok()?;
                    return Some(number);
                }
            },
        }
    }
}
