//! Binding: the sockets the server listens on.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

use crate::limits::{LISTEN_BACKLOG, MAX_BIND_ADDRESSES, SEND_BUFFER_BYTES};

/// Most sockets of one kind: one for each address of `--bind`, or one for each family.
pub const MAX_LISTENERS: usize = MAX_BIND_ADDRESSES;

/// How often port 0 is tried again when the port found for one address is taken on another.
const FREE_PORT_TRIES: usize = 16;

/// Children of a program that embeds the server must not inherit its sockets.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
pub(super) const SOCKET_FLAGS: SocketFlags = SocketFlags::CLOEXEC;
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
pub(super) const SOCKET_FLAGS: SocketFlags = SocketFlags::empty();

/// Bound sockets, not yet blocking or non-blocking in any particular way.
#[derive(Default)]
pub struct Sockets {
    /// Listening for HTTP.
    pub tcp: Vec<TcpListener>,
    /// For datagrams; none if UDP is off.
    pub udp: Vec<UdpSocket>,
    /// Why there is no IPv6, if it was wanted and the system has none.
    pub no_ipv6: Option<io::Error>,
}

/// A socket could not be bound.
#[derive(Debug)]
pub struct BindError {
    kind: Kind,
    addr: SocketAddr,
    cause: io::Error,
}

/// The two kinds of socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Http,
    Udp,
}

impl Sockets {
    /// Binds `http_port`, and `udp_port` unless that is `None`, on `addresses`, or on every local address if there are
    /// none. Port 0 is any free port, the same on all addresses.
    ///
    /// # Errors
    /// [`BindError`] if a socket cannot be bound. A missing IPv6 is no error unless an IPv6 address was asked for.
    pub fn bind(http_port: u16, udp_port: Option<u16>, addresses: &[IpAddr]) -> Result<Self, BindError> {
        let everywhere = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        let optional_ipv6 = addresses.is_empty();
        let addresses = if optional_ipv6 { &everywhere } else { addresses };
        let mut sockets = Self::default();
        let http = bind_all(Kind::Http, addresses, http_port, optional_ipv6, &mut sockets.no_ipv6)?;
        sockets.tcp = http.into_iter().map(TcpListener::from).collect();
        if let Some(port) = udp_port {
            let udp = bind_all(Kind::Udp, addresses, port, optional_ipv6, &mut sockets.no_ipv6)?;
            sockets.udp = udp.into_iter().map(UdpSocket::from).collect();
        }
        Ok(sockets)
    }
}

/// Binds one port on all addresses.
fn bind_all(
    kind: Kind,
    addresses: &[IpAddr],
    port: u16,
    optional_ipv6: bool,
    no_ipv6: &mut Option<io::Error>,
) -> Result<Vec<OwnedFd>, BindError> {
    let mut tries = if port == 0 { FREE_PORT_TRIES } else { 1 };
    loop {
        tries = tries.saturating_sub(1);
        match try_bind_all(kind, addresses, port, optional_ipv6, no_ipv6) {
            Err(error) if tries > 0 && error.cause.kind() == ErrorKind::AddrInUse => {}
            result => return result,
        }
    }
}

fn try_bind_all(
    kind: Kind,
    addresses: &[IpAddr],
    mut port: u16,
    optional_ipv6: bool,
    no_ipv6: &mut Option<io::Error>,
) -> Result<Vec<OwnedFd>, BindError> {
    let mut bound = Vec::with_capacity(addresses.len());
    for &ip in addresses {
        let addr = SocketAddr::new(ip, port);
        match bind_one(kind, addr) {
            Ok((socket, found)) => {
                port = found;
                bound.push(socket);
            }
            Err(cause) if optional_ipv6 && ip.is_ipv6() && means_no_ipv6(&cause) => *no_ipv6 = Some(cause),
            Err(cause) => return Err(BindError { kind, addr, cause }),
        }
    }
    Ok(bound)
}

/// Binds one socket, and returns it with its port.
fn bind_one(kind: Kind, addr: SocketAddr) -> io::Result<(OwnedFd, u16)> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket_type = if kind == Kind::Http { SocketType::STREAM } else { SocketType::DGRAM };
    let socket = socket_with(family, socket_type, SOCKET_FLAGS, None)?;
    if addr.is_ipv6() {
        // Each family has a socket of its own, so that an address is always shown in its own family.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if kind == Kind::Http {
        // A restarted server must not wait for the connections of the one before to be forgotten.
        sockopt::set_socket_reuseaddr(&socket, true)?;
        // An answer is one write, and must not wait for the acknowledgement of the one before. Accepted sockets inherit
        // it from the listener.
        sockopt::set_tcp_nodelay(&socket, true)?;
        // Left to itself the kernel would keep megabytes for a client that does not read.
        sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER_BYTES)?;
    }
    bind(&socket, &addr)?;
    if kind == Kind::Http {
        listen(&socket, LISTEN_BACKLOG)?;
    }
    let bound: SocketAddr = rustix::net::getsockname(&socket)?.try_into()?;
    Ok((socket, bound.port()))
}

/// Whether the system answers like that when it has no IPv6, or has it switched off.
fn means_no_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL | Errno::PROTONOSUPPORT))
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, flag) = match self.kind {
            Kind::Http => ("HTTP", "--port"),
            Kind::Udp => ("UDP", "--udp-port"),
        };
        write!(f, "cannot listen for {name} on {}: ", self.addr)?;
        match self.cause.kind() {
            ErrorKind::AddrInUse => {
                write!(f, "another program has this port; stop it or choose another with {flag}")
            }
            ErrorKind::PermissionDenied => {
                write!(f, "not permitted; ports below 1024 need a privilege, choose another with {flag}")
            }
            ErrorKind::AddrNotAvailable => write!(f, "this machine has no such address; see --bind"),
            _ => write!(f, "{}", self.cause),
        }
    }
}

impl std::error::Error for BindError {}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn port_0_is_one_free_port_on_every_address() {
        let sockets = Sockets::bind(0, Some(0), &[]).unwrap();
        let http: Vec<_> = sockets.tcp.iter().map(|s| s.local_addr().unwrap()).collect();
        let udp: Vec<_> = sockets.udp.iter().map(|s| s.local_addr().unwrap()).collect();
        let families = if sockets.no_ipv6.is_some() { 1 } else { 2 };
        for addrs in [http, udp] {
            assert_eq!(addrs.len(), families);
            assert!(addrs[0].is_ipv4() && addrs[0].port() != 0);
            assert!(addrs.iter().all(|a| a.port() == addrs[0].port()), "{addrs:?}");
        }
    }

    #[test]
    fn udp_can_be_off_and_addresses_chosen() {
        let sockets = Sockets::bind(0, None, &[LOOPBACK]).unwrap();
        assert!(sockets.udp.is_empty());
        assert_eq!(sockets.tcp.len(), 1);
        assert_eq!(sockets.tcp[0].local_addr().unwrap().ip(), LOOPBACK);
    }

    #[test]
    fn a_taken_port_is_named_with_its_flag() {
        let taken = TcpListener::bind((LOOPBACK, 0)).unwrap().local_addr().unwrap();
        let holder = TcpListener::bind(taken).unwrap();
        let Err(error) = Sockets::bind(taken.port(), None, &[LOOPBACK]) else { panic!("bound twice") };
        let line = error.to_string();
        assert!(line.contains(&taken.to_string()) && line.contains("--port"), "{line}");
        drop(holder);
        let taken = UdpSocket::bind((LOOPBACK, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let Err(error) = Sockets::bind(0, Some(port), &[LOOPBACK]) else { panic!("bound twice") };
        assert!(error.to_string().contains("--udp-port"), "{error}");
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        let documentation = "192.0.2.1".parse().unwrap();
        let Err(error) = Sockets::bind(0, None, &[documentation]) else { panic!("bound") };
        assert!(error.to_string().contains("--bind"), "{error}");
    }
}
