//! Requests allocate nothing: a counting allocator sees no difference over ten thousand of them.
#![allow(unsafe_code, reason = "a global allocator is unsafe to implement; this one only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;

use waypost::endpoint::Endpoint;
use waypost::engine::http::{Connection, Wants};
use waypost::engine::mdns::{Advert, Interface, Responder, Subnet};
use waypost::engine::pow::Pricing;
use waypost::engine::{Engine, Settings, Storage};
use waypost::id::NetworkKey;
use waypost::limits::{MAX_MDNS_REPLY_BYTES, MAX_UDP_REPLY_BYTES};
use waypost::record::Seal;
use waypost::rng::Seed;
use waypost::time::Instant;
use waypost::wire::Writer;
use waypost::wire::dns::{Emitter, Flags, NameBuf, Type};
use waypost::wire::pow::worth;

/// Requests counted, after as many that are not.
const REQUESTS: usize = 10_000;
/// Different ids announced: more than the table has places for.
const IDS: usize = 500;

/// Passes everything on to the system's allocator, and counts for each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending has no counter any more, and is none of the tested ones.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `GlobalAlloc::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `GlobalAlloc::realloc`.
        unsafe { System.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `GlobalAlloc::dealloc`.
        unsafe { System.dealloc(old, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often this thread has allocated while `work` ran.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

#[test]
fn the_allocator_counts() {
    assert_eq!(allocations(|| ()), 0);
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn http_requests_allocate_nothing() {
    let requests = http_requests();
    let mut storage = Box::new(Storage::<256, 1024>::new());
    let mut engine = storage.engine(unlimited(), &Seed([1; 32]));
    let mut connection = Box::new(Connection::new());
    let mut now = Instant::START;
    let mut statuses = [0; 600];
    let mut run = || {
        statuses = [0; 600];
        for request in requests.iter().cycle().take(REQUESTS) {
            now = now.plus_ms(20);
            statuses[ask(&mut connection, &mut engine, now, request)] += 1;
            engine.tick(now);
        }
    };
    run();
    assert_eq!(allocations(run), 0, "for {REQUESTS} requests");
    assert_eq!(statuses[0], 0, "every request has an answer");
    for (status, at_least) in
        [(200, REQUESTS / 3), (204, 100), (400, 100), (404, 100), (405, 100), (503, 100)]
    {
        assert!(statuses[status] >= at_least, "only {} times {status}", statuses[status]);
    }
}

#[test]
fn signatures_allocate_nothing() {
    let requests: Vec<_> = signed_announces().into_iter().map(|body| post("/announce", &body)).collect();
    let ask_signed =
        "GET /peers?network=signed&nonce=00112233445566778899aabbccddeeff HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut storage = Box::new(Storage::<256, 1024>::new());
    let mut engine = storage.engine(unlimited(), &Seed([1; 32]));
    let mut connection = Box::new(Connection::new());
    let mut now = Instant::START;
    let mut run = |requests: &[String]| {
        for request in requests {
            now = now.plus_ms(200);
            // Newer than the one before, hence verified and stored; the answer is signed.
            assert_eq!(ask(&mut connection, &mut engine, now, request.as_bytes()), 200);
            assert_eq!(ask(&mut connection, &mut engine, now, ask_signed.as_bytes()), 200);
        }
    };
    let (warm_up, counted) = requests.split_at(100);
    run(warm_up);
    assert_eq!(allocations(|| run(counted)), 0, "for {} signatures", 2 * counted.len());
}

#[test]
fn datagrams_allocate_nothing() {
    let mut storage = Box::new(Storage::<256, 1024>::new());
    let mut engine = storage.engine(unlimited(), &Seed([1; 32]));
    let from: SocketAddr = "127.0.0.1:40000".parse().unwrap();
    let mut reply = [0; MAX_UDP_REPLY_BYTES];
    let ask = format!("{{\"type\":\"find_peers\",\"id\":\"1\",\"pad\":\"{:064}\"}}", 0);
    let bytes = engine.datagram(Instant::START, from, ask.as_bytes(), &mut reply);
    let answer = String::from_utf8(reply[..bytes].to_vec()).unwrap();
    let token = answer.split("\"token\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a token");
    let bytes = engine.datagram(Instant::START, from, &CONNECT, &mut reply);
    let connection_id = &reply[8..bytes];
    assert_eq!(connection_id.len(), 8);
    let datagrams: Vec<_> = datagrams(token).into_iter().chain(binary_datagrams(connection_id)).collect();

    let mut answered = 0;
    // Slow enough for 20,000 datagrams in the life of the token.
    let mut now = Instant::START;
    let mut run = |answered: &mut usize| {
        for datagram in datagrams.iter().cycle().take(REQUESTS) {
            now = now.plus_ms(10);
            *answered += usize::from(engine.datagram(now, from, datagram, &mut reply) > 0);
            engine.tick(now);
        }
    };
    run(&mut answered);
    answered = 0;
    assert_eq!(allocations(|| run(&mut answered)), 0, "for {REQUESTS} datagrams");
    assert!(answered > REQUESTS * 6 / 10, "only {answered} of {REQUESTS} were answered");
}

fn unlimited() -> Settings {
    Settings { queries_per_minute: 0, announces_per_minute: 0, ..Settings::default() }
}

fn post(path: &str, body: &str) -> String {
    let bytes = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {bytes}\r\n\r\n{body}"
    )
}

/// Requests of every kind, good and bad.
fn http_requests() -> Vec<Vec<u8>> {
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut requests = Vec::new();
    for id in 0..IDS {
        let endpoints = "[\"tcp://:9000\",\"udp://[2001:db8::1]:9000\",\"ws://abcdefghijklmnop.onion:80\"]";
        let lan = "[\"tcp://10.1.2.3:9000\"]";
        requests.extend([
            post("/announce", &format!("{{\"id\":\"peer-{id}\",\"endpoints\":{lan},\"network\":\"net-{}\"}}", id % 7)),
            get(&format!("/peers?network=net-{}&limit=50&transport=tcp,udp&exclude=peer-{id}", id % 9)),
            post("/announce", &format!("{{\"client_id\":\"peer-{id}\",\"endpoints\":[\"tcp://:9000\"],\"ttl\":60}}")),
            get("/peers"),
            post("/hello", "{\"client_id\":\"a\",\"supports\":[\"tcp\",\"udp\"],\"version\":\"1.0\"}"),
            post("/leave", &format!("{{\"id\":\"peer-{}\"}}", id / 2)),
            post("/announce", &format!("{{\"id\":\"peer-{id}\",\"endpoints\":{endpoints}}}")),
            post("/announce", "{\"id\":\"peer\",\"endpoints\":[\"tcp://:9000\"}"),
            post("/hello", "{\"client_id\":\"a\",\"supports\":[],\"version\":\"9.0\"}"),
            get("/health"),
            get("/metrics"),
            get("/"),
            get("/challenge?id=a"),
            get("/.well-known/waypost"),
            get("/nowhere"),
            get("/peers?limit=0"),
            get(&format!("/announce?info_hash=%dc{:019}&port={}&left={}", id % 7, id + 1, id % 2)),
            get(&format!("/announce?info_hash=%dc{:019}&port=1&compact=0&event=stopped", id % 7)),
            get(&format!("/scrape?info_hash={:020}&info_hash=%dc{:019}", id, id % 7)),
            get("/announce?info_hash=short"),
            "HEAD /peers HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "OPTIONS /announce HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\n\r\n".into(),
            "DELETE /peers HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n".into(),
            "GET /peers HTTP/1.1\nHost: a\n\n".into(),
            "GET /peers HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n".into(),
        ]);
    }
    requests.into_iter().map(String::into_bytes).collect()
}

/// Announces of one signed peer, each newer than the one before.
fn signed_announces() -> Vec<String> {
    let endpoint = "tcp://127.0.0.1:9000";
    let announce = |seq| {
        let network = NetworkKey::of_name("signed").unwrap();
        let seal = Seal::sign(&[7; 32], network, seq, [Endpoint::parse(endpoint).unwrap()]).unwrap();
        let mut text = [0; 400];
        let mut out = Writer::new(&mut text);
        let head =
            format!("{{\"network\":\"signed\",\"endpoints\":[\"{endpoint}\"],\"seq\":{seq},\"key\":\"");
        out.put_str(&head).and_then(|()| seal.emit_key(&mut out)).unwrap();
        out.put_str("\",\"sig\":\"").and_then(|()| seal.emit_sig(&mut out)).unwrap();
        out.put_str("\"}").unwrap();
        String::from_utf8(out.written().to_vec()).unwrap()
    };
    (0..IDS as u64).map(announce).collect()
}

/// What a price of one bit adds to a request: the challenge that is asked for, the refusal, and the work.
#[test]
fn work_allocates_nothing() {
    let mut storage = Box::new(Storage::<256, 1024>::new());
    let mut engine = storage.engine(Settings { pow: Pricing::Fixed(1), ..unlimited() }, &Seed([1; 32]));
    let mut connection = Box::new(Connection::new());
    let now = Instant::START;
    // One request a connection, as the challenge is needed from between the others.
    let mut exchange = |request: &str| {
        let mut answer = String::new();
        connection.open(now, SocketAddr::from(([127, 0, 0, 1], 40_000)));
        let space = connection.space();
        space[..request.len()].copy_from_slice(request.as_bytes());
        connection.received(now, request.len(), &mut engine);
        while connection.wants() == Wants::Write {
            answer.push_str(str::from_utf8(connection.pending()).unwrap());
            let bytes = connection.pending().len();
            connection.sent(now, bytes, &mut engine);
        }
        answer
    };
    let mut requests = Vec::new();
    for id in 0..100 {
        let asked = exchange(&format!("GET /challenge?id=peer-{id} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let challenge =
            asked.split("\"challenge\":\"").nth(1).expect("a challenge").split('"').next().unwrap();
        let nonce = |wanted: bool| (0..).find(|&nonce| (worth(challenge, nonce) > 0) == wanted).unwrap();
        for pow in [
            String::new(),
            format!(",\"pow\":{{\"challenge\":\"{challenge}\",\"nonce\":{}}}", nonce(false)),
            format!(",\"pow\":{{\"challenge\":\"{challenge}\",\"nonce\":{}}}", nonce(true)),
        ] {
            requests.push(post(
                "/announce",
                &format!("{{\"id\":\"peer-{id}\",\"endpoints\":[\"tcp://:9000\"]{pow}}}"),
            ));
        }
        requests.push(post("/leave", &format!("{{\"id\":\"peer-{id}\"}}")));
        requests.push(format!("GET /challenge?id=peer-{id} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    let mut statuses = [0; 600];
    let mut run = || {
        statuses = [0; 600];
        for request in requests.iter().cycle().take(REQUESTS) {
            statuses[ask(&mut connection, &mut engine, now, request.as_bytes())] += 1;
        }
    };
    run();
    assert_eq!(allocations(run), 0, "for {REQUESTS} requests");
    // Of each five: 428, 400, 200, and 200 twice.
    assert_eq!([428, 400, 200].map(|status| statuses[status]), [1, 1, 3].map(|part| part * REQUESTS / 5));
}

/// Sends one request, on a new connection if the last one is over. The status of the answer; 0 if there is none.
fn ask(connection: &mut Connection, engine: &mut Engine<'_>, now: Instant, mut request: &[u8]) -> usize {
    if matches!(connection.wants(), Wants::Close | Wants::Reset | Wants::Drain) {
        connection.open(now, SocketAddr::from(([127, 0, 0, 1], 40_000)));
    }
    let mut status = 0;
    loop {
        match connection.wants() {
            Wants::Write => {
                let pending = connection.pending();
                let digits = pending.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
                let digits = digits.and_then(|digits| str::from_utf8(digits).ok());
                status = digits.and_then(|digits| digits.parse().ok()).unwrap_or(status);
                let bytes = pending.len();
                connection.sent(now, bytes, engine);
            }
            Wants::Read if !request.is_empty() => {
                let space = connection.space();
                let bytes = space.len().min(request.len());
                space[..bytes].copy_from_slice(&request[..bytes]);
                request = &request[bytes..];
                connection.received(now, bytes, engine);
            }
            _ => return status,
        }
    }
}

#[test]
fn questions_on_the_lan_allocate_nothing() {
    let subnet = Subnet { ip: [10, 0, 0, 1].into(), prefix_bits: 24, is_shown: true };
    let interface = Interface { index: 1, addresses: [subnet].into_iter().collect() };
    let advert = Advert::server("pscryptochat", &[7; 20], 8080, Some(6881)).unwrap();
    let mut responder = Responder::new(advert, Seed([1; 32]).key(1)).unwrap();
    responder.set_interfaces(Instant::START, &[interface]);
    let ask = |labels: &[&[u8]], kind, unicast| {
        let name = NameBuf::from_labels(labels.iter().copied()).unwrap();
        let mut buffer = [0; 512];
        let mut out = Emitter::new(&mut buffer, 7, Flags::QUERY).unwrap();
        out.question(name.name(), kind, unicast).unwrap();
        let length = out.finish();
        buffer[..length].to_vec()
    };
    let instance: [&[u8]; 4] = [b"waypost 07070707", b"_pscryptochat", b"_tcp", b"local"];
    let host: [&[u8]; 2] = [b"waypost-07070707", b"local"];
    let packets = [
        ask(&instance[1..], Type::PTR, false),
        ask(&instance[1..], Type::PTR, true),
        ask(&instance, Type::ANY, false),
        ask(&host, Type::ANY, true),
        ask(&host, Type::AAAA, true),
        // What it says itself, to be heard again, comes in below; and what is no packet.
        b"no packet".to_vec(),
    ];
    let (mut now, mut said) = (Instant::START, 0);
    let mut out = [0; MAX_MDNS_REPLY_BYTES];
    let mut run = |requests: usize| {
        for request in 0..requests {
            now = now.plus_ms(37);
            let from = SocketAddr::from(([10, 0, 0, 9], if request % 3 == 0 { 40_000 } else { 5353 }));
            said += responder.receive(now, from, &packets[request % packets.len()], &mut out);
            while let Some(sent) = responder.poll_transmit(now, &mut out) {
                said += sent.length;
                let own = out;
                responder.receive(now, from, &own[..sent.length], &mut out);
            }
        }
    };
    run(REQUESTS);
    assert_eq!(allocations(|| run(REQUESTS)), 0);
    assert!(said > REQUESTS, "it said next to nothing");
}

/// The connect request of the UDP tracker (BEP 15).
const CONNECT: [u8; 16] = [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 1, 2, 3, 4];

/// Datagrams of the UDP tracker, of STUN and of KRPC, good and bad.
fn binary_datagrams(connection_id: &[u8]) -> Vec<Vec<u8>> {
    let stun = |attributes: &[u8]| {
        let head = [0, 1, 0, attributes.len() as u8, 0x21, 0x12, 0xa4, 0x42];
        [&head[..], &[7; 12], attributes].concat()
    };
    let mut datagrams = vec![CONNECT.to_vec(), stun(&[]), stun(&[0, 3, 0, 0]), stun(&[0, 3, 0])];
    // KRPC, whose queries need no proof of the address but for the last one.
    for query in [
        "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe",
        "d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz1234564:wantl2:n42:n6ee1:q9:find_node1:t2:aa1:y1:qe",
        "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe",
        "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234564:porti1e5:token8:01234567e1:q13:announce_peer1:t2:aa1:y1:qe",
        "d1:ad2:id20:abcdefghij0123456789e1:q4:vote1:t2:aa1:y1:qe",
    ] {
        datagrams.push(query.into());
    }
    for id in 0..IDS as u16 {
        let request = |connection_id: &[u8], action: u8, body: &[&[u8]]| {
            [connection_id, &[0, 0, 0, action, 1, 2, 3, 4], &body.concat()].concat()
        };
        let info_hash = [(id % 7) as u8; 20];
        let announce = |connection_id: &[u8], event: u8| {
            let event = [0, 0, 0, event];
            let numbers = [&[0; 20 + 24][..], &event, &[0; 8], &[0xff; 4], &(id + 1).to_be_bytes()].concat();
            request(connection_id, 1, &[&info_hash, &numbers])
        };
        datagrams.extend([
            announce(connection_id, 2),
            announce(connection_id, 1),
            request(connection_id, 2, &[&info_hash, &[9; 20]]),
            announce(connection_id, 3 * (id as u8 % 2)),
            announce(connection_id, 9),
            announce(&[0xb5; 8], 0),
            request(connection_id, 2, &[]),
        ]);
    }
    datagrams
}

/// Datagrams of JSON, good and bad.
fn datagrams(token: &str) -> Vec<Vec<u8>> {
    let mut datagrams = Vec::new();
    for id in 0..IDS {
        datagrams.extend([
            format!("{{\"type\":\"ping\",\"id\":\"{id}\",\"pad\":\"{:0100}\"}}", 0),
            format!("{{\"type\":\"find_peers\",\"id\":\"{id}\",\"pad\":\"{:064}\"}}", 0),
            format!("{{\"type\":\"find_peers\",\"id\":\"{id}\",\"limit\":32,\"token\":\"{token}\"}}"),
            format!("{{\"type\":\"announce\",\"id\":\"{id}\",\"peer_id\":\"p{id}\",\"port\":9000,\"token\":\"{token}\"}}"),
            format!("{{\"type\":\"announce\",\"id\":\"{id}\",\"peer_id\":\"q{id}\",\"ttl\":60,\"endpoints\":[\"tcp://:1\"],\"token\":\"{token}\"}}"),
            format!("{{\"type\":\"announce\",\"id\":\"{id}\",\"peer_id\":\"{:0100}\"}}", 0),
            format!("{{\"type\":\"leave\",\"id\":\"{id}\",\"peer_id\":\"p{}\",\"token\":\"{token}\"}}", id / 2),
            String::from("{\"type\":\"pong\",\"id\":\"1\"}"),
            String::from("{\"type\":\"ping\""),
        ]);
    }
    datagrams.into_iter().map(String::into_bytes).collect()
}
