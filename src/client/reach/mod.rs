//! Asks servers over the network: HTTP, HTTPS and UDP, each question within its time.
//!
//! Nothing here decides whom to ask or whom to believe: a [`Reach`] is given one server and one question, and brings back its
//! answer or why there is none. Futures may be dropped at any time; what they had open is closed then.

mod datagrams;
mod dns;
mod domain;
mod names;
pub(super) mod race;
mod redirect;
#[cfg(feature = "https")]
mod tls;
mod web;

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::failure::Failure;
use super::http::{self, Caching, Response};
use super::lookup::Cache;
use super::message::{Announce, AnnounceAnswer, Health, Leave, PeersAnswer, PeersQuery, Pong, WellKnown};
use super::udp::{Answer, Question};
use super::url::{Scheme, Target};
use crate::engine::identity::{Nonce, ReplySignature};
use crate::id::{NetworkKey, first_20};
use crate::net::clock::Clock;
use crate::rng::{Rng, Seed};
use crate::time::Instant;
use crate::wire::{hex, sha256};
use datagrams::Tokens;
use names::Resolver;
use race::within;
use web::granted;

/// What a seed is used for here.
const PURPOSE: u8 = b'r';
/// Length of the nonce of a signed reply, in bytes.
const NONCE_BYTES: usize = 16;

/// What all questions share: the clock, randomness, look-ups, and what was learnt.
pub struct Reach {
    clock: Clock,
    rng: Mutex<Rng>,
    resolver: Resolver,
    tokens: Mutex<Tokens>,
    #[cfg(feature = "https")]
    trust: tls::Trust,
    /// What was learnt of domains.
    domains: Mutex<Cache>,
}

impl Reach {
    /// One with this clock, whose instants are the deadlines, and randomness from `seed`.
    pub fn new(clock: Clock, seed: &Seed) -> Self {
        Self {
            clock,
            rng: Mutex::new(Rng::new(seed.key(PURPOSE))),
            resolver: Resolver::new(),
            tokens: Mutex::new(Tokens::default()),
            #[cfg(feature = "https")]
            trust: tls::Trust::default(),
            domains: Mutex::new(Cache::default()),
        }
    }

    /// The same, but trusting these CA certificates (X.509, in DER) over HTTPS, and not those of the system.
    #[cfg(feature = "https")]
    #[must_use]
    pub fn trusting(self, roots: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self { trust: tls::Trust::of(roots), ..self }
    }

    /// Its clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Asks a server for peers. If a key is pinned, the answer must be signed by it, which it can be over HTTP only.
    ///
    /// # Errors
    /// [`Failure`]; [`Failure::WrongIdentity`] if the answer is not the pinned server's.
    pub async fn peers(
        &self,
        to: &Target,
        query: &PeersQuery,
        deadline: Instant,
    ) -> Result<PeersAnswer, Failure> {
        let network = NetworkKey::of_name(&query.network).map_err(|_| {
            Failure::Unsupported("the network's name must be 1 to 64 bytes of [A-Za-z0-9._-]")
        })?;
        if to.way.scheme == Scheme::Udp {
            if to.pin.is_some() {
                return Err(Failure::Unsupported("over UDP a server cannot prove its key"));
            }
            return match self.ask(to, Question::Peers(query), deadline).await? {
                Answer::Peers(answer) => Ok(answer),
                _ => Err(OTHER_ANSWER),
            };
        }
        let nonce = to.pin.map(|_| self.nonce());
        let request = http::get(&to.way.host_field(), &query.target(nonce.as_deref()))?;
        let (response, from) = self.exchange(to, request, deadline).await?;
        let signature = response.signature.clone();
        let body = granted(response)?;
        if let Some((pin, nonce)) = to.pin.zip(nonce) {
            check_signature(&pin, &nonce, signature.as_deref(), &body)?;
        }
        Ok(PeersAnswer { from: Some(from), ..PeersAnswer::parse(&body, network)? })
    }

    /// Announces a peer to a server. Work is not done here: that it is wanted is an answer. Servers do not sign these answers, so a
    /// pinned key is not looked at.
    ///
    /// # Errors
    /// [`Failure`]; [`Failure::Refused`] with the server's word.
    pub async fn announce(
        &self,
        to: &Target,
        announce: &Announce,
        deadline: Instant,
    ) -> Result<AnnounceAnswer, Failure> {
        if to.way.scheme == Scheme::Udp {
            return match self.ask(to, Question::Announce(announce), deadline).await? {
                Answer::Announce(answer) => Ok(answer),
                _ => Err(OTHER_ANSWER),
            };
        }
        let request = http::post(&to.way.host_field(), "/announce", &announce.body())?;
        let (response, _) = self.exchange(to, request, deadline).await?;
        match response.status {
            // 428: work is wanted.
            428 => AnnounceAnswer::parse(&response.body),
            _ => AnnounceAnswer::parse(&granted(response)?),
        }
    }

    /// Takes a peer back from a server. Returns whether it was there.
    ///
    /// # Errors
    /// [`Failure`]; [`Failure::Refused`] with the server's word.
    pub async fn leave(&self, to: &Target, leave: &Leave, deadline: Instant) -> Result<bool, Failure> {
        if to.way.scheme == Scheme::Udp {
            return match self.ask(to, Question::Leave(leave), deadline).await? {
                Answer::Left(removed) => Ok(removed),
                _ => Err(OTHER_ANSWER),
            };
        }
        let request = http::post(&to.way.host_field(), "/leave", &leave.body())?;
        let (response, _) = self.exchange(to, request, deadline).await?;
        Leave::parse_answer(&granted(response)?)
    }

    /// Asks a server how it is, over HTTP.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn health(&self, to: &Target, deadline: Instant) -> Result<Health, Failure> {
        Health::parse(&granted(self.get(to, "/health", deadline).await?)?)
    }

    /// Asks a server who it is and who serves for it, over HTTP. Redirects to https:// are followed, up to five.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn well_known(&self, to: &Target, deadline: Instant) -> Result<(WellKnown, Caching), Failure> {
        let response = self.get_following(to, "/.well-known/waypost", deadline).await?;
        let caching = response.caching;
        Ok((WellKnown::parse(&granted(response)?)?, caching))
    }

    /// Gets anything from a server over HTTP, whatever its status. `target` is a path, with a query if need be.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn get(&self, to: &Target, target: &str, deadline: Instant) -> Result<Response, Failure> {
        let request = http::get(&to.way.host_field(), target)?;
        Ok(self.exchange(to, request, deadline).await?.0)
    }

    /// Asks a server over UDP whether it is there, who it is and which address we have. That it is the pinned one is what it says,
    /// and not proved.
    ///
    /// # Errors
    /// [`Failure`]; [`Failure::WrongIdentity`] if it says that it is another one than is pinned.
    pub async fn ping(&self, to: &Target, deadline: Instant) -> Result<Pong, Failure> {
        let Answer::Pong(pong) = self.ask(to, Question::Ping, deadline).await? else {
            return Err(OTHER_ANSWER);
        };
        let pinned = to.pin.map(|id| hex_of(&id));
        let is_other = pong.server_id.is_some() && pinned.is_some() && pong.server_id != pinned;
        if is_other { Err(OTHER_KEY) } else { Ok(pong) }
    }

    /// Asks a server's UDP port by STUN (RFC 8489) which address and port we have there.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn stun(&self, to: &Target, deadline: Instant) -> Result<SocketAddr, Failure> {
        self.bind_over_stun(to, deadline).await
    }

    /// The addresses of a host: a name, or an address without brackets.
    ///
    /// # Errors
    /// [`Failure::NoSuchHost`], [`Failure::TimedOut`]
    pub async fn resolve(
        &self,
        host: &str,
        port: u16,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, Failure> {
        within(self.clock, deadline, self.resolver.look_up(host, port)).await
    }

    /// Asks a peer for other peers, as a server is asked over UDP, but in few bytes and twice at most unless it shows that it
    /// hears: its address may be made up.
    ///
    /// # Errors
    /// [`Failure`]
    pub async fn find_peers_at(
        &self,
        peer: SocketAddr,
        query: &PeersQuery,
        deadline: Instant,
    ) -> Result<PeersAnswer, Failure> {
        match self.ask_at(peer, Question::PeersOfStranger(query), deadline).await? {
            Answer::Peers(answer) => Ok(answer),
            _ => Err(OTHER_ANSWER),
        }
    }

    /// A nonce that nobody can foresee, in hex.
    fn nonce(&self) -> String {
        hex_of(&self.random_bytes::<NONCE_BYTES>())
    }

    /// A generator of its own for someone who draws much.
    pub(crate) fn rng(&self) -> Rng {
        Rng::new(Seed(self.random_bytes()).key(PURPOSE))
    }

    /// The time on its clock.
    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        let mut rng = held(&self.rng);
        let random = std::iter::repeat_with(|| rng.next_u64().to_le_bytes()).flatten();
        bytes.iter_mut().zip(random).for_each(|(to, from)| *to = from);
        bytes
    }
}

const OTHER_ANSWER: Failure = Failure::Nonsense("an answer to another question");
const OTHER_KEY: Failure = Failure::WrongIdentity("it has another key than the one that is expected");

/// Checks that `body` is signed for `nonce` by the key that makes the id `pin`.
fn check_signature(pin: &[u8; 20], nonce: &str, signature: Option<&str>, body: &[u8]) -> Result<(), Failure> {
    let signature = signature.ok_or(Failure::WrongIdentity("it does not sign its answer"))?;
    let signature = ReplySignature::parse(signature)
        .ok_or(Failure::WrongIdentity("the signature of its answer is malformed"))?;
    if first_20(&sha256::digest(&[signature.key()])) != *pin {
        return Err(OTHER_KEY);
    }
    let verified = Nonce::parse(nonce).is_some_and(|nonce| signature.verify(&nonce, body));
    if verified { Ok(()) } else { Err(Failure::WrongIdentity("its answer is not signed for this question")) }
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| hex::encode(*byte)).map(char::from).collect()
}

/// What a mutex guards. Nothing here is left half done by a panic.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reply of docs/signatures.md.
    const SIGNATURE: &str = "key=A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg, \
        sig=13l5aJxMapbcEi50ELLrRWidSi_RttnOT6WSPLZXw9ARyV69UsCX5mmQuHWK96A-5qpe20oYahbsl8J7h5k8Bg";
    const NONCE: &str = "00112233445566778899aabbccddeeff";

    fn pin(text: &str) -> [u8; 20] {
        hex::decode(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_signature_must_be_of_the_pinned_key_this_nonce_and_this_body() {
        let id = pin("56475aa75463474c0285df5dbf2bcab73da65135");
        let check = |id, nonce, signature, body| check_signature(&id, nonce, signature, body);
        let body = br#"{"peers":[]}"#.as_slice();
        assert_eq!(check(id, NONCE, Some(SIGNATURE), body), Ok(()));
        assert_eq!(check([7; 20], NONCE, Some(SIGNATURE), body), Err(OTHER_KEY));
        let bad = SIGNATURE.replace("sig=13", "sig=23");
        for (nonce, signature, body) in [
            (NONCE, None, body),
            (NONCE, Some(&SIGNATURE[..80]), body),
            (NONCE, Some(bad.as_str()), body),
            (&NONCE.replace('f', "e"), Some(SIGNATURE), body),
            (NONCE, Some(SIGNATURE), br#"{"peers":[1]}"#),
        ] {
            let checked = check(id, nonce, signature, body);
            assert!(matches!(checked, Err(Failure::WrongIdentity(_))), "{checked:?}");
        }
    }

    #[test]
    fn nonces_differ() {
        let reach = Reach::new(Clock::start(), &Seed([1; 32]));
        let (one, other) = (reach.nonce(), reach.nonce());
        assert!(one != other && Nonce::parse(&one).is_some());
        let elsewhere = Reach::new(Clock::start(), &Seed([2; 32]));
        assert_ne!(elsewhere.nonce(), one);
    }

    /// Programs with more than one thread can use it.
    #[test]
    fn questions_may_move_between_threads() {
        fn is_send<T: Send>(_: T) {}
        let reach = Reach::new(Clock::start(), &Seed([1; 32]));
        let to = Target::from(super::super::url::Way::parse("udp://127.0.0.1:1").unwrap());
        let query = PeersQuery { network: "chess".into(), limit: 1, transport: Vec::new(), exclude: None };
        is_send(reach.peers(&to, &query, Instant::START));
        is_send(reach.ping(&to, Instant::START));
        is_send(reach.stun(&to, Instant::START));
        is_send(reach.well_known(&to, Instant::START));
        is_send(reach.locate("a.example", Instant::START));
    }
}
