//! The HTTP tracker (BEP 3): announces and scrapes are queries, answers are bencoded.
//!
//! A refusal is an answer like any other, with status 200: clients show `failure reason` to people, and take another
//! status for a broken server.

use core::net::IpAddr;

use heapless::Vec;

use super::parameters;
use super::routes::Tracking;
use crate::addr::CanonicalAddr;
use crate::engine::stats::Kind;
use crate::engine::{
    Contacts, ContactsQuery, Counts, Engine, Error, Event, Families, Protocol, Reply, Request, Source, Track,
    Tracked, Transport, bittorrent,
};
use crate::id::{AddressId, NetworkKey};
use crate::limits::{MAX_SAMPLE, MAX_TARGET_BYTES, MIN_TTL_S};
use crate::time::Instant;
use crate::wire::bencode::{put_bytes, put_integer, put_length};
use crate::wire::http::query;
use crate::wire::{Full, Writer};

/// Length of the shortest `info_hash` with its name and what separates it from the next one: each byte as itself.
const SHORTEST_INFO_HASH_BYTES: usize = "info_hash=".len() + 20 + 1;
/// Most info-hashes in one scrape: as many as fit a target.
const MAX_SCRAPED: usize = (MAX_TARGET_BYTES - "/scrape".len()) / SHORTEST_INFO_HASH_BYTES;
/// Length of an IPv4 address and a port in compact form (BEP 23).
const COMPACT_V4_BYTES: usize = 6;
/// The same of IPv6 (BEP 7).
const COMPACT_V6_BYTES: usize = 18;
/// Longest address as text, in bytes.
const IP_TEXT_BYTES: usize = 45;

/// What a client says in an announce. `peer_id`, `ip`, `uploaded` and all other parameters are ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Announced {
    info_hash: NetworkKey,
    port: u16,
    /// Whether nothing is left to download.
    seeding: bool,
    event: Event,
    /// How many peers it wants at most.
    limit: usize,
    /// Whether it takes them in compact form (BEP 23).
    compact: bool,
}

/// The networks asked for in a scrape, each once, sorted.
type Scraped = Vec<[u8; 20], MAX_SCRAPED>;

/// Answers a request to the tracker. Writes the body of the response.
///
/// # Errors
/// [`Full`] if it does not fit.
pub(super) fn answer(
    now: Instant,
    engine: &mut Engine<'_>,
    source: &Source,
    tracking: Tracking,
    query: &str,
    out: &mut Writer<'_>,
) -> Result<(), Full> {
    let source = &Source { protocol: Protocol::HttpTracker, ..*source };
    let refusal = match tracking {
        Tracking::Announce => match Announced::parse(query) {
            Ok(announced) => announce(now, engine, source, &announced, out)?,
            Err(error) => Some(engine.refuse(now, source, Kind::Announce, error)),
        },
        Tracking::Scrape => match parse_scrape(query) {
            Ok(scraped) => scrape(now, engine, source, &scraped, out)?,
            Err(error) => Some(engine.refuse(now, source, Kind::Scrape, error)),
        },
    };
    refusal.map_or(Ok(()), |error| put_failure(error, out))
}

/// Registers or removes the client, and writes others for it; or tells why not.
fn announce(
    now: Instant,
    engine: &mut Engine<'_>,
    source: &Source,
    announced: &Announced,
    out: &mut Writer<'_>,
) -> Result<Option<Error>, Full> {
    let id = AddressId::of(source.addr, announced.port);
    let life_s = engine.settings.tracker_life_s();
    let track = Track {
        announce: bittorrent::announce(announced.info_hash, &id, announced.port, life_s, announced.seeding),
        event: announced.event,
        contacts: ContactsQuery {
            limit: announced.limit,
            families: Families::Both,
            transport: Transport::Tcp,
        },
    };
    let interval_s = engine.settings.tracker_interval_s();
    match engine.handle(now, source, &Request::Track(track)) {
        Reply::Tracked(tracked) => {
            put_tracked(&tracked, source.addr, interval_s, announced.compact, out).map(|()| None)
        }
        reply => Ok(Some(bittorrent::refusal(&reply))),
    }
}

/// Writes how many peers each of these networks has; or tells why not. All of it counts as one request.
fn scrape(
    now: Instant,
    engine: &mut Engine<'_>,
    source: &Source,
    scraped: &Scraped,
    out: &mut Writer<'_>,
) -> Result<Option<Error>, Full> {
    let first = scraped.first().copied().unwrap_or_default();
    let counts = match engine.count(now, source, NetworkKey(first)) {
        Ok(counts) => counts,
        Err(error) => return Ok(Some(error)),
    };
    let others = scraped.iter().skip(1).map(|&key| (key, engine.peers.counts(NetworkKey(key), source.addr)));
    // BEP 48
    out.put(b"d5:filesd")?;
    for (key, counts) in core::iter::once((first, counts)).chain(others) {
        put_bytes(&key, out)?;
        put_scraped(counts, out)?;
    }
    out.put(b"ee")?;
    Ok(None)
}

impl Announced {
    fn parse(text: &str) -> Result<Self, Error> {
        const NAMES: [&str; 6] = ["info_hash", "port", "left", "event", "numwant", "compact"];
        let mut values = [None; NAMES.len()];
        parameters::gather(text, &NAMES, &mut values)?;
        let [hash, port, left, event, wanted, compact] = values;
        Ok(Self {
            info_hash: NetworkKey(info_hash(hash.unwrap_or_default())?),
            port: port
                .and_then(decimal)
                .and_then(|port| u16::try_from(port).ok())
                .filter(|&port| port != 0)
                .ok_or(Error::BadRequest("port must be a whole number in 1..=65535"))?,
            seeding: match left {
                Some(text) => {
                    decimal(text).ok_or(Error::BadRequest("left must be a whole number of bytes"))? == 0
                }
                None => false,
            },
            event: match event.unwrap_or_default() {
                // A partial seed says that it is paused, each time (BEP 21).
                "" | "started" | "paused" => Event::None,
                "completed" => Event::Completed,
                "stopped" => Event::Stopped,
                _ => return Err(Error::BadRequest("event must be started, completed, stopped or paused")),
            },
            limit: wanted.map_or(Ok(MAX_SAMPLE), limit)?,
            // BEP 23: the client advises, the tracker may choose.
            compact: compact != Some("0"),
        })
    }
}

/// The networks in the query of a scrape. There is no listing of all there are, as without a network elsewhere.
fn parse_scrape(text: &str) -> Result<Scraped, Error> {
    let mut scraped = Scraped::new();
    for (_, value) in query::pairs(text).filter(|(name, _)| *name == "info_hash") {
        let key = info_hash(value)?;
        if let Err(place) = scraped.binary_search(&key) {
            scraped.insert(place, key).map_err(|_| Error::TooLarge)?;
        }
    }
    if scraped.is_empty() { Err(Error::BadRequest("a scrape must name an info_hash")) } else { Ok(scraped) }
}

/// An info-hash: 20 bytes, percent-encoded as far as needed.
fn info_hash(text: &str) -> Result<[u8; 20], Error> {
    let mut key = [0; 20];
    match query::decode_bytes(text, &mut key).map(<[u8]>::len) {
        Ok(20) => Ok(key),
        _ => Err(Error::BadRequest("info_hash must be 20 bytes, percent-encoded")),
    }
}

/// How many peers are wanted; a negative number is for the tracker to choose, as in BEP 15.
fn limit(text: &str) -> Result<usize, Error> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let wanted = decimal(digits).ok_or(Error::BadRequest("numwant must be a whole number"))?;
    let wanted = usize::try_from(wanted).unwrap_or(MAX_SAMPLE);
    Ok(if negative { MAX_SAMPLE } else { wanted.min(MAX_SAMPLE) })
}

/// A whole number in decimal. What is more than fits is the most that fits: nothing here needs to be told apart there.
fn decimal(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u32::MAX))
}

fn put_tracked(
    tracked: &Tracked<'_>,
    asker: CanonicalAddr,
    interval_s: u32,
    compact: bool,
    out: &mut Writer<'_>,
) -> Result<(), Full> {
    out.put(b"d")?;
    put_number(b"complete", tracked.counts.seeders, out)?;
    put_bytes(b"external ip", out)?;
    match asker.ip() {
        IpAddr::V4(ip) => put_bytes(&ip.octets(), out)?,
        IpAddr::V6(ip) => put_bytes(&ip.octets(), out)?,
    }
    put_number(b"incomplete", tracked.counts.leechers, out)?;
    put_number(b"interval", interval_s, out)?;
    // Who finds nobody may ask again as soon as the shortest-lived peers have changed.
    put_number(b"min interval", interval_s.min(MIN_TTL_S), out)?;
    if compact {
        put_compact_peers(&tracked.contacts, asker, out)?;
    } else {
        put_listed_peers(&tracked.contacts, out)?;
    }
    out.put(b"e")
}

/// Writes peers as one string of each family (BEP 23, BEP 7); that of IPv6 if there is any, or the asker could use it.
fn put_compact_peers(
    contacts: &Contacts<'_>,
    asker: CanonicalAddr,
    out: &mut Writer<'_>,
) -> Result<(), Full> {
    let (mut four, mut six) = ([0; MAX_SAMPLE * COMPACT_V4_BYTES], [0; MAX_SAMPLE * COMPACT_V6_BYTES]);
    let (mut four, mut six) = (Writer::new(&mut four), Writer::new(&mut six));
    for (addr, port) in contacts.iter() {
        let family = if addr.is_v4() { &mut four } else { &mut six };
        family.put_compact(addr, port)?;
    }
    put_bytes(b"peers", out)?;
    put_bytes(four.written(), out)?;
    if !six.is_empty() || !asker.is_v4() {
        put_bytes(b"peers6", out)?;
        put_bytes(six.written(), out)?;
    }
    Ok(())
}

/// Writes peers as dictionaries (BEP 3). They have no `peer id`, as with `no_peer_id`: none is kept.
fn put_listed_peers(contacts: &Contacts<'_>, out: &mut Writer<'_>) -> Result<(), Full> {
    put_bytes(b"peers", out)?;
    out.put(b"l")?;
    for (addr, port) in contacts.iter() {
        let mut text = [0; IP_TEXT_BYTES];
        let mut ip = Writer::new(&mut text);
        ip.put_ip(addr)?;
        out.put(b"d2:ip")?;
        put_bytes(ip.written(), out)?;
        put_number(b"port", port.into(), out)?;
        out.put(b"e")?;
    }
    out.put(b"e")
}

fn put_scraped(counts: Counts, out: &mut Writer<'_>) -> Result<(), Full> {
    out.put(b"d")?;
    put_number(b"complete", counts.seeders, out)?;
    put_number(b"downloaded", counts.completed, out)?;
    put_number(b"incomplete", counts.leechers, out)?;
    out.put(b"e")
}

/// Writes a refusal. Who asks too often is told after how many minutes it may come back (BEP 31).
fn put_failure(error: Error, out: &mut Writer<'_>) -> Result<(), Full> {
    let meaning = error.meaning();
    out.put(b"d")?;
    put_bytes(b"failure reason", out)?;
    put_length(meaning.word.len().saturating_add(2).saturating_add(meaning.detail.len()), out)?;
    [meaning.word, ": ", meaning.detail].iter().try_for_each(|text| out.put_str(text))?;
    if let Error::RateLimited { retry_after_s } = error {
        put_number(b"retry in", retry_after_s.div_ceil(60), out)?;
    }
    out.put(b"e")
}

/// Writes a key and a number.
fn put_number(key: &[u8], number: u32, out: &mut Writer<'_>) -> Result<(), Full> {
    put_bytes(key, out)?;
    put_integer(number, out)
}

#[cfg(test)]
mod tests;
