//! Behaviour of the whole table: lifetimes, views; below, admission, sampling and contacts.

mod admission;
mod contacts;
mod sampling;

use std::boxed::Box;
use std::string::String;
use std::vec::Vec;

use super::*;
use crate::engine::request::{PeersQuery, SchemeList};

/// A table with everything needed to drive it.
struct Bench {
    table: PeerTable<'static>,
    rng: Rng,
    now: Instant,
}

impl Bench {
    fn new<const PEERS: usize>(capacity: usize, seed: u8) -> Self {
        // Storage is made on the stack, several times over in a debug build, and a test's stack is small.
        let stack = std::thread::Builder::new().stack_size((1 << 20) + 8 * size_of::<PeerStorage<PEERS>>());
        let storage = stack.spawn(|| Box::new(PeerStorage::<PEERS>::new())).unwrap().join().unwrap();
        let table = PeerTable::new(Box::leak(storage), capacity, HashKey::new([seed; 16]));
        Self { table, rng: Rng::new(HashKey::new([!seed; 16])), now: Instant::from_s(1000) }
    }

    fn try_announce(
        &mut self,
        network: u32,
        id: &str,
        source: &str,
        ttl_s: u32,
        endpoints: &[&str],
    ) -> Option<Slot> {
        let id = PeerId::parse(id).unwrap();
        let endpoints: Vec<Endpoint<'_>> =
            endpoints.iter().map(|text| Endpoint::parse(text).unwrap()).collect();
        let record = Record {
            network: key(network),
            id,
            endpoints: &endpoints,
            ttl_s,
            seeding: false,
            source: addr(source),
            seal: None,
        };
        match self.table.find(self.now, key(network), id) {
            Some(slot) => {
                self.table.refresh(self.now, slot, &record);
                Some(slot)
            }
            None => self.table.insert(self.now, &record, &mut self.rng).ok().map(|(slot, _)| slot),
        }
    }

    fn announce(&mut self, id: &str, source: &str, endpoints: &[&str]) -> Slot {
        self.try_announce(0, id, source, 300, endpoints).expect("a place")
    }

    fn has(&mut self, id: &str) -> bool {
        self.table.find(self.now, key(0), PeerId::parse(id).unwrap()).is_some()
    }

    fn sample(&mut self, limit: usize, viewer: &str, schemes: &[&str], exclude: Option<&str>) -> Vec<String> {
        let mut list = SchemeList::new();
        schemes.iter().for_each(|scheme| list.push(scheme).unwrap());
        let exclude = exclude.map(|id| PeerId::parse(id).unwrap());
        let query = PeersQuery { network: key(0), limit, schemes: list, exclude };
        let slots = self.table.sample(self.now, &query, addr(viewer), &mut self.rng);
        let ids = slots.iter().map(|&slot| {
            let view = self.table.view(slot, self.now, addr(viewer), schemes).expect("something to show");
            view.id.as_str().into()
        });
        ids.collect()
    }

    fn sorted_sample(&mut self, viewer: &str, schemes: &[&str]) -> Vec<String> {
        let mut ids = self.sample(50, viewer, schemes, None);
        ids.sort();
        ids
    }

    fn shown(&self, slot: Slot, viewer: &str, schemes: &[&str]) -> Vec<String> {
        let view = self.table.view(slot, self.now, addr(viewer), schemes);
        view.iter().flat_map(PeerView::endpoints).map(|endpoint| std::format!("{endpoint}")).collect()
    }
}

fn addr(text: &str) -> CanonicalAddr {
    CanonicalAddr::new(text.parse().unwrap())
}

fn key(network: u32) -> NetworkKey {
    let mut key = [0; 20];
    key[..4].copy_from_slice(&network.to_be_bytes());
    NetworkKey(key)
}

const PUBLIC: &str = "tcp://198.51.100.7:9000";
const STRANGER: &str = "203.0.113.9";

#[test]
fn an_announced_peer_is_found_until_it_leaves() {
    let mut b = Bench::new::<4>(4, 1);
    assert!(b.table.is_empty() && !b.has("a"));
    let slot = b.announce("a", "198.51.100.7", &[PUBLIC]);
    assert_eq!((b.table.len(), b.table.networks(), b.table.active()), (1, 1, 1));
    assert_eq!(b.table.find(b.now, key(0), PeerId::parse("a").unwrap()), Some(slot));
    assert_eq!(b.table.find(b.now, key(1), PeerId::parse("a").unwrap()), None);
    assert_eq!(b.table.source(slot), addr("198.51.100.7"));
    assert_eq!(b.table.registration(slot), (key(0), PeerId::parse("a").unwrap(), b.now));
    b.table.remove(slot);
    assert_eq!((b.table.len(), b.table.networks(), b.table.active()), (0, 0, 0));
    assert!(!b.has("a") && b.sample(50, STRANGER, &[], None).is_empty());
}

#[test]
fn a_peer_expires_at_its_exact_millisecond() {
    for sweeps in [false, true] {
        let mut b = Bench::new::<4>(4, 1);
        b.now = Instant::from_ms(1_000_400);
        let slot = b.announce("a", "198.51.100.7", &[PUBLIC]);
        b.now = Instant::from_ms(1_300_399);
        assert!(!(sweeps && b.table.expire(b.now)));
        assert_eq!(b.sample(50, STRANGER, &[], None), ["a"]);
        assert_eq!(b.table.view(slot, b.now, addr(STRANGER), &[]).unwrap().age_s, 299);
        b.now = Instant::from_ms(1_300_400);
        assert!(!(sweeps && b.table.expire(b.now)));
        assert!(b.sample(50, STRANGER, &[], None).is_empty());
        assert_eq!((b.table.len(), b.table.expirations()), (1, 0));
        assert!(!b.has("a"));
        assert_eq!((b.table.len(), b.table.expirations()), (0, 1));
    }
}

#[test]
fn a_refresh_moves_the_deadline_either_way() {
    let mut b = Bench::new::<4>(4, 1);
    let start = b.now;
    b.try_announce(0, "a", "198.51.100.7", 300, &[PUBLIC]).unwrap();
    b.now = start.plus_s(200);
    let slot = b.try_announce(0, "a", "198.51.100.7", 300, &[PUBLIC]).unwrap();
    assert_eq!(b.table.registration(slot).2, start, "a refresh is no new registration");
    b.now = start.plus_s(300);
    assert!(!b.table.expire(b.now));
    assert_eq!(b.table.len(), 1);
    b.try_announce(0, "a", "198.51.100.7", 30, &[PUBLIC]).unwrap();
    b.now = start.plus_s(330);
    assert!(!b.table.expire(b.now));
    assert_eq!((b.table.len(), b.table.expirations()), (0, 1));
}

#[test]
fn a_sweep_is_bounded_and_says_when_there_is_more() {
    let mut b = Bench::new::<200>(200, 1);
    (0..150).for_each(|n| {
        b.announce(&std::format!("p{n}"), &std::format!("20.{n}.0.1"), &[PUBLIC]);
    });
    b.now = b.now.plus_s(400);
    assert!(b.table.expire(b.now));
    assert_eq!(b.table.len(), 150 - EXPIRY_STEPS as usize);
    assert!(b.table.expire(b.now));
    assert!(!b.table.expire(b.now));
    assert_eq!((b.table.len(), b.table.expirations(), b.table.active()), (0, 150, 0));
}

#[test]
fn an_expired_peer_makes_room_before_its_second_is_over() {
    let mut b = Bench::new::<2>(2, 1);
    b.now = Instant::from_ms(1_000_400);
    b.announce("old", "20.1.0.1", &[PUBLIC]);
    b.now = b.now.plus_s(100);
    b.announce("new", "20.2.0.1", &[PUBLIC]);
    b.now = Instant::from_ms(1_300_400);
    b.announce("newer", "20.3.0.1", &[PUBLIC]);
    assert_eq!((b.table.evictions(), b.table.expirations()), (0, 1));
    assert!(b.has("new") && b.has("newer") && !b.has("old"));
}

#[test]
fn a_lan_endpoint_is_shown_to_the_lan_and_to_the_same_address() {
    let lan = "tcp://192.168.1.5:9000";
    let mut b = Bench::new::<4>(4, 1);
    let v4 = b.announce("a", "198.51.100.7", &[PUBLIC, lan]);
    assert_eq!(b.shown(v4, STRANGER, &[]), [PUBLIC]);
    assert_eq!(b.shown(v4, "198.51.100.8", &[]), [PUBLIC]);
    for neighbour in ["198.51.100.7", "10.0.0.1", "127.0.0.1", "fe80::1"] {
        assert_eq!(b.shown(v4, neighbour, &[]), [PUBLIC, lan], "{neighbour}");
    }
    let v6 = b.announce("b", "2001:db8:1:2::7", &["udp://[2001:db8:1:2::7]:1", lan]);
    assert_eq!(b.shown(v6, "2001:db8:1:2:ffff::9", &[]).len(), 2, "the same /64");
    assert_eq!(b.shown(v6, "2001:db8:1:3::7", &[]).len(), 1, "the /64 beside it");
    assert_eq!(b.shown(v6, "198.51.100.7", &[]).len(), 1);
}

#[test]
fn a_view_shows_only_the_wanted_schemes() {
    let mut b = Bench::new::<4>(4, 1);
    let all = ["tcp://198.51.100.7:1", "udp://198.51.100.7:2", "quic://192.168.1.5:3", "ws://x.onion:4"];
    let slot = b.announce("a", "198.51.100.7", &all);
    assert_eq!(b.shown(slot, "198.51.100.7", &[]), all);
    assert_eq!(b.shown(slot, STRANGER, &["ws", "udp", "quic"]), [all[1], all[3]]);
    assert!(b.shown(slot, STRANGER, &["quic"]).is_empty());
    assert!(b.table.view(slot, b.now, addr(STRANGER), &["quic", "wss"]).is_none());
}

#[test]
fn ids_of_different_networks_are_different_peers() {
    let mut b = Bench::new::<8>(8, 1);
    for network in 0..3 {
        b.try_announce(network, "a", "198.51.100.7", 300, &[PUBLIC]).unwrap();
    }
    assert_eq!((b.table.len(), b.table.networks()), (3, 3));
    let slot = b.table.find(b.now, key(1), PeerId::parse("a").unwrap()).unwrap();
    b.table.remove(slot);
    assert_eq!((b.table.len(), b.table.networks()), (2, 2));
    assert!(b.has("a"));
}
