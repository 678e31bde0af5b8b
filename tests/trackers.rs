//! BitTorrent's trackers and STUN over real sockets, IPv4 and IPv6, and what their clients and JSON's see of each other.

mod support;

use std::net::{IpAddr, SocketAddr};

use support::{Http, Server, Udp, member, peers};

/// The key of `pscryptochat`, as a client of the HTTP tracker writes it, and as bytes.
const INFO_HASH: &str = "info_hash=%dc%90%ebp%3f%be%5e%d4V%2f%cd%e5%93w1%0f%23v%80%e7";
const KEY: [u8; 20] = [
    0xdc, 0x90, 0xeb, 0x70, 0x3f, 0xbe, 0x5e, 0xd4, 0x56, 0x2f, 0xcd, 0xe5, 0x93, 0x77, 0x31, 0x0f, 0x23,
    0x76, 0x80, 0xe7,
];
const STARTED: u8 = 2;
const STOPPED: u8 = 3;

/// A client of the UDP tracker (BEP 15).
struct TrackerClient {
    udp: Udp,
    connection_id: [u8; 8],
}

/// Counts of an answer, and its peers.
#[derive(Debug, PartialEq)]
struct Answer {
    interval: u32,
    leechers: u32,
    seeders: u32,
    peers: Vec<SocketAddr>,
}

impl TrackerClient {
    fn connect(udp: Udp) -> Self {
        let answer = udp.exchange(&[0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 1, 2, 3, 4]);
        assert_eq!((answer.len(), &answer[..8]), (16, &[0, 0, 0, 0, 1, 2, 3, 4][..]));
        Self { udp, connection_id: answer[8..].try_into().unwrap() }
    }

    fn head(&self, action: u8) -> Vec<u8> {
        [&self.connection_id[..], &[0, 0, 0, action], b"tidy"].concat()
    }

    fn announce(&self, port: u16, left: u64, event: u8) -> Answer {
        let mut request = self.head(1);
        request.extend(KEY);
        request.extend(b"-XX0001-abcdefghijkl");
        for number in [1, left, 2] {
            request.extend(number.to_be_bytes());
        }
        request.extend([0, 0, 0, event, 192, 0, 2, 1, 9, 9, 9, 9, 0xff, 0xff, 0xff, 0xff]);
        request.extend(port.to_be_bytes());
        assert_eq!(request.len(), 98);
        let answer = self.udp.exchange(&request);
        assert_eq!(answer[..8], *b"\0\0\0\x01tidy", "{}", answer.escape_ascii());
        let number = |at: usize| u32::from_be_bytes(answer[at..at + 4].try_into().unwrap());
        let size = if self.udp.socket.local_addr().unwrap().is_ipv4() { 6 } else { 18 };
        Answer {
            interval: number(8),
            leechers: number(12),
            seeders: number(16),
            peers: answer[20..].chunks(size).map(peer).collect(),
        }
    }
}

/// A compact peer.
fn peer(bytes: &[u8]) -> SocketAddr {
    let (addr, port) = bytes.split_at(bytes.len() - 2);
    let addr: IpAddr = match <[u8; 4]>::try_from(addr) {
        Ok(octets) => octets.into(),
        Err(_) => <[u8; 16]>::try_from(addr).unwrap().into(),
    };
    (addr, u16::from_be_bytes(port.try_into().unwrap())).into()
}

/// The string behind a key of a bencoded answer.
fn string<'a>(answer: &'a [u8], key: &str) -> Option<&'a [u8]> {
    let key = format!("{}:{key}", key.len());
    let at = answer.windows(key.len()).position(|window| window == key.as_bytes())?;
    let rest = &answer[at + key.len()..];
    let colon = rest.iter().position(|&b| b == b':')?;
    let length: usize = std::str::from_utf8(&rest[..colon]).ok()?.parse().ok()?;
    rest[colon + 1..].get(..length)
}

/// An announce to the HTTP tracker.
fn announce(http: &mut Http, rest: &str) -> Vec<u8> {
    let answer = http.get(&format!("/announce?{INFO_HASH}&{rest}"));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain")), "{answer:?}");
    answer.bytes
}

fn compact(answer: &[u8], key: &str) -> Vec<SocketAddr> {
    let size = if key == "peers" { 6 } else { 18 };
    string(answer, key).unwrap_or_default().chunks(size).map(peer).collect()
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn two_over_the_udp_tracker() {
    let server = Server::start(&[]);
    let seeder = TrackerClient::connect(server.udp_client());
    let leecher = TrackerClient::connect(server.udp_client());
    let alone = Answer { interval: 300, leechers: 0, seeders: 1, peers: vec![] };
    assert_eq!(seeder.announce(7001, 0, STARTED), alone);
    let found = Answer { leechers: 1, peers: vec![addr("127.0.0.1:7001")], ..alone };
    assert_eq!(leecher.announce(7002, 9, STARTED), found);
    let scraped = leecher.udp.exchange(&[leecher.head(2), KEY.to_vec(), vec![7; 20]].concat());
    assert_eq!(scraped[..8], *b"\0\0\0\x02tidy");
    assert_eq!(scraped[8..], [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let gone = seeder.announce(7001, 0, STOPPED);
    assert_eq!((gone.seeders, gone.leechers), (0, 1));
    assert_eq!(leecher.announce(7002, 9, 0).peers, []);
    let stranger = TrackerClient { udp: server.udp_client(), connection_id: [0xb5; 8] };
    let refused = stranger.udp.exchange(&[stranger.head(2), KEY.to_vec()].concat());
    assert_eq!(refused[..8], *b"\0\0\0\x03tidy");
    assert!(refused[8..].starts_with(b"bad_token: ") && refused.len() <= 36);
}

#[test]
fn two_over_the_http_tracker() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    let alone = announce(&mut http, "peer_id=-XX0001-abcdefghijkl&port=7001&left=0&event=started&compact=1");
    let counts =
        b"d8:completei1e11:external ip4:\x7f\0\0\x0110:incompletei0e8:intervali300e12:min intervali30e";
    assert_eq!(alone, [&counts[..], b"5:peers0:e"].concat());
    let found = announce(&mut http, "port=7002&left=9");
    assert_eq!(compact(&found, "peers"), [addr("127.0.0.1:7001")]);
    let listed = announce(&mut http, "port=7002&left=9&compact=0");
    assert!(listed.ends_with(b"5:peersld2:ip9:127.0.0.14:porti7001eeee"), "{}", listed.escape_ascii());
    announce(&mut http, "port=7002&left=0&event=completed");
    let scraped = http.get(&format!("/scrape?{INFO_HASH}")).bytes;
    let counts = b"d8:completei2e10:downloadedi1e10:incompletei0eeee";
    assert_eq!(scraped, [&b"d5:filesd20:"[..], &KEY, counts].concat());
    announce(&mut http, "port=7001&event=stopped&numwant=0");
    assert_eq!(server.get("/peers").peer_ids(), ["127.0.0.1:7002"]);
    let failed = http.get("/announce?info_hash=short&port=7001").bytes;
    assert!(string(&failed, "failure reason").unwrap().starts_with(b"bad_request: info_hash "));
}

#[test]
fn the_json_announce_is_beside_the_tracker() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    assert_eq!(
        http.post("/announce", r#"{"id":"alice","endpoints":["tcp://:1"]}"#).json("id").unwrap(),
        "alice"
    );
    http.send(&format!("HEAD /announce?{INFO_HASH}&port=7001 HTTP/1.1\r\nHost: test\r\n\r\n"));
    let head = http.try_response(false).unwrap();
    assert_eq!((head.status, head.header("allow")), (405, Some("GET, POST, OPTIONS")));
    // What a page of another site can make a browser ask: by a script, and as an image.
    for field in ["Origin: http://other.example", "Accept-Language: en"] {
        http.send(&format!("GET /announce?{INFO_HASH}&port=7001 HTTP/1.1\r\nHost: test\r\n{field}\r\n\r\n"));
        assert_eq!(http.response().status, 403, "{field}");
    }
    assert_eq!(server.get("/peers").peer_ids(), ["alice"]);
}

#[test]
fn ipv6() {
    let server = Server::start(&[]);
    if !server.has_ipv6 {
        return println!("no IPv6 here");
    }
    let udp = TrackerClient::connect(Udp::connect(server.udp_v6()));
    assert_eq!(udp.announce(7001, 0, STARTED).peers, []);
    let mut http = Http::connect(server.http_v6());
    let found = announce(&mut http, "port=7002");
    assert_eq!(string(&found, "external ip").unwrap(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!((compact(&found, "peers"), compact(&found, "peers6")), (vec![], vec![addr("[::1]:7001")]));
    assert_eq!(udp.announce(7001, 0, 0).peers, [addr("[::1]:7002")]);
    let four = TrackerClient::connect(server.udp_client()).announce(7003, 1, STARTED);
    assert_eq!((four.seeders, four.leechers, four.peers), (1, 2, vec![]), "counted, but out of its reach");
    assert_eq!(compact(&announce(&mut http, "port=7002"), "peers"), [addr("127.0.0.1:7003")]);
}

#[test]
fn each_protocol_finds_the_others() {
    let server = Server::start(&[]);
    let mut http = server.connect();
    http.post("/announce", r#"{"id":"alice","endpoints":["udp://:9001","tcp://:9000"]}"#);
    let carol = server.udp_client();
    carol.ask(&format!(
        r#"{{"type":"announce","id":"1","peer_id":"carol","port":9100,"token":"{}"}}"#,
        carol.token()
    ));

    let mut over_udp = TrackerClient::connect(server.udp_client()).announce(7001, 0, STARTED).peers;
    over_udp.sort();
    assert_eq!(over_udp, [addr("127.0.0.1:9001"), addr("127.0.0.1:9100")], "udp first");
    let mut over_http = compact(&announce(&mut http, "port=7002"), "peers");
    over_http.sort();
    assert_eq!(over_http, ["127.0.0.1:7001", "127.0.0.1:9000", "127.0.0.1:9100"].map(addr), "tcp first");
    // One peer, whichever tracker it uses.
    announce(&mut http, "port=7001");

    let mut over_json = peers(&server.get("/peers").body);
    over_json.sort();
    let tracked = |port: u16| {
        (format!("127.0.0.1:{port}"), format!(r#"["tcp://127.0.0.1:{port}","udp://127.0.0.1:{port}"]"#))
    };
    assert_eq!(over_json[..2], [tracked(7001), tracked(7002)]);
    assert_eq!((over_json.len(), over_json[2].0.as_str(), over_json[3].0.as_str()), (4, "alice", "carol"));
    let found = carol.ask(&format!(r#"{{"type":"find_peers","id":"2","token":"{}"}}"#, carol.token()));
    assert!(member(&found, "peers").unwrap().contains("\"127.0.0.1:7002\""), "{found}");
}

/// The address in the answer to a Binding request (RFC 8489 section 14.2).
fn mapped_address(answer: &[u8], request: &[u8]) -> SocketAddr {
    assert_eq!(answer[..2], [1, 1], "{}", answer.escape_ascii());
    assert_eq!(usize::from(answer[3]), answer.len() - 20);
    assert_eq!(answer[4..20], request[4..20]);
    assert_eq!((&answer[20..22], answer[24]), (&[0, 0x20][..], 0));
    assert_eq!(answer[25], if answer.len() == 32 { 1 } else { 2 });
    let plain: Vec<u8> = answer[28..].iter().zip(&request[4..]).map(|(octet, mask)| octet ^ mask).collect();
    peer(&[&plain[..], &[answer[26] ^ 0x21, answer[27] ^ 0x12]].concat())
}

#[test]
fn stun_and_json_tell_the_same_address() {
    let server = Server::start(&[]);
    let mut clients = vec![server.udp_client()];
    if server.has_ipv6 {
        clients.push(Udp::connect(server.udp_v6()));
    }
    let request = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], b"transaction!"].concat();
    for client in clients {
        let mapped = mapped_address(&client.exchange(&request), &request);
        assert_eq!(mapped, client.socket.local_addr().unwrap());
        let pong = client.ask(&format!(r#"{{"type":"ping","id":"1","pad":"{}"}}"#, "x".repeat(150)));
        assert_eq!(member(&pong, "you").unwrap(), mapped.to_string());
    }
}
