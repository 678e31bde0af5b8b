//! A client of the older protocol, request by request: announces under `client_id`, asks `GET /peers`, merges by id.

mod support;

use std::collections::BTreeMap;

use support::{Server, peers};

/// What such a client knows: its own id, and where the others are.
struct Client<'s> {
    server: &'s Server,
    id: &'static str,
    port: u16,
    known: BTreeMap<String, String>,
}

impl<'s> Client<'s> {
    fn new(server: &'s Server, id: &'static str, port: u16) -> Self {
        Self { server, id, port, known: BTreeMap::new() }
    }

    fn announce(&self) {
        let Self { id, port, .. } = self;
        let answer = self.server.post(
            "/announce",
            &format!(
                r#"{{"client_id":"{id}","endpoints":["tcp://127.0.0.1:{port}"],"timestamp":1700000000}}"#
            ),
        );
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json("registered").as_deref(), Some("true"));
        assert_eq!(answer.json("expires").as_deref(), Some("300"));
    }

    fn hello(&mut self) {
        let id = self.id;
        let body = format!(r#"{{"client_id":"{id}","supports":["tcp","udp"],"version":"1.0"}}"#);
        let answer = self.server.post("/hello", &body);
        assert_eq!(answer.status, 200, "{answer:?}");
        self.merge(&answer.body);
    }

    fn ask(&mut self) {
        let answer = self.server.get("/peers");
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.json("bootstrap_id").is_some() && answer.json("ttl").is_some(), "{answer:?}");
        self.merge(&answer.body);
    }

    fn merge(&mut self, body: &str) {
        self.known.extend(peers(body).into_iter().filter(|(id, _)| id != self.id));
    }

    fn knows(&self) -> Vec<&str> {
        self.known.keys().map(String::as_str).collect()
    }
}

#[test]
fn three_clients_meet() {
    let server = Server::start_bare(&["--port=0", "--udp-port=0"]);
    let mut alice = Client::new(&server, "alice", 9001);
    let mut bob = Client::new(&server, "bob", 9002);
    let mut carol = Client::new(&server, "carol", 9003);

    alice.hello();
    assert_eq!(alice.knows(), [""; 0], "the first one is alone");
    alice.announce();
    bob.hello();
    bob.announce();
    assert_eq!(bob.knows(), ["alice"]);
    carol.announce();
    carol.ask();
    assert_eq!(carol.knows(), ["alice", "bob"]);
    alice.ask();
    bob.ask();
    assert_eq!(alice.knows(), ["bob", "carol"]);
    assert_eq!(bob.knows(), ["alice", "carol"]);
    assert_eq!(alice.known["carol"], r#"["tcp://127.0.0.1:9003"]"#);

    alice.announce();
    assert_eq!(server.get("/peers").peer_ids(), ["alice", "bob", "carol"], "a second announce is a refresh");
}
