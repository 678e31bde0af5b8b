//! What a hostile Internet sends, over HTTP and UDP, from many addresses: new ids without end, forged tokens, the ids of others,
//! and everything malformed. The same seed gives the same bytes.
//!
//! `tests/memory.rs` uses this file as well, so it needs nothing of its neighbours.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Requests on one connection, and datagrams of one socket.
const BATCH: u64 = 50;
/// Ids that are announced again and again, by whoever: most are somebody else's by then.
const CONTESTED: u64 = 5_000;
/// A datagram that is always answered, and its answer's beginning.
const PING: &[u8] = b"{\"type\":\"ping\",\"id\":\"sync\",\"pad\":\"0000000000000000\"}";
const PONG: &[u8] = b"{\"type\":\"pong\",\"id\":\"sync\"";

/// What was sent, and what came back.
#[derive(Default)]
pub(crate) struct Counts {
    /// Requests, by kind.
    pub(crate) sent: [u64; KINDS.len()],
    /// Answers over HTTP of each class, 1xx to 5xx.
    pub(crate) statuses: [u64; 5],
    /// Answers over UDP.
    pub(crate) datagrams: u64,
}

/// What is sent.
const KINDS: [&str; 13] = [
    "http new id",
    "http other's id",
    "http forged token",
    "http malformed JSON",
    "http tracker",
    "http search",
    "http malformed head",
    "http oversized",
    "udp new id",
    "udp other's id",
    "udp forged token",
    "udp tracker",
    "udp malformed",
];

impl Counts {
    /// All requests.
    pub(crate) fn total(&self) -> u64 {
        self.sent.iter().sum()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, sent) in KINDS.iter().zip(self.sent) {
            writeln!(f, "{kind:<20} {sent:>10}")?;
        }
        for (class, count) in (1..).zip(self.statuses).filter(|(_, count)| *count > 0) {
            writeln!(f, "answers {class}xx          {count:>10}")?;
        }
        writeln!(f, "answers udp          {:>10}", self.datagrams)
    }
}

/// Everybody who means no good.
pub(crate) struct Hostile {
    http: SocketAddr,
    udp: SocketAddr,
    /// First byte of the addresses they come from.
    network: u8,
    state: u64,
    fresh: u64,
}

impl Hostile {
    /// They will attack a server at these addresses, from a /8.
    pub(crate) const fn new(http: SocketAddr, udp: SocketAddr, network: u8, seed: u64) -> Self {
        Self { http, udp, network, state: seed | 1, fresh: 0 }
    }

    /// Sends at least `requests` requests.
    pub(crate) fn run(&mut self, requests: u64, counts: &mut Counts) -> io::Result<()> {
        let end = counts.total() + requests;
        while counts.total() < end {
            if self.below(2) == 0 { self.speak_http(counts)? } else { self.speak_udp(counts)? }
        }
        Ok(())
    }

    /// A number below `n` (xorshift64*, which is random enough here).
    const fn below(&mut self, n: u64) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }

    /// An address of some 16 million.
    fn source(&mut self) -> SocketAddr {
        let [_, a, b, c] = (self.below(1 << 24) as u32).to_be_bytes();
        SocketAddr::from((Ipv4Addr::new(self.network, a, b, c.clamp(1, 254)), 0))
    }

    /// An id that nobody has had yet.
    fn fresh_id(&mut self) -> String {
        self.fresh += 1;
        format!("fresh-{:x}", self.fresh)
    }

    fn announce(&mut self, id: &str, more: &str) -> String {
        let (network, port) = (self.below(200), self.below(65_535) + 1);
        format!(
            "{{\"id\":\"{id}\",\"endpoints\":[\"tcp://:{port}\",\"udp://:{port}\"],\"network\":\"n{network}\"{more}}}"
        )
    }

    /// One connection: some requests, and one at the end that ends it.
    fn speak_http(&mut self, counts: &mut Counts) -> io::Result<()> {
        let mut requests = Vec::new();
        for _ in 1..BATCH {
            let (kind, request) = self.http_request();
            counts.sent[kind] += 1;
            requests.extend(request.into_bytes());
        }
        let (kind, last) = match self.below(4) {
            0 => {
                (6, format!("GET /peers HTTP/1.1\r\nHost: a\r\nContent-Length: {}x\r\n\r\n", self.below(99)))
            }
            1 => (6, format!("GET /peers HTTP/1.1\nHost: {}\n\n", self.below(99))),
            2 => (7, post("/announce", &"9".repeat(5_000))),
            _ => (5, "GET /peers HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".into()),
        };
        counts.sent[kind] += 1;
        requests.extend(last.into_bytes());
        let mut stream = stream_from(self.source(), self.http)?;
        // The server may have ended it before it has read everything.
        let _ = stream.write_all(&requests);
        let mut answers = Vec::new();
        let _ = stream.read_to_end(&mut answers);
        for class in answers.windows(10).filter(|w| w.starts_with(b"HTTP/1.1 ")).map(|w| w[9]) {
            if let Some(count) = counts.statuses.get_mut(usize::from(class.wrapping_sub(b'1'))) {
                *count += 1;
            }
        }
        Ok(())
    }

    fn http_request(&mut self) -> (usize, String) {
        let contested = format!("taken-{}", self.below(CONTESTED));
        match self.below(8) {
            0..3 => {
                let id = self.fresh_id();
                (0, post("/announce", &self.announce(&id, "")))
            }
            3 if self.below(2) == 0 => (1, post("/leave", &format!("{{\"id\":\"{contested}\"}}"))),
            3 => (1, post("/announce", &self.announce(&contested, ""))),
            4 => {
                let token = format!(",\"token\":\"{:011x}\"", self.below(u64::MAX));
                (2, post("/announce", &self.announce(&contested, &token)))
            }
            5 => {
                let mut body = self.announce(&contested, "").into_bytes();
                let at = self.below(body.len() as u64) as usize;
                body[at] = b" {}[]\",:\\09azAZ"[self.below(15) as usize];
                (3, post("/announce", &String::from_utf8(body).unwrap_or_default()))
            }
            6 => {
                let (hash, port) = (self.below(200), self.below(65_536));
                (
                    4,
                    format!(
                        "GET /announce?info_hash={hash:020}&peer_id={hash:020}&port={port} HTTP/1.1\r\nHost: a\r\n\r\n"
                    ),
                )
            }
            _ => {
                let network = self.below(200);
                (5, format!("GET /peers?network=n{network}&limit=3 HTTP/1.1\r\nHost: a\r\n\r\n"))
            }
        }
    }

    /// Datagrams of one address, with a token it has or one it has made up.
    fn speak_udp(&mut self, counts: &mut Counts) -> io::Result<()> {
        let socket = UdpSocket::bind(self.source())?;
        socket.connect(self.udp)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let question = format!("{{\"type\":\"find_peers\",\"id\":\"t\",\"pad\":\"{}\"}}", "x".repeat(64));
        socket.send(question.as_bytes())?;
        let mut answer = [0; 2048];
        let length = socket.recv(&mut answer)?;
        counts.datagrams += 1;
        let text = String::from_utf8_lossy(&answer[..length]).into_owned();
        let token =
            text.split("\"token\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        for _ in 0..BATCH {
            let (kind, datagram) = self.datagram(token);
            counts.sent[kind] += 1;
            // What finds no room is lost, as on any way.
            let _ = socket.send(&datagram);
        }
        // Nobody goes before the server has looked at all that.
        socket.send(PING)?;
        loop {
            let length = socket.recv(&mut answer)?;
            if answer[..length].starts_with(PONG) {
                return Ok(());
            }
            counts.datagrams += 1;
        }
    }

    fn datagram(&mut self, token: &str) -> (usize, Vec<u8>) {
        let announce = |id: &str, token: &str, network: u64| {
            format!("{{\"type\":\"announce\",\"id\":\"1\",\"peer_id\":\"{id}\",\"network\":\"n{network}\",\"token\":\"{token}\"}}")
                .into_bytes()
        };
        let (contested, network) = (format!("taken-{}", self.below(CONTESTED)), self.below(200));
        match self.below(8) {
            0..3 => (8, announce(&self.fresh_id(), token, network)),
            3 => (9, announce(&contested, token, network)),
            4 => {
                let forged = format!("{:011x}", self.below(u64::MAX));
                (10, announce(&contested, &forged, network))
            }
            5 => {
                // BEP 15: an announce by a connection id that was never given out, or the question for one.
                let connection = if self.below(2) == 0 { 0x0417_2710_1980 } else { self.below(u64::MAX) };
                let action = self.below(3) as u32;
                let mut datagram = Vec::from(connection.to_be_bytes());
                datagram.extend(action.to_be_bytes());
                datagram.resize(98, 7);
                (11, datagram)
            }
            6 => {
                let mut datagram = announce(&contested, token, network);
                let at = self.below(datagram.len() as u64) as usize;
                datagram[at] = self.below(256) as u8;
                (12, datagram)
            }
            _ => {
                let mut datagram = b"d1:ad2:id20:aaaaaaaaaaaaaaaaaaaae1:q4:ping1:t2:aa1:y1:qe".to_vec();
                let at = self.below(datagram.len() as u64) as usize;
                datagram[at] = self.below(256) as u8;
                datagram.resize(57 + self.below(1500) as usize, b'e');
                (12, datagram)
            }
        }
    }
}

/// A `POST` of JSON.
fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// A connection from `source`.
fn stream_from(source: SocketAddr, target: SocketAddr) -> io::Result<TcpStream> {
    let fd = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&fd, &source)?;
    connect(&fd, &target)?;
    let stream = TcpStream::from(fd);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_sends_the_same() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let said = |seed| {
            let mut hostile = Hostile::new(any, any, 127, seed);
            (0..100)
                .map(|_| (hostile.source(), hostile.http_request(), hostile.datagram("t")))
                .collect::<Vec<_>>()
        };
        assert_eq!(said(7), said(7));
        assert_ne!(said(7), said(8));
    }
}
