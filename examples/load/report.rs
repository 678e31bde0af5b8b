//! What was measured, as text.

use std::fmt;
use std::time::Duration;

use crate::histogram::Histogram;
use crate::process::Usage;

/// Sizes of answers that are told apart.
const MAX_SIZES: usize = 16;

/// What happened to the requests of one run.
pub(crate) struct Tally {
    /// Answers, refusals among them.
    pub(crate) answers: u64,
    /// Answers that are refusals.
    pub(crate) refusals: u64,
    /// Broken connections and lost datagrams.
    pub(crate) errors: u64,
    /// Connections opened anew.
    pub(crate) reconnects: u64,
    /// Bytes of all answers.
    pub(crate) bytes: u64,
    /// How many answers had each size, in the order they came up; no more sizes than these are told apart.
    pub(crate) sizes: Vec<(usize, u64)>,
    /// The first refusal or error.
    pub(crate) first_trouble: Option<String>,
    /// From request to answer.
    pub(crate) latency: Histogram,
}

impl Tally {
    /// Nothing happened yet.
    pub(crate) fn new() -> Self {
        Self {
            answers: 0,
            refusals: 0,
            errors: 0,
            reconnects: 0,
            bytes: 0,
            sizes: Vec::with_capacity(MAX_SIZES),
            first_trouble: None,
            latency: Histogram::new(),
        }
    }

    /// Counts an answer of `bytes` bytes.
    pub(crate) fn answer(&mut self, bytes: usize, latency: Duration) {
        self.answers += 1;
        self.bytes += bytes as u64;
        if let Some((_, count)) = self.sizes.iter_mut().find(|(size, _)| *size == bytes) {
            *count += 1;
        } else if self.sizes.len() < MAX_SIZES {
            self.sizes.push((bytes, 1));
        }
        self.latency.add(latency);
    }

    /// Takes the answer just counted for a refusal.
    pub(crate) fn refusal(&mut self, what: impl FnOnce() -> String) {
        self.refusals += 1;
        self.first_trouble.get_or_insert_with(what);
    }

    /// Counts an error.
    pub(crate) fn error(&mut self, what: impl FnOnce() -> String) {
        self.errors += 1;
        self.first_trouble.get_or_insert_with(what);
    }
}

/// One measurement.
pub(crate) struct Report {
    /// What happened.
    pub(crate) tally: Tally,
    /// How long it took.
    pub(crate) took: Duration,
    /// What the server had used before.
    pub(crate) before: Option<Usage>,
    /// What the server had used after.
    pub(crate) after: Option<Usage>,
    /// How long a spawned server took from start to first answer.
    pub(crate) start: Option<Duration>,
}

/// One line a figure: name, value, unit. Scripts read them.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tally = &self.tally;
        let answers = tally.answers.max(1) as f64;
        writeln!(f, "answers          {:>12}", tally.answers)?;
        writeln!(f, "refusals         {:>12}", tally.refusals)?;
        writeln!(f, "errors           {:>12}", tally.errors)?;
        if let Some(trouble) = &tally.first_trouble {
            writeln!(f, "first of these   {trouble}")?;
        }
        writeln!(f, "reconnects       {:>12}", tally.reconnects)?;
        writeln!(f, "answer size      {:>12.0} bytes", tally.bytes as f64 / answers)?;
        if tally.sizes.len() > 1 {
            write!(f, "of which")?;
            for (size, count) in &tally.sizes {
                write!(f, " {count} x {size}")?;
            }
            writeln!(f, " bytes")?;
        }
        writeln!(f, "rate             {:>12.0} /s", answers / self.took.as_secs_f64())?;
        writeln!(f, "latency p50      {:>12.1} us", micros(tally.latency.quantile(0.50)))?;
        writeln!(f, "latency p99      {:>12.1} us", micros(tally.latency.quantile(0.99)))?;
        if let (Some(before), Some(after)) = (&self.before, &self.after) {
            let cpu = after.cpu.saturating_sub(before.cpu);
            writeln!(f, "server cpu       {:>12.3} us/request", micros(cpu) / answers)?;
            writeln!(f, "server load      {:>12.0} %", 100.0 * cpu.as_secs_f64() / self.took.as_secs_f64())?;
            writeln!(f, "resident before  {:>12} KiB", before.resident_kib)?;
            writeln!(f, "resident after   {:>12} KiB", after.resident_kib)?;
            writeln!(f, "resident peak    {:>12} KiB", after.peak_kib)?;
        }
        if let Some(start) = self.start {
            writeln!(f, "start to answer  {:>12.1} us", micros(start))?;
        }
        Ok(())
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
