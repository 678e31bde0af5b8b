//! KRPC over real sockets, IPv4 and IPv6: two nodes that find each other, torrents that are found over JSON and the other way
//! round, and two servers that join.

mod support;

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Instant;

use support::{PATIENCE, Server, peers, waypost};
use waypost::wire::bencode::Dict;
use waypost::wire::krpc::{Message, Response, compact};

/// The key of `pscryptochat`.
const KEY: [u8; 20] = [
    0xdc, 0x90, 0xeb, 0x70, 0x3f, 0xbe, 0x5e, 0xd4, 0x56, 0x2f, 0xcd, 0xe5, 0x93, 0x77, 0x31, 0x0f, 0x23,
    0x76, 0x80, 0xe7,
];

/// A node of the DHT: it asks, and answers pings while it waits.
struct Node {
    socket: UdpSocket,
    server: SocketAddr,
    id: [u8; 20],
}

impl Node {
    /// A node on the server's loopback interface.
    fn new(server: SocketAddr, number: u8) -> Self {
        let loopback: IpAddr =
            if server.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        let socket = UdpSocket::bind((loopback, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, server, id: [number; 20] }
    }

    fn addr(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    /// The next datagram, and who sent it.
    fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let mut datagram = [0; 2048];
        let (n, from) = support::uninterrupted(|| self.socket.recv_from(&mut datagram)).expect("a datagram");
        (datagram[..n].into(), from)
    }

    /// A query; `arguments` are those behind the id.
    fn ask(&self, name: &str, arguments: &[u8]) -> Vec<u8> {
        let head = [&b"d1:ad2:id20:"[..], &self.id, arguments].concat();
        let query =
            [&head[..], format!("e1:q{}:{name}1:t2:aa1:v4:TE011:y1:qe", name.len()).as_bytes()].concat();
        self.socket.send_to(&query, self.server).unwrap();
        loop {
            let (datagram, from) = self.receive();
            if !self.answers(&datagram, from) {
                return datagram;
            }
        }
    }

    /// Answers, if this is a query.
    fn answers(&self, datagram: &[u8], from: SocketAddr) -> bool {
        let Ok(Message::Query(query)) = Message::parse(datagram) else { return false };
        let head = [&b"d1:rd2:id20:"[..], &self.id, b"e1:t"].concat();
        let length = format!("{}:", query.transaction.len());
        let answer = [&head[..], length.as_bytes(), query.transaction, b"1:y1:re"].concat();
        self.socket.send_to(&answer, from).unwrap();
        true
    }

    /// Waits until somebody asks something, and answers. Returns who it was.
    fn wait_for_ping(&self) -> SocketAddr {
        let (datagram, from) = self.receive();
        assert!(self.answers(&datagram, from), "{}", datagram.escape_ascii());
        from
    }

    fn find_node(&self) -> Vec<SocketAddr> {
        let answer = self.ask("find_node", &[&b"6:target20:"[..], &self.id].concat());
        let response = response(&answer);
        let v4 = response.nodes.iter().map(|node| &node[20..]);
        let nodes = v4.chain(response.nodes6.iter().map(|node| &node[20..]));
        nodes.filter_map(compact).map(|(addr, port)| SocketAddr::new(addr.ip(), port)).collect()
    }

    /// The token for an announce, and the peers.
    fn get_peers(&self) -> (Vec<u8>, Vec<SocketAddr>) {
        let answer = self.ask("get_peers", &[&b"9:info_hash20:"[..], &KEY].concat());
        let token = Dict::parse(&answer).unwrap().dict(b"r").unwrap().bytes(b"token").unwrap().to_vec();
        (token, values(&answer))
    }

    fn announce_peer(&self, port: &str, token: &[u8]) -> Vec<u8> {
        let arguments = [&b"9:info_hash20:"[..], &KEY, port.as_bytes(), b"5:token8:", token].concat();
        self.ask("announce_peer", &arguments)
    }
}

fn response(answer: &[u8]) -> Response<'_> {
    match Message::parse(answer) {
        Ok(Message::Response(response)) => response,
        other => panic!("{other:?}: {}", answer.escape_ascii()),
    }
}

/// The peers in an answer to `get_peers`, sorted.
fn values(answer: &[u8]) -> Vec<SocketAddr> {
    let Some(at) = answer.windows(9).position(|window| window == b"6:valuesl") else { return Vec::new() };
    let mut rest = &answer[at + 9..];
    let mut values = Vec::new();
    while rest.first() != Some(&b'e') {
        let (digits, bytes) = if rest.starts_with(b"18:") { (3, 18) } else { (2, 6) };
        let (addr, port) = compact(&rest[digits..digits + bytes]).unwrap();
        values.push(SocketAddr::new(addr.ip(), port));
        rest = &rest[digits + bytes..];
    }
    values.sort();
    values
}

/// A gauge or counter of the server.
fn metric(server: &Server, name: &str) -> u64 {
    let body = server.get("/metrics").body;
    let line = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

/// Waits until `ready`, for what no datagram tells of.
#[expect(clippy::disallowed_methods, reason = "a test must end")]
fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !ready() {
        assert!(Instant::now() < end, "{what}");
        std::thread::yield_now();
    }
}

fn local(port: u16) -> SocketAddr {
    (IpAddr::from([127, 0, 0, 1]), port).into()
}

#[test]
fn a_ping() {
    let server = Server::start(&[]);
    let node = Node::new(server.udp.unwrap(), 1);
    let pong = node.ask("ping", b"");
    let response = response(&pong);
    assert_eq!(response.transaction, b"aa");
    let (addr, port) = compact(response.ip).unwrap();
    assert_eq!(SocketAddr::new(addr.ip(), port), node.addr());
    if server.has_ipv6 {
        let node = Node::new(server.udp_v6(), 1);
        let pong = node.ask("ping", b"");
        let (addr, port) = compact(self::response(&pong).ip).unwrap();
        assert_eq!(SocketAddr::new(addr.ip(), port), node.addr());
    }
}

#[test]
fn two_nodes_find_each_other() {
    let server = Server::start(&[]);
    let v6 = server.has_ipv6.then(|| server.udp_v6());
    let mut listed = 0;
    for server_addr in server.udp.into_iter().chain(v6) {
        let (one, two) = (Node::new(server_addr, 1), Node::new(server_addr, 2));
        assert_eq!(one.find_node(), []);
        for node in [&one, &two] {
            node.find_node();
            assert_eq!(node.wait_for_ping(), server_addr);
            listed += 1;
            wait_until("it is listed", || metric(&server, "waypost_dht_nodes") == listed);
        }
        assert_eq!(two.find_node(), [one.addr()]);
        assert_eq!(one.find_node(), [two.addr()]);
        // Nobody is pinged again, whatever it asks.
        let queries = metric(&server, "waypost_dht_queries_total");
        assert_eq!(queries, listed);
    }
}

#[test]
fn torrents_and_json_find_each_other() {
    let server = Server::start(&[]);
    let (one, two) = (Node::new(server.udp.unwrap(), 1), Node::new(server.udp.unwrap(), 2));
    let (token, found) = one.get_peers();
    assert_eq!(found, []);
    response(&one.announce_peer("4:porti7001e", &token));
    assert_eq!(two.get_peers().1, [local(7001)]);
    server.post("/announce", r#"{"id":"alice","endpoints":["tcp://:9000","udp://:9001"]}"#);
    assert_eq!(two.get_peers().1, [local(7001), local(9001)]);

    let refused = one.announce_peer("4:porti7002e", b"01234567");
    assert!(refused.starts_with(b"d1:eli203e9:bad_tokene2:ip6:"), "{}", refused.escape_ascii());
    let mut listed = peers(&server.get("/peers").body);
    listed.sort();
    let [(id, endpoints), (alice, _)] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((id.as_str(), alice.as_str()), ("127.0.0.1:7001", "alice"));
    assert!(endpoints.contains("\"udp://127.0.0.1:7001\"") && endpoints.contains("\"tcp://127.0.0.1:7001\""));
}

#[test]
fn who_announces_over_ipv6_is_found_over_ipv6() {
    let server = Server::start(&[]);
    if !server.has_ipv6 {
        return println!("no IPv6 here");
    }
    let (one, two) = (Node::new(server.udp_v6(), 1), Node::new(server.udp_v6(), 2));
    let (token, _) = one.get_peers();
    let implied = [&b"12:implied_porti1e9:info_hash20:"[..], &KEY, b"4:porti1e5:token8:", &token].concat();
    response(&one.ask("announce_peer", &implied));
    assert_eq!(two.get_peers().1, [one.addr()]);
    assert_eq!(Node::new(server.udp.unwrap(), 3).get_peers().1, []);
}

#[test]
fn what_is_no_query_gets_silence() {
    let server = Server::start(&[]);
    let node = Node::new(server.udp.unwrap(), 1);
    let pong = node.ask("ping", b"");
    for datagram in [&pong[..], b"d", b"de", b"d1:eli201e1:xe1:t2:aa1:y1:ee", b"d1:q4:ping1:t2:aa1:y1:qe"] {
        node.socket.send_to(datagram, node.server).unwrap();
    }
    // Datagrams of one socket are answered in order.
    let answer = node.ask("find_node", b"");
    assert!(answer.starts_with(b"d1:eli203e11:bad_request"), "{}", answer.escape_ascii());
}

#[test]
fn a_server_joins_another() {
    let wide = Server::start(&[]);
    let node = Node::new(wide.udp.unwrap(), 1);
    node.find_node();
    node.wait_for_ping();
    wait_until("it is listed", || metric(&wide, "waypost_dht_nodes") == 1);
    for host in ["127.0.0.1", "localhost"] {
        let joining = Server::start(&[&format!("--dht-node={host}:{}", wide.udp.unwrap().port())]);
        assert_eq!(node.wait_for_ping(), joining.udp.unwrap(), "it was told of the node");
        // Under a name the wide server has two addresses.
        wait_until("both are listed", || metric(&joining, "waypost_dht_nodes") >= 2);
    }
}

#[test]
fn a_node_to_join_that_has_no_address_is_left_out() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-host");
    let mut command = waypost();
    command.args(["serve", "--port=0", "--udp-port=auto", "--no-mdns", "--dht-node=no host:6881"]);
    command.stderr(File::create(&path).unwrap());
    let server = Server::spawn(command);
    response(&Node::new(server.udp.unwrap(), 1).ask("ping", b""));
    let warning = fs::read_to_string(&path).unwrap();
    assert!(warning.contains("--dht-node no host:6881") && warning.lines().count() == 1, "{warning}");
}
