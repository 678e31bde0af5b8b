//! Whose signed record is taken, when, and who sees it.

use super::*;
use crate::engine::identity::Secret;
use crate::record::{SEQ_END, Seal, put_signed};
use crate::wire::{Full, Writer, hex};

const HOME: &str = "198.51.100.7";
const ELSEWHERE: &str = "203.0.113.9";
const HERE: &[&str] = &["tcp://198.51.100.7:9000"];
const THERE: &[&str] = &["tcp://203.0.113.9:9000"];
/// The seed of a peer's key, and that of another's.
const OWN: [u8; 32] = [7; 32];
const OTHER: [u8; 32] = [8; 32];

fn endpoints<'a>(texts: &[&'a str]) -> request::EndpointList<'a> {
    texts.iter().map(|text| Endpoint::parse(text).unwrap()).collect()
}

fn sign(seed: &[u8; 32], seq: u64, texts: &[&str]) -> Seal {
    Seal::sign(seed, NETWORK, seq, endpoints(texts)).unwrap()
}

/// The id of the key of `seed`.
fn id_of(seed: &[u8; 32]) -> String {
    sign(seed, 0, &[]).id().id().as_str().into()
}

/// What a request carries of a seal.
struct Carried {
    key: String,
    seq: u64,
    sig: String,
}

impl Carried {
    fn new(seal: &Seal) -> Self {
        let text = |put: &dyn Fn(&mut Writer<'_>) -> Result<(), Full>| {
            let mut buffer = [0; 100];
            let mut out = Writer::new(&mut buffer);
            put(&mut out).unwrap();
            String::from_utf8(out.written().to_vec()).unwrap()
        };
        Self { key: text(&|out| seal.emit_key(out)), seq: seal.seq, sig: text(&|out| seal.emit_sig(out)) }
    }

    fn text(&self) -> SealText<'_> {
        SealText { key: &self.key, seq: self.seq, sig: &self.sig }
    }
}

/// An engine, and what is asked of it.
struct World {
    engine: Engine<'static>,
    at_s: u64,
}

impl World {
    fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let memory = std::boxed::Box::leak(std::boxed::Box::new(Memory::new()));
        Self { engine: engine(memory, change), at_s: 0 }
    }

    fn open() -> Self {
        Self::new(|s| (s.queries_per_minute, s.announces_per_minute) = (0, 0))
    }

    fn announce(
        &mut self,
        ip: &str,
        id: &str,
        texts: &[&str],
        seal: Option<Seal>,
    ) -> Result<Registration, Error> {
        let carried = seal.as_ref().map(Carried::new);
        let announce = Announce { seal: carried.as_ref().map(Carried::text), ..announce(id, texts) };
        register(&mut self.engine, self.at_s, ip, announce)
    }

    /// Announces what the key of `seed` signs.
    fn sign(&mut self, ip: &str, seed: &[u8; 32], seq: u64, texts: &[&str]) -> Result<(), Error> {
        self.announce(ip, &id_of(seed), texts, Some(sign(seed, seq, texts))).map(drop)
    }

    fn leave(&mut self, ip: &str, id: &str, owner: Option<Token>, seal: Option<Seal>) -> Result<bool, Error> {
        let (id, carried) = (PeerId::parse(id).unwrap(), seal.as_ref().map(Carried::new));
        let leave = Leave { network: NETWORK, id, owner, seal: carried.as_ref().map(Carried::text) };
        match self.engine.handle(Instant::from_s(self.at_s), &from(ip), &Request::Leave(leave)) {
            Reply::Left { removed } => Ok(removed),
            Reply::Refused(error) => Err(error),
            _ => unreachable!("a leave is answered with its success or an error"),
        }
    }

    /// What `ip` sees: the endpoints of each peer, and the number of a signed one. All that is signed verifies.
    fn seen(&mut self, ip: &str, schemes: &[&str]) -> Vec<(String, Option<u64>)> {
        let schemes = schemes.iter().copied().collect();
        let query = PeersQuery { network: NETWORK, limit: 50, schemes, exclude: None };
        let reply = self.engine.handle(Instant::from_s(self.at_s), &from(ip), &Request::Peers(query.clone()));
        let Reply::Peers(sample) = reply else { unreachable!("a query is answered with a sample") };
        let look = |peer: peers::PeerView<'_>| {
            if let Some(seal) = peer.seal {
                assert!(seal.verify(NETWORK, peer.endpoints()), "what is handed out verifies");
                assert_eq!(seal.id().id(), peer.id);
            }
            let texts: Vec<String> = peer.endpoints().map(|endpoint| endpoint.to_string()).collect();
            (texts.join(","), peer.seal.map(|seal| seal.seq))
        };
        let mut seen: Vec<_> = sample.peers().map(look).collect();
        seen.sort();
        seen
    }

    fn checked(&self) -> u64 {
        self.engine.stats.verified()
    }
}

fn shown(texts: &[&str], seq: u64) -> Vec<(String, Option<u64>)> {
    vec![(texts.join(","), Some(seq))]
}

#[test]
fn a_signed_record_is_handed_out_as_it_came() {
    let mut world = World::open();
    let two = &["tcp://198.51.100.7:9000", "udp://198.51.100.7:9001"];
    world.sign(HOME, &OWN, 7, two).unwrap();
    assert_eq!(world.seen(ELSEWHERE, &[]), shown(two, 7));
    assert_eq!(world.seen(ELSEWHERE, &["udp"]), shown(two, 7), "a filter chooses peers, not endpoints");
    assert_eq!(world.seen(ELSEWHERE, &["quic"]), []);
}

#[test]
fn an_update_needs_a_higher_number() {
    let mut world = World::open();
    world.sign(HOME, &OWN, 7, HERE).unwrap();
    for seq in [0, 6, 7] {
        assert_eq!(world.sign(HOME, &OWN, seq, HERE), Err(Error::StaleSeq), "{seq}");
    }
    assert_eq!(world.sign(ELSEWHERE, &OWN, 8, THERE), Ok(()), "from anywhere");
    assert_eq!(world.seen(HOME, &[]), shown(THERE, 8));
    assert_eq!(world.sign(HOME, &OWN, SEQ_END - 1, HERE), Ok(()));
    assert_eq!(world.seen(ELSEWHERE, &[]), shown(HERE, SEQ_END - 1));
    let beyond = Seal { seq: SEQ_END, ..sign(&OWN, 1, HERE) };
    assert_eq!(world.announce(HOME, &id_of(&OWN), HERE, Some(beyond)), Err(Error::BadSignature));
}

/// What the key of [`OWN`] signs as record number 8, but after another domain string.
fn of_another_domain(domain: &[u8; 17]) -> Seal {
    let seal = sign(&OWN, 8, HERE);
    let mut bytes = [0; 400];
    let mut out = Writer::new(&mut bytes);
    put_signed(&mut out, NETWORK, &seal.key, 8, endpoints(HERE)).unwrap();
    let mut bytes = out.written().to_vec();
    bytes[..17].copy_from_slice(domain);
    let pair = ed25519_compact::KeyPair::from_seed(ed25519_compact::Seed::new(OWN));
    Seal { sig: *pair.sk.sign(bytes, None), ..seal }
}

/// None of them changes anything.
#[test]
fn forgeries() {
    let mut world = World::open();
    world.sign(HOME, &OWN, 7, HERE).unwrap();
    let id = &*id_of(&OWN);
    let good = |seq| sign(&OWN, seq, HERE);
    let mut truncated = good(8);
    truncated.sig[63] = 0;
    let other_network = Seal::sign(&OWN, NetworkKey([2; 20]), 8, endpoints(HERE)).unwrap();
    for (what, seal, error) in [
        ("another key", sign(&OTHER, 8, HERE), Error::BadSignature),
        (
            "the right key, signed by another",
            Seal { key: good(8).key, ..sign(&OTHER, 8, HERE) },
            Error::BadSignature,
        ),
        ("an equal number", good(7), Error::StaleSeq),
        ("a lower number", good(6), Error::StaleSeq),
        ("a number that was not signed", Seal { seq: 9, ..good(8) }, Error::BadSignature),
        ("another domain", of_another_domain(b"waypost-record-2\0"), Error::BadSignature),
        ("a truncated signature", truncated, Error::BadSignature),
        ("another network", other_network, Error::BadSignature),
        ("no endpoints", sign(&OWN, 8, &[]), Error::BadSignature),
    ] {
        assert_eq!(world.announce(HOME, id, HERE, Some(seal)).map(drop), Err(error), "{what}");
        assert_eq!(world.seen(ELSEWHERE, &[]), shown(HERE, 7), "{what}");
    }
    for ip in [HOME, ELSEWHERE] {
        assert_eq!(world.announce(ip, id, &["tcp://:9000"], None), Err(Error::IdTaken), "{ip}");
        assert_eq!(world.leave(ip, id, None, None), Err(Error::IdTaken), "{ip}");
    }
    assert_eq!(world.announce(ELSEWHERE, id, HERE, Some(good(8))).map(drop), Err(Error::EndpointNotYours));
    assert_eq!(world.announce(ELSEWHERE, id, THERE, Some(good(8))).map(drop), Err(Error::BadSignature));
    assert_eq!(world.seen(ELSEWHERE, &[]), shown(HERE, 7));
    let right_domain = of_another_domain(b"waypost-record-1\0");
    assert_eq!(world.announce(HOME, id, HERE, Some(right_domain)).map(drop), Ok(()));
}

#[test]
fn the_token_of_a_signed_record_owns_nothing() {
    let mut world = World::open();
    let id = &*id_of(&OWN);
    let token = world.announce(HOME, id, HERE, Some(sign(&OWN, 7, HERE))).unwrap().token;
    assert_eq!(world.leave(HOME, id, Some(token), None), Err(Error::IdTaken));
}

#[test]
fn whoever_squats_on_an_id_makes_way_for_its_key() {
    let mut world = World::open();
    let id = &*id_of(&OWN);
    world.announce(ELSEWHERE, id, THERE, None).unwrap();
    assert_eq!(world.sign(HOME, &OWN, 1, HERE), Ok(()));
    assert_eq!(world.seen(ELSEWHERE, &[]), shown(HERE, 1));
    assert_eq!(world.announce(ELSEWHERE, id, THERE, None), Err(Error::IdTaken));
}

#[test]
fn whoever_squats_on_an_id_brings_no_old_record_back() {
    let mut world = World::open();
    let id = &*id_of(&OWN);
    world.sign(HOME, &OWN, 7, HERE).unwrap();
    assert_eq!(world.leave(HOME, id, None, Some(sign(&OWN, 8, &[]))), Ok(true));
    world.announce(HOME, id, HERE, None).unwrap();
    assert_eq!(world.sign(HOME, &OWN, 7, HERE), Err(Error::StaleSeq));
    assert_eq!(world.leave(HOME, id, None, Some(sign(&OWN, 8, &[]))), Err(Error::StaleSeq));
    assert_eq!(world.sign(HOME, &OWN, 9, HERE), Ok(()));
}

#[test]
fn endpoints_must_be_those_that_were_signed() {
    let mut world = World::open();
    let observed = &["tcp://:9000"];
    assert_eq!(world.sign(HOME, &OWN, 1, observed), Err(Error::BadEndpoint), "a host left out is filled in");
    assert_eq!(
        world.sign(HOME, &OWN, 1, &[HERE[0], HERE[0]]),
        Err(Error::BadEndpoint),
        "repeats are dropped"
    );
    assert_eq!(world.checked(), 0);
}

#[test]
fn a_record_with_a_lan_address_is_for_neighbours() {
    let mut world = World::open();
    let mixed = &["tcp://198.51.100.7:9000", "tcp://192.168.1.7:9000"];
    world.sign(HOME, &OWN, 1, mixed).unwrap();
    world.announce("198.51.100.8", "plain", &["tcp://:1", "tcp://198.51.100.8:2"], None).unwrap();
    assert_eq!(world.seen(ELSEWHERE, &[]).len(), 1, "a stranger would see only some of it");
    assert_eq!(world.seen(ELSEWHERE, &["tcp"]).len(), 1);
    for neighbour in [HOME, "192.168.1.9"] {
        assert!(world.seen(neighbour, &[]).contains(&shown(mixed, 1)[0]), "{neighbour}");
    }
}

#[test]
fn hidden_records_take_no_place_in_an_answer() {
    let mut world = World::open();
    for n in 1..=20 {
        let (ip, id) = (format!("{}.51.0.7", 50 + n), format!("plain-{n}"));
        let (public, lan) = (format!("tcp://{ip}:9000"), format!("tcp://192.168.1.{n}:9000"));
        world.sign(&ip, &[n; 32], 1, &[&public, &lan]).unwrap();
        world.announce(&format!("{}.0.0.7", 130 + n), &id, &["tcp://:1"], None).unwrap();
    }
    for _ in 0..10 {
        let query = PeersQuery { network: NETWORK, limit: 4, schemes: heapless::Vec::new(), exclude: None };
        let reply = world.engine.handle(Instant::START, &from(ELSEWHERE), &Request::Peers(query));
        assert!(matches!(reply, Reply::Peers(sample) if sample.peers().count() == 4));
    }
}

#[test]
fn a_signed_peer_is_an_address_like_any_other_to_bittorrent() {
    let mut world = World::open();
    // Half of a record is none, but an address is an address.
    world.sign(HOME, &OWN, 1, &[HERE[0], "tcp://192.168.1.7:9000"]).unwrap();
    let query = ContactsQuery { limit: 50, families: Families::Both, transport: Transport::Tcp };
    let reply = world.engine.handle(Instant::START, &from(ELSEWHERE), &Request::Contacts(NETWORK, query));
    let Reply::Contacts(contacts) = reply else { unreachable!("a query is answered with contacts") };
    let addresses: Vec<_> = contacts.iter().map(|(addr, port)| (addr.ip().to_string(), port)).collect();
    assert_eq!(addresses, [(HOME.into(), 9000)]);
    let mut compact = [0; 20];
    let mut out = Writer::new(&mut compact);
    contacts.emit_compact(&mut out);
    assert_eq!(out.written(), [198, 51, 100, 7, 0x23, 0x28]);
}

#[test]
fn leaving_takes_a_signature_and_leaves_a_number() {
    let mut world = World::open();
    let id = &*id_of(&OWN);
    let gone = |seq| Some(sign(&OWN, seq, &[]));
    assert_eq!(world.leave(HOME, id, None, gone(1)), Ok(false));
    world.sign(HOME, &OWN, 7, HERE).unwrap();
    assert_eq!(world.leave(HOME, id, None, gone(7)), Err(Error::StaleSeq));
    for (what, seal) in [
        ("a number that was not signed", Seal { seq: 9, ..sign(&OWN, 8, &[]) }),
        ("that of an announce", sign(&OWN, 8, HERE)),
        ("that of another key", sign(&OTHER, 9, &[])),
    ] {
        assert_eq!(world.leave(HOME, id, None, Some(seal)), Err(Error::BadSignature), "{what}");
    }
    assert_eq!(world.seen(ELSEWHERE, &[]), shown(HERE, 7));
    assert_eq!(world.leave(ELSEWHERE, id, None, gone(9)), Ok(true), "from anywhere");
    assert_eq!(world.seen(ELSEWHERE, &[]), []);
    for seq in [7, 8, 9] {
        assert_eq!(world.sign(HOME, &OWN, seq, HERE), Err(Error::StaleSeq), "{seq}");
    }
    assert_eq!(world.sign(HOME, &OWN, 10, HERE), Ok(()));
}

#[test]
fn an_old_record_stays_old_for_two_lifetimes_after_it_expired() {
    // A peer that lives from 0 s to 300 s.
    for swept in [false, true] {
        for (at_s, verdict) in [(300, Err(Error::StaleSeq)), (899, Err(Error::StaleSeq)), (900, Ok(()))] {
            let mut world = World::open();
            world.sign(HOME, &OWN, 7, HERE).unwrap();
            world.at_s = at_s;
            while swept && world.engine.tick(Instant::from_s(at_s)) {}
            assert_eq!(world.seen(ELSEWHERE, &[]), [], "it has expired");
            assert_eq!(world.sign(HOME, &OWN, 7, HERE), verdict, "at {at_s} s, swept: {swept}");
            assert_eq!(world.sign(HOME, &OWN, 8, HERE), Ok(()));
        }
    }
}

#[test]
fn an_evicted_record_stays_old() {
    // A table of one place, and newcomers from elsewhere until one of them gets it.
    let mut world = World::new(|s| (s.max_peers, s.queries_per_minute, s.announces_per_minute) = (1, 0, 0));
    world.sign(HOME, &OWN, 7, HERE).unwrap();
    for n in 1..200 {
        let _ = world.announce(&format!("192.0.{n}.1"), &format!("newcomer-{n}"), &["tcp://:1"], None);
    }
    assert!(world.engine.peers().evictions() > 0 && world.seen(ELSEWHERE, &[])[0].1.is_none());
    assert_eq!(world.sign(HOME, &OWN, 7, HERE), Err(Error::StaleSeq));
}

#[test]
fn a_signature_is_checked_last() {
    let junk = |seq| Some(Seal { seq, ..sign(&OWN, 1, HERE) });
    let id = &*id_of(&OWN);
    // The limit on announces: the thirty that it lets through are checked, no other.
    let mut world = World::new(|s| s.announces_per_minute = 30);
    let verdicts: Vec<_> = (0..40).map(|_| world.announce(HOME, id, HERE, junk(5))).collect();
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Err(Error::BadSignature)).count(), 30);
    assert!(matches!(verdicts[39], Err(Error::RateLimited { .. })));
    assert_eq!(world.checked(), 30);

    let mut world = World::new(|s| {
        (s.queries_per_minute, s.announces_per_minute) = (0, 0);
        s.networks.push(NETWORK).unwrap();
    });
    let refused = world.announce(HOME, "someone", HERE, junk(5)).map(drop);
    assert_eq!(refused, Err(Error::BadSignature), "the id is not the key's");
    assert_eq!(world.announce(HOME, id, THERE, junk(5)).map(drop), Err(Error::EndpointNotYours));
    world.engine.settings.networks[0] = NetworkKey([3; 20]);
    assert_eq!(world.announce(HOME, id, HERE, junk(5)).map(drop), Err(Error::NetworkNotServed));
    world.engine.settings.networks[0] = NETWORK;
    assert_eq!(world.checked(), 0);
    world.sign(HOME, &OWN, 7, HERE).unwrap();
    assert_eq!(world.announce(HOME, id, HERE, junk(6)).map(drop), Err(Error::StaleSeq));
    assert_eq!(world.leave(HOME, id, None, junk(6)), Err(Error::StaleSeq));
    assert_eq!(world.checked(), 1);

    let mut world = World::new(|s| s.pow = Pricing::Fixed(8));
    assert!(matches!(world.announce(HOME, id, HERE, junk(5)), Err(Error::PowRequired(_))));
    assert_eq!(world.checked(), 0);
}

#[test]
fn a_server_can_take_signed_records_only() {
    let mut world = World::new(|s| s.require_signed = true);
    assert_eq!(world.announce(HOME, "a", HERE, None).map(drop), Err(Error::SignatureRequired));
    assert_eq!(world.sign(HOME, &OWN, 1, HERE), Ok(()));
}

#[test]
fn the_server_s_key_is_the_operator_s_or_the_start_s() {
    let id = |identity: Option<Secret>, seed: u8| {
        let mut memory = Memory::new();
        memory.engine(Settings { identity, ..Settings::default() }, &Seed([seed; 32])).bootstrap_id()
    };
    let own = Some(Secret(OWN));
    assert_eq!(hex::decode::<20>(id_of(&OWN).as_bytes()), Some(id(own, 1)));
    assert_eq!(id(own, 1), id(own, 2));
    assert_eq!(id(None, 1), id(None, 1));
    assert_ne!(id(None, 1), id(None, 2));
}
