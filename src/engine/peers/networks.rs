//! Which peers are in which network.

use super::directory::{Directory, DirectoryStorage};
use super::index::{IndexStorage, Tag};
use super::part::Part;
use super::peer::{InNetwork, Peer};
use super::roster::{Roster, Set};
use super::view::LanEndpoints;
use crate::engine::reply::Counts;
use crate::id::NetworkKey;
use crate::rng::HashKey;

/// The memory of [`Networks`] of up to `N` peers altogether.
pub(super) struct NetworkStorage<const N: usize> {
    directory: DirectoryStorage<NetworkKey, Tally, N>,
    members: IndexStorage<N>,
}

/// The networks that have peers. Each has two sets of members: those that anyone can reach, and those that only have
/// LAN endpoints, so that a draw for a stranger never meets a peer it may not see.
pub(super) struct Networks<'s> {
    directory: Directory<'s, NetworkKey, Tally>,
    members: Roster<'s, InNetwork>,
    key: HashKey,
}

/// What is counted of one network.
#[derive(Clone, Copy)]
struct Tally {
    /// Members that seed: those anyone can reach, and the others.
    seeders: [u32; 2],
    completed: u32,
}

impl Tally {
    const NONE: Self = Self { seeders: [0; 2], completed: 0 };
}

/// The members of one network that one asker may draw from, by number.
#[derive(Clone, Copy)]
pub(super) struct Population {
    network: u32,
    public: u32,
    lan_only: u32,
}

impl<const N: usize> NetworkStorage<N> {
    pub(super) const fn new() -> Self {
        Self {
            directory: DirectoryStorage::new(NetworkKey([0; 20]), Tally::NONE),
            members: IndexStorage::new(),
        }
    }
}

impl<'s> Networks<'s> {
    /// No networks, with room for `n` peers in new storage.
    pub(super) fn new<const N: usize>(storage: &'s mut NetworkStorage<N>, n: usize, key: HashKey) -> Self {
        Self {
            directory: Directory::new(&mut storage.directory, n),
            members: Roster::new(&mut storage.members, n, key),
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

    /// Puts `peer` into the set of its network that its endpoints ask for.
    pub(super) fn join_set(&mut self, peers: &mut [Peer], peer: u32) {
        let Some(&row) = peers.get(peer as usize) else { return };
        self.members.push(peers, set_of(&row), peer);
        self.count_seeder(&row, |n| n.saturating_add(1));
    }

    /// Takes `peer` out of its set.
    pub(super) fn leave_set(&mut self, peers: &mut [Peer], peer: u32) {
        let Some(&row) = peers.get(peer as usize) else { return };
        self.members.remove(peers, peer);
        self.count_seeder(&row, |n| n.saturating_sub(1));
    }

    fn count_seeder(&mut self, row: &Peer, change: impl Fn(u32) -> u32) {
        let place = usize::from(row.lan == LanEndpoints::All);
        let tally = self.directory.extra_mut(row.network).filter(|_| row.seeding);
        if let Some(seeders) = tally.and_then(|tally| tally.seeders.get_mut(place)) {
            *seeders = change(*seeders);
        }
    }

    /// Takes note that a peer of `network` says that it has finished.
    pub(super) fn count_completed(&mut self, network: u32) {
        if let Some(tally) = self.directory.extra_mut(network) {
            tally.completed = tally.completed.saturating_add(1);
        }
    }

    /// How many peers the network with this key has for an asker; `lan` if LAN-only peers may be shown to it.
    pub(super) fn counts(&self, peers: &[Peer], key: NetworkKey, lan: bool) -> Counts {
        let Some(population) = self.population(peers, key, lan) else { return Counts::default() };
        let Some(tally) = self.directory.extra(population.network) else { return Counts::default() };
        let [public, lan_only] = tally.seeders;
        let seeders = if lan { public.saturating_add(lan_only) } else { public };
        Counts { seeders, leechers: population.len().saturating_sub(seeders), completed: tally.completed }
    }

    /// The key of `network`.
    pub(super) fn key(&self, network: u32) -> NetworkKey {
        self.directory.key(network).unwrap_or_default()
    }

    /// Whom an asker may draw from in the network with this key; `lan` if LAN-only peers may be shown to it.
    pub(super) fn population(&self, peers: &[Peer], key: NetworkKey, lan: bool) -> Option<Population> {
        let network = self.directory.find(self.tag(key), key)?;
        let public = self.members.len(peers, set(network, false));
        let lan_only = if lan { self.members.len(peers, set(network, true)) } else { 0 };
        Some(Population { network, public, lan_only })
    }

    /// The peer with this number, below [`Population::len`].
    pub(super) fn member(&self, peers: &[Peer], population: Population, number: u32) -> Option<u32> {
        let (set, rank) = population.place(number);
        self.members.member(peers, set, rank)
    }

    /// Has what `peer`'s leaving looks at fetched into the cache, without waiting for it.
    pub(super) fn touch_peer(&self, peer: &Peer) {
        self.members.touch_place(peer.part());
    }

    /// Has what leads to the peer with this number fetched into the cache, without waiting for it.
    pub(super) fn touch(&self, population: Population, number: u32) {
        let (set, rank) = population.place(number);
        self.members.touch(set, rank);
    }

    fn tag(&self, key: NetworkKey) -> Tag {
        Tag::of(self.key.hash(&key.0))
    }
}

impl Population {
    /// How many peers there are to draw from.
    pub(super) const fn len(self) -> u32 {
        self.public.saturating_add(self.lan_only)
    }

    fn place(self, number: u32) -> (Set, u32) {
        match number.checked_sub(self.public) {
            None => (set(self.network, false), number),
            Some(rank) => (set(self.network, true), rank),
        }
    }
}

fn set_of(peer: &Peer) -> Set {
    set(peer.network, peer.lan == LanEndpoints::All)
}

fn set(network: u32, lan_only: bool) -> Set {
    Set(network, u32::from(lan_only))
}
