use std::borrow::ToOwned;
use std::boxed::Box;
use std::format;
use std::string::String;
use std::vec::Vec;

use crate::engine::tests::send;
use crate::engine::{Engine, Settings, Storage};
use crate::rng::Seed;
use crate::time::Instant;

type Memory = Storage<128, 256>;

const CLIENT: &str = "198.51.100.7:40000";
const OTHER: &str = "203.0.113.5:50000";
const CLIENT_V6: &str = "[2001:db8::7]:40000";
const ROOM: [u8; 20] = [0x11; 20];

fn memory() -> Box<Memory> {
    Box::new(Memory::new())
}

fn engine(memory: &mut Memory) -> Engine<'_> {
    memory.engine(Settings { max_peers: 100, ..Settings::default() }, &Seed([9; 32]))
}

fn ask_at(engine: &mut Engine<'_>, at_s: u64, from: &str, datagram: &[u8]) -> Vec<u8> {
    send(engine, Instant::from_s(at_s), from, datagram)
}

fn ask(engine: &mut Engine<'_>, from: &str, datagram: &[u8]) -> Vec<u8> {
    ask_at(engine, 0, from, datagram)
}

fn connect(engine: &mut Engine<'_>, at_s: u64, from: &str) -> [u8; 8] {
    let request = [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 1, 2, 3, 4];
    let answer = ask_at(engine, at_s, from, &request);
    assert_eq!((answer.len(), &answer[..9]), (16, &[0, 0, 0, 0, 1, 2, 3, 4, 0xb5][..]));
    answer[8..].try_into().unwrap()
}

/// What an announce says.
#[derive(Clone, Copy)]
struct Announce {
    left: u64,
    event: u32,
    num_want: i32,
    port: u16,
}

const LEECHER: Announce = Announce { left: 9, event: 2, num_want: -1, port: 6881 };
const SEEDER: Announce = Announce { left: 0, ..LEECHER };

impl Announce {
    fn datagram(self, connection_id: [u8; 8]) -> Vec<u8> {
        let mut bytes = header(connection_id, 1);
        bytes.extend(ROOM);
        bytes.extend([7; 20]);
        bytes.extend([0; 8]);
        bytes.extend(self.left.to_be_bytes());
        bytes.extend([0; 8]);
        bytes.extend(self.event.to_be_bytes());
        bytes.extend([203, 0, 113, 99, 1, 2, 3, 4]);
        bytes.extend(self.num_want.to_be_bytes());
        bytes.extend(self.port.to_be_bytes());
        bytes
    }

    /// Sends it with a good connection id.
    fn send(self, engine: &mut Engine<'_>, from: &str) -> Vec<u8> {
        let connection_id = connect(engine, 0, from);
        ask(engine, from, &self.datagram(connection_id))
    }
}

fn header(connection_id: [u8; 8], action: u8) -> Vec<u8> {
    let mut bytes = connection_id.to_vec();
    bytes.extend([0, 0, 0, action, 5, 6, 7, 8]);
    bytes
}

/// Leechers and seeders in the answer to an announce, and the bytes of peers behind.
fn counts(answer: &[u8]) -> (u32, u32, &[u8]) {
    assert_eq!(answer[..8], [0, 0, 0, 1, 5, 6, 7, 8], "{}", String::from_utf8_lossy(answer));
    let number = |at: usize| u32::from_be_bytes(answer[at..at + 4].try_into().unwrap());
    assert_eq!(number(8), 300, "the interval");
    (number(12), number(16), &answer[20..])
}

/// The text of an error.
fn error(answer: &[u8]) -> String {
    assert_eq!(answer[..8], [0, 0, 0, 3, 5, 6, 7, 8]);
    String::from_utf8(answer[8..].to_vec()).unwrap()
}

#[test]
fn two_clients_are_introduced() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    assert_eq!(counts(&SEEDER.send(engine, CLIENT)), (0, 1, &[][..]), "nobody is told of itself");
    let answer = LEECHER.send(engine, OTHER);
    assert_eq!(counts(&answer), (1, 1, &[198, 51, 100, 7, 0x1a, 0xe1][..]));
    let answer = SEEDER.send(engine, CLIENT);
    assert_eq!(counts(&answer), (1, 1, &[203, 0, 113, 5, 0x1a, 0xe1][..]), "not the claimed address");
    let finished = Announce { event: 1, ..SEEDER };
    assert_eq!(counts(&finished.send(engine, OTHER)).1, 2);
    let paused = Announce { event: 4, ..LEECHER };
    assert_eq!(counts(&paused.send(engine, OTHER)).0, 1, "a partial seed is a leecher");
}

#[test]
fn who_stops_is_gone_at_once() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    LEECHER.send(engine, CLIENT);
    let stopped = Announce { event: 3, num_want: 0, ..LEECHER };
    assert_eq!(counts(&stopped.send(engine, CLIENT)), (0, 0, &[][..]));
    assert_eq!(counts(&stopped.send(engine, CLIENT)), (0, 0, &[][..]), "it is no error to stop twice");
    assert_eq!(engine.peers().len(), 0);
}

#[test]
fn families_are_kept_apart() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    SEEDER.send(engine, CLIENT);
    assert_eq!(counts(&LEECHER.send(engine, CLIENT_V6)).2, [], "no IPv4 address over IPv6");
    let answer = LEECHER.send(engine, "[2001:db8:1::8]:1024");
    let peer = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0x1a, 0xe1];
    assert_eq!(counts(&answer), (2, 1, &peer[..]), "all are counted");
}

#[test]
fn as_many_are_told_as_are_wanted() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    for n in 0..60 {
        LEECHER.send(engine, &format!("20.{n}.0.1:4000"));
    }
    for (num_want, told) in
        [(0, 0), (1, 1), (30, 30), (50, 50), (51, 50), (i32::MAX, 50), (-1, 50), (i32::MIN, 50)]
    {
        let answer = Announce { num_want, ..LEECHER }.send(engine, CLIENT);
        let (leechers, seeders, peers) = counts(&answer);
        assert_eq!((leechers, seeders, peers.len()), (61, 0, told * 6), "{num_want}");
        let mut peers: Vec<_> = peers.chunks(6).collect();
        peers.sort_unstable();
        peers.dedup();
        assert_eq!(peers.len(), told, "no peer twice");
    }
}

#[test]
fn a_scrape_counts() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    SEEDER.send(engine, CLIENT);
    Announce { event: 1, ..SEEDER }.send(engine, OTHER);
    LEECHER.send(engine, CLIENT_V6);
    let mut scrape = header(connect(engine, 0, CLIENT), 2);
    let answer = ask(engine, CLIENT, &scrape);
    assert!(error(&answer).starts_with("bad_request: "));
    scrape.extend([ROOM, [0x22; 20], ROOM].as_flattened());
    let room = [0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1];
    let expected = [&[0, 0, 0, 2, 5, 6, 7, 8][..], &room, &[0; 12], &room].concat();
    assert_eq!(ask(engine, CLIENT, &scrape), expected);
    scrape.resize(16 + 74 * 20 - 24, 0x33);
    assert!(ask(engine, CLIENT, &scrape).len() <= 1024);
}

#[test]
fn a_connection_id_is_for_one_address_and_some_minutes() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    let connection_id = connect(engine, 0, CLIENT);
    let announce = LEECHER.datagram(connection_id);
    assert_eq!(ask_at(engine, 899, CLIENT, &announce)[3], 1);
    assert_eq!(ask_at(engine, 899, "198.51.100.7:1025", &announce)[3], 1, "whatever the port");
    for (at_s, from) in [(899, OTHER), (900, CLIENT), (100_000, CLIENT)] {
        let answer = ask_at(engine, at_s, from, &announce);
        assert_eq!(error(&answer), "bad_token: connect again");
    }
    assert_eq!(engine.peers().len(), 1);
    let scrape = [&header([0xb5; 8], 2)[..], &ROOM].concat();
    let answer = ask(engine, CLIENT, &scrape);
    assert!(answer.len() <= scrape.len());
    assert_eq!(error(&answer), "bad_token: connect again");
    assert_eq!(ask(engine, CLIENT, &scrape[..20]), [], "too short for any error");
}

#[test]
fn each_fault_has_its_word() {
    let memory = &mut memory();
    let mut settings = Settings { queries_per_minute: 0, announces_per_minute: 4, ..Settings::default() };
    settings.networks.push(crate::id::NetworkKey(ROOM)).unwrap();
    let engine = &mut memory.engine(settings, &Seed([9; 32]));
    let word = |answer: Vec<u8>| error(&answer).split(':').next().unwrap().to_owned();
    assert_eq!(word(Announce { port: 0, ..LEECHER }.send(engine, CLIENT)), "bad_request");
    assert_eq!(word(Announce { event: 5, ..LEECHER }.send(engine, CLIENT)), "bad_request");
    let mut elsewhere = LEECHER.datagram(connect(engine, 0, CLIENT));
    elsewhere[16] = 0x12;
    assert_eq!(word(ask(engine, CLIENT, &elsewhere)), "network_not_served");
    let nowhere = [&header(connect(engine, 0, CLIENT), 2)[..], &ROOM, &[0x12; 20]].concat();
    assert_eq!(ask(engine, CLIENT, &nowhere).len(), 8 + 24, "others are counted as empty");
    for _ in 0..3 {
        counts(&LEECHER.send(engine, CLIENT));
    }
    assert_eq!(word(LEECHER.send(engine, CLIENT)), "rate_limited");
}

#[test]
fn one_network_has_its_share_of_places() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    for port in 1..=12 {
        counts(&Announce { port, ..LEECHER }.send(engine, CLIENT));
    }
    let answer = Announce { port: 13, ..LEECHER }.send(engine, CLIENT);
    assert!(error(&answer).starts_with("table_full: "));
    assert_eq!(engine.peers().len(), 12, "an eighth of the table");
}

#[test]
fn what_is_no_request_gets_silence() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    let announce = LEECHER.datagram(connect(engine, 0, CLIENT));
    for end in 0..98 {
        assert_eq!(ask(engine, CLIENT, &announce[..end]), [], "{end}");
    }
    for action in [0, 3, 4] {
        let mut other = announce.clone();
        other[11] = action;
        assert_eq!(ask(engine, CLIENT, &other), [], "{action}");
    }
    let with_options = [&announce[..], &[2, 5, b'/', b'x', 0xff, 9, 200, 1]].concat();
    assert_eq!(ask(engine, CLIENT, &with_options)[3], 1, "options are skipped, whatever they are");
}
