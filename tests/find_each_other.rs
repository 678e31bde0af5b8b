//! Peers find each other, whichever protocol and family each of them speaks.

mod support;

use support::{Http, Server, Udp, member, peers};

fn announce_by_http(http: &mut Http, id: &str, endpoint: &str) {
    let answer = http.post("/announce", &format!(r#"{{"id":"{id}","endpoints":["{endpoint}"]}}"#));
    assert_eq!((answer.status, answer.json("registered").as_deref()), (200, Some("true")), "{answer:?}");
}

fn announce_by_udp(udp: &Udp, id: &str) {
    let token = udp.token();
    let answer = udp.ask(&format!(r#"{{"type":"announce","id":"a","peer_id":"{id}","token":"{token}"}}"#));
    assert_eq!(member(&answer, "registered").as_deref(), Some("true"), "{answer}");
}

fn found_by_http(http: &mut Http, asker: &str) -> Vec<(String, String)> {
    let answer = http.get(&format!("/peers?exclude={asker}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    peers(&answer.body)
}

fn found_by_udp(udp: &Udp) -> String {
    let token = udp.token();
    let answer = udp.ask(&format!(r#"{{"type":"find_peers","id":"f","token":"{token}"}}"#));
    assert_eq!(member(&answer, "type").as_deref(), Some("peers"), "{answer}");
    member(&answer, "peers").unwrap()
}

#[test]
fn two_over_http() {
    let server = Server::start(&[]);
    announce_by_http(&mut server.connect(), "alice", "tcp://:9000");
    announce_by_http(&mut server.connect(), "bob", "tcp://127.0.0.1:9001");
    let seen_by_bob = found_by_http(&mut server.connect(), "bob");
    assert_eq!(seen_by_bob, [("alice".into(), r#"["tcp://127.0.0.1:9000"]"#.into())]);
    let seen_by_alice = found_by_http(&mut server.connect(), "alice");
    assert_eq!(seen_by_alice, [("bob".into(), r#"["tcp://127.0.0.1:9001"]"#.into())]);
}

#[test]
fn two_over_udp() {
    let server = Server::start(&[]);
    let (alice, bob) = (server.udp_client(), server.udp_client());
    announce_by_udp(&alice, "alice");
    announce_by_udp(&bob, "bob");
    let alice_at = format!("\"{}\"", alice.socket.local_addr().unwrap());
    let bob_at = format!("\"{}\"", bob.socket.local_addr().unwrap());
    assert!(found_by_udp(&bob).contains(&alice_at));
    assert!(found_by_udp(&alice).contains(&bob_at));
}

#[test]
fn one_over_each() {
    let server = Server::start(&[]);
    announce_by_http(&mut server.connect(), "alice", "udp://:9000");
    let bob = server.udp_client();
    announce_by_udp(&bob, "bob");
    assert!(found_by_udp(&bob).contains("\"127.0.0.1:9000\""));
    let bob_at = format!("[\"udp://{}\"]", bob.socket.local_addr().unwrap());
    assert_eq!(found_by_http(&mut server.connect(), "alice"), [("bob".into(), bob_at)]);
}

#[test]
fn over_ipv6_and_across_the_families() {
    let server = Server::start(&[]);
    if !server.has_ipv6 {
        return;
    }
    announce_by_http(&mut Http::connect(server.http_v6()), "alice", "tcp://:9000");
    announce_by_http(&mut server.connect(), "bob", "tcp://:9001");
    let carol = Udp::connect(server.udp_v6());
    announce_by_udp(&carol, "carol");
    let mut seen = found_by_http(&mut server.connect(), "bob");
    seen.sort();
    let carol_at = format!("[\"udp://{}\"]", carol.socket.local_addr().unwrap());
    assert_eq!(seen, [("alice".into(), r#"["tcp://[::1]:9000"]"#.into()), ("carol".into(), carol_at)]);
    let found = found_by_udp(&carol);
    assert!(found.contains("\"[::1]:9000\"") && found.contains("\"127.0.0.1:9001\""), "{found}");
}

#[test]
fn a_peer_that_left_is_not_found() {
    let server = Server::start(&[]);
    announce_by_http(&mut server.connect(), "alice", "tcp://:9000");
    let left = server.post("/leave", r#"{"id":"alice"}"#);
    assert_eq!((left.status, left.json("removed").as_deref()), (200, Some("true")));
    assert_eq!(found_by_http(&mut server.connect(), "bob"), []);
}

#[test]
fn networks_are_separate_rooms() {
    let server = Server::start(&[]);
    server.post("/announce", r#"{"id":"alice","endpoints":["tcp://:1"],"network":"chess"}"#);
    assert_eq!(server.get("/peers").peer_ids(), [""; 0]);
    assert_eq!(server.get("/peers?network=chess").peer_ids(), ["alice"]);
}
