//! The rules of the engine that belong to no single part of it: whose endpoint, whose id, which network, which price.

mod signed;

use super::pow::Pricing;
use super::token::Token;
use super::*;
use crate::endpoint::Endpoint;
use crate::id::PeerId;
use crate::record::Seal;
use crate::wire::Writer;

type Memory = Storage<64, 256>;

const NETWORK: NetworkKey = NetworkKey([1; 20]);

fn engine(memory: &mut Memory, change: impl FnOnce(&mut Settings)) -> Engine<'_> {
    let mut settings = Settings { max_peers: 64, ..Settings::default() };
    change(&mut settings);
    memory.engine(settings, &Seed([9; 32]))
}

fn from(ip: &str) -> Source {
    let addr = CanonicalAddr::new(ip.parse().unwrap());
    Source { addr, port: 40_000, protocol: Protocol::Http, proof: Proof::Tcp }
}

/// Sends a datagram, and returns the answer.
pub(super) fn send(engine: &mut Engine<'_>, now: Instant, from: &str, datagram: &[u8]) -> Vec<u8> {
    let mut out = [0; 2000];
    let length = engine.datagram(now, from.parse().unwrap(), datagram, &mut out);
    out[..length].to_vec()
}

fn announce<'a>(id: &'a str, endpoints: &[&'a str]) -> Announce<'a> {
    Announce {
        network: NETWORK,
        id: PeerId::parse(id).unwrap(),
        endpoints: endpoints.iter().map(|e| Endpoint::parse(e).unwrap()).collect(),
        ttl_s: None,
        seeding: false,
        owner: None,
        seal: None,
        work: None,
    }
}

fn register(
    engine: &mut Engine<'_>,
    at_s: u64,
    ip: &str,
    announce: Announce<'_>,
) -> Result<Registration, Error> {
    match engine.handle(Instant::from_s(at_s), &from(ip), &Request::Announce(announce)) {
        Reply::Registered(registration) => Ok(registration),
        Reply::Refused(error) => Err(error),
        _ => unreachable!("an announce is answered with a registration or an error"),
    }
}

/// What `ip` sees, as `id=endpoint,endpoint`, sorted.
fn seen(engine: &mut Engine<'_>, at_s: u64, ip: &str) -> Vec<String> {
    let query = PeersQuery { network: NETWORK, limit: 50, schemes: heapless::Vec::new(), exclude: None };
    let reply = engine.handle(Instant::from_s(at_s), &from(ip), &Request::Peers(query));
    let Reply::Peers(sample) = reply else { unreachable!("a query is answered with a sample") };
    let line = |peer: peers::PeerView<'_>| {
        let endpoints: Vec<String> = peer.endpoints().map(|e| e.to_string()).collect();
        format!("{}={}", peer.id.as_str(), endpoints.join(","))
    };
    let mut lines: Vec<String> = sample.peers().map(line).collect();
    lines.sort();
    lines
}

#[test]
fn an_empty_host_becomes_the_observed_address() {
    let mut memory = Memory::new();
    let engine = &mut engine(&mut memory, |_| ());
    register(
        engine,
        0,
        "198.51.100.7",
        announce("a", &["tcp://:9000", "udp://198.51.100.7:1", "tcp://:9000"]),
    )
    .unwrap();
    assert_eq!(seen(engine, 1, "203.0.113.1"), ["a=tcp://198.51.100.7:9000,udp://198.51.100.7:1"]);
}

#[test]
fn foreign_addresses_and_names_are_refused_unless_allowed() {
    for foreign in ["tcp://203.0.113.9:1", "tcp://10.0.0.1:1", "tcp://127.0.0.1:1", "tcp://host.example:1"] {
        let mut memory = Memory::new();
        let strict = &mut engine(&mut memory, |_| ());
        let refused = register(strict, 0, "198.51.100.7", announce("a", &[foreign]));
        assert_eq!(refused, Err(Error::EndpointNotYours), "{foreign}");
        assert!(strict.peers().is_empty(), "a refused announce leaves nothing behind");

        let mut memory = Memory::new();
        let open = &mut engine(&mut memory, |s| s.allow_foreign_endpoints = true);
        assert!(register(open, 0, "198.51.100.7", announce("a", &[foreign])).is_ok(), "{foreign}");
    }
}

#[test]
fn one_foreign_endpoint_spoils_the_announce() {
    let mut memory = Memory::new();
    let engine = &mut engine(&mut memory, |_| ());
    let mixed = announce("a", &["tcp://:9000", "tcp://203.0.113.9:1"]);
    assert_eq!(register(engine, 0, "198.51.100.7", mixed), Err(Error::EndpointNotYours));
    assert_eq!(register(engine, 0, "198.51.100.7", announce("a", &[])), Err(Error::BadEndpoint));
}

#[test]
fn overlay_names_are_anyones() {
    let mut memory = Memory::new();
    let engine = &mut engine(&mut memory, |_| ());
    register(engine, 0, "198.51.100.7", announce("a", &["tcp://abc.onion:1", "tcp://abc.i2p:1"])).unwrap();
    assert_eq!(seen(engine, 0, "203.0.113.1"), ["a=tcp://abc.onion:1,tcp://abc.i2p:1"]);
}

#[test]
fn lan_endpoints_beside_the_observed_one_are_for_neighbours() {
    let mut memory = Memory::new();
    let engine = &mut engine(&mut memory, |_| ());
    register(engine, 0, "198.51.100.7", announce("a", &["tcp://:9000", "tcp://192.168.1.5:9000"])).unwrap();
    let all = ["a=tcp://198.51.100.7:9000,tcp://192.168.1.5:9000"];
    assert_eq!(seen(engine, 0, "203.0.113.1"), ["a=tcp://198.51.100.7:9000"]);
    assert_eq!(seen(engine, 0, "198.51.100.7"), all);
    assert_eq!(seen(engine, 0, "192.168.1.9"), all);
}

#[test]
fn a_peer_of_the_lan_is_for_the_lan() {
    let mut memory = Memory::new();
    let engine = &mut engine(&mut memory, |_| ());
    register(engine, 0, "192.168.1.5", announce("a", &["tcp://:9000", "tcp://10.0.0.5:9000"])).unwrap();
    assert_eq!(
        register(engine, 0, "192.168.1.5", announce("b", &["tcp://8.8.8.8:1"])),
        Err(Error::EndpointNotYours)
    );
    assert_eq!(seen(engine, 0, "127.0.0.1"), ["a=tcp://192.168.1.5:9000,tcp://10.0.0.5:9000"]);
    assert!(seen(engine, 0, "203.0.113.1").is_empty());
}

#[test]
fn an_id_belongs_to_its_address_and_to_its_token() {
    let mut memory = Memory::new();
    let engine = &mut engine(&mut memory, |_| ());
    let home = "198.51.100.7";
    let token = register(engine, 0, home, announce("a", &["tcp://:1"])).unwrap().token;
    assert_eq!(register(engine, 1, "203.0.113.1", announce("a", &["tcp://:2"])), Err(Error::IdTaken));
    let forged = Announce { owner: Some(Token([0; 8])), ..announce("a", &["tcp://:2"]) };
    assert_eq!(register(engine, 1, "203.0.113.1", forged), Err(Error::IdTaken));
    assert_eq!(seen(engine, 1, "203.0.113.1"), ["a=tcp://198.51.100.7:1"]);

    assert_eq!(register(engine, 2, home, announce("a", &["tcp://:3"])).unwrap().token, token);
    let moved = Announce { owner: Some(token), ..announce("a", &["tcp://:4"]) };
    assert_eq!(register(engine, 3, "203.0.113.1", moved).unwrap().token, token);
    assert_eq!(seen(engine, 3, home), ["a=tcp://203.0.113.1:4"]);
    assert_eq!(
        register(engine, 4, home, announce("a", &["tcp://:5"])),
        Err(Error::IdTaken),
        "it has moved away"
    );
}

#[test]
fn an_expired_id_is_free_and_its_token_is_void() {
    let mut memory = Memory::new();
    let engine = &mut engine(&mut memory, |_| ());
    let first = register(engine, 0, "198.51.100.7", announce("a", &["tcp://:1"])).unwrap();
    assert_eq!(first.expires_s, 300);
    assert_eq!(register(engine, 299, "203.0.113.1", announce("a", &["tcp://:2"])), Err(Error::IdTaken));
    let second = register(engine, 300, "203.0.113.1", announce("a", &["tcp://:2"])).unwrap();
    assert_ne!(first.token, second.token);
    let late = Announce { owner: Some(first.token), ..announce("a", &["tcp://:3"]) };
    assert_eq!(register(engine, 301, "198.51.100.7", late), Err(Error::IdTaken));
}

#[test]
fn leaving_takes_the_same_right_as_refreshing() {
    let mut memory = Memory::new();
    let engine = &mut engine(&mut memory, |_| ());
    let token = register(engine, 0, "198.51.100.7", announce("a", &["tcp://:1"])).unwrap().token;
    let mut leave = |ip: &str, owner: Option<Token>| {
        let request =
            Request::Leave(Leave { network: NETWORK, id: PeerId::parse("a").unwrap(), owner, seal: None });
        match engine.handle(Instant::from_s(1), &from(ip), &request) {
            Reply::Left { removed } => Ok(removed),
            Reply::Refused(error) => Err(error),
            _ => unreachable!("a leave is answered with its result"),
        }
    };
    assert_eq!(leave("203.0.113.1", None), Err(Error::IdTaken));
    assert_eq!(leave("203.0.113.1", Some(token)), Ok(true));
    assert_eq!(leave("198.51.100.7", None), Ok(false), "it is gone already");
}

#[test]
fn lifetimes_are_clamped_to_what_the_server_allows() {
    let mut memory = Memory::new();
    let engine = &mut engine(&mut memory, |s| s.max_ttl_s = 600);
    for (wanted, granted) in
        [(None, 300), (Some(0), 30), (Some(30), 30), (Some(599), 599), (Some(u32::MAX), 600)]
    {
        let request = Announce { ttl_s: wanted, ..announce("a", &["tcp://:1"]) };
        assert_eq!(register(engine, 0, "198.51.100.7", request).unwrap().expires_s, granted);
    }
}

#[test]
fn only_the_served_networks_are_served() {
    let mut memory = Memory::new();
    let engine = &mut engine(&mut memory, |s| s.networks.push(NetworkKey([2; 20])).unwrap());
    assert_eq!(
        register(engine, 0, "198.51.100.7", announce("a", &["tcp://:1"])),
        Err(Error::NetworkNotServed)
    );
    let served = Announce { network: NetworkKey([2; 20]), ..announce("a", &["tcp://:1"]) };
    assert!(register(engine, 0, "198.51.100.7", served).is_ok());
}

#[test]
fn unsigned_announces_can_be_refused() {
    let mut memory = Memory::new();
    let engine = &mut engine(&mut memory, |s| s.require_signed = true);
    assert_eq!(
        register(engine, 0, "198.51.100.7", announce("a", &["tcp://:1"])),
        Err(Error::SignatureRequired)
    );
}

#[test]
fn new_peers_are_admitted_no_faster_than_a_table_a_minute_but_refreshes_always() {
    // A static, because the memory of that many peers does not fit on a test's stack.
    static MEMORY: std::sync::Mutex<Storage<4096, 256>> = std::sync::Mutex::new(Storage::new());
    let mut memory = MEMORY.lock().unwrap();
    let settings = Settings { max_peers: 4096, pow: Pricing::Off, ..Settings::default() };
    let mut engine = memory.engine(settings, &Seed([9; 32]));
    let burst = 4096 / 6;
    let address = |n: u32| format!("{}.{}.9.7", 11 + n / 200, n % 200);
    for n in 0..burst {
        register(&mut engine, 0, &address(n), announce(&format!("peer-{n}"), &["tcp://:1"])).unwrap();
    }
    let next = || (address(burst), format!("peer-{burst}"));
    let (ip, id) = next();
    let refused = register(&mut engine, 0, &ip, announce(&id, &["tcp://:1"]));
    assert_eq!(refused, Err(Error::RateLimited { retry_after_s: 1 }));
    register(&mut engine, 0, &address(0), announce("peer-0", &["tcp://:1"])).unwrap();
    register(&mut engine, 1, &ip, announce(&id, &["tcp://:1"])).unwrap();
}

#[test]
fn a_prefix_that_has_all_its_places_uses_up_no_admissions() {
    let mut memory = Memory::new();
    let engine = &mut engine(&mut memory, |s| s.pow = Pricing::Off);
    let mut refused = 0;
    for n in 0..1000 {
        let (ip, id) = (format!("66.6.{}.{}", n % 256, n / 256), format!("attacker-{n}"));
        refused += u32::from(register(engine, 0, &ip, announce(&id, &["tcp://:1"])) == Err(Error::TableFull));
    }
    assert_eq!(refused, 1000 - 8, "one /16 has an eighth of the table");
    for n in 0..40 {
        let (ip, id) = (format!("{}.1.1.1", n + 20), format!("peer-{n}"));
        register(engine, 0, &ip, announce(&id, &["tcp://:1"])).unwrap();
    }
}

/// A signature takes ten thousand times as long to check as a token: newcomers with forged ones are asked to pay like others.
#[test]
fn a_flood_of_forged_signatures_is_not_verified_for_nothing() {
    let mut memory = Memory::new();
    let engine = &mut engine(&mut memory, |_| ());
    let mut refused = [0; 2];
    for n in 0..500_u16 {
        let mut texts = [[0; 100]; 2];
        let [key, sig] = &mut texts;
        let mut out = Writer::new(key);
        let number = n.to_be_bytes();
        let seal = Seal { seq: 1, key: core::array::from_fn(|at| number[at % 2]), ..Seal::NONE };
        seal.emit_key(&mut out).unwrap();
        let key = str::from_utf8(out.written()).unwrap();
        let mut out = Writer::new(sig);
        seal.emit_sig(&mut out).unwrap();
        let seal_text = SealText { key, seq: 1, sig: str::from_utf8(out.written()).unwrap() };
        let id = seal.id();
        let ip = format!("{}.{}.9.7", 11 + n / 200, n % 200);
        let endpoint = format!("tcp://{ip}:1");
        let announce = Announce { seal: Some(seal_text), ..announce(id.id().as_str(), &[&endpoint]) };
        match register(engine, 0, &ip, announce).unwrap_err() {
            Error::BadSignature => refused[0] += 1,
            Error::PowRequired(_) => refused[1] += 1,
            error => panic!("{error:?}"),
        }
    }
    // Half of the gate's burst of 64.
    assert_eq!(engine.stats.verified(), refused[0]);
    assert!((30..40).contains(&refused[0]), "{} of 500 were verified", refused[0]);
}

#[test]
fn stable_samples_show_one_network_the_same_peers_for_ten_minutes() {
    let mut memory = Memory::new();
    let engine = &mut engine(&mut memory, |s| {
        s.stable_samples = true;
        s.queries_per_minute = 0;
        s.announces_per_minute = 0;
        s.peer_ttl_s = 3600;
    });
    for n in 0..60 {
        register(engine, 0, &format!("{}.1.1.1", n + 20), announce(&format!("peer-{n}"), &["tcp://:1"]))
            .unwrap();
    }
    let first = seen(engine, 1, "198.51.100.7");
    assert_eq!(first.len(), 15, "a quarter of the live peers");
    for at_s in 2..500 {
        assert_eq!(seen(engine, at_s, "198.51.100.200"), first);
    }
    assert_ne!(seen(engine, 2, "203.0.113.1"), first, "another network sees others");
    assert_ne!(seen(engine, 601, "198.51.100.7"), first, "and so does the next epoch");
}

#[test]
fn stable_samples_reveal_no_more_than_their_share_whatever_is_asked() {
    // A static, because the memory of that many peers does not fit on a test's stack.
    static MEMORY: [std::sync::Mutex<Storage<1024, 256>>; 5] =
        [const { std::sync::Mutex::new(Storage::new()) }; 5];
    let size = |all: u32| (all.div_ceil(4) as usize).clamp(8, 50);
    for (all, memory) in [5, 20, 60, 150, 900].into_iter().zip(&MEMORY) {
        let mut memory = memory.lock().unwrap();
        let settings = Settings {
            stable_samples: true,
            queries_per_minute: 0,
            announces_per_minute: 0,
            max_peers: 1024,
            ..Settings::default()
        };
        let engine = &mut memory.engine(settings, &Seed([9; 32]));
        // Most peers are of one network; a hundred of another do not count.
        let networks = [(NETWORK, all), (NetworkKey([2; 20]), 100)];
        for (network, n) in
            networks.into_iter().flat_map(|(network, all)| (0..all).map(move |n| (network, n)))
        {
            let (ip, id) = (format!("{}.{}.1.1", n / 250 + 20, n % 250), format!("peer-{n}"));
            let schemes = [&["tcp://:1"][..], &["udp://:1"], &["tcp://:1", "ws://:2"]];
            let announce = Announce { network, ..announce(&id, schemes[n as usize % 3]) };
            register(engine, 0, &ip, announce).unwrap();
        }
        let mut revealed = std::collections::BTreeSet::new();
        for n in 0..10_000_u32 {
            let asker = Source { port: 1024 + n as u16, ..from(&format!("198.51.100.{}", n % 256)) };
            let now = Instant::from_s(u64::from(n) / 20);
            let excluded = format!("peer-{}", n % all);
            if n % 3 == 0 {
                let (families, transport) = if n % 2 == 0 {
                    (Families::V4, Transport::Tcp)
                } else {
                    (Families::Both, Transport::Udp)
                };
                let query = ContactsQuery { limit: n as usize % 50 + 1, families, transport };
                let reply = engine.handle(now, &asker, &Request::Contacts(NETWORK, query));
                let Reply::Contacts(contacts) = reply else { unreachable!("a query is answered in kind") };
                revealed.extend(contacts.iter().map(|(addr, _)| addr.octets()));
                continue;
            }
            let schemes = [&[][..], &["tcp"], &["udp"], &["ws", "udp"]];
            let query = PeersQuery {
                network: NETWORK,
                limit: n as usize % 50 + 1,
                schemes: schemes[n as usize % 4].iter().copied().collect(),
                exclude: (n % 5 == 0).then(|| PeerId::parse(&excluded).unwrap()),
            };
            let reply = engine.handle(now, &asker, &Request::Peers(query));
            let Reply::Peers(sample) = reply else { unreachable!("a query is answered in kind") };
            let hosts =
                sample.peers().flat_map(|peer| peer.endpoints().filter_map(|e| e.ip()).collect::<Vec<_>>());
            revealed.extend(hosts.map(CanonicalAddr::octets));
        }
        assert_eq!(revealed.len(), size(all).min(all as usize), "of {all}");
    }
}

fn track<'a>(id: PeerId<'a>, endpoint: &'a str, event: Event, seeding: bool) -> Request<'a> {
    let announce = Announce { seeding, ..announce(id.as_str(), &[endpoint]) };
    let contacts = ContactsQuery { limit: 50, families: Families::Both, transport: Transport::Tcp };
    Request::Track(Track { announce, event, contacts })
}

/// Seconds granted, counts, and contacts of the answer to a tracker's client.
fn tracked(engine: &mut Engine<'_>, ip: &str, request: &Request<'_>) -> (u32, Counts, Vec<String>) {
    match engine.handle(Instant::START, &from(ip), request) {
        Reply::Tracked(tracked) => {
            let mut contacts: Vec<_> =
                tracked.contacts.iter().map(|(addr, port)| format!("{}:{port}", addr.ip())).collect();
            contacts.sort();
            (tracked.expires_s, tracked.counts, contacts)
        }
        _ => panic!("not tracked"),
    }
}

#[test]
fn a_tracker_counts_and_introduces() {
    let mut storage = Storage::<16, 256>::new();
    let mut engine = storage.engine(Settings::default(), &Seed([1; 32]));
    let id = |text| PeerId::parse(text).unwrap();
    let seeder = track(id("s"), "tcp://:1", Event::None, true);
    let counts = |seeders, leechers, completed| Counts { seeders, leechers, completed };
    assert_eq!(tracked(&mut engine, "203.0.113.5", &seeder), (300, counts(1, 0, 0), Vec::new()));
    let leecher = track(id("l"), "udp://:2", Event::None, false);
    let met = tracked(&mut engine, "198.51.100.7", &leecher);
    assert_eq!(met, (300, counts(1, 1, 0), vec!["203.0.113.5:1".into()]));
    let done = track(id("l"), "udp://:2", Event::Completed, true);
    assert_eq!(tracked(&mut engine, "198.51.100.7", &done).1, counts(2, 0, 1));
    let hidden = track(id("h"), "tcp://192.168.1.9:3", Event::None, true);
    assert_eq!(tracked(&mut engine, "192.168.1.9", &hidden).1, counts(3, 0, 1), "the LAN sees all");
    let met = tracked(&mut engine, "203.0.113.5", &seeder);
    assert_eq!((met.1, met.2), (counts(2, 0, 1), vec!["198.51.100.7:2".into()]), "strangers see no LAN");
    let stopped = track(id("l"), "udp://:2", Event::Stopped, true);
    let left = tracked(&mut engine, "198.51.100.7", &stopped);
    assert_eq!(left, (0, counts(1, 0, 1), vec!["203.0.113.5:1".into()]));
    for counted in [counts(1, 0, 1), counts(1, 0, 1)] {
        let reply = engine.handle(Instant::START, &from("198.51.100.7"), &Request::Count(NETWORK));
        assert!(matches!(reply, Reply::Counts(c) if c == counted));
    }
}

#[test]
fn an_id_that_spells_an_address_is_that_address_s() {
    let mut storage = Storage::<16, 256>::new();
    let mut engine = storage.engine(Settings::default(), &Seed([1; 32]));
    let mut announce_from = |ip: &str, id: &str| {
        register(&mut engine, 0, ip, announce(id, &["tcp://:1"])).map(|registration| registration.expires_s)
    };
    assert_eq!(announce_from("203.0.113.5", "198.51.100.7:1"), Ok(300), "the id is free");
    assert_eq!(announce_from("192.0.2.9", "198.51.100.7:1"), Err(Error::IdTaken));
    assert_eq!(announce_from("198.51.100.7", "198.51.100.7:1"), Ok(300), "its owner comes");
    assert_eq!(announce_from("203.0.113.5", "198.51.100.7:1"), Err(Error::IdTaken), "and has it");
}
