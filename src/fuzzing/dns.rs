//! Messages of the domain name system.

use crate::wire::dns::{Emitter, MAX_NAME_BYTES, Message, Name, NameBuf};

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
fn are_same(one: &crate::wire::dns::Data<'_>, other: &crate::wire::dns::Data<'_>) -> bool {
    use crate::wire::dns::Data::Txt;
    one == other || matches!((one, other), (Txt(none), Txt(empty)) if none.0.is_empty() && empty.0 == [0])
}

fn check_name(name: Name<'_>) {
    let bytes: usize = name.labels().map(|label| label.len() + 1).sum();
    assert!(bytes < MAX_NAME_BYTES, "a name is too long");
    let own = name.to_buf();
    assert!(own.name() == name && name.is_within(own.name()));
    assert!(name.is_within(name.parent()) && name.is_within(NameBuf::root().name()));
}
