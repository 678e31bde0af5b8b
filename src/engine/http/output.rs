//! Responses on their way out: status, fields, body, in one buffer.

use crate::engine::identity::ReplySignature;
use crate::limits::MAX_RESPONSE_BYTES;
use crate::wire::{Full, Writer};

/// Room for a response head. The body is rendered behind it, and then the head, whose length of the body is known by
/// then, right before the body: one contiguous response without moving the body.
const HEAD_ROOM: usize = 640;

/// Says that the body may be sent.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What goes into the head of a response. Nothing in it comes from the client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Response {
    /// The status.
    pub(super) status: u16,
    /// What the body is.
    pub(super) content: Content,
    /// The methods the target allows, for the Allow field.
    pub(super) allow: Option<&'static str>,
    /// Seconds until the client may try again, for the Retry-After field.
    pub(super) retry_after_s: Option<u32>,
    /// Whether pages of other sites may read it.
    pub(super) sharing: Sharing,
    /// The signature of the body, if the client wants one.
    pub(super) signature: Option<ReplySignature>,
}

/// Kinds of bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// No body, and no Content-Length (RFC 9110 section 8.6).
    Nothing,
    /// JSON
    Json,
    /// Prometheus text
    Metrics,
    /// Bencode
    Tracker,
    /// HTML
    Page,
}

/// What browsers are told about pages of other sites (CORS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// Nothing: they must not read it.
    Own,
    /// They may read it.
    Shared,
    /// The answer to a preflight: they may ask with these methods.
    Preflight(&'static str),
}

/// What becomes of the connection after the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persistence {
    /// It stays open, as HTTP/1.1 connections do.
    Kept,
    /// It stays open, which an HTTP/1.0 client must be told.
    KeptAlive,
    /// It is closed.
    Closed,
}

/// The response that is being sent.
pub(super) struct Output {
    buffer: [u8; MAX_RESPONSE_BYTES],
    /// First byte that has not been sent.
    start: usize,
    /// End of the response.
    end: usize,
}

impl Output {
    pub(super) const fn new() -> Self {
        Self { buffer: [0; MAX_RESPONSE_BYTES], start: 0, end: 0 }
    }

    /// Forgets everything.
    pub(super) const fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// What is to be sent.
    pub(super) fn pending(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Whether there is nothing to be sent.
    pub(super) const fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Takes note that `n` bytes were sent.
    pub(super) fn advance(&mut self, n: usize) {
        self.start = self.start.saturating_add(n).min(self.end);
    }

    /// Prepares a 100 response.
    pub(super) fn put_continue(&mut self) {
        if let Some(room) = self.buffer.get_mut(..CONTINUE.len()) {
            room.copy_from_slice(CONTINUE);
            (self.start, self.end) = (0, CONTINUE.len());
        }
    }

    /// Prepares a response: `render` writes its body and says what it is. The body of a response to a HEAD request is
    /// measured, but not sent. Returns the status.
    ///
    /// # Errors
    /// [`Full`] if the head or the body does not fit.
    pub(super) fn put(
        &mut self,
        persistence: Persistence,
        for_head: bool,
        render: impl FnOnce(&mut Writer<'_>) -> Result<Response, Full>,
    ) -> Result<u16, Full> {
        let (room, behind) = self.buffer.split_at_mut_checked(HEAD_ROOM).ok_or(Full)?;
        let mut body = Writer::new(behind);
        let response = render(&mut body)?;
        let mut text = [0; HEAD_ROOM];
        let mut head = Writer::new(&mut text);
        response.emit(&mut head, body.len(), persistence)?;
        self.start = HEAD_ROOM.saturating_sub(head.len());
        self.end = HEAD_ROOM.saturating_add(if for_head { 0 } else { body.len() });
        room.get_mut(self.start..).ok_or(Full)?.copy_from_slice(head.written());
        Ok(response.status)
    }
}

impl Response {
    /// A successful response.
    pub(super) const fn ok(content: Content) -> Self {
        let (allow, retry_after_s, signature) = (None, None, None);
        Self { status: 200, content, allow, retry_after_s, sharing: Sharing::Own, signature }
    }

    fn emit(&self, out: &mut Writer<'_>, body_bytes: usize, persistence: Persistence) -> Result<(), Full> {
        out.put_str("HTTP/1.1 ")?;
        out.put_str(status_line(self.status))?;
        out.put_str(match self.content {
            Content::Nothing => "",
            Content::Json => {
                "Content-Type: application/json\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
            }
            // What trackers have always called it (BEP 3).
            Content::Tracker => {
                "Content-Type: text/plain\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
            }
            Content::Metrics => "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\nCache-Control: no-store\r\n",
            Content::Page => super::page::FIELDS,
        })?;
        if self.content != Content::Nothing {
            out.put_str("Content-Length: ")?;
            out.put_decimal(u64::try_from(body_bytes).unwrap_or(u64::MAX))?;
            out.put_str("\r\n")?;
        }
        if let Some(methods) = self.allow {
            out.put_str("Allow: ")?;
            out.put_str(methods)?;
            out.put_str("\r\n")?;
        }
        if let Some(seconds) = self.retry_after_s {
            out.put_str("Retry-After: ")?;
            out.put_decimal(seconds.into())?;
            out.put_str("\r\n")?;
        }
        self.sharing.emit(out)?;
        if let Some(signature) = &self.signature {
            // Scripts of other sites do not see a field that is not named.
            out.put_str("Access-Control-Expose-Headers: Waypost-Signature\r\nWaypost-Signature: ")?;
            signature.emit(out)?;
            out.put_str("\r\n")?;
        }
        out.put_str(match persistence {
            Persistence::Kept => "\r\n",
            Persistence::KeptAlive => "Connection: keep-alive\r\n\r\n",
            Persistence::Closed => "Connection: close\r\n\r\n",
        })
    }
}

impl Sharing {
    fn emit(self, out: &mut Writer<'_>) -> Result<(), Full> {
        match self {
            Self::Own => Ok(()),
            Self::Shared => out.put_str("Access-Control-Allow-Origin: *\r\n"),
            Self::Preflight(methods) => {
                out.put_str("Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Methods: ")?;
                out.put_str(methods)?;
                out.put_str(
                    "\r\nAccess-Control-Allow-Headers: Content-Type\r\nAccess-Control-Max-Age: 86400\r\n",
                )
            }
        }
    }
}

/// Status and reason, with the line end.
const fn status_line(status: u16) -> &'static str {
    match status {
        200 => "200 OK\r\n",
        204 => "204 No Content\r\n",
        400 => "400 Bad Request\r\n",
        403 => "403 Forbidden\r\n",
        404 => "404 Not Found\r\n",
        405 => "405 Method Not Allowed\r\n",
        409 => "409 Conflict\r\n",
        411 => "411 Length Required\r\n",
        413 => "413 Content Too Large\r\n",
        414 => "414 URI Too Long\r\n",
        415 => "415 Unsupported Media Type\r\n",
        417 => "417 Expectation Failed\r\n",
        428 => "428 Precondition Required\r\n",
        429 => "429 Too Many Requests\r\n",
        431 => "431 Request Header Fields Too Large\r\n",
        501 => "501 Not Implemented\r\n",
        505 => "505 HTTP Version Not Supported\r\n",
        _ => "503 Service Unavailable\r\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::identity::{Identity, Nonce, Secret};
    use crate::engine::stats::STATUSES;

    #[test]
    fn the_largest_head_fits() {
        let nonce = Nonce::parse("0123456789abcdef").unwrap();
        let signature = Identity::new(Secret([1; 32])).sign(&nonce, b"");
        for content in [Content::Nothing, Content::Json, Content::Metrics, Content::Tracker, Content::Page] {
            let largest = Response {
                status: 431,
                content,
                allow: Some("GET, HEAD, POST, OPTIONS"),
                retry_after_s: Some(u32::MAX),
                sharing: Sharing::Preflight("GET, HEAD"),
                // Lists of peers alone are signed.
                signature: (content == Content::Json).then_some(signature),
            };
            let mut output = Output::new();
            assert_eq!(output.put(Persistence::KeptAlive, false, |_| Ok(largest)), Ok(431), "{content:?}");
        }
    }

    #[test]
    fn every_status_has_its_line() {
        for status in STATUSES {
            assert!(status_line(status).starts_with(&status.to_string()), "{status}");
        }
    }

    #[test]
    fn head_and_body_are_one_piece_sent_in_any_steps() {
        let mut output = Output::new();
        let render = |out: &mut Writer<'_>| out.put(b"{}").map(|()| Response::ok(Content::Json));
        output.put(Persistence::Closed, false, render).unwrap();
        let expected = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n\
                        X-Content-Type-Options: nosniff\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
        assert_eq!(str::from_utf8(output.pending()), Ok(expected));
        output.advance(100);
        assert_eq!(output.pending(), &expected.as_bytes()[100..]);
        output.advance(1000);
        assert!(output.is_empty());
        output.put(Persistence::Closed, true, render).unwrap();
        assert_eq!(str::from_utf8(output.pending()), Ok(&expected[..expected.len() - 2]));
    }

    #[test]
    fn what_does_not_fit_is_not_begun() {
        let mut output = Output::new();
        let too_much = [b'x'; MAX_RESPONSE_BYTES];
        let sent = output
            .put(Persistence::Kept, false, |out| out.put(&too_much).map(|()| Response::ok(Content::Json)));
        assert_eq!((sent, output.is_empty()), (Err(Full), true));
    }
}
