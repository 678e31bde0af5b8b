//! A small internet in virtual time: servers, clients of every protocol, and a hostile host, over a network that loses, doubles,
//! delays and reorders, with clocks that jump, servers that restart, and clients that read and write in pieces or vanish.
//!
//! All that is said is bytes, and all that a server says is held against what it has been told (`oracle`): nobody is
//! listed who was not registered by its own address, nobody after its time or its leave, with nothing but its own
//! endpoints and its true age; nothing is answered that is an answer, no answer is longer than it may be, and in the
//! end, when all is calm, everybody finds everybody.
//!
//! One seed is one run: `WAYPOST_SEED=17 cargo test --test internet` repeats the run that a failure names, and
//! `WAYPOST_TRACE=1` tells what happens in it.

mod client;
mod oracle;
mod server;
mod world;

use world::World;

/// Runs of the test. An emulator does a tenth of the work.
const SEEDS: u64 = if cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) { 1000 } else { 40 };

#[test]
fn what_is_told_is_true_and_everybody_finds_everybody() {
    let only = std::env::var("WAYPOST_SEED").ok().map(|text| text.parse::<u64>().expect("a number"));
    let emulated = std::env::var("WAYPOST_TEST_RUNNER").is_ok_and(|runner| !runner.is_empty());
    let seeds = if emulated { SEEDS.min(40) } else { SEEDS };
    let mut totals = world::Totals::default();
    for seed in only.map_or(0..seeds, |seed| seed..seed + 1) {
        let _named = Named(seed);
        totals.add(&World::run(seed));
    }
    if only.is_none() {
        totals.check(seeds);
    }
}

/// Names the seed when a run panics.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the run failed: WAYPOST_SEED={} cargo test --test internet", self.0);
        }
    }
}
