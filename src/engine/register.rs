//! Who is registered, changed and removed, and who may do it: whose endpoint, whose id, which network.

use super::door::{Pass, Payment};
use super::peers::{NoPlace, Record, Slot};
use super::pow::BadWork;
use super::request::EndpointList;
use super::token::Token;
use super::{Announce, ChallengeQuery, Decision, Engine, Error, Event, Leave, SealText, Source, Track};
use crate::addr::CanonicalAddr;
use crate::endpoint::{Endpoint, Host};
use crate::id::{NetworkKey, PeerId};
use crate::limits::MIN_TTL_S;
use crate::record::Seal;
use crate::time::Instant;
use crate::wire::pow::Challenge;

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
            let leave = Leave { network, id: announce.id, owner: announce.owner, seal: None };
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
        if self.settings.require_signed && announce.seal.is_none() {
            return Err(Error::SignatureRequired);
        }
        let endpoints = self.own_endpoints(source.addr, &announce.endpoints)?;
        let seal = announce.seal.map(|seal| seal_of(&seal, announce.id)).transpose()?;
        if seal.is_some() && endpoints != announce.endpoints {
            // The peer must have signed the very endpoints that are handed out.
            return Err(Error::BadEndpoint);
        }
        let ttl_s =
            announce.ttl_s.unwrap_or(self.settings.peer_ttl_s).clamp(MIN_TTL_S, self.settings.max_ttl_s);
        let record = Record {
            network: announce.network,
            id: announce.id,
            endpoints: &endpoints,
            ttl_s,
            seeding: announce.seeding,
            source: source.addr,
            seal: seal.as_ref(),
        };
        let found = self.peers.find(now, announce.network, announce.id);
        match (&seal, found) {
            (Some(seal), _) => self.check_newer(now, found, (announce.network, announce.id), seal)?,
            (None, Some(slot)) => self.check_owner(source.addr, slot, announce.owner)?,
            (None, None) => {}
        }
        let slot = match found {
            Some(slot) => {
                self.verify(record.seal, announce.network, &endpoints)?;
                self.peers.refresh(now, slot, &record);
                slot
            }
            None => {
                let pass = self.let_in(now, source, announce)?;
                // A forged signature is not given back its pass: the gate bounds how many of them are looked at, too.
                self.verify(record.seal, announce.network, &endpoints)?;
                let inserted =
                    self.peers.insert(now, &record, &mut self.rng).map_err(|NoPlace| Error::TableFull);
                // Who gets no place, or one of its own neighbours', must not use up what is for other newcomers.
                if inserted.is_err() || inserted.is_ok_and(|(_, among_its_own)| among_its_own) {
                    self.door.give_back(pass);
                }
                inserted?.0
            }
        };
        self.stats.count_registration(found.is_none());
        Ok((slot, ttl_s))
    }

    /// Lets a newcomer in, if it has what it takes.
    fn let_in(&mut self, now: Instant, source: &Source, announce: &Announce<'_>) -> Result<Pass, Error> {
        let record = (announce.network, announce.id);
        let payment = match announce.work {
            // Nobody looks at what nobody asked for.
            Some(work) if self.door.price() > 0 => {
                let checked = self.challenger.check(now, source.addr, record, &work);
                checked.map_err(|BadWork| Error::BadPow)?;
                self.stats.count_work();
                Payment::Paid
            }
            _ if source.protocol.has_place_for_work() => Payment::Owing,
            _ => Payment::Unable,
        };
        let challenger = &self.challenger;
        let challenge = |bits| challenger.challenge(now, source.addr, record, bits);
        self.door.pass(now, payment).map_err(|closed| closed.error(challenge))
    }

    /// What a newcomer has to work, if anything.
    pub(super) fn challenge(
        &self,
        now: Instant,
        source: &Source,
        query: &ChallengeQuery<'_>,
    ) -> Result<Option<Challenge>, Error> {
        self.check_served(query.network)?;
        let price = self.door.price();
        if price == 0 {
            return Ok(None);
        }
        let record = (query.network, query.id.ok_or(Error::BadId)?);
        Ok(Some(self.challenger.challenge(now, source.addr, record, price)))
    }

    /// Removes a peer. Returns whether it was there.
    pub(super) fn leave(&mut self, now: Instant, source: &Source, leave: &Leave<'_>) -> Result<bool, Error> {
        self.check_served(leave.network)?;
        let Some(slot) = self.peers.find(now, leave.network, leave.id) else {
            return Ok(false);
        };
        match &leave.seal {
            Some(seal) => {
                let seal = seal_of(seal, leave.id)?;
                self.check_newer(now, Some(slot), (leave.network, leave.id), &seal)?;
                self.verify(Some(&seal), leave.network, &[])?;
                self.peers.set_seq(slot, seal.seq);
            }
            None => self.check_owner(source.addr, slot, leave.owner)?,
        }
        self.peers.remove(slot);
        Ok(true)
    }

    /// Checks that a record is newer than the last one of its key: the one at `slot`, or one that is gone, even if somebody who
    /// cannot sign has its id now.
    fn check_newer(
        &self,
        now: Instant,
        slot: Option<Slot>,
        (network, id): (NetworkKey, PeerId<'_>),
        seal: &Seal,
    ) -> Result<(), Error> {
        let stored = slot.and_then(|slot| self.peers.seal(slot)).map(|stored| stored.seq);
        let last = stored.or_else(|| self.peers.last_seq(now, network, id));
        if last.is_none_or(|last| seal.seq > last) { Ok(()) } else { Err(Error::StaleSeq) }
    }

    /// Verifies a record, if it is signed. That is dear, and the last thing that is done.
    fn verify(
        &mut self,
        seal: Option<&Seal>,
        network: NetworkKey,
        endpoints: &[Endpoint<'_>],
    ) -> Result<(), Error> {
        let Some(seal) = seal else { return Ok(()) };
        self.stats.count_verification();
        let verified = seal.verify(network, endpoints.iter().copied());
        if verified { Ok(()) } else { Err(Error::BadSignature) }
    }

    pub(super) fn check_served(&self, network: NetworkKey) -> Result<(), Error> {
        let served = &self.settings.networks;
        if served.is_empty() || served.contains(&network) { Ok(()) } else { Err(Error::NetworkNotServed) }
    }

    /// An unsigned record belongs to the address that made it, to whoever holds its token, and to the address that its
    /// id spells, if it spells one: nobody can keep a peer without an id of its own from its place. A signed record belongs
    /// to its key alone.
    fn check_owner(&self, asker: CanonicalAddr, slot: Slot, token: Option<Token>) -> Result<(), Error> {
        if self.peers.seal(slot).is_some() {
            return Err(Error::IdTaken);
        }
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

/// What a record of `id` is signed with: the key must make that id.
fn seal_of(text: &SealText<'_>, id: PeerId<'_>) -> Result<Seal, Error> {
    let seal = Seal::parse(text.key, text.seq, text.sig);
    seal.filter(|seal| seal.id().id() == id).ok_or(Error::BadSignature)
}
