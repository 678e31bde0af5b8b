use std::string::String;
use std::vec::Vec;

use super::*;

const QUERIES: [&[u8]; 7] = [
    // The examples of BEP 5.
    b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe",
    b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:y1:qe",
    b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e1:q9:get_peers1:t2:aa1:y1:qe",
    b"d1:ad2:id20:abcdefghij012345678912:implied_porti1e9:info_hash20:mnopqrstuvwxyz1234564:porti6881e5:token8:aoeusnthe1:q13:announce_peer1:t2:aa1:y1:qe",
    // BEP 33, BEP 43, BEP 32, BEP 51.
    b"d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz1234564:porti6881e4:seedi1e5:token8:aoeusnthe1:q13:announce_peer2:roi1e1:t2:aa1:y1:qe",
    b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz1234564:wantl2:n42:n6ee1:q9:find_node1:t2:aa1:v4:LT\x01\x021:y1:qe",
    b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q17:sample_infohashes1:t2:aa1:y1:qe",
];

const HASH: Id = *b"mnopqrstuvwxyz123456";

fn query(datagram: &[u8]) -> Query<'_> {
    match Message::parse(datagram) {
        Ok(Message::Query(query)) => query,
        other => panic!("{other:?}"),
    }
}

#[test]
fn queries() {
    let announce = AnnouncePeer { info_hash: HASH, port: None, token: b"aoeusnth", seed: false };
    let methods = [
        Method::Ping,
        Method::FindNode,
        Method::GetPeers(HASH),
        Method::AnnouncePeer(announce),
        Method::AnnouncePeer(AnnouncePeer { port: Some(6881), seed: true, ..announce }),
        Method::FindNode,
        Method::FindNode,
    ];
    for (number, (datagram, method)) in QUERIES.into_iter().zip(methods).enumerate() {
        let parsed = query(datagram);
        assert_eq!((parsed.transaction, parsed.method), (&b"aa"[..], method));
        assert_eq!(parsed.read_only, number == 4);
        assert_eq!(parsed.want, if number == 5 { Want { v4: true, v6: true } } else { Want::default() });
    }
}

#[test]
fn bad_arguments_are_told_from_unknown_methods() {
    for (arguments, name, method) in [
        ("", "4:ping", Method::BadArguments),
        ("2:id19:abcdefghij012345678", "4:ping", Method::BadArguments),
        ("2:idi1e", "4:ping", Method::BadArguments),
        ("2:id20:abcdefghij0123456789", "9:find_node", Method::BadArguments),
        ("2:id20:abcdefghij01234567896:target2:xx", "9:find_node", Method::BadArguments),
        ("2:id20:abcdefghij0123456789", "9:get_peers", Method::BadArguments),
        ("2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456", "9:get_peers", Method::BadArguments),
        ("2:id20:abcdefghij0123456789", "3:get", Method::Unknown),
        ("2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456", "3:get", Method::FindNode),
        ("2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456", "1:x", Method::FindNode),
    ] {
        let datagram = std::format!("d1:ad{arguments}e1:q{name}1:t1:x1:y1:qe");
        assert_eq!(query(datagram.as_bytes()).method, method, "{datagram}");
    }
    for (port, good) in [
        ("4:porti6881e5:token1:x", true),
        ("4:porti0e5:token1:x", false),
        ("4:porti65536e5:token1:x", false),
        ("4:porti-1e5:token1:x", false),
        ("4:port4:68815:token1:x", false),
        ("5:token1:x", false),
        ("4:porti6881e", false),
    ] {
        let datagram = std::format!(
            "d1:ad2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456{port}e1:q13:announce_peer1:t1:x1:y1:qe"
        );
        assert_eq!(matches!(query(datagram.as_bytes()).method, Method::AnnouncePeer(_)), good, "{port}");
    }
}

#[test]
fn a_response() {
    let nodes = [[1; 26], [2; 26]];
    let datagram = [
        &b"d2:ip6:\xc6\x33\x64\x07\x1a\xe11:rd2:id20:0123456789abcdefghij5:nodes52:"[..],
        nodes.as_flattened(),
        b"e1:t8:abcdefgh1:y1:re",
    ]
    .concat();
    let Ok(Message::Response(response)) = Message::parse(&datagram) else { panic!("a response") };
    assert_eq!((response.transaction, &response.id), (&b"abcdefgh"[..], b"0123456789abcdefghij"));
    assert_eq!(response.ip, [198, 51, 100, 7, 0x1a, 0xe1]);
    assert_eq!((response.nodes, response.nodes6), (&nodes[..], &[][..]));
}

#[test]
fn what_is_not_for_us() {
    for (datagram, drop) in [
        ("d1:eli201e5:uh-ohe1:t2:aa1:y1:ee", Drop::NotARequest),
        ("d1:t2:aa1:y1:xe", Drop::Malformed),
        ("d1:t2:aae", Drop::Malformed),
        ("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:y1:qe", Drop::Malformed),
        ("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t0:1:y1:qe", Drop::Malformed),
        (
            "d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t33:0123456789012345678901234567890121:y1:qe",
            Drop::Malformed,
        ),
        ("d1:q4:ping1:t2:aa1:y1:qe", Drop::Malformed),
        ("d1:ad2:id20:abcdefghij0123456789e1:t2:aa1:y1:qe", Drop::Malformed),
        ("d1:rd2:id3:abce1:t2:aa1:y1:re", Drop::Malformed),
        ("d1:t2:aa1:y1:re", Drop::Malformed),
        ("", Drop::Malformed),
    ] {
        assert_eq!(Message::parse(datagram.as_bytes()), Err(drop), "{datagram}");
    }
    for datagram in QUERIES {
        for end in 0..datagram.len() {
            assert_eq!(Message::parse(&datagram[..end]), Err(Drop::Malformed));
        }
    }
}

fn addr(text: &str) -> CanonicalAddr {
    CanonicalAddr::new(text.parse().unwrap())
}

fn emit(from: &str, room: usize, found: &Found<'_>) -> Result<Vec<u8>, Full> {
    let mut buffer = std::vec![0; room];
    let mut out = Writer::new(&mut buffer);
    let answer = Answer { transaction: b"aa", addr: addr(from), port: 0x6161 };
    answer.emit_response(b"mnopqrstuvwxyz123456", found, &mut out)?;
    assert!(Dict::parse(out.written()).is_ok(), "{:?}", String::from_utf8_lossy(out.written()));
    Ok(out.written().to_vec())
}

#[test]
fn a_bare_response() {
    let bytes = emit("97.98.99.100", 100, &Found::default()).unwrap();
    assert_eq!(bytes, b"d2:ip6:abcdaa1:rd2:id20:mnopqrstuvwxyz123456e1:t2:aa1:y1:re");
    assert!(emit("97.98.99.100", bytes.len(), &Found::default()).is_ok());
    assert_eq!(emit("97.98.99.100", bytes.len() - 1, &Found::default()), Err(Full));
}

#[test]
fn as_much_as_fits() {
    let values: Vec<_> = (1..=50).map(|n| (addr(&std::format!("20.0.0.{n}")), n)).collect();
    let nodes: Vec<_> =
        (1..=8).map(|n| Contact { id: [n; 20], addr: addr("20.0.1.1"), port: n.into() }).collect();
    let found = Found { token: Some(*b"01234567"), values: &values, nodes: Some(&nodes), nodes6: None };
    let mut before = (0, 0);
    for room in 70..1024 {
        let Ok(bytes) = emit("30.0.0.1", room, &found) else {
            assert!(room < 80);
            continue;
        };
        assert!(bytes.len() <= room);
        let found = Dict::parse(&bytes).unwrap().dict(b"r").unwrap();
        assert_eq!(found.bytes(b"token"), Some(&b"01234567"[..]));
        let nodes = found.bytes(b"nodes").map_or(0, |nodes| nodes.len() / 26);
        let values = bytes.windows(5).filter(|window| window.starts_with(b"6:\x14\0\0")).count();
        assert!(values == 50 || nodes >= 2 || values == 0, "{room}: {values} values, {nodes} nodes");
        assert!(values >= before.1 && (nodes >= before.0 || values > before.1), "{room}");
        before = (nodes, values);
    }
    assert_eq!(before, (8, 50));
}

#[test]
fn the_shortest_queries_get_seven_nodes() {
    // SECURITY.md, section 3.1.
    let nodes: Vec<_> = (1..=8).map(|n| Contact { id: [n; 20], addr: addr("20.0.1.1"), port: 1 }).collect();
    let found = Found { nodes: Some(&nodes), ..Found::default() };
    let nodes_in = |room| {
        let bytes = emit("20.0.0.200", room, &found).unwrap();
        (Dict::parse(&bytes).unwrap().dict(b"r").unwrap().bytes(b"nodes").unwrap().len() / 26, bytes.len())
    };
    assert_eq!(nodes_in(3 * QUERIES[1].len()).0, 7);
    assert_eq!(nodes_in(3 * (QUERIES[1].len() + 9)).0, 8);
}

#[test]
fn both_families() {
    let values = [(addr("2001:db8::1"), 1)];
    let v4 = [Contact { id: [4; 20], addr: addr("20.0.1.1"), port: 4 }];
    let v6 = [Contact { id: [6; 20], addr: addr("2001:db8::6"), port: 6 }];
    let found = Found { token: None, values: &values, nodes: Some(&v4), nodes6: Some(&v6) };
    let bytes = emit("2001:db8::9", 1024, &found).unwrap();
    let message = Dict::parse(&bytes).unwrap();
    assert_eq!(message.bytes(b"ip").unwrap().len(), 18);
    let Ok(Message::Response(response)) = Message::parse(&bytes) else { panic!("a response") };
    assert_eq!((response.nodes.len(), response.nodes6.len()), (1, 1));
    assert_eq!(response.nodes6[0][..20], [6; 20]);
}

#[test]
fn errors_and_queries_of_ours() {
    let mut buffer = [0; 128];
    let mut out = Writer::new(&mut buffer);
    let answer = Answer { transaction: b"aa", addr: addr("97.98.99.100"), port: 0x6161 };
    answer.emit_error(203, "bad_token", &mut out).unwrap();
    assert_eq!(out.written(), b"d1:eli203e9:bad_tokene2:ip6:abcdaa1:t2:aa1:y1:ee");
    out.rewind(0);
    emit_ping(&[7; 20], b"01234567", &mut out).unwrap();
    assert_eq!((query(out.written()).method, out.len()), (Method::Ping, PING_BYTES));
    out.rewind(0);
    emit_find_node(&[7; 20], b"01234567", &mut out).unwrap();
    assert_eq!(query(out.written()).method, Method::FindNode);
}
