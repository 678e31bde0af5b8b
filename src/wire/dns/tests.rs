use std::string::ToString as _;
use std::vec::Vec;

use super::*;

/// What avahi-daemon 0.8 answered to a browser.
const AVAHI: &[u8] = b"\0\0\x84\0\0\0\0\x05\0\0\0\0\
    \x0d_pscryptochat\x04_tcp\x05local\0\0\x0c\0\x01\0\0\x11\x94\0\x08\x05alice\xc0\x0c\
    \xc0\x30\0\x10\x80\x01\0\0\x11\x94\0\x1c\x09txtvers=1\x08id=alice\x08udp=9001\
    \xc0\x30\0\x21\x80\x01\0\0\0\x78\0\x0b\0\0\0\0\x23\x28\x02vm\xc0\x1f\
    \xc0\x72\0\x1c\x80\x01\0\0\0\x78\0\x10\xfd\0\0\x50\0\0\0\0\0\0\0\0\0\0\0\x01\
    \xc0\x72\0\x01\x80\x01\0\0\0\x78\0\x04\xc0\xa8\x32\x01";

/// How it asked before whether the name is free.
const AVAHI_PROBE: &[u8] = b"\0\0\0\0\0\x01\0\0\0\x02\0\0\
    \x05alice\x0d_pscryptochat\x04_tcp\x05local\0\0\xff\0\x01\
    \xc0\x0c\0\x21\0\x01\0\0\0\x78\0\x0b\0\0\0\0\x23\x28\x02vm\xc0\x25\
    \xc0\x0c\0\x10\0\x01\0\0\x11\x94\0\x1c\x09txtvers=1\x08id=alice\x08udp=9001";

fn name(text: &str) -> NameBuf {
    NameBuf::from_text(text).unwrap()
}

/// Everything in a message.
fn read(bytes: &[u8]) -> Result<(Vec<Question<'_>>, Vec<Record<'_>>), Malformed> {
    let message = Message::parse(bytes)?;
    let questions = message.questions().collect::<Result<_, _>>()?;
    Ok((questions, message.records().collect::<Result<_, _>>()?))
}

/// Writes what was read.
fn write(message: &[u8]) -> Vec<u8> {
    let header = Message::parse(message).unwrap();
    let (questions, records) = read(message).unwrap();
    let mut buffer = [0; 1500];
    let mut out = Emitter::new(&mut buffer, header.id, header.flags).unwrap();
    for question in questions {
        out.question(question.name, question.kind, question.unicast).unwrap();
    }
    for record in records {
        out.record(record.section, record.name, record.flush, record.ttl_s, &record.data).unwrap();
    }
    let len = out.finish();
    buffer[..len].to_vec()
}

#[test]
fn an_answer_of_avahi() {
    let (questions, records) = read(AVAHI).unwrap();
    assert!(questions.is_empty());
    let header = Message::parse(AVAHI).unwrap();
    assert_eq!((header.id, header.flags), (0, Flags::RESPONSE));
    assert!(header.flags.is_response() && !header.flags.is_truncated());
    let [ptr, txt, srv, aaaa, a] = records[..] else { panic!("{records:?}") };
    assert_eq!((ptr.section, ptr.flush, ptr.ttl_s), (Section::Answer, false, 4500));
    assert_eq!(ptr.data, Data::Ptr(name("alice._PSCryptoChat._tcp.local").name()));
    let Data::Txt(texts) = txt.data else { panic!("{txt:?}") };
    assert!(txt.flush && txt.name == name("alice._pscryptochat._tcp.local").name());
    assert_eq!((texts.value("ID"), texts.value("path")), (Some(&b"alice"[..]), None));
    let target = name("vm.local");
    let service = Srv { priority: 0, weight: 0, port: 9000, target: target.name() };
    assert_eq!((srv.data, srv.ttl_s), (Data::Srv(service), 120));
    assert_eq!(aaaa.data, Data::Aaaa("fd00:50::1".parse().unwrap()));
    assert_eq!((a.section, a.data), (Section::Answer, Data::A([192, 168, 50, 1].into())));
    assert!(a.name == target.name() && aaaa.name == target.name());
}

#[test]
fn what_is_read_is_written_again() {
    assert_eq!(write(AVAHI), AVAHI);
    assert_eq!(write(AVAHI_PROBE), AVAHI_PROBE);
    let probe =
        b"\0\0\0\0\0\x01\0\0\0\x01\0\0\x03box\x05local\0\0\xff\x80\x01\xc0\x0c\0\x1c\0\x01\0\0\0\x78\0\x10\
        \xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\x07";
    assert_eq!(write(probe), probe);
    let (questions, records) = read(probe).unwrap();
    assert!(questions[0].unicast && questions[0].kind == Type::ANY);
    assert_eq!(records[0].section, Section::Authority);
    assert_eq!(records[0].data, Data::Aaaa("fe80::7".parse().unwrap()));
}

#[test]
fn a_question_for_anything_asks_for_every_type() {
    let host = name("box.local");
    let question = |kind, class| Question { name: host.name(), kind, class, unicast: false };
    assert!(question(Type::ANY, CLASS_IN).asks_for(name("BOX.local").name(), Type::SRV));
    assert!(question(Type::A, CLASS_ANY).asks_for(host.name(), Type::A));
    assert!(!question(Type::A, CLASS_IN).asks_for(host.name(), Type::AAAA));
    assert!(!question(Type::A, 3).asks_for(host.name(), Type::A));
    assert!(!question(Type::ANY, CLASS_IN).asks_for(name("local").name(), Type::A));
}

#[test]
fn a_query_to_a_resolver() {
    let mut buffer = [0; 64];
    let len = query(&mut buffer, 0x1234, name("_waypost._tcp.example.com").name(), Type::SRV).unwrap();
    assert_eq!(
        buffer[..len],
        *b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x08_waypost\x04_tcp\x07example\x03com\0\0\x21\0\x01"
    );
    assert_eq!(query(&mut buffer[..20], 1, name("example.com").name(), Type::A), Err(Full));
    // What it answers: a name for the name, an address, and something else.
    let answer = b"\x12\x34\x83\x83\0\x01\0\x01\0\x01\0\x01\x01a\0\0\x01\0\x01\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01b\xc0\x0c\
        \xc0\x0c\0\x06\0\x01\0\0\0\x3c\0\x02ab\0\0\x29\x04\xd0\0\0\0\0\0\0";
    let header = Message::parse(answer).unwrap();
    assert_eq!((header.id, header.flags.rcode(), header.flags.opcode()), (0x1234, 3, 0));
    assert!(header.flags.is_response() && header.flags.is_truncated());
    let (_, records) = read(answer).unwrap();
    assert_eq!(records[0].data, Data::Cname(name("b.a").name()));
    assert_eq!((records[1].data, records[1].section), (Data::Other(Type(6), b"ab"), Section::Authority));
    assert_eq!((records[2].data.kind(), records[2].class), (Type(41), 1232));
}

#[test]
fn every_prefix_is_malformed_or_less() {
    for end in 0..AVAHI.len() {
        assert!(read(&AVAHI[..end]).is_err(), "{end}");
        let Ok(message) = Message::parse(&AVAHI[..end]) else { continue };
        // What is whole before the end is read, and then it is over.
        let found: Vec<_> = message.records().collect();
        assert!(found.len() <= 5 && found.iter().filter(|record| record.is_err()).count() == 1);
        assert!(found.last().unwrap().is_err());
    }
}

#[test]
fn a_malformed_question_hides_the_records() {
    let message =
        b"\0\0\0\0\0\x02\0\x01\0\0\0\0\x01a\0\0\x01\0\x01\xc0\xff\0\x01\0\x01\0\0\x01\0\x01\0\0\0\x01\0\0";
    let message = Message::parse(message).unwrap();
    let questions: Vec<_> = message.questions().collect();
    assert!(questions.len() == 2 && questions[0].is_ok() && questions[1].is_err());
    assert_eq!(message.records().collect::<Vec<_>>(), [Err(Malformed)]);
}

#[test]
fn data_must_be_as_long_as_said() {
    let message = |kind: u8, data: &[u8]| {
        let mut bytes = b"\0\0\x84\0\0\0\0\x01\0\0\0\0\x01a\0\0".to_vec();
        bytes.extend([kind, 0, 1, 0, 0, 0, 9, 0, data.len() as u8]);
        bytes.extend(data);
        read(&bytes).map(|(_, records)| records[0].data.kind().0)
    };
    for (kind, data) in [
        (1, &b"abc"[..]),
        (1, b"abcde"),
        (28, b"abcd"),
        (12, b""),
        (12, b"\x01b\0x"),
        (12, b"\xc0\x0cx"),
        (33, b"\0\0\0\0\0"),
        (33, b"\0\0\0\0\0\x01"),
        (33, b"\0\0\0\0\0\x01\0\0"),
    ] {
        assert_eq!(message(kind, data), Err(Malformed), "{kind} {data:?}");
    }
    for (kind, data) in
        [(1, &b"abcd"[..]), (12, b"\xc0\x0c"), (33, b"\0\0\0\0\0\x01\0"), (99, b""), (16, b"\x09x")]
    {
        assert_eq!(message(kind, data), Ok(kind.into()), "{kind} {data:?}");
    }
}

#[test]
fn a_lifetime_with_its_upper_bit_set_is_none() {
    let message = b"\0\0\x84\0\0\0\0\x01\0\0\0\0\x01a\0\0\x10\0\x01\x80\0\0\x01\0\x01\0";
    assert_eq!(read(message).unwrap().1[0].ttl_s, 0);
}

#[test]
fn texts() {
    let texts = |bytes| Txt(bytes).texts().map(|text| text.to_vec()).collect::<Vec<_>>();
    assert_eq!(texts(b"\x01a\0\x02bc"), [b"a".to_vec(), b"bc".to_vec()]);
    assert_eq!(texts(b"\x01a\x02b"), [b"a"]);
    assert!(texts(b"\0").is_empty() && texts(b"").is_empty());
    let pairs = Txt(b"\x03a=1\x03A=2\x01b\x02c=");
    assert_eq!(pairs.value("a"), Some(&b"1"[..]));
    assert_eq!(
        (pairs.value("b"), pairs.value("c"), pairs.value("d")),
        (Some(&b""[..]), Some(&b""[..]), None)
    );
}

#[test]
fn what_does_not_fit_leaves_no_trace() {
    let (long, host) = (name("a-long-name._pscryptochat._tcp.local"), name("box.local"));
    let mut buffer = [0; 60];
    let mut out = Emitter::new(&mut buffer, 0, Flags::RESPONSE).unwrap();
    let a = Data::A([1, 2, 3, 4].into());
    out.record(Section::Answer, host.name(), true, 120, &a).unwrap();
    let mark = out.len();
    let ptr = Data::Ptr(long.name());
    assert_eq!(out.record(Section::Answer, host.name(), false, 1, &ptr), Err(Full));
    assert_eq!(out.len(), mark);
    // No pointer leads to what was taken back.
    let short = name("tcp.local");
    out.record(Section::Additional, short.name(), true, 120, &a).unwrap();
    let len = out.finish();
    let (_, records) = read(&buffer[..len]).unwrap();
    assert_eq!(records.len(), 2);
    assert_eq!(records[1].name.to_string(), "tcp.local");
    assert!(Emitter::new(&mut [0; 11], 0, Flags::QUERY).is_err());
}

#[test]
fn hosts_may_stay_uncompressed() {
    let host = name("box.local");
    let data = Data::Srv(Srv { priority: 0, weight: 0, port: 1, target: host.name() });
    let mut buffer = [0; 100];
    let mut out = Emitter::new(&mut buffer, 0, Flags::RESPONSE).unwrap().without_compressed_hosts();
    out.record(Section::Answer, host.name(), false, 10, &data).unwrap();
    let len = out.finish();
    assert!(buffer[..len].ends_with(b"\x03box\x05local\0"));
    assert_eq!(read(&buffer[..len]).unwrap().1[0].data, data);
}

#[test]
fn more_names_than_places() {
    let mut buffer = [0; 9000];
    let mut out = Emitter::new(&mut buffer, 0, Flags::RESPONSE).unwrap();
    let names: Vec<_> = (0..60).map(|n| name(&std::format!("host{n}.local"))).collect();
    for name in &names {
        out.record(Section::Answer, name.name(), false, 1, &Data::Ptr(name.name())).unwrap();
    }
    let len = out.finish();
    let (_, records) = read(&buffer[..len]).unwrap();
    assert!(records.iter().zip(&names).all(|(r, n)| r.name == n.name() && r.data == Data::Ptr(n.name())));
    assert_eq!(records.len(), 60);
}
