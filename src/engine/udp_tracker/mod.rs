//! The UDP tracker (BEP 15): announces, counts, and other peers, in single datagrams.
//!
//! A client proves its address with a connection id, which is a token like any other ([`super::token`]). Without a good
//! one, an answer is no longer than the request.

use super::request::{ContactsQuery, Event, Families, Track, Transport};
use super::stats::{DropReason, Kind};
use super::{Engine, Error, Proof, Protocol, Reply, Request, Source, bittorrent};
use crate::addr::CanonicalAddr;
use crate::id::{AddressId, NetworkKey};
use crate::limits::{MAX_SAMPLE, MAX_TRACKER_REPLY_BYTES};
use crate::time::Instant;
use crate::wire::tracker::{self, Action};
use crate::wire::{Full, Writer};

/// What a client is told whose connection id is not, or no longer, good.
const CONNECT_AGAIN: &str = "connect again";

impl Engine<'_> {
    /// Answers a request to the tracker: the length of what was rendered into `out`, or why there is silence.
    pub(super) fn udp_tracker(
        &mut self,
        now: Instant,
        addr: CanonicalAddr,
        port: u16,
        datagram: &[u8],
        out: &mut [u8],
    ) -> Result<usize, DropReason> {
        let request = tracker::Request::parse(datagram).map_err(|_| DropReason::Malformed)?;
        if request.action == Action::Connect {
            self.stats.count_kind(now, Protocol::UdpTracker, Kind::Ping);
            let mut out = Writer::within(out, datagram.len().min(MAX_TRACKER_REPLY_BYTES));
            let connection_id = self.minter.connection_id(now, addr);
            tracker::emit_connection(request.transaction_id, connection_id, &mut out)
                .map_err(|Full| DropReason::Unproven)?;
            return Ok(out.len());
        }
        if !self.minter.proves_connection(now, addr, request.connection_id) {
            let kind =
                if matches!(request.action, Action::Scrape(_)) { Kind::Scrape } else { Kind::Announce };
            self.stats.count_refused(now, Protocol::UdpTracker, kind, &Error::BadToken);
            let mut out = Writer::within(out, datagram.len().min(MAX_TRACKER_REPLY_BYTES));
            return refuse(&request, Error::BadToken.meaning().word, CONNECT_AGAIN, &mut out)
                .map_err(|Full| DropReason::Unproven);
        }
        let source = Source { addr, port, protocol: Protocol::UdpTracker, proof: Proof::Token };
        let mut out = Writer::within(out, MAX_TRACKER_REPLY_BYTES);
        let answered = match &request.action {
            Action::Announce(announce) => self.udp_announced(now, &source, &request, announce, &mut out),
            Action::Scrape(info_hashes) => self.udp_scraped(now, &source, &request, info_hashes, &mut out),
            Action::Connect => Ok(()),
        };
        match answered {
            Ok(()) => Ok(out.len()),
            Err(error) => {
                out.rewind(0);
                let meaning = error.meaning();
                // There is room for every error: the longest sentence is a tenth of it.
                refuse(&request, meaning.word, meaning.detail, &mut out).map_err(|Full| DropReason::Unproven)
            }
        }
    }

    /// Registers or removes the client, and writes others for it.
    fn udp_announced(
        &mut self,
        now: Instant,
        source: &Source,
        request: &tracker::Request<'_>,
        announce: &tracker::Announce,
        out: &mut Writer<'_>,
    ) -> Result<(), Error> {
        let event = match (announce.event, announce.port) {
            (_, 0) => Err(Error::BadRequest("port must be in 1..=65535")),
            // A partial seed says that it is paused (BEP 21): libtorrent sends that as 4.
            (0 | 2 | 4, _) => Ok(Event::None),
            (1, _) => Ok(Event::Completed),
            (3, _) => Ok(Event::Stopped),
            _ => Err(Error::BadRequest("event must be in 0..=4")),
        };
        let event = event.map_err(|error| self.refuse(now, source, Kind::Announce, error))?;
        let id = AddressId::of(source.addr, announce.port);
        let network = NetworkKey(announce.info_hash);
        let life_s = self.settings.tracker_life_s();
        let track = Track {
            announce: bittorrent::announce(network, &id, announce.port, life_s, announce.is_complete),
            event,
            contacts: ContactsQuery {
                limit: usize::try_from(announce.num_want).map_or(MAX_SAMPLE, |limit| limit.min(MAX_SAMPLE)),
                families: Families::of(source.addr),
                transport: Transport::Udp,
            },
        };
        let interval_s = self.settings.tracker_interval_s();
        match self.handle(now, source, &Request::Track(track)) {
            Reply::Tracked(tracked) => {
                let counts = tracked.counts;
                // All fits: fifty addresses of IPv6 are 920 bytes.
                let id = request.transaction_id;
                let _ = tracker::emit_announced(id, interval_s, counts.leechers, counts.seeders, out);
                tracked.contacts.emit_compact(out);
                Ok(())
            }
            reply => Err(bittorrent::refusal(&reply)),
        }
    }

    /// Writes how many peers each of these networks has. All of it counts as one request.
    fn udp_scraped(
        &mut self,
        now: Instant,
        source: &Source,
        request: &tracker::Request<'_>,
        info_hashes: &[[u8; 20]],
        out: &mut Writer<'_>,
    ) -> Result<(), Error> {
        let Some((&first, others)) = info_hashes.split_first() else {
            let error = Error::BadRequest("a scrape must name an info-hash");
            return Err(self.refuse(now, source, Kind::Scrape, error));
        };
        let counts = self.count(now, source, NetworkKey(first))?;
        // All fits: seventy-four networks are 896 bytes.
        let _ = tracker::emit_scrape(request.transaction_id, out);
        let others = others.iter().map(|&info_hash| self.peers.counts(NetworkKey(info_hash), source.addr));
        for counts in core::iter::once(counts).chain(others) {
            let _ = tracker::emit_scraped(counts.seeders, counts.completed, counts.leechers, out);
        }
        Ok(())
    }
}

/// Writes an error, and returns its length.
fn refuse(
    request: &tracker::Request<'_>,
    word: &str,
    detail: &str,
    out: &mut Writer<'_>,
) -> Result<usize, Full> {
    tracker::emit_error(request.transaction_id, out)?;
    [word, ": ", detail].iter().try_for_each(|text| out.put_str(text))?;
    Ok(out.len())
}

#[cfg(test)]
mod tests;
