//! The machine's interfaces and their addresses, from the kernel: rtnetlink(7). Integers are in the machine's order.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, sendto, socket_with,
};

use super::Named;
use crate::engine::mdns::{Interface, Subnet};

/// Groups of changes: of links, of IPv4 and of IPv6 addresses.
const GROUPS: u32 = 0x1 | 0x10 | 0x100;
/// Types of messages.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
/// A request for everything.
const DUMP_REQUEST: u16 = 0x0301;
/// Flags of an interface: up, loopback, to one point, running, multicast.
const IFF_UP: u32 = 0x1;
const IFF_LOOPBACK: u32 = 0x8;
const IFF_POINT_TO_POINT: u32 = 0x10;
const IFF_RUNNING: u32 = 0x40;
const IFF_MULTICAST: u32 = 0x1000;
/// Attributes of links: name, and the bridge it is a port of.
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
/// Attributes of addresses: the address, which is the other end's where there is one, and our own; its flags.
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
/// Addresses that may not be used (any more): duplicate, deprecated, tentative.
const UNUSABLE: u32 = 0x08 | 0x20 | 0x40;
/// Temporary addresses of IPv6, which change.
const IFA_F_TEMPORARY: u32 = 0x01;
/// Families.
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// More than the kernel puts into one datagram of an answer.
const BUFFER_BYTES: usize = 32 * 1024;
/// Most datagrams of one answer: a machine with more interfaces than they hold is no place for an advert.
const MAX_DATAGRAMS: usize = 64;

/// A socket that has something to read when something has changed.
pub(super) fn watch() -> io::Result<OwnedFd> {
    let socket = socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    bind(&socket, &SocketAddrNetlink::new(0, GROUPS))?;
    Ok(socket)
}

/// Reads what there is to read. That too much was to be told is a change, too.
pub(super) fn drain(socket: &OwnedFd) {
    let mut buffer = [0; 1024];
    for _ in 0..MAX_DATAGRAMS {
        if matches!(recv(socket, &mut buffer[..], RecvFlags::DONTWAIT), Err(rustix::io::Errno::AGAIN)) {
            return;
        }
    }
}

/// The interfaces that are up and can multicast, with their addresses.
pub(super) fn interfaces() -> io::Result<Vec<Named>> {
    let mut found: Vec<Named> = Vec::new();
    dump(RTM_GETLINK, |kind, body| {
        if kind == RTM_NEWLINK {
            found.extend(link(body));
        }
    })?;
    dump(RTM_GETADDR, |kind, body| {
        let Some((index, subnet)) = address(body).filter(|_| kind == RTM_NEWADDR) else { return };
        if let Some(named) = found.iter_mut().find(|named| named.interface.index == index) {
            // Those beyond the first few are not needed.
            let _ = named.interface.addresses.push(subnet);
        }
    })?;
    Ok(found)
}

/// A socket of the protocol NETLINK_ROUTE, which is number 0.
fn socket(flags: SocketFlags) -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?)
}

/// Asks for everything of one kind, and hands each message to `each`.
fn dump(request: u16, mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
    let socket = socket(SocketFlags::CLOEXEC)?;
    // A header of 16 bytes (length, type, flags, sequence, port), and the family, with room for either kind's body.
    let mut message = [0_u8; 32];
    let header =
        32_u32.to_ne_bytes().into_iter().chain(request.to_ne_bytes()).chain(DUMP_REQUEST.to_ne_bytes());
    message.iter_mut().zip(header).for_each(|(place, byte)| *place = byte);
    sendto(&socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut buffer = vec![0; BUFFER_BYTES];
    for _ in 0..MAX_DATAGRAMS {
        // The kernel has answered when the request was sent.
        let (bytes, _) = recv(&socket, buffer.as_mut_slice(), RecvFlags::DONTWAIT)?;
        let mut rest = buffer.get(..bytes).unwrap_or_default();
        while let Some((kind, body, behind)) = split_message(rest) {
            match kind {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => return Err(refusal(body)),
                _ => each(kind, body),
            }
            rest = behind;
        }
    }
    Err(io::Error::new(ErrorKind::InvalidData, "the machine has too many interfaces"))
}

fn refusal(body: &[u8]) -> io::Error {
    let code = word(body, 0).and_then(|code| i32::try_from(code.wrapping_neg()).ok());
    code.map_or_else(|| ErrorKind::InvalidData.into(), io::Error::from_raw_os_error)
}

/// The first message: its type and body, and what is behind it.
fn split_message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(word(bytes, 0)?).ok()?;
    let kind = half_word(bytes, 4)?;
    let body = bytes.get(16..length)?;
    Some((kind, body, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// The attributes from `at` on: type and value.
fn attributes(body: &[u8], at: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = body.get(at..).unwrap_or_default();
    std::iter::from_fn(move || {
        let length = usize::from(half_word(rest, 0)?);
        let (kind, value) = (half_word(rest, 2)?, rest.get(4..length)?);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// A link that is up, can multicast, and is neither loopback nor a line to one point nor part of a bridge.
fn link(body: &[u8]) -> Option<Named> {
    // struct ifinfomsg: family, padding, type; index; flags; change.
    let (index, flags) = (word(body, 4)?, word(body, 8)?);
    let wanted = IFF_UP | IFF_RUNNING | IFF_MULTICAST;
    if flags & (wanted | IFF_LOOPBACK | IFF_POINT_TO_POINT) != wanted {
        return None;
    }
    let mut name = None;
    for (kind, value) in attributes(body, 16) {
        match kind {
            IFLA_IFNAME => name = value.split(|&byte| byte == 0).next(),
            IFLA_MASTER => return None,
            _ => {}
        }
    }
    let name = String::from_utf8_lossy(name?).into_owned();
    Some(Named { name, interface: Interface { index, addresses: heapless::Vec::new() } })
}

/// An address that lasts, with the number of its interface.
fn address(body: &[u8]) -> Option<(u32, Subnet)> {
    // struct ifaddrmsg: family, bits of the prefix, flags, scope; index.
    let (&family, &prefix_bits, &flags) = (body.first()?, body.get(1)?, body.get(2)?);
    let index = word(body, 4)?;
    let mut flags = u32::from(flags);
    let (mut local, mut other) = (None, None);
    for (kind, value) in attributes(body, 8) {
        match kind {
            IFA_LOCAL => local = ip(family, value),
            IFA_ADDRESS => other = ip(family, value),
            IFA_FLAGS => flags = word(value, 0)?,
            _ => {}
        }
    }
    let is_temporary = family == AF_INET6 && flags & IFA_F_TEMPORARY != 0;
    if flags & UNUSABLE != 0 || is_temporary {
        return None;
    }
    Some((index, Subnet { ip: local.or(other)?, prefix_bits, is_shown: false }))
}

fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    match family {
        AF_INET => Some(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?).into()),
        AF_INET6 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?).into()),
        _ => None,
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|&bytes| u32::from_ne_bytes(bytes))
}

fn half_word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|&bytes| u16::from_ne_bytes(bytes))
}
