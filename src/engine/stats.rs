//! Counters: plain integers, no addresses, no ids, no network names.

use super::request::{Event, Track};
use super::{Error, Protocol, Request};
use crate::time::Instant;

/// Seconds that rates and "lately" look back over.
const WINDOW_S: u64 = 60;
/// One bucket for each of them.
const BUCKETS: usize = 60;

/// What a request was, for statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Are you there? Also the connect request of the UDP tracker protocol, and a STUN binding request.
    Ping,
    /// Which nodes do you know?
    FindNode,
    /// What would an announce cost?
    Challenge,
    /// Who is there?
    Peers,
    /// How many are there?
    Scrape,
    /// Here I am.
    Announce,
    /// I am going.
    Leave,
    /// Health, metrics and pages: asked of the server, not of a network.
    Page,
    /// Nothing that is answered.
    Malformed,
}

impl Kind {
    /// Names of all kinds, in the order of their discriminants.
    pub const NAMES: [&'static str; 9] =
        ["ping", "find_node", "challenge", "peers", "scrape", "announce", "leave", "page", "malformed"];

    const fn of(request: &Request<'_>) -> Self {
        match request {
            Request::Ping => Self::Ping,
            Request::Challenge(_) => Self::Challenge,
            Request::FindNode => Self::FindNode,
            Request::Peers(_) | Request::Contacts(..) => Self::Peers,
            Request::Count(_) => Self::Scrape,
            Request::Track(Track { event: Event::Stopped, .. }) | Request::Leave(_) => Self::Leave,
            Request::Track(_) | Request::Announce(_) => Self::Announce,
        }
    }
}

/// Why a datagram got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Longer than any protocol needs.
    TooLong,
    /// From an address or a port that no client has.
    BadSource,
    /// Not a message of any protocol.
    Malformed,
    /// An answer, and nothing had been asked.
    NotARequest,
    /// Too many requests from there.
    RateLimited,
    /// Without a token, and no answer is short enough.
    Unproven,
    /// The unproven have got what they may get in this second, and the answer would be longer than the request.
    Egress,
}

impl DropReason {
    /// Names of all reasons, in the order of their discriminants.
    pub const NAMES: [&'static str; 7] =
        ["too_long", "bad_source", "malformed", "not_a_request", "rate_limited", "unproven", "egress"];
}

/// How an HTTP connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The client closed it, or went away.
    ByClient,
    /// Served in full: the client asked for the close, or the connection had its share of requests or time.
    Served,
    /// A request whose framing could not be trusted.
    Refused,
    /// Idle between requests for too long.
    Idle,
    /// A request that did not come in time.
    SlowRequest,
    /// A response that was not taken in time.
    SlowReader,
    /// Too slow to keep its place while others waited for one.
    Displaced,
    /// The server is stopping.
    Shutdown,
}

impl Ending {
    /// Names of all endings, in the order of their discriminants.
    pub const NAMES: [&'static str; 8] =
        ["by_client", "served", "refused", "idle", "slow_request", "slow_reader", "displaced", "shutdown"];
}

/// HTTP statuses this server sends.
pub const STATUSES: [u16; 18] =
    [200, 204, 400, 403, 404, 405, 409, 411, 413, 414, 415, 417, 428, 429, 431, 501, 503, 505];

/// Counts what happens. Every count is since the start of the server.
pub struct Stats {
    requests: [[u64; Kind::NAMES.len()]; Protocol::NAMES.len()],
    refusals: [[u64; Error::WORDS.len()]; Protocol::NAMES.len()],
    registered: u64,
    refreshed: u64,
    worked: u64,
    verified: u64,
    dropped: [u64; DropReason::NAMES.len()],
    shortened: u64,
    datagrams: Traffic,
    http: Traffic,
    responses: [u64; STATUSES.len()],
    connections: u64,
    endings: [u64; Ending::NAMES.len()],
    rate: Rate,
    limits_hit_at: Option<Instant>,
}

/// Messages and bytes of one transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
}

impl Stats {
    /// All zero.
    pub const fn new() -> Self {
        Self {
            requests: [[0; Kind::NAMES.len()]; Protocol::NAMES.len()],
            refusals: [[0; Error::WORDS.len()]; Protocol::NAMES.len()],
            registered: 0,
            refreshed: 0,
            worked: 0,
            verified: 0,
            dropped: [0; DropReason::NAMES.len()],
            shortened: 0,
            datagrams: Traffic { received_bytes: 0, sent_bytes: 0 },
            http: Traffic { received_bytes: 0, sent_bytes: 0 },
            responses: [0; STATUSES.len()],
            connections: 0,
            endings: [0; Ending::NAMES.len()],
            rate: Rate::new(),
            limits_hit_at: None,
        }
    }

    /// Counts a request.
    pub fn count_request(&mut self, now: Instant, protocol: Protocol, request: &Request<'_>) {
        self.count_kind(now, protocol, Kind::of(request));
    }

    /// Counts a request of this kind.
    pub fn count_kind(&mut self, now: Instant, protocol: Protocol, kind: Kind) {
        self.rate.count(now);
        if let Some(kinds) = self.requests.get_mut(protocol as usize) {
            bump(kinds, kind as usize);
        }
    }

    /// Counts what became of a request: done, or refused with an error.
    pub fn count_outcome(&mut self, now: Instant, protocol: Protocol, error: Option<&Error>) {
        let Some(error) = error else { return };
        if matches!(error, Error::TableFull | Error::RateLimited { .. }) {
            self.limits_hit_at = Some(now);
        }
        if let Some(words) = self.refusals.get_mut(protocol as usize) {
            bump(words, error.index());
        }
    }

    /// Counts a request of this kind that is refused before it is asked of the engine.
    pub fn count_refused(&mut self, now: Instant, protocol: Protocol, kind: Kind, error: &Error) {
        self.count_kind(now, protocol, kind);
        self.count_outcome(now, protocol, Some(error));
    }

    /// Counts a successful announce: `new`, or a refresh.
    pub const fn count_registration(&mut self, new: bool) {
        let counter = if new { &mut self.registered } else { &mut self.refreshed };
        *counter = counter.saturating_add(1);
    }

    /// Counts work that was as asked for.
    pub const fn count_work(&mut self) {
        self.worked = self.worked.saturating_add(1);
    }

    /// Counts a signature that is verified, whatever comes of it.
    pub const fn count_verification(&mut self) {
        self.verified = self.verified.saturating_add(1);
    }

    /// Counts a datagram that got no answer.
    pub fn count_dropped(&mut self, reason: DropReason) {
        bump(&mut self.dropped, reason as usize);
    }

    /// Counts an answer that held less because the unproven had got what they may get in this second.
    pub const fn count_shortened(&mut self) {
        self.shortened = self.shortened.saturating_add(1);
    }

    /// Counts the bytes of a datagram and of its answer, 0 if there is none.
    pub fn count_datagram(&mut self, received: usize, sent: usize) {
        self.datagrams.add(received, sent);
    }

    /// Counts bytes of HTTP connections.
    pub fn count_http_bytes(&mut self, received: usize, sent: usize) {
        self.http.add(received, sent);
    }

    /// Counts an HTTP response.
    pub fn count_response(&mut self, status: u16) {
        if let Some(at) = STATUSES.iter().position(|&s| s == status) {
            bump(&mut self.responses, at);
        }
    }

    /// Counts an accepted HTTP connection.
    pub const fn count_connection(&mut self) {
        self.connections = self.connections.saturating_add(1);
    }

    /// Counts the end of an HTTP connection.
    pub fn count_ending(&mut self, ending: Ending) {
        bump(&mut self.endings, ending as usize);
    }

    /// Moves the window of the rate on, so that it falls when nothing comes in.
    pub fn tick(&mut self, now: Instant) {
        self.rate.advance(now);
    }

    /// Announces of newcomers that had done the work asked for.
    pub const fn worked(&self) -> u64 {
        self.worked
    }

    /// Signatures that were verified, or found wrong.
    pub const fn verified(&self) -> u64 {
        self.verified
    }

    /// Requests by protocol and kind, with the names of both.
    pub fn requests(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let rows = Protocol::NAMES.iter().zip(&self.requests);
        rows.flat_map(|(&protocol, row)| Kind::NAMES.iter().zip(row).map(move |(&k, &n)| (protocol, k, n)))
    }

    /// Refusals by protocol and error word, with the names of both.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let rows = Protocol::NAMES.iter().zip(&self.refusals);
        rows.flat_map(|(&protocol, row)| Error::WORDS.iter().zip(row).map(move |(&w, &n)| (protocol, w, n)))
    }

    /// All requests.
    pub fn total_requests(&self) -> u64 {
        self.requests.iter().flatten().fold(0, |sum, &n| sum.saturating_add(n))
    }

    /// Requests in the last minute.
    pub const fn requests_per_minute(&self) -> u64 {
        self.rate.total
    }

    /// Whether somebody was refused for lack of room or by a limit within the last minute.
    pub fn limits_bite(&self, now: Instant) -> bool {
        self.limits_hit_at.is_some_and(|at| now.s_since(at) < WINDOW_S)
    }

    /// Successful announces: of new peers, and refreshes.
    pub const fn registrations(&self) -> (u64, u64) {
        (self.registered, self.refreshed)
    }

    /// Datagrams without an answer, with the names of the reasons.
    pub fn dropped(&self) -> impl Iterator<Item = (&'static str, u64)> {
        DropReason::NAMES.iter().copied().zip(self.dropped.iter().copied())
    }

    /// Answers that held less because the unproven had got what they may get in a second.
    pub const fn shortened(&self) -> u64 {
        self.shortened
    }

    /// Bytes of UDP payload.
    pub const fn datagrams(&self) -> Traffic {
        self.datagrams
    }

    /// Bytes of HTTP connections.
    pub const fn http(&self) -> Traffic {
        self.http
    }

    /// HTTP responses by status.
    pub fn responses(&self) -> impl Iterator<Item = (u16, u64)> {
        STATUSES.iter().copied().zip(self.responses.iter().copied())
    }

    /// HTTP connections accepted.
    pub const fn connections(&self) -> u64 {
        self.connections
    }

    /// HTTP connections ended, with the names of the ways.
    pub fn endings(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Ending::NAMES.iter().copied().zip(self.endings.iter().copied())
    }
}

impl Default for Stats {
    fn default() -> Self {
        Self::new()
    }
}

impl Traffic {
    fn add(&mut self, received: usize, sent: usize) {
        // No platform has a usize of more than 64 bits.
        let wide = |n| u64::try_from(n).unwrap_or(u64::MAX);
        self.received_bytes = self.received_bytes.saturating_add(wide(received));
        self.sent_bytes = self.sent_bytes.saturating_add(wide(sent));
    }
}

fn bump(counters: &mut [u64], at: usize) {
    if let Some(counter) = counters.get_mut(at) {
        *counter = counter.saturating_add(1);
    }
}

/// Events in the last minute: one bucket a second, in a ring.
struct Rate {
    buckets: [u32; BUCKETS],
    /// The second of the newest bucket.
    second: u64,
    /// Sum of the buckets.
    total: u64,
}

impl Rate {
    const fn new() -> Self {
        Self { buckets: [0; BUCKETS], second: 0, total: 0 }
    }

    fn count(&mut self, now: Instant) {
        self.advance(now);
        if let Some(bucket) = self.buckets.get_mut(Self::place(self.second)) {
            *bucket = bucket.saturating_add(1);
            self.total = self.total.saturating_add(1);
        }
    }

    /// Empties the buckets of the seconds that have passed, at most all of them.
    fn advance(&mut self, now: Instant) {
        let passed = now.as_s().saturating_sub(self.second);
        for step in 1..=passed.min(WINDOW_S) {
            let place = Self::place(self.second.saturating_add(step));
            if let Some(bucket) = self.buckets.get_mut(place) {
                self.total = self.total.saturating_sub(u64::from(*bucket));
                *bucket = 0;
            }
        }
        self.second = self.second.max(now.as_s());
    }

    fn place(second: u64) -> usize {
        usize::try_from(second % WINDOW_S).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Instant {
        Instant::from_s(s)
    }

    #[test]
    fn every_name_has_its_counter() {
        assert_eq!(Kind::NAMES[Kind::Malformed as usize], "malformed");
        assert_eq!(DropReason::NAMES[DropReason::Unproven as usize], "unproven");
        assert_eq!(Ending::NAMES[Ending::Shutdown as usize], "shutdown");
        assert_eq!(Protocol::NAMES[Protocol::Http as usize], "http");
        assert_eq!(Protocol::NAMES[Protocol::UdpJson as usize], "udp_json");
    }

    #[test]
    fn requests_are_counted_by_protocol_and_kind() {
        let mut stats = Stats::new();
        stats.count_request(at(1), Protocol::UdpJson, &Request::Ping);
        stats.count_kind(at(1), Protocol::Http, Kind::Page);
        stats.count_kind(at(1), Protocol::Http, Kind::Page);
        let seen: Vec<_> = stats.requests().filter(|r| r.2 != 0).collect();
        assert_eq!(seen, [("http", "page", 2), ("udp_json", "ping", 1)]);
        assert_eq!(stats.total_requests(), 3);
    }

    #[test]
    fn refusals_are_counted_by_word() {
        let mut stats = Stats::new();
        stats.count_outcome(at(1), Protocol::Http, None);
        stats.count_outcome(at(1), Protocol::Http, Some(&Error::IdTaken));
        let seen: Vec<_> = stats.refusals().filter(|r| r.2 != 0).collect();
        assert_eq!(seen, [("http", "id_taken", 1)]);
        assert!(!stats.limits_bite(at(1)));
    }

    #[test]
    fn limits_bite_for_a_minute() {
        let mut stats = Stats::new();
        stats.count_outcome(at(100), Protocol::Http, Some(&Error::TableFull));
        assert!(stats.limits_bite(at(100)) && stats.limits_bite(at(159)));
        assert!(!stats.limits_bite(at(160)));
        stats.count_outcome(at(200), Protocol::UdpJson, Some(&Error::RateLimited { retry_after_s: 1 }));
        assert!(stats.limits_bite(at(201)));
    }

    #[test]
    fn the_rate_is_of_the_last_minute() {
        let mut stats = Stats::new();
        for s in 0..100 {
            stats.count_kind(at(s), Protocol::Http, Kind::Page);
        }
        assert_eq!(stats.requests_per_minute(), 60);
        stats.tick(at(99 + 59));
        assert_eq!(stats.requests_per_minute(), 1);
        stats.tick(at(99 + 60));
        assert_eq!(stats.requests_per_minute(), 0);
        stats.count_kind(at(1_000_000), Protocol::Http, Kind::Page);
        stats.tick(at(999_999));
        assert_eq!(stats.requests_per_minute(), 1);
        stats.tick(at(u64::MAX / 1000));
        assert_eq!(stats.requests_per_minute(), 0);
    }

    #[test]
    fn every_error_has_a_status_that_is_counted() {
        for error in [
            Error::BadJson,
            Error::EndpointNotYours,
            Error::IdTaken,
            Error::BadPow,
            Error::RateLimited { retry_after_s: 1 },
            Error::TableFull,
            Error::TooLarge,
        ] {
            assert!(STATUSES.contains(&error.meaning().status), "{error}");
        }
    }

    #[test]
    fn only_known_statuses_are_counted() {
        let mut stats = Stats::new();
        stats.count_response(404);
        stats.count_response(999);
        assert_eq!(stats.responses().filter(|r| r.1 != 0).collect::<Vec<_>>(), [(404, 1)]);
    }
}
