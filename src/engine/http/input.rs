//! Bytes of requests as they come in: heads, bodies, and what was sent ahead.

use crate::limits::{MAX_BODY_BYTES, MAX_HEAD_BYTES};
use crate::wire::http::{Chunked, Framing, Head, HeadScan, Reject};

/// Room for a whole head and a whole body, and some for the line ends between chunks, which are dropped as they come.
const INPUT_BYTES: usize = MAX_HEAD_BYTES + MAX_BODY_BYTES + 64;

/// The bytes of the request that is being received, and behind them what the client sent ahead.
pub(super) struct Input {
    buffer: [u8; INPUT_BYTES],
    /// Bytes in use.
    filled: usize,
    scan: HeadScan,
    /// Length of the head, once known.
    head: usize,
    /// How the body is delimited.
    framing: Framing,
    /// End of the body, as far as it has come in.
    body: usize,
    chunked: Chunked,
    /// Where the next request begins, once this one is complete.
    next: usize,
}

impl Input {
    pub(super) const fn new() -> Self {
        Self {
            buffer: [0; INPUT_BYTES],
            filled: 0,
            scan: HeadScan::new(),
            head: 0,
            framing: Framing::None,
            body: 0,
            chunked: Chunked::new(),
            next: 0,
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.filled = 0;
        self.begin_request();
    }

    /// Where to read to. Never empty while a request is incomplete.
    pub(super) fn space(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.filled..).unwrap_or_default()
    }

    /// Takes `n` bytes that were read into [`Input::space`].
    pub(super) fn fill(&mut self, n: usize) {
        self.filled = self.filled.saturating_add(n).min(self.buffer.len());
    }

    /// Whether nothing has come in.
    pub(super) const fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Looks for the end of the head. Returns whether it is whole.
    pub(super) fn poll_head(&mut self) -> Result<bool, Reject> {
        let received = self.buffer.get(..self.filled).unwrap_or_default();
        let Some(length) = self.scan.advance(received)? else { return Ok(false) };
        (self.head, self.body, self.next) = (length, length, length);
        Ok(true)
    }

    /// The head, which must be whole.
    pub(super) fn head(&self) -> Result<Head<'_>, Reject> {
        Head::parse(self.buffer.get(..self.head).unwrap_or_default())
    }

    /// The body of a head of this framing, if it has come in together with its head, as it is.
    pub(super) fn body_at_once(&self, framing: Framing) -> Option<&[u8]> {
        let received = self.buffer.get(self.head..self.filled).unwrap_or_default();
        match framing {
            Framing::None => Some(&[]),
            Framing::Length(length) => received.get(..length),
            Framing::Chunked => None,
        }
    }

    /// Takes note that the body was the first `n` bytes behind the head.
    pub(super) fn take_body(&mut self, n: usize) {
        self.next = self.head.saturating_add(n);
    }

    /// Begins to receive the body.
    pub(super) const fn begin_body(&mut self, framing: Framing) {
        self.framing = framing;
    }

    /// Looks for the end of the body. Returns whether it is whole.
    pub(super) fn poll_body(&mut self) -> Result<bool, Reject> {
        match self.framing {
            Framing::None => Ok(true),
            Framing::Length(length) => {
                let end = self.head.saturating_add(length);
                self.body = end.min(self.filled);
                self.next = self.body;
                Ok(self.filled >= end)
            }
            Framing::Chunked => {
                let raw = self.buffer.get_mut(self.body..self.filled).unwrap_or_default();
                let step = self.chunked.advance(raw)?;
                self.next = self.body.saturating_add(step.consumed);
                self.body = self.body.saturating_add(step.decoded);
                if !step.complete {
                    self.filled = self.body;
                }
                Ok(step.complete)
            }
        }
    }

    /// The body, which must be whole.
    pub(super) fn body(&self) -> &[u8] {
        self.buffer.get(self.head..self.body).unwrap_or_default()
    }

    /// Whether the client sent something behind the request.
    pub(super) const fn has_more(&self) -> bool {
        self.filled > self.next
    }

    /// Drops the request, and moves what was sent ahead to the front. Returns whether there is something.
    pub(super) fn end_request(&mut self) -> bool {
        self.buffer.copy_within(self.next.min(self.filled)..self.filled, 0);
        self.filled = self.filled.saturating_sub(self.next);
        self.begin_request();
        self.filled > 0
    }

    fn begin_request(&mut self) {
        (self.scan, self.chunked) = (HeadScan::new(), Chunked::new());
        (self.head, self.body, self.next) = (0, 0, 0);
    }
}
