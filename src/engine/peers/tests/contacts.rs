//! Bare addresses: who gets which, and how many peers there are.

use std::collections::BTreeMap;
use std::format;

use super::sampling::{apart, assert_even, number};
use super::*;
use crate::engine::reply::{Contact, Counts};
use crate::engine::request::{Families, Transport};

const NEIGHBOUR: &str = "198.51.100.7";
const LAN: &str = "192.168.1.9";
const V6_STRANGER: &str = "2001:db8:ffff::1";

fn query(limit: usize, families: Families, transport: Transport) -> ContactsQuery {
    ContactsQuery { limit, families, transport }
}

impl Bench {
    fn contacts(&mut self, network: u32, viewer: &str, query: ContactsQuery) -> Vec<(Slot, Contact)> {
        let drawn =
            self.table.sample_contacts(self.now, key(network), query, addr(viewer), None, &mut self.rng);
        let contact = |&slot: &Slot| {
            let contact = self.table.contact(slot, Viewer::new(addr(viewer)), query).expect("an address");
            let compact = self.table.compact_v4(slot, query);
            assert!(compact.is_none_or(|compact| compact == compact_of(contact)));
            (slot, contact)
        };
        drawn.iter().map(contact).collect()
    }
}

fn compact_of((addr, port): Contact) -> [u8; 6] {
    let mut compact = [0; 6];
    let mut writer = Writer::new(&mut compact);
    writer.put_compact(addr, port).expect("IPv4");
    compact
}

/// The address of a peer that `viewer` is to get, from all that it may see of it.
fn expected(b: &Bench, slot: Slot, viewer: &str, query: ContactsQuery) -> Option<Contact> {
    let view = b.table.view(slot, b.now, addr(viewer), &[])?;
    let of_families = |endpoint: &Endpoint<'_>| endpoint.ip().is_some_and(|ip| query.families.contain(ip));
    let mut all: Vec<Endpoint<'_>> = view.endpoints().filter(of_families).collect();
    all.sort_by_key(|endpoint| endpoint.scheme != query.transport.scheme());
    all.first().map(|endpoint| (endpoint.ip().unwrap(), endpoint.port))
}

#[test]
fn a_rare_family_is_found_however_many_peers_are_of_the_other() {
    let mut b = Bench::new::<8192>(8192, 1);
    for n in 0..4000 {
        let source = format!("2001:{:x}:{n:x}::1", 0x100 + n / 400);
        b.announce(&format!("six-{n}"), &source, &[&format!("tcp://[{source}]:6881")]);
    }
    for n in 0..10 {
        b.announce(&format!("four-{n}"), &apart(n), &[&format!("tcp://{}:6881", apart(n))]);
    }
    for _ in 0..20 {
        let mut found = b.contacts(0, STRANGER, query(50, Families::V4, Transport::Tcp));
        found.sort_by_key(|found| found.1.0.octets());
        found.dedup();
        assert_eq!(found.len(), 10);
        assert_eq!(b.contacts(0, STRANGER, query(50, Families::V6, Transport::Udp)).len(), 50);
        assert_eq!(b.contacts(0, STRANGER, query(50, Families::Both, Transport::Udp)).len(), 50);
    }
}

#[test]
fn the_wanted_transport_comes_first_and_any_other_does() {
    let mut b = Bench::new::<4>(4, 1);
    b.announce("a", NEIGHBOUR, &["wss://198.51.100.7:1", "udp://198.51.100.7:2", "tcp://198.51.100.7:3"]);
    let port = |b: &mut Bench, transport| b.contacts(0, STRANGER, query(1, Families::V4, transport))[0].1.1;
    assert_eq!((port(&mut b, Transport::Tcp), port(&mut b, Transport::Udp)), (3, 2));
    b.announce("a", NEIGHBOUR, &["wss://198.51.100.7:1", "udp://198.51.100.7:2"]);
    assert_eq!((port(&mut b, Transport::Tcp), port(&mut b, Transport::Udp)), (1, 2));
    b.announce("a", NEIGHBOUR, &["udp://198.51.100.7:5", "ws://198.51.100.9:4"]);
    assert_eq!((port(&mut b, Transport::Tcp), port(&mut b, Transport::Udp)), (5, 5));
}

#[test]
fn an_address_stays_the_announced_one_wherever_it_is_announced_from() {
    let mut b = Bench::new::<4>(4, 1);
    for source in ["2001:db8:77::1", "2001:db8:78::1", "198.51.100.7"] {
        b.announce("a", source, &["udp://[2001:db8:77::1]:1"]);
        let found = b.contacts(0, STRANGER, query(1, Families::V6, Transport::Udp));
        assert_eq!(found[0].1, (addr("2001:db8:77::1"), 1), "{source}");
    }
}

#[test]
fn samples_of_contacts_are_uniform() {
    // What peers have: all of them an address of IPv4 that strangers may see, in four different ways.
    let endpoints = |n: u32| -> Vec<String> {
        let v4 = format!("tcp://{}:6881", apart(n));
        match n % 4 {
            0 => std::vec![v4],
            1 => std::vec![v4, format!("tcp://[2001:db8:{n:x}::1]:6881")],
            2 => std::vec![v4, "tcp://192.168.1.5:6881".into()],
            _ => std::vec![v4, "tcp://[fd00::5]:6881".into(), "tcp://x.onion:6881".into()],
        }
    };
    for (n, limit, draws) in [(3, 1, 50_000), (40, 8, 20_000), (300, 50, 4000), (900, 50, 4000)] {
        let mut b = Bench::new::<2000>(2000, n as u8);
        for peer in 0..n {
            let endpoints = endpoints(peer);
            let endpoints: Vec<&str> = endpoints.iter().map(String::as_str).collect();
            b.announce(&peer.to_string(), &apart(peer), &endpoints);
        }
        // These have none.
        for other in n..n + 50 {
            b.announce(&other.to_string(), &apart(other), &[&format!("tcp://[2001:db9:{other:x}::1]:1")]);
        }
        let own = b.table.find(b.now, key(0), PeerId::parse("0").unwrap());
        let query = query(limit, Families::V4, Transport::Tcp);
        let live: Vec<usize> = (1..n as usize).collect();
        assert_even(&mut b, n as usize + 50, &live, limit, draws, |b| {
            let slots = b.table.sample_contacts(b.now, key(0), query, addr(STRANGER), own, &mut b.rng);
            slots.iter().map(|&slot| number(b, slot)).collect()
        });
    }
}

/// Endpoints of every kind, for a peer at `source`.
fn random_endpoints(rng: &mut Rng, source: &str) -> Vec<String> {
    let own = if source.contains(':') { format!("[{source}]") } else { source.into() };
    let hosts = [own.as_str(), "192.168.1.5", "[fd00::5]", "x.onion", "[2001:db8:77::1]", "203.0.113.77"];
    let schemes = ["tcp", "udp", "wss"];
    (0..=rng.below(3))
        .map(|_| {
            let host = hosts[(rng.below(9) as usize).saturating_sub(3)];
            format!("{}://{host}:{}", schemes[rng.below(3) as usize], 1 + rng.below(3))
        })
        .collect()
}

/// What a slow count finds in `network`.
fn recount(b: &Bench, live: &[(u32, Slot)], network: u32, viewer: &str) -> Counts {
    let mut counts = Counts::default();
    for &(_, slot) in live.iter().filter(|peer| peer.0 == network) {
        // Neighbours count as strangers.
        let shown = if addr(viewer).is_lan() { viewer } else { STRANGER };
        if b.table.view(slot, b.now, addr(shown), &[]).is_some() {
            let counter =
                if b.table.peer(slot.0).seeding { &mut counts.seeders } else { &mut counts.leechers };
            *counter += 1;
        }
    }
    counts
}

#[test]
fn counts_and_contacts_agree_with_a_search_under_random_operations() {
    let mut b = Bench::new::<48>(48, 1);
    let mut rng = Rng::new(HashKey::new([7; 16]));
    // By network: how many have said since it last had none that they finished.
    let mut completed: BTreeMap<u32, u32> = BTreeMap::new();
    for step in 0..6000 {
        let (network, id) = (rng.below(3), format!("p{}", rng.below(20)));
        let peer_id = PeerId::parse(&id).unwrap();
        let found = b.table.find(b.now, key(network), peer_id);
        match (rng.below(10), found) {
            (0, Some(slot)) => b.table.remove(slot),
            (1, Some(slot)) => {
                b.table.count_completed(slot);
                *completed.entry(network).or_default() += 1;
            }
            (2, _) => {
                // Now and then all go.
                let longest_s = if rng.below(20) == 0 { 1000 } else { 10 };
                b.now = b.now.plus_ms(u64::from(rng.below(longest_s * 1000)));
                while b.table.expire(b.now) {}
            }
            _ => {
                let source = if rng.below(3) == 0 { format!("2001:db8:{step:x}::1") } else { apart(step) };
                let source = if rng.below(4) == 0 { LAN.into() } else { source };
                let endpoints = random_endpoints(&mut rng, &source);
                let endpoints: Vec<Endpoint<'_>> =
                    endpoints.iter().map(|text| Endpoint::parse(text).unwrap()).collect();
                let record = Record {
                    network: key(network),
                    id: peer_id,
                    endpoints: &endpoints,
                    ttl_s: 30 + rng.below(200),
                    seeding: rng.below(2) == 0,
                    source: addr(&source),
                };
                match found {
                    Some(slot) => b.table.refresh(b.now, slot, &record),
                    None => drop(b.table.insert(b.now, &record, &mut b.rng)),
                }
            }
        }
        let taken: Vec<Slot> =
            (0..48).map(Slot).filter(|slot| b.table.peer(slot.0).expires > Instant::START).collect();
        let in_table: Vec<(u32, Slot)> =
            taken.iter().map(|&slot| (number_of(b.table.registration(slot).0), slot)).collect();
        completed.retain(|&network, _| in_table.iter().any(|peer| peer.0 == network));
        for network in 0..3 {
            for viewer in [STRANGER, LAN, V6_STRANGER] {
                // Expired peers count until they are swept; for all else they are gone.
                let mut counts = recount(&b, &in_table, network, viewer);
                if in_table.iter().any(|peer| peer.0 == network) {
                    counts.completed = completed.get(&network).copied().unwrap_or(0);
                }
                assert_eq!(b.table.counts(key(network), addr(viewer)), counts, "step {step} {viewer}");
            }
            let families = [Families::V4, Families::V6, Families::Both][rng.below(3) as usize];
            let transport = [Transport::Tcp, Transport::Udp][rng.below(2) as usize];
            let viewer = [STRANGER, LAN, NEIGHBOUR, V6_STRANGER][rng.below(4) as usize];
            let query = query(50, families, transport);
            let mut found = b.contacts(network, viewer, query);
            found.sort_by_key(|found| found.0.0);
            let live = in_table.iter().filter(|peer| peer.0 == network && b.table.is_live(peer.1.0, b.now));
            let seen = live.filter_map(|&(_, slot)| Some((slot, expected(&b, slot, viewer, query)?)));
            assert_eq!(found, seen.collect::<Vec<_>>(), "step {step} {viewer} {query:?}");
        }
    }
}

fn number_of(key: NetworkKey) -> u32 {
    u32::from_be_bytes(key.0[..4].try_into().unwrap())
}
