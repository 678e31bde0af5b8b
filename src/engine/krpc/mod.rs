//! KRPC (BEP 5): the DHT's queries over the peer table and the nodes that are known.
//!
//! An answer to an address that has not proved itself is at most three times as long as the query; it holds what fits. While
//! all such answers together are more than [`super::egress`] allows, it is no longer than the query: less is in it, but
//! the token, with which the asker proves itself, nearly always is.

use heapless::Vec;

use super::request::{ContactsQuery, Families, Transport};
use super::stats::{DropReason, Kind};
use super::token::{Token, Use};
use super::{Contact, Engine, Error, Proof, Protocol, Reply, Request, Source, bittorrent};
use crate::addr::CanonicalAddr;
use crate::id::{AddressId, NetworkKey};
use crate::limits::{BINARY_AMPLIFICATION, KRPC_LIFE_S, MAX_KRPC_REPLY_BYTES, MAX_SAMPLE};
use crate::time::Instant;
use crate::wire::krpc::{self, AnnouncePeer, Answer, Drop, Found, MAX_NODES, Message, Method, Query};
use crate::wire::{Full, Writer};

impl From<Drop> for DropReason {
    fn from(drop: Drop) -> Self {
        match drop {
            Drop::Malformed => Self::Malformed,
            Drop::NotARequest => Self::NotARequest,
        }
    }
}

/// What is answered to a query, beside ids and addresses.
#[derive(Default)]
struct Outcome {
    token: Option<Token>,
    values: Vec<Contact, MAX_SAMPLE>,
    /// Whether nodes are wanted too.
    nodes: bool,
}

impl Engine<'_> {
    /// Answers a KRPC datagram: the length of what was rendered into `out`, or why there is silence.
    pub(super) fn krpc(
        &mut self,
        now: Instant,
        addr: CanonicalAddr,
        port: u16,
        datagram: &[u8],
        out: &mut [u8],
    ) -> Result<usize, DropReason> {
        let query = match Message::parse(datagram)? {
            Message::Query(query) => query,
            Message::Response(response) => {
                let is_awaited = self.dht.answered(now, addr, port, &response, &self.minter);
                return if is_awaited { Ok(0) } else { Err(DropReason::NotARequest) };
            }
        };
        let proof = match query.method {
            Method::AnnouncePeer(announce) if self.proves(now, addr, announce.token) => Proof::Token,
            _ => Proof::None,
        };
        let source = Source { addr, port, protocol: Protocol::Krpc, proof };
        let may_be_longer = proof == Proof::Token || self.egress.krpc.has_room(now);
        let factor = if may_be_longer { BINARY_AMPLIFICATION } else { 1 };
        let longest = datagram.len().saturating_mul(factor).min(MAX_KRPC_REPLY_BYTES);
        let mut out = Writer::within(out, longest);
        let answer = Answer { transaction: query.transaction, addr, port };
        match self.krpc_query(now, &source, query.method) {
            Ok(outcome) => self.emit_found(now, &answer, &query, &outcome, &mut out),
            Err((_, Error::RateLimited { .. })) if proof == Proof::None => {
                return Err(DropReason::RateLimited);
            }
            Err((code, error)) => answer.emit_error(code, error.meaning().word, &mut out),
        }
        .map_err(|Full| if may_be_longer { DropReason::Unproven } else { DropReason::Egress })?;
        if proof == Proof::None {
            self.egress.krpc.spend(now, datagram.len(), out.len());
        }
        if !may_be_longer {
            self.stats.count_shortened();
        }
        if !query.read_only {
            self.dht.meet(addr, port, datagram.len());
        }
        Ok(out.len())
    }

    fn proves(&self, now: Instant, addr: CanonicalAddr, token: &[u8]) -> bool {
        let token = token.try_into().map(Token);
        token.is_ok_and(|token| self.minter.proves_address(now, addr, Use::Krpc, token))
    }

    /// Does what is asked. An error comes with its code (BEP 5).
    fn krpc_query(
        &mut self,
        now: Instant,
        source: &Source,
        method: Method<'_>,
    ) -> Result<Outcome, (u32, Error)> {
        let request = match method {
            Method::Ping => Request::Ping,
            Method::FindNode => Request::FindNode,
            Method::GetPeers(info_hash) => {
                let families = Families::of(source.addr);
                let query = ContactsQuery { limit: MAX_SAMPLE, families, transport: Transport::Udp };
                Request::Contacts(NetworkKey(info_hash), query)
            }
            Method::AnnouncePeer(announce) => return self.krpc_announce(now, source, &announce),
            Method::BadArguments => {
                return self.krpc_refuse(
                    now,
                    source,
                    203,
                    Error::BadRequest("arguments are missing or malformed"),
                );
            }
            Method::Unknown => {
                return self.krpc_refuse(now, source, 204, Error::Unsupported("there is no such method"));
            }
        };
        let is_for_peers = matches!(method, Method::GetPeers(_));
        let token = is_for_peers.then(|| self.minter.address_token(now, source.addr, Use::Krpc));
        match self.handle(now, source, &request) {
            Reply::Contacts(contacts) => {
                Ok(Outcome { token, values: contacts.iter().collect(), nodes: true })
            }
            Reply::Refused(error) => Err((code(error), error)),
            _ => Ok(Outcome { nodes: method == Method::FindNode, ..Outcome::default() }),
        }
    }

    fn krpc_announce(
        &mut self,
        now: Instant,
        source: &Source,
        announce: &AnnouncePeer<'_>,
    ) -> Result<Outcome, (u32, Error)> {
        if source.proof == Proof::None {
            return self.krpc_refuse(now, source, 203, Error::BadToken);
        }
        let port = announce.port.unwrap_or(source.port);
        let id = AddressId::of(source.addr, port);
        let network = NetworkKey(announce.info_hash);
        let request = bittorrent::announce(network, &id, port, KRPC_LIFE_S, announce.seed);
        match self.handle(now, source, &Request::Announce(request)) {
            Reply::Refused(error) => Err((code(error), error)),
            _ => Ok(Outcome::default()),
        }
    }

    /// Refuses what the engine does not get to see. That costs as much as a ping.
    fn krpc_refuse(
        &mut self,
        now: Instant,
        source: &Source,
        code: u32,
        error: Error,
    ) -> Result<Outcome, (u32, Error)> {
        Err((code, self.refuse(now, source, Kind::Malformed, error)))
    }

    /// Writes what was found, and the nodes that are wanted with it.
    fn emit_found(
        &mut self,
        now: Instant,
        answer: &Answer<'_>,
        query: &Query<'_>,
        outcome: &Outcome,
        out: &mut Writer<'_>,
    ) -> Result<(), Full> {
        let is_default = query.want == krpc::Want::default();
        let v4 = query.want.v4 || (is_default && answer.addr.is_v4());
        let v6 = query.want.v6 || (is_default && !answer.addr.is_v4());
        let mut nodes = |v4, wanted| -> Option<Vec<krpc::Contact, MAX_NODES>> {
            (outcome.nodes && wanted).then(|| self.dht.nodes(now, v4, answer.addr, answer.port))
        };
        let (v4, v6) = (nodes(true, v4), nodes(false, v6));
        let found = Found {
            token: outcome.token.map(|token| token.0),
            values: &outcome.values,
            nodes: v4.as_deref(),
            nodes6: v6.as_deref(),
        };
        answer.emit_response(&self.dht.own_id(answer.addr), &found, out)
    }
}

/// The code of an error (BEP 5): 201 generic, 202 server, 203 protocol.
const fn code(error: Error) -> u32 {
    match error {
        Error::TableFull => 202,
        Error::BadRequest(_) | Error::BadToken => 203,
        _ => 201,
    }
}

#[cfg(test)]
mod tests;
