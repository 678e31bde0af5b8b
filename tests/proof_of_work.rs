//! Newcomers work for their place when the server asks for it, over every protocol that has room for work.

mod support;

use std::process::Command;
use std::time::Duration;

use support::{Response, Server, member};
use waypost::client::pow::solve;
use waypost::wire::pow::worth;

/// A server that always asks for 9 bits.
fn server() -> Server {
    Server::start(&["--pow=9"])
}

fn announce(id: &str, pow: &str) -> String {
    format!(r#"{{"id":"{id}","endpoints":["tcp://:9000"]{pow}}}"#)
}

fn solved(answer: &str) -> String {
    let challenge = member(answer, "challenge").expect(answer);
    let difficulty = member(answer, "difficulty").expect(answer).parse().unwrap();
    let nonce = solve(&challenge, difficulty, || Duration::ZERO).unwrap();
    format!(r#","pow":{{"challenge":"{challenge}","nonce":{nonce}}}"#)
}

fn word(response: &Response) -> (u16, String) {
    (response.status, response.json("error").unwrap_or_default())
}

#[test]
fn a_newcomer_works_and_is_then_known() {
    let server = server();
    let refused = server.post("/announce", &announce("alice", ""));
    assert_eq!(word(&refused), (428, "pow_required".into()));
    assert!(refused.body.starts_with(r#"{"registered":false,"error":"pow_required","detail":""#));
    assert!(refused.body.ends_with(r#"","difficulty":9,"expires":120}"#), "{}", refused.body);
    let pow = solved(&refused.body);
    assert_eq!(server.post("/announce", &announce("alice", &pow)).status, 200);
    assert_eq!(server.post("/announce", &announce("alice", "")).status, 200, "a refresh is free");
    assert_eq!(word(&server.post("/announce", &announce("bob", &pow))), (400, "bad_pow".into()));
    assert_eq!(server.get("/peers").peer_ids(), ["alice"]);
    let metrics = server.get("/metrics").body;
    assert!(metrics.contains("\nwaypost_pow_difficulty 9\n"), "{metrics}");
    assert!(metrics.contains("\nwaypost_pow_accepted_total 1\n"), "{metrics}");
    assert_eq!(server.post("/leave", r#"{"id":"alice"}"#).body, r#"{"removed":true}"#);
}

#[test]
fn the_price_can_be_asked_for() {
    let server = server();
    let asked = server.get("/challenge?id=alice");
    assert!(
        asked.body.starts_with(r#"{"challenge":""#)
            && asked.body.ends_with(r#""difficulty":9,"expires":120}"#)
    );
    assert_eq!(server.post("/announce", &announce("alice", &solved(&asked.body))).status, 200);
    assert_eq!(word(&server.get("/challenge")), (400, "bad_id".into()), "it is made for somebody");
    assert_eq!(
        Server::start(&[]).get("/challenge").body,
        r#"{"challenge":"","difficulty":0,"expires":120}"#,
        "a calm server asks for nothing"
    );
}

#[test]
fn what_is_no_work_changes_nothing() {
    let server = server();
    let asked = server.get("/challenge?id=alice").body;
    let challenge = member(&asked, "challenge").unwrap();
    let nonce = (0..).find(|&nonce| worth(&challenge, nonce) == 8).unwrap();
    for pow in [
        format!(r#","pow":{{"challenge":"{challenge}","nonce":{nonce}}}"#),
        format!(r#","pow":{{"challenge":"{challenge}"}}"#),
        r#","pow":{"challenge":"","nonce":1}"#.into(),
        r#","pow":"please""#.into(),
    ] {
        assert_eq!(
            word(&server.post("/announce", &announce("alice", &pow))),
            (400, "bad_pow".into()),
            "{pow}"
        );
    }
    assert!(server.get("/peers").peer_ids().is_empty());
}

#[test]
fn the_same_over_udp() {
    let server = server();
    let udp = server.udp_client();
    let token = udp.token();
    let ask = |pow: &str| {
        udp.ask(&format!(r#"{{"type":"announce","id":"1","peer_id":"alice","token":"{token}"{pow}}}"#))
    };
    let refused = ask("");
    assert!(
        refused
            .starts_with(r#"{"type":"ack","id":"1","registered":false,"error":"pow_required","challenge":""#)
    );
    assert!(ask(&solved(&refused)).contains(r#""registered":true"#));
    assert!(ask("").contains(r#""registered":true"#), "a refresh is free");
}

#[test]
fn trackers_cannot_pay_a_fixed_price() {
    let server = server();
    let announce = "/announce?info_hash=%DC%90%EBp%3F%BE%5E%D4V%2F%CD%E5%93w1%0F%23v%80%E7&port=6881&left=0";
    let refused = server.get(announce).body;
    assert!(refused.contains("pow_required: "), "{refused}");
}

/// The solver that the documentation shows.
#[test]
fn five_lines_of_python_are_a_solver() {
    let document = include_str!("../docs/protocol.md");
    let solver = document.split("```python\n").find(|block| block.starts_with("import hashlib")).unwrap();
    let solver = solver.split("```").next().unwrap();
    let server = server();
    let asked = server.get("/challenge?id=alice").body;
    let challenge = member(&asked, "challenge").unwrap();
    let call = format!("{solver}\nprint(solve({challenge:?}, 9))");
    let said = Command::new("python3").args(["-c", &call]).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let nonce: u64 = String::from_utf8(said.stdout).unwrap().trim().parse().unwrap();
    assert_eq!(Ok(nonce), solve(&challenge, 9, || Duration::ZERO));
    let pow = format!(r#","pow":{{"challenge":"{challenge}","nonce":{nonce}}}"#);
    assert_eq!(server.post("/announce", &announce("alice", &pow)).status, 200);
}

#[test]
fn the_published_vectors_hold() {
    let vectors = include_str!("../docs/vectors/pow.json");
    let mut difficulties = Vec::new();
    for vector in vectors.lines().filter(|line| line.starts_with('{')) {
        let vector = vector.trim_end_matches(',');
        let challenge = member(vector, "challenge").unwrap();
        let difficulty: u32 = member(vector, "difficulty").unwrap().parse().unwrap();
        let nonce: u64 = member(vector, "nonce").unwrap().parse().unwrap();
        let sha256 = member(vector, "sha256").unwrap();
        let zeros = sha256.bytes().take_while(|&digit| digit == b'0').count();
        let rest = (sha256.as_bytes()[zeros] as char).to_digit(16).unwrap().leading_zeros() - 28;
        assert_eq!(worth(&challenge, nonce), 4 * zeros as u32 + rest, "{vector}");
        assert!(worth(&challenge, nonce) >= difficulty, "{vector}");
        if difficulty < 10 {
            assert_eq!(solve(&challenge, difficulty as u8, || Duration::ZERO), Ok(nonce), "{vector}");
        }
        difficulties.push(difficulty);
    }
    assert_eq!(difficulties.len(), 16 * 9);
}
