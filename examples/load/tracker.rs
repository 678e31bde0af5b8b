//! UDP trackers (BEP 15).

use std::str::FromStr;

use crate::Options;
use crate::swarms::Swarms;
use crate::udp::{Answer, Talk, sockets_of};

/// Where a connection begins.
const MAGIC: u64 = 0x0417_2710_1980;

/// What is sent, with its action.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Connect = 0,
    Announce = 1,
    Scrape = 2,
}

/// The action of an error.
const ERROR: u32 = 3;

impl FromStr for Kind {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "connect" => Ok(Self::Connect),
            "" | "announce" => Ok(Self::Announce),
            "scrape" => Ok(Self::Scrape),
            _ => Err("with tracker there are connect, announce and scrape"),
        }
    }
}

/// The protocol, with a connection id for each socket.
pub(crate) struct Tracker {
    kind: Kind,
    swarms: Swarms,
    want: u32,
    connections: Vec<Option<[u8; 8]>>,
}

impl Tracker {
    /// No socket is connected yet.
    pub(crate) fn new(options: &Options) -> Result<Self, &'static str> {
        Ok(Self {
            kind: options.kind.parse()?,
            swarms: Swarms::new(options)?,
            want: options.want,
            connections: vec![None; sockets_of(options)],
        })
    }

    /// What socket `from` says next, or has said: only one who is connected can announce.
    fn stage(&self, from: usize) -> Kind {
        if self.connections[from].is_some() { self.kind } else { Kind::Connect }
    }
}

impl Talk for Tracker {
    fn request(&mut self, from: usize, number: u32, out: &mut Vec<u8>) {
        let stage = self.stage(from);
        let connection = self.connections[from].unwrap_or(MAGIC.to_be_bytes());
        out.extend_from_slice(&connection);
        out.extend_from_slice(&(stage as u32).to_be_bytes());
        out.extend_from_slice(&number.to_be_bytes());
        if stage == Kind::Connect {
            return;
        }
        let peer = self.swarms.next(from);
        out.extend_from_slice(&peer.info_hash);
        if stage == Kind::Scrape {
            return;
        }
        out.extend_from_slice(format!("-LOAD00-{:012}", peer.number).as_bytes());
        // Downloaded, left (something: it leeches), uploaded.
        [0, 1, 0].iter().for_each(|bytes: &u64| out.extend_from_slice(&bytes.to_be_bytes()));
        // No event, no address, a key, how many peers it wants.
        [0, 0, peer.number as u32, self.want]
            .iter()
            .for_each(|field| out.extend_from_slice(&field.to_be_bytes()));
        out.extend_from_slice(&peer.port().to_be_bytes());
    }

    fn answer(&mut self, from: usize, number: u32, answer: &[u8], _: &mut Vec<u8>) -> Answer {
        let field = |at: usize| Some(u32::from_be_bytes(*answer.get(at..)?.first_chunk()?));
        if field(4) != Some(number) {
            return Answer::Stray;
        }
        let stage = self.stage(from);
        let expected = self.swarms.size() as u32;
        match (stage, field(0)) {
            (Kind::Connect, Some(0)) if answer.len() >= 16 => {
                if self.kind == Kind::Connect {
                    return Answer::Served;
                }
                self.connections[from] = answer[8..].first_chunk().copied();
                Answer::Prepared
            }
            (Kind::Announce, Some(1)) if answer.len() >= 20 => Answer::Served,
            (Kind::Scrape, Some(2)) if answer.len() >= 20 => {
                let peers = field(8).unwrap_or(0).wrapping_add(field(16).unwrap_or(0));
                if peers == expected {
                    return Answer::Served;
                }
                Answer::Refused(format!("a swarm has {peers} peers, not {expected}"))
            }
            (_, action) => {
                self.connections[from] = None;
                let text =
                    if action == Some(ERROR) { &answer[8..] } else { b"not the answer that was asked for" };
                let why = String::from_utf8_lossy(text).into_owned();
                if stage == self.kind { Answer::Refused(why) } else { Answer::Unprepared(why) }
            }
        }
    }

    fn lost(&mut self, from: usize) {
        self.connections[from] = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(tracker: &mut Tracker, number: u32) -> Vec<u8> {
        let mut out = Vec::new();
        tracker.request(0, number, &mut out);
        out
    }

    fn tracker(kind: &str) -> Tracker {
        Tracker::new(&crate::options(&["tracker", kind, "--sockets", "1"])).unwrap()
    }

    const CONNECTED: [u8; 16] = *b"\0\0\0\0\0\0\0\x01CONNECTD";

    #[test]
    fn a_connection_comes_first() {
        let mut tracker = tracker("announce");
        assert_eq!(request(&mut tracker, 1), b"\0\0\x04\x17\x27\x10\x19\x80\0\0\0\0\0\0\0\x01");
        assert!(matches!(tracker.answer(0, 2, &CONNECTED, &mut Vec::new()), Answer::Stray));
        assert!(matches!(tracker.answer(0, 1, &CONNECTED, &mut Vec::new()), Answer::Prepared));
        let announce = request(&mut tracker, 2);
        assert_eq!(announce.len(), 98);
        assert_eq!(announce[..16], *b"CONNECTD\0\0\0\x01\0\0\0\x02");
        assert_eq!(announce[16..36], crate::swarms::hash("0"));
        assert_eq!(announce[36..56], *b"-LOAD00-000000000000");
        assert_eq!(announce[56..80], *b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0");
        assert_eq!(announce[80..], *b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x1e\x04\0");
        let mut answer = vec![0; 200];
        answer[3] = 1;
        answer[7] = 2;
        assert!(matches!(tracker.answer(0, 2, &answer, &mut Vec::new()), Answer::Served));
    }

    #[test]
    fn errors_are_refusals() {
        let mut tracker = tracker("announce");
        let mut error = *b"\0\0\0\x03\0\0\0\x01no";
        assert!(matches!(tracker.answer(0, 1, &error, &mut Vec::new()), Answer::Unprepared(_)));
        tracker.answer(0, 1, &CONNECTED, &mut Vec::new());
        error[7] = 2;
        let Answer::Refused(why) = tracker.answer(0, 2, &error, &mut Vec::new()) else {
            panic!("not refused")
        };
        assert_eq!(why, "no");
        assert!(tracker.stage(0) == Kind::Connect, "it connects anew");
    }

    #[test]
    fn a_scrape_counts() {
        let mut tracker = tracker("scrape");
        tracker.answer(0, 1, &CONNECTED, &mut Vec::new());
        assert_eq!(request(&mut tracker, 2).len(), 36);
        let mut answer = *b"\0\0\0\x02\0\0\0\x02\0\0\0\x04\0\0\0\0\0\0\0\x3c";
        assert!(matches!(tracker.answer(0, 2, &answer, &mut Vec::new()), Answer::Served));
        answer[19] = 0x3b;
        assert!(matches!(tracker.answer(0, 2, &answer, &mut Vec::new()), Answer::Refused(_)));
    }

    #[test]
    fn no_beginning_of_an_answer_is_an_answer() {
        for kind in ["connect", "announce", "scrape"] {
            let mut tracker = tracker(kind);
            for end in 0..16 {
                assert!(!matches!(
                    tracker.answer(0, 1, &CONNECTED[..end], &mut Vec::new()),
                    Answer::Served | Answer::Prepared
                ));
            }
        }
    }
}
