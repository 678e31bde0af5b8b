//! `waypost check`: asks a running server how it is, for container health checks and supervisors.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};

use super::{Exit, complain, say};
use crate::config::DEFAULT_HTTP_PORT;
use crate::net::clock::Clock;
use crate::net::names;
use crate::quoted::Quoted;
use crate::wire::json::Object;

/// Time for everything, in milliseconds.
const TIMEOUT_MS: u64 = 3_000;
/// Time until a lost ping is sent again, in milliseconds.
const PING_MS: u64 = 700;
/// Longest answer believed, in bytes.
const MAX_ANSWER_BYTES: usize = 8_192;
/// The ping and the id its answer must carry.
const PING: &[u8] = br#"{"type":"ping","id":"waypost-check"}"#;
const PING_ID: &str = "\"waypost-check\"";

/// ask a running server how it is
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "check",
    example = "{command_name} --url http://127.0.0.1:8080 --udp 127.0.0.1:6881",
    note = "For container health checks and supervisors. waypost doctor tells more.",
    error_code(0, "It is healthy, or degraded: its table is full, or limits are biting."),
    error_code(1, "It does not answer, or something else does."),
    error_code(2, "A flag is wrong.")
)]
pub(super) struct Check {
    /// the server (default http://127.0.0.1:PORT, with PORT from the environment or 8080)
    #[argh(option)]
    url: Option<String>,
    /// also ping this UDP address
    #[argh(option, arg_name = "host:port")]
    udp: Option<String>,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

/// Why the server is not well, in words.
struct Cause(String);

/// What a healthy answer says.
struct Health {
    status: String,
    body: String,
}

impl Check {
    /// Asks, and prints the answer or its absence.
    pub(super) fn run(&self) -> Exit {
        let url = self.url.clone().unwrap_or_else(default_url);
        let Some(authority) = authority(&url) else {
            return complain(format_args!("--url {}: must be http://host[:port]", Quoted(&url)), Exit::Usage);
        };
        let clock = Clock::start();
        let checked = fetch(&authority, clock).and_then(|answer| Health::read(&answer)).and_then(|health| {
            self.udp.as_deref().map_or(Ok(()), |target| ping(target, clock))?;
            Ok(health)
        });
        match (checked, self.json) {
            (Ok(health), true) => say(format_args!("{{\"ok\":true,\"health\":{}}}", health.body)),
            (Ok(health), false) => say(format_args!("{health}, at {url}")),
            (Err(Cause(cause)), true) => {
                say(format_args!("{{\"ok\":false,\"error\":{}}}", Quoted(&cause)));
                Exit::Failed
            }
            (Err(Cause(cause)), false) => complain(format_args!("{url}: {cause}"), Exit::Failed),
        }
    }
}

/// The server on this machine.
pub(super) fn default_url() -> String {
    let port = std::env::var("PORT").ok().filter(|port| !port.is_empty());
    format!("http://127.0.0.1:{}", port.unwrap_or_else(|| DEFAULT_HTTP_PORT.to_string()))
}

/// The `host:port` of a plain HTTP URL without a path.
fn authority(url: &str) -> Option<String> {
    let host = url.strip_prefix("http://")?;
    let host = host.strip_suffix('/').unwrap_or(host);
    let clean = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:[]%_".contains(&b));
    if host.is_empty() || !clean {
        return None;
    }
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    Some(if has_port { host.into() } else { format!("{host}:80") })
}

/// What is left of the time for everything.
fn time_left(clock: Clock) -> Result<Duration, Cause> {
    match TIMEOUT_MS.saturating_sub(clock.now().as_ms()) {
        0 => Err(Cause(format!("no answer within {TIMEOUT_MS} ms"))),
        ms => Ok(Duration::from_millis(ms)),
    }
}

/// The addresses behind `host:port`.
fn addresses(target: &str) -> Result<Vec<SocketAddr>, Cause> {
    let found = names::addresses(target).map_err(|error| Cause(format!("no such host: {error}")))?;
    if found.is_empty() { Err(Cause("no such host".into())) } else { Ok(found) }
}

/// Sends `GET /health` and returns the whole answer.
fn fetch(authority: &str, clock: Clock) -> Result<Vec<u8>, Cause> {
    let mut refused = Cause(String::new());
    for addr in addresses(authority)? {
        match TcpStream::connect_timeout(&addr, time_left(clock)?) {
            Ok(stream) => return exchange(stream, authority, clock),
            Err(error) => refused = Cause(format!("cannot connect: {error}")),
        }
    }
    Err(refused)
}

fn exchange(mut stream: TcpStream, authority: &str, clock: Clock) -> Result<Vec<u8>, Cause> {
    let broken = |error: io::Error| Cause(format!("the connection broke: {error}"));
    stream.set_write_timeout(Some(time_left(clock)?)).map_err(broken)?;
    let request = format!("GET /health HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(broken)?;
    let mut answer = Vec::new();
    let mut chunk = [0; 1024];
    loop {
        stream.set_read_timeout(Some(time_left(clock)?)).map_err(broken)?;
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(answer),
            Ok(n) => answer.extend(chunk.iter().take(n)),
            Err(e) if is_passing(&e) => {}
            Err(error) => return Err(broken(error)),
        }
        if answer.len() > MAX_ANSWER_BYTES {
            return Err(Cause(format!("the answer is longer than {MAX_ANSWER_BYTES} bytes")));
        }
    }
}

impl Health {
    /// Reads an answer strictly: HTTP/1.1, status 200, a body of exactly the announced length, and a status we know.
    fn read(answer: &[u8]) -> Result<Self, Cause> {
        let foreign = || Cause("the answer is not one of a waypost server".into());
        let text = str::from_utf8(answer).map_err(|_| foreign())?;
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or_else(foreign)?;
        let (head, body) = text.get(..end).zip(text.get(end + 4..)).ok_or_else(foreign)?;
        // RFC 9112, section 2.2: a line ends with CRLF. The last one has lost its own above.
        if head.split('\n').rev().skip(1).any(|line| !line.ends_with('\r')) {
            return Err(foreign());
        }
        let mut lines = head.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).ok_or_else(foreign)?;
        if !status.starts_with("200 ") {
            return Err(Cause(format!("it answers {}", Quoted(status))));
        }
        let length = lines
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse::<usize>().ok());
        if length != Some(body.len()) {
            return Err(foreign());
        }
        let object = Object::parse(body.as_bytes()).map_err(|_| foreign())?;
        match member(&object, "status") {
            Some(status @ ("\"healthy\"" | "\"degraded\"")) => {
                Ok(Self { status: status.trim_matches('"').into(), body: body.trim().into() })
            }
            _ => Err(foreign()),
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.status)?;
        let Ok(object) = Object::parse(self.body.as_bytes()) else { return Ok(()) };
        let peers = member(&object, "peers").and_then(|peers| Object::parse(peers.as_bytes()).ok());
        if let Some(total) = peers.as_ref().and_then(|peers| member(peers, "total")) {
            write!(f, ", {total} peer{}", if total == "1" { "" } else { "s" })?;
        }
        if let Some(uptime) = member(&object, "uptime_seconds") {
            write!(f, ", up {uptime} s")?;
        }
        Ok(())
    }
}

fn member<'a>(object: &Object<'a>, name: &str) -> Option<&'a str> {
    object.members().find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// Pings `target` until it answers or time is up: datagrams get lost.
fn ping(target: &str, clock: Clock) -> Result<(), Cause> {
    let broken = |error: io::Error| Cause(format!("UDP {target}: {error}"));
    let addr = *addresses(target)?.first().ok_or_else(|| Cause("no such host".into()))?;
    let any: SocketAddr = if addr.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).map_err(broken)?;
    socket.connect(addr).map_err(broken)?;
    let mut datagram = [0; 1500];
    loop {
        let wait = time_left(clock).map_err(|_| Cause(format!("UDP {target}: no pong")))?;
        socket.set_read_timeout(Some(wait.min(Duration::from_millis(PING_MS)))).map_err(broken)?;
        socket.send(PING).map_err(broken)?;
        match socket.recv(&mut datagram) {
            Ok(n) if is_pong(datagram.get(..n).unwrap_or_default()) => return Ok(()),
            Err(error) if !is_passing(&error) => return Err(broken(error)),
            _ => {}
        }
    }
}

/// Whether an error says no more than that nothing has come yet.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

fn is_pong(datagram: &[u8]) -> bool {
    Object::parse(datagram).is_ok_and(|object| {
        member(&object, "type") == Some("\"pong\"") && member(&object, "id") == Some(PING_ID)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"status":"healthy","uptime_seconds":7,"peers":{"total":3,"active_5m":2}}"#;

    fn answer(status: &str, length: usize, body: &str) -> Result<String, String> {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
        Health::read(answer.as_bytes()).map(|health| health.to_string()).map_err(|Cause(cause)| cause)
    }

    #[test]
    fn a_health_answer_is_read() {
        assert_eq!(answer("200 OK", BODY.len(), BODY).unwrap(), "healthy, 3 peers, up 7 s");
        let degraded = BODY.replace("healthy", "degraded");
        assert!(answer("200 OK", degraded.len(), &degraded).unwrap().starts_with("degraded"));
    }

    #[test]
    fn other_answers_are_failures() {
        assert_eq!(answer("503 Busy", BODY.len(), BODY).unwrap_err(), "it answers \"503 Busy\"");
        for body in ["", "[]", "{}", r#"{"status":"fine"}"#, "<html>"] {
            assert!(answer("200 OK", body.len(), body).is_err(), "{body}");
        }
        assert!(answer("200 OK", BODY.len() + 1, BODY).is_err(), "a truncated body");
        assert!(Health::read(b"SSH-2.0-OpenSSH_9.9\r\n").is_err());
        assert!(Health::read(b"\xff").is_err());
        let bare_lf = format!("HTTP/1.1 200 OK\ncontent-length: {}\r\n\r\n{BODY}", BODY.len());
        assert!(Health::read(bare_lf.as_bytes()).is_err());
    }

    #[test]
    fn urls_are_plain_http_without_a_path() {
        for (url, found) in [
            ("http://127.0.0.1:8080", Some("127.0.0.1:8080")),
            ("http://localhost/", Some("localhost:80")),
            ("http://[::1]", Some("[::1]:80")),
            ("http://[::1]:81", Some("[::1]:81")),
            ("https://localhost", None),
            ("localhost:8080", None),
            ("http://", None),
            ("http://a/b", None),
            ("http://a b", None),
            ("http://a\r\nX: y", None),
        ] {
            assert_eq!(authority(url).as_deref(), found, "{url}");
        }
    }
}
