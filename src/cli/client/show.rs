//! How peers, and those who told of them, are shown: to people in lines, to programs as JSON.
//!
//! Ids, endpoints and words of servers come from the network. Ids and endpoints have been checked to be plain ASCII; whatever
//! else is shown goes through [`Quoted`].

use std::fmt::Write as _;

use crate::client::plan::{Asked, Level};
use crate::client::pool::{Peer, Source};
use crate::quoted::Quoted;
use crate::wire::hex;

/// One line a peer: id, endpoints, what is known of it, and who told of it.
pub(super) fn peers(peers: &[Peer]) -> String {
    let widest = |of: fn(&Peer) -> usize| peers.iter().map(of).max().unwrap_or(0);
    let (ids, endpoints) = (widest(|peer| id(peer).len()).min(40), widest(|peer| joined(peer).len()).min(60));
    let mut text = String::new();
    for peer in peers {
        let age = peer.age_s.map_or_else(String::new, |s| format!("{s} s ago, "));
        let signed = if peer.seal.is_some() { "signed, " } else { "" };
        let sources: Vec<String> = peer.sources.iter().map(told_by).collect();
        // A string takes everything.
        let _ = writeln!(
            text,
            "{:ids$}  {:endpoints$}  {age}{signed}from {}",
            id(peer),
            joined(peer),
            sources.join(" and ")
        );
    }
    text
}

/// One line about somebody who was asked, and what came of it.
pub(super) fn asked(asked: &Asked) -> String {
    let ms = asked.ms();
    let what = match &asked.outcome {
        None => "is asked".into(),
        Some(Err(failure)) => failure.to_string(),
        Some(Ok(0)) if asked.is_browse() => format!("nobody in {ms} ms"),
        Some(Ok(found)) if asked.is_browse() => format!("{found} found in {ms} ms"),
        Some(Ok(told)) => {
            let refused = match asked.refused {
                0 => String::new(),
                n => format!(", {n} more refused as malformed or forged"),
            };
            format!("{} in {ms} ms{refused}", number_of(*told))
        }
    };
    format!("{:9} {:34} {what}", level(asked.level), asked.name)
}

/// `1 peer`, `2 peers`.
pub(super) fn number_of(peers: usize) -> String {
    format!("{peers} peer{}", if peers == 1 { "" } else { "s" })
}

/// The peers as a JSON list.
pub(super) fn peers_json(peers: &[Peer]) -> String {
    list(peers.iter().map(|peer| {
        let id = peer.id.as_deref().map_or_else(|| "null".into(), |id| Quoted(id).to_string());
        let age = peer.age_s.map_or_else(|| "null".into(), |age| age.to_string());
        let endpoints = list(peer.endpoints.iter().map(|text| Quoted(text).to_string()));
        let sources = list(peer.sources.iter().map(|source| {
            let (kind, name) = parts(source);
            format!("{{\"kind\":\"{kind}\",\"name\":{}}}", Quoted(name))
        }));
        format!(
            "{{\"id\":{id},\"endpoints\":{endpoints},\"age\":{age},\"signed\":{},\"sources\":{sources}}}",
            peer.seal.is_some()
        )
    }))
}

/// Those who were asked as a JSON list.
pub(super) fn asked_json(asked: &[Asked]) -> String {
    list(asked.iter().map(|asked| {
        let (peers, error) = match &asked.outcome {
            Some(Ok(told)) => (told.to_string(), "null".into()),
            Some(Err(failure)) => ("0".into(), Quoted(&failure.to_string()).to_string()),
            None => ("0".into(), "null".into()),
        };
        format!(
            "{{\"level\":\"{}\",\"name\":{},\"ok\":{},\"peers\":{peers},\"refused\":{},\"error\":{error},\"ms\":{}}}",
            level(asked.level),
            Quoted(&asked.name),
            matches!(asked.outcome, Some(Ok(_))),
            asked.refused,
            asked.ms()
        )
    }))
}

/// Bytes as hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|&byte| hex::encode(byte)).map(char::from).collect()
}

/// A JSON list of these values.
pub(super) fn list(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<_>>().join(","))
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Servers => "server",
        Level::Lan => "lan",
        Level::Seeds => "seed",
        Level::Exchange => "exchange",
    }
}

fn id(peer: &Peer) -> &str {
    peer.id.as_deref().unwrap_or("-")
}

fn joined(peer: &Peer) -> String {
    peer.endpoints.join(" ")
}

fn told_by(source: &Source) -> String {
    match source {
        Source::Server(name) => name.clone(),
        Source::LanServer(name) => format!("{name} on the LAN"),
        Source::Exchange(name) => format!("the peer {name}"),
        Source::Lan => "itself on the LAN".into(),
        Source::Seed => "the seeds".into(),
    }
}

fn parts(source: &Source) -> (&'static str, &str) {
    match source {
        Source::Server(name) => ("server", name),
        Source::LanServer(name) => ("lan_server", name),
        Source::Exchange(name) => ("exchange", name),
        Source::Lan => ("lan", ""),
        Source::Seed => ("seed", ""),
    }
}
