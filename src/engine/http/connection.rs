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
use crate::wire::http::{Framing, Head, Method, Reject, Version};

/// A connection, with all its buffers. All zero when new, so that a `static` of many costs nothing in the binary and no
/// resident memory until it is used; used again and again.
pub struct Connection {
    phase: Phase,
    ending: Ending,
    stopping: bool,
    requests: u32,
    addr: CanonicalAddr,
    port: u16,
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
    Body(Framing),
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

impl Connection {
    /// A closed connection.
    pub const fn new() -> Self {
        Self {
            phase: Phase::Closed,
            ending: Ending::ByClient,
            stopping: false,
            requests: 0,
            addr: CanonicalAddr::ZERO,
            port: 0,
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
        (self.addr, self.port) = (peer.into(), peer.port());
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
            Phase::Body(framing) => {
                self.input.fill(n);
                self.receive_body(now, framing, engine);
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

    /// Goes on with the head, and with the body if the head is whole.
    fn receive_head(&mut self, now: Instant, engine: &mut Engine<'_>) {
        let head = match self.input.poll_head() {
            Ok(Some(head)) => head,
            Ok(None) => return,
            Err(reject) => return self.reject(now, reject, engine),
        };
        let framing = head.framing;
        let waits = head.expects_continue && !matches!(framing, Framing::None | Framing::Length(0));
        let refusal = if waits {
            let source = source::of(&engine.settings, self.addr, self.port, &head);
            routes::admit(&head, &source).err()
        } else {
            None
        };
        if let Some(refusal) = refusal {
            // RFC 9110 section 10.1.1: a final status instead of the 100. The body may come or not, so that is the end.
            return self.refuse(now, &refusal, engine);
        }
        self.phase = Phase::Body(framing);
        self.deadline = now.plus_ms(BODY_DEADLINE_MS);
        self.receive_body(now, framing, engine);
        if waits && self.phase == Phase::Body(framing) {
            self.output.put_continue();
        }
    }

    /// Goes on with the body, and answers if it is whole.
    fn receive_body(&mut self, now: Instant, framing: Framing, engine: &mut Engine<'_>) {
        match self.input.poll_body(framing) {
            Ok(true) => self.respond(now, engine),
            Ok(false) => (),
            Err(reject) => self.reject(now, reject, engine),
        }
    }

    /// Answers the request that has been received in full.
    fn respond(&mut self, now: Instant, engine: &mut Engine<'_>) {
        let (head, body) = match self.input.request() {
            Ok(request) => request,
            Err(reject) => return self.reject(now, reject, engine),
        };
        self.requests = self.requests.saturating_add(1);
        let last = self.stopping
            || self.requests >= MAX_REQUESTS_PER_CONNECTION
            || now.plus_ms(IDLE_DEADLINE_MS) > self.end_of_life
            || matches!(head.method, Method::Unknown | Method::Connect);
        let persistence = persistence(&head, last);
        let source = source::of(&engine.settings, self.addr, self.port, &head);
        let for_head = head.method == Method::Head;
        let status = self
            .output
            .put(persistence, for_head, |out| answers::answer(now, engine, &source, (&head, body), out));
        match status {
            Ok(status) => engine.stats.count_response(status),
            Err(_) => return self.refuse(now, &Refusal::NO_ROOM, engine),
        }
        self.deadline = now.plus_ms(WRITE_DEADLINE_MS);
        (self.phase, self.ending) = match persistence {
            Persistence::Kept | Persistence::KeptAlive => (Phase::Respond, self.ending),
            Persistence::Closed if self.stopping => (Phase::RespondAndDrain, Ending::Shutdown),
            Persistence::Closed if last || self.input.has_more() => (Phase::RespondAndDrain, Ending::Served),
            Persistence::Closed => (Phase::RespondAndClose, Ending::Served),
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

fn persistence(head: &Head<'_>, last: bool) -> Persistence {
    match head.version {
        _ if last || !head.keep_alive => Persistence::Closed,
        Version::Http10 => Persistence::KeptAlive,
        Version::Http11 => Persistence::Kept,
    }
}
