//! Drawing peers at random.

use heapless::Vec;

use super::groups::Membership;
use super::networks::Population;
use super::{PeerTable, Slot, Slots};
use crate::addr::CanonicalAddr;
use crate::engine::request::{ContactsQuery, PeersQuery};
use crate::id::NetworkKey;
use crate::limits::{
    MAX_SAMPLE, SAMPLE_EXAMINED_AT_LEAST, SAMPLE_EXAMINED_PER_PEER, SAMPLE_PER_NARROW, SAMPLE_PER_WIDE,
};
use crate::rng::Rng;
use crate::time::Instant;

/// Most peers examined for one sample.
const MAX_EXAMINED: usize = MAX_SAMPLE * SAMPLE_EXAMINED_PER_PEER;
/// Most numbers that are shuffled. Twice as many as are drawn at most: above, a draw is new more often than not.
const MAX_SHUFFLED: usize = 2 * MAX_EXAMINED;

const _: () = assert!(MAX_EXAMINED >= SAMPLE_EXAMINED_AT_LEAST);

impl PeerTable<'_> {
    /// A uniform sample, without repeats and in random order, of the live peers of the query's network that `viewer`
    /// may see and that have an endpoint of a wanted scheme; without the excluded one. At most `query.limit` of them,
    /// and at most [`MAX_SAMPLE`].
    ///
    /// No more than [`SAMPLE_PER_NARROW`] and [`SAMPLE_PER_WIDE`] of one prefix while there are others. Peers above
    /// that come last, if there is room, so that an answer that is cut short keeps the spread.
    pub fn sample(
        &self,
        now: Instant,
        query: &PeersQuery<'_>,
        viewer: CanonicalAddr,
        rng: &mut Rng,
    ) -> Slots {
        let excluded = query.exclude.and_then(|id| self.lookup(query.network, id));
        let shows = |slot| query.schemes.is_empty() || self.view(slot, now, viewer, &query.schemes).is_some();
        let is_wanted = |slot: &Slot| Some(slot.0) != excluded && self.is_live(slot.0, now) && shows(*slot);
        self.draw(query.network, query.limit, viewer, is_wanted, rng)
    }

    /// The same of peers that have an address of the query's families that `viewer` may see.
    pub fn sample_contacts(
        &self,
        now: Instant,
        network: NetworkKey,
        query: ContactsQuery,
        viewer: CanonicalAddr,
        exclude: Option<Slot>,
        rng: &mut Rng,
    ) -> Slots {
        let shows = |slot| self.contact(slot, viewer, query).is_some();
        let is_wanted = |slot: &Slot| Some(*slot) != exclude && self.is_live(slot.0, now) && shows(*slot);
        self.draw(network, query.limit, viewer, is_wanted, rng)
    }

    fn draw(
        &self,
        network: NetworkKey,
        limit: usize,
        viewer: CanonicalAddr,
        is_wanted: impl Fn(&Slot) -> bool,
        rng: &mut Rng,
    ) -> Slots {
        let mut chosen = Slots::new();
        let Some(population) = self.networks.population(self.peers, network, viewer.is_lan()) else {
            return chosen;
        };
        let limit = limit.min(MAX_SAMPLE);
        let mut left = limit.saturating_mul(SAMPLE_EXAMINED_PER_PEER).max(SAMPLE_EXAMINED_AT_LEAST);
        let mut draw = Draw::new(population.len());
        let mut spread = Spread::default();
        let mut put_aside = Slots::new();
        while chosen.len() < limit && left > 0 {
            let wave = draw.some(limit.saturating_sub(chosen.len()).min(left), rng);
            if wave.is_empty() {
                break;
            }
            left = left.saturating_sub(wave.len());
            for slot in self.fetch(population, &wave).into_iter().filter(&is_wanted) {
                let list = if spread.takes(self.peer(slot.0).groups) { &mut chosen } else { &mut put_aside };
                // When the list of those put aside is full, it needs no more.
                let _ = list.push(slot);
            }
        }
        let room = limit.saturating_sub(chosen.len());
        chosen.extend(put_aside.into_iter().take(room));
        chosen
    }

    /// The peers with these numbers. In a large table most of them are in no cache: so all are fetched at the same time,
    /// what leads to them first, instead of one after the other.
    fn fetch(&self, population: Population, numbers: &[u32]) -> Slots {
        numbers.iter().for_each(|&number| self.networks.touch(population, number));
        let member = |&number: &u32| self.networks.member(self.peers, population, number).map(Slot);
        let slots: Slots = numbers.iter().filter_map(member).collect();
        slots.iter().for_each(|slot| self.peer(slot.0).touch());
        slots
    }
}

/// The prefixes of the peers chosen so far.
#[derive(Default)]
struct Spread {
    narrow: Vec<u32, MAX_SAMPLE>,
    wide: Vec<u32, MAX_SAMPLE>,
}

impl Spread {
    /// Whether there may be another peer of these groups; if so, there is. Peers of the LAN are in none.
    fn takes(&mut self, groups: Membership) -> bool {
        let Some((narrow, wide)) = groups.narrow_and_wide() else { return true };
        let count = |chosen: &[u32], group| chosen.iter().filter(|&&other| other == group).count();
        let takes =
            count(&self.narrow, narrow) < SAMPLE_PER_NARROW && count(&self.wide, wide) < SAMPLE_PER_WIDE;
        if takes {
            let _ = self.narrow.push(narrow);
            let _ = self.wide.push(wide);
        }
        takes
    }
}

/// Draws numbers below a bound in random order, each at most once.
enum Draw {
    /// Few numbers: a shuffle of them all, one step a draw.
    Shuffle { order: Vec<u16, MAX_SHUFFLED>, done: usize },
    /// Many numbers: a draw that repeats an earlier one is drawn again.
    Reject { drawn: Vec<u32, MAX_EXAMINED>, bound: u32 },
}

impl Draw {
    fn new(bound: u32) -> Self {
        match u16::try_from(bound) {
            Ok(few) if usize::from(few) <= MAX_SHUFFLED => {
                Self::Shuffle { order: (0..few).collect(), done: 0 }
            }
            _ => Self::Reject { drawn: Vec::new(), bound },
        }
    }

    /// The next `count` numbers; fewer when all others have been drawn.
    fn some(&mut self, count: usize, rng: &mut Rng) -> Vec<u32, MAX_SAMPLE> {
        core::iter::from_fn(|| self.next(rng)).take(count.min(MAX_SAMPLE)).collect()
    }

    /// The next number; `None` when all have been drawn.
    fn next(&mut self, rng: &mut Rng) -> Option<u32> {
        match self {
            Self::Shuffle { order, done } => {
                let left = order.get_mut(*done..)?;
                let pick = rng.below(u32::try_from(left.len()).ok()?);
                left.get(pick as usize)?;
                left.swap(0, pick as usize);
                *done = done.saturating_add(1);
                left.first().copied().map(u32::from)
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
