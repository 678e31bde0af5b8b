//! What is told to the supervisor that started the process, if it wants to know: sd_notify(3), of which this is the whole
//! protocol. One datagram of lines `NAME=value` a message, to the socket that `NOTIFY_SOCKET` names.

use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixDatagram;

use crate::limits::STATUS_PAUSE_MS;
use crate::time::Instant;
use crate::wire::Writer;

/// The supervisor of this process, or nobody.
#[derive(Default)]
pub struct Supervisor {
    socket: Option<UnixDatagram>,
    /// How often it wants to hear that the server goes on, in milliseconds: twice in the time after which it takes the
    /// server for dead, as sd_watchdog_enabled(3) advises.
    watchdog_pause_ms: Option<u64>,
    next_report: Instant,
}

impl Supervisor {
    /// The supervisor that the variables of the environment name; nobody if none does.
    ///
    /// # Errors
    /// It cannot be told anything.
    pub fn open(variable: impl Fn(&str) -> Option<OsString>) -> io::Result<Self> {
        let Some(path) = variable("NOTIFY_SOCKET") else { return Ok(Self::default()) };
        let socket = UnixDatagram::unbound()?;
        connect(&socket, &path)?;
        // A supervisor that does not read must not stop the server.
        socket.set_nonblocking(true)?;
        let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
        let is_ours = variable("WATCHDOG_PID").is_none()
            || number("WATCHDOG_PID") == Some(u64::from(std::process::id()));
        let period_us = number("WATCHDOG_USEC").filter(|&us| us > 0 && is_ours);
        Ok(Self {
            socket: Some(socket),
            watchdog_pause_ms: period_us.map(|us| us / 2000),
            next_report: Instant::START,
        })
    }

    /// Says that the server can be used.
    pub fn ready(&self) {
        self.tell(b"READY=1");
    }

    /// Says that the server ends.
    pub fn stopping(&self) {
        self.tell(b"STOPPING=1\nSTATUS=finishing what is under way");
    }

    /// Says, when it is time to, that the server goes on, and how many peers it has of so many.
    pub fn report(&mut self, now: Instant, peers: usize, capacity: usize) {
        if self.socket.is_none() || now < self.next_report {
            return;
        }
        self.next_report =
            now.plus_ms(self.watchdog_pause_ms.unwrap_or(STATUS_PAUSE_MS).min(STATUS_PAUSE_MS));
        let mut message = [0; 96];
        let mut out = Writer::new(&mut message);
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let put = out
            .put_str(if self.watchdog_pause_ms.is_some() { "WATCHDOG=1\nSTATUS=" } else { "STATUS=" })
            .and_then(|()| out.put_decimal(count(peers)))
            .and_then(|()| out.put_str(" peers, room for "))
            .and_then(|()| out.put_decimal(count(capacity)));
        if put.is_ok() {
            self.tell(out.written());
        }
    }

    /// Sends a message. One that gets lost is followed by others, or the supervisor is not there to hear it.
    fn tell(&self, message: &[u8]) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(message);
        }
    }
}

/// Connects to the socket at `path`, which a leading `@` makes an abstract one.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn connect(socket: &UnixDatagram, path: &OsString) -> io::Result<()> {
    #[cfg(target_os = "android")]
    use std::os::android::net::SocketAddrExt as _;
    #[cfg(target_os = "linux")]
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::net::SocketAddr;

    match path.as_bytes().strip_prefix(b"@") {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?),
        None => socket.connect(path),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn connect(socket: &UnixDatagram, path: &OsString) -> io::Result<()> {
    socket.connect(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A supervisor that can be asked what it heard, and the socket's name.
    #[cfg(target_os = "linux")]
    fn supervisor(about: &str) -> (UnixDatagram, OsString) {
        use std::os::linux::net::SocketAddrExt as _;
        let name = format!("waypost-test-{}-{about}", std::process::id());
        let addr = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&addr).unwrap();
        socket.set_nonblocking(true).unwrap();
        (socket, format!("@{name}").into())
    }

    #[cfg(target_os = "linux")]
    fn heard(socket: &UnixDatagram) -> Option<String> {
        let mut message = [0; 256];
        socket.recv(&mut message).ok().map(|n| String::from_utf8(message[..n].into()).unwrap())
    }

    #[test]
    fn without_a_supervisor_nothing_happens() {
        let mut nobody = Supervisor::open(|_| None).unwrap();
        nobody.ready();
        nobody.report(Instant::START, 1, 2);
        nobody.stopping();
    }

    #[test]
    fn a_socket_that_is_not_there_is_an_error() {
        for path in ["", "/nowhere/at/all", "@waypost-nobody"] {
            let open = Supervisor::open(|name| (name == "NOTIFY_SOCKET").then(|| path.into()));
            assert!(open.is_err(), "{path}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn it_is_told_in_time_that_the_server_goes_on() {
        let (socket, path) = supervisor("time");
        let own = std::process::id().to_string();
        let mut told = Supervisor::open(|name| match name {
            "NOTIFY_SOCKET" => Some(path.clone()),
            "WATCHDOG_USEC" => Some("3000000".into()),
            "WATCHDOG_PID" => Some(own.clone().into()),
            _ => None,
        })
        .unwrap();
        told.ready();
        assert_eq!(heard(&socket).as_deref(), Some("READY=1"));
        let going_on = Some("WATCHDOG=1\nSTATUS=7 peers, room for 64");
        for (now_ms, message) in
            [(0, going_on), (1_499, None), (1_500, going_on), (2_999, None), (3_000, going_on)]
        {
            told.report(Instant::from_ms(now_ms), 7, 64);
            assert_eq!(heard(&socket).as_deref(), message, "{now_ms}");
        }
        told.stopping();
        assert!(heard(&socket).unwrap().starts_with("STOPPING=1\n"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_watchdog_of_another_process_is_not_ours() {
        let (socket, path) = supervisor("other");
        for (variable, value) in
            [("WATCHDOG_PID", "1"), ("WATCHDOG_PID", ""), ("WATCHDOG_USEC", "0"), ("WATCHDOG_USEC", "x")]
        {
            let mut told = Supervisor::open(|name| match name {
                "NOTIFY_SOCKET" => Some(path.clone()),
                _ if name == variable => Some(value.into()),
                "WATCHDOG_USEC" => Some("1000000".into()),
                _ => None,
            })
            .unwrap();
            for (now_ms, message) in [(0, Some("STATUS=0 peers, room for 1")), (STATUS_PAUSE_MS - 1, None)] {
                told.report(Instant::from_ms(now_ms), 0, 1);
                assert_eq!(heard(&socket).as_deref(), message, "{variable}={value} at {now_ms}");
            }
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn one_that_does_not_read_stops_nothing() {
        let (_socket, path) = supervisor("deaf");
        let told = Supervisor::open(|name| (name == "NOTIFY_SOCKET").then(|| path.clone())).unwrap();
        (0..10_000).for_each(|_| told.ready());
    }

    #[test]
    fn it_may_have_a_path() {
        let folder = std::env::temp_dir().join(format!("waypost-supervisor-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Supervisor::open(|name| (name == "NOTIFY_SOCKET").then(|| path.clone().into())).unwrap().ready();
        let mut message = [0; 16];
        let n = socket.recv(&mut message).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(&message[..n], b"READY=1");
    }
}
