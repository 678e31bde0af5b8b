//! What a plan orders, what it hears, and what it comes to.

use std::net::IpAddr;

use crate::client::failure::Failure;
use crate::client::pool::Peer;
use crate::client::url::ServerUrl;
use crate::time::Instant;

/// A level of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Bootstrap servers of the configuration.
    Servers,
    /// The local network.
    Lan,
    /// Hard-coded seeds.
    Seeds,
    /// Peers that were found are asked for more.
    Exchange,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Ask this server for peers.
    Ask(ServerUrl),
    /// Listen on the LAN for this service.
    Browse(String),
    /// Ask the peer at this `ADDRESS:PORT` for others.
    Exchange(String),
}

/// One thing that is to be done, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its number: what comes of it is handed in under it.
    pub number: usize,
    /// What is to be done.
    pub task: Task,
    /// When nobody waits for it any longer.
    pub deadline: Instant,
}

/// What a driver does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Start this, and ask again.
    Start(Order),
    /// Wait for what was started, at most until then.
    Wait(Instant),
    /// There is nothing more to do.
    Done,
}

/// Somebody on the LAN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its name there.
    pub name: String,
    /// Whether it is a server, to be asked, and not a peer.
    pub is_server: bool,
    /// A peer's id.
    pub id: Option<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its TCP port.
    pub port: u16,
    /// Its UDP port.
    pub udp_port: Option<u16>,
}

/// Somebody who was asked, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// At which level.
    pub level: Level,
    /// What it is called.
    pub name: String,
    /// How many peers it told of, or why none; `None` while it is waited for.
    pub outcome: Option<Result<usize, Failure>>,
    /// How many of its peers were refused: malformed, or with a wrong signature.
    pub refused: usize,
    /// When it was asked, and when the outcome came.
    pub from: Instant,
    /// See `from`.
    pub to: Instant,
}

/// The result of a discovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// The peers, the often told ones first.
    pub peers: Vec<Peer>,
    /// How many more were told of, and left out by the rules of [`crate::client::pool`].
    pub left_out: usize,
    /// Everybody who was asked, in order.
    pub asked: Vec<Asked>,
    /// The program's own addresses, as servers see them.
    pub you: Vec<IpAddr>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

impl Asked {
    pub(super) fn begun(level: Level, name: String, now: Instant) -> Self {
        Self { level, name, outcome: None, refused: 0, from: now, to: now }
    }

    /// Whether nobody was asked, but the LAN listened to.
    pub fn is_browse(&self) -> bool {
        self.level == Level::Lan && !self.name.contains("://")
    }

    /// How long it took, in milliseconds.
    pub fn ms(&self) -> u64 {
        self.to.ms_since(self.from)
    }
}
