//! Hexadecimal, for network keys and ids.

/// The `N` bytes that `text`, exactly `2 * N` hex digits of either case, stands for.
pub fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    if pairs.len() != N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, &[high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

/// The two lower-case digits of `byte`.
pub const fn encode(byte: u8) -> [u8; 2] {
    [nibble(byte >> 4), nibble(byte & 15)]
}

const fn nibble(value: u8) -> u8 {
    match value {
        0..=9 => b'0'.wrapping_add(value),
        _ => b'a'.wrapping_sub(10).wrapping_add(value),
    }
}

/// The value of one hex digit.
pub const fn digit(text: u8) -> Option<u8> {
    match text {
        b'0'..=b'9' => Some(text.wrapping_sub(b'0')),
        b'a'..=b'f' => Some(text.wrapping_sub(b'a').wrapping_add(10)),
        b'A'..=b'F' => Some(text.wrapping_sub(b'A').wrapping_add(10)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_round_trips() {
        for byte in 0..=255 {
            assert_eq!(decode(&encode(byte)), Some([byte]));
            assert_eq!(decode(&encode(byte).map(|b| b.to_ascii_uppercase())), Some([byte]));
        }
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["0", "000", "0g", "g0", " 0", "+1", "0000"] {
            assert_eq!(decode::<1>(text.as_bytes()), None, "{text}");
        }
    }
}
