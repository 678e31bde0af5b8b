//! BitTorrent's DHT (KRPC, BEP 5).

use std::str::FromStr;

use crate::Options;
use crate::swarms::{Peer, Swarms, hash};
use crate::udp::{Answer, Talk, sockets_of};

/// What is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ping,
    FindNode,
    GetPeers,
    AnnouncePeer,
}

impl FromStr for Kind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" | "ping" => Ok(Self::Ping),
            "find_node" => Ok(Self::FindNode),
            "get_peers" => Ok(Self::GetPeers),
            "announce_peer" => Ok(Self::AnnouncePeer),
            _ => Err("with krpc there are ping, find_node, get_peers and announce_peer"),
        }
    }
}

/// The protocol, with a node for each socket and a token for each peer: some servers bind it to the info-hash too.
pub(crate) struct Krpc {
    kind: Kind,
    swarms: Swarms,
    nodes: Vec<Node>,
    tokens: Vec<Option<Box<[u8]>>>,
}

struct Node {
    id: [u8; 20],
    /// Whom the last query was about.
    peer: Option<Peer>,
    /// Whether it was the one that is measured, not one for a token.
    measured: bool,
}

impl Krpc {
    /// No peer has a token yet.
    pub(crate) fn new(options: &Options) -> Result<Self, &'static str> {
        let swarms = Swarms::new(options)?;
        let node = |number| Node { id: hash(&format!("node {number}")), peer: None, measured: true };
        Ok(Self {
            kind: options.kind.parse()?,
            nodes: (0..sockets_of(options)).map(node).collect(),
            tokens: vec![None; swarms.peers()],
            swarms,
        })
    }

    /// Forgets the token that the last query of node `from` had.
    fn forget_token(&mut self, from: usize) {
        if let Some(peer) = self.nodes[from].peer {
            self.tokens[peer.number] = None;
        }
    }
}

impl Talk for Krpc {
    fn request(&mut self, from: usize, number: u32, out: &mut Vec<u8>) {
        let node = &mut self.nodes[from];
        // Who has asked for a token goes on with the same peer.
        let peer = if node.measured {
            self.swarms.next(from)
        } else {
            node.peer.unwrap_or_else(|| self.swarms.next(from))
        };
        let token = self.tokens[peer.number].as_deref();
        node.peer = Some(peer);
        node.measured = self.kind != Kind::AnnouncePeer || token.is_some();
        out.extend_from_slice(b"d1:ad2:id20:");
        out.extend_from_slice(&node.id);
        let query: &[u8] = match (self.kind, token) {
            (Kind::Ping, _) => b"4:ping",
            (Kind::FindNode, _) => {
                out.extend_from_slice(b"6:target20:");
                out.extend_from_slice(&peer.info_hash);
                b"9:find_node"
            }
            (Kind::GetPeers, _) | (Kind::AnnouncePeer, None) => {
                out.extend_from_slice(b"9:info_hash20:");
                out.extend_from_slice(&peer.info_hash);
                b"9:get_peers"
            }
            (Kind::AnnouncePeer, Some(token)) => {
                out.extend_from_slice(b"9:info_hash20:");
                out.extend_from_slice(&peer.info_hash);
                out.extend_from_slice(format!("4:porti{}e5:token{}:", peer.port(), token.len()).as_bytes());
                out.extend_from_slice(token);
                b"13:announce_peer"
            }
        };
        out.extend_from_slice(b"e1:q");
        out.extend_from_slice(query);
        out.extend_from_slice(&transaction(number));
        out.extend_from_slice(b"1:v4:LD001:y1:qe");
    }

    fn answer(&mut self, from: usize, number: u32, answer: &[u8], reply: &mut Vec<u8>) -> Answer {
        if find(answer, &transaction(number)).is_none() {
            // The server wants to know whether this is a node, and has a transaction of its own.
            if let Some(ping) = answer.ends_with(b"1:y1:qe").then(|| string(answer, b"1:t")).flatten() {
                reply.extend_from_slice(b"d1:rd2:id20:");
                reply.extend_from_slice(&self.nodes[from].id);
                reply.extend_from_slice(format!("e1:t{}:", ping.len()).as_bytes());
                reply.extend_from_slice(ping);
                reply.extend_from_slice(b"1:y1:re");
            }
            return Answer::Stray;
        }
        let refused = find(answer, b"1:y1:e").is_some();
        let measured = self.nodes[from].measured;
        let text = || String::from_utf8_lossy(answer).into_owned();
        if measured {
            if !refused {
                return Answer::Served;
            }
            self.forget_token(from);
            return Answer::Refused(text());
        }
        match (string(answer, b"5:token"), self.nodes[from].peer) {
            (Some(token), Some(peer)) if !refused => {
                self.tokens[peer.number] = Some(token.into());
                Answer::Prepared
            }
            _ => Answer::Unprepared(text()),
        }
    }

    fn lost(&mut self, from: usize) {
        self.forget_token(from);
    }
}

/// The key `t` and its value.
fn transaction(number: u32) -> [u8; 9] {
    let mut text = *b"1:t4:0000";
    let digits = format!("{:04x}", number & 0xffff);
    text[5..].copy_from_slice(digits.as_bytes());
    text
}

/// Where `part` first is in `whole`.
fn find(whole: &[u8], part: &[u8]) -> Option<usize> {
    whole.windows(part.len()).position(|window| window == part)
}

/// The string that is the value of `key`, in `message`.
fn string<'a>(message: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let behind = &message[find(message, key)? + key.len()..];
    let colon = find(behind, b":")?;
    let length: usize = str::from_utf8(&behind[..colon]).ok()?.parse().ok()?;
    behind.get(colon + 1..)?.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn krpc(kind: &str) -> Krpc {
        Krpc::new(&crate::options(&["krpc", kind, "--sockets", "1"])).unwrap()
    }

    /// The next query, with 20 bytes of any hash as 20 dots.
    fn query(krpc: &mut Krpc, number: u32) -> String {
        let mut out = Vec::new();
        krpc.request(0, number, &mut out);
        for hash in [hash("node 0"), hash("0"), hash("1")] {
            while let Some(at) = find(&out, &hash) {
                out[at..at + 20].fill(b'.');
            }
        }
        String::from_utf8(out).unwrap()
    }

    const NODE: &str = "d1:ad2:id20:....................";

    #[test]
    fn queries() {
        let ping = query(&mut krpc("ping"), 0x1_00ab);
        assert_eq!(ping, format!("{NODE}e1:q4:ping1:t4:00ab1:v4:LD001:y1:qe"));
        let find_node = query(&mut krpc("find_node"), 1);
        assert_eq!(
            find_node,
            format!("{NODE}6:target20:....................e1:q9:find_node1:t4:00011:v4:LD001:y1:qe")
        );
    }

    #[test]
    fn a_token_comes_first() {
        let mut krpc = krpc("announce_peer");
        let get_peers =
            format!("{NODE}9:info_hash20:....................e1:q9:get_peers1:t4:00011:v4:LD001:y1:qe");
        assert_eq!(query(&mut krpc, 1), get_peers);
        let answer = b"d1:rd2:id20:....................5:token3:abce1:t4:00011:y1:re";
        assert!(matches!(krpc.answer(0, 2, answer, &mut Vec::new()), Answer::Stray));
        assert!(matches!(krpc.answer(0, 1, answer, &mut Vec::new()), Answer::Prepared));
        let announce =
            "9:info_hash20:....................4:porti1024e5:token3:abce1:q13:announce_peer1:t4:0002";
        assert_eq!(query(&mut krpc, 2), format!("{NODE}{announce}1:v4:LD001:y1:qe"));
        assert!(matches!(
            krpc.answer(0, 2, b"d1:rd2:id20:....................e1:t4:00021:y1:re", &mut Vec::new()),
            Answer::Served
        ));
        assert!(query(&mut krpc, 3).contains("get_peers"), "the next peer needs a token of its own");
    }

    #[test]
    fn errors_are_refusals() {
        let mut krpc = krpc("ping");
        query(&mut krpc, 1);
        assert!(matches!(
            krpc.answer(0, 1, b"d1:eli203e3:bade1:t4:00011:y1:ee", &mut Vec::new()),
            Answer::Refused(_)
        ));
    }

    #[test]
    fn a_server_that_asks_is_answered() {
        let mut krpc = krpc("ping");
        query(&mut krpc, 1);
        let mut reply = Vec::new();
        let ping = b"d1:ad2:id20:....................e1:q4:ping1:t3:\x00\xff:1:y1:qe";
        assert!(matches!(krpc.answer(0, 1, ping, &mut reply), Answer::Stray));
        let expected = [&b"d1:rd2:id20:"[..], &hash("node 0"), b"e1:t3:\x00\xff:1:y1:re"].concat();
        assert_eq!(reply, expected);
    }

    #[test]
    fn strings_are_found_whole_or_not_at_all() {
        assert_eq!(string(b"d1:rd5:token2:\x00\xffee", b"5:token"), Some(&b"\x00\xff"[..]));
        for bad in [&b"5:token"[..], b"5:token9", b"5:token9:", b"5:tokenx:a", b"5:token2:a", b""] {
            assert_eq!(string(bad, b"5:token"), None);
        }
    }
}
