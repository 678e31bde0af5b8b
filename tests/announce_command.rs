//! `waypost announce`: a peer is announced once, or kept announced, at servers that are well, dead, or hostile.
#![cfg(feature = "client")]

#[path = "support/stand_in.rs"]
mod stand_in;
mod support;

use std::io::{BufRead as _, BufReader, Lines, Read as _};
use std::process::{Child, ChildStdout, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use stand_in::{StandIn, nobody};
use support::{Server, TempFile, member, waypost};
use waypost::client::invite::Invite;
use waypost::client::url::Way;

const HERE: &str = "--endpoint=tcp://:9000";

/// What `announce` ended with, and what it printed.
fn announce(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = waypost().arg("announce").args(arguments).output().unwrap();
    let (out, err) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    let raw = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
    assert!(!raw(&out) && !raw(&err), "{out:?} {err:?}");
    (status.code(), out, err)
}

fn url(server: &Server) -> String {
    format!("http://{}", server.http)
}

fn udp_url(server: &Server) -> String {
    format!("udp://{}", server.udp.unwrap())
}

/// An announcing process. Killed when dropped.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut command = waypost();
        command.arg("announce").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line with this in it. The process's end ends the waiting.
    fn line_with(&mut self, text: &str) -> String {
        let mut lines = self.lines.by_ref().map(Result::unwrap);
        lines.find(|line| line.contains(text)).unwrap_or_else(|| panic!("no {text} before its end"))
    }

    /// Ends it by a signal: its exit code, and what it still printed.
    fn end(mut self, signal: Signal) -> (Option<i32>, String, String) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let out = self.lines.by_ref().map(Result::unwrap).collect::<Vec<_>>().join("\n");
        let mut err = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap().code(), out, err)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn once_at_several_servers_of_which_one_is_dead() {
    let (one, two) = (Server::start(&[]), Server::start(&[]));
    let dead = nobody();
    let servers = ["--server", &url(&one), "--server", &dead, "--server", &udp_url(&two)];
    let (code, out, err) = announce(&[&servers[..], &["--id=alice", HERE, "--ttl=60"]].concat());
    assert_eq!(code, Some(0), "{out} {err}");
    assert!(out.starts_with("peer alice in pscryptochat\n"), "{out}");
    assert!(
        out.contains(&format!("{}: registered as 127.0.0.1 for 60 s; its token is \"", url(&one))),
        "{out}"
    );
    assert!(out.contains(&format!("{}: registered as 127.0.0.1 for 60 s\n", udp_url(&two))), "{out}");
    assert_eq!(err, format!("waypost: {dead}: cannot connect: connection refused\n"));
    for server in [&one, &two] {
        assert_eq!(server.get("/peers").peer_ids(), ["alice"]);
    }
    // And back again, from both.
    let (code, out, _) = announce(&[&servers[..], &["--id=alice", "--leave"]].concat());
    assert_eq!((code, out.matches(": left\n").count()), (Some(0), 2), "{out}");
    assert!(one.get("/peers").peer_ids().is_empty() && two.get("/peers").peer_ids().is_empty());
    let (code, out, _) = announce(&["--server", &url(&one), "--id=alice", "--leave"]);
    assert_eq!((code, out), (Some(0), format!("{}: was not there\n", url(&one))));
}

#[test]
fn an_id_is_made_up_and_told() {
    let server = Server::start(&[]);
    let (_, out, _) = announce(&["--server", &url(&server), HERE, "--network=chess"]);
    let id = out.strip_prefix("peer ").and_then(|out| out.split(' ').next()).unwrap();
    assert!(id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(server.get("/peers?network=chess").peer_ids(), [id]);
    let (_, json, _) = announce(&["--server", &url(&server), HERE, "--json"]);
    assert_ne!(member(&json, "id").unwrap(), id);
}

#[test]
fn json_has_stable_keys() {
    let server = Server::start(&[]);
    let (code, out, err) =
        announce(&["--server", &url(&server), "--server", &nobody(), "--id=alice", HERE, "--json"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        let value = |name: &str| member(line, name).unwrap();
        if value("registered") == "true" {
            assert_eq!(value("server"), url(&server));
            assert_eq!(
                (value("id"), value("expires"), value("you")),
                ("alice".into(), "300".into(), "127.0.0.1".into())
            );
            assert_eq!((value("token").len(), value("again_s")), (11, "null".into()));
        } else {
            assert_eq!(value("error"), "cannot connect: connection refused");
            assert_eq!((value("word"), value("again_s")), ("null".into(), "null".into()));
        }
    }
}

#[test]
fn it_works_for_its_place() {
    let server = Server::start(&["--pow=12"]);
    for (id, url) in [("alice", url(&server)), ("bob", udp_url(&server))] {
        let (code, out, err) = announce(&["--server", &url, "--id", id, HERE]);
        assert_eq!(code, Some(0), "{out} {err}");
        assert_eq!(err, format!("{url}: it asks for 12 bits of work, which is being done\n"));
    }
    assert_eq!(server.get("/peers").peer_ids(), ["alice", "bob"]);
}

#[test]
fn what_is_signed_is_verified_and_can_be_taken_back() {
    let server = Server::start(&["--require-signed"]);
    let seed = TempFile::new("announce.seed", &"1f".repeat(32));
    for url in [url(&server), udp_url(&server)] {
        let identity = ["--server", &url, "--identity", seed.path()];
        let (code, out, err) = announce(&[&identity[..], &[HERE, "--endpoint=udp://:9000"]].concat());
        assert_eq!(code, Some(0), "{out} {err}");
        let (code, found, _) = peers(&["--server", &self::url(&server), "--json"]);
        assert_eq!(code, Some(0));
        assert!(found.contains(r#""endpoints":["tcp://127.0.0.1:9000","udp://127.0.0.1:9000"]"#), "{found}");
        assert!(found.contains(r#""signed":true"#), "{found}");
        let (code, out, err) = announce(&[&identity[..], &["--leave"]].concat());
        assert_eq!((code, out, err.as_str()), (Some(0), format!("{url}: left\n"), ""));
        assert!(server.get("/peers").peer_ids().is_empty());
    }
    let (code, _, err) = announce(&["--server", &url(&server), "--id=alice", HERE]);
    assert_eq!(code, Some(1));
    assert!(err.contains("signature_required") && err.contains("; give a key by --identity"), "{err}");
}

fn peers(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = waypost().arg("peers").args(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_taken_id_is_told_with_what_to_do() {
    let server = Server::start(&[]);
    let seed = TempFile::new("taken.seed", &"2e".repeat(32));
    let (_, json, _) = announce(&["--server", &url(&server), "--identity", seed.path(), HERE, "--json"]);
    let id = member(&json, "id").unwrap();
    let (code, out, err) = announce(&["--server", &url(&server), "--id", &id, HERE]);
    assert_eq!((code, out), (Some(1), format!("peer {id} in pscryptochat\n")));
    assert!(err.starts_with(&format!("waypost: {}: it refuses: id_taken, ", url(&server))), "{err}");
    assert!(err.ends_with("; choose another --id, or give the --token of the registration\n"), "{err}");
    let (code, json, _) = announce(&["--server", &url(&server), "--id", &id, HERE, "--json"]);
    assert_eq!((code, member(&json, "word").as_deref()), (Some(1), Some("id_taken")));
}

#[test]
fn nobody_there_is_a_failure_that_names_the_cause() {
    let dead = nobody();
    let (code, out, err) = announce(&["--server", &dead, "--id=alice", HERE]);
    assert_eq!((code, out.as_str()), (Some(1), "peer alice in pscryptochat\n"));
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(lines[0], format!("waypost: {dead}: cannot connect: connection refused"));
    assert!(lines[1].contains("waypost doctor") && lines.len() == 2, "{err}");
    let (code, _, err) = announce(&["--server=http://nobody.invalid", "--id=alice", HERE, "--timeout=2"]);
    assert_eq!(code, Some(1));
    assert!(err.starts_with("waypost: http://nobody.invalid: "), "{err}");
}

#[test]
fn an_invite_is_followed_where_the_pinned_server_is() {
    let server = Server::start(&[]);
    let identity = server.banner.lines().find_map(|line| line.strip_prefix("identity   ")).unwrap();
    let mut pin = [0; 20];
    for (byte, pair) in pin.iter_mut().zip(identity.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    }
    let invite = |pin| {
        let ways = [url(&server), udp_url(&server)].map(|way| Way::parse(&way).unwrap()).into();
        let invite = Invite { ways, bootstrap_id: Some(pin), network: "chess".into(), expires_unix_s: None };
        invite.emit().unwrap()
    };
    let (code, out, err) = announce(&["--server", &invite(pin), "--id=alice", HERE]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.starts_with("peer alice in chess\n") && out.contains(&url(&server)), "{out}");
    assert_eq!(server.get("/peers?network=chess").peer_ids(), ["alice"]);
    pin[0] ^= 1;
    let (code, _, err) = announce(&["--server", &invite(pin), "--id=bob", HERE]);
    assert_eq!(code, Some(1));
    assert!(
        err.starts_with(&format!("waypost: {}: it is not the server that was meant", url(&server))),
        "{err}"
    );
    assert_eq!(server.get("/peers?network=chess").peer_ids(), ["alice"], "it was told nothing");
}

#[test]
fn it_announces_again_with_its_token_and_leaves_when_told_to() {
    // The life that is granted makes it come again within a second or two.
    let server = StandIn::start(|request| {
        let answer = match request.line.as_str() {
            "POST /leave" => r#"{"removed":true}"#,
            _ => r#"{"registered":true,"expires":2,"id":"alice","you":"127.0.0.1","token":"T0"}"#,
        };
        ("200 OK", answer.into())
    });
    let mut running = Running::start(&["--server", &server.url, "--id=alice", HERE, "--every=40"]);
    let first = server.next();
    assert_eq!((first.line.as_str(), member(&first.body, "token")), ("POST /announce", None));
    assert_eq!(member(&first.body, "ttl").as_deref(), Some("100"));
    for _ in 0..2 {
        let again = server.next();
        assert_eq!(
            (again.line.as_str(), member(&again.body, "token").as_deref()),
            ("POST /announce", Some("T0"))
        );
    }
    let line = running.line_with("registered");
    assert!(line.contains(" as 127.0.0.1 for 2 s; again in ") && line.ends_with(" s"), "{line}");
    let (code, out, err) = running.end(Signal::TERM);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.ends_with(&format!("{}: left", server.url)), "{out}");
    let goodbye = server.rest().pop().unwrap();
    assert_eq!(
        (goodbye.line.as_str(), member(&goodbye.body, "token").as_deref()),
        ("POST /leave", Some("T0"))
    );
}

#[test]
fn a_signal_ends_it_and_the_servers_know() {
    for (signal, code) in [(Signal::TERM, 0), (Signal::INT, 130)] {
        let server = Server::start(&[]);
        let servers = ["--server", &url(&server), "--server", &nobody()];
        let mut running = Running::start(&[&servers[..], &["--id=alice", HERE, "--every=300"]].concat());
        running.line_with("registered");
        assert_eq!(server.get("/peers").peer_ids(), ["alice"]);
        let (ended, out, err) = running.end(signal);
        assert_eq!(ended, Some(code), "{err}");
        assert_eq!(out, format!("{}: left", url(&server)));
        assert!(server.get("/peers").peer_ids().is_empty());
    }
}

#[test]
fn a_hanging_server_does_not_keep_it_from_ending() {
    // It answers the announce and then nothing more.
    let server = StandIn::start(|request| {
        if request.line == "POST /leave" {
            let (_hold, held) = std::sync::mpsc::channel::<()>();
            let _ = held.recv_timeout(support::PATIENCE);
        }
        ("200 OK", r#"{"registered":true,"expires":300,"id":"alice","you":"127.0.0.1"}"#.into())
    });
    let mut running = Running::start(&["--server", &server.url, "--id=alice", HERE, "--every=300"]);
    running.line_with("registered");
    let (code, _, err) = running.end(Signal::TERM);
    assert_eq!(code, Some(0));
    assert_eq!(err, format!("waypost: {}: not told goodbye: no answer in time\n", server.url));
}

#[test]
fn a_server_that_asks_for_too_much_gets_nothing() {
    let dear = StandIn::saying(
        "428 Precondition Required",
        r#"{"registered":false,"error":"pow_required","challenge":"C","difficulty":25,"expires":120}"#,
    );
    let (code, _, err) = announce(&["--server", &dear.url, "--id=alice", HERE]);
    assert_eq!(code, Some(1));
    assert!(err.contains("the server asks for 25 bits of work, and 24 are the most"), "{err}");
    let endless = StandIn::saying(
        "428 Precondition Required",
        r#"{"registered":false,"error":"pow_required","challenge":"C","difficulty":4,"expires":120}"#,
    );
    let (code, _, err) = announce(&["--server", &endless.url, "--id=alice", HERE]);
    assert_eq!(code, Some(1));
    assert!(err.contains("it wants work again and again"), "{err}");
    let asked = endless.rest();
    assert_eq!(asked.iter().filter(|request| request.body.contains("\"nonce\"")).count(), 3, "{asked:?}");
    assert_eq!(asked.len(), 4);
}

#[test]
fn nonsense_is_told_as_such_and_shown_to_nobody() {
    for (status, body, said) in [
        ("200 OK", "<html>", "is not one of a waypost server"),
        ("200 OK", "{}", "is not one of a waypost server"),
        ("200 OK", r#"{"registered":true,"expires":300,"id":"mallory"}"#, "is not one of a waypost server"),
        ("200 OK", "{\"registered\":true,\"expires\":300,\"token\":\"\u{9b}31m\"}", "\\u009b31m"),
        ("500 No", "", "it answers with HTTP status 500"),
        ("400 No", "{\"error\":\"\u{9b}2J\",\"detail\":\"a \u{9b}31m b\"}", "an unknown word"),
    ] {
        let server = StandIn::saying(status, body);
        // That nothing raw comes out is looked at in `announce`.
        let (code, out, err) = announce(&["--server", &server.url, "--id=alice", HERE]);
        assert!(out.contains(said) || code == Some(1) && err.contains(said), "{body}: {out} {err}");
        announce(&["--server", &server.url, "--id=alice", HERE, "--json"]);
    }
}

#[test]
fn the_file_has_servers_and_the_interval() {
    let server = Server::start(&[]);
    let config = |rest: &str| {
        format!(r#"{{"bootstrap":{{"servers":[{{"url":"{}"}}],"network":"chess"{rest}}}}}"#, url(&server))
    };
    let file = TempFile::new("once.json", &config(r#","announce":{"enabled":false}"#));
    let (code, out, err) = announce(&["--config", file.path(), "--id=alice", HERE]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert_eq!(server.get("/peers?network=chess").peer_ids(), ["alice"]);
    let file = TempFile::new("often.json", &config(r#","announce":{"interval_seconds":40}"#));
    let mut running = Running::start(&["--config", file.path(), "--id=bob", HERE, "--json"]);
    let line = running.line_with("registered");
    assert_eq!(member(&line, "expires").as_deref(), Some("100"), "two and a half intervals: {line}");
    let again: u64 = member(&line, "again_s").unwrap().parse().unwrap();
    assert!((36..=44).contains(&again), "{line}");
    let (code, out, _) = running.end(Signal::TERM);
    assert_eq!((code, member(&out, "removed").as_deref()), (Some(0), Some("true")));
}

#[test]
fn what_is_not_understood_names_the_flag() {
    let servers: Vec<String> = (1..10).map(|n| format!("--server=http://192.0.2.{n}")).collect();
    let servers: Vec<&str> = servers.iter().map(String::as_str).chain([HERE]).collect();
    for (arguments, named) in [
        (&[][..], "--endpoint"),
        (&["--endpoint=9000"], "--endpoint"),
        (&["--endpoint=tcp://224.0.0.1:1"], "--endpoint"),
        (&["--endpoint=tcp://:1"; 5], "--endpoint"),
        (&[HERE, "--server=localhost:8080"], "--server"),
        (&servers, "--server"),
        (&[HERE, "--id=a b"], "--id"),
        (&[HERE, "--network=a b"], "--network"),
        (&[HERE, "--ttl=29"], "--ttl"),
        (&[HERE, "--every=9"], "--every"),
        (&[HERE, "--every=soon"], "--every"),
        (&[HERE, "--timeout=0"], "--timeout"),
        (&[HERE, "--identity=/nowhere/seed"], "--identity"),
        (&[HERE, "--config=/nowhere/waypost.json"], "/nowhere/waypost.json"),
        (&["--leave"], "--id"),
        (&[HERE, "extra"], "extra"),
    ] {
        let (code, out, err) = announce(arguments);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?} {err}");
        assert!(err.contains(named) && err.lines().count() == 1, "{arguments:?}: {err}");
    }
}
