//! JSON (RFC 8259), strict and bounded: a document is scanned whole before one field of it is read.
//!
//! [`check`] and [`Object::parse`] accept exactly the grammar of the RFC, in up to 65,535 bytes of UTF-8, within [`MAX_JSON_DEPTH`]
//! and [`MAX_JSON_TOKENS`], without a byte order mark, without escapes that stand for half a character (RFC 7493 section
//! 2.1), and without two equal keys at the top level, however they are spelt. The scan is a loop, not a recursion.
//!
//! Fields are then decoded one by one with serde-json-core, which is safe on what has been scanned (alone it accepts
//! half of what a JSON parser must refuse, and recurses without limit), and so an error names the field. It hands
//! escapes over as they are, so text with a backslash is refused wherever text is compared or stored: `"a"` and
//! `"\u0061"` must not be two spellings of one id.
//!
//! [`MAX_JSON_DEPTH`]: crate::limits::MAX_JSON_DEPTH

use core::hash::Hasher;
use core::{iter, mem};

use heapless::Vec;
use serde::Deserialize;
use siphasher::sip::SipHasher13;

use crate::limits::MAX_JSON_TOKENS;

mod body;
mod field;
mod scan;

pub use body::{
    AnnounceBody, HelloBody, LeaveBody, MessageKind, QueryBody, SealText, UdpAnnounceBody, UdpMessage, Work,
};
pub use field::Field;

use scan::{Scanner, Span, Units};

/// Why a document is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It is no strict, small JSON document, or no object where one is needed.
    Malformed,
    /// This field has the wrong type, is out of range, or is missing.
    Field(Field),
}

/// Most members of an object at the top level: each is a key and a value between two brackets.
const MAX_MEMBERS: usize = MAX_JSON_TOKENS / 2;

/// Checks that `document` is strict, small JSON; any value may stand at the top level.
///
/// # Errors
/// [`Error::Malformed`] if it is not.
pub fn check(document: &[u8]) -> Result<(), Error> {
    let mut scanner = Scanner::new(document)?;
    scanner.skip_space();
    if scanner.peek() == Some(b'{') {
        return Object::parse(document).map(drop);
    }
    scanner.value(0)?;
    scanner.end()
}

/// A JSON object whose whole text has been checked.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    text: &'a str,
    members: Vec<Member, MAX_MEMBERS>,
}

/// Where one key of an object stands between its quotes, and where its value.
#[derive(Clone, Copy, Debug)]
struct Member {
    key: Span,
    value: Span,
}

impl<'a> Object<'a> {
    /// Takes `document` as an object.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is no strict, small JSON, no object, or has two equal keys.
    pub fn parse(document: &'a [u8]) -> Result<Self, Error> {
        Self::parse_within(document, MAX_JSON_TOKENS)
    }

    /// Takes `document` as an object that may have `most_tokens` tokens: what a server answers is longer than what it
    /// is asked.
    ///
    /// # Errors
    /// As [`Object::parse`].
    pub fn parse_within(document: &'a [u8], most_tokens: usize) -> Result<Self, Error> {
        let mut scanner = Scanner::within(document, most_tokens)?;
        let mut members = Vec::<Member, MAX_MEMBERS>::new();
        let mut hashes = Vec::<u64, MAX_MEMBERS>::new();
        scanner.skip_space();
        scanner.open(b'{')?;
        while !scanner.close(b'}')? {
            if !members.is_empty() {
                scanner.comma()?;
            }
            let key = scanner.key()?;
            let hash = hash_key(key.of(scanner.text()));
            if hashes.contains(&hash) {
                return Err(Error::Malformed);
            }
            let value = scanner.value(1)?;
            hashes.push(hash).map_err(|_| Error::Malformed)?;
            members.push(Member { key, value }).map_err(|_| Error::Malformed)?;
        }
        scanner.end()?;
        Ok(Self { text: scanner.text(), members })
    }

    /// The members in their order: each key as spelt between its quotes, and the text of its value.
    pub fn members(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.members.iter().map(|member| (member.key.of(self.text), member.value.of(self.text)))
    }

    /// Whether `field` is there and not `null`.
    pub fn has(&self, field: Field) -> bool {
        self.value(field).is_some_and(|value| value != "null")
    }

    /// The text of `field`; `None` if it is missing or `null`.
    ///
    /// # Errors
    /// [`Error::Field`] if it is no string or has a backslash.
    pub fn text(&self, field: Field) -> Result<Option<&'a str>, Error> {
        let text = self.decode::<&str>(field)?;
        if text.is_some_and(|text| text.contains('\\')) { Err(Error::Field(field)) } else { Ok(text) }
    }

    /// The texts in the list `field`, at most `N`; `None` if it is missing or `null`.
    ///
    /// # Errors
    /// [`Error::Field`] if it is no list of strings, is longer than `N`, or a text has a backslash.
    pub fn texts<const N: usize>(&self, field: Field) -> Result<Option<Vec<&'a str, N>>, Error> {
        let texts = self.decode::<Vec<&str, N>>(field)?;
        let escaped = texts.iter().flatten().any(|text| text.contains('\\'));
        if escaped { Err(Error::Field(field)) } else { Ok(texts) }
    }

    /// The number in `field`; `None` if it is missing or `null`.
    ///
    /// # Errors
    /// [`Error::Field`] if it is not written as a whole number (`1.0` and `1e3` are not) or does not fit `T`.
    pub fn number<T: Deserialize<'a>>(&self, field: Field) -> Result<Option<T>, Error> {
        self.decode(field)
    }

    /// The object in `field`; `None` if it is missing or `null`.
    ///
    /// # Errors
    /// [`Error::Field`] if it is no object, or one with two equal keys.
    pub fn object(&self, field: Field) -> Result<Option<Self>, Error> {
        let value = self.value(field).filter(|&value| value != "null");
        let object = value.map(|value| Self::parse(value.as_bytes()));
        object.transpose().map_err(|_| Error::Field(field))
    }

    /// Whether `field` is a string, of any content.
    ///
    /// # Errors
    /// [`Error::Field`] if it is something else than a string or `null`.
    pub fn has_text(&self, field: Field) -> Result<bool, Error> {
        self.decode::<&str>(field).map(|text| text.is_some())
    }

    fn decode<T: Deserialize<'a>>(&self, field: Field) -> Result<Option<T>, Error> {
        let Some(value) = self.value(field) else { return Ok(None) };
        match serde_json_core::from_slice(value.as_bytes()) {
            Ok((decoded, _)) => Ok(decoded),
            Err(_) => Err(Error::Field(field)),
        }
    }

    fn value(&self, field: Field) -> Option<&'a str> {
        self.members().find(|(key, _)| is_named(key, field.name())).map(|(_, value)| value)
    }
}

/// The texts of the elements of a list that is a value of a checked [`Object`]; none if it is no list.
pub fn elements(value: &str) -> impl Iterator<Item = &str> {
    // Each element is checked once more, which costs nobody but its reader.
    let mut scanner = Scanner::within(value.as_bytes(), usize::MAX).ok();
    let mut first = true;
    if let Some(Err(_)) = scanner.as_mut().map(|scanner| scanner.open(b'[')) {
        scanner = None;
    }
    iter::from_fn(move || {
        let scanner = scanner.as_mut()?;
        if scanner.close(b']').ok()? {
            return None;
        }
        if !mem::take(&mut first) {
            scanner.comma().ok()?;
        }
        scanner.value(1).ok().map(|span| span.of(value))
    })
}

/// Whether a key, its escapes decoded, is `name`.
fn is_named(key: &str, name: &str) -> bool {
    if key.contains('\\') { Units::of(key).eq(name.encode_utf16()) } else { key == name }
}

/// A hash that is equal for keys that are equal once their escapes are decoded, so that finding two of them among a
/// hundred does not mean decoding each a hundred times. Other keys share one by chance once in 2^64 pairs, and nobody
/// gains by making them: the document is refused.
fn hash_key(key: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    if key.contains('\\') {
        let mut bytes = [0; 4];
        for decoded in char::decode_utf16(Units::of(key)) {
            let decoded = decoded.unwrap_or(char::REPLACEMENT_CHARACTER);
            hasher.write(decoded.encode_utf8(&mut bytes).as_bytes());
        }
    } else {
        hasher.write(key.as_bytes());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_JSON_DEPTH;

    fn refused(document: &str) -> bool {
        let verdict = check(document.as_bytes());
        assert!(matches!(verdict, Ok(()) | Err(Error::Malformed)), "{document}");
        verdict.is_err()
    }

    #[test]
    fn depth_is_bounded() {
        let nested =
            |open: &str, close: &str, n: usize| std::format!("{}1{}", open.repeat(n), close.repeat(n));
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[ ", "\n]")] {
            assert!(!refused(&nested(open, close, MAX_JSON_DEPTH)));
            assert!(refused(&nested(open, close, MAX_JSON_DEPTH + 1)));
            assert!(refused(&nested(open, close, 100_000)));
        }
    }

    #[test]
    fn tokens_are_bounded() {
        let list = |n: usize| std::format!("[{}]", std::vec!["1"; n].join(","));
        assert!(!refused(&list(MAX_JSON_TOKENS - 2)));
        assert!(refused(&list(MAX_JSON_TOKENS - 1)));
        let object = |n: usize| {
            let members: std::vec::Vec<_> = (0..n).map(|i| std::format!("\"{i}\":0")).collect();
            std::format!("{{{}}}", members.join(","))
        };
        assert!(!refused(&object(MAX_MEMBERS - 1)));
        assert!(refused(&object(MAX_MEMBERS)));
    }

    #[test]
    fn length_is_bounded() {
        let text = |bytes: usize| std::format!("{{\"pad\":\"{}\"}}", "x".repeat(bytes - 10));
        assert!(!refused(&text(65_535)));
        assert!(refused(&text(65_540)));
    }

    #[test]
    fn equal_keys_are_refused_however_they_are_spelt() {
        for document in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":2,"a":3}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"\n":1,"\u000A":2}"#,
            r#"{"😀":1,"\ud83d\uDE00":2}"#,
            r#"{"\/":1,"/":2}"#,
            r#"{"":1,"":2}"#,
        ] {
            assert!(refused(document), "{document}");
        }
        for document in
            [r#"{"a":1,"A":1}"#, r#"{"a":1,"aa":1}"#, r#"{"a":{"b":1,"b":2}}"#, r#"{"n":1,"\n":2}"#]
        {
            assert!(!refused(document), "{document}");
        }
    }

    #[test]
    fn an_escaped_key_is_its_field() {
        let object = Object::parse(br#"{"i\u0064":"x"}"#).unwrap();
        assert_eq!(object.text(Field::Id), Ok(Some("x")));
    }

    #[test]
    fn a_list_has_elements() {
        for (list, wanted) in [
            ("[]", &[][..]),
            ("[ ]", &[]),
            (r#"[1, "a,]" ,{"b":[2]},[ 3 ]]"#, &["1", r#""a,]""#, r#"{"b":[2]}"#, "[ 3 ]"]),
            ("{}", &[]),
            ("1", &[]),
        ] {
            assert_eq!(elements(list).collect::<std::vec::Vec<_>>(), wanted, "{list}");
        }
        let long = std::format!("{{\"list\":[{}]}}", std::vec!["1"; 500].join(","));
        assert!(Object::parse(long.as_bytes()).is_err());
        let object = Object::parse_within(long.as_bytes(), 600).unwrap();
        assert_eq!(elements(object.members().next().unwrap().1).count(), 500);
    }

    #[test]
    fn a_request_is_an_object() {
        for document in ["", " ", "1", "[]", "\"a\"", "null", "{", "{}x", "{} {}", "\u{feff}{}"] {
            assert_eq!(Object::parse(document.as_bytes()).map(drop), Err(Error::Malformed), "{document}");
        }
        for document in ["{}", " \t\r\n{ } ", r#"{"a":[{},[],"",{"b":null}]}"#] {
            assert!(Object::parse(document.as_bytes()).is_ok(), "{document}");
        }
    }

    #[test]
    fn values_have_types() {
        let object = Object::parse(
            br#"{"id":"a","ttl":1.0,"port":65536,"token":"\u0061","endpoints":["a","b"],"key":null,"sig":{},"pad":"\n"}"#,
        )
        .unwrap();
        assert_eq!(object.text(Field::Id), Ok(Some("a")));
        assert_eq!(object.text(Field::Network), Ok(None));
        assert_eq!(object.text(Field::Token), Err(Error::Field(Field::Token)));
        assert_eq!(object.text(Field::Ttl), Err(Error::Field(Field::Ttl)));
        assert_eq!(object.number::<u64>(Field::Ttl), Err(Error::Field(Field::Ttl)));
        assert_eq!(object.number::<u16>(Field::Port), Err(Error::Field(Field::Port)));
        assert_eq!(object.number::<u32>(Field::Port), Ok(Some(65_536)));
        assert_eq!(object.texts::<2>(Field::Endpoints).unwrap().unwrap(), ["a", "b"]);
        assert_eq!(object.texts::<1>(Field::Endpoints), Err(Error::Field(Field::Endpoints)));
        assert_eq!(object.texts::<1>(Field::Id), Err(Error::Field(Field::Id)));
        assert_eq!(object.has_text(Field::Pad), Ok(true));
        assert!(!object.has(Field::Key) && !object.has(Field::Seq) && object.has(Field::Sig));
    }

    #[test]
    fn numbers_are_whole() {
        for (text, value) in [("0", Some(0)), ("7", Some(7)), ("4294967295", Some(u32::MAX))] {
            let document = std::format!("{{\"ttl\":{text} }}");
            assert_eq!(Object::parse(document.as_bytes()).unwrap().number(Field::Ttl), Ok(value));
        }
        for text in ["-1", "-0", "1.5", "1e3", "1E0", "0.0", "4294967296", "true", "\"1\"", "[1]"] {
            let document = std::format!("{{\"ttl\":{text}}}");
            let number = Object::parse(document.as_bytes()).unwrap().number::<u32>(Field::Ttl);
            assert_eq!(number, Err(Error::Field(Field::Ttl)), "{text}");
        }
    }
}
