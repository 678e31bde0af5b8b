//! Admission: caps, longest-queue-drop, tenure, and what floods can and cannot do.

use std::collections::BTreeMap;
use std::format;

use super::*;
use crate::addr::{Level, Prefix};
use crate::limits::MIN_TENURE_S;

/// How many of `sources` get a place, one new peer each; the first is called `NAME-0`.
fn admitted(b: &mut Bench, name: &str, sources: impl Iterator<Item = String>) -> usize {
    let announce = |(n, source): (usize, String)| {
        b.try_announce(0, &format!("{name}-{n}"), &source, 300, &[PUBLIC]).is_some()
    };
    sources.enumerate().map(announce).filter(|&admitted| admitted).count()
}

#[test]
fn every_prefix_has_its_cap() {
    let b = &mut Bench::new::<800>(800, 1);
    let wide = 800 / 8;
    assert_eq!(admitted(b, "a", (0..50).map(|_| "20.0.0.1".into())), 16);
    assert_eq!(admitted(b, "b", (0..50).map(|n| format!("20.0.0.{}", n + 2))), 32 - 16);
    assert_eq!(admitted(b, "c", (0..200).map(|n| format!("20.0.{}.1", n + 1))), wide - 32);
    assert_eq!(admitted(b, "d", (0..50).map(|n| format!("2001:db8::{n:x}"))), 4);
    assert_eq!(admitted(b, "e", (0..50).map(|n| format!("2001:db8:0:{:x}::1", n + 1))), 8 - 4);
    assert_eq!(admitted(b, "f", (0..50).map(|n| format!("2001:db8:0:{:x}00::1", n + 1))), 16 - 8);
    assert_eq!(admitted(b, "g", (0..200).map(|n| format!("2001:db8:{:x}::1", n + 1))), wide - 16);
    assert_eq!(admitted(b, "h", (0..50).map(|_| "2001:db9::1".into())), 4);
    // A place given up is a place to have again.
    let slot = b.table.find(b.now, key(0), PeerId::parse("a-0").unwrap()).unwrap();
    b.table.remove(slot);
    assert_eq!(admitted(b, "i", (0..50).map(|_| "20.0.0.1".into())), 1);
    audit(b);
}

#[test]
fn a_cap_makes_room_in_the_very_millisecond_a_peer_expires() {
    let b = &mut Bench::new::<200>(200, 1);
    b.now = Instant::from_ms(1_000_400);
    assert_eq!(admitted(b, "j", (0..17).map(|_| "20.0.0.1".into())), 16);
    b.now = Instant::from_ms(1_300_399);
    assert!(b.try_announce(0, "new", "20.0.0.1", 300, &[PUBLIC]).is_none());
    b.now = Instant::from_ms(1_300_400);
    assert!(b.try_announce(0, "new", "20.0.0.1", 300, &[PUBLIC]).is_some());
    assert_eq!(b.table.expirations(), crate::limits::OVERDUE_STEPS as u64);
}

#[test]
fn small_tables_give_a_wide_prefix_four_places() {
    let b = &mut Bench::new::<16>(16, 1);
    assert_eq!(admitted(b, "k", (0..10).map(|n| format!("20.0.{n}.1"))), 4);
}

#[test]
fn the_lan_has_no_caps_and_is_not_evicted() {
    let b = &mut Bench::new::<64>(64, 1);
    b.announce("public", "198.51.100.7", &[PUBLIC]);
    assert_eq!(admitted(b, "l", (0..63).map(|_| "192.168.1.5".into())), 63);
    // The only peer to go is the public one; after it, there is none.
    assert_eq!(admitted(b, "m", ["127.0.0.1".into()].into_iter()), 1);
    assert!(!b.has("public"));
    assert_eq!(admitted(b, "n", ["127.0.0.1".into(), "20.0.0.1".into(), "fd00::1".into()].into_iter()), 0);
    assert_eq!((b.table.len(), b.table.evictions()), (64, 1));
    assert!(b.try_announce(0, "l-0", "192.168.1.5", 300, &[PUBLIC]).is_some(), "a refresh works");
    audit(b);
}

#[test]
fn a_refresh_from_elsewhere_moves_the_peer_whatever_the_caps() {
    let b = &mut Bench::new::<200>(200, 1);
    assert_eq!(admitted(b, "o", (0..16).map(|_| "20.0.0.1".into())), 16);
    b.announce("mover", "30.0.0.1", &[PUBLIC]);
    let slot = b.announce("mover", "20.0.0.1", &[PUBLIC]);
    assert_eq!(b.table.source(slot), addr("20.0.0.1"));
    assert_eq!(b.table.groups.crowd(&b.table.groups.origin(addr("20.0.0.1")).unwrap()).host, 17);
    audit(b);
    b.announce("mover", "192.168.1.1", &[PUBLIC]);
    audit(b);
    b.announce("mover", "2001:db8::1", &[PUBLIC]);
    audit(b);
}

#[test]
fn tenure_takes_a_lifetime_and_a_refresh() {
    let b = &mut Bench::new::<64>(64, 1);
    let start = b.now;
    for (id, ttl_s, earned_s) in [("short", 30, MIN_TENURE_S), ("usual", 300, 300), ("long", 900, 900)] {
        b.now = start;
        b.try_announce(0, id, "20.0.0.1", ttl_s, &[PUBLIC]).unwrap();
        let before = b.table.protected();
        for at_s in (0..earned_s).step_by(20).chain([earned_s - 1]) {
            b.now = start.plus_s(at_s);
            b.try_announce(0, id, "20.0.0.1", ttl_s, &[PUBLIC]).unwrap();
            assert_eq!(b.table.protected(), before, "{id} at {at_s}");
        }
        b.now = start.plus_s(earned_s);
        let slot = b.try_announce(0, id, "20.0.0.1", ttl_s, &[PUBLIC]).unwrap();
        assert_eq!(b.table.protected(), before + 1, "{id}");
        b.table.remove(slot);
        assert_eq!(b.table.protected(), before);
        audit(b);
    }
}

#[test]
fn protection_is_for_half_the_table_and_for_a_share_of_each_wide_prefix() {
    let b = &mut Bench::new::<64>(64, 1);
    let names: Vec<(String, String)> =
        (0..64).map(|n| (format!("p{n}"), format!("{}.0.{n}.1", 20 + n / 8))).collect();
    for round in 0..2 {
        b.now = b.now.plus_s(150 * round);
        for (id, source) in &names {
            b.announce(id, source, &[PUBLIC]);
        }
    }
    b.now = b.now.plus_s(150);
    for (id, source) in &names {
        b.announce(id, source, &[PUBLIC]);
    }
    assert_eq!(b.table.protected(), 32);
    audit(b);
    // Nine protected peers that all move to one /16 keep eight protections.
    let protected: Vec<String> = (0..9).map(|n| names[n].0.clone()).collect();
    for (n, id) in protected.iter().enumerate() {
        b.announce(id, &format!("99.0.{n}.1"), &[PUBLIC]);
    }
    assert_eq!(b.table.protected(), 31);
    audit(b);
}

/// Recounts everything the groups know from the peers themselves.
fn audit(b: &Bench) {
    let table = &b.table;
    let live: Vec<(u32, &Peer)> =
        (0u32..).zip(table.peers.iter()).filter(|(_, peer)| peer.expires > Instant::START).collect();
    assert_eq!(live.len(), table.len());
    assert_eq!(live.iter().filter(|(_, peer)| peer.protected).count(), table.protected());
    let mut open: BTreeMap<Prefix, BTreeMap<Prefix, u32>> = BTreeMap::new();
    for (_, peer) in &live {
        let Some(origin) = table.groups.origin(peer.source) else {
            assert!(!peer.protected && peer.groups.narrow_and_wide().is_none());
            continue;
        };
        let crowd = table.groups.crowd(&origin);
        let count = |level| {
            let same = |other: &Peer| {
                !other.source.is_lan() && other.source.prefix(level) == peer.source.prefix(level)
            };
            live.iter().filter(|(_, other)| same(other)).count() as u32
        };
        assert_eq!(
            (crowd.host, crowd.narrow, crowd.wide),
            (count(Level::Host), count(Level::Narrow), count(Level::Wide))
        );
        assert!(crowd.site.is_none_or(|site| site == count(Level::Site)));
        let narrows = open.entry(peer.source.prefix(Level::Wide)).or_default();
        *narrows.entry(peer.source.prefix(Level::Narrow)).or_default() += u32::from(!peer.protected);
        let all = live.iter().filter(|(_, other)| !other.source.is_lan());
        let same =
            all.filter(|(_, other)| other.source.prefix(Level::Wide) == peer.source.prefix(Level::Wide));
        let protected = same.filter(|(_, other)| other.protected).count() as u32;
        assert_eq!(table.groups.closed_in_wide(peer.groups), protected);
    }
    let sizes: Vec<u32> = open.values().map(|narrows| narrows.values().sum()).collect();
    let largest = sizes.iter().copied().max().unwrap_or(0);
    let tied = sizes.iter().filter(|&&size| size == largest && size > 0).count() as u32;
    assert_eq!(table.groups.largest_wide(), (largest, tied));
}

/// What the model knows of a peer.
#[derive(Clone, Debug)]
struct Known {
    source: CanonicalAddr,
    expires: Instant,
    protected: bool,
}

/// What may go for a newcomer, by the rule's own words, counted the slow way.
fn check_displacement(before: &BTreeMap<String, Known>, newcomer: CanonicalAddr, gone: Option<&Known>) {
    let open: Vec<&Known> =
        before.values().filter(|known| !known.protected && !known.source.is_lan()).collect();
    let own = (!newcomer.is_lan()).then(|| newcomer.prefix(Level::Wide));
    let mut sizes: BTreeMap<Prefix, u32> = own.map(|wide| (wide, 1)).into_iter().collect();
    open.iter().for_each(|known| *sizes.entry(known.source.prefix(Level::Wide)).or_default() += 1);
    let largest = sizes.values().copied().max().unwrap_or(0);
    let is_largest = |wide: Prefix| sizes.get(&wide) == Some(&largest);
    let Some(gone) = gone else {
        // Refused: nobody is open, or its own prefix is the largest and has no open peer.
        let own_open = open.iter().filter(|known| Some(known.source.prefix(Level::Wide)) == own).count();
        assert!(open.is_empty() || (own.is_some_and(is_largest) && own_open == 0), "refused without reason");
        return;
    };
    assert!(!gone.protected && !gone.source.is_lan(), "a protected peer was evicted");
    let wide = gone.source.prefix(Level::Wide);
    assert!(is_largest(wide), "evicted from a prefix that was not the largest");
    let rivals = sizes.values().filter(|&&size| size == largest).count();
    if own.is_some_and(is_largest) && rivals == 1 {
        assert_eq!(Some(wide), own, "a newcomer of the largest prefix displaced another's peer");
    }
    let mut narrows: BTreeMap<Prefix, u32> = BTreeMap::new();
    let inside = open.iter().filter(|known| known.source.prefix(Level::Wide) == wide);
    inside.for_each(|known| *narrows.entry(known.source.prefix(Level::Narrow)).or_default() += 1);
    let largest = narrows.values().copied().max();
    assert_eq!(
        narrows.get(&gone.source.prefix(Level::Narrow)).copied(),
        largest,
        "not of the largest /24 or /48"
    );
}

/// A source from few prefixes, so that they compete.
fn random_source(rng: &mut Rng) -> String {
    let (wide, narrow, host) = (rng.below(10), rng.below(3), rng.below(6));
    match rng.below(12) {
        0 => format!("192.168.{narrow}.{host}"),
        1..=3 => format!("2001:{:x}:{narrow:x}:{:x}::1", 0xdb8 + wide, host * 0x55),
        // One prefix floods.
        4..=6 => format!("66.6.{narrow}.{}", rng.below(200)),
        _ => format!("{}.0.{narrow}.{host}", 20 + wide * wide),
    }
}

fn random_run(seed: u8) {
    let capacity = [9, 17, 33, 64][usize::from(seed % 4)];
    let b = &mut Bench::new::<64>(capacity, seed);
    let rng = &mut Rng::new(HashKey::new([seed ^ 0x5a; 16]));
    let mut model: BTreeMap<String, Known> = BTreeMap::new();
    for step in 0..600 {
        b.now = b.now.plus_ms(if rng.below(60) == 0 { 90_000 } else { rng.below(1500).into() });
        model.retain(|_, known| known.expires > b.now);
        let id = format!("{}", rng.below(3 * capacity as u32));
        let (source, ttl_s) = (random_source(rng), 30 + rng.below(400));
        if rng.below(10) == 0 {
            let slot = b.table.find(b.now, key(0), PeerId::parse(&id).unwrap());
            assert_eq!(slot.is_some(), model.remove(&id).is_some());
            slot.into_iter().for_each(|slot| b.table.remove(slot));
            continue;
        }
        let before = model.clone();
        let (was_full, evictions) = (model.len() == capacity, b.table.evictions());
        let slot = b.try_announce(0, &id, &source, ttl_s, &[PUBLIC]);
        if let Some(slot) = slot.map(Slot::row) {
            let &Peer { source, expires, protected, .. } = b.table.peer(slot);
            model.insert(id.clone(), Known { source, expires, protected });
        }
        let now = b.now;
        let listed = |id: &String| {
            b.table.lookup(key(0), PeerId::parse(id).unwrap()).is_some_and(|slot| b.table.is_live(slot, now))
        };
        let gone: Vec<String> = before.keys().filter(|id| !listed(id)).cloned().collect();
        let evicted = b.table.evictions() - evictions;
        assert_eq!(gone.len() as u64, evicted, "step {step}");
        assert!(evicted == 0 || (evicted == 1 && was_full && !before.contains_key(&id)), "step {step}");
        if was_full && !before.contains_key(&id) {
            let origin = b.table.groups.origin(addr(&source));
            let capped = slot.is_none() && !b.table.may_join(origin.as_ref());
            if !capped {
                check_displacement(&before, addr(&source), gone.first().map(|id| &before[id]));
            }
        }
        for id in &gone {
            model.remove(id);
        }
        if step % 50 == 0 {
            // The audit counts what is in the table, swept or not; so sweep first.
            while b.table.expire(b.now) {}
            audit(b);
        }
    }
    assert!(b.table.evictions() > 0);
}

#[test]
fn a_newcomer_displaces_only_whom_the_rule_says() {
    let first = std::env::var("WAYPOST_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in first.map_or(0..=39, |seed| seed..=seed) {
        let run = std::panic::catch_unwind(|| random_run(seed));
        assert!(run.is_ok(), "failed with WAYPOST_SEED={seed}");
    }
}

#[test]
fn who_has_to_go_is_random() {
    // Two prefixes of the same size, two narrow ones in each, two peers in each of these.
    let sources = ["20.0.1", "20.0.2", "30.0.1", "30.0.2"];
    let mut evicted = [0u32; 8];
    let mut b = Bench::new::<8>(8, 1);
    for n in 0..8 {
        b.announce(&n.to_string(), &format!("{}.{n}", sources[n / 2]), &[PUBLIC]);
    }
    let origin = b.table.groups.origin(addr("99.0.0.1"));
    for _ in 0..4000 {
        let victim = b.table.victim(origin.as_ref(), &mut b.rng).expect("all are open");
        evicted[b.table.registration(Slot::of(victim)).1.as_str().parse::<usize>().unwrap()] += 1;
    }
    // Six standard deviations of a binomial draw with p = 1/8.
    assert!(evicted.iter().all(|&times| times.abs_diff(500) < 126), "{evicted:?}");
}
