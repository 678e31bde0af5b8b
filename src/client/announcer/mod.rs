//! Keeps one peer announced at several servers.
//!
//! [`Announcer`] is sans-IO: [`Announcer::poll`] says what to do next, and what came of it is told to [`Announcer::answered`]
//! and its neighbours. [`keep_announced`] does all of it on smol.
//!
//! - An announce asks for a life of two and a half intervals, and is sent again after one interval, or before 60 % of
//!   the life that was granted are over; a tenth more or less, so that not all clients come at once.
//! - A failure is tried again after 5 s, doubled up to 5 minutes, and not before the server wants it (`Retry-After`). What
//!   will most likely be refused again (`id_taken`, `bad_*`, `endpoint_not_yours`, `signature_required` ...) is tried again
//!   every 5 minutes.
//! - Work is done within the limits of [`super::pow`], for one server at a time. One that is not content with three solutions
//!   has failed.
//! - A server that pins its key has to prove who it is before it is announced to.
//! - A peer that signs learns from each server what its address is, and numbers its records for each server apart.
//!
//! ```no_run
//! use waypost::client::announcer::{Announcer, OwnPeer, Terms, keep_announced};
//! use waypost::client::{Client, Config};
//!
//! let config = Config::of_server("https://bootstrap1.example.com")?;
//! let own = OwnPeer::unsigned(&config.network, "alice", &["tcp://:9000"]);
//! let client = Client::new(config)?;
//! let mut announcer = Announcer::of(client.reach(), client.config(), own)?;
//! let quit = smol::future::pending(); // ready when the program ends: then the servers are told goodbye
//! let told = |event| println!("{event}");
//! smol::block_on(keep_announced(client.reach(), &mut announcer, told, quit));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod driver;
mod origin;
mod own;
mod place;
mod step;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::config::Config;
use super::failure::Failure;
use super::message::AnnounceAnswer;
use super::pow::Unsolved;
use super::reach::Reach;
use super::url::{ServerUrl, Target};
use crate::limits::{HIGHEST_MAX_TTL_S, MIN_TTL_S, POW_HIGHEST_FIXED};
use crate::rng::Rng;
use crate::time::{Instant, WallClock};

pub use driver::{keep_announced, leave_everywhere};
pub use own::{BadPeer, OwnPeer};
pub use step::{Event, Goodbye, Introduction, Step, What};

use origin::Origin;
use place::{Phase, Place, is_of_the_way};

/// Most servers that a peer is announced at.
pub const MAX_ANNOUNCED_SERVERS: usize = 8;
/// Longest life that is asked for unless one is chosen, in seconds: a server's usual maximum.
const MAX_ASKED_TTL_S: u32 = 3_600;
/// Failures in a row after which the domain that a server was found by is looked up again.
const LOCATE_AFTER_FAILURES: u32 = 3;

/// How a peer is announced.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Seconds between two announces; `None` = once.
    pub interval_s: Option<u32>,
    /// The life asked for, in seconds; `None` = two and a half intervals.
    pub ttl_s: Option<u32>,
    /// The token of an earlier registration.
    pub token: Option<String>,
    /// Time for an answer, in milliseconds.
    pub answer_ms: u64,
}

/// Keeps one peer announced at several servers.
#[derive(Debug)]
pub struct Announcer {
    own: OwnPeer,
    id: String,
    terms: Terms,
    rng: Dice,
    wall: WallClock,
    origins: Vec<Origin>,
    places: BTreeMap<usize, Place>,
    next_place: usize,
}

/// A generator that may stand in a structure with `Debug`.
struct Dice(Rng);

impl From<&Config> for Terms {
    /// The interval that is configured, and as much time for one answer as for a whole discovery.
    fn from(config: &Config) -> Self {
        Self { interval_s: config.interval_s, ttl_s: None, token: None, answer_ms: config.budget_ms }
    }
}

impl Announcer {
    /// Announces `own` at the first eight servers of a configuration, with randomness from `reach`.
    ///
    /// # Errors
    /// [`BadPeer`] if no server could take it.
    pub fn of(reach: &Reach, config: &Config, own: OwnPeer) -> Result<Self, BadPeer> {
        let servers: Vec<ServerUrl> = config.servers.iter().map(|server| server.url.clone()).collect();
        Self::new(own, config.into(), &servers, reach.rng())
    }

    /// Announces `own` at these servers, at most eight.
    ///
    /// # Errors
    /// [`BadPeer`] if no server could take it.
    pub fn new(own: OwnPeer, terms: Terms, servers: &[ServerUrl], rng: Rng) -> Result<Self, BadPeer> {
        own.check()?;
        Self::of_named(own, terms, servers, rng)
    }

    /// Takes back what was announced by somebody else: by an earlier run. The peer's endpoints do not count.
    ///
    /// # Errors
    /// [`BadPeer`] if no server could have it.
    pub fn of_named(own: OwnPeer, terms: Terms, servers: &[ServerUrl], rng: Rng) -> Result<Self, BadPeer> {
        own.check_name()?;
        let id = own.own_id().ok_or(BadPeer::NoId)?;
        let mut announcer = Self {
            own,
            id,
            terms,
            rng: Dice(rng),
            wall: WallClock::default(),
            origins: Vec::new(),
            places: BTreeMap::new(),
            next_place: 0,
        };
        for url in servers.iter().take(MAX_ANNOUNCED_SERVERS) {
            announcer.add(url);
        }
        Ok(announcer)
    }

    fn add(&mut self, url: &ServerUrl) {
        let origin = self.origins.len();
        let due = match url {
            ServerUrl::Way(way) => {
                self.add_place(Instant::START, origin, vec![way.clone().into()]);
                None
            }
            _ => Some(Instant::START),
        };
        self.origins.push(Origin::new(url.clone(), due));
    }

    fn add_place(&mut self, now: Instant, origin: usize, ways: Vec<Target>) {
        if !ways.is_empty() && self.places.len() < MAX_ANNOUNCED_SERVERS {
            let place = Place::new(origin, ways, self.terms.token.clone(), now);
            self.places.insert(self.next_place, place);
            self.next_place = self.next_place.saturating_add(1);
        }
    }

    /// The peer's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Time for an answer, in milliseconds.
    pub fn answer_ms(&self) -> u64 {
        self.terms.answer_ms
    }

    /// Tells what the wall clock shows. Without one that is credible, signed records are numbered by the servers' clocks.
    pub fn set_wall_clock(&mut self, wall: WallClock) {
        self.wall = wall;
    }

    /// What to do next. To be called until it says [`Step::Wait`] or [`Step::Nothing`], and again when something came back or
    /// that moment has come.
    pub fn poll(&mut self, now: Instant) -> Step {
        for (origin, named) in self.origins.iter_mut().enumerate() {
            if let Some(afresh) = named.begin(now) {
                return Step::Locate { origin, url: named.url.clone(), afresh };
            }
        }
        let ttl_s = ttl_s(&self.terms);
        for (&server, place) in &mut self.places {
            place.forget_old_challenge(now);
            if place.phase == Phase::Rest && place.due <= now {
                match begin(now, server, place, &self.own, self.wall, ttl_s) {
                    Ok(step) => return step,
                    // It was told when that turned out, in `asked`.
                    Err(failure) => {
                        place.failed(now, &failure, self.terms.interval_s.is_some(), &mut self.rng.0);
                    }
                }
            }
        }
        self.solve_next().unwrap_or_else(|| self.wait())
    }

    /// The next challenge, unless one is being solved.
    fn solve_next(&mut self) -> Option<Step> {
        if self.places.values().any(|place| matches!(place.phase, Phase::Solving(_))) {
            return None;
        }
        self.places.iter_mut().find_map(|(&server, place)| {
            let Phase::Owing(challenge, difficulty, _) = &place.phase else { return None };
            let (challenge, difficulty) = (challenge.clone(), *difficulty);
            place.phase = Phase::Solving(challenge.clone());
            Some(Step::Solve { server, challenge, difficulty })
        })
    }

    fn wait(&self) -> Step {
        let domains = self.origins.iter().filter_map(|origin| origin.due);
        let resting = self.places.values().filter(|place| place.phase == Phase::Rest).map(|place| place.due);
        domains.chain(resting).min().map_or(Step::Nothing, Step::Wait)
    }

    /// Tells the ways to who is called so, the best first. Behind a domain there may be several servers, with tables of
    /// their own: the peer is announced at each.
    pub fn located(
        &mut self,
        now: Instant,
        origin: usize,
        found: Result<Vec<Target>, Failure>,
    ) -> Option<Event> {
        let named = self.origins.get_mut(origin)?;
        match found {
            Ok(targets) => {
                let servers = named.servers(targets);
                named.found(now, self.terms.interval_s.is_some(), &mut self.rng.0);
                self.places.retain(|_, place| {
                    place.origin != origin || servers.iter().any(|ways| ways == place.ways())
                });
                for ways in servers {
                    if !self.places.values().any(|place| place.origin == origin && place.ways() == ways) {
                        self.add_place(now, origin, ways);
                    }
                }
                None
            }
            Err(failure) => {
                let again = named.failed(now, self.terms.interval_s.is_some(), &mut self.rng.0);
                Some(Event { server: named.url.label(), what: What::Failed { failure, again } })
            }
        }
    }

    /// Tells who a server is and where it sees us.
    pub fn asked(
        &mut self,
        now: Instant,
        server: usize,
        answer: Result<Introduction, Failure>,
    ) -> Option<Event> {
        let place = self.places.get_mut(&server).filter(|place| place.phase == Phase::Asking)?;
        match answer {
            Ok(introduction) => {
                if let Some(identity) = &introduction.bootstrap_id {
                    place.seen(identity);
                }
                place.asked(now, introduction.you, introduction.server_time);
                let missing = self.own.announce(place.you, 0).err()?;
                self.failed(now, server, missing)
            }
            Err(failure) => self.failed(now, server, failure),
        }
    }

    /// Tells what a server said to an announce.
    pub fn answered(
        &mut self,
        now: Instant,
        server: usize,
        answer: Result<AnnounceAnswer, Failure>,
    ) -> Option<Event> {
        let place = self.places.get_mut(&server).filter(|place| place.phase == Phase::Announcing)?;
        let failure = match answer {
            Ok(AnnounceAnswer::Registered { id: Some(id), .. }) if id != self.id => {
                Failure::Nonsense("it has registered another id")
            }
            Ok(AnnounceAnswer::Registered { expires_s, you, token, .. }) => {
                let interval_ms = self.terms.interval_s.map(|s| u64::from(s).saturating_mul(1000));
                let granted = (expires_s, you, token);
                let again = place.registered(now, granted, interval_ms, &mut self.rng.0);
                let (id, token) = (self.id.clone(), place.token.clone());
                let what = What::Registered { id, expires_s, you, token, again };
                return Some(Event { server: place.name(), what });
            }
            Ok(AnnounceAnswer::WorkWanted { difficulty, .. }) if difficulty > POW_HIGHEST_FIXED => {
                Failure::Work(Unsolved::TooDear(difficulty))
            }
            Ok(AnnounceAnswer::WorkWanted { challenge, difficulty }) => {
                if place.owes(now, challenge, difficulty) {
                    return Some(Event { server: place.name(), what: What::Works(difficulty) });
                }
                Failure::Nonsense("it wants work again and again")
            }
            Err(failure) => failure,
        };
        self.failed(now, server, failure)
    }

    /// Tells what came of solving a challenge.
    pub fn solved(&mut self, now: Instant, server: usize, nonce: Result<u64, Unsolved>) -> Option<Event> {
        let place = self.places.get_mut(&server)?;
        let Phase::Solving(challenge) = &place.phase else { return None };
        match nonce {
            Ok(nonce) => {
                let challenge = challenge.clone();
                place.solved(now, challenge, nonce);
                None
            }
            Err(unsolved) => self.failed(now, server, Failure::Work(unsolved)),
        }
    }

    /// Tells which id a server was seen to have, by whoever asked it something. If that is not what it had before, the server has started
    /// anew and knows nothing of the peer, and is announced to at once.
    pub fn seen(&mut self, now: Instant, server: &str, bootstrap_id: &str) {
        for place in self.places.values_mut().filter(|place| place.is_called(server)) {
            if place.seen(bootstrap_id) && place.phase == Phase::Rest {
                place.due = place.due.min(now);
            }
        }
    }

    /// Ends all announcing, and tells which servers are to be told goodbye: those that may have the peer in their tables.
    pub fn leave(&mut self, now: Instant) -> Vec<Goodbye> {
        self.end(now, Place::may_know_us)
    }

    /// Ends all announcing, and tells every server goodbye.
    pub fn leave_all(&mut self, now: Instant) -> Vec<Goodbye> {
        self.end(now, |_, _| true)
    }

    fn end(&mut self, now: Instant, is_told: impl Fn(&Place, Instant) -> bool) -> Vec<Goodbye> {
        self.origins.clear();
        let places = std::mem::take(&mut self.places);
        let told = places.into_values().filter(|place| is_told(place, now));
        told.map(|place| {
            let others = place.ways().iter().filter(|way| Some(*way) != place.target());
            let ways = place.target().into_iter().chain(others).cloned().collect();
            let seq = place.next_seq(now, self.wall);
            Goodbye::new(place.name(), ways, self.own.clone(), seq, place.token.clone())
        })
        .collect()
    }

    /// A server gave nothing: it is mended, tried on another way, or told and tried again later.
    fn failed(&mut self, now: Instant, server: usize, failure: Failure) -> Option<Event> {
        let place = self.places.get_mut(&server)?;
        if let Failure::Refused { word, .. } = &failure
            && place.mend(now, &self.own, word, &mut self.rng.0)
        {
            return None;
        }
        let server = place.name();
        if is_of_the_way(&failure) && place.next_way(now) {
            return None;
        }
        let again = place.failed(now, &failure, self.terms.interval_s.is_some(), &mut self.rng.0);
        let is_another = matches!(failure, Failure::WrongIdentity(_));
        if (is_another || place.failures == LOCATE_AFTER_FAILURES)
            && let Some(origin) = self.origins.get_mut(place.origin)
        {
            origin.misled(now, is_another);
        }
        Some(Event { server, what: What::Failed { failure, again } })
    }
}

/// Begins the next round with a server.
///
/// # Errors
/// There is no record for it.
fn begin(
    now: Instant,
    server: usize,
    place: &mut Place,
    own: &OwnPeer,
    wall: WallClock,
    ttl_s: u32,
) -> Result<Step, Failure> {
    let target = place.target().ok_or(Failure::Unsupported("there is no way to it"))?.clone();
    if place.is_to_be_asked(now, own, wall) {
        place.phase = Phase::Asking;
        return Ok(Step::Ask { server, target });
    }
    let announce = place.announce(now, own, wall, ttl_s)?;
    place.phase = Phase::Announcing;
    Ok(Step::Announce { server, target, announce: Box::new(announce) })
}

/// The life asked for.
fn ttl_s(terms: &Terms) -> u32 {
    let of_interval = terms.interval_s.map(|s| s.saturating_mul(5) / 2);
    let ttl_s = terms.ttl_s.or(of_interval.map(|s| s.min(MAX_ASKED_TTL_S)));
    ttl_s.unwrap_or(super::config::DEFAULT_INTERVAL_S).clamp(MIN_TTL_S, HIGHEST_MAX_TTL_S)
}

impl std::fmt::Debug for Dice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dice")
    }
}
