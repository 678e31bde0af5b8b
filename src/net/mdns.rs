//! The advert on the LAN: drives the responder of [`crate::engine::mdns`] on the machine's interfaces.

use std::fmt;
use std::future::pending;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_io::Timer;
use smol::future::or;

use super::clock::Clock;
use super::lan::{Interfaces, NameList, Named, Shown, Sockets};
use crate::engine::mdns::{Advert, Responder};
use crate::limits::{IO_LOOP_BOUND, MAX_MDNS_PACKET_BYTES, MAX_MDNS_REPLY_BYTES, SHORTAGE_PAUSE_MS};
use crate::rng::HashKey;

/// Whether this build advertises.
pub const IS_THERE: bool = true;
/// Time from a change of the interfaces to the look at them, in milliseconds: changes come in crowds, and their cost is
/// bounded.
const SETTLE_MS: u64 = 1_000;

/// Advertises, on sockets of its own.
pub struct Advertiser {
    sockets: Sockets,
    interfaces: Interfaces,
    shown: Shown,
    state: Mutex<State>,
}

struct State {
    responder: Responder,
    found: Vec<Named>,
    joined: Vec<u32>,
    packet: Box<[u8; MAX_MDNS_PACKET_BYTES]>,
    reply: [u8; MAX_MDNS_REPLY_BYTES],
}

impl Advertiser {
    /// Takes port 5353, which is shared with whoever shares it, and looks for interfaces that lead to a LAN. There need not be
    /// any yet.
    ///
    /// # Errors
    /// Port 5353 is not shared by who has it, the system does not tell its interfaces, or `advert` has no proper name.
    pub fn open(advert: Advert, shown: Shown, key: HashKey, clock: Clock) -> io::Result<Self> {
        let unnamed = |_| io::Error::new(io::ErrorKind::InvalidInput, "no name for a service");
        let state = State {
            responder: Responder::new(advert, key).map_err(unnamed)?,
            found: Vec::new(),
            joined: Vec::new(),
            packet: Box::new([0; MAX_MDNS_PACKET_BYTES]),
            reply: [0; MAX_MDNS_REPLY_BYTES],
        };
        let advertiser = Self {
            sockets: Sockets::shared()?,
            interfaces: Interfaces::open()?,
            shown,
            state: Mutex::new(state),
        };
        advertiser.look_around(clock)?;
        Ok(advertiser)
    }

    /// Advertises, for ever. The names are probed before anything is said.
    pub async fn run(&self, clock: Clock) {
        or(self.answer(clock), self.watch(clock)).await;
    }

    /// Tells everybody that it is over.
    pub fn say_goodbye(&self, clock: Clock) {
        self.state().responder.leave();
        self.transmit(clock);
    }

    /// Never kept while anything is waited for.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers, and sends what is due.
    async fn answer(&self, clock: Clock) {
        loop {
            let wait_ms = {
                self.receive(clock);
                self.transmit(clock);
                self.state().responder.poll_timeout().map(|at| at.ms_since(clock.now()))
            };
            let heard = or(self.sockets.readable(), async {
                match wait_ms {
                    Some(ms) => drop(Timer::after(Duration::from_millis(ms)).await),
                    None => pending().await,
                }
                Ok(())
            });
            if heard.await.is_err() {
                Timer::after(Duration::from_millis(SHORTAGE_PAUSE_MS)).await;
            }
        }
    }

    /// Looks at the interfaces whenever they change.
    async fn watch(&self, clock: Clock) {
        loop {
            // While the system does not tell, or there is somebody who looks at it all the time, a look a second is enough.
            let _ = self.interfaces.changed().await;
            Timer::after(Duration::from_millis(SETTLE_MS)).await;
            let _ = self.look_around(clock);
        }
    }

    fn look_around(&self, clock: Clock) -> io::Result<()> {
        let mut state = self.state();
        let found = self.interfaces.on_lan(&self.shown)?;
        self.sockets.join(&found, &mut state.joined);
        let plain: Vec<_> = found.iter().map(|named| named.interface.clone()).collect();
        state.responder.set_interfaces(clock.now(), &plain);
        state.found = found;
        Ok(())
    }

    fn receive(&self, clock: Clock) {
        let State { responder, packet, reply, .. } = &mut *self.state();
        let now = clock.now();
        self.sockets.receive(IO_LOOP_BOUND, packet.as_mut_slice(), |from, packet| {
            let length = responder.receive(now, from, packet, reply);
            if length > 0 {
                self.sockets.send_to(from, reply.get(..length).unwrap_or_default());
            }
        });
    }

    fn transmit(&self, clock: Clock) {
        let State { responder, reply, .. } = &mut *self.state();
        let now = clock.now();
        // A link has one thing to send at a time, or two.
        for _ in 0..IO_LOOP_BOUND {
            let Some(sent) = responder.poll_transmit(now, reply) else { return };
            self.sockets.multicast(sent.index, sent.is_v4, reply.get(..sent.length).unwrap_or_default());
        }
    }
}

/// What is advertised, and where.
impl fmt::Display for Advertiser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        write!(f, "{}", state.responder.instance())?;
        if state.found.is_empty() {
            f.write_str(", as soon as there is a LAN")
        } else {
            write!(f, " on {}", NameList(&state.found))
        }
    }
}
