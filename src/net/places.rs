//! Places for connections: as many as there is memory for, handed out by the acceptors, kept by one task each.
//!
//! A task never waits for its socket alone. It also listens at its place, where it is called when a connection arrives,
//! when its deadline has passed, and when the server stops. One tick looks at all deadlines, so no read needs a timer.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::task::{Context, Poll, Waker};

use async_io::Async;
use heapless::Vec;

use super::listen::MAX_LISTENERS;
use crate::addr::{CanonicalAddr, Level};
use crate::limits::{
    CONNECTIONS_PER_HOST, NARROW_CONNECTIONS_DIVISOR, PATIENCE_BUSY_MS, PATIENCE_CROWDED_MS, PATIENCE_FULL_MS,
};
use crate::time::Instant;

/// All places.
pub(super) struct Places {
    all: Box<[Place]>,
    /// The places nobody uses. The last one given back is the first one given out: its memory is resident already.
    free: RefCell<std::vec::Vec<usize>>,
    /// Acceptors that wait for a free place.
    acceptors: RefCell<Vec<Waker, MAX_LISTENERS>>,
    /// Who waits until all places are free.
    closer: Cell<Option<Waker>>,
    stopping: Cell<bool>,
}

/// Where one task serves one connection at a time.
#[derive(Default)]
pub(super) struct Place {
    arrival: Cell<Option<Arrival>>,
    client: Cell<Option<CanonicalAddr>>,
    task: Cell<Option<Waker>>,
    call: Cell<Option<Call>>,
    deadline: Cell<Option<Instant>>,
    /// Since when the client may send a request.
    listening_since: Cell<Option<Instant>>,
    /// Since when an answer has found no room in the client's buffers.
    stuck_since: Cell<Option<Instant>>,
}

/// A connection that has been accepted.
pub(super) struct Arrival {
    /// Its socket.
    pub(super) stream: Async<TcpStream>,
    /// Its client.
    pub(super) peer: SocketAddr,
}

/// What a task is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// Its deadline has passed, or the server stops.
    Look,
    /// Places are short, and its client is too slow to keep one.
    Leave,
}

/// What a task waits for at its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// That there is something to read.
    Readable,
    /// That there is room to write.
    Writable,
}

impl Places {
    /// `count` free places.
    pub(super) fn new(count: usize) -> Self {
        Self {
            all: (0..count).map(|_| Place::default()).collect(),
            free: RefCell::new((0..count).rev().collect()),
            acceptors: RefCell::new(Vec::new()),
            closer: Cell::new(None),
            stopping: Cell::new(false),
        }
    }

    /// The places with their numbers, in the order of their first use.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Place)> {
        self.all.iter().enumerate()
    }

    /// Whether there is no free place.
    pub(super) fn are_full(&self) -> bool {
        self.free.borrow().is_empty()
    }

    /// Waits until there is a free place.
    pub(super) async fn vacancy(&self) {
        poll_fn(|cx| if self.are_full() { self.queue_up(cx) } else { Poll::Ready(()) }).await;
    }

    /// Takes the place of the client that has let the server wait for longest, with a request or with taking an answer, if it
    /// was longer than [`PATIENCE_FULL_MS`].
    pub(super) fn reclaim(&self, now: Instant) {
        let waits = |place: &Place| place.listening_since.get().or(place.stuck_since.get());
        let waiting = self.all.iter().filter_map(|place| Some((waits(place)?, place)));
        let slowest = waiting.min_by_key(|&(since, _)| since);
        if let Some((_, place)) = slowest.filter(|&(since, _)| now.ms_since(since) >= PATIENCE_FULL_MS) {
            // Once is enough: until its task has seen it, this place is nobody's to take.
            place.listening_since.set(None);
            place.stuck_since.set(None);
            place.call(Call::Leave);
        }
    }

    /// Hands a connection over to the task of a free place, and waits for one if another acceptor was faster. Returns it
    /// if its client `has_limits` and has its share, which is looked at as the place is taken: while one acceptor
    /// waits, others may seat more of the same client.
    pub(super) async fn hand_over(&self, arrival: Arrival, has_limits: bool) -> Option<Arrival> {
        let client = arrival.peer.into();
        let mut arrival = Some(arrival);
        poll_fn(|cx| {
            if has_limits && self.has_its_share(client) {
                return Poll::Ready(arrival.take());
            }
            let Some(at) = self.free.borrow_mut().pop() else { return self.queue_up(cx) };
            if let (Some(place), Some(arrival)) = (self.all.get(at), arrival.take()) {
                place.client.set(Some(client));
                place.arrival.set(Some(arrival));
                place.wake();
            }
            Poll::Ready(None)
        })
        .await
    }

    /// Lets an acceptor wait for a free place.
    fn queue_up<T>(&self, cx: &Context<'_>) -> Poll<T> {
        let mut acceptors = self.acceptors.borrow_mut();
        if !acceptors.iter().any(|waker| waker.will_wake(cx.waker())) {
            // There is room: an acceptor for each listener, and no more.
            let _ = acceptors.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Takes a place back from its task.
    pub(super) fn vacate(&self, at: usize) {
        if let Some(place) = self.all.get(at) {
            place.client.set(None);
            place.deadline.set(None);
            place.listening_since.set(None);
            place.stuck_since.set(None);
            place.call.set(None);
        }
        self.free.borrow_mut().push(at);
        self.acceptors.borrow_mut().drain(..).for_each(Waker::wake);
        if let Some(closer) = self.closer.take() {
            closer.wake();
        }
    }

    /// Whether another connection from `client` is one too many of its address or of its network.
    fn has_its_share(&self, client: CanonicalAddr) -> bool {
        let of_same = |level| {
            let prefix = client.prefix(level);
            let clients = self.all.iter().filter_map(|place| place.client.get());
            clients.filter(|other| other.prefix(level) == prefix).count()
        };
        of_same(Level::Host) >= CONNECTIONS_PER_HOST
            || of_same(Level::Narrow) >= self.all.len().div_ceil(NARROW_CONNECTIONS_DIVISOR)
    }

    /// Calls the tasks whose time is up.
    pub(super) fn tick(&self, now: Instant) {
        let patience_ms = self.patience_ms();
        for place in &self.all {
            if place.listening_since.get().is_some_and(|since| now.ms_since(since) >= patience_ms) {
                place.call(Call::Leave);
            } else if place.deadline.get().is_some_and(|deadline| deadline <= now) {
                place.call(Call::Look);
            }
        }
    }

    /// How long a client may take to send a request: the fewer places are free, the less.
    fn patience_ms(&self) -> u64 {
        let (free, all) = (self.free.borrow().len(), self.all.len());
        if free.saturating_mul(5) < all {
            PATIENCE_CROWDED_MS
        } else if free.saturating_mul(2) < all {
            PATIENCE_BUSY_MS
        } else {
            u64::MAX
        }
    }

    /// Tells all tasks to finish what they are doing, and to begin nothing new.
    pub(super) fn stop(&self) {
        self.stopping.set(true);
        self.all.iter().for_each(|place| place.call(Call::Look));
    }

    /// Whether [`Places::stop`] was called.
    pub(super) fn stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Waits until nobody uses a place.
    pub(super) async fn all_free(&self) {
        poll_fn(|cx| {
            if self.free.borrow().len() == self.all.len() {
                return Poll::Ready(());
            }
            self.closer.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

impl Place {
    /// Waits until the place is used for the first time, and needs a task.
    pub(super) async fn first_arrival(&self) {
        let arrival = self.arrival().await;
        self.arrival.set(Some(arrival));
    }

    /// Waits for a connection.
    pub(super) async fn arrival(&self) -> Arrival {
        poll_fn(|cx| match self.arrival.take() {
            Some(arrival) => Poll::Ready(arrival),
            None => {
                self.task.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }

    /// Waits until `stream` is ready, or until the task is called: at `deadline` or, if the client has let the server wait
    /// `since` then, when others need the place more.
    pub(super) async fn ready(
        &self,
        stream: &Async<TcpStream>,
        readiness: Readiness,
        deadline: Instant,
        since: Option<Instant>,
    ) -> io::Result<Option<Call>> {
        self.deadline.set(Some(deadline));
        let (listening_since, stuck_since) = match readiness {
            Readiness::Readable => (since, None),
            Readiness::Writable => (None, since),
        };
        self.listening_since.set(listening_since);
        self.stuck_since.set(stuck_since);
        poll_fn(|cx| {
            if let Some(call) = self.call.take() {
                return Poll::Ready(Ok(Some(call)));
            }
            self.task.set(Some(cx.waker().clone()));
            let polled = match readiness {
                Readiness::Readable => stream.poll_readable(cx),
                Readiness::Writable => stream.poll_writable(cx),
            };
            polled.map_ok(|()| None)
        })
        .await
    }

    fn call(&self, call: Call) {
        if self.client.get().is_some() {
            self.call.set(Some(call));
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;

    use super::*;

    fn addr(text: &str) -> CanonicalAddr {
        CanonicalAddr::new(text.parse().unwrap())
    }

    /// Puts clients on places, as if they had been accepted.
    fn seat(places: &Places, clients: &[&str]) {
        for client in clients {
            let at = places.free.borrow_mut().pop().unwrap();
            places.all[at].client.set(Some(addr(client)));
        }
    }

    #[test]
    fn an_address_and_a_network_have_a_share() {
        let places = Places::new(64);
        seat(&places, &["198.51.100.7"; CONNECTIONS_PER_HOST - 1]);
        assert!(!places.has_its_share(addr("198.51.100.7")));
        seat(&places, &["198.51.100.7"]);
        assert!(places.has_its_share(addr("198.51.100.7")));
        assert!(!places.has_its_share(addr("198.51.100.8")));
        seat(&places, &["198.51.100.8"; CONNECTIONS_PER_HOST]);
        assert!(places.has_its_share(addr("198.51.100.9")), "a quarter of all places");
        assert!(!places.has_its_share(addr("198.51.101.9")));
    }

    #[test]
    fn a_household_has_one_share() {
        let places = Places::new(64);
        seat(&places, &["2001:db8::1"; CONNECTIONS_PER_HOST]);
        assert!(places.has_its_share(addr("2001:db8::2")));
        assert!(!places.has_its_share(addr("2001:db8:0:1::2")));
    }

    #[test]
    fn a_share_is_not_exceeded_while_a_place_is_waited_for() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let arrival = || Arrival {
            stream: Async::<TcpStream>::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap())
                .unwrap(),
            peer: "198.51.100.7:40000".parse().unwrap(),
        };
        let places = Places::new(4 * CONNECTIONS_PER_HOST);
        seat(&places, &["198.51.100.7"; CONNECTIONS_PER_HOST - 1]);
        seat(&places, &["10.0.0.1"; 3 * CONNECTIONS_PER_HOST + 1]);
        let mut cx = Context::from_waker(Waker::noop());
        let mut two = [0, 1].map(|_| Box::pin(places.hand_over(arrival(), true)));
        two.iter_mut().for_each(|one| assert!(one.as_mut().poll(&mut cx).is_pending(), "no place is free"));
        let of_others = CONNECTIONS_PER_HOST - 1;
        [of_others, of_others + 1].iter().for_each(|&at| places.vacate(at));
        let seated = two.map(|mut one| match one.as_mut().poll(&mut cx) {
            Poll::Ready(back) => back.is_none(),
            Poll::Pending => panic!("a place is free"),
        });
        assert_eq!(seated, [true, false]);
    }

    #[test]
    fn patience_ends_as_places_run_out() {
        let places = Places::new(10);
        for (free, patience_ms) in [(10, u64::MAX), (5, u64::MAX), (4, 1_000), (2, 1_000), (1, 200), (0, 200)]
        {
            while places.free.borrow().len() > free {
                seat(&places, &["10.0.0.1"]);
            }
            assert_eq!(places.patience_ms(), patience_ms, "{free} free");
        }
    }

    #[test]
    fn a_tick_calls_who_is_late() {
        let places = Places::new(2);
        seat(&places, &["10.0.0.1"]);
        let place = &places.all[0];
        assert!(place.client.get().is_some());
        place.deadline.set(Some(Instant::from_ms(5_000)));
        place.listening_since.set(Some(Instant::from_ms(1_000)));
        places.tick(Instant::from_ms(4_999));
        assert_eq!(place.call.take(), None);
        places.tick(Instant::from_ms(5_000));
        assert_eq!(place.call.take(), Some(Call::Look));
        seat(&places, &["10.0.0.2"]);
        places.tick(Instant::from_ms(1_199));
        assert_eq!(place.call.take(), None);
        places.tick(Instant::from_ms(1_200));
        assert_eq!(place.call.take(), Some(Call::Leave));
    }

    #[test]
    fn the_slowest_loses_its_place_to_who_waits() {
        let places = Places::new(3);
        seat(&places, &["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
        let at = |ms| Some(Instant::from_ms(ms));
        places.all[0].listening_since.set(at(60));
        places.all[1].listening_since.set(at(50));
        places.all[2].stuck_since.set(at(70));
        let called = |now_ms| {
            places.reclaim(Instant::from_ms(now_ms));
            places.all.iter().position(|place| place.call.take() == Some(Call::Leave))
        };
        assert_eq!(called(74), None, "nobody has been slow for long enough");
        assert_eq!(called(75), Some(1));
        assert_eq!(called(84), None, "it is not called twice");
        assert_eq!(called(85), Some(0));
        assert_eq!(called(94), None);
        assert_eq!(called(95), Some(2), "an answer that is not taken is given up as well");
        assert_eq!(called(1_000_000), None, "whoever is served at this moment stays");
    }

    #[test]
    fn a_vacant_place_is_called_by_nobody() {
        let places = Places::new(1);
        seat(&places, &["10.0.0.1"]);
        places.vacate(0);
        places.stop();
        assert_eq!(places.all[0].call.take(), None);
        smol::block_on(places.all_free());
    }
}
