//! Messages of the domain name system.

use core::net::SocketAddr;

use crate::engine::mdns::{Advert, Interface, Responder, Subnet};
use crate::limits::MAX_MDNS_REPLY_BYTES;
use crate::rng::Seed;
use crate::time::Instant;
use crate::wire::dns::{Data, Emitter, MAX_NAME_BYTES, Message, Name, NameBuf};

/// A packet to a responder that is probing, and to one that has announced itself, by a neighbour that takes part and by one
/// that does not: what it says is a message.
pub fn mdns(data: &[u8]) {
    let Ok(advert) = Advert::server("pscryptochat", &[7; 20], 8080, Some(6881)) else { return };
    let Ok(mut responder) = Responder::new(advert, Seed([1; 32]).key(1)) else { return };
    let subnet = Subnet { ip: [10, 0, 0, 1].into(), prefix_bits: 24, is_shown: true };
    let addresses = [subnet].into_iter().collect();
    responder.set_interfaces(Instant::START, &[Interface { index: 1, addresses }]);
    let mut out = [0; MAX_MDNS_REPLY_BYTES];
    let mut now = Instant::START;
    for pause_s in [1, 60] {
        for port in [5353, 40_000] {
            let length = responder.receive(now, SocketAddr::new([10, 0, 0, 9].into(), port), data, &mut out);
            check_said(out.get(..length).unwrap_or_default());
        }
        // In a minute a responder sends probes, announcements and answers, and no more.
        let end = now.plus_s(pause_s);
        for _ in 0..100 {
            now = responder.poll_timeout().unwrap_or(end).min(end).max(now);
            if let Some(sent) = responder.poll_transmit(now, &mut out) {
                check_said(out.get(..sent.length).unwrap_or_default());
            } else if now == end {
                break;
            }
        }
        assert!(now == end, "it does not stop");
    }
}

fn check_said(packet: &[u8]) {
    if packet.is_empty() {
        return;
    }
    let message = Message::parse(packet).expect("what is said is a message");
    assert!(message.questions().all(|question| question.is_ok()));
    assert!(message.records().all(|record| record.is_ok()));
}

/// Longest message that is looked at: what is written from it fits in five times as much, however well it was compressed.
const LONGEST: usize = 1500;

/// A message: reading ends, names are no longer than they may be, and what is written from it is read as the same.
pub fn dns(data: &[u8]) {
    let Ok(message) = Message::parse(data.get(..LONGEST).unwrap_or(data)) else { return };
    let mut buffer = [0; 32 * LONGEST];
    let Ok(mut out) = Emitter::new(&mut buffer, message.id, message.flags) else { return };
    let mut questions = 0_usize;
    for question in message.questions().flatten() {
        check_name(question.name);
        if out.question(question.name, question.kind, question.unicast).is_err() {
            return;
        }
        questions = questions.saturating_add(1);
    }
    let mut records = 0_usize;
    for record in message.records().flatten() {
        check_name(record.name);
        if out.record(record.section, record.name, record.flush, record.ttl_s, &record.data).is_err() {
            return;
        }
        records = records.saturating_add(1);
    }
    let len = out.finish();
    let again = Message::parse(buffer.get(..len).unwrap_or_default()).expect("what is written is a message");
    assert_eq!((again.id, again.flags), (message.id, message.flags));
    assert_eq!((again.questions().count(), again.records().count()), (questions, records));
    for (one, other) in message.questions().flatten().zip(again.questions()) {
        let other = other.expect("what is written is a question");
        assert!(one.name == other.name && one.kind == other.kind && one.unicast == other.unicast);
    }
    for (one, other) in message.records().flatten().zip(again.records()) {
        let other = other.expect("what is written is a record");
        let both = [one, other].map(|record| (record.section, record.flush, record.ttl_s));
        let [first, second] = both;
        assert_eq!(first, second);
        assert!(
            one.name == other.name && are_same(&one.data, &other.data),
            "{:?}, {:?}",
            one.data,
            other.data
        );
    }
}

/// An empty TXT record is written as one with an empty text.
fn are_same(one: &Data<'_>, other: &Data<'_>) -> bool {
    one == other
        || matches!((one, other), (Data::Txt(none), Data::Txt(empty)) if none.0.is_empty() && empty.0 == [0])
}

fn check_name(name: Name<'_>) {
    let bytes: usize = name.labels().map(|label| label.len() + 1).sum();
    assert!(bytes < MAX_NAME_BYTES, "a name is too long");
    let own = name.to_buf();
    assert!(own.name() == name && name.is_within(own.name()));
    assert!(name.is_within(name.parent()) && name.is_within(NameBuf::root().name()));
}
