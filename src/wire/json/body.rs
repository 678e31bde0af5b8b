//! The bodies of Waypost's requests, typed but not yet validated: text is still text.

use heapless::Vec;

use super::{Error, Field, Object};
use crate::limits::{MAX_ENDPOINTS, MAX_MESSAGE_ID_BYTES, MAX_SCHEMES};

/// `POST /announce`.
#[derive(Clone, Debug)]
pub struct AnnounceBody<'a> {
    /// `id`, or `client_id`.
    pub id: Option<&'a str>,
    /// Where the peer can be reached.
    pub endpoints: Option<Vec<&'a str, MAX_ENDPOINTS>>,
    /// In which network.
    pub network: Option<&'a str>,
    /// Life wanted, in seconds.
    pub ttl_s: Option<u64>,
    /// The token of the registration.
    pub token: Option<&'a str>,
    /// The work for it.
    pub work: Option<Work<'a>>,
    /// What it is signed with.
    pub seal: Option<SealText<'a>>,
}

/// Work done for an announce: its `pow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work<'a> {
    /// The challenge.
    pub challenge: &'a str,
    /// What solves it.
    pub nonce: u64,
}

/// `key`, `seq` and `sig` of an announce or a leave: a seal as text, not yet verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealText<'a> {
    /// The public key.
    pub key: &'a str,
    /// The version of the record.
    pub seq: u64,
    /// The signature.
    pub sig: &'a str,
}

/// `POST /leave`.
#[derive(Clone, Debug)]
pub struct LeaveBody<'a> {
    /// `id`, or `client_id`.
    pub id: Option<&'a str>,
    /// From which network.
    pub network: Option<&'a str>,
    /// The token of the registration.
    pub token: Option<&'a str>,
    /// What it is signed with.
    pub seal: Option<SealText<'a>>,
}

/// `POST /hello`.
#[derive(Clone, Debug)]
pub struct HelloBody<'a> {
    /// `client_id`, or `id`.
    pub id: Option<&'a str>,
    /// Schemes the client understands.
    pub supports: Option<Vec<&'a str, MAX_SCHEMES>>,
    /// `MAJOR.MINOR` of the client's protocol.
    pub version: Option<&'a str>,
    /// In which network.
    pub network: Option<&'a str>,
    /// Wants the answer signed, and makes its signature a new one.
    pub nonce: Option<&'a str>,
}

/// What every datagram has. The fields that depend on its type are read once it is known who sent it.
#[derive(Clone, Debug)]
pub struct UdpMessage<'a> {
    /// What it is.
    pub kind: MessageKind,
    /// The message's id, to be echoed: 1 to 32 bytes, without escapes.
    pub id: &'a str,
    /// The token that proves the sender's address.
    pub token: Option<&'a str>,
    /// Whether it was padded for a longer answer.
    pub padded: bool,
    object: Object<'a>,
}

/// The `type` of a datagram that asks for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// `ping`
    Ping,
    /// `find_peers`
    FindPeers,
    /// `announce`
    Announce,
    /// `leave`
    Leave,
}

/// What a `find_peers` datagram asks for.
#[derive(Clone, Debug)]
pub struct QueryBody<'a> {
    /// In which network.
    pub network: Option<&'a str>,
    /// Most peers wanted.
    pub limit: Option<u64>,
    /// Schemes wanted, separated by commas.
    pub transport: Option<&'a str>,
    /// `exclude`, or `peer_id`: the asker's own id.
    pub exclude: Option<&'a str>,
}

/// What an `announce` or `leave` datagram says of its peer.
#[derive(Clone, Debug)]
pub struct UdpAnnounceBody<'a> {
    /// The peer's id.
    pub peer_id: Option<&'a str>,
    /// The port it can be reached at, 1..=65535.
    pub port: Option<u16>,
    /// Where it can be reached.
    pub endpoints: Option<Vec<&'a str, MAX_ENDPOINTS>>,
    /// In which network.
    pub network: Option<&'a str>,
    /// Life wanted, in seconds.
    pub ttl_s: Option<u64>,
    /// The work for it.
    pub work: Option<Work<'a>>,
    /// What it is signed with.
    pub seal: Option<SealText<'a>>,
}

impl<'a> AnnounceBody<'a> {
    /// Reads the body of an announce.
    ///
    /// # Errors
    /// [`Error`] if it is no strict JSON object, or names the field of the wrong type.
    pub fn parse(document: &'a [u8]) -> Result<Self, Error> {
        let object = Object::parse(document)?;
        Ok(Self {
            id: one_of(&object, Field::Id, Field::ClientId)?,
            endpoints: object.texts(Field::Endpoints)?,
            network: object.text(Field::Network)?,
            ttl_s: object.number(Field::Ttl)?,
            token: object.text(Field::Token)?,
            work: work(&object)?,
            seal: seal(&object)?,
        })
    }
}

impl<'a> LeaveBody<'a> {
    /// Reads the body of a leave.
    ///
    /// # Errors
    /// [`Error`] if it is no strict JSON object, or names the field of the wrong type.
    pub fn parse(document: &'a [u8]) -> Result<Self, Error> {
        let object = Object::parse(document)?;
        Ok(Self {
            id: one_of(&object, Field::Id, Field::ClientId)?,
            network: object.text(Field::Network)?,
            token: object.text(Field::Token)?,
            seal: seal(&object)?,
        })
    }
}

impl<'a> HelloBody<'a> {
    /// Reads the body of a hello.
    ///
    /// # Errors
    /// [`Error`] if it is no strict JSON object, or names the field of the wrong type.
    pub fn parse(document: &'a [u8]) -> Result<Self, Error> {
        let object = Object::parse(document)?;
        Ok(Self {
            id: one_of(&object, Field::Id, Field::ClientId)?,
            supports: object.texts(Field::Supports)?,
            version: object.text(Field::Version)?,
            network: object.text(Field::Network)?,
            nonce: object.text(Field::Nonce)?,
        })
    }
}

impl<'a> UdpMessage<'a> {
    /// Reads what every datagram has.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is no strict JSON object, [`Error::Field`] with [`Field::Type`] if it asks for nothing
    /// a server answers (least of all the answers of other servers), or with another field that is not as it must be.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Error> {
        let object = Object::parse(datagram)?;
        let kind = match object.text(Field::Type)? {
            Some("ping") => MessageKind::Ping,
            Some("find_peers") => MessageKind::FindPeers,
            Some("announce") => MessageKind::Announce,
            Some("leave") => MessageKind::Leave,
            _ => return Err(Error::Field(Field::Type)),
        };
        let fits = |id: &&str| (1..=MAX_MESSAGE_ID_BYTES).contains(&id.len());
        let id = object.text(Field::Id)?.filter(fits).ok_or(Error::Field(Field::Id))?;
        let token = object.text(Field::Token)?;
        let padded = object.has_text(Field::Pad)?;
        Ok(Self { kind, id, token, padded, object })
    }

    /// Reads the fields of a `find_peers`.
    ///
    /// # Errors
    /// [`Error::Field`] names the field of the wrong type.
    pub fn query(&self) -> Result<QueryBody<'a>, Error> {
        Ok(QueryBody {
            network: self.object.text(Field::Network)?,
            limit: self.object.number(Field::Limit)?,
            transport: self.object.text(Field::Transport)?,
            exclude: one_of(&self.object, Field::Exclude, Field::PeerId)?,
        })
    }

    /// Reads the fields of an `announce` or `leave`.
    ///
    /// # Errors
    /// [`Error::Field`] names the field of the wrong type.
    pub fn announce(&self) -> Result<UdpAnnounceBody<'a>, Error> {
        let port = self.object.number(Field::Port)?;
        if port == Some(0) {
            return Err(Error::Field(Field::Port));
        }
        Ok(UdpAnnounceBody {
            peer_id: self.object.text(Field::PeerId)?,
            port,
            endpoints: self.object.texts(Field::Endpoints)?,
            network: self.object.text(Field::Network)?,
            ttl_s: self.object.number(Field::Ttl)?,
            work: work(&self.object)?,
            seal: seal(&self.object)?,
        })
    }
}

/// The text of a field with two names; both may be given if they agree.
fn one_of<'a>(object: &Object<'a>, name: Field, other: Field) -> Result<Option<&'a str>, Error> {
    match (object.text(name)?, object.text(other)?) {
        (Some(a), Some(b)) if a != b => Err(Error::Field(name)),
        (a, b) => Ok(a.or(b)),
    }
}

/// The work in an announce: an object of a challenge and a nonce.
fn work<'a>(object: &Object<'a>) -> Result<Option<Work<'a>>, Error> {
    let Some(pow) = object.object(Field::Pow)? else { return Ok(None) };
    match (pow.text(Field::Challenge), pow.number(Field::Nonce)) {
        (Ok(Some(challenge)), Ok(Some(nonce))) => Ok(Some(Work { challenge, nonce })),
        _ => Err(Error::Field(Field::Pow)),
    }
}

/// The parts of a signature: all, or none.
fn seal<'a>(object: &Object<'a>) -> Result<Option<SealText<'a>>, Error> {
    match (object.text(Field::Key)?, object.number(Field::Seq)?, object.text(Field::Sig)?) {
        (None, None, None) => Ok(None),
        (Some(key), Some(seq), Some(sig)) => Ok(Some(SealText { key, seq, sig })),
        _ => Err(Error::Field(Field::Sig)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_announce() {
        let body = AnnounceBody::parse(
            br#"{"id":"n1","client_id":"n1","endpoints":["tcp://:1","udp://:2"],"network":"room","ttl":60,
                "token":"AAAAAAAAAAA","pow":{"challenge":"x","nonce":18446744073709551615},"unknown":[1,{"a":"\ud83d\ude00"}]}"#,
        )
        .unwrap();
        assert_eq!((body.id, body.network, body.token), (Some("n1"), Some("room"), Some("AAAAAAAAAAA")));
        assert_eq!(body.endpoints.unwrap(), ["tcp://:1", "udp://:2"]);
        assert_eq!((body.ttl_s, body.seal), (Some(60), None));
        assert_eq!(body.work, Some(Work { challenge: "x", nonce: u64::MAX }));
    }

    #[test]
    fn what_is_left_out_or_null_is_none() {
        for document in [&b"{}"[..], br#"{"id":null,"endpoints":null,"network":null,"ttl":null,"key":null}"#]
        {
            let body = AnnounceBody::parse(document).unwrap();
            assert!(body.id.is_none() && body.endpoints.is_none() && body.network.is_none());
            assert!(body.ttl_s.is_none() && body.token.is_none() && body.seal.is_none());
        }
    }

    #[test]
    fn errors_name_the_field() {
        for (document, field) in [
            (r#"{"id":7}"#, Field::Id),
            (r#"{"client_id":{}}"#, Field::ClientId),
            (r#"{"id":"a","client_id":"b"}"#, Field::Id),
            (r#"{"id":"\u0061"}"#, Field::Id),
            (r#"{"endpoints":"tcp://:1"}"#, Field::Endpoints),
            (r#"{"endpoints":["a","b","c","d","e"]}"#, Field::Endpoints),
            (r#"{"endpoints":["tcp:\/\/:1"]}"#, Field::Endpoints),
            (r#"{"endpoints":[["tcp://:1"]]}"#, Field::Endpoints),
            (r#"{"network":["a"]}"#, Field::Network),
            (r#"{"network":"a\n"}"#, Field::Network),
            (r#"{"ttl":"60"}"#, Field::Ttl),
            (r#"{"ttl":60.0}"#, Field::Ttl),
            (r#"{"token":1}"#, Field::Token),
            (r#"{"pow":1}"#, Field::Pow),
            (r#"{"pow":{}}"#, Field::Pow),
            (r#"{"pow":{"challenge":"x"}}"#, Field::Pow),
            (r#"{"pow":{"challenge":"x","nonce":"1"}}"#, Field::Pow),
            (r#"{"pow":{"challenge":"x","nonce":-1}}"#, Field::Pow),
            (r#"{"pow":{"challenge":"x","nonce":1.0}}"#, Field::Pow),
            (r#"{"pow":{"challenge":"x","nonce":18446744073709551616}}"#, Field::Pow),
            (r#"{"pow":{"challenge":"\u0078","nonce":1}}"#, Field::Pow),
            (r#"{"pow":{"challenge":"x","nonce":1,"nonce":2}}"#, Field::Pow),
        ] {
            let error = AnnounceBody::parse(document.as_bytes()).map(drop);
            assert_eq!(error, Err(Error::Field(field)), "{document}");
        }
    }

    #[test]
    fn a_signature_has_three_parts() {
        let whole = br#"{"key":"k","seq":7,"sig":"s"}"#;
        let seal = Some(SealText { key: "k", seq: 7, sig: "s" });
        assert_eq!(AnnounceBody::parse(whole).unwrap().seal, seal);
        assert_eq!(LeaveBody::parse(whole).unwrap().seal, seal);
        for (document, field) in [
            (r#"{"key":"k"}"#, Field::Sig),
            (r#"{"seq":1}"#, Field::Sig),
            (r#"{"sig":"s"}"#, Field::Sig),
            (r#"{"key":"k","sig":"s"}"#, Field::Sig),
            (r#"{"key":{"\n":[]}}"#, Field::Key),
            (r#"{"key":"k","seq":"1","sig":"s"}"#, Field::Seq),
            (r#"{"key":"k","seq":-1,"sig":"s"}"#, Field::Seq),
            (r#"{"key":"k","seq":1.0,"sig":"s"}"#, Field::Seq),
        ] {
            assert_eq!(
                AnnounceBody::parse(document.as_bytes()).map(drop),
                Err(Error::Field(field)),
                "{document}"
            );
            assert_eq!(
                LeaveBody::parse(document.as_bytes()).map(drop),
                Err(Error::Field(field)),
                "{document}"
            );
        }
    }

    #[test]
    fn a_hello() {
        let body =
            HelloBody::parse(br#"{"client_id":"c","supports":["tcp","udp"],"version":"1.0"}"#).unwrap();
        assert_eq!((body.id, body.version, body.network), (Some("c"), Some("1.0"), None));
        assert_eq!(body.supports.unwrap(), ["tcp", "udp"]);
        let nine = br#"{"supports":["a","b","c","d","e","f","g","h","i"]}"#;
        assert_eq!(HelloBody::parse(nine).map(drop), Err(Error::Field(Field::Supports)));
    }

    #[test]
    fn messages_have_a_type_and_an_id() {
        let message = UdpMessage::parse(br#"{"type":"announce","id":"1","port":9,"pad":"\u0000"}"#).unwrap();
        assert_eq!((message.kind, message.id, message.token), (MessageKind::Announce, "1", None));
        assert!(message.padded);
        assert_eq!(message.announce().unwrap().port, Some(9));
        for (datagram, error) in [
            (r#"{"type":"ping"}"#, Error::Field(Field::Id)),
            (r#"{"type":"ping","id":1}"#, Error::Field(Field::Id)),
            (r#"{"type":"ping","id":""}"#, Error::Field(Field::Id)),
            (r#"{"type":"ping","id":"\n"}"#, Error::Field(Field::Id)),
            (r#"{"type":"ping","id":"123456789012345678901234567890123"}"#, Error::Field(Field::Id)),
            (r#"{"type":"ping","id":"1","token":1}"#, Error::Field(Field::Token)),
            (r#"{"type":"ping","id":"1","pad":1}"#, Error::Field(Field::Pad)),
            (r#"{"id":"1"}"#, Error::Field(Field::Type)),
            (r#"{"type":"pong","id":"1"}"#, Error::Field(Field::Type)),
            (r#"{"type":"PING","id":"1"}"#, Error::Field(Field::Type)),
            (r#"{"type":"ping","id":"1"}}"#, Error::Malformed),
        ] {
            assert_eq!(UdpMessage::parse(datagram.as_bytes()).map(drop), Err(error), "{datagram}");
        }
    }

    #[test]
    fn ports_are_ports() {
        for port in ["0", "65536", "-1", "1.0", "1e3", "\"9\"", "[9]"] {
            let datagram = std::format!(r#"{{"type":"announce","id":"1","port":{port}}}"#);
            let message = UdpMessage::parse(datagram.as_bytes()).unwrap();
            assert_eq!(message.announce().map(drop), Err(Error::Field(Field::Port)), "{port}");
        }
    }
}
