//! The records of an advert, by what they say.

use crate::limits::{MDNS_HOST_TTL_S, MDNS_OTHER_TTL_S};

/// How many kinds there are.
pub(super) const ITEMS: usize = 9;

/// What one record, or all addresses of one family, say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// The service has this instance: PTR.
    Instance,
    /// There is such a service: PTR.
    Service,
    /// Where the instance is: SRV.
    Srv,
    /// What else there is to know of it: TXT.
    Txt,
    /// The host's IPv4 addresses: A.
    V4,
    /// The host's IPv6 addresses: AAAA.
    V6,
    /// Where the service is: SRV of the service itself, for those who ask once and know no better.
    ServiceSrv,
    /// The host has no other types of records: NSEC.
    NoOtherOfHost,
    /// Nor has the instance: NSEC.
    NoOtherOfInstance,
}

pub(super) const ALL: [Item; ITEMS] = [
    Item::Instance,
    Item::Service,
    Item::Srv,
    Item::Txt,
    Item::V4,
    Item::V6,
    Item::ServiceSrv,
    Item::NoOtherOfHost,
    Item::NoOtherOfInstance,
];

impl Item {
    /// How long it may be believed, in seconds.
    pub(super) const fn ttl_s(self) -> u32 {
        match self {
            Self::Instance | Self::Service | Self::Txt | Self::NoOtherOfInstance => MDNS_OTHER_TTL_S,
            Self::Srv | Self::V4 | Self::V6 | Self::ServiceSrv | Self::NoOtherOfHost => MDNS_HOST_TTL_S,
        }
    }

    /// Whether others may have such records, too: then answers are delayed, so that they do not collide.
    pub(super) const fn is_shared(self) -> bool {
        matches!(self, Self::Instance | Self::Service | Self::ServiceSrv)
    }

    /// What will be asked next (RFC 6763, section 12).
    pub(super) const fn next(self) -> Items {
        match self {
            Self::Instance => Items::of(&[Self::Srv, Self::Txt, Self::V4, Self::V6]),
            Self::Srv | Self::ServiceSrv | Self::V4 | Self::V6 => Items::of(&[Self::V4, Self::V6]),
            _ => Items::NONE,
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A set of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Items(u16);

impl Items {
    pub(super) const NONE: Self = Self(0);
    /// What an announcement tells.
    pub(super) const ANNOUNCED: Self =
        Self::of(&[Item::Instance, Item::Service, Item::Srv, Item::Txt, Item::V4, Item::V6]);

    pub(super) const fn of(items: &[Item]) -> Self {
        let mut bits = 0;
        let mut rest = items;
        while let [first, others @ ..] = rest {
            bits |= first.bit();
            rest = others;
        }
        Self(bits)
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) const fn has(self, item: Item) -> bool {
        self.0 & item.bit() != 0
    }

    pub(super) const fn insert(&mut self, item: Item) {
        self.0 |= item.bit();
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Item> {
        ALL.into_iter().filter(move |&item| self.has(item))
    }

    /// What will be asked next by who hears these.
    pub(super) fn next(self) -> Self {
        self.iter().fold(Self::NONE, |next, item| next.and(item.next())).without(self)
    }
}
