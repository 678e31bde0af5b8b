//! Bencode (BEP 3), strictly: keys sorted and unique, numbers without superfluous zeros, nothing behind the end.
//!
//! A message is checked once as a whole, within bounds on its depth and its number of values (SECURITY.md, U7), and can
//! then be read without surprises.

use super::{Full, Writer};

/// Deepest nesting of lists and dictionaries.
const MAX_DEPTH: u32 = 5;
/// Most values in a message, keys not counted.
const MAX_VALUES: u32 = 100;

/// The bytes are no strict bencode, or too deep or too much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// A value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A number; only those of 64 bits.
    Integer(i64),
    /// A string of bytes.
    Bytes(&'a [u8]),
    /// A list.
    List(List<'a>),
    /// A dictionary.
    Dict(Dict<'a>),
}

/// A list that has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List<'a>(&'a [u8]);

/// A dictionary that has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dict<'a>(&'a [u8]);

impl<'a> Dict<'a> {
    /// Takes a whole message as a dictionary.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor { rest: message, values: MAX_VALUES };
        match cursor.value(MAX_DEPTH)? {
            Value::Dict(dict) if cursor.rest.is_empty() => Ok(dict),
            _ => Err(Malformed),
        }
    }

    /// The value of `key`, if there is one.
    pub fn get(self, key: &[u8]) -> Option<Value<'a>> {
        let mut cursor = Cursor::again(self.0);
        loop {
            let found = cursor.bytes().ok()?;
            let value = cursor.value(MAX_DEPTH).ok()?;
            if found == key {
                return Some(value);
            }
        }
    }

    /// The string at `key`, if there is one.
    pub fn bytes(self, key: &[u8]) -> Option<&'a [u8]> {
        match self.get(key)? {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The number at `key`, if there is one.
    pub fn integer(self, key: &[u8]) -> Option<i64> {
        match self.get(key)? {
            Value::Integer(number) => Some(number),
            _ => None,
        }
    }

    /// The dictionary at `key`, if there is one.
    pub fn dict(self, key: &[u8]) -> Option<Self> {
        match self.get(key)? {
            Value::Dict(dict) => Some(dict),
            _ => None,
        }
    }
}

impl List<'_> {
    /// Whether the list has this string.
    pub fn has(self, wanted: &[u8]) -> bool {
        let mut cursor = Cursor::again(self.0);
        core::iter::from_fn(|| cursor.value(MAX_DEPTH).ok()).any(|value| value == Value::Bytes(wanted))
    }
}

/// Reads values one behind the other.
struct Cursor<'a> {
    rest: &'a [u8],
    /// How many more there may be.
    values: u32,
}

impl<'a> Cursor<'a> {
    /// A cursor over the inside of what has been checked.
    const fn again(inside: &'a [u8]) -> Self {
        Self { rest: inside, values: u32::MAX }
    }

    /// The next value, with at most `depth` levels of lists and dictionaries in it.
    fn value(&mut self, depth: u32) -> Result<Value<'a>, Malformed> {
        self.values = self.values.checked_sub(1).ok_or(Malformed)?;
        match self.rest {
            [b'i', rest @ ..] => {
                self.rest = rest;
                let negative = self.skip(b'-');
                let number = self.digits(b'e')?;
                match (negative, i64::try_from(number)) {
                    (false, Ok(number)) => Ok(Value::Integer(number)),
                    (true, Ok(number @ 1..)) => Ok(Value::Integer(number.wrapping_neg())),
                    _ => Err(Malformed),
                }
            }
            [b'l', rest @ ..] => {
                self.rest = rest;
                self.inside(depth, |cursor, depth| cursor.value(depth).map(drop))
                    .map(|inside| Value::List(List(inside)))
            }
            [b'd', rest @ ..] => {
                self.rest = rest;
                let mut last = None;
                self.inside(depth, |cursor, depth| {
                    let key = cursor.bytes()?;
                    if last.replace(key).is_some_and(|last| last >= key) {
                        return Err(Malformed);
                    }
                    cursor.value(depth).map(drop)
                })
                .map(|inside| Value::Dict(Dict(inside)))
            }
            _ => self.bytes().map(Value::Bytes),
        }
    }

    /// Reads items up to the end of a list or a dictionary. Returns the bytes between its brackets.
    fn inside(
        &mut self,
        depth: u32,
        mut item: impl FnMut(&mut Self, u32) -> Result<(), Malformed>,
    ) -> Result<&'a [u8], Malformed> {
        let depth = depth.checked_sub(1).ok_or(Malformed)?;
        let start = self.rest;
        loop {
            let length = start.len().saturating_sub(self.rest.len());
            if self.skip(b'e') {
                return start.get(..length).ok_or(Malformed);
            }
            item(self, depth)?;
        }
    }

    /// A string of bytes.
    fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.digits(b':')?).map_err(|_| Malformed)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// A number in decimal up to `end`, without superfluous zeros.
    fn digits(&mut self, end: u8) -> Result<u64, Malformed> {
        let starts_with_zero = self.rest.first() == Some(&b'0');
        let mut number = None;
        loop {
            let (&byte, rest) = self.rest.split_first().ok_or(Malformed)?;
            self.rest = rest;
            let digit = match byte {
                b'0'..=b'9' => u64::from(byte & 0xf),
                _ if byte == end => return number.ok_or(Malformed),
                _ => return Err(Malformed),
            };
            number = match number {
                None => Some(digit),
                Some(_) if starts_with_zero => return Err(Malformed),
                Some(number) => {
                    Some(number.checked_mul(10).and_then(|n| n.checked_add(digit)).ok_or(Malformed)?)
                }
            };
        }
    }

    /// Skips one byte, if it is `byte`.
    fn skip(&mut self, byte: u8) -> bool {
        let rest = self.rest.strip_prefix(&[byte]);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

/// Writes a string of bytes.
///
/// # Errors
/// [`Full`] if it does not fit.
pub fn put_bytes(bytes: &[u8], out: &mut Writer<'_>) -> Result<(), Full> {
    put_length(bytes.len(), out)?;
    out.put(bytes)
}

/// Writes what is in front of a string of so many bytes.
///
/// # Errors
/// [`Full`] if it does not fit.
pub fn put_length(bytes: usize, out: &mut Writer<'_>) -> Result<(), Full> {
    out.put_decimal(u64::try_from(bytes).map_err(|_| Full)?)?;
    out.put(b":")
}

/// Writes a number.
///
/// # Errors
/// [`Full`] if it does not fit.
pub fn put_integer(number: u32, out: &mut Writer<'_>) -> Result<(), Full> {
    out.put(b"i")?;
    out.put_decimal(number.into())?;
    out.put(b"e")
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    /// The value of `a` in a dictionary with nothing else.
    fn value(text: &str) -> Result<Value<'_>, Malformed> {
        Cursor { rest: text.as_bytes(), values: MAX_VALUES }.value(MAX_DEPTH)
    }

    fn is_good(text: &str) -> bool {
        Dict::parse(format!("d1:a{text}e").as_bytes()).is_ok()
    }

    #[test]
    fn values() {
        assert_eq!(value("i0e"), Ok(Value::Integer(0)));
        assert_eq!(value("i-1e"), Ok(Value::Integer(-1)));
        assert_eq!(value("i9223372036854775807e"), Ok(Value::Integer(i64::MAX)));
        assert_eq!(value("0:"), Ok(Value::Bytes(b"")));
        assert_eq!(value("4:spam"), Ok(Value::Bytes(b"spam")));
        let Ok(Value::List(list)) = value("l4:spam4:eggsi3ee") else { unreachable!() };
        assert!(list.has(b"eggs") && list.has(b"spam") && !list.has(b"ham"));
        let dict = Dict::parse(b"d3:cow3:moo4:listle4:porti7e4:spamd1:ai1eee").unwrap();
        assert_eq!(dict.bytes(b"cow"), Some(&b"moo"[..]));
        assert_eq!(dict.integer(b"port"), Some(7));
        assert_eq!(dict.dict(b"spam").and_then(|inner| inner.integer(b"a")), Some(1));
        assert_eq!((dict.bytes(b"port"), dict.integer(b"cow"), dict.get(b"x")), (None, None, None));
    }

    #[test]
    fn what_is_not_strict_is_refused() {
        for good in ["i0e", "i12e", "i-12e", "0:", "le", "de", "llllleeeee", "d1:bi1e1:ci2ee", "d0:0:e"] {
            assert_eq!(is_good(good), !good.starts_with("lllll"), "{good}");
        }
        for bad in [
            "",
            "e",
            "ie",
            "i-e",
            "i-0e",
            "i03e",
            "i-03e",
            "i00e",
            "i+1e",
            "i 1e",
            "i1 e",
            "i1.0e",
            "i1",
            "i--1e",
            "i9223372036854775808e",
            "i99999999999999999999999e",
            "-1:",
            "01:a",
            "00:",
            "1:",
            "2:a",
            ":",
            "1",
            "1a:x",
            "18446744073709551615:x",
            "99999999999999999999:x",
            "l",
            "li1e",
            "d",
            "d1:a",
            "d1:ae",
            "di1e1:ae",
            "d1:bi1e1:ai2ee",
            "d1:ai1e1:ai2ee",
            "d1:ali1ee",
            "x",
        ] {
            assert!(!is_good(bad), "{bad}");
        }
        for message in ["", "le", "i1e", "de ", "dee", "d", "4:spam"] {
            assert_eq!(Dict::parse(message.as_bytes()), Err(Malformed), "{message}");
        }
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let nested = |depth: usize| format!("{}{}", "l".repeat(depth), "e".repeat(depth));
        assert!(is_good(&nested(4)) && !is_good(&nested(5)), "the dictionary around it is a level too");
        assert!(!is_good(&nested(1400)));
        let many = |n: usize| format!("l{}e", "0:".repeat(n));
        assert!(is_good(&many(98)) && !is_good(&many(99)));
    }

    #[test]
    fn every_prefix_is_malformed() {
        let message =
            b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe";
        assert!(Dict::parse(message).is_ok());
        for end in 0..message.len() {
            assert_eq!(Dict::parse(&message[..end]), Err(Malformed), "{end}");
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut buffer = [0; 64];
        let mut out = Writer::new(&mut buffer);
        out.put(b"d1:a").unwrap();
        put_bytes(b"spam", &mut out).unwrap();
        out.put(b"1:b").unwrap();
        put_integer(u32::MAX, &mut out).unwrap();
        out.put(b"e").unwrap();
        let dict = Dict::parse(out.written()).unwrap();
        assert_eq!((dict.bytes(b"a"), dict.integer(b"b")), (Some(&b"spam"[..]), Some(i64::from(u32::MAX))));
    }
}
