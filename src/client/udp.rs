//! One question over UDP, sans-IO: it is sent until it is answered or time is up, and what is no answer to it is passed
//! over.
//!
//! A server says little to an address that has not proved itself (docs/protocol.md). So the first `find_peers` is padded, and
//! brings peers and a token at once; anything else without a token brings a token, and is then said again with it. Whoever drives a
//! dialogue keeps the token for the next one, for [`TOKEN_LIFE_MS`].
//!
//! The driver's loop: send what [`Dialogue::poll_transmit`] gives, wait for a datagram until [`Dialogue::poll_timeout`], hand it
//! to [`Dialogue::receive`], and stop when that returns something or the deadline is over.

use std::net::SocketAddr;

use super::failure::Failure;
use super::json::Document;
use super::message::{self, Announce, AnnounceAnswer, Leave, PeersAnswer, PeersQuery, Pong};
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::hex;

/// How long a token is good at least, in milliseconds.
pub const TOKEN_LIFE_MS: u64 = 300_000;
/// Time until a question is sent again, in milliseconds; doubled each time.
pub const FIRST_PAUSE_MS: u64 = 400;
/// The longest such time, in milliseconds.
const LONGEST_PAUSE_MS: u64 = 6_400;
/// How often a stranger is asked that has not shown yet that it hears.
const ASKED_OF_STRANGER: u8 = 2;
/// Tokens that one dialogue takes up: a server that gives a new one each time gets no further.
const MAX_TOKENS: u8 = 3;
/// Longest token that is kept, in bytes: those of servers have 11.
const MAX_TOKEN_BYTES: usize = 64;
/// Other questions have so many bytes at least, so that a token, or a whole pong, fits the answer to an address not proved.
const LEAST_BYTES: usize = 192;
/// The first question for peers has so many: what an answer may have.
const PADDED_BYTES: usize = crate::limits::MAX_UDP_REPLY_BYTES;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub enum Question<'q> {
    /// Who is there?
    Peers(&'q PeersQuery),
    /// The same, of somebody whose address others have told us, and might have made up: it is asked in few bytes, and twice at
    /// most unless it shows that it hears, so that nobody can aim us at a victim.
    PeersOfStranger(&'q PeersQuery),
    /// Here I am.
    Announce(&'q Announce),
    /// I go.
    Leave(&'q Leave),
    /// Are you there?
    Ping,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To [`Question::Peers`] and [`Question::PeersOfStranger`].
    Peers(PeersAnswer),
    /// To [`Question::Announce`].
    Announce(AnnounceAnswer),
    /// To [`Question::Leave`]: whether somebody was removed.
    Left(bool),
    /// To [`Question::Ping`].
    Pong(Pong),
}

/// A question to one server, until it is answered.
#[derive(Debug)]
pub struct Dialogue<'q> {
    question: Question<'q>,
    server: SocketAddr,
    /// The message's id: 64 random bits in hex, which only who reads along can know.
    id: String,
    token: Option<String>,
    tokens_taken: u8,
    /// How often it has been sent, up to 255.
    sent: u8,
    send_at: Instant,
    pause_ms: u64,
    deadline: Instant,
}

impl<'q> Dialogue<'q> {
    /// A dialogue with `server` that begins now and is given up at `deadline`. `token` is one that this server has given
    /// lately.
    pub fn new(
        now: Instant,
        question: Question<'q>,
        server: SocketAddr,
        token: Option<String>,
        rng: &mut Rng,
        deadline: Instant,
    ) -> Self {
        let id = rng.next_u64().to_be_bytes().into_iter().flat_map(hex::encode).map(char::from).collect();
        let pause_ms = FIRST_PAUSE_MS;
        Self { question, server, id, token, tokens_taken: 0, sent: 0, send_at: now, pause_ms, deadline }
    }

    /// The datagram to send now, if it is time for one.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<String> {
        if now < self.send_at || self.is_over(now) {
            return None;
        }
        self.sent = self.sent.saturating_add(1);
        let is_stranger = matches!(self.question, Question::PeersOfStranger(_)) && self.tokens_taken == 0;
        self.send_at = match self.sent {
            ASKED_OF_STRANGER.. if is_stranger => self.deadline,
            _ => now.plus_ms(self.pause_ms),
        };
        self.pause_ms = self.pause_ms.saturating_mul(2).min(LONGEST_PAUSE_MS);
        let (id, token) = (self.id.as_str(), self.token.as_deref().unwrap_or_default());
        let (text, least) = match self.question {
            Question::Peers(query) if token.is_empty() => (query.datagram(id, token), PADDED_BYTES),
            // Longer than a token's answer as it is; padded, it would be answered with as few peers as fit.
            Question::Peers(query) | Question::PeersOfStranger(query) => (query.datagram(id, token), 0),
            Question::Announce(announce) => (announce.datagram(id, token), LEAST_BYTES),
            Question::Leave(leave) => (leave.datagram(id, token), LEAST_BYTES),
            Question::Ping => (Pong::datagram(id), LEAST_BYTES),
        };
        Some(padded(text, least))
    }

    /// Until when to wait: for the next thing to send, or for the end.
    pub fn poll_timeout(&self) -> Instant {
        self.send_at.min(self.deadline)
    }

    /// Whether it is given up.
    pub fn is_over(&self, now: Instant) -> bool {
        now >= self.deadline
    }

    /// The token to keep for the next dialogue with this server.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Takes a datagram: the answer, if it is one. Anything else that comes is passed over: strangers may send what they like.
    ///
    /// # Errors
    /// [`Failure::Refused`] with the server's word, [`Failure::Nonsense`] if it makes mistakes.
    pub fn receive(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Option<Result<Answer, Failure>> {
        let is_servers =
            from.ip().to_canonical() == self.server.ip().to_canonical() && from.port() == self.server.port();
        let document = Document::parse(datagram).filter(|_| is_servers)?;
        if document.text("id") != Ok(Some(&self.id)) {
            return None;
        }
        let kind = document.text("type").ok()??;
        let given = document.text("token").ok().flatten().filter(|token| is_token(token));
        match (self.question, kind) {
            (Question::Ping, "token") => None,
            (_, "token") => {
                self.take_up(now, given?);
                None
            }
            (_, "error") => Some(message::refusal(&document, None).and(Err(NO_WORD))),
            (Question::Peers(_) | Question::PeersOfStranger(_), "peers") => {
                self.token = given.map(Into::into).or(self.token.take());
                Some(PeersAnswer::parse_datagram(datagram).map(|answer| {
                    Answer::Peers(PeersAnswer { from: Some(from.ip().to_canonical()), ..answer })
                }))
            }
            (Question::Announce(_), "ack") => Some(AnnounceAnswer::parse(datagram).map(Answer::Announce)),
            (Question::Leave(_), "ack") => Some(Leave::parse_answer(datagram).map(Answer::Left)),
            (Question::Ping, "pong") => Some(Pong::parse(datagram).map(Answer::Pong)),
            _ => None,
        }
    }

    /// Says the question again with a token that has come. One that is known brought no answer, and is a late answer itself.
    fn take_up(&mut self, now: Instant, token: &str) {
        if self.token.as_deref() != Some(token) && self.tokens_taken < MAX_TOKENS {
            self.token = Some(token.into());
            self.tokens_taken = self.tokens_taken.saturating_add(1);
            (self.send_at, self.pause_ms) = (now, FIRST_PAUSE_MS);
        }
    }
}

const NO_WORD: Failure = Failure::Nonsense("an error without a word");

/// Whether `text` can be kept as a token, and sent as it is.
fn is_token(text: &str) -> bool {
    (1..=MAX_TOKEN_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// `object` with a `pad` that makes it `least` bytes long, or some bytes longer.
fn padded(mut object: String, least: usize) -> String {
    let missing = least.saturating_sub(object.len());
    if missing > 0 && object.pop().is_some() {
        object.push_str(",\"pad\":\"");
        // What stands around the pad counts as well.
        object.extend(std::iter::repeat_n('x', missing.saturating_sub(",\"pad\":\"\"".len())));
        object.push_str("\"}");
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::HashKey;
    use crate::wire::json::{MessageKind, UdpMessage};

    /// Bytes of an answer with a token.
    const LEAST_TOKEN_BYTES: usize =
        r#"{"type":"token","id":"0123456789abcdef","token":"0123456789a"}"#.len();
    const SERVER: &str = "192.0.2.1:6881";

    fn server() -> SocketAddr {
        SERVER.parse().unwrap()
    }

    fn at(ms: u64) -> Instant {
        Instant::from_ms(ms)
    }

    fn query() -> PeersQuery {
        PeersQuery { network: "chess".into(), limit: 50, transport: Vec::new(), exclude: None }
    }

    fn dialogue<'q>(question: Question<'q>, token: Option<&str>) -> Dialogue<'q> {
        let mut rng = Rng::new(HashKey::new([1; 16]));
        Dialogue::new(at(0), question, server(), token.map(Into::into), &mut rng, at(5_000))
    }

    /// Answers the dialogue's question with these fields.
    fn answer(dialogue: &mut Dialogue<'_>, kind: &str, fields: &str) -> Option<Result<Answer, Failure>> {
        let text = format!(r#"{{"type":"{kind}","id":"{}"{fields}}}"#, dialogue.id);
        for end in 0..text.len() {
            assert!(dialogue.receive(at(1), server(), &text.as_bytes()[..end]).is_none());
        }
        dialogue.receive(at(1), server(), text.as_bytes())
    }

    #[test]
    fn it_is_sent_again_at_growing_pauses_until_the_end() {
        let query = query();
        let mut dialogue = dialogue(Question::Peers(&query), None);
        let mut sent = Vec::new();
        let mut now = at(0);
        while !dialogue.is_over(now) {
            while let Some(datagram) = dialogue.poll_transmit(now) {
                sent.push((now.as_ms(), datagram));
            }
            assert!(dialogue.poll_timeout() > now);
            now = dialogue.poll_timeout();
        }
        let times: Vec<u64> = sent.iter().map(|(ms, _)| *ms).collect();
        assert_eq!(times, [0, 400, 1200, 2800]);
        assert_eq!(now, at(5_000));
        assert!(sent.iter().all(|(_, datagram)| *datagram == sent[0].1), "with the same id");
        assert_eq!(dialogue.poll_transmit(at(9_000)), None);
    }

    #[test]
    fn the_first_question_for_peers_has_room_for_the_answer() {
        let query = query();
        let first = dialogue(Question::Peers(&query), None).poll_transmit(at(0)).unwrap();
        assert_eq!(first.len(), PADDED_BYTES);
        let read = UdpMessage::parse(first.as_bytes()).unwrap();
        assert!(read.padded && read.kind == MessageKind::FindPeers && read.id.len() == 16);
        let known = dialogue(Question::Peers(&query), Some("TOKENTOKENT")).poll_transmit(at(0)).unwrap();
        assert!((LEAST_TOKEN_BYTES..LEAST_BYTES).contains(&known.len()), "{known}");
        assert_eq!(UdpMessage::parse(known.as_bytes()).unwrap().token, Some("TOKENTOKENT"));
    }

    #[test]
    fn a_stranger_is_not_flooded() {
        let query = query();
        let all = |dialogue: &mut Dialogue<'_>, from: u64| {
            let sent: Vec<String> = (from..5_000).filter_map(|ms| dialogue.poll_transmit(at(ms))).collect();
            assert!(
                sent.iter().all(|text| (LEAST_TOKEN_BYTES..LEAST_BYTES).contains(&text.len())),
                "{sent:?}"
            );
            sent.len()
        };
        let mut silent = dialogue(Question::PeersOfStranger(&query), None);
        assert_eq!(all(&mut silent, 0), 2);
        assert_eq!(silent.poll_timeout(), at(5_000), "and is waited for");
        let mut known = dialogue(Question::PeersOfStranger(&query), Some("OLD"));
        assert_eq!(all(&mut known, 0), 2);
        let mut heard = dialogue(Question::PeersOfStranger(&query), None);
        assert!(heard.poll_transmit(at(0)).is_some());
        answer(&mut heard, "token", r#","token":"A""#);
        assert_eq!(all(&mut heard, 1), 4, "it hears");
        let peers = answer(&mut heard, "peers", r#","peers":["192.0.2.7:1"]"#);
        assert!(matches!(peers, Some(Ok(Answer::Peers(answer))) if answer.peers.len() == 1));
    }

    #[test]
    fn a_short_one_is_padded_a_little() {
        for length in LEAST_BYTES - 20..LEAST_BYTES + 3 {
            let object = format!("{{\"a\":\"{}\"}}", "b".repeat(length - 8));
            let padded = padded(object, LEAST_BYTES);
            assert!((LEAST_BYTES..LEAST_BYTES + 10).contains(&padded.len()) || padded.len() == length);
            assert!(Document::parse(padded.as_bytes()).is_some(), "{padded}");
        }
    }

    #[test]
    fn a_token_is_taken_up_at_once() {
        let leave = Leave { network: "chess".into(), id: Some("a".into()), ..Leave::default() };
        let mut dialogue = dialogue(Question::Leave(&leave), None);
        assert!(dialogue.poll_transmit(at(0)).unwrap().contains(r#""token":"""#));
        assert_eq!(answer(&mut dialogue, "token", r#","token":"A""#), None);
        assert!(dialogue.poll_transmit(at(1)).unwrap().contains(r#""token":"A""#));
        assert_eq!(answer(&mut dialogue, "token", r#","token":"A""#), None);
        assert_eq!(dialogue.poll_transmit(at(2)), None, "the same again is no news");
        assert!(dialogue.poll_transmit(at(401)).is_some());
        for token in ["B", "C"] {
            answer(&mut dialogue, "token", &format!(r#","token":"{token}""#));
            assert!(dialogue.poll_transmit(at(1)).is_some());
        }
        answer(&mut dialogue, "token", r#","token":"D""#);
        assert_eq!(dialogue.poll_transmit(at(2)), None, "a server cannot keep it busy");
        assert_eq!(answer(&mut dialogue, "ack", r#","removed":true"#), Some(Ok(Answer::Left(true))));
        assert_eq!(dialogue.token(), Some("C"));
    }

    #[test]
    fn only_the_answer_to_this_question_counts() {
        let query = query();
        let mut dialogue = dialogue(Question::Peers(&query), None);
        let peers =
            format!(r#"{{"type":"peers","id":"{}","peers":["192.0.2.7:1"],"token":"NEW"}}"#, dialogue.id);
        let mut receive =
            |from: &str, text: &str| dialogue.receive(at(1), from.parse().unwrap(), text.as_bytes());
        assert_eq!(receive("192.0.2.2:6881", &peers), None, "another address");
        assert_eq!(receive("192.0.2.1:6882", &peers), None, "another port");
        assert_eq!(receive(SERVER, &peers.replace("\"id\":\"", "\"id\":\"0")), None, "another id");
        assert_eq!(receive(SERVER, &peers.replace("\"peers\",", "\"pong\",")), None, "another type");
        assert_eq!(receive(SERVER, "\u{0}"), None);
        let Some(Ok(Answer::Peers(answer))) = receive("[::ffff:192.0.2.1]:6881", &peers) else {
            panic!("the server's");
        };
        assert_eq!((answer.peers.len(), answer.from), (1, "192.0.2.1".parse().ok()));
        assert_eq!(dialogue.token(), Some("NEW"));
    }

    #[test]
    fn refusals_are_told() {
        let (query, announce) = (query(), Announce::default());
        let limited =
            Failure::Refused { word: "rate_limited".into(), detail: String::new(), retry_after_s: None };
        let word = r#","error":"rate_limited""#;
        let mut peers = dialogue(Question::Peers(&query), None);
        assert_eq!(answer(&mut peers, "error", word), Some(Err(limited.clone())));
        assert_eq!(answer(&mut peers, "error", ""), Some(Err(NO_WORD)));
        let mut announce = dialogue(Question::Announce(&announce), None);
        let ack = format!(r#","registered":false{word}"#);
        assert_eq!(answer(&mut announce, "ack", &ack), Some(Err(limited)));
        let work =
            r#","registered":false,"error":"pow_required","challenge":"C","difficulty":16,"expires":120"#;
        let wanted = AnnounceAnswer::WorkWanted { challenge: "C".into(), difficulty: 16 };
        assert_eq!(answer(&mut announce, "ack", work), Some(Ok(Answer::Announce(wanted))));
        let mut ping = dialogue(Question::Ping, None);
        assert_eq!(answer(&mut ping, "pong", ""), Some(Ok(Answer::Pong(Pong::default()))));
    }
}
