//! The servers that a well-known document names.

use super::MAX_TARGETS;
use crate::client::message::WellKnown;
use crate::client::url::{Scheme, ServerUrl, Target, Way};
use crate::wire::hex;

/// One server of a well-known document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Lower ones are better.
    pub(super) priority: u32,
    /// Where it is.
    pub(super) to: To,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum To {
    /// Ways to it: several if an invite says so.
    Ways(Vec<Target>),
    /// A domain, to be looked up without its well-known document, and the id that was told for it.
    Domain(String, Option<[u8; 20]>),
}

/// The servers that the document of `domain` names, the first eight that can be asked. If it names none, the domain serves
/// itself. The id in it is that of the domain's own server: its certificate vouches for it.
pub(super) fn of(domain: &str, document: WellKnown) -> Vec<Entry> {
    let id = document.bootstrap_id.as_deref().and_then(|id| hex::decode::<20>(id.as_bytes()));
    let pin_of = |host: &str| id.filter(|_| host == domain);
    if document.servers.is_empty() {
        let way = Way { scheme: Scheme::Https, host: domain.into(), port: 443 };
        return vec![Entry { priority: 0, to: To::Ways(vec![pinned(way.into(), id)]) }];
    }
    let entries = document.servers.into_iter().filter_map(|(url, priority)| {
        let to = match ServerUrl::parse(&url).ok()? {
            ServerUrl::Way(way) => {
                let pin = pin_of(&way.host);
                To::Ways(vec![pinned(way.into(), pin)])
            }
            // What it says of its end is for those it is handed to: this one stands in a document of today.
            ServerUrl::Invite(invite) => {
                let target = |way| Target { way, via: None, pin: invite.bootstrap_id };
                To::Ways(invite.ways.into_iter().map(target).collect())
            }
            ServerUrl::Domain(name) => {
                let pin = pin_of(&name);
                To::Domain(name, pin)
            }
        };
        Some(Entry { priority, to })
    });
    entries.take(MAX_TARGETS).collect()
}

/// The target with this pin. Over UDP no key can be proved: who names such a way does without.
pub(super) fn pinned(target: Target, pin: Option<[u8; 20]>) -> Target {
    let pin = pin.filter(|_| target.way.scheme != Scheme::Udp);
    Target { pin, ..target }
}
