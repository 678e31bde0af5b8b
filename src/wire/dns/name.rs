//! Names: labels of bytes, compared without regard to ASCII case, perhaps compressed.

use core::fmt::{self, Write as _};

use heapless::Vec;

use super::Malformed;
use crate::wire::Full;

/// Longest name in a message, all length bytes and the root included (RFC 1035, section 3.1).
pub const MAX_NAME_BYTES: usize = 255;
/// Longest label, in bytes.
pub const MAX_LABEL_BYTES: usize = 63;
/// Most compression pointers followed for one name.
pub const MAX_HOPS: usize = 16;

/// The two upper bits of a length byte that make it a compression pointer (RFC 1035, section 4.1.4).
const POINTER: u8 = 0xc0;

/// A name in a message, all of whose labels were found when it was read.
#[derive(Clone, Copy)]
pub struct Name<'m> {
    message: &'m [u8],
    at: usize,
}

impl<'m> Name<'m> {
    /// Reads the name at `at`, and returns it with the place of what follows it.
    ///
    /// # Errors
    /// [`Malformed`] if it is cut short, is longer than [`MAX_NAME_BYTES`], has a label of an unknown kind or more than
    /// [`MAX_HOPS`] pointers, or a pointer that does not lead strictly backwards.
    pub fn parse(message: &'m [u8], at: usize) -> Result<(Self, usize), Malformed> {
        let mut labels = Labels { message, at, floor: at, hops: 0, bytes: 0, end: None };
        while labels.step()?.is_some() {}
        Ok((Self { message, at }, labels.end.unwrap_or(labels.at)))
    }

    /// Its labels, the root left out.
    pub const fn labels(self) -> Labels<'m> {
        Labels { message: self.message, at: self.at, floor: self.at, hops: 0, bytes: 0, end: None }
    }

    /// Whether it is the root, which has no labels.
    pub fn is_root(self) -> bool {
        self.labels().next().is_none()
    }

    /// The name without its first label; the root stays what it is.
    #[must_use]
    pub fn parent(self) -> Self {
        let mut labels = self.labels();
        if labels.next().is_none() {
            return self;
        }
        Self { message: self.message, at: labels.at }
    }

    /// Whether it is `ancestor` or ends with it.
    pub fn is_within(self, ancestor: Name<'_>) -> bool {
        let extra = self.labels().count().checked_sub(ancestor.labels().count());
        extra.is_some_and(|extra| are_equal(self.labels().skip(extra), ancestor.labels()))
    }

    /// A copy of its own.
    pub fn to_buf(self) -> NameBuf {
        let mut name = NameBuf::root();
        for label in self.labels() {
            // What was read is no longer than a name may be.
            let _ = name.push(label);
        }
        name
    }
}

impl PartialEq<Name<'_>> for Name<'_> {
    fn eq(&self, other: &Name<'_>) -> bool {
        are_equal(self.labels(), other.labels())
    }
}

impl Eq for Name<'_> {}

fn are_equal<'a, 'b>(
    mut one: impl Iterator<Item = &'a [u8]>,
    mut other: impl Iterator<Item = &'b [u8]>,
) -> bool {
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) if a.eq_ignore_ascii_case(b) => {}
            _ => return false,
        }
    }
}

/// Shows it as zone files do (RFC 1035, section 5.1): labels with dots between them and none behind, a dot or backslash
/// within a label after a backslash, and what is not printable ASCII as `\DDD`. The root is `.`.
impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_char('.');
        }
        for (place, label) in self.labels().enumerate() {
            if place > 0 {
                f.write_char('.')?;
            }
            for &byte in label {
                match byte {
                    b'.' | b'\\' => write!(f, "\\{}", char::from(byte))?,
                    b' '..=b'~' => f.write_char(char::from(byte))?,
                    _ => write!(f, "\\{byte:03}")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The labels of a name, from the first.
#[derive(Clone)]
pub struct Labels<'m> {
    message: &'m [u8],
    at: usize,
    /// A pointer must lead to a place before this one.
    floor: usize,
    hops: usize,
    /// Bytes of the name so far, without its root.
    bytes: usize,
    /// Where the name ends in the message: behind its first pointer, if it has one.
    end: Option<usize>,
}

impl<'m> Labels<'m> {
    /// The next label, or `None` behind the last one.
    fn step(&mut self) -> Result<Option<&'m [u8]>, Malformed> {
        loop {
            let length = *self.message.get(self.at).ok_or(Malformed)?;
            let next = self.at.saturating_add(1);
            match length & POINTER {
                0 if length == 0 => {
                    // Whoever asks again finds the root again.
                    if self.end.is_none() {
                        self.end = Some(next);
                    }
                    return Ok(None);
                }
                0 => {
                    let end = next.saturating_add(length.into());
                    let label = self.message.get(next..end).ok_or(Malformed)?;
                    self.bytes = self.bytes.saturating_add(label.len()).saturating_add(1);
                    // The root takes the last byte.
                    if self.bytes >= MAX_NAME_BYTES {
                        return Err(Malformed);
                    }
                    self.at = end;
                    return Ok(Some(label));
                }
                POINTER => {
                    let low = *self.message.get(next).ok_or(Malformed)?;
                    let target = usize::from(u16::from_be_bytes([length & !POINTER, low]));
                    self.hops = self.hops.saturating_add(1);
                    if target >= self.floor || self.hops > MAX_HOPS {
                        return Err(Malformed);
                    }
                    if self.end.is_none() {
                        self.end = Some(next.saturating_add(1));
                    }
                    (self.at, self.floor) = (target, target);
                }
                _ => return Err(Malformed),
            }
        }
    }
}

impl<'m> Iterator for Labels<'m> {
    type Item = &'m [u8];

    fn next(&mut self) -> Option<&'m [u8]> {
        self.step().ok().flatten()
    }
}

/// A name of one's own.
#[derive(Clone, PartialEq, Eq)]
pub struct NameBuf {
    /// As in a message, not compressed: its last byte is the root.
    wire: Vec<u8, MAX_NAME_BYTES>,
}

impl NameBuf {
    /// The root.
    pub fn root() -> Self {
        let mut wire = Vec::new();
        let _ = wire.push(0);
        Self { wire }
    }

    /// The name with these labels.
    ///
    /// # Errors
    /// [`Full`] if a label is empty or too long, or all are.
    pub fn from_labels<'l>(labels: impl IntoIterator<Item = &'l [u8]>) -> Result<Self, Full> {
        let mut name = Self::root();
        labels.into_iter().try_for_each(|label| name.push(label))?;
        Ok(name)
    }

    /// The name a text means: labels with dots between them, a dot at the end allowed. `None` if a label is empty or too
    /// long, or all are. There are no escapes: host names have none.
    pub fn from_text(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        Self::from_labels(text.split('.').map(str::as_bytes)).ok()
    }

    /// Puts a label at the end.
    ///
    /// # Errors
    /// [`Full`] if it is empty or too long, or the name becomes too long.
    pub fn push(&mut self, label: &[u8]) -> Result<(), Full> {
        let length = u8::try_from(label.len()).map_err(|_| Full)?;
        let fits = self.wire.len().saturating_add(label.len()) < MAX_NAME_BYTES;
        if label.is_empty() || label.len() > MAX_LABEL_BYTES || !fits {
            return Err(Full);
        }
        self.wire.pop();
        self.wire.push(length).map_err(|_| Full)?;
        self.wire.extend_from_slice(label).map_err(|_| Full)?;
        self.wire.push(0).map_err(|_| Full)
    }

    /// Puts the labels of another name at the end.
    ///
    /// # Errors
    /// [`Full`] if the name becomes too long.
    pub fn append(&mut self, other: Name<'_>) -> Result<(), Full> {
        other.labels().try_for_each(|label| self.push(label))
    }

    /// Its bytes in a message, not compressed.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The name as what is read from messages.
    pub fn name(&self) -> Name<'_> {
        Name { message: &self.wire, at: 0 }
    }
}

impl fmt::Display for NameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}

impl fmt::Debug for NameBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString as _};
    use std::vec::Vec;

    use super::*;

    fn name(text: &str) -> NameBuf {
        NameBuf::from_text(text).unwrap()
    }

    fn read(message: &[u8], at: usize) -> Result<(String, usize), Malformed> {
        Name::parse(message, at).map(|(name, end)| (name.to_string(), end))
    }

    #[test]
    fn names_and_pointers_are_read() {
        let message = b"\x03foo\x05local\x00\x03bar\xc0\x04\xc0\x0b\x00";
        assert_eq!(read(message, 0), Ok(("foo.local".into(), 11)));
        assert_eq!(read(message, 11), Ok(("bar.local".into(), 17)));
        assert_eq!(read(message, 17), Ok(("bar.local".into(), 19)));
        assert_eq!(read(message, 19), Ok((".".into(), 20)));
        let (bar, _) = Name::parse(message, 17).unwrap();
        assert_eq!(bar.parent().to_string(), "local");
        assert!(bar.parent().parent().is_root() && bar.parent().parent().parent().is_root());
        assert_eq!(bar.to_buf(), name("bar.local"));
    }

    #[test]
    fn pointers_lead_strictly_backwards() {
        // To itself, forwards, to what it belongs to, in a circle of two, cut short, and labels of the reserved kinds.
        for message in [
            &b"\xc0\x00"[..],
            b"\xc0\x02\x00",
            b"\x01a\xc0\x00",
            b"\xc0\x02\xc0\x00",
            b"\xc0",
            b"\x80a\x00",
            b"\x40a\x00",
            b"",
            b"\x02a",
            b"\x01a",
        ] {
            assert_eq!(read(message, 0), Err(Malformed), "{message:?}");
        }
        // A label ahead of a pointer back to that label, met by way of another.
        assert_eq!(read(b"\x01a\xc0\x00", 2), Err(Malformed));
    }

    #[test]
    fn hops_are_counted() {
        let chain = |hops: usize| {
            let mut message = std::vec![0];
            for hop in 0..hops {
                let target = if hop == 0 { 0 } else { 2 * hop - 1 };
                message.extend([0xc0, target as u8]);
            }
            read(&message, message.len() - 2)
        };
        assert!(chain(MAX_HOPS).is_ok());
        assert_eq!(chain(MAX_HOPS + 1), Err(Malformed));
    }

    #[test]
    fn names_have_a_longest() {
        let labels = |count: usize, last: usize| {
            let mut labels = std::vec![[b'a'; 63]; count].iter().map(|l| l.to_vec()).collect::<Vec<_>>();
            labels.push(std::vec![b'b'; last]);
            labels
        };
        let (fits, too_long) = (labels(3, 61), labels(3, 62));
        let own = NameBuf::from_labels(fits.iter().map(Vec::as_slice)).unwrap();
        assert_eq!(own.wire.len(), MAX_NAME_BYTES);
        assert!(Name::parse(&own.wire, 0).is_ok());
        assert_eq!(NameBuf::from_labels(too_long.iter().map(Vec::as_slice)), Err(Full));
        let mut wire = Vec::new();
        for label in &too_long {
            wire.push(label.len() as u8);
            wire.extend(label);
        }
        wire.push(0);
        assert!(Name::parse(&wire, 0).is_err());
        assert!(NameBuf::from_labels([&[b'a'; 64][..]]).is_err());
        for text in ["", ".", "a..b", ".a"] {
            assert_eq!(NameBuf::from_text(text), None, "{text}");
        }
    }

    #[test]
    fn case_does_not_matter() {
        assert!(name("Foo.LOCAL").name() == name("foo.local.").name());
        assert!(name("foo.local").name() != name("foo").name());
        assert!(name("foo").name() != name("foo.local").name());
        assert!(name("a.b.C").name().is_within(name("B.c").name()));
        assert!(name("a.b").name().is_within(name("a.b").name()));
        assert!(!name("b").name().is_within(name("a.b").name()));
        assert!(!name("ab").name().is_within(name("b").name()));
    }

    #[test]
    fn shown_as_in_zone_files() {
        let odd = NameBuf::from_labels([&b"a b"[..], b"c.d\\e\x07\xc3\xa9"]).unwrap();
        assert_eq!(odd.to_string(), r"a b.c\.d\\e\007\195\169");
        assert_eq!(NameBuf::root().to_string(), ".");
    }
}
