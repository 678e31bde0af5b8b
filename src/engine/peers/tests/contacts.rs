//! Bare addresses and counts, against a slow model: whom an asker is told of, where, and how many there are.

use std::collections::BTreeMap;
use std::format;

use super::sampling::{apart, assert_uniform_draws};
use super::*;
use crate::engine::Contact;
use crate::engine::request::{ContactsQuery, Families, Transport};

/// What the model knows of a peer.
struct Known {
    source: CanonicalAddr,
    endpoints: Vec<&'static str>,
    seeding: bool,
    expires: Instant,
}

/// What a model has: peers by network and id, and how often a peer of a network has finished.
#[derive(Default)]
struct Model {
    peers: BTreeMap<(u32, u32), Known>,
    completed: BTreeMap<u32, u32>,
}

/// What peers announce: usual and odd, of strangers and of the LAN, of one family, of both, and of none.
const RECORDS: [&[&str]; 14] = [
    &["tcp://198.51.100.7:1", "udp://198.51.100.7:1"],
    &["udp://198.51.100.7:3", "tcp://198.51.100.7:2"],
    &["tcp://198.51.100.7:4"],
    &["udp://198.51.100.7:5"],
    &["tcp://[2001:db8::7]:6", "udp://[2001:db8::7]:7"],
    &["udp://[2001:db8::7]:8", "tcp://198.51.100.7:9"],
    &["tcp://192.168.1.5:10", "udp://192.168.1.5:11"],
    &["udp://[fd00::5]:12"],
    &["tcp://192.168.1.5:13", "udp://198.51.100.7:14", "ws://198.51.100.7:15"],
    &["udp://192.168.1.5:16", "tcp://[2001:db8::7]:17"],
    &["tcp://x.onion:18"],
    &["tcp://x.onion:19", "udp://192.168.1.5:20"],
    &["ws://198.51.100.7:21", "tcp://[fd00::5]:22", "udp://[2001:db8::8]:23", "quic://198.51.100.8:24"],
    &["tcp://198.51.100.7:25", "udp://198.51.100.8:25"],
];

const FAMILIES: [Families; 3] = [Families::V4, Families::V6, Families::Both];

impl Known {
    fn endpoints(&self) -> impl Iterator<Item = Endpoint<'static>> {
        self.endpoints.iter().map(|text| Endpoint::parse(text).unwrap())
    }

    /// What `viewer` is told, in the words of the rule.
    fn contact(&self, viewer: CanonicalAddr, query: ContactsQuery) -> Option<Contact> {
        let is_lan = |endpoint: &Endpoint<'_>| endpoint.ip().is_some_and(CanonicalAddr::is_lan);
        let fits = |endpoint: &Endpoint<'_>| endpoint.ip().is_some_and(|addr| query.families.contain(addr));
        // The LAN is told of all; strangers only of peers that they can reach, neighbours or not.
        if !viewer.is_lan() && !self.endpoints().any(|endpoint| fits(&endpoint) && !is_lan(&endpoint)) {
            return None;
        }
        let sees_lan = viewer.is_lan() || viewer == self.source;
        let shown: Vec<_> = self.endpoints().filter(|e| fits(e) && (sees_lan || !is_lan(e))).collect();
        let wanted = shown.iter().find(|endpoint| endpoint.scheme == query.transport.scheme());
        wanted.or(shown.first()).map(|endpoint| (endpoint.ip().unwrap(), endpoint.port))
    }

    fn is_public(&self) -> bool {
        self.endpoints().any(|endpoint| !endpoint.ip().is_some_and(CanonicalAddr::is_lan))
    }
}

impl Model {
    fn of(&self, network: u32) -> impl Iterator<Item = (u32, &Known)> {
        self.peers.range((network, 0)..(network + 1, 0)).map(|(&(_, id), known)| (id, known))
    }

    fn counts(&self, network: u32, viewer: CanonicalAddr) -> Counts {
        let shown = || self.of(network).filter(|(_, known)| viewer.is_lan() || known.is_public());
        let seeders = shown().filter(|(_, known)| known.seeding).count() as u32;
        let completed = self.completed.get(&network).copied().unwrap_or(0);
        Counts { seeders, leechers: shown().count() as u32 - seeders, completed }
    }

    /// Forgets those that `go`, and of networks that have no peers left how often they were finished.
    fn forget(&mut self, goes: impl Fn(&(u32, u32), &Known) -> bool) {
        self.peers.retain(|key, known| !goes(key, known));
        let peers = &self.peers;
        self.completed.retain(|&network, _| peers.range((network, 0)..(network + 1, 0)).next().is_some());
    }

    /// Compares all that the table says about a network with the model.
    fn check(&self, b: &mut Bench, network: u32, step: u32) {
        for viewer in [STRANGER, "2001:db8:5::1", "192.168.1.77", "fe80::1", "20.3.0.1"].map(addr) {
            assert_eq!(b.table.counts(key(network), viewer), self.counts(network, viewer), "step {step}");
            for (families, transport) in
                FAMILIES.into_iter().flat_map(|f| [(f, Transport::Tcp), (f, Transport::Udp)])
            {
                let query = ContactsQuery { limit: 50, families, transport };
                let excluded = self.of(network).nth(1).map(|(id, _)| id);
                let mut told = contacts(b, network, query, viewer, excluded);
                let others = self.of(network).filter(|&(id, _)| Some(id) != excluded);
                let mut expected: Vec<_> =
                    others.filter_map(|(_, known)| known.contact(viewer, query)).collect();
                let order = |&(addr, port): &Contact| (addr.octets(), port);
                told.sort_by_key(order);
                expected.sort_by_key(order);
                assert_eq!(told, expected, "step {step}: {viewer:?} asks for {query:?}");
            }
        }
    }
}

/// What `viewer` is told, but for the peer `excluded`.
fn contacts(
    b: &mut Bench,
    network: u32,
    query: ContactsQuery,
    viewer: CanonicalAddr,
    excluded: Option<u32>,
) -> Vec<Contact> {
    let excluded = excluded.map(|id| find(b, network, id).expect("it is there"));
    let slots = b.table.sample_contacts(b.now, key(network), query, viewer, excluded, &mut b.rng);
    let contact = |&slot: &Slot| {
        let (addr, port) = b.table.contact(slot, Viewer::new(viewer), query).expect("an address to show");
        if let Some(compact) = b.table.compact_v4(slot, query) {
            let mut bytes = [0; 6];
            Writer::new(&mut bytes).put_compact(addr, port).expect("an IPv4 address");
            assert_eq!(compact, bytes);
        }
        (addr, port)
    };
    slots.iter().map(contact).collect()
}

fn find(b: &mut Bench, network: u32, id: u32) -> Option<Slot> {
    let id = format!("{id}");
    b.table.find(b.now, key(network), PeerId::parse(&id).unwrap())
}

/// A peer announces itself from somewhere with something.
fn announce(b: &mut Bench, model: &mut Model, network: u32, id: u32) {
    let source = match b.rng.below(3) {
        0 => format!("192.168.1.{id}"),
        1 => format!("2001:{:x}::1", 0xdb8 + id),
        _ => format!("20.{id}.0.1"),
    };
    let endpoints = RECORDS[b.rng.below(RECORDS.len() as u32) as usize].to_vec();
    // Most announces repeat the one before.
    let known = model.peers.get(&(network, id)).filter(|_| b.rng.below(3) != 0);
    let (source, endpoints) =
        known.map_or((addr(&source), endpoints), |known| (known.source, known.endpoints.clone()));
    let seeding = known.is_some_and(|known| known.seeding) ^ (b.rng.below(4) == 0);
    let parsed: Vec<_> = endpoints.iter().map(|text| Endpoint::parse(text).unwrap()).collect();
    let (name, ttl_s) = (format!("{id}"), 30 + b.rng.below(300));
    let peer = PeerId::parse(&name).unwrap();
    let record =
        Record { network: key(network), id: peer, endpoints: &parsed, ttl_s, seeding, source, seal: None };
    match b.table.find(b.now, key(network), peer) {
        Some(slot) => b.table.refresh(b.now, slot, &record),
        None => _ = b.table.insert(b.now, &record, &mut b.rng).expect("there is room"),
    }
    let known = Known { source, endpoints, seeding, expires: b.now.plus_s(ttl_s) };
    model.peers.insert((network, id), known);
}

#[test]
fn contacts_and_counts_agree_with_a_model_under_random_operations() {
    for seed in 0..4 {
        let (mut bench, mut model) = (Bench::new::<256>(256, seed), Model::default());
        let b = &mut bench;
        for step in 0..6_000 {
            let (network, id) = (b.rng.below(3), b.rng.below(16));
            match b.rng.below(12) {
                0 => {
                    let longest_s = if b.rng.below(50) == 0 { 400 } else { 9 };
                    b.now = b.now.plus_s(b.rng.below(longest_s));
                    let now = b.now;
                    model.forget(|_, known| known.expires <= now);
                    while b.table.expire(now) {}
                }
                1 | 2 => {
                    let slot = find(b, network, id);
                    assert_eq!(slot.is_some(), model.peers.contains_key(&(network, id)), "step {step}");
                    slot.into_iter().for_each(|slot| b.table.remove(slot));
                    model.forget(|&peer, _| peer == (network, id));
                }
                3 => {
                    if let Some(slot) = find(b, network, id) {
                        b.table.count_completed(slot);
                        *model.completed.entry(network).or_default() += 1;
                    }
                }
                _ => announce(b, &mut model, network, id),
            }
            if step % 16 == 0 {
                model.check(b, network, step);
            }
        }
    }
}

#[test]
fn an_address_stays_the_announced_one_wherever_it_is_announced_from() {
    let b = &mut Bench::new::<4>(4, 1);
    let query = ContactsQuery { limit: 1, families: Families::V6, transport: Transport::Udp };
    for source in ["2001:db8:77::1", "2001:db8:78::1", "198.51.100.7"] {
        b.announce("a", source, &["udp://[2001:db8:77::1]:1"]);
        let told = contacts(b, 0, query, addr(STRANGER), None);
        assert_eq!(told, [(addr("2001:db8:77::1"), 1)], "{source}");
    }
}

#[test]
fn the_few_of_one_family_are_found_among_thousands_of_the_other() {
    let mut bench = Bench::new::<4096>(4096, 1);
    let b = &mut bench;
    for n in 0..4000 {
        let source = format!("2a{:02x}:{:x}::1", n % 200, n / 200);
        b.announce(
            &format!("{n}"),
            &source,
            &[&format!("tcp://[{source}]:1"), &format!("udp://[{source}]:1")],
        );
    }
    for n in 0..10 {
        let source = format!("20.{n}.0.1");
        b.announce(&format!("4-{n}"), &source, &[&format!("tcp://{source}:4")]);
    }
    for transport in [Transport::Tcp, Transport::Udp] {
        let ask = |b: &mut Bench, limit, families| {
            let query = ContactsQuery { limit, families, transport };
            contacts(b, 0, query, addr(STRANGER), None)
        };
        let mut few = ask(b, 50, Families::V4);
        few.sort_by_key(|(addr, _)| addr.octets());
        let all: Vec<_> = (0..10).map(|n| (addr(&format!("20.{n}.0.1")), 4)).collect();
        assert_eq!(few, all);
        assert_eq!(ask(b, 8, Families::V4).len(), 8);
        assert_eq!(ask(b, 50, Families::V6).len(), 50);
        assert_eq!(ask(b, 50, Families::Both).len(), 50);
    }
}

/// A network of peers `0..n` that announce all kinds of records, some of them gone again; with the numbers and places of
/// those that are left.
fn mixed(n: u32) -> (Bench, Vec<(u32, Slot)>) {
    let mut b = Bench::new::<1000>(1000, n as u8);
    let mut announce =
        |peer: u32, record| b.announce(&format!("{peer}"), &apart(peer), RECORDS[record % RECORDS.len()]);
    let mut peers: Vec<_> = (0..n).map(|peer| (peer, announce(peer, peer as usize))).collect();
    // What some announce changes.
    (0..n).step_by(7).for_each(|peer| _ = announce(peer, 4));
    peers.retain(|&(peer, slot)| {
        let stays = peer % 5 != 3;
        if !stays {
            b.table.remove(slot);
        }
        stays
    });
    (b, peers)
}

#[test]
fn contacts_are_uniform_over_all_that_fit() {
    // On both sides of the number of peers that is shuffled. The first one asks.
    let sizes = [(30, 1, 60_000), (60, 8, 20_000), (70, 50, 4_000), (990, 8, 20_000), (990, 50, 4_000)];
    for ((n, limit, draws), families) in sizes.into_iter().flat_map(|size| FAMILIES.map(|f| (size, f))) {
        let (mut b, peers) = mixed(n);
        let fits =
            |text: &String| Endpoint::parse(text).unwrap().ip().is_some_and(|addr| families.contain(addr));
        let others = peers.iter().skip(1);
        let fitting = others.filter(|&&(_, slot)| b.shown(slot, STRANGER, &[]).iter().any(fits));
        let fitting: Vec<usize> = fitting.map(|&(peer, _)| peer as usize).collect();
        let query = ContactsQuery { limit, families, transport: Transport::Tcp };
        let asker = Some(peers[0].1);
        let draw =
            |b: &mut Bench| b.table.sample_contacts(b.now, key(0), query, addr(STRANGER), asker, &mut b.rng);
        assert_uniform_draws(&mut b, draw, n as usize, &fitting, limit, draws);
    }
}
