//! What is asked of a server and what it answers, the same over HTTP and UDP: values, and their JSON.

mod announce;
mod fields;
mod peers;
mod server;

use std::net::{IpAddr, SocketAddr};

use super::failure::Failure;
use super::json::{Document, Odd};
use crate::wire::hex;

pub use announce::{Announce, AnnounceAnswer, Leave};
pub use peers::{PeerRecord, PeersAnswer, PeersQuery};
pub use server::{Health, Pong, WellKnown};

/// The refusal in an answer, if there is one.
///
/// # Errors
/// It, as [`Failure::Refused`].
pub(crate) fn refusal(document: &Document<'_>, retry_after_s: Option<u32>) -> Result<(), Failure> {
    let Some(word) = document.text("error").map_err(nonsense)? else { return Ok(()) };
    let detail = document.text("detail").unwrap_or_default().unwrap_or_default();
    let cut = |text: &str| text.chars().take(200).collect();
    Err(Failure::Refused { word: cut(word), detail: cut(detail), retry_after_s })
}

fn nonsense(Odd(field): Odd) -> Failure {
    Failure::Nonsense(field)
}

/// `you`: an address, over UDP with a port.
fn address(document: &Document<'_>) -> Result<Option<IpAddr>, Failure> {
    let Some(text) = document.text("you").map_err(nonsense)? else { return Ok(None) };
    let with_port = || text.parse::<SocketAddr>().map(|addr| addr.ip());
    text.parse().or_else(|_| with_port()).map(Some).map_err(|_| Failure::Nonsense("you"))
}

/// The id of a server: 40 hex digits.
fn server_id(document: &Document<'_>, key: &'static str) -> Result<Option<String>, Failure> {
    let Some(text) = document.text(key).map_err(nonsense)? else { return Ok(None) };
    hex::decode::<20>(text.as_bytes()).map(|_| Some(text.to_ascii_lowercase())).ok_or(Failure::Nonsense(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NetworkKey;
    use crate::record::Seal;

    const GOLDEN_KEY: &str = "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg";
    const GOLDEN_SIG: &str =
        "TcWWNOlA_Gcl7zllZdHj2-jANVPdnwr-XKTR6yqCAXaqxkm0nQVzwenLxN8Hu0I3bi0Npl5W7jrb7AgpOzmcDA";
    const GOLDEN_ID: &str = "56475aa75463474c0285df5dbf2bcab73da65135";

    fn network() -> NetworkKey {
        NetworkKey::of_name("pscryptochat").unwrap()
    }

    #[test]
    fn an_answer_is_read_and_what_is_wrong_in_it_left_out() {
        let signed = |id: &str, port: u16| {
            format!(
                r#"{{"id":"{id}","endpoints":["tcp://198.51.100.7:{port}","udp://[2001:db8::7]:9001"],"age":1,"key":"{GOLDEN_KEY}","seq":7,"sig":"{GOLDEN_SIG}"}}"#
            )
        };
        let peers = [
            r#"{"id":"alice","endpoints":["tcp://192.0.2.1:9000"],"age":3,"last_seen":1795390000}"#.into(),
            signed(GOLDEN_ID, 9000),
            signed(GOLDEN_ID, 9001),
            signed("alice", 9000),
            r#"{"id":"","endpoints":["tcp://192.0.2.1:9000"]}"#.into(),
            r#"{"id":"b","endpoints":[]}"#.into(),
            r#"{"id":"b","endpoints":["tcp://:9000"]}"#.into(),
            r#"{"id":"b","endpoints":["tcp://224.0.0.1:9000"]}"#.into(),
            r#"{"id":"b","endpoints":["tcp://192.0.2.1:9000"],"key":"A"}"#.into(),
            "7".into(),
        ];
        let body = format!(
            r#"{{"peers":[{}],"server_time":1795390003,"ttl":300,"bootstrap_id":"{}","you":"192.0.2.9","new":[{{}}]}}"#,
            peers.join(","),
            "AB".repeat(20)
        );
        let answer = PeersAnswer::parse(body.as_bytes(), network()).unwrap();
        assert_eq!((answer.peers.len(), answer.refused), (2, 8));
        assert_eq!(answer.peers[0].age_s, Some(3));
        assert_eq!(answer.peers[1].seal.unwrap().seq, 7);
        assert_eq!((answer.you, answer.server_time), ("192.0.2.9".parse().ok(), Some(1_795_390_003)));
        assert_eq!(answer.bootstrap_id, Some("ab".repeat(20)));
        for end in 0..body.len() {
            assert!(PeersAnswer::parse(&body.as_bytes()[..end], network()).is_err());
        }
    }

    #[test]
    fn a_datagram_tells_addresses() {
        let datagram = br#"{"type":"peers","id":"1","peers":["192.0.2.1:4000","[2001:db8::1]:5","x","0.0.0.0:1"],"token":"t"}"#;
        let answer = PeersAnswer::parse_datagram(datagram).unwrap();
        let endpoints: Vec<&str> = answer.peers.iter().map(|peer| peer.endpoints[0].as_str()).collect();
        assert_eq!(endpoints, ["udp://192.0.2.1:4000", "udp://[2001:db8::1]:5"]);
        assert_eq!(answer.refused, 2);
    }

    #[test]
    fn requests_are_what_the_server_reads() {
        let seal = Seal::parse(GOLDEN_KEY, 7, GOLDEN_SIG).unwrap();
        let announce = Announce {
            network: "chess".into(),
            id: Some("a".into()),
            endpoints: vec!["tcp://:9000".into()],
            ttl_s: Some(60),
            token: Some("T".into()),
            pow: Some(("C".into(), 5)),
            seal: Some(seal),
        };
        let body = announce.body();
        let read = crate::wire::json::AnnounceBody::parse(body.as_bytes()).unwrap();
        assert_eq!(
            (read.id, read.network, read.ttl_s, read.token),
            (Some("a"), Some("chess"), Some(60), Some("T"))
        );
        assert_eq!(read.endpoints.unwrap(), ["tcp://:9000"]);
        assert_eq!(read.work.unwrap().nonce, 5);
        assert_eq!((read.seal.unwrap().key, read.seal.unwrap().sig), (GOLDEN_KEY, GOLDEN_SIG));
        assert_eq!(Leave::default().body(), r#"{"network":""}"#);
        let leave = Leave { network: "chess".into(), id: Some("a".into()), ..Leave::default() };
        assert_eq!(
            leave.datagram("7", "T"),
            r#"{"type":"leave","id":"7","peer_id":"a","network":"chess","token":"T"}"#
        );
        let query = PeersQuery {
            network: "chess".into(),
            limit: 5,
            transport: vec!["tcp".into(), "a+b".into()],
            exclude: Some("me".into()),
        };
        assert_eq!(
            query.target(Some("00")),
            "/peers?network=chess&limit=5&transport=tcp,a%2Bb&exclude=me&nonce=00"
        );
        let odd = PeersQuery { network: "a b&c\r\né".into(), ..query.clone() };
        assert!(odd.target(None).starts_with("/peers?network=a%20b%26c%0D%0A%C3%A9&limit=5"));
        let datagram = PeersQuery { limit: 50, ..query }.datagram("7", "T");
        let read = crate::wire::json::UdpMessage::parse(datagram.as_bytes()).unwrap();
        assert_eq!((read.id, read.token, read.query().unwrap().limit), ("7", Some("T"), Some(32)));
    }

    #[test]
    fn a_pong_is_read() {
        let id = "AB".repeat(20);
        let pong = format!(r#"{{"type":"pong","id":"1","server_id":"{id}","you":"[2001:db8::1]:7"}}"#);
        let read = Pong::parse(pong.as_bytes()).unwrap();
        assert_eq!(read, Pong { server_id: Some(id.to_lowercase()), you: "[2001:db8::1]:7".parse().ok() });
        assert_eq!(Pong::parse(br#"{"type":"pong","id":"1"}"#), Ok(Pong::default()));
        assert!(Pong::parse(br#"{"you":"192.0.2.1"}"#).is_err());
    }

    #[test]
    fn answers_to_announces_are_told_apart() {
        let read = |text: &str| AnnounceAnswer::parse(text.as_bytes());
        assert_eq!(
            read(r#"{"registered":true,"expires":300,"id":"a","you":"192.0.2.1","token":"T"}"#),
            Ok(AnnounceAnswer::Registered {
                expires_s: 300,
                id: Some("a".into()),
                you: "192.0.2.1".parse().ok(),
                token: Some("T".into())
            })
        );
        let ack =
            r#"{"type":"ack","id":"1","peer_id":"a","registered":true,"expires":30,"you":"[2001:db8::1]:7"}"#;
        assert!(matches!(read(ack), Ok(AnnounceAnswer::Registered { id: Some(id), .. }) if id == "a"));
        let work =
            r#"{"registered":false,"error":"pow_required","challenge":"C","difficulty":16,"expires":120}"#;
        assert_eq!(read(work), Ok(AnnounceAnswer::WorkWanted { challenge: "C".into(), difficulty: 16 }));
        let full = read(r#"{"registered":false,"error":"table_full","detail":"No place."}"#).unwrap_err();
        assert!(matches!(full, Failure::Refused { word, .. } if word == "table_full"));
        assert!(read("{}").is_err() && read(r#"{"registered":true}"#).is_err());
        assert_eq!(Leave::parse_answer(br#"{"removed":true}"#), Ok(true));
    }
}
