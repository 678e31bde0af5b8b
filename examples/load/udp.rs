//! Datagrams from many sockets, each with at most one under way.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::epoll::Epoll;
use crate::report::Tally;
use crate::{Load, Options, What, clock};

/// After this time without an answer a datagram is lost.
const LOST_AFTER: Duration = Duration::from_millis(250);
/// Room for an answer, in bytes.
const ANSWER_BYTES: usize = 2048;
/// Most sockets: there are so many loopback addresses of the kind they get.
const MAX_SOCKETS: usize = 64 * 255;

/// A protocol: what each socket says.
pub(crate) trait Talk {
    /// Writes the next datagram of socket `from` into `out`, which is empty. `number` comes back in its answer.
    fn request(&mut self, from: usize, number: u32, out: &mut Vec<u8>);

    /// What `answer` is to the datagram `number`, the last one that socket `from` sent.
    /// If the server itself asks for something, that is [`Answer::Stray`], and `reply`, which is empty, takes what it gets.
    fn answer(&mut self, from: usize, number: u32, answer: &[u8], reply: &mut Vec<u8>) -> Answer;

    /// The last datagram of socket `from` was not answered; a token that came before may be too old.
    fn lost(&mut self, from: usize);
}

/// What an answer is.
pub(crate) enum Answer {
    /// To another datagram, or none at all. The right one is still waited for.
    Stray,
    /// What had to come first, such as a token. It is not counted.
    Prepared,
    /// Without what had to come first.
    Unprepared(String),
    /// What was asked for.
    Served,
    /// A refusal, or not what was expected.
    Refused(String),
}

/// Many sockets, each with at most one datagram under way.
pub(crate) struct Client {
    talk: Box<dyn Talk>,
    spin: bool,
    sockets: Vec<Socket>,
    /// Sockets with nothing under way, in the order in which they will send.
    idle: VecDeque<usize>,
    /// How many may have something under way.
    window: usize,
    epoll: Epoll,
    request: Vec<u8>,
    answer: Box<[u8; ANSWER_BYTES]>,
}

struct Socket {
    socket: UdpSocket,
    /// When the datagram under way was sent.
    sent_at: Option<Instant>,
    number: u32,
}

impl Socket {
    /// Sends a datagram. If there is no room for it, it is lost.
    fn send(&self, datagram: &[u8]) -> io::Result<()> {
        match self.socket.send(datagram) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }
}

impl Client {
    /// Opens the sockets.
    pub(crate) fn new(target: SocketAddr, talk: Box<dyn Talk>, options: &Options) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let mut sockets = Vec::new();
        for number in 0..sockets_of(options) {
            let source = if options.what == What::Udp { one_source(target) } else { source(target, number) };
            let socket = UdpSocket::bind(source)?;
            socket.connect(target)?;
            socket.set_nonblocking(true)?;
            if !options.spin {
                epoll.add(&socket, number)?;
            }
            sockets.push(Socket { socket, sent_at: None, number: 0 });
        }
        Ok(Self {
            talk,
            spin: options.spin,
            idle: (0..sockets.len()).collect(),
            window: options.window.clamp(1, sockets.len()),
            sockets,
            epoll,
            request: Vec::new(),
            answer: Box::new([0; ANSWER_BYTES]),
        })
    }

    /// Sends the next datagram on socket `from`.
    fn send(&mut self, from: usize) -> io::Result<()> {
        let socket = &mut self.sockets[from];
        socket.number = socket.number.wrapping_add(1);
        self.request.clear();
        self.talk.request(from, socket.number, &mut self.request);
        socket.sent_at = Some(clock::now());
        socket.send(&self.request)
    }

    /// Sends on the sockets that have been idle for longest, as many as may.
    fn send_idle(&mut self) -> io::Result<()> {
        while self.sockets.len() - self.idle.len() < self.window {
            let Some(from) = self.idle.pop_front() else { break };
            self.send(from)?;
        }
        Ok(())
    }

    /// Takes one datagram from socket `from`, if there is one, and sends the next.
    fn serve(&mut self, from: usize, tally: &mut Tally) -> io::Result<()> {
        let socket = &mut self.sockets[from];
        let answer = match socket.socket.recv(&mut self.answer[..]) {
            Ok(bytes) => &self.answer[..bytes],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let Some(latency) = socket.sent_at.map(|at| at.elapsed()) else { return Ok(()) };
        self.request.clear();
        match self.talk.answer(from, socket.number, answer, &mut self.request) {
            Answer::Stray if self.request.is_empty() => return Ok(()),
            Answer::Stray => return socket.send(&self.request),
            Answer::Prepared => {}
            Answer::Unprepared(why) => tally.error(|| why),
            Answer::Served => tally.answer(answer.len(), latency),
            Answer::Refused(why) => {
                tally.answer(answer.len(), latency);
                tally.refusal(|| why);
            }
        }
        socket.sent_at = None;
        self.idle.push_back(from);
        self.send_idle()
    }

    /// Sends anew where no answer came in time.
    fn send_lost(&mut self, tally: &mut Tally) -> io::Result<()> {
        for from in 0..self.sockets.len() {
            if self.sockets[from].sent_at.is_some_and(|at| at.elapsed() >= LOST_AFTER) {
                tally.error(|| String::from("a datagram was not answered"));
                self.talk.lost(from);
                self.send(from)?;
            }
        }
        Ok(())
    }
}

impl Load for Client {
    fn run(&mut self, time: Duration, requests: u64, tally: &mut Tally) -> io::Result<()> {
        let end = clock::now() + time;
        let mut look_for_lost = clock::now();
        self.send_idle()?;
        loop {
            let now = clock::now();
            if now >= end || tally.answers >= requests {
                return Ok(());
            }
            if now >= look_for_lost {
                self.send_lost(tally)?;
                look_for_lost = now + LOST_AFTER;
            }
            if self.spin {
                for from in 0..self.sockets.len() {
                    if self.sockets[from].sent_at.is_some() {
                        self.serve(from, tally)?;
                    }
                }
            } else {
                for nth in 0..self.epoll.wait(look_for_lost.min(end) - now)? {
                    self.serve(self.epoll.ready(nth), tally)?;
                }
            }
        }
    }
}

/// How many sockets there are.
pub(crate) fn sockets_of(options: &Options) -> usize {
    options.sockets.clamp(1, MAX_SOCKETS)
}

/// Where the sockets send from that announce peers by name, each of them any.
fn one_source(target: SocketAddr) -> SocketAddr {
    let ip = if target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(ip, 0)
}

/// Where socket `number` sends from that announces peers of its own. To an IPv4 loopback target each has an address of
/// its own, and 64 in a row are of 64 different /16s: a server that spreads its answers over networks has something to
/// spread them over.
fn source(target: SocketAddr, number: usize) -> SocketAddr {
    match target.ip() {
        IpAddr::V4(ip) if ip.is_loopback() => {
            SocketAddr::from(([127, (number % 64) as u8, (number / 64 + 1) as u8, 1], 0))
        }
        _ => one_source(target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_socket_has_a_loopback_address_of_its_own() {
        let target = "127.0.0.1:6881".parse().unwrap();
        let sources: std::collections::BTreeSet<_> =
            (0..MAX_SOCKETS).map(|number| source(target, number)).collect();
        assert_eq!(sources.len(), MAX_SOCKETS);
        assert!(!sources.contains(&"127.0.0.1:0".parse().unwrap()));
        let wide: std::collections::BTreeSet<_> = (100..164)
            .map(|number| source(target, number).ip().to_string().split('.').nth(1).map(String::from))
            .collect();
        assert_eq!(wide.len(), 64);
    }
}
