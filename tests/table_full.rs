//! A full table says so, keeps what it has, and has room again when somebody leaves.

mod support;

use support::Server;

#[test]
fn a_newcomer_is_told_and_a_refresh_always_works() {
    let server = Server::start(&["--max-peers=2"]);
    let announce =
        |id: &str| server.post("/announce", &format!(r#"{{"id":"{id}","endpoints":["tcp://:1"]}}"#));
    assert_eq!(announce("a").status, 200);
    assert_eq!(announce("b").status, 200);
    let refused = announce("c");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.json("registered").as_deref(), Some("false"));
    assert_eq!(refused.json("error").as_deref(), Some("table_full"));
    assert_eq!(announce("a").status, 200);
    assert_eq!(server.get("/peers").peer_ids(), ["a", "b"]);
    assert_eq!(server.get("/health").json("status").as_deref(), Some("degraded"));
    server.post("/leave", r#"{"id":"a"}"#);
    assert_eq!(announce("c").status, 200);
    assert_eq!(server.get("/peers").peer_ids(), ["b", "c"]);
}
