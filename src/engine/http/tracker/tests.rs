//! Queries and bencoded answers, letter for letter.

use super::*;
use crate::engine::{Announce, PeersQuery, Proof, Settings, Storage};
use crate::id::PeerId;
use crate::rng::Seed;

type Memory = Storage<256, 1024>;

/// The percent-encoded key of `pscryptochat`, with upper- and lower-case digits and plain characters.
const ROOM: &str = "%DC%90%ebp%3F%BE%5E%D4V%2F%CD%E5%93w1%0F%23v%80%E7";
const LEECHER: &str = "198.51.100.7";
const SEEDER: &str = "203.0.113.9";
const SIX: &str = "2001:db8::7";

fn engine(memory: &mut Memory) -> Engine<'_> {
    let settings = Settings { queries_per_minute: 0, announces_per_minute: 0, ..Settings::default() };
    memory.engine(settings, &Seed([4; 32]))
}

fn source(ip: &str, protocol: Protocol) -> Source {
    let addr = CanonicalAddr::new(ip.parse().unwrap());
    Source { addr, port: 40_000, protocol, proof: Proof::Tcp }
}

fn ask(engine: &mut Engine<'_>, ip: &str, tracking: Tracking, query: &str) -> std::vec::Vec<u8> {
    let mut buffer = [0; 15_000];
    let mut out = Writer::new(&mut buffer);
    answer(Instant::from_s(1000), engine, &source(ip, Protocol::Http), tracking, query, &mut out).unwrap();
    out.written().to_vec()
}

/// The answer to an announce of the room.
fn announce(engine: &mut Engine<'_>, ip: &str, rest: &str) -> std::vec::Vec<u8> {
    ask(engine, ip, Tracking::Announce, &format!("info_hash={ROOM}&{rest}"))
}

fn scrape(engine: &mut Engine<'_>, query: &str) -> std::vec::Vec<u8> {
    ask(engine, LEECHER, Tracking::Scrape, query)
}

#[track_caller]
fn check(answer: &[u8], expected: &[&[u8]]) {
    assert_eq!(answer.escape_ascii().to_string(), expected.concat().escape_ascii().to_string());
}

/// The word of a refusal.
#[track_caller]
fn word(answer: &[u8]) -> &str {
    let text = str::from_utf8(answer).unwrap().strip_prefix("d14:failure reason").unwrap();
    let (length, text) = text.split_once(':').unwrap();
    let (reason, rest) = text.split_at(length.parse().unwrap());
    assert!(rest == "e" || rest.starts_with("8:retry ini"), "{rest}");
    reason.split_once(": ").unwrap().0
}

#[test]
fn what_a_client_sends_is_read() {
    let all = format!(
        "info_hash={ROOM}&peer_id=-XX0001-abcdefghijkl&port=6881&uploaded=1&downloaded=2&left=0&corrupt=0&key=1F&\
         event=completed&numwant=7&compact=0&no_peer_id=1&supportcrypto=1&redundant=0&ip=192.0.2.1&ipv6=%3A%3A1&x&x"
    );
    let key = NetworkKey::of_name("pscryptochat").unwrap();
    let read = Announced {
        info_hash: key,
        port: 6881,
        seeding: true,
        event: Event::Completed,
        limit: 7,
        compact: false,
    };
    assert_eq!(Announced::parse(&all), Ok(read));
    let least = format!("port=1&info_hash={ROOM}");
    let read = Announced { port: 1, seeding: false, event: Event::None, limit: 50, compact: true, ..read };
    assert_eq!(Announced::parse(&least), Ok(read));
    for (rest, expected) in [
        ("event=", read),
        ("event=started", read),
        ("event=paused", read),
        ("event=stopped", Announced { event: Event::Stopped, ..read }),
        ("numwant=0", Announced { limit: 0, ..read }),
        ("numwant=50", read),
        ("numwant=200", read),
        ("numwant=-1", read),
        ("numwant=99999999999999999999", read),
        ("compact=1", read),
        ("compact=", read),
        ("left=18446744073709551615", read),
        ("left=00", Announced { seeding: true, ..read }),
    ] {
        assert_eq!(Announced::parse(&format!("{least}&{rest}")), Ok(expected), "{rest}");
    }
}

#[test]
fn what_is_no_announce_is_refused() {
    let memory = &mut Memory::new();
    let engine = &mut engine(memory);
    let short = "%DC%90";
    for query in [
        String::new(),
        "port=1".into(),
        format!("info_hash={ROOM}"),
        "info_hash=&port=1".into(),
        format!("info_hash={short}&port=1"),
        format!("info_hash={ROOM}x&port=1"),
        format!("info_hash={ROOM}&info_hash={ROOM}&port=1"),
        format!("info_hash={ROOM}&port=1&port=1"),
        format!("info_hash={ROOM}&port=0"),
        format!("info_hash={ROOM}&port=65536"),
        format!("info_hash={ROOM}&port=%2B1"),
        format!("info_hash={ROOM}&port=+1"),
        format!("info_hash={ROOM}&port=-1"),
        format!("info_hash={ROOM}&port="),
        format!("info_hash={ROOM}&port=1&left=-1"),
        format!("info_hash={ROOM}&port=1&left="),
        format!("info_hash={ROOM}&port=1&event=Started"),
        format!("info_hash={ROOM}&port=1&numwant=many"),
        format!("info_hash={ROOM}&port=1&numwant=-"),
    ] {
        assert_eq!(word(&ask(engine, LEECHER, Tracking::Announce, &query)), "bad_request", "{query}");
    }
    assert!(engine.peers().is_empty());
    let failure = ask(engine, LEECHER, Tracking::Announce, &format!("info_hash={ROOM}&port=x"));
    check(&failure, &[b"d14:failure reason53:bad_request: port must be a whole number in 1..=65535e"]);
    let refused: u64 = engine.stats.refusals().map(|(_, _, count)| count).sum();
    assert_eq!(refused, 20, "all are counted");
}

#[test]
fn peers_are_told_of_each_other() {
    let memory = &mut Memory::new();
    let engine = &mut engine(memory);
    let alone = announce(engine, LEECHER, "port=6881&left=9&event=started");
    check(
        &alone,
        &[
            b"d8:completei0e11:external ip4:\xc6\x33\x64\x0710:incompletei1e8:intervali300e",
            b"12:min intervali30e5:peers0:e",
        ],
    );
    let found = announce(engine, SEEDER, "port=256&left=0");
    check(
        &found,
        &[
            b"d8:completei1e11:external ip4:\xcb\x00\x71\x0910:incompletei1e8:intervali300e",
            b"12:min intervali30e5:peers6:\xc6\x33\x64\x07\x1a\xe1e",
        ],
    );
    let six: &[u8] = b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07";
    let asked = announce(engine, SIX, "port=80&numwant=0");
    check(
        &asked,
        &[
            b"d8:completei1e11:external ip16:",
            six,
            b"10:incompletei2e8:intervali300e12:min intervali30e5:peers0:6:peers60:e",
        ],
    );
    let again = announce(engine, LEECHER, "port=6881&left=0&event=completed");
    let both: [&[u8]; 5] = [
        b"d8:completei2e11:external ip4:\xc6\x33\x64\x0710:incompletei1e8:intervali300e",
        b"12:min intervali30e5:peers6:\xcb\x00\x71\x09\x01\x006:peers618:",
        six,
        b"\0\x50",
        b"e",
    ];
    check(&again, &both);
    let gone = announce(engine, SEEDER, "port=256&event=stopped&numwant=0");
    check(
        &gone,
        &[
            b"d8:completei1e11:external ip4:\xcb\x00\x71\x0910:incompletei1e8:intervali300e",
            b"12:min intervali30e5:peers0:e",
        ],
    );
    let gone_again = announce(engine, SEEDER, "port=256&event=stopped&numwant=0");
    assert_eq!(gone_again, gone, "leaving twice is no error");
    let scraped = scrape(engine, &format!("info_hash={ROOM}"));
    let key = NetworkKey::of_name("pscryptochat").unwrap().0;
    check(&scraped, &[b"d5:filesd20:", &key, b"d8:completei1e10:downloadedi1e10:incompletei1eeee"]);
}

#[test]
fn peers_may_be_dictionaries() {
    let memory = &mut Memory::new();
    let engine = &mut engine(memory);
    announce(engine, LEECHER, "port=6881");
    let one = announce(engine, SEEDER, "port=1&compact=0&no_peer_id=1");
    assert!(one.ends_with(b"5:peersld2:ip12:198.51.100.74:porti6881eeee"), "{}", one.escape_ascii());
    let other = announce(engine, SIX, "port=65535&compact=0&numwant=0");
    assert!(other.ends_with(b"12:min intervali30e5:peerslee"), "{}", other.escape_ascii());
    announce(engine, SEEDER, "port=1&event=stopped");
    announce(engine, LEECHER, "port=6881&event=stopped");
    let last = announce(engine, LEECHER, "port=6882&compact=0");
    assert!(last.ends_with(b"5:peersld2:ip11:2001:db8::74:porti65535eeee"), "{}", last.escape_ascii());
}

#[test]
fn the_largest_answers_fit() {
    let memory = &mut Memory::new();
    let engine = &mut engine(memory);
    for n in 0..60 {
        let wordy = format!("2001:db{n:x}:1111:2222:3333:4444:5555:6666");
        announce(engine, &wordy, "port=65535");
    }
    let compact = announce(engine, LEECHER, "port=1");
    assert!(compact.windows(12).any(|window| window == b"6:peers6900:"), "{}", compact.escape_ascii());
    let listed = announce(engine, LEECHER, "port=1&compact=0");
    let entries = listed.windows(5).filter(|window| window == b"d2:ip").count();
    assert_eq!(entries, 50);
    let most: std::vec::Vec<String> = (0..MAX_SCRAPED)
        .map(|n| format!("info_hash={}", char::from(b'0' + n as u8).to_string().repeat(20)))
        .collect();
    let query = most.join("&");
    assert!(query.len() <= MAX_TARGET_BYTES - "/scrape?".len() && MAX_SCRAPED == 65, "{}", query.len());
    assert_eq!(scrape(engine, &query).windows(10).filter(|w| w == b"downloaded").count(), MAX_SCRAPED);
}

#[test]
fn a_scrape_is_sorted_and_has_each_once() {
    let memory = &mut Memory::new();
    let engine = &mut engine(memory);
    ask(engine, LEECHER, Tracking::Announce, "info_hash=bbbbbbbbbbbbbbbbbbbb&port=1");
    let b = "info_hash=bbbbbbbbbbbbbbbbbbbb";
    let scraped = scrape(
        engine,
        &format!("{b}&left=1&info_hash=cccccccccccccccccccc&{b}&info_hash=%61aaaaaaaaaaaaaaaaaaa"),
    );
    check(
        &scraped,
        &[
            b"d5:filesd",
            b"20:aaaaaaaaaaaaaaaaaaaad8:completei0e10:downloadedi0e10:incompletei0ee",
            b"20:bbbbbbbbbbbbbbbbbbbbd8:completei0e10:downloadedi0e10:incompletei1ee",
            b"20:ccccccccccccccccccccd8:completei0e10:downloadedi0e10:incompletei0ee",
            b"ee",
        ],
    );
    for none in [
        "",
        "x=1",
        "info_hash=",
        "info_hash=aaaaaaaaaaaaaaaaaaa",
        "info_hash=bbbbbbbbbbbbbbbbbbbb&info_hash=x",
    ] {
        assert_eq!(word(&scrape(engine, none)), "bad_request", "{none}");
    }
}

#[test]
fn refusals_of_the_engine_are_failures() {
    let memory = &mut Memory::new();
    let mut settings = Settings { announces_per_minute: 2, queries_per_minute: 1, ..Settings::default() };
    settings.networks.push(NetworkKey::of_name("pscryptochat").unwrap()).unwrap();
    let engine = &mut memory.engine(settings, &Seed([4; 32]));
    for _ in 0..2 {
        assert!(announce(engine, LEECHER, "port=1").starts_with(b"d8:complete"));
    }
    check(
        &announce(engine, LEECHER, "port=1"),
        &[b"d14:failure reason49:rate_limited: too many requests from your address8:retry ini1ee"],
    );
    let other = "info_hash=aaaaaaaaaaaaaaaaaaaa";
    assert_eq!(
        word(&ask(engine, SEEDER, Tracking::Announce, &format!("{other}&port=1"))),
        "network_not_served"
    );
    assert_eq!(word(&scrape(engine, other)), "network_not_served");
    assert_eq!(word(&scrape(engine, other)), "rate_limited");
    let refusals: std::vec::Vec<_> = engine.stats.refusals().filter(|&(_, _, count)| count > 0).collect();
    assert_eq!(refusals, [("http_tracker", "network_not_served", 2), ("http_tracker", "rate_limited", 2)]);
    let requests: std::vec::Vec<_> = engine.stats.requests().filter(|&(_, _, count)| count > 0).collect();
    assert_eq!(requests, [("http_tracker", "scrape", 2), ("http_tracker", "announce", 4)]);
}

#[test]
fn peers_of_other_protocols_are_there() {
    let memory = &mut Memory::new();
    let engine = &mut engine(memory);
    let network = engine.settings.default_network;
    let endpoints =
        ["udp://:9001", "tcp://:9000"].map(|text| crate::endpoint::Endpoint::parse(text).unwrap());
    let alice = Announce {
        network,
        id: PeerId::parse("alice").unwrap(),
        endpoints: endpoints.into_iter().collect(),
        ttl_s: None,
        seeding: false,
        owner: None,
        seal: None,
        work: None,
    };
    let json = source(LEECHER, Protocol::Http);
    engine.handle(Instant::from_s(1000), &json, &Request::Announce(alice));
    let found = announce(engine, SEEDER, "port=256&left=0");
    assert!(found.ends_with(b"5:peers6:\xc6\x33\x64\x07\x23\x28e"), "tcp first: {}", found.escape_ascii());
    let query = PeersQuery {
        network,
        limit: 50,
        schemes: Default::default(),
        exclude: Some(PeerId::parse("alice").unwrap()),
    };
    let Reply::Peers(sample) = engine.handle(Instant::from_s(1001), &json, &Request::Peers(query)) else {
        panic!("no peers");
    };
    let peer = sample.peers().next().expect("the tracker's client");
    assert_eq!(peer.id.as_str(), "203.0.113.9:256");
    let schemes: std::vec::Vec<_> =
        peer.endpoints().map(|endpoint| (endpoint.scheme, endpoint.port)).collect();
    assert_eq!(schemes, [("tcp", 256), ("udp", 256)]);
}

#[test]
fn a_peer_outlives_two_intervals() {
    let memory = &mut Memory::new();
    let engine = &mut engine(memory);
    announce(engine, LEECHER, "port=1");
    for (later_s, left) in [(599, 1), (602, 0)] {
        while engine.tick(Instant::from_s(1000 + later_s)) {}
        assert_eq!(engine.peers().len(), left, "after {later_s} s");
    }
}
