//! SRV records (RFC 2782): who serves a domain, and in which order they are tried.

use crate::client::url::{MAX_HOST_BYTES, Scheme, Target, Way};
use crate::endpoint::is_host_name;
use crate::rng::Rng;

/// What stands before a domain in the name of its SRV records.
const SERVICE: &str = "_waypost._tcp";
/// The port on which TLS is spoken; on any other it is plain HTTP.
const HTTPS_PORT: u16 = 443;
/// Most records of one domain that are kept.
pub(super) const MAX_RECORDS: usize = 32;

/// One SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrvRecord {
    /// Lower ones are tried first.
    pub priority: u16,
    /// How often it comes first among those of its priority.
    pub weight: u16,
    /// The port, 1..=65535.
    pub port: u16,
    /// The host, in lower case.
    pub host: String,
}

/// What the zone of a domain says about the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Services {
    /// Who serves it: one record at least.
    At(Vec<SrvRecord>),
    /// It says that nobody does: its only target is `.`.
    Refused,
    /// It says nothing.
    None,
}

/// The name of a domain's SRV records.
pub fn service_name(domain: &str) -> String {
    format!("{SERVICE}.{domain}")
}

impl SrvRecord {
    /// The record, if its port and host can be connected to.
    pub(super) fn new(priority: u16, weight: u16, port: u16, host: &str) -> Option<Self> {
        let host = host.to_ascii_lowercase();
        let usable = port != 0 && host.len() <= MAX_HOST_BYTES && is_host_name(&host);
        usable.then_some(Self { priority, weight, port, host })
    }

    /// The way to it, as a server of `domain`, whose name its certificate must have and requests are for; with its priority.
    pub(super) fn target(self, domain: &str) -> (Target, u32) {
        let scheme = if self.port == HTTPS_PORT { Scheme::Https } else { Scheme::Http };
        let way = Way { scheme, host: domain.into(), port: self.port };
        (Target { way, via: Some((self.host, self.port)), pin: None }, self.priority.into())
    }
}

/// The records in the order in which they are tried: by priority, and in each one drawn by weight (RFC 2782, page 4).
pub(super) fn in_order(mut records: Vec<SrvRecord>, rng: &mut Rng) -> Vec<SrvRecord> {
    // Those of weight 0 stand first, and so are drawn only with a number of 0.
    records.sort_by_key(|record| (record.priority, record.weight != 0));
    let mut ordered = Vec::new();
    while let Some(priority) = records.first().map(|record| record.priority) {
        let same = records.iter().take_while(|record| record.priority == priority);
        let sums: Vec<u32> = same
            .scan(0_u32, |sum, record| {
                *sum = sum.saturating_add(record.weight.into());
                Some(*sum)
            })
            .collect();
        let total = sums.last().copied().unwrap_or(0);
        let drawn = rng.below(total.saturating_add(1));
        let place = sums.iter().position(|sum| *sum >= drawn).unwrap_or(0);
        ordered.push(records.remove(place));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::HashKey;

    fn record(priority: u16, weight: u16, host: &str) -> SrvRecord {
        SrvRecord::new(priority, weight, 8080, host).unwrap()
    }

    /// How often each host is the first and the second of these records, in 10,000 draws.
    fn places(records: &[SrvRecord], host: &str) -> [usize; 2] {
        let mut rng = Rng::new(HashKey::new([5; 16]));
        let mut counts = [0; 2];
        for _ in 0..10_000 {
            let ordered = in_order(records.to_vec(), &mut rng);
            assert_eq!(ordered.len(), records.len());
            let place = ordered.iter().position(|record| record.host == host).unwrap();
            counts.get_mut(place).into_iter().for_each(|count| *count += 1);
        }
        counts
    }

    #[test]
    fn priorities_come_in_order_and_weights_by_chance() {
        let records = [record(20, 9, "last"), record(10, 30, "heavy"), record(10, 10, "light")];
        assert_eq!(places(&records, "last"), [0, 0]);
        let [first, second] = places(&records, "heavy");
        // A number of 0..=40 is drawn, and up to 30 it is "heavy".
        assert!((7400..7720).contains(&first) && first + second == 10_000, "{first}");
        let zero = [record(1, 0, "zero"), record(1, 9, "nine")];
        let [first, _] = places(&zero, "zero");
        assert!((850..1150).contains(&first), "one in ten: {first}");
        let none = [record(1, 0, "a"), record(1, 0, "b")];
        assert_eq!(places(&none, "a"), [10_000, 0]);
        assert!(in_order(Vec::new(), &mut Rng::new(HashKey::new([5; 16]))).is_empty());
    }

    #[test]
    fn weights_cannot_overflow() {
        let records = vec![record(1, u16::MAX, "a"); MAX_RECORDS];
        assert_eq!(in_order(records, &mut Rng::new(HashKey::new([5; 16]))).len(), MAX_RECORDS);
    }

    #[test]
    fn a_target_keeps_the_name_of_the_domain() {
        let target = SrvRecord::new(0, 0, 443, "Host.Example.NET").unwrap().target("example.com").0;
        assert_eq!(target.way.to_string(), "https://example.com");
        assert_eq!(target.via, Some(("host.example.net".into(), 443)));
        let target = record(0, 0, "host.example.net").target("example.com").0;
        assert_eq!(target.way.to_string(), "http://example.com:8080");
        for (port, host) in [(0, "a"), (1, ""), (1, "."), (1, "a b"), (1, "1.2.3.4"), (1, "a.")] {
            assert_eq!(SrvRecord::new(0, 0, port, host), None, "{host}");
        }
    }
}
