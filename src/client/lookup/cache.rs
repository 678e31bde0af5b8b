//! What was learnt of domains, and for how long it holds.
//!
//! All on the monotonic clock. `/.well-known/waypost` is kept as `Cache-Control` says, a day if it says nothing, two days at
//! most; that it could not be had, a minute, twice as long after each further time, an hour at most. SRV records are kept
//! for their lifetime, within half a minute and a day; that there are none, an hour at most.

use std::collections::BTreeMap;

use super::srv::Services;
use crate::client::failure::Failure;
use crate::client::http::Caching;
use crate::client::message::WellKnown;
use crate::time::Instant;

/// Most domains that are kept.
const MAX_DOMAINS: usize = 64;
/// How long a well-known document is kept if it does not say so, and at most, in seconds (WIRE.md section 9).
const WELL_KNOWN_S: u32 = 24 * 3600;
const MAX_WELL_KNOWN_S: u32 = 48 * 3600;
/// How long it is kept that there is none: at first, and at most, in seconds.
const FIRST_BACKOFF_S: u32 = 60;
const MAX_BACKOFF_S: u32 = 3600;
/// How long SRV records are kept at least and at most, in seconds.
const MIN_SRV_S: u32 = 30;
const MAX_SRV_S: u32 = 24 * 3600;
/// How long it is kept at most that there are none, in seconds.
const MAX_NO_SRV_S: u32 = 3600;

/// What was learnt of domains.
#[derive(Debug, Default)]
pub struct Cache(BTreeMap<String, Entry>);

/// What was learnt of one.
#[derive(Debug, Default)]
struct Entry {
    well_known: Option<Kept<Result<WellKnown, Failure>>>,
    /// How long the next failure is kept, in seconds; 0 = for the first time.
    backoff_s: u32,
    services: Option<Kept<Result<Services, Failure>>>,
}

#[derive(Debug)]
struct Kept<T> {
    value: T,
    until: Instant,
}

impl<T: Clone> Kept<T> {
    fn at(&self, now: Instant) -> Option<T> {
        (now < self.until).then(|| self.value.clone())
    }
}

impl Cache {
    /// The well-known document of a domain, or why it could not be had, if that still holds.
    pub fn well_known(&self, now: Instant, domain: &str) -> Option<Result<WellKnown, Failure>> {
        self.0.get(domain)?.well_known.as_ref()?.at(now)
    }

    /// What the zone of a domain says, if that still holds.
    pub fn services(&self, now: Instant, domain: &str) -> Option<Result<Services, Failure>> {
        self.0.get(domain)?.services.as_ref()?.at(now)
    }

    /// Keeps the well-known document of a domain, or why it could not be had.
    pub fn keep_well_known(
        &mut self,
        now: Instant,
        domain: &str,
        answer: &Result<(WellKnown, Caching), Failure>,
    ) {
        let entry = self.entry(domain);
        let (value, life_s) = match answer {
            Ok((well_known, caching)) => {
                entry.backoff_s = 0;
                let life_s = caching.max_age_s.unwrap_or(WELL_KNOWN_S).min(MAX_WELL_KNOWN_S);
                (Ok(well_known.clone()), if caching.no_store { 0 } else { life_s })
            }
            Err(failure) => {
                let life_s = entry.backoff_s.clamp(FIRST_BACKOFF_S, MAX_BACKOFF_S);
                entry.backoff_s = life_s.saturating_mul(2);
                (Err(failure.clone()), life_s)
            }
        };
        entry.well_known = Some(Kept { value, until: now.plus_s(life_s) });
    }

    /// Keeps what the zone of a domain says, with its lifetime in seconds, or why it could not be asked.
    pub fn keep_services(
        &mut self,
        now: Instant,
        domain: &str,
        answer: &Result<(Services, Option<u32>), Failure>,
    ) {
        let entry = self.entry(domain);
        let (value, life_s) = match answer {
            Ok((Services::None, ttl_s)) => {
                (Ok(Services::None), ttl_s.unwrap_or(0).clamp(MIN_SRV_S, MAX_NO_SRV_S))
            }
            Ok((services, ttl_s)) => (Ok(services.clone()), ttl_s.unwrap_or(0).clamp(MIN_SRV_S, MAX_SRV_S)),
            Err(failure) => (Err(failure.clone()), MIN_SRV_S),
        };
        entry.services = Some(Kept { value, until: now.plus_s(life_s) });
    }

    /// Forgets what a domain said: what it led to is something else. What could not be had stays so for its time, or whoever
    /// comes again and again would ask each time.
    pub fn forget(&mut self, domain: &str) {
        let Some(entry) = self.0.get_mut(domain) else { return };
        entry.well_known.take_if(|kept| kept.value.is_ok());
        entry.services.take_if(|kept| kept.value.is_ok());
        if entry.well_known.is_none() && entry.services.is_none() {
            self.0.remove(domain);
        }
    }

    /// The place of a domain. The one that is the first to be outdated makes room for a new one.
    fn entry(&mut self, domain: &str) -> &mut Entry {
        if self.0.len() >= MAX_DOMAINS && !self.0.contains_key(domain) {
            let first = self.0.iter().min_by_key(|(_, entry)| entry.until()).map(|(name, _)| name.clone());
            first.and_then(|name| self.0.remove(&name));
        }
        self.0.entry(domain.into()).or_default()
    }
}

impl Entry {
    /// Until when anything of it holds.
    fn until(&self) -> Option<Instant> {
        let well_known = self.well_known.as_ref().map(|kept| kept.until);
        well_known.max(self.services.as_ref().map(|kept| kept.until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::lookup::srv::SrvRecord;

    const DAY_S: u64 = 24 * 3600;

    fn at(s: u64) -> Instant {
        Instant::from_s(s)
    }

    /// For how many seconds an answer with this `Cache-Control` is kept.
    fn kept_s(max_age_s: Option<u32>, no_store: bool) -> u64 {
        let mut cache = Cache::default();
        let answer = Ok((WellKnown::default(), Caching { max_age_s, no_store }));
        cache.keep_well_known(at(5), "a.example", &answer);
        let holds = |s: &u64| cache.well_known(at(5 + *s), "a.example").is_some();
        assert!(cache.well_known(at(5), "b.example").is_none());
        (0..3 * DAY_S).step_by(60).take_while(holds).count() as u64 * 60
    }

    #[test]
    fn documents_are_kept_as_they_say() {
        assert_eq!(kept_s(None, false), DAY_S);
        assert_eq!(kept_s(Some(600), false), 600);
        assert_eq!(kept_s(Some(u32::MAX), false), 2 * DAY_S);
        assert_eq!(kept_s(Some(0), false), 0);
        assert_eq!(kept_s(Some(600), true), 0);
        assert_eq!(kept_s(None, true), 0);
    }

    #[test]
    fn failures_are_kept_twice_as_long_each_time() {
        let mut cache = Cache::default();
        let mut now = at(0);
        let mut lives = Vec::new();
        for _ in 0..9 {
            cache.keep_well_known(now, "a.example", &Err(Failure::Status(404)));
            let end = (1..9000).find(|s| cache.well_known(now.plus_s(*s), "a.example").is_none()).unwrap();
            assert_eq!(cache.well_known(now, "a.example"), Some(Err(Failure::Status(404))));
            lives.push(end);
            now = now.plus_s(end);
        }
        assert_eq!(lives, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
        cache.keep_well_known(now, "a.example", &Ok((WellKnown::default(), Caching::default())));
        cache.keep_well_known(now, "a.example", &Err(Failure::TimedOut));
        assert!(cache.well_known(now.plus_s(59), "a.example").is_some());
        assert!(cache.well_known(now.plus_s(60), "a.example").is_none(), "from the beginning");
    }

    #[test]
    fn records_are_kept_for_their_lifetime() {
        let found = Services::At(vec![SrvRecord::new(0, 0, 443, "a.example").unwrap()]);
        for (answer, life_s) in [
            (Ok((found.clone(), Some(300))), 300),
            (Ok((found.clone(), Some(0))), 30),
            (Ok((found.clone(), Some(u32::MAX))), 86_400),
            (Ok((Services::Refused, Some(90_000))), 86_400),
            (Ok((Services::None, Some(600))), 600),
            (Ok((Services::None, Some(90_000))), 3600),
            (Ok((Services::None, None)), 30),
            (Err(Failure::TimedOut), 30),
        ] {
            let mut cache = Cache::default();
            cache.keep_services(at(7), "a.example", &answer);
            let kept = Some(answer.map(|(services, _)| services));
            assert_eq!(cache.services(at(7).plus_s(life_s - 1), "a.example"), kept);
            assert_eq!(cache.services(at(7).plus_s(life_s), "a.example"), None);
            assert_eq!(cache.well_known(at(7), "a.example"), None, "and nothing else");
        }
    }

    #[test]
    fn what_a_domain_said_is_forgotten_and_what_failed_is_not() {
        let mut cache = Cache::default();
        let document = Ok((WellKnown::default(), Caching::default()));
        cache.keep_services(at(0), "a.example", &Ok((Services::Refused, Some(60))));
        cache.keep_well_known(at(0), "a.example", &document);
        cache.keep_services(at(0), "b.example", &Ok((Services::None, Some(60))));
        cache.keep_well_known(at(0), "b.example", &Err(Failure::Status(404)));
        ["a.example", "b.example", "c.example"].into_iter().for_each(|domain| cache.forget(domain));
        assert_eq!((cache.well_known(at(0), "a.example"), cache.services(at(0), "a.example")), (None, None));
        assert_eq!(cache.services(at(0), "b.example"), None);
        assert_eq!(cache.well_known(at(59), "b.example"), Some(Err(Failure::Status(404))));
        cache.keep_well_known(at(60), "b.example", &Err(Failure::Status(404)));
        assert!(cache.well_known(at(179), "b.example").is_some(), "twice as long");
        assert_eq!(cache.0.len(), 1);
    }

    #[test]
    fn only_so_many_domains_are_kept() {
        let mut cache = Cache::default();
        let keep = |cache: &mut Cache, n: u32, max_age_s| {
            let caching = Caching { max_age_s: Some(max_age_s), no_store: false };
            cache.keep_well_known(at(0), &format!("{n}.example"), &Ok((WellKnown::default(), caching)));
        };
        for n in 0..200 {
            keep(&mut cache, n, 1000 - n);
        }
        assert_eq!(cache.0.len(), MAX_DOMAINS);
        let holds = |cache: &Cache, n: u32| cache.well_known(at(0), &format!("{n}.example")).is_some();
        assert!(holds(&cache, 0) && holds(&cache, 62) && holds(&cache, 199), "those that hold longest");
        assert!(!holds(&cache, 63) && !holds(&cache, 198));
        keep(&mut cache, 0, 9);
        assert_eq!(cache.0.len(), MAX_DOMAINS, "a domain has one place");
        cache.forget("1.example");
        assert!(!holds(&cache, 1) && cache.0.len() == MAX_DOMAINS - 1);
    }
}
