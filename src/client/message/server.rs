//! What a server says of itself.

use std::net::SocketAddr;

use super::fields::Fields;
use super::{nonsense, server_id};
use crate::client::failure::Failure;
use crate::client::json::Document;

/// The answer to a `ping` over UDP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pong {
    /// The server's id, 40 hex digits. Another one than before means that it started anew.
    pub server_id: Option<String>,
    /// The asker's address and port as the server sees them.
    pub you: Option<SocketAddr>,
}

/// How a server is, from `GET /health`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// `healthy` or `degraded`.
    pub status: String,
    /// Seconds since it started.
    pub uptime_s: Option<u64>,
    /// How many peers it has; small numbers are rounded.
    pub peers: Option<u64>,
    /// Its version.
    pub version: Option<String>,
}

/// What `GET /.well-known/waypost` says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WellKnown {
    /// Servers that serve for this one, with their priorities, lowest first; empty = it serves itself.
    pub servers: Vec<(String, u32)>,
    /// Its id, 40 hex digits.
    pub bootstrap_id: Option<String>,
}

impl Pong {
    /// The `ping` datagram, `id` being the message's.
    pub fn datagram(id: &str) -> String {
        Fields::message("ping", id).end()
    }

    /// Reads a `pong`.
    ///
    /// # Errors
    /// [`Failure::Nonsense`] if it is none.
    pub fn parse(datagram: &[u8]) -> Result<Self, Failure> {
        let document = Document::parse(datagram).ok_or(Failure::Nonsense("no strict JSON object"))?;
        let you = document.text("you").map_err(nonsense)?;
        Ok(Self {
            server_id: server_id(&document, "server_id")?,
            you: you.map(|text| text.parse().map_err(|_| Failure::Nonsense("you"))).transpose()?,
        })
    }
}

impl Health {
    /// Reads the body of `GET /health`.
    ///
    /// # Errors
    /// [`Failure::Nonsense`] if it is none.
    pub fn parse(body: &[u8]) -> Result<Self, Failure> {
        let document = Document::parse(body).ok_or(Failure::Nonsense("no strict JSON object"))?;
        let status = document.text("status").map_err(nonsense)?;
        let status = status.filter(|status| matches!(*status, "healthy" | "degraded"));
        let peers = document.object("peers").map_err(nonsense)?;
        Ok(Self {
            status: status.ok_or(Failure::Nonsense("no status"))?.into(),
            uptime_s: document.number("uptime_seconds").map_err(nonsense)?,
            peers: peers.map_or(Ok(None), |peers| peers.number("total")).map_err(nonsense)?,
            version: document.text("version").map_err(nonsense)?.map(Into::into),
        })
    }
}

impl WellKnown {
    /// Reads the body of `GET /.well-known/waypost`.
    ///
    /// # Errors
    /// [`Failure::Nonsense`] if it is none.
    pub fn parse(body: &[u8]) -> Result<Self, Failure> {
        let document = Document::parse(body).ok_or(Failure::Nonsense("no strict JSON object"))?;
        let mut servers = Vec::new();
        for entry in document.list("servers").map_err(nonsense)?.ok_or(Failure::Nonsense("no servers"))? {
            let server = Document::parse(entry.as_bytes()).ok_or(Failure::Nonsense("servers"))?;
            let url = server.text("url").map_err(nonsense)?.ok_or(Failure::Nonsense("no url"))?;
            servers.push((url.into(), server.number("priority").map_err(nonsense)?.unwrap_or(1)));
        }
        servers.sort_by_key(|(_, priority)| *priority);
        Ok(Self { servers, bootstrap_id: server_id(&document, "bootstrap_id")? })
    }
}
