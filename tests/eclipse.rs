//! A flood of announces, wherever it comes from, neither displaces who is established nor, unless it has thousands of real
//! addresses, keeps newcomers out; and it gets no more of the table and of the answers than its prefixes have.

#[path = "support/eclipse.rs"]
mod eclipse;

use std::env;

use eclipse::{Attack, Outcome, run_on_engine};
use waypost::limits::{
    MAX_SAMPLE, PLACES_PER_V4_HOST, PLACES_PER_V4_NARROW, PLACES_PER_V6_NARROW, SAMPLE_PER_NARROW,
    SAMPLE_PER_WIDE, WIDE_SHARE_DIVISOR,
};

/// Places of the table.
const PLACES: usize = 1024;

/// Runs `attack` with several seeds, or with the one in the environment; with one where an emulator does a tenth of the work.
fn check(attack: Attack, holds: impl Fn(&Outcome) -> bool) {
    let chosen = env::var("WAYPOST_SEED").ok().and_then(|seed| seed.parse().ok());
    let emulated = env::var_os("WAYPOST_TEST_RUNNER").is_some_and(|runner| !runner.is_empty());
    let seeds = chosen.map_or(if emulated { vec![1] } else { vec![1, 2] }, |seed: u8| vec![seed]);
    for seed in seeds {
        let outcome = run_on_engine::<PLACES>(attack, seed, 1, false);
        println!("{}, WAYPOST_SEED={seed}: {outcome:?}", attack.name());
        assert!(outcome.established >= 99.0, "WAYPOST_SEED={seed}: {outcome:?}");
        assert!(holds(&outcome), "WAYPOST_SEED={seed}: {outcome:?}");
    }
}

/// Whether one prefix displaces nobody, and has no more than `places` places in the table and, in every answer, `shown` of
/// fifty.
fn is_held(outcome: &Outcome, places: usize, shown: usize) -> bool {
    let most_shown = (shown * 100) as f64 / MAX_SAMPLE as f64;
    outcome.newcomers >= 94.0
        && outcome.evictions == 0
        && outcome.attackers <= places
        && outcome.in_answers <= most_shown
}

#[test]
fn one_v4_24() {
    check(Attack::Narrow4, |outcome| is_held(outcome, PLACES_PER_V4_NARROW as usize, SAMPLE_PER_NARROW));
}

#[test]
fn one_v6_48() {
    check(Attack::Narrow6, |outcome| is_held(outcome, PLACES_PER_V6_NARROW as usize, SAMPLE_PER_NARROW));
}

#[test]
fn one_v4_16() {
    check(Attack::Wide4, |outcome| is_held(outcome, PLACES / WIDE_SHARE_DIVISOR as usize, SAMPLE_PER_WIDE));
}

#[test]
fn hosts_in_256_prefixes() {
    check(Attack::Hosts, |outcome| {
        outcome.newcomers >= 94.0
            && outcome.attackers <= 256 * PLACES_PER_V4_HOST as usize
            && outcome.in_answers <= outcome.attacker_share + 2.0
    });
}

/// Newcomers among thousands of real addresses have the chance of one more of them: no small table changes that.
#[test]
fn bots() {
    for attack in [Attack::Bots, Attack::StayingBots] {
        check(attack, |outcome| outcome.in_answers <= outcome.attacker_share + 2.0);
    }
}
