//! `GET /metrics`: the counters as Prometheus text, format 0.0.4. No addresses, no ids, no networks.

use super::bodies::VERSION;
use crate::engine::Engine;
use crate::time::Instant;
use crate::wire::{Full, Writer};

/// Writes all metrics.
///
/// # Errors
/// [`Full`] if they do not fit.
pub(super) fn put(out: &mut Writer<'_>, now: Instant, engine: &Engine<'_>) -> Result<(), Full> {
    let mut out = Exposition(out);
    out.family("waypost_build_info", Type::Gauge, "The program's version.")?;
    out.labelled("waypost_build_info", &[("version", VERSION)], 1)?;
    out.gauge("waypost_uptime_seconds", "Time since the start.", now.as_s())?;
    out.gauge("waypost_resident_memory_bytes", "Memory in use.", engine.resident_bytes)?;
    put_table(&mut out, engine)?;
    put_requests(&mut out, engine)?;
    put_datagrams(&mut out, engine)?;
    put_dht(&mut out, now, engine)?;
    put_http(&mut out, engine)
}

fn put_table(out: &mut Exposition<'_, '_>, engine: &Engine<'_>) -> Result<(), Full> {
    let (registered, refreshed) = engine.stats.registrations();
    out.gauge("waypost_peers", "Peers in the table.", wide(engine.peers.len()))?;
    out.gauge("waypost_peers_active", "Peers seen in the last five minutes.", wide(engine.peers.active()))?;
    out.gauge("waypost_peers_capacity", "Places in the table.", wide(engine.peers.capacity()))?;
    out.counter("waypost_registrations_total", "Announces of new peers.", registered)?;
    out.counter("waypost_refreshes_total", "Announces of peers already there.", refreshed)?;
    out.gauge("waypost_pow_difficulty", "Bits of work that a newcomer is asked for.", engine.price().into())?;
    out.counter("waypost_pow_accepted_total", "Newcomers that had done their work.", engine.stats.worked())?;
    out.counter(
        "waypost_signatures_checked_total",
        "Signatures of records checked.",
        engine.stats.verified(),
    )?;
    out.counter("waypost_evictions_total", "Peers that made room for others.", engine.peers.evictions())?;
    out.counter("waypost_expirations_total", "Peers that expired.", engine.peers.expirations())
}

fn put_requests(out: &mut Exposition<'_, '_>, engine: &Engine<'_>) -> Result<(), Full> {
    out.family("waypost_requests_total", Type::Counter, "Requests by protocol and kind.")?;
    for (protocol, kind, n) in engine.stats.requests() {
        out.labelled("waypost_requests_total", &[("protocol", protocol), ("kind", kind)], n)?;
    }
    out.family("waypost_refusals_total", Type::Counter, "Refused requests by protocol and error.")?;
    for (protocol, word, n) in engine.stats.refusals().filter(|&(_, _, n)| n > 0) {
        out.labelled("waypost_refusals_total", &[("protocol", protocol), ("error", word)], n)?;
    }
    let rate = engine.stats.requests_per_minute();
    out.gauge("waypost_requests_last_minute", "Requests in the last minute.", rate)
}

fn put_datagrams(out: &mut Exposition<'_, '_>, engine: &Engine<'_>) -> Result<(), Full> {
    out.family("waypost_datagrams_dropped_total", Type::Counter, "Datagrams without an answer, by reason.")?;
    for (reason, n) in engine.stats.dropped() {
        out.labelled("waypost_datagrams_dropped_total", &[("reason", reason)], n)?;
    }
    let shortened = engine.stats.shortened();
    out.counter("waypost_udp_shortened_total", "Answers cut to the length of their request.", shortened)?;
    let bytes = engine.stats.datagrams();
    out.counter("waypost_udp_received_bytes_total", "Bytes of datagrams received.", bytes.received_bytes)?;
    out.counter("waypost_udp_sent_bytes_total", "Bytes of datagrams sent.", bytes.sent_bytes)
}

fn put_dht(out: &mut Exposition<'_, '_>, now: Instant, engine: &Engine<'_>) -> Result<(), Full> {
    out.gauge("waypost_dht_nodes", "Nodes of the DHT that have answered lately.", wide(engine.dht.len(now)))?;
    out.counter("waypost_dht_queries_total", "Queries sent to nodes of the DHT.", engine.dht.queries())
}

fn put_http(out: &mut Exposition<'_, '_>, engine: &Engine<'_>) -> Result<(), Full> {
    out.counter("waypost_http_connections_total", "Connections accepted.", engine.stats.connections())?;
    out.family("waypost_http_connections_ended_total", Type::Counter, "Connections ended, by how.")?;
    for (ending, n) in engine.stats.endings() {
        out.labelled("waypost_http_connections_ended_total", &[("how", ending)], n)?;
    }
    out.family("waypost_http_responses_total", Type::Counter, "Responses by status.")?;
    for (status, n) in engine.stats.responses().filter(|&(_, n)| n > 0) {
        out.status("waypost_http_responses_total", status, n)?;
    }
    let bytes = engine.stats.http();
    out.counter("waypost_http_received_bytes_total", "Bytes of requests received.", bytes.received_bytes)?;
    out.counter("waypost_http_sent_bytes_total", "Bytes of responses sent.", bytes.sent_bytes)
}

fn wide(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// A text in exposition format under way.
struct Exposition<'o, 'b>(&'o mut Writer<'b>);

#[derive(Clone, Copy)]
enum Type {
    Counter,
    Gauge,
}

impl Exposition<'_, '_> {
    fn counter(&mut self, name: &str, help: &str, value: u64) -> Result<(), Full> {
        self.family(name, Type::Counter, help)?;
        self.labelled(name, &[], value)
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> Result<(), Full> {
        self.family(name, Type::Gauge, help)?;
        self.labelled(name, &[], value)
    }

    fn family(&mut self, name: &str, kind: Type, help: &str) -> Result<(), Full> {
        let kind = match kind {
            Type::Counter => " counter\n",
            Type::Gauge => " gauge\n",
        };
        ["# HELP ", name, " ", help, "\n# TYPE ", name, kind].iter().try_for_each(|text| self.0.put_str(text))
    }

    /// Labels and their values have no character that needs an escape.
    fn labelled(&mut self, name: &str, labels: &[(&str, &str)], value: u64) -> Result<(), Full> {
        self.0.put_str(name)?;
        let mut before = "{";
        for (label, text) in labels {
            [before, label, "=\"", text, "\""].iter().try_for_each(|text| self.0.put_str(text))?;
            before = ",";
        }
        self.0.put_str(if labels.is_empty() { " " } else { "} " })?;
        self.0.put_decimal(value)?;
        self.0.put(b"\n")
    }

    fn status(&mut self, name: &str, status: u16, value: u64) -> Result<(), Full> {
        self.0.put_str(name)?;
        self.0.put(b"{code=\"")?;
        self.0.put_decimal(status.into())?;
        self.0.put(b"\"} ")?;
        self.0.put_decimal(value)?;
        self.0.put(b"\n")
    }
}
