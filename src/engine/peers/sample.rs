//! Drawing peers at random.

use heapless::Vec;

use super::groups::Membership;
use super::networks::Population;
use super::peer::Peer;
use super::reach::Viewer;
use super::{PeerTable, Slot, Slots};
use crate::addr::CanonicalAddr;
use crate::engine::request::{ContactsQuery, PeersQuery};
use crate::id::NetworkKey;
use crate::limits::{
    MAX_SAMPLE, MIN_STABLE_SAMPLE, SAMPLE_EXAMINED_AT_LEAST, SAMPLE_EXAMINED_PER_PEER, SAMPLE_PER_NARROW,
    SAMPLE_PER_WIDE,
};
use crate::rng::{Burst, Rng};
use crate::time::Instant;

/// Most peers examined for one sample.
const MAX_EXAMINED: usize = MAX_SAMPLE * SAMPLE_EXAMINED_PER_PEER;
/// Most peers that are shuffled.
const MAX_SHUFFLED: usize = 2 * MAX_EXAMINED;

const _: () = assert!(MAX_EXAMINED >= SAMPLE_EXAMINED_AT_LEAST);

/// Which peers of a population are wanted.
struct Wanted<'q> {
    now: Instant,
    viewer: Viewer,
    excluded: Option<Slot>,
    /// Only those with an endpoint of these schemes; all if empty.
    schemes: &'q [&'q str],
    /// Only those whose record the viewer may see as it is shown: a signed one whole.
    as_records: bool,
}

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
        let Some(network) = self.networks.find(query.network) else { return Slots::new() };
        let wanted = self.wanted(now, query, viewer);
        let population = self.networks.population(network, wanted.viewer.classes());
        let slots = self.draw(&population, query.limit, &wanted, rng);
        slots.iter().for_each(|slot| self.peer(slot.row()).record.touch());
        slots
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
        let Some(network) = self.network(network, exclude) else { return Slots::new() };
        let viewer = Viewer::new(viewer);
        let wanted = Wanted { now, viewer, excluded: exclude, schemes: &[], as_records: false };
        let classes = viewer.classes_of(query.families);
        self.draw(&self.networks.population(network, classes), query.limit, &wanted, rng)
    }

    /// Those that one client network is shown under `--stable-samples`: the share of the query's network that a draw with
    /// this generator finds, less what the query does not want. Whatever is asked for, by whatever protocol, it is of the
    /// same few, so that asking again and otherwise shows nothing more.
    pub fn stable_sample(
        &self,
        now: Instant,
        query: &PeersQuery<'_>,
        viewer: CanonicalAddr,
        rng: &mut Rng,
    ) -> Slots {
        let wanted = self.wanted(now, query, viewer);
        let mut slots = self.draw_share(now, query.network, wanted.viewer, rng);
        slots.retain(|slot| self.is_wanted(*slot, self.peer(slot.row()), &wanted));
        slots.truncate(query.limit);
        slots
    }

    /// The same of peers that have an address of the query's families that `viewer` may see.
    pub fn stable_contacts(
        &self,
        now: Instant,
        network: NetworkKey,
        query: ContactsQuery,
        viewer: CanonicalAddr,
        exclude: Option<Slot>,
        rng: &mut Rng,
    ) -> Slots {
        let viewer = Viewer::new(viewer);
        let mut slots = self.draw_share(now, network, viewer, rng);
        slots.retain(|slot| Some(*slot) != exclude && self.contact(*slot, viewer, query).is_some());
        slots.truncate(query.limit);
        slots
    }

    /// What a query for records wants.
    fn wanted<'q>(&self, now: Instant, query: &'q PeersQuery<'q>, viewer: CanonicalAddr) -> Wanted<'q> {
        let excluded = query.exclude.and_then(|id| self.lookup(query.network, id)).map(Slot::of);
        let viewer = Viewer::new(viewer);
        Wanted { now, viewer, excluded, schemes: &query.schemes, as_records: true }
    }

    /// Draws a quarter of the peers of `network` that `viewer` may see, but at least [`MIN_STABLE_SAMPLE`].
    fn draw_share(&self, now: Instant, network: NetworkKey, viewer: Viewer, rng: &mut Rng) -> Slots {
        let Some(network) = self.networks.find(network) else { return Slots::new() };
        let population = self.networks.population(network, viewer.classes());
        let share = population.len().div_ceil(4) as usize;
        let wanted = Wanted { now, viewer, excluded: None, schemes: &[], as_records: false };
        self.draw(&population, share.max(MIN_STABLE_SAMPLE), &wanted, rng)
    }

    fn draw(&self, population: &Population, limit: usize, wanted: &Wanted<'_>, rng: &mut Rng) -> Slots {
        let mut chosen = Slots::new();
        let limit = limit.min(MAX_SAMPLE);
        if limit == 0 {
            return chosen;
        }
        let mut left = limit.saturating_mul(SAMPLE_EXAMINED_PER_PEER).max(SAMPLE_EXAMINED_AT_LEAST);
        let rng = &mut rng.burst();
        let mut draw = Draw::new(self, population, left);
        let mut spread = Spread::new();
        let mut put_aside = Slots::new();
        while chosen.len() < limit && left > 0 {
            let wave = draw.some(self, limit.saturating_sub(chosen.len()).min(left), rng);
            if wave.is_empty() {
                break;
            }
            left = left.saturating_sub(wave.len());
            for slot in wave.iter().copied().map(Slot) {
                let peer = self.peer(slot.row());
                if !self.is_wanted(slot, peer, wanted) {
                    continue;
                }
                let others = chosen.iter().map(|other| self.peer(other.row()).groups);
                let list = if spread.takes(peer.groups, others) { &mut chosen } else { &mut put_aside };
                // When the list of those put aside is full, it needs no more.
                let _ = list.push(slot);
            }
        }
        let room = limit.saturating_sub(chosen.len());
        chosen.extend(put_aside.into_iter().take(room));
        chosen
    }

    fn is_wanted(&self, slot: Slot, peer: &Peer, wanted: &Wanted<'_>) -> bool {
        wanted.now < peer.expires
            && Some(slot) != wanted.excluded
            && ((wanted.schemes.is_empty() && !(wanted.as_records && peer.signed))
                || self.view_for(slot, wanted.now, wanted.viewer, wanted.schemes).is_some())
    }
}

/// Buckets of a [`Spread`], one for each value of a byte: so many that few of the groups of one sample share one.
const BUCKETS: usize = 256;

/// How many of the chosen peers have a narrow group, and a wide one, in each bucket.
struct Spread {
    narrow: [u8; BUCKETS],
    wide: [u8; BUCKETS],
}

impl Spread {
    const fn new() -> Self {
        Self { narrow: [0; BUCKETS], wide: [0; BUCKETS] }
    }

    /// Whether there may be another peer of these groups; if so, there is. Peers of the LAN are in none. Those chosen are
    /// looked at only if too many share a bucket.
    fn takes(&mut self, groups: Membership, chosen: impl Iterator<Item = Membership> + Clone) -> bool {
        let Some((narrow, wide)) = groups.narrow_and_wide() else { return true };
        let in_narrow = self.narrow.get_mut(bucket(narrow));
        let in_wide = self.wide.get_mut(bucket(wide));
        let (Some(in_narrow), Some(in_wide)) = (in_narrow, in_wide) else { return true };
        let all = chosen.filter_map(Membership::narrow_and_wide);
        let takes = (usize::from(*in_narrow) < SAMPLE_PER_NARROW
            || all.clone().filter(|other| other.0 == narrow).count() < SAMPLE_PER_NARROW)
            && (usize::from(*in_wide) < SAMPLE_PER_WIDE
                || all.filter(|other| other.1 == wide).count() < SAMPLE_PER_WIDE);
        // No sample is so large that these could wrap.
        *in_narrow = in_narrow.wrapping_add(takes.into());
        *in_wide = in_wide.wrapping_add(takes.into());
        takes
    }
}

/// The bucket of a group: the upper byte of a product, so that numbers in regular steps do not meet.
fn bucket(group: u32) -> usize {
    (group.wrapping_mul(0x9e37_79b1) >> 24) as usize
}

/// Draws peers of a population in random order, each at most once.
struct Draw<'p> {
    population: &'p Population,
    /// Few peers: all of them, of which the first `left` have not been drawn. Many: those last drawn.
    pool: [u16; MAX_SHUFFLED],
    left: usize,
    /// Many peers: the numbers of all that have been drawn.
    drawn: Vec<u32, MAX_EXAMINED>,
    is_few: bool,
}

impl<'p> Draw<'p> {
    /// A draw of up to `most` from `population`. Above twice as many peers, a random one has not been drawn more often than
    /// not.
    fn new(table: &PeerTable<'_>, population: &'p Population, most: usize) -> Self {
        let is_few = population.len() as usize <= most.saturating_mul(2).min(MAX_SHUFFLED);
        let mut draw = Self { population, pool: [0; MAX_SHUFFLED], left: 0, drawn: Vec::new(), is_few };
        if is_few {
            for block in table.networks.blocks(population) {
                let end = draw.left.saturating_add(block.len());
                // There is room for them all.
                draw.pool.get_mut(draw.left..end).into_iter().for_each(|place| place.copy_from_slice(block));
                draw.left = end;
            }
        }
        draw
    }

    /// The next `count` peers; fewer when all others have been drawn. In a large table most of them are in no cache: so all
    /// are fetched at the same time, not one after the other.
    fn some(&mut self, table: &PeerTable<'_>, count: usize, rng: &mut Burst) -> &[u16] {
        if self.is_few { self.shuffle(table, count, rng) } else { self.search(table, count, rng) }
    }

    /// A step of a shuffle for each peer: it changes places with the last that has not been drawn.
    fn shuffle(&mut self, table: &PeerTable<'_>, count: usize, rng: &mut Burst) -> &[u16] {
        let end = self.left;
        self.left = end.saturating_sub(count);
        let pool = self.pool.get_mut(..end).unwrap_or_default();
        for last in (self.left..end).rev() {
            let bound = u32::try_from(last).unwrap_or(0).saturating_add(1);
            let pick = rng.below(bound) as usize;
            if let (Some(&slot), Some(&other)) = (pool.get(pick), pool.get(last)) {
                pool.get_mut(pick).into_iter().for_each(|place| *place = other);
                pool.get_mut(last).into_iter().for_each(|place| *place = slot);
                table.peer(slot.into()).touch();
            }
        }
        pool.get(self.left..).unwrap_or_default()
    }

    /// Random numbers that have not been drawn, and the peers with these.
    fn search(&mut self, table: &PeerTable<'_>, count: usize, rng: &mut Burst) -> &[u16] {
        let start = self.drawn.len();
        while self.drawn.len().saturating_sub(start) < count {
            let number = rng.below(self.population.len());
            if self.drawn.contains(&number) {
                continue;
            }
            if self.drawn.push(number).is_err() {
                break;
            }
            table.networks.touch(self.population, number);
        }
        let numbers = self.drawn.get(start..).unwrap_or_default();
        for (place, &number) in self.pool.iter_mut().zip(numbers) {
            // Every number has a member.
            *place = table.networks.member(self.population, number).unwrap_or(0);
            table.peer((*place).into()).touch();
        }
        self.pool.get(..numbers.len()).unwrap_or_default()
    }
}
