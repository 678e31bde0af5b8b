//! HTTP connections: accepted while there is room, and driven as [`Connection`] wants.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use async_io::{Async, Timer};
use rustix::net::sockopt;
use smol::future::or;

use super::clock::Clock;
use super::places::{Arrival, Call, Place, Places, Readiness};
use crate::engine::Engine;
use crate::engine::http::{Connection, Wants};
use crate::engine::stats::Ending;
use crate::limits::{PATIENCE_FULL_MS, SHORTAGE_PAUSE_MS};

/// Accepts the connections of one listener, for ever.
///
/// A connection is only accepted when there is a place for it: what is too much waits in the kernel, and costs nothing.
pub(super) async fn accept(
    listener: Async<TcpListener>,
    places: &Places,
    engine: &RefCell<Engine<'_>>,
    clock: Clock,
) {
    loop {
        // Nobody has to go before somebody has come. If waiting fails, so does accepting.
        if places.are_full() && listener.readable().await.is_ok() {
            make_room(places, clock).await;
        }
        match listener.accept().await {
            Ok((stream, peer)) => {
                let client = peer.into();
                let is_proxy = engine.borrow().settings().trusted_proxies.iter().any(|p| p.contains(client));
                let has_limits = !client.is_lan() && !is_proxy;
                match places.hand_over(Arrival { stream, peer }, has_limits).await {
                    Some(Arrival { stream, .. }) => reset(&stream),
                    None => engine.borrow_mut().stats_mut().count_connection(),
                }
            }
            // The client was faster to go than we to accept.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
            // Descriptors or memory ran out. The listener stays readable, so without a pause this would spin.
            Err(_) => drop(Timer::after(Duration::from_millis(SHORTAGE_PAUSE_MS)).await),
        }
    }
}

/// Waits for a free place, and sees to it that there soon is one.
async fn make_room(places: &Places, clock: Clock) {
    while places.are_full() {
        places.reclaim(clock.now());
        or(places.vacancy(), async {
            Timer::after(Duration::from_millis(PATIENCE_FULL_MS)).await;
        })
        .await;
    }
}

/// Serves one place: one connection after the other, for ever.
pub(super) async fn keep(
    (at, place): (usize, &Place),
    places: &Places,
    connection: &mut Connection,
    engine: &RefCell<Engine<'_>>,
    clock: Clock,
) {
    loop {
        let Arrival { stream, peer } = place.arrival().await;
        connection.open(clock.now(), peer);
        let ending = drive(&stream, place, places, connection, engine, clock).await;
        engine.borrow_mut().stats_mut().count_ending(ending);
        drop(stream);
        places.vacate(at);
    }
}

/// Drives a connection to its end.
async fn drive(
    stream: &Async<TcpStream>,
    place: &Place,
    places: &Places,
    connection: &mut Connection,
    engine: &RefCell<Engine<'_>>,
    clock: Clock,
) -> Ending {
    let mut listening_since = Some(clock.now());
    // The first request often comes with the connection. Later ones do not come with the answer: waiting for them
    // without a try saves a call, and lets the others have their turn.
    let mut wait_first = false;
    // Since when the answer under way has found no room. A byte taken now and then does not change it.
    let mut stuck_since = None;
    loop {
        if places.stopping() {
            connection.finish();
        }
        let wants = connection.wants();
        let done = match wants {
            Wants::Close => return connection.ending(),
            Wants::Reset => {
                reset(stream);
                return connection.ending();
            }
            _ if wait_first => Err(ErrorKind::WouldBlock.into()),
            Wants::Read => stream.get_ref().read(connection.space()),
            Wants::Drain => end_sending(stream).and_then(|()| stream.get_ref().read(connection.space())),
            Wants::Write => stream.get_ref().write(connection.pending()),
        };
        wait_first = false;
        match done {
            Ok(n) if wants == Wants::Write => {
                let now = clock.now();
                connection.sent(now, n, &mut engine.borrow_mut());
                listening_since = Some(now);
                wait_first = connection.wants() == Wants::Read;
                if wait_first {
                    stuck_since = None;
                }
            }
            Ok(n) => {
                connection.received(clock.now(), n, &mut engine.borrow_mut());
                wait_first = connection.wants() == Wants::Read;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let (readiness, since) = match wants {
                    Wants::Write => {
                        stuck_since = stuck_since.or_else(|| Some(clock.now()));
                        (Readiness::Writable, stuck_since)
                    }
                    _ => (Readiness::Readable, listening_since),
                };
                match place.ready(stream, readiness, connection.deadline(), since).await {
                    Ok(None) => {}
                    Ok(Some(Call::Look)) => connection.expired(clock.now()),
                    Ok(Some(Call::Leave)) => {
                        if wants == Wants::Write {
                            reset(stream);
                        }
                        return Ending::Displaced;
                    }
                    Err(_) => return Ending::ByClient,
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Ending::ByClient,
        }
    }
}

/// Tells the client that nothing more will come. Said twice, it changes nothing.
fn end_sending(stream: &Async<TcpStream>) -> io::Result<()> {
    stream.get_ref().shutdown(Shutdown::Write)
}

/// Lets the close of `stream` be a reset: what the kernel has still to send is thrown away.
fn reset(stream: &Async<TcpStream>) {
    // If that fails the client is already gone.
    let _ = sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}
