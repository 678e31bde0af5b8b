//! What a resolver answers when it is asked for SRV records.

use super::srv::{MAX_RECORDS, Services, SrvRecord};
use crate::wire::dns::{CLASS_IN, Data, Message, Name, NameBuf, Record, Section, Type};

/// Most names that are followed from alias to alias.
const MAX_ALIASES: usize = 8;
/// The type of a record that says for how long there is nothing (RFC 2308 section 4).
const SOA: Type = Type(6);
/// There is no such name (RFC 1035 section 4.1.1).
const NAME_ERROR: u16 = 3;

/// What came back from a resolver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// What the zone says, and for how many seconds that holds, if it says so.
    Services(Services, Option<u32>),
    /// There is more than fits a datagram.
    Truncated,
    /// The resolver could not tell: its code.
    Failed(u16),
    /// It is damaged.
    Malformed,
}

impl Reply {
    /// Reads the answer to the query with this `id` for the SRV records of `name`; `None` if it is none, and to be ignored. A
    /// stream has no longest answer, so over one nothing is cut short.
    pub fn read(message: &[u8], id: u16, name: &NameBuf, over_stream: bool) -> Option<Self> {
        let message = Message::parse(message).ok()?;
        let flags = message.flags;
        let mut questions = message.questions();
        let question = questions.next()?.ok()?;
        let ours = message.id == id
            && flags.is_response()
            && flags.opcode() == 0
            && question.name == name.name()
            && (question.kind, question.class) == (Type::SRV, CLASS_IN)
            && questions.next().is_none();
        if !ours {
            return None;
        }
        Some(match flags.rcode() {
            _ if flags.is_truncated() && !over_stream => Self::Truncated,
            0 | NAME_ERROR => Self::services(&message, name.name()),
            code => Self::Failed(code),
        })
    }

    fn services(message: &Message<'_>, name: Name<'_>) -> Self {
        let Ok(records) = message.records().collect::<Result<Vec<_>, _>>() else { return Self::Malformed };
        let of_internet = |record: &&Record<'_>| record.class == CLASS_IN;
        let answers =
            || records.iter().filter(of_internet).filter(|record| record.section == Section::Answer);
        let (mut owner, mut aliases, mut ttl_s) = (name, 0_usize, u32::MAX);
        while let Some((target, ttl)) = answers().find_map(|record| match record.data {
            Data::Cname(target) if record.name == owner => Some((target, record.ttl_s)),
            _ => None,
        }) {
            if aliases >= MAX_ALIASES {
                return Self::Malformed;
            }
            (owner, aliases, ttl_s) = (target, aliases.saturating_add(1), ttl_s.min(ttl));
        }
        let (mut found, mut refused) = (Vec::new(), false);
        for record in answers().filter(|record| record.name == owner) {
            let Data::Srv(srv) = record.data else { continue };
            ttl_s = ttl_s.min(record.ttl_s);
            refused |= srv.target.is_root();
            let host = srv.target.to_string();
            found.extend(SrvRecord::new(srv.priority, srv.weight, srv.port, &host));
        }
        // Of too many the first ones to be tried are kept.
        found.sort_by_key(|record| record.priority);
        found.truncate(MAX_RECORDS);
        if !found.is_empty() {
            return Self::Services(Services::At(found), Some(ttl_s));
        }
        if refused {
            return Self::Services(Services::Refused, Some(ttl_s));
        }
        let soa = records.iter().filter(of_internet).find_map(|record| match record.data {
            Data::Other(SOA, bytes) if record.section == Section::Authority => {
                let minimum = bytes.last_chunk().map(|bytes| u32::from_be_bytes(*bytes))?;
                Some(minimum.min(record.ttl_s))
            }
            _ => None,
        });
        Self::Services(Services::None, soa)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::dns::{Emitter, Flags, Srv};

    const NAME: &str = "_waypost._tcp.example.com";
    const ID: u16 = 0x1234;

    fn name(text: &str) -> NameBuf {
        NameBuf::from_text(text).unwrap_or_else(NameBuf::root)
    }

    /// An answer with these flags beside "response": `write` puts its records.
    fn answer(flags: u16, write: impl FnOnce(&mut Emitter<'_>)) -> Vec<u8> {
        let mut buffer = [0; 4096];
        let mut out = Emitter::new(&mut buffer, ID, Flags(0x8180 | flags)).unwrap();
        out.question(name(NAME).name(), Type::SRV, false).unwrap();
        write(&mut out);
        let len = out.finish();
        buffer[..len].to_vec()
    }

    fn srv(out: &mut Emitter<'_>, owner: &str, ttl_s: u32, priority: u16, port: u16, target: &str) {
        let target = name(target);
        let data = Data::Srv(Srv { priority, weight: 5, port, target: target.name() });
        out.record(Section::Answer, name(owner).name(), false, ttl_s, &data).unwrap();
    }

    fn cname(out: &mut Emitter<'_>, owner: &str, ttl_s: u32, target: &str) {
        let data = name(target);
        let data = Data::Cname(data.name());
        out.record(Section::Answer, name(owner).name(), false, ttl_s, &data).unwrap();
    }

    fn read(message: &[u8]) -> Option<Reply> {
        Reply::read(message, ID, &name(NAME), false)
    }

    fn record(priority: u16, port: u16, host: &str) -> SrvRecord {
        SrvRecord::new(priority, 5, port, host).unwrap()
    }

    #[test]
    fn records_of_the_name_are_read() {
        let message = answer(0, |out| {
            srv(out, "_WAYPOST._tcp.Example.com", 300, 20, 443, "B.example.net");
            srv(out, NAME, 60, 10, 8080, "a.example.net");
            srv(out, NAME, 900, 10, 0, "no-port.example.net");
            srv(out, "_waypost._tcp.other.example", 1, 0, 1, "other.example");
            let a = Data::A([192, 0, 2, 1].into());
            out.record(Section::Additional, name("a.example.net").name(), false, 2, &a).unwrap();
        });
        let found = vec![record(10, 8080, "a.example.net"), record(20, 443, "b.example.net")];
        assert_eq!(read(&message), Some(Reply::Services(Services::At(found), Some(60))));
    }

    #[test]
    fn aliases_are_followed_so_far() {
        let message = answer(0, |out| {
            srv(out, "c.example", 300, 0, 443, "a.example.net");
            cname(out, "b.example", 20, "c.example");
            cname(out, NAME, 40, "b.example");
        });
        let found = vec![record(0, 443, "a.example.net")];
        assert_eq!(read(&message), Some(Reply::Services(Services::At(found), Some(20))));
        let chain = |length: usize| {
            let names: Vec<String> = (1..=length).map(|n| format!("n{n}.example")).collect();
            read(&answer(0, |out| {
                let mut owner = NAME;
                for next in &names {
                    cname(out, owner, 9, next);
                    owner = next;
                }
                srv(out, owner, 9, 0, 443, "a.example");
            }))
        };
        assert!(matches!(chain(MAX_ALIASES), Some(Reply::Services(Services::At(_), Some(9)))));
        assert_eq!(chain(MAX_ALIASES + 1), Some(Reply::Malformed));
        let circle = answer(0, |out| {
            cname(out, NAME, 9, "b.example");
            cname(out, "b.example", 9, NAME);
        });
        assert_eq!(read(&circle), Some(Reply::Malformed));
        let dangling = answer(0, |out| cname(out, NAME, 9, "b.example"));
        assert_eq!(read(&dangling), Some(Reply::Services(Services::None, None)));
    }

    #[test]
    fn nothing_is_told_apart_from_failure() {
        let soa = |out: &mut Emitter<'_>| {
            let bytes = b"\x01m\0\x01r\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x3c";
            let data = Data::Other(SOA, bytes);
            out.record(Section::Authority, name("example.com").name(), false, 90, &data).unwrap();
        };
        let nothing = |ttl_s| Some(Reply::Services(Services::None, ttl_s));
        assert_eq!(read(&answer(3, soa)), nothing(Some(60)), "no such name");
        assert_eq!(read(&answer(0, soa)), nothing(Some(60)), "no such record");
        assert_eq!(read(&answer(0, |_| {})), nothing(None));
        assert_eq!(read(&answer(2, soa)), Some(Reply::Failed(2)));
        assert_eq!(read(&answer(5, |_| {})), Some(Reply::Failed(5)));
        let refused = answer(0, |out| srv(out, NAME, 70, 0, 0, "."));
        assert_eq!(read(&refused), Some(Reply::Services(Services::Refused, Some(70))));
        let both = answer(0, |out| {
            srv(out, NAME, 70, 0, 0, ".");
            srv(out, NAME, 70, 0, 443, "a.example");
        });
        assert!(matches!(read(&both), Some(Reply::Services(Services::At(_), Some(70)))));
    }

    #[test]
    fn what_answers_something_else_is_ignored() {
        let right = answer(0, |out| srv(out, NAME, 60, 10, 443, "a.example"));
        assert!(read(&right).is_some());
        for (at, byte) in [(1, 0x35), (2, 0x01), (2, 0x89), (5, 0), (5, 2), (13, b'x')] {
            let mut wrong = right.clone();
            wrong[at] = byte;
            assert_eq!(read(&wrong), None, "byte {at}");
        }
        for (name, kind) in [("_waypost._tcp.example.org", Type::SRV), (NAME, Type::A), (NAME, Type::ANY)] {
            let mut buffer = [0; 512];
            let mut out = Emitter::new(&mut buffer, ID, Flags(0x8180)).unwrap();
            out.question(super::tests::name(name).name(), kind, false).unwrap();
            let len = out.finish();
            assert_eq!(read(&buffer[..len]), None, "{name}");
        }
    }

    #[test]
    fn what_is_cut_short_is_asked_for_over_a_stream() {
        let cut = answer(0x0200, |out| srv(out, NAME, 60, 10, 443, "a.example"));
        assert_eq!(read(&cut), Some(Reply::Truncated));
        let whole = Reply::read(&cut, ID, &name(NAME), true);
        assert!(matches!(whole, Some(Reply::Services(Services::At(_), _))));
    }

    #[test]
    fn no_byte_makes_it_panic() {
        let message = answer(0, |out| {
            cname(out, NAME, 20, "c.example");
            srv(out, "c.example", 300, 0, 443, "a.example.net");
        });
        for end in 0..message.len() {
            let reply = read(&message[..end]);
            assert!(matches!(reply, None | Some(Reply::Malformed)), "{end}: {reply:?}");
        }
        for at in 0..message.len() {
            for byte in [0, 1, 0x3f, 0x40, 0xc0, 0xff] {
                let mut message = message.clone();
                message[at] = byte;
                read(&message);
            }
        }
    }

    #[test]
    fn only_so_many_are_kept() {
        let message = answer(0, |out| {
            for n in 0..60_u16 {
                srv(out, NAME, 60, 100 - n, 443, "a");
            }
        });
        let Some(Reply::Services(Services::At(found), _)) = read(&message) else { panic!() };
        assert_eq!((found.len(), found[0].priority), (MAX_RECORDS, 41));
    }
}
