//! One family of addresses on one interface: who is there, and what has been said to them.

use core::net::{IpAddr, SocketAddr};

use heapless::Vec;

use super::items::{ITEMS, Item, Items};
use crate::limits::{MAX_INTERFACE_ADDRESSES, MDNS_UNICASTS_PER_S};
use crate::time::Instant;

/// Least time between two multicasts of one record on one link, in milliseconds (RFC 6762, section 6).
const REPEAT_MS: u64 = 1_000;
/// The same to defend a name against a probe, in milliseconds.
const REPEAT_TO_PROBE_MS: u64 = 250;
/// What falls due so soon leaves with what is due, in milliseconds.
const TOGETHER_MS: u64 = 20;

/// An address of an interface, and its subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// The address.
    pub ip: IpAddr,
    /// How many of its bits all hosts of the subnet share.
    pub prefix_bits: u8,
    /// Whether it is advertised. All are looked at to tell who is on the link.
    pub is_shown: bool,
}

impl Subnet {
    /// Whether `ip` is of this subnet.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let differing = match (self.ip, ip) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (own.to_bits() ^ other.to_bits()).leading_zeros(),
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits() ^ other.to_bits()).leading_zeros(),
            _ => return false,
        };
        differing >= self.prefix_bits.into()
    }
}

/// An interface that is advertised on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The system's number for it, which is also the scope of its link-local addresses.
    pub index: u32,
    /// Its addresses.
    pub addresses: Vec<Subnet, MAX_INTERFACE_ADDRESSES>,
}

impl Interface {
    /// Whether a packet from this address came by this interface, from a host on its link (RFC 6762, section 11).
    pub fn has_neighbour(&self, from: SocketAddr) -> bool {
        match from {
            // A link-local address is of the link, and says of which.
            SocketAddr::V6(from) if from.ip().is_unicast_link_local() => from.scope_id() == self.index,
            _ => self.addresses.iter().any(|subnet| subnet.contains(from.ip())),
        }
    }
}

/// How far the names are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Whether somebody else has them is being asked: so many times, and again then.
    Probing { sent: u8, next: Instant },
    /// They are ours, and everybody is told: so many times, and again then.
    Announcing { sent: u8, next: Instant },
    /// Questions are answered.
    Settled,
    /// Everybody is to be told that it is over.
    Leaving,
    /// Nothing more is said.
    Gone,
}

/// An answer that waits.
#[derive(Clone, Copy)]
struct Pending {
    due: Instant,
    /// Who asked, if it was one: what that one knows already need not be said.
    asker: Option<IpAddr>,
}

/// The state of a link.
pub(super) struct Link {
    pub(super) interface: Interface,
    pub(super) is_v4: bool,
    pub(super) phase: Phase,
    /// When each was multicast.
    last: [Option<Instant>; ITEMS],
    pending: [Option<Pending>; ITEMS],
    /// The running second of answers to one asker alone, and how many there were.
    unicasts: (u64, u32),
}

impl Link {
    pub(super) const fn new(interface: Interface, is_v4: bool, phase: Phase) -> Self {
        Self {
            interface,
            is_v4,
            phase,
            last: [None; ITEMS],
            pending: [const { None }; ITEMS],
            unicasts: (0, 0),
        }
    }

    /// The addresses that are advertised.
    pub(super) fn shown(&self) -> impl Iterator<Item = IpAddr> {
        self.interface.addresses.iter().filter(|subnet| subnet.is_shown).map(|subnet| subnet.ip)
    }

    /// Whether a packet from this address came by this link.
    pub(super) fn has_neighbour(&self, from: SocketAddr) -> bool {
        from.is_ipv4() == self.is_v4 && self.interface.has_neighbour(from)
    }

    /// Whether the names are ours, and answers may be given.
    pub(super) const fn is_ours(&self) -> bool {
        matches!(self.phase, Phase::Announcing { .. } | Phase::Settled)
    }

    /// Begins to probe, or begins again.
    pub(super) fn probe(&mut self, at: Instant) {
        if !matches!(self.phase, Phase::Leaving | Phase::Gone) {
            self.phase = Phase::Probing { sent: 0, next: at };
            self.pending = [None; ITEMS];
        }
    }

    /// The interface has these addresses now. The names stay ours; what is new is announced (section 8.4).
    pub(super) fn change(&mut self, now: Instant, interface: &Interface) {
        if self.interface == *interface {
            return;
        }
        let is_shown = |subnet: &&Subnet| subnet.is_shown;
        let before = self.interface.addresses.iter().filter(is_shown);
        let is_same = before.eq(interface.addresses.iter().filter(is_shown));
        self.interface = interface.clone();
        if !is_same && self.is_ours() {
            self.phase = Phase::Announcing { sent: 0, next: now };
        }
    }

    /// When it was last multicast.
    pub(super) fn last(&self, item: Item) -> Option<Instant> {
        self.last.get(item as usize).copied().flatten()
    }

    /// These are multicast now.
    pub(super) fn said(&mut self, now: Instant, items: Items) {
        for item in items.iter() {
            if let Some(last) = self.last.get_mut(item as usize) {
                *last = Some(now);
            }
            self.cancel(item);
        }
    }

    /// Lets an answer leave after so many milliseconds, and not too soon after the same was said.
    pub(super) fn schedule(
        &mut self,
        now: Instant,
        item: Item,
        delay_ms: u64,
        asker: IpAddr,
        to_probe: bool,
    ) {
        let pause_ms = if to_probe { REPEAT_TO_PROBE_MS } else { REPEAT_MS };
        let earliest = self.last(item).map_or(now, |last| last.plus_ms(pause_ms));
        let due = now.plus_ms(delay_ms).max(earliest);
        let Some(place) = self.pending.get_mut(item as usize) else { return };
        *place = Some(place.map_or(Pending { due, asker: Some(asker) }, |before| Pending {
            due: due.min(before.due),
            asker: before.asker.filter(|&other| other == asker),
        }));
    }

    /// Who asked alone knows this already.
    pub(super) fn is_known_to(&mut self, asker: IpAddr, item: Item) {
        let pending = self.pending.get(item as usize).copied().flatten();
        if pending.is_some_and(|pending| pending.asker == Some(asker)) {
            self.cancel(item);
        }
    }

    /// Takes an answer back that waits.
    pub(super) fn cancel(&mut self, item: Item) {
        if let Some(pending) = self.pending.get_mut(item as usize) {
            *pending = None;
        }
    }

    /// The answers that leave now, if one is due.
    pub(super) fn due(&self, now: Instant) -> Items {
        if self.next_answer().is_none_or(|due| due > now) {
            return Items::NONE;
        }
        let mut items = Items::NONE;
        for item in super::items::ALL {
            let pending = self.pending.get(item as usize).copied().flatten();
            // Nothing is repeated early to leave in company.
            let is_fresh = self.last(item).is_none_or(|last| now.ms_since(last) >= REPEAT_MS);
            let soon = if is_fresh { now.plus_ms(TOGETHER_MS) } else { now };
            if pending.is_some_and(|pending| pending.due <= soon) {
                items.insert(item);
            }
        }
        items
    }

    /// What may be said besides: what was not said within a second.
    pub(super) fn unsaid(&self, now: Instant, items: Items) -> Items {
        let mut unsaid = Items::NONE;
        for item in items.iter() {
            if self.last(item).is_none_or(|last| now.ms_since(last) >= REPEAT_MS) {
                unsaid.insert(item);
            }
        }
        unsaid
    }

    /// When there is something to send.
    pub(super) fn next(&self) -> Option<Instant> {
        match self.phase {
            Phase::Probing { next, .. } => Some(next),
            Phase::Announcing { next, .. } => Some(self.next_answer().map_or(next, |due| due.min(next))),
            Phase::Settled => self.next_answer(),
            Phase::Leaving => Some(Instant::START),
            Phase::Gone => None,
        }
    }

    fn next_answer(&self) -> Option<Instant> {
        self.pending.iter().flatten().map(|pending| pending.due).min()
    }

    /// Whether one asker may be answered alone: not more than [`MDNS_UNICASTS_PER_S`] are.
    pub(super) const fn may_answer_alone(&mut self, now: Instant) -> bool {
        let (second, count) = &mut self.unicasts;
        if *second != now.as_s() {
            (*second, *count) = (now.as_s(), 0);
        }
        *count = count.saturating_add(1);
        *count <= MDNS_UNICASTS_PER_S
    }
}
