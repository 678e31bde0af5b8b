//! The LAN: the port of multicast DNS, the interfaces that lead there, and who advertises.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

use super::Finding;
use crate::client::lan::{LanService, browse};
use crate::net::lan::{Interfaces, Shown};
use crate::quoted::Quoted;

/// The port of multicast DNS (RFC 6762).
const MDNS_PORT: u16 = 5353;
/// How long is listened: who is there answers within a second (RFC 6762 section 6).
const WINDOW: Duration = Duration::from_millis(1_500);

/// What was seen of the LAN, without a word said there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lan {
    sharing: Sharing,
    /// Who has the port, as far as the system tells.
    holders: Vec<String>,
    /// The interfaces that lead to a LAN, and their addresses there; or what the system says instead.
    interfaces: Result<Vec<(String, Vec<IpAddr>)>, String>,
}

/// Whether a UDP port can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sharing {
    /// Nobody has it.
    Free,
    /// Others have it, and share it.
    Shared,
    /// Somebody has it alone.
    Held,
    /// It cannot be told: what the system says.
    Unknown(String),
}

impl Lan {
    /// Looks, and sends nothing.
    pub(super) fn look() -> Self {
        let sharing = sharing(MDNS_PORT);
        let holders = if sharing == Sharing::Free { Vec::new() } else { holders(MDNS_PORT) };
        Self { sharing, holders, interfaces: interfaces().map_err(|error| plain(&error)) }
    }

    /// Whether it leads anywhere.
    pub(super) fn is_there(&self) -> bool {
        self.interfaces.as_ref().is_ok_and(|interfaces| !interfaces.is_empty())
    }

    /// What is to be said of it.
    pub(super) fn findings(&self) -> Vec<Finding> {
        vec![self.port(), self.links()]
    }

    /// Whether the port can be used.
    fn port(&self) -> Finding {
        let who = self.holders.join(", ");
        let by = if who.is_empty() { "another program".into() } else { who };
        match &self.sharing {
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
        }
    }

    fn links(&self) -> Finding {
        match &self.interfaces {
            Err(why) => Finding::warn(
                "lan",
                format!("the system does not tell its interfaces: {why}"),
                "the LAN is not looked at",
            ),
            Ok(interfaces) if interfaces.is_empty() => Finding::warn(
                "lan",
                "no interface leads to a LAN",
                "nobody is found there: interfaces with a public IPv4 address and tunnels are left out on purpose",
            ),
            Ok(interfaces) => {
                let link = |(name, addresses): &(String, Vec<IpAddr>)| {
                    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                    format!("{name} ({})", addresses.join(", "))
                };
                let links: Vec<String> = interfaces.iter().map(link).collect();
                Finding::ok("lan", format!("interfaces on a LAN: {}", links.join(", ")))
            }
        }
    }
}

/// Asks who advertises `service`, and says who answered.
pub(super) async fn neighbours(service: &str) -> Finding {
    let mut found = Vec::new();
    match browse(service, WINDOW, |service| found.push(service)).await {
        Ok(()) => neighbours_found(service, &found),
        Err(error) => Finding::warn(
            "lan",
            format!("the LAN cannot be asked for {service}: {}", plain(&error)),
            "nobody is found there",
        ),
    }
}

fn neighbours_found(service: &str, found: &[LanService]) -> Finding {
    if found.is_empty() {
        return Finding::ok("lan", format!("nobody on the LAN advertises {service}"));
    }
    let one = |service: &LanService| {
        let kind = if service.is_server { "server" } else { "peer" };
        let at = service.addresses.first().map_or_else(String::new, ToString::to_string);
        // The name is the neighbour's own choice.
        format!("the {kind} {} at {at} port {}", Quoted(&service.instance), service.port)
    };
    let all: Vec<String> = found.iter().map(one).collect();
    Finding::ok("lan", format!("found on the LAN: {}", all.join(", ")))
}

fn interfaces() -> io::Result<Vec<(String, Vec<IpAddr>)>> {
    let found = Interfaces::open()?.on_lan(&Shown::default())?;
    let shown = found.into_iter().map(|named| {
        let subnets = named.interface.addresses.iter().filter(|subnet| subnet.is_shown);
        let addresses = subnets.map(|subnet| subnet.ip).collect();
        (named.name, addresses)
    });
    Ok(shown.collect())
}

/// Whether UDP port `port` can be used, alone or together with others.
fn sharing(port: u16) -> Sharing {
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

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn healthy() -> Lan {
        let eth0 = ("eth0".into(), vec![Ipv4Addr::new(192, 168, 1, 5).into()]);
        Lan { sharing: Sharing::Free, holders: Vec::new(), interfaces: Ok(vec![eth0]) }
    }

    #[test]
    fn each_fault_has_its_line() {
        use Verdict::{Fail, Ok as Fine, Warn};
        let who = vec!["\"avahi-daemon\" (process 812)".to_owned()];
        let shared = Lan { sharing: Sharing::Shared, holders: who, ..healthy() };
        for (lan, verdicts, text) in [
            (healthy(), [Fine, Fine], "5353 (mDNS) is free"),
            (healthy(), [Fine, Fine], "interfaces on a LAN: eth0 (192.168.1.5)"),
            (shared, [Fine, Fine], "is used by \"avahi-daemon\" (process 812), and can be shared"),
            (Lan { sharing: Sharing::Held, ..healthy() }, [Fail, Fine], "is held by another program alone"),
            (
                Lan { sharing: Sharing::Unknown("no".into()), ..healthy() },
                [Warn, Fine],
                "cannot be tried: no",
            ),
            (Lan { interfaces: Ok(Vec::new()), ..healthy() }, [Fine, Warn], "no interface leads to a LAN"),
            (
                Lan { interfaces: Err("no".into()), ..healthy() },
                [Fine, Warn],
                "does not tell its interfaces: no",
            ),
        ] {
            let findings = lan.findings();
            assert!(findings.iter().any(|finding| finding.text.contains(text)), "{findings:?}");
            assert!(findings.iter().map(|finding| finding.verdict).eq(verdicts), "{findings:?}");
        }
    }

    #[test]
    fn neighbours_are_named_without_their_escapes() {
        let service = LanService {
            instance: "evil\u{1b}[2J".into(),
            host: "h.local".into(),
            port: 8080,
            addresses: vec![Ipv4Addr::new(192, 168, 1, 9).into()],
            udp_port: None,
            id: None,
            is_server: true,
            interface: 2,
        };
        assert_eq!(
            neighbours_found("_a._tcp.local", &[service]).text,
            "found on the LAN: the server \"evil\\u001b[2J\" at 192.168.1.9 port 8080"
        );
        assert_eq!(neighbours_found("_a._tcp.local", &[]).verdict, Verdict::Ok);
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
