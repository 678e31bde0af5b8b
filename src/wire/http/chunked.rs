//! Chunked bodies (RFC 9112 section 7.1).

use super::{Reject, is_control, is_token};
use crate::limits::{MAX_BODY_BYTES, MAX_CHUNK_EXTENSION_BYTES, MAX_TRAILER_BYTES};
use crate::wire::hex;

/// Most hex digits in the size of a chunk.
const MAX_SIZE_DIGITS: u8 = 8;

/// Fields that must not hide in a trailer, where they would change what the head said (RFC 9110 section 6.5.1).
const FORBIDDEN_TRAILERS: [&str; 3] = ["content-length", "transfer-encoding", "host"];

/// Decodes a chunked body in place, in whatever pieces it comes. Chunk extensions and trailers are checked and dropped.
#[derive(Debug)]
pub struct Chunked {
    state: State,
    /// Bytes that the whole body may have, as what they differ in from [`MAX_BODY_BYTES`]: a decoder of requests must be all
    /// zero, or the memory of all connections is in the program's file.
    most_differing: usize,
    /// Digits of the size seen.
    digits: u8,
    /// Size of the chunk while it is read, then what is left of it.
    left: u32,
    /// Bytes of this chunk's extension.
    extension: usize,
    /// Bytes decoded of the whole body.
    body: usize,
    /// Bytes of all trailer fields.
    trailer: usize,
    name: TrailerName,
}

/// What one call of [`Chunked::advance`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the body that are now at the front.
    pub decoded: usize,
    /// Bytes used up. Behind them begins the next request if the body is complete; else they are all.
    pub consumed: usize,
    /// Whether the body is complete.
    pub complete: bool,
}

/// The byte that comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Extension,
    Quoted,
    QuotedPair,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
    Complete,
}

/// The name of a trailer field, as far as needed to tell whether it is forbidden.
#[derive(Debug, Default)]
struct TrailerName {
    text: [u8; 18],
    len: usize,
}

impl Default for Chunked {
    fn default() -> Self {
        Self::new()
    }
}

impl Chunked {
    /// A decoder of a request's body, at most [`MAX_BODY_BYTES`], that has seen nothing.
    pub const fn new() -> Self {
        Self::within(MAX_BODY_BYTES)
    }

    /// A decoder of a body of at most `most` bytes, that has seen nothing.
    pub const fn within(most: usize) -> Self {
        Self {
            state: State::Size,
            most_differing: most ^ MAX_BODY_BYTES,
            digits: 0,
            left: 0,
            extension: 0,
            body: 0,
            trailer: 0,
            name: TrailerName { text: [0; 18], len: 0 },
        }
    }

    /// Decodes `bytes`, which came in since the last call, and moves what they hold of the body to their front.
    ///
    /// # Errors
    /// 400 if a chunk is malformed: a size that is not 1 to 8 hex digits, an extension with a control character or
    /// of more than [`MAX_CHUNK_EXTENSION_BYTES`], no CR LF behind the data, a bad or forbidden trailer field.
    /// 413 if the body is longer than it may be.
    pub fn advance(&mut self, bytes: &mut [u8]) -> Result<Step, Reject> {
        let (mut consumed, mut decoded) = (0, 0);
        while self.state != State::Complete {
            if self.state == State::Data {
                let waiting = bytes.len().saturating_sub(consumed);
                let run = waiting.min(usize::try_from(self.left).unwrap_or(usize::MAX));
                if run == 0 {
                    break;
                }
                let end = usize::saturating_add(consumed, run);
                bytes.copy_within(consumed..end, decoded);
                (consumed, decoded) = (end, usize::saturating_add(decoded, run));
                self.take_data(run);
            } else {
                let Some(&byte) = bytes.get(consumed) else { break };
                consumed = usize::saturating_add(consumed, 1);
                self.state = self.look_at(byte)?;
            }
        }
        Ok(Step { decoded, consumed, complete: self.state == State::Complete })
    }

    fn take_data(&mut self, run: usize) {
        self.left = self.left.saturating_sub(u32::try_from(run).unwrap_or(u32::MAX));
        if self.left == 0 {
            self.state = State::DataCr;
        }
    }

    /// Takes one byte outside the data, and returns what comes next.
    fn look_at(&mut self, byte: u8) -> Result<State, Reject> {
        match (self.state, byte) {
            (State::Size, _) => self.size(byte),
            (State::Extension, b'\r') if self.extension > 0 => Ok(State::SizeLf),
            (State::Extension | State::Quoted | State::QuotedPair, _) => self.extension(byte),
            (State::SizeLf, b'\n') => self.begin_chunk(),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(self.begin_size()),
            (State::TrailerName, _) => self.trailer_name(byte),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, _) => self.trailer_value(byte),
            (State::TrailerLf, b'\n') => Ok(State::TrailerName),
            (State::LastLf, b'\n') => Ok(State::Complete),
            _ => Err(Reject::bad("a chunk, its size and every trailer field must end with CR LF")),
        }
    }

    fn begin_size(&mut self) -> State {
        (self.digits, self.left, self.extension) = (0, 0, 0);
        State::Size
    }

    fn size(&mut self, byte: u8) -> Result<State, Reject> {
        match (hex::digit(byte), byte) {
            (Some(digit), _) if self.digits < MAX_SIZE_DIGITS => {
                // Eight hex digits fill 32 bits exactly.
                self.left = self.left << 4 | u32::from(digit);
                self.digits = self.digits.saturating_add(1);
                Ok(State::Size)
            }
            (None, b'\r') if self.digits > 0 => Ok(State::SizeLf),
            (None, b';') if self.digits > 0 => Ok(State::Extension),
            _ => Err(Reject::bad("the size of a chunk must be 1 to 8 hex digits")),
        }
    }

    fn extension(&mut self, byte: u8) -> Result<State, Reject> {
        self.extension = self.extension.saturating_add(1);
        if is_control(byte) || self.extension > MAX_CHUNK_EXTENSION_BYTES {
            return Err(Reject::bad("a chunk extension must have 1 to 64 bytes, and no control characters"));
        }
        Ok(match (self.state, byte) {
            (State::Extension, b'"') | (State::QuotedPair, _) => State::Quoted,
            (State::Quoted, b'\\') => State::QuotedPair,
            (State::Quoted, b'"') => State::Extension,
            (state, _) => state,
        })
    }

    fn begin_chunk(&mut self) -> Result<State, Reject> {
        if self.left == 0 {
            return Ok(State::TrailerName);
        }
        self.body = self.body.saturating_add(usize::try_from(self.left).unwrap_or(usize::MAX));
        if self.body > self.most_differing ^ MAX_BODY_BYTES {
            Err(Reject::BODY_TOO_LARGE)
        } else {
            Ok(State::Data)
        }
    }

    fn trailer_name(&mut self, byte: u8) -> Result<State, Reject> {
        self.count_trailer_byte()?;
        match byte {
            b'\r' if self.name.len == 0 => Ok(State::LastLf),
            b':' if self.name.len > 0 => {
                let name = core::mem::take(&mut self.name);
                if name.is_forbidden() {
                    Err(Reject::bad("a trailer must not have Content-Length, Transfer-Encoding or Host"))
                } else {
                    Ok(State::TrailerValue)
                }
            }
            _ if is_token(byte) => {
                self.name.push(byte);
                Ok(State::TrailerName)
            }
            _ => Err(Reject::bad("the name of a trailer field is malformed")),
        }
    }

    fn trailer_value(&mut self, byte: u8) -> Result<State, Reject> {
        self.count_trailer_byte()?;
        if is_control(byte) {
            return Err(Reject::bad("a trailer field has a control character"));
        }
        Ok(State::TrailerValue)
    }

    fn count_trailer_byte(&mut self) -> Result<(), Reject> {
        self.trailer = self.trailer.saturating_add(1);
        if self.trailer > MAX_TRAILER_BYTES {
            return Err(Reject { status: 431, detail: "trailer fields may have 512 bytes at most" });
        }
        Ok(())
    }
}

impl TrailerName {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.text.get_mut(self.len) {
            *place = byte;
        }
        self.len = self.len.saturating_add(1);
    }

    fn is_forbidden(&self) -> bool {
        let text = self.text.get(..self.len).unwrap_or_default();
        FORBIDDEN_TRAILERS.iter().any(|name| text.eq_ignore_ascii_case(name.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// Decodes `raw`, which comes in pieces of at most `pace` bytes. Returns the body, and what is behind it if it is
    /// complete.
    fn decode(raw: &[u8], pace: usize) -> Result<(Vec<u8>, Option<Vec<u8>>), Reject> {
        let mut decoder = Chunked::new();
        let mut body = Vec::new();
        for (at, piece) in raw.chunks(pace).enumerate() {
            let mut bytes = piece.to_vec();
            let step = decoder.advance(&mut bytes)?;
            body.extend(&bytes[..step.decoded]);
            if step.complete {
                return Ok((body, Some(raw[at * pace + step.consumed..].to_vec())));
            }
            assert_eq!(step.consumed, piece.len());
        }
        Ok((body, None))
    }

    #[test]
    fn bodies_are_decoded_at_any_pace() {
        for (raw, body) in [
            ("0\r\n\r\n", ""),
            ("5\r\nhello\r\n0\r\n\r\n", "hello"),
            ("5\r\nhello\r\n6\r\n world\r\n000\r\n\r\n", "hello world"),
            ("00000005\r\nhello\r\n0\r\n\r\n", "hello"),
            ("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"),
            ("5;a=b\r\nhello\r\n6; c=\"d\\\" e\";f\r\n world\r\n0;x\r\n\r\n", "hello world"),
            ("2\r\n\r\n\r\n0\r\nVary: *\r\nX-Host: a\r\nempty:\r\n\r\n", "\r\n"),
        ] {
            let raw = [raw.as_bytes(), b"GET /next"].concat();
            for pace in 1..=raw.len() {
                let decoded = decode(&raw, pace).unwrap();
                assert_eq!(decoded, (body.into(), Some(b"GET /next".to_vec())), "{raw:?} at {pace}");
            }
            for cut in 0..raw.len() - 9 {
                assert_eq!(decode(&raw[..cut], 100).unwrap().1, None, "{raw:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn malformed_bodies_are_refused_at_any_pace() {
        for raw in [
            "\r\n",
            ";x\r\n",
            " 5\r\nhello\r\n",
            "5 \r\nhello\r\n",
            "5 ;a\r\nhello\r\n",
            "+5\r\nhello\r\n",
            "-5\r\nhello\r\n",
            "0x5\r\nhello\r\n",
            "5_0\r\n",
            "g\r\n",
            "000000005\r\nhello\r\n",
            "5\nhello\r\n",
            "5\rhello\r\n",
            "5;\r\nhello\r\n",
            "5;a=\"b\r\nhello\r\n",
            "5;a=\"b\\\"\r\nhello\r\n",
            "5;a\nb\r\nhello\r\n",
            "5;a\rb\r\nhello\r\n",
            "5;a\0\r\nhello\r\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello\r0\r\n\r\n",
            "4\r\nhello\r\n0\r\n\r\n",
            "0\r\n\n",
            "0\r\n\rx",
            "0\r\nContent-Length: 9\r\n\r\n",
            "0\r\ntransfer-encoding: chunked\r\n\r\n",
            "0\r\nHOST: b\r\n\r\n",
            "0\r\nno colon\r\n\r\n",
            "0\r\n: no name\r\n\r\n",
            "0\r\nA : b\r\n\r\n",
            "0\r\nA: b\n\r\n",
            "0\r\nA: b\x01\r\n\r\n",
            "0\r\nA: b\r\n folded\r\n\r\n",
        ] {
            for pace in [1, 2, 3, 100] {
                let status = decode(raw.as_bytes(), pace).map_err(|reject| reject.status);
                assert_eq!(status, Err(400), "{raw:?} at {pace}");
            }
        }
    }

    #[test]
    fn sizes_have_limits() {
        let status = |raw: &str| decode(raw.as_bytes(), 7).map(|d| d.0.len()).map_err(|r| r.status);
        assert_eq!(status("1001\r\n"), Err(413));
        assert_eq!(status("ffffffff\r\n"), Err(413));
        let half = "x".repeat(2048);
        assert_eq!(status(&std::format!("800\r\n{half}\r\n800\r\n{half}\r\n0\r\n\r\n")), Ok(4096));
        assert_eq!(status(&std::format!("800\r\n{half}\r\n801\r\n")), Err(413));
        assert_eq!(status(&std::format!("1;{}\r\nx", "e".repeat(64))), Ok(1));
        assert_eq!(status(&std::format!("1;{}\r\nx", "e".repeat(65))), Err(400));
        assert_eq!(status(&std::format!("0\r\nA: {}\r\n", "t".repeat(508))), Ok(0));
        assert_eq!(status(&std::format!("0\r\nA: {}\r\n", "t".repeat(510))), Err(431));
    }
}
