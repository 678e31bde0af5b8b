//! Looks for what keeps this machine and a server apart, and says it in plain words: what is seen ([`machine`], [`server`])
//! apart from what it means, so that the meaning can be tested without broken networks.

mod lan;
pub mod machine;
pub mod server;
mod verdict;

use std::fmt;

use smol::LocalExecutor;

use super::reach::Reach;
use super::url::{ServerUrl, Way};
use lan::Lan;
use machine::Machine;
use server::Patient;

/// How a finding is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Not as it should be, but something works all the same.
    Warn,
    /// It does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How it is meant.
    pub verdict: Verdict,
    /// What was looked at, in one word.
    pub topic: &'static str,
    /// What was found, in plain words.
    pub text: String,
    /// What to do about it.
    pub advice: Option<String>,
}

impl Finding {
    fn ok(topic: &'static str, text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, topic, text: text.into(), advice: None }
    }

    fn warn(topic: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, topic, text: text.into(), advice: Some(advice.into()) }
    }

    fn fail(topic: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, topic, text: text.into(), advice: Some(advice.into()) }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `pad`, so that a width is kept.
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        })
    }
}

/// What is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rounds {
    /// The servers.
    pub patients: Vec<Patient>,
    /// The DNS-SD service to look for on the LAN, `_NAME._tcp.local`; `None` = the LAN is left alone.
    pub service: Option<String>,
    /// Time for each server, in milliseconds.
    pub budget_ms: u64,
}

/// Looks at this machine, at the servers and at the LAN, all at once. `told` hears of each finding, in the order in which one
/// would ask.
pub async fn examine(reach: &Reach, rounds: &Rounds, mut told: impl FnMut(&Finding)) {
    let patients = rounds.patients.as_slice();
    let deadline = reach.now().plus_ms(rounds.budget_ms);
    // Before we have the port of multicast DNS ourselves.
    let lan = Lan::look();
    let executor = LocalExecutor::new();
    let looking = async {
        let servers: Vec<_> =
            patients.iter().map(|patient| executor.spawn(server::look(reach, patient, deadline))).collect();
        let service = rounds.service.as_deref().filter(|_| lan.is_there());
        let neighbours = service.map(|service| executor.spawn(lan::neighbours(service)));
        let machine = Machine::look(reach, a_name(patients), deadline).await;
        machine.findings(patients.iter().any(Patient::speaks_tls)).iter().for_each(&mut told);
        for seen in servers {
            verdict::findings(&seen.await).iter().for_each(&mut told);
        }
        lan.findings().iter().for_each(&mut told);
        if let Some(neighbours) = neighbours {
            told(&neighbours.await);
        }
    };
    executor.run(looking).await;
}

/// A name among those of the servers that has to be looked up.
fn a_name(patients: &[Patient]) -> Option<&str> {
    let mut urls = patients.iter().flat_map(|patient| &patient.urls);
    urls.find_map(|url| match url {
        ServerUrl::Domain(name) => Some(name.as_str()),
        ServerUrl::Way(way) => name_of(way),
        ServerUrl::Invite(invite) => invite.ways.iter().find_map(name_of),
    })
}

/// The host of a way, if it has to be looked up.
fn name_of(way: &Way) -> Option<&str> {
    let known = way.host == "localhost" || way.host.parse::<std::net::IpAddr>().is_ok();
    if known { None } else { Some(&way.host) }
}
