//! Latencies, counted in buckets that grow with the value.

use std::time::Duration;

/// Buckets for each doubling: a quantile is at most 1/16 too high.
const STEPS: usize = 16;
/// Buckets for all 64 bits of nanoseconds.
const BUCKETS: usize = 64 * STEPS;

/// How often each latency was seen. Counting neither allocates nor sorts.
pub(crate) struct Histogram {
    counts: Box<[u64; BUCKETS]>,
}

impl Histogram {
    /// Nothing seen yet.
    pub(crate) fn new() -> Self {
        Self { counts: Box::new([0; BUCKETS]) }
    }

    /// Counts one latency.
    pub(crate) fn add(&mut self, latency: Duration) {
        self.counts[bucket(latency.as_nanos() as u64)] += 1;
    }

    /// The latency that the share `share` (0.0..=1.0) of all does not exceed; zero if there is none.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let total: u64 = self.counts.iter().sum();
        let rank = (total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(upper_edge(at));
            }
        }
        Duration::ZERO
    }
}

/// The bucket of a value: its highest bit, then the four bits after it.
fn bucket(ns: u64) -> usize {
    if ns < STEPS as u64 {
        return ns as usize;
    }
    let doubling = ns.ilog2() as usize;
    let step = (ns >> (doubling - 4)) as usize - STEPS;
    (doubling - 3) * STEPS + step
}

/// The highest value of a bucket.
fn upper_edge(bucket: usize) -> u64 {
    if bucket < STEPS {
        return bucket as u64;
    }
    let doubling = bucket / STEPS + 3;
    let width = 1 << (doubling - 4);
    ((bucket % STEPS + STEPS) as u64) * width + (width - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_in_its_bucket() {
        for ns in (0..5000).chain([1 << 20, (1 << 40) + 12_345, u64::MAX / 3]) {
            let edge = upper_edge(bucket(ns));
            assert!(edge >= ns && edge - ns <= ns / 16, "{ns}: {edge}");
            assert!(bucket(ns) == 0 || upper_edge(bucket(ns) - 1) < ns, "{ns}");
        }
    }

    #[test]
    fn quantiles() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile(0.5), Duration::ZERO);
        (1..=10).for_each(|ns| histogram.add(Duration::from_nanos(ns)));
        assert_eq!(histogram.quantile(0.5), Duration::from_nanos(5));
        assert_eq!(histogram.quantile(0.99), Duration::from_nanos(10));
    }
}
