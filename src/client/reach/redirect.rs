//! Redirects: only to https://, so that nobody on the way can turn a question elsewhere.

use super::Reach;
use crate::client::failure::Failure;
use crate::client::http::Response;
use crate::client::url::{Scheme, Target, Way};
use crate::time::Instant;

/// Most redirects in a row that are followed.
const MAX_REDIRECTS: usize = 5;

impl Reach {
    /// Gets `target` from a server, or from where that is redirected to.
    ///
    /// # Errors
    /// [`Failure`]; [`Failure::Nonsense`] if redirects go round, too far, or to anything but https://.
    pub(super) async fn get_following(
        &self,
        to: &Target,
        target: &str,
        deadline: Instant,
    ) -> Result<Response, Failure> {
        let mut place = (to.clone(), target.to_string());
        let mut seen = Vec::new();
        loop {
            let response = self.get(&place.0, &place.1, deadline).await?;
            if !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let location = response.location.as_deref().unwrap_or_default();
            let next = followed(&place.0, &place.1, location)?;
            seen.push(std::mem::replace(&mut place, next));
            if seen.contains(&place) || seen.len() > MAX_REDIRECTS {
                return Err(Failure::Nonsense("its redirects have no end"));
            }
        }
    }
}

/// Where `location` leads from `target` at `from` (RFC 9110 section 10.2.2). Not to any relative path but an absolute one.
fn followed(from: &Target, target: &str, location: &str) -> Result<(Target, String), Failure> {
    const NOWHERE: Failure = Failure::Nonsense("it redirects to nowhere");
    let location = location.split('#').next().unwrap_or_default();
    let (authority, path) = match location.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
            let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            (Some(format!("{scheme}://{authority}")), path)
        }
        _ if location.starts_with("//") => return Err(NOWHERE),
        _ if location.starts_with(['/', '?']) => (None, location),
        _ => return Err(NOWHERE),
    };
    let way = match authority {
        Some(authority) => Way::parse(&authority).map_err(|_| NOWHERE)?,
        None => from.way.clone(),
    };
    if way.scheme != Scheme::Https {
        return Err(Failure::Nonsense("it redirects to another scheme than https://"));
    }
    let path = match path.strip_prefix('?') {
        Some(query) if location.starts_with('?') => {
            format!("{}?{query}", target.split('?').next().unwrap_or_default())
        }
        Some(query) => format!("/?{query}"),
        None if path.is_empty() => "/".into(),
        None => path.into(),
    };
    // What stands for this server stands for no other.
    let via = from.via.clone().filter(|_| way == from.way);
    Ok((Target { way, via, pin: from.pin }, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_leads_to_https_only() {
        let via = Some(("b.example".into(), 9));
        let from = Target { via: via.clone(), ..Way::parse("https://a.example").unwrap().into() };
        let lead = |location: &str| {
            followed(&from, "/x?y", location).map(|(to, target)| (format!("{}{target}", to.way), to.via))
        };
        for (location, leads_to, keeps_via) in [
            ("/z", "https://a.example/z", true),
            ("?z", "https://a.example/x?z", true),
            ("https://a.example:443/z#w", "https://a.example/z", true),
            ("https://b.example", "https://b.example/", false),
            ("https://b.example?z", "https://b.example/?z", false),
            ("HTTPS://B.example:8443/z?u=http://c", "https://b.example:8443/z?u=http://c", false),
        ] {
            let via = via.clone().filter(|_| keeps_via);
            assert_eq!(lead(location), Ok((leads_to.into(), via)), "{location}");
        }
        for location in
            ["", "z", "//b.example/z", "http://a.example/z", "udp://a.example", "https://", "a b://c"]
        {
            assert!(lead(location).is_err(), "{location}");
        }
        let plain = Target::from(Way::parse("http://a.example").unwrap());
        assert!(followed(&plain, "/x", "/y").is_err());
        assert!(followed(&plain, "/x", "https://a.example/y").is_ok());
    }
}
