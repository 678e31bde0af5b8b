use std::borrow::ToOwned;
use std::boxed::Box;
use std::format;
use std::net::SocketAddr;
use std::string::String;
use std::vec::Vec;

use crate::engine::tests::send;
use crate::engine::{Engine, Settings, Storage};
use crate::id::NetworkKey;
use crate::rng::Seed;
use crate::time::Instant;
use crate::wire::bencode::Dict;
use crate::wire::krpc::{Message, Response};

type Memory = Storage<128, 256>;

const CLIENT: &str = "20.1.2.3:40000";
const OTHER: &str = "21.4.5.6:50000";
const CLIENT_V6: &str = "[2600:1::7]:40000";
const HASH: &str = "mnopqrstuvwxyz123456";

fn memory() -> Box<Memory> {
    Box::new(Memory::new())
}

fn engine(memory: &mut Memory) -> Engine<'_> {
    memory.engine(Settings { max_peers: 100, ..Settings::default() }, &Seed([9; 32]))
}

fn ask_at(engine: &mut Engine<'_>, at_s: u64, from: &str, datagram: &[u8]) -> Vec<u8> {
    let answer = send(engine, Instant::from_s(at_s), from, datagram);
    assert!(answer.len() <= 3 * datagram.len());
    answer
}

fn ask(engine: &mut Engine<'_>, from: &str, datagram: &[u8]) -> Vec<u8> {
    ask_at(engine, 0, from, datagram)
}

fn query(name: &str, arguments: &str) -> Vec<u8> {
    let length = name.len();
    format!("d1:ad2:id20:abcdefghij0123456789{arguments}e1:q{length}:{name}1:t2:aa1:y1:qe").into_bytes()
}

fn get_peers() -> Vec<u8> {
    query("get_peers", &format!("9:info_hash20:{HASH}"))
}

fn announce_peer(port: &str, token: &[u8]) -> Vec<u8> {
    let text = query("announce_peer", &format!("9:info_hash20:{HASH}{port}5:token{}:TOKEN", token.len()));
    let at = text.windows(5).position(|window| window == b"TOKEN").unwrap();
    [&text[..at], token, &text[at + 5..]].concat()
}

fn token(engine: &mut Engine<'_>, at_s: u64, from: &str) -> Vec<u8> {
    let answer = ask_at(engine, at_s, from, &get_peers());
    Dict::parse(&answer).unwrap().dict(b"r").unwrap().bytes(b"token").unwrap().to_vec()
}

/// Announces port 6881 with a good token.
fn announce(engine: &mut Engine<'_>, from: &str) {
    let token = token(engine, 0, from);
    let answer = ask(engine, from, &announce_peer("4:porti6881e", &token));
    assert!(
        matches!(Message::parse(&answer), Ok(Message::Response(_))),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

/// The values in an answer to get_peers.
fn values(answer: &[u8]) -> Vec<Vec<u8>> {
    let text = answer.windows(9).position(|window| window == b"6:valuesl");
    let Some(mut rest) = text.map(|at| &answer[at + 9..]) else { return Vec::new() };
    let mut values = Vec::new();
    while let Some(value) =
        rest.strip_prefix(b"6:").map(|r| &r[..6]).or(rest.strip_prefix(b"18:").map(|r| &r[..18]))
    {
        rest = &rest[value.len() + if value.len() == 6 { 2 } else { 3 }..];
        values.push(value.to_vec());
    }
    values
}

/// Code and text of an error.
fn error(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let inside = text.strip_prefix("d1:eli").expect("an error");
    let (code, rest) = inside.split_once('e').unwrap();
    let (length, rest) = rest.split_once(':').unwrap();
    format!("{code} {}", &rest[..length.parse().unwrap()])
}

fn response(answer: &[u8]) -> Response<'_> {
    match Message::parse(answer) {
        Ok(Message::Response(response)) => response,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_ping_is_answered_with_the_asker_s_address() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    let answer = ask(engine, CLIENT, &query("ping", ""));
    assert!(answer.starts_with(b"d2:ip6:\x14\x01\x02\x03\x9c\x401:rd2:id20:"));
    assert!(answer.ends_with(b"e1:t2:aa1:y1:re"));
    let other = ask(engine, OTHER, &query("ping", ""));
    assert_eq!(response(&answer).id, response(&other).id, "one id for all");
    assert_eq!(response(&ask(engine, CLIENT_V6, &query("ping", ""))).ip.len(), 18);
    assert_eq!(ask(engine, CLIENT, &answer), [], "an answer is not answered");
}

#[test]
fn announced_is_found() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    assert_eq!(values(&ask(engine, OTHER, &get_peers())), Vec::<Vec<u8>>::new());
    announce(engine, CLIENT);
    assert_eq!(values(&ask(engine, OTHER, &get_peers())), [[20, 1, 2, 3, 0x1a, 0xe1]]);
    let good = token(engine, 0, OTHER);
    ask(engine, OTHER, &announce_peer("4:porti6881e", &good));
    let implied = query(
        "announce_peer",
        &format!("12:implied_porti1e9:info_hash20:{HASH}4:porti1e4:seedi1e5:token8:TOKENTOK"),
    );
    let at = implied.windows(8).position(|window| window == b"TOKENTOK").unwrap();
    let implied = [&implied[..at], &good, &implied[at + 8..]].concat();
    response(&ask(engine, OTHER, &implied));
    let found = values(&ask(engine, CLIENT, &get_peers()));
    assert!(found.contains(&[21, 4, 5, 6, 0xc3, 0x50].to_vec()), "the port it came from: {found:?}");
    assert_eq!(engine.peers().len(), 3);
    let counts = engine.peers().counts(
        NetworkKey(HASH.as_bytes().try_into().unwrap()),
        "1.1.1.1:1".parse::<SocketAddr>().unwrap().into(),
    );
    assert_eq!((counts.seeders, counts.leechers), (1, 2));
    assert_eq!(
        values(&ask(engine, CLIENT_V6, &get_peers())),
        Vec::<Vec<u8>>::new(),
        "families are kept apart"
    );
}

#[test]
fn a_token_is_for_one_address_and_some_minutes() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    let good = token(engine, 0, CLIENT);
    let announce = announce_peer("4:porti6881e", &good);
    for (at_s, from) in [(0, OTHER), (600, CLIENT)] {
        assert_eq!(error(&ask_at(engine, at_s, from, &announce)), "203 bad_token");
    }
    for token in [&b""[..], b"x", b"01234567", b"0123456789"] {
        assert_eq!(error(&ask(engine, CLIENT, &announce_peer("4:porti6881e", token))), "203 bad_token");
    }
    assert_eq!(engine.peers().len(), 0, "nothing has changed");
    response(&ask_at(engine, 599, "20.1.2.3:1024", &announce));
    assert_eq!(engine.peers().len(), 1);
}

#[test]
fn a_peer_lives_for_three_quarters_of_an_hour() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    announce(engine, CLIENT);
    assert_eq!(values(&ask_at(engine, 2699, OTHER, &get_peers())).len(), 1);
    assert_eq!(values(&ask_at(engine, 2700, OTHER, &get_peers())).len(), 0);
}

#[test]
fn each_fault_has_its_code() {
    let memory = &mut memory();
    let mut settings =
        Settings { max_peers: 100, announces_per_minute: 3, queries_per_minute: 100, ..Settings::default() };
    settings.networks.push(NetworkKey(HASH.as_bytes().try_into().unwrap())).unwrap();
    let engine = &mut memory.engine(settings, &Seed([9; 32]));
    for (name, arguments, expected) in [
        ("find_node", "", "203 bad_request"),
        ("get_peers", "9:info_hash2:xx", "203 bad_request"),
        ("announce_peer", "9:info_hash20:mnopqrstuvwxyz1234564:porti0e5:token1:x", "203 bad_request"),
        ("vote", "", "204 unsupported"),
        ("get_peers", "9:info_hash20:aaaaaaaaaaaaaaaaaaaa", "201 network_not_served"),
    ] {
        assert_eq!(error(&ask(engine, CLIENT, &query(name, arguments))), expected, "{name} {arguments}");
    }
    response(&ask(engine, CLIENT, &query("vote", "6:target20:aaaaaaaaaaaaaaaaaaaa")));
    let good = token(engine, 0, CLIENT);
    for port in 1..=3 {
        response(&ask(engine, CLIENT, &announce_peer(&format!("4:porti{port}e"), &good)));
    }
    let limited = ask(engine, CLIENT, &announce_peer("4:porti4e", &good));
    assert_eq!(error(&limited), "201 rate_limited", "who has proved its address is told");
    for _ in 0..100 {
        ask(engine, CLIENT, &query("ping", ""));
    }
    assert_eq!(ask(engine, CLIENT, &query("ping", "")), [], "who has not gets silence");
    assert_eq!(ask(engine, CLIENT, &query("vote", "")), []);
}

#[test]
fn a_full_table_says_so() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    let good = token(engine, 0, CLIENT);
    for port in 1..=12 {
        response(&ask(engine, CLIENT, &announce_peer(&format!("4:porti{port}e"), &good)));
    }
    assert_eq!(error(&ask(engine, CLIENT, &announce_peer("4:porti13e", &good))), "202 table_full");
}

/// Lets the engine ping, and the nodes at `alive` answer. Returns whom it pinged.
fn answer_pings(engine: &mut Engine<'_>, at_s: u64, alive: &[&str]) -> Vec<String> {
    let now = Instant::from_s(at_s);
    let mut pinged = Vec::new();
    let mut out = [0; 200];
    while let Some((to, length)) = engine.poll_transmit(now, &mut out) {
        let Ok(Message::Query(query)) = Message::parse(&out[..length]) else { panic!("a query") };
        let to = format!("{to}");
        if alive.contains(&to.as_str()) {
            let head = format!("d1:rd2:id20:{:0>20}e1:t8:", to.len());
            let pong = [head.as_bytes(), query.transaction, b"1:y1:re"].concat();
            assert_eq!(engine.datagram(now, to.parse().unwrap(), &pong, &mut [0; 1200]), 0);
        }
        pinged.push(to.to_owned());
    }
    pinged
}

fn find_node(extra: &str) -> Vec<u8> {
    query("find_node", &format!("6:target20:{HASH}{extra}"))
}

#[test]
fn who_answers_a_ping_is_handed_out() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    let answer = ask(engine, CLIENT, &find_node(""));
    assert_eq!(response(&answer).nodes.len(), 0);
    assert!(answer.windows(9).any(|window| window == b"5:nodes0:"), "an empty list, but a list");
    assert_eq!(answer_pings(engine, 0, &[]), [CLIENT]);
    assert_eq!(response(&ask(engine, OTHER, &find_node(""))).nodes.len(), 0, "it has not answered");
    assert_eq!(answer_pings(engine, 0, &[OTHER]), [OTHER], "nobody is pinged twice");
    let answer = ask(engine, CLIENT, &find_node(""));
    assert_eq!(response(&answer).nodes[0][20..], [21, 4, 5, 6, 0xc3, 0x50]);
    assert_eq!(response(&ask(engine, OTHER, &find_node(""))).nodes.len(), 0, "nobody is told of itself");
    let beside = ask(engine, CLIENT, &get_peers());
    assert_eq!(response(&beside).nodes.len(), 1, "nodes come with get_peers too");
}

#[test]
fn families_of_nodes_are_chosen_by_want() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    for from in [OTHER, CLIENT_V6] {
        ask(engine, from, &find_node(""));
    }
    answer_pings(engine, 0, &[OTHER, CLIENT_V6]);
    for (from, want, counts) in [
        (CLIENT, "", (1, 0)),
        ("[2600:2::1]:4000", "", (0, 1)),
        (CLIENT, "4:wantl2:n6e", (0, 1)),
        (CLIENT, "4:wantl2:n42:n6e", (1, 1)),
        ("[2600:2::1]:4000", "4:wantl2:n4e", (1, 0)),
    ] {
        let answer = ask(engine, from, &find_node(want));
        let response = response(&answer);
        assert_eq!((response.nodes.len(), response.nodes6.len()), counts, "{from} {want}");
    }
}

#[test]
fn some_are_never_pinged() {
    let memory = &mut memory();
    let engine = &mut engine(memory);
    ask(engine, CLIENT, &query("ping", ""));
    let mut read_only = find_node("");
    let at = read_only.windows(4).position(|window| window == b"1:t2").unwrap();
    read_only.splice(at..at, b"2:roi1e".iter().copied());
    assert!(!ask(engine, CLIENT, &read_only).is_empty(), "it is answered all the same");
    for bogon in [
        "198.51.100.7:4000",
        "192.0.2.1:4000",
        "[2001:db8::1]:4000",
        "[2002:102:304::1]:4000",
        "[64:ff9b::1]:4000",
    ] {
        assert!(!ask(engine, bogon, &find_node("")).is_empty());
    }
    assert_eq!(answer_pings(engine, 0, &[]), Vec::<String>::new());
}
