//! What a resolver answers about SRV records.

use crate::client::lookup::{Reply, Services};
use crate::endpoint::is_host_name;
use crate::wire::dns::Message;

/// An answer to the question that stands in it: what is taken from it can be connected to, and nothing is taken by another
/// identifier or another name.
pub fn srv_answer(data: &[u8]) {
    let Ok(message) = Message::parse(data) else { return };
    let Some(Ok(question)) = message.questions().next() else { return };
    let name = question.name.to_buf();
    assert_eq!(Reply::read(data, !message.id, &name, true), None, "another identifier");
    let datagram = Reply::read(data, message.id, &name, false);
    let stream = Reply::read(data, message.id, &name, true);
    assert!(datagram == stream || datagram == Some(Reply::Truncated), "only lengths differ");
    if !question.name.is_root() {
        let parent = question.name.parent().to_buf();
        assert_eq!(Reply::read(data, message.id, &parent, true), None, "another name");
    }
    let Some(Reply::Services(services, ttl_s)) = stream else { return };
    let Services::At(records) = services else { return };
    assert!(!records.is_empty() && ttl_s.is_some(), "records have a lifetime");
    assert!(records.is_sorted_by_key(|record| record.priority));
    for record in records {
        assert!(record.port != 0 && is_host_name(&record.host), "{}", record.host);
    }
}
