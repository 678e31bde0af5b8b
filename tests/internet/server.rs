//! A server of the internet: an engine, what its driver would do for it, and what it may be held to.

use std::net::SocketAddr;

use waypost::engine::datagram::{Kind, classify};
use waypost::engine::http::{Connection, Wants};
use waypost::engine::{Engine, Settings, Storage};
use waypost::limits::{BINARY_AMPLIFICATION, LOWEST_CLIENT_PORT, MAX_KRPC_REPLY_BYTES, MAX_UDP_REPLY_BYTES};
use waypost::rng::{HashKey, Rng, Seed};
use waypost::time::Instant;

use crate::oracle::Oracle;

pub(crate) type Memory = Storage<64, 256>;

/// Connections at a time.
pub(crate) const PLACES: usize = 4;

/// A connection, and how far its client is.
pub(crate) struct Tcp {
    pub(crate) connection: Box<Connection>,
    /// Which client has it; `None` if it is free.
    pub(crate) client: Option<usize>,
    /// What the client has still to send.
    pub(crate) unsent: Vec<u8>,
    /// What it has received.
    pub(crate) received: Vec<u8>,
    /// Counts connections, so that nobody goes on with another's.
    pub(crate) generation: u64,
}

pub(crate) struct Server<'m> {
    pub(crate) addr: SocketAddr,
    pub(crate) oracle: Oracle,
    pub(crate) engine: Engine<'m>,
    pub(crate) places: Vec<Tcp>,
    /// Whether it has room for all and shows everything, so that everybody must be found in the end.
    pub(crate) is_roomy: bool,
    settings: Settings,
    /// What the clock of the world showed when its own showed 0; may lie before the world's beginning.
    started_ms: i64,
    /// Its own clock stands still since then.
    stands_at_ms: Option<u64>,
    /// Its last time: no clock goes back.
    last_ms: u64,
    pings: Vec<u64>,
}

impl<'m> Server<'m> {
    pub(crate) fn new(
        addr: SocketAddr,
        memory: &'m mut Memory,
        settings: Settings,
        seed: u64,
        roomy: bool,
    ) -> Self {
        let place = || Tcp {
            connection: Box::new(Connection::new()),
            client: None,
            unsent: Vec::new(),
            received: Vec::new(),
            generation: 0,
        };
        Self {
            addr,
            oracle: Oracle::default(),
            engine: memory.engine(settings.clone(), &engine_seed(seed)),
            places: (0..PLACES).map(|_| place()).collect(),
            is_roomy: roomy,
            settings,
            started_ms: 0,
            stands_at_ms: None,
            last_ms: 0,
            pings: Vec::new(),
        }
    }

    /// Its own time when the world's is `world_ms`.
    pub(crate) fn now_ms(&mut self, world_ms: u64) -> u64 {
        let runs = u64::try_from(world_ms as i64 - self.started_ms).expect("it has started");
        let now_ms = self.stands_at_ms.unwrap_or(runs).max(self.last_ms);
        self.last_ms = now_ms;
        now_ms
    }

    /// Forgets everything, and begins anew.
    pub(crate) fn restart(&mut self, world_ms: u64, memory: &'m mut Memory, seed: u64) {
        self.engine = memory.engine(self.settings.clone(), &engine_seed(seed));
        self.oracle = Oracle::default();
        (self.started_ms, self.stands_at_ms, self.last_ms) = (world_ms as i64, None, 0);
        self.pings.clear();
        self.places.iter_mut().for_each(|place| place.client = None);
    }

    /// The machine slept for so long.
    pub(crate) fn sleep(&mut self, ms: u64) {
        self.started_ms -= ms as i64;
    }

    /// Lets its clock stand still, or go on from there.
    pub(crate) fn stand_still(&mut self, world_ms: u64, still: bool) {
        let now_ms = self.now_ms(world_ms);
        if still {
            self.stands_at_ms = Some(now_ms);
        } else if self.stands_at_ms.take().is_some() {
            self.started_ms = world_ms as i64 - now_ms as i64;
        }
    }

    /// Gives it a datagram, and returns its answer, which is as long as it may be and no answer to one.
    pub(crate) fn datagram(
        &mut self,
        world_ms: u64,
        from: SocketAddr,
        datagram: &[u8],
        proven: bool,
    ) -> Vec<u8> {
        let now = Instant::from_ms(self.now_ms(world_ms));
        let mut out = [0; MAX_UDP_REPLY_BYTES];
        let length = self.engine.datagram(now, from, datagram, &mut out);
        let kind = classify(datagram);
        let longest = match kind {
            Kind::Krpc => (BINARY_AMPLIFICATION * datagram.len()).min(MAX_KRPC_REPLY_BYTES),
            Kind::Stun => BINARY_AMPLIFICATION * datagram.len(),
            // Who says nothing of a token has proved nothing, whoever it is.
            Kind::Json if proven && has_token(datagram) => MAX_UDP_REPLY_BYTES,
            Kind::TrackerTagged if proven => MAX_UDP_REPLY_BYTES,
            _ => datagram.len(),
        };
        assert!(length <= longest, "{length} bytes for {} to {from}", datagram.len());
        assert!(length == 0 || from.port() >= LOWEST_CLIENT_PORT, "a service is answered");
        assert!(self.engine.peers().len() <= self.engine.peers().capacity());
        let answer = out[..length].to_vec();
        if !answer.is_empty() {
            let again = self.engine.datagram(now, from, &answer, &mut out);
            assert_eq!(again, 0, "an answer is answered");
        }
        answer
    }

    /// Upkeep. Returns what it sends of its own accord.
    pub(crate) fn tick(&mut self, world_ms: u64, unix_ms: u64) -> Vec<(SocketAddr, Vec<u8>)> {
        let now_ms = self.now_ms(world_ms);
        let now = Instant::from_ms(now_ms);
        self.engine.set_wall_clock(now, unix_ms);
        let mut rounds = 0;
        while self.engine.tick(now) {
            rounds += 1;
            assert!(rounds < 1000, "upkeep does not end");
        }
        let mut sent = Vec::new();
        let mut out = [0; MAX_UDP_REPLY_BYTES];
        while let Some((to, length)) = self.engine.poll_transmit(now, &mut out) {
            sent.push((to, out[..length].to_vec()));
        }
        self.pings.extend(sent.iter().map(|_| now_ms));
        let of_last_second = self.pings.iter().filter(|&&at| now_ms - at < 1000).count();
        assert!(of_last_second <= 18, "{of_last_second} pings in a second");
        for place in &mut self.places {
            if place.client.is_some() && now >= place.connection.deadline() {
                place.connection.expired(now);
            }
        }
        self.oracle.is_counted(self.engine.peers().len(), now_ms);
        sent
    }

    /// Moves a connection on: up to `most` bytes one way. Returns whether it goes on.
    pub(crate) fn step(&mut self, world_ms: u64, place: usize, most: usize) -> bool {
        let now = Instant::from_ms(self.now_ms(world_ms));
        let Self { places, engine, .. } = self;
        let Tcp { connection, unsent, received, .. } = &mut places[place];
        match connection.wants() {
            Wants::Write => {
                let taken = most.min(connection.pending().len());
                received.extend_from_slice(&connection.pending()[..taken]);
                connection.sent(now, taken, engine);
                true
            }
            Wants::Read | Wants::Drain if !unsent.is_empty() => {
                let space = connection.space();
                let taken = most.min(space.len()).min(unsent.len());
                space[..taken].copy_from_slice(&unsent[..taken]);
                unsent.drain(..taken);
                connection.received(now, taken, engine);
                true
            }
            Wants::Read | Wants::Drain => {
                connection.received(now, 0, engine);
                false
            }
            Wants::Close | Wants::Reset => false,
        }
    }
}

fn has_token(datagram: &[u8]) -> bool {
    datagram.windows(8).any(|window| window == br#""token":"#)
}

fn engine_seed(seed: u64) -> Seed {
    let mut rng = Rng::new(HashKey::new(*b"a server's seed.").derive(&seed.to_le_bytes()));
    Seed(std::array::from_fn(|_| rng.next_u64().to_le_bytes()[0]))
}
