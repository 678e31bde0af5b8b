//! Writing messages, with names compressed.

use heapless::Vec;

use super::{CLASS_IN, Data, Flags, Full, HEADER_BYTES, Name, Section, Srv, TOP_BIT, Type};

/// Places of labels that are remembered, to point at: more than the names of one answer have.
const MAX_PLACES: usize = 32;
/// Where a pointer cannot lead any more: it has 14 bits.
const BEYOND_POINTERS: usize = 0x4000;

/// Writes a message from its start: questions, then the sections of records in their order. What does not fit is not
/// written at all, and what has been written stays right.
pub struct Emitter<'b> {
    buffer: &'b mut [u8],
    len: usize,
    /// Where labels begin: each is the start of a name.
    places: Vec<u16, MAX_PLACES>,
    /// Whether hosts of SRV records may be compressed (RFC 6762, section 18.14).
    compress_srv: bool,
}

impl<'b> Emitter<'b> {
    /// Begins a message of multicast DNS in `buffer`.
    ///
    /// # Errors
    /// [`Full`] if not even the header fits.
    pub fn new(buffer: &'b mut [u8], id: u16, flags: Flags) -> Result<Self, Full> {
        let mut emitter = Self { buffer, len: 0, places: Vec::new(), compress_srv: true };
        emitter.number(id)?;
        emitter.number(flags.0)?;
        emitter.put(&[0; 8])?;
        Ok(emitter)
    }

    /// Leaves the hosts of SRV records uncompressed, as those must be for who is not a multicast DNS node.
    #[must_use]
    pub fn without_compressed_hosts(mut self) -> Self {
        self.compress_srv = false;
        self
    }

    /// Bytes written so far.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is neither question nor record.
    pub const fn is_empty(&self) -> bool {
        self.len <= HEADER_BYTES
    }

    /// Writes a question. With `unicast` it says that a unicast answer will do.
    ///
    /// # Errors
    /// [`Full`] if it does not fit.
    pub fn question(&mut self, name: Name<'_>, kind: Type, unicast: bool) -> Result<(), Full> {
        self.whole(0, |out| {
            out.name(name, true)?;
            out.number(kind.0)?;
            out.class(unicast)
        })
    }

    /// Writes a record. With `flush` it says that it is all there is of this name and type.
    ///
    /// # Errors
    /// [`Full`] if it does not fit.
    pub fn record(
        &mut self,
        section: Section,
        name: Name<'_>,
        flush: bool,
        ttl_s: u32,
        data: &Data<'_>,
    ) -> Result<(), Full> {
        let count = match section {
            Section::Answer => 1,
            Section::Authority => 2,
            Section::Additional => 3,
        };
        self.whole(count, |out| {
            out.name(name, true)?;
            out.number(data.kind().0)?;
            out.class(flush)?;
            out.put(&ttl_s.to_be_bytes())?;
            let length_at = out.len;
            out.number(0)?;
            out.data(data)?;
            let length = out.len.saturating_sub(length_at).saturating_sub(2);
            out.patch(length_at, u16::try_from(length).map_err(|_| Full)?)
        })
    }

    /// Ends the message, and returns its length.
    pub fn finish(self) -> usize {
        self.len
    }

    /// Lets `write` write something, all of it or nothing, and counts it.
    fn whole(&mut self, count: usize, write: impl FnOnce(&mut Self) -> Result<(), Full>) -> Result<(), Full> {
        let (mark, places) = (self.len, self.places.len());
        let at = 4_usize.saturating_add(count.saturating_mul(2));
        let written = write(self).and_then(|()| {
            let before = self.buffer.get(at..).and_then(|bytes| bytes.first_chunk()).ok_or(Full)?;
            let after = u16::from_be_bytes(*before).checked_add(1).ok_or(Full)?;
            self.patch(at, after)
        });
        if written.is_err() {
            self.len = mark;
            self.places.truncate(places);
        }
        written
    }

    fn data(&mut self, data: &Data<'_>) -> Result<(), Full> {
        match data {
            Data::A(ip) => self.put(&ip.octets()),
            Data::Aaaa(ip) => self.put(&ip.octets()),
            Data::Cname(name) | Data::Ptr(name) => self.name(*name, true),
            // An empty TXT record has one empty text (RFC 6763, section 6.1).
            Data::Txt(texts) => self.put(if texts.0.is_empty() { &[0] } else { texts.0 }),
            Data::Srv(Srv { priority, weight, port, target }) => {
                [priority, weight, port].into_iter().try_for_each(|&number| self.number(number))?;
                self.name(*target, self.compress_srv)
            }
            Data::Other(_, bytes) => self.put(bytes),
        }
    }

    /// Writes a name; if it may be compressed, only as much of it as is not there already.
    fn name(&mut self, name: Name<'_>, compress: bool) -> Result<(), Full> {
        let mut rest = name;
        for label in name.labels() {
            if let Some(place) = self.place_of(rest).filter(|_| compress) {
                return self.number(place | 0xc000);
            }
            if let Ok(place) = u16::try_from(self.len)
                && self.len < BEYOND_POINTERS
            {
                // What is not remembered is written again.
                let _ = self.places.push(place);
            }
            self.put(&[u8::try_from(label.len()).map_err(|_| Full)?])?;
            self.put(label)?;
            rest = rest.parent();
        }
        self.put(&[0])
    }

    /// Where this name is in what has been written.
    fn place_of(&self, name: Name<'_>) -> Option<u16> {
        let written = self.buffer.get(..self.len)?;
        self.places.iter().copied().find(|&place| {
            // The name that is being written has no end yet, and is not what it ends with.
            Name::parse(written, place.into()).is_ok_and(|(there, _)| there == name)
        })
    }

    fn class(&mut self, top_bit: bool) -> Result<(), Full> {
        self.number(CLASS_IN | if top_bit { TOP_BIT } else { 0 })
    }

    fn number(&mut self, number: u16) -> Result<(), Full> {
        self.put(&number.to_be_bytes())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.len.saturating_add(bytes.len());
        self.buffer.get_mut(self.len..end).ok_or(Full)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    fn patch(&mut self, at: usize, number: u16) -> Result<(), Full> {
        let end = at.saturating_add(2);
        self.buffer.get_mut(at..end).ok_or(Full)?.copy_from_slice(&number.to_be_bytes());
        Ok(())
    }
}

/// Writes a query to a resolver with one question, and returns its length.
///
/// # Errors
/// [`Full`] if it does not fit.
pub fn query(out: &mut [u8], id: u16, name: Name<'_>, kind: Type) -> Result<usize, Full> {
    let mut emitter = Emitter::new(out, id, Flags::RESOLVE)?;
    emitter.question(name, kind, false)?;
    Ok(emitter.finish())
}
