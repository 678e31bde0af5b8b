//! The scanner: where each token of a JSON document ends, and whether the document is one at all (RFC 8259).

use core::iter;
use core::str::Chars;

use heapless::Vec;

use super::Error;
use crate::limits::{MAX_JSON_DEPTH, MAX_JSON_TOKENS};
use crate::wire::hex;

/// A position in a document, and how many tokens lie before it.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    tokens: usize,
    most_tokens: usize,
}

/// A part of a document. Two bytes an end keep an object's list of members small enough to be moved about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    start: u16,
    end: u16,
}

impl Span {
    /// The text of this part of `document`.
    pub(super) fn of(self, document: &str) -> &str {
        document.get(usize::from(self.start)..usize::from(self.end)).unwrap_or_default()
    }
}

/// What [`Scanner::start_value`] has read.
enum Start {
    /// A whole string, number or literal.
    Scalar,
    /// An opening bracket; this one closes it.
    Container(u8),
}

impl<'a> Scanner<'a> {
    /// A scanner at the start of `document`, which must be UTF-8 (RFC 8259 section 8.1).
    pub(super) fn new(document: &'a [u8]) -> Result<Self, Error> {
        Self::within(document, MAX_JSON_TOKENS)
    }

    /// The same for a document of so many tokens.
    pub(super) fn within(document: &'a [u8], most_tokens: usize) -> Result<Self, Error> {
        let text = str::from_utf8(document).map_err(|_| Error::Malformed)?;
        Ok(Self { text, at: 0, tokens: 0, most_tokens })
    }

    /// The whole document.
    pub(super) const fn text(&self) -> &'a str {
        self.text
    }

    /// The next byte.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Goes over white space (section 2).
    pub(super) fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.step();
        }
    }

    /// Reads the end of the document.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        self.skip_space();
        if self.peek().is_none() { Ok(()) } else { Err(Error::Malformed) }
    }

    /// Reads an opening bracket and the white space behind it.
    pub(super) fn open(&mut self, bracket: u8) -> Result<(), Error> {
        self.count_token()?;
        self.expect(bracket)?;
        self.skip_space();
        Ok(())
    }

    /// Reads a closing bracket, if one comes next.
    pub(super) fn close(&mut self, bracket: u8) -> Result<bool, Error> {
        self.skip_space();
        if !self.take(bracket) {
            return Ok(false);
        }
        self.count_token()?;
        Ok(true)
    }

    /// Reads the comma between two members or elements, and the white space behind it.
    pub(super) fn comma(&mut self) -> Result<(), Error> {
        self.expect(b',')?;
        self.skip_space();
        Ok(())
    }

    /// Reads a member's key up to the start of its value, and returns what stands between the key's quotes.
    pub(super) fn key(&mut self) -> Result<Span, Error> {
        let key = self.string()?;
        self.skip_space();
        self.expect(b':')?;
        self.skip_space();
        Ok(key)
    }

    /// Reads one value, `depth` brackets deep.
    pub(super) fn value(&mut self, depth: usize) -> Result<Span, Error> {
        let start = self.at;
        let mut closers = Vec::<u8, MAX_JSON_DEPTH>::new();
        loop {
            if let Start::Container(closer) = self.start_value()? {
                if closers.len().saturating_add(depth) >= MAX_JSON_DEPTH {
                    return Err(Error::Malformed);
                }
                closers.push(closer).map_err(|_| Error::Malformed)?;
                if self.peek() != Some(closer) {
                    self.start_member(closer)?;
                    continue;
                }
            }
            // A value has ended, and with it perhaps the containers it was the last of.
            while let Some(&closer) = closers.last() {
                if !self.close(closer)? {
                    self.comma()?;
                    self.start_member(closer)?;
                    break;
                }
                closers.pop();
            }
            if closers.is_empty() {
                return self.span_from(start);
            }
        }
    }

    /// Reads a scalar, or an opening bracket and the white space behind it.
    fn start_value(&mut self) -> Result<Start, Error> {
        match self.peek() {
            Some(b'{') => self.open(b'{').map(|()| Start::Container(b'}')),
            Some(b'[') => self.open(b'[').map(|()| Start::Container(b']')),
            Some(b'"') => self.string().map(|_| Start::Scalar),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            _ => self.number(),
        }
    }

    /// Reads the key in front of a value, if the container that ends in `closer` is an object.
    fn start_member(&mut self, closer: u8) -> Result<(), Error> {
        if closer == b'}' { self.key().map(drop) } else { Ok(()) }
    }

    /// Reads a string (section 7) and returns what stands between its quotes.
    fn string(&mut self) -> Result<Span, Error> {
        self.count_token()?;
        self.expect(b'"')?;
        let start = self.at;
        loop {
            match self.peek().ok_or(Error::Malformed)? {
                b'"' => break,
                b'\\' => self.escape()?,
                0..=0x1f => return Err(Error::Malformed),
                _ => self.step(),
            }
        }
        let inside = self.span_from(start)?;
        self.step();
        Ok(inside)
    }

    /// Reads an escape sequence. Half a surrogate pair stands for no character, and is refused.
    fn escape(&mut self) -> Result<(), Error> {
        self.expect(b'\\')?;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.step();
                Ok(())
            }
            Some(b'u') => match self.unit()? {
                0xd800..=0xdbff => {
                    self.expect(b'\\')?;
                    if matches!(self.unit()?, 0xdc00..=0xdfff) { Ok(()) } else { Err(Error::Malformed) }
                }
                0xdc00..=0xdfff => Err(Error::Malformed),
                _ => Ok(()),
            },
            _ => Err(Error::Malformed),
        }
    }

    /// Reads `u` and four hex digits: one UTF-16 code unit.
    fn unit(&mut self) -> Result<u16, Error> {
        self.expect(b'u')?;
        let end = self.at.saturating_add(4);
        let digits = self.text.as_bytes().get(self.at..end).ok_or(Error::Malformed)?;
        self.at = end;
        hex::decode::<2>(digits).map(u16::from_be_bytes).ok_or(Error::Malformed)
    }

    /// Reads `true`, `false` or `null` (section 3).
    fn literal(&mut self, name: &str) -> Result<Start, Error> {
        self.count_token()?;
        name.bytes().try_for_each(|byte| self.expect(byte)).map(|()| Start::Scalar)
    }

    /// Reads a number (section 6).
    fn number(&mut self) -> Result<Start, Error> {
        self.count_token()?;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(Start::Scalar)
    }

    /// Reads one digit or more.
    fn digits(&mut self) -> Result<(), Error> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.step();
        }
        if self.at > start { Ok(()) } else { Err(Error::Malformed) }
    }

    /// From `start` to here. A document longer than a span can tell is refused.
    fn span_from(&self, start: usize) -> Result<Span, Error> {
        let end = |at| u16::try_from(at).map_err(|_| Error::Malformed);
        Ok(Span { start: end(start)?, end: end(self.at)? })
    }

    const fn count_token(&mut self) -> Result<(), Error> {
        self.tokens = self.tokens.saturating_add(1);
        if self.tokens <= self.most_tokens { Ok(()) } else { Err(Error::Malformed) }
    }

    fn expect(&mut self, byte: u8) -> Result<(), Error> {
        if self.take(byte) { Ok(()) } else { Err(Error::Malformed) }
    }

    fn take(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        if next {
            self.step();
        }
        next
    }

    const fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }
}

/// The UTF-16 code units a checked string stands for, its escapes decoded.
pub(super) struct Units<'a> {
    chars: Chars<'a>,
    /// The second half of a character that takes two units.
    pending: Option<u16>,
}

impl<'a> Units<'a> {
    /// The units of `inside`, which stood between the quotes of a checked string.
    pub(super) fn of(inside: &'a str) -> Self {
        Self { chars: inside.chars(), pending: None }
    }

    fn escaped(&mut self) -> Option<u16> {
        Some(match self.chars.next()? {
            'b' => 0x08,
            't' => 0x09,
            'n' => 0x0a,
            'f' => 0x0c,
            'r' => 0x0d,
            'u' => {
                let digits = iter::from_fn(|| self.chars.next()?.to_digit(16)).take(4);
                digits.fold(0, |unit, digit| unit << 4 | u16::try_from(digit).unwrap_or(0))
            }
            itself => u16::try_from(u32::from(itself)).ok()?,
        })
    }
}

impl Iterator for Units<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        if let Some(unit) = self.pending.take() {
            return Some(unit);
        }
        match self.chars.next()? {
            '\\' => self.escaped(),
            plain => {
                let mut units = [0; 2];
                let count = plain.encode_utf16(&mut units).len();
                let [first, second] = units;
                self.pending = (count == 2).then_some(second);
                Some(first)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(value: &str) -> bool {
        let mut scanner = Scanner::new(value.as_bytes()).unwrap();
        let span = scanner.value(0);
        span.and_then(|span| scanner.end().map(|()| assert_eq!(span.of(value), value))).is_ok()
    }

    #[test]
    fn scalars() {
        for value in [
            "0",
            "-0",
            "10",
            "-1.5",
            "0.10",
            "1e5",
            "1E+5",
            "0e-05",
            "1.2e3",
            "true",
            "false",
            "null",
            r#""""#,
            r#""a b""#,
            r#""\"\\\/\b\f\n\r\t\u00e4\uABCD""#,
            r#""\ud83d\ude00""#,
            "\"\u{7f}\u{fffd}\u{10ffff}\"",
        ] {
            assert!(accepts(value), "{value}");
        }
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for value in [
            "",
            "-",
            "+1",
            "01",
            "-01",
            "1.",
            ".5",
            "1.e1",
            "1e",
            "1e+",
            "0x1",
            "1_0",
            "NaN",
            "Infinity",
            "tru",
            "True",
            "nul",
            "truefalse",
            "'a'",
            "\"",
            "\"a",
            r#""\""#,
            r#""\x41""#,
            r#""\u12""#,
            r#""\u12g4""#,
            r#""\u+123""#,
            r#""\ud800""#,
            r#""\ud800a""#,
            r#""\ud800\n""#,
            r#""\ud800\ud800""#,
            r#""\udc00""#,
            r#""\udc00\ud800""#,
            "\"\n\"",
            "\"\0\"",
            "\"\u{1f}\"",
            "1 2",
            "]",
            ":",
            ",",
        ] {
            assert!(!accepts(value), "{value}");
        }
    }

    #[test]
    fn containers() {
        for value in [
            "[]",
            "{}",
            "[ ]",
            "[1]",
            "[1 , [ ] , {\n} ]",
            r#"{"a":1}"#,
            r#"{ "a" : [ { "b" : null } ] , "c":"" }"#,
        ] {
            assert!(accepts(value), "{value}");
        }
        for value in [
            "[",
            "{",
            "[}",
            "{]",
            "[,]",
            "[1,]",
            "[,1]",
            "[1 1]",
            "[1,,1]",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{,"a":1}"#,
            r#"{"a" 1}"#,
            r#"{"a"::1}"#,
            "{1:1}",
            "{a:1}",
            r#"{"a":1 "b":2}"#,
            "[1]]",
            "[\u{a0}1]",
            "[1\u{c}]",
            r#"["a":1]"#,
            "[[1]",
        ] {
            assert!(!accepts(value), "{value}");
        }
    }

    #[test]
    fn no_prefix_of_a_container_is_a_value() {
        let value = r#"{"a":[1,-2.5e+3,{"b":"\ud83d\ude00\n"},[]],"c":true,"d":{"e":{}}}"#;
        assert!(accepts(value));
        for cut in 0..value.len() {
            assert!(!accepts(&value[..cut]), "cut at {cut}");
        }
    }

    #[test]
    fn units_are_decoded() {
        let units = |inside| Units::of(inside).collect::<std::vec::Vec<_>>();
        assert_eq!(units(r#"a\"\\\/\b\f\n\r\t"#), b"a\"\\/\x08\x0c\n\r\t".map(u16::from));
        assert_eq!(units(r"\u00e4ä\u20AC"), [0xe4, 0xe4, 0x20ac]);
        assert_eq!(units("😀"), units(r"\ud83d\ude00"));
    }
}
