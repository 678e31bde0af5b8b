//! How things stand between the announced peer and one server.

use std::net::IpAddr;

use super::OwnPeer;
use crate::client::failure::Failure;
use crate::client::message::Announce;
use crate::client::url::Target;
use crate::limits::EARLIEST_CREDIBLE_UNIX_S;
use crate::rng::Rng;
use crate::time::{Instant, WallClock};

/// Time to the next try after a first failure, in milliseconds; doubled with each further one.
const BACKOFF_MS: u64 = 5_000;
/// Longest time between two tries, and the time after a refusal that will most likely be repeated, in milliseconds.
const SLOW_MS: u64 = 300_000;
/// Longest time that a server may ask us to stay away, in seconds.
const MAX_RETRY_AFTER_S: u32 = 3_600;
/// Most often that a server can have itself announced to, in milliseconds, however short a life it grants.
const MIN_REFRESH_MS: u64 = 1_000;
/// Part of the life granted that may pass before the next announce, in percent: what is lost once can be sent again.
const REFRESH_PERCENT: u64 = 60;
/// Challenges of one server that are solved in a row.
const MAX_SOLUTIONS: u8 = 3;
/// How old a challenge may be when its solving begins, in milliseconds: it is good for 120 s, and one before it may take 30.
const MAX_CHALLENGE_AGE_MS: u64 = 60_000;
/// Time between two tries of higher and higher numbers, in milliseconds.
const STALE_MS: u64 = 1_000;
/// Tries of higher numbers in a row: 2^34 s are 544 years.
const MAX_STALE: u32 = 34;
/// How far beyond 2026 a server's clock is believed, in seconds: a hundred years.
const MAX_CLOCK_S: u64 = 100 * 366 * 86_400;

/// What is going on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing, until the moment in `due`.
    Rest,
    /// It was asked who it is, and who we are.
    Asking,
    /// It was announced to.
    Announcing,
    /// It wants work: the challenge, its bits, and since when.
    Owing(String, u8, Instant),
    /// Its challenge is being solved.
    Solving(String),
    /// It is left alone for good.
    Over,
}

/// One server, and what we know of it.
#[derive(Debug)]
pub(super) struct Place {
    /// Which of the names given led to it.
    pub(super) origin: usize,
    /// Ways to it, and the one that is in use.
    ways: Vec<Target>,
    way: usize,
    /// Ways that failed since it was last due.
    ways_failed: usize,
    pub(super) phase: Phase,
    pub(super) due: Instant,
    /// Whether it was asked since it was last due.
    asked: bool,
    /// Its id, as last seen.
    identity: Option<String>,
    /// Our address as it sees it.
    pub(super) you: Option<IpAddr>,
    /// Its clock, if it told a credible one.
    clock: WallClock,
    pub(super) token: Option<String>,
    /// When what it granted ends.
    until: Option<Instant>,
    /// Failures in a row.
    pub(super) failures: u32,
    /// Solutions that it has had since it was last due, and the last one.
    solutions: u8,
    work: Option<(String, u64)>,
    /// The highest number that it was sent, and how far above that the next one is.
    last_seq: u64,
    step: u64,
    stale: u32,
    /// Whether the address it told has proved wrong since the last success.
    was_elsewhere: bool,
}

impl Place {
    pub(super) fn new(origin: usize, ways: Vec<Target>, token: Option<String>, due: Instant) -> Self {
        Self {
            origin,
            ways,
            way: 0,
            ways_failed: 0,
            phase: Phase::Rest,
            due,
            asked: false,
            identity: None,
            you: None,
            clock: WallClock::default(),
            token,
            until: None,
            failures: 0,
            solutions: 0,
            work: None,
            last_seq: 0,
            step: 1,
            stale: 0,
            was_elsewhere: false,
        }
    }

    /// What it is called: the URL of the way in use.
    pub(super) fn name(&self) -> String {
        self.target().map(|target| target.way.to_string()).unwrap_or_default()
    }

    /// Whether `url` leads to it.
    pub(super) fn is_called(&self, url: &str) -> bool {
        self.ways.iter().any(|target| target.way.to_string() == url)
    }

    /// The way in use.
    pub(super) fn target(&self) -> Option<&Target> {
        self.ways.get(self.way)
    }

    /// All ways.
    pub(super) fn ways(&self) -> &[Target] {
        &self.ways
    }

    /// Whether it has to be asked something before it is announced to: to prove who it is; where we are, for a signed
    /// record; and what time it is, for one whose peer has no clock.
    pub(super) fn is_to_be_asked(&self, now: Instant, own: &OwnPeer, wall: WallClock) -> bool {
        let pinned = self.target().is_some_and(|target| target.pin.is_some());
        let lost = own.must_know_its_address() && self.you.is_none();
        let timeless = own.secret.is_some()
            && self.last_seq == 0
            && wall.unix_s(now).or_else(|| self.clock.unix_s(now)).is_none();
        !self.asked && (pinned || lost || timeless)
    }

    /// The next announce.
    pub(super) fn announce(
        &mut self,
        now: Instant,
        own: &OwnPeer,
        wall: WallClock,
        ttl_s: u32,
    ) -> Result<Announce, Failure> {
        let seq = self.next_seq(now, wall);
        let announce = own.announce(self.you, seq)?;
        self.last_seq = seq;
        Ok(Announce { ttl_s: Some(ttl_s), token: self.token.clone(), pow: self.work.take(), ..announce })
    }

    /// The number of the next record for this server: the Unix second, so that a peer need not remember it, but higher
    /// than any it has had from us.
    ///
    /// Without a clock of our own the server's counts, and without that the seconds that we run, from 2026 on. If the
    /// server knows a higher number, from before we started or from when our clock was wrong, it says `stale_seq` and not
    /// which: then the steps are doubled until it is passed. Numbers are counted for each server apart, so that a lying one can
    /// drive up its own only.
    pub(super) fn next_seq(&self, now: Instant, wall: WallClock) -> u64 {
        let clock = wall.unix_s(now).or_else(|| self.clock.unix_s(now));
        let clock = clock.unwrap_or_else(|| EARLIEST_CREDIBLE_UNIX_S.saturating_add(now.as_s()));
        clock.max(self.last_seq.saturating_add(self.step))
    }

    /// Whether it may have us in its table.
    pub(super) fn may_know_us(&self, now: Instant) -> bool {
        self.phase == Phase::Announcing || self.until.is_some_and(|until| now < until)
    }

    /// It told who it is, where it sees us, and what time it is.
    pub(super) fn asked(&mut self, now: Instant, you: Option<IpAddr>, server_time: Option<u64>) {
        self.asked = true;
        self.you = you.or(self.you);
        let credible =
            server_time.filter(|second| second.saturating_sub(EARLIEST_CREDIBLE_UNIX_S) <= MAX_CLOCK_S);
        if let Some(second) = credible {
            self.clock = WallClock::read(now, second.saturating_mul(1000));
        }
        self.phase = Phase::Rest;
        self.due = now;
    }

    /// Its id was seen. Whether it is another server than before: then it knows nothing of us.
    pub(super) fn seen(&mut self, identity: &str) -> bool {
        let other = self.identity.as_deref().is_some_and(|known| known != identity);
        self.identity = Some(identity.into());
        if other {
            (self.until, self.token) = (None, None);
        }
        other
    }

    /// It has registered us. The next announce is after `interval_ms` or before the life that it granted is over, with some
    /// jitter.
    pub(super) fn registered(
        &mut self,
        now: Instant,
        (expires_s, you, token): (u32, Option<IpAddr>, Option<String>),
        interval_ms: Option<u64>,
        rng: &mut Rng,
    ) -> Option<Instant> {
        self.until = Some(now.plus_s(expires_s));
        self.you = you.or(self.you);
        self.token = token.or(self.token.take());
        (self.failures, self.stale, self.step, self.was_elsewhere) = (0, 0, 1, false);
        let interval_ms = interval_ms.map(|interval_ms| {
            // So that the jitter ends where it is too late.
            let latest_ms = u64::from(expires_s).saturating_mul(10 * REFRESH_PERCENT).saturating_mul(10) / 11;
            jittered(interval_ms, rng).min(jittered(latest_ms, rng)).max(MIN_REFRESH_MS)
        });
        self.rest(interval_ms.map(|ms| now.plus_ms(ms)))
    }

    /// It wants work. Whether it gets any.
    pub(super) fn owes(&mut self, now: Instant, challenge: String, difficulty: u8) -> bool {
        let more = self.solutions < MAX_SOLUTIONS;
        if more {
            self.phase = Phase::Owing(challenge, difficulty, now);
        }
        more
    }

    /// Comes for a new challenge if the one it owes for has become too old while others were solved.
    pub(super) fn forget_old_challenge(&mut self, now: Instant) {
        if matches!(&self.phase, Phase::Owing(_, _, since) if now.ms_since(*since) > MAX_CHALLENGE_AGE_MS) {
            (self.phase, self.due) = (Phase::Rest, now);
        }
    }

    /// The work is done.
    pub(super) fn solved(&mut self, now: Instant, challenge: String, nonce: u64) {
        self.solutions = self.solutions.saturating_add(1);
        self.work = Some((challenge, nonce));
        self.phase = Phase::Rest;
        self.due = now;
    }

    /// Tries to mend what it refused without telling anybody. Whether there is a way.
    pub(super) fn mend(&mut self, now: Instant, own: &OwnPeer, word: &str, rng: &mut Rng) -> bool {
        let wait_ms = match word {
            // Somebody has the key's id with a higher number: we do, from before.
            "stale_seq" if own.secret.is_some() && self.stale < MAX_STALE => {
                self.stale = self.stale.saturating_add(1);
                self.step = self.step.saturating_mul(2);
                jittered(STALE_MS, rng)
            }
            // Our address has changed, or we came by another family than when we asked.
            "endpoint_not_yours" if own.must_know_its_address() && !self.was_elsewhere => {
                (self.was_elsewhere, self.you, self.asked) = (true, None, false);
                0
            }
            // It is another server's, or was damaged.
            "bad_token" if self.token.take().is_some() => 0,
            _ => return false,
        };
        self.phase = Phase::Rest;
        self.due = now.plus_ms(wait_ms);
        true
    }

    /// Takes the next way if this one led nowhere. Whether there is one that was not tried yet.
    pub(super) fn next_way(&mut self, now: Instant) -> bool {
        self.ways_failed = self.ways_failed.saturating_add(1);
        self.way = if self.way.saturating_add(1) < self.ways.len() { self.way.saturating_add(1) } else { 0 };
        if self.ways_failed >= self.ways.len() {
            return false;
        }
        (self.phase, self.due, self.asked) = (Phase::Rest, now, false);
        true
    }

    /// It gave nothing. When it is tried again, if it is at all.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        failure: &Failure,
        again: bool,
        rng: &mut Rng,
    ) -> Option<Instant> {
        self.failures = self.failures.saturating_add(1);
        if self.stale >= MAX_STALE {
            (self.stale, self.step) = (0, 1);
        }
        let wait_ms = if is_lasting(failure) {
            jittered(SLOW_MS, rng)
        } else {
            jittered(backoff_ms(self.failures), rng).max(retry_after_ms(failure, rng))
        };
        self.rest(again.then(|| now.plus_ms(wait_ms)))
    }

    /// Nothing more is done before `due`, or ever.
    fn rest(&mut self, due: Option<Instant>) -> Option<Instant> {
        self.phase = if due.is_some() { Phase::Rest } else { Phase::Over };
        self.due = due.unwrap_or(self.due);
        (self.asked, self.solutions, self.work, self.ways_failed) = (false, 0, None, 0);
        due
    }
}

/// Time to the next try after so many failures, in milliseconds.
pub(super) fn backoff_ms(failures: u32) -> u64 {
    let doubled = BACKOFF_MS.checked_shl(failures.saturating_sub(1).min(16)).unwrap_or(SLOW_MS);
    doubled.min(SLOW_MS)
}

/// `ms`, a tenth more or less: not all clients at once.
pub(super) fn jittered(ms: u64, rng: &mut Rng) -> u64 {
    let tenth = ms / 10;
    let spread = u32::try_from(tenth.saturating_mul(2)).unwrap_or(u32::MAX - 1);
    ms.saturating_sub(tenth).saturating_add(u64::from(rng.below(spread.saturating_add(1))))
}

/// How long a server asked us to stay away, in milliseconds, and up to a tenth more.
fn retry_after_ms(failure: &Failure, rng: &mut Rng) -> u64 {
    let Failure::Refused { retry_after_s: Some(s), .. } = failure else { return 0 };
    let ms = u64::from((*s).min(MAX_RETRY_AFTER_S)).saturating_mul(1000);
    let spread = u32::try_from(ms / 10).unwrap_or(u32::MAX);
    ms.saturating_add(u64::from(rng.below(spread)))
}

/// Whether trying again soon will most likely end in the same way.
pub(super) fn is_lasting(failure: &Failure) -> bool {
    match failure {
        Failure::Refused { word, .. } => {
            let ours = ["endpoint_not_yours", "id_taken", "network_not_served", "signature_required"];
            let theirs = ["stale_seq", "token_required", "too_large", "unsupported"];
            // Work that came too late is done anew.
            let bad = word.starts_with("bad_") && word != "bad_pow";
            bad || ours.contains(&word.as_str()) || theirs.contains(&word.as_str())
        }
        Failure::WrongIdentity(_) | Failure::Work(_) | Failure::Unsupported(_) => true,
        _ => false,
    }
}

/// Whether a server might be reached on another way.
pub(super) fn is_of_the_way(failure: &Failure) -> bool {
    !matches!(failure, Failure::Refused { .. } | Failure::Work(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::HashKey;

    #[test]
    fn backing_off_doubles_up_to_five_minutes() {
        let waits: Vec<u64> = (1..9).map(|failures| backoff_ms(failures) / 1000).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff_ms(u32::MAX), SLOW_MS);
    }

    #[test]
    fn jitter_is_a_tenth_to_both_sides() {
        let mut rng = Rng::new(HashKey::new([1; 16]));
        let drawn: Vec<u64> = (0..1000).map(|_| jittered(10_000, &mut rng)).collect();
        assert!(drawn.iter().all(|ms| (9_000..=11_000).contains(ms)));
        assert!(drawn.iter().min() < Some(&9_100) && drawn.iter().max() > Some(&10_900));
        assert_eq!(jittered(0, &mut rng), 0);
        assert!(jittered(u64::MAX, &mut rng) > u64::MAX / 2);
    }

    #[test]
    fn words_that_will_be_repeated_are_known() {
        let refused =
            |word: &str| Failure::Refused { word: word.into(), detail: String::new(), retry_after_s: None };
        for word in ["id_taken", "bad_id", "bad_endpoint", "endpoint_not_yours", "signature_required"] {
            assert!(is_lasting(&refused(word)), "{word}");
        }
        for word in ["rate_limited", "table_full", "bad_pow", "new_word"] {
            assert!(!is_lasting(&refused(word)), "{word}");
        }
        assert!(is_lasting(&Failure::WrongIdentity("")) && !is_lasting(&Failure::TimedOut));
    }
}
