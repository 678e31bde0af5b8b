//! UDP: which protocol a datagram is, and who answers it.
//!
//! All protocols share one socket and are told apart by their first bytes. Whatever is malformed, is itself an answer, or
//! comes from where no client can be gets silence: nothing here can be made to start a loop or to hit a bystander.

use core::net::SocketAddr;

use super::Engine;
use super::stats::DropReason;
use super::token::CONNECTION_TAG;
use crate::addr::{CanonicalAddr, Scope};
use crate::limits::{LOWEST_CLIENT_PORT, MAX_DATAGRAM_BYTES};
use crate::time::Instant;
use crate::wire::{stun, tracker};

/// The protocol a datagram is of, judged by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A JSON object.
    Json,
    /// A bencoded dictionary: KRPC (BEP 5).
    Krpc,
    /// The connect request of the UDP tracker protocol (BEP 15).
    TrackerConnect,
    /// Another request of that protocol, with a connection id this server made: its first byte is our tag.
    TrackerTagged,
    /// A STUN message (RFC 8489).
    Stun,
    /// None of these.
    Unknown,
}

/// Judges a datagram by its first bytes.
pub fn classify(datagram: &[u8]) -> Kind {
    let long_enough_for_tracker = datagram.len() >= tracker::HEADER_BYTES;
    match datagram {
        [b'{', ..] => Kind::Json,
        [b'd', ..] => Kind::Krpc,
        [CONNECTION_TAG, ..] if long_enough_for_tracker => Kind::TrackerTagged,
        _ if datagram.starts_with(&tracker::CONNECT_MAGIC) && long_enough_for_tracker => Kind::TrackerConnect,
        [0..=0x3f, _, _, _, a, b, c, d, ..] if [*a, *b, *c, *d] == stun::MAGIC_COOKIE => {
            if datagram.len() >= stun::HEADER_BYTES { Kind::Stun } else { Kind::Unknown }
        }
        _ => Kind::Unknown,
    }
}

impl Engine<'_> {
    /// Answers one datagram. Renders the answer into `out` and returns its length, 0 for silence. `out` should have room
    /// for [`MAX_UDP_REPLY_BYTES`](crate::limits::MAX_UDP_REPLY_BYTES).
    pub fn datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8], out: &mut [u8]) -> usize {
        let sent = match self.answer(now, from, datagram, out) {
            Ok(length) => length,
            Err(reason) => {
                self.stats.count_dropped(reason);
                0
            }
        };
        self.stats.count_datagram(datagram.len(), sent);
        sent
    }

    fn answer(
        &mut self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
        out: &mut [u8],
    ) -> Result<usize, DropReason> {
        if datagram.len() > MAX_DATAGRAM_BYTES {
            return Err(DropReason::TooLong);
        }
        let addr = CanonicalAddr::from(from);
        if from.port() < LOWEST_CLIENT_PORT || addr.scope() == Scope::Invalid {
            return Err(DropReason::BadSource);
        }
        match classify(datagram) {
            Kind::Json => self.udp_json(now, addr, from.port(), datagram, out),
            Kind::TrackerConnect | Kind::TrackerTagged => {
                self.udp_tracker(now, addr, from.port(), datagram, out)
            }
            Kind::Stun => self.stun(now, addr, from.port(), datagram, out),
            Kind::Krpc => self.krpc(now, addr, from.port(), datagram, out),
            Kind::Unknown => Err(DropReason::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Settings, Storage};
    use crate::rng::Seed;

    #[test]
    fn protocols_are_told_apart() {
        let mut stun = [0; 20];
        stun[1] = 1;
        stun[4..8].copy_from_slice(&stun::MAGIC_COOKIE);
        let mut connect = [0; 16];
        connect[..8].copy_from_slice(&tracker::CONNECT_MAGIC);
        let mut tagged = [7; 98];
        tagged[0] = 0xb5;
        for (datagram, kind) in [
            (&b"{}"[..], Kind::Json),
            (b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe", Kind::Krpc),
            (&stun, Kind::Stun),
            (&connect, Kind::TrackerConnect),
            (&tagged, Kind::TrackerTagged),
            (&stun[..19], Kind::Unknown),
            (&connect[..15], Kind::Unknown),
            (&tagged[..15], Kind::Unknown),
            (b"", Kind::Unknown),
            (b" {}", Kind::Unknown),
            (b"[]", Kind::Unknown),
            (&[0xf0; 78], Kind::Unknown),
            (&[0x40, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], Kind::Unknown),
        ] {
            assert_eq!(classify(datagram), kind, "{datagram:?}");
        }
    }

    #[test]
    fn only_clients_are_answered() {
        let ping = br#"{"type":"ping","id":"1"}"#;
        for (from, answered) in [
            ("198.51.100.7:1024", true),
            ("[2001:db8::7]:65535", true),
            ("127.0.0.1:5000", true),
            ("[fe80::1]:5000", true),
            ("198.51.100.7:0", false),
            ("198.51.100.7:53", false),
            ("198.51.100.7:1023", false),
            ("0.0.0.0:5000", false),
            ("255.255.255.255:5000", false),
            ("224.0.0.251:5353", false),
            ("[ff02::fb]:5353", false),
            ("[::]:5000", false),
            ("[::ffff:224.0.0.1]:5000", false),
        ] {
            let mut storage = Storage::<16, 256>::new();
            let mut engine = storage.engine(Settings::default(), &Seed([1; 32]));
            let length = engine.datagram(Instant::START, from.parse().unwrap(), ping, &mut [0; 1200]);
            assert_eq!(length > 0, answered, "{from}");
        }
    }

    #[test]
    fn what_is_too_long_is_not_read() {
        let mut storage = Storage::<16, 256>::new();
        let mut engine = storage.engine(Settings::default(), &Seed([1; 32]));
        let from = "198.51.100.7:5000".parse().unwrap();
        let mut datagram = std::vec![b' '; MAX_DATAGRAM_BYTES + 1];
        let ping = br#"{"type":"ping","id":"1"}"#;
        datagram[..ping.len()].copy_from_slice(ping);
        assert_eq!(engine.datagram(Instant::START, from, &datagram, &mut [0; 1200]), 0);
        assert_ne!(engine.datagram(Instant::START, from, &datagram[..MAX_DATAGRAM_BYTES], &mut [0; 1200]), 0);
    }
}
