//! `waypost doctor` finds what is broken, and says what to do.
#![cfg(feature = "client")]

mod support;

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process::{Command, Output};

use support::{Server, member, waypost};
use waypost::wire::json::elements;

/// One finding.
#[derive(Debug)]
struct Finding {
    verdict: String,
    topic: String,
    text: String,
    advice: String,
}

/// What `doctor` finds. It ends with 1 if anything failed, else with 0.
fn examined(mut command: Command) -> Vec<Finding> {
    let Output { status, stdout, stderr } =
        command.args(["--json", "--timeout=2", "--no-lan"]).output().unwrap();
    let list = String::from_utf8(stdout).unwrap();
    assert!(stderr.is_empty() && list.starts_with('['), "{list} {}", String::from_utf8_lossy(&stderr));
    let findings: Vec<Finding> = elements(list.trim_end())
        .map(|finding| {
            let text = |name| member(finding, name).unwrap();
            Finding {
                verdict: text("verdict"),
                topic: text("topic"),
                text: text("text"),
                advice: text("advice"),
            }
        })
        .collect();
    let failed = findings.iter().any(|finding| finding.verdict == "fail");
    assert_eq!(status.code(), Some(i32::from(failed)), "{findings:?}");
    findings
}

/// `doctor` for the server on this machine, with these ports.
fn local(http_port: u16, udp_port: u16) -> Command {
    let mut command = waypost();
    command.arg("doctor").env("PORT", http_port.to_string()).env("UDP_PORT", udp_port.to_string());
    command
}

/// `doctor` for these servers.
fn doctor(urls: &[&str]) -> Command {
    let mut command = waypost();
    command.arg("doctor");
    urls.iter().for_each(|url| _ = command.args(["--server", url]));
    command
}

/// The findings of a topic.
fn of<'f>(findings: &'f [Finding], topic: &str) -> Vec<&'f Finding> {
    findings.iter().filter(|finding| finding.topic == topic).collect()
}

/// A port on which nobody listens, over TCP and UDP.
fn dead_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn a_server_that_is_well_has_nothing_but_ok() {
    let server = Server::start(&[]);
    let (http, udp) = (server.http.port(), server.udp.unwrap().port());
    let findings = examined(local(http, udp));
    let topics: Vec<&str> = findings.iter().map(|finding| finding.topic.as_str()).collect();
    assert_eq!(topics[..3], ["network", "clock", "names"]);
    assert_eq!(topics.last(), Some(&"lan"), "in this order");
    for topic in ["clock", "http", "udp", "identity", "address"] {
        let findings = of(&findings, topic);
        // Without IPv6 its addresses are a warning each.
        let is_fine = |finding: &&&Finding| {
            finding.verdict == "ok" || !server.has_ipv6 && finding.text.contains("IPv6")
        };
        assert!(!findings.is_empty() && findings.iter().all(|finding| is_fine(&finding)), "{findings:?}");
    }
    let ways = if server.has_ipv6 { 2 } else { 1 };
    let answers = |topic| of(&findings, topic).iter().filter(|finding| finding.verdict == "ok").count();
    assert_eq!((answers("http"), answers("udp"), answers("address")), (ways, ways, ways));
    let [identity] = of(&findings, "identity")[..] else { panic!("{findings:?}") };
    let (id, rest) = identity.text.split_at(40);
    assert!(server.banner.contains(id) && rest == ", the same everywhere", "{identity:?}");
    assert!(of(&findings, "address")[0].text.ends_with("127.0.0.1 (by HTTP, STUN, UDP)"), "{findings:?}");

    let spoken = local(http, udp).args(["--timeout=2", "--no-lan"]).output().unwrap();
    let lines = String::from_utf8(spoken.stdout).unwrap();
    let line = format!("ok    http      http://localhost:{http} at 127.0.0.1 (IPv4): healthy, 0 peers, up ");
    assert!(lines.lines().any(|said| said.starts_with(&line)), "{lines}");
}

#[test]
fn udp_that_is_off_is_told() {
    let server = Server::start_bare(&["--port=0", "--udp-port=0"]);
    let findings = examined(local(server.http.port(), dead_port()));
    for udp in of(&findings, "udp") {
        assert_eq!(udp.verdict, "fail", "{udp:?}");
        assert!(udp.text.contains("connection refused"), "{udp:?}");
        assert!(udp.advice.contains("is UDP off (--udp-port 0)"), "{udp:?}");
    }
    assert!(!of(&findings, "udp").is_empty());
    assert_eq!(of(&findings, "http")[0].verdict, "ok");
    // Who asks for no UDP hears nothing of it.
    assert!(of(&examined(local(server.http.port(), 0)), "udp").is_empty());
}

#[test]
fn a_server_that_does_not_run_is_told() {
    let port = dead_port();
    let findings = examined(local(port, port));
    let web = of(&findings, "http");
    assert!(!web.is_empty() && web.iter().all(|finding| finding.verdict == "fail"), "{web:?}");
    assert!(web[0].advice.contains("is the server running (waypost serve)"), "{web:?}");
    assert!(of(&findings, "identity").is_empty() && of(&findings, "address").is_empty(), "{findings:?}");
}

#[test]
fn udp_that_gets_lost_is_told_from_udp_that_is_off() {
    let server = Server::start_bare(&["--port=0", "--udp-port=0"]);
    // As a firewall does: whatever comes is heard by nobody.
    let silent = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr();
    let _held = silent.as_ref().map(|addr| UdpSocket::bind(addr).unwrap()).unwrap();
    let port = silent.unwrap().port();
    let http = format!("http://{}", server.http);
    let udp = format!("udp://127.0.0.1:{port}");
    let findings = examined(doctor(&[&http, &udp]));
    let [udp] = of(&findings, "udp")[..] else { panic!("{findings:?}") };
    assert_eq!((udp.verdict.as_str(), udp.text.ends_with("no answer in time")), ("fail", true), "{udp:?}");
    assert!(udp.advice.contains(&format!("a firewall on this machine drops UDP port {port}")), "{udp:?}");
}

#[test]
fn two_servers_behind_one_name_are_told() {
    let (one, two) = (Server::start(&[]), Server::start(&[]));
    let (http, udp) = (format!("http://{}", one.http), format!("udp://{}", two.udp.unwrap()));
    let findings = examined(doctor(&[&http, &udp]));
    let [identity] = of(&findings, "identity")[..] else { panic!("{findings:?}") };
    assert!(identity.verdict == "fail" && identity.text.starts_with("two servers answer: "), "{identity:?}");
}

#[test]
fn something_else_on_the_port_and_wrong_invites_are_told() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"SSH-2.0-OpenSSH_9.9\r\n").unwrap();
    });
    let findings = examined(doctor(&[&url]));
    other.join().unwrap();
    let web = of(&findings, "http")[0];
    assert_eq!(web.verdict, "fail", "{web:?}");

    let server = Server::start(&[]);
    let http = format!("http://{}", server.http);
    let invited = |flags: &[&str]| {
        let output = waypost().args(["invite", "--server", &http]).args(flags).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let findings = examined(doctor(&[&invited(&["--id", &"17".repeat(20)])]));
    let [identity] = of(&findings, "identity")[..] else { panic!("{findings:?}") };
    assert!(identity.verdict == "fail" && identity.advice.contains("ask for a new invite"), "{identity:?}");
    let findings = examined(doctor(&[&invited(&[])]));
    let [identity] = of(&findings, "identity")[..] else { panic!("{findings:?}") };
    assert!(identity.verdict == "ok" && identity.text.ends_with("as the invite wants it"), "{identity:?}");
}

#[test]
fn what_is_wrong_on_the_command_line_is_named() {
    let wrong = |mut command: Command, named: &str| {
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(named), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    };
    wrong(doctor(&["ftp://a"]), "--server \"ftp://a\": must begin with");
    let mut port = doctor(&[]);
    port.env("UDP_PORT", "x");
    wrong(port, "UDP_PORT \"x\": must be a port");
    let mut service = doctor(&["http://a.example"]);
    service.arg("--service=a_b");
    wrong(service, "--service \"a_b\": must be");
    let mut timeout = doctor(&["http://a.example"]);
    timeout.arg("--timeout=0");
    wrong(timeout, "--timeout \"0\": must be");
}

#[test]
#[cfg(target_os = "linux")]
fn firewalls_are_told() {
    match Command::new("iptables").arg("--version").output() {
        Ok(_) => support::in_a_namespace("inside_behind_firewalls", &[]),
        Err(error) => eprintln!("skipped: there is no iptables: {error}"),
    }
}

#[test]
#[cfg(target_os = "linux")]
#[ignore = "run by the other test, in a network namespace"]
fn inside_behind_firewalls() {
    assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
    let server = Server::start(&[]);
    let (http, udp) = (server.http.port(), server.udp.unwrap().port());
    for (chain, named) in [
        ("INPUT", "a firewall on this machine drops UDP port"),
        ("OUTPUT", "a firewall on this machine forbids it"),
    ] {
        let port = udp.to_string();
        let rule = |verb| {
            let words = ["-w", verb, chain, "-p", "udp", "--dport", &port, "-j", "DROP"];
            Command::new("iptables").args(words).output().unwrap()
        };
        let added = rule("-A");
        if !added.status.success() {
            eprintln!("skipped: iptables does not work here: {}", String::from_utf8_lossy(&added.stderr));
            return;
        }
        let findings = examined(local(http, udp));
        let v4 = of(&findings, "udp").into_iter().find(|finding| finding.text.contains("IPv4")).unwrap();
        // The other family has no such rule.
        let verdict = if server.has_ipv6 { "warn" } else { "fail" };
        assert_eq!(v4.verdict, verdict, "{findings:?}");
        assert!(server.has_ipv6 || v4.advice.contains(named), "{v4:?}");
        let findings =
            examined(doctor(&[&format!("http://127.0.0.1:{http}"), &format!("udp://127.0.0.1:{udp}")]));
        let [only] = of(&findings, "udp")[..] else { panic!("{findings:?}") };
        assert!(only.verdict == "fail" && only.advice.contains(named), "{only:?}");
        assert!(rule("-D").status.success());
    }
    let healed = examined(local(http, udp));
    assert!(of(&healed, "udp").iter().any(|finding| finding.verdict == "ok"), "{healed:?}");
}

#[test]
#[cfg(all(target_os = "linux", feature = "mdns"))]
fn who_is_on_the_lan_is_told() {
    support::in_a_namespace("inside_with_a_lan", &[]);
}

#[test]
#[cfg(all(target_os = "linux", feature = "mdns"))]
#[ignore = "run by the other test, in a network namespace"]
fn inside_with_a_lan() {
    let ip = |words: &str| Command::new("ip").args(words.split(' ')).output().unwrap();
    let made = ip("link add lan0 type veth peer name lan1");
    if !made.status.success() {
        eprintln!("skipped: there are no virtual cables here: {}", String::from_utf8_lossy(&made.stderr));
        return;
    }
    for words in
        ["link set lo up", "link set lan1 up", "address add 192.168.7.1/24 dev lan0", "link set lan0 up"]
    {
        assert!(ip(words).status.success(), "ip {words}");
    }
    let mut command = waypost();
    command.args(["serve", "--port=0", "--udp-port=0"]);
    let server = Server::spawn(command);
    let port = server.http.port();
    let lan = |service: &str| {
        let mut command = local(port, 0);
        let output = command.args(["--json", "--timeout=1", "--service", service]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let found = format!("at 192.168.7.1 port {port}");
    let is_told = |said: &String| said.contains("found on the LAN: the server ") && said.contains(&found);
    // It advertises once it has asked whether its name is free.
    let said = (0..10).map(|_| lan("pscryptochat")).find(is_told).expect("the server is found");
    assert!(said.contains("lan0 (192.168.7.1)"), "{said}");
    let said = lan("chess");
    assert!(said.contains("nobody on the LAN advertises _chess._tcp.local"), "{said}");
}

#[test]
#[cfg(target_os = "linux")]
fn the_port_of_mdns_is_free_shared_or_held() {
    support::in_a_namespace("inside_with_the_port_of_mdns", &[]);
}

#[test]
#[cfg(target_os = "linux")]
#[ignore = "run by the other test, in a network namespace"]
fn inside_with_the_port_of_mdns() {
    use rustix::net::{AddressFamily, SocketType, bind, socket, sockopt};

    assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
    let server = Server::start(&[]);
    let (http, udp) = (server.http.port(), server.udp.unwrap().port());
    let lan = || {
        let findings = examined(local(http, udp));
        let network = of(&findings, "network")[0];
        assert!(network.verdict == "warn" && network.text.contains("no way to the Internet"), "{network:?}");
        let of_lan = of(&findings, "lan");
        let port = of_lan.iter().find(|finding| finding.text.contains("5353")).unwrap();
        (port.verdict.clone(), port.text.clone())
    };
    let none =
        of(&examined(local(http, udp)), "lan").iter().any(|finding| finding.text.contains("no interface"));
    assert!(none, "there is no LAN");
    assert_eq!(lan(), ("ok".into(), "UDP port 5353 (mDNS) is free".into()));
    let shared = socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap();
    sockopt::set_socket_reuseaddr(&shared, true).unwrap();
    bind(&shared, &std::net::SocketAddr::from((Ipv4Addr::UNSPECIFIED, 5353))).unwrap();
    let (verdict, text) = lan();
    assert!(verdict == "ok" && text.ends_with("and can be shared"), "{text}");
    drop(shared);
    let _held = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 5353)).unwrap();
    let (verdict, text) = lan();
    let own = format!("(process {}) alone", std::process::id());
    assert!(verdict == "fail" && text.ends_with(&own), "{text}");
}
