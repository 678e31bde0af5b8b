//! A conversation of a few clients, some of them forged, with two servers that know each other.

use core::net::SocketAddr;

use super::{SmallStorage, TOKEN_PLACE, answer};
use crate::addr::CanonicalAddr;
use crate::engine::datagram::{Kind, classify};
use crate::engine::http::{Connection, Wants};
use crate::engine::{Engine, Settings};
use crate::limits::{BINARY_AMPLIFICATION, MAX_DATAGRAM_BYTES, MAX_RESPONSE_BYTES, MAX_UDP_REPLY_BYTES};
use crate::rng::Seed;
use crate::time::Instant;

/// Hosts of clients; the two after them are the servers'.
const CLIENTS: u8 = 6;
const HOSTS: usize = CLIENTS as usize + 2;
/// No proof of an address lives longer than this, in seconds.
const OLDEST_PROOF_S: u64 = 1200;
/// Where KRPC has a token, and BEP 15 a connection id.
const KRPC_TOKEN_PLACE: &[u8] = b"TOKENTOK";

/// What is said, by number. Proofs are put in where their places are.
const TEMPLATES: [&[u8]; 16] = [
    br#"{"type":"ping","id":"1"}"#,
    br#"{"type":"find_peers","id":"2","pad":"                                                  "}"#,
    br#"{"type":"find_peers","id":"3","limit":32,"token":"AAAAAAAAAAA"}"#,
    br#"{"type":"announce","id":"4","peer_id":"a","token":"AAAAAAAAAAA"}"#,
    br#"{"type":"announce","id":"5","peer_id":"b","endpoints":["tcp://:9000","tcp://10.0.0.1:9"],"token":"AAAAAAAAAAA"}"#,
    br#"{"type":"leave","id":"6","peer_id":"a","token":"AAAAAAAAAAA"}"#,
    b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe",
    b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe",
    b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe",
    b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:TOKENTOKe1:q13:announce_peer1:t2:aa1:y1:qe",
    b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q17:sample_infohashes1:t2:aa1:y1:qe",
    b"\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0abcd",
    b"\xb5\0\0\0\0\0\0\0\0\0\0\x01abcdmnopqrstuvwxyz123456-XX0001-abcdefghijkl\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\x02\0\0\0\0abcd\xff\xff\xff\xff\x1a\xe1",
    b"\xb5\0\0\0\0\0\0\0\0\0\0\x02abcdmnopqrstuvwxyz123456",
    b"\0\x01\0\0\x21\x12\xa4\x42abcdefghijkl",
    b"d1:rd2:id20:abcdefghij0123456789e1:t8:TOKENTOK1:y1:re",
];

/// Requests over HTTP, by number.
const HTTP_TEMPLATES: [&[u8]; 4] = [
    b"GET /peers?limit=50 HTTP/1.1\r\nHost: a\r\n\r\nGET /health HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /announce HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 39\r\n\r\n{\"id\":\"a\",\"endpoints\":[\"tcp://:9000\"]} ",
    b"POST /leave HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{\"id\":\"a\"}",
    b"GET /announce?info_hash=mnopqrstuvwxyz123456&peer_id=-XX0001-abcdefghijkl&port=6881&left=0 HTTP/1.1\r\nHost: a\r\n\r\n",
];

/// The proofs a host has had from one server, and when: what has none is all zero.
#[derive(Clone, Copy, Default)]
struct Proofs {
    json: [u8; 11],
    krpc: [u8; 8],
    connection: [u8; 8],
    at: [Option<(u32, Instant)>; 3],
}

/// Steps of five bytes each: what to do, by whom, in whose name, how, and how many bytes that follow belong to it.
pub fn conversation(data: &[u8]) {
    // No input can hold a proof that was read from a run of it, as the keys come from all its bytes.
    let sum = data
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut proofs = [[Proofs::default(); HOSTS]; 2];
    let mut unread = data;
    let mut life = 0;
    // A restart begins a life with nothing but what clients remember.
    while !unread.is_empty() && life < 8 {
        life += 1;
        let (mut first, mut second) = (SmallStorage::new(), SmallStorage::new());
        let mut world = World {
            servers: [
                first.engine(unlimited(), &seed(sum, life, 1)),
                second.engine(joined(), &seed(sum, life, 2)),
            ],
            connections: [Connection::new(), Connection::new()],
            proofs: &mut proofs,
            life,
            now: Instant::from_s(1),
        };
        unread = world.live(unread);
    }
}

fn seed(sum: u64, life: u32, server: u8) -> Seed {
    let mut bytes = [server; 32];
    bytes
        .iter_mut()
        .zip(sum.to_le_bytes().into_iter().chain(life.to_le_bytes()))
        .for_each(|(to, from)| *to = from);
    Seed(bytes)
}

fn unlimited() -> Settings {
    Settings { queries_per_minute: 0, announces_per_minute: 0, ..Settings::default() }
}

/// A server with limits and stable samples that joins the other's DHT.
fn joined() -> Settings {
    let mut settings = Settings { stable_samples: true, max_peers: 4, ..Settings::default() };
    let _ = settings.dht_nodes.push(host(CLIENTS));
    settings
}

/// The address of a host: clients of both families, one of them on a LAN, and the servers.
fn host(number: u8) -> SocketAddr {
    match number {
        0 => ([192, 168, 1, 7], 40_000).into(),
        1 | 2 => ([0x2a00, number.into(), 0, 0, 0, 0, 0, 1], 40_000).into(),
        _ => ([20, 7, number, 1], 6881).into(),
    }
}

struct World<'w, 's> {
    servers: [Engine<'s>; 2],
    /// One to each server.
    connections: [Connection; 2],
    proofs: &'w mut [[Proofs; HOSTS]; 2],
    life: u32,
    now: Instant,
}

impl World<'_, '_> {
    /// Takes steps until a restart, and returns what is left of them.
    fn live<'d>(&mut self, mut unread: &'d [u8]) -> &'d [u8] {
        while let Some((&[what, who, name, how, length], rest)) = unread.split_first_chunk() {
            let (bytes, rest) = rest.split_at(usize::from(length).min(rest.len()));
            unread = rest;
            let server = usize::from(what >> 7);
            let (who, name) = (who % HOSTS as u8, name % HOSTS as u8);
            match what & 7 {
                0..=2 => {
                    let template = TEMPLATES.get(usize::from(how & 15)).copied().unwrap_or_default();
                    self.say(server, who, name, template, bytes);
                }
                3 => self.say(server, who, name, bytes, &[]),
                4 => {
                    let template = HTTP_TEMPLATES.get(usize::from(how & 3)).copied().unwrap_or_default();
                    self.call(server, who, if how & 4 == 0 { template } else { bytes }, how >> 3);
                }
                5 | 6 => self.wait(how),
                _ => break,
            }
            for engine in &self.servers {
                assert!(engine.peers().len() <= engine.peers().capacity());
            }
        }
        self.end();
        unread
    }

    /// Sends a datagram in the name of a host, with the proofs that `who` has: `edits` are pairs of a place and a byte.
    fn say(&mut self, server: usize, who: u8, name: u8, template: &[u8], edits: &[u8]) {
        let mut buffer = [0; MAX_DATAGRAM_BYTES];
        let Some(datagram) = buffer.get_mut(..template.len()) else { return };
        datagram.copy_from_slice(template);
        let (edits, _) = edits.as_chunks::<2>();
        for &[at, byte] in edits {
            if let Some(place) = datagram.get_mut(usize::from(at)) {
                *place = byte;
            }
        }
        let may_be_proven = self.prove(server, who, datagram) && who == name;
        let from = host(name);
        let Some(engine) = self.servers.get_mut(server) else { return };
        while engine.tick(self.now) {}
        let before = engine.peers().len();
        let (reply, bytes) = answer(engine, self.now, from, datagram);
        let kind = classify(datagram);
        let longest = match kind {
            Kind::Krpc | Kind::Stun => datagram.len().saturating_mul(BINARY_AMPLIFICATION),
            _ if may_be_proven => MAX_UDP_REPLY_BYTES,
            _ => datagram.len(),
        };
        assert!(bytes <= longest.min(MAX_UDP_REPLY_BYTES), "{bytes} bytes are too long an answer");
        assert!(may_be_proven || engine.peers().len() == before, "without a proof nothing changes");
        let reply = reply.get(..bytes).unwrap_or_default();
        self.learn(server, name, kind, reply);
        if !reply.is_empty() {
            self.reflect(reply);
        }
    }

    /// Puts in the proofs that a host has. Returns whether any may still be good.
    fn prove(&self, server: usize, who: u8, datagram: &mut [u8]) -> bool {
        let Some(proofs) = self.proofs.get(server).and_then(|proofs| proofs.get(usize::from(who))) else {
            return false;
        };
        let (place, text): (&[u8], &[u8]) = match classify(datagram) {
            Kind::Json => (TOKEN_PLACE, &proofs.json),
            Kind::Krpc => (KRPC_TOKEN_PLACE, &proofs.krpc),
            Kind::TrackerTagged => {
                datagram.iter_mut().zip(proofs.connection).for_each(|(to, from)| *to = from);
                return self.may_be_good(proofs.at[2]);
            }
            _ => return false,
        };
        let Some(at) = datagram.windows(place.len()).position(|window| window == place) else { return false };
        datagram.iter_mut().skip(at).zip(text).for_each(|(to, from)| *to = *from);
        self.may_be_good(proofs.at[usize::from(place == KRPC_TOKEN_PLACE)])
    }

    fn may_be_good(&self, made: Option<(u32, Instant)>) -> bool {
        made.is_some_and(|(life, at)| {
            life == self.life && self.now.as_s() <= at.as_s().saturating_add(OLDEST_PROOF_S)
        })
    }

    /// Keeps the proof in an answer for the host that it was sent to.
    fn learn(&mut self, server: usize, name: u8, kind: Kind, reply: &[u8]) {
        let Some(proofs) = self.proofs.get_mut(server).and_then(|proofs| proofs.get_mut(usize::from(name)))
        else {
            return;
        };
        let made = Some((self.life, self.now));
        match kind {
            Kind::Json => {
                if let Some(text) = behind(reply, b"\"token\":\"") {
                    (proofs.json, proofs.at[0]) = (text, made);
                }
            }
            Kind::Krpc => {
                if let Some(token) = behind(reply, b"5:token8:") {
                    (proofs.krpc, proofs.at[1]) = (token, made);
                }
            }
            Kind::TrackerConnect if reply.starts_with(&[0; 4]) => {
                if let Some(id) = reply.get(8..).and_then(|id| id.first_chunk()) {
                    (proofs.connection, proofs.at[2]) = (*id, made);
                }
            }
            _ => {}
        }
    }

    /// Sends an answer to each server in the name of the other: no loop begins.
    fn reflect(&mut self, reply: &[u8]) {
        for (engine, name) in self.servers.iter_mut().zip([CLIENTS + 1, CLIENTS]) {
            assert_eq!(answer(engine, self.now, host(name), reply).1, 0, "an answer is answered");
        }
    }

    /// Sends bytes over a connection, in pieces, and reads all that comes back.
    fn call(&mut self, server: usize, who: u8, mut unsent: &[u8], piece: u8) {
        let (Some(engine), Some(connection)) =
            (self.servers.get_mut(server), self.connections.get_mut(server))
        else {
            return;
        };
        if connection.wants() == Wants::Close {
            connection.open(self.now, host(who % CLIENTS));
        }
        let piece = usize::from(piece).saturating_add(1);
        let mut fresh = true;
        for _ in 0..(unsent.len() + 2).saturating_mul(MAX_RESPONSE_BYTES) {
            match connection.wants() {
                Wants::Write => {
                    let pending = connection.pending();
                    assert!(!fresh || pending.starts_with(b"HTTP/1.1 "), "a response has a status line");
                    let taken = (64 * piece).min(pending.len());
                    fresh = taken == pending.len();
                    connection.sent(self.now, taken, engine);
                }
                Wants::Read | Wants::Drain => {
                    if unsent.is_empty() {
                        return;
                    }
                    let space = connection.space();
                    let (sent, rest) = unsent.split_at(piece.min(space.len()).min(unsent.len()));
                    assert!(!sent.is_empty(), "there is no space to read to");
                    space.iter_mut().zip(sent).for_each(|(to, from)| *to = *from);
                    unsent = rest;
                    connection.received(self.now, sent.len(), engine);
                }
                Wants::Close | Wants::Reset => {
                    *connection = Connection::new();
                    return;
                }
            }
        }
        panic!("the connection does not end");
    }

    /// Lets up to a quarter of an hour pass.
    fn wait(&mut self, how: u8) {
        self.now = self.now.plus_ms(u64::from(how).pow(2) * 15);
        for connection in &mut self.connections {
            if connection.wants() != Wants::Close && connection.deadline() <= self.now {
                connection.expired(self.now);
            }
        }
        for sender in 0..2_u8 {
            self.ping(sender);
        }
    }

    /// What a server sends of its own accord: few and short, and of the other server's answer nothing more comes.
    fn ping(&mut self, sender: u8) {
        let [first, second] = &mut self.servers;
        let (engine, other) = if sender == 0 { (first, second) } else { (second, first) };
        while engine.tick(self.now) {}
        let mut query = [0; MAX_UDP_REPLY_BYTES];
        let mut sent = 0;
        while let Some((to, bytes)) = engine.poll_transmit(self.now, &mut query) {
            sent += 1;
            assert!(sent <= 64, "too many datagrams of its own accord");
            assert!(CanonicalAddr::from(to).scope() != crate::addr::Scope::Invalid);
            if to == host(CLIENTS + 1 - sender) {
                let (reply, bytes) =
                    answer(other, self.now, host(CLIENTS + sender), query.get(..bytes).unwrap_or_default());
                let reply = reply.get(..bytes).unwrap_or_default();
                assert_eq!(answer(engine, self.now, to, reply).1, 0, "an answer is answered");
            }
        }
    }

    /// Everybody expires.
    fn end(&mut self) {
        for engine in &mut self.servers {
            let end = self.now.plus_s(engine.settings().max_ttl_s).plus_ms(1000);
            while engine.tick(end) {}
            assert!(engine.peers().is_empty(), "everybody has expired");
        }
    }
}

/// The bytes behind a mark.
fn behind<const N: usize>(reply: &[u8], mark: &[u8]) -> Option<[u8; N]> {
    let at = reply.windows(mark.len()).position(|window| window == mark)?;
    reply.get(at.checked_add(mark.len())?..)?.first_chunk().copied()
}
