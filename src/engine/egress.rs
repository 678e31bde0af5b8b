//! How much leaves, over all, for addresses that have not proved themselves.
//!
//! Whoever forges a source address has us send to it. The factor by which an answer may be longer than its request
//! ([`BINARY_AMPLIFICATION`](crate::limits::BINARY_AMPLIFICATION)) bounds what one datagram does, and the rate limits what
//! one address gets; this bounds what all get together, so that the server is of no use against a whole network either.
//!
//! Only answers longer than their request count. A reflector that sends no more than it is sent is worth nothing to an
//! attacker, who could send as much himself; a bound on such answers, however, would be worth a lot: a flood of forged
//! requests would use it up, and nobody could prove itself any more. So tokens, connection ids and pongs are never held
//! back, all of JSON and of the UDP tracker is left alone, and KRPC goes on with answers that are no longer than the query.
//! STUN and KRPC have a bucket each: a flood of one leaves the other what it has.

use super::Settings;
use crate::limits::{EGRESS_BURST_S, KRPC_EGRESS_BYTES_PER_S, STUN_EGRESS_BYTES_PER_S};
use crate::time::Instant;

/// What may leave for the unproven, by protocol.
pub(super) struct Egress {
    pub(super) krpc: Bucket,
    pub(super) stun: Bucket,
}

impl Egress {
    /// The buckets of a server with these settings: without a bound if it limits no queries.
    pub(super) const fn new(settings: &Settings) -> Self {
        let is_bounded = settings.queries_per_minute != 0;
        Self {
            krpc: Bucket::new(KRPC_EGRESS_BYTES_PER_S, is_bounded),
            stun: Bucket::new(STUN_EGRESS_BYTES_PER_S, is_bounded),
        }
    }
}

/// A leaky bucket of bytes.
pub(super) struct Bucket {
    bytes_per_ms: u64,
    /// How full it may be for one more answer; none if there is no bound.
    brim: Option<u64>,
    level: u64,
    leaked: Instant,
}

impl Bucket {
    /// An empty bucket that leaks `bytes_per_s`, a multiple of 1000, and holds [`EGRESS_BURST_S`] of that.
    const fn new(bytes_per_s: u32, is_bounded: bool) -> Self {
        let brim = (bytes_per_s as u64).saturating_mul(EGRESS_BURST_S as u64);
        Self {
            bytes_per_ms: (bytes_per_s / 1000) as u64,
            brim: if is_bounded { Some(brim) } else { None },
            level: 0,
            leaked: Instant::START,
        }
    }

    /// Whether there is room for an answer now.
    pub(super) fn has_room(&mut self, now: Instant) -> bool {
        let Some(brim) = self.brim else { return true };
        self.level = self.level.saturating_sub(now.ms_since(self.leaked).saturating_mul(self.bytes_per_ms));
        self.leaked = self.leaked.max(now);
        self.level < brim
    }

    /// Takes an answer of `sent` bytes to a request of `received`. Returns whether it may leave: always if it is no longer, and
    /// otherwise if there was room. The last one may go beyond the brim.
    pub(super) fn spend(&mut self, now: Instant, received: usize, sent: usize) -> bool {
        let counts = sent > received;
        if counts && !self.has_room(now) {
            return false;
        }
        if counts {
            self.level = self.level.saturating_add(u64::try_from(sent).unwrap_or(u64::MAX));
        }
        true
    }
}

const _: () =
    assert!(KRPC_EGRESS_BYTES_PER_S.is_multiple_of(1000) && STUN_EGRESS_BYTES_PER_S.is_multiple_of(1000));

#[cfg(test)]
mod tests {
    use std::format;
    use std::vec::Vec;

    use super::*;
    use crate::engine::Storage;
    use crate::engine::tests::send;
    use crate::limits::MAX_KRPC_REPLY_BYTES;
    use crate::rng::Seed;

    const CONNECT: [u8; 16] = [0, 0, 4, 0x17, 0x27, 0x10, 0x19, 0x80, 0, 0, 0, 0, 1, 2, 3, 4];

    fn stun() -> Vec<u8> {
        [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat()
    }

    /// A query for peers, with a version like most clients send.
    fn get_peers() -> Vec<u8> {
        let arguments = "d2:id20:abcdefghij01234567899:info_hash20:mnopqrstuvwxyz123456e";
        format!("d1:a{arguments}1:q9:get_peers1:t2:aa1:v4:TE011:y1:qe").into_bytes()
    }

    /// A different forged address for each `n`.
    fn forged(n: u32) -> std::string::String {
        format!("{}.{}.{}.1:5000", 20 + n / 65_536, n / 256 % 256, n % 256)
    }

    #[test]
    fn a_bucket_leaks_at_its_rate() {
        let mut bucket = Bucket::new(16_000, true);
        let at = Instant::from_ms;
        let count =
            |bucket: &mut Bucket, ms| (0..10_000).take_while(|_| bucket.spend(at(ms), 20, 40)).count();
        assert_eq!(count(&mut bucket, 7), 800, "two seconds of 16 kB, in answers of 40 bytes");
        assert_eq!(count(&mut bucket, 7), 0);
        assert_eq!(count(&mut bucket, 1007), 400);
        assert_eq!(count(&mut bucket, 3), 0, "a clock that goes back gives nothing");
        assert_eq!(count(&mut bucket, 1_000_000), 800);
        assert!(bucket.spend(at(1_000_000), 40, 40), "what is no longer than the request does not count");
        assert!(!bucket.spend(at(1_000_000), 39, 40));
        assert_eq!(count(&mut Bucket::new(16_000, false), 0), 10_000);
    }

    #[test]
    fn a_flood_of_forged_requests_leaves_with_what_it_may_and_nobody_is_kept_from_proving_himself() {
        for (flood, rate) in [(stun(), STUN_EGRESS_BYTES_PER_S), (get_peers(), KRPC_EGRESS_BYTES_PER_S)] {
            // Nobody is limited by address here: all of a flood is of different ones.
            let mut storage = Storage::<64, 256>::new();
            let settings =
                Settings { queries_per_minute: 60_000, announces_per_minute: 0, ..Settings::default() };
            let mut engine = storage.engine(settings, &Seed([1; 32]));
            // Peers make the answers to KRPC longer than the queries.
            for n in 0..40 {
                let from = format!("{}.7.7.7:6000", 60 + n);
                let announce = |token: &str| {
                    format!(
                        r#"{{"type":"announce","id":"1","network":"6d6e6f707172737475767778797a313233343536","token":"{token}"}}"#
                    )
                };
                let token = send(&mut engine, Instant::START, &from, announce("").as_bytes());
                let token = std::string::String::from_utf8(token).unwrap();
                let token = token.rsplit('"').nth(1).unwrap();
                send(&mut engine, Instant::START, &from, announce(token).as_bytes());
            }
            assert_eq!(engine.peers().len(), 40);
            let (mut longer, mut beyond) = (0_u64, 0_u64);
            for n in 0..30_000_u32 {
                let now = Instant::from_ms(1000 + u64::from(n) / 3);
                let answer = send(&mut engine, now, &forged(n), &flood);
                if answer.len() > flood.len() {
                    longer += answer.len() as u64;
                } else {
                    beyond += 1;
                }
            }
            let most = u64::from(rate) * u64::from(10 + EGRESS_BURST_S) + MAX_KRPC_REPLY_BYTES as u64;
            assert!(longer <= most, "{longer} of {most}");
            assert!(longer > most / 10 * 9 && beyond > 1000, "the bound is not reached: {longer} of {most}");
            let (now, newcomer) = (Instant::from_s(11), "198.51.100.7:5000");
            let token = br#"{"type":"announce","id":"1","pad":"xxxxxxxxxxxxxxxxxxxxxxxx"}"#;
            assert!(send(&mut engine, now, newcomer, token).starts_with(br#"{"type":"token""#));
            assert_eq!(send(&mut engine, now, newcomer, &CONNECT).len(), 16);
            let other = if flood == stun() { get_peers() } else { stun() };
            assert!(send(&mut engine, now, newcomer, &other).len() > other.len(), "the other has its own");
            let same = send(&mut engine, now, newcomer, &flood);
            if flood == stun() {
                assert_eq!(same, b"");
                assert!(engine.stats.dropped().any(|(reason, n)| reason == "egress" && n > 1000));
            } else {
                assert!(same.windows(8).any(|bytes| bytes == b"5:token8"), "{same:?}");
                assert!(engine.stats.shortened() > 1000);
            }
        }
    }

    #[test]
    fn who_limits_no_queries_bounds_nothing() {
        let mut storage = Storage::<16, 256>::new();
        let mut engine =
            storage.engine(Settings { queries_per_minute: 0, ..Settings::default() }, &Seed([1; 32]));
        for n in 0..5000 {
            assert_eq!(send(&mut engine, Instant::START, &forged(n), &stun()).len(), 32);
        }
    }
}
