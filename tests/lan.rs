//! Servers and peers on one LAN find each other by multicast DNS, with nothing configured. The LAN is one of a network
//! namespace.
#![cfg(all(target_os = "linux", feature = "client", feature = "mdns"))]

mod support;

use std::process::{Command, Output};

use support::{Server, member, peers, waypost};

/// Discoveries until somebody is found or gone: each listens for two seconds, and who comes probes for one before it speaks.
const ATTEMPTS: usize = 5;

#[test]
fn neighbours_find_each_other() {
    support::in_a_namespace("inside_of_a_namespace", &[]);
}

fn ip(words: &str) {
    let run = Command::new("ip").args(words.split(' ')).output().unwrap();
    assert!(run.status.success(), "{words}: {run:?}");
}

fn discover(flags: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } =
        waypost().args(["discover", "--json"]).args(flags).output().unwrap();
    assert!(status.code() != Some(2), "{}", String::from_utf8_lossy(&stderr));
    (status.code(), String::from_utf8(stdout).unwrap())
}

/// What is printed by the first discovery that fits.
fn discover_until(flags: &[&str], fits: impl Fn(&str) -> bool) -> String {
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        (_, last) = discover(flags);
        if fits(&last) {
            return last;
        }
    }
    panic!("{last}");
}

#[test]
#[ignore = "run by the other test, in a network namespace"]
fn inside_of_a_namespace() {
    ip("link set lo up");
    let (code, nothing) = discover(&[]);
    assert_eq!(code, Some(1));
    assert!(nothing.contains("there is no LAN here"), "{nothing}");
    let cable = Command::new("ip").args("link add lan type veth peer name wire".split(' ')).output().unwrap();
    if !cable.status.success() {
        eprintln!("skipped: this machine has no virtual cables: {cable:?}");
        return;
    }
    ip("link set wire up");
    ip("link set lan multicast on up");
    ip("address add 192.168.7.1/24 dev lan");

    // A server that advertises itself is asked.
    let mut command = waypost();
    command.args(["serve", "--port=0", "--udp-port=auto"]);
    let server = Server::spawn(command);
    let advert = server.banner.lines().find(|line| line.starts_with("mdns ")).unwrap();
    assert!(advert.contains("._pscryptochat._tcp.local on lan"), "{advert}");
    let near = format!("192.168.7.1:{}", server.http.port());
    let mut http = support::Http::connect(near.parse().unwrap());
    assert_eq!(http.post("/announce", r#"{"id":"alice","endpoints":["tcp://:9000"]}"#).status, 200);
    let found = discover_until(&[], |json| json.contains("alice"));
    assert_eq!(peers(&found), [("alice".into(), r#"["tcp://192.168.7.1:9000"]"#.into())]);
    let source = format!(r#"{{"kind":"lan_server","name":"http://{near}"}}"#);
    assert!(member(&found, "peers").unwrap().contains(&source), "{found}");
    let (_, other) = discover(&["--network=chess"]);
    assert_eq!(peers(&other), [], "it is asked for the network that is wanted");

    // A peer that advertises itself is found without any server, until it goes.
    let mut command = waypost();
    command.args([
        "announce",
        "--lan",
        "--every=60",
        "--id=bob",
        "--endpoint=tcp://:9001",
        "--endpoint=udp://:9002",
    ]);
    let mut bob = command.args(["--server=http://192.168.7.9:1", "--json"]).spawn().unwrap();
    drop(server);
    let found = discover_until(&["--no-exchange"], |json| json.contains("bob"));
    let endpoints = r#"["tcp://192.168.7.1:9001","udp://192.168.7.1:9002"]"#;
    assert!(peers(&found).contains(&("bob".into(), endpoints.into())), "{found}");
    assert!(found.contains(r#"{"kind":"lan","name":""}"#), "{found}");
    rustix::process::kill_process(rustix::process::Pid::from_child(&bob), rustix::process::Signal::TERM)
        .unwrap();
    assert_eq!(bob.wait().unwrap().code(), Some(0));
    discover_until(&["--no-exchange"], |json| !json.contains("bob"));
}
