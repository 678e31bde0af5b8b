//! JSON over UDP, on many sockets.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::str::FromStr;
use std::time::{Duration, Instant};

use crate::epoll::Epoll;
use crate::report::Tally;
use crate::{Load, Options, clock};

/// After this time without an answer a datagram is lost.
const LOST_AFTER: Duration = Duration::from_millis(250);
/// Room for an answer, in bytes.
const ANSWER_BYTES: usize = 2048;

/// What is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ping,
    FindPeers,
    Announce,
}

impl FromStr for Kind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "ping" => Ok(Self::Ping),
            "find_peers" => Ok(Self::FindPeers),
            "announce" => Ok(Self::Announce),
            _ => Err("there are ping, find_peers and announce"),
        }
    }
}

impl Kind {
    /// How an answer to this begins.
    const fn answer(self) -> &'static str {
        match self {
            Self::Ping => "{\"type\":\"pong\"",
            Self::FindPeers => "{\"type\":\"peers\"",
            Self::Announce => "{\"type\":\"ack\"",
        }
    }
}

/// Many sockets, each with one datagram under way.
pub(crate) struct Client {
    kind: Kind,
    network: String,
    ids: u64,
    next: u64,
    sockets: Vec<Socket>,
    epoll: Epoll,
    message: Vec<u8>,
}

struct Socket {
    socket: UdpSocket,
    sent_at: Option<Instant>,
    token: Option<String>,
}

impl Client {
    /// Opens the sockets.
    pub(crate) fn new(target: SocketAddr, options: &Options) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let mut sockets = Vec::new();
        for number in 0..options.sockets.max(1) {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.connect(target)?;
            socket.set_nonblocking(true)?;
            epoll.add(&socket, number)?;
            sockets.push(Socket { socket, sent_at: None, token: None });
        }
        Ok(Self {
            kind: options.kind,
            network: options.network.clone(),
            ids: options.ids.max(1),
            next: 0,
            sockets,
            epoll,
            message: Vec::new(),
        })
    }

    /// Sends the next datagram on socket `number`. Without a token it asks for one, in a message with room for it.
    fn send(&mut self, number: usize) -> io::Result<()> {
        let socket = &mut self.sockets[number];
        let out = &mut self.message;
        out.clear();
        match (self.kind, &socket.token) {
            (Kind::Ping, _) => write!(out, "{{\"type\":\"ping\",\"id\":\"load\",\"pad\":\"{:096}\"}}", 0)?,
            (_, None) => write!(out, "{{\"type\":\"find_peers\",\"id\":\"load\",\"pad\":\"{:032}\"}}", 0)?,
            (Kind::FindPeers, Some(token)) => write!(
                out,
                "{{\"type\":\"find_peers\",\"id\":\"load\",\"network\":\"{}\",\"token\":\"{token}\"}}",
                self.network
            )?,
            (Kind::Announce, Some(token)) => {
                self.next += 1;
                write!(
                    out,
                    "{{\"type\":\"announce\",\"id\":\"load\",\"peer_id\":\"load-{:09}\",\"port\":9000,\
                     \"network\":\"{}\",\"token\":\"{token}\"}}",
                    self.next % self.ids,
                    self.network
                )?;
            }
        }
        socket.sent_at = Some(clock::now());
        match socket.socket.send(out) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    /// Takes one datagram from socket `number` and sends the next.
    fn serve(&mut self, number: usize, tally: &mut Tally) -> io::Result<()> {
        let socket = &mut self.sockets[number];
        let mut buffer = [0; ANSWER_BYTES];
        let answer = match socket.socket.recv(&mut buffer) {
            Ok(bytes) => String::from_utf8_lossy(&buffer[..bytes]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let latency = socket.sent_at.map_or(Duration::ZERO, |at| at.elapsed());
        if socket.token.is_none() && self.kind != Kind::Ping {
            socket.token = token(&answer).map(String::from);
            if socket.token.is_none() {
                tally.error(|| format!("no token in {answer}"));
            }
        } else {
            tally.answer(answer.len(), latency);
            if !answer.starts_with(self.kind.answer()) {
                // Tokens grow old; the answer to an old one is a new one.
                socket.token = token(&answer).map(String::from);
                tally.refusal(|| answer.clone().into_owned());
            } else if answer.contains("\"error\"") {
                tally.refusal(|| answer.clone().into_owned());
            }
        }
        self.send(number)
    }

    /// Sends anew where no answer came in time, and where nothing has been sent.
    fn send_lost(&mut self, tally: &mut Tally) -> io::Result<()> {
        for number in 0..self.sockets.len() {
            let sent_at = self.sockets[number].sent_at;
            if sent_at.is_some_and(|at| at.elapsed() < LOST_AFTER) {
                continue;
            }
            if sent_at.is_some() {
                tally.error(|| String::from("a datagram was not answered"));
            }
            self.send(number)?;
        }
        Ok(())
    }
}

impl Load for Client {
    fn run(&mut self, time: Duration, requests: u64, tally: &mut Tally) -> io::Result<()> {
        let end = clock::now() + time;
        let mut look_for_lost = clock::now();
        loop {
            let now = clock::now();
            if now >= end || tally.answers >= requests {
                return Ok(());
            }
            if now >= look_for_lost {
                self.send_lost(tally)?;
                look_for_lost = now + LOST_AFTER;
            }
            for nth in 0..self.epoll.wait(look_for_lost.min(end) - now)? {
                self.serve(self.epoll.ready(nth), tally)?;
            }
        }
    }
}

/// The token in an answer.
fn token(answer: &str) -> Option<&str> {
    let (_, behind) = answer.split_once("\"token\":\"")?;
    behind.split_once('"').map(|(token, _)| token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found() {
        assert_eq!(token("{\"type\":\"token\",\"id\":\"a\",\"token\":\"YWJj\"}"), Some("YWJj"));
        assert_eq!(token("{\"type\":\"pong\"}"), None);
    }
}
