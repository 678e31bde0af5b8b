//! Node ids that fit their addresses (BEP 42), and what the server's own one is.

use core::net::IpAddr;

use heapless::Vec;

use crate::addr::{CanonicalAddr, Level, Prefix, Scope};
use crate::limits::ADDRESS_VOTES;
use crate::rng::Rng;
use crate::wire::krpc::Id;

/// Which bits of an address count.
const MASK_V4: [u8; 4] = [0x03, 0x0f, 0x3f, 0xff];
const MASK_V6: [u8; 8] = [0x01, 0x03, 0x07, 0x0f, 0x1f, 0x3f, 0x7f, 0xff];

/// The server's node id in the DHT of one address family, and what it knows of its own address there.
pub(super) struct OwnId {
    pub(super) id: Id,
    addr: Option<CanonicalAddr>,
    /// The address that nodes say we have.
    candidate: Option<CanonicalAddr>,
    /// Wide prefixes of the nodes that say so: one party has one vote.
    votes: Vec<Prefix, ADDRESS_VOTES>,
}

impl OwnId {
    /// A random one, until the address is known.
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self { id: random(rng), addr: None, candidate: None, votes: Vec::new() }
    }

    /// Makes the id fit this address.
    pub(super) fn settle(&mut self, addr: CanonicalAddr, rng: &mut Rng) {
        if self.addr != Some(addr) {
            (self.id, self.addr) = (fitting(addr, random(rng)), Some(addr));
        }
        (self.candidate, self.votes) = (None, Vec::new());
    }

    /// Takes note that the node at `voter` sees us at `addr`. When enough parties agree on an address that is not the one known,
    /// it is settled on. Those that say something else in between cancel each other out, and those that see us where we are
    /// count as such: a few liars do not outvote many others.
    pub(super) fn vote(&mut self, voter: CanonicalAddr, addr: CanonicalAddr, rng: &mut Rng) {
        let is_possible = addr.scope() == Scope::Global && addr.is_v4() == voter.is_v4();
        if voter.scope() != Scope::Global || !is_possible {
            return;
        }
        let party = voter.prefix(Level::Wide);
        if self.candidate != Some(addr) {
            if self.votes.pop().is_some() || self.addr == Some(addr) {
                return;
            }
            self.candidate = Some(addr);
        }
        if !self.votes.contains(&party) && (self.votes.push(party).is_err() || self.votes.is_full()) {
            self.settle(addr, rng);
        }
    }
}

/// Whether `id` fits `addr`. Addresses of a LAN are exempt: they say nothing about who has them.
pub(super) fn fits(id: &Id, addr: CanonicalAddr) -> bool {
    addr.is_lan() || starts_alike(id, &fitting(addr, *id))
}

/// The id that fits `addr` and is like `random` in all other bits: its first 21 bits are those of a checksum over the
/// address and three bits of its last byte.
fn fitting(addr: CanonicalAddr, random: Id) -> Id {
    let [.., last] = random;
    let checksum = match addr.ip() {
        IpAddr::V4(ip) => masked_checksum(ip.octets(), MASK_V4, last),
        IpAddr::V6(ip) => {
            let [a, b, c, d, e, f, g, h, ..] = ip.octets();
            masked_checksum([a, b, c, d, e, f, g, h], MASK_V6, last)
        }
    };
    let [a, b, c, _] = checksum.to_be_bytes();
    let [_, _, third, rest @ ..] = random;
    let mut id = [0; 20];
    let fields = [a, b, (c & 0xf8) | (third & 0x07)].into_iter().chain(rest);
    id.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
    id
}

/// The checksum of the bits of an address that count, with three bits of `last` before them. For IPv4 it is over four bytes:
/// the prose of BEP 42 says eight, its vectors say four.
fn masked_checksum<const N: usize>(octets: [u8; N], mask: [u8; N], last: u8) -> u32 {
    let mut bytes = octets;
    bytes.iter_mut().zip(mask).for_each(|(byte, mask)| *byte &= mask);
    if let Some(first) = bytes.first_mut() {
        *first |= (last & 7) << 5;
    }
    crc32c(&bytes)
}

/// CRC-32C (RFC 3720, appendix B.4), bit by bit: it is needed a few times a minute.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ (0x82f6_3b78 & 0_u32.wrapping_sub(crc & 1));
    !bytes.iter().fold(u32::MAX, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

fn starts_alike(one: &Id, other: &Id) -> bool {
    let ([a, b, c, ..], [x, y, z, ..]) = (one, other);
    a == x && b == y && c & 0xf8 == z & 0xf8
}

fn random(rng: &mut Rng) -> Id {
    let mut id = [0; 20];
    for part in id.chunks_mut(8) {
        part.iter_mut().zip(rng.next_u64().to_le_bytes()).for_each(|(to, from)| *to = from);
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::HashKey;

    fn addr(text: &str) -> CanonicalAddr {
        CanonicalAddr::new(text.parse().unwrap())
    }

    #[test]
    fn the_vectors_of_bep_42() {
        for (ip, last, prefix) in [
            ("124.31.75.21", 1, [0x5f, 0xbf, 0xbf]),
            ("21.75.31.124", 86, [0x5a, 0x3c, 0xe9]),
            ("65.23.51.170", 22, [0xa5, 0xd4, 0x32]),
            ("84.124.73.14", 65, [0x1b, 0x03, 0x21]),
            ("43.213.53.83", 90, [0xe5, 0x6f, 0x6c]),
        ] {
            let mut id = [0x55; 20];
            id[..3].copy_from_slice(&prefix);
            id[19] = last;
            assert!(fits(&id, addr(ip)), "{ip}");
            let fitted = fitting(addr(ip), [last; 20]);
            assert!(starts_alike(&fitted, &id) && fitted[3..] == [last; 17]);
            id[2] ^= 0x08;
            assert!(!fits(&id, addr(ip)), "the 21st bit counts");
            id[2] ^= 0x08 | 0x07;
            assert!(fits(&id, addr(ip)), "the 22nd to the 24th do not");
            id[19] ^= 1;
            assert!(!fits(&id, addr(ip)), "the last byte counts");
        }
        assert!(fits(&[0; 20], addr("192.168.1.1")) && fits(&[0; 20], addr("127.0.0.1")));
    }

    #[test]
    fn the_checksum_of_nine_digits() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn ipv6_ids_fit_their_networks() {
        let mut rng = Rng::new(HashKey::new([1; 16]));
        for _ in 0..100 {
            let id = fitting(addr("2600:1:2:3::4"), random(&mut rng));
            assert!(fits(&id, addr("2600:1:2:3:ffff::1")), "the lower half does not count");
            assert!(!fits(&id, addr("2600:1:2:4::4")));
        }
    }

    #[test]
    fn the_own_address_is_learnt_from_those_who_agree() {
        let mut rng = Rng::new(HashKey::new([2; 16]));
        let mut own = OwnId::new(&mut rng);
        let first = own.id;
        let (here, there) = (addr("20.1.2.3"), addr("20.9.9.9"));
        for voter in ["21.0.0.1", "21.0.0.2", "21.0.9.9", "10.0.0.1", "22.0.0.1", "127.0.0.1", "23.0.0.1"] {
            own.vote(addr(voter), here, &mut rng);
            assert_eq!(own.id, first, "{voter}: not enough parties");
        }
        own.vote(addr("24.0.0.1"), here, &mut rng);
        assert!(own.id != first && fits(&own.id, here));
        let settled = own.id;
        for n in 0..200 {
            let voter = addr(&std::format!("{}.{n}.0.1", 30 + n % 2));
            own.vote(voter, if n % 2 == 0 { there } else { addr("20.8.8.8") }, &mut rng);
        }
        assert_eq!(own.id, settled, "liars who disagree");
        for voter in ["41.0.0.1", "42.0.0.1", "43.0.0.1", "44.0.0.1", "45.0.0.1"] {
            own.vote(addr(voter), there, &mut rng);
        }
        assert!(fits(&own.id, there), "it has moved");
        for voter in ["41.0.0.1", "42.0.0.1", "43.0.0.1", "44.0.0.1", "45.0.0.1"] {
            own.vote(addr(voter), addr("192.168.1.1"), &mut rng);
            own.vote(addr(voter), addr("2600:1::1"), &mut rng);
        }
        assert!(fits(&own.id, there));
        let settled = own.id;
        for n in 0..200 {
            let voter = addr(&std::format!("{}.{n}.0.1", 50 + n % 2));
            own.vote(voter, if n % 2 == 0 { here } else { there }, &mut rng);
        }
        assert_eq!(own.id, settled, "liars who agree, and as many who see us where we are");
    }
}
