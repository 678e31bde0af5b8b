//! The server's process: starting one, and what /proc says about it.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::clock;

/// Clock ticks a second in /proc: the same on every Linux platform Rust runs on.
const TICKS_PER_SECOND: u32 = 100;
/// How long a server may take to start.
const START_LIMIT: Duration = Duration::from_secs(5);

/// What processes have used so far.
pub(crate) struct Usage {
    /// Processor time of all threads, user and system.
    pub(crate) cpu: Duration,
    /// Resident memory now, in KiB.
    pub(crate) resident_kib: u64,
    /// Most resident memory ever, in KiB.
    pub(crate) peak_kib: u64,
}

impl Usage {
    /// What the processes `pids` have used together; `None` if there is none.
    pub(crate) fn of(pids: &[u32]) -> io::Result<Option<Self>> {
        let mut sum = None;
        for pid in pids {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
            let usage = sum.get_or_insert(Self { cpu: Duration::ZERO, resident_kib: 0, peak_kib: 0 });
            let missing = || io::Error::other(format!("/proc/{pid} has another format than expected"));
            usage.cpu += cpu_time(&stat).ok_or_else(missing)?;
            usage.resident_kib += field_kib(&status, "VmRSS:").ok_or_else(missing)?;
            usage.peak_kib += field_kib(&status, "VmHWM:").ok_or_else(missing)?;
        }
        Ok(sum)
    }
}

/// User and system time, fields 14 and 15 of proc_pid_stat(5). The second field, a name, may hold spaces.
fn cpu_time(stat: &str) -> Option<Duration> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some(Duration::from_secs((ticks()? + ticks()?).into()) / TICKS_PER_SECOND)
}

fn field_kib(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// A server started for the measurement, and ended with it.
pub(crate) struct Server {
    child: Child,
    /// Where it answers HTTP.
    pub(crate) http: SocketAddr,
    /// Where it answers datagrams.
    pub(crate) udp: SocketAddr,
    /// From start to the first answer.
    pub(crate) start: Duration,
}

impl Server {
    /// Starts `program` without limits, on free ports of the loopback address, and waits for its first answer.
    pub(crate) fn spawn(program: &Path) -> io::Result<Self> {
        let http = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let began = clock::now();
        let child = Command::new(program)
            .args(["serve", "--bind", "127.0.0.1", "--rate-limit", "0", "--announce-limit", "0"])
            .args(["--port", &http.port().to_string(), "--udp-port", &udp.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let mut server = Self { child, http, udp, start: Duration::ZERO };
        while let Err(error) = first_answer(http) {
            if let Some(status) = server.child.try_wait()? {
                return Err(io::Error::other(format!("the server ended: {status}")));
            }
            if began.elapsed() > START_LIMIT {
                return Err(error);
            }
            clock::pause(Duration::from_micros(100));
        }
        server.start = began.elapsed();
        Ok(server)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody left to tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request on a connection of its own.
fn first_answer(http: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(http)?;
    stream.set_read_timeout(Some(START_LIMIT))?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: load\r\nConnection: close\r\n\r\n")?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    if status.ends_with(b" 200") { Ok(()) } else { Err(io::Error::other("/health does not answer 200")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_the_name() {
        let stat = "4711 (a (b) c) S 1 4711 4711 0 -1 4194560 500 0 0 0 150 50 0 0 20 0 1 0 9";
        assert_eq!(cpu_time(stat), Some(Duration::from_secs(2)));
        assert_eq!(cpu_time("4711 (a) S 1"), None);
    }

    #[test]
    fn this_process_has_memory() {
        let usage = Usage::of(&[std::process::id()]).unwrap().unwrap();
        assert!(usage.resident_kib > 0 && usage.peak_kib >= usage.resident_kib);
        assert!(Usage::of(&[]).unwrap().is_none());
    }
}
