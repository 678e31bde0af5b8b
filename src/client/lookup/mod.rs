//! Who serves a domain, sans-IO: looked up as a Matrix homeserver is (WIRE.md section 9).
//!
//! 1. `https://DOMAIN/.well-known/waypost` names the servers, or none if the domain itself serves at `https://DOMAIN`. A server
//!    that is again only a domain is looked up from the second step on.
//! 2. SRV records of `_waypost._tcp.DOMAIN`. Port 443 means https, with a certificate of DOMAIN.
//! 3. `http://DOMAIN:8080` and `udp://DOMAIN:6881`.
//!
//! A [`Lookup`] is driven by a loop: [`Lookup::poll`] says what to ask or until when to wait, answers are handed to
//! [`Lookup::well_known`] and [`Lookup::services`]. A well-known document that is slow does not use up the time of the records:
//! they are asked for beside it, and it is preferred for half of the time.

mod answer;
mod cache;
mod entries;
pub mod resolv_conf;
mod srv;

use std::collections::BTreeMap;
use std::fmt;

use super::failure::Failure;
use super::message::WellKnown;
use super::url::{Scheme, Target, Way};
use crate::rng::Rng;
use crate::time::Instant;
pub use answer::Reply;
pub use cache::Cache;
use entries::{Entry, To};
pub use srv::{Services, SrvRecord, service_name};

/// Most ways to servers that a domain leads to.
pub const MAX_TARGETS: usize = 8;
/// Head start of the well-known document before the SRV records, in milliseconds; less if there is little time.
const HEAD_START_MS: u64 = 1000;
/// The ports that servers listen on where nothing else is said.
const HTTP_PORT: u16 = 8080;
const UDP_PORT: u16 = 6881;

/// How a server was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// By `/.well-known/waypost`.
    WellKnown,
    /// By SRV records.
    Srv,
    /// By the domain's own name.
    Name,
}

/// Who serves a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The ways to its servers, at most eight, in the order in which they are to be tried, each with its priority: lower ones
    /// are better.
    pub targets: Vec<(Target, u32)>,
    /// How they were found.
    pub how: How,
    /// What was tried before, and why it led to nothing.
    pub tried: Vec<(How, Failure)>,
}

/// What is to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The well-known document of the domain.
    WellKnown,
    /// The SRV records of this domain.
    Services(String),
}

/// What a driver does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask this, and come again.
    Ask(Question, Instant),
    /// Wait for answers, at most until then.
    Wait(Instant),
    /// This came of it.
    Done(Result<Located, Failure>),
}

/// A look-up on its way.
#[derive(Debug)]
pub struct Lookup {
    domain: String,
    /// When the SRV records are asked for if the well-known document is not there by then.
    impatient_at: Instant,
    /// When the well-known document is given up.
    well_known_until: Instant,
    /// When everything is given up.
    until: Instant,
    well_known: Asked<Vec<Entry>>,
    services: BTreeMap<String, Asked<Services>>,
}

/// Something that is asked.
#[derive(Clone, Debug)]
enum Asked<T> {
    NotYet,
    Waiting,
    Done(Result<T, Failure>),
}

const NO_RECORD: Failure = Failure::Unsupported("it has no SRV record of _waypost._tcp");
const REFUSED: Failure = Failure::Unsupported("its SRV record says that it offers no such service");
const NO_SERVER: Failure = Failure::Nonsense("none of its servers can be asked");

impl Lookup {
    /// Looks up a domain, in lower case. `deadline` is when its servers must have answered: at least a quarter of the time is
    /// left to them.
    pub fn new(now: Instant, domain: &str, deadline: Instant) -> Self {
        let time_ms = deadline.ms_since(now);
        let quarter_ms = time_ms / 4;
        Self {
            domain: domain.into(),
            impatient_at: now.plus_ms(HEAD_START_MS.min(quarter_ms)),
            well_known_until: now.plus_ms(time_ms / 2),
            until: now.plus_ms(time_ms.saturating_sub(quarter_ms)),
            well_known: Asked::NotYet,
            services: BTreeMap::new(),
        }
    }

    /// What to do now. `rng` draws among SRV records of one priority.
    pub fn poll(&mut self, now: Instant, rng: &mut Rng) -> Step {
        self.give_up(now);
        if let Asked::NotYet = self.well_known {
            self.well_known = Asked::Waiting;
            return Step::Ask(Question::WellKnown, self.well_known_until);
        }
        if self.all_refuse() {
            self.well_known = Asked::Done(Err(NO_SERVER));
        }
        for domain in self.wanted(now) {
            let asked = self.services.entry(domain.clone()).or_insert(Asked::NotYet);
            if let Asked::NotYet = asked {
                *asked = Asked::Waiting;
                return Step::Ask(Question::Services(domain), self.until);
            }
        }
        match self.result(rng) {
            Some(result) => Step::Done(result),
            None => Step::Wait(self.next(now)),
        }
    }

    /// Takes the well-known document, or why there is none.
    pub fn well_known(&mut self, answer: Result<WellKnown, Failure>) {
        if matches!(self.well_known, Asked::Done(_)) {
            return;
        }
        self.well_known = Asked::Done(answer.and_then(|document| {
            let entries = entries::of(&self.domain, document);
            if entries.is_empty() { Err(NO_SERVER) } else { Ok(entries) }
        }));
    }

    /// Takes the SRV records of a domain, or why they could not be had.
    pub fn services(&mut self, domain: &str, answer: Result<Services, Failure>) {
        if let Some(asked) = self.services.get_mut(domain)
            && !matches!(asked, Asked::Done(_))
        {
            *asked = Asked::Done(answer);
        }
    }

    /// Gives up what has not come in its time.
    fn give_up(&mut self, now: Instant) {
        if now >= self.well_known_until && !matches!(self.well_known, Asked::Done(_)) {
            self.well_known = Asked::Done(Err(Failure::TimedOut));
        }
        if now >= self.until {
            for domain in self.wanted(now) {
                self.services.entry(domain).or_insert(Asked::NotYet);
            }
            for asked in self.services.values_mut().filter(|asked| !matches!(asked, Asked::Done(_))) {
                *asked = Asked::Done(Err(Failure::TimedOut));
            }
        }
    }

    /// The domains whose SRV records are wanted.
    fn wanted(&self, now: Instant) -> Vec<String> {
        let own = || vec![self.domain.clone()];
        match &self.well_known {
            Asked::Done(Ok(entries)) => {
                let domains = entries.iter().filter_map(|entry| match &entry.to {
                    To::Domain(domain, _) => Some(domain.clone()),
                    To::Ways(_) => None,
                });
                domains.collect()
            }
            Asked::Done(Err(_)) => own(),
            _ if now >= self.impatient_at => own(),
            _ => Vec::new(),
        }
    }

    /// Whether all servers of the well-known document are domains that offer no such service.
    fn all_refuse(&self) -> bool {
        let refuses = |entry: &Entry| match &entry.to {
            To::Ways(_) => false,
            To::Domain(domain, _) => {
                matches!(self.services.get(domain), Some(Asked::Done(Ok(Services::Refused))))
            }
        };
        matches!(&self.well_known, Asked::Done(Ok(entries)) if entries.iter().all(refuses))
    }

    /// When there is something to do without an answer.
    fn next(&self, now: Instant) -> Instant {
        match self.well_known {
            Asked::Done(_) => self.until,
            _ if now < self.impatient_at => self.impatient_at,
            _ => self.well_known_until,
        }
    }

    /// What came of it, once that is certain.
    fn result(&self, rng: &mut Rng) -> Option<Result<Located, Failure>> {
        let mut tried = match &self.well_known {
            Asked::NotYet | Asked::Waiting => return None,
            Asked::Done(Ok(entries)) => return self.delegated(entries, rng).map(Ok),
            Asked::Done(Err(failure)) => vec![(How::WellKnown, failure.clone())],
        };
        Some(match self.found(&self.domain, rng)? {
            Ok(targets) => Ok(Located::new(targets, How::Srv, tried)),
            Err(REFUSED) => Err(REFUSED),
            Err(failure) => {
                tried.push((How::Srv, failure));
                Ok(Located::new(by_name(&self.domain), How::Name, tried))
            }
        })
    }

    /// What the entries of a well-known document lead to; `None` while records of one are waited for.
    fn delegated(&self, entries: &[Entry], rng: &mut Rng) -> Option<Located> {
        let (mut targets, mut tried) = (Vec::new(), Vec::new());
        for Entry { priority, to } in entries {
            match to {
                To::Ways(ways) => targets.extend(ways.iter().map(|to| (to.clone(), *priority))),
                To::Domain(domain, pin) => {
                    let found = self.found(domain, rng)?.or_else(|failure| {
                        tried.push((How::Srv, failure.clone()));
                        if failure == REFUSED { Err(failure) } else { Ok(by_name(domain)) }
                    });
                    let found = found.into_iter().flatten();
                    targets.extend(found.map(|(to, _)| (entries::pinned(to, *pin), *priority)));
                }
            }
        }
        Some(Located::new(targets, How::WellKnown, tried))
    }

    /// What the SRV records of a domain lead to; `None` while they are waited for.
    fn found(&self, domain: &str, rng: &mut Rng) -> Option<Result<Vec<(Target, u32)>, Failure>> {
        let Some(Asked::Done(answer)) = self.services.get(domain) else { return None };
        Some(match answer {
            Ok(Services::At(records)) => {
                let ordered = srv::in_order(records.clone(), rng).into_iter();
                Ok(ordered.map(|record| record.target(domain)).collect())
            }
            Ok(Services::Refused) => Err(REFUSED),
            Ok(Services::None) => Err(NO_RECORD),
            Err(failure) => Err(failure.clone()),
        })
    }
}

impl Located {
    /// The first of these targets, without repeats.
    fn new(found: Vec<(Target, u32)>, how: How, tried: Vec<(How, Failure)>) -> Self {
        let mut targets: Vec<(Target, u32)> = Vec::new();
        for (target, priority) in found {
            if targets.len() < MAX_TARGETS && targets.iter().all(|(known, _)| *known != target) {
                targets.push((target, priority));
            }
        }
        Self { targets, how, tried }
    }

    /// The ways to its servers, in the order in which they are to be tried.
    pub fn ways(&self) -> Vec<Target> {
        self.targets.iter().map(|(target, _)| target.clone()).collect()
    }

    /// The failure of its servers, made one of the whole look-up where nobody told of a server, and none is there.
    pub fn explain(&self, failure: Failure) -> Failure {
        let nobody = matches!(
            failure,
            Failure::NoSuchHost(_) | Failure::Unreachable(_) | Failure::Broken(_) | Failure::TimedOut
        );
        if self.how != How::Name || !nobody {
            return failure;
        }
        let last = (How::Name, failure);
        let tried = self.tried.iter().chain([&last]).map(|(how, failure)| format!("{how}: {failure}"));
        Failure::Nowhere(tried.collect::<Vec<_>>().join("; "))
    }
}

/// Where a server is that nobody told of.
fn by_name(domain: &str) -> Vec<(Target, u32)> {
    let way = |scheme, port| Target::from(Way { scheme, host: domain.into(), port });
    vec![(way(Scheme::Http, HTTP_PORT), 0), (way(Scheme::Udp, UDP_PORT), 1)]
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WellKnown => "/.well-known/waypost",
            Self::Srv => "SRV records",
            Self::Name => "the name itself",
        })
    }
}

#[cfg(test)]
mod tests;
