//! Samples: whom they may hold, and that they are uniform.

use std::format;

use super::*;
use crate::limits::{SAMPLE_EXAMINED_AT_LEAST, SAMPLE_PER_NARROW, SAMPLE_PER_WIDE};

/// The highest chi-squared to be accepted: exceeded by chance once in a million (Wilson and Hilferty).
fn critical(degrees: f64) -> f64 {
    let spread = 2.0 / (9.0 * degrees);
    degrees * (1.0 - spread + 4.7534 * spread.sqrt()).powi(3)
}

/// A source in a /16 of its own.
pub(super) fn apart(n: u32) -> String {
    format!("{}.{}.0.1", 20 + n / 250, n % 250)
}

fn number(b: &Bench, slot: Slot) -> usize {
    b.table.registration(slot).1.as_str().parse().unwrap()
}

/// Draws `draws` samples from peers numbered `0..n`, of which only those in `live` are left, and checks that every one
/// is as often in a sample, and as often its first, as any other.
fn assert_uniform(b: &mut Bench, n: usize, live: &[usize], limit: usize, draws: u32) {
    let query = PeersQuery { network: key(0), limit, schemes: SchemeList::new(), exclude: None };
    let draw = |b: &mut Bench| b.table.sample(b.now, &query, addr(STRANGER), &mut b.rng);
    assert_uniform_draws(b, draw, n, live, limit, draws);
}

/// The same of any kind of sample.
pub(super) fn assert_uniform_draws(
    b: &mut Bench,
    sample: impl Fn(&mut Bench) -> Slots,
    n: usize,
    live: &[usize],
    limit: usize,
    draws: u32,
) {
    let (mut first, mut any) = (std::vec![0u32; n], std::vec![0u32; n]);
    let mut last_drawn = std::vec![u32::MAX; n];
    let size = limit.min(live.len());
    for draw in 0..draws {
        let slots = sample(b);
        assert_eq!(slots.len(), size);
        first[number(b, slots[0])] += 1;
        for &slot in &slots {
            let peer = number(b, slot);
            any[peer] += 1;
            assert_ne!(std::mem::replace(&mut last_drawn[peer], draw), draw, "drawn twice");
        }
    }
    let chi_squared = |counts: &[u32], expected: f64| -> f64 {
        live.iter().map(|&peer| (f64::from(counts[peer]) - expected).powi(2) / expected).sum()
    };
    let peers = live.len() as f64;
    let found = chi_squared(&first, f64::from(draws) / peers);
    assert!(found < critical(peers - 1.0), "first of {limit} from {peers}: {found}");
    // Membership without repeats varies less than independent draws do.
    let share = size as f64 / peers;
    if share < 1.0 {
        let found = chi_squared(&any, f64::from(draws) * share) / (1.0 - share) * (peers - 1.0) / peers;
        assert!(found < critical(peers - 1.0), "any of {limit} from {peers}: {found}");
    } else {
        assert!(live.iter().all(|&peer| any[peer] == draws));
    }
    assert_eq!(any.iter().sum::<u32>(), draws * size as u32);
}

#[test]
fn samples_are_uniform() {
    // Below and above the number of peers that is shuffled.
    for (n, limit, draws) in [
        (3, 1, 100_000),
        (10, 8, 100_000),
        (60, 50, 4_000),
        (399, 8, 15_000),
        (600, 8, 15_000),
        (600, 50, 4_000),
    ] {
        let mut b = bench(n);
        for peer in 0..n {
            announce(&mut b, peer);
        }
        assert_uniform(&mut b, n as usize, &(0..n as usize).collect::<Vec<_>>(), limit, draws);
    }
}

#[test]
fn samples_stay_uniform_after_random_removals() {
    for (n, limit, draws) in [(12, 1, 100_000), (40, 8, 30_000), (1000, 50, 5_000)] {
        let mut b = bench(n);
        for peer in 0..n {
            announce(&mut b, peer);
        }
        let mut live: Vec<usize> = (0..n as usize).collect();
        while live.len() > n as usize / 2 {
            let gone = live.swap_remove(b.rng.below(live.len() as u32) as usize);
            let slot = b.table.find(b.now, key(0), PeerId::parse(&gone.to_string()).unwrap()).unwrap();
            b.table.remove(slot);
        }
        assert_uniform(&mut b, n as usize, &live, limit, draws);
    }
}

fn bench(seed: u32) -> Bench {
    Bench::new::<1000>(1000, seed as u8)
}

fn announce(b: &mut Bench, n: u32) -> Slot {
    b.announce(&n.to_string(), &apart(n), &[PUBLIC])
}

#[test]
fn a_sample_leaves_out_the_asker_and_the_expired() {
    let mut b = Bench::new::<8>(8, 1);
    b.try_announce(0, "brief", &apart(0), 30, &[PUBLIC]).unwrap();
    for n in 1..4 {
        announce(&mut b, n);
    }
    assert_eq!(b.sorted_sample(STRANGER, &[]), ["1", "2", "3", "brief"]);
    b.now = b.now.plus_s(30);
    for _ in 0..50 {
        let mut others = b.sample(50, STRANGER, &[], Some("2"));
        others.sort();
        assert_eq!(others, ["1", "3"]);
        assert_eq!(b.sample(50, STRANGER, &[], Some("nobody")).len(), 3);
        assert_eq!(b.sample(2, STRANGER, &[], None).len(), 2);
        assert!(b.sample(0, STRANGER, &[], None).is_empty());
    }
}

#[test]
fn lan_peers_are_drawn_for_the_lan_only() {
    let mut b = Bench::new::<16>(16, 1);
    let lan = "tcp://192.168.1.5:9000";
    b.announce("public", "198.51.100.7", &[PUBLIC]);
    b.announce("both", "198.51.101.7", &["tcp://198.51.101.7:1", lan]);
    b.announce("lan", "192.168.1.5", &[lan]);
    b.announce("onion", "192.168.1.6", &["tcp://x.onion:1"]);
    assert_eq!(b.sorted_sample(STRANGER, &[]), ["both", "onion", "public"]);
    assert_eq!(b.sorted_sample("10.0.0.9", &[]), ["both", "lan", "onion", "public"]);
    // A peer may come to have a public endpoint, and lose it again.
    b.announce("lan", "192.168.1.5", &[lan, "tcp://y.onion:1"]);
    assert_eq!(b.sorted_sample(STRANGER, &[]), ["both", "lan", "onion", "public"]);
    b.announce("lan", "192.168.1.5", &[lan]);
    assert_eq!(b.sorted_sample(STRANGER, &[]), ["both", "onion", "public"]);
    assert_eq!(b.sorted_sample("127.0.0.1", &[]).len(), 4);
}

#[test]
fn a_sample_has_only_peers_with_a_wanted_scheme_to_show() {
    let mut b = Bench::new::<16>(16, 1);
    b.announce("t", &apart(0), &["tcp://198.51.100.7:1"]);
    b.announce("u", &apart(1), &["udp://198.51.100.7:1", "tcp://10.0.0.1:1"]);
    b.announce("w", &apart(2), &["ws://198.51.100.7:1", "udp://198.51.100.7:1"]);
    assert_eq!(b.sorted_sample(STRANGER, &["tcp"]), ["t"]);
    assert_eq!(b.sorted_sample("10.0.0.1", &["tcp"]), ["t", "u"]);
    assert_eq!(b.sorted_sample(STRANGER, &["udp"]), ["u", "w"]);
    assert_eq!(b.sorted_sample(STRANGER, &["ws", "tcp"]), ["t", "w"]);
    assert!(b.sorted_sample(STRANGER, &["quic"]).is_empty());
}

#[test]
fn a_rare_scheme_is_found_in_a_network_no_larger_than_what_is_examined() {
    let mut b = Bench::new::<64>(64, 1);
    for n in 0..SAMPLE_EXAMINED_AT_LEAST as u32 - 1 {
        announce(&mut b, n);
    }
    b.announce("rare", &apart(200), &["quic://198.51.100.7:1"]);
    for _ in 0..100 {
        assert_eq!(b.sample(1, STRANGER, &["quic"], None), ["rare"]);
    }
}

#[test]
fn samples_are_spread_over_prefixes_while_there_are_others() {
    let mut b = Bench::new::<200>(200, 1);
    // One /24 with 20 peers, one /16 with 20 more in ten /24s, and 20 peers apart.
    let groups = [
        |n: u32| format!("20.0.0.{}", n + 1),
        |n: u32| format!("30.0.{}.{}", n / 2, n % 2 + 1),
        |n: u32| format!("{}.0.0.1", 40 + n),
    ];
    for (group, source) in groups.iter().enumerate() {
        for n in 0..20 {
            b.announce(&format!("{group}-{n}"), &source(n), &[PUBLIC]);
        }
    }
    let of = |sample: &[String], group: char| sample.iter().filter(|id| id.starts_with(group)).count();
    for _ in 0..200 {
        let sample = b.sample(20, STRANGER, &[], None);
        assert_eq!(sample.len(), 20);
        assert!(of(&sample, '0') <= SAMPLE_PER_NARROW && of(&sample, '1') <= SAMPLE_PER_WIDE);
        // With no others left, the rest comes from those put aside, after all that keep the spread.
        let full = b.sample(50, STRANGER, &[], None);
        assert_eq!((full.len(), of(&full, '2')), (50, 20));
        let spread = &full[..20 + SAMPLE_PER_NARROW + SAMPLE_PER_WIDE];
        assert_eq!((of(spread, '0'), of(spread, '1')), (SAMPLE_PER_NARROW, SAMPLE_PER_WIDE));
        let mut distinct = full.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), 50);
    }
}

#[test]
fn lan_peers_are_not_spread() {
    let mut b = Bench::new::<64>(64, 1);
    for n in 0..50 {
        b.announce(&format!("{n}"), "192.168.1.5", &["tcp://192.168.1.5:1"]);
    }
    b.announce("public", "198.51.100.7", &[PUBLIC]);
    let first: usize = (0..200).filter(|_| b.sample(1, "10.0.0.1", &[], None) == ["public"]).count();
    assert!(first < 30, "a single peer from elsewhere is not preferred: {first} of 200");
}
