//! An advert on the LAN: DNS-SD (RFC 6763) over multicast DNS (RFC 6762), the responder's half, sans-IO.
//!
//! A driver tells a [`Responder`] which interfaces there are and what came in; it says what is to be sent and when it wants
//! to be asked again. It asks whether its names are free, announces them, answers questions, gives way to others, and says
//! goodbye. It hears nobody who is not on the link: others get silence. Each family of addresses on each interface is a link
//! of its own. Its memory is fixed, and what a packet costs is bounded.

mod advert;
mod items;
mod link;
mod packets;
#[cfg(test)]
mod tests;

pub use advert::Advert;
pub use link::{Interface, Subnet};

use core::cmp::Ordering;
use core::net::SocketAddr;

use heapless::Vec;

use crate::limits::{
    MAX_INTERFACE_ADDRESSES, MAX_INTERFACES, MAX_MDNS_QUESTIONS, MAX_MDNS_RECORDS, MAX_MDNS_REPLY_BYTES,
};
use crate::rng::{HashKey, Rng, Seed};
use crate::time::Instant;
use crate::wire::Full;
use crate::wire::dns::{CLASS_IN, Data, Message, Name, Question, Record, Section, Type};
use advert::{Names, Own};
use items::{Item, Items};
use link::{Link, Phase};

/// The port of multicast DNS. Who asks from another one takes no part in it (RFC 6762, section 6.7).
pub const PORT: u16 = 5353;
/// Its IPv4 group.
pub const GROUP_V4: core::net::Ipv4Addr = core::net::Ipv4Addr::new(224, 0, 0, 251);
/// Its IPv6 group.
pub const GROUP_V6: core::net::Ipv6Addr = core::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);

/// Links there can be: two families on each interface.
const MAX_LINKS: usize = 2 * MAX_INTERFACES;
/// Longest wait before the first probe, in milliseconds (RFC 6762, section 8.1).
const PROBE_WAIT_MS: u32 = 250;
/// Time between two probes, in milliseconds, and how many there are.
const PROBE_PAUSE_MS: u64 = 250;
const PROBES: u8 = 3;
/// Wait of who has given way to another one's probe, in milliseconds (section 8.2).
const GIVE_WAY_MS: u64 = 1_000;
/// Time between two announcements, in milliseconds, and how many there are (section 8.3).
const ANNOUNCE_PAUSE_MS: u64 = 1_000;
const ANNOUNCEMENTS: u8 = 2;
/// Delays of answers that others may give, too, in milliseconds: from and width (section 6).
const SHARED_DELAY_MS: (u32, u32) = (20, 101);
/// The same when more known answers follow (section 7.2).
const TRUNCATED_DELAY_MS: (u32, u32) = (400, 101);
/// So many conflicts in that time are a fight, and then each new attempt waits (section 8.1), in milliseconds.
const FIGHT_CONFLICTS: u32 = 15;
const FIGHT_MS: u64 = 10_000;
const FIGHT_WAIT_MS: u64 = 5_000;
/// Records of one name that are compared with ours when two probe at a time.
const MAX_RIVALS: usize = 16;

/// Something to send to everybody on a link, from port [`PORT`] to [`GROUP_V4`] or [`GROUP_V6`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Multicast {
    /// The interface.
    pub index: u32,
    /// Whether by IPv4.
    pub is_v4: bool,
    /// How many bytes.
    pub length: usize,
}

/// Speaks for one advert.
pub struct Responder {
    advert: Advert,
    names: Names,
    links: Vec<Link, MAX_LINKS>,
    rng: Rng,
    /// When the running fight began, and how many conflicts it had.
    fight: (Instant, u32),
}

/// What one packet asks for.
struct Asked {
    /// By everybody, or by who would get its answer from everybody.
    multicast: Items,
    /// By one alone.
    unicast: Items,
    /// Who says which records it is about to use.
    is_probe: bool,
}

impl Responder {
    /// A responder that knows of no interface yet.
    ///
    /// # Errors
    /// [`Full`] if the service name is none.
    pub fn new(advert: Advert, key: HashKey) -> Result<Self, Full> {
        let names = Names::new(&advert)?;
        Ok(Self { advert, names, links: Vec::new(), rng: Rng::new(key), fight: (Instant::START, 0) })
    }

    /// The key for a responder beside a server of this seed.
    pub fn key(seed: &Seed) -> HashKey {
        seed.key(super::purpose::MDNS)
    }

    /// The instance's name as it is now, with its service.
    pub fn instance(&self) -> Name<'_> {
        self.names.instance.name()
    }

    /// The host's name as it is now.
    pub fn host(&self) -> Name<'_> {
        self.names.host.name()
    }

    /// These interfaces there are from now on. On new ones the names are probed and announced; where other addresses are shown
    /// than before, they are announced.
    pub fn set_interfaces(&mut self, now: Instant, interfaces: &[Interface]) {
        self.links.retain(|link| interfaces.iter().any(|there| there.index == link.interface.index));
        for interface in interfaces {
            for is_v4 in [true, false] {
                self.set_link(now, interface, is_v4);
            }
        }
    }

    fn set_link(&mut self, now: Instant, interface: &Interface, is_v4: bool) {
        let is_this = |link: &Link| link.interface.index == interface.index && link.is_v4 == is_v4;
        let has_family = interface.addresses.iter().any(|subnet| subnet.ip.is_ipv4() == is_v4);
        let at = now.plus_ms(self.rng.below(PROBE_WAIT_MS.saturating_add(1)).into());
        match self.links.iter().position(is_this) {
            Some(place) if !has_family => drop(self.links.swap_remove(place)),
            Some(place) => {
                if let Some(link) = self.links.get_mut(place) {
                    link.change(now, interface);
                }
            }
            None if has_family => {
                let phase = Phase::Probing { sent: 0, next: at };
                // What finds no place is not advertised on.
                let _ = self.links.push(Link::new(interface.clone(), is_v4, phase));
            }
            None => {}
        }
    }

    /// Takes in a packet; an answer to its sender alone is written to `out`, and its length returned, else 0.
    pub fn receive(&mut self, now: Instant, from: SocketAddr, packet: &[u8], out: &mut [u8]) -> usize {
        let Some(at) = self.links.iter().position(|link| link.has_neighbour(from)) else { return 0 };
        let Ok(message) = Message::parse(packet) else { return 0 };
        // Section 18: other kinds of messages are ignored.
        if message.flags.opcode() != 0 || message.flags.rcode() != 0 {
            return 0;
        }
        if !message.flags.is_response() {
            return self.heard_query(now, at, from, &message, out);
        }
        if from.port() == PORT {
            self.heard_response(now, at, &message);
        }
        0
    }

    /// When [`Responder::poll_transmit`] has something to send; `None` if nothing has to be sent.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.links.iter().filter_map(Link::next).min()
    }

    /// Writes what is to be sent now to `out`, of [`MAX_MDNS_REPLY_BYTES`]. To be called until there is nothing more.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<Multicast> {
        for at in 0..self.links.len() {
            let length = self.transmit(now, at, out);
            if length > 0 {
                let link = self.links.get(at)?;
                return Some(Multicast { index: link.interface.index, is_v4: link.is_v4, length });
            }
        }
        None
    }

    /// Takes the advert back: what was announced is to be forgotten.
    pub fn leave(&mut self) {
        for link in &mut self.links {
            link.phase = if link.is_ours() { Phase::Leaving } else { Phase::Gone };
        }
    }

    /// Writes what a link has to send now; returns its length.
    fn transmit(&mut self, now: Instant, at: usize, out: &mut [u8]) -> usize {
        let Self { advert, names, links, .. } = self;
        let Some(link) = links.get_mut(at) else { return 0 };
        let all = Items::ANNOUNCED;
        match link.phase {
            Phase::Probing { sent: PROBES, next } if next <= now => {
                link.phase = Phase::Announcing { sent: 1, next: now.plus_ms(ANNOUNCE_PAUSE_MS) };
                link.said(now, all);
                packets::response(advert, names, link, all, Items::NONE, out)
            }
            Phase::Probing { sent, next } if next <= now => {
                let next = now.plus_ms(PROBE_PAUSE_MS);
                link.phase = Phase::Probing { sent: sent.saturating_add(1), next };
                packets::probe(advert, names, link, sent == 0, out)
            }
            Phase::Announcing { sent, next } if next <= now => {
                let sent = sent.saturating_add(1);
                link.phase = if sent < ANNOUNCEMENTS {
                    Phase::Announcing { sent, next: now.plus_ms(ANNOUNCE_PAUSE_MS) }
                } else {
                    Phase::Settled
                };
                link.said(now, all);
                packets::response(advert, names, link, all, Items::NONE, out)
            }
            Phase::Announcing { .. } | Phase::Settled => {
                let due = link.due(now);
                if due.is_empty() {
                    return 0;
                }
                let next = link.unsaid(now, due.next());
                link.said(now, due.and(next));
                packets::response(advert, names, link, due, next, out)
            }
            Phase::Leaving => {
                link.phase = Phase::Gone;
                packets::goodbye(advert, names, link, out)
            }
            Phase::Probing { .. } | Phase::Gone => 0,
        }
    }

    fn heard_query(
        &mut self,
        now: Instant,
        at: usize,
        from: SocketAddr,
        message: &Message<'_>,
        out: &mut [u8],
    ) -> usize {
        let asked = self.asked(message);
        if asked.is_probe {
            self.give_way(now, at, message);
        }
        let Self { advert, names, links, rng, .. } = self;
        let Some(link) = links.get_mut(at).filter(|link| link.is_ours()) else { return 0 };
        let known = packets::known(advert, names, link, message);
        if asked.multicast.and(asked.unicast).is_empty() {
            // More of what the sender of a truncated query knows.
            known.iter().for_each(|item| link.is_known_to(from.ip(), item));
            return 0;
        }
        let is_legacy = from.port() != PORT;
        let mut multicast = asked.multicast.without(known);
        let mut unicast = asked.unicast.without(known);
        if is_legacy {
            unicast = unicast.and(multicast);
            multicast = Items::NONE;
        } else {
            // Section 5.4: what nobody was told for long, all are told.
            for item in unicast.iter() {
                let is_fresh =
                    link.last(item).is_some_and(|last| now.s_since(last) < u64::from(item.ttl_s() / 4));
                if !is_fresh {
                    multicast.insert(item);
                }
            }
            unicast = unicast.without(multicast);
        }
        let (from_ms, width_ms) = if message.flags.is_truncated() {
            TRUNCATED_DELAY_MS
        } else if !asked.is_probe && multicast.iter().any(Item::is_shared) {
            SHARED_DELAY_MS
        } else {
            (0, 1)
        };
        let delay_ms = from_ms.saturating_add(rng.below(width_ms)).into();
        for item in multicast.iter() {
            link.schedule(now, item, delay_ms, from.ip(), asked.is_probe);
        }
        if unicast.is_empty() || !link.may_answer_alone(now) {
            return 0;
        }
        let next = unicast.next().without(known);
        if is_legacy {
            packets::legacy(advert, names, link, message, (unicast, next), out)
        } else {
            packets::response(advert, names, link, unicast, next, out)
        }
    }

    /// What a query asks for.
    fn asked(&self, message: &Message<'_>) -> Asked {
        let records = message.records().take(MAX_MDNS_RECORDS).flatten();
        let is_probe = records.into_iter().any(|record| record.section == Section::Authority);
        let mut asked = Asked { multicast: Items::NONE, unicast: Items::NONE, is_probe };
        for question in message.questions().take(MAX_MDNS_QUESTIONS).flatten() {
            let items = self.answers(&question);
            // A prober may share its port with others, which would get what is meant for it.
            if question.unicast && !is_probe {
                asked.unicast = asked.unicast.and(items);
            } else {
                asked.multicast = asked.multicast.and(items);
            }
        }
        asked
    }

    /// What answers a question.
    fn answers(&self, question: &Question<'_>) -> Items {
        let mut items = Items::NONE;
        let names = &self.names;
        let mut ask = |name: &crate::wire::dns::NameBuf, kind, item| {
            if question.asks_for(name.name(), kind) {
                items.insert(item);
            }
        };
        ask(&names.service, Type::PTR, Item::Instance);
        ask(&names.service, Type::SRV, Item::ServiceSrv);
        ask(&names.services, Type::PTR, Item::Service);
        ask(&names.instance, Type::SRV, Item::Srv);
        ask(&names.instance, Type::TXT, Item::Txt);
        ask(&names.host, Type::A, Item::V4);
        ask(&names.host, Type::AAAA, Item::V6);
        if items.is_empty() && question.class == CLASS_IN {
            match names.own(question.name) {
                Some(Own::Host) => items.insert(Item::NoOtherOfHost),
                Some(Own::Instance) => items.insert(Item::NoOtherOfInstance),
                None => {}
            }
        }
        items
    }

    /// Looks at the probe of another one for a name we are probing, too: whose records come later in the order wins (section
    /// 8.2). Ours, heard again, is neither.
    fn give_way(&mut self, now: Instant, at: usize, message: &Message<'_>) {
        let Self { advert, names, links, .. } = self;
        let Some(link) = links.get_mut(at).filter(|link| matches!(link.phase, Phase::Probing { .. })) else {
            return;
        };
        let loses = [Own::Instance, Own::Host].into_iter().any(|own| {
            let mut theirs = Vec::<Data<'_>, MAX_RIVALS>::new();
            for record in message.records().take(MAX_MDNS_RECORDS).flatten() {
                if record.section == Section::Authority && names.own(record.name) == Some(own) {
                    // Who proposes more than that wins or loses by the first.
                    let _ = theirs.push(record.data);
                }
            }
            let mut ours = Vec::<Data<'_>, { MAX_INTERFACE_ADDRESSES + 2 }>::new();
            packets::proposed(advert, names, link, &mut |name, data| {
                if names.own(name) == Some(own) {
                    let _ = ours.push(data);
                }
            });
            sort(&mut theirs);
            sort(&mut ours);
            !theirs.is_empty() && compare(&theirs, &ours) == Ordering::Greater
        });
        if loses {
            link.probe(now.plus_ms(GIVE_WAY_MS));
        }
    }

    fn heard_response(&mut self, now: Instant, at: usize, message: &Message<'_>) {
        let mut taken = None;
        for record in message.records().take(MAX_MDNS_RECORDS).flatten() {
            if self.is_said_by_another(&record)
                && let Some(link) = self.links.get_mut(at)
            {
                link.cancel(Item::Service);
            }
            if taken.is_none() {
                taken = self.conflict(at, &record);
            }
        }
        if let Some(own) = taken {
            self.conflicted(now, at, own);
        }
    }

    /// Whether a record says for us that there is such a service, for as long as we would (section 7.4).
    fn is_said_by_another(&self, record: &Record<'_>) -> bool {
        record.ttl_s >= Item::Service.ttl_s()
            && record.name == self.names.services.name()
            && record.data == Data::Ptr(self.names.service.name())
    }

    /// Which name of ours a record takes: one with other data than ours, or while it is probed of any type.
    fn conflict(&self, at: usize, record: &Record<'_>) -> Option<Own> {
        let own = self.names.own(record.name).filter(|_| record.class == CLASS_IN && record.ttl_s > 0)?;
        let link = self.links.get(at)?;
        // Another link of ours may be the same cable.
        let mut is_ours = false;
        for link in &self.links {
            packets::proposed(&self.advert, &self.names, link, &mut |name, data| {
                is_ours |= name == record.name && data == record.data;
            });
        }
        let is_unique = matches!(record.data, Data::Srv(_) | Data::Txt(_)) && own == Own::Instance
            || matches!(record.data, Data::A(_) | Data::Aaaa(_)) && own == Own::Host;
        let is_probed = matches!(link.phase, Phase::Probing { .. }) && record.data.kind() != Type::NSEC;
        (!is_ours && (is_unique || is_probed)).then_some(own)
    }

    /// Another one has a name of ours: while we probe it is theirs, else both have to make sure (section 9).
    fn conflicted(&mut self, now: Instant, at: usize, own: Own) {
        if self.links.get(at).is_some_and(|link| matches!(link.phase, Phase::Probing { .. })) {
            self.names.rename(own, &self.advert);
        }
        let (began, count) = &mut self.fight;
        if now.ms_since(*began) >= FIGHT_MS {
            (*began, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        let wait_ms = if *count >= FIGHT_CONFLICTS {
            FIGHT_WAIT_MS
        } else {
            self.rng.below(PROBE_WAIT_MS.saturating_add(1)).into()
        };
        self.links.iter_mut().for_each(|link| link.probe(now.plus_ms(wait_ms)));
    }
}

/// Puts a few records into their order, by insertion: the library's way is 2 kB of code.
fn sort(records: &mut [Data<'_>]) {
    for end in 1..records.len() {
        for at in (1..=end).rev() {
            if let Some([before, after]) = records.get_mut(at.saturating_sub(1)..=at)
                && before.order(after) == Ordering::Greater
            {
                core::mem::swap(before, after);
            }
        }
    }
}

/// Compares two sorted lists by their first difference; one that goes on is later.
fn compare(one: &[Data<'_>], other: &[Data<'_>]) -> Ordering {
    let differences = one.iter().zip(other).map(|(a, b)| a.order(b));
    differences.fold(Ordering::Equal, Ordering::then).then(one.len().cmp(&other.len()))
}

/// The longest packet fits where packets are written.
const _: () = assert!(MAX_MDNS_REPLY_BYTES >= 1000);
