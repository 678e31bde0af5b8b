//! Datagrams: read in bounded batches, answered at once or not at all.
//!
//! The answers to one batch leave together: one system call for them all is what lets the server answer with less time than
//! a plain loop of `recvfrom` and `sendto` takes, whose half is the way into the kernel and back (`benches/compare/udp.sh`).
//!
//! The order within a batch does not matter: its [`IO_LOOP_BOUND`] datagrams of some ten microseconds each are answered, and
//! sent together, within a millisecond, so nobody who has proved himself waits longer than that for those who have not. What a
//! flood does cost is places in the system's buffer, where we cannot choose.
//!
//! An answer leaves by the socket the question came in by. On a machine with several addresses of one family the system
//! chooses the one it routes by, which may differ from the one asked; `--bind` settles it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::time::Duration;

use async_io::{Async, Timer};
use heapless::Vec;

use super::clock::Clock;
use crate::engine::Engine;
use crate::limits::{
    IO_LOOP_BOUND, MAX_DATAGRAM_BYTES, MAX_UDP_REPLY_BYTES, OUTBOX_BYTES, SHORTAGE_PAUSE_MS,
};
use crate::time::Instant;

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
    let mut outbox = Box::new(Outbox::new());
    loop {
        let batch = answer_batch(socket.get_ref(), engine, clock, &mut outbox);
        outbox.send(socket.get_ref());
        match batch {
            // Even a socket with more to read goes through the reactor, where the other sockets wait.
            Batch::Done if poll_fn(|cx| socket.poll_readable(cx)).await.is_ok() => {}
            _ => drop(Timer::after(Duration::from_millis(SHORTAGE_PAUSE_MS)).await),
        }
    }
}

/// Answers what is there, but no more than [`IO_LOOP_BOUND`] datagrams.
fn answer_batch(
    socket: &UdpSocket,
    engine: &RefCell<Engine<'_>>,
    clock: Clock,
    outbox: &mut Outbox,
) -> Batch {
    // One byte more than a datagram may have shows which are too long.
    let mut datagram = [0; MAX_DATAGRAM_BYTES + 1];
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
        if outbox.is_full() {
            outbox.send(socket);
        }
        outbox.put(from, |reply| engine.datagram(now, from, datagram, reply));
    }
    Batch::Done
}

/// Sends what the engine has to ask others, through the first socket of their family that reaches them: one that is bound
/// to the loopback interface does not reach the LAN. What does not leave is lost.
pub(super) fn transmit(sockets: &[UdpSocket], engine: &mut Engine<'_>, now: Instant) {
    let mut query = [0; MAX_UDP_REPLY_BYTES];
    while let Some((to, length)) = engine.poll_transmit(now, &mut query) {
        let is_same_family =
            |socket: &&UdpSocket| socket.local_addr().is_ok_and(|own| own.is_ipv4() == to.is_ipv4());
        let query = query.get(..length).unwrap_or_default();
        let _ = sockets.iter().filter(is_same_family).any(|socket| socket.send_to(query, to).is_ok());
    }
}

/// Answers that wait to be sent, one behind the other.
struct Outbox {
    bytes: [u8; OUTBOX_BYTES],
    used: usize,
    answers: Vec<(SocketAddr, Range<usize>), IO_LOOP_BOUND>,
}

impl Outbox {
    const fn new() -> Self {
        Self { bytes: [0; OUTBOX_BYTES], used: 0, answers: Vec::new() }
    }

    /// Whether there may be no room for another answer.
    fn is_full(&self) -> bool {
        self.answers.is_full() || OUTBOX_BYTES.saturating_sub(self.used) < MAX_UDP_REPLY_BYTES
    }

    /// Lets `render` write an answer to `to`; it returns its length, 0 for silence.
    fn put(&mut self, to: SocketAddr, render: impl FnOnce(&mut [u8]) -> usize) {
        let longest = self.used.saturating_add(MAX_UDP_REPLY_BYTES).min(OUTBOX_BYTES);
        let Some(room) = self.bytes.get_mut(self.used..longest) else { return };
        let length = render(room).min(room.len());
        let end = self.used.saturating_add(length);
        if length > 0 && self.answers.push((to, self.used..end)).is_ok() {
            self.used = end;
        }
    }

    /// Sends all answers. What does not leave is a lost datagram: the client asks again.
    fn send(&mut self, socket: &UdpSocket) {
        let answers =
            self.answers.iter().filter_map(|(to, range)| Some((*to, self.bytes.get(range.clone())?)));
        match &self.answers[..] {
            [] => {}
            // Nobody waits for the only one to be joined by others.
            [_] => answers.for_each(|(to, bytes)| drop(socket.send_to(bytes, to))),
            _ => send_all(socket, answers),
        }
        self.used = 0;
        self.answers.clear();
    }
}

/// Sends datagrams, up to [`IO_LOOP_BOUND`] of them, with as few system calls as can be.
#[cfg(target_os = "linux")]
fn send_all<'b>(socket: &UdpSocket, datagrams: impl Iterator<Item = (SocketAddr, &'b [u8])>) {
    use std::io::IoSlice;

    use rustix::io::Errno;
    use rustix::net::addr::SocketAddrArg as _;
    use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};

    let datagrams: Vec<(SocketAddrAny, [IoSlice<'_>; 1], SendAncillaryBuffer<'_, '_, '_>), IO_LOOP_BOUND> =
        datagrams
            .map(|(to, bytes)| (to.as_any(), [IoSlice::new(bytes)], SendAncillaryBuffer::default()))
            .collect();
    let mut datagrams = datagrams;
    let mut messages: Vec<MMsgHdr<'_>, IO_LOOP_BOUND> =
        datagrams.iter_mut().map(|(to, bytes, control)| MMsgHdr::new_with_addr(to, bytes, control)).collect();
    let mut rest = messages.as_mut_slice();
    while !rest.is_empty() {
        let done = match sendmmsg(socket, rest, SendFlags::empty()) {
            Ok(sent) => sent.max(1),
            Err(Errno::AGAIN) => return,
            // It is the first one that cannot leave.
            Err(_) => 1,
        };
        rest = rest.get_mut(done..).unwrap_or_default();
    }
}

#[cfg(not(target_os = "linux"))]
fn send_all<'b>(socket: &UdpSocket, datagrams: impl Iterator<Item = (SocketAddr, &'b [u8])>) {
    datagrams.for_each(|(to, bytes)| drop(socket.send_to(bytes, to)));
}
