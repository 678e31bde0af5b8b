//! Servers named only by domain are found, with a real DNS server (dnsmasq) and real TLS. They have ports 53 and 443, and the
//! program asks the resolver of `/etc/resolv.conf`, so this is tried in a network and mount namespace.
#![cfg(all(target_os = "linux", feature = "https"))]

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/https.rs"]
mod https;
mod support;

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use certificates::{Party, pem};
use https::{response, serve_https};
use support::{Server, TempFile, waypost};
use waypost::client::failure::Failure;
use waypost::client::lookup::{How, Located};
use waypost::client::message::PeersQuery;
use waypost::client::reach::Reach;
use waypost::client::servers;
use waypost::client::url::ServerUrl;
use waypost::net::clock::Clock;
use waypost::rng::Seed;
use waypost::wire::dns::{Data, Emitter, Flags, Message, NameBuf, Section, Srv, Type};

/// Where dnsmasq listens, and who lies before it answers.
const DNSMASQ: &str = "127.0.0.53";
const LIAR: &str = "127.0.0.54";
/// Nobody is there.
const GONE: &str = "127.0.0.55";

/// The zone: what dnsmasq is told.
const ZONE: &[&str] = &[
    "--host-record=srv.test,alias.test,name.test,refuse.test,127.0.0.2",
    "--host-record=host.other.test,one.test,127.0.0.1",
    "--host-record=well.test,127.0.0.3",
    "--host-record=two.test,127.0.0.4",
    "--host-record=own.test,127.0.0.5",
    "--host-record=gone.test,127.0.0.6",
    "--host-record=front.other.test,127.0.0.7",
    "--host-record=silent.test,127.0.0.8",
    "--host-record=moved.test,127.0.0.9",
    "--host-record=circle.test,127.0.0.10",
    "--srv-host=_waypost._tcp.gone.test,host.other.test,8080",
    "--srv-host=_waypost._tcp.secure.test,front.other.test,443",
    "--srv-host=_waypost._tcp.wrong.test,front.other.test,443",
    "--srv-host=_waypost._tcp.silent.test,host.other.test,8080",
    "--srv-host=_waypost._tcp.circle.test,host.other.test,8080",
    "--srv-host=_waypost._tcp.srv.test,nowhere.other.test,8080,20,5",
    "--srv-host=_waypost._tcp.srv.test,host.other.test,8080,10,5",
    "--cname=_waypost._tcp.alias.test,_waypost._tcp.srv.test",
    "--srv-host=_waypost._tcp.refuse.test",
];

#[test]
fn domains_are_looked_up() {
    if let Err(error) = dnsmasq().arg("--version").output() {
        eprintln!("skipped: there is no dnsmasq (apt install dnsmasq-base): {error}");
        return;
    }
    support::in_a_namespace("inside_of_a_namespace", &["--mount"]);
}

#[test]
#[ignore = "run by the other test, in namespaces"]
fn inside_of_a_namespace() {
    run("ip", &["link", "set", "lo", "up"]);
    let hosts = TempFile::new("hosts", "127.0.0.1 localhost\n");
    run("mount", &["--bind", hosts.path(), "/etc/hosts"]);
    let resolvers = TempFile::new("resolv.conf", "");
    run("mount", &["--bind", resolvers.path(), "/etc/resolv.conf"]);
    let resolve_by = |resolvers: &[&str]| {
        let lines: Vec<String> = resolvers.iter().map(|ip| format!("nameserver {ip}\n")).collect();
        std::fs::write("/etc/resolv.conf", lines.concat()).unwrap();
    };
    resolve_by(&[DNSMASQ]);
    let _dnsmasq = Dnsmasq::start();
    let server = Server::start_bare(&[
        "--port=8080",
        "--udp-port=6881",
        "--rate-limit=0",
        "--announce-limit=0",
        "--no-mdns",
    ]);
    let announced = server.post("/announce", r#"{"id":"alice","endpoints":["tcp://:9000"]}"#);
    assert_eq!(announced.status, 200, "{}", announced.body);

    let authority = authority();
    by_well_known(&authority, &server);
    by_an_empty_well_known(&authority, &server);
    moved_and_missing(&authority, &server);
    by_records_over_tls(&authority, &server);
    beside_a_silent_host();
    by_records();
    by_name();
    by_a_long_answer();
    refused_by_its_zone();
    by_the_command(&authority);
    lied_to(resolve_by);
    with_dead_resolvers(resolve_by);
}

/// A file at a web server names two servers, and is kept.
fn by_well_known(authority: &Party, server: &Server) {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let document = r#"{"servers":[{"url":"https://two.test","priority":2},{"url":"http://one.test:8080","priority":1}]}"#;
    let behind = server.http;
    serve_https("127.0.0.3", (authority, "well.test"), behind, move |line| {
        ASKED.fetch_add(1, Ordering::Relaxed);
        assert_eq!(line, "GET /.well-known/waypost HTTP/1.1");
        Some(response("200 OK", "Cache-Control: max-age=600\r\n", document))
    });
    serve_https("127.0.0.4", (authority, "two.test"), behind, |_| None);
    let reach = reach();
    for _ in 0..3 {
        let located = locate_by(&reach, "well.test").unwrap();
        assert_eq!(located.how, How::WellKnown);
        assert_eq!(shown(&located), ["1 http://one.test:8080", "2 https://two.test"]);
        assert!(located.tried.is_empty());
        for (target, _) in &located.targets {
            let deadline = reach.clock().now().plus_ms(8000);
            let answer = smol::block_on(reach.peers(target, &query(), deadline)).unwrap();
            assert_eq!(answer.peers[0].id.as_deref(), Some("alice"), "{}", target.way);
        }
    }
    assert_eq!(ASKED.load(Ordering::Relaxed), 1, "it is kept");
    reach.forget("well.test");
    locate_by(&reach, "well.test").unwrap();
    assert_eq!(ASKED.load(Ordering::Relaxed), 2, "and forgotten");
    assert_eq!(ids("well.test"), ["alice"]);
}

/// A server behind a proxy says that it serves its domain itself, and signs.
fn by_an_empty_well_known(authority: &Party, server: &Server) {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    serve_https("127.0.0.5", (authority, "own.test"), server.http, |line| {
        ASKED.fetch_add(usize::from(line.contains("/.well-known/")), Ordering::Relaxed);
        None
    });
    let reach = reach();
    for asked in 1..=2 {
        let located = locate_by(&reach, "own.test").unwrap();
        assert_eq!(
            (located.how, shown(&located)),
            (How::WellKnown, vec!["0 https://own.test pinned".into()])
        );
        assert_eq!(ASKED.load(Ordering::Relaxed), asked, "no-store is not kept");
    }
    assert_eq!(ids("own.test"), ["alice"]);
}

/// Redirects are followed but in no circle; where there is no file the records count.
fn moved_and_missing(authority: &Party, server: &Server) {
    let redirect =
        |to: &'static str| move |_: &str| Some(response("302 Found", &format!("Location: {to}\r\n"), ""));
    let to_well = redirect("https://well.test/.well-known/waypost");
    serve_https("127.0.0.9", (authority, "moved.test"), server.http, to_well);
    let located = locate("moved.test").unwrap();
    assert_eq!(shown(&located), ["1 http://one.test:8080", "2 https://two.test"]);

    let to_itself = redirect("https://circle.test/.well-known/waypost");
    serve_https("127.0.0.10", (authority, "circle.test"), server.http, to_itself);
    let located = locate("circle.test").unwrap();
    assert_eq!((located.how, shown(&located).len()), (How::Srv, 1));
    let why = located.tried[0].1.to_string();
    assert!(why.ends_with("its redirects have no end"), "{why}");

    let missing = |_: &str| Some(response("404 Not Found", "", ""));
    serve_https("127.0.0.6", (authority, "gone.test"), server.http, missing);
    let located = locate("gone.test").unwrap();
    assert_eq!(shown(&located), ["0 http://gone.test:8080 via host.other.test:8080"]);
    assert_eq!(located.tried, [(How::WellKnown, Failure::Status(404))]);
    assert_eq!(ids("gone.test"), ["alice"]);
}

/// Records lead to a host of another name, whose certificate must be the domain's.
fn by_records_over_tls(authority: &Party, server: &Server) {
    serve_https("127.0.0.7", (authority, "secure.test"), server.http, |_| None);
    let located = locate("secure.test").unwrap();
    assert_eq!(shown(&located), ["0 https://secure.test via front.other.test:443"]);
    assert!(matches!(located.tried[..], [(How::WellKnown, Failure::NoSuchHost(_))]), "{:?}", located.tried);
    assert_eq!(ids("secure.test"), ["alice"]);
    // The same host for another domain, in whose name it cannot speak, and that is not its own either.
    assert_eq!(shown(&locate("wrong.test").unwrap()), ["0 https://wrong.test via front.other.test:443"]);
    let said = peers("wrong.test").unwrap_err().to_string();
    println!("peers of wrong.test: {said}");
    assert!(said.contains("is for secure.test, not for wrong.test"), "{said}");
}

/// A host that takes connections and says nothing does not use up the time.
fn beside_a_silent_host() {
    let _silent = TcpListener::bind("127.0.0.8:443").unwrap();
    let reach = reach();
    let start = reach.clock().now();
    let located = smol::block_on(reach.locate("silent.test", start.plus_ms(2000))).unwrap();
    let took_ms = reach.clock().now().ms_since(start);
    println!("silent.test: by {} after {took_ms} ms", located.how);
    assert_eq!(shown(&located), ["0 http://silent.test:8080 via host.other.test:8080"]);
    assert_eq!(located.tried, [(How::WellKnown, Failure::TimedOut)]);
    assert!((1000..1900).contains(&took_ms), "half of the time: {took_ms}");
    // That it is silent is remembered.
    let start = reach.clock().now();
    smol::block_on(reach.locate("silent.test", start.plus_ms(2000))).unwrap();
    let took_ms = reach.clock().now().ms_since(start);
    assert!(took_ms < 1000, "{took_ms}");
}

/// Nobody listens on port 443: the records are used, best first, whatever the host is called.
fn by_records() {
    for domain in ["srv.test", "SRV.test", "alias.test"] {
        let located = locate(domain).unwrap();
        let name = domain.to_lowercase();
        assert_eq!(
            shown(&located),
            [
                format!("10 http://{name}:8080 via host.other.test:8080"),
                format!("20 http://{name}:8080 via nowhere.other.test:8080")
            ]
        );
        assert_eq!((located.how, located.tried[0].0, located.tried.len()), (How::Srv, How::WellKnown, 1));
        let why = located.tried[0].1.to_string();
        assert_eq!(why, "cannot connect: connection refused", "{domain}");
        assert_eq!(ids(domain), ["alice"]);
    }
}

/// No records either.
fn by_name() {
    let located = locate("name.test").unwrap();
    assert_eq!(shown(&located), ["0 http://name.test:8080", "1 udp://name.test:6881"]);
    assert_eq!((located.how, located.tried[1].0), (How::Name, How::Srv));
    assert_eq!(located.tried[1].1.to_string(), "it has no SRV record of _waypost._tcp");
    assert_eq!(ids("name.test"), ["alice"]);
    // Of a domain that is not there it is as much, and whoever asks its servers hears why.
    let located = locate("missing.test").unwrap();
    assert_eq!(located.how, How::Name);
    assert!(matches!(located.tried[0].1, Failure::NoSuchHost(_)), "{:?}", located.tried);
    let asked = peers("missing.test");
    let said = asked.unwrap_err().to_string();
    assert!(
        said.starts_with("nobody answers for this domain: /.well-known/waypost: its name cannot"),
        "{said}"
    );
}

/// More than fits a datagram, so it is asked for over TCP.
fn by_a_long_answer() {
    let located = locate("big.test").unwrap();
    assert_eq!((located.how, located.targets.len()), (How::Srv, 8));
    let expected: Vec<String> =
        (0..8).map(|n| format!("{n} http://big.test:8080 via host-number-{n}.other.test:8080")).collect();
    assert_eq!(shown(&located), expected);
}

fn refused_by_its_zone() {
    let said = locate("refuse.test").unwrap_err().to_string();
    assert_eq!(said, "its SRV record says that it offers no such service");
}

fn by_the_command(authority: &Party) {
    let file = TempFile::new("ca.pem", &pem(&[authority.root()]));
    for domain in ["srv.test", "well.test", "own.test", "secure.test"] {
        let command = ["discover", "--no-lan", "--no-exchange", "--json", "--server", domain];
        let output = waypost().env("SSL_CERT_FILE", file.path()).args(command).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        println!("$ waypost {}\n{said}", command.join(" "));
        assert!(output.status.success() && said.contains("\"alice\""), "{said}");
    }
}

/// Somebody answers before the resolver does, and does not know the identifier.
fn lied_to(resolve_by: impl Fn(&[&str])) {
    resolve_by(&[LIAR]);
    let socket = UdpSocket::bind((LIAR, 53)).unwrap();
    let liar = thread::spawn(move || {
        let mut lies = 0;
        // Well-known and records of two look-ups: A, AAAA and SRV; the last SRV query ends it.
        while lies < 2 {
            lies += u32::from(lie_and_relay(&socket));
        }
    });
    for _ in 0..2 {
        let located = locate("srv.test").unwrap();
        assert_eq!(shown(&located)[0], "10 http://srv.test:8080 via host.other.test:8080");
    }
    liar.join().unwrap();
}

/// Answers one query as dnsmasq does, and one for SRV records first with a lie. Returns whether it lied.
fn lie_and_relay(socket: &UdpSocket) -> bool {
    let (mut query, mut answer) = ([0; 512], [0; 4096]);
    let (length, from) = socket.recv_from(&mut query).unwrap();
    let query = &query[..length];
    let message = Message::parse(query).unwrap();
    let question = message.questions().next().unwrap().unwrap();
    let lies = question.kind == Type::SRV;
    if lies {
        let mut lie = [0; 512];
        let target = NameBuf::from_text("liar.test").unwrap();
        let data = Data::Srv(Srv { priority: 0, weight: 0, port: 443, target: target.name() });
        let mut out = Emitter::new(&mut lie, message.id ^ 0x8001, Flags(0x8180)).unwrap();
        out.question(question.name, question.kind, false).unwrap();
        out.record(Section::Answer, question.name, false, 300, &data).unwrap();
        let length = out.finish();
        socket.send_to(&lie[..length], from).unwrap();
    }
    let relay = UdpSocket::bind((LIAR, 0)).unwrap();
    relay.set_read_timeout(Some(support::PATIENCE)).unwrap();
    relay.send_to(query, (DNSMASQ, 53)).unwrap();
    let length = support::uninterrupted(|| relay.recv(&mut answer)).unwrap();
    socket.send_to(&answer[..length], from).unwrap();
    lies
}

fn with_dead_resolvers(resolve_by: impl Fn(&[&str])) {
    resolve_by(&[GONE, DNSMASQ]);
    assert_eq!(locate("srv.test").unwrap().how, How::Srv);
    resolve_by(&[GONE]);
    let located = locate("srv.test").unwrap();
    assert_eq!((located.how, located.tried.len()), (How::Name, 2));
    let said = located.tried[1].1.to_string();
    assert!(said.ends_with("the resolver 127.0.0.55 cannot be reached: connection refused"), "{said}");
    resolve_by(&[DNSMASQ]);
}

/// What a domain leads to, for a program that knows nothing yet.
fn locate(domain: &str) -> Result<Located, Failure> {
    locate_by(&reach(), domain)
}

fn locate_by(reach: &Reach, domain: &str) -> Result<Located, Failure> {
    let located = smol::block_on(reach.locate(domain, reach.clock().now().plus_ms(8000)));
    println!("{domain}: {}", described(&located));
    located
}

/// The ids of the peers that a domain's servers tell of.
fn ids(domain: &str) -> Vec<String> {
    peers(domain).unwrap()
}

fn peers(domain: &str) -> Result<Vec<String>, Failure> {
    let (reach, url) = (reach(), ServerUrl::parse(domain).unwrap());
    let answer = smol::block_on(servers::peers(&reach, &url, &query(), reach.clock().now().plus_ms(8000)))?;
    Ok(answer.peers.into_iter().filter_map(|peer| peer.id).collect())
}

fn authority() -> Party {
    Party::new("Throw-away CA", 1)
}

fn query() -> PeersQuery {
    PeersQuery { network: "pscryptochat".into(), limit: 50, transport: Vec::new(), exclude: None }
}

/// A program that trusts the authority of this test, and knows nothing yet.
fn reach() -> Reach {
    Reach::new(Clock::start(), &Seed([7; 32])).trusting([authority().root()])
}

/// Each target as text: its priority and way, where that really leads, and whether it is pinned.
fn shown(located: &Located) -> Vec<String> {
    let targets = located.targets.iter().map(|(to, priority)| {
        let via = to.via.as_ref().map(|(host, port)| format!(" via {host}:{port}")).unwrap_or_default();
        let pin = if to.pin.is_some() { " pinned" } else { "" };
        format!("{priority} {}{via}{pin}", to.way)
    });
    targets.collect()
}

/// For the transcript.
fn described(located: &Result<Located, Failure>) -> String {
    match located {
        Ok(located) => {
            let tried: Vec<String> =
                located.tried.iter().map(|(how, why)| format!("; not by {how}: {why}")).collect();
            format!("by {}: {}{}", located.how, shown(located).join(", "), tried.concat())
        }
        Err(why) => why.to_string(),
    }
}

/// A dnsmasq that knows the zone. Killed when dropped.
struct Dnsmasq(Child);

impl Dnsmasq {
    fn start() -> Self {
        let big = (0..40)
            .map(|n| format!("--srv-host=_waypost._tcp.big.test,host-number-{n}.other.test,8080,{n},1"));
        let mut child = dnsmasq()
            .args(["--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces"])
            .args(["--cache-size=0", "--local=/test/", "--local-ttl=300"])
            .arg(format!("--listen-address={DNSMASQ}"))
            .args(ZONE)
            .args(big)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        while !said.contains("started") {
            said += &lines.next().unwrap_or_else(|| panic!("dnsmasq ended: {said}")).unwrap();
        }
        // What it says later is read, so that it never waits for that.
        thread::spawn(move || lines.for_each(drop));
        Self(child)
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The command, wherever Debian has it.
fn dnsmasq() -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("dnsmasq");
    command.env("PATH", format!("{path}:/usr/sbin:/usr/local/sbin"));
    command
}

fn run(command: &str, words: &[&str]) {
    assert!(Command::new(command).args(words).status().unwrap().success(), "{command} {words:?}");
}
