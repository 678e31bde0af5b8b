//! The client's questions, answered by the real server over HTTP and UDP, and by servers that are lossy, slow or hostile.
#![cfg(feature = "client")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use support::{PATIENCE, Server, member, uninterrupted};
use waypost::client::failure::Failure;
use waypost::client::message::{Announce, AnnounceAnswer, Leave, PeersQuery};
use waypost::client::pow;
use waypost::client::reach::Reach;
use waypost::client::url::{Target, Way};
use waypost::net::clock::Clock;
use waypost::rng::Seed;
use waypost::time::Instant;

/// Long enough for any answer, and never waited out by a test that passes.
fn patient(reach: &Reach) -> Instant {
    reach.clock().now().plus_ms(PATIENCE.as_millis() as u64)
}

/// A moment that will be waited for.
fn soon(reach: &Reach) -> Instant {
    reach.clock().now().plus_ms(600)
}

fn reach() -> Reach {
    Reach::new(Clock::start(), &Seed([7; 32]))
}

fn target(scheme: &str, address: SocketAddr) -> Target {
    Way::parse(&format!("{scheme}://{address}")).unwrap().into()
}

fn query() -> PeersQuery {
    PeersQuery { network: "chess".into(), limit: 50, transport: Vec::new(), exclude: None }
}

fn announce(id: &str) -> Announce {
    Announce {
        network: "chess".into(),
        id: Some(id.into()),
        endpoints: vec!["udp://:9000".into()],
        ..Announce::default()
    }
}

fn leave(id: &str) -> Leave {
    Leave { network: "chess".into(), id: Some(id.into()), ..Leave::default() }
}

/// The ways to a server, over HTTP and over UDP.
fn ways(server: &Server) -> [Target; 2] {
    [target("http", server.http), target("udp", server.udp.unwrap())]
}

fn word(failure: Failure) -> String {
    match failure {
        Failure::Refused { word, .. } => word,
        other => panic!("{other}"),
    }
}

#[test]
fn peers_are_announced_found_and_taken_back() {
    let server = Server::start(&[]);
    smol::block_on(async {
        let reach = reach();
        let deadline = patient(&reach);
        for to in ways(&server) {
            assert!(reach.peers(&to, &query(), deadline).await.unwrap().peers.is_empty());
            let answer = reach.announce(&to, &announce("alice"), deadline).await.unwrap();
            let AnnounceAnswer::Registered { expires_s: 300, id, you, .. } = answer else {
                panic!("{answer:?}");
            };
            assert_eq!((id.as_deref(), you), (Some("alice"), "127.0.0.1".parse().ok()));
            for from in ways(&server) {
                let found = reach.peers(&from, &query(), deadline).await.unwrap();
                assert_eq!(found.peers[0].endpoints, ["udp://127.0.0.1:9000"]);
                assert_eq!(found.from, "127.0.0.1".parse().ok());
            }
            assert_eq!(reach.leave(&to, &leave("alice"), deadline).await, Ok(true));
            assert_eq!(reach.leave(&to, &leave("alice"), deadline).await, Ok(false));
        }
    });
}

#[test]
fn refusals_are_the_servers_words() {
    let server = Server::start(&[]);
    smol::block_on(async {
        let reach = reach();
        let deadline = patient(&reach);
        for to in ways(&server) {
            let foreign = Announce { endpoints: vec!["tcp://192.0.2.1:9".into()], ..announce("a") };
            let refused = reach.announce(&to, &foreign, deadline).await.unwrap_err();
            assert_eq!(word(refused), "endpoint_not_yours");
            let many = PeersQuery { transport: vec!["no scheme".into()], ..query() };
            assert_eq!(word(reach.peers(&to, &many, deadline).await.unwrap_err()), "bad_request");
        }
        let odd = PeersQuery { network: "a b".into(), ..query() };
        let refused = reach.peers(&ways(&server)[0], &odd, deadline).await.unwrap_err();
        assert!(matches!(refused, Failure::Unsupported(_)), "{refused}");
    });
}

#[test]
fn work_is_wanted_and_paid() {
    let server = Server::start(&["--pow=9"]);
    smol::block_on(async {
        let reach = reach();
        let deadline = patient(&reach);
        for (to, id) in ways(&server).iter().zip(["a", "b"]) {
            let answer = reach.announce(to, &announce(id), deadline).await.unwrap();
            let AnnounceAnswer::WorkWanted { challenge, difficulty: 9 } = answer else {
                panic!("{answer:?}");
            };
            let nonce = pow::solve(&challenge, 9, || std::time::Duration::ZERO).unwrap();
            let paid = Announce { pow: Some((challenge, nonce)), ..announce(id) };
            let answer = reach.announce(to, &paid, deadline).await.unwrap();
            assert!(matches!(answer, AnnounceAnswer::Registered { .. }), "{answer:?}");
        }
    });
}

#[test]
fn a_server_tells_how_and_who_it_is_and_where_we_are() {
    let server = Server::start(&[]);
    smol::block_on(async {
        let reach = reach();
        let deadline = patient(&reach);
        let [http, udp] = ways(&server);
        let health = reach.health(&http, deadline).await.unwrap();
        assert_eq!((health.status.as_str(), health.version.as_deref()), ("healthy", Some("0.1.0")));
        let (well_known, caching) = reach.well_known(&http, deadline).await.unwrap();
        assert!(well_known.servers.is_empty() && caching.no_store);
        let pong = reach.ping(&udp, deadline).await.unwrap();
        assert_eq!(pong.server_id, well_known.bootstrap_id);
        assert_eq!(pong.you.unwrap().ip(), server.http.ip());
        assert_eq!(reach.stun(&udp, deadline).await.unwrap().ip(), server.http.ip());
        let metrics = reach.get(&http, "/metrics", deadline).await.unwrap();
        assert_eq!(metrics.status, 200);
        assert_eq!(reach.get(&http, "/nowhere", deadline).await.unwrap().status, 404);
        for failure in [
            reach.ping(&http, deadline).await.unwrap_err(),
            reach.stun(&http, deadline).await.unwrap_err(),
            reach.health(&udp, deadline).await.unwrap_err(),
        ] {
            assert!(matches!(failure, Failure::Unsupported(_)), "{failure}");
        }
        if server.has_ipv6 {
            let udp = target("udp", server.udp_v6());
            assert_eq!(reach.stun(&udp, deadline).await.unwrap().ip(), server.udp_v6().ip());
            let found = reach.peers(&target("http", server.http_v6()), &query(), deadline).await.unwrap();
            assert_eq!((found.from, found.you), (Some(server.http_v6().ip()), Some(server.http_v6().ip())));
        }
    });
}

#[test]
fn names_lead_to_whichever_address_answers() {
    let server = Server::start(&["--bind=127.0.0.1"]);
    smol::block_on(async {
        let reach = reach();
        let deadline = patient(&reach);
        // `localhost` is 127.0.0.1 and ::1, where nobody listens.
        for (scheme, port) in [("http", server.http.port()), ("udp", server.udp.unwrap().port())] {
            let to = Target::from(Way::parse(&format!("{scheme}://localhost:{port}")).unwrap());
            let found = reach.peers(&to, &query(), deadline).await.unwrap();
            assert_eq!(found.from, "127.0.0.1".parse().ok());
        }
        // A SRV record says where the server really is.
        let mut to = Target::from(Way::parse("http://a.invalid").unwrap());
        to.via = Some(("127.0.0.1".into(), server.http.port()));
        assert!(reach.health(&to, deadline).await.is_ok());
    });
}

#[test]
fn a_name_without_an_address_is_a_failure() {
    smol::block_on(async {
        let reach = reach();
        let to = Target::from(Way::parse("http://nobody.invalid").unwrap());
        // Without a resolver the system may take its time to say so.
        let failure = reach.health(&to, soon(&reach)).await.unwrap_err();
        assert!(matches!(failure, Failure::NoSuchHost(_) | Failure::TimedOut), "{failure}");
    });
}

#[test]
fn a_pinned_key_must_sign_the_answer_to_this_question() {
    let (server, other) = (Server::start(&[]), Server::start(&[]));
    let id = |server: &Server| {
        let id = server.get("/.well-known/waypost").json("bootstrap_id").unwrap();
        waypost::wire::hex::decode::<20>(id.as_bytes()).unwrap()
    };
    let pin = Some(id(&server));
    smol::block_on(async {
        let reach = reach();
        let deadline = patient(&reach);
        let [http, udp] = ways(&server).map(|to| Target { pin, ..to });
        assert!(reach.peers(&http, &query(), deadline).await.is_ok());
        assert!(reach.ping(&udp, deadline).await.is_ok());
        let impostor = Target { pin, ..target("http", other.http) };
        let failure = reach.peers(&impostor, &query(), deadline).await.unwrap_err();
        assert!(matches!(failure, Failure::WrongIdentity(_)), "{failure}");
        let impostor = Target { pin, ..target("udp", other.udp.unwrap()) };
        let failure = reach.ping(&impostor, deadline).await.unwrap_err();
        assert!(matches!(failure, Failure::WrongIdentity(_)), "{failure}");
        let failure = reach.peers(&udp, &query(), deadline).await.unwrap_err();
        assert!(matches!(failure, Failure::Unsupported(_)), "{failure}");

        // Somebody who has seen an answer of the server says it again.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let replayer = Target { pin, ..target("http", listener.local_addr().unwrap()) };
        let http = server.http;
        let replay = thread::spawn(move || {
            let seen = ask(http, "/peers?network=chess&limit=50&nonce=00112233445566778899aabbccddeeff");
            accept(&listener).write_all(&seen).unwrap();
        });
        let failure = reach.peers(&replayer, &query(), deadline).await.unwrap_err();
        replay.join().unwrap();
        let why = "its answer is not signed for this question";
        assert_eq!(failure, Failure::WrongIdentity(why));
        // Somebody in the middle hands the question on, and changes the answer.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let liar = Target { pin, ..target("http", listener.local_addr().unwrap()) };
        let lie = thread::spawn(move || {
            let mut stream = accept_unread(&listener);
            let request = head_of(&mut stream);
            let answer = ask(http, request.split(' ').nth(1).unwrap());
            let answer = String::from_utf8(answer).unwrap().replace("\"ttl\":300", "\"ttl\":301");
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let failure = reach.peers(&liar, &query(), deadline).await.unwrap_err();
        lie.join().unwrap();
        assert_eq!(failure, Failure::WrongIdentity(why));
    });
}

/// The bytes of the answer to `GET target`.
fn ask(server: SocketAddr, target: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(server).unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

/// The next connection.
fn accept_unread(listener: &TcpListener) -> TcpStream {
    let (stream, _) = uninterrupted(|| listener.accept()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The next connection, when its request has been read.
fn accept(listener: &TcpListener) -> TcpStream {
    let mut stream = accept_unread(listener);
    head_of(&mut stream);
    stream
}

/// The head of a request without a body.
fn head_of(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(uninterrupted(|| stream.read(&mut byte)).unwrap(), 1);
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

/// What becomes of a question for health to a server that does this with its connection.
fn with_server(serve: impl FnOnce(TcpStream) + Send + 'static) -> Failure {
    with_server_until(patient, serve)
}

/// The same within a time of one's own.
fn with_server_until(
    deadline: fn(&Reach) -> Instant,
    serve: impl FnOnce(TcpStream) + Send + 'static,
) -> Failure {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = target("http", listener.local_addr().unwrap());
    let server = thread::spawn(move || serve(accept(&listener)));
    let reach = reach();
    let deadline = deadline(&reach);
    let failure = smol::block_on(reach.health(&to, deadline)).unwrap_err();
    assert!(reach.clock().now() < deadline.plus_ms(5_000), "long after the deadline");
    drop(reach);
    server.join().unwrap();
    failure
}

/// Until the client has gone.
fn wait_for_the_end(mut stream: TcpStream) {
    while uninterrupted(|| stream.read(&mut [0; 64])).is_ok_and(|read| read > 0) {}
}

#[test]
fn servers_that_misbehave_are_given_up_in_time() {
    assert_eq!(with_server_until(soon, wait_for_the_end), Failure::TimedOut, "it never answers");
    let dripping = with_server_until(soon, |mut stream| {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n".iter().chain([b'x'; 9000].iter());
        stream.set_read_timeout(Some(std::time::Duration::from_millis(20))).unwrap();
        for byte in answer {
            // Reading is how it waits between two bytes.
            if stream.write_all(&[*byte]).is_err() || stream.read(&mut [0]).is_ok() {
                return;
            }
        }
    });
    assert_eq!(dripping, Failure::TimedOut, "it answers byte by byte");
    let endless = with_server(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        let _ = stream.write_all(&[b'x'; 100 * 1024]);
    });
    assert_eq!(endless, Failure::TooLong);
    let garbage = with_server(|mut stream| drop(stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n")));
    assert!(matches!(garbage, Failure::Nonsense(_)), "{garbage}");
    let page = with_server(|mut stream| {
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"));
    });
    assert!(matches!(page, Failure::Nonsense(_)), "{page}");
    let early = with_server(|mut stream| {
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\n{\"status\":"));
    });
    let said = "the connection broke: the server closed it before its answer was whole";
    assert_eq!(early.to_string(), said);
    let moved =
        with_server(|mut stream| {
            drop(stream.write_all(
                b"HTTP/1.1 302 Found\r\nLocation: https://a.invalid/\r\nContent-Length: 0\r\n\r\n",
            ));
        });
    assert_eq!(moved, Failure::Status(302));
    let limited = with_server(|mut stream| {
        let body = "{\"error\":\"rate_limited\",\"detail\":\"Slow down.\"}";
        let head = format!("HTTP/1.1 429 X\r\nRetry-After: 7\r\nContent-Length: {}\r\n\r\n", body.len());
        drop(stream.write_all((head + body).as_bytes()));
    });
    let said = "it refuses: rate_limited, \"Slow down.\"; it may be asked again in 7 s";
    assert_eq!(limited.to_string(), said);
}

#[test]
fn where_nobody_listens_is_unreachable_at_once() {
    let port = |address: SocketAddr| address.port();
    let tcp = port(TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let udp = port(UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    smol::block_on(async {
        let reach = reach();
        for (scheme, port) in [("http", tcp), ("udp", udp)] {
            let to = Target::from(Way::parse(&format!("{scheme}://127.0.0.1:{port}")).unwrap());
            let failure = reach.peers(&to, &query(), patient(&reach)).await.unwrap_err();
            assert_eq!(failure.to_string(), "cannot connect: connection refused", "{scheme}");
        }
        let to = Target::from(Way::parse(&format!("http://127.0.0.1:{tcp}")).unwrap());
        assert_eq!(reach.health(&to, Instant::START).await, Err(Failure::TimedOut), "no time is left");
    });
}

/// A UDP server in front of the real one that loses the first `lost` datagrams of each direction.
struct Lossy {
    address: SocketAddr,
    relay: thread::JoinHandle<Vec<String>>,
}

impl Lossy {
    /// Ends when it has handed on `answers` answers. Returns all questions that came.
    fn start(server: SocketAddr, lost: usize, answers: usize) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = front.local_addr().unwrap();
        let relay = thread::spawn(move || {
            let back = UdpSocket::bind("127.0.0.1:0").unwrap();
            back.connect(server).unwrap();
            for socket in [&front, &back] {
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
            }
            let (mut questions, mut lost_answers, mut handed_on) = (Vec::new(), 0, 0);
            let mut buffer = [0; 2048];
            while handed_on < answers {
                let (length, client) = uninterrupted(|| front.recv_from(&mut buffer)).unwrap();
                questions.push(String::from_utf8(buffer[..length].into()).unwrap());
                if questions.len() <= lost {
                    continue;
                }
                back.send(&buffer[..length]).unwrap();
                let length = uninterrupted(|| back.recv(&mut buffer)).unwrap();
                if lost_answers < lost {
                    lost_answers += 1;
                    continue;
                }
                // A stranger is faster, and one who guesses is wrong.
                let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
                stranger.send_to(&buffer[..length], client).unwrap();
                front.send_to(br#"{"type":"peers","id":"0","peers":["192.0.2.66:6"]}"#, client).unwrap();
                front.send_to(&buffer[..length], client).unwrap();
                handed_on += 1;
            }
            questions
        });
        Self { address, relay }
    }
}

#[test]
fn what_is_lost_on_the_way_is_sent_again() {
    let server = Server::start(&[]);
    let lossy = Lossy::start(server.udp.unwrap(), 1, 4);
    let to = target("udp", lossy.address);
    smol::block_on(async {
        let reach = reach();
        let deadline = patient(&reach);
        let answer = reach.announce(&to, &announce("alice"), deadline).await.unwrap();
        assert!(matches!(answer, AnnounceAnswer::Registered { .. }), "{answer:?}");
        let found = reach.peers(&to, &query(), deadline).await.unwrap();
        assert_eq!(found.peers[0].endpoints, ["udp://127.0.0.1:9000"]);
        assert_eq!(reach.leave(&to, &leave("alice"), deadline).await, Ok(true));
    });
    let questions = lossy.relay.join().unwrap();
    let kinds: Vec<(String, bool)> = questions
        .iter()
        .map(|text| (member(text, "type").unwrap(), member(text, "token").unwrap().is_empty()))
        .collect();
    let sent = |kind: &str, bare| (kind.to_string(), bare);
    assert_eq!(
        kinds,
        [
            sent("announce", true),
            sent("announce", true),
            sent("announce", true),
            sent("announce", false),
            sent("find_peers", false),
            sent("leave", false),
        ],
        "twice lost, once without a token; the token is kept"
    );
    assert_eq!(member(&questions[0], "id"), member(&questions[3], "id"));
    assert_ne!(member(&questions[3], "id"), member(&questions[4], "id"));
}

#[test]
fn a_peer_is_asked_like_a_server() {
    let server = Server::start(&[]);
    smol::block_on(async {
        let reach = reach();
        let deadline = patient(&reach);
        for number in 0..32_u16 {
            let endpoints = vec![format!("udp://:{}", 9000 + number)];
            let announce = Announce { endpoints, ..announce(&number.to_string()) };
            reach.announce(&ways(&server)[0], &announce, deadline).await.unwrap();
        }
        let found = reach.find_peers_at(server.udp.unwrap(), &query(), deadline).await.unwrap();
        assert_eq!(found.peers.len(), 32, "all that a datagram may tell");
    });
}

#[test]
fn silence_is_no_answer_in_time() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    smol::block_on(async {
        let reach = reach();
        let deadline = soon(&reach);
        let failure = reach.find_peers_at(address, &query(), deadline).await.unwrap_err();
        assert_eq!(failure, Failure::TimedOut);
        assert!(reach.clock().now() >= deadline);
        let to = target("udp", address);
        assert_eq!(reach.stun(&to, soon(&reach)).await, Err(Failure::TimedOut));
    });
    silent.set_nonblocking(true).unwrap();
    let questions = std::iter::from_fn(|| silent.recv(&mut [0; 2048]).ok()).count();
    // Each twice, if the machine is not too busy to come to it.
    assert!((2..=4).contains(&questions), "{questions}");
}

#[test]
fn an_old_token_is_replaced() {
    let server = Server::start(&[]);
    let address = server.udp.unwrap();
    let relay = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = target("udp", relay.local_addr().unwrap());
    let relay = thread::spawn(move || {
        let back = UdpSocket::bind("127.0.0.1:0").unwrap();
        back.connect(address).unwrap();
        for socket in [&relay, &back] {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        let mut buffer = [0; 2048];
        let mut questions = 0;
        while questions < 3 {
            let (length, client) = uninterrupted(|| relay.recv_from(&mut buffer)).unwrap();
            let text = String::from_utf8(buffer[..length].into()).unwrap();
            back.send(&buffer[..length]).unwrap();
            let length = uninterrupted(|| back.recv(&mut buffer)).unwrap();
            let mut answer = String::from_utf8(buffer[..length].into()).unwrap();
            if questions == 0 {
                // The server forgets its tokens: it has started anew.
                let token = member(&answer, "token").unwrap();
                answer = answer.replace(&token, "AAAAAAAAAAA");
            }
            assert_eq!(member(&text, "type").as_deref(), Some("find_peers"));
            relay.send_to(answer.as_bytes(), client).unwrap();
            questions += 1;
        }
    });
    smol::block_on(async {
        let reach = reach();
        let deadline = patient(&reach);
        assert!(reach.peers(&to, &query(), deadline).await.is_ok());
        assert!(reach.peers(&to, &query(), deadline).await.is_ok(), "with a token that is no good");
    });
    relay.join().unwrap();
}
