//! What of this machine matters: its network, its clock, its resolver, its certificates, and the port of multicast DNS.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

use super::Finding;
use crate::client::date::Date;
use crate::client::failure::Failure;
use crate::client::reach::Reach;
use crate::limits::EARLIEST_CREDIBLE_UNIX_S;
use crate::net::clock::unix_ms;
use crate::quoted::Quoted;
use crate::time::Instant;

/// The port of multicast DNS (RFC 6762).
const MDNS_PORT: u16 = 5353;
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
    /// Whether the port of multicast DNS can be used.
    pub mdns: Sharing,
    /// Who has that port, as far as the system tells.
    pub mdns_holders: Vec<String>,
}

/// Whether a UDP port can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody has it.
    Free,
    /// Others have it, and share it.
    Shared,
    /// Somebody has it alone.
    Held,
    /// It cannot be told: what the system says.
    Unknown(String),
}

impl Machine {
    /// Looks at everything, `name` being one that is to be looked up.
    pub async fn look(reach: &Reach, name: Option<&str>, deadline: Instant) -> Self {
        let name = name.unwrap_or(ANY_NAME);
        let looked_up = reach.resolve(name, 80, deadline).await;
        let mdns = sharing(MDNS_PORT);
        let holders = if mdns == Sharing::Free { Vec::new() } else { holders(MDNS_PORT) };
        Self {
            own: NOBODY.iter().filter_map(|nobody| nobody.parse().ok().and_then(own_address)).collect(),
            unix_s: unix_ms() / 1000,
            looked_up: (name.into(), looked_up),
            certificates: certificates(),
            mdns,
            mdns_holders: holders,
        }
    }

    /// What is to be said before any server is looked at.
    pub fn findings(&self, needs_certificates: bool) -> Vec<Finding> {
        let mut findings = vec![self.network(), self.clock(needs_certificates), self.names()];
        findings.extend(self.certificates.map(|count| match (count, needs_certificates) {
            (0, true) => Finding::fail("tls", "there are no CA certificates", NO_CERTIFICATES),
            (0, false) => Finding::warn("tls", "there are no CA certificates", NO_CERTIFICATES),
            (count, _) => Finding::ok("tls", format!("{count} CA certificates")),
        }));
        findings
    }

    /// What is to be said of the LAN.
    pub fn lan_findings(&self) -> Vec<Finding> {
        let who = self.mdns_holders.join(", ");
        let by = if who.is_empty() { "another program".into() } else { who };
        vec![match &self.mdns {
            Sharing::Free => Finding::ok("lan", "UDP port 5353 (mDNS) is free"),
            Sharing::Shared => {
                Finding::ok("lan", format!("UDP port 5353 (mDNS) is used by {by}, and can be shared"))
            }
            Sharing::Held => Finding::fail(
                "lan",
                format!("UDP port 5353 (mDNS) is held by {by} alone"),
                "nobody else on this machine can advertise or be found on the LAN: end that program or its mDNS, or give \
                 waypost serve --no-mdns",
            ),
            Sharing::Unknown(why) => Finding::warn(
                "lan",
                format!("UDP port 5353 (mDNS) cannot be tried: {why}"),
                "may programs here open sockets?",
            ),
        }]
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

/// Whether UDP port `port` can be used, alone or together with others.
pub(super) fn sharing(port: u16) -> Sharing {
    match UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)) {
        Ok(_) => return Sharing::Free,
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => return Sharing::Unknown(plain(&error)),
        Err(_) => {}
    }
    match bind_shared(port) {
        Ok(()) => Sharing::Shared,
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Sharing::Held,
        Err(error) => Sharing::Unknown(plain(&error)),
    }
}

/// Binds a port as programs of multicast DNS do (RFC 6762 section 15.1).
fn bind_shared(port: u16) -> io::Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    Ok(bind(&socket, &SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?)
}

/// An error of the system without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// The programs that have UDP port `port`, as far as proc(5) tells: those of others only to root.
fn holders(port: u16) -> Vec<String> {
    let tables =
        ["/proc/net/udp", "/proc/net/udp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let sockets: Vec<String> = tables.iter().flat_map(|table| sockets_of(table, port)).collect();
    let mut holders = Vec::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let files = std::fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        let mut links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
        if links.any(|link| sockets.iter().any(|socket| link.as_os_str() == socket.as_str())) {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            let id = process.file_name();
            holders.push(format!("{} (process {})", Quoted(name.trim_end()), id.to_string_lossy()));
        }
    }
    holders.sort();
    holders
}

/// The sockets of a port in a table like `/proc/net/udp`, as the links in `/proc/PID/fd` call them.
fn sockets_of(table: &str, port: u16) -> Vec<String> {
    let port = format!(":{port:04X}");
    let mut sockets = Vec::new();
    for line in table.lines().skip(1) {
        let mut words = line.split_whitespace();
        let is_it = words.nth(1).is_some_and(|address| address.ends_with(&port));
        // The inode is the tenth word.
        sockets.extend(words.nth(7).filter(|_| is_it).map(|inode| format!("socket:[{inode}]")));
    }
    sockets
}

/// How many certificates of authorities the system has.
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
            own: vec![Ipv4Addr::new(192, 168, 1, 5).into()],
            unix_s: NOW,
            looked_up: (ANY_NAME.into(), Ok(vec!["192.0.2.7:80".parse().unwrap()])),
            certificates: Some(140),
            mdns: Sharing::Free,
            mdns_holders: Vec::new(),
        }
    }

    fn verdicts(machine: &Machine, needs_certificates: bool) -> Vec<Verdict> {
        let findings = machine.findings(needs_certificates).into_iter().chain(machine.lan_findings());
        findings.map(|finding| finding.verdict).collect()
    }

    #[test]
    fn a_healthy_machine_is_fine() {
        assert_eq!(verdicts(&healthy(), true), [Verdict::Ok; 5]);
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
            (Machine { own: vec![], ..healthy() }, true, [Warn, Ok, Ok, Ok, Ok]),
            (Machine { unix_s: 7, ..healthy() }, true, [Ok, Fail, Ok, Ok, Ok]),
            (Machine { unix_s: 7, ..healthy() }, false, [Ok, Warn, Ok, Ok, Ok]),
            (Machine { looked_up: lost, ..healthy() }, true, [Ok, Ok, Warn, Ok, Ok]),
            (Machine { looked_up: missing, ..healthy() }, true, [Ok, Ok, Fail, Ok, Ok]),
            (Machine { certificates: Some(0), ..healthy() }, true, [Ok, Ok, Ok, Fail, Ok]),
            (Machine { certificates: Some(0), ..healthy() }, false, [Ok, Ok, Ok, Warn, Ok]),
            (Machine { mdns: Sharing::Shared, ..healthy() }, false, [Ok, Ok, Ok, Ok, Ok]),
            (Machine { mdns: Sharing::Held, ..healthy() }, false, [Ok, Ok, Ok, Ok, Fail]),
        ] {
            assert_eq!(verdicts(&machine, tls), wanted, "{machine:?}");
            let advised = |finding: &Finding| finding.advice.is_some() == (finding.verdict != Ok);
            assert!(machine.findings(tls).iter().all(advised));
        }
    }

    #[test]
    fn a_port_is_free_shared_or_held() {
        let held = UdpSocket::bind("0.0.0.0:0").unwrap();
        let port = held.local_addr().unwrap().port();
        assert_eq!(sharing(port), Sharing::Held);
        let own = format!("(process {})", std::process::id());
        assert!(!cfg!(target_os = "linux") || holders(port).iter().any(|who| who.ends_with(&own)));
        let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None).unwrap();
        sockopt::set_socket_reuseaddr(&socket, true).unwrap();
        bind(&socket, &"0.0.0.0:0".parse::<SocketAddr>().unwrap()).unwrap();
        let port = UdpSocket::from(socket.try_clone().unwrap()).local_addr().unwrap().port();
        assert_eq!(sharing(port), Sharing::Shared);
        drop((socket, held));
        // Nobody else is given it at once.
        assert_eq!(sharing(port), Sharing::Free);
    }

    #[test]
    fn a_table_of_sockets_is_read() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n \
             1182: 00000000:14E9 00000000:0000 07 00000000:00000000 00:00000000 00000000   108        0 24117 2 0000000000000000 0\n \
             1183: 00000000:14EA 00000000:0000 07 00000000:00000000 00:00000000 00000000   108        0 24118 2 0000000000000000 0\n";
        assert_eq!(sockets_of(table, 5353), ["socket:[24117]"]);
        for end in 0..table.len() {
            sockets_of(&table[..end], 5353);
        }
    }
}
