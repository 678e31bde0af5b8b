//! Servers behind HTTPS: a real TLS server with throw-away certificates in front of the real program, and others that cannot
//! prove who they are, or misbehave.
#![cfg(feature = "https")]

#[path = "support/certificates.rs"]
mod certificates;
#[path = "support/https.rs"]
mod server;
mod support;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use certificates::{Extension, GOOD, Party, Validity, pem};
use rustls::{ServerConnection, StreamOwned, SupportedProtocolVersion, version};
use server::showing;
use support::{PATIENCE, Server, TempFile, uninterrupted, waypost};
use waypost::client::failure::Failure;
use waypost::client::message::{Announce, AnnounceAnswer, Leave, PeersQuery};
use waypost::client::reach::Reach;
use waypost::client::url::{Target, Way};
use waypost::net::clock::Clock;
use waypost::rng::Seed;
use waypost::time::Instant;

type Tls = StreamOwned<ServerConnection, TcpStream>;

fn authority() -> Party {
    Party::new("Throw-away CA", 1)
}

/// A client that trusts the throw-away CA alone.
fn reach() -> Reach {
    Reach::new(Clock::start(), &Seed([7; 32])).trusting([authority().root()])
}

fn patient(reach: &Reach) -> Instant {
    reach.clock().now().plus_ms(PATIENCE.as_millis() as u64)
}

/// A TLS server that serves connections one after the other.
struct TlsServer {
    address: SocketAddr,
    thread: thread::JoinHandle<()>,
}

impl TlsServer {
    /// Shows `certificate` to as many clients as there are in `clients`, and does with
    /// each connection what `serve` says. A client that goes away in the handshake is not served.
    fn start(certificate: Vec<u8>, clients: usize, serve: impl Fn(Tls) + Send + 'static) -> Self {
        Self::with_versions(rustls::ALL_VERSIONS, certificate, clients, serve)
    }

    fn with_versions(
        versions: &[&'static SupportedProtocolVersion],
        certificate: Vec<u8>,
        clients: usize,
        serve: impl Fn(Tls) + Send + 'static,
    ) -> Self {
        let config = showing(certificate, versions);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = thread::spawn(move || {
            for _ in 0..clients {
                let (mut stream, _) = uninterrupted(|| listener.accept()).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let handshake = connection.complete_io(&mut stream);
                if handshake.is_ok() {
                    serve(StreamOwned::new(connection, stream));
                }
            }
        });
        Self { address, thread }
    }

    /// Its URL, by this name.
    fn url(&self, name: &str) -> String {
        format!("https://{name}:{}", self.address.port())
    }

    fn target(&self, name: &str) -> Target {
        Way::parse(&self.url(name)).unwrap().into()
    }
}

/// A certificate of the server.
fn certificate(issuer: &Party, names: &[&str], validity: Validity) -> Vec<u8> {
    issuer.certify(&server::server(), validity, Extension::Names(names))
}

/// The head and the body of a request.
fn read_request(stream: &mut impl Read) -> Vec<u8> {
    let mut request = Vec::new();
    let mut length = None;
    while length.is_none_or(|length| request.len() < length) {
        let mut byte = [0];
        assert_eq!(uninterrupted(|| stream.read(&mut byte)).unwrap(), 1);
        request.extend(byte);
        if request.ends_with(b"\r\n\r\n") && length.is_none() {
            let head = String::from_utf8(request.clone()).unwrap();
            let field = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            length = Some(request.len() + field.map_or(0, |digits| digits.parse().unwrap()));
        }
    }
    request
}

/// Hands a request on to the real server, and its answer back.
fn relay_to(server: SocketAddr) -> impl Fn(Tls) + Send + 'static {
    move |mut stream| {
        let request = read_request(&mut stream);
        let mut behind = TcpStream::connect(server).unwrap();
        behind.write_all(&request).unwrap();
        let mut answer = Vec::new();
        behind.read_to_end(&mut answer).unwrap();
        stream.write_all(&answer).unwrap();
        close(stream);
    }
}

/// Says goodbye and waits until the client has gone.
fn close(mut stream: Tls) {
    stream.conn.send_close_notify();
    let _ = stream.flush();
    wait_for_the_end(stream.sock);
}

fn wait_for_the_end(mut stream: impl Read) {
    while uninterrupted(|| stream.read(&mut [0; 1024])).is_ok_and(|read| read > 0) {}
}

#[test]
fn questions_are_asked_over_tls_by_name_and_by_address() {
    let server = Server::start(&[]);
    for tls in [&version::TLS13, &version::TLS12] {
        let proven = certificate(&authority(), &["localhost", "127.0.0.1"], GOOD);
        let front = TlsServer::with_versions(&[tls], proven, 5, relay_to(server.http));
        smol::block_on(async {
            let reach = reach();
            let deadline = patient(&reach);
            let to = front.target("localhost");
            let query =
                PeersQuery { network: "chess".into(), limit: 50, transport: Vec::new(), exclude: None };
            let alice = Announce {
                network: "chess".into(),
                id: Some("alice".into()),
                endpoints: vec!["tcp://:9000".into()],
                ..Announce::default()
            };
            let leave = Leave { network: "chess".into(), id: Some("alice".into()), ..Leave::default() };
            assert_eq!(reach.health(&to, deadline).await.unwrap().status, "healthy");
            let answer = reach.announce(&to, &alice, deadline).await.unwrap();
            assert!(matches!(answer, AnnounceAnswer::Registered { .. }), "{answer:?}");
            let id = server.get("/.well-known/waypost").json("bootstrap_id").unwrap();
            let pin = waypost::wire::hex::decode(id.as_bytes());
            let pinned = Target { pin, ..front.target("127.0.0.1") };
            let found = reach.peers(&pinned, &query, deadline).await.unwrap();
            assert_eq!(found.peers[0].endpoints, ["tcp://127.0.0.1:9000"]);
            assert_eq!(reach.leave(&to, &leave, deadline).await, Ok(true));
            // A SRV record leads elsewhere; the certificate is still for the name that was asked for.
            let mut via = Target::from(Way::parse("https://localhost").unwrap());
            via.via = Some(("127.0.0.1".into(), front.address.port()));
            assert!(reach.health(&via, deadline).await.is_ok());
        });
        front.thread.join().unwrap();
    }
}

/// Why a server with this certificate, asked for by `name`, is not accepted.
fn refused(certificate: Vec<u8>, name: &str) -> String {
    let front = TlsServer::start(certificate, 1, |_| panic!("it is served"));
    let reach = reach();
    let failure = smol::block_on(reach.health(&front.target(name), patient(&reach))).unwrap_err();
    front.thread.join().unwrap();
    let failure = failure.to_string();
    let why = failure.strip_prefix("its certificate is not accepted: ");
    why.unwrap_or_else(|| panic!("{failure}")).to_string()
}

#[test]
fn certificates_that_prove_nothing_are_refused_and_why() {
    let authority = authority();
    let localhost = ["localhost"];
    let expired =
        refused(certificate(&authority, &localhost, ("240101000000Z", "240229235959Z")), "localhost");
    assert!(expired.starts_with("it expired on 2024-02-29, and the clock here shows 20"), "{expired}");
    assert!(expired.ends_with(": it must be renewed, or the clock is wrong"), "{expired}");
    let early = refused(certificate(&authority, &localhost, ("480101000000Z", "490101000000Z")), "localhost");
    assert!(early.starts_with("it is good from 2048-01-01 on, and the clock here shows 20"), "{early}");
    let other = refused(certificate(&authority, &["a.example", "b.example"], GOOD), "localhost");
    assert_eq!(other, "it is for a.example, b.example, not for localhost");
    let by_address = refused(certificate(&authority, &localhost, GOOD), "127.0.0.1");
    assert_eq!(by_address, "it is for localhost, not for 127.0.0.1");
    let stranger = "nobody who is trusted here has signed it (is it self-signed?); \
                    to trust it, name a file with its CA's certificate in SSL_CERT_FILE";
    let server = server::server();
    assert_eq!(refused(certificate(&server, &localhost, GOOD), "localhost"), stranger, "self-signed");
    let impostor = Party::new("Throw-away CA", 3);
    let forged = refused(certificate(&impostor, &localhost, GOOD), "localhost");
    assert_eq!(forged, "its signature is wrong: somebody may be between you and the server");
    let as_ca = refused(server.certify(&server, GOOD, Extension::Ca), "localhost");
    assert_eq!(as_ca, "it is self-signed, and made for a CA instead of a server");
}

#[test]
fn the_command_trusts_the_file_it_is_told_to() {
    let server = Server::start(&[]);
    assert_eq!(server.post("/announce", r#"{"id":"alice","endpoints":["tcp://:9000"]}"#).status, 200);
    let front = TlsServer::start(certificate(&authority(), &["localhost"], GOOD), 2, relay_to(server.http));
    let url = front.url("localhost");
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let ask = |roots: &std::path::Path| {
        let mut command = waypost();
        command.args(["peers", "--server", &url]).env("SSL_CERT_FILE", roots).env_remove("SSL_CERT_DIR");
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (ours, others) = (folder.join("https-ca.pem"), folder.join("https-other-ca.pem"));
    std::fs::write(&ours, pem(&[authority().root()])).unwrap();
    std::fs::write(&others, pem(&[Party::new("Another CA", 9).root()])).unwrap();
    let (code, out, err) = ask(&ours);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.starts_with("alice  tcp://127.0.0.1:9000  "), "{out}");
    let (code, out, err) = ask(&others);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let complaint = format!("waypost: {url}: its certificate is not accepted: nobody who is trusted here");
    assert!(err.starts_with(&complaint) && err.lines().count() == 1, "{err}");
    front.thread.join().unwrap();
    let nothing = folder.join("https-no-ca.pem");
    let none = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = waypost();
    let url = format!("https://{}", none.local_addr().unwrap());
    let output = command.args(["peers", "--server", &url]).env("SSL_CERT_FILE", nothing).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("there are no CA certificates to check it by") && err.lines().count() == 1, "{err}");
}

#[test]
fn the_doctor_says_what_is_wrong_with_a_certificate() {
    let server = Server::start(&[]);
    let (ours, others) = (authority().root(), Party::new("Another CA", 9).root());
    for (root, code, line) in [
        (ours, Some(0), ["ok    http      ", "healthy, 0 peers"]),
        (
            others,
            Some(1),
            ["fail  http      ", "its certificate is not accepted: nobody who is trusted here"],
        ),
    ] {
        let front =
            TlsServer::start(certificate(&authority(), &["localhost"], GOOD), 2, relay_to(server.http));
        let roots = TempFile::new("doctor-ca.pem", &pem(&[root]));
        let url = front.url("localhost");
        let mut command = waypost();
        command.args(["doctor", "--no-lan", "--timeout=4", "--server", &url]);
        let output = command.env("SSL_CERT_FILE", roots.path()).env_remove("SSL_CERT_DIR").output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let first = format!("{}{url} at 127.0.0.1 (IPv4): ", line[0]);
        assert!(said.lines().any(|said| said.starts_with(&first) && said.contains(line[1])), "{said}");
        assert!(said.contains("ok    tls       1 CA certificate\n"), "{said}");
        // Another program could hold the port of mDNS.
        assert!(output.status.code() == code || said.contains("fail  lan"), "{said}");
    }
}

/// A moment that will be waited for.
fn soon(reach: &Reach) -> Instant {
    reach.clock().now().plus_ms(1_500)
}

/// What becomes of a question to a server that proves who it is and then does this.
fn with_server(serve: impl Fn(Tls) + Send + 'static) -> Failure {
    with_server_until(patient, serve)
}

/// The same within a time of one's own.
fn with_server_until(deadline: fn(&Reach) -> Instant, serve: impl Fn(Tls) + Send + 'static) -> Failure {
    let front = TlsServer::start(certificate(&authority(), &["localhost"], GOOD), 1, serve);
    let reach = reach();
    let deadline = deadline(&reach);
    let failure = smol::block_on(reach.health(&front.target("localhost"), deadline)).unwrap_err();
    assert!(reach.clock().now() < deadline.plus_ms(5_000), "long after the deadline");
    front.thread.join().unwrap();
    failure
}

#[test]
fn servers_that_misbehave_are_given_up_in_time() {
    assert_eq!(with_server_until(soon, wait_for_the_end), Failure::TimedOut, "it never answers");
    let dripping = with_server_until(soon, |mut stream| {
        read_request(&mut stream);
        stream.sock.set_read_timeout(Some(std::time::Duration::from_millis(20))).unwrap();
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n".iter().chain([b'x'; 9000].iter()) {
            let gone = stream.write_all(&[*byte]).and_then(|()| stream.flush()).is_err();
            // Reading is how it waits between two bytes.
            if gone || !matches!(stream.sock.read(&mut [0]), Err(error) if is_waiting(&error)) {
                return;
            }
        }
    });
    assert_eq!(dripping, Failure::TimedOut, "it answers byte by byte");
    let endless = with_server(|mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        let _ = stream.write_all(&[b'x'; 100 * 1024]);
    });
    assert_eq!(endless, Failure::TooLong);
    let whole = "HTTP/1.1 200 OK\r\n\r\n{\"status\":\"healthy\"}";
    let cut = with_server(move |mut stream| {
        read_request(&mut stream);
        let _ = stream.write_all(whole.as_bytes());
        let _ = stream.flush();
        // The end of the connection, and not of TLS: anybody on the way could have made it.
    });
    let said = "the connection broke: the server closed it before its answer was whole";
    assert_eq!(cut.to_string(), said);
}

fn is_waiting(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

#[test]
fn what_speaks_no_tls_is_told_so() {
    let plain = |deadline: fn(&Reach) -> Instant, serve: fn(TcpStream)| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = Way::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap().into();
        let server = thread::spawn(move || serve(uninterrupted(|| listener.accept()).unwrap().0));
        let reach = reach();
        let failure = smol::block_on(reach.health(&to, deadline(&reach))).unwrap_err();
        server.join().unwrap();
        failure.to_string()
    };
    let http = plain(patient, |mut stream| {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        wait_for_the_end(stream);
    });
    assert_eq!(http, "the connection broke: what answers there does not speak TLS");
    let early = plain(patient, |mut stream| {
        // What the client says is read, else the end would be a reset.
        stream.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
        wait_for_the_end(&mut stream);
    });
    assert_eq!(early, "the connection broke: the server closed it in the middle of the TLS handshake");
    let silent = plain(soon, wait_for_the_end);
    assert_eq!(silent, "no answer in time");
}

#[test]
fn redirects_lead_to_https_only() {
    let proven = || certificate(&authority(), &["localhost"], GOOD);
    let server = Server::start(&[]);
    let last = TlsServer::start(proven(), 1, relay_to(server.http));
    let redirect = |location: String| {
        move |mut stream: Tls| {
            read_request(&mut stream);
            let answer = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
            close(stream);
        }
    };
    let ask = |front: &TlsServer| {
        let reach = reach();
        smol::block_on(reach.well_known(&front.target("localhost"), patient(&reach)))
    };
    let first =
        TlsServer::start(proven(), 1, redirect(format!("{}/.well-known/waypost", last.url("localhost"))));
    let (well_known, _) = ask(&first).unwrap();
    assert_eq!(well_known.bootstrap_id, server.get("/.well-known/waypost").json("bootstrap_id"));
    let down = TlsServer::start(proven(), 1, redirect(format!("http://{}/.well-known/waypost", server.http)));
    assert_eq!(ask(&down), Err(Failure::Nonsense("it redirects to another scheme than https://")));
    let round = TlsServer::start(proven(), 1, redirect("/.well-known/waypost".into()));
    assert_eq!(ask(&round), Err(Failure::Nonsense("its redirects have no end")));
    for front in [last, first, down, round] {
        front.thread.join().unwrap();
    }
}
