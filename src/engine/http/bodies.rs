//! Bodies of JSON responses.

use serde::Serialize;

use super::refusal::Refusal;
use crate::addr::CanonicalAddr;
use crate::engine::Registration;
use crate::engine::peers::PeerView;
use crate::engine::reply::Sample;
use crate::engine::token::TOKEN_TEXT_BYTES;
use crate::id::PeerId;
use crate::limits::CHALLENGE_LIFE_S;
use crate::record::{KEY_BYTES, KEY_TEXT_BYTES, put_key};
use crate::wire::pow::Challenge;
use crate::wire::{Full, Writer};

/// The version of the program.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Room that the fields behind the list of peers need.
const TAIL_BYTES: usize = 192;
/// Longest address as text, in bytes.
const IP_TEXT_BYTES: usize = 45;

/// What the answers about a network say of the server.
pub(super) struct About {
    /// Its id.
    pub(super) bootstrap_id: [u8; 20],
    /// Life of a peer whose client asks for none, in seconds.
    pub(super) ttl_s: u32,
    /// The asker's address, as seen.
    pub(super) you: CanonicalAddr,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    registered: Option<bool>,
    error: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    challenge: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    difficulty: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u32>,
}

#[derive(Serialize)]
struct RegisteredBody<'a> {
    registered: bool,
    expires: u32,
    id: &'a str,
    you: &'a str,
    token: &'a str,
}

#[derive(Serialize)]
struct LeftBody {
    removed: bool,
}

#[derive(Serialize)]
struct ChallengeBody<'a> {
    challenge: &'a str,
    difficulty: u8,
    expires: u32,
}

/// The answer of `GET /health`.
#[derive(Serialize)]
pub(super) struct HealthBody {
    pub(super) status: &'static str,
    pub(super) uptime_seconds: u64,
    pub(super) peers: PeerCounts,
    pub(super) requests: RequestCounts,
    /// Resident memory in tenths of a MiB. Written by hand: a float would bring 16 kB of tables with it, and on a board
    /// without an FPU its arithmetic as well.
    #[serde(skip)]
    pub(super) memory_tenths_of_mb: u64,
}

#[derive(Serialize)]
pub(super) struct PeerCounts {
    pub(super) total: usize,
    pub(super) active_5m: usize,
}

#[derive(Serialize)]
pub(super) struct RequestCounts {
    pub(super) total: u64,
    pub(super) rate_per_minute: u64,
}

#[derive(Serialize)]
struct WellKnownBody<'a> {
    servers: [&'a str; 0],
    bootstrap_id: &'a str,
    key: &'a str,
    version: &'a str,
}

/// Writes `{"error","detail"}`, after `"registered":false` if that is what the client asked for, and before the challenge if
/// it has to work for it.
pub(super) fn put_error(
    out: &mut Writer<'_>,
    refusal: &Refusal,
    challenge: Option<&Challenge>,
) -> Result<(), Full> {
    let registered = refusal.unregistered.then_some(false);
    put(
        out,
        &ErrorBody {
            registered,
            error: refusal.word,
            detail: refusal.detail,
            challenge: challenge.map(Challenge::as_str),
            difficulty: challenge.map(|challenge| challenge.difficulty),
            expires: challenge.map(|_| CHALLENGE_LIFE_S),
        },
    )
}

/// Writes the answer to a successful announce.
pub(super) fn put_registered(
    out: &mut Writer<'_>,
    id: PeerId<'_>,
    you: CanonicalAddr,
    registration: &Registration,
) -> Result<(), Full> {
    let (mut ip, mut token) = ([0; IP_TEXT_BYTES], [0; TOKEN_TEXT_BYTES]);
    put(
        out,
        &RegisteredBody {
            registered: true,
            expires: registration.expires_s,
            id: id.as_str(),
            you: text(&mut ip, |out| out.put_ip(you))?,
            token: text(&mut token, |out| registration.token.emit(out))?,
        },
    )
}

/// Writes the answer to a leave.
pub(super) fn put_left(out: &mut Writer<'_>, removed: bool) -> Result<(), Full> {
    put(out, &LeftBody { removed })
}

/// Writes what a newcomer has to work, if anything.
pub(super) fn put_challenge(out: &mut Writer<'_>, challenge: Option<Challenge>) -> Result<(), Full> {
    let (challenge, difficulty) =
        challenge.as_ref().map_or(("", 0), |challenge| (challenge.as_str(), challenge.difficulty));
    put(out, &ChallengeBody { challenge, difficulty, expires: CHALLENGE_LIFE_S })
}

/// Writes the state of the server.
pub(super) fn put_health(out: &mut Writer<'_>, health: &HealthBody) -> Result<(), Full> {
    put(out, health)?;
    out.rewind(out.len().saturating_sub(1));
    let tenths = health.memory_tenths_of_mb;
    put_number(out, ",\"memory_mb\":", tenths / 10)?;
    put_number(out, ".", tenths % 10)?;
    out.put_str(",\"version\":\"")?;
    out.put_str(VERSION)?;
    out.put(b"\"}")
}

/// Writes which servers serve this name, and who this one is.
pub(super) fn put_well_known(
    out: &mut Writer<'_>,
    bootstrap_id: [u8; 20],
    key: &[u8; KEY_BYTES],
) -> Result<(), Full> {
    let (mut hex, mut base64) = ([0; 40], [0; KEY_TEXT_BYTES]);
    let key = text(&mut base64, |out| put_key(key, out))?;
    let bootstrap_id = text(&mut hex, |out| out.put_hex(&bootstrap_id))?;
    put(out, &WellKnownBody { servers: [], bootstrap_id, key, version: VERSION })
}

/// Writes a sample of peers, as many as fit, and what the server says of itself.
pub(super) fn put_peers(out: &mut Writer<'_>, sample: &Sample<'_>, about: &About) -> Result<(), Full> {
    out.put(b"{\"peers\":[")?;
    let first = out.len();
    for peer in sample.peers() {
        let mark = out.len();
        let written = put_peer(out, &peer, mark == first, sample.last_seen(&peer));
        if written.is_err() || out.room() < TAIL_BYTES {
            out.rewind(mark);
            break;
        }
    }
    out.put(b"]")?;
    if let Some(unix_s) = sample.server_time() {
        put_number(out, ",\"server_time\":", unix_s)?;
    }
    put_number(out, ",\"ttl\":", about.ttl_s.into())?;
    out.put(b",\"bootstrap_id\":\"")?;
    out.put_hex(&about.bootstrap_id)?;
    out.put(b"\",\"you\":\"")?;
    out.put_ip(about.you)?;
    out.put(b"\"}")
}

/// Writes one peer. Ids and endpoints have no character that JSON escapes.
fn put_peer(
    out: &mut Writer<'_>,
    peer: &PeerView<'_>,
    first: bool,
    last_seen: Option<u64>,
) -> Result<(), Full> {
    out.put_str(if first { "{\"id\":\"" } else { ",{\"id\":\"" })?;
    out.put_str(peer.id.as_str())?;
    out.put(b"\",\"endpoints\":[")?;
    let mut before = "\"";
    for endpoint in peer.endpoints() {
        out.put_str(before)?;
        endpoint.emit(out)?;
        before = "\",\"";
    }
    out.put(b"\"]")?;
    if let Some(seal) = peer.seal {
        out.put_str(",\"key\":\"")?;
        seal.emit_key(out)?;
        put_number(out, "\",\"seq\":", seal.seq)?;
        out.put_str(",\"sig\":\"")?;
        seal.emit_sig(out)?;
        out.put(b"\"")?;
    }
    put_number(out, ",\"age\":", peer.age_s)?;
    if let Some(unix_s) = last_seen {
        put_number(out, ",\"last_seen\":", unix_s)?;
    }
    out.put(b"}")
}

fn put_number(out: &mut Writer<'_>, name: &str, number: u64) -> Result<(), Full> {
    out.put_str(name)?;
    out.put_decimal(number)
}

fn put(out: &mut Writer<'_>, body: &impl Serialize) -> Result<(), Full> {
    out.put_with(|room| serde_json_core::to_slice(body, room).ok())
}

/// The text that `write` writes into `buffer`.
fn text(buffer: &mut [u8], write: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>) -> Result<&str, Full> {
    let mut writer = Writer::new(buffer);
    write(&mut writer)?;
    let len = writer.len();
    str::from_utf8(buffer.get(..len).unwrap_or_default()).map_err(|_| Full)
}
