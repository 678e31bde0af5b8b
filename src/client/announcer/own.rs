//! The peer that is announced: who it is, where it is, and how it signs that.

use std::fmt;
use std::net::IpAddr;

use crate::addr::CanonicalAddr;
use crate::client::failure::Failure;
use crate::client::message::{Announce, Leave};
use crate::endpoint::{Endpoint, Host};
use crate::engine::identity::Secret;
use crate::id::{NetworkKey, PeerId};
use crate::limits::MAX_ENDPOINTS;
use crate::quoted::Quoted;
use crate::record::Seal;

/// A peer that announces itself. [`OwnPeer::check`] tells whether a server could take it.
#[derive(Clone, Debug)]
pub struct OwnPeer {
    /// The network's name, or 40 hex digits.
    pub network: String,
    /// Its id. One that signs has that of its key, and needs none here.
    pub id: Option<String>,
    /// Where it can be reached, 1..=4 endpoints. `tcp://:9000` is port 9000 of the address that a server sees it at.
    pub endpoints: Vec<String>,
    /// What it signs with; `None` = it does not sign.
    pub secret: Option<Secret>,
}

/// Why no server would take a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadPeer {
    /// The network has no right name.
    Network(String),
    /// The id is none, or is not that of the key.
    Id(String),
    /// It has neither an id nor a key.
    NoId,
    /// There is no endpoint, or more than four.
    Endpoints(usize),
    /// An endpoint is none that anybody can reach.
    Endpoint(String),
    /// The key is nothing but zeros.
    Secret,
}

impl OwnPeer {
    /// A peer that does not sign.
    pub fn unsigned(network: &str, id: &str, endpoints: &[&str]) -> Self {
        let endpoints = endpoints.iter().map(|&text| text.into()).collect();
        Self { network: network.into(), id: Some(id.into()), endpoints, secret: None }
    }

    /// A peer that signs with the key of this seed, of Ed25519.
    pub fn signed(network: &str, seed: [u8; 32], endpoints: &[&str]) -> Self {
        Self { id: None, secret: Some(Secret(seed)), ..Self::unsigned(network, "", endpoints) }
    }

    /// Checks everything that does not depend on a server.
    ///
    /// # Errors
    /// [`BadPeer`], the first thing that is wrong.
    pub fn check(&self) -> Result<(), BadPeer> {
        self.check_name()?;
        if !(1..=MAX_ENDPOINTS).contains(&self.endpoints.len()) {
            return Err(BadPeer::Endpoints(self.endpoints.len()));
        }
        match self.endpoints.iter().find(|text| Endpoint::parse(text).is_err()) {
            Some(text) => Err(BadPeer::Endpoint(text.clone())),
            None => Ok(()),
        }
    }

    /// Checks what it takes to leave: everything but the endpoints.
    ///
    /// # Errors
    /// [`BadPeer`], the first thing that is wrong.
    pub fn check_name(&self) -> Result<(), BadPeer> {
        NetworkKey::of_name(&self.network).map_err(|_| BadPeer::Network(self.network.clone()))?;
        if self.secret.is_some() && self.key_id().is_none() {
            return Err(BadPeer::Secret);
        }
        let id = self.own_id().ok_or(BadPeer::NoId)?;
        let foreign = self.id.as_ref().is_some_and(|given| *given != id);
        if foreign || PeerId::parse(&id).is_err() {
            return Err(BadPeer::Id(self.id.clone().unwrap_or(id)));
        }
        Ok(())
    }

    /// The id that it has: its key's, if it signs.
    pub fn own_id(&self) -> Option<String> {
        if self.secret.is_some() { self.key_id() } else { self.id.clone() }
    }

    fn key_id(&self) -> Option<String> {
        let seal = self.sign(0, &[])?;
        Some(seal.id().id().as_str().into())
    }

    /// Whether its record can only be written when its address is known: what is signed is the whole endpoint
    /// (docs/signatures.md).
    pub(super) fn must_know_its_address(&self) -> bool {
        let open =
            |text: &String| Endpoint::parse(text).is_ok_and(|endpoint| endpoint.host == Host::Observed);
        self.secret.is_some() && self.endpoints.iter().any(open)
    }

    /// Its announce. `you` is its address as the server sees it, and `seq` the number of the record; both count for one
    /// that signs only.
    ///
    /// # Errors
    /// [`Failure::Unsupported`] if there is no such record: its address is not known, or the numbers are used up.
    pub(super) fn announce(&self, you: Option<IpAddr>, seq: u64) -> Result<Announce, Failure> {
        let mut announce = Announce {
            network: self.network.clone(),
            id: self.own_id(),
            endpoints: self.endpoints.clone(),
            ..Announce::default()
        };
        if self.secret.is_some() {
            announce.endpoints = self.whole_endpoints(you)?;
            announce.seal = Some(self.sign(seq, &announce.endpoints).ok_or(UNSIGNED)?);
        }
        Ok(announce)
    }

    /// Its goodbye.
    pub(super) fn leave(&self, seq: u64, token: Option<String>) -> Leave {
        Leave { network: self.network.clone(), id: self.own_id(), token, seal: self.sign(seq, &[]) }
    }

    /// Its endpoints as a server hands them out: canonical, with a host, none twice.
    fn whole_endpoints(&self, you: Option<IpAddr>) -> Result<Vec<String>, Failure> {
        let mut whole: Vec<String> = Vec::new();
        for text in &self.endpoints {
            let mut endpoint = Endpoint::parse(text).map_err(|_| UNSIGNED)?;
            if endpoint.host == Host::Observed {
                endpoint.host = Host::Ip(CanonicalAddr::new(you.ok_or(NO_ADDRESS)?));
            }
            let text = endpoint.to_string();
            // An address that nobody can have is not signed.
            Endpoint::parse_canonical(&text).map_err(|_| NO_ADDRESS)?;
            if !whole.contains(&text) {
                whole.push(text);
            }
        }
        Ok(whole)
    }

    fn sign(&self, seq: u64, endpoints: &[String]) -> Option<Seal> {
        let network = NetworkKey::of_name(&self.network).unwrap_or_default();
        let endpoints = endpoints.iter().filter_map(|text| Endpoint::parse_canonical(text).ok());
        Seal::sign(&self.secret?.0, network, seq, endpoints)
    }
}

/// There is no such signature.
const UNSIGNED: Failure = Failure::Unsupported("the record cannot be signed");
/// A server did not say where it sees us.
const NO_ADDRESS: Failure = Failure::Unsupported(
    "it does not tell our address, which a signed record must have; give an endpoint with a host",
);

impl fmt::Display for BadPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(name) => write!(
                f,
                "the network {}: must be 1 to 64 bytes of [A-Za-z0-9._-], or 40 hex digits",
                Quoted(name)
            ),
            Self::Id(id) => write!(
                f,
                "the id {}: must be 1 to 64 bytes of [A-Za-z0-9._:-], and of one that signs its key's",
                Quoted(id)
            ),
            Self::NoId => f.write_str("an id is needed, or a key to sign with"),
            Self::Endpoints(0) => f.write_str("an endpoint is needed, as in tcp://:9000"),
            Self::Endpoints(n) => write!(f, "{n} endpoints: at most {MAX_ENDPOINTS}"),
            Self::Endpoint(text) => write!(
                f,
                "the endpoint {}: must be scheme://host:port, as in tcp://:9000, with a port and an address that others can reach",
                Quoted(text)
            ),
            Self::Secret => f.write_str("the key must not be all zeros: everybody knows it"),
        }
    }
}

impl std::error::Error for BadPeer {}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(endpoints: &[&str], secret: Option<u8>) -> OwnPeer {
        match secret {
            Some(byte) => OwnPeer::signed("chess", [byte; 32], endpoints),
            None => OwnPeer::unsigned("chess", "alice", endpoints),
        }
    }

    #[test]
    fn what_no_server_would_take_is_told_before() {
        let good = peer(&["tcp://:9000"], None);
        assert_eq!(good.check(), Ok(()));
        assert_eq!(peer(&["tcp://:9000"], Some(1)).check(), Ok(()));
        let named = |id: &str| OwnPeer { id: Some(id.into()), ..good.clone() };
        for (bad, why) in [
            (OwnPeer { network: "a b".into(), ..good.clone() }, BadPeer::Network("a b".into())),
            (named("a/b"), BadPeer::Id("a/b".into())),
            (OwnPeer { id: None, ..good.clone() }, BadPeer::NoId),
            (
                OwnPeer { id: Some("alice".into()), ..peer(&["tcp://:1"], Some(1)) },
                BadPeer::Id("alice".into()),
            ),
            (peer(&[], None), BadPeer::Endpoints(0)),
            (peer(&["tcp://:1"; 5], None), BadPeer::Endpoints(5)),
            (peer(&["tcp://:1", "tcp://224.0.0.1:1"], None), BadPeer::Endpoint("tcp://224.0.0.1:1".into())),
            (peer(&["tcp://:1"], Some(0)), BadPeer::Secret),
        ] {
            assert_eq!(bad.check(), Err(why.clone()));
            assert!(!why.to_string().contains('\n'));
        }
        assert_eq!(peer(&[], None).check_name(), Ok(()), "who leaves needs no endpoint");
    }

    #[test]
    fn a_signed_record_has_whole_endpoints_in_their_one_spelling() {
        let you: Option<IpAddr> = "198.51.100.7".parse().ok();
        let signing = peer(&["tcp://:9000", "tcp://198.51.100.7:9000", "udp://[2001:DB8:0::1]:7"], Some(1));
        assert!(signing.must_know_its_address());
        let announce = signing.announce(you, 5).unwrap();
        assert_eq!(announce.endpoints, ["tcp://198.51.100.7:9000", "udp://[2001:db8::1]:7"]);
        let seal = announce.seal.unwrap();
        let signed = announce.endpoints.iter().map(|text| Endpoint::parse(text).unwrap());
        assert!(seal.seq == 5 && seal.verify(NetworkKey::of_name("chess").unwrap(), signed));
        assert_eq!(announce.id.as_deref(), Some(seal.id().id().as_str()));
        assert_eq!(signing.announce(None, 5), Err(NO_ADDRESS));
        assert_eq!(signing.announce("0.0.0.0".parse().ok(), 5), Err(NO_ADDRESS));
        assert_eq!(signing.announce(you, crate::record::SEQ_END), Err(UNSIGNED));
        let leave = signing.leave(6, None).seal.unwrap();
        assert!(leave.verify(NetworkKey::of_name("chess").unwrap(), []));
    }

    #[test]
    fn an_unsigned_announce_is_what_was_given() {
        let plain = peer(&["tcp://:9000"], None);
        assert!(!plain.must_know_its_address());
        let announce = plain.announce(None, 5).unwrap();
        assert_eq!((announce.endpoints.as_slice(), announce.seal), (&["tcp://:9000".into()][..], None));
        assert_eq!(plain.leave(5, Some("T".into())).token.as_deref(), Some("T"));
    }
}
