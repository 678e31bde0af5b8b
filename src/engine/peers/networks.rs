//! Which peers are in which network.

use heapless::Vec;

use super::directory::{Directory, DirectoryStorage};
use super::index::Tag;
use super::members::{MemberStorage, Members, Set};
use super::peer::Peer;
use super::reach::{CLASSES, Classes, Viewer};
use crate::engine::reply::Counts;
use crate::id::NetworkKey;
use crate::rng::HashKey;

/// The memory of [`Networks`] of up to `N` peers altogether.
pub(super) struct NetworkStorage<const N: usize> {
    directory: DirectoryStorage<NetworkKey, Tally, N>,
    members: MemberStorage<N>,
}

/// The networks that have peers. Each has a set of members for every class of them, so that a draw never meets a peer that
/// the asker may not see or that has no address of the wanted families.
pub(super) struct Networks<'s> {
    directory: Directory<'s, NetworkKey, Tally>,
    members: Members<'s>,
    key: HashKey,
}

/// What is counted of one network.
#[derive(Clone, Copy)]
struct Tally {
    /// The classes that have members.
    classes: Classes,
    /// Members that strangers can see.
    public: u32,
    /// Members that seed: those that strangers can see, and the others.
    seeders: [u32; 2],
    completed: u32,
}

impl Tally {
    const NONE: Self = Self { classes: 0, public: 0, seeders: [0; 2], completed: 0 };
}

/// Kinds of classes: for each family whether strangers, only the LAN, or nobody can reach the peer by it; and whether
/// strangers can see anything of a peer that they cannot reach by either.
const KINDS: usize = 12;

/// The members of one network that one asker may draw from, by number.
#[derive(Clone)]
pub(super) struct Population {
    sets: Vec<(Set, u32), KINDS>,
    len: u32,
}

impl<const N: usize> NetworkStorage<N> {
    pub(super) const fn new() -> Self {
        Self {
            directory: DirectoryStorage::new(NetworkKey([0; 20]), Tally::NONE),
            members: MemberStorage::new(),
        }
    }
}

impl<'s> Networks<'s> {
    /// No networks, with room for `n` peers in new storage.
    pub(super) fn new<const N: usize>(storage: &'s mut NetworkStorage<N>, n: usize, key: HashKey) -> Self {
        Self {
            directory: Directory::new(&mut storage.directory, n),
            members: Members::new(&mut storage.members, n, key),
            key,
        }
    }

    /// How many networks there are.
    pub(super) const fn len(&self) -> usize {
        self.directory.len()
    }

    /// Adds `peer` to the network with this key. There is room: never more networks than peers.
    pub(super) fn join(&mut self, peers: &mut [Peer], peer: u32, key: NetworkKey) {
        let network = self.directory.join(self.tag(key), key).unwrap_or(0);
        if self.directory.members(network) == 1
            && let Some(tally) = self.directory.extra_mut(network)
        {
            *tally = Tally::NONE;
        }
        if let Some(row) = peers.get_mut(peer as usize) {
            row.network = network;
            self.join_set(peers, peer);
        }
    }

    /// Takes `peer` out of its network.
    pub(super) fn leave(&mut self, peers: &mut [Peer], peer: u32) {
        let Some(network) = peers.get(peer as usize).map(|peer| peer.network) else { return };
        self.leave_set(peers, peer);
        self.directory.leave(network);
    }

    /// Puts `peer` into the set of its network and class.
    pub(super) fn join_set(&mut self, peers: &mut [Peer], peer: u32) {
        let Some(row) = peers.get_mut(peer as usize) else { return };
        let Ok(slot) = u16::try_from(peer) else { return };
        row.rank = self.members.push(set_of(row), slot);
        if let Some(tally) = self.directory.extra_mut(row.network) {
            tally.classes |= row.reach.class_bit();
        }
        self.recount(row, |n| n.saturating_add(1));
    }

    /// Takes `peer` out of its set.
    pub(super) fn leave_set(&mut self, peers: &mut [Peer], peer: u32) {
        let Some(row) = peers.get(peer as usize) else { return };
        self.recount(row, |n| n.saturating_sub(1));
        let &Peer { network, reach, rank, .. } = row;
        match self.members.remove(set(network, reach.class()), rank) {
            Some(mover) => {
                peers.get_mut(usize::from(mover)).into_iter().for_each(|mover| mover.rank = rank);
            }
            None if rank == 0 => {
                if let Some(tally) = self.directory.extra_mut(network) {
                    tally.classes &= !reach.class_bit();
                }
            }
            None => {}
        }
    }

    fn recount(&mut self, row: &Peer, change: impl Fn(u32) -> u32) {
        let Some(tally) = self.directory.extra_mut(row.network) else { return };
        let [public, lan_only] = &mut tally.seeders;
        let seeders = if row.reach.is_public() { public } else { lan_only };
        if row.seeding {
            *seeders = change(*seeders);
        }
        if row.reach.is_public() {
            tally.public = change(tally.public);
        }
    }

    /// Takes note that a peer of `network` says that it has finished.
    pub(super) fn count_completed(&mut self, network: u32) {
        if let Some(tally) = self.directory.extra_mut(network) {
            tally.completed = tally.completed.saturating_add(1);
        }
    }

    /// How many peers `network` has for an asker.
    pub(super) fn counts(&self, network: u32, viewer: Viewer) -> Counts {
        let Some(tally) = self.directory.extra(network) else { return Counts::default() };
        let [public, lan_only] = tally.seeders;
        let (peers, seeders) = if viewer.is_lan() {
            (self.directory.members(network), public.saturating_add(lan_only))
        } else {
            (tally.public, public)
        };
        Counts { seeders, leechers: peers.saturating_sub(seeders), completed: tally.completed }
    }

    /// The network with this key.
    pub(super) fn find(&self, key: NetworkKey) -> Option<u32> {
        self.directory.find(self.tag(key), key)
    }

    /// The key of `network`.
    pub(super) fn key(&self, network: u32) -> NetworkKey {
        self.directory.key(network).unwrap_or_default()
    }

    /// The members of `network` of these classes.
    pub(super) fn population(&self, network: u32, classes: Classes) -> Population {
        let mut population = Population { sets: Vec::new(), len: 0 };
        let mut left = self.directory.extra(network).map_or(0, |tally| tally.classes) & classes;
        while let Some(class) = left.checked_sub(1).map(|_| left.trailing_zeros()) {
            left &= left.wrapping_sub(1);
            let set = set(network, class);
            let len = self.members.len(set);
            // There are no more sets than kinds.
            let _ = population.sets.push((set, len));
            population.len = population.len.saturating_add(len);
        }
        population
    }

    /// All of a population, block by block.
    pub(super) fn blocks(&self, population: &Population) -> impl Iterator<Item = &[u16]> {
        population.sets.clone().into_iter().flat_map(|(set, len)| self.members.blocks(set, len))
    }

    /// The peer with this number, below [`Population::len`].
    pub(super) fn member(&self, population: &Population, number: u32) -> Option<u16> {
        let (set, rank) = population.place(number)?;
        self.members.member(set, rank)
    }

    /// Has what `peer`'s leaving looks at fetched into the cache, without waiting for it.
    pub(super) fn touch_peer(&self, peer: &Peer) {
        self.members.touch(set_of(peer), peer.rank);
    }

    /// Has what leads to the peer with this number fetched into the cache, without waiting for it.
    pub(super) fn touch(&self, population: &Population, number: u32) {
        population.place(number).into_iter().for_each(|(set, rank)| self.members.touch(set, rank));
    }

    fn tag(&self, key: NetworkKey) -> Tag {
        Tag::of(self.key.hash(&key.0))
    }
}

impl Population {
    /// How many peers there are to draw from.
    pub(super) const fn len(&self) -> u32 {
        self.len
    }

    /// The set and the rank of the peer with this number.
    fn place(&self, number: u32) -> Option<(Set, u32)> {
        let mut rank = number;
        for &(set, len) in &self.sets {
            match rank.checked_sub(len) {
                None => return Some((set, rank)),
                Some(beyond) => rank = beyond,
            }
        }
        None
    }
}

fn set_of(peer: &Peer) -> Set {
    set(peer.network, peer.reach.class())
}

/// The members of `network` of this class. There are at most 65,536 networks: two different pairs are two different sets.
fn set(network: u32, class: u32) -> Set {
    network.wrapping_mul(CLASSES) | class
}
