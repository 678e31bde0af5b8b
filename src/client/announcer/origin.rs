//! A name that was given for one server or several, and the look-ups of it.

use super::place::{backoff_ms, jittered};
use crate::client::url::{Scheme, ServerUrl, Target};
use crate::rng::Rng;
use crate::time::Instant;

/// Time until a name is looked up again, in milliseconds. What was found is kept by its own rules meanwhile.
const LOCATE_AGAIN_MS: u64 = 3_600_000;

/// A name that was given, and what became of it.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) url: ServerUrl,
    /// When the ways to it are looked up, if they have to be; `None` while that is under way.
    pub(super) due: Option<Instant>,
    /// Whether what was learnt of it is to be forgotten then.
    afresh: bool,
    failures: u32,
}

impl Origin {
    pub(super) fn new(url: ServerUrl, due: Option<Instant>) -> Self {
        Self { url, due, afresh: false, failures: 0 }
    }

    /// Takes the look-up that is due, if one is: whether what was learnt before is to be forgotten.
    pub(super) fn begin(&mut self, now: Instant) -> Option<bool> {
        self.due.take_if(|due| *due <= now)?;
        Some(std::mem::take(&mut self.afresh))
    }

    /// A server that it led to gave nothing. It may have moved, or another one may have come in its place. What is being
    /// looked up, or needs no look-up, stays as it is.
    pub(super) fn misled(&mut self, now: Instant, to_another: bool) {
        if self.is_domain() {
            self.due = self.due.map(|due| due.min(now));
            self.afresh |= to_another;
        }
    }

    /// It was found, and is looked up again some time.
    pub(super) fn found(&mut self, now: Instant, again: bool, rng: &mut Rng) {
        self.failures = 0;
        self.due = again.then(|| now.plus_ms(jittered(LOCATE_AGAIN_MS, rng)));
    }

    /// It was not found. When it is looked up again, if at all.
    pub(super) fn failed(&mut self, now: Instant, again: bool, rng: &mut Rng) -> Option<Instant> {
        self.failures = self.failures.saturating_add(1);
        let wait_ms = jittered(backoff_ms(self.failures), rng);
        self.due = again.then(|| now.plus_ms(wait_ms));
        self.due
    }

    fn is_domain(&self) -> bool {
        matches!(self.url, ServerUrl::Domain(_))
    }

    /// The ways to each server of those found: behind a domain, those with the same host lead to the same one.
    pub(super) fn servers(&self, targets: Vec<Target>) -> Vec<Vec<Target>> {
        let is_domain = self.is_domain();
        let mut servers: Vec<Vec<Target>> = Vec::new();
        let host =
            |target: &Target| (target.way.host.clone(), target.via.as_ref().map(|(host, _)| host.clone()));
        for target in targets {
            let known = servers
                .iter_mut()
                .find(|ways| !is_domain || ways.first().is_some_and(|first| host(first) == host(&target)));
            match known {
                Some(ways) => ways.push(target),
                None => servers.push(vec![target]),
            }
        }
        // Over UDP nobody can prove who it is, which a pin asks for: it is no way beside others.
        let proves = |target: &Target| target.pin.is_none() || target.way.scheme != Scheme::Udp;
        for ways in &mut servers {
            if ways.iter().any(proves) {
                ways.retain(proves);
            }
        }
        servers
    }
}
