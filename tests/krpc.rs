//! The DHT's protocol over real sockets, beside JSON: nodes find each other, and what one protocol announces the other
//! finds.

mod support;

use support::{Http, Server};

const HASH: &str = "mnopqrstuvwxyz123456";

fn query(name: &str, arguments: &str) -> Vec<u8> {
    let length = name.len();
    format!("d1:ad2:id20:abcdefghij0123456789{arguments}e1:q{length}:{name}1:t2:aa1:y1:qe").into_bytes()
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text)
}

/// The string behind `key`, of up to 99 bytes.
fn string<'a>(bytes: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let rest = &bytes[find(bytes, format!("{}:{key}", key.len()).as_bytes())? + 2 + key.len() - 1..];
    let rest = if rest[0].is_ascii_digit() { rest } else { &rest[1..] };
    let colon = rest.iter().position(|&byte| byte == b':')?;
    let length: usize = std::str::from_utf8(&rest[..colon]).ok()?.parse().ok()?;
    rest.get(colon + 1..colon + 1 + length)
}

#[test]
fn what_is_announced_in_the_dht_is_found_by_json_and_the_other_way_round() {
    let server = Server::start(&[]);
    let udp = server.udp_client();
    let network: String = HASH.bytes().map(|byte| format!("{byte:02x}")).collect();
    let asked = udp.exchange(&query("get_peers", &format!("9:info_hash20:{HASH}")));
    let token = string(&asked, "token").expect("a token").to_vec();
    let head = format!("9:info_hash20:{HASH}4:porti7001e5:token8:");
    let datagram = query("announce_peer", &head);
    let at = find(&datagram, b"5:token8:").expect("it is there") + 9;
    let datagram = [&datagram[..at], &token, &datagram[at..]].concat();
    let announced = udp.exchange(&datagram);
    assert!(announced.ends_with(b"e1:t2:aa1:y1:re"), "{}", String::from_utf8_lossy(&announced));

    let mut http = Http::connect(server.http);
    let peers = http.get(&format!("/peers?network={network}"));
    let expected = r#"{"id":"127.0.0.1:7001","endpoints":["tcp://127.0.0.1:7001","udp://127.0.0.1:7001"]"#;
    assert!(peers.body.contains(expected), "{}", peers.body);
    let body = format!(r#"{{"id":"json","endpoints":["tcp://:7002","udp://:7003"],"network":"{network}"}}"#);
    assert_eq!(http.post("/announce", &body).status, 200);
    let found = udp.exchange(&query("get_peers", &format!("9:info_hash20:{HASH}")));
    assert!(find(&found, &[b'6', b':', 127, 0, 0, 1, 0x1b, 0x5b]).is_some(), "the udp endpoint, 7003");
    assert!(find(&found, &[b'6', b':', 127, 0, 0, 1, 0x1b, 0x59]).is_some(), "the DHT's own, 7001");
}

#[test]
fn a_node_that_answers_its_ping_is_handed_out() {
    let server = Server::start(&[]);
    let node = server.udp_client();
    let target = format!("6:target20:{HASH}");
    let alone = node.exchange(&query("find_node", &target));
    assert_eq!(string(&alone, "nodes"), Some(&b""[..]));
    let mut ping = [0; 100];
    let length = node.socket.recv(&mut ping).expect("a ping");
    let ping = &ping[..length];
    let transaction = string(ping, "t").expect("a transaction id");
    assert!(ping.len() == 62 && find(ping, b"1:q4:ping").is_some() && transaction.len() == 8);
    let pong = [b"d1:rd2:id20:0123456789abcdefghije1:t8:", transaction, b"1:y1:re"].concat();
    node.socket.send(&pong).expect("it is sent");

    let other = server.udp_client();
    // Answered in order: once this is, the pong has been read.
    node.exchange(&query("ping", ""));
    let found = other.exchange(&query("find_node", &target));
    let nodes = string(&found, "nodes").expect("nodes");
    assert_eq!((nodes.len(), &nodes[..20]), (26, &b"0123456789abcdefghij"[..]));
    let port = node.socket.local_addr().expect("it is bound").port().to_be_bytes();
    assert_eq!(nodes[20..], [127, 0, 0, 1, port[0], port[1]]);
}

#[test]
fn with_a_node_to_join_the_server_asks_it() {
    let first = Server::start(&[]);
    let node = first.udp.expect("UDP is on").to_string();
    let second = Server::start(&["--dht-node", &node]);
    let mut http = Http::connect(second.http);
    // It asks at its first tick, and the first server answers at once.
    let known = |http: &mut Http| http.get("/metrics").body.contains("\nwaypost_dht_nodes 1\n");
    let mut tries = 0;
    while !known(&mut http) {
        tries += 1;
        assert!(tries < 5000, "the first server is not known");
        std::thread::yield_now();
        if tries % 50 == 0 {
            http = Http::connect(second.http);
        }
    }
    let client = second.udp_client();
    let found = client.exchange(&query("find_node", &format!("6:target20:{HASH}")));
    let nodes = string(&found, "nodes").expect("nodes");
    let port = first.udp.expect("UDP is on").port().to_be_bytes();
    assert_eq!(nodes[20..26], [127, 0, 0, 1, port[0], port[1]]);
}
