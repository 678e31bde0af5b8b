//! JSON fields to engine requests: the one place that validates what clients say of themselves.

use super::Error;
use super::identity::Nonce;
use super::request::{Announce, EndpointList, Leave, PeersQuery, SchemeList, SealText};
use super::token::Token;
use crate::endpoint::{self, Endpoint};
use crate::id::{NetworkKey, PeerId};
use crate::limits::MAX_SAMPLE;
use crate::record::{KeyId, Seal};
use crate::wire::json::{self, AnnounceBody, Field, HelloBody, LeaveBody};

/// The version of the JSON protocol: clients of another major version are told so.
const MAJOR_VERSION: &str = "1";
const BAD_NONCE: Error = Error::BadRequest("nonce must be 16 to 64 hex digits, an even number of them");

impl From<json::Error> for Error {
    fn from(error: json::Error) -> Self {
        let json::Error::Field(field) = error else { return Self::BadJson };
        match field {
            Field::ClientId | Field::Exclude | Field::Id | Field::PeerId => Self::BadId,
            Field::Endpoints => Self::BadEndpoint,
            Field::Network => Self::BadNetwork,
            Field::Token => Self::BadToken,
            Field::Limit => Self::BadRequest("limit must be a whole number"),
            Field::Nonce => BAD_NONCE,
            Field::Pad => Self::BadRequest("pad must be a string"),
            Field::Port => Self::BadRequest("port must be a whole number in 1..=65535"),
            Field::Supports => Self::BadRequest("supports must be up to 8 schemes, such as \"tcp\""),
            Field::Transport => Self::BadRequest("transport must be up to 8 schemes, such as tcp,udp"),
            Field::Ttl => Self::BadRequest("ttl must be a whole number of seconds"),
            Field::Type => Self::BadRequest("type must be ping, find_peers, announce or leave"),
            Field::Version => Self::BadRequest("version must be a string, such as \"1.0\""),
            Field::Challenge | Field::Pow => Self::BadPow,
            Field::Key | Field::Seq | Field::Sig => Self::BadSignature,
        }
    }
}

/// The announce in `body`. The engine clamps its ttl, fills in observed addresses, and verifies the signature. `own` gets
/// the id of a signed one that names none.
///
/// # Errors
/// [`Error::BadId`], [`Error::BadEndpoint`], [`Error::BadNetwork`], [`Error::BadToken`], [`Error::BadSignature`].
pub fn announce<'a>(
    body: &AnnounceBody<'a>,
    default_network: NetworkKey,
    own: &'a mut Option<KeyId>,
) -> Result<Announce<'a>, Error> {
    Ok(Announce {
        network: network(body.network, default_network)?,
        id: own_id(body.id, body.seal, own)?.ok_or(Error::BadId)?,
        endpoints: endpoints(body.endpoints.as_deref(), body.seal.is_some())?,
        ttl_s: ttl_s(body.ttl_s),
        seeding: false,
        owner: token(body.token)?,
        seal: body.seal,
        work: body.work,
    })
}

/// The leave in `body`. `own` gets the id of a signed one that names none.
///
/// # Errors
/// [`Error::BadId`], [`Error::BadNetwork`], [`Error::BadToken`], [`Error::BadSignature`].
pub fn leave<'a>(
    body: &LeaveBody<'a>,
    default_network: NetworkKey,
    own: &'a mut Option<KeyId>,
) -> Result<Leave<'a>, Error> {
    Ok(Leave {
        network: network(body.network, default_network)?,
        id: own_id(body.id, body.seal, own)?.ok_or(Error::BadId)?,
        owner: token(body.token)?,
        seal: body.seal,
    })
}

/// The query in `body`: peers with an endpoint the client supports, and not the client itself.
///
/// # Errors
/// [`Error::BadId`], [`Error::BadNetwork`], [`Error::BadRequest`] if a scheme is none, and [`Error::Unsupported`] if the
/// client speaks another major version.
pub fn hello<'a>(body: &HelloBody<'a>, default_network: NetworkKey) -> Result<PeersQuery<'a>, Error> {
    if body.version.is_some_and(|version| version.split('.').next() != Some(MAJOR_VERSION)) {
        return Err(Error::Unsupported("this server speaks version 1 of the protocol"));
    }
    Ok(PeersQuery {
        network: network(body.network, default_network)?,
        limit: MAX_SAMPLE,
        schemes: schemes(body.supports.iter().flatten().copied(), Field::Supports)?,
        exclude: id(body.id)?,
    })
}

/// The network of that name, or the default one.
///
/// # Errors
/// [`Error::BadNetwork`] if it is no name.
pub fn network(name: Option<&str>, default: NetworkKey) -> Result<NetworkKey, Error> {
    name.map_or(Ok(default), |name| NetworkKey::of_name(name).map_err(|_| Error::BadNetwork))
}

/// A peer id, if there is one.
///
/// # Errors
/// [`Error::BadId`] if the text is none.
pub fn id(text: Option<&str>) -> Result<Option<PeerId<'_>>, Error> {
    text.map(PeerId::parse).transpose().map_err(|_| Error::BadId)
}

/// The id that a request names, or else that of its key, if it has one: it is put in `own`.
///
/// # Errors
/// [`Error::BadId`] if it names what is none, [`Error::BadSignature`] if the key is none.
pub fn own_id<'a>(
    text: Option<&'a str>,
    seal: Option<SealText<'_>>,
    own: &'a mut Option<KeyId>,
) -> Result<Option<PeerId<'a>>, Error> {
    match (text, seal) {
        (None, Some(seal)) => {
            let key = Seal::parse_key(seal.key).ok_or(Error::BadSignature)?;
            Ok(Some(own.insert(KeyId::of(&key)).id()))
        }
        _ => id(text),
    }
}

/// The schemes in `list`, separated by commas; none, which stands for all, if it is empty or missing.
///
/// # Errors
/// [`Error::BadRequest`] if one is no scheme, or there are more than 8.
pub fn transport(list: Option<&str>) -> Result<SchemeList<'_>, Error> {
    let list = list.filter(|list| !list.is_empty());
    schemes(list.into_iter().flat_map(|list| list.split(',')), Field::Transport)
}

/// The endpoints of an announce: 1 to 4, those of a signed one spelt as they are handed out.
///
/// # Errors
/// [`Error::BadEndpoint`] if there is none, one is malformed, or there are too many.
pub fn endpoints<'a>(texts: Option<&[&'a str]>, signed: bool) -> Result<EndpointList<'a>, Error> {
    let parse = if signed { Endpoint::parse_canonical } else { Endpoint::parse };
    let mut list = EndpointList::new();
    for text in texts.unwrap_or_default() {
        let endpoint = parse(text).map_err(|_| Error::BadEndpoint)?;
        list.push(endpoint).map_err(|_| Error::BadEndpoint)?;
    }
    if list.is_empty() { Err(Error::BadEndpoint) } else { Ok(list) }
}

/// The life asked for, as the engine takes it: it clamps what is too long, and four thousand million seconds are.
pub fn ttl_s(wanted: Option<u64>) -> Option<u32> {
    wanted.map(|ttl_s| u32::try_from(ttl_s).unwrap_or(u32::MAX))
}

/// The nonce of a client that wants its answer signed.
///
/// # Errors
/// [`Error::BadRequest`] if it is none.
pub fn nonce(text: Option<&str>) -> Result<Option<Nonce>, Error> {
    text.map(|text| Nonce::parse(text).ok_or(BAD_NONCE)).transpose()
}

fn token(text: Option<&str>) -> Result<Option<Token>, Error> {
    text.map(|text| Token::parse(text).ok_or(Error::BadToken)).transpose()
}

fn schemes<'a>(texts: impl Iterator<Item = &'a str>, field: Field) -> Result<SchemeList<'a>, Error> {
    let refused = || Error::from(json::Error::Field(field));
    let mut list = SchemeList::new();
    for scheme in texts {
        if !endpoint::is_scheme(scheme) {
            return Err(refused());
        }
        list.push(scheme).map_err(|_| refused())?;
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::request::Work;

    const DEFAULT: NetworkKey = NetworkKey([7; 20]);

    fn announce_of(document: &str) -> Result<Announce<'_>, Error> {
        let own = std::boxed::Box::leak(Default::default());
        announce(&AnnounceBody::parse(document.as_bytes())?, DEFAULT, own)
    }

    fn hello_of(document: &str) -> Result<PeersQuery<'_>, Error> {
        hello(&HelloBody::parse(document.as_bytes())?, DEFAULT)
    }

    #[test]
    fn an_announce() {
        let announce = announce_of(
            r#"{"client_id":"n","endpoints":["tcp://:9000","udp://198.51.100.7:1"],"network":"room",
                "ttl":99999999999,"token":"AAAAAAAAAAA","pow":{"challenge":"c","nonce":7}}"#,
        )
        .unwrap();
        assert_eq!(announce.network, NetworkKey::of_name("room").unwrap());
        assert_eq!(announce.id.as_str(), "n");
        assert_eq!(announce.endpoints.len(), 2);
        assert_eq!(announce.ttl_s, Some(u32::MAX));
        assert_eq!(announce.owner, Some(Token([0; 8])));
        assert_eq!(announce.work, Some(Work { challenge: "c", nonce: 7 }));
        let least = announce_of(r#"{"id":"n","endpoints":["tcp://:9"]}"#).unwrap();
        assert_eq!((least.network, least.ttl_s, least.owner), (DEFAULT, None, None));
    }

    #[test]
    fn each_fault_has_its_word() {
        for (document, word) in [
            ("", "bad_json"),
            ("[]", "bad_json"),
            (r#"{"id":"n","id":"n","endpoints":["tcp://:9"]}"#, "bad_json"),
            (r#"{"id":"n","endpoints":["tcp://:9"],"x":[[[[[[[[[]]]]]]]]]}"#, "bad_json"),
            (r#"{"endpoints":["tcp://:9"]}"#, "bad_id"),
            (r#"{"id":"a b","endpoints":["tcp://:9"]}"#, "bad_id"),
            (r#"{"id":9,"endpoints":["tcp://:9"]}"#, "bad_id"),
            (r#"{"id":"a","client_id":"b","endpoints":["tcp://:9"]}"#, "bad_id"),
            (r#"{"id":"\u0061","endpoints":["tcp://:9"]}"#, "bad_id"),
            (r#"{"id":"n"}"#, "bad_endpoint"),
            (r#"{"id":"n","endpoints":[]}"#, "bad_endpoint"),
            (r#"{"id":"n","endpoints":["tcp://:0"]}"#, "bad_endpoint"),
            (r#"{"id":"n","endpoints":["a","b","c","d","e"]}"#, "bad_endpoint"),
            (r#"{"id":"n","endpoints":[9]}"#, "bad_endpoint"),
            (r#"{"id":"n","endpoints":["tcp://:9"],"network":"a/b"}"#, "bad_network"),
            (r#"{"id":"n","endpoints":["tcp://:9"],"network":9}"#, "bad_network"),
            (r#"{"id":"n","endpoints":["tcp://:9"],"token":"x"}"#, "bad_token"),
            (r#"{"id":"n","endpoints":["tcp://:9"],"ttl":-1}"#, "bad_request"),
            (r#"{"id":"n","endpoints":["tcp://:9"],"ttl":"60"}"#, "bad_request"),
            (r#"{"id":"n","endpoints":["tcp://:9"],"seq":1}"#, "bad_signature"),
        ] {
            assert_eq!(announce_of(document).map(drop).unwrap_err().meaning().word, word, "{document}");
        }
    }

    #[test]
    fn a_leave() {
        let leave_of = |document: &'static str| {
            let body = LeaveBody::parse(document.as_bytes())?;
            let own = std::boxed::Box::leak(Default::default());
            leave(&body, DEFAULT, own).map(|leave| (leave.network, leave.id.as_str(), leave.owner))
        };
        assert_eq!(leave_of(r#"{"id":"n"}"#), Ok((DEFAULT, "n", None)));
        assert_eq!(leave_of(r#"{"id":"n","token":""}"#), Err(Error::BadToken));
        assert_eq!(leave_of("{}"), Err(Error::BadId));
        assert_eq!(leave_of(r#"{"id":"n","sig":"x"}"#).map(drop), Err(Error::BadSignature));
    }

    #[test]
    fn a_signed_announce_needs_no_id_but_its_endpoints_in_full() {
        let (key, sig) = ("A".repeat(43), "A".repeat(86));
        let document = |rest: &str, endpoint: &str| {
            std::format!(r#"{{"key":"{key}","seq":5,"sig":"{sig}","endpoints":["{endpoint}"]{rest}}}"#)
        };
        let whole = document("", "tcp://198.51.100.7:9");
        let announce = announce_of(&whole).unwrap();
        // printf '%064d' 0 | xxd -r -p | sha256sum | cut -c1-40
        assert_eq!(announce.id.as_str(), "66687aadf862bd776c8fc18b8e9f8e2008971485");
        assert_eq!(announce.seal.map(|seal| seal.seq), Some(5));
        let named = document(r#","id":"other""#, "tcp://198.51.100.7:9");
        assert_eq!(announce_of(&named).unwrap().id.as_str(), "other", "the engine decides");
        for endpoint in ["tcp://:9", "tcp://[2001:DB8::1]:9"] {
            assert_eq!(announce_of(&document("", endpoint)).map(drop), Err(Error::BadEndpoint));
        }
        for missing in ["key", "seq", "sig"] {
            let part = whole.replace(missing, "other");
            assert_eq!(announce_of(&part).map(drop), Err(Error::BadSignature), "{missing}");
        }
        let short = whole.replace(&key, &key[1..]);
        assert_eq!(announce_of(&short).map(drop), Err(Error::BadSignature));
    }

    #[test]
    fn a_hello() {
        let query = hello_of(r#"{"client_id":"c","supports":["tcp","udp"],"version":"1.0"}"#).unwrap();
        assert_eq!((query.network, query.limit), (DEFAULT, MAX_SAMPLE));
        assert_eq!(query.schemes, ["tcp", "udp"]);
        assert_eq!(query.exclude.map(PeerId::as_str), Some("c"));
        let least = hello_of("{}").unwrap();
        assert!(least.schemes.is_empty() && least.exclude.is_none());
        assert!(hello_of(r#"{"version":"1"}"#).is_ok() && hello_of(r#"{"version":"1.99.3"}"#).is_ok());
        for version in ["2.0", "0.9", "11.0", "", "one", " 1"] {
            let document = std::format!(r#"{{"version":"{version}"}}"#);
            assert!(matches!(hello_of(&document), Err(Error::Unsupported(_))), "{version}");
        }
        for document in [r#"{"supports":["TCP"]}"#, r#"{"supports":"tcp"}"#, r#"{"version":1.0}"#] {
            assert!(matches!(hello_of(document), Err(Error::BadRequest(_))), "{document}");
        }
        assert_eq!(hello_of(r#"{"client_id":""}"#).map(drop), Err(Error::BadId));
    }

    #[test]
    fn transports() {
        assert_eq!(transport(Some("tcp,udp")).unwrap(), ["tcp", "udp"]);
        assert!(transport(None).unwrap().is_empty() && transport(Some("")).unwrap().is_empty());
        for list in [",", "tcp,", "tcp, udp", "tcp;udp", "a,b,c,d,e,f,g,h,i"] {
            assert!(matches!(transport(Some(list)), Err(Error::BadRequest(_))), "{list}");
        }
    }
}
