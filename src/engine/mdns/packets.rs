//! What is sent: probes, announcements, answers and goodbyes, all made of the same records.

use core::net::IpAddr;

use heapless::Vec;

use super::Advert;
use super::advert::Names;
use super::items::{Item, Items};
use super::link::Link;
use crate::limits::{MAX_INTERFACE_ADDRESSES, MAX_MDNS_QUESTIONS, MAX_MDNS_RECORDS, MDNS_LEGACY_TTL_S};
use crate::wire::Full;
use crate::wire::dns::{
    Data, Emitter, Flags, MAX_NAME_BYTES, Message, Name, NameBuf, Section, Srv, Txt, Type,
};

/// Longest data of an NSEC record, in bytes: a name, and up to the type SRV one bit a type.
const MAX_NSEC_BYTES: usize = MAX_NAME_BYTES + 2 + 5;

/// How records are meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// For all who take part.
    Ordinary,
    /// For one who takes no part: short-lived, and without flush bits (RFC 6762, section 6.7).
    Legacy,
    /// To be forgotten.
    Goodbye,
}

/// Calls `each` for every record that is ours alone, with its name: what is proposed, and compared.
pub(super) fn proposed<'r>(
    advert: &'r Advert,
    names: &'r Names,
    link: &'r Link,
    each: &mut dyn FnMut(Name<'r>, Data<'r>),
) {
    for item in [Item::Txt, Item::Srv, Item::V4, Item::V6] {
        records(advert, names, link, item, each);
    }
}

/// Calls `each` for every record of an item but NSEC, with its name. One copy of it serves everybody who asks.
fn records<'r>(
    advert: &'r Advert,
    names: &'r Names,
    link: &'r Link,
    item: Item,
    each: &mut dyn FnMut(Name<'r>, Data<'r>),
) {
    let (service, instance, host) = (names.service.name(), names.instance.name(), names.host.name());
    let srv = Data::Srv(Srv { priority: 0, weight: 0, port: advert.port, target: host });
    match item {
        Item::Instance => each(service, Data::Ptr(instance)),
        Item::Service => each(names.services.name(), Data::Ptr(service)),
        Item::Srv => each(instance, srv),
        Item::ServiceSrv => each(service, srv),
        Item::Txt => each(instance, Data::Txt(Txt(&advert.texts))),
        Item::V4 | Item::V6 => {
            for ip in link.shown() {
                match ip {
                    IpAddr::V4(ip) if item == Item::V4 => each(host, Data::A(ip)),
                    IpAddr::V6(ip) if item == Item::V6 => each(host, Data::Aaaa(ip)),
                    _ => {}
                }
            }
        }
        Item::NoOtherOfHost | Item::NoOtherOfInstance => {}
    }
}

/// Which items the sender of a query says it knows, for at least half of their lives (section 7.1). Addresses are known when
/// all are.
pub(super) fn known(advert: &Advert, names: &Names, link: &Link, message: &Message<'_>) -> Items {
    let mut items = Items::NONE;
    let mut addresses = Vec::<IpAddr, { 2 * MAX_INTERFACE_ADDRESSES }>::new();
    for record in message.records().take(MAX_MDNS_RECORDS).flatten() {
        if record.section != Section::Answer {
            continue;
        }
        for item in Items::ANNOUNCED.iter().filter(|item| record.ttl_s >= item.ttl_s() / 2) {
            records(advert, names, link, item, &mut |name, data| {
                let ip = match data {
                    Data::A(ip) => Some(IpAddr::V4(ip)),
                    Data::Aaaa(ip) => Some(IpAddr::V6(ip)),
                    _ => None,
                };
                match ip {
                    _ if record.name != name || record.data != data => {}
                    None => items.insert(item),
                    Some(ip) if !addresses.contains(&ip) => drop(addresses.push(ip)),
                    Some(_) => {}
                }
            });
        }
    }
    for (item, is_v4) in [(Item::V4, true), (Item::V6, false)] {
        let mut own = link.shown().filter(|ip| ip.is_ipv4() == is_v4).peekable();
        if own.peek().is_some() && own.all(|ip| addresses.contains(&ip)) {
            items.insert(item);
        }
    }
    items
}

/// Writes a probe (section 8.1), and returns its length. With `alone` an answer to us alone will do: only the first asks
/// so, as others that share our port may get it instead of us.
pub(super) fn probe(advert: &Advert, names: &Names, link: &Link, alone: bool, out: &mut [u8]) -> usize {
    let mut write = || {
        let mut out = Emitter::new(out, 0, Flags::QUERY)?;
        out.question(names.instance.name(), Type::ANY, alone)?;
        out.question(names.host.name(), Type::ANY, alone)?;
        let mut written = Ok(());
        proposed(advert, names, link, &mut |name, data| {
            let ttl_s = if matches!(data, Data::Txt(_)) { Item::Txt.ttl_s() } else { Item::Srv.ttl_s() };
            written = written.and_then(|()| out.record(Section::Authority, name, false, ttl_s, &data));
        });
        written.map(|()| out.finish())
    };
    write().unwrap_or(0)
}

/// Writes answers and what will be asked next, and returns the length.
pub(super) fn response(
    advert: &Advert,
    names: &Names,
    link: &Link,
    answers: Items,
    next: Items,
    out: &mut [u8],
) -> usize {
    let mut write = || {
        let mut out = Emitter::new(out, 0, Flags::RESPONSE)?;
        put_all(advert, names, link, (answers, next), Kind::Ordinary, &mut out)?;
        Ok::<_, Full>(if out.is_empty() { 0 } else { out.finish() })
    };
    write().unwrap_or(0)
}

/// Writes an answer to one who takes no part in multicast DNS: id and questions come back. Returns its length.
pub(super) fn legacy(
    advert: &Advert,
    names: &Names,
    link: &Link,
    query: &Message<'_>,
    (answers, next): (Items, Items),
    out: &mut [u8],
) -> usize {
    let mut write = || {
        let mut out = Emitter::new(out, query.id, Flags::RESPONSE)?.without_compressed_hosts();
        for question in query.questions().take(MAX_MDNS_QUESTIONS).flatten() {
            out.question(question.name, question.kind, false)?;
        }
        put_all(advert, names, link, (answers, next), Kind::Legacy, &mut out)?;
        Ok::<_, Full>(out.finish())
    };
    write().unwrap_or(0)
}

/// Writes that all that was announced is to be forgotten (section 10.1), and returns its length.
pub(super) fn goodbye(advert: &Advert, names: &Names, link: &Link, out: &mut [u8]) -> usize {
    let mut write = || {
        let mut out = Emitter::new(out, 0, Flags::RESPONSE)?;
        // Others may have such a service, too.
        let own = Items::ANNOUNCED.without(Items::of(&[Item::Service]));
        put_all(advert, names, link, (own, Items::NONE), Kind::Goodbye, &mut out)?;
        Ok::<_, Full>(out.finish())
    };
    write().unwrap_or(0)
}

fn put_all(
    advert: &Advert,
    names: &Names,
    link: &Link,
    (answers, next): (Items, Items),
    kind: Kind,
    out: &mut Emitter<'_>,
) -> Result<(), Full> {
    for item in answers.iter() {
        put(advert, names, link, (Section::Answer, item), kind, out)?;
    }
    for item in next.iter() {
        // What does not fit is asked for.
        let _ = put(advert, names, link, (Section::Additional, item), kind, out);
    }
    Ok(())
}

fn put(
    advert: &Advert,
    names: &Names,
    link: &Link,
    (section, item): (Section, Item),
    kind: Kind,
    out: &mut Emitter<'_>,
) -> Result<(), Full> {
    let flush = !item.is_shared() && kind != Kind::Legacy;
    let ttl_s = match kind {
        Kind::Ordinary => item.ttl_s(),
        Kind::Legacy => item.ttl_s().min(MDNS_LEGACY_TTL_S),
        Kind::Goodbye => 0,
    };
    match item {
        Item::NoOtherOfHost => {
            let has = |is_v4| link.shown().any(|ip| ip.is_ipv4() == is_v4);
            let types = [(Type::A, has(true)), (Type::AAAA, has(false))];
            put_nsec(&names.host, &types, section, flush, ttl_s, out)
        }
        Item::NoOtherOfInstance => {
            let types = [(Type::TXT, true), (Type::SRV, true)];
            put_nsec(&names.instance, &types, section, flush, ttl_s, out)
        }
        _ => {
            let (mut written, mut any) = (Ok(()), false);
            records(advert, names, link, item, &mut |name, data| {
                any = true;
                written = written.and_then(|()| out.record(section, name, flush, ttl_s, &data));
            });
            // Asked for the addresses of a family, a host that has none says so.
            if !any && section == Section::Answer && kind != Kind::Goodbye {
                return put(advert, names, link, (Section::Answer, Item::NoOtherOfHost), kind, out);
            }
            written
        }
    }
}

/// Writes which types a name has (section 6.1): all in the first window of types, and the next name is its own.
fn put_nsec(
    name: &NameBuf,
    types: &[(Type, bool)],
    section: Section,
    flush: bool,
    ttl_s: u32,
    out: &mut Emitter<'_>,
) -> Result<(), Full> {
    let mut bitmap = [0_u8; 5];
    for (kind, _) in types.iter().filter(|(_, has)| *has) {
        if let Some(byte) = bitmap.get_mut(usize::from(kind.0 / 8)) {
            *byte |= 0x80 >> (kind.0 % 8);
        }
    }
    let used = bitmap.iter().rposition(|&byte| byte != 0).map_or(1, |last| last.saturating_add(1));
    let mut data = Vec::<u8, MAX_NSEC_BYTES>::new();
    data.extend_from_slice(name.wire()).map_err(|_| Full)?;
    data.extend_from_slice(&[0, u8::try_from(used).map_err(|_| Full)?]).map_err(|_| Full)?;
    data.extend_from_slice(bitmap.get(..used).unwrap_or_default()).map_err(|_| Full)?;
    out.record(section, name.name(), flush, ttl_s, &Data::Other(Type::NSEC, &data))
}
