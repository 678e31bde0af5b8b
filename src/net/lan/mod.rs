//! The LAN: which interfaces lead to one, and sockets of multicast DNS on them. For the server's advert and for clients
//! that look for one.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod netlink;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[path = "no_netlink.rs"]
mod netlink;

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::OwnedFd;

use async_io::Async;
use rustix::net::{AddressFamily, SocketType, bind, socket_with, sockopt};
use smol::future::or;

use super::listen::SOCKET_FLAGS;
use crate::addr::{CanonicalAddr, Scope};
use crate::engine::mdns::{GROUP_V4, GROUP_V6, Interface, PORT};
use crate::limits::MAX_INTERFACES;

/// How far multicast DNS packets go (RFC 6762, section 11).
const TTL: u8 = 255;

/// An interface, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// As the system calls it.
    pub name: String,
    /// What it is.
    pub interface: Interface,
}

/// What of the machine's addresses is advertised.
#[derive(Clone, Debug, Default)]
pub struct Shown(Vec<IpAddr>);

impl Shown {
    /// What is bound to: all for the unspecified address of a family.
    pub fn bound(addresses: &[IpAddr]) -> Self {
        Self(addresses.to_vec())
    }

    /// Whether there can be anything: not if only loopback addresses are bound to.
    pub fn is_anything(&self) -> bool {
        self.0.is_empty() || self.0.iter().any(|ip| !ip.is_loopback())
    }

    fn has(&self, ip: IpAddr) -> bool {
        let is_bound =
            |bound: &IpAddr| *bound == ip || bound.is_unspecified() && bound.is_ipv4() == ip.is_ipv4();
        self.0.is_empty() || self.0.iter().any(is_bound)
    }
}

/// Knows the machine's interfaces, and when they change.
pub struct Interfaces {
    watch: Async<OwnedFd>,
}

impl Interfaces {
    /// Begins to watch.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn open() -> io::Result<Self> {
        Ok(Self { watch: Async::new(netlink::watch()?)? })
    }

    /// Those that lead to a LAN, at most [`MAX_INTERFACES`], with the addresses that are shown.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn on_lan(&self, shown: &Shown) -> io::Result<Vec<Named>> {
        let mut found = netlink::interfaces()?;
        found.retain_mut(|named| choose(&mut named.interface, shown));
        found.truncate(MAX_INTERFACES);
        Ok(found)
    }

    /// Waits for a change; several at once are one.
    ///
    /// # Errors
    /// The system does not tell any more.
    pub async fn changed(&self) -> io::Result<()> {
        self.watch.readable().await?;
        netlink::drain(self.watch.get_ref());
        Ok(())
    }
}

/// Whether an interface leads to a LAN, and something is shown there: it has a private IPv4 address and no public one, or
/// a unique local IPv6 address, or only link-local ones. Marks what is shown.
fn choose(interface: &mut Interface, shown: &Shown) -> bool {
    let is_local = |ip: IpAddr| CanonicalAddr::new(ip).scope() == Scope::Private;
    let is_link_local = |ip: IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let all = |test: &dyn Fn(IpAddr) -> bool| interface.addresses.iter().all(|subnet| test(subnet.ip));
    let any = |test: &dyn Fn(IpAddr) -> bool| interface.addresses.iter().any(|subnet| test(subnet.ip));
    let is_lan = all(&|ip| ip.is_ipv6() || is_local(ip))
        && (any(&|ip| is_local(ip) && !is_link_local(ip)) || all(&is_link_local));
    // Without its scope a link-local IPv6 address leads nowhere: it is shown where there is nothing else.
    let others = any(&|ip| !is_link_local(ip) && shown.has(ip));
    for subnet in &mut interface.addresses {
        subnet.is_shown = shown.has(subnet.ip) && !(others && is_link_local(subnet.ip));
    }
    is_lan && interface.addresses.iter().any(|subnet| subnet.is_shown)
}

/// Names of interfaces, for people.
pub struct NameList<'n>(pub &'n [Named]);

impl fmt::Display for NameList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, named) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str(", ")?;
            }
            f.write_str(&named.name)?;
        }
        Ok(())
    }
}

/// A socket for each family.
pub struct Sockets {
    v4: Option<Async<UdpSocket>>,
    v6: Option<Async<UdpSocket>>,
    /// Whether nobody else has the port: then what is sent to us alone gets to us.
    is_alone: bool,
}

impl Sockets {
    /// Sockets on the port of multicast DNS, which is shared with whoever shares it.
    ///
    /// # Errors
    /// It is not shared by who has it, or there is neither family.
    pub fn shared() -> io::Result<Self> {
        Self::open(PORT)
    }

    /// Sockets on a port of their own: what is asked from there is answered to it alone.
    ///
    /// # Errors
    /// There is neither family.
    pub fn own() -> io::Result<Self> {
        Self::open(0)
    }

    fn open(port: u16) -> io::Result<Self> {
        let is_alone = port == 0 || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok();
        let v4 = open_one(AddressFamily::INET, SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port));
        let v6 =
            open_one(AddressFamily::INET6, SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), port));
        match (v4, v6) {
            (Err(error), Err(_)) => Err(error),
            // A port that is taken in one family is taken: half of an advert would puzzle everybody.
            (Err(error), _) | (_, Err(error)) if error.kind() == ErrorKind::AddrInUse => Err(error),
            (v4, v6) => Ok(Self { v4: v4.ok(), v6: v6.ok(), is_alone }),
        }
    }

    /// Whether nobody else had the port when it was taken: else what is sent to us alone may get to others.
    pub const fn is_alone(&self) -> bool {
        self.is_alone
    }

    /// Hears what is said on these interfaces from now on, and no more on others that are in `joined`.
    pub fn join(&self, interfaces: &[Named], joined: &mut Vec<u32>) {
        for named in interfaces {
            let index = named.interface.index;
            // An interface has been joined before, or cannot be: nobody is heard there.
            if let Some(v4) = &self.v4 {
                let any = Ipv4Addr::UNSPECIFIED;
                let _ = sockopt::set_ip_add_membership_with_ifindex(v4.get_ref(), &GROUP_V4, &any, index);
            }
            if let Some(v6) = &self.v6 {
                let _ = sockopt::set_ipv6_add_membership(v6.get_ref(), &GROUP_V6, index);
            }
            if !joined.contains(&index) {
                joined.push(index);
            }
        }
        joined.retain(|&index| {
            let stays = interfaces.iter().any(|named| named.interface.index == index);
            if !stays {
                self.part(index);
            }
            stays
        });
    }

    fn part(&self, index: u32) {
        if let Some(v4) = &self.v4 {
            let any = Ipv4Addr::UNSPECIFIED;
            let _ = sockopt::set_ip_drop_membership_with_ifindex(v4.get_ref(), &GROUP_V4, &any, index);
        }
        if let Some(v6) = &self.v6 {
            let _ = sockopt::set_ipv6_drop_membership(v6.get_ref(), &GROUP_V6, index);
        }
    }

    /// Sends a packet to everybody on an interface. One that does not leave is lost.
    pub fn multicast(&self, index: u32, is_v4: bool, packet: &[u8]) {
        if let Some(v4) = self.v4.as_ref().filter(|_| is_v4) {
            let any = Ipv4Addr::UNSPECIFIED;
            if sockopt::set_ip_multicast_if_with_ifindex(v4.get_ref(), &GROUP_V4, &any, index).is_ok() {
                let _ = v4.get_ref().send_to(packet, SocketAddr::new(GROUP_V4.into(), PORT));
            }
        }
        if let Some(v6) = self.v6.as_ref().filter(|_| !is_v4) {
            let _ = v6.get_ref().send_to(packet, SocketAddrV6::new(GROUP_V6, PORT, 0, index));
        }
    }

    /// Sends a packet to one.
    pub fn send_to(&self, to: SocketAddr, packet: &[u8]) {
        let socket = if to.is_ipv4() { &self.v4 } else { &self.v6 };
        if let Some(socket) = socket {
            let _ = socket.get_ref().send_to(packet, to);
        }
    }

    /// Waits until something has come.
    ///
    /// # Errors
    /// The system does not tell.
    pub async fn readable(&self) -> io::Result<()> {
        let readable = async |socket: &Option<Async<UdpSocket>>| match socket {
            Some(socket) => socket.readable().await,
            None => smol::future::pending().await,
        };
        or(readable(&self.v4), readable(&self.v6)).await
    }

    /// Takes in what has come, at most so many packets, and hands each to `each` with its sender.
    pub fn receive(&self, most: usize, buffer: &mut [u8], mut each: impl FnMut(SocketAddr, &[u8])) {
        for socket in [&self.v4, &self.v6].into_iter().flatten() {
            for _ in 0..most {
                match socket.get_ref().recv_from(buffer) {
                    Ok((bytes, from)) => each(from, buffer.get(..bytes).unwrap_or_default()),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // Some packet of ours found nobody.
                    Err(_) => {}
                }
            }
        }
    }
}

fn open_one(family: AddressFamily, addr: SocketAddr) -> io::Result<Async<UdpSocket>> {
    let socket = socket_with(family, SocketType::DGRAM, SOCKET_FLAGS, None)?;
    if addr.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
        sockopt::set_ipv6_multicast_hops(&socket, TTL.into())?;
        sockopt::set_ipv6_unicast_hops(&socket, Some(TTL))?;
    } else {
        sockopt::set_ip_multicast_ttl(&socket, TTL.into())?;
        sockopt::set_ip_ttl(&socket, TTL.into())?;
    }
    if addr.port() != 0 {
        sockopt::set_socket_reuseaddr(&socket, true)?;
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    bind(&socket, &addr)?;
    Async::new(UdpSocket::from(socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::mdns::Subnet;

    /// The addresses shown of an interface that has these, `*` before the ones that are; `None` if it leads to no LAN.
    fn chosen(addresses: &[&str], shown: &[&str]) -> Option<Vec<String>> {
        let subnet = |text: &&str| Subnet { ip: text.parse().unwrap(), prefix_bits: 24, is_shown: false };
        let mut interface = Interface { index: 1, addresses: addresses.iter().map(subnet).collect() };
        let shown = Shown(shown.iter().map(|text| text.parse().unwrap()).collect());
        let is_chosen = choose(&mut interface, &shown);
        let found = interface.addresses.iter().filter(|subnet| subnet.is_shown);
        is_chosen.then(|| found.map(|subnet| subnet.ip.to_string()).collect())
    }

    #[test]
    fn interfaces_that_lead_to_a_lan() {
        for (addresses, found) in [
            (&["192.168.1.2"][..], Some(&["192.168.1.2"][..])),
            (&["192.168.1.2", "fe80::1"], Some(&["192.168.1.2"])),
            (&["10.0.0.1", "2001:db8::1"], Some(&["10.0.0.1", "2001:db8::1"])),
            (&["169.254.1.2"], Some(&["169.254.1.2"])),
            (&["fd00::1", "fe80::1"], Some(&["fd00::1"])),
            (&["fe80::1"], Some(&["fe80::1"])),
            (&["8.8.8.8"], None),
            (&["8.8.8.8", "192.168.1.2"], None),
            (&["2001:db8::1", "fe80::1"], None),
            (&["2001:db8::1", "fd00::1"], Some(&["2001:db8::1", "fd00::1"])),
            (&[], None),
        ] {
            let found = found.map(|found| found.iter().map(ToString::to_string).collect());
            assert_eq!(chosen(addresses, &[]), found, "{addresses:?}");
        }
    }

    #[test]
    fn what_is_bound_to_is_shown() {
        let all = ["192.168.1.2", "192.168.1.3", "fd00::1", "fe80::1"];
        assert_eq!(chosen(&all, &["192.168.1.3"]).unwrap(), ["192.168.1.3"]);
        assert_eq!(chosen(&all, &["0.0.0.0"]).unwrap(), ["192.168.1.2", "192.168.1.3"]);
        assert_eq!(chosen(&all, &["::"]).unwrap(), ["fd00::1"]);
        assert_eq!(chosen(&all, &["192.168.7.7"]), None);
        assert!(!Shown::bound(&["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()]).is_anything());
        assert!(Shown::bound(&["127.0.0.1".parse().unwrap(), "10.0.0.1".parse().unwrap()]).is_anything());
        assert!(Shown::default().is_anything());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_system_tells_its_interfaces() {
        let found = netlink::interfaces().unwrap();
        assert!(found.iter().all(|named| named.interface.index > 0 && !named.name.is_empty()));
        assert!(found.iter().all(|named| named.name != "lo"), "loopback leads nowhere");
    }
}
