//! HTTP/1.1 over many kept-alive connections.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::epoll::Epoll;
use crate::report::Tally;
use crate::{Load, Options, clock};

/// Longest answer, in bytes, of one batch of requests: what lies unread in a connection's buffer.
const BUFFER_BYTES: usize = 64 * 1024;

/// What is sent.
pub(crate) enum Requests {
    /// The same request over and over.
    Same(Vec<u8>),
    /// Announces of one id after the other.
    Announces { head: String, body_head: &'static str, body_tail: String, ids: u64, next: u64 },
}

impl Requests {
    /// `GET --path`.
    pub(crate) fn get(options: &Options) -> Self {
        Self::Same(format!("GET {} HTTP/1.1\r\nHost: load\r\n\r\n", options.path).into_bytes())
    }

    /// `POST /announce` for `--ids` ids. All have the same length, so that all bodies have.
    pub(crate) fn announce(options: &Options) -> Self {
        let body_head = "{\"id\":\"load-";
        let body_tail = format!("\",\"endpoints\":[\"tcp://:9000\"],\"network\":\"{}\"}}", options.network);
        let head = format!(
            "POST /announce HTTP/1.1\r\nHost: load\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body_head.len() + ID_DIGITS + body_tail.len()
        );
        Self::Announces { head, body_head, body_tail, ids: options.ids.max(1), next: 0 }
    }

    /// Appends one request.
    fn append(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Same(request) => out.write_all(request),
            Self::Announces { head, body_head, body_tail, ids, next } => {
                *next += 1;
                write!(out, "{head}{body_head}{:0ID_DIGITS$}{body_tail}", *next % *ids)
            }
        }
    }
}

/// Decimal digits of an announced id.
const ID_DIGITS: usize = 9;

/// Many connections, each with one batch of requests under way.
pub(crate) struct Client {
    target: SocketAddr,
    requests: Requests,
    pipeline: usize,
    connections: Vec<Connection>,
    epoll: Epoll,
    batch: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    buffer: Box<[u8]>,
    filled: usize,
    /// Answers still to come for the batch under way.
    awaited: usize,
    sent_at: Instant,
}

impl Client {
    /// Connects.
    pub(crate) fn new(target: SocketAddr, requests: Requests, options: &Options) -> io::Result<Self> {
        let mut client = Self {
            target,
            requests,
            pipeline: options.pipeline.clamp(1, 64),
            connections: Vec::new(),
            epoll: Epoll::new()?,
            batch: Vec::new(),
        };
        for number in 0..options.connections.max(1) {
            let stream = client.connect(number)?;
            let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
            let sent_at = clock::now();
            client.connections.push(Connection { stream, buffer, filled: 0, awaited: 0, sent_at });
        }
        Ok(client)
    }

    fn connect(&self, number: usize) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.target)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        self.epoll.add(&stream, number)?;
        Ok(stream)
    }

    /// Sends the next batch on connection `number`, or on a new one in its place if this one is over.
    fn send(&mut self, number: usize, over: bool, tally: &mut Tally) -> io::Result<()> {
        self.batch.clear();
        for _ in 0..self.pipeline {
            self.requests.append(&mut self.batch)?;
        }
        if over || self.connections[number].stream.write_all(&self.batch).is_err() {
            tally.reconnects += 1;
            let mut stream = self.connect(number)?;
            stream.write_all(&self.batch)?;
            self.connections[number].stream = stream;
            self.connections[number].filled = 0;
        }
        self.connections[number].awaited = self.pipeline;
        self.connections[number].sent_at = clock::now();
        Ok(())
    }

    /// Takes what connection `number` has received, and sends the next batch when this one is answered.
    fn serve(&mut self, number: usize, tally: &mut Tally) -> io::Result<()> {
        let connection = &mut self.connections[number];
        let over = match connection.receive(tally) {
            Ok(over) => over,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => {
                tally.error(|| error.to_string());
                true
            }
        };
        // A server may end a connection after so many requests; what it left unanswered was not counted.
        if over || self.connections[number].awaited == 0 { self.send(number, over, tally) } else { Ok(()) }
    }
}

impl Load for Client {
    fn run(&mut self, time: Duration, requests: u64, tally: &mut Tally) -> io::Result<()> {
        let end = clock::now() + time;
        for number in 0..self.connections.len() {
            if self.connections[number].awaited == 0 {
                self.send(number, false, tally)?;
            }
        }
        loop {
            let left = end.saturating_duration_since(clock::now());
            if left.is_zero() || tally.answers >= requests {
                return Ok(());
            }
            for nth in 0..self.epoll.wait(left)? {
                self.serve(self.epoll.ready(nth), tally)?;
            }
        }
    }
}

impl Connection {
    /// Reads once and counts the whole answers. Whether the server is done with the connection.
    fn receive(&mut self, tally: &mut Tally) -> io::Result<bool> {
        let read = self.stream.read(&mut self.buffer[self.filled..])?;
        if read == 0 {
            return Ok(true);
        }
        self.filled += read;
        let latency = self.sent_at.elapsed();
        let mut taken = 0;
        let mut closes = false;
        while let Some(answer) = Answer::parse(&self.buffer[taken..self.filled]) {
            taken += answer.bytes;
            closes |= answer.closes;
            self.awaited = self.awaited.saturating_sub(1);
            tally.answer(answer.bytes, latency);
            if answer.status / 100 != 2 {
                tally.refusal(|| format!("status {}", answer.status));
            }
        }
        self.buffer.copy_within(taken..self.filled, 0);
        self.filled -= taken;
        if self.filled == self.buffer.len() {
            return Err(io::Error::other("an answer is too long, or is none"));
        }
        Ok(closes)
    }
}

/// A whole answer at the start of some bytes.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    bytes: usize,
    closes: bool,
}

impl Answer {
    /// The answer at the start of `received`; `None` until all of it is there.
    fn parse(received: &[u8]) -> Option<Self> {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut fields);
        let Ok(httparse::Status::Complete(head_bytes)) = response.parse(received) else { return None };
        let field =
            |name: &str| response.headers.iter().find(|f| f.name.eq_ignore_ascii_case(name)).map(|f| f.value);
        let length = field("content-length").and_then(|v| str::from_utf8(v).ok()?.parse::<usize>().ok());
        let bytes = head_bytes + length.unwrap_or(0);
        let closes = field("connection").is_some_and(|v| v.eq_ignore_ascii_case(b"close"));
        (received.len() >= bytes).then_some(Self { status: response.code?, bytes, closes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_when_it_is_whole() {
        let received = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: close\r\n\r\nokHTTP/1.1";
        let whole = received.len() - 8;
        for end in 0..whole {
            assert_eq!(Answer::parse(&received[..end]), None, "{end}");
        }
        let answer = Some(Answer { status: 200, bytes: whole, closes: true });
        assert_eq!(Answer::parse(&received[..whole]), answer);
        assert_eq!(Answer::parse(received), answer);
    }

    #[test]
    fn announces_declare_their_length() {
        let mut requests = Requests::Announces {
            head: "HEAD ".into(),
            body_head: "{",
            body_tail: "}".into(),
            ids: 2,
            next: 0,
        };
        let mut out = Vec::new();
        for _ in 0..3 {
            requests.append(&mut out).unwrap();
        }
        assert_eq!(out, b"HEAD {000000001}HEAD {000000000}HEAD {000000001}");
    }
}
