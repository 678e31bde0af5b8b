//! Where a head ends.

use super::{Reject, is_control, is_token};
use crate::limits::MAX_HEAD_BYTES;

/// Finds the end of a request head in bytes that come in bit by bit. Every byte is looked at once, however many reads
/// it takes, and line ends are held to the letter: a CR only before an LF, an LF only after a CR.
#[derive(Debug, Default)]
pub struct HeadScan {
    /// Bytes looked at.
    at: usize,
    /// Where the current line began.
    line_start: usize,
    /// Whether the byte before `at` is a CR.
    after_cr: bool,
    /// Whether an empty line was skipped before the request line.
    skipped_empty_line: bool,
    /// What the current line is.
    line: Line,
}

/// What a line of a head is, and how far it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    #[default]
    Request,
    FieldName,
    FieldValue,
}

const BARE_LF: Reject = Reject::bad("a line must end with CR LF, not with LF alone");
const BARE_CR: Reject = Reject::bad("a CR must be followed by LF");
const CONTROL: Reject = Reject::bad("the head has a control character");
const NOT_ASCII: Reject = Reject::bad("the request line has a byte that is not visible ASCII");
const FOLDED: Reject = Reject::bad("a field must not be continued on the next line");
const BAD_NAME: Reject =
    Reject::bad("a field must be a name, a colon without a space before it, and a value");
const EMPTY_LINES: Reject = Reject::bad("more than one empty line before the request line");
const TARGET_TOO_LONG: Reject = Reject { status: 414, detail: "the target may have 2048 bytes at most" };
const HEAD_TOO_LARGE: Reject = Reject { status: 431, detail: "a head may have 4096 bytes at most" };

impl HeadScan {
    /// A scan that has seen nothing.
    pub const fn new() -> Self {
        Self { at: 0, line_start: 0, after_cr: false, skipped_empty_line: false, line: Line::Request }
    }

    /// Looks at the bytes that came in since the last call. `bytes` are all bytes from the start of the head.
    /// Returns the length of the head once it is complete, with its last empty line.
    ///
    /// # Errors
    /// A line end that is not CR LF (RFC 9112 section 2.2 allows a server to be lenient; this one is not), a control
    /// character, a folded field (section 5.2), a field without a proper name (section 5.1), more than one leading empty
    /// line, or a head without an end in [`MAX_HEAD_BYTES`].
    pub fn advance(&mut self, bytes: &[u8]) -> Result<Option<usize>, Reject> {
        let whole = bytes.get(..bytes.len().min(MAX_HEAD_BYTES)).unwrap_or_default();
        while let Some(&byte) = whole.get(self.at) {
            let complete = self.look_at(byte)?;
            self.at = self.at.saturating_add(1);
            if complete {
                return Ok(Some(self.at));
            }
            self.skip_plain_bytes(whole);
        }
        match self.line {
            _ if self.at < MAX_HEAD_BYTES => Ok(None),
            Line::Request => Err(TARGET_TOO_LONG),
            Line::FieldName | Line::FieldValue => Err(HEAD_TOO_LARGE),
        }
    }

    /// Skips what [`HeadScan::look_at`] has nothing to say about: most bytes of most lines.
    fn skip_plain_bytes(&mut self, whole: &[u8]) {
        let rest = whole.get(self.at..).unwrap_or_default();
        let plain = |&byte: &u8| match self.line {
            Line::Request => matches!(byte, b' '..=b'~'),
            Line::FieldName => byte.is_ascii_alphabetic() || byte == b'-',
            Line::FieldValue => byte >= b' ' && byte != 0x7f,
        };
        // A CR must be looked at together with what follows it.
        if !self.after_cr && self.at > self.line_start {
            let run = rest.iter().position(|byte| !plain(byte)).unwrap_or(rest.len());
            self.at = self.at.saturating_add(run);
        }
    }

    fn look_at(&mut self, byte: u8) -> Result<bool, Reject> {
        let after_cr = core::mem::replace(&mut self.after_cr, byte == b'\r');
        match (after_cr, byte) {
            (true, b'\n') => self.end_line(),
            (true, _) => Err(BARE_CR),
            (_, b'\n') => Err(BARE_LF),
            (_, b'\r') if self.line == Line::FieldName && !self.is_line_start() => Err(BAD_NAME),
            (_, b'\r') => Ok(false),
            (_, b' ' | b'\t') if self.line == Line::FieldName && self.is_line_start() => Err(FOLDED),
            (_, _) if is_control(byte) => Err(CONTROL),
            (_, _) => self.look_into_line(byte).map(|()| false),
        }
    }

    fn look_into_line(&mut self, byte: u8) -> Result<(), Reject> {
        match self.line {
            Line::Request if matches!(byte, b' '..=b'~') => Ok(()),
            Line::Request => Err(NOT_ASCII),
            Line::FieldName if is_token(byte) => Ok(()),
            Line::FieldName if byte == b':' && !self.is_line_start() => {
                self.line = Line::FieldValue;
                Ok(())
            }
            Line::FieldName => Err(BAD_NAME),
            Line::FieldValue => Ok(()),
        }
    }

    const fn is_line_start(&self) -> bool {
        self.at == self.line_start
    }

    /// Ends a line with the LF at `self.at`. Returns whether it was the empty one that ends the head.
    fn end_line(&mut self) -> Result<bool, Reject> {
        let is_empty = self.at.saturating_sub(self.line_start) == 1;
        self.line_start = self.at.saturating_add(1);
        match (is_empty, self.line) {
            (true, Line::FieldName | Line::FieldValue) => return Ok(true),
            (false, _) => self.line = Line::FieldName,
            // RFC 9112 section 2.2: at least one empty line before the request line should be ignored.
            (true, Line::Request) if !self.skipped_empty_line => self.skipped_empty_line = true,
            (true, Line::Request) => return Err(EMPTY_LINES),
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(bytes: &[u8]) -> Result<Option<usize>, Reject> {
        HeadScan::new().advance(bytes)
    }

    /// The same, one byte a call.
    fn scan_bytewise(bytes: &[u8]) -> Result<Option<usize>, Reject> {
        let mut scan = HeadScan::new();
        for end in 1..=bytes.len() {
            if let Some(length) = scan.advance(&bytes[..end])? {
                return Ok(Some(length));
            }
        }
        Ok(None)
    }

    #[test]
    fn the_end_is_found_at_any_pace() {
        for (head, rest) in [
            ("GET / HTTP/1.1\r\n\r\n", ""),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET /"),
            ("\r\nGET / HTTP/1.1\r\nA:\tb\u{e4}\r\n\r\n", "\r\n"),
        ] {
            let bytes = std::format!("{head}{rest}").into_bytes();
            assert_eq!(scan(&bytes), Ok(Some(head.len())), "{head:?}");
            assert_eq!(scan_bytewise(&bytes), Ok(Some(head.len())), "{head:?}");
            for cut in 0..head.len() {
                assert_eq!(scan(&bytes[..cut]), Ok(None), "{head:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn sloppy_lines_are_refused() {
        for (bytes, reject) in [
            ("GET / HTTP/1.1\n", BARE_LF),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", BARE_LF),
            ("GET / HTTP/1.1\r\nHost: a\r\n\n", BARE_LF),
            ("\nGET", BARE_LF),
            ("GET / HTTP/1.1\rHost", BARE_CR),
            ("GET / HTTP/1.1\r\nHost: a\r\r\n", BARE_CR),
            ("\r\n\r\n", EMPTY_LINES),
            ("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", FOLDED),
            ("GET / HTTP/1.1\r\n\tA: b\r\n\r\n", FOLDED),
            ("GET / HTTP/1.1\r\nA\r\n\r\n", BAD_NAME),
            ("GET / HTTP/1.1\r\nA b: c\r\n\r\n", BAD_NAME),
            ("GET / HTTP/1.1\r\nA : c\r\n\r\n", BAD_NAME),
            ("GET / HTTP/1.1\r\nA\t: c\r\n\r\n", BAD_NAME),
            ("GET / HTTP/1.1\r\n: c\r\n\r\n", BAD_NAME),
            ("GET / HTTP/1.1\r\nA\u{e4}: c\r\n\r\n", BAD_NAME),
            ("GET\0/ HTTP/1.1\r\n", CONTROL),
            ("GET / HTTP/1.1\r\nA: b\x07\r\n", CONTROL),
            ("GET / HTTP/1.1\r\nA: b\x7f\r\n", CONTROL),
            ("GET\t/ HTTP/1.1\r\n", NOT_ASCII),
            ("GET /\u{e4} HTTP/1.1\r\n", NOT_ASCII),
        ] {
            assert_eq!(scan(bytes.as_bytes()), Err(reject), "{bytes:?}");
            assert_eq!(scan_bytewise(bytes.as_bytes()), Err(reject), "{bytes:?}");
        }
    }

    #[test]
    fn heads_have_a_size() {
        let mut head = b"GET / HTTP/1.1\r\nA: ".to_vec();
        head.resize(MAX_HEAD_BYTES - 4, b'x');
        head.extend(b"\r\n\r\n");
        assert_eq!(scan(&head), Ok(Some(MAX_HEAD_BYTES)));
        head.insert(20, b'x');
        assert_eq!(scan(&head), Err(HEAD_TOO_LARGE));
        assert_eq!(scan(&head[..MAX_HEAD_BYTES]), Err(HEAD_TOO_LARGE));
        assert_eq!(scan(&head[..MAX_HEAD_BYTES - 1]), Ok(None));
        assert_eq!(scan(&[b'x'; MAX_HEAD_BYTES]), Err(TARGET_TOO_LONG));
    }
}
