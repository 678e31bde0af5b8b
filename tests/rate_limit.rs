//! Limits hold by default, say when to come back, and can be switched off.

mod support;

use support::{Http, Response, Server};

const ANNOUNCE: &str = r#"{"id":"a","endpoints":["tcp://:1"]}"#;

/// How many of the answers were no refusals, and the first refusal.
fn passed(count: usize, mut ask: impl FnMut() -> Response) -> (usize, Option<Response>) {
    for n in 0..count {
        let answer = ask();
        if answer.status != 200 {
            return (n, Some(answer));
        }
    }
    (count, None)
}

/// Asks on connections of 50 requests each.
fn asker(server: &Server, mut ask: impl FnMut(&mut Http) -> Response) -> impl FnMut() -> Response {
    let address = server.http;
    let mut http = Http::connect(address);
    let mut asked = 0;
    move || {
        asked += 1;
        if asked % 50 == 0 {
            http = Http::connect(address);
        }
        ask(&mut http)
    }
}

#[test]
fn queries_are_limited_by_default() {
    let server = Server::start_bare(&["--port=0", "--udp-port=0"]);
    let (passed, refused) = passed(200, asker(&server, |http| http.get("/peers")));
    assert!((30..150).contains(&passed), "{passed} passed");
    let refused = refused.unwrap();
    assert_eq!((refused.status, refused.json("error").as_deref()), (429, Some("rate_limited")));
    let retry_after: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&retry_after), "{retry_after}");
    assert_eq!(server.get("/health").status, 200, "health is not limited with the rest");
}

#[test]
fn announces_are_limited_apart() {
    let server = Server::start_bare(&["--port=0", "--udp-port=0", "--announce-limit=5"]);
    let (passed, refused) = passed(100, asker(&server, |http| http.post("/announce", ANNOUNCE)));
    assert!((3..20).contains(&passed), "{passed} passed");
    assert_eq!(refused.unwrap().status, 429);
    assert_eq!(server.get("/peers").status, 200);
}

#[test]
fn limits_can_be_off() {
    let server = Server::start_bare(&["--port=0", "--udp-port=0", "--rate-limit=0", "--announce-limit=0"]);
    assert_eq!(passed(500, asker(&server, |http| http.get("/peers"))).0, 500);
    assert_eq!(passed(500, asker(&server, |http| http.post("/announce", ANNOUNCE))).0, 500);
}
