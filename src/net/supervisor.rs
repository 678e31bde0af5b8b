//! What a supervisor wants to know, in systemd's protocol (sd_notify(3)): that the server is ready, that it is alive, and that
//! it ends. Where nobody asks, nothing is said.

use std::ffi::OsString;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::time::Instant;

/// Whom to tell, if anybody.
#[derive(Default)]
pub struct Supervisor {
    line: Option<Line>,
    /// How often it wants a sign of life, in milliseconds.
    every_ms: Option<u64>,
}

/// The way to the supervisor.
struct Line {
    socket: UnixDatagram,
    address: OsString,
}

impl Supervisor {
    /// The supervisor that `environment` names, by `NOTIFY_SOCKET`, and how patient it is, by `WATCHDOG_USEC`, if that is
    /// meant for the process `WATCHDOG_PID`, which is `own_pid`.
    pub fn find(environment: impl Fn(&str) -> Option<OsString>, own_pid: u32) -> Self {
        let line = environment("NOTIFY_SOCKET").filter(|address| !address.is_empty()).and_then(|address| {
            let socket = UnixDatagram::unbound().ok()?;
            // It may be full; nobody here waits for it.
            socket.set_nonblocking(true).ok()?;
            Some(Line { socket, address })
        });
        let number = |name: &str| environment(name)?.to_str()?.parse::<u64>().ok();
        let is_for_us =
            environment("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(own_pid.into());
        // Half of its patience, as sd_watchdog_enabled(3) advises.
        let every_ms = number("WATCHDOG_USEC").filter(|&us| us > 0 && is_for_us).map(|us| us / 2000);
        Self { every_ms: every_ms.filter(|_| line.is_some()), line }
    }

    /// The one that this process's environment names.
    pub fn of_process() -> Self {
        Self::find(|name| std::env::var_os(name), std::process::id())
    }

    /// Says that the server is ready.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// Says that it ends.
    pub fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Says that it is alive, if it is time to. `said` is when it last did.
    pub fn alive(&self, now: Instant, said: &mut Instant) {
        if self.every_ms.is_some_and(|every_ms| now.ms_since(*said) >= every_ms) {
            *said = now;
            self.tell("WATCHDOG=1");
        }
    }

    fn tell(&self, state: &str) {
        if let Some(line) = &self.line {
            // What it does not take, it does not want.
            let _ = line.send(state.as_bytes());
        }
    }
}

impl Line {
    fn send(&self, state: &[u8]) -> std::io::Result<usize> {
        #[cfg(target_os = "linux")]
        {
            use std::os::linux::net::SocketAddrExt as _;
            use std::os::unix::ffi::OsStrExt as _;
            use std::os::unix::net::SocketAddr;
            // An address in the abstract namespace begins with a zero byte, which is written `@`.
            if let Some(name) = self.address.as_bytes().strip_prefix(b"@") {
                return self.socket.send_to_addr(state, &SocketAddr::from_abstract_name(name)?);
            }
        }
        self.socket.send_to(state, &self.address)
    }
}

/// How long the server may do nothing before it is ended from inside, and how often that is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
const LOOKS: u32 = 3;

/// Starts to watch over the server: if `beats` stands still for 30 seconds of the watcher's own time, the process is aborted,
/// so that a supervisor starts it again. A process that is stopped or a machine that sleeps is no hang: then the watcher
/// does not look either.
///
/// # Errors
/// The system allows no thread.
pub fn watch_over(beats: impl Fn() -> u32 + Send + 'static) -> std::io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "this thread does nothing but sleep")]
    let watch = move || {
        until_it_stands_still(beats, || std::thread::sleep(LOOK_EVERY));
        eprintln!(
            "error: the server has stood still for {} s",
            LOOK_EVERY.as_secs().saturating_mul(LOOKS.into())
        );
        std::process::abort();
    };
    // The least a thread may have, and all it needs.
    std::thread::Builder::new().name("watchdog".into()).stack_size(16 * 1024).spawn(watch).map(drop)
}

/// Returns when `beats` was the same at so many looks in a row.
fn until_it_stands_still(beats: impl Fn() -> u32, mut wait: impl FnMut()) {
    let (mut seen, mut same) = (beats(), 0);
    while same < LOOKS {
        wait();
        let now = beats();
        same = if now == seen { same.saturating_add(1) } else { 0 };
        seen = now;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::path::PathBuf;

    use super::*;

    fn supervisor(address: &str, more: &[(&str, &str)]) -> Supervisor {
        let variables = [&[("NOTIFY_SOCKET", address)], more].concat();
        let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into());
        Supervisor::find(find, 77)
    }

    fn heard(socket: &UnixDatagram) -> Option<String> {
        socket.set_nonblocking(true).unwrap();
        let mut bytes = [0; 64];
        let length = socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
    }

    /// A socket at a path of its own.
    fn listener(name: &str) -> (UnixDatagram, PathBuf) {
        let path = std::env::temp_dir().join(format!("waypost-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        (UnixDatagram::bind(&path).unwrap(), path)
    }

    #[test]
    fn it_is_told_what_happens() {
        let (socket, path) = listener("told");
        let supervisor =
            supervisor(path.to_str().unwrap(), &[("WATCHDOG_USEC", "2000000"), ("WATCHDOG_PID", "77")]);
        supervisor.ready();
        assert_eq!(heard(&socket).as_deref(), Some("READY=1"));
        let mut said = Instant::START;
        supervisor.alive(Instant::from_ms(999), &mut said);
        assert_eq!(heard(&socket), None);
        supervisor.alive(Instant::from_ms(1000), &mut said);
        assert_eq!(heard(&socket).as_deref(), Some("WATCHDOG=1"));
        supervisor.alive(Instant::from_ms(1999), &mut said);
        assert_eq!(heard(&socket), None);
        supervisor.alive(Instant::from_ms(2000), &mut said);
        assert_eq!(heard(&socket).as_deref(), Some("WATCHDOG=1"));
        supervisor.stopping();
        assert_eq!(heard(&socket).as_deref(), Some("STOPPING=1"));
        drop(socket);
        supervisor.ready();
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn it_may_have_an_abstract_address() {
        use std::os::linux::net::SocketAddrExt as _;
        use std::os::unix::net::SocketAddr;
        let name = format!("waypost-test-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        supervisor(&format!("@{name}"), &[]).ready();
        assert_eq!(heard(&socket).as_deref(), Some("READY=1"));
    }

    #[test]
    fn signs_of_life_are_for_who_wants_them_of_us() {
        let (socket, path) = listener("life");
        let address = path.to_str().unwrap();
        for more in [
            &[][..],
            &[("WATCHDOG_USEC", "0")],
            &[("WATCHDOG_USEC", "soon")],
            &[("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "78")],
            &[("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "x")],
        ] {
            supervisor(address, more).alive(Instant::from_s(1000), &mut Instant::START.clone());
            assert_eq!(heard(&socket), None, "{more:?}");
        }
        supervisor(address, &[("WATCHDOG_USEC", "1000")])
            .alive(Instant::from_s(1), &mut Instant::START.clone());
        assert_eq!(heard(&socket).as_deref(), Some("WATCHDOG=1"));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn where_nobody_asks_nothing_is_said() {
        for address in ["", "/nowhere/at/all", "@waypost-nobody-listens"] {
            let supervisor = supervisor(address, &[("WATCHDOG_USEC", "1000")]);
            supervisor.ready();
            supervisor.alive(Instant::from_s(1), &mut Instant::START.clone());
        }
    }

    #[test]
    fn a_server_stands_still_when_three_looks_show_the_same() {
        let (beats, looks) = (Cell::new(7_u32), Cell::new(0));
        until_it_stands_still(
            || beats.get(),
            || {
                looks.set(looks.get() + 1);
                // It is slow, but goes on, around the end of the numbers too; then it stands still.
                if looks.get() % 3 == 0 && looks.get() < 30 {
                    beats.set(beats.get().wrapping_add(u32::MAX / 5));
                }
            },
        );
        assert_eq!(looks.get(), 30);
    }
}
