//! Peers that sign what they say: nobody else can change it, and nobody needs to trust who hands it on.

mod support;

use support::{Response, Server, member};
use waypost::endpoint::Endpoint;
use waypost::id::NetworkKey;
use waypost::record::Seal;
use waypost::wire::Writer;

/// A peer with a key.
struct Peer {
    seed: [u8; 32],
    id: String,
}

impl Peer {
    fn new(seed: u8) -> Self {
        let seed = [seed; 32];
        let seal = Seal::sign(&seed, NetworkKey([0; 20]), 0, []).unwrap();
        Self { seed, id: seal.id().id().as_str().to_owned() }
    }

    /// The members `key`, `seq` and `sig` for these endpoints in the network `room`.
    fn seal(&self, seq: u64, endpoints: &[&str]) -> String {
        self.seal_in("room", seq, endpoints)
    }

    fn seal_in(&self, network: &str, seq: u64, endpoints: &[&str]) -> String {
        let network = NetworkKey::of_name(network).unwrap();
        let endpoints = endpoints.iter().map(|text| Endpoint::parse(text).unwrap());
        let seal = Seal::sign(&self.seed, network, seq, endpoints).unwrap();
        let text = |put: &dyn Fn(&mut Writer<'_>)| {
            let mut buffer = [0; 100];
            let mut writer = Writer::new(&mut buffer);
            put(&mut writer);
            String::from_utf8(writer.written().into()).unwrap()
        };
        let key = text(&|out| seal.emit_key(out).unwrap());
        let sig = text(&|out| seal.emit_sig(out).unwrap());
        format!(r#","key":"{key}","seq":{seq},"sig":"{sig}""#)
    }
}

const HERE: &str = "tcp://127.0.0.1:9000";
const ALSO_HERE: &str = "udp://127.0.0.1:9001";

fn announce(server: &Server, id: &str, endpoints: &[&str], seal: &str) -> Response {
    let list = endpoints.join(r#"",""#);
    let body = format!(r#"{{"id":"{id}","network":"room","endpoints":["{list}"]{seal}}}"#);
    server.post("/announce", &body)
}

fn leave(server: &Server, id: &str, rest: &str) -> Response {
    server.post("/leave", &format!(r#"{{"id":"{id}","network":"room"{rest}}}"#))
}

fn said(response: &Response) -> (u16, String) {
    (response.status, response.json("error").unwrap_or_default())
}

fn refused(word: &str) -> (u16, String) {
    let status = match word {
        "bad_signature" | "bad_endpoint" => 400,
        "signature_required" => 403,
        _ => 409,
    };
    (status, word.into())
}

#[test]
fn a_client_can_verify_what_it_is_told() {
    let (server, peer) = (Server::start(&[]), Peer::new(1));
    let seal = peer.seal(7, &[HERE, ALSO_HERE]);
    assert_eq!(said(&announce(&server, &peer.id, &[HERE, ALSO_HERE], &seal)).0, 200);
    // Filters choose among peers, and cut nothing out of a signed one.
    for query in ["", "&transport=udp"] {
        let body = server.get(&format!("/peers?network=room{query}")).body;
        assert!(body.contains(&seal[1..]), "{body}");
        let listed = support::peers(&body);
        assert_eq!(listed, [(peer.id.clone(), format!(r#"["{HERE}","{ALSO_HERE}"]"#))]);
        let member = |name| member(&format!("{{{}}}", &seal[1..]), name).unwrap();
        let given = Seal::parse(&member("key"), member("seq").parse().unwrap(), &member("sig")).unwrap();
        let endpoints = [HERE, ALSO_HERE].map(|text| Endpoint::parse(text).unwrap());
        assert!(given.verify(NetworkKey::of_name("room").unwrap(), endpoints));
    }
    assert!(server.get("/peers?network=room&transport=ws").peer_ids().is_empty());
}

#[test]
fn nobody_else_can_change_it() {
    let (server, peer, thief) = (Server::start(&[]), Peer::new(1), Peer::new(2));
    assert_eq!(announce(&server, &peer.id, &[HERE], &peer.seal(7, &[HERE])).status, 200);
    let forged_key = thief.seal(8, &[ALSO_HERE]);
    let spliced = |seal: &str, seq: &str| seal.replace(r#""seq":7"#, seq);
    for (what, endpoint, seal, word) in [
        ("no seal", ALSO_HERE, String::new(), "id_taken"),
        ("another key", ALSO_HERE, forged_key, "bad_signature"),
        ("the same number", ALSO_HERE, peer.seal(7, &[ALSO_HERE]), "stale_seq"),
        ("a lower number", ALSO_HERE, peer.seal(6, &[ALSO_HERE]), "stale_seq"),
        ("another record's seal", ALSO_HERE, peer.seal(8, &[HERE]), "bad_signature"),
        ("another network's seal", ALSO_HERE, peer.seal_in("hall", 8, &[ALSO_HERE]), "bad_signature"),
        ("a changed number", HERE, spliced(&peer.seal(7, &[HERE]), r#""seq":8"#), "bad_signature"),
        (
            "a number too large",
            HERE,
            spliced(&peer.seal(7, &[HERE]), r#""seq":9007199254740992"#),
            "bad_signature",
        ),
        ("a part of a seal", HERE, r#","seq":9"#.into(), "bad_signature"),
        ("no host", "tcp://:9000", peer.seal(8, &["tcp://:9000"]), "bad_endpoint"),
    ] {
        assert_eq!(said(&announce(&server, &peer.id, &[endpoint], &seal)), refused(word), "{what}");
    }
    let twice = announce(&server, &peer.id, &[HERE, HERE], &peer.seal(8, &[HERE, HERE]));
    assert_eq!(said(&twice), refused("bad_endpoint"));
    assert_eq!(said(&leave(&server, &peer.id, "")), refused("id_taken"));
    assert_eq!(said(&leave(&server, &peer.id, &peer.seal(8, &[HERE]))), refused("bad_signature"));
    assert_eq!(said(&leave(&server, &peer.id, &peer.seal(7, &[]))), refused("stale_seq"));
    assert_eq!(
        support::peers(&server.get("/peers?network=room").body),
        [(peer.id.clone(), format!(r#"["{HERE}"]"#))]
    );
    assert_eq!(announce(&server, &peer.id, &[ALSO_HERE], &peer.seal(8, &[ALSO_HERE])).status, 200);
    assert_eq!(
        support::peers(&server.get("/peers?network=room").body),
        [(peer.id.clone(), format!(r#"["{ALSO_HERE}"]"#))]
    );
    // Its key is the same wherever it is: no token is needed, nor of use.
    assert_eq!(leave(&server, &peer.id, &peer.seal(9, &[])).body, r#"{"removed":true}"#);
    assert!(server.get("/peers?network=room").peer_ids().is_empty());
}

#[test]
fn what_was_taken_back_does_not_come_again() {
    let (server, peer) = (Server::start(&[]), Peer::new(1));
    let old = peer.seal(7, &[HERE]);
    assert_eq!(announce(&server, &peer.id, &[HERE], &old).status, 200);
    assert_eq!(leave(&server, &peer.id, &peer.seal(8, &[])).status, 200);
    assert_eq!(said(&announce(&server, &peer.id, &[HERE], &old)), refused("stale_seq"));
    assert_eq!(said(&announce(&server, &peer.id, &[HERE], &peer.seal(8, &[HERE]))), refused("stale_seq"));
    assert_eq!(announce(&server, &peer.id, &[HERE], &peer.seal(9, &[HERE])).status, 200);
}

#[test]
fn a_key_takes_its_id_from_a_squatter() {
    let (server, peer) = (Server::start(&[]), Peer::new(1));
    assert_eq!(announce(&server, &peer.id, &[ALSO_HERE], "").status, 200);
    assert_eq!(announce(&server, &peer.id, &[HERE], &peer.seal(1, &[HERE])).status, 200);
    assert_eq!(said(&announce(&server, &peer.id, &[ALSO_HERE], "")), refused("id_taken"));
}

#[test]
fn the_operator_may_want_nothing_else() {
    let (server, peer) = (Server::start(&["--require-signed"]), Peer::new(1));
    assert_eq!(said(&announce(&server, &peer.id, &[HERE], "")), refused("signature_required"));
    assert_eq!(announce(&server, &peer.id, &[HERE], &peer.seal(1, &[HERE])).status, 200);
    assert_eq!(server.get("/peers?network=room").peer_ids(), [peer.id.as_str()]);
}

#[test]
fn the_same_over_udp() {
    let (server, peer) = (Server::start(&[]), Peer::new(1));
    let udp = server.udp_client();
    let token = udp.token();
    let ask = |kind: &str, rest: &str| {
        udp.ask(&format!(
            r#"{{"type":"{kind}","id":"1","peer_id":"{}","network":"room","token":"{token}"{rest}}}"#,
            peer.id
        ))
    };
    let endpoints = format!(r#","endpoints":["{HERE}"]"#);
    let sealed = |seq| format!("{endpoints}{}", peer.seal(seq, &[HERE]));
    assert!(ask("announce", &sealed(1)).contains(r#""registered":true"#));
    assert!(ask("announce", &sealed(1)).contains(r#""error":"stale_seq""#));
    assert!(ask("announce", &endpoints).contains(r#""error":"id_taken""#));
    assert!(server.get("/peers?network=room").body.contains(&peer.seal(1, &[HERE])));
    assert!(ask("leave", &peer.seal(2, &[])).contains(r#""removed":true"#));
}

#[test]
fn what_is_cheap_is_checked_first() {
    let checked = |server: &Server| {
        let metrics = server.get("/metrics").body;
        let line =
            metrics.lines().find(|line| line.starts_with("waypost_signatures_checked_total ")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<u32>().unwrap()
    };
    let (server, peer) = (Server::start(&["--pow=8"]), Peer::new(1));
    let seal = peer.seal(1, &[HERE]);
    assert_eq!(said(&announce(&server, &peer.id, &[HERE], &seal)), (428, "pow_required".into()));
    assert_eq!(said(&announce(&server, "other", &[HERE], &seal)), refused("bad_signature"));
    assert_eq!(said(&announce(&server, &peer.id, &["tcp://198.51.100.7:1"], &seal)).0, 403);
    assert_eq!(checked(&server), 0, "no signature was looked at");
    let (server, peer) = (Server::start(&[]), Peer::new(1));
    assert_eq!(announce(&server, &peer.id, &[HERE], &seal).status, 200);
    assert_eq!(said(&announce(&server, &peer.id, &[HERE], &seal)), refused("stale_seq"));
    assert_eq!(checked(&server), 1);
}

#[test]
fn the_key_tells_the_id() {
    let (server, peer) = (Server::start(&[]), Peer::new(1));
    let here = format!(r#""network":"room","endpoints":["{HERE}"]"#);
    let answer = server.post("/announce", &format!("{{{here}{}}}", peer.seal(1, &[HERE])));
    assert_eq!((answer.status, answer.json("id")), (200, Some(peer.id.clone())), "{answer:?}");
    let udp = server.udp_client();
    let token = udp.token();
    let ask = |kind: &str, rest: &str| {
        udp.ask(&format!(r#"{{"type":"{kind}","id":"1","token":"{token}",{rest}}}"#))
    };
    let again = ask("announce", &format!("{here}{}", peer.seal(2, &[HERE])));
    assert_eq!(member(&again, "peer_id"), Some(peer.id.clone()), "{again}");
    let bare = format!(r#""network":"room"{}"#, peer.seal(3, &[]));
    assert!(ask("announce", &bare).contains(r#""error":"bad_endpoint""#), "nobody signed the source port");
    assert!(ask("leave", &bare).contains(r#""removed":true"#));
    let left = server.post("/leave", &format!(r#"{{"network":"room"{}}}"#, peer.seal(4, &[])));
    assert_eq!(left.body, r#"{"removed":false}"#);
    assert_eq!(said(&server.post("/leave", r#"{"network":"room"}"#)).1, "bad_id", "without a key");
}

#[test]
fn endpoints_are_spelt_as_they_are_handed_out() {
    let (server, peer) = (Server::start(&[]), Peer::new(1));
    for spelt in ["tcp://:9000", "tcp://[::ffff:7f00:1]:9000", "tcp://[::ffff:127.0.0.1]:9000"] {
        let answer = announce(&server, &peer.id, &[spelt], &peer.seal(1, &[HERE]));
        assert_eq!(said(&answer), refused("bad_endpoint"), "{spelt}");
    }
    assert!(server.get("/peers?network=room").peer_ids().is_empty());
}

#[test]
fn as_many_as_fit() {
    let server = Server::start(&[]);
    let overlay = |n| format!("tcp://{}{n}.onion:9000", "a".repeat(62));
    let list: Vec<String> = (0..3).map(overlay).chain([HERE.into()]).collect();
    let texts: Vec<&str> = list.iter().map(String::as_str).collect();
    for n in 1..=50 {
        let peer = Peer::new(n);
        assert_eq!(announce(&server, &peer.id, &texts, &peer.seal(1, &texts)).status, 200);
    }
    let answer = server.get("/peers?network=room");
    // More tokens than the server's own parser takes.
    let (list, end) = answer.body.strip_prefix("{\"peers\":[").unwrap().split_once("}],").unwrap();
    let peers = list.split("},").count();
    assert!((20..50).contains(&peers), "{peers} peers");
    assert_eq!((list.matches("\"sig\"").count(), list.matches(HERE).count()), (peers, peers), "all whole");
    assert!(answer.bytes.len() <= waypost::limits::MAX_RESPONSE_BYTES);
    assert!(end.ends_with("\"you\":\"127.0.0.1\"}"), "the end of the body is there");
}
