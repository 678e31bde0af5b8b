//! Leagues of scored items, with the leaders of every league in reach.

use core::hint::black_box;

use super::index::IndexStorage;
use super::part::Part;
use super::roster::{Place, Roster, Set};
use crate::rng::HashKey;

/// An item's score, and its place among those with the same: a part of the item's row.
#[derive(Clone, Copy)]
pub(super) struct Rank {
    score: u32,
    place: Place<Rank>,
}

/// Scores of items. Scores change by one, so that the highest score of a league does too, and a fixed number of steps
/// keeps everything up to date. An item is in one league while its score is above 0, and in none otherwise.
pub(super) struct Ranking<'s> {
    /// The items by league and score.
    roster: Roster<'s, Rank>,
    /// The highest score of each league.
    tops: &'s mut [u32],
}

impl Rank {
    /// Of an item whose score is 0.
    pub(super) const NONE: Self = Self { score: 0, place: Place::NONE };
}

impl<R: Part<Rank>> Part<Place<Rank>> for R {
    fn part(&self) -> &Place<Rank> {
        &Part::<Rank>::part(self).place
    }

    fn part_mut(&mut self) -> &mut Place<Rank> {
        &mut Part::<Rank>::part_mut(self).place
    }
}

impl<'s> Ranking<'s> {
    /// The items `0..n`, all with score 0, in new storage: `tops` has a number, 0, for each league.
    pub(super) fn new<const N: usize>(
        storage: &'s mut IndexStorage<N>,
        tops: &'s mut [u32],
        n: usize,
        key: HashKey,
    ) -> Self {
        Self { roster: Roster::new(storage, n, key), tops }
    }

    /// Adds one to the score of `item` in `league`.
    pub(super) fn raise<R: Part<Rank>>(&mut self, rows: &mut [R], league: u32, item: u32) {
        let before = score(rows, item);
        let score = before.saturating_add(1);
        if before > 0 {
            self.roster.remove(rows, item);
        }
        self.roster.push(rows, Set(league, score), item);
        set_score(rows, item, score);
        self.set_top(league, self.top(league).max(score));
    }

    /// Takes one from the score of `item`, which is above 0, in `league`.
    pub(super) fn lower<R: Part<Rank>>(&mut self, rows: &mut [R], league: u32, item: u32) {
        let before = score(rows, item);
        let score = before.saturating_sub(1);
        self.roster.remove(rows, item);
        if score > 0 {
            self.roster.push(rows, Set(league, score), item);
        }
        set_score(rows, item, score);
        // If it was the only leader, it still is, one lower.
        if self.top(league) == before && self.leaders(rows, league) == 0 {
            self.set_top(league, score);
        }
    }

    /// Has what a change of the score of `item` looks at fetched into the cache, without waiting for it.
    pub(super) fn touch<R: Part<Rank>>(&self, rows: &[R], league: u32, item: u32) {
        black_box(self.top(league));
        rows.get(item as usize).into_iter().for_each(|row| self.roster.touch_place(&row.part().place));
    }

    /// The highest score in `league`; 0 if it is empty.
    pub(super) fn top(&self, league: u32) -> u32 {
        self.tops.get(league as usize).copied().unwrap_or(0)
    }

    /// How many items have the highest score in `league`.
    pub(super) fn leaders<R: Part<Rank>>(&self, rows: &[R], league: u32) -> u32 {
        self.roster.len(rows, Set(league, self.top(league)))
    }

    /// One of the items with the highest score in `league`, by number, below [`Ranking::leaders`].
    pub(super) fn leader<R: Part<Rank>>(&self, rows: &[R], league: u32, number: u32) -> Option<u32> {
        self.roster.member(rows, Set(league, self.top(league)), number)
    }

    fn set_top(&mut self, league: u32, top: u32) {
        self.tops.get_mut(league as usize).into_iter().for_each(|place| *place = top);
    }
}

/// The score of `item`.
pub(super) fn score<R: Part<Rank>>(rows: &[R], item: u32) -> u32 {
    rows.get(item as usize).map_or(0, |row| Part::<Rank>::part(row).score)
}

fn set_score<R: Part<Rank>>(rows: &mut [R], item: u32, score: u32) {
    rows.get_mut(item as usize).into_iter().for_each(|row| Part::<Rank>::part_mut(row).score = score);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::vec::Vec;

    use super::*;
    use crate::engine::peers::part::parts;
    use crate::rng::Rng;

    #[derive(Clone, Copy)]
    struct Row {
        rank: Rank,
    }

    parts!(Row { rank: Rank });

    #[test]
    fn agrees_with_a_map_under_random_operations() {
        const ITEMS: u32 = 12;
        let (mut storage, mut tops) = (IndexStorage::<16>::new(), [0; 3]);
        let mut ranking = Ranking::new(&mut storage, &mut tops, ITEMS as usize, HashKey::new([8; 16]));
        let rows = &mut [Row { rank: Rank::NONE }; ITEMS as usize];
        let mut model: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
        let mut rng = Rng::new(HashKey::new([9; 16]));
        for step in 0..30_000 {
            let item = rng.below(ITEMS);
            let league = rng.below(3);
            match model.get(&item).copied() {
                Some((league, score)) if rng.below(2) == 0 => {
                    ranking.lower(rows, league, item);
                    if score == 1 {
                        model.remove(&item)
                    } else {
                        model.insert(item, (league, score - 1))
                    };
                }
                Some((league, score)) => {
                    ranking.raise(rows, league, item);
                    model.insert(item, (league, score + 1));
                }
                None => {
                    ranking.raise(rows, league, item);
                    model.insert(item, (league, 1));
                }
            }
            for league in 0..3 {
                let top = model.values().filter(|entry| entry.0 == league).map(|entry| entry.1).max();
                assert_eq!(ranking.top(league), top.unwrap_or(0), "step {step}");
                let expected: Vec<u32> = model
                    .iter()
                    .filter(|&(_, &entry)| Some(entry) == top.map(|top| (league, top)))
                    .map(|(&item, _)| item)
                    .collect();
                let mut leaders: Vec<u32> = (0..ranking.leaders(rows, league))
                    .map(|n| ranking.leader(rows, league, n).unwrap())
                    .collect();
                leaders.sort();
                assert_eq!(leaders, expected, "step {step}");
            }
        }
    }
}
