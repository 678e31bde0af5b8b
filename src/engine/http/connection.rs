//! One HTTP connection: which request is received, which answer is sent, and when patience ends.

use core::net::SocketAddr;

use super::input::Input;
use super::output::{Output, Persistence};
use super::refusal::Refusal;
use super::{answers, routes, source};
use crate::addr::CanonicalAddr;
use crate::engine::stats::{Ending, Kind};
use crate::engine::{Engine, Protocol};
use crate::limits::{
    BODY_DEADLINE_MS, CONNECTION_DEADLINE_MS, HEAD_DEADLINE_MS, IDLE_DEADLINE_MS, LINGER_DEADLINE_MS,
    MAX_REQUESTS_PER_CONNECTION, WRITE_DEADLINE_MS,
};
use crate::time::Instant;
use crate::wire::http::{Head, Method, Reject, Version};
use crate::wire::{Full, Writer};

/// A connection, with all its buffers. All zero when new, so that a `static` of many costs nothing in the binary and no
/// resident memory until it is used; used again and again.
pub struct Connection {
    phase: Phase,
    ending: Ending,
    stopping: bool,
    requests: u32,
    client: Client,
    /// When the current phase has lasted too long.
    deadline: Instant,
    /// When the connection has lasted too long.
    end_of_life: Instant,
    input: Input,
    output: Output,
}

/// What the driver must do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Read into [`Connection::space`], then call [`Connection::received`].
    Read,
    /// Write [`Connection::pending`], then call [`Connection::sent`].
    Write,
    /// Shut down the sending half (once is enough), then go on as for [`Wants::Read`]: what comes is dropped. A socket
    /// closed with unread bytes is reset, and the client would lose the response (RFC 9112 section 9.6).
    Drain,
    /// Close the socket.
    Close,
    /// Close the socket with a reset: the client does not read, and its response must not stay in the kernel's memory.
    Reset,
}

// Numbered from 0 up, so that a closed connection is all zero bits and a `static` of it has no place in the binary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    #[default]
    Closed,
    /// Receiving a head, or waiting for one.
    Head,
    /// Receiving a body.
    Body,
    /// Sending a response, then going on.
    Respond,
    /// Sending a response, then closing.
    RespondAndClose,
    /// Sending a response to a client that is still sending, then closing.
    RespondAndDrain,
    /// Waiting for the client to see the end.
    Drain,
    Reset,
}

/// The other end of the socket.
struct Client {
    addr: CanonicalAddr,
    port: u16,
}

impl Connection {
    /// A closed connection.
    pub const fn new() -> Self {
        Self {
            phase: Phase::Closed,
            ending: Ending::ByClient,
            stopping: false,
            requests: 0,
            client: Client { addr: CanonicalAddr::ZERO, port: 0 },
            deadline: Instant::START,
            end_of_life: Instant::START,
            input: Input::new(),
            output: Output::new(),
        }
    }

    /// Begins anew, with the client at `peer`.
    pub fn open(&mut self, now: Instant, peer: SocketAddr) {
        self.phase = Phase::Head;
        self.ending = Ending::ByClient;
        self.stopping = false;
        self.requests = 0;
        self.client = Client { addr: peer.into(), port: peer.port() };
        self.deadline = now.plus_ms(HEAD_DEADLINE_MS);
        self.end_of_life = now.plus_ms(CONNECTION_DEADLINE_MS);
        self.input.clear();
        self.output.clear();
    }

    /// What to do next.
    pub const fn wants(&self) -> Wants {
        match self.phase {
            Phase::Closed => Wants::Close,
            Phase::Reset => Wants::Reset,
            _ if !self.output.is_empty() => Wants::Write,
            Phase::Drain => Wants::Drain,
            _ => Wants::Read,
        }
    }

    /// When to call [`Connection::expired`], unless something else happens before. Never moves back, however slowly
    /// bytes drip in or out: no phase is given more time for a byte.
    pub fn deadline(&self) -> Instant {
        self.deadline.min(self.end_of_life)
    }

    /// How the connection ended, once it wants to be closed.
    pub const fn ending(&self) -> Ending {
        self.ending
    }

    /// Where to read to; not empty while reading is wanted.
    pub fn space(&mut self) -> &mut [u8] {
        self.input.space()
    }

    /// Takes `n` bytes that were read into [`Connection::space`]; 0 for the end of the stream.
    pub fn received(&mut self, now: Instant, n: usize, engine: &mut Engine<'_>) {
        engine.stats.count_http_bytes(n, 0);
        match self.phase {
            _ if n == 0 => self.close_at_end_of_stream(),
            Phase::Head => {
                if self.input.is_empty() && self.requests > 0 {
                    self.deadline = now.plus_ms(HEAD_DEADLINE_MS);
                }
                self.input.fill(n);
                self.receive_head(now, engine);
            }
            Phase::Body => {
                self.input.fill(n);
                self.receive_body(now, engine);
            }
            _ => (),
        }
    }

    /// What is to be written; not empty while writing is wanted.
    pub fn pending(&self) -> &[u8] {
        self.output.pending()
    }

    /// Takes note that the first `n` bytes of [`Connection::pending`] were written. Once a response is written, the
    /// next request is begun, which may have been received already.
    pub fn sent(&mut self, now: Instant, n: usize, engine: &mut Engine<'_>) {
        engine.stats.count_http_bytes(0, n);
        self.output.advance(n);
        if !self.output.is_empty() {
            return;
        }
        match self.phase {
            Phase::Respond => self.begin_next_request(now, engine),
            Phase::RespondAndClose => self.phase = Phase::Closed,
            Phase::RespondAndDrain => {
                self.phase = Phase::Drain;
                self.deadline = now.plus_ms(LINGER_DEADLINE_MS);
                self.input.clear();
            }
            _ => (),
        }
    }

    /// Ends what has lasted until its [`Connection::deadline`]; nothing before that.
    pub fn expired(&mut self, now: Instant) {
        if now < self.deadline() {
            return;
        }
        (self.phase, self.ending) = match self.phase {
            Phase::Closed | Phase::Reset => return,
            Phase::Drain => (Phase::Closed, self.ending),
            _ if !self.output.is_empty() => (Phase::Reset, Ending::SlowReader),
            Phase::Head if self.input.is_empty() && self.requests > 0 => (Phase::Closed, Ending::Idle),
            _ => (Phase::Closed, Ending::SlowRequest),
        };
    }

    /// Begins to end the connection: no further request is begun, and a response under way is the last.
    pub const fn finish(&mut self) {
        self.stopping = true;
        match self.phase {
            Phase::Head => (self.phase, self.ending) = (Phase::Closed, Ending::Shutdown),
            Phase::Respond => (self.phase, self.ending) = (Phase::RespondAndDrain, Ending::Shutdown),
            _ => (),
        }
    }

    fn close_at_end_of_stream(&mut self) {
        if self.phase != Phase::Drain {
            self.ending = Ending::ByClient;
        }
        self.phase = Phase::Closed;
    }

    fn begin_next_request(&mut self, now: Instant, engine: &mut Engine<'_>) {
        self.phase = Phase::Head;
        if self.input.end_request() {
            self.deadline = now.plus_ms(HEAD_DEADLINE_MS);
            self.receive_head(now, engine);
        } else {
            self.deadline = now.plus_ms(IDLE_DEADLINE_MS);
        }
    }

    /// Goes on with the head.
    fn receive_head(&mut self, now: Instant, engine: &mut Engine<'_>) {
        match self.input.poll_head() {
            Ok(true) => self.begin_request(now, engine),
            Ok(false) => (),
            Err(reject) => self.reject(now, reject, engine),
        }
    }

    /// Answers a request whose body has come in with its head, or begins to receive the body.
    fn begin_request(&mut self, now: Instant, engine: &mut Engine<'_>) {
        let head = match self.input.head() {
            Ok(head) => head,
            Err(reject) => return self.reject(now, reject, engine),
        };
        let last = self.is_last(now, &head);
        if let Some(body) = self.input.body_at_once(head.framing) {
            let body_bytes = body.len();
            let answered = self.client.answer(now, engine, (&head, body), last, &mut self.output);
            self.input.take_body(body_bytes);
            return self.go_on(now, answered, last, engine);
        }
        if head.expects_continue {
            let source = source::of(&engine.settings, self.client.addr, self.client.port, &head);
            match routes::admit(&head, &source) {
                Ok(_) => self.output.put_continue(),
                // RFC 9110 section 10.1.1: a final status instead of the 100. The body may come or not: that is the end.
                Err(refusal) => return self.refuse(now, &refusal, engine),
            }
        }
        let framing = head.framing;
        self.input.begin_body(framing);
        self.phase = Phase::Body;
        self.deadline = now.plus_ms(BODY_DEADLINE_MS);
        self.receive_body(now, engine);
    }

    /// Goes on with the body, and answers if it is whole.
    fn receive_body(&mut self, now: Instant, engine: &mut Engine<'_>) {
        match self.input.poll_body() {
            Ok(true) => (),
            Ok(false) => return,
            Err(reject) => return self.reject(now, reject, engine),
        }
        match self.input.head() {
            Err(reject) => self.reject(now, reject, engine),
            Ok(head) => {
                let last = self.is_last(now, &head);
                let request = (&head, self.input.body());
                let answered = self.client.answer(now, engine, request, last, &mut self.output);
                self.go_on(now, answered, last, engine);
            }
        }
    }

    /// Whether the server takes no request after this one.
    fn is_last(&self, now: Instant, head: &Head<'_>) -> bool {
        self.stopping
            || self.requests >= MAX_REQUESTS_PER_CONNECTION.saturating_sub(1)
            || now.plus_ms(IDLE_DEADLINE_MS) > self.end_of_life
            // What comes behind a method we do not know may be anything.
            || matches!(head.method, Method::Unknown | Method::Connect)
    }

    /// Begins to send a response, if it fitted.
    fn go_on(
        &mut self,
        now: Instant,
        answered: Result<Persistence, Full>,
        last: bool,
        engine: &mut Engine<'_>,
    ) {
        self.requests = self.requests.saturating_add(1);
        self.deadline = now.plus_ms(WRITE_DEADLINE_MS);
        (self.phase, self.ending) = match answered {
            Err(Full) => return self.refuse(now, &Refusal::NO_ROOM, engine),
            Ok(Persistence::Kept | Persistence::KeptAlive) => (Phase::Respond, self.ending),
            Ok(Persistence::Closed) if self.stopping => (Phase::RespondAndDrain, Ending::Shutdown),
            Ok(Persistence::Closed) if last || self.input.has_more() => {
                (Phase::RespondAndDrain, Ending::Served)
            }
            Ok(Persistence::Closed) => (Phase::RespondAndClose, Ending::Served),
        };
    }

    fn reject(&mut self, now: Instant, reject: Reject, engine: &mut Engine<'_>) {
        self.refuse(now, &reject.into(), engine);
    }

    /// Sends a refusal, and closes: where the next request would begin is not known.
    fn refuse(&mut self, now: Instant, refusal: &Refusal, engine: &mut Engine<'_>) {
        engine.stats.count_kind(now, Protocol::Http, Kind::Malformed);
        self.ending = Ending::Refused;
        self.deadline = now.plus_ms(WRITE_DEADLINE_MS);
        match self.output.put(Persistence::Closed, false, |out| refusal.emit(out)) {
            Ok(status) => {
                engine.stats.count_response(status);
                self.phase = Phase::RespondAndDrain;
            }
            Err(_) => self.phase = Phase::Reset,
        }
    }
}

impl Default for Connection {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// Puts the answer to a request into `output`, and tells what becomes of the connection.
    ///
    /// # Errors
    /// [`Full`] if the answer does not fit.
    fn answer(
        &self,
        now: Instant,
        engine: &mut Engine<'_>,
        (head, body): (&Head<'_>, &[u8]),
        last: bool,
        output: &mut Output,
    ) -> Result<Persistence, Full> {
        let persistence = match head.version {
            _ if last || !head.keep_alive => Persistence::Closed,
            Version::Http10 => Persistence::KeptAlive,
            Version::Http11 => Persistence::Kept,
        };
        let source = source::of(&engine.settings, self.addr, self.port, head);
        let for_head = head.method == Method::Head;
        let render = |out: &mut Writer<'_>| answers::answer(now, engine, &source, (head, body), out);
        let status = output.put(persistence, for_head, render)?;
        engine.stats.count_response(status);
        Ok(persistence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Settings, Storage};
    use crate::rng::Seed;

    type Memory = Storage<16, 256>;

    const GET: &[u8] = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
    const POST: &[u8] =
        b"POST /hello HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n";

    fn ms(ms: u64) -> Instant {
        Instant::from_ms(ms)
    }

    /// A connection opened at 1,000 ms, and an engine.
    fn with_connection(test: impl FnOnce(&mut Connection, &mut Engine<'_>)) {
        let mut memory = Memory::new();
        let mut engine = memory.engine(Settings::default(), &Seed([1; 32]));
        let mut connection = Box::new(Connection::new());
        connection.open(ms(1_000), "198.51.100.7:40000".parse().unwrap());
        test(&mut connection, &mut engine);
    }

    fn receive(connection: &mut Connection, now: Instant, bytes: &[u8], engine: &mut Engine<'_>) {
        assert_eq!(connection.wants(), Wants::Read);
        connection.space()[..bytes.len()].copy_from_slice(bytes);
        connection.received(now, bytes.len(), engine);
    }

    fn send_all(connection: &mut Connection, now: Instant, engine: &mut Engine<'_>) {
        let n = connection.pending().len();
        assert!(n > 0);
        connection.sent(now, n, engine);
    }

    /// Lets the connection live until 1 ms before its deadline, which must be `deadline`, and then one more.
    fn expire(connection: &mut Connection, deadline: Instant) -> (Wants, Ending) {
        assert_eq!(connection.deadline(), deadline);
        let before = connection.wants();
        connection.expired(ms(deadline.as_ms() - 1));
        assert_eq!(connection.wants(), before, "nothing ends before its deadline");
        connection.expired(deadline);
        (connection.wants(), connection.ending())
    }

    #[test]
    fn a_new_connection_is_closed() {
        let connection = Connection::new();
        assert_eq!((connection.wants(), connection.pending()), (Wants::Close, &b""[..]));
    }

    #[test]
    fn a_head_has_five_seconds_however_it_drips() {
        with_connection(|connection, engine| {
            for (at, &byte) in GET[..20].iter().enumerate() {
                receive(connection, ms(1_000 + 200 * at as u64), &[byte], engine);
            }
            assert_eq!(expire(connection, ms(6_000)), (Wants::Close, Ending::SlowRequest));
        });
        with_connection(|connection, _| {
            assert_eq!(expire(connection, ms(6_000)), (Wants::Close, Ending::SlowRequest));
        });
    }

    #[test]
    fn a_body_has_five_seconds_of_its_own() {
        with_connection(|connection, engine| {
            receive(connection, ms(5_900), POST, engine);
            receive(connection, ms(10_000), b"{", engine);
            assert_eq!(expire(connection, ms(10_900)), (Wants::Close, Ending::SlowRequest));
        });
    }

    #[test]
    fn a_response_that_is_not_read_ends_in_a_reset() {
        with_connection(|connection, engine| {
            receive(connection, ms(2_000), GET, engine);
            assert_eq!(connection.wants(), Wants::Write);
            connection.sent(ms(6_000), 1, engine);
            assert_eq!(expire(connection, ms(7_000)), (Wants::Reset, Ending::SlowReader));
            connection.open(ms(8_000), "198.51.100.7:40000".parse().unwrap());
            assert_eq!((connection.wants(), connection.pending()), (Wants::Read, &b""[..]));
        });
    }

    #[test]
    fn between_requests_there_are_ten_seconds() {
        with_connection(|connection, engine| {
            receive(connection, ms(2_000), GET, engine);
            send_all(connection, ms(3_000), engine);
            assert_eq!(expire(connection, ms(13_000)), (Wants::Close, Ending::Idle));
        });
        with_connection(|connection, engine| {
            receive(connection, ms(2_000), GET, engine);
            send_all(connection, ms(3_000), engine);
            receive(connection, ms(12_000), &GET[..1], engine);
            receive(connection, ms(16_000), &GET[1..2], engine);
            assert_eq!(expire(connection, ms(17_000)), (Wants::Close, Ending::SlowRequest));
        });
    }

    #[test]
    fn what_was_sent_ahead_has_the_patience_of_a_head() {
        with_connection(|connection, engine| {
            receive(connection, ms(2_000), &[GET, b"G"].concat(), engine);
            send_all(connection, ms(3_000), engine);
            assert_eq!(expire(connection, ms(8_000)), (Wants::Close, Ending::SlowRequest));
        });
    }

    #[test]
    fn a_connection_ends_within_a_minute() {
        with_connection(|connection, engine| {
            let mut now = 1_000;
            loop {
                receive(connection, ms(now), GET, engine);
                let last = connection.pending().windows(19).any(|w| w == b"Connection: close\r\n");
                send_all(connection, ms(now), engine);
                if last {
                    break;
                }
                assert!(connection.deadline() <= ms(61_000));
                now += 9_000;
            }
            assert_eq!(now, 55_000);
            assert_eq!(connection.wants(), Wants::Drain);
            assert_eq!(expire(connection, ms(56_000)), (Wants::Close, Ending::Served));
        });
    }

    #[test]
    fn a_refused_client_has_a_second_to_see_why() {
        with_connection(|connection, engine| {
            receive(connection, ms(2_000), b"GET / HTTP/1.1\n", engine);
            send_all(connection, ms(3_000), engine);
            assert_eq!(connection.wants(), Wants::Drain);
            let n = connection.space().len();
            connection.received(ms(3_500), n, engine);
            assert_eq!((connection.wants(), connection.space().len()), (Wants::Drain, n));
            assert_eq!(expire(connection, ms(4_000)), (Wants::Close, Ending::Refused));
        });
        with_connection(|connection, engine| {
            receive(connection, ms(2_000), b"GET / HTTP/1.1\n", engine);
            send_all(connection, ms(3_000), engine);
            connection.received(ms(3_500), 0, engine);
            assert_eq!((connection.wants(), connection.ending()), (Wants::Close, Ending::Refused));
        });
    }

    #[test]
    fn the_end_of_the_stream_ends_the_connection() {
        for sent in [&b""[..], &GET[..7], POST] {
            with_connection(|connection, engine| {
                if !sent.is_empty() {
                    receive(connection, ms(2_000), sent, engine);
                }
                connection.received(ms(2_000), 0, engine);
                assert_eq!((connection.wants(), connection.ending()), (Wants::Close, Ending::ByClient));
            });
        }
    }

    #[test]
    fn a_client_that_asks_for_the_close_gets_it_at_once() {
        with_connection(|connection, engine| {
            receive(connection, ms(2_000), b"GET /health HTTP/1.0\r\n\r\n", engine);
            send_all(connection, ms(2_000), engine);
            assert_eq!((connection.wants(), connection.ending()), (Wants::Close, Ending::Served));
        });
    }

    #[test]
    fn a_stopping_server_finishes_what_it_has_begun() {
        for unfinished in [&b""[..], &GET[..7]] {
            with_connection(|connection, engine| {
                if !unfinished.is_empty() {
                    receive(connection, ms(2_000), unfinished, engine);
                }
                connection.finish();
                assert_eq!((connection.wants(), connection.ending()), (Wants::Close, Ending::Shutdown));
            });
        }
        with_connection(|connection, engine| {
            receive(connection, ms(2_000), &[GET, GET].concat(), engine);
            connection.finish();
            send_all(connection, ms(2_000), engine);
            assert_eq!((connection.wants(), connection.ending()), (Wants::Drain, Ending::Shutdown));
        });
        with_connection(|connection, engine| {
            receive(connection, ms(2_000), POST, engine);
            connection.finish();
            receive(connection, ms(2_000), b"{}", engine);
            assert!(connection.pending().windows(19).any(|w| w == b"Connection: close\r\n"));
            send_all(connection, ms(2_000), engine);
            assert_eq!((connection.wants(), connection.ending()), (Wants::Drain, Ending::Shutdown));
        });
    }

    #[test]
    fn bytes_and_responses_are_counted() {
        with_connection(|connection, engine| {
            receive(connection, ms(2_000), GET, engine);
            let sent = connection.pending().len() as u64;
            send_all(connection, ms(2_000), engine);
            let traffic = engine.stats.http();
            assert_eq!((traffic.received_bytes, traffic.sent_bytes), (GET.len() as u64, sent));
            assert_eq!(engine.stats.responses().find(|r| r.1 > 0), Some((200, 1)));
        });
    }
}
