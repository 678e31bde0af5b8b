//! The LAN: who is there, by DNS-SD over multicast DNS, and telling that we are.
//!
//! ```no_run
//! use std::time::Duration;
//! use waypost::client::lan;
//!
//! smol::block_on(lan::browse("pscryptochat", Duration::from_secs(2), |service| {
//!     println!("{} is at {} port {}", service.instance, service.host, service.port);
//! }))?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod browser;

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::time::Duration;

use async_io::Timer;
use smol::future::or;

use crate::client::announcer::OwnPeer;
use crate::client::config::service_of;
use crate::endpoint::Endpoint;
use crate::engine::mdns::{Advert, Interface};
use crate::limits::{IO_LOOP_BOUND, MAX_MDNS_PACKET_BYTES, MAX_MDNS_REPLY_BYTES};
use crate::net::clock::Clock;
use crate::net::lan::{Interfaces, Shown, Sockets};
use crate::net::mdns::Advertiser;
use crate::net::process;
use crate::rng::{Rng, Seed};
use crate::wire::dns::NameBuf;
use browser::Browser;

/// Purposes of the keys derived from a seed of our own.
const BROWSING: u8 = 1;
const ADVERTISING: u8 = 2;

/// Somebody on the LAN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanService {
    /// What it calls itself.
    pub instance: String,
    /// Its host's name.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// Its addresses, at least one and at most eight.
    pub addresses: Vec<IpAddr>,
    /// Its UDP port, if it has one.
    pub udp_port: Option<u16>,
    /// Its id: a server's `bootstrap_id`, a peer's own.
    pub id: Option<String>,
    /// Whether it is a bootstrap server, and no peer.
    pub is_server: bool,
    /// The system's number of the interface it was heard on: the scope of its link-local IPv6 addresses.
    pub interface: u32,
}

/// A peer that wants to be found on the LAN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanAdvert {
    /// The DNS-SD service, `_NAME._tcp.local`; `NAME` alone will do.
    pub service: String,
    /// The peer's id.
    pub id: String,
    /// Its TCP port.
    pub port: u16,
    /// Its UDP port, if it has one.
    pub udp_port: Option<u16>,
}

impl LanAdvert {
    /// The advert of a peer that is announced as `own`: its first ports of schemes `tcp` and `udp`. `None` without an id or an endpoint of
    /// scheme `tcp`: the service is one over TCP.
    pub fn of(service: &str, own: &OwnPeer) -> Option<Self> {
        let port = |scheme: &str| {
            let parsed = own.endpoints.iter().filter_map(|text| Endpoint::parse(text).ok());
            parsed.filter(|endpoint| endpoint.scheme == scheme).map(|endpoint| endpoint.port).next()
        };
        Some(Self { service: service.into(), id: own.own_id()?, port: port("tcp")?, udp_port: port("udp") })
    }
}

/// Looks for `service`, `_NAME._tcp.local` or `NAME` alone, for as long as `window`. `found` is called once for everybody, as soon
/// as all is known of it. It shares port 5353 if it can, and asks from another one if it cannot.
///
/// # Errors
/// There is no LAN, the system does not let it be listened to, or the name is none.
pub async fn browse(service: &str, window: Duration, mut found: impl FnMut(LanService)) -> io::Result<()> {
    let clock = Clock::start();
    let (name, _) = names_of(service)?;
    let here = Interfaces::open()?.on_lan(&Shown::default())?;
    if here.is_empty() {
        return Err(io::Error::new(ErrorKind::NotFound, "there is no LAN"));
    }
    let sockets = Sockets::shared().or_else(|_| Sockets::own())?;
    sockets.join(&here, &mut Vec::new());
    let interfaces: Vec<Interface> = here.into_iter().map(|named| named.interface).collect();
    let mut browser =
        Browser::new(clock.now(), name, interfaces, sockets.is_alone(), Rng::new(seed()?.key(BROWSING)));
    let end = clock.now().plus_ms(u64::try_from(window.as_millis()).unwrap_or(u64::MAX));
    let mut packet = vec![0; MAX_MDNS_PACKET_BYTES];
    let mut query = [0; MAX_MDNS_REPLY_BYTES];
    loop {
        let now = clock.now();
        while let Some(length) = browser.poll_transmit(now, &mut query) {
            let query = query.get(..length).unwrap_or_default();
            for interface in browser.interfaces() {
                for is_v4 in [true, false] {
                    sockets.multicast(interface.index, is_v4, query);
                }
            }
        }
        sockets.receive(IO_LOOP_BOUND, &mut packet, |from, packet| browser.receive(now, from, packet));
        browser.complete(now, now >= end).into_iter().for_each(&mut found);
        if now >= end {
            return Ok(());
        }
        let until = browser.poll_timeout().map_or(end, |next| next.min(end));
        let time = async {
            Timer::after(Duration::from_millis(until.ms_since(clock.now()))).await;
            Ok(())
        };
        or(sockets.readable(), time).await?;
    }
}

/// Tells the LAN of a peer until `until` is ready, and then that it is gone.
///
/// # Errors
/// Port 5353 cannot be shared, the system does not tell its interfaces, the build has no feature `mdns`, or the name of the service
/// or the id is too long. That there is no LAN is no error: there may be one later.
pub async fn advertise(advert: LanAdvert, until: impl Future<Output = ()>) -> io::Result<()> {
    let clock = Clock::start();
    let (_, service) = names_of(&advert.service)?;
    let advert = Advert::peer(&service, &advert.id, advert.port, advert.udp_port)
        .map_err(|_| io::Error::new(ErrorKind::InvalidInput, "the id is too long"))?;
    let advertiser = Advertiser::open(advert, Shown::default(), seed()?.key(ADVERTISING), clock)?;
    or(advertiser.run(clock), until).await;
    advertiser.say_goodbye(clock);
    Ok(())
}

/// The whole name of a service, and NAME alone.
fn names_of(service: &str) -> io::Result<(NameBuf, String)> {
    let whole = service_of(service).map_err(|why| io::Error::new(ErrorKind::InvalidInput, why))?;
    let name = whole.trim_start_matches('_').split('.').next().unwrap_or_default().into();
    let whole = NameBuf::from_text(&whole).ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
    Ok((whole, name))
}

fn seed() -> io::Result<Seed> {
    process::seed().map_err(|error| io::Error::other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_run_on_any_executor() {
        let is_send = |_: &dyn Send| ();
        is_send(&browse("chess", Duration::ZERO, |_| ()));
        let advert = LanAdvert { service: "chess".into(), id: "alice".into(), port: 1, udp_port: None };
        is_send(&advertise(advert, async {}));
    }
}
