//! Bencode, and the DHT's messages in it.

use core::net::IpAddr;

use crate::addr::CanonicalAddr;
use crate::wire::Writer;
use crate::wire::bencode::{Dict, Malformed};
use crate::wire::krpc::{Answer, Contact, Found, Message};

/// A dictionary: what is accepted ends where it ends, and its keys can be found.
pub fn bencode(data: &[u8]) {
    let Ok(dict) = Dict::parse(data) else { return };
    assert!(data.starts_with(b"d") && data.ends_with(b"e"));
    let shorter = data.get(..data.len().saturating_sub(1)).unwrap_or_default();
    assert_eq!(Dict::parse(shorter), Err(Malformed), "a dictionary without its end is none");
    let mut longer = [b'e'; 2048];
    if let Some(copy) = longer.get_mut(..data.len()) {
        copy.copy_from_slice(data);
        let longer = longer.get(..=data.len()).unwrap_or_default();
        assert_eq!(Dict::parse(longer), Err(Malformed), "nothing may be behind the end");
    }
    for key in [&b"a"[..], b"e", b"id", b"ip", b"q", b"r", b"t", b"y"] {
        let kinds = [dict.bytes(key).is_some(), dict.integer(key).is_some(), dict.dict(key).is_some()];
        assert!(kinds.iter().filter(|&&is| is).count() <= usize::from(dict.get(key).is_some()));
    }
}

/// A KRPC message: an answer to it can be read again, is no query, and is no longer than its room.
pub fn krpc(data: &[u8]) {
    let Ok(Message::Query(query)) = Message::parse(data) else { return };
    let addr = CanonicalAddr::new(IpAddr::from([20, 1, 2, 3]));
    let answer = Answer { transaction: query.transaction, addr, port: 6881 };
    let nodes = [Contact { id: [7; 20], addr, port: 1 }; 8];
    let values = [(addr, 2); 50];
    let found = Found { token: Some([1; 8]), values: &values, nodes: Some(&nodes), nodes6: None };
    let mut buffer = [0; 1024];
    let room = data.len().saturating_mul(3).min(buffer.len());
    let mut out = Writer::new(buffer.get_mut(..room).unwrap_or_default());
    if answer.emit_response(&[9; 20], &found, &mut out).is_ok() {
        let Ok(Message::Response(response)) = Message::parse(out.written()) else {
            panic!("an answer is no response");
        };
        assert_eq!((response.transaction, response.id), (query.transaction, [9; 20]));
        assert!(response.nodes.len() <= nodes.len());
    }
    let mut out = Writer::new(&mut buffer);
    assert!(answer.emit_error(203, "bad_request", &mut out).is_ok(), "there is room for an error");
    assert!(Message::parse(out.written()).is_err(), "an error is no query");
}
