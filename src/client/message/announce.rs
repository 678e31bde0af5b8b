//! Here I am, and goodbye.

use std::net::IpAddr;

use super::fields::Fields;
use super::{address, nonsense, refusal};
use crate::client::failure::Failure;
use crate::client::json::Document;
use crate::quoted::Quoted;
use crate::record::Seal;

/// Longest token or challenge that is kept, in bytes: those of servers have 11 and 54.
const MAX_TOKEN_BYTES: usize = 256;

/// An announce: `POST /announce`, or a datagram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announce {
    /// The network's name, or 40 hex digits.
    pub network: String,
    /// The peer's id; `None` only of a signed one, whose id is its key's.
    pub id: Option<String>,
    /// Where it can be reached, 1..=4.
    pub endpoints: Vec<String>,
    /// The life wanted, in seconds.
    pub ttl_s: Option<u32>,
    /// The token of the registration.
    pub token: Option<String>,
    /// Work: the challenge, and the nonce that solves it.
    pub pow: Option<(String, u64)>,
    /// What it is signed with.
    pub seal: Option<Seal>,
}

/// A goodbye: `POST /leave`, or a datagram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leave {
    /// The network's name, or 40 hex digits.
    pub network: String,
    /// The peer's id; `None` only of a signed one.
    pub id: Option<String>,
    /// The token of the registration.
    pub token: Option<String>,
    /// The signature of a record without endpoints.
    pub seal: Option<Seal>,
}

/// What a server says to an announce, unless it refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnnounceAnswer {
    /// It is registered.
    Registered {
        /// Seconds until it expires.
        expires_s: u32,
        /// The peer's id.
        id: Option<String>,
        /// The announcer's address as the server sees it.
        you: Option<IpAddr>,
        /// Gives the right to refresh and leave from another address.
        token: Option<String>,
    },
    /// It must come again, with work.
    WorkWanted {
        /// The challenge.
        challenge: String,
        /// How many bits of work.
        difficulty: u8,
    },
}

impl Announce {
    /// The JSON of `POST /announce`.
    pub fn body(&self) -> String {
        let mut fields = Fields::default();
        fields.maybe_text("id", self.id.as_deref());
        self.put(&mut fields);
        fields.maybe_text("token", self.token.as_deref());
        fields.end()
    }

    /// The datagram, `id` being the message's and `token` what proves our address.
    pub fn datagram(&self, id: &str, token: &str) -> String {
        let mut fields = Fields::message("announce", id);
        fields.maybe_text("peer_id", self.id.as_deref());
        self.put(&mut fields);
        fields.text("token", token);
        fields.end()
    }

    /// The fields that are the same over HTTP and UDP.
    fn put(&self, fields: &mut Fields) {
        fields.text("network", &self.network);
        let endpoints: Vec<String> = self.endpoints.iter().map(|text| Quoted(text).to_string()).collect();
        fields.put("endpoints", format_args!("[{}]", endpoints.join(",")));
        if let Some(ttl) = self.ttl_s {
            fields.put("ttl", format_args!("{ttl}"));
        }
        if let Some((challenge, nonce)) = &self.pow {
            fields.put("pow", format_args!("{{\"challenge\":{},\"nonce\":{nonce}}}", Quoted(challenge)));
        }
        fields.seal(self.seal.as_ref());
    }
}

impl Leave {
    /// The JSON of `POST /leave`.
    pub fn body(&self) -> String {
        let mut fields = Fields::default();
        fields.maybe_text("id", self.id.as_deref());
        fields.text("network", &self.network);
        fields.maybe_text("token", self.token.as_deref());
        fields.seal(self.seal.as_ref());
        fields.end()
    }

    /// The datagram, `id` being the message's and `token` what proves our address.
    pub fn datagram(&self, id: &str, token: &str) -> String {
        let mut fields = Fields::message("leave", id);
        fields.maybe_text("peer_id", self.id.as_deref());
        fields.text("network", &self.network);
        fields.seal(self.seal.as_ref());
        fields.text("token", token);
        fields.end()
    }

    /// Whether the server says that somebody left: the answer to `POST /leave`, or an `ack`.
    ///
    /// # Errors
    /// [`Failure::Nonsense`] if it is no such answer, [`Failure::Refused`] if it carries an error.
    pub fn parse_answer(body: &[u8]) -> Result<bool, Failure> {
        let document = Document::parse(body).ok_or(Failure::Nonsense("no strict JSON object"))?;
        refusal(&document, None)?;
        document.flag("removed").map_err(nonsense)?.ok_or(Failure::Nonsense("no removed"))
    }
}

impl AnnounceAnswer {
    /// Reads the answer to an announce, over HTTP (200, 428) or UDP (`ack`).
    ///
    /// # Errors
    /// [`Failure::Refused`] if the server refuses, [`Failure::Nonsense`] if it is no such answer.
    pub fn parse(body: &[u8]) -> Result<Self, Failure> {
        let document = Document::parse(body).ok_or(Failure::Nonsense("no strict JSON object"))?;
        if document.text("error").map_err(nonsense)? == Some("pow_required") {
            let challenge =
                document.text("challenge").map_err(nonsense)?.filter(|text| text.len() <= MAX_TOKEN_BYTES);
            let difficulty = document.number("difficulty").map_err(nonsense)?;
            return match challenge.zip(difficulty) {
                Some((challenge, difficulty)) => {
                    Ok(Self::WorkWanted { challenge: challenge.into(), difficulty })
                }
                None => Err(Failure::Nonsense("no challenge")),
            };
        }
        refusal(&document, None)?;
        if document.flag("registered").map_err(nonsense)? != Some(true) {
            return Err(Failure::Nonsense("neither registered nor refused"));
        }
        let id = document.text("id").map_err(nonsense)?;
        let token = document.text("token").map_err(nonsense)?.filter(|token| token.len() <= MAX_TOKEN_BYTES);
        Ok(Self::Registered {
            expires_s: document
                .number("expires")
                .map_err(nonsense)?
                .ok_or(Failure::Nonsense("no expires"))?,
            id: document.text("peer_id").map_err(nonsense)?.or(id).map(Into::into),
            you: address(&document)?,
            token: token.map(Into::into),
        })
    }
}
