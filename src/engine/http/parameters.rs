//! Parameters in the query of a target.

use crate::engine::identity::Nonce;
use crate::engine::{ChallengeQuery, Error, PeersQuery, intake};
use crate::id::{NetworkKey, PeerId};
use crate::limits::{MAX_ID_BYTES, MAX_NETWORK_NAME_BYTES, MAX_SAMPLE, MAX_SCHEME_BYTES, MAX_SCHEMES};
use crate::record::KeyId;
use crate::wire::http::query;

/// Room for parameters whose percent escapes must be decoded, and for what is made of others.
pub(super) struct Texts {
    network: [u8; MAX_NETWORK_NAME_BYTES],
    id: [u8; MAX_ID_BYTES],
    schemes: [u8; MAX_SCHEMES * (MAX_SCHEME_BYTES + 1)],
    /// The id of a signed peer that names none.
    pub(super) key_id: Option<KeyId>,
}

impl Texts {
    pub(super) const fn new() -> Self {
        Self {
            network: [0; MAX_NETWORK_NAME_BYTES],
            id: [0; MAX_ID_BYTES],
            schemes: [0; MAX_SCHEMES * (MAX_SCHEME_BYTES + 1)],
            key_id: None,
        }
    }
}

/// The query of `GET /peers`, and the nonce of a client that wants the answer signed.
pub(super) fn peers<'a>(
    query: &'a str,
    texts: &'a mut Texts,
    default_network: NetworkKey,
) -> Result<(PeersQuery<'a>, Option<Nonce>), Error> {
    let mut values = [None; 5];
    gather(query, &["network", "limit", "transport", "exclude", "nonce"], &mut values)?;
    let [wanted, most, transport, exclude, nonce] = values;
    let query = PeersQuery {
        network: network(wanted, &mut texts.network, default_network)?,
        limit: most.map_or(Ok(MAX_SAMPLE), limit)?,
        schemes: match transport {
            Some(text) => {
                let decoded = query::decode(text, &mut texts.schemes);
                intake::transport(Some(decoded.map_err(|_| Error::BadRequest("transport is too long"))?))?
            }
            None => intake::transport(None)?,
        },
        exclude: id(exclude, &mut texts.id)?,
    };
    Ok((query, intake::nonce(nonce)?))
}

/// The query of `GET /challenge`.
pub(super) fn challenge<'a>(
    query: &'a str,
    texts: &'a mut Texts,
    default_network: NetworkKey,
) -> Result<ChallengeQuery<'a>, Error> {
    let mut values = [None; 2];
    gather(query, &["network", "id"], &mut values)?;
    let [wanted, by] = values;
    Ok(ChallengeQuery {
        network: network(wanted, &mut texts.network, default_network)?,
        id: id(by, &mut texts.id)?,
    })
}

/// Finds the parameters of these names, still encoded. Others are ignored.
///
/// # Errors
/// [`Error::BadRequest`] if one of them is repeated.
pub(super) fn gather<'a>(
    query: &'a str,
    names: &[&str],
    values: &mut [Option<&'a str>],
) -> Result<(), Error> {
    for (name, value) in query::pairs(query) {
        let place = names.iter().zip(&mut *values).find(|(known, _)| **known == name);
        if place.is_some_and(|(_, place)| place.replace(value).is_some()) {
            return Err(Error::BadRequest("a parameter must not be repeated"));
        }
    }
    Ok(())
}

fn network(text: Option<&str>, buffer: &mut [u8], default: NetworkKey) -> Result<NetworkKey, Error> {
    let Some(text) = text else { return Ok(default) };
    let name = query::decode(text, buffer).map_err(|_| Error::BadNetwork)?;
    intake::network(Some(name), default)
}

fn id<'a>(text: Option<&'a str>, buffer: &'a mut [u8]) -> Result<Option<PeerId<'a>>, Error> {
    let decoded = text.map(|text| query::decode(text, buffer)).transpose().map_err(|_| Error::BadId)?;
    intake::id(decoded)
}

/// 1..=50 in decimal, without sign or leading zero.
fn limit(text: &str) -> Result<usize, Error> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    let limit = text.parse().ok().filter(|limit| plain && (1..=MAX_SAMPLE).contains(limit));
    limit.ok_or(Error::BadRequest("limit must be a whole number in 1..=50"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: NetworkKey = NetworkKey([7; 20]);

    fn word(query: &str) -> Result<(), &'static str> {
        peers(query, &mut Texts::new(), DEFAULT).map(drop).map_err(|error| error.meaning().word)
    }

    #[test]
    fn all_parameters() {
        let mut texts = Texts::new();
        let query = "network=ro%6Fm&limit=7&transport=tcp,%75dp&exclude=a%3Ab&nonce=0123456789abcdef&unknown=1&unknown=2&&x";
        let (query, nonce) = peers(query, &mut texts, DEFAULT).unwrap();
        assert_eq!((query.network, query.limit), (NetworkKey::of_name("room").unwrap(), 7));
        assert_eq!(query.schemes, ["tcp", "udp"]);
        assert_eq!(query.exclude.map(PeerId::as_str), Some("a:b"));
        assert_eq!(nonce, Nonce::parse("0123456789abcdef"));
    }

    #[test]
    fn no_parameters() {
        let mut texts = Texts::new();
        let (query, nonce) = peers("", &mut texts, DEFAULT).unwrap();
        assert_eq!((query.network, query.limit), (DEFAULT, 50));
        assert!(query.schemes.is_empty() && query.exclude.is_none() && nonce.is_none());
    }

    #[test]
    fn each_fault_has_its_word() {
        for limit in ["1", "50"] {
            assert_eq!(word(&std::format!("limit={limit}")), Ok(()), "{limit}");
        }
        for limit in ["0", "51", "x", "", "-1", "+1", "1.0", "01", "999999999999999999999", "%31"] {
            assert_eq!(word(&std::format!("limit={limit}")), Err("bad_request"), "{limit}");
        }
        assert_eq!(word("limit=1&limit=1"), Err("bad_request"));
        assert_eq!(word("network=a&network=a"), Err("bad_request"));
        assert_eq!(word("network="), Err("bad_network"));
        assert_eq!(word("network=a%2Fb"), Err("bad_network"));
        assert_eq!(word("network=%ff"), Err("bad_network"));
        assert_eq!(word(&std::format!("network=%61{}", "a".repeat(64))), Err("bad_network"));
        assert_eq!(word("transport=TCP"), Err("bad_request"));
        assert_eq!(word("nonce=0123"), Err("bad_request"));
        assert_eq!(word("exclude="), Err("bad_id"));
        assert_eq!(word("exclude=%20"), Err("bad_id"));
    }

    #[test]
    fn what_a_challenge_is_for() {
        let mut texts = Texts::new();
        let query = challenge("id=n%31&network=room", &mut texts, DEFAULT).unwrap();
        assert_eq!(query.id, Some(PeerId::parse("n1").unwrap()));
        assert_eq!(query.network, NetworkKey::of_name("room").unwrap());
        let word = |query| {
            let mut texts = Texts::new();
            challenge(query, &mut texts, DEFAULT).map(drop).map_err(|e| e.meaning().word)
        };
        assert_eq!(word(""), Ok(()));
        assert_eq!(word("id=n%201"), Err("bad_id"));
        assert_eq!(word("network=a%20b"), Err("bad_network"));
    }
}
