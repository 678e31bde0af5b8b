//! What an announcer asks to be done, and what it has to tell.

use std::fmt;
use std::net::IpAddr;

use super::OwnPeer;
use crate::client::failure::Failure;
use crate::client::message::{Announce, Leave};
use crate::client::url::{ServerUrl, Target};
use crate::time::Instant;

/// What to do next. `server` and `origin` are the numbers under which to tell what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Find the ways to who is called so, a domain or an invite, and tell [`super::Announcer::located`].
    Locate {
        /// Its number.
        origin: usize,
        /// The domain, or the invite.
        url: ServerUrl,
        /// Whether what was learnt of it before is to be forgotten: it led to another server than it said.
        afresh: bool,
    },
    /// Ask a server who it is and who we are, and tell [`super::Announcer::asked`].
    Ask {
        /// Its number.
        server: usize,
        /// The way to it.
        target: Target,
    },
    /// Announce at a server, and tell [`super::Announcer::answered`].
    Announce {
        /// Its number.
        server: usize,
        /// The way to it.
        target: Target,
        /// What to send.
        announce: Box<Announce>,
    },
    /// Solve a challenge, and tell [`super::Announcer::solved`].
    Solve {
        /// The server's number.
        server: usize,
        /// The challenge.
        challenge: String,
        /// How many bits of work.
        difficulty: u8,
    },
    /// Nothing before this moment, unless something comes back.
    Wait(Instant),
    /// Nothing until something comes back. If nothing is under way, nothing ever.
    Nothing,
}

/// A goodbye to be said.
#[derive(Clone, Debug)]
pub struct Goodbye {
    /// What the server is called.
    pub server: String,
    /// Ways to it, the one in use first.
    pub ways: Vec<Target>,
    /// What to send.
    pub leave: Leave,
    own: OwnPeer,
    step: u64,
}

impl Goodbye {
    pub(super) fn new(
        server: String,
        ways: Vec<Target>,
        own: OwnPeer,
        seq: u64,
        token: Option<String>,
    ) -> Self {
        Self { server, ways, leave: own.leave(seq, token), own, step: 1 }
    }

    /// Takes a higher number for a signed one, as the server found this one stale: steps are doubled each time. Whether
    /// there is one.
    pub fn raise(&mut self) -> bool {
        let Some(seal) = self.leave.seal else { return false };
        self.step = self.step.saturating_mul(2);
        let raised = self.own.leave(seal.seq.saturating_add(self.step), self.leave.token.take());
        let is_signed = raised.seal.is_some();
        self.leave = raised;
        is_signed
    }
}

/// What a server answered to the question who it is and who we are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Introduction {
    /// Our address as it sees it.
    pub you: Option<IpAddr>,
    /// Its id, 40 hex digits.
    pub bootstrap_id: Option<String>,
    /// Its wall clock, in Unix seconds.
    pub server_time: Option<u64>,
}

/// Something that the user of a peer may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What the server is called: the URL of the way to it that was taken, or the domain whose servers were not found.
    pub server: String,
    /// What happened there.
    pub what: What,
}

/// What happened at a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The peer is registered.
    Registered {
        /// Its id.
        id: String,
        /// Seconds until that ends.
        expires_s: u32,
        /// Its address as the server sees it.
        you: Option<IpAddr>,
        /// Gives the right to refresh and leave from another address.
        token: Option<String>,
        /// When it is announced again; `None` = not by this announcer.
        again: Option<Instant>,
    },
    /// The server wants so many bits of work, and gets them.
    Works(u8),
    /// It came to nothing.
    Failed {
        /// Why.
        failure: Failure,
        /// When it is tried again; `None` = not by this announcer.
        again: Option<Instant>,
    },
    /// The server was told goodbye. Whether the peer was in its table.
    Left(bool),
    /// The goodbye did not get through.
    NotLeft(Failure),
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.server, self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registered { expires_s, you, .. } => {
                f.write_str("registered")?;
                you.map_or(Ok(()), |ip| write!(f, " as {ip}"))?;
                write!(f, " for {expires_s} s")
            }
            Self::Works(bits) => write!(f, "it asks for {bits} bits of work, which is being done"),
            Self::Failed { failure, .. } => failure.fmt(f),
            Self::Left(true) => f.write_str("left"),
            Self::Left(false) => f.write_str("was not there"),
            Self::NotLeft(failure) => write!(f, "not told goodbye: {failure}"),
        }
    }
}
