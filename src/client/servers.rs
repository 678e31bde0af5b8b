//! One server, whatever it is called: the ways to it, tried one after the other.

use super::failure::Failure;
use super::message::{PeersAnswer, PeersQuery};
use super::reach::Reach;
use super::url::{ServerUrl, Target};
use crate::net::clock::unix_ms;
use crate::time::Instant;

/// The ways to a server, the best one first: an invite names them, a domain is looked up.
///
/// # Errors
/// The invite has expired, or the domain leads nowhere.
pub async fn targets(reach: &Reach, url: &ServerUrl, deadline: Instant) -> Result<Vec<Target>, Failure> {
    match url {
        ServerUrl::Way(way) => Ok(vec![way.clone().into()]),
        ServerUrl::Invite(invite) => {
            if invite.has_expired(unix_ms() / 1000) {
                return Err(Failure::Unsupported("the invite has expired"));
            }
            let target = |way| Target { way, via: None, pin: invite.bootstrap_id };
            Ok(invite.ways.iter().cloned().map(target).collect())
        }
        ServerUrl::Domain(domain) => Ok(reach.locate(domain, deadline).await?.ways()),
    }
}

/// Asks a server for peers, by one of the ways to it after the other until one tells of a peer.
///
/// # Errors
/// Why the first way failed, if no way worked.
pub async fn peers(
    reach: &Reach,
    url: &ServerUrl,
    query: &PeersQuery,
    deadline: Instant,
) -> Result<PeersAnswer, Failure> {
    let ServerUrl::Domain(domain) = url else {
        return first_that_tells(reach, targets(reach, url, deadline).await?, query, deadline).await;
    };
    let located = reach.locate(domain, deadline).await?;
    let answer = first_that_tells(reach, located.ways(), query, deadline).await;
    if let Err(Failure::WrongIdentity(_)) = answer {
        // What was learnt of it may be out of date.
        reach.forget(domain);
    }
    answer.map_err(|failure| located.explain(failure))
}

async fn first_that_tells(
    reach: &Reach,
    targets: Vec<Target>,
    query: &PeersQuery,
    deadline: Instant,
) -> Result<PeersAnswer, Failure> {
    let mut left = u64::try_from(targets.len()).unwrap_or(u64::MAX);
    let mut result = Err(Failure::Unsupported("there is no way to it"));
    for target in targets {
        // Each has a fair part of the time that is left.
        let now = reach.now();
        let part = deadline.ms_since(now).checked_div(left).unwrap_or(0);
        left = left.saturating_sub(1);
        let answer = reach.peers(&target, query, now.plus_ms(part)).await;
        let found = answer.as_ref().is_ok_and(|answer| !answer.peers.is_empty());
        if found {
            return answer;
        }
        // An empty answer beats a failure, and the first of either a later one.
        if result.is_err() && (answer.is_ok() || matches!(result, Err(Failure::Unsupported(_)))) {
            result = answer;
        }
    }
    result
}
