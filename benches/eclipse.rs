//! What attacks on the admission of peers come to: `cargo bench --bench eclipse`. All in virtual time, by fixed seeds.
//!
//! The engine, without limits (so that the table alone is judged) and with its default ones, beside the policies of simpler
//! tables. Columns: percent of the established that are listed after the attack, percent of those who joined during it,
//! percent of the attacker among those listed, and among those in the answers to 200 others.

#[path = "../tests/support/eclipse.rs"]
mod eclipse;

use std::collections::BTreeMap;

use eclipse::{Attack, Outcome, Table, run, run_on_engine};
use waypost::addr::CanonicalAddr;
use waypost::rng::{HashKey, Rng};
use waypost::time::Instant;

const SEED: u8 = 1;

/// Whom a simple table evicts for a newcomer when it is full.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    Nobody,
    Anybody,
    Oldest,
}

/// A table that looks at no prefix.
struct Simple {
    policy: Policy,
    places: usize,
    /// Ids and when they expire.
    peers: Vec<(String, Instant)>,
    index: BTreeMap<String, usize>,
    evictions: u64,
    rng: Rng,
}

impl Simple {
    fn new(policy: Policy, places: usize) -> Self {
        let rng = Rng::new(HashKey::new([9; 16]));
        Self { policy, places, peers: Vec::new(), index: BTreeMap::new(), evictions: 0, rng }
    }

    fn evict(&mut self, place: usize) {
        let (id, _) = self.peers.swap_remove(place);
        self.index.remove(&id);
        if let Some((moved, _)) = self.peers.get(place) {
            self.index.insert(moved.clone(), place);
        }
    }

    fn victim(&mut self) -> Option<usize> {
        match self.policy {
            Policy::Nobody => None,
            Policy::Anybody => Some(self.rng.below(self.peers.len() as u32) as usize),
            Policy::Oldest => (0..self.peers.len()).min_by_key(|&place| self.peers[place].1),
        }
    }
}

impl Table for Simple {
    fn announce(&mut self, now: Instant, id: &str, _from: CanonicalAddr) {
        let expires = now.plus_s(300);
        if let Some(&place) = self.index.get(id) {
            self.peers[place].1 = expires;
            return;
        }
        if self.peers.len() == self.places {
            let Some(victim) = self.victim() else { return };
            self.evict(victim);
            self.evictions += 1;
        }
        self.index.insert(id.into(), self.peers.len());
        self.peers.push((id.into(), expires));
    }

    fn tick(&mut self, now: Instant) {
        for place in (0..self.peers.len()).rev() {
            if self.peers[place].1 <= now {
                self.evict(place);
            }
        }
    }

    fn len(&self) -> usize {
        self.peers.len()
    }

    fn evictions(&self) -> u64 {
        self.evictions
    }

    fn sample(&mut self, _now: Instant, _asker: CanonicalAddr) -> Vec<String> {
        let bound = self.peers.len() as u32;
        (0..50.min(bound)).map(|_| self.peers[self.rng.below(bound) as usize].0.clone()).collect()
    }

    fn remove(&mut self, _now: Instant, id: &str, _from: CanonicalAddr) -> bool {
        let place = self.index.get(id).copied();
        place.into_iter().for_each(|place| self.evict(place));
        place.is_some()
    }
}

fn line(policy: &str, outcome: Outcome) {
    let Outcome { established, newcomers, attacker_share, in_answers, .. } = outcome;
    println!("  {policy:<34} {established:>11.0} {newcomers:>9.0} {attacker_share:>9.0} {in_answers:>10.0}");
}

fn main() {
    println!(
        "1,024 places, 200 peers established, 100 join, 200 announces a second for ten minutes; seed {SEED}"
    );
    for attack in Attack::ALL {
        let title = attack.name();
        println!(
            "\n{title:<36} {:>11} {:>9} {:>9} {:>10}",
            "established", "newcomers", "attacker", "in answers"
        );
        let policies = [
            ("refuses when full", Policy::Nobody),
            ("evicts at random", Policy::Anybody),
            ("evicts the oldest", Policy::Oldest),
        ];
        for (name, policy) in policies {
            line(name, run(&mut Simple::new(policy, 1024), attack, SEED, 1));
        }
        line("waypost, no limits", run_on_engine::<1024>(attack, SEED, 1, false));
        line("waypost, default limits, no work", run_on_engine::<1024>(attack, SEED, 1, true));
        // Of prefixes there are no more for a larger table.
        let name = "waypost, 65,536 places, all times 64";
        line(name, run_on_engine::<65_536>(attack, SEED, 64, false));
    }
}
