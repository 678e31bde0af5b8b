//! Sockets, timers and signals around the engine: the only code that waits.
//!
//! Everything runs on one thread, in one executor: an acceptor for each listener, a task for each place of a connection,
//! a task for each UDP socket, and one for upkeep. They share the engine, and none keeps it while it waits.

pub mod clock;
pub mod listen;
pub mod memory;
mod places;
pub mod process;
pub mod signal;
mod tcp;
mod udp;

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::time::Duration;

use async_io::{Async, Timer};
use smol::LocalExecutor;
use smol::future::{or, yield_now};

use crate::engine::Engine;
use crate::engine::http::Connection;
use crate::limits::{FINISH_MS, TICK_MS};
use crate::time::Instant;
use clock::Clock;
use listen::Sockets;
use places::Places;
use process::ResidentMemory;

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
}

impl Server<'_, '_> {
    /// Serves until `stop` is ready, and returns what that was ready with. Answers under way are then finished, within
    /// [`FINISH_MS`].
    ///
    /// # Errors
    /// The system does not let a socket be waited for.
    pub async fn run<T>(self, stop: impl Future<Output = T>) -> io::Result<T> {
        let Self { sockets, engine, connections, clock } = self;
        let places = Places::new(connections.len());
        let executor = LocalExecutor::new();
        executor.spawn(keep_up(&places, engine, clock)).detach();
        for (place, connection) in places.iter().zip(connections) {
            executor.spawn(tcp::keep(place, &places, connection, engine, clock)).detach();
        }
        let mut doors = Vec::with_capacity(sockets.tcp.len() + sockets.udp.len());
        for listener in sockets.tcp {
            doors.push(executor.spawn(tcp::accept(Async::new(listener)?, &places, engine)));
        }
        for socket in sockets.udp {
            doors.push(executor.spawn(udp::answer(Async::new(socket)?, engine, clock)));
        }
        let serve = async {
            let ending = stop.await;
            drop(doors);
            places.stop();
            or(places.all_free(), async {
                Timer::after(Duration::from_millis(FINISH_MS)).await;
            })
            .await;
            ending
        };
        Ok(executor.run(serve).await)
    }
}

/// Does what has to be done now and then, for ever: expiry, deadlines, and looking at the clock on the wall.
async fn keep_up(places: &Places, engine: &RefCell<Engine<'_>>, clock: Clock) {
    let resident = ResidentMemory::open();
    let mut look_at = Instant::START;
    loop {
        let now = clock.now();
        if now >= look_at {
            look_at = now.plus_s(1);
            let mut engine = engine.borrow_mut();
            engine.set_wall_clock(now, clock::unix_s());
            if let Some(bytes) = resident.bytes() {
                engine.set_resident_bytes(bytes);
            }
        }
        places.tick(now);
        while engine.borrow_mut().tick(now) {
            yield_now().await;
        }
        Timer::after(Duration::from_millis(TICK_MS)).await;
    }
}
