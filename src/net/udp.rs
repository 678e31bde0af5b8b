//! Datagrams: read in bounded batches, answered at once or not at all.
//!
//! An answer leaves by the socket the question came in by. On a machine with several addresses of one family the system
//! chooses the one it routes by, which may differ from the one asked; `--bind` settles it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::Duration;

use async_io::{Async, Timer};

use super::clock::Clock;
use crate::engine::Engine;
use crate::limits::{IO_LOOP_BOUND, MAX_DATAGRAM_BYTES, MAX_UDP_REPLY_BYTES, SHORTAGE_PAUSE_MS};

/// How a batch ended.
#[derive(Debug, PartialEq, Eq)]
enum Batch {
    /// Nothing is left, or it is somebody else's turn.
    Done,
    /// The system cannot read.
    Failed,
}

/// Answers the datagrams of one socket, for ever.
pub(super) async fn answer(socket: Async<UdpSocket>, engine: &RefCell<Engine<'_>>, clock: Clock) {
    loop {
        match answer_batch(socket.get_ref(), engine, clock) {
            // Even a socket with more to read goes through the reactor, where the other sockets wait.
            Batch::Done if poll_fn(|cx| socket.poll_readable(cx)).await.is_ok() => {}
            _ => drop(Timer::after(Duration::from_millis(SHORTAGE_PAUSE_MS)).await),
        }
    }
}

/// Answers what is there, but no more than [`IO_LOOP_BOUND`] datagrams.
fn answer_batch(socket: &UdpSocket, engine: &RefCell<Engine<'_>>, clock: Clock) -> Batch {
    // One byte more than a datagram may have shows which are too long.
    let mut datagram = [0; MAX_DATAGRAM_BYTES + 1];
    let mut reply = [0; MAX_UDP_REPLY_BYTES];
    // A batch takes less than a millisecond, which is what the engine's clock counts in.
    let now = clock.now();
    let mut engine = engine.borrow_mut();
    for _ in 0..IO_LOOP_BOUND {
        let (bytes, from) = match socket.recv_from(&mut datagram) {
            Ok(received) => received,
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => return Batch::Done,
                // Some earlier answer of ours found nobody: not our concern, and perhaps a forgery.
                ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::Interrupted => {
                    continue;
                }
                _ => return Batch::Failed,
            },
        };
        let Some(datagram) = datagram.get(..bytes).filter(|_| bytes <= MAX_DATAGRAM_BYTES) else { continue };
        let rendered = engine.datagram(now, from, datagram, &mut reply);
        if let Some(reply @ [_, ..]) = reply.get(..rendered) {
            // An answer that does not leave is a lost datagram: the client asks again.
            let _ = socket.send_to(reply, from);
        }
    }
    Batch::Done
}
