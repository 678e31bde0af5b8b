//! What is seen of one server: over each of its ways, at each of its addresses.

use std::net::{IpAddr, SocketAddr};

use smol::LocalExecutor;

use super::machine::own_address;
use crate::client::config::DEFAULT_NETWORK;
use crate::client::failure::Failure;
use crate::client::message::{Health, PeersAnswer, PeersQuery, Pong};
use crate::client::reach::Reach;
use crate::client::servers;
use crate::client::url::{Scheme, ServerUrl, Target, Way};
use crate::config::DEFAULT_UDP_PORT;
use crate::net::clock::unix_ms;
use crate::time::Instant;

/// Most addresses of one name that are looked at.
const MAX_ADDRESSES: usize = 8;

/// A server that is to be looked at, by all the ways to it that are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patient {
    /// What it is called.
    pub urls: Vec<ServerUrl>,
    /// Whether nobody told its UDP port, so that the usual one is tried.
    pub guesses_udp: bool,
}

/// What was seen of a server.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Its name, and why there is no way to it, where that is so.
    pub(super) nowhere: Vec<(String, Failure)>,
    /// Each way to it.
    pub(super) doors: Vec<Door>,
}

/// What was seen over one way.
#[derive(Clone, Debug)]
pub(super) struct Door {
    /// The way.
    pub(super) way: Way,
    /// Whether it was guessed.
    pub(super) guessed: bool,
    /// Whose key it must have.
    pub(super) pin: Option<[u8; 20]>,
    /// What was seen at each address, or why there is none.
    pub(super) places: Result<Vec<Place>, Failure>,
}

/// What was seen at one address.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The address.
    pub(super) at: SocketAddr,
    /// The address from which this machine speaks to it.
    pub(super) own: Option<IpAddr>,
    /// What was told.
    pub(super) told: Told,
}

/// What a server told.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// Over HTTP.
    Http {
        /// How it is.
        health: Result<Health, Failure>,
        /// What it says to a question for peers.
        answer: Result<PeersAnswer, Failure>,
        /// What this machine's wall clock showed then, in Unix seconds.
        unix_s: u64,
    },
    /// Over UDP.
    Udp {
        /// What it says to a ping.
        pong: Result<Pong, Failure>,
        /// What it says to STUN.
        mapped: Result<SocketAddr, Failure>,
    },
}

impl Patient {
    /// Those behind these names. Ways to one host are ways to one server.
    pub fn of(urls: impl IntoIterator<Item = ServerUrl>) -> Vec<Self> {
        let mut patients: Vec<Self> = Vec::new();
        for url in urls {
            let host = host_of(&url).map(str::to_owned);
            let known = patients
                .iter_mut()
                .find(|patient| host.is_some() && patient.urls.first().and_then(host_of) == host.as_deref());
            match known {
                Some(patient) => patient.urls.push(url),
                None => patients.push(Self { urls: vec![url], guesses_udp: false }),
            }
        }
        for patient in &mut patients {
            let is_web = |url: &ServerUrl| matches!(url, ServerUrl::Way(way) if way.scheme != Scheme::Udp);
            patient.guesses_udp = patient.urls.iter().all(is_web);
        }
        patients
    }

    /// The server on this machine, with these ports, as `localhost`: over IPv4 and IPv6.
    pub fn local(http_port: u16, udp_port: Option<u16>) -> Self {
        let way = |scheme, port| ServerUrl::Way(Way { scheme, host: "localhost".into(), port });
        let udp = udp_port.map(|port| way(Scheme::Udp, port));
        Self { urls: [way(Scheme::Http, http_port)].into_iter().chain(udp).collect(), guesses_udp: false }
    }

    /// Whether certificates matter.
    pub fn speaks_tls(&self) -> bool {
        let is_tls = |way: &Way| way.scheme == Scheme::Https;
        self.urls.iter().any(|url| match url {
            ServerUrl::Way(way) => is_tls(way),
            ServerUrl::Invite(invite) => invite.ways.iter().any(is_tls),
            ServerUrl::Domain(_) => true,
        })
    }

    /// The network that is asked for.
    fn network(&self) -> &str {
        let invited = self.urls.iter().find_map(|url| match url {
            ServerUrl::Invite(invite) => Some(invite.network.as_str()),
            _ => None,
        });
        invited.unwrap_or(DEFAULT_NETWORK)
    }
}

fn host_of(url: &ServerUrl) -> Option<&str> {
    match url {
        ServerUrl::Way(way) => Some(&way.host),
        _ => None,
    }
}

/// Looks at a server, until then.
pub(super) async fn look(reach: &Reach, patient: &Patient, deadline: Instant) -> Seen {
    let (mut nowhere, mut targets) = (Vec::new(), Vec::new());
    for url in &patient.urls {
        match servers::targets(reach, url, deadline).await {
            Ok(found) => targets.extend(found.into_iter().map(|target| (target, false))),
            Err(failure) => nowhere.push((url.label(), failure)),
        }
    }
    if let Some((first, _)) = targets.first().filter(|_| patient.guesses_udp) {
        let way = Way { scheme: Scheme::Udp, host: first.way.host.clone(), port: DEFAULT_UDP_PORT };
        targets.push((way.into(), true));
    }
    let executor = LocalExecutor::new();
    let network = patient.network();
    let doors = executor.run(async {
        let looking: Vec<_> = targets
            .into_iter()
            .map(|(target, guessed)| executor.spawn(door(reach, target, guessed, network, deadline)))
            .collect();
        let mut doors = Vec::new();
        for door in looking {
            doors.push(door.await);
        }
        doors
    });
    Seen { doors: doors.await, nowhere }
}

/// Looks at all addresses of one way at once.
async fn door(reach: &Reach, target: Target, guessed: bool, network: &str, deadline: Instant) -> Door {
    let (host, port) = target.via.clone().unwrap_or_else(|| (target.way.host.clone(), target.way.port));
    let (way, pin) = (target.way.clone(), target.pin);
    let addresses = match reach.resolve(&host, port, deadline).await {
        Ok(addresses) => addresses,
        Err(failure) => return Door { way, guessed, pin, places: Err(failure) },
    };
    let mut distinct: Vec<SocketAddr> = Vec::new();
    for address in addresses.into_iter().take(MAX_ADDRESSES) {
        if !distinct.contains(&address) {
            distinct.push(address);
        }
    }
    let executor = LocalExecutor::new();
    let places = executor.run(async {
        let looking: Vec<_> = distinct
            .into_iter()
            .map(|at| {
                let via = Some((at.ip().to_string(), at.port()));
                executor.spawn(place(reach, Target { via, ..target.clone() }, at, network, deadline))
            })
            .collect();
        let mut places = Vec::new();
        for place in looking {
            places.push(place.await);
        }
        places
    });
    Door { way, guessed, pin, places: Ok(places.await) }
}

/// Asks at one address.
async fn place(reach: &Reach, to: Target, at: SocketAddr, network: &str, deadline: Instant) -> Place {
    let told = if to.way.scheme == Scheme::Udp {
        let pong = reach.ping(&to, deadline).await;
        let mapped = match pong {
            // Who does not answer one thing does not answer the other.
            Err(Failure::TimedOut) => Err(Failure::TimedOut),
            _ => reach.stun(&to, deadline).await,
        };
        Told::Udp { pong, mapped }
    } else {
        let health = reach.health(&to, deadline).await;
        let query = PeersQuery { network: network.into(), limit: 1, transport: Vec::new(), exclude: None };
        let answer = match &health {
            Ok(_) => reach.peers(&to, &query, deadline).await,
            Err(failure) => Err(failure.clone()),
        };
        Told::Http { health, answer, unix_s: unix_ms() / 1000 }
    };
    Place { at, own: own_address(at), told }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patients(urls: &[&str]) -> Vec<(usize, bool)> {
        let urls = urls.iter().map(|url| ServerUrl::parse(url).unwrap());
        Patient::of(urls).iter().map(|patient| (patient.urls.len(), patient.guesses_udp)).collect()
    }

    #[test]
    fn ways_to_one_host_are_one_server() {
        assert_eq!(patients(&["http://a.b", "https://c.d", "udp://A.B:7"]), [(2, false), (1, true)]);
        assert_eq!(patients(&["udp://a.b", "c.d"]), [(1, false), (1, false)]);
    }

    #[test]
    fn the_local_server_has_the_ports_it_is_given() {
        let urls = |patient: Patient| patient.urls.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(urls(Patient::local(8080, Some(6881))), ["http://localhost:8080", "udp://localhost:6881"]);
        assert_eq!(urls(Patient::local(80, None)), ["http://localhost"]);
    }
}
