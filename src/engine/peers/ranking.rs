//! Leagues of scored items, with the leaders of every league in reach.

use super::cut;
use super::roster::{Roster, RosterStorage, Set};
use crate::rng::HashKey;

/// The memory of a [`Ranking`] of up to `N` items in up to `LEAGUES` leagues.
pub(super) struct RankingStorage<const N: usize, const LEAGUES: usize> {
    roster: RosterStorage<N>,
    scores: [u32; N],
    tops: [u32; LEAGUES],
}

/// Scores of items. Scores change by one, so that the highest score of a league does too, and a fixed number of steps
/// keeps everything up to date. An item is in one league while its score is above 0, and in none otherwise.
pub(super) struct Ranking<'s> {
    /// The items by league and score.
    roster: Roster<'s>,
    scores: &'s mut [u32],
    /// The highest score of each league.
    tops: &'s mut [u32],
}

impl<const N: usize, const LEAGUES: usize> RankingStorage<N, LEAGUES> {
    pub(super) const fn new() -> Self {
        Self { roster: RosterStorage::new(), scores: [0; N], tops: [0; LEAGUES] }
    }
}

impl<'s> Ranking<'s> {
    /// The items `0..n`, all with score 0, in new storage.
    pub(super) fn new<const N: usize, const LEAGUES: usize>(
        storage: &'s mut RankingStorage<N, LEAGUES>,
        n: usize,
        key: HashKey,
    ) -> Self {
        Self {
            roster: Roster::new(&mut storage.roster, n, key),
            scores: cut(&mut storage.scores, n),
            tops: cut(&mut storage.tops, n),
        }
    }

    /// Adds one to the score of `item` in `league`.
    pub(super) fn raise(&mut self, league: u32, item: u32) {
        let before = self.score(item);
        let score = before.saturating_add(1);
        if before > 0 {
            self.roster.remove(item);
        }
        self.roster.push(Set(league, score), item);
        self.set_score(item, score);
        self.set_top(league, self.top(league).max(score));
    }

    /// Takes one from the score of `item`, which is above 0, in `league`.
    pub(super) fn lower(&mut self, league: u32, item: u32) {
        let before = self.score(item);
        let score = before.saturating_sub(1);
        self.roster.remove(item);
        if score > 0 {
            self.roster.push(Set(league, score), item);
        }
        self.set_score(item, score);
        // If it was the only leader, it still is, one lower.
        if self.top(league) == before && self.leaders(league) == 0 {
            self.set_top(league, score);
        }
    }

    /// The score of `item`.
    pub(super) fn score(&self, item: u32) -> u32 {
        self.scores.get(item as usize).copied().unwrap_or(0)
    }

    /// The highest score in `league`; 0 if it is empty.
    pub(super) fn top(&self, league: u32) -> u32 {
        self.tops.get(league as usize).copied().unwrap_or(0)
    }

    /// How many items have the highest score in `league`.
    pub(super) fn leaders(&self, league: u32) -> u32 {
        self.roster.len(Set(league, self.top(league)))
    }

    /// One of the items with the highest score in `league`, by number, below [`Ranking::leaders`].
    pub(super) fn leader(&self, league: u32, number: u32) -> Option<u32> {
        self.roster.member(Set(league, self.top(league)), number)
    }

    fn set_score(&mut self, item: u32, score: u32) {
        self.scores.get_mut(item as usize).into_iter().for_each(|place| *place = score);
    }

    fn set_top(&mut self, league: u32, top: u32) {
        self.tops.get_mut(league as usize).into_iter().for_each(|place| *place = top);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::vec::Vec;

    use super::*;
    use crate::rng::Rng;

    #[test]
    fn agrees_with_a_map_under_random_operations() {
        const ITEMS: u32 = 12;
        let mut storage = RankingStorage::<16, 16>::new();
        let mut ranking = Ranking::new(&mut storage, ITEMS as usize, HashKey::new([8; 16]));
        let mut model: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
        let mut rng = Rng::new(HashKey::new([9; 16]));
        for step in 0..30_000 {
            let item = rng.below(ITEMS);
            let league = rng.below(3);
            match model.get(&item).copied() {
                Some((league, score)) if rng.below(2) == 0 => {
                    ranking.lower(league, item);
                    if score == 1 {
                        model.remove(&item)
                    } else {
                        model.insert(item, (league, score - 1))
                    };
                }
                Some((league, score)) => {
                    ranking.raise(league, item);
                    model.insert(item, (league, score + 1));
                }
                None => {
                    ranking.raise(league, item);
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
                let mut leaders: Vec<u32> =
                    (0..ranking.leaders(league)).map(|n| ranking.leader(league, n).unwrap()).collect();
                leaders.sort();
                assert_eq!(leaders, expected, "step {step}");
            }
        }
    }
}
