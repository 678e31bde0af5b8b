//! JSON over UDP.

use std::io::Write;
use std::str::FromStr;

use crate::Options;
use crate::udp::{Answer, Talk, sockets_of};

/// What is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ping,
    FindPeers,
    Announce,
}

impl FromStr for Kind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" | "ping" => Ok(Self::Ping),
            "find_peers" => Ok(Self::FindPeers),
            "announce" => Ok(Self::Announce),
            _ => Err("with udp there are ping, find_peers and announce"),
        }
    }
}

impl Kind {
    /// How an answer to this begins.
    const fn answer(self) -> &'static str {
        match self {
            Self::Ping => "{\"type\":\"pong\"",
            Self::FindPeers => "{\"type\":\"peers\"",
            Self::Announce => "{\"type\":\"ack\"",
        }
    }
}

/// The protocol, with a token for each socket.
pub(crate) struct Json {
    kind: Kind,
    network: String,
    ids: u64,
    next: u64,
    tokens: Vec<Option<String>>,
}

impl Json {
    /// No socket has a token yet.
    pub(crate) fn new(options: &Options) -> Result<Self, &'static str> {
        Ok(Self {
            kind: options.kind.parse()?,
            network: options.network.clone(),
            ids: options.ids.max(1),
            next: 0,
            tokens: vec![None; sockets_of(options)],
        })
    }
}

impl Talk for Json {
    /// Without a token it asks for one, in a message with room for it.
    fn request(&mut self, from: usize, number: u32, out: &mut Vec<u8>) {
        let network = &self.network;
        let written = match (self.kind, &self.tokens[from]) {
            (Kind::Ping, _) => {
                write!(out, "{{\"type\":\"ping\",\"id\":\"{number:08x}\",\"pad\":\"{:092}\"}}", 0)
            }
            (_, None) => {
                write!(out, "{{\"type\":\"find_peers\",\"id\":\"{number:08x}\",\"pad\":\"{:032}\"}}", 0)
            }
            (Kind::FindPeers, Some(token)) => write!(
                out,
                "{{\"type\":\"find_peers\",\"id\":\"{number:08x}\",\"network\":\"{network}\",\"token\":\"{token}\"}}"
            ),
            (Kind::Announce, Some(token)) => {
                self.next += 1;
                write!(
                    out,
                    "{{\"type\":\"announce\",\"id\":\"{number:08x}\",\"peer_id\":\"load-{:09}\",\"port\":9000,\
                     \"network\":\"{network}\",\"token\":\"{token}\"}}",
                    self.next % self.ids
                )
            }
        };
        written.expect("a Vec takes everything");
    }

    fn answer(&mut self, from: usize, number: u32, answer: &[u8], _: &mut Vec<u8>) -> Answer {
        let answer = String::from_utf8_lossy(answer);
        if field(&answer, "\"id\":\"").and_then(|id| u32::from_str_radix(id, 16).ok()) != Some(number) {
            return Answer::Stray;
        }
        let has_token = self.tokens[from].is_some() || self.kind == Kind::Ping;
        let served = answer.starts_with(self.kind.answer()) && !answer.contains("\"error\"");
        if has_token && served {
            return Answer::Served;
        }
        // Tokens grow old; the answer to an old one is a new one.
        self.tokens[from] = field(&answer, "\"token\":\"").map(String::from);
        match &self.tokens[from] {
            _ if has_token => Answer::Refused(answer.into_owned()),
            Some(_) => Answer::Prepared,
            None => Answer::Unprepared(format!("no token in {answer}")),
        }
    }

    fn lost(&mut self, from: usize) {
        self.tokens[from] = None;
    }
}

/// The text behind `head` and before the next quote.
fn field<'a>(answer: &'a str, head: &str) -> Option<&'a str> {
    let (_, behind) = answer.split_once(head)?;
    behind.split_once('"').map(|(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        let answer = "{\"type\":\"token\",\"id\":\"a\",\"token\":\"YWJj\"}";
        assert_eq!(field(answer, "\"token\":\""), Some("YWJj"));
        assert_eq!(field(answer, "\"id\":\""), Some("a"));
        assert_eq!(field("{\"type\":\"pong\"}", "\"token\":\""), None);
    }

    #[test]
    fn a_token_comes_first() {
        let options: Options = crate::options(&["udp", "announce", "--sockets", "1"]);
        let mut json = Json::new(&options).unwrap();
        let mut out = Vec::new();
        json.request(0, 10, &mut out);
        assert!(out.starts_with(b"{\"type\":\"find_peers\",\"id\":\"0000000a\""));
        let answer = b"{\"type\":\"token\",\"id\":\"0000000a\",\"token\":\"YWJj\"}";
        assert!(matches!(json.answer(0, 9, answer, &mut Vec::new()), Answer::Stray));
        assert!(matches!(json.answer(0, 10, answer, &mut Vec::new()), Answer::Prepared));
        out.clear();
        json.request(0, 11, &mut out);
        assert!(out.starts_with(b"{\"type\":\"announce\"") && out.ends_with(b"\"token\":\"YWJj\"}"));
        let answer = b"{\"type\":\"ack\",\"id\":\"0000000b\"}";
        assert!(matches!(json.answer(0, 11, answer, &mut Vec::new()), Answer::Served));
        let answer = b"{\"type\":\"error\",\"id\":\"0000000b\",\"error\":\"full\"}";
        assert!(matches!(json.answer(0, 11, answer, &mut Vec::new()), Answer::Refused(_)));
    }
}
