//! Base64url without padding (RFC 4648 section 5), in canonical form only: one text for each bytes.

use base64ct::{Base64UrlUnpadded, Encoding};

use super::{Full, Writer};

/// Longest text there is use for, in bytes: a signature's.
const MAX_TEXT_BYTES: usize = 86;

/// Fills `bytes` with what `text` stands for. Returns whether it stands for exactly as many.
#[inline(never)]
pub fn decode(text: &str, bytes: &mut [u8]) -> bool {
    let length = bytes.len();
    Base64UrlUnpadded::decode(text, bytes).is_ok_and(|decoded| decoded.len() == length)
}

/// Writes the text of `bytes`, at most 64 of them.
///
/// # Errors
/// [`Full`] if it does not fit.
#[inline(never)]
pub fn put(bytes: &[u8], out: &mut Writer<'_>) -> Result<(), Full> {
    let mut text = [0; MAX_TEXT_BYTES];
    out.put_str(Base64UrlUnpadded::encode(bytes, &mut text).map_err(|_| Full)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_one_spelling_and_a_length() {
        let mut bytes = [0; 2];
        assert!(decode("_-8", &mut bytes));
        assert_eq!(bytes, [0xff, 0xef]);
        for text in ["", "_-", "_-8A", "_-8=", "_-9", "/+8", "_- 8", "\u{e4}"] {
            assert!(!decode(text, &mut bytes), "{text}");
        }
        let mut buffer = [0; 3];
        let mut writer = Writer::new(&mut buffer);
        put(&[0xff, 0xef], &mut writer).unwrap();
        assert_eq!(writer.written(), b"_-8");
        assert_eq!(put(&[1], &mut writer), Err(Full));
    }

    #[test]
    fn a_signature_fits() {
        let mut buffer = [0; MAX_TEXT_BYTES];
        let mut writer = Writer::new(&mut buffer);
        put(&[7; 64], &mut writer).unwrap();
        assert_eq!(writer.room(), 0);
    }
}
