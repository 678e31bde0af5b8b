//! What goes wrong: what a hostile host sends, and what befalls servers and clocks.

use std::net::SocketAddr;

use super::{CLIENTS, Event, HOSTILE, SERVERS, WILD_MS, World};
use crate::client::{Speech, Wish};

impl World<'_> {
    /// The hostile host, which sees nobody's datagrams, but may send any with any source.
    pub(super) fn attack(&mut self) {
        if self.is_wild() {
            self.later(1000, Event::Attack);
        }
        let server = self.below(SERVERS);
        let victim = self.below(CLIENTS);
        let (to, victim) = (self.servers[server].addr, &self.clients[victim]);
        let victim_addr = victim.addr;
        // As a client that has a proof would say it, but with a proof that is the host's own, or none.
        let own = self.hostile_tokens.get(&server).cloned().unwrap_or_else(|| vec![b'A'; 11]);
        let mut forger = victim.like();
        forger.proofs.insert(server, if forger.speech == Speech::UdpJson { own } else { vec![0xb5; 8] });
        let wish = [Wish::Announce, Wish::Leave, Wish::Find][self.below(3)];
        let mut datagram = forger.say(wish, server);
        let other = self.servers[(server + 1) % SERVERS].addr;
        let from = match self.rng.below(6) {
            0 => HOSTILE,
            1 => other,
            2 => SocketAddr::new(victim_addr.ip(), 80),
            _ => victim_addr,
        };
        if from == HOSTILE {
            let id = forger.id();
            let token = self.hostile_tokens.get(&server).map(|token| String::from_utf8_lossy(token));
            datagram = match token.filter(|_| matches!(forger.speech, Speech::UdpJson | Speech::Http)) {
                Some(token) => format!(
                    r#"{{"type":"announce","id":"1","network":"room","ttl":90,"peer_id":"{id}","token":"{token}"}}"#
                )
                .into_bytes(),
                None => br#"{"type":"find_peers","id":"1","network":"room","pad":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}"#.to_vec(),
            };
        }
        for _ in 0..self.below(4) {
            // What it says for itself stays as it is, so that what that does is known.
            if from != HOSTILE && self.chance(50) {
                let at = self.below(datagram.len());
                datagram[at] ^= 1 << self.rng.below(8);
            }
        }
        self.totals.forged += 1;
        self.send(from, to, None, datagram);
    }

    /// Something befalls a server, or the clocks on the walls.
    pub(super) fn befall(&mut self) {
        if !self.is_wild() {
            return;
        }
        self.later(40_000, Event::Befall);
        let (server, now_ms) = (self.below(SERVERS), self.now_ms);
        match self.rng.below(6) {
            0 | 1 => {
                if let Some(memory) = self.spare.pop() {
                    let seed = self.rng.next_u64();
                    self.totals.restarts += 1;
                    self.servers[server].restart(now_ms, memory, seed);
                }
            }
            2 => {
                let asleep_ms = 1 << self.rng.below(24);
                self.servers[server].sleep(asleep_ms);
            }
            3 => {
                let still = self.chance(50);
                self.servers[server].stand_still(now_ms, still);
            }
            4 => self.exhausted_until_ms[server] = now_ms + 20_000,
            _ => {
                let clocks = [0, 1_000_000_000_000, 3_400_000_000_000, 4_294_967_296_000, u64::MAX];
                self.unix_ms = clocks[self.below(clocks.len())];
            }
        }
        if self.now_ms + 40_000 >= WILD_MS {
            (0..SERVERS).for_each(|server| self.servers[server].stand_still(now_ms, false));
        }
    }
}
