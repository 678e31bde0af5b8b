//! `waypost discover`: the whole chain, with real servers, dead ones, and one that lies.
#![cfg(feature = "client")]

#[path = "support/stand_in.rs"]
mod stand_in;
mod support;

use std::net::{TcpListener, UdpSocket};
use std::process::Output;

use stand_in::{StandIn, nobody};
use support::{Server, TempFile, member, peer_ids, peers, waypost};

/// What `discover` without the LAN ended with, and what it printed.
fn discover(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } =
        waypost().args(["discover", "--no-lan"]).args(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn servers_are_asked_all_and_told_apart() {
    let (one, two) = (Server::start(&[]), Server::start(&[]));
    one.announce("alice", 9000);
    two.announce("alice", 9000);
    two.announce("bob", 9001);
    let file = TempFile::new(
        "discover.json",
        &format!(
            r#"{{"bootstrap":{{"servers":[{{"url":"{}","priority":1}},{{"url":"{}","priority":2}},{{"url":"{}"}}]}}}}"#,
            one.url(),
            two.url(),
            nobody()
        ),
    );
    let (code, json, errors) = discover(&["--config", file.path(), "--json", "--no-exchange"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{json}");
    assert_eq!(peer_ids(&json), ["alice", "bob"]);
    let found = member(&json, "peers").unwrap();
    assert!(found.find("alice") < found.find("bob"), "what two tell comes first: {found}");
    assert_eq!(found.matches(&two.url()).count(), 2, "{found}");
    let (code, text, _) = discover(&["--config", file.path(), "--no-exchange"]);
    assert_eq!(code, Some(0));
    assert!(text.contains("1 peer in ") && text.contains("2 peers in "), "{text}");
    assert!(text.contains("cannot connect: connection refused"), "{text}");
    let alice = text.lines().find(|line| line.starts_with("alice ")).unwrap();
    assert!(alice.contains(&one.url()) && alice.contains(" and ") && alice.contains("s ago"), "{alice}");

    let (code, json, _) = discover(&["--config", file.path(), "--json", "--quorum=2"]);
    assert_eq!((code, peer_ids(&json)), (Some(0), vec!["alice".into()]));
    let (code, json, _) =
        discover(&["--config", file.path(), "--json", "--exclude=alice", "--transport=tcp"]);
    assert_eq!((code, peer_ids(&json)), (Some(0), vec!["bob".into()]));
    assert!(!json.contains("udp://127.0.0.1:900"), "{json}");
}

#[test]
fn one_of_three_servers_lies() {
    let lies: Vec<String> = (0..60)
        .map(|n| format!(r#"{{"id":"evil{n}","endpoints":["tcp://10.66.{n}.1:6"],"age":0}}"#))
        .collect();
    // And it gives honest ids addresses of its own.
    let stolen = (0..4).map(|n| format!(r#"{{"id":"peer{n}","endpoints":["tcp://10.67.{n}.1:6"],"age":0}}"#));
    let body = format!(r#"{{"peers":[{}],"ttl":300}}"#, stolen.chain(lies).collect::<Vec<_>>().join(","));
    let liar = StandIn::saying("200 OK", &body).url;
    let honest = [Server::start(&[]), Server::start(&[])];
    for server in &honest {
        (0..4).for_each(|n| server.announce(&format!("peer{n}"), 9000 + n));
    }
    honest[0].announce("only-here", 9100);
    let flags = [
        "--server",
        &honest[0].url(),
        "--server",
        &liar,
        "--server",
        &honest[1].url(),
        "--json",
        "--no-exchange",
    ];
    let (code, json, _) = discover(&flags);
    assert_eq!(code, Some(0));
    let found = peer_ids(&json);
    for n in 0..4 {
        assert!(found.contains(&format!("peer{n}")), "{json}");
    }
    let of_the_liar = peers(&json)
        .iter()
        .filter(|(_, endpoints)| endpoints.contains("10.66.") || endpoints.contains("10.67."))
        .count();
    assert!(of_the_liar * 3 <= found.len(), "{of_the_liar} of {}: {json}", found.len());
    let (code, json, _) = discover(&[&flags[..], &["--quorum=2"]].concat());
    assert_eq!((code, peer_ids(&json).len()), (Some(0), 4));
    assert!(!json.contains("10.66.") && !json.contains("10.67."), "{json}");
}

#[test]
fn seeds_are_used_when_no_server_gives_a_peer() {
    let alive = Server::start(&[]);
    alive.announce("alice", 9000);
    let seed = format!("udp://{}", alive.udp.unwrap());
    let file = TempFile::new(
        "seeds.json",
        &format!(
            r#"{{"bootstrap":{{"servers":[{{"url":"{}"}}],"fallback":{{"seeds":["tcp://seed.example:9000","{seed}"]}}}}}}"#,
            nobody()
        ),
    );
    let (code, json, _) = discover(&["--config", file.path(), "--json"]);
    assert_eq!(code, Some(0), "{json}");
    assert!(json.contains("tcp://seed.example:9000") && json.contains(&seed), "{json}");
    assert!(json.contains("udp://127.0.0.1:9000"), "a seed that is a server is asked: {json}");
    let (code, text, errors) = discover(&["--config", file.path(), "--no-seeds"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(errors.contains("nobody answered"), "{errors}");
}

#[test]
fn peers_are_asked_for_more() {
    // What speaks the protocol can be a peer: here a server that the other one knows as a peer.
    let (known, hidden) = (Server::start(&[]), Server::start(&[]));
    hidden.announce("carol", 9002);
    known.announce("hidden", hidden.udp.unwrap().port());
    let (code, json, _) = discover(&["--server", &known.url(), "--json"]);
    assert_eq!(code, Some(0));
    assert!(json.contains("udp://127.0.0.1:9002") && json.contains(r#""kind":"exchange""#), "{json}");
    let (_, json, _) = discover(&["--server", &known.url(), "--json", "--no-exchange"]);
    assert!(!json.contains("127.0.0.1:9002"), "{json}");
}

#[test]
fn udp_servers_are_asked_too() {
    let server = Server::start(&[]);
    server.announce("alice", 9000);
    let (code, json, _) = discover(&["--server", &format!("udp://{}", server.udp.unwrap()), "--json"]);
    assert_eq!(code, Some(0));
    assert!(json.contains("udp://127.0.0.1:9000"), "{json}");
}

#[test]
fn servers_that_answered_are_remembered() {
    let server = Server::start(&[]);
    server.announce("alice", 9000);
    let cache = TempFile::new("cache.json", "");
    let (code, ..) = discover(&["--server", &server.url(), "--cache", cache.path(), "--json"]);
    assert_eq!(code, Some(0));
    let (code, json, _) =
        discover(&["--server", &nobody(), "--cache", cache.path(), "--json", "--no-exchange"]);
    assert_eq!((code, peer_ids(&json)), (Some(0), vec!["alice".into()]));
}

#[test]
fn all_dead_is_a_failure_within_the_time() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent_tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let (udp, tcp) = (silent.local_addr().unwrap(), silent_tcp.local_addr().unwrap());
    let flags = ["--server", &format!("udp://{udp}"), "--server", &format!("http://{tcp}"), "--timeout=0.5"];
    let (code, text, errors) = discover(&flags);
    assert_eq!(code, Some(1), "{text}");
    assert_eq!(text.matches("no answer in time").count(), 2, "{text}");
    assert!(errors.contains("nobody answered"), "{errors}");
    let (code, _, errors) = discover(&[]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("nobody to ask"), "{errors}");
}

#[test]
fn an_interrupted_one_ends_at_once() {
    use rustix::process::{Pid, Signal, kill_process};

    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 1)] {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = format!("http://{}", silent.local_addr().unwrap());
        let mut command = waypost();
        command.args(["discover", "--no-lan", "--timeout=60", "--server", &server]);
        let mut child = command.spawn().unwrap();
        // It asks, so it listens for signals.
        let _asked = silent.accept().unwrap();
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
}

#[test]
fn what_a_server_says_reaches_the_terminal_tamed() {
    let evil =
        StandIn::saying("403 Forbidden", "{\"error\":\"\u{9b}2J\",\"detail\":\"a\\u001b[31m\u{85}b\"}").url;
    let (code, text, errors) = discover(&["--server", &evil]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.chars().chain(errors.chars()).all(|c| c == '\n' || !c.is_control()), "{text:?} {errors:?}");
}

#[test]
fn what_is_wrong_is_named_and_exit_code_2() {
    let unknown = TempFile::new("unknown.json", r#"{"bootstrap":{"serverz":[]}}"#);
    for (flags, named) in [
        (vec!["--config", unknown.path()], "unknown key \"bootstrap.serverz\""),
        (vec!["--config", "/nowhere.json"], "/nowhere.json: cannot be read"),
        (vec!["--server", "gopher://a"], "--server \"gopher://a\": must begin with http://"),
        (vec!["--timeout", "0"], "--timeout"),
        (vec!["--timeout", "soon"], "timeout"),
        (vec!["--quorum", "0"], "--quorum 0: must be"),
        (vec!["--limit", "0"], "--limit 0: must be"),
        (vec!["--network", "a b"], "--network \"a b\": must be 1 to 64"),
        (vec!["--exclude", "a b"], "--exclude \"a b\": must be 1 to 64"),
        (vec!["--frobnicate"], "frobnicate"),
    ] {
        let (code, out, errors) = discover(&flags);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{flags:?}");
        assert!(errors.contains(named) && errors.lines().count() == 1, "{flags:?}: {errors}");
    }
}
