//! The responder under virtual time: alone, with others, and with packets that get lost.

use std::format;
use std::string::{String, ToString as _};
use std::vec::Vec;

use super::*;
use crate::wire::dns::{Emitter, Flags, NameBuf, Srv};

const SERVICE: &str = "_pscryptochat._tcp.local";
const ID: [u8; 20] = [0x1a, 0x2b, 0x3c, 0x4d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
/// A neighbour that takes part, one that does not, and two that are on no link.
const NEIGHBOUR: &str = "10.0.0.9:5353";
const LEGACY: &str = "10.0.0.9:40000";

fn name(text: &str) -> NameBuf {
    NameBuf::from_text(text).unwrap()
}

fn instance(label: &str) -> NameBuf {
    NameBuf::from_labels([label.as_bytes(), b"_pscryptochat", b"_tcp", b"local"]).unwrap()
}

fn interface(addresses: &[&str]) -> Interface {
    let subnet = |text: &&str| {
        let (ip, bits) = text.split_once('/').unwrap();
        Subnet { ip: ip.parse().unwrap(), prefix_bits: bits.parse().unwrap(), is_shown: true }
    };
    Interface { index: 3, addresses: addresses.iter().map(subnet).collect() }
}

/// A responder on a LAN, and its clock.
struct Host {
    responder: Responder,
    now: Instant,
    buffer: [u8; MAX_MDNS_REPLY_BYTES],
}

impl Host {
    fn with(addresses: &[&str], port: u16, seed: u8) -> Self {
        let advert = Advert::server("pscryptochat", &ID, port, Some(6881)).unwrap();
        let mut responder = Responder::new(advert, Seed([seed; 32]).key(1)).unwrap();
        responder.set_interfaces(Instant::START, &[interface(addresses)]);
        Self { responder, now: Instant::START, buffer: [0; MAX_MDNS_REPLY_BYTES] }
    }

    fn new() -> Self {
        Self::with(&["10.0.0.1/24"], 8080, 1)
    }

    /// One that has announced itself long ago.
    fn settled() -> Self {
        let mut host = Self::new();
        host.run_until(10_000);
        host
    }

    /// Everything it multicasts up to a moment, with when.
    fn run_until(&mut self, end_ms: u64) -> Vec<(u64, Vec<u8>)> {
        let mut sent = Vec::new();
        let end = Instant::from_ms(end_ms);
        while let Some(at) = self.responder.poll_timeout().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            while let Some(multicast) = self.responder.poll_transmit(self.now, &mut self.buffer) {
                assert_eq!((multicast.index, multicast.is_v4), (3, true));
                sent.push((self.now.as_ms(), self.buffer[..multicast.length].to_vec()));
                assert!(sent.len() < 100_000, "it does not stop");
            }
        }
        self.now = end;
        sent
    }

    /// What it answers to the sender alone, if anything.
    fn hear(&mut self, from: &str, packet: &[u8]) -> Option<Vec<u8>> {
        let length = self.responder.receive(self.now, from.parse().unwrap(), packet, &mut self.buffer);
        (length > 0).then(|| self.buffer[..length].to_vec())
    }

    /// What it multicasts within a second and a half of a packet.
    fn says_to(&mut self, packet: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let now = self.now.as_ms();
        assert_eq!(self.hear(NEIGHBOUR, packet), None);
        let sent = self.run_until(now + 1_500);
        sent.into_iter().map(|(at, packet)| (at - now, packet)).collect()
    }
}

fn query(questions: &[(&NameBuf, Type, bool)], known: &[(&NameBuf, u32, Data<'_>)], flags: Flags) -> Vec<u8> {
    let mut buffer = [0; 1500];
    let mut out = Emitter::new(&mut buffer, 7, flags).unwrap();
    for (name, kind, unicast) in questions {
        out.question(name.name(), *kind, *unicast).unwrap();
    }
    for (name, ttl_s, data) in known {
        out.record(Section::Answer, name.name(), false, *ttl_s, data).unwrap();
    }
    let len = out.finish();
    buffer[..len].to_vec()
}

fn ask(name: &NameBuf, kind: Type) -> Vec<u8> {
    query(&[(name, kind, false)], &[], Flags::QUERY)
}

/// The records of a packet in words: section, name, type, flush, lifetime.
fn words(packet: &[u8]) -> Vec<String> {
    let message = Message::parse(packet).unwrap();
    let records = message.records().map(|record| {
        let record = record.unwrap();
        let section = match record.section {
            Section::Answer => "",
            Section::Authority => "proposes ",
            Section::Additional => "+ ",
        };
        let (flush, ttl_s) = (if record.flush { " flush" } else { "" }, record.ttl_s);
        let data = match record.data {
            Data::A(ip) => format!("A {ip}"),
            Data::Aaaa(ip) => format!("AAAA {ip}"),
            Data::Ptr(name) => format!("PTR {name}"),
            Data::Srv(srv) => format!("SRV {} {}", srv.port, srv.target),
            Data::Txt(txt) => {
                let texts = txt.texts().map(|text| String::from_utf8_lossy(text).into_owned());
                format!("TXT {}", texts.collect::<Vec<_>>().join(" "))
            }
            Data::Other(kind, bytes) => format!("{} {bytes:?}", kind.0),
            Data::Cname(_) => "CNAME".into(),
        };
        format!("{section}{} {ttl_s}{flush} {data}", record.name)
    });
    records.collect()
}

const TXT: &str = "TXT txtvers=1 udp=6881 path=/ id=1a2b3c4d00000000000000000000000000000007";

#[test]
fn names_are_probed_and_announced() {
    let sent = Host::new().run_until(60_000);
    let times: Vec<u64> = sent.iter().map(|(at, _)| *at).collect();
    let first = times[0];
    assert!(first <= 250);
    assert_eq!(times, [0, 250, 500, 750, 1_750].map(|ms| first + ms));
    for (place, (_, probe)) in sent[..3].iter().enumerate() {
        let message = Message::parse(probe).unwrap();
        assert_eq!((message.id, message.flags), (0, Flags::QUERY));
        let questions: Vec<_> = message.questions().map(Result::unwrap).collect();
        assert_eq!(questions.len(), 2);
        assert!(questions.iter().all(|q| q.kind == Type::ANY && q.unicast == (place == 0)));
        assert!(questions[0].name == instance("waypost 1a2b3c4d").name());
        assert!(questions[1].name == name("waypost-1a2b3c4d.local").name());
        assert_eq!(
            words(probe),
            [
                &format!("proposes waypost 1a2b3c4d.{SERVICE} 4500 {TXT}"),
                &format!("proposes waypost 1a2b3c4d.{SERVICE} 120 SRV 8080 waypost-1a2b3c4d.local"),
                "proposes waypost-1a2b3c4d.local 120 A 10.0.0.1",
            ]
        );
    }
    for (_, announcement) in &sent[3..] {
        let message = Message::parse(announcement).unwrap();
        assert_eq!((message.id, message.flags, message.questions().count()), (0, Flags::RESPONSE, 0));
        assert_eq!(
            words(announcement)[..5],
            [
                &format!("{SERVICE} 4500 PTR waypost 1a2b3c4d.{SERVICE}"),
                &format!("_services._dns-sd._udp.local 4500 PTR {SERVICE}"),
                &format!("waypost 1a2b3c4d.{SERVICE} 120 flush SRV 8080 waypost-1a2b3c4d.local"),
                &format!("waypost 1a2b3c4d.{SERVICE} 4500 flush {TXT}"),
                "waypost-1a2b3c4d.local 120 flush A 10.0.0.1",
            ]
        );
    }
}

#[test]
fn browsers_are_answered_with_all_they_will_ask_next() {
    let mut host = Host::settled();
    for _ in 0..20 {
        let said = host.says_to(&ask(&name(SERVICE), Type::PTR));
        let [(after, answer)] = &said[..] else { panic!("{said:?}") };
        assert!((20..=120).contains(after), "{after}");
        let words = words(answer);
        assert_eq!(words[0], format!("{SERVICE} 4500 PTR waypost 1a2b3c4d.{SERVICE}"));
        assert_eq!(words.len(), 4, "{words:?}");
        assert!(words[1..].iter().all(|word| word.starts_with("+ ")));
    }
    let said = host.says_to(&ask(&name("_services._dns-sd._udp.local"), Type::PTR));
    assert_eq!(words(&said[0].1), [format!("_services._dns-sd._udp.local 4500 PTR {SERVICE}")]);
    let said = host.says_to(&ask(&name(SERVICE), Type::SRV));
    assert_eq!(words(&said[0].1)[0], format!("{SERVICE} 120 SRV 8080 waypost-1a2b3c4d.local"));
}

#[test]
fn what_is_ours_alone_is_said_at_once() {
    let mut host = Host::settled();
    for (own, kind) in [
        (instance("WAYPOST 1A2B3C4D"), Type::SRV),
        (instance("waypost 1a2b3c4d"), Type::TXT),
        (name("Waypost-1a2b3c4d.LOCAL"), Type::A),
    ] {
        let said = host.says_to(&ask(&own, kind));
        assert_eq!((said.len(), said[0].0), (1, 0), "{kind:?}");
    }
}

#[test]
fn types_that_are_not_there_are_denied() {
    let mut host = Host::settled();
    let said = host.says_to(&ask(&name("waypost-1a2b3c4d.local"), Type::AAAA));
    let denial = words(&said[0].1);
    assert!(denial[0].starts_with("waypost-1a2b3c4d.local 120 flush 47 "), "{denial:?}");
    // In the first window of types, one byte: A.
    assert!(denial[0].ends_with(", 0, 0, 1, 64]"), "{denial:?}");
    let said = host.says_to(&ask(&instance("waypost 1a2b3c4d"), Type::A));
    // Five bytes: TXT in the third, SRV in the fifth.
    assert!(words(&said[0].1)[0].ends_with(", 0, 0, 5, 0, 0, 128, 0, 64]"));
}

#[test]
fn names_of_others_are_not_answered() {
    let mut host = Host::settled();
    for (name, kind) in [
        (name("_http._tcp.local"), Type::PTR),
        (name(SERVICE), Type::A),
        (name("local"), Type::ANY),
        (NameBuf::root(), Type::ANY),
        (instance("another"), Type::SRV),
        (name("another.local"), Type::A),
    ] {
        assert_eq!(host.says_to(&ask(&name, kind)), [], "{name}");
        assert_eq!(host.hear(LEGACY, &ask(&name, kind)), None, "{name}");
    }
}

#[test]
fn who_knows_the_answer_gets_none() {
    let mut host = Host::settled();
    let (service, own) = (name(SERVICE), instance("waypost 1a2b3c4d"));
    let questions = [(&service, Type::PTR, false)];
    let mut answers =
        |ttl_s, data| host.says_to(&query(&questions, &[(&service, ttl_s, data)], Flags::QUERY)).len();
    assert_eq!(answers(2_250, Data::Ptr(own.name())), 0);
    assert_eq!(answers(2_249, Data::Ptr(own.name())), 1);
    assert_eq!(answers(4_500, Data::Ptr(instance("another").name())), 1);
    // Addresses are known when all are.
    let mut host = Host::with(&["10.0.0.1/24", "10.0.0.2/24"], 8080, 1);
    host.run_until(10_000);
    let own = name("waypost-1a2b3c4d.local");
    let known = [[10, 0, 0, 1], [10, 0, 0, 2]].map(|ip| (&own, 120, Data::A(ip.into())));
    let questions = [(&own, Type::A, false)];
    assert_eq!(host.says_to(&query(&questions, &known[..1], Flags::QUERY)).len(), 1);
    assert_eq!(host.says_to(&query(&questions, &known, Flags::QUERY)).len(), 0);
}

#[test]
fn known_answers_may_follow_in_another_packet() {
    let mut host = Host::settled();
    let (service, own) = (name(SERVICE), instance("waypost 1a2b3c4d"));
    let truncated = query(&[(&service, Type::PTR, false)], &[], Flags::TRUNCATED);
    let said = host.says_to(&truncated);
    assert!(said.len() == 1 && (400..=500).contains(&said[0].0), "{said:?}");
    let rest = query(&[], &[(&service, 4_500, Data::Ptr(own.name()))], Flags::QUERY);
    assert_eq!(host.hear(NEIGHBOUR, &truncated), None);
    assert_eq!(host.says_to(&rest), []);
    // Somebody else asked, too, and does not know.
    host.hear(NEIGHBOUR, &truncated);
    host.hear("10.0.0.8:5353", &truncated);
    assert_eq!(host.says_to(&rest).len(), 1);
}

#[test]
fn who_asks_alone_is_answered_alone_unless_all_should_know() {
    let mut host = Host::settled();
    let question = query(&[(&name(SERVICE), Type::PTR, true)], &[], Flags::QUERY);
    let answer = host.hear(NEIGHBOUR, &question).unwrap();
    assert_eq!((Message::parse(&answer).unwrap().id, words(&answer).len()), (0, 4));
    assert_eq!(host.run_until(20_000), []);
    // The record was multicast more than a quarter of its life ago.
    host.run_until(2_000_000);
    assert_eq!(host.says_to(&question).len(), 1);
    assert!(host.hear(NEIGHBOUR, &question).is_some());
}

#[test]
fn who_takes_no_part_is_answered_as_by_a_resolver() {
    let mut host = Host::settled();
    let answer = host.hear(LEGACY, &ask(&name(SERVICE), Type::PTR)).unwrap();
    let message = Message::parse(&answer).unwrap();
    assert_eq!((message.id, message.flags), (7, Flags::RESPONSE));
    let question = message.questions().next().unwrap().unwrap();
    assert!(question.name == name(SERVICE).name() && question.kind == Type::PTR && !question.unicast);
    let records: Vec<_> = message.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), 4);
    assert!(records.iter().all(|record| record.ttl_s <= 10 && !record.flush));
    // The host of the SRV record is whole.
    let whole = b"\x10waypost-1a2b3c4d\x05local\0";
    assert!(answer.windows(whole.len()).any(|bytes| bytes == whole));
    assert_eq!(host.run_until(20_000), []);
}

#[test]
fn who_is_not_on_the_link_gets_silence() {
    let mut host = Host::with(&["10.0.0.1/24", "fd00::1/64"], 8080, 1);
    while host.responder.poll_timeout().is_some() {
        host.now = host.responder.poll_timeout().unwrap();
        while host.responder.poll_transmit(host.now, &mut host.buffer).is_some() {}
    }
    let question = ask(&name(SERVICE), Type::PTR);
    let alone = query(&[(&name(SERVICE), Type::PTR, true)], &[], Flags::QUERY);
    for from in [
        "10.0.1.9",
        "192.0.2.1",
        "[fd00:0:0:1::9]",
        "[2001:db8::9]",
        "[fe80::9%4]",
        "[fe80::9]",
        "[::ffff:10.0.0.9]",
    ] {
        for port in [PORT, 40_000] {
            for question in [&question, &alone] {
                assert_eq!(host.hear(&format!("{from}:{port}"), question), None, "{from}");
                assert_eq!(host.responder.poll_timeout(), None, "{from}");
            }
        }
    }
    for from in ["10.0.0.9:40000", "[fd00::9]:40000", "[fe80::9%3]:40000"] {
        assert!(host.hear(from, &question).is_some(), "{from}");
    }
}

#[test]
fn other_messages_are_ignored() {
    let mut host = Host::settled();
    for flags in [0x0800, 0x7800, 0x0003, 0x8000, 0x8403] {
        let question = query(&[(&name(SERVICE), Type::PTR, false)], &[], Flags(flags));
        assert_eq!(host.says_to(&question), [], "{flags:x}");
        assert_eq!(host.hear(LEGACY, &question), None, "{flags:x}");
    }
    let question = ask(&name(SERVICE), Type::PTR);
    for end in 0..question.len() {
        assert_eq!(host.says_to(&question[..end]), [], "{end}");
    }
}

#[test]
fn nothing_is_said_before_the_names_are_ours() {
    let mut host = Host::new();
    host.run_until(700);
    assert_eq!(host.hear(LEGACY, &ask(&name(SERVICE), Type::PTR)), None);
    host.responder.leave();
    assert_eq!(host.run_until(60_000), [], "nobody has heard of it");
}

#[test]
fn it_says_goodbye_once() {
    let mut host = Host::settled();
    host.hear(NEIGHBOUR, &ask(&name(SERVICE), Type::PTR));
    host.responder.leave();
    let sent = host.run_until(20_000);
    assert_eq!(sent.len(), 1);
    let words = words(&sent[0].1);
    assert_eq!(words[0], format!("{SERVICE} 0 PTR waypost 1a2b3c4d.{SERVICE}"));
    assert!(words.len() == 4 && words[1..].iter().all(|word| word.contains(" 0 flush ")), "{words:?}");
    assert_eq!(host.hear(LEGACY, &ask(&name(SERVICE), Type::PTR)), None);
}

/// What somebody else says of a name of ours.
fn claim(name: &NameBuf, ttl_s: u32, data: &Data<'_>) -> Vec<u8> {
    let mut buffer = [0; 500];
    let mut out = Emitter::new(&mut buffer, 0, Flags::RESPONSE).unwrap();
    out.record(Section::Answer, name.name(), true, ttl_s, data).unwrap();
    let len = out.finish();
    buffer[..len].to_vec()
}

#[test]
fn a_name_that_is_taken_is_changed() {
    let other = name("other.local");
    let srv = Data::Srv(Srv { priority: 0, weight: 0, port: 1, target: other.name() });
    let mut host = Host::new();
    host.run_until(300);
    host.hear(NEIGHBOUR, &claim(&instance("waypost 1a2b3c4d"), 120, &srv));
    assert_eq!(host.responder.instance().to_string(), format!("waypost 1a2b3c4d (2).{SERVICE}"));
    assert_eq!(host.responder.host().to_string(), "waypost-1a2b3c4d.local");
    let sent = host.run_until(1_200);
    assert!(sent.len() >= 3, "all probes again");
    host.hear(NEIGHBOUR, &claim(&name("waypost-1a2b3c4d.local"), 120, &Data::A([10, 0, 0, 9].into())));
    if host.responder.host().to_string() == "waypost-1a2b3c4d.local" {
        // It had just been announced: then it is probed again, and defended.
        host.hear(NEIGHBOUR, &claim(&name("waypost-1a2b3c4d.local"), 120, &Data::A([10, 0, 0, 9].into())));
    }
    assert_eq!(host.responder.host().to_string(), "waypost-1a2b3c4d-2.local");
    host.run_until(20_000);
    let answer = host.hear(LEGACY, &ask(&name(SERVICE), Type::PTR)).unwrap();
    assert!(words(&answer)[1].ends_with("SRV 8080 waypost-1a2b3c4d-2.local"), "{:?}", words(&answer));
}

#[test]
fn of_two_that_probe_the_later_records_win() {
    let own = name("waypost-1a2b3c4d.local");
    for (ip, wins) in [([10, 0, 0, 9], true), ([10, 0, 0, 0], false), ([10, 0, 0, 1], false)] {
        let mut host = Host::new();
        // After the first probe, and before the second.
        let first = host.run_until(250)[0].0;
        host.now = Instant::from_ms(300.min(first + 249));
        let heard = host.now.as_ms();
        let mut buffer = [0; 500];
        let mut out = Emitter::new(&mut buffer, 0, Flags::QUERY).unwrap();
        out.question(own.name(), Type::ANY, false).unwrap();
        out.record(Section::Authority, own.name(), false, 120, &Data::A(ip.into())).unwrap();
        let length = out.finish();
        host.hear(NEIGHBOUR, &buffer[..length]);
        let sent = host.run_until(20_000);
        let wait = if wins { heard + 1_000 } else { first + 250 };
        assert_eq!(sent[0].0, wait, "{ip:?}");
        assert_eq!(sent.len(), if wins { 5 } else { 4 }, "{ip:?}");
        assert_eq!(host.responder.host().to_string(), "waypost-1a2b3c4d.local");
    }
}

#[test]
fn a_name_that_is_claimed_is_probed_again() {
    let mut host = Host::settled();
    let claimed = claim(&name("waypost-1a2b3c4d.local"), 120, &Data::A([10, 0, 0, 9].into()));
    host.hear(NEIGHBOUR, &claimed);
    assert_eq!(host.responder.host().to_string(), "waypost-1a2b3c4d.local");
    let sent = host.run_until(20_000);
    assert_eq!(sent.len(), 5, "three probes, two announcements");
    host.hear(NEIGHBOUR, &claimed);
    host.run_until(20_600);
    host.hear(NEIGHBOUR, &claimed);
    assert_eq!(host.responder.host().to_string(), "waypost-1a2b3c4d-2.local");
}

#[test]
fn what_is_no_claim_changes_nothing() {
    let (host_name, own) = (name("waypost-1a2b3c4d.local"), instance("waypost 1a2b3c4d"));
    let mut host = Host::settled();
    for packet in [
        // What we say ourselves, a goodbye, a type that we have not, and the name of another service.
        claim(&host_name, 120, &Data::A([10, 0, 0, 1].into())),
        claim(&host_name, 0, &Data::A([10, 0, 0, 9].into())),
        claim(&host_name, 120, &Data::Other(Type(13), b"")),
        claim(&own, 120, &Data::Other(Type::NSEC, b"\0\0\x01\x40")),
        claim(&name(SERVICE), 120, &Data::Ptr(own.name())),
    ] {
        assert_eq!(host.says_to(&packet), []);
        assert_eq!(host.hear("192.0.2.1:5353", &packet), None);
    }
    // Nor what comes from elsewhere, or from a port that is not that of multicast DNS.
    let claim = claim(&host_name, 120, &Data::A([10, 0, 0, 9].into()));
    for from in ["192.0.2.1:5353", LEGACY] {
        host.hear(from, &claim);
        assert_eq!(host.responder.poll_timeout(), None, "{from}");
    }
}

#[test]
fn a_fight_is_slowed_down() {
    let mut host = Host::new();
    let mut probes = 0;
    for second in 1..=60 {
        for _ in 0..4 {
            let claim = claim(&host.responder.host().to_buf(), 120, &Data::A([10, 0, 0, 9].into()));
            host.hear(NEIGHBOUR, &claim);
        }
        probes += host.run_until(second * 1_000).len();
    }
    assert!(probes <= 90, "{probes} probes in a minute");
    let sent = host.run_until(80_000);
    assert_eq!(sent.len(), 5, "and peace is made");
}

#[test]
fn probes_are_answered_at_once_and_four_times_a_second() {
    let mut host = Host::settled();
    let probe = |port: u16| {
        let mut buffer = [0; 500];
        let mut out = Emitter::new(&mut buffer, 0, Flags::QUERY).unwrap();
        let (own, target) = (instance("waypost 1a2b3c4d"), name("other.local"));
        out.question(own.name(), Type::ANY, true).unwrap();
        let srv = Data::Srv(Srv { priority: 0, weight: 0, port, target: target.name() });
        out.record(Section::Authority, own.name(), false, 120, &srv).unwrap();
        let len = out.finish();
        buffer[..len].to_vec()
    };
    assert_eq!(host.hear(NEIGHBOUR, &probe(9)), None);
    let sent = host.run_until(10_000);
    assert_eq!(sent.len(), 1, "all are told, at once");
    assert!(words(&sent[0].1).iter().any(|word| word.contains(TXT)), "all records of the name");
    host.hear(NEIGHBOUR, &probe(9));
    assert_eq!(host.run_until(10_249), []);
    assert_eq!(host.run_until(10_250).len(), 1);
}

#[test]
fn no_record_is_multicast_twice_a_second_however_much_is_asked() {
    let mut host = Host::settled();
    let questions = [
        (&name(SERVICE), Type::PTR),
        (&name(SERVICE), Type::ANY),
        (&name("_services._dns-sd._udp.local"), Type::PTR),
        (&instance("waypost 1a2b3c4d"), Type::ANY),
        (&name("waypost-1a2b3c4d.local"), Type::ANY),
        (&name("waypost-1a2b3c4d.local"), Type::AAAA),
    ];
    let (mut sent, mut alone) = (Vec::new(), 0);
    for ms in 10_000..20_000 {
        sent.extend(host.run_until(ms));
        let (name, kind) = questions[ms as usize % questions.len()];
        let from = format!("10.0.0.{}:5353", 2 + ms % 200);
        alone +=
            usize::from(host.hear(&from, &query(&[(name, kind, ms % 2 == 0)], &[], Flags::QUERY)).is_some());
        alone += usize::from(host.hear(LEGACY, &ask(name, kind)).is_some());
    }
    assert!(alone <= 20 * 10, "{alone} answers to one alone in ten seconds");
    let mut last = std::collections::BTreeMap::<String, u64>::new();
    for (at, packet) in &sent {
        for word in words(packet) {
            let record = word.trim_start_matches("+ ").to_string();
            if let Some(before) = last.insert(record.clone(), *at) {
                assert!(at - before >= 1_000, "{record} after {} ms", at - before);
            }
        }
    }
    assert!(last.len() >= 6, "{last:?}");
    assert!(sent.len() <= 70, "{} packets in ten seconds", sent.len());
}

#[test]
fn new_addresses_are_announced_and_lost_interfaces_forgotten() {
    let mut host = Host::settled();
    host.responder.set_interfaces(host.now, &[interface(&["10.0.0.1/24"])]);
    assert_eq!(host.responder.poll_timeout(), None, "nothing has changed");
    host.responder.set_interfaces(host.now, &[interface(&["10.0.0.1/24", "10.0.0.77/24"])]);
    let sent = host.run_until(20_000);
    assert_eq!(sent.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [10_000, 11_000]);
    assert!(words(&sent[1].1).iter().any(|word| word.ends_with("A 10.0.0.77")));
    // One that is not shown tells who is on the link, and no more.
    let mut changed = interface(&["10.0.0.1/24", "10.0.0.77/24", "10.7.0.1/24"]);
    changed.addresses[2].is_shown = false;
    host.responder.set_interfaces(host.now, &[changed]);
    assert_eq!(host.run_until(30_000), []);
    assert!(host.hear("10.7.0.9:40000", &ask(&name(SERVICE), Type::PTR)).is_some());
    host.responder.set_interfaces(host.now, &[]);
    assert_eq!(host.hear(LEGACY, &ask(&name(SERVICE), Type::PTR)), None);
    assert_eq!(host.responder.poll_timeout(), None);
}

#[test]
fn another_one_that_says_there_is_such_a_service_says_it_for_us() {
    let mut host = Host::settled();
    let services = name("_services._dns-sd._udp.local");
    host.hear(NEIGHBOUR, &ask(&services, Type::PTR));
    let own = name(SERVICE);
    assert_eq!(host.says_to(&claim(&services, 4_500, &Data::Ptr(own.name()))), []);
    host.hear(NEIGHBOUR, &ask(&services, Type::PTR));
    assert_eq!(host.says_to(&claim(&services, 100, &Data::Ptr(own.name()))).len(), 1);
}

#[test]
fn hosts_of_one_identity_find_names_of_their_own() {
    for seed in 0..60_u8 {
        let loss_percent = [0, 10, 30][usize::from(seed) % 3];
        let mut rng = Rng::new(Seed([seed; 32]).key(9));
        let mut hosts: Vec<Host> = (0..4_u8)
            .map(|n| {
                Host::with(&[&format!("10.0.0.{}/24", n + 1)], 8080 + u16::from(n), seed.wrapping_mul(4) + n)
            })
            .collect();
        for ms in (0..120_000).step_by(5) {
            // Who missed all probes and announcements of another one hears its answers, sooner or later.
            if ms % 5_000 == 0 {
                for host in &mut hosts {
                    host.now = Instant::from_ms(ms);
                    host.hear("10.0.0.99:5353", &ask(&name(SERVICE), Type::PTR));
                }
            }
            for from in 0..hosts.len() {
                for (_, packet) in hosts[from].run_until(ms) {
                    for (to, host) in hosts.iter_mut().enumerate() {
                        // One hears oneself, always.
                        if to == from || rng.below(100) >= loss_percent {
                            host.now = Instant::from_ms(ms);
                            host.hear(&format!("10.0.0.{}:5353", from + 1), &packet);
                        }
                    }
                }
            }
        }
        for own in [Responder::instance, Responder::host] {
            let names: std::collections::BTreeSet<_> =
                hosts.iter().map(|host| own(&host.responder).to_string()).collect();
            assert_eq!(names.len(), hosts.len(), "seed {seed}: {names:?}");
        }
        assert!(
            hosts.iter().all(|host| host.responder.links.iter().all(|link| link.phase == Phase::Settled))
        );
    }
}

#[test]
fn the_first_difference_decides() {
    let a = |ip: [u8; 4]| Data::A(ip.into());
    let mut records = [4, 1, 3, 3, 2].map(|n| a([n, 0, 0, 0]));
    sort(&mut records);
    assert_eq!(records, [1, 2, 3, 3, 4].map(|n| a([n, 0, 0, 0])));
    sort(&mut []);
    assert_eq!(compare(&[a([169, 254, 99, 200])], &[a([169, 254, 200, 50])]), Ordering::Less);
    assert_eq!(compare(&[a([1, 1, 1, 1])], &[a([1, 1, 1, 1])]), Ordering::Equal);
    assert_eq!(compare(&[a([1, 1, 1, 1]), a([1, 1, 1, 2])], &[a([1, 1, 1, 1])]), Ordering::Greater);
    assert_eq!(compare(&[a([9, 9, 9, 9])], &[Data::Txt(crate::wire::dns::Txt(b"\0"))]), Ordering::Less);
}

#[test]
fn a_peer_may_have_any_id() {
    let id = "x".repeat(64);
    let advert = Advert::peer("pscryptochat", &id, 9000, None).unwrap();
    let responder = Responder::new(advert, Seed([1; 32]).key(1)).unwrap();
    assert_eq!(responder.instance().to_string(), format!("{}.{SERVICE}", "x".repeat(48)));
    assert!(Advert::peer("pscryptochat", &"x".repeat(65), 1, None).is_ok());
    assert!(Advert::server("sixteen-letters-", &ID, 1, None).is_err());
}

#[test]
fn it_has_little_memory() {
    assert!(size_of::<Responder>() <= 20_000, "{}", size_of::<Responder>());
}
