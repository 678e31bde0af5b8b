//! Messages of the domain name system (RFC 1035), as it is used on a link (multicast DNS, RFC 6762) and with a resolver.
//!
//! [`Message`] reads, [`Emitter`] writes. Both work in buffers of the caller's. Integers are big-endian.

mod emit;
mod name;

pub use emit::{Emitter, query};
pub use name::{Labels, MAX_HOPS, MAX_LABEL_BYTES, MAX_NAME_BYTES, Name, NameBuf};

use core::cmp::Ordering;
use core::net::{Ipv4Addr, Ipv6Addr};

use super::Full;

/// Length of a header.
pub const HEADER_BYTES: usize = 12;
/// Class IN, the only one in use.
pub const CLASS_IN: u16 = 1;
/// Class of a question that any class answers.
pub const CLASS_ANY: u16 = 255;
/// The upper bit of a class: in a question "a unicast answer will do" (QU, RFC 6762, section 5.4), in a record "this is all
/// there is of this name and type" (cache flush, section 10.2).
pub const TOP_BIT: u16 = 0x8000;

/// The bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The type of a record, or what a question asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Type(pub u16);

impl Type {
    /// An IPv4 address.
    pub const A: Self = Self(1);
    /// Another name for a name.
    pub const CNAME: Self = Self(5);
    /// A name that points to another.
    pub const PTR: Self = Self(12);
    /// Texts.
    pub const TXT: Self = Self(16);
    /// An IPv6 address (RFC 3596).
    pub const AAAA: Self = Self(28);
    /// Where a service is (RFC 2782).
    pub const SRV: Self = Self(33);
    /// Which types a name has (RFC 4034, and RFC 6762, section 6.1).
    pub const NSEC: Self = Self(47);
    /// In a question: whatever there is.
    pub const ANY: Self = Self(255);
}

/// The second word of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u16);

impl Flags {
    /// A query of multicast DNS.
    pub const QUERY: Self = Self(0);
    /// A query to a resolver: recursion desired.
    pub const RESOLVE: Self = Self(0x0100);
    /// A response of multicast DNS: authoritative (RFC 6762, section 18.4).
    pub const RESPONSE: Self = Self(0x8400);
    /// "There is more": known answers follow, or ask again over TCP.
    pub const TRUNCATED: Self = Self(0x0200);

    /// Whether it is a response.
    pub const fn is_response(self) -> bool {
        self.0 & 0x8000 != 0
    }

    /// The kind of query; 0 is the standard one.
    pub const fn opcode(self) -> u16 {
        self.0 >> 11 & 0xf
    }

    /// Whether the message was cut to fit, or known answers follow in others.
    pub const fn is_truncated(self) -> bool {
        self.0 & Self::TRUNCATED.0 != 0
    }

    /// How the query went: 0 well, 2 the server failed, 3 there is no such name, 5 refused.
    pub const fn rcode(self) -> u16 {
        self.0 & 0xf
    }
}

/// A message: its header was read, the rest is read as it is asked for.
#[derive(Clone, Copy)]
pub struct Message<'m> {
    /// Tells which query a response answers; 0 in multicast DNS.
    pub id: u16,
    /// What kind of message it is, and how it went.
    pub flags: Flags,
    bytes: &'m [u8],
    /// How many questions, answers, authority records and additional records there are said to be.
    counts: [u16; 4],
}

impl<'m> Message<'m> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`Malformed`] if there is none.
    pub fn parse(bytes: &'m [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor { message: bytes, at: 0 };
        let [id, flags] = [cursor.number()?, cursor.number()?];
        let counts = [cursor.number()?, cursor.number()?, cursor.number()?, cursor.number()?];
        Ok(Self { id, flags: Flags(flags), bytes, counts })
    }

    /// The questions. One that is malformed is the last thing that is read.
    pub const fn questions(&self) -> Questions<'m> {
        let [questions, ..] = self.counts;
        Questions { cursor: Cursor { message: self.bytes, at: HEADER_BYTES }, left: questions }
    }

    /// The records of all sections, in their order. One that is malformed, or a malformed question before them, is the last
    /// thing that is read. What comes behind the last one is ignored.
    pub fn records(&self) -> Records<'m> {
        let mut questions = self.questions();
        let is_sane = questions.by_ref().all(|question| question.is_ok());
        let [_, answers, authority, additional] = self.counts;
        let left = if is_sane { [answers, authority, additional] } else { [1, 0, 0] };
        // At a place where there is nothing, the first record is malformed.
        let at = if is_sane { questions.cursor.at } else { usize::MAX };
        Records { cursor: Cursor { message: self.bytes, at }, left }
    }
}

/// What somebody wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'m> {
    /// Of which name.
    pub name: Name<'m>,
    /// Which records.
    pub kind: Type,
    /// Of which class, without its upper bit.
    pub class: u16,
    /// Whether a unicast answer will do (RFC 6762, section 5.4).
    pub unicast: bool,
}

impl Question<'_> {
    /// Whether records of this name and type are asked for.
    pub fn asks_for(&self, name: Name<'_>, kind: Type) -> bool {
        matches!(self.class, CLASS_IN | CLASS_ANY)
            && (self.kind == kind || self.kind == Type::ANY)
            && self.name == name
    }
}

/// The three sections of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// In a response the answers, in a query those that are known already.
    Answer,
    /// In a probe what is proposed (RFC 6762, section 8.2).
    Authority,
    /// What may be asked next.
    Additional,
}

/// A record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'m> {
    /// Where in the message it is.
    pub section: Section,
    /// Whose it is.
    pub name: Name<'m>,
    /// Its class, without its upper bit.
    pub class: u16,
    /// Whether it replaces what was known of this name and type (RFC 6762, section 10.2).
    pub flush: bool,
    /// How long it may be believed, in seconds; 0 takes it back.
    pub ttl_s: u32,
    /// What it says.
    pub data: Data<'m>,
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data<'m> {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// The name's other name.
    Cname(Name<'m>),
    /// The name it points to.
    Ptr(Name<'m>),
    /// Texts.
    Txt(Txt<'m>),
    /// Where a service is.
    Srv(Srv<'m>),
    /// Anything else: its type and its bytes.
    Other(Type, &'m [u8]),
}

impl Data<'_> {
    /// The type of record that says such a thing.
    pub const fn kind(&self) -> Type {
        match self {
            Self::A(_) => Type::A,
            Self::Aaaa(_) => Type::AAAA,
            Self::Cname(_) => Type::CNAME,
            Self::Ptr(_) => Type::PTR,
            Self::Txt(_) => Type::TXT,
            Self::Srv(_) => Type::SRV,
            Self::Other(kind, _) => *kind,
        }
    }

    /// Which of two is the later one: by type, then by the bytes, names not compressed (RFC 6762, section 8.2).
    pub fn order(&self, other: &Data<'_>) -> Ordering {
        let host = |srv: &Srv<'_>| (srv.priority, srv.weight, srv.port);
        self.kind().cmp(&other.kind()).then_with(|| match (self, other) {
            (Self::A(one), Data::A(two)) => one.cmp(two),
            (Self::Aaaa(one), Data::Aaaa(two)) => one.cmp(two),
            (Self::Txt(one), Data::Txt(two)) => one.0.cmp(two.0),
            (Self::Cname(one), Data::Cname(two)) | (Self::Ptr(one), Data::Ptr(two)) => {
                one.to_buf().wire().cmp(two.to_buf().wire())
            }
            (Self::Srv(one), Data::Srv(two)) => host(one)
                .cmp(&host(two))
                .then_with(|| one.target.to_buf().wire().cmp(two.target.to_buf().wire())),
            (Self::Other(_, one), Data::Other(_, two)) => one.cmp(two),
            _ => Ordering::Equal,
        })
    }
}

/// Where a service is (RFC 2782).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Srv<'m> {
    /// Lower ones are tried first.
    pub priority: u16,
    /// How often it is chosen among those of one priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; the root says that there is no such service.
    pub target: Name<'m>,
}

/// The texts of a TXT record, each after its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Txt<'m>(pub &'m [u8]);

impl<'m> Txt<'m> {
    /// The texts. One that is cut short, and empty ones, are left out.
    pub fn texts(self) -> impl Iterator<Item = &'m [u8]> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (&length, behind) = rest.split_first()?;
            let (text, behind) = behind.split_at_checked(length.into())?;
            rest = behind;
            Some(text)
        })
        .filter(|text| !text.is_empty())
    }

    /// The value of the first `key=value` with this key, whatever its case (RFC 6763, section 6.4).
    pub fn value(self, key: &str) -> Option<&'m [u8]> {
        self.texts().find_map(|text| {
            let at = text.iter().position(|&byte| byte == b'=').unwrap_or(text.len());
            let (own, value) = text.split_at_checked(at)?;
            own.eq_ignore_ascii_case(key.as_bytes()).then_some(value.get(1..).unwrap_or_default())
        })
    }
}

/// Reads questions one by one.
#[derive(Clone)]
pub struct Questions<'m> {
    cursor: Cursor<'m>,
    left: u16,
}

impl<'m> Iterator for Questions<'m> {
    type Item = Result<Question<'m>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let question = self.cursor.question();
        if question.is_err() {
            self.left = 0;
        }
        Some(question)
    }
}

/// Reads records one by one.
#[derive(Clone)]
pub struct Records<'m> {
    cursor: Cursor<'m>,
    left: [u16; 3],
}

impl<'m> Iterator for Records<'m> {
    type Item = Result<Record<'m>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let sections = [Section::Answer, Section::Authority, Section::Additional];
        let (section, left) = sections.into_iter().zip(&mut self.left).find(|(_, left)| **left > 0)?;
        *left = left.saturating_sub(1);
        let record = self.cursor.record(section);
        if record.is_err() {
            self.left = [0; 3];
        }
        Some(record)
    }
}

#[derive(Clone)]
struct Cursor<'m> {
    message: &'m [u8],
    at: usize,
}

impl<'m> Cursor<'m> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (&bytes, _) =
            self.message.get(self.at..).ok_or(Malformed)?.split_first_chunk().ok_or(Malformed)?;
        self.at = self.at.saturating_add(N);
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u16, Malformed> {
        self.take().map(u16::from_be_bytes)
    }

    fn name(&mut self) -> Result<Name<'m>, Malformed> {
        let (name, end) = Name::parse(self.message, self.at)?;
        self.at = end;
        Ok(name)
    }

    fn question(&mut self) -> Result<Question<'m>, Malformed> {
        let name = self.name()?;
        let [kind, class] = [self.number()?, self.number()?];
        Ok(Question { name, kind: Type(kind), class: class & !TOP_BIT, unicast: class & TOP_BIT != 0 })
    }

    fn record(&mut self, section: Section) -> Result<Record<'m>, Malformed> {
        let name = self.name()?;
        let [kind, class] = [self.number()?, self.number()?];
        // A lifetime with its upper bit set is none (RFC 2181, section 8).
        let ttl_s = Some(u32::from_be_bytes(self.take()?)).filter(|ttl| ttl >> 31 == 0).unwrap_or(0);
        let length = usize::from(self.number()?);
        let end = self.at.saturating_add(length);
        let bytes = self.message.get(self.at..end).ok_or(Malformed)?;
        let data = self.data(Type(kind), bytes)?;
        self.at = end;
        Ok(Record { section, name, class: class & !TOP_BIT, flush: class & TOP_BIT != 0, ttl_s, data })
    }

    /// Reads the data of a record, `bytes`, which begin where the cursor is.
    fn data(&mut self, kind: Type, bytes: &'m [u8]) -> Result<Data<'m>, Malformed> {
        let end = self.at.saturating_add(bytes.len());
        let data = match kind {
            Type::A => {
                return Ok(Data::A(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).map_err(|_| Malformed)?)));
            }
            Type::AAAA => {
                return Ok(Data::Aaaa(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).map_err(|_| Malformed)?)));
            }
            Type::TXT => return Ok(Data::Txt(Txt(bytes))),
            Type::CNAME => Data::Cname(self.name()?),
            Type::PTR => Data::Ptr(self.name()?),
            Type::SRV => {
                let [priority, weight, port] = [self.number()?, self.number()?, self.number()?];
                Data::Srv(Srv { priority, weight, port, target: self.name()? })
            }
            _ => return Ok(Data::Other(kind, bytes)),
        };
        // A name that is longer or shorter than the data is said to be.
        if self.at == end { Ok(data) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests;
