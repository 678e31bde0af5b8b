//! The clients: what they say in their protocol, and what they make of the answers.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use sha2::{Digest, Sha256};
use waypost::wire::json;
use waypost::wire::krpc::{Message, compact};

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    UdpJson,
    Krpc,
    UdpTracker,
    Http,
    HttpTracker,
    Stun,
}

pub(crate) const SPEECHES: [Speech; 6] =
    [Speech::UdpJson, Speech::Krpc, Speech::UdpTracker, Speech::Http, Speech::HttpTracker, Speech::Stun];

/// What a client wants with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Announce,
    Find,
    Leave,
}

/// A client. It has an address, which may change its port, and a network.
pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) addr: SocketAddr,
    pub(crate) speech: Speech,
    pub(crate) network: &'static str,
    /// What each server gave it to prove its address: a token, or a connection id.
    pub(crate) proofs: BTreeMap<usize, Vec<u8>>,
}

/// What a client has learnt from an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Learnt {
    pub(crate) proof: Option<Vec<u8>>,
    /// The server says that the proof is none.
    pub(crate) wrong_proof: bool,
    pub(crate) contacts: Vec<SocketAddr>,
    /// Seconds it will be listed.
    pub(crate) registered_s: Option<u64>,
    pub(crate) left: bool,
    pub(crate) own: Option<SocketAddr>,
}

/// The key of a network.
pub(crate) fn key(network: &str) -> [u8; 20] {
    Sha256::digest(network)[..20].try_into().expect("it is longer")
}

fn percent(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02x}")).collect()
}

fn pad(text: String, bytes: usize) -> Vec<u8> {
    text.replace("PAD", &"x".repeat(bytes)).into_bytes()
}

impl Client {
    /// The id it is known by. BitTorrent's clients are known by their address.
    pub(crate) fn id(&self) -> String {
        match self.speech {
            Speech::UdpJson | Speech::Http => format!("client-{}", self.number),
            _ => format!("{}:{}", self.addr.ip(), self.addr.port()),
        }
    }

    /// The endpoints it is listed with.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        let addr = self.addr;
        match self.speech {
            Speech::UdpJson => vec![format!("udp://{addr}")],
            // Behind a NAT with others.
            Speech::Http => vec![format!("tcp://{addr}"), format!("tcp://192.168.7.{}:9000", self.number)],
            _ => vec![format!("tcp://{addr}"), format!("udp://{addr}")],
        }
    }

    /// A datagram to a server, with the proof it has of that.
    pub(crate) fn say(&self, wish: Wish, server: usize) -> Vec<u8> {
        let proof = self.proofs.get(&server);
        match self.speech {
            Speech::UdpJson => self.say_json(wish, proof.map(|token| String::from_utf8_lossy(token))),
            Speech::Krpc => self.say_krpc(wish, proof),
            Speech::UdpTracker => self.say_tracker(wish, proof),
            _ => [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat(),
        }
    }

    fn say_json(&self, wish: Wish, token: Option<std::borrow::Cow<'_, str>>) -> Vec<u8> {
        let (network, id) = (self.network, self.id());
        let Some(token) = token else {
            return pad(
                format!(r#"{{"type":"find_peers","id":"1","network":"{network}","pad":"PAD"}}"#),
                400,
            );
        };
        let (kind, rest) = match wish {
            Wish::Announce => ("announce", format!(r#","peer_id":"{id}","ttl":90"#)),
            Wish::Find => ("find_peers", format!(r#","exclude":"{id}","limit":32"#)),
            Wish::Leave => ("leave", format!(r#","peer_id":"{id}""#)),
        };
        format!(r#"{{"type":"{kind}","id":"1","network":"{network}","token":"{token}"{rest}}}"#).into_bytes()
    }

    fn say_krpc(&self, wish: Wish, token: Option<&Vec<u8>>) -> Vec<u8> {
        let (key, port) = (key(self.network), self.addr.port());
        let own_id = [&b"2:id20:client-of-the-dht-"[..], format!("{:02}", self.number).as_bytes()].concat();
        match (wish, token) {
            (Wish::Announce, Some(token)) => {
                let head = [&b"d1:ad"[..], &own_id, b"9:info_hash20:", &key].concat();
                let rest = format!("4:porti{port}e5:token{}:", token.len()).into_bytes();
                [&head[..], &rest, token, b"e1:q13:announce_peer1:t2:aa1:y1:qe"].concat()
            }
            _ => [
                &b"d1:ad"[..],
                &own_id,
                b"9:info_hash20:",
                &key,
                b"4:wantl2:n42:n6ee1:q9:get_peers1:t2:gp1:v4:LT\x01\x021:y1:qe",
            ]
            .concat(),
        }
    }

    fn say_tracker(&self, wish: Wish, connection: Option<&Vec<u8>>) -> Vec<u8> {
        let Some(connection) = connection else {
            return vec![0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 1, 2, 3, 4];
        };
        let event = if wish == Wish::Leave { 3 } else { 0 };
        [
            &connection[..],
            &[0, 0, 0, 1, 1, 2, 3, 4],
            &key(self.network),
            &[b'p'; 20],
            &[0; 16],
            &[0; 8],
            &[0, 0, 0, event],
            &[0; 8],
            &[0, 0, 0, 50],
            &self.addr.port().to_be_bytes(),
        ]
        .concat()
    }

    /// Whether `answer` answers what it says: others may have asked in its name, and not in its words.
    pub(crate) fn has_asked_for(&self, answer: &[u8]) -> bool {
        let ends = |transaction: &str| {
            [format!("1:t2:{transaction}1:y1:re"), format!("1:t2:{transaction}1:y1:ee")]
                .iter()
                .any(|end| answer.ends_with(end.as_bytes()))
        };
        match self.speech {
            Speech::UdpJson => answer.starts_with(b"{") && answer.windows(9).any(|w| w == br#","id":"1""#),
            Speech::Krpc => ends("aa") || ends("gp"),
            Speech::UdpTracker => answer.get(4..8) == Some(&[1, 2, 3, 4]),
            _ => {
                answer.get(..4).is_some_and(|head| head[..2] == [1, 1]) && answer.get(8..20) == Some(&[7; 12])
            }
        }
    }

    /// What it makes of a server's answer to a datagram of its own.
    pub(crate) fn hear(&self, answer: &[u8]) -> Learnt {
        match self.speech {
            Speech::UdpJson => hear_json(answer),
            Speech::Krpc => self.hear_krpc(answer),
            Speech::UdpTracker => self.hear_tracker(answer),
            _ => {
                assert_eq!(answer[..4], [1, 1, 0, if self.addr.is_ipv4() { 12 } else { 24 }]);
                let port = u16::from_be_bytes([answer[26], answer[27]]) ^ 0x2112;
                assert_eq!(port, self.addr.port(), "it sees our port");
                Learnt::default()
            }
        }
    }

    fn hear_krpc(&self, answer: &[u8]) -> Learnt {
        match Message::parse(answer) {
            Ok(Message::Response(_)) => {
                let mut learnt = Learnt::default();
                let at = |word: &[u8]| {
                    answer.windows(word.len()).position(|w| w == word).map(|at| at + word.len())
                };
                learnt.proof = at(b"5:token8:").map(|at| answer[at..at + 8].to_vec());
                if let Some(mut at) = at(b"6:valuesl") {
                    while answer[at] != b'e' {
                        let bytes = if answer.get(at..at + 2) == Some(b"6:") { 6 } else { 18 };
                        at += if bytes == 6 { 2 } else { 3 };
                        let (addr, port) = compact(&answer[at..at + bytes]).expect("an address");
                        learnt.contacts.push(SocketAddr::new(addr.ip(), port));
                        at += bytes;
                    }
                }
                if at(b"1:t2:aa").is_some() {
                    learnt.registered_s = Some(waypost::limits::KRPC_LIFE_S.into());
                }
                learnt
            }
            _ => {
                assert!(answer.starts_with(b"d1:eli20"), "an error of KRPC");
                Learnt { wrong_proof: true, ..Learnt::default() }
            }
        }
    }

    fn hear_tracker(&self, answer: &[u8]) -> Learnt {
        assert_eq!(answer[4..8], [1, 2, 3, 4], "our transaction");
        match answer[3] {
            0 => Learnt { proof: Some(answer[8..16].to_vec()), ..Learnt::default() },
            1 => {
                let bytes = if self.addr.is_ipv4() { 6 } else { 18 };
                let contacts = answer[20..].chunks(bytes).map(|at| compact(at).expect("an address"));
                Learnt {
                    contacts: contacts.map(|(addr, port)| SocketAddr::new(addr.ip(), port)).collect(),
                    registered_s: Some(600),
                    ..Learnt::default()
                }
            }
            _ => Learnt { wrong_proof: true, ..Learnt::default() },
        }
    }

    /// Requests for one connection, and what they wish.
    pub(crate) fn requests(&self, wishes: &[Wish]) -> Vec<u8> {
        wishes.iter().flat_map(|&wish| self.request(wish).into_bytes()).collect()
    }

    fn request(&self, wish: Wish) -> String {
        let (network, id) = (self.network, self.id());
        if self.speech == Speech::HttpTracker {
            let event = if wish == Wish::Leave { "&event=stopped" } else { "" };
            let (key, port) = (percent(&key(network)), self.addr.port());
            return get(&format!("/announce?info_hash={key}&port={port}&left=0&compact=1&numwant=50{event}"));
        }
        match wish {
            Wish::Find => get(&format!("/peers?network={network}&exclude={id}")),
            Wish::Announce => {
                let endpoints = self.endpoints().join(r#"",""#);
                let body =
                    format!(r#"{{"id":"{id}","network":"{network}","ttl":120,"endpoints":["{endpoints}"]}}"#);
                post("/announce", &body)
            }
            Wish::Leave => post("/leave", &format!(r#"{{"id":"{id}","network":"{network}"}}"#)),
        }
    }
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn post(target: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn hear_json(answer: &[u8]) -> Learnt {
    assert_eq!(json::check(answer), Ok(()), "an answer is JSON");
    let text = std::str::from_utf8(answer).expect("JSON is UTF-8");
    let quoted = |name: &str| {
        let rest = text.split(&format!(r#""{name}":""#)).nth(1)?;
        rest.split('"').next()
    };
    let list = text.split(r#""peers":["#).nth(1).and_then(|rest| rest.split(r#"],"token""#).next());
    let list = list.unwrap_or_default();
    let contacts = list.split(',').filter_map(|quoted| quoted.trim_matches('"').parse().ok()).collect();
    let expires =
        text.split(r#""expires":"#).nth(1).and_then(|rest| rest.split([',', '}']).next()?.parse().ok());
    Learnt {
        proof: quoted("token").map(Into::into),
        wrong_proof: false,
        contacts,
        registered_s: expires.filter(|_| text.contains(r#""registered":true"#)),
        left: text.contains(r#""removed":true"#),
        own: quoted("you").and_then(|text| text.parse().ok()),
    }
}

/// One HTTP response: status, body, and the bytes behind it. `None` if it is not whole.
pub(crate) fn response(bytes: &[u8]) -> Option<(u16, &str, &[u8])> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).expect("a head is text");
    let status = head.strip_prefix("HTTP/1.1 ").expect("a status line")[..3].parse().expect("a status");
    let length = head.split("Content-Length: ").nth(1).map_or(0, |rest| {
        rest.split("\r\n").next().and_then(|digits| digits.parse().ok()).expect("a length")
    });
    let (body, rest) = bytes[end..].split_at_checked(length)?;
    // What the tracker says may be no text.
    Some((status, std::str::from_utf8(body).unwrap_or_default(), rest))
}

/// The peers in the answer of `GET /peers`: id, endpoints, age.
pub(crate) fn listed(body: &str) -> Vec<(String, Vec<String>, u64)> {
    let quoted = |text: &str| text.split('"').next().unwrap_or_default().to_owned();
    body.split(r#"{"id":""#)
        .skip(1)
        .map(|peer| {
            let list = peer.split(r#""endpoints":["#).nth(1).and_then(|rest| rest.split(r#"],""#).next());
            let list = list.expect("endpoints");
            let endpoints = list.split(',').map(|text| text.trim_matches('"').to_owned()).collect();
            let age =
                peer.split(r#""age":"#).nth(1).map(|rest| rest.split([',', '}']).next().unwrap_or_default());
            (quoted(peer), endpoints, age.and_then(|age| age.parse().ok()).expect("an age"))
        })
        .collect()
}

/// The address of a client: each in a /16 or a /32 of its own.
pub(crate) fn address(number: usize) -> SocketAddr {
    let ip: IpAddr = if number % 3 == 2 {
        [0x2a00 + number as u16, 7, 7, 0, 0, 0, 0, 9].into()
    } else {
        [40 + number as u8, 7, 7, 9].into()
    };
    SocketAddr::new(ip, 20_000 + number as u16)
}
