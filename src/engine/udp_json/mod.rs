//! JSON over UDP: one object a datagram, `type` names it, `id` is echoed.
//!
//! # The token rule
//!
//! A source address can be forged, so an answer to an address that has not proved itself is never longer than the
//! request: the buffer it is rendered into is no longer. An address proves itself with a token this server sent to it.
//! Without one:
//!
//! - `ping` gets a `pong`, with `server_id` and `you` if they fit;
//! - `find_peers` with a `pad` gets as many peers as fit, and a token; over the limit the token alone;
//! - everything else gets a token, and nothing is changed;
//! - what does not fit is silence.
//!
//! Tokens cost less to make than to ration, and are not rate limited: or else who forges an address could use up what
//! its owner needs to prove itself.

mod call;

use self::call::Call;
use super::request::EndpointList;
use super::stats::{DropReason, Kind};
use super::token::{Token, Use};
use super::{Announce, Engine, Error, Leave, PeersQuery, Proof, Protocol, Reply, Request, Source, intake};
use crate::addr::CanonicalAddr;
use crate::endpoint::{Endpoint, Host};
use crate::id::{AddressId, NetworkKey, PeerId};
use crate::limits::{DEFAULT_UDP_SAMPLE, MAX_UDP_REPLY_BYTES, MAX_UDP_SAMPLE};
use crate::record::KeyId;
use crate::time::Instant;
use crate::wire::json::{self, Field, MessageKind, UdpAnnounceBody, UdpMessage};
use crate::wire::{Full, Writer};

/// Why there is no answer of the kind asked for.
enum Trouble {
    /// The request is refused.
    Refused(Error),
    /// The answer does not fit.
    Full,
}

impl Engine<'_> {
    /// Answers a JSON datagram: the length of what was rendered into `out`, or why there is silence.
    pub(super) fn udp_json(
        &mut self,
        now: Instant,
        addr: CanonicalAddr,
        port: u16,
        datagram: &[u8],
        out: &mut [u8],
    ) -> Result<usize, DropReason> {
        let message = UdpMessage::parse(datagram).map_err(|error| match error {
            json::Error::Field(Field::Type) => DropReason::NotARequest,
            _ => DropReason::Malformed,
        })?;
        let token = message.token.and_then(Token::parse);
        let proven = token.is_some_and(|token| self.minter.proves_address(now, addr, Use::Json, token));
        let proof = if proven { Proof::Token } else { Proof::None };
        let call = Call {
            now,
            source: Source { addr, port, protocol: Protocol::UdpJson, proof },
            message,
            token: self.minter.address_token(now, addr, Use::Json),
        };
        let longest = if proven { MAX_UDP_REPLY_BYTES } else { datagram.len().min(MAX_UDP_REPLY_BYTES) };
        let mut writer = Writer::within(out, longest);
        match self.converse(&call, &mut writer) {
            Ok(()) => Ok(writer.len()),
            Err(Trouble::Full) => Err(DropReason::Unproven),
            Err(Trouble::Refused(Error::RateLimited { .. })) if !proven => Err(DropReason::RateLimited),
            Err(Trouble::Refused(error)) => {
                writer.rewind(0);
                call.emit_refusal(error, &mut writer).map_err(|Full| DropReason::Unproven)?;
                Ok(writer.len())
            }
        }
    }

    fn converse(&mut self, call: &Call<'_>, out: &mut Writer<'_>) -> Result<(), Trouble> {
        match (call.message.kind, call.source.proof) {
            (MessageKind::Ping, _) => self.ping(call, out),
            (MessageKind::FindPeers, Proof::None) if call.message.padded => {
                self.find_peers(call, out).or_else(|trouble| match trouble {
                    Trouble::Full | Trouble::Refused(Error::RateLimited { .. }) => {
                        out.rewind(0);
                        Ok(call.emit_token(out)?)
                    }
                    refused => Err(refused),
                })
            }
            (_, Proof::None) => Ok(call.emit_token(out)?),
            (MessageKind::FindPeers, _) => self.find_peers(call, out),
            (MessageKind::Announce, _) => self.udp_announce(call, out),
            (MessageKind::Leave, _) => self.udp_leave(call, out),
        }
    }

    fn ping(&mut self, call: &Call<'_>, out: &mut Writer<'_>) -> Result<(), Trouble> {
        if let Reply::Refused(error) = self.handle(call.now, &call.source, &Request::Ping) {
            return Err(error.into());
        }
        Ok(call.emit_pong(self.bootstrap_id(), out)?)
    }

    fn find_peers(&mut self, call: &Call<'_>, out: &mut Writer<'_>) -> Result<(), Trouble> {
        let query = peers_query(call, self.settings.default_network);
        let query = self.taken_in(call, Kind::Peers, query)?;
        match self.handle(call.now, &call.source, &Request::Peers(query)) {
            Reply::Peers(sample) => Ok(call.emit_peers(&sample, out)?),
            reply => Err(refusal(&reply)),
        }
    }

    fn udp_announce(&mut self, call: &Call<'_>, out: &mut Writer<'_>) -> Result<(), Trouble> {
        let body = self.taken_in(call, Kind::Announce, call.message.announce().map_err(Error::from))?;
        let own = address_id(&body, &call.source);
        let mut key_id = None;
        let announce = announce_of(&body, self.settings.default_network, &call.source, own.id(), &mut key_id);
        let announce = self.taken_in(call, Kind::Announce, announce)?;
        let id = announce.id;
        match self.handle(call.now, &call.source, &Request::Announce(announce)) {
            Reply::Registered(registration) => Ok(call.emit_registered(id, registration, out)?),
            reply => Err(refusal(&reply)),
        }
    }

    fn udp_leave(&mut self, call: &Call<'_>, out: &mut Writer<'_>) -> Result<(), Trouble> {
        let body = self.taken_in(call, Kind::Leave, call.message.announce().map_err(Error::from))?;
        let own = address_id(&body, &call.source);
        let mut key_id = None;
        let leave = leave_of(&body, self.settings.default_network, own.id(), &mut key_id);
        let leave = self.taken_in(call, Kind::Leave, leave)?;
        match self.handle(call.now, &call.source, &Request::Leave(leave)) {
            Reply::Left { removed } => Ok(call.emit_left(removed, out)?),
            reply => Err(refusal(&reply)),
        }
    }

    /// Charges and counts a request that is no proper one.
    fn taken_in<T>(&mut self, call: &Call<'_>, kind: Kind, request: Result<T, Error>) -> Result<T, Error> {
        request.map_err(|error| self.refuse(call.now, &call.source, kind, error))
    }
}

/// The query in a `find_peers`.
fn peers_query<'a>(call: &Call<'a>, default_network: NetworkKey) -> Result<PeersQuery<'a>, Error> {
    let body = call.message.query()?;
    let limit = body.limit.map_or(Ok(DEFAULT_UDP_SAMPLE), |limit| {
        let limit = usize::try_from(limit).ok().filter(|limit| (1..=MAX_UDP_SAMPLE).contains(limit));
        limit.ok_or(Error::BadRequest("limit must be a whole number in 1..=32"))
    })?;
    Ok(PeersQuery {
        network: intake::network(body.network, default_network)?,
        limit,
        schemes: intake::transport(body.transport)?,
        exclude: intake::id(body.exclude)?,
    })
}

/// The announce in the body of an `announce`. Without endpoints it is of the port given, or of the one it came from.
fn announce_of<'a>(
    body: &UdpAnnounceBody<'a>,
    default_network: NetworkKey,
    source: &Source,
    own: PeerId<'a>,
    key_id: &'a mut Option<KeyId>,
) -> Result<Announce<'a>, Error> {
    let port = body.port.unwrap_or(source.port);
    Ok(Announce {
        network: intake::network(body.network, default_network)?,
        id: intake::own_id(body.peer_id, body.seal, key_id)?.unwrap_or(own),
        endpoints: match &body.endpoints {
            Some(texts) => intake::endpoints(Some(texts), body.seal.is_some())?,
            None => EndpointList::from_iter([Endpoint { scheme: "udp", host: Host::Observed, port }]),
        },
        ttl_s: intake::ttl_s(body.ttl_s),
        seeding: false,
        owner: None,
        seal: body.seal,
        work: body.work,
    })
}

/// The leave in the body of a `leave`.
fn leave_of<'a>(
    body: &UdpAnnounceBody<'a>,
    default_network: NetworkKey,
    own: PeerId<'a>,
    key_id: &'a mut Option<KeyId>,
) -> Result<Leave<'a>, Error> {
    Ok(Leave {
        network: intake::network(body.network, default_network)?,
        id: intake::own_id(body.peer_id, body.seal, key_id)?.unwrap_or(own),
        owner: None,
        seal: body.seal,
    })
}

/// The id of a peer that names none.
fn address_id(body: &UdpAnnounceBody<'_>, source: &Source) -> AddressId {
    AddressId::of(source.addr, body.port.unwrap_or(source.port))
}

/// Why `reply` is no answer in kind. The engine answers in kind or refuses; anything else would be silence.
fn refusal(reply: &Reply<'_>) -> Trouble {
    match reply {
        Reply::Refused(error) => Trouble::Refused(*error),
        _ => Trouble::Full,
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<Full> for Trouble {
    fn from(Full: Full) -> Self {
        Self::Full
    }
}

#[cfg(test)]
mod tests;
