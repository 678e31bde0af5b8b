//! More newcomers than a calm server has, in virtual time and over the protocols they really speak: who pays, who gets in
//! all the same, and when it is over.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;

use waypost::engine::http::{Connection, Wants};
use waypost::engine::{Engine, Settings, Storage};
use waypost::limits::MAX_UDP_REPLY_BYTES;
use waypost::rng::{HashKey, Rng, Seed};
use waypost::time::Instant;
use waypost::wire::pow::worth;

const CAPACITY: usize = 1024;
/// Too large for a stack.
type Memory = Storage<CAPACITY, 4096>;
/// Newcomers of one protocol in a second of the flood: more than all of them may be together, which is 17.
const FLOOD_PER_S: u64 = 50;
const FLOOD_S: u64 = 150;

/// How newcomers announce themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Http,
    UdpJson,
    HttpTracker,
    UdpTracker,
}

const WAYS: [Way; 4] = [Way::Http, Way::UdpJson, Way::HttpTracker, Way::UdpTracker];

/// What became of an announce.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Registered,
    Owes { challenge: String, difficulty: u32 },
    Refused,
}

/// A server, and its clients' clock.
struct World<'s> {
    engine: Engine<'s>,
    now: Instant,
    rng: Rng,
    newcomers: u32,
}

impl<'s> World<'s> {
    fn new(storage: &'s mut Memory) -> Self {
        let settings = Settings { max_peers: CAPACITY, ..Settings::default() };
        let engine = storage.engine(settings, &Seed([3; 32]));
        Self { engine, now: Instant::from_s(1000), rng: Rng::new(HashKey::new([3; 16])), newcomers: 0 }
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
        while self.engine.tick(self.now) {}
    }

    /// An address somewhere, and a name that nobody else has.
    fn newcomer(&mut self) -> (SocketAddr, String) {
        self.newcomers += 1;
        let ip = Ipv4Addr::from(0x0b00_0000 + self.rng.below(0x4000_0000));
        (SocketAddr::from((ip, 40_000)), format!("peer-{}", self.newcomers))
    }

    fn http(&mut self, from: SocketAddr, request: &str) -> String {
        let (mut connection, mut answer) = (Box::new(Connection::new()), Vec::new());
        connection.open(self.now, from);
        connection.space()[..request.len()].copy_from_slice(request.as_bytes());
        connection.received(self.now, request.len(), &mut self.engine);
        while connection.wants() == Wants::Write {
            answer.extend_from_slice(connection.pending());
            let bytes = connection.pending().len();
            connection.sent(self.now, bytes, &mut self.engine);
        }
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn udp(&mut self, from: SocketAddr, datagram: &[u8]) -> Vec<u8> {
        let mut reply = [0; MAX_UDP_REPLY_BYTES];
        let bytes = self.engine.datagram(self.now, from, datagram, &mut reply);
        reply[..bytes].to_vec()
    }

    fn announce(&mut self, way: Way, (from, id): &(SocketAddr, String), pow: &str) -> Outcome {
        let (from, id) = (*from, id.as_str());
        let answer = match way {
            Way::Http => {
                let body = format!(r#"{{"id":"{id}","endpoints":["tcp://:9000"]{pow}}}"#);
                let bytes = body.len();
                self.http(
                    from,
                    &format!("POST /announce HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {bytes}\r\n\r\n{body}"),
                )
            }
            Way::UdpJson => {
                let answer = self.udp(from, br#"{"type":"announce","id":"1","network":"pscryptochat"}"#);
                let answer = String::from_utf8(answer).unwrap();
                let token = text_of(&answer, "token").expect("a token");
                let ask =
                    format!(r#"{{"type":"announce","id":"1","peer_id":"{id}","token":"{token}"{pow}}}"#);
                String::from_utf8(self.udp(from, ask.as_bytes())).unwrap()
            }
            Way::HttpTracker => {
                let target =
                    "/announce?info_hash=%DC%90%EBp%3F%BE%5E%D4V%2F%CD%E5%93w1%0F%23v%80%E7&port=6881&left=0";
                let answer = self.http(from, &format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
                let is_registered = answer.contains("8:interval");
                return if is_registered { Outcome::Registered } else { Outcome::Refused };
            }
            Way::UdpTracker => {
                let connect = [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 1, 2, 3, 4];
                let answer = self.udp(from, &connect);
                let mut announce =
                    [&answer[8..], &[0, 0, 0, 1, 1, 2, 3, 4], &[7; 20], &[0; 20 + 24 + 18]].concat();
                announce[92..98].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x1a, 0xe1]);
                let is_registered = self.udp(from, &announce).starts_with(&[0, 0, 0, 1]);
                return if is_registered { Outcome::Registered } else { Outcome::Refused };
            }
        };
        match text_of(&answer, "challenge") {
            Some(challenge) => {
                let difficulty = answer
                    .split(r#""difficulty":"#)
                    .nth(1)
                    .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok());
                Outcome::Owes { challenge, difficulty: difficulty.expect("a price") }
            }
            None if answer.contains(r#""registered":true"#) => Outcome::Registered,
            None => Outcome::Refused,
        }
    }

    /// Announces, and does the work it is asked for.
    fn pay(&mut self, way: Way) -> Outcome {
        let newcomer = self.newcomer();
        let Outcome::Owes { challenge, difficulty } = self.announce(way, &newcomer, "") else {
            panic!("{way:?}: a newcomer has to pay");
        };
        assert!(difficulty >= 16);
        let nonce = (0..).find(|&nonce| worth(&challenge, nonce) >= difficulty).unwrap();
        let pow = format!(r#","pow":{{"challenge":"{challenge}","nonce":{nonce}}}"#);
        self.announce(way, &newcomer, &pow)
    }
}

fn text_of(answer: &str, name: &str) -> Option<String> {
    let rest = answer.split(&format!(r#""{name}":""#)).nth(1)?;
    rest.split('"').next().map(String::from)
}

#[test]
fn a_network_that_comes_back_after_a_restart_pays_nothing() {
    static MEMORY: Mutex<Memory> = Mutex::new(Memory::new());
    let mut memory = MEMORY.lock().unwrap();
    let mut world = World::new(&mut memory);
    for n in 0..CAPACITY {
        let newcomer = world.newcomer();
        let outcome = world.announce(WAYS[n % WAYS.len()], &newcomer, "");
        assert_eq!(outcome, Outcome::Registered, "newcomer {n}");
        assert_eq!(world.engine.price(), 0);
        world.pass(150_000 / CAPACITY as u64);
    }
}

#[test]
fn a_flood_pays_or_waits_and_is_forgotten_within_a_quarter_of_an_hour() {
    static MEMORY: Mutex<Memory> = Mutex::new(Memory::new());
    let mut memory = MEMORY.lock().unwrap();
    let mut world = World::new(&mut memory);
    let resident = world.newcomer();
    assert_eq!(world.announce(Way::Http, &resident, ""), Outcome::Registered);
    world.pass(60_000);

    let mut registered = [[0; 2]; WAYS.len()];
    let (mut rises, mut dear_ms, mut payers) = (0, 0, 0);
    for second in 0..FLOOD_S {
        for _ in 0..FLOOD_PER_S {
            for way in WAYS {
                let is_dear = world.engine.price() > 0;
                let newcomer = world.newcomer();
                let outcome = world.announce(way, &newcomer, "");
                registered[way as usize][usize::from(is_dear)] += usize::from(outcome == Outcome::Registered);
                rises += usize::from(!is_dear && world.engine.price() > 0);
                let can_pay = matches!(way, Way::Http | Way::UdpJson);
                assert_eq!(matches!(outcome, Outcome::Owes { .. }), can_pay && world.engine.price() > 0);
            }
            dear_ms += if world.engine.price() > 0 { 1000 / FLOOD_PER_S } else { 0 };
            world.pass(1000 / FLOOD_PER_S);
        }
        if second == 20 || second == 100 {
            for way in [Way::Http, Way::UdpJson] {
                assert_eq!(world.pay(way), Outcome::Registered, "{way:?}: who pays gets in");
                payers += 1;
            }
        }
        if second % 50 == 0 {
            assert_eq!(world.announce(Way::Http, &resident, ""), Outcome::Registered, "a refresh is free");
        }
    }
    let (free, dear): (Vec<usize>, Vec<usize>) = registered.iter().map(|[free, dear]| (free, dear)).unzip();
    println!(
        "{rises} rises, {dear_ms} ms dear, {payers} paid; let in while calm {free:?}, while dear {dear:?}"
    );
    assert_eq!(payers, 4);
    assert_eq!(dear[..2], [0, 0], "who could pay and does not stays outside");
    // Half of what may come at once raises the price: a twelfth of the table, about once a minute.
    let free: usize = free.iter().sum();
    assert!(free <= rises * (CAPACITY / 12 + 10), "{free} in {rises} times");
    assert!(rises as u64 <= 1 + FLOOD_S / 60, "{rises} times");
    // Trackers' newcomers get a quarter of what all could have, and 64 at once.
    let unable = dear[2] + dear[3];
    let least = (CAPACITY as u64 / 4 * dear_ms / 60_000) as usize;
    let most = CAPACITY / 4 * FLOOD_S as usize / 60 + 65;
    assert!((least..=most).contains(&unable), "{unable} is not in {least}..={most}");

    for second in 0..15 * 60 {
        if world.engine.price() == 0 {
            println!("free again {second} s after the flood");
            break;
        }
        world.pass(1000);
    }
    assert_eq!(world.engine.price(), 0);
    let newcomer = world.newcomer();
    assert_eq!(world.announce(Way::Http, &newcomer, ""), Outcome::Registered);
}
