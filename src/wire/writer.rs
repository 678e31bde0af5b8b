//! A cursor over a buffer of fixed size.

use core::fmt;
use core::net::IpAddr;

use super::hex;
use crate::addr::CanonicalAddr;

/// The buffer has no room for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Writes bytes and text into a buffer from its start. What does not fit is not written at all.
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    len: usize,
}

impl<'b> Writer<'b> {
    /// A writer that fills `buffer`.
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    /// A writer that fills `buffer`, but no more than `most` bytes of it.
    pub fn within(buffer: &'b mut [u8], most: usize) -> Self {
        let room = most.min(buffer.len());
        Self::new(buffer.get_mut(..room).unwrap_or_default())
    }

    /// Bytes written so far: a mark to go back to with [`Writer::rewind`].
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing has been written.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes still free.
    pub const fn room(&self) -> usize {
        self.buffer.len().saturating_sub(self.len)
    }

    /// Takes back everything written since `mark`.
    pub const fn rewind(&mut self, mark: usize) {
        if mark < self.len {
            self.len = mark;
        }
    }

    /// What has been written.
    pub fn written(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }

    /// Writes `bytes`.
    ///
    /// # Errors
    /// [`Full`] if they do not fit; then nothing is written.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.len.checked_add(bytes.len()).ok_or(Full)?;
        self.buffer.get_mut(self.len..end).ok_or(Full)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    /// Lets `write` write to the free part; it returns how many bytes it wrote, or `None` if they did not fit.
    ///
    /// # Errors
    /// [`Full`] if they did not fit.
    pub fn put_with(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> Result<(), Full> {
        let free = self.buffer.get_mut(self.len..).ok_or(Full)?;
        let len = write(free).filter(|&len| len <= free.len()).ok_or(Full)?;
        self.len = self.len.saturating_add(len);
        Ok(())
    }

    /// Writes `text`.
    ///
    /// # Errors
    /// [`Full`] if it does not fit.
    pub fn put_str(&mut self, text: &str) -> Result<(), Full> {
        self.put(text.as_bytes())
    }

    /// Writes `value` in decimal.
    ///
    /// # Errors
    /// [`Full`] if it does not fit.
    pub fn put_decimal(&mut self, mut value: u64) -> Result<(), Full> {
        let mut digits = [0; 20];
        let mut used = 0;
        for digit in digits.iter_mut().rev() {
            // The remainder of a division by ten is below ten.
            *digit = b'0'.wrapping_add(u8::try_from(value % 10).unwrap_or(0));
            used = usize::saturating_add(used, 1);
            value /= 10;
            if value == 0 {
                break;
            }
        }
        let (_, text) = digits.split_at(digits.len().saturating_sub(used));
        self.put(text)
    }

    /// Writes `bytes` as lower-case hex digits.
    ///
    /// # Errors
    /// [`Full`] if they do not fit.
    pub fn put_hex(&mut self, bytes: &[u8]) -> Result<(), Full> {
        if self.room() < bytes.len().saturating_mul(2) {
            return Err(Full);
        }
        bytes.iter().try_for_each(|&byte| self.put(&hex::encode(byte)))
    }

    /// Writes the compact form of an address and a port (BEP 5, BEP 7): 4 or 16 bytes of address and 2 of port, in network
    /// order.
    ///
    /// # Errors
    /// [`Full`] if it does not fit.
    pub fn put_compact(&mut self, addr: CanonicalAddr, port: u16) -> Result<(), Full> {
        let octets = addr.octets();
        let [high, low] = port.to_be_bytes();
        if addr.is_v4() {
            let [.., a, b, c, d] = octets;
            return self.put(&[a, b, c, d, high, low]);
        }
        let mark = self.len;
        self.put(&octets)?;
        self.put(&[high, low]).inspect_err(|Full| self.rewind(mark))
    }

    /// Writes `a.b.c.d` or, for IPv6, the RFC 5952 text without brackets.
    ///
    /// # Errors
    /// [`Full`] if it does not fit.
    pub fn put_ip(&mut self, addr: CanonicalAddr) -> Result<(), Full> {
        match addr.ip() {
            IpAddr::V4(ip) => {
                let [a, others @ ..] = ip.octets();
                self.put_octet(a)?;
                others.iter().try_for_each(|&octet| self.put(b".").and_then(|()| self.put_octet(octet)))
            }
            IpAddr::V6(ip) => fmt::Write::write_fmt(self, format_args!("{ip}")).map_err(|fmt::Error| Full),
        }
    }

    /// Writes a number of three digits at most: trackers write four of them for every announce.
    fn put_octet(&mut self, octet: u8) -> Result<(), Full> {
        let digit = |value: u8| b'0'.wrapping_add(value % 10);
        match octet {
            100.. => self.put(&[digit(octet / 100), digit(octet / 10), digit(octet)]),
            10.. => self.put(&[digit(octet / 10), digit(octet)]),
            _ => self.put(&[digit(octet)]),
        }
    }

    /// Writes `a.b.c.d:port` or `[v6]:port`.
    ///
    /// # Errors
    /// [`Full`] if it does not fit.
    pub fn put_socket(&mut self, addr: CanonicalAddr, port: u16) -> Result<(), Full> {
        if addr.is_v4() {
            self.put_ip(addr)?;
            self.put(b":")?;
        } else {
            self.put(b"[")?;
            self.put_ip(addr)?;
            self.put(b"]:")?;
        }
        self.put_decimal(port.into())
    }
}

impl fmt::Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.put_str(text).map_err(|Full| fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl Fn(&mut Writer<'_>) -> Result<(), Full>) -> std::string::String {
        let mut buffer = [0; 64];
        let mut writer = Writer::new(&mut buffer);
        write(&mut writer).unwrap();
        std::str::from_utf8(writer.written()).unwrap().into()
    }

    #[test]
    fn octets() {
        for octet in 0..=255 {
            assert_eq!(text(|w| w.put_octet(octet)), std::format!("{octet}"));
        }
    }

    #[test]
    fn decimals() {
        for value in [0, 1, 9, 10, 99, 100, 65_535, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(text(|w| w.put_decimal(value)), std::format!("{value}"));
        }
    }

    #[test]
    fn addresses() {
        let socket = |ip: &str| text(|w| w.put_socket(CanonicalAddr::new(ip.parse().unwrap()), 80));
        assert_eq!(socket("198.51.100.7"), "198.51.100.7:80");
        assert_eq!(socket("::ffff:198.51.100.7"), "198.51.100.7:80");
        assert_eq!(socket("2001:db8:0:0::1"), "[2001:db8::1]:80");
    }

    #[test]
    fn compact_addresses() {
        let mut buffer = [0; 24];
        let mut writer = Writer::new(&mut buffer);
        let addr = |ip: &str| CanonicalAddr::new(ip.parse().unwrap());
        writer.put_compact(addr("198.51.100.7"), 0x1ae1).unwrap();
        assert_eq!(writer.written(), [198, 51, 100, 7, 0x1a, 0xe1]);
        writer.put_compact(addr("2001:db8::7"), 80).unwrap();
        assert_eq!(writer.written()[6..], [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 80]);
        writer.rewind(7);
        assert_eq!((writer.put_compact(addr("2001:db8::7"), 80), writer.len()), (Err(Full), 7));
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let mut buffer = [0; 4];
        let mut writer = Writer::new(&mut buffer);
        assert_eq!(writer.put(b"abc"), Ok(()));
        assert_eq!(writer.put(b"de"), Err(Full));
        assert_eq!(writer.put_hex(&[1]), Err(Full));
        assert_eq!(writer.put_decimal(10), Err(Full));
        assert_eq!((writer.written(), writer.room()), (&b"abc"[..], 1));
        assert_eq!([Writer::within(&mut [0; 4], 3).room(), Writer::within(&mut [0; 4], 5).room()], [3, 4]);
        assert_eq!(writer.put(b"d"), Ok(()));
        writer.rewind(1);
        assert_eq!(writer.written(), b"a");
        writer.rewind(3);
        assert_eq!(writer.written(), b"a");
        assert_eq!(writer.put_with(|free| Some(free.len())), Ok(()));
        assert_eq!(
            (writer.len(), writer.put_with(|_| Some(1)), writer.put_with(|_| None)),
            (4, Err(Full), Err(Full))
        );
    }
}
