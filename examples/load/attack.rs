//! Slow clients that hold every connection they get, and a good client that wants to be served nevertheless.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};

use crate::epoll::Epoll;
use crate::histogram::Histogram;
use crate::{Options, clock};

/// How long the good client waits for one answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// A slow client adds a byte that often.
const DRIP: Duration = Duration::from_secs(1);
/// How often the attackers look for something to do.
const ROUND: Duration = Duration::from_millis(5);

/// The ways to be slow, by the number of the attacker.
const WAYS: [fn(&str) -> String; 4] = [
    |_| "GET / HTTP/1.1\r\nHost: attack\r\nX-Slow: ".into(),
    |_| {
        "POST /hello HTTP/1.1\r\nHost: attack\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n\r\n{\"version\":\"".into()
    },
    |path| format!("GET {path} HTTP/1.1\r\nHost: attack\r\n\r\n").repeat(100),
    |path| format!("GET {path} HTTP/1.1\r\nHost: attack\r\n\r\n"),
];
/// Which of them add bytes.
const DRIPS: [bool; 4] = [true, true, false, false];

/// Whether attacker `number` is one that takes no answers.
const fn is_slow_reader(number: usize) -> bool {
    number % WAYS.len() == 2
}

/// What the good client saw.
pub(crate) struct Seen {
    served: u64,
    failed: u64,
    latency: Histogram,
    longest: Duration,
}

/// The good client alone, and under attack.
pub(crate) struct Outcome {
    calm: Seen,
    attacked: Seen,
    connections: u64,
}

/// Measures the good client, then the same while `--connections` attackers are at work.
pub(crate) fn run(target: SocketAddr, options: &Options) -> io::Result<Outcome> {
    let time = Duration::from_secs_f64(options.seconds);
    let [network, ..] = options.from.octets();
    let good = SocketAddr::from((Ipv4Addr::new(network, 254, 254, 253), 0));
    let calm = serve(good, target, &options.path, time)?;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let attack = scope.spawn(|| Attack::new(target, network, options)?.go_on(&over));
        clock::pause(Duration::from_secs_f64(options.warmup.max(1.0)));
        let attacked = serve(good, target, &options.path, time);
        over.store(true, Ordering::Relaxed);
        let connections = attack.join().map_err(|_| io::Error::other("the attackers gave up"))??;
        Ok(Outcome { calm, attacked: attacked?, connections })
    })
}

/// The good client: one request after the other, each on a connection of its own, from the first SYN to the last byte.
fn serve(from: SocketAddr, target: SocketAddr, path: &str, time: Duration) -> io::Result<Seen> {
    let mut seen = Seen { served: 0, failed: 0, latency: Histogram::new(), longest: Duration::ZERO };
    let end = clock::now() + time;
    while clock::now() < end {
        let began = clock::now();
        match one_request(from, target, path) {
            Ok(()) => {
                seen.served += 1;
                seen.latency.add(began.elapsed());
                seen.longest = seen.longest.max(began.elapsed());
            }
            Err(_) => seen.failed += 1,
        }
        clock::pause(Duration::from_millis(2));
    }
    Ok(seen)
}

fn one_request(from: SocketAddr, target: SocketAddr, path: &str) -> io::Result<()> {
    let fd = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    bind(&fd, &from)?;
    connect(&fd, &target)?;
    let mut stream = TcpStream::from(fd);
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: good\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err(io::Error::other("no answer")) }
}

/// All attackers.
struct Attack {
    target: SocketAddr,
    network: u8,
    path: String,
    attackers: Vec<Attacker>,
    epoll: Epoll,
    connections: u64,
}

struct Attacker {
    stream: TcpStream,
    /// What is still to be sent before it becomes slow.
    unsent: Vec<u8>,
    drip_at: Instant,
}

impl Attack {
    fn new(target: SocketAddr, network: u8, options: &Options) -> io::Result<Self> {
        let mut attack = Self {
            target,
            network,
            path: options.path.clone(),
            attackers: Vec::new(),
            epoll: Epoll::new()?,
            connections: 0,
        };
        for number in 0..options.connections {
            let attacker = attack.begin(number)?;
            attack.attackers.push(attacker);
        }
        Ok(attack)
    }

    /// Connects attacker `number`, each from a /24 of its own, so that no limit on addresses or networks helps.
    fn begin(&mut self, number: usize) -> io::Result<Attacker> {
        let fd: OwnedFd = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::NONBLOCK, None)?;
        if is_slow_reader(number) {
            sockopt::set_socket_recv_buffer_size(&fd, 1024)?;
        }
        let source = Ipv4Addr::new(self.network, (number % 250) as u8, (number / 250 + 1) as u8, 7);
        bind(&fd, &SocketAddr::new(IpAddr::V4(source), 0))?;
        match connect(&fd, &self.target) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        if is_slow_reader(number) {
            self.epoll.add_for_end(&fd, number)?;
        } else {
            self.epoll.add(&fd, number)?;
        }
        self.connections += 1;
        let unsent = WAYS[number % WAYS.len()](&self.path).into_bytes();
        Ok(Attacker { stream: fd.into(), unsent, drip_at: clock::now() + DRIP })
    }

    /// Holds connections, and opens a new one for each that is lost, until it is over. How many were opened.
    fn go_on(mut self, over: &AtomicBool) -> io::Result<u64> {
        let mut chunk = [0; 4096];
        while !over.load(Ordering::Relaxed) {
            for nth in 0..self.epoll.wait(ROUND)? {
                let number = self.epoll.ready(nth);
                let ended = match self.attackers[number].stream.read(&mut chunk) {
                    Ok(read) => read == 0,
                    Err(error) => error.kind() != io::ErrorKind::WouldBlock,
                };
                if ended || is_slow_reader(number) {
                    self.attackers[number] = self.begin(number)?;
                }
            }
            let now = clock::now();
            for (number, attacker) in self.attackers.iter_mut().enumerate() {
                if attacker.unsent.is_empty() && DRIPS[number % WAYS.len()] && now >= attacker.drip_at {
                    attacker.unsent.push(b'a');
                    attacker.drip_at = now + DRIP;
                }
                if !attacker.unsent.is_empty() {
                    // Not connected yet, or full: the next round will do.
                    let sent = attacker.stream.write(&attacker.unsent).unwrap_or(0);
                    attacker.unsent.drain(..sent);
                }
            }
        }
        Ok(self.connections)
    }
}

impl Outcome {
    /// Whether the good client was always served, and at all.
    pub(crate) const fn is_clean(&self) -> bool {
        self.calm.failed == 0 && self.attacked.failed == 0 && self.attacked.served > 0
    }
}

/// One line a figure.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, seen) in [("calm", &self.calm), ("attacked", &self.attacked)] {
            let ms = |time: Duration| time.as_secs_f64() * 1e3;
            writeln!(f, "{name:<9} served     {:>10}", seen.served)?;
            writeln!(f, "{name:<9} failed     {:>10}", seen.failed)?;
            if seen.served == 0 {
                continue;
            }
            writeln!(f, "{name:<9} p50        {:>10.2} ms", ms(seen.latency.quantile(0.50)))?;
            writeln!(f, "{name:<9} p99        {:>10.2} ms", ms(seen.latency.quantile(0.99)))?;
            writeln!(f, "{name:<9} max        {:>10.2} ms", ms(seen.longest))?;
        }
        writeln!(f, "attackers connected  {:>10} times", self.connections)
    }
}
