//! One question over UDP, on a socket of its own.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use async_io::Async;

use super::race::{first_of, until, within};
use super::{Reach, held};
use crate::client::failure::{Failure, unreachable};
use crate::client::udp::{Answer, Dialogue, FIRST_PAUSE_MS, Question, TOKEN_LIFE_MS};
use crate::client::url::{Scheme, Target};
use crate::time::Instant;
use crate::wire::Writer;
use crate::wire::stun;

/// Longest datagram that is looked at, in bytes: longer than any that fits a frame.
const MAX_DATAGRAM_BYTES: usize = 2048;
/// Most tokens that are kept.
const MAX_TOKENS: usize = 64;

/// The tokens that servers have given us lately.
#[derive(Default)]
pub(super) struct Tokens(BTreeMap<SocketAddr, (String, Instant)>);

impl Tokens {
    fn of(&self, now: Instant, server: SocketAddr) -> Option<&str> {
        let (token, since) = self.0.get(&server)?;
        (now.ms_since(*since) < TOKEN_LIFE_MS).then_some(token)
    }

    /// Keeps a token. One that is kept already does not get any younger.
    fn keep(&mut self, now: Instant, server: SocketAddr, token: &str) {
        if self.of(now, server) == Some(token) {
            return;
        }
        self.0.retain(|_, (_, since)| now.ms_since(*since) < TOKEN_LIFE_MS);
        if self.0.len() >= MAX_TOKENS {
            let oldest = self.0.iter().min_by_key(|(_, (_, since))| *since).map(|(server, _)| *server);
            oldest.and_then(|oldest| self.0.remove(&oldest));
        }
        self.0.insert(server, (token.into(), now));
    }
}

impl Reach {
    /// Asks a server over UDP, at whichever of its addresses answers.
    pub(super) async fn ask(
        &self,
        to: &Target,
        question: Question<'_>,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let server = self.door_that_answers(to, deadline).await?;
        self.ask_at(server, question, deadline).await
    }

    /// The address of a server's UDP port. If there are several, it is the first that answers a ping: an announce must not go
    /// to two of them, as it would be that of two hosts.
    async fn door_that_answers(&self, to: &Target, deadline: Instant) -> Result<SocketAddr, Failure> {
        if to.way.scheme != Scheme::Udp {
            return Err(Failure::Unsupported("only udp:// servers can be asked over UDP"));
        }
        let (host, port) = to.door();
        let addresses = self.resolve(host, port, deadline).await?;
        if let [only] = addresses.as_slice() {
            return Ok(*only);
        }
        let now = self.clock.now();
        if let Some(known) = addresses.iter().find(|server| held(&self.tokens).of(now, **server).is_some()) {
            return Ok(*known);
        }
        let ping = async |server| self.ask_at(server, Question::Ping, deadline).await.map(|_| server);
        within(self.clock, deadline, first_of(&addresses, ping)).await
    }

    /// Asks whoever is at `server`.
    pub(super) async fn ask_at(
        &self,
        server: SocketAddr,
        question: Question<'_>,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        let socket = connected(server).await?;
        let mut buffer = vec![0; MAX_DATAGRAM_BYTES];
        let now = self.clock.now();
        let token = held(&self.tokens).of(now, server).map(Into::into);
        let mut dialogue = Dialogue::new(now, question, server, token, &mut held(&self.rng), deadline);
        loop {
            let now = self.clock.now();
            if dialogue.is_over(now) {
                return Err(Failure::TimedOut);
            }
            if let Some(datagram) = dialogue.poll_transmit(now) {
                socket.send(datagram.as_bytes()).await.map_err(|error| Failure::of_io(&error))?;
            }
            let Some(received) =
                until(self.clock, dialogue.poll_timeout(), socket.recv_from(&mut buffer)).await
            else {
                continue;
            };
            let (length, from) = received.map_err(|error| Failure::of_io(&error))?;
            let now = self.clock.now();
            let answer = dialogue.receive(now, from, buffer.get(..length).unwrap_or_default());
            if let Some(token) = dialogue.token() {
                held(&self.tokens).keep(now, server, token);
            }
            if let Some(answer) = answer {
                return answer;
            }
        }
    }

    /// Asks a server's UDP port by STUN which address we have.
    pub(super) async fn bind_over_stun(&self, to: &Target, deadline: Instant) -> Result<SocketAddr, Failure> {
        if to.way.scheme != Scheme::Udp {
            return Err(Failure::Unsupported("only udp:// servers can be asked over STUN"));
        }
        let (host, port) = to.door();
        let addresses = self.resolve(host, port, deadline).await?;
        let ask = async |server| self.stun_at(server, deadline).await;
        within(self.clock, deadline, first_of(&addresses, ask)).await
    }

    async fn stun_at(&self, server: SocketAddr, deadline: Instant) -> Result<SocketAddr, Failure> {
        let socket = connected(server).await?;
        let id = self.random_bytes::<12>();
        let mut request = [0; stun::HEADER_BYTES];
        stun::emit_request(&id, &mut Writer::new(&mut request)).map_err(|_| Failure::TooLong)?;
        let mut buffer = vec![0; MAX_DATAGRAM_BYTES];
        let (mut send_at, mut pause_ms) = (self.clock.now(), FIRST_PAUSE_MS);
        loop {
            let now = self.clock.now();
            if now >= deadline {
                return Err(Failure::TimedOut);
            }
            if now >= send_at {
                socket.send(&request).await.map_err(|error| Failure::of_io(&error))?;
                (send_at, pause_ms) = (now.plus_ms(pause_ms), pause_ms.saturating_mul(2));
            }
            let wait = until(self.clock, send_at.min(deadline), socket.recv(&mut buffer));
            let Some(received) = wait.await else { continue };
            let length = received.map_err(|error| Failure::of_io(&error))?;
            let datagram = buffer.get(..length).unwrap_or_default();
            if let Some(address) = stun::mapped_address(datagram, &id) {
                return Ok(address);
            }
        }
    }
}

/// A socket that hears `server` only, and hears that nobody is there.
pub(super) async fn connected(server: SocketAddr) -> Result<Async<UdpSocket>, Failure> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = Async::<UdpSocket>::bind((any, 0)).map_err(|error| unreachable(&error))?;
    socket.get_ref().connect(server).map_err(|error| unreachable(&error))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_kept_for_its_life() {
        let (a, b) = ("192.0.2.1:1".parse().unwrap(), "192.0.2.1:2".parse().unwrap());
        let mut tokens = Tokens::default();
        tokens.keep(Instant::START, a, "A");
        assert_eq!((tokens.of(Instant::START, a), tokens.of(Instant::START, b)), (Some("A"), None));
        let later = Instant::from_ms(TOKEN_LIFE_MS - 1);
        tokens.keep(later, a, "A");
        assert_eq!(tokens.of(later, a), Some("A"));
        assert_eq!(tokens.of(later.plus_ms(1), a), None, "used does not mean younger");
        tokens.keep(later.plus_ms(1), a, "B");
        assert_eq!(tokens.of(later.plus_ms(1), a), Some("B"));
    }

    #[test]
    fn only_so_many_are_kept() {
        let mut tokens = Tokens::default();
        for port in 1..=200_u16 {
            tokens.keep(Instant::from_ms(port.into()), ([127, 0, 0, 1], port).into(), "T");
        }
        assert_eq!(tokens.0.len(), MAX_TOKENS);
        assert!(tokens.of(Instant::from_ms(200), ([127, 0, 0, 1], 200).into()).is_some());
    }
}
