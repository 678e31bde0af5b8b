//! Queries: `key=value&key=value` (RFC 3986 section 3.4), percent-encoded.

use crate::wire::hex;

/// The escapes of a text stand for bytes that are no UTF-8, or for more of them than the buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecodable;

/// The keys and values of a query, still encoded, in order. A key without `=` has an empty value.
pub fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Decodes the percent escapes of `text`: into `buffer`, or as it is when there are none. A `+` is a plus: schemes
/// have them, and nothing here has a space.
///
/// # Errors
/// [`Undecodable`] if an escape is malformed, or the result is no UTF-8 or longer than `buffer`.
pub fn decode<'a>(text: &'a str, buffer: &'a mut [u8]) -> Result<&'a str, Undecodable> {
    if !text.contains('%') {
        return Ok(text);
    }
    str::from_utf8(decode_bytes(text, buffer)?).map_err(|_| Undecodable)
}

/// Decodes the percent escapes of `text` to any bytes, in `buffer`. All other characters stand for themselves.
///
/// # Errors
/// [`Undecodable`] if an escape is malformed, or the result is longer than `buffer`.
pub fn decode_bytes<'b>(text: &str, buffer: &'b mut [u8]) -> Result<&'b [u8], Undecodable> {
    let mut decoded = 0;
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = decode_first(rest).ok_or(Undecodable)? {
        *buffer.get_mut(decoded).ok_or(Undecodable)? = byte;
        decoded = usize::saturating_add(decoded, 1);
        rest = behind;
    }
    buffer.get(..decoded).ok_or(Undecodable)
}

/// Whether every `%` in `text` begins an escape.
pub(super) fn has_only_whole_escapes(text: &str) -> bool {
    let mut after_percent = text.split('%').skip(1);
    after_percent.all(|part| part.bytes().take(2).filter_map(hex::digit).count() == 2)
}

/// The first byte that `text` stands for, and the text behind it; `None` inside for no text, outside for a broken
/// escape.
fn decode_first(text: &[u8]) -> Option<Option<(u8, &[u8])>> {
    match text {
        [] => Some(None),
        [b'%', high, low, rest @ ..] => {
            let [byte] = hex::decode::<1>(&[*high, *low])?;
            Some(Some((byte, rest)))
        }
        [b'%', ..] => None,
        [byte, rest @ ..] => Some(Some((*byte, rest))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_in_order() {
        let all = |query| pairs(query).collect::<std::vec::Vec<_>>();
        assert_eq!(all(""), []);
        assert_eq!(all("a=1&b=&c&&d=x=y"), [("a", "1"), ("b", ""), ("c", ""), ("d", "x=y")]);
    }

    #[test]
    fn escapes_are_decoded() {
        let mut buffer = [0; 4];
        for (text, decoded) in [
            ("plain-and-long", Ok("plain-and-long")),
            ("a+b", Ok("a+b")),
            ("%61%62", Ok("ab")),
            ("%c3%A4x", Ok("\u{e4}x")),
            ("%", Err(Undecodable)),
            ("%6", Err(Undecodable)),
            ("%6g", Err(Undecodable)),
            ("%ff", Err(Undecodable)),
            ("%61bcde", Err(Undecodable)),
        ] {
            assert_eq!(decode(text, &mut buffer), decoded, "{text}");
        }
    }

    #[test]
    fn any_bytes_are_decoded() {
        for (text, decoded) in [
            ("", Ok(&b""[..])),
            ("a+.b", Ok(b"a+.b")),
            ("%00%ff%2B+", Ok(&[0, 0xff, b'+', b'+'])),
            ("\u{e4}%E4", Ok(&[0xc3, 0xa4, 0xe4])),
            ("%fF%Ff%ff%ff%ff", Err(Undecodable)),
            ("%f", Err(Undecodable)),
            ("%zz", Err(Undecodable)),
        ] {
            assert_eq!(decode_bytes(text, &mut [0; 4]), decoded, "{text}");
        }
    }

    #[test]
    fn broken_escapes_are_seen() {
        for good in ["", "/a", "%20", "a%20%3F"] {
            assert!(has_only_whole_escapes(good), "{good}");
        }
        for bad in ["%", "%%20", "%2", "%2g", "a%20%", "%\u{e4}", "%+1"] {
            assert!(!has_only_whole_escapes(bad), "{bad}");
        }
    }
}
