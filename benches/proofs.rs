//! What proofs cost, in nanoseconds: challenges, work, signatures. `cargo bench --bench proofs`.
//!
//! A figure is the lowest of many rounds: what else runs on the machine only ever adds to it.

use std::hint::black_box;

use ed25519_compact::{KeyPair, Seed};
use waypost::addr::CanonicalAddr;
use waypost::endpoint::Endpoint;
use waypost::engine::pow::Challenger;
use waypost::engine::request::Work;
use waypost::id::{NetworkKey, PeerId};
use waypost::record::{Seal, put_signed};
use waypost::rng::HashKey;
use waypost::time::Instant;
use waypost::wire::Writer;
use waypost::wire::pow::worth;

const ROUNDS: usize = 20;
const NETWORK: NetworkKey = NetworkKey([1; 20]);

fn main() {
    let (ours, theirs) = (Challenger::new(&HashKey::new([1; 16])), Challenger::new(&HashKey::new([2; 16])));
    let addr = CanonicalAddr::new([198, 51, 100, 7].into());
    let record = (NETWORK, PeerId::parse("a-peer-with-a-name").unwrap());
    let now = Instant::from_s(1000);
    let given = ours.challenge(now, addr, record, 12);
    let forged = theirs.challenge(now, addr, record, 12);
    let good = (0..).find(|&nonce| worth(given.as_str(), nonce) >= 12).unwrap();
    let bad = (0..).find(|&nonce| worth(given.as_str(), nonce) < 12).unwrap();
    let check = |text, nonce, is_good: bool| {
        let work = Work { challenge: text, nonce };
        assert_eq!(ours.check(now, addr, record, black_box(&work)).is_ok(), is_good);
    };
    row("make a challenge", 1000, || ours.challenge(now, addr, record, 12));
    row("check work: no challenge of ours", 1000, || check(forged.as_str(), good, false));
    row("check work: too little", 1000, || check(given.as_str(), bad, false));
    row("check work: good", 1000, || check(given.as_str(), good, true));
    row("one try of the solver", 1000, || worth(black_box(given.as_str()), good));

    let pair = KeyPair::from_seed(Seed::new([1; 32]));
    let endpoints = ["tcp://198.51.100.7:9000"].map(|text| Endpoint::parse(text).unwrap());
    let mut bytes = [0; 512];
    let mut signed = Writer::new(&mut bytes);
    put_signed(&mut signed, NETWORK, &pair.pk, 1, endpoints).unwrap();
    let mut seal = Seal { seq: 1, key: *pair.pk, sig: *pair.sk.sign(signed.written(), None) };
    row("verify a record: good", 20, || assert!(black_box(&seal).verify(NETWORK, endpoints)));
    seal.seq = 2;
    row("verify a record: forged", 20, || assert!(!black_box(&seal).verify(NETWORK, endpoints)));
    row("sign an answer of 1,000 bytes", 20, || pair.sk.sign([7; 1000], None));
}

/// Measures `operation`, so many times a round, and prints the figure.
#[expect(clippy::disallowed_methods, reason = "a bench looks at the clock")]
fn row<T>(name: &str, times: u32, mut operation: impl FnMut() -> T) {
    let round = |_| {
        let began = std::time::Instant::now();
        (0..times).for_each(|_| drop(black_box(operation())));
        began.elapsed() / times
    };
    let lowest = (0..ROUNDS).map(round).min().unwrap_or_default();
    println!("{name:36}{:>12} ns", lowest.as_nanos());
}
