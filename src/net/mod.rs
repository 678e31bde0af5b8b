//! Sockets, timers and signals around the engine: the only code that waits.
//!
//! Everything runs on one thread, in one executor: an acceptor for each listener, a task for each place of a connection
//! that was ever used, a task for each UDP socket, and one for upkeep. They share the engine, and none keeps it while it waits.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

pub mod clock;
pub mod lan;
pub mod listen;
#[cfg(feature = "mdns")]
pub mod mdns;
#[cfg(not(feature = "mdns"))]
#[path = "no_mdns.rs"]
pub mod mdns;
pub mod memory;
pub mod names;
mod places;
pub mod process;
pub mod signal;
pub mod supervisor;
mod tcp;
mod udp;
pub mod watchdog;

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::UdpSocket;
use std::pin::Pin;
use std::time::Duration;

use async_io::{Async, Timer};
use smol::future::{or, pending, yield_now};
use smol::{LocalExecutor, Task};

use crate::engine::Engine;
use crate::engine::http::Connection;
use crate::limits::{FINISH_MS, TICK_MS};
use crate::time::Instant;
use clock::Clock;
use listen::Sockets;
use mdns::Advertiser;
use places::Places;
use process::ResidentMemory;
use supervisor::Supervisor;

/// A server, ready to run: its sockets are bound, its memory is there.
pub struct Server<'s, 'e> {
    /// What it listens on.
    pub sockets: Sockets,
    /// What it knows.
    pub engine: &'s RefCell<Engine<'e>>,
    /// Memory for as many HTTP connections at a time.
    pub connections: &'s mut [Connection],
    /// Its clock, which was started with the engine.
    pub clock: Clock,
    /// Its advert on the LAN, if it has one.
    pub advertiser: Option<Advertiser>,
    /// Who hears how it goes.
    pub supervisor: Supervisor,
}

impl Server<'_, '_> {
    /// Serves until `stop` is ready, and returns what that was ready with. Answers under way are then finished, within
    /// [`FINISH_MS`].
    ///
    /// # Errors
    /// The system does not let a socket be waited for.
    pub async fn run<T>(self, stop: impl Future<Output = T>) -> io::Result<T> {
        let Self { sockets, engine, connections, clock, advertiser, supervisor } = self;
        let supervisor = RefCell::new(supervisor);
        let places = Places::new(connections.len());
        let advertiser = advertiser.as_ref();
        let executor = LocalExecutor::new();
        // The same sockets once more, for what the engine sends of its own accord.
        let senders = sockets.udp.iter().map(UdpSocket::try_clone).collect::<io::Result<Vec<_>>>()?;
        start(&executor, keep_up(&places, engine, clock, senders, &supervisor)).detach();
        let mut doors = Vec::with_capacity(sockets.tcp.len().saturating_add(sockets.udp.len()));
        for listener in sockets.tcp {
            doors.push(start(&executor, tcp::accept(Async::new(listener)?, &places, engine, clock)));
        }
        for socket in sockets.udp {
            doors.push(start(&executor, udp::answer(Async::new(socket)?, engine, clock)));
        }
        if let Some(advertiser) = advertiser {
            start(&executor, advertiser.run(clock)).detach();
        }
        // Places are used in order, so their tasks can wait in order to be made: a quiet server has few.
        let staff = async {
            for ((at, place), connection) in places.iter().zip(connections) {
                place.first_arrival().await;
                start(&executor, tcp::keep((at, place), &places, connection, engine, clock)).detach();
            }
            pending().await
        };
        let serve = async {
            supervisor.borrow().ready();
            let ending = stop.await;
            supervisor.borrow().stopping();
            drop(doors);
            if let Some(advertiser) = advertiser {
                advertiser.say_goodbye(clock);
            }
            places.stop();
            or(places.all_free(), async {
                Timer::after(Duration::from_millis(FINISH_MS)).await;
            })
            .await;
            ending
        };
        Ok(executor.run(or(serve, staff)).await)
    }
}

/// Starts a task of the server. In a box, so that one copy of the executor's code serves all kinds of tasks.
fn start<'w>(executor: &LocalExecutor<'w>, work: impl Future<Output = ()> + 'w) -> Task<()> {
    let work: Pin<Box<dyn Future<Output = ()> + 'w>> = Box::pin(work);
    executor.spawn(work)
}

/// Does what has to be done now and then, for ever: expiry, deadlines, and looking at the clock on the wall.
async fn keep_up(
    places: &Places,
    engine: &RefCell<Engine<'_>>,
    clock: Clock,
    senders: Vec<UdpSocket>,
    supervisor: &RefCell<Supervisor>,
) {
    let resident = ResidentMemory::open();
    let mut look_at = Instant::START;
    loop {
        let now = clock.now();
        if now >= look_at {
            look_at = now.plus_s(1);
            let mut engine = engine.borrow_mut();
            engine.set_wall_clock(now, clock::unix_ms());
            if let Some(bytes) = resident.bytes() {
                engine.set_resident_bytes(bytes);
            }
            supervisor.borrow_mut().report(now, engine.peers().len(), engine.peers().capacity());
        }
        watchdog::come_round();
        places.tick(now);
        while engine.borrow_mut().tick(now) {
            yield_now().await;
        }
        if !senders.is_empty() {
            udp::transmit(&senders, &mut engine.borrow_mut(), now);
        }
        Timer::after(Duration::from_millis(TICK_MS)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

    use smol::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::engine::{Settings, Storage};
    use crate::rng::Seed;

    /// Runs a server with so many places, and `client` against its HTTP and UDP addresses.
    fn with_server<T>(places: usize, client: impl AsyncFnOnce(SocketAddr, SocketAddr) -> T) -> T {
        let sockets = Sockets::bind(0, Some(0), &[IpAddr::V4(Ipv4Addr::LOCALHOST)]).unwrap();
        let http = sockets.tcp[0].local_addr().unwrap();
        let udp = sockets.udp[0].local_addr().unwrap();
        let mut storage = Box::new(Storage::<16, 256>::new());
        let engine = RefCell::new(storage.engine(Settings::default(), &Seed([1; 32])));
        let mut connections: Vec<_> = (0..places).map(|_| Connection::new()).collect();
        let server = Server {
            sockets,
            engine: &engine,
            connections: &mut connections,
            clock: Clock::start(),
            advertiser: None,
            supervisor: Supervisor::default(),
        };
        smol::block_on(server.run(client(http, udp))).unwrap()
    }

    async fn status_of(stream: &mut Async<TcpStream>) -> String {
        let mut line = [0; 12];
        stream.read_exact(&mut line).await.unwrap();
        String::from_utf8(line.into()).unwrap()
    }

    #[test]
    fn it_answers_over_both_transports() {
        let (status, pong) = with_server(2, async |http, udp| {
            let mut stream = Async::<TcpStream>::connect(http).await.unwrap();
            stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let status = status_of(&mut stream).await;
            let socket = Async::<UdpSocket>::bind(([127, 0, 0, 1], 0)).unwrap();
            let ping = format!("{{\"type\":\"ping\",\"id\":\"1\",\"pad\":\"{}\"}}", "x".repeat(100));
            socket.send_to(ping.as_bytes(), udp).await.unwrap();
            let mut datagram = [0; 1500];
            let (n, from) = socket.recv_from(&mut datagram).await.unwrap();
            assert_eq!(from, udp);
            (status, String::from_utf8_lossy(&datagram[..n]).into_owned())
        });
        assert_eq!(status, "HTTP/1.1 200");
        assert!(pong.starts_with(r#"{"type":"pong","id":"1""#), "{pong}");
    }

    #[test]
    fn datagrams_that_are_too_long_are_dropped() {
        with_server(1, async |_, udp| {
            let socket = Async::<UdpSocket>::bind(([127, 0, 0, 1], 0)).unwrap();
            let ping = |id: u32, bytes: usize| {
                let text = format!("{{\"type\":\"ping\",\"id\":\"{id}\",\"pad\":\"\"}}");
                text.replace("\"\"", &format!("\"{}\"", "x".repeat(bytes - text.len())))
            };
            let mut datagram = [0; 1500];
            for (id, bytes) in [(1, 1473), (2, 1472)] {
                socket.send_to(ping(id, bytes).as_bytes(), udp).await.unwrap();
            }
            let (n, _) = socket.recv_from(&mut datagram).await.unwrap();
            let pong = String::from_utf8_lossy(&datagram[..n]);
            assert!(pong.contains("\"id\":\"2\""), "the first answer is to the second: {pong}");
        });
    }

    #[test]
    fn a_crowd_of_datagrams_is_answered_one_by_one() {
        with_server(1, async |_, udp| {
            let mut clients = Vec::new();
            for client in 0..5 {
                let socket = Async::<UdpSocket>::bind(([127, 0, 0, 1 + client], 0)).unwrap();
                for id in 0..30 {
                    let ping = format!(
                        "{{\"type\":\"ping\",\"id\":\"{client}-{id}\",\"pad\":\"{}\"}}",
                        "x".repeat(90)
                    );
                    socket.send_to(ping.as_bytes(), udp).await.unwrap();
                }
                clients.push(socket);
            }
            for (client, socket) in clients.iter().enumerate() {
                let you = format!("\"you\":\"{}\"", socket.get_ref().local_addr().unwrap());
                for id in 0..30 {
                    let mut datagram = [0; 1500];
                    let (n, from) = socket.recv_from(&mut datagram).await.unwrap();
                    let pong = String::from_utf8_lossy(&datagram[..n]);
                    assert!(
                        pong.contains(&format!("\"id\":\"{client}-{id}\"")) && pong.contains(&you),
                        "{pong}"
                    );
                    assert_eq!(from, udp);
                }
            }
        });
    }

    #[test]
    fn clients_take_turns_at_one_place() {
        with_server(1, async |http, _| {
            let mut waiting = Vec::new();
            for _ in 0..3 {
                let mut stream = Async::<TcpStream>::connect(http).await.unwrap();
                let request = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
                stream.write_all(request).await.unwrap();
                waiting.push(stream);
            }
            for stream in &mut waiting {
                assert_eq!(status_of(stream).await, "HTTP/1.1 200");
            }
        });
    }

    #[test]
    fn a_stop_closes_the_listener_and_idle_connections() {
        let mut idle = None;
        let http = with_server(1, async |http, _| {
            let mut stream = Async::<TcpStream>::connect(http).await.unwrap();
            stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            assert_eq!(status_of(&mut stream).await, "HTTP/1.1 200");
            idle = Some(stream);
            http
        });
        let rest = smol::block_on(async { idle.unwrap().read_to_end(&mut Vec::new()).await });
        assert!(rest.is_ok_and(|bytes| bytes > 0), "the rest of the answer, and the end");
        assert!(TcpStream::connect(http).is_err());
    }
}
