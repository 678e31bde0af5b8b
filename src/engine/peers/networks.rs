//! Which peers are in which network.

use super::directory::{Directory, DirectoryStorage};
use super::roster::{Roster, RosterStorage, Set};
use crate::id::NetworkKey;
use crate::rng::HashKey;

/// The memory of [`Networks`] of up to `N` peers altogether.
pub(super) struct NetworkStorage<const N: usize> {
    directory: DirectoryStorage<NetworkKey, N>,
    members: RosterStorage<N>,
}

/// The networks that have peers. Each has two sets of members: those that anyone can reach, and those that only have
/// LAN endpoints, so that a draw for a stranger never meets a peer it may not see.
pub(super) struct Networks<'s> {
    directory: Directory<'s, NetworkKey>,
    members: Roster<'s>,
    key: HashKey,
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
        Self { directory: DirectoryStorage::new(NetworkKey([0; 20])), members: RosterStorage::new() }
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

    /// Adds `peer` to the network with this key, and returns the network's number. There is room: never more networks
    /// than peers.
    pub(super) fn join(&mut self, key: NetworkKey, peer: u32, lan_only: bool) -> u32 {
        let network = self.directory.join(self.key.hash(&key.0), key).unwrap_or(0);
        self.members.push(set(network, lan_only), peer);
        network
    }

    /// Takes `peer` out of `network`.
    pub(super) fn leave(&mut self, network: u32, peer: u32) {
        self.members.remove(peer);
        self.directory.leave(network);
    }

    /// Moves `peer` to the other set of `network`.
    pub(super) fn move_to(&mut self, network: u32, peer: u32, lan_only: bool) {
        self.members.remove(peer);
        self.members.push(set(network, lan_only), peer);
    }

    /// The key of `network`.
    pub(super) fn key(&self, network: u32) -> NetworkKey {
        self.directory.key(network).unwrap_or_default()
    }

    /// Whom an asker may draw from in the network with this key; `lan` if LAN-only peers may be shown to it.
    pub(super) fn population(&self, key: NetworkKey, lan: bool) -> Option<Population> {
        let network = self.directory.find(self.key.hash(&key.0), key)?;
        let public = self.members.len(set(network, false));
        let lan_only = if lan { self.members.len(set(network, true)) } else { 0 };
        Some(Population { network, public, lan_only })
    }

    /// The peer with this number, below [`Population::len`].
    pub(super) fn member(&self, population: Population, number: u32) -> Option<u32> {
        match number.checked_sub(population.public) {
            None => self.members.member(set(population.network, false), number),
            Some(rank) => self.members.member(set(population.network, true), rank),
        }
    }
}

impl Population {
    /// How many peers there are to draw from.
    pub(super) const fn len(self) -> u32 {
        self.public.saturating_add(self.lan_only)
    }
}

fn set(network: u32, lan_only: bool) -> Set {
    Set(network, u32::from(lan_only))
}
