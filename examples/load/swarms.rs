//! Who announces what: peers spread evenly over torrents and over sockets.

use sha2::{Digest, Sha256};

use crate::Options;
use crate::udp::sockets_of;

/// Peers and their torrents. A peer is an announced port of a socket: trackers tell peers apart by address and port.
pub(crate) struct Swarms {
    peers: usize,
    hashes: Vec<[u8; 20]>,
    /// How often each socket has announced.
    turns: Vec<usize>,
}

/// One peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Peer {
    /// Its number, from 0.
    pub(crate) number: usize,
    /// What it shares.
    pub(crate) info_hash: [u8; 20],
}

impl Peer {
    /// The port it announces. Different for each peer of one socket.
    pub(crate) fn port(self) -> u16 {
        (FIRST_PORT + self.number) as u16
    }
}

/// No port below is announced: trackers refuse port 0, and some refuse more.
const FIRST_PORT: usize = 1024;

impl Swarms {
    /// Nothing is announced yet.
    pub(crate) fn new(options: &Options) -> Result<Self, &'static str> {
        let (peers, torrents, sockets) = (options.peers, options.torrents, sockets_of(options));
        if peers == 0 || torrents == 0 || peers % torrents != 0 || peers % sockets != 0 {
            return Err("--peers must be a multiple of --torrents and of --sockets");
        }
        if peers > usize::from(u16::MAX) - FIRST_PORT {
            return Err("each of --peers needs a port");
        }
        let hashes = (0..torrents).map(|torrent| hash(&torrent.to_string())).collect();
        Ok(Self { peers, hashes, turns: vec![0; sockets] })
    }

    /// The next peer of socket `from`; after the last one, the first again.
    pub(crate) fn next(&mut self, from: usize) -> Peer {
        let sockets = self.turns.len();
        let turn = self.turns[from];
        self.turns[from] = (turn + 1) % (self.peers / sockets);
        let number = from + turn * sockets;
        // Each run of as many peers as there are torrents has one in every torrent, and starts at another torrent than
        // the run before: neighbours differ, and the peers of a torrent come from different sockets.
        let torrent = (number + number / self.hashes.len()) % self.hashes.len();
        Peer { number, info_hash: self.hashes[torrent] }
    }

    /// Peers in one torrent when all have announced.
    pub(crate) fn size(&self) -> usize {
        self.peers / self.hashes.len()
    }

    /// How many peers there are.
    pub(crate) fn peers(&self) -> usize {
        self.peers
    }
}

/// The first 20 bytes of the SHA-256 of `text`. The info-hash of torrent 7 is that of "7", so that scripts can tell.
pub(crate) fn hash(text: &str) -> [u8; 20] {
    let mut hash = [0; 20];
    hash.copy_from_slice(&Sha256::digest(text.as_bytes())[..20]);
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn peers_are_spread_evenly() {
        let options = crate::options(&["tracker", "--sockets", "256", "--peers", "4096", "--torrents", "64"]);
        let mut swarms = Swarms::new(&options).unwrap();
        let mut sources = BTreeMap::<_, BTreeSet<_>>::new();
        let mut peers = BTreeSet::new();
        for from in 0..256 {
            for _ in 0..16 {
                let peer = swarms.next(from);
                peers.insert((from, peer.port()));
                sources.entry(peer.info_hash).or_default().insert(from);
            }
            assert_eq!(swarms.next(from).number, from, "the first again");
        }
        assert_eq!((peers.len(), sources.len(), swarms.size()), (4096, 64, 64));
        assert!(sources.values().all(|sockets| sockets.len() == 64));
    }

    #[test]
    fn scripts_can_tell_an_info_hash() {
        // printf 7 | sha256sum
        assert_eq!(hash("7")[..4], [0x79, 0x02, 0x69, 0x9b]);
    }

    #[test]
    fn uneven_swarms_are_refused() {
        for bad in [["--peers", "100"], ["--torrents", "0"], ["--peers", "0"], ["--peers", "65536"]] {
            assert!(Swarms::new(&crate::options(&["tracker", bad[0], bad[1]])).is_err(), "{bad:?}");
        }
    }
}
