//! Who is registered, changed and removed, and who may do it: whose endpoint, whose id, which network.

use super::peers::{NoPlace, Record, Slot};
use super::request::EndpointList;
use super::token::Token;
use super::{Announce, Decision, Engine, Error, Event, Leave, Source, Track};
use crate::addr::CanonicalAddr;
use crate::endpoint::{Endpoint, Host};
use crate::id::NetworkKey;
use crate::limits::MIN_TTL_S;
use crate::time::Instant;

impl Engine<'_> {
    /// Does what a BitTorrent client tells its tracker, and draws others for it.
    pub(super) fn track(
        &mut self,
        now: Instant,
        source: &Source,
        track: &Track<'_>,
    ) -> Result<Decision, Error> {
        let announce = &track.announce;
        let network = announce.network;
        let (slot, expires_s) = if track.event == Event::Stopped {
            let leave = Leave { network, id: announce.id, owner: announce.owner };
            self.leave(now, source, &leave)?;
            (None, 0)
        } else {
            let (slot, expires_s) = self.register(now, source, announce)?;
            if track.event == Event::Completed {
                self.peers.count_completed(slot);
            }
            (Some(slot), expires_s)
        };
        let slots = self.contacts(now, source, network, track.contacts, slot);
        let counts = match slot {
            Some(slot) => self.peers.counts_around(slot, source.addr),
            None => self.peers.counts(network, source.addr),
        };
        Ok(Decision::Tracked { expires_s, counts, query: track.contacts, slots })
    }

    /// Registers or refreshes a peer. Returns its place and the seconds it will live.
    pub(super) fn register(
        &mut self,
        now: Instant,
        source: &Source,
        announce: &Announce<'_>,
    ) -> Result<(Slot, u32), Error> {
        self.check_served(announce.network)?;
        if self.settings.require_signed {
            return Err(Error::SignatureRequired);
        }
        let endpoints = self.own_endpoints(source.addr, &announce.endpoints)?;
        let ttl_s =
            announce.ttl_s.unwrap_or(self.settings.peer_ttl_s).clamp(MIN_TTL_S, self.settings.max_ttl_s);
        let record = Record {
            network: announce.network,
            id: announce.id,
            endpoints: &endpoints,
            ttl_s,
            seeding: announce.seeding,
            source: source.addr,
        };
        let found = self.peers.find(now, announce.network, announce.id);
        let slot = match found {
            Some(slot) => {
                self.check_owner(source.addr, slot, announce.owner)?;
                self.peers.refresh(now, slot, &record);
                slot
            }
            None => {
                if self.settings.announces_per_minute != 0 {
                    self.admissions
                        .pass(now)
                        .map_err(|retry_after_s| Error::RateLimited { retry_after_s })?;
                }
                self.peers.insert(now, &record, &mut self.rng).map_err(|NoPlace| {
                    // A prefix that has all its places must not use up what is for the newcomers of others.
                    self.admissions.give_back();
                    Error::TableFull
                })?
            }
        };
        self.stats.count_registration(found.is_none());
        Ok((slot, ttl_s))
    }

    /// Removes a peer. Returns whether it was there.
    pub(super) fn leave(&mut self, now: Instant, source: &Source, leave: &Leave<'_>) -> Result<bool, Error> {
        self.check_served(leave.network)?;
        let Some(slot) = self.peers.find(now, leave.network, leave.id) else {
            return Ok(false);
        };
        self.check_owner(source.addr, slot, leave.owner)?;
        self.peers.remove(slot);
        Ok(true)
    }

    pub(super) fn check_served(&self, network: NetworkKey) -> Result<(), Error> {
        let served = &self.settings.networks;
        if served.is_empty() || served.contains(&network) { Ok(()) } else { Err(Error::NetworkNotServed) }
    }

    /// An unsigned record belongs to the address that made it, to whoever holds its token, and to the address that its
    /// id spells, if it spells one: nobody can keep a peer without an id of its own from its place.
    fn check_owner(&self, asker: CanonicalAddr, slot: Slot, token: Option<Token>) -> Result<(), Error> {
        let same_address = self.peers.source(slot) == asker;
        let holds_token = || token.is_some_and(|token| token == self.owner_token(slot));
        let is_spelt = || self.peers.registration(slot).1.is_of(asker);
        if same_address || holds_token() || is_spelt() { Ok(()) } else { Err(Error::IdTaken) }
    }

    pub(super) fn owner_token(&self, slot: Slot) -> Token {
        let (network, id, born) = self.peers.registration(slot);
        self.minter.owner_token(network, id, born)
    }

    /// The announced endpoints with the observed address filled in, if all of them are the announcer's to give.
    fn own_endpoints<'a>(
        &self,
        source: CanonicalAddr,
        announced: &EndpointList<'a>,
    ) -> Result<EndpointList<'a>, Error> {
        if announced.is_empty() {
            return Err(Error::BadEndpoint);
        }
        let mut own = EndpointList::new();
        for endpoint in announced {
            let host = match endpoint.host {
                Host::Observed => Host::Ip(source),
                host => host,
            };
            let endpoint = Endpoint { host, ..*endpoint };
            if !own.contains(&endpoint) && own.push(endpoint).is_err() {
                return Err(Error::BadEndpoint);
            }
        }
        let names_source = own.iter().any(|e| e.ip() == Some(source));
        let allowed = |host: &Host<'_>| match *host {
            Host::Observed | Host::Overlay(_) => true,
            Host::Name(_) => self.settings.allow_foreign_endpoints,
            Host::Ip(addr) if addr == source || self.settings.allow_foreign_endpoints => true,
            // A LAN address says nothing to strangers, and is only shown to neighbours.
            Host::Ip(addr) => addr.is_lan() && (source.is_lan() || names_source),
        };
        if own.iter().all(|e| allowed(&e.host)) { Ok(own) } else { Err(Error::EndpointNotYours) }
    }
}
