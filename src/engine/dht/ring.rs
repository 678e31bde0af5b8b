//! The nodes of one address family that have answered us.

use heapless::Vec;

use super::node_id::fits;
use crate::addr::{CanonicalAddr, Level};
use crate::limits::{DHT_NODES, NODE_LIFE_S, NODES_PER_NARROW, PING_AGAIN_S};
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::krpc::{Contact, Id, MAX_NODES};

#[expect(clippy::cast_possible_truncation, reason = "a few hundred")]
const PLACES: u32 = DHT_NODES as u32;
const _: () = assert!(DHT_NODES.is_power_of_two(), "any odd step visits all places");

/// A node.
#[derive(Clone, Copy)]
pub(super) struct Node {
    id: Id,
    addr: CanonicalAddr,
    port: u16,
    /// Whether its id fits its address.
    fits: bool,
    /// When it last answered; [`Instant::START`] in a free place.
    answered: Instant,
    /// When it was last pinged.
    pinged: Instant,
}

impl Node {
    const NONE: Self = Self {
        id: [0; 20],
        addr: CanonicalAddr::ZERO,
        port: 0,
        fits: false,
        answered: Instant::START,
        pinged: Instant::START,
    };

    /// Whether it has answered within the last quarter of an hour, and the minute it may take to answer again.
    fn is_good(&self, now: Instant) -> bool {
        self.port != 0 && now.s_since(self.answered) < u64::from(NODE_LIFE_S)
    }

    fn is_at(&self, addr: CanonicalAddr, port: u16) -> bool {
        self.addr == addr && self.port == port
    }
}

/// The memory of a [`Ring`]. All zero when new.
pub(super) struct RingStorage([Node; DHT_NODES]);

impl RingStorage {
    /// No nodes.
    pub(super) const fn new() -> Self {
        Self([Node::NONE; DHT_NODES])
    }
}

/// A fixed number of places for nodes. One party cannot fill it: at most [`NODES_PER_NARROW`] are of one narrow prefix,
/// other than of the LAN.
pub(super) struct Ring<'s> {
    nodes: &'s mut [Node; DHT_NODES],
    /// Where the search for a node to be pinged goes on.
    next: usize,
}

impl<'s> Ring<'s> {
    pub(super) const fn new(storage: &'s mut RingStorage) -> Self {
        Self { nodes: &mut storage.0, next: 0 }
    }

    /// How many good nodes there are.
    pub(super) fn len(&self, now: Instant) -> usize {
        self.nodes.iter().filter(|node| node.is_good(now)).count()
    }

    /// Lists a node that has just answered. Without a free place it takes that of one whose id does not fit its address,
    /// or else, if its own fits, of any. Returns whether it was listed: an answer that comes again proves nothing new.
    pub(super) fn list(&mut self, now: Instant, node: Contact, rng: &mut Rng) -> bool {
        let Contact { id, addr, port } = node;
        let fresh = Node { id, addr, port, fits: fits(&id, addr), answered: now, pinged: now };
        if let Some(known) = self.nodes.iter_mut().find(|known| known.is_at(addr, port)) {
            let is_news = !known.is_good(now) || known.answered < known.pinged;
            if is_news {
                *known = fresh;
            }
            return is_news;
        }
        let narrow = addr.prefix(Level::Narrow);
        let is_neighbour = |known: &&Node| known.is_good(now) && known.addr.prefix(Level::Narrow) == narrow;
        if !addr.is_lan() && self.nodes.iter().filter(is_neighbour).count() >= NODES_PER_NARROW {
            return false;
        }
        let free = self.nodes.iter().position(|known| !known.is_good(now));
        let misfit = || self.nodes.iter().position(|known| !known.fits);
        let any = || fresh.fits.then(|| rng.below(PLACES) as usize);
        let place = free.or_else(misfit).or_else(any).and_then(|place| self.nodes.get_mut(place));
        place.map(|place| *place = fresh).is_some()
    }

    /// A random choice of good nodes for an asker: LAN nodes for the LAN only, and never itself. Nodes whose ids do not fit
    /// their addresses come last.
    pub(super) fn sample(
        &self,
        now: Instant,
        asker: CanonicalAddr,
        port: u16,
        rng: &mut Rng,
    ) -> Vec<Contact, MAX_NODES> {
        let sees_lan = asker.is_lan();
        let (mut chosen, mut misfits) = (Vec::new(), Vec::<Contact, MAX_NODES>::new());
        let mut place = rng.below(PLACES) as usize;
        let step = (rng.below(PLACES) | 1) as usize;
        for _ in 0..DHT_NODES {
            place = place.wrapping_add(step);
            let Some(node) = self.nodes.get(place % DHT_NODES) else { continue };
            let shown = node.is_good(now) && (sees_lan || !node.addr.is_lan());
            if !shown || node.is_at(asker, port) {
                continue;
            }
            let list = if node.fits { &mut chosen } else { &mut misfits };
            let contact = Contact { id: node.id, addr: node.addr, port: node.port };
            if list.push(contact).is_err() && chosen.is_full() {
                break;
            }
        }
        let room = MAX_NODES.saturating_sub(chosen.len());
        chosen.extend(misfits.into_iter().take(room));
        chosen
    }

    /// A node that answered so long ago that it must show that it is still there. It counts as pinged now.
    pub(super) fn due(&mut self, now: Instant) -> Option<(CanonicalAddr, u16)> {
        for _ in 0..DHT_NODES {
            let place = self.next % DHT_NODES;
            self.next = self.next.wrapping_add(1);
            let node = self.nodes.get_mut(place)?;
            if node.is_good(now) && now.s_since(node.pinged) >= u64::from(PING_AGAIN_S) {
                node.pinged = now;
                return Some((node.addr, node.port));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::boxed::Box;
    use std::collections::BTreeSet;
    use std::format;

    use super::*;
    use crate::rng::HashKey;

    fn contact(ip: &str, port: u16) -> Contact {
        Contact { id: [0; 20], addr: CanonicalAddr::new(ip.parse().unwrap()), port }
    }

    fn ports(ring: &Ring<'_>, at_s: u64, asker: &str, rng: &mut Rng) -> BTreeSet<u16> {
        let asker = contact(asker, 9);
        ring.sample(Instant::from_s(at_s), asker.addr, asker.port, rng).iter().map(|node| node.port).collect()
    }

    #[test]
    fn nodes_are_good_for_a_quarter_of_an_hour() {
        let mut storage = Box::new(RingStorage::new());
        let mut ring = Ring::new(&mut storage);
        let rng = &mut Rng::new(HashKey::new([1; 16]));
        assert_eq!(ports(&ring, 0, "20.0.0.9", rng), BTreeSet::new());
        ring.list(Instant::from_s(100), contact("20.0.0.1", 1), rng);
        assert_eq!(ports(&ring, 100, "20.0.0.9", rng), [1].into());
        assert_eq!(ring.due(Instant::from_s(999)), None);
        assert_eq!(ring.due(Instant::from_s(1000)), Some((contact("20.0.0.1", 1).addr, 1)));
        assert_eq!(ring.due(Instant::from_s(1001)), None, "it is pinged once");
        assert_eq!(ports(&ring, 1059, "20.0.0.9", rng), [1].into());
        assert_eq!(ports(&ring, 1060, "20.0.0.9", rng), BTreeSet::new(), "it has not answered");
        ring.list(Instant::from_s(1061), contact("20.0.0.1", 1), rng);
        assert_eq!((ports(&ring, 1061, "20.0.0.9", rng), ring.len(Instant::from_s(1061))), ([1].into(), 1));
    }

    #[test]
    fn who_sees_whom() {
        let mut storage = Box::new(RingStorage::new());
        let mut ring = Ring::new(&mut storage);
        let rng = &mut Rng::new(HashKey::new([1; 16]));
        for (ip, port) in [("20.0.0.1", 1), ("192.168.0.1", 2), ("127.0.0.1", 3)] {
            ring.list(Instant::START, contact(ip, port), rng);
        }
        assert_eq!(ports(&ring, 0, "20.0.0.9", rng), [1].into(), "no LAN for strangers");
        assert_eq!(ports(&ring, 0, "192.168.0.9", rng), [1, 2, 3].into());
        let own = contact("127.0.0.1", 3);
        let others = ring.sample(Instant::START, own.addr, own.port, rng);
        assert!(others.len() == 2 && !others.contains(&own), "nobody is told of itself");
    }

    #[test]
    fn one_network_has_two_places() {
        let mut storage = Box::new(RingStorage::new());
        let mut ring = Ring::new(&mut storage);
        let rng = &mut Rng::new(HashKey::new([1; 16]));
        for n in 1..200 {
            ring.list(Instant::START, contact(&format!("20.0.0.{n}"), n), rng);
            ring.list(Instant::START, contact(&format!("192.168.0.{n}"), 1000 + n), rng);
        }
        let count = |range: core::ops::Range<u16>| {
            ring.nodes.iter().filter(|node| range.contains(&node.port)).count()
        };
        assert!(count(1..1000) <= 2);
        assert!(count(1000..2000) >= DHT_NODES - 2, "the LAN is trusted");
    }

    #[test]
    fn the_fitting_come_first_and_stay() {
        let mut storage = Box::new(RingStorage::new());
        let mut ring = Ring::new(&mut storage);
        let rng = &mut Rng::new(HashKey::new([1; 16]));
        let mut fitting = BTreeSet::new();
        for n in 0..400_u16 {
            let mut node = contact(&format!("{}.{}.0.1", 20 + n / 200, n % 200), 1 + n);
            if n < 5 {
                // The first 21 bits are all that must fit.
                let found = (0..1_u32 << 21).find(|&bits| {
                    node.id[..4].copy_from_slice(&(bits << 11).to_be_bytes());
                    fits(&node.id, node.addr)
                });
                assert!(found.is_some());
                fitting.insert(node.port);
            }
            ring.list(Instant::START, node, rng);
        }
        for _ in 0..50 {
            let shown = ports(&ring, 0, "9.9.9.9", rng);
            assert_eq!(shown.len(), 8);
            assert!(shown.is_superset(&fitting), "{shown:?}");
        }
    }

    #[test]
    fn who_does_not_fit_takes_no_place_of_who_does() {
        let mut storage = Box::new(RingStorage::new());
        let mut ring = Ring::new(&mut storage);
        let rng = &mut Rng::new(HashKey::new([1; 16]));
        // Those of the LAN always fit.
        for n in 1..=DHT_NODES {
            assert!(ring.list(Instant::START, contact("192.168.0.1", 1 + u16::try_from(n).unwrap()), rng));
        }
        for n in 0..100 {
            assert!(!ring.list(Instant::START, contact(&format!("20.{n}.0.1"), 1), rng), "{n}");
        }
        assert!(ring.nodes.iter().all(|node| node.addr.is_lan()));
        assert!(ring.list(Instant::START, contact("192.168.0.2", 1), rng), "who fits may");
    }

    #[test]
    fn every_node_has_its_turn() {
        let mut storage = Box::new(RingStorage::new());
        let mut ring = Ring::new(&mut storage);
        let rng = &mut Rng::new(HashKey::new([1; 16]));
        for n in 0..100 {
            ring.list(Instant::START, contact(&format!("10.0.{n}.1"), 1 + n), rng);
        }
        let mut seen = [0_u32; 101];
        for _ in 0..10_000 {
            ports(&ring, 0, "10.9.9.9", rng).into_iter().for_each(|port| seen[usize::from(port)] += 1);
        }
        let expected = 800.0;
        let chi_squared: f64 = seen[1..].iter().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum();
        assert!(chi_squared < 170.0, "{chi_squared} with 99 degrees of freedom");
    }
}
