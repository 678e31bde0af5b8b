//! STUN Binding (RFC 8489): which address does a request come from? Integers are big-endian.

use core::net::{IpAddr, SocketAddr};

use super::{Full, Writer};
use crate::addr::CanonicalAddr;

/// Bytes 4 to 7 of every message (section 5).
pub const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// Length of a header.
pub const HEADER_BYTES: usize = 20;

/// Message types: method Binding, and the class.
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;

/// Attribute types from here on may be ignored by who does not know them (section 14).
const COMPREHENSION_OPTIONAL: u16 = 0x8000;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;

/// Most unknown attributes that an error names: enough for any client, and few enough for any answer.
const MAX_UNKNOWN: usize = 4;

/// A Binding request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Magic cookie and transaction id, to be sent back.
    id: [u8; 16],
    /// Types of attributes that must be understood, and are not.
    unknown: heapless::Vec<u16, MAX_UNKNOWN>,
}

/// The datagram is no Binding request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Request {
    /// Takes a datagram as a Binding request.
    ///
    /// # Errors
    /// [`Malformed`] if it is another message, has no magic cookie, or its length or that of an attribute is wrong.
    pub fn parse(datagram: &[u8]) -> Result<Self, Malformed> {
        let (&message_type, rest) = datagram.split_first_chunk().ok_or(Malformed)?;
        let (&length, rest) = rest.split_first_chunk().ok_or(Malformed)?;
        let (&id, mut attributes) = rest.split_first_chunk().ok_or(Malformed)?;
        let is_whole = usize::from(u16::from_be_bytes(length)) == attributes.len();
        if u16::from_be_bytes(message_type) != BINDING_REQUEST || !is_whole || !id.starts_with(&MAGIC_COOKIE)
        {
            return Err(Malformed);
        }
        let mut unknown = heapless::Vec::new();
        while !attributes.is_empty() {
            let (&attribute_type, rest) = attributes.split_first_chunk().ok_or(Malformed)?;
            let (&length, rest) = rest.split_first_chunk().ok_or(Malformed)?;
            // Values are padded to a multiple of four bytes (section 14).
            let padded = usize::from(u16::from_be_bytes(length)).next_multiple_of(4);
            attributes = rest.get(padded..).ok_or(Malformed)?;
            let attribute_type = u16::from_be_bytes(attribute_type);
            if attribute_type < COMPREHENSION_OPTIONAL && !unknown.contains(&attribute_type) {
                // Those that are left out are complained of next time.
                let _ = unknown.push(attribute_type);
            }
        }
        Ok(Self { id, unknown })
    }

    /// Writes the answer to a request that came from this address and port: XOR-MAPPED-ADDRESS (section 14.2), or error 420
    /// (section 6.3.1) if the request has attributes that must be understood and are not.
    ///
    /// # Errors
    /// [`Full`] if it does not fit.
    pub fn emit_answer(&self, addr: CanonicalAddr, port: u16, out: &mut Writer<'_>) -> Result<(), Full> {
        if self.unknown.is_empty() { self.emit_mapped(addr, port, out) } else { self.emit_unknown(out) }
    }

    fn emit_mapped(&self, addr: CanonicalAddr, port: u16, out: &mut Writer<'_>) -> Result<(), Full> {
        let [cookie_0, cookie_1, ..] = self.id;
        let [port_0, port_1] = port.to_be_bytes();
        let (family, length) = if addr.is_v4() { (1, 8) } else { (2, 20) };
        self.emit_header(BINDING_SUCCESS, 4_u16.wrapping_add(length), out)?;
        emit_numbers(&[XOR_MAPPED_ADDRESS, length], out)?;
        out.put(&[0, family, port_0 ^ cookie_0, port_1 ^ cookie_1])?;
        let masked = |octets: &[u8], out: &mut Writer<'_>| {
            octets.iter().zip(self.id).try_for_each(|(octet, mask)| out.put(&[octet ^ mask]))
        };
        match addr.ip() {
            IpAddr::V4(ip) => masked(&ip.octets(), out),
            IpAddr::V6(ip) => masked(&ip.octets(), out),
        }
    }

    fn emit_unknown(&self, out: &mut Writer<'_>) -> Result<(), Full> {
        let bytes = u16::try_from(size_of_val(self.unknown.as_slice())).map_err(|_| Full)?;
        let padded = bytes.next_multiple_of(4);
        self.emit_header(BINDING_ERROR, 12_u16.wrapping_add(padded), out)?;
        // 420, and no reason phrase.
        emit_numbers(&[ERROR_CODE, 4, 0, 0x0414, UNKNOWN_ATTRIBUTES, bytes], out)?;
        emit_numbers(&self.unknown, out)?;
        if padded == bytes { Ok(()) } else { emit_numbers(&[0], out) }
    }

    fn emit_header(&self, message_type: u16, length: u16, out: &mut Writer<'_>) -> Result<(), Full> {
        emit_numbers(&[message_type, length], out)?;
        out.put(&self.id)
    }
}

/// Writes a Binding request with this transaction id, without attributes: [`HEADER_BYTES`].
///
/// # Errors
/// [`Full`] if it does not fit.
pub fn emit_request(transaction: &[u8; 12], out: &mut Writer<'_>) -> Result<(), Full> {
    emit_numbers(&[BINDING_REQUEST, 0], out)?;
    out.put(&MAGIC_COOKIE)?;
    out.put(transaction)
}

/// The address in the success response to the request with this transaction id, if `datagram` is that: its first
/// XOR-MAPPED-ADDRESS.
pub fn mapped_address(datagram: &[u8], transaction: &[u8; 12]) -> Option<SocketAddr> {
    let (&message_type, rest) = datagram.split_first_chunk()?;
    let (&length, rest) = rest.split_first_chunk()?;
    let (id, mut attributes) = rest.split_first_chunk::<16>()?;
    let is_whole = usize::from(u16::from_be_bytes(length)) == attributes.len();
    let is_answer = u16::from_be_bytes(message_type) == BINDING_SUCCESS
        && id.starts_with(&MAGIC_COOKIE)
        && id.ends_with(transaction);
    if !is_whole || !is_answer {
        return None;
    }
    loop {
        let (&attribute_type, rest) = attributes.split_first_chunk()?;
        let (&length, rest) = rest.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(length));
        let value = rest.get(..length)?;
        if u16::from_be_bytes(attribute_type) == XOR_MAPPED_ADDRESS {
            return unmasked(value, id);
        }
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
}

/// The address in the value of an XOR-MAPPED-ADDRESS.
fn unmasked(value: &[u8], id: &[u8; 16]) -> Option<SocketAddr> {
    let (&[_, family, port_0, port_1], address) = value.split_first_chunk()?;
    let [cookie_0, cookie_1, ..] = *id;
    let port = u16::from_be_bytes([port_0 ^ cookie_0, port_1 ^ cookie_1]);
    let mut octets = [0; 16];
    octets.iter_mut().zip(address.iter().zip(id)).for_each(|(to, (octet, mask))| *to = octet ^ mask);
    let ip = match (family, address.len()) {
        (1, 4) => IpAddr::from(*octets.first_chunk::<4>()?),
        (2, 16) => IpAddr::from(octets),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn emit_numbers(numbers: &[u16], out: &mut Writer<'_>) -> Result<(), Full> {
    numbers.iter().try_for_each(|number| out.put(&number.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// A request with these attributes, already padded.
    fn request(attributes: &[u8]) -> Vec<u8> {
        let mut bytes = std::vec![0, 1, 0, attributes.len() as u8];
        // The transaction id of the test vectors of RFC 5769.
        bytes.extend(b"\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae");
        bytes.extend(attributes);
        bytes
    }

    fn answer(attributes: &[u8], addr: &str, port: u16) -> Vec<u8> {
        let mut buffer = [0; 64];
        let mut out = Writer::new(&mut buffer);
        let request = Request::parse(&request(attributes)).unwrap();
        request.emit_answer(CanonicalAddr::new(addr.parse().unwrap()), port, &mut out).unwrap();
        out.written().to_vec()
    }

    #[test]
    fn the_addresses_of_rfc_5769() {
        // Sections 2.2 and 2.3: the XOR-MAPPED-ADDRESS attributes of the sample responses.
        let v4 = answer(&[], "192.0.2.1", 32853);
        assert_eq!(v4[..4], [1, 1, 0, 12]);
        assert_eq!(v4[4..20], request(&[])[4..20]);
        assert_eq!(v4[20..], [0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
        let v6 = answer(&[], "2001:db8:1234:5678:11:2233:4455:6677", 32853);
        assert_eq!(v6[..4], [1, 1, 0, 24]);
        assert_eq!(
            v6[20..],
            [
                0, 0x20, 0, 20, 0, 2, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79, 0xbc, 0x25,
                0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9
            ]
        );
        assert_eq!((v4.len(), v6.len()), (32, 44));
    }

    #[test]
    fn an_answer_is_read() {
        let transaction: [u8; 12] = request(&[])[8..20].try_into().unwrap();
        let mut buffer = [0; HEADER_BYTES];
        emit_request(&transaction, &mut Writer::new(&mut buffer)).unwrap();
        assert_eq!(buffer[..], request(&[])[..]);
        for (addr, port) in [("192.0.2.1", 32853), ("2001:db8:1234:5678:11:2233:4455:6677", 1)] {
            let bytes = answer(&[], addr, port);
            let read = mapped_address(&bytes, &transaction);
            assert_eq!(read, Some(SocketAddr::new(addr.parse().unwrap(), port)));
            for end in 0..bytes.len() {
                assert_eq!(mapped_address(&bytes[..end], &transaction), None);
            }
            for at in 0..bytes.len() {
                let mut bytes = bytes.clone();
                bytes[at] ^= 0x11;
                // What is not the address or reserved must be right.
                assert!(at == 24 || at > 25 || mapped_address(&bytes, &transaction).is_none(), "{at}");
            }
            assert_eq!(mapped_address(&bytes, &[7; 12]), None, "another question's");
            // SOFTWARE "ab" before it.
            let mut longer = bytes.clone();
            longer.splice(20..20, [0x80, 0x22, 0, 2, b'a', b'b', 0, 0]);
            longer[3] += 8;
            assert_eq!(mapped_address(&longer, &transaction), read);
        }
        assert_eq!(mapped_address(&answer(&[0, 3, 0, 0], "192.0.2.1", 1), &transaction), None, "an error");
    }

    #[test]
    fn what_need_not_be_understood_is_ignored() {
        // SOFTWARE "ab", FINGERPRINT.
        let attributes = [0x80, 0x22, 0, 2, b'a', b'b', 0, 0, 0x80, 0x28, 0, 4, 1, 2, 3, 4];
        assert_eq!(answer(&attributes, "192.0.2.1", 1)[..2], [1, 1]);
    }

    #[test]
    fn what_must_be_understood_and_is_not_is_named() {
        let change_request = [0, 3, 0, 4, 0, 0, 0, 6];
        let one = answer(&change_request, "192.0.2.1", 1);
        assert_eq!(one[..4], [1, 0x11, 0, 16]);
        assert_eq!(one[20..], [0, 9, 0, 4, 0, 0, 4, 20, 0, 10, 0, 2, 0, 3, 0, 0]);
        let two = answer(&[0, 3, 0, 0, 0, 6, 0, 0, 0, 3, 0, 0], "192.0.2.1", 1);
        assert_eq!(two[20..], [0, 9, 0, 4, 0, 0, 4, 20, 0, 10, 0, 4, 0, 3, 0, 6]);
        let many: Vec<u8> = (1..=9).flat_map(|n| [0, n, 0, 0]).collect();
        assert_eq!(answer(&many, "192.0.2.1", 1).len(), 20 + 12 + 8);
    }

    #[test]
    fn anything_else_is_malformed() {
        let good = request(&[0x80, 0x22, 0, 2, b'a', b'b', 0, 0]);
        assert!(Request::parse(&good).is_ok());
        for end in 0..good.len() {
            assert_eq!(Request::parse(&good[..end]), Err(Malformed), "{end}");
        }
        // Another method, an indication, both kinds of responses, a wrong cookie, a length that is not the datagram's, a value
        // that is cut short.
        for (at, byte) in [(1, 2), (1, 0x11), (0, 1), (1, 0x03), (4, 0x20), (3, 12), (3, 4), (23, 5)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(Request::parse(&bad), Err(Malformed), "byte {at}");
        }
    }
}
