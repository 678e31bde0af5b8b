//! `waypost peers`: servers are asked for peers, those that are well, dead, or hostile.
#![cfg(feature = "client")]

#[path = "support/stand_in.rs"]
mod stand_in;
mod support;

use std::process::{Command, Output};

use stand_in::{StandIn, nobody};
use support::{Server, member, peer_ids, waypost};
use waypost::client::invite::Invite;
use waypost::client::url::Way;
use waypost::wire::json::elements;

/// What a command ended with, and what it printed.
fn said(mut command: Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (out, err) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    let raw = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
    assert!(!raw(&out) && !raw(&err), "{out:?} {err:?}");
    (status.code(), out, err)
}

fn ask(arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = waypost();
    command.arg("peers").args(arguments);
    said(command)
}

#[test]
fn peers_are_a_line_each_and_trouble_is_told_beside() {
    let (server, dead) = (Server::start(&[]), nobody());
    server.announce("alice", 9000);
    let (code, out, err) = ask(&["--server", &server.url(), "--server", &dead]);
    assert_eq!(code, Some(0));
    assert_eq!(err, format!("waypost: {dead}: cannot connect: connection refused\n"));
    assert!(out.starts_with("alice  tcp://127.0.0.1:9000 udp://127.0.0.1:9000  "), "{out}");
    assert!(out.ends_with(&format!(" s ago, from {}\n", server.url())), "{out}");
    let (code, out, err) = ask(&["--server", &server.url(), "--network=chess"]);
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "no peers\n", ""));
    let (code, out, err) = ask(&["--server", &dead]);
    assert_eq!((code, out.as_str(), err.lines().count()), (Some(1), "", 1), "{err}");
}

#[test]
fn json_tells_peers_and_servers() {
    let (one, two, dead) = (Server::start(&[]), Server::start(&[]), nobody());
    one.announce("alice", 9000);
    two.announce("alice", 9000);
    two.announce("bob", 9001);
    let servers = ["--json", "--server", &one.url(), "--server", &two.url(), "--server", &dead];
    let asked = |more: &[&str]| ask(&[&servers[..], more].concat());
    let (code, json, err) = asked(&[]);
    assert_eq!((code, err.as_str(), peer_ids(&json)), (Some(0), "", vec!["alice".into(), "bob".into()]));
    let list = member(&json, "peers").unwrap();
    let alice = elements(&list).find(|peer| peer.contains("alice")).unwrap();
    assert_eq!(member(alice, "signed").as_deref(), Some("false"));
    assert!(member(alice, "age").unwrap().parse::<u32>().unwrap() < 60);
    assert_eq!(elements(&member(alice, "sources").unwrap()).count(), 2, "{alice}");
    let list = member(&json, "servers").unwrap();
    let servers: Vec<[String; 4]> = elements(&list)
        .map(|server| ["url", "ok", "peers", "error"].map(|name| member(server, name).unwrap()))
        .collect();
    let row = |url: &str, ok: &str, peers: &str, error: &str| [url, ok, peers, error].map(String::from);
    assert_eq!(
        servers,
        [
            row(&one.url(), "true", "1", "null"),
            row(&two.url(), "true", "2", "null"),
            row(&dead, "false", "0", "cannot connect: connection refused")
        ]
    );
    assert_eq!(peer_ids(&asked(&["--quorum=2"]).1), ["alice"]);
    assert_eq!(peer_ids(&asked(&["--exclude=alice"]).1), ["bob"]);
    assert_eq!(peer_ids(&asked(&["--limit=1"]).1).len(), 1);
    let (_, json, _) = asked(&["--transport=udp"]);
    assert!(json.contains("udp://127.0.0.1:9000") && !json.contains("tcp://127"), "{json}");
    assert_eq!(peer_ids(&asked(&["--transport=wss"]).1), [""; 0]);
    let (code, json, err) = ask(&["--json", "--server", &dead]);
    assert_eq!((code, err.as_str(), peer_ids(&json).len()), (Some(1), "", 0));
}

#[test]
fn the_server_of_this_machine_is_asked_by_default() {
    let server = Server::start(&[]);
    server.announce("alice", 9000);
    let mut command = waypost();
    command.arg("peers").env("PORT", server.http.port().to_string());
    let (code, out, _) = said(command);
    assert!(code == Some(0) && out.starts_with("alice "), "{out}");
}

#[test]
fn over_udp_addresses_are_told() {
    let server = Server::start(&[]);
    server.announce("alice", 9000);
    let (code, out, err) = ask(&["--server", &format!("udp://{}", server.udp.unwrap())]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.starts_with("-  udp://127.0.0.1:9000  "), "{out}");
}

#[test]
fn only_the_server_that_an_invite_pins_is_believed() {
    let server = Server::start(&[]);
    server.announce("alice", 9000);
    let identity = server.banner.lines().find_map(|line| line.strip_prefix("identity   ")).unwrap();
    let right = waypost::wire::hex::decode::<20>(identity.as_bytes()).unwrap();
    let invite = |pin| {
        let ways = vec![Way::parse(&server.url()).unwrap()];
        let network = "pscryptochat".into();
        Invite { ways, bootstrap_id: Some(pin), network, expires_unix_s: None }.emit().unwrap()
    };
    let (code, out, err) = ask(&["--server", &invite(right)]);
    assert!(code == Some(0) && out.starts_with("alice "), "{out} {err}");
    let (code, out, err) = ask(&["--server", &invite([7; 20])]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.starts_with(&format!("waypost: {}: it is not the server that was meant", server.url())));
}

#[test]
fn what_a_hostile_server_says_reaches_nobody_raw() {
    let key = "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg";
    let forged = format!(
        r#"{{"id":"56475aa75463474c0285df5dbf2bcab73da65135","endpoints":["tcp://11.0.0.1:1"],"key":"{key}","seq":7,"sig":"{}"}}"#,
        "A".repeat(86)
    );
    let peers = [
        "{\"id\":\"\u{9b}31m\",\"endpoints\":[\"tcp://11.0.0.1:1\"]}",
        "{\"id\":\"a\",\"endpoints\":[\"tcp://\u{9b}31m:1\"]}",
        r#"{"id":"\u001b[2J","endpoints":["tcp://11.0.0.1:1"]}"#,
        &forged,
        r#"{"id":"carol","endpoints":["tcp://12.0.0.1:1"]}"#,
    ];
    let body = format!(r#"{{"peers":[{}],"ttl":300}}"#, peers.join(","));
    let hostile = StandIn::saying("200 OK", &body);
    // That nothing raw comes out is looked at in `said`.
    let (code, out, err) = ask(&["--server", &hostile.url]);
    assert_eq!(code, Some(0));
    assert_eq!(out.lines().count(), 1, "{out}");
    assert!(out.starts_with("carol  tcp://12.0.0.1:1 "), "{out}");
    assert!(err.contains(&format!("{}: 4 peers were left out", hostile.url)), "{err}");
    let refusing =
        StandIn::saying("403 No", "{\"error\":\"network_not_served\",\"detail\":\"\u{9b}31m \u{7} no\"}");
    let (code, _, err) = ask(&["--server", &refusing.url]);
    assert_eq!(code, Some(1), "{err}");
    for body in ["", "[]", "<html>", &"[".repeat(60_000)] {
        let (code, out, err) = ask(&["--server", &StandIn::saying("200 OK", body).url]);
        assert_eq!((code, out.as_str()), (Some(1), ""));
        assert!(err.contains("not one of a waypost server"), "{err}");
    }
}

#[test]
fn what_is_not_understood_names_the_flag() {
    for (arguments, named) in [
        (&["--server=localhost:8080"][..], "--server"),
        (&["--server=waypost:AAAA"], "--server"),
        (&["--network=a b"], "--network \"a b\""),
        (&["--limit=0"], "--limit 0"),
        (&["--limit=many"], "--limit"),
        (&["--quorum=0"], "--quorum 0"),
        (&["--exclude=a b"], "--exclude \"a b\""),
        (&["--timeout=121"], "--timeout"),
        (&["extra"], "extra"),
    ] {
        let (code, out, err) = ask(arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?} {err}");
        assert!(err.contains(named) && err.lines().count() == 1, "{arguments:?}: {err}");
    }
}
