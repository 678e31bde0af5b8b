//! What one server has been told, by its own answers: the naive model that all it says is held against.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// How late a server may sweep: it counts those it does not name any more.
const SWEPT_WITHIN_MS: u64 = 1500;

/// A registration that a server has confirmed.
#[derive(Clone, Debug)]
struct Entry {
    /// As text, those of the LAN last.
    endpoints: Vec<String>,
    seen_ms: u64,
    expires_ms: u64,
}

/// The registrations of one server since it started, by network and id. Times are the server's own.
#[derive(Default)]
pub(crate) struct Oracle {
    entries: BTreeMap<(String, String), Entry>,
}

impl Oracle {
    /// The server said that it has registered `id`.
    pub(crate) fn registered(
        &mut self,
        network: &str,
        id: &str,
        endpoints: Vec<String>,
        now_ms: u64,
        life_s: u64,
    ) {
        let entry = Entry { endpoints, seen_ms: now_ms, expires_ms: now_ms + life_s * 1000 };
        self.entries.insert((network.into(), id.into()), entry);
    }

    /// Whether `id` is there, with other endpoints than this one alone.
    pub(crate) fn is_of_another(&self, network: &str, id: &str, endpoint: &str, now_ms: u64) -> bool {
        let entry = self.entries.get(&(network.into(), id.into()));
        entry.is_some_and(|entry| now_ms < entry.expires_ms && entry.endpoints != [endpoint])
    }

    /// The server said that `id` has left.
    pub(crate) fn left(&mut self, network: &str, id: &str) {
        self.entries.remove(&(network.into(), id.into()));
    }

    /// The server names a peer to somebody who is not of its LAN.
    pub(crate) fn is_named(&self, network: &str, id: &str, endpoints: &[String], age_s: u64, now_ms: u64) {
        let entry = self.entries.get(&(network.into(), id.into()));
        let entry = entry.unwrap_or_else(|| panic!("{id} of {network} was never registered, or has left"));
        assert!(now_ms < entry.expires_ms, "{id} expired at {} and is named at {now_ms}", entry.expires_ms);
        assert_eq!(age_s, (now_ms - entry.seen_ms) / 1000, "the age of {id}");
        let public: Vec<&String> = entry.endpoints.iter().filter(|text| !text.contains("192.168.")).collect();
        assert_eq!(endpoints.iter().collect::<Vec<_>>(), public, "of {id}");
    }

    /// The server names a bare address.
    pub(crate) fn is_contact(&self, network: &str, contact: SocketAddr, now_ms: u64) {
        let suffix = format!("://{contact}");
        let known = self.entries.iter().any(|((of, _), entry)| {
            of == network
                && now_ms < entry.expires_ms
                && entry.endpoints.iter().any(|text| text.ends_with(&suffix))
        });
        assert!(known, "{contact} of {network} is named, and was not registered or is no longer there");
    }

    /// The ids of a network that must be there.
    pub(crate) fn live(&self, network: &str, now_ms: u64) -> BTreeSet<String> {
        let live = self.entries.iter().filter(|((of, _), entry)| of == network && now_ms < entry.expires_ms);
        live.map(|((_, id), _)| id.clone()).collect()
    }

    /// The server says how many peers it has.
    pub(crate) fn is_counted(&self, count: usize, now_ms: u64) {
        let most = self.entries.values().filter(|e| now_ms < e.expires_ms + SWEPT_WITHIN_MS).count();
        assert!(count <= most, "{count} peers, of {most} that were registered");
    }
}
