//! Starts the real program on free ports, speaks HTTP and UDP to it, and ends it by its handle.
#![allow(dead_code, unreachable_pub, reason = "each test is a program that uses some of it")]

use std::io::{self, BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use waypost::wire::json::{Object, elements};

/// How long a test waits for what must come. Never waited out by a test that passes.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Makes a system call until no signal interrupts it: one with a timeout is not begun anew by the system (signal(7)), and
/// an emulator has signals of its own.
pub fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The emulator that the program needs, and its arguments; empty if it needs none. `WAYPOST_TEST_RUNNER` names one, else
/// it is what cargo runs these tests by: `CARGO_TARGET_..._RUNNER` (the images of `cross` set it), or `runner` in
/// `.cargo/config.toml`.
pub fn runner() -> String {
    if let Ok(runner) = std::env::var("WAYPOST_TEST_RUNNER") {
        return runner;
    }
    // target/TARGET/debug/waypost; without a TARGET there is nothing of that name.
    let target = Path::new(env!("CARGO_BIN_EXE_waypost")).ancestors().nth(2).unwrap().file_name().unwrap();
    let target = target.to_str().unwrap();
    let variable = format!("CARGO_TARGET_{}_RUNNER", target.to_uppercase().replace('-', "_"));
    std::env::var(variable).unwrap_or_else(|_| {
        let config = include_str!("../../.cargo/config.toml");
        let table = config.split_once(&format!("[target.{target}]\n")).map_or("", |(_, rest)| rest);
        let mut lines = table.lines().take_while(|line| !line.starts_with('['));
        lines.find_map(|line| line.strip_prefix("runner = ")).unwrap_or_default().trim_matches('"').into()
    })
}

/// Runs an ignored test of this file as root of namespaces of its own: a network, and those of `more` (flags of unshare(1)). Says so and does nothing where the machine makes none.
#[cfg(target_os = "linux")]
pub fn in_a_namespace(test: &str, more: &[&str]) {
    let own = std::env::current_exe().unwrap();
    let namespace = || {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net"]).args(more).arg("--");
        command
    };
    let can = namespace().args(["ip", "link", "set", "lo", "up"]).output();
    if !can.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this machine makes no namespaces: {can:?}");
        return;
    }
    let test = ["--ignored", "--exact", test, "--nocapture"];
    let run = namespace().args(runner().split_whitespace()).arg(own).args(test).output().unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}{}", String::from_utf8_lossy(&run.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

/// The program, with nothing in its environment that could configure it.
pub fn waypost() -> Command {
    let program = env!("CARGO_BIN_EXE_waypost");
    let runner = runner();
    let mut words = runner.split_whitespace().chain([program]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Output {
    waypost().args(arguments).output().unwrap()
}

/// The most memory a process has had resident, in bytes (proc(5): `VmHWM`).
#[cfg(target_os = "linux")]
pub fn peak_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// A running server. Killed when dropped.
pub struct Server {
    child: Child,
    /// Its HTTP port on 127.0.0.1.
    pub http: SocketAddr,
    /// Its UDP port on 127.0.0.1, if it has one.
    pub udp: Option<SocketAddr>,
    /// Whether it listens on IPv6 too.
    pub has_ipv6: bool,
    /// What it printed before it was ready.
    pub banner: String,
    output: Option<Lines<BufReader<ChildStdout>>>,
}

impl Server {
    /// Starts a server on free ports, without limits on requests and an advert on the LAN, and with `flags`.
    pub fn start(flags: &[&str]) -> Self {
        let mut command = waypost();
        let free = ["--port=0", "--udp-port=auto", "--rate-limit=0", "--announce-limit=0", "--no-mdns"];
        command.arg("serve").args(free);
        command.args(flags);
        Self::spawn(command)
    }

    /// Starts a server with these flags only, and no advert on the LAN.
    pub fn start_bare(flags: &[&str]) -> Self {
        let mut command = waypost();
        command.arg("serve").args(flags).env("NO_MDNS", "1");
        Self::spawn(command)
    }

    /// Starts a server by `command`, and waits until it says that it is ready.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut banner = String::new();
        while !banner.contains("\nready ") {
            let line =
                lines.next().unwrap_or_else(|| panic!("it ended before it was ready:\n{banner}")).unwrap();
            banner += &line;
            banner.push('\n');
        }
        let bound = |protocol: &str| -> Vec<SocketAddr> {
            let words = banner.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            words
                .filter(|words| words[0] == "listening" && words[1] == protocol)
                .filter_map(|words| words[2].parse().ok())
                .collect()
        };
        let local = |addr: &SocketAddr| SocketAddr::from((Ipv4Addr::LOCALHOST, addr.port()));
        let (http, udp) = (bound("http"), bound("udp"));
        Self {
            http: local(&http[0]),
            udp: udp.first().map(local),
            has_ipv6: http.iter().any(SocketAddr::is_ipv6),
            child,
            banner,
            output: Some(lines),
        }
    }

    /// What it prints from now on, to its end.
    pub fn take_output(&mut self) -> Lines<BufReader<ChildStdout>> {
        self.output.take().unwrap()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The number before `unit` in the banner.
    pub fn announced(&self, unit: &str) -> u64 {
        let before = self.banner.split(unit).next().filter(|before| before.len() < self.banner.len());
        let number = before.and_then(|text| text.split_whitespace().last());
        number.unwrap_or_else(|| panic!("no {unit:?} in\n{}", self.banner)).parse().unwrap()
    }

    /// Sends a signal.
    #[cfg(unix)]
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end, and returns its exit code. A server that hangs is killed, and has none.
    #[cfg(unix)]
    pub fn wait(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        let (ended, watched) = std::sync::mpsc::channel::<()>();
        let watchdog = std::thread::spawn(move || {
            if watched.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        });
        let code = self.child.wait().unwrap().code();
        drop(ended);
        watchdog.join().unwrap();
        code
    }

    /// Its URL on 127.0.0.1.
    pub fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Announces a peer of this id on 127.0.0.1, over TCP and UDP.
    pub fn announce(&self, id: &str, port: u16) {
        let endpoints = format!(r#"["tcp://:{port}","udp://:{port}"]"#);
        let answer = self.post("/announce", &format!(r#"{{"id":"{id}","endpoints":{endpoints}}}"#));
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    /// Opens an HTTP connection.
    pub fn connect(&self) -> Http {
        Http::connect(self.http)
    }

    /// A request on a connection of its own.
    pub fn get(&self, target: &str) -> Response {
        self.connect().get(target)
    }

    /// A request with a JSON body on a connection of its own.
    pub fn post(&self, target: &str, json: &str) -> Response {
        self.connect().post(target, json)
    }

    /// A UDP client of 127.0.0.1.
    pub fn udp_client(&self) -> Udp {
        Udp::connect(self.udp.unwrap())
    }

    /// Its HTTP port on ::1.
    pub fn http_v6(&self) -> SocketAddr {
        (IpAddr::V6(Ipv6Addr::LOCALHOST), self.http.port()).into()
    }

    /// Its UDP port on ::1.
    pub fn udp_v6(&self) -> SocketAddr {
        (IpAddr::V6(Ipv6Addr::LOCALHOST), self.udp.unwrap().port()).into()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One HTTP connection.
pub struct Http {
    /// The socket, for what is no ordinary request.
    pub stream: TcpStream,
    received: Vec<u8>,
}

/// An HTTP response.
#[derive(Debug)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its head, without the empty line.
    pub head: String,
    /// Its body, as text.
    pub body: String,
    /// Its body.
    pub bytes: Vec<u8>,
}

impl Http {
    /// Connects to `addr`.
    pub fn connect(addr: SocketAddr) -> Self {
        Self::of(TcpStream::connect(addr).unwrap())
    }

    /// Takes a connected socket.
    pub fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, received: Vec::new() }
    }

    /// Sends bytes.
    pub fn send(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).unwrap();
    }

    /// `GET target`
    pub fn get(&mut self, target: &str) -> Response {
        self.send(&format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n"));
        self.response()
    }

    /// `POST target` with a JSON body.
    pub fn post(&mut self, target: &str, json: &str) -> Response {
        self.send(&post(target, json));
        self.response()
    }

    /// Reads one response.
    pub fn response(&mut self) -> Response {
        self.try_response(true).expect("a response, not the end of the connection")
    }

    /// Reads one response; `None` if the connection ends first. A response to `HEAD` has no body.
    pub fn try_response(&mut self, has_body: bool) -> Option<Response> {
        loop {
            if let Some(response) = self.take_response(has_body) {
                return Some(response);
            }
            let mut chunk = [0; 4096];
            match uninterrupted(|| self.stream.read(&mut chunk)) {
                Ok(0) => return None,
                Ok(n) => self.received.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&self.received)),
            }
        }
    }

    /// Whether the server ends the connection, without another byte.
    pub fn ends(&mut self) -> bool {
        use io::ErrorKind::{TimedOut, WouldBlock};
        self.received.is_empty()
            && match uninterrupted(|| self.stream.read(&mut [0; 1])) {
                Ok(read) => read == 0,
                Err(error) => !matches!(error.kind(), TimedOut | WouldBlock),
            }
    }

    fn take_response(&mut self, has_body: bool) -> Option<Response> {
        let end = self.received.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&self.received[..end]).unwrap();
        let mut response = Response {
            status: head.strip_prefix("HTTP/1.1 ").and_then(|line| line[..3].parse().ok()).expect(head),
            head: head.into(),
            body: String::new(),
            bytes: Vec::new(),
        };
        let length = match response.header("content-length") {
            Some(length) if has_body => length.parse().unwrap(),
            _ => 0,
        };
        let body = end + 4..end + 4 + length;
        response.bytes = self.received.get(body.clone())?.into();
        response.body = String::from_utf8_lossy(&response.bytes).into();
        self.received.drain(..body.end);
        Some(response)
    }
}

/// A `POST` with a JSON body, as text.
pub fn post(target: &str, json: &str) -> String {
    let length = json.len();
    format!(
        "POST {target} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{json}"
    )
}

impl Response {
    /// A header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// A member of the JSON body, as text; strings without quotes.
    pub fn json(&self, name: &str) -> Option<String> {
        member(&self.body, name)
    }

    /// The ids of the peers in the body, sorted.
    pub fn peer_ids(&self) -> Vec<String> {
        peer_ids(&self.body)
    }
}

/// A member of a JSON object, as text; strings without quotes.
pub fn member(object: &str, name: &str) -> Option<String> {
    let object = Object::parse_within(object.as_bytes(), 65_536).expect(object);
    let (_, value) = object.members().find(|(key, _)| *key == name)?;
    Some(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value).into())
}

/// The peers in the body of an answer: each with its id and the text of its endpoints.
pub fn peers(body: &str) -> Vec<(String, String)> {
    let list = member(body, "peers").expect(body);
    elements(&list).map(|peer| (member(peer, "id").unwrap(), member(peer, "endpoints").unwrap())).collect()
}

/// The ids of these peers, sorted.
pub fn peer_ids(body: &str) -> Vec<String> {
    let mut ids: Vec<String> = peers(body).into_iter().map(|(id, _)| id).collect();
    ids.sort();
    ids
}

/// A UDP client.
pub struct Udp {
    /// The socket, for what is no ordinary message.
    pub socket: UdpSocket,
}

impl Udp {
    /// A client of the server at `addr`.
    pub fn connect(addr: SocketAddr) -> Self {
        let any: IpAddr =
            if addr.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
        let socket = UdpSocket::bind((any, 0)).unwrap();
        socket.connect(addr).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket }
    }

    /// Sends a message and returns the answer.
    pub fn ask(&self, message: &str) -> String {
        String::from_utf8(self.exchange(message.as_bytes())).unwrap()
    }

    /// Sends a datagram and returns the next one that comes.
    pub fn exchange(&self, datagram: &[u8]) -> Vec<u8> {
        self.socket.send(datagram).unwrap();
        self.receive_bytes()
    }

    /// The next datagram.
    pub fn receive(&self) -> String {
        String::from_utf8(self.receive_bytes()).unwrap()
    }

    fn receive_bytes(&self) -> Vec<u8> {
        let mut datagram = [0; 2048];
        let n = uninterrupted(|| self.socket.recv(&mut datagram)).expect("an answer");
        datagram[..n].into()
    }

    /// The token the server gives to this client's address.
    pub fn token(&self) -> String {
        let answer = self.ask(&format!(r#"{{"type":"find_peers","id":"t","pad":"{}"}}"#, "x".repeat(64)));
        member(&answer, "token").expect(&answer)
    }
}

/// A file of a test's own. Removed when dropped.
pub struct TempFile(std::path::PathBuf);

impl TempFile {
    /// A file of this content, its name begun by the process's number.
    pub fn new(name: &str, content: &str) -> Self {
        let path = std::env::temp_dir().join(format!("waypost-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
