//! What of this machine matters: its network, its clock, its resolver and its certificates.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::Finding;
use crate::client::date::Date;
use crate::client::failure::Failure;
use crate::client::reach::Reach;
use crate::limits::EARLIEST_CREDIBLE_UNIX_S;
use crate::net::clock::unix_ms;
use crate::time::Instant;

/// A name that is looked up if no server has one (RFC 2606 section 3).
const ANY_NAME: &str = "example.com";
/// Addresses of nobody (RFC 5737, RFC 3849), through which the system tells which of ours it would use. Nothing is sent.
const NOBODY: [&str; 2] = ["192.0.2.1:9", "[2001:db8::1]:9"];

/// What was seen of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The addresses from which it would speak to the Internet, one a family at most.
    pub own: Vec<IpAddr>,
    /// What its wall clock shows, in Unix seconds.
    pub unix_s: u64,
    /// A name, and its addresses or why there are none.
    pub looked_up: (String, Result<Vec<SocketAddr>, Failure>),
    /// How many certificates of authorities the system has; `None` if this build does not use any.
    pub certificates: Option<usize>,
}

impl Machine {
    /// Looks at everything, `name` being one that is to be looked up.
    pub async fn look(reach: &Reach, name: Option<&str>, deadline: Instant) -> Self {
        let name = name.unwrap_or(ANY_NAME);
        let looked_up = reach.resolve(name, 80, deadline).await;
        Self {
            own: NOBODY.iter().filter_map(|nobody| nobody.parse().ok().and_then(own_address)).collect(),
            unix_s: unix_ms() / 1000,
            looked_up: (name.into(), looked_up),
            certificates: certificates(),
        }
    }

    /// What is to be said before any server is looked at.
    pub fn findings(&self, needs_certificates: bool) -> Vec<Finding> {
        let mut findings = vec![self.network(), self.clock(needs_certificates), self.names()];
        findings.extend(self.certificates.map(|count| match (count, needs_certificates) {
            (0, true) => Finding::fail("tls", "there are no CA certificates", NO_CERTIFICATES),
            (0, false) => Finding::warn("tls", "there are no CA certificates", NO_CERTIFICATES),
            (1, _) => Finding::ok("tls", "1 CA certificate"),
            (count, _) => Finding::ok("tls", format!("{count} CA certificates")),
        }));
        findings
    }

    fn network(&self) -> Finding {
        let own = |is_v4: bool| self.own.iter().find(|ip| ip.is_ipv4() == is_v4).map(ToString::to_string);
        match (own(true), own(false)) {
            (None, None) => Finding::warn(
                "network",
                "this machine has no way to the Internet",
                "plug in the cable or join the Wi-Fi; servers on this machine and on the LAN may work",
            ),
            (v4, v6) => {
                let or_none = |own: Option<String>| own.unwrap_or_else(|| "none".into());
                Finding::ok(
                    "network",
                    format!("this machine's addresses: IPv4 {}, IPv6 {}", or_none(v4), or_none(v6)),
                )
            }
        }
    }

    fn clock(&self, needs_certificates: bool) -> Finding {
        let date = Date(self.unix_s);
        if self.unix_s >= EARLIEST_CREDIBLE_UNIX_S {
            return Finding::ok("clock", format!("this machine's clock shows {date}"));
        }
        let text = format!("this machine's clock shows {date}, which is wrong");
        let advice = "set it (timedatectl set-ntp true, or date --set): with it https:// servers are refused and invites never \
                      end; http:// and UDP do without";
        if needs_certificates {
            Finding::fail("clock", text, advice)
        } else {
            Finding::warn("clock", text, advice)
        }
    }

    fn names(&self) -> Finding {
        let (name, found) = &self.looked_up;
        match found {
            Ok(found) => {
                let addresses: Vec<String> = found.iter().map(|addr| addr.ip().to_string()).collect();
                Finding::ok("names", format!("names are looked up: {name} is {}", addresses.join(", ")))
            }
            Err(failure) if name == ANY_NAME => Finding::warn(
                "names",
                format!("{name} is not found: {failure}"),
                "the resolver does not work (see /etc/resolv.conf), or the Internet is not reached; servers that are \
                 named by address work",
            ),
            Err(failure) => Finding::fail(
                "names",
                format!("{name} is not found: {failure}"),
                "is it spelt right? if other names are not found either, the resolver does not work: see /etc/resolv.conf",
            ),
        }
    }
}

const NO_CERTIFICATES: &str = "https:// servers cannot be checked, and are refused: install ca-certificates, or name a file of them in SSL_CERT_FILE";

/// The address from which the system would speak to `to`.
pub(super) fn own_address(to: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(to).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// How many certificates of authorities the system has.
#[cfg(feature = "https")]
fn certificates() -> Option<usize> {
    Some(rustls_native_certs::load_native_certs().certs.len())
}

/// This build speaks no TLS.
#[cfg(not(feature = "https"))]
fn certificates() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn healthy() -> Machine {
        Machine {
            own: vec!["192.168.1.5".parse().unwrap()],
            unix_s: NOW,
            looked_up: (ANY_NAME.into(), Ok(vec!["192.0.2.7:80".parse().unwrap()])),
            certificates: Some(140),
        }
    }

    fn verdicts(machine: &Machine, needs_certificates: bool) -> Vec<Verdict> {
        machine.findings(needs_certificates).into_iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn a_healthy_machine_is_fine() {
        assert_eq!(verdicts(&healthy(), true), [Verdict::Ok; 4]);
        let texts: Vec<String> = healthy().findings(true).into_iter().map(|finding| finding.text).collect();
        assert_eq!(
            texts,
            [
                "this machine's addresses: IPv4 192.168.1.5, IPv6 none",
                "this machine's clock shows 2027-01-15 08:00 UTC",
                "names are looked up: example.com is 192.0.2.7",
                "140 CA certificates",
            ]
        );
    }

    #[test]
    fn each_fault_has_its_line() {
        use Verdict::{Fail, Ok, Warn};
        let lost = (ANY_NAME.to_owned(), Err(Failure::TimedOut));
        let missing = ("a.example".to_owned(), Err(Failure::NoSuchHost("unknown".into())));
        for (machine, tls, wanted) in [
            (Machine { own: vec![], ..healthy() }, true, [Warn, Ok, Ok, Ok]),
            (Machine { unix_s: 7, ..healthy() }, true, [Ok, Fail, Ok, Ok]),
            (Machine { unix_s: 7, ..healthy() }, false, [Ok, Warn, Ok, Ok]),
            (Machine { looked_up: lost, ..healthy() }, true, [Ok, Ok, Warn, Ok]),
            (Machine { looked_up: missing, ..healthy() }, true, [Ok, Ok, Fail, Ok]),
            (Machine { certificates: Some(0), ..healthy() }, true, [Ok, Ok, Ok, Fail]),
            (Machine { certificates: Some(0), ..healthy() }, false, [Ok, Ok, Ok, Warn]),
        ] {
            assert_eq!(verdicts(&machine, tls), wanted, "{machine:?}");
            let advised = |finding: &Finding| finding.advice.is_some() == (finding.verdict != Ok);
            assert!(machine.findings(tls).iter().all(advised));
        }
    }
}
