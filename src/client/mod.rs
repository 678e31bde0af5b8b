//! What programs that use servers need: the whole fallback chain, announcing, and invites.
//!
//! ```no_run
//! use waypost::client::announcer::OwnPeer;
//! use waypost::client::{Client, Config};
//!
//! let config = Config::of_server("https://bootstrap1.example.com")?.with_server("udp://198.51.100.7:6881")?;
//! let client = Client::new(config)?;
//! let found = smol::block_on(client.discover())?;
//! for peer in &found.peers {
//!     println!("{} is at {}", peer.id.as_deref().unwrap_or("somebody"), peer.endpoints.join(" or "));
//! }
//! let me = OwnPeer::unsigned("pscryptochat", "alice", &["tcp://:9000"]);
//! let quit = smol::future::pending(); // ready when the program ends
//! smol::block_on(client.keep_announced(me, |event| println!("{event}"), quit))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How it is made
//!
//! What is decided is sans-IO and tested under a virtual time: [`plan`] (whom to ask next), [`pool`] (what to believe of what was told),
//! [`announcer`] (when to announce again), [`lookup`] (what a domain stands for).  What is said is values: [`message`], [`url`], [`invite`],
//! [`failure`]. [`reach`] alone has sockets, and [`discover`] drives a plan with it. Everything runs on the caller's thread, on
//! any executor of smol's kind; only the system's resolver and the solving of challenges have threads of their own.
//!
//! Nothing that a server says is believed further than it must be: answers are bounded and read strictly, signatures are
//! verified, no server is more than a third of a result, and nobody can have a client work for ever (see [`pow`]).
#![deny(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::string_slice))]

pub mod announcer;
pub mod cache;
pub mod config;
pub mod date;
pub mod discover;
pub mod doctor;
pub mod failure;
pub mod http;
pub mod invite;
mod json;
pub mod lan;
pub mod lookup;
pub mod message;
pub mod plan;
pub mod pool;
pub mod pow;
pub mod qr;
pub mod reach;
pub mod seeds;
pub mod servers;
pub mod udp;
pub mod url;

use std::future::Future;
use std::io;

use smol::channel::bounded;
use smol::future::zip;

use crate::net::clock::Clock;
use crate::net::process;
use announcer::{Announcer, BadPeer, Event, OwnPeer, keep_announced};
use lan::LanAdvert;
use reach::Reach;

pub use config::{Config, ConfigError};
pub use plan::Discovery;
pub use pool::{Peer, Source};

/// Finds peers and lets a peer be found, by one configuration.
pub struct Client {
    config: Config,
    reach: Reach,
}

impl Client {
    /// A client of this configuration. It asks nobody yet.
    ///
    /// # Errors
    /// [`ConfigError`] if the configuration is wrong, or the system has no randomness.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let seed = process::seed()
            .map_err(|error| ConfigError::of(format_args!("no randomness from the system: {error}")))?;
        Ok(Self { config, reach: Reach::new(Clock::start(), &seed) })
    }

    /// Finds peers by the whole chain, within the time that the configuration gives.
    ///
    /// # Errors
    /// None but of the configuration: that nobody was found is a result, which tells who was asked and why they gave nothing.
    pub async fn discover(&self) -> Result<Discovery, ConfigError> {
        self.discover_with(|_| {}).await
    }

    /// The same; `told` hears of everybody who is asked, and once more what came of it.
    ///
    /// # Errors
    /// As [`Client::discover`].
    pub async fn discover_with(&self, told: impl FnMut(&plan::Asked)) -> Result<Discovery, ConfigError> {
        discover::discover(&self.reach, &self.config, told).await
    }

    /// Keeps a peer announced at the first eight servers of the configuration, and on the LAN if that is looked on and the peer has an
    /// endpoint of scheme `tcp`, until `stop` is ready. Then everybody is told goodbye, within a second. `told` hears how the
    /// servers take it; that there is no LAN is told to nobody. Without an interval it announces once, and is done when all
    /// servers have answered.
    ///
    /// # Errors
    /// [`BadPeer`] if no server could take the peer.
    pub async fn keep_announced(
        &self,
        own: OwnPeer,
        told: impl FnMut(Event),
        stop: impl Future<Output = ()>,
    ) -> Result<(), BadPeer> {
        let advert = self.config.lan_service.as_ref().and_then(|service| LanAdvert::of(service, &own));
        let mut announcer = Announcer::of(&self.reach, &self.config, own)?;
        // There may be no LAN, and nobody misses it.
        let _ = keep_present(&self.reach, &mut announcer, advert, told, stop).await;
        Ok(())
    }

    /// What questions to single servers are asked with.
    pub const fn reach(&self) -> &Reach {
        &self.reach
    }

    /// The configuration.
    pub const fn config(&self) -> &Config {
        &self.config
    }
}

/// Keeps a peer announced at servers and, if there is an advert, on the LAN, until `stop` is ready. Then everybody is told goodbye.
///
/// # Errors
/// Why the LAN could not be told; the servers were.
pub async fn keep_present(
    reach: &Reach,
    announcer: &mut Announcer,
    advert: Option<LanAdvert>,
    told: impl FnMut(Event),
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let (announcing, over) = bounded::<()>(1);
    let servers = async {
        keep_announced(reach, announcer, told, stop).await;
        drop(announcing);
    };
    let neighbours = async {
        let end = async {
            let _ = over.recv().await;
        };
        match advert {
            Some(advert) => lan::advertise(advert, end).await,
            None => Ok(()),
        }
    };
    zip(servers, neighbours).await.1
}
