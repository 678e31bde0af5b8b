//! The UDP tracker's and STUN's datagrams.

use core::net::IpAddr;

use crate::addr::CanonicalAddr;
use crate::wire::tracker::{Action, HEADER_BYTES, MAX_SCRAPED, Request};
use crate::wire::{Writer, stun};

/// A request to the UDP tracker: what is accepted has its fields where BEP 15 puts them, whatever is behind it.
pub fn tracker(data: &[u8]) {
    let Ok(request) = Request::parse(data) else { return };
    let bytes = |at: usize, length: usize| data.get(at..).and_then(|rest| rest.get(..length));
    assert_eq!(bytes(0, 8), Some(&request.connection_id[..]));
    assert_eq!(bytes(12, 4), Some(&request.transaction_id[..]));
    let (code, needed) = match request.action {
        Action::Connect => (0, HEADER_BYTES),
        Action::Announce(announce) => {
            assert_eq!(bytes(16, 20), Some(&announce.info_hash[..]));
            assert_eq!(bytes(64, 8) == Some(&[0; 8]), announce.is_complete);
            assert_eq!(bytes(80, 4), Some(&announce.event.to_be_bytes()[..]));
            assert_eq!(bytes(92, 4), Some(&announce.num_want.to_be_bytes()[..]));
            assert_eq!(bytes(96, 2), Some(&announce.port.to_be_bytes()[..]));
            (1, 98)
        }
        Action::Scrape(info_hashes) => {
            assert!(info_hashes.len() <= MAX_SCRAPED);
            let hashes = info_hashes.as_flattened();
            assert_eq!(bytes(HEADER_BYTES, hashes.len()), Some(hashes));
            (2, HEADER_BYTES.saturating_add(hashes.len()))
        }
    };
    assert_eq!(bytes(8, 4), Some(&[0, 0, 0, code][..]));
    let shortest = data.get(..needed).unwrap_or_default();
    assert_eq!(Request::parse(shortest), Ok(request), "what is behind a request changes nothing");
}

/// A Binding request: the answer is short enough, is no request, and holds the address.
pub fn stun(data: &[u8]) {
    let Ok(request) = stun::Request::parse(data) else { return };
    let port = 0x1234;
    for ip in [IpAddr::from([198, 51, 100, 7]), IpAddr::from([0x2001, 0xdb8, 1, 2, 3, 4, 5, 6])] {
        let mut buffer = [0; 64];
        let mut out = Writer::new(&mut buffer);
        assert!(
            request.emit_answer(CanonicalAddr::new(ip), port, &mut out).is_ok(),
            "there is room for any answer"
        );
        let answer = out.written();
        assert!(answer.len() <= data.len().saturating_mul(3), "too long an answer");
        assert_eq!(stun::Request::parse(answer), Err(stun::Malformed), "an answer is no request");
        assert_eq!(answer.get(4..20), data.get(4..20), "cookie and transaction id come back");
        if answer.first_chunk() == Some(&[1, 1]) {
            let masks = data.get(4..).unwrap_or_default();
            let octets =
                answer.get(28..).unwrap_or_default().iter().zip(masks).map(|(octet, mask)| octet ^ mask);
            assert!(match ip {
                IpAddr::V4(ip) => octets.eq(ip.octets()),
                IpAddr::V6(ip) => octets.eq(ip.octets()),
            });
        }
    }
}
