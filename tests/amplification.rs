//! No answer to an unproven address is longer than its protocol may make it, no answer is itself answered, and nothing
//! panics: over all shapes of requests, paddings, mutations and fills of the table, of every protocol over UDP.

mod support;

use std::env;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use waypost::engine::datagram::{Kind, classify};
use waypost::engine::pow::Pricing;
use waypost::engine::{Engine, Settings, Storage};
use waypost::limits::{BINARY_AMPLIFICATION, MAX_DATAGRAM_BYTES, MAX_UDP_REPLY_BYTES};
use waypost::rng::{HashKey, Rng, Seed};
use waypost::time::Instant;

type Memory = Storage<128, 256>;

/// Requests of every shape; `TOKEN` stands for a token and `PAD` for padding.
const SAMPLES: [&str; 18] = [
    r#"{"type":"ping","id":"1"}"#,
    r#"{"type":"ping","id":"ping-0123456789","pad":"PAD"}"#,
    r#"{"type":"ping","id":"1","token":"TOKEN","pad":"PAD"}"#,
    r#"{"type":"find_peers","id":"1"}"#,
    r#"{"type":"find_peers","id":"1","pad":"PAD"}"#,
    r#"{"type":"find_peers","id":"1","network":"pscryptochat","limit":32,"pad":"PAD"}"#,
    r#"{"type":"find_peers","id":"1","token":"TOKEN","limit":32,"exclude":"peer-3","transport":"udp,tcp"}"#,
    r#"{"type":"find_peers","id":"1","limit":99,"pad":"PAD"}"#,
    r#"{ "type" : "find_peers" , "id" : "12345678901234567890123456789012" , "pad" : "PAD" }"#,
    r#"{"type":"announce","id":"1"}"#,
    r#"{"type":"announce","id":"1","peer_id":"n","port":9000,"ttl":60,"token":"TOKEN","pad":"PAD"}"#,
    r#"{"type":"announce","id":"1","token":"TOKEN","endpoints":["udp://:1","tcp://:2"],"network":"room"}"#,
    r#"{"type":"announce","id":"1","token":"TOKEN","endpoints":["udp://203.0.113.9:1"]}"#,
    r#"{"type":"leave","id":"1","peer_id":"n","token":"TOKEN"}"#,
    r#"{"type":"leave","id":"\u0061","pad":"PAD"}"#,
    r#"{"type":"find_peers","id":"1","pad":"PAD","x":[[[{"a":[1,-2.5e3,true,null]}]]]}"#,
    r#"{"type":"announce","id":"1","peer_id":"n","token":"TOKEN","pow":{"challenge":"AQkEAQAAAADX3cRzZXnE5XGKpSYt3kdSlSqLNcpzJzmvoVZdMh2prg","nonce":18446744073709551615},"pad":"PAD"}"#,
    r#"{"type":"announce","id":"12345678901234567890123456789012","peer_id":"n","token":"TOKEN","pow":{"challenge":"","nonce":0}}"#,
];

/// Longest answer of the protocols that are no text, in bytes (BEP 32 advises it for the DHT).
const MAX_BINARY_REPLY_BYTES: usize = 1024;

/// Requests of every shape in the protocols that are no text, without any proof of the sender's address.
fn binary_requests() -> Vec<Vec<u8>> {
    let mut requests = Vec::new();
    // STUN: bare, with an attribute that may be ignored, with one to five that may not.
    for attributes in 0..7_u8 {
        let kind = if attributes == 1 { 0x80 } else { 0 };
        let attributes: Vec<u8> = (0..attributes).flat_map(|n| [kind, n, 0, 0]).collect();
        let head = [0, 1, 0, attributes.len() as u8, 0x21, 0x12, 0xa4, 0x42];
        requests.push([&head[..], &[7; 12], &attributes].concat());
    }
    // The UDP tracker: connect, and what a forged connection id gets.
    for options in [0, 1, 30, 1300] {
        requests.push(
            [&[0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 1, 2, 3, 4][..], &vec![9; options]]
                .concat(),
        );
        for (action, bytes) in [(1, 82), (2, 0), (2, 20), (2, 1400), (7, 82)] {
            let head = [0xb5, 0, 2, 3, 4, 5, 6, 7, 0, 0, 0, action, 1, 2, 3, 4];
            requests.push([&head[..], &vec![1; bytes], &vec![9; options.min(1400 - bytes)]].concat());
        }
    }
    // KRPC: every query, with short and long transaction ids, versions and wishes.
    let own_id = "2:id20:abcdefghij0123456789";
    let key = waypost::id::NetworkKey::of_name("pscryptochat").expect("that is a name");
    let key = [&b"20:"[..], &key.0].concat();
    for want in [&b""[..], b"4:wantl2:n4e", b"4:wantl2:n6e", b"4:wantl2:n42:n6e"] {
        for transaction in [
            "1:t0:",
            "1:t1:x",
            "1:t2:aa",
            "1:t32:01234567890123456789012345678901",
            "1:t40:0123456789012345678901234567890123456789",
        ] {
            for version in ["", "1:v4:LT\x01\x02"] {
                let mut query = |arguments: &[&[u8]], name: &str| {
                    let head = [&b"d1:ad"[..], &arguments.concat(), b"e1:q", name.as_bytes()].concat();
                    requests
                        .push([&head[..], transaction.as_bytes(), version.as_bytes(), b"1:y1:qe"].concat());
                };
                let own_id = own_id.as_bytes();
                query(&[own_id], "4:ping");
                query(&[], "4:ping");
                query(&[own_id, b"6:target", &key, want], "9:find_node");
                query(&[own_id, b"9:info_hash", &key, want], "9:get_peers");
                query(&[own_id, b"6:target", &key, want], "17:sample_infohashes");
                query(&[own_id], "1:x");
                query(&[own_id, b"9:info_hash", &key, b"4:porti6881e5:token8:01234567"], "13:announce_peer");
                query(&[own_id, b"9:info_hash", &key], "13:announce_peer");
            }
        }
    }
    requests
}

/// An engine that limits nobody, with `fill` peers of both families.
fn engine(memory: &mut Memory, fill: u32) -> Engine<'_> {
    engine_that_asks(memory, fill, Pricing::Off)
}

fn engine_that_asks(memory: &mut Memory, fill: u32, pow: Pricing) -> Engine<'_> {
    let settings = Settings { queries_per_minute: 0, announces_per_minute: 0, pow, ..Settings::default() };
    let mut engine = memory.engine(settings, &Seed([4; 32]));
    for n in 0..fill {
        let from = client(n);
        let token = token_for(&mut engine, from);
        let announce = format!(r#"{{"type":"announce","id":"1","token":"{token}","peer_id":"peer-{n}"}}"#);
        let ack = ask(&mut engine, from, announce.as_bytes());
        assert!(ack.starts_with(br#"{"type":"ack","id":"1","peer_id":"peer-"#));
    }
    engine
}

fn client(n: u32) -> SocketAddr {
    let port = 40_000;
    if n.is_multiple_of(2) {
        SocketAddr::from((Ipv4Addr::from(0x1401_0107 + (n << 16)), port))
    } else {
        let bits = (0x2001_0db8_1111_2222_3333_4444_5555_6666_u128) + (u128::from(n) << 96);
        SocketAddr::from((Ipv6Addr::from(bits), port))
    }
}

fn ask(engine: &mut Engine<'_>, from: SocketAddr, datagram: &[u8]) -> Vec<u8> {
    let mut out = [0; MAX_DATAGRAM_BYTES];
    let length = engine.datagram(Instant::from_s(1000), from, datagram, &mut out);
    out[..length].to_vec()
}

fn token_for(engine: &mut Engine<'_>, from: SocketAddr) -> String {
    let answer = ask(engine, from, br#"{"type":"announce","id":"1","network":"pscryptochat"}"#);
    let answer = String::from_utf8(answer).expect("an answer is text");
    answer.rsplit('"').nth(1).expect("a token is quoted").to_owned()
}

/// Sends `datagram`, and checks what must hold of any answer to it.
fn check(engine: &mut Engine<'_>, from: SocketAddr, datagram: &[u8], proven: bool) -> usize {
    let answer = ask(engine, from, datagram);
    let shown = String::from_utf8_lossy(datagram);
    let longest = match classify(datagram) {
        _ if proven => MAX_UDP_REPLY_BYTES,
        Kind::Krpc | Kind::Stun => (datagram.len() * BINARY_AMPLIFICATION).min(MAX_BINARY_REPLY_BYTES),
        _ => datagram.len().min(MAX_UDP_REPLY_BYTES),
    };
    assert!(answer.len() <= longest, "{} bytes for {}: {shown}", answer.len(), datagram.len());
    if answer.is_empty() {
        return 0;
    }
    if classify(datagram) == Kind::Json {
        assert_eq!(waypost::wire::json::check(&answer), Ok(()), "an answer is strict JSON: {shown}");
    }
    assert_eq!(ask(engine, from, &answer), b"", "an answer is not answered: {shown}");
    answer.len()
}

/// The samples with these tokens and paddings put in.
fn requests(token: &str) -> impl Iterator<Item = Vec<u8>> {
    let pads = (0..200).step_by(7).chain((200..1500).step_by(97));
    pads.flat_map(move |pad| {
        SAMPLES.map(|sample| sample.replace("TOKEN", token).replace("PAD", &"x".repeat(pad)).into_bytes())
    })
}

#[test]
fn unproven_answers_are_no_longer_than_requests() {
    for fill in [0, 1, 5, 40, 120] {
        let mut memory = Box::new(Memory::new());
        let mut engine = engine(&mut memory, fill);
        let (mut received, mut sent, mut answered) = (0, 0, 0);
        for from in [client(900), client(901)] {
            let other = token_for(&mut engine, client(950));
            for token in ["AAAAAAAAAAA", "", &other] {
                for request in requests(token).chain(binary_requests()) {
                    let length = check(&mut engine, from, &request, false);
                    received += request.len();
                    sent += length;
                    answered += usize::from(length > 0);
                }
            }
        }
        assert_eq!(engine.peers().len(), fill as usize, "the unproven change nothing");
        assert!(answered > 1000, "only {answered} requests were answered");
        println!("{fill} peers: {sent} bytes sent for {received} received, {answered} answers");
    }
}

#[test]
fn proven_answers_fit_one_datagram() {
    for fill in [0, 1, 40, 120] {
        let mut memory = Box::new(Memory::new());
        let mut engine = engine(&mut memory, fill);
        let mut longest = 0;
        for from in [client(900), client(901)] {
            let token = token_for(&mut engine, from);
            for request in requests(&token) {
                let proven = request.windows(11).any(|window| window == token.as_bytes());
                longest = longest.max(check(&mut engine, from, &request, proven));
            }
        }
        assert!(fill < 40 || longest > MAX_UDP_REPLY_BYTES - 50, "{longest}: the bound is not reached");
    }
}

/// A challenge makes a refusal longer; it is only for who has a token.
#[test]
fn a_price_makes_no_answer_too_long() {
    let mut memory = Box::new(Memory::new());
    let mut engine = engine_that_asks(&mut memory, 0, Pricing::Fixed(24));
    let (mut refused, from) = (0, client(900));
    let token = token_for(&mut engine, from);
    for (token, proven) in [("AAAAAAAAAAA", false), (&token, true)] {
        for request in requests(token) {
            let has_token = proven && request.windows(11).any(|window| window == token.as_bytes());
            check(&mut engine, from, &request, has_token);
            let answer = ask(&mut engine, from, &request);
            let challenged = String::from_utf8_lossy(&answer).contains(r#""challenge":""#);
            assert!(!challenged || has_token, "{}", String::from_utf8_lossy(&request));
            refused += usize::from(challenged);
        }
    }
    assert!(refused > 50, "only {refused} challenges");
    assert_eq!(engine.peers().len(), 0, "nobody has worked");
}

#[test]
fn prefixes_and_mutations_are_answered_by_the_same_rule() {
    let mut memory = Box::new(Memory::new());
    let mut engine = engine(&mut memory, 40);
    let from = client(900);
    let pad = "x".repeat(120);
    let text = SAMPLES.map(|sample| sample.replace("TOKEN", "AAAAAAAAAAA").replace("PAD", &pad).into_bytes());
    let binary = binary_requests();
    for sample in text.iter().chain(&binary) {
        for cut in 0..sample.len() {
            let length = check(&mut engine, from, &sample[..cut], false);
            let is_text = matches!(classify(sample), Kind::Json | Kind::Krpc);
            assert!(!is_text || length == 0, "cut at {cut}: {}", String::from_utf8_lossy(sample));
        }
    }
    // Of the many alike, a few.
    for sample in text.iter().chain(binary.iter().step_by(29)) {
        for at in 0..sample.len().min(300) {
            for byte in 0..=255 {
                let mut mutated = sample.clone();
                mutated[at] = byte;
                check(&mut engine, from, &mutated, false);
            }
        }
    }
    assert_eq!(engine.peers().len(), 40);
}

#[test]
fn random_edits_of_proven_requests_keep_the_bounds() {
    let seed = env::var("WAYPOST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u8);
    println!("WAYPOST_SEED={seed}");
    let mut rng = Rng::new(HashKey::new([seed; 16]));
    let mut memory = Box::new(Memory::new());
    let mut engine = engine(&mut memory, 40);
    let from = client(900);
    let token = token_for(&mut engine, from);
    let samples =
        SAMPLES.map(|sample| sample.replace("TOKEN", &token).replace("PAD", "xxxxxxxxxxxxxxxxxxxxxxxxxxxx"));
    for _ in 0..50_000 {
        let sample = samples[rng.below(SAMPLES.len() as u32) as usize].as_bytes();
        let mut datagram = sample.to_vec();
        for _ in 0..=rng.below(3) {
            let at = rng.below(datagram.len() as u32) as usize;
            match rng.below(4) {
                0 => datagram[at] = rng.below(256) as u8,
                1 => drop(datagram.remove(at)),
                2 => datagram.insert(at, b"\"{}[]:,\\0"[rng.below(9) as usize]),
                _ => {
                    let other = samples[rng.below(SAMPLES.len() as u32) as usize].as_bytes();
                    datagram.truncate(at);
                    datagram.extend_from_slice(&other[rng.below(other.len() as u32) as usize..]);
                }
            }
        }
        let proven = datagram.windows(11).any(|window| window == token.as_bytes());
        check(&mut engine, from, &datagram, proven);
    }
}

#[test]
fn two_servers_do_not_talk_to_each_other() {
    let (mut one, mut two) = (Box::new(Memory::new()), Box::new(Memory::new()));
    let mut servers = [engine(&mut one, 40), engine(&mut two, 40)];
    let address = [client(700), client(702)];
    for request in requests("AAAAAAAAAAA").chain(binary_requests()) {
        // Forged: the first server takes it for a request of the second.
        let answer = ask(&mut servers[0], address[1], &request);
        assert_eq!(ask(&mut servers[1], address[0], &answer), b"");
    }
}

/// Datagrams sent before their answers are read: as few as the buffers of any socket hold.
const BATCH: usize = 32;

/// Sends all of `requests` to a server, and returns the bytes sent, received, and how many answers came.
fn exchange(client: &support::Udp, requests: &[&Vec<u8>]) -> (usize, usize, usize) {
    let (mut sent, mut received, mut answers) = (0, 0, 0);
    let mut answer = [0; 2048];
    for (number, batch) in requests.chunks(BATCH).enumerate() {
        for request in batch {
            client.socket.send(request).unwrap();
            sent += request.len();
        }
        // The server answers in the order it reads: when this is answered, all are.
        let last = format!("last-{number}");
        let (ping, pong) = (format!(r#"{{"type":"ping","id":"{last}"}}"#), format!(r#""id":"{last}""#));
        client.socket.send(ping.as_bytes()).unwrap();
        loop {
            let length = support::uninterrupted(|| client.socket.recv(&mut answer))
                .expect("the last of a batch is answered");
            let text = answer[..length].starts_with(b"{").then(|| String::from_utf8_lossy(&answer[..length]));
            if text.is_some_and(|text| text.contains(&pong)) {
                break;
            }
            // What the server asks of its own accord, because the client looks like a node of the DHT, is no answer.
            if !answer[..length].ends_with(b"1:y1:qe") {
                received += length;
                answers += 1;
            }
        }
    }
    (sent, received, answers)
}

#[test]
fn a_hundred_thousand_datagrams_get_no_more_bytes_than_their_protocol_allows() {
    let server = support::Server::start(&[]);
    for n in 0..40 {
        let body = format!(r#"{{"id":"peer-{n}","endpoints":["udp://:{}"]}}"#, 2000 + n);
        assert_eq!(server.post("/announce", &body).status, 200);
    }
    let client = server.udp_client();
    let all: Vec<Vec<u8>> = requests("AAAAAAAAAAA").chain(binary_requests()).collect();
    let kinds = [
        (Kind::Json, 1),
        (Kind::Krpc, BINARY_AMPLIFICATION),
        (Kind::TrackerConnect, 1),
        (Kind::TrackerTagged, 1),
        (Kind::Stun, BINARY_AMPLIFICATION),
    ];
    // An emulator does a tenth of the work.
    let each = if support::runner().is_empty() { 20_000 } else { 2_000 };
    let mut datagrams = 0;
    for (kind, factor) in kinds {
        let of_kind: Vec<&Vec<u8>> = all.iter().filter(|request| classify(request) == kind).collect();
        assert!(!of_kind.is_empty(), "{kind:?}");
        let many: Vec<&Vec<u8>> = of_kind.iter().copied().cycle().take(each).collect();
        let (sent, received, answers) = exchange(&client, &many);
        println!("{kind:?}: {sent} bytes sent, {received} received in {answers} answers");
        assert!(received <= factor * sent, "{kind:?}: {received} bytes for {sent}");
        assert!(answers > each / 20, "{kind:?}: only {answers} answers");
        datagrams += many.len();
    }
    assert_eq!(datagrams, 5 * each);
}

/// Each server takes what comes from the relay for the other's.
#[test]
fn an_answer_that_is_passed_on_to_another_server_ends_there() {
    let (one, other) = (support::Server::start(&[]), support::Server::start(&[]));
    let (to_one, to_other) = (one.udp_client(), other.udp_client());
    let all: Vec<Vec<u8>> = requests("AAAAAAAAAAA").chain(binary_requests()).collect();
    let (mut passed_on, mut answer) = (0, [0; 2048]);
    for (number, request) in all.iter().enumerate() {
        let ping = format!(r#"{{"type":"ping","id":"last-{number}"}}"#);
        let pong = format!(r#""id":"last-{number}""#);
        to_one.socket.send(request).unwrap();
        to_one.socket.send(ping.as_bytes()).unwrap();
        loop {
            let length =
                support::uninterrupted(|| to_one.socket.recv(&mut answer)).expect("the ping is answered");
            if String::from_utf8_lossy(&answer[..length]).contains(&pong) {
                break;
            }
            if !answer[..length].ends_with(b"1:y1:qe") {
                to_other.socket.send(&answer[..length]).unwrap();
                passed_on += 1;
            }
        }
        to_other.socket.send(ping.as_bytes()).unwrap();
        let length =
            support::uninterrupted(|| to_other.socket.recv(&mut answer)).expect("the ping is answered");
        let text = String::from_utf8_lossy(&answer[..length]);
        assert!(text.contains(&pong), "{text} answers the answer to {}", String::from_utf8_lossy(request));
    }
    assert!(passed_on > 200, "only {passed_on} answers were passed on");
}

/// A hundred thousand forged requests, half of them in the name of one in ten of those who are real, use up nothing of theirs.
#[test]
fn a_forged_flood_keeps_nobody_from_his_answers() {
    const FORGED: u32 = 100_000;
    const REAL: u32 = 1000;
    static MEMORY: std::sync::Mutex<Storage<4096, 16_384>> = std::sync::Mutex::new(Storage::new());
    let mut memory = MEMORY.lock().unwrap();
    let mut engine = memory.engine(Settings::default(), &Seed([7; 32]));
    let mut ask = |ms: u64, from: SocketAddr, datagram: &[u8]| {
        let mut out = [0; MAX_DATAGRAM_BYTES];
        let length = engine.datagram(Instant::from_ms(ms), from, datagram, &mut out);
        out[..length].to_vec()
    };
    let forged: Vec<Vec<u8>> = requests("AAAAAAAAAAA").chain(binary_requests()).collect();
    let mut rng = Rng::new(HashKey::new([7; 16]));
    let (mut tokens, mut served) = (0, 0);
    for n in 0..FORGED {
        // Ten thousand a second; after every hundred somebody real comes.
        let ms = 1000 + u64::from(n) / 10;
        let anybody = SocketAddr::from((Ipv4Addr::from(0x0b00_0000 + rng.below(0x4000_0000)), 40_000));
        let from = if n % 2 == 0 { client(rng.below(REAL / 10) * 10) } else { anybody };
        ask(ms, from, &forged[rng.below(forged.len() as u32) as usize]);
        if n % (FORGED / REAL) == 0 {
            let real = client(n / (FORGED / REAL));
            let answer = ask(ms, real, br#"{"type":"find_peers","id":"1","pad":"xxxxxxxxxxxxxxxxxxxxxxxx"}"#);
            let answer = String::from_utf8(answer).unwrap();
            let Some(token) = answer.strip_suffix(r#""}"#).and_then(|answer| answer.rsplit('"').next())
            else {
                continue;
            };
            tokens += 1;
            let announce = format!(r#"{{"type":"announce","id":"1","token":"{token}"}}"#);
            let find = format!(r#"{{"type":"find_peers","id":"1","token":"{token}"}}"#);
            let is_served = ask(ms, real, announce.as_bytes()).starts_with(br#"{"type":"ack""#)
                && ask(ms, real, find.as_bytes()).starts_with(br#"{"type":"peers""#);
            served += u32::from(is_served);
        }
    }
    println!("{tokens} of {REAL} got a token, {served} were served");
    assert!(tokens >= REAL / 100 * 99 && served >= REAL / 100 * 99, "{tokens} and {served} of {REAL}");
}
