//! How many peers were announced from each address prefix.

use super::cut;
use super::directory::{Directory, DirectoryStorage};
use super::index::{IndexStorage, Tag};
use super::part::Part;
use super::peer::{OpenInNarrow, Peer};
use super::ranking::{Rank, Ranking, score};
use super::roster::{Roster, Set};
use crate::addr::{CanonicalAddr, Level, Prefix};
use crate::rng::{HashKey, Rng};

/// The memory of [`Groups`] of up to `N` peers altogether.
pub(super) struct GroupStorage<const N: usize> {
    hosts: DirectoryStorage<Prefix, (), N>,
    sites: DirectoryStorage<Prefix, (), N>,
    narrows: DirectoryStorage<Prefix, Rank, N>,
    wides: DirectoryStorage<Prefix, Rank, N>,
    open_members: IndexStorage<N>,
    open_in_narrow: IndexStorage<N>,
    most_open_in_narrow: [u32; N],
    open_in_wide: IndexStorage<N>,
    most_open_in_wide: [u32; 1],
}

/// The groups that have peers, and which of these are *open* to eviction: those without tenure.
pub(super) struct Groups<'s> {
    hosts: Directory<'s, Prefix>,
    sites: Directory<'s, Prefix>,
    narrows: Directory<'s, Prefix, Rank>,
    wides: Directory<'s, Prefix, Rank>,
    /// The open peers of each narrow group.
    open_members: Roster<'s, OpenInNarrow>,
    /// Narrow groups by their open peers; a league for each wide group.
    open_in_narrow: Ranking<'s>,
    /// Wide groups by their open peers, in one league.
    open_in_wide: Ranking<'s>,
    key: HashKey,
}

/// The league of all wide groups.
const ALL: u32 = 0;

/// Where an address belongs: its prefixes, with their tags, so that they are hashed once for an announce.
pub(super) struct Origin {
    host: (Tag, Prefix),
    /// IPv6 has one level more than IPv4.
    site: Option<(Tag, Prefix)>,
    narrow: (Tag, Prefix),
    wide: (Tag, Prefix),
}

/// The groups of one peer, by number.
#[derive(Clone, Copy)]
pub(super) struct Membership {
    host: u32,
    /// The number plus one; 0 for IPv4.
    site: u32,
    narrow: u32,
    /// The number plus one; 0 for a peer of the LAN, which is in no group.
    wide: u32,
}

/// How many peers the groups of an origin have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crowd {
    pub(super) host: u32,
    /// `None` for IPv4.
    pub(super) site: Option<u32>,
    pub(super) narrow: u32,
    pub(super) wide: u32,
}

impl<const N: usize> GroupStorage<N> {
    pub(super) const fn new() -> Self {
        Self {
            hosts: DirectoryStorage::new(Prefix(0), ()),
            sites: DirectoryStorage::new(Prefix(0), ()),
            narrows: DirectoryStorage::new(Prefix(0), Rank::NONE),
            wides: DirectoryStorage::new(Prefix(0), Rank::NONE),
            open_members: IndexStorage::new(),
            open_in_narrow: IndexStorage::new(),
            most_open_in_narrow: [0; N],
            open_in_wide: IndexStorage::new(),
            most_open_in_wide: [0; 1],
        }
    }
}

impl Membership {
    /// Of a peer that is in no group.
    pub(super) const NONE: Self = Self { host: 0, site: 0, narrow: 0, wide: 0 };

    /// The numbers of its narrow and its wide group, if it is in any.
    pub(super) const fn narrow_and_wide(self) -> Option<(u32, u32)> {
        match self.wide.checked_sub(1) {
            Some(wide) => Some((self.narrow, wide)),
            None => None,
        }
    }
}

impl<'s> Groups<'s> {
    /// No groups, with room for `n` peers in new storage.
    pub(super) fn new<const N: usize>(storage: &'s mut GroupStorage<N>, n: usize, key: HashKey) -> Self {
        Self {
            hosts: Directory::new(&mut storage.hosts, n),
            sites: Directory::new(&mut storage.sites, n),
            narrows: Directory::new(&mut storage.narrows, n),
            wides: Directory::new(&mut storage.wides, n),
            open_members: Roster::new(&mut storage.open_members, n, key.derive(b"members")),
            open_in_narrow: Ranking::new(
                &mut storage.open_in_narrow,
                cut(&mut storage.most_open_in_narrow, n),
                n,
                key.derive(b"narrow"),
            ),
            open_in_wide: Ranking::new(
                &mut storage.open_in_wide,
                &mut storage.most_open_in_wide,
                n,
                key.derive(b"wide"),
            ),
            key,
        }
    }

    /// Where `addr` belongs. `None` for the LAN, which is not counted.
    pub(super) fn origin(&self, addr: CanonicalAddr) -> Option<Origin> {
        let hashed = |level| {
            let prefix = addr.prefix(level);
            (Tag::of(self.key.hash(&prefix.0.to_be_bytes())), prefix)
        };
        (!addr.is_lan()).then(|| Origin {
            host: hashed(Level::Host),
            site: (!addr.is_v4()).then(|| hashed(Level::Site)),
            narrow: hashed(Level::Narrow),
            wide: hashed(Level::Wide),
        })
    }

    /// How many peers there are from where `origin` is.
    pub(super) fn crowd(&self, origin: &Origin) -> Crowd {
        // All are fetched at the same time, not one after the other.
        self.hosts.touch(origin.host.0);
        self.narrows.touch(origin.narrow.0);
        self.wides.touch(origin.wide.0);
        Crowd {
            host: members(&self.hosts, origin.host),
            site: origin.site.map(|site| members(&self.sites, site)),
            narrow: members(&self.narrows, origin.narrow),
            wide: members(&self.wides, origin.wide),
        }
    }

    /// Adds a peer to its groups; it is not open yet. There is room: never more groups of a level than peers.
    pub(super) fn join(&mut self, origin: &Origin) -> Membership {
        Membership {
            host: join(&mut self.hosts, origin.host),
            site: origin.site.map_or(0, |site| join(&mut self.sites, site).saturating_add(1)),
            narrow: join(&mut self.narrows, origin.narrow),
            wide: join(&mut self.wides, origin.wide).saturating_add(1),
        }
    }

    /// Takes a peer, which must not be open, out of its groups.
    pub(super) fn leave(&mut self, groups: Membership) {
        if let Some((narrow, wide)) = groups.narrow_and_wide() {
            self.hosts.leave(groups.host);
            groups.site.checked_sub(1).into_iter().for_each(|site| self.sites.leave(site));
            self.narrows.leave(narrow);
            self.wides.leave(wide);
        }
    }

    /// Has what `peer`'s leaving looks at fetched into the cache, without waiting for it.
    pub(super) fn touch_peer(&self, peer: &Peer) {
        let groups = peer.groups;
        if let Some((narrow, wide)) = groups.narrow_and_wide() {
            self.hosts.touch_item(groups.host);
            self.narrows.touch_item(narrow);
            self.wides.touch_item(wide);
            self.open_members.touch_place(peer.part());
            self.open_in_narrow.touch(self.narrows.rows(), wide, narrow);
            self.open_in_wide.touch(self.wides.rows(), ALL, wide);
        }
    }

    /// Opens `peer`, which must be in these groups and not open, to eviction.
    pub(super) fn open(&mut self, peers: &mut [Peer], peer: u32, groups: Membership) {
        if let Some((narrow, wide)) = groups.narrow_and_wide() {
            self.open_members.push(peers, Set(narrow, 0), peer);
            self.open_in_narrow.raise(self.narrows.rows_mut(), wide, narrow);
            self.open_in_wide.raise(self.wides.rows_mut(), ALL, wide);
        }
    }

    /// Closes `peer`, which must be in these groups and open.
    pub(super) fn close(&mut self, peers: &mut [Peer], peer: u32, groups: Membership) {
        if let Some((narrow, wide)) = groups.narrow_and_wide() {
            self.open_members.remove(peers, peer);
            self.open_in_narrow.lower(self.narrows.rows_mut(), wide, narrow);
            self.open_in_wide.lower(self.wides.rows_mut(), ALL, wide);
        }
    }

    /// How many peers of the wide group in `groups` are not open.
    pub(super) fn closed_in_wide(&self, groups: Membership) -> u32 {
        let Some((_, wide)) = groups.narrow_and_wide() else { return 0 };
        self.wides.members(wide).saturating_sub(self.open_in(wide))
    }

    /// The wide group where `origin` is, if it has peers.
    pub(super) fn wide(&self, origin: &Origin) -> Option<u32> {
        self.wides.find(origin.wide.0, origin.wide.1)
    }

    /// How many open peers the wide group `wide` has.
    pub(super) fn open_in(&self, wide: u32) -> u32 {
        score(self.wides.rows(), wide)
    }

    /// The most open peers any wide group has, and how many groups have that many.
    pub(super) fn largest_wide(&self) -> (u32, u32) {
        (self.open_in_wide.top(ALL), self.open_in_wide.leaders(self.wides.rows(), ALL))
    }

    /// One of the largest wide groups, by number.
    pub(super) fn nth_largest_wide(&self, n: u32) -> Option<u32> {
        self.open_in_wide.leader(self.wides.rows(), ALL, n)
    }

    /// A random open peer of the largest narrow group, ties at random, inside the wide group `wide`.
    pub(super) fn random_open_in(&self, peers: &[Peer], wide: u32, rng: &mut Rng) -> Option<u32> {
        let narrows = self.narrows.rows();
        let tied = self.open_in_narrow.leaders(narrows, wide);
        let narrow = self.open_in_narrow.leader(narrows, wide, rng.below(tied))?;
        self.open_members.member(peers, Set(narrow, 0), rng.below(score(narrows, narrow)))
    }
}

fn members<X>(groups: &Directory<'_, Prefix, X>, (tag, prefix): (Tag, Prefix)) -> u32 {
    groups.find(tag, prefix).map_or(0, |group| groups.members(group))
}

fn join<X>(groups: &mut Directory<'_, Prefix, X>, (tag, prefix): (Tag, Prefix)) -> u32 {
    groups.join(tag, prefix).unwrap_or(0)
}
