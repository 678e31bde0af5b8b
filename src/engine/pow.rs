//! Proof of work: challenges that cost the server no memory, and the price of a place.
//!
//! Work is a price, not a defence against many addresses: one graphics card does what ten thousand small computers do. So it is
//! asked for only while newcomers come faster than they should, and only of newcomers; who refreshes or leaves has paid.
//!
//! A challenge carries what it was made for, and a tag nobody else can make: two SipHash-2-4 under secret keys, 128 bits.
//! That is checked before anything is hashed with SHA-256, which takes longer. It needs no epoch, as
//! the time it was made at is in it. Solved, it is good for one record from one /24 or /48: sent again, it registers
//! the same peer again, so nothing needs to be remembered.

use super::request::Work;
use super::token::equal;
use crate::addr::{CanonicalAddr, Level};
use crate::id::{NetworkKey, PeerId};
use crate::limits::{
    CHALLENGE_LIFE_S, POW_CALM_PERCENT, POW_FALL_S, POW_HIGHEST, POW_LOWEST, POW_PRESSED_PERCENT, POW_RISE_S,
};
use crate::rng::HashKey;
use crate::time::Instant;
use crate::wire::pow::{Challenge, TAG_BYTES, TERMS_BYTES, Terms, worth};
use crate::wire::sha256;

/// The action of a challenge for an announce.
const ANNOUNCE: u8 = 1;

/// When newcomers have to work for their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pricing {
    /// Never.
    Off,
    /// While there are many of them: 16 to 22 bits.
    Auto,
    /// Always, this many bits, 1..=24.
    Fixed(u8),
}

/// The work is not what was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadWork;

/// Makes challenges, and checks what comes back.
pub struct Challenger {
    keys: [HashKey; 2],
}

impl Challenger {
    /// A challenger with keys made of `key`.
    pub fn new(key: &HashKey) -> Self {
        Self { keys: [key.derive(b"low"), key.derive(b"high")] }
    }

    /// A challenge for the announce of `id` in `network` from `addr`.
    pub fn challenge(
        &self,
        now: Instant,
        addr: CanonicalAddr,
        (network, id): (NetworkKey, PeerId<'_>),
        difficulty: u8,
    ) -> Challenge {
        let terms = terms(now, addr, record_of(network, id), difficulty);
        Challenge::new(&terms, self.tag(&terms.emit()))
    }

    /// Checks the work for the announce of `id` in `network` from `addr`. What is cheap comes first: only a challenge
    /// of ours, for this asker and not too old, is worth a hash, and only one for this record is worth the other.
    ///
    /// # Errors
    /// [`BadWork`].
    pub fn check(
        &self,
        now: Instant,
        addr: CanonicalAddr,
        (network, id): (NetworkKey, PeerId<'_>),
        work: &Work<'_>,
    ) -> Result<(), BadWork> {
        let (given, tag) = Terms::parse(work.challenge).ok_or(BadWork)?;
        if !equal(&tag, &self.tag(&given.emit())) {
            return Err(BadWork);
        }
        let age_s = seconds(now).checked_sub(given.issued_s).ok_or(BadWork)?;
        let is_for_asker =
            Terms { issued_s: given.issued_s, ..terms(now, addr, given.record, given.difficulty) } == given;
        let is_good = age_s <= CHALLENGE_LIFE_S
            && is_for_asker
            && given.record == record_of(network, id)
            && worth(work.challenge, work.nonce) >= u32::from(given.difficulty);
        if is_good { Ok(()) } else { Err(BadWork) }
    }

    fn tag(&self, terms: &[u8; TERMS_BYTES]) -> [u8; TAG_BYTES] {
        let [low, high] = &self.keys;
        let mut tag = [0; TAG_BYTES];
        let halves = low.hash(terms).to_be_bytes().into_iter().chain(high.hash(terms).to_be_bytes());
        tag.iter_mut().zip(halves).for_each(|(to, from)| *to = from);
        tag
    }
}

fn terms(now: Instant, addr: CanonicalAddr, record: [u8; 8], difficulty: u8) -> Terms {
    Terms {
        difficulty,
        family: if addr.is_v4() { 4 } else { 6 },
        action: ANNOUNCE,
        issued_s: seconds(now),
        prefix: addr.prefix(Level::Narrow).0.to_be_bytes(),
        record,
    }
}

/// What a challenge says of the record it is for.
fn record_of(network: NetworkKey, id: PeerId<'_>) -> [u8; 8] {
    sha256::digest(&[&network.0, id.as_str().as_bytes()]).first_chunk().copied().unwrap_or_default()
}

/// The time in a challenge. A server runs for 136 years before it stands still.
fn seconds(now: Instant) -> u32 {
    u32::try_from(now.as_s()).unwrap_or(u32::MAX)
}

/// The price of a place, in bits of work.
#[derive(Debug)]
pub struct Price {
    pricing: Pricing,
    /// The price under [`Pricing::Auto`].
    bits: u8,
    /// When it was changed last.
    changed: Instant,
    /// When there were last more newcomers than a calm server has.
    busy: Instant,
}

impl Price {
    /// The price on a calm server.
    pub const fn new(pricing: Pricing) -> Self {
        Self { pricing, bits: 0, changed: Instant::START, busy: Instant::START }
    }

    /// How it is made.
    pub const fn pricing(&self) -> Pricing {
        self.pricing
    }

    /// The price now: 0 for none.
    pub const fn bits(&self) -> u8 {
        match self.pricing {
            Pricing::Off => 0,
            Pricing::Auto => self.bits,
            Pricing::Fixed(bits) => bits,
        }
    }

    /// Takes note of how much of what newcomers may take at once is taken, in percent, or that somebody was turned away,
    /// which is 100. A price is asked as soon as half is taken, and rises every ten seconds while that lasts; it
    /// falls once a minute while less than a quarter is.
    pub fn observe(&mut self, now: Instant, taken_percent: u64) {
        let since_change_s = now.s_since(self.changed);
        let bits = match self.bits {
            0 if taken_percent > POW_PRESSED_PERCENT => POW_LOWEST,
            bits if taken_percent > POW_PRESSED_PERCENT && since_change_s >= POW_RISE_S => {
                bits.saturating_add(1).min(POW_HIGHEST)
            }
            0 => 0,
            bits if taken_percent < POW_CALM_PERCENT
                && since_change_s.min(now.s_since(self.busy)) >= POW_FALL_S =>
            {
                if bits <= POW_LOWEST {
                    0
                } else {
                    bits.saturating_sub(1)
                }
            }
            bits => bits,
        };
        if taken_percent >= POW_CALM_PERCENT {
            self.busy = now;
        }
        if bits != self.bits {
            (self.bits, self.changed) = (bits, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::pow::{CHALLENGE_BYTES, CHALLENGE_TEXT_BYTES};
    use crate::wire::sha256::HASHES;

    const NOW: Instant = Instant::from_s(1000);
    const NETWORK: NetworkKey = NetworkKey([1; 20]);

    fn challenger() -> Challenger {
        Challenger::new(&HashKey::new([9; 16]))
    }

    fn addr(text: &str) -> CanonicalAddr {
        CanonicalAddr::new(text.parse().unwrap())
    }

    fn id(text: &str) -> PeerId<'_> {
        PeerId::parse(text).unwrap()
    }

    fn solve(challenge: &Challenge) -> u64 {
        let asked = u32::from(challenge.difficulty);
        (0..).find(|&nonce| worth(challenge.as_str(), nonce) >= asked).unwrap()
    }

    /// Checks work that was asked for at [`NOW`] for `node` from 198.51.100.7.
    fn check(text: &str, nonce: u64, now: Instant, from: &str, record: (NetworkKey, &str)) -> bool {
        let work = Work { challenge: text, nonce };
        challenger().check(now, addr(from), (record.0, id(record.1)), &work).is_ok()
    }

    #[test]
    fn work_is_good_for_one_record_from_one_network_for_two_minutes() {
        let challenge = challenger().challenge(NOW, addr("198.51.100.7"), (NETWORK, id("node")), 9);
        let (text, nonce) = (challenge.as_str(), solve(&challenge));
        let here = "198.51.100.7";
        let later = |s: u64| Instant::from_s(1000 + s);
        assert!(check(text, nonce, NOW, here, (NETWORK, "node")));
        assert!(check(text, nonce, NOW, here, (NETWORK, "node")), "sent again");
        assert!(check(text, nonce, later(120), "198.51.100.200", (NETWORK, "node")));
        assert!(check(text, nonce, NOW, "::ffff:198.51.100.7", (NETWORK, "node")));
        assert!(!check(text, nonce, later(121), here, (NETWORK, "node")), "too old");
        assert!(!check(text, nonce, Instant::from_s(999), here, (NETWORK, "node")), "from the future");
        assert!(!check(text, nonce, NOW, "198.51.101.7", (NETWORK, "node")), "another network");
        assert!(!check(text, nonce, NOW, here, (NETWORK, "nodf")), "another id");
        assert!(!check(text, nonce, NOW, here, (NetworkKey([2; 20]), "node")), "another room");
        assert!(!check(text, nonce + 1, NOW, here, (NETWORK, "node")) || worth(text, nonce + 1) >= 9);
        let other = Challenger::new(&HashKey::new([8; 16]));
        let work = Work { challenge: text, nonce };
        assert_eq!(other.check(NOW, addr(here), (NETWORK, id("node")), &work), Err(BadWork), "another key");
    }

    #[test]
    fn ipv6_is_bound_by_48_bits() {
        let challenge = challenger().challenge(NOW, addr("2001:db8:7::1"), (NETWORK, id("n")), 3);
        let (text, nonce) = (challenge.as_str(), solve(&challenge));
        assert!(check(text, nonce, NOW, "2001:db8:7:ffff::9", (NETWORK, "n")));
        assert!(!check(text, nonce, NOW, "2001:db8:8::1", (NETWORK, "n")));
    }

    #[test]
    fn every_bit_of_a_challenge_counts() {
        use base64ct::{Base64UrlUnpadded, Encoding as _};
        // Of no difficulty, so that only what the challenge says can be at fault.
        let challenge = challenger().challenge(NOW, addr("198.51.100.7"), (NETWORK, id("node")), 0);
        assert!(check(challenge.as_str(), 0, NOW, "198.51.100.7", (NETWORK, "node")));
        let mut bytes = [0; CHALLENGE_BYTES];
        Base64UrlUnpadded::decode(challenge.as_str(), &mut bytes).unwrap();
        for bit in 0..8 * CHALLENGE_BYTES {
            let (mut forged, mut text) = (bytes, [0; CHALLENGE_TEXT_BYTES]);
            forged[bit / 8] ^= 1 << (bit % 8);
            let forged = Base64UrlUnpadded::encode(&forged, &mut text).unwrap();
            assert!(!check(forged, 0, NOW, "198.51.100.7", (NETWORK, "node")), "bit {bit}");
        }
    }

    /// SECURITY's row on checks that are themselves the attack: each step is taken only after all cheaper ones.
    #[test]
    fn nothing_dear_is_done_for_what_fails_a_cheap_check() {
        let challenge = challenger().challenge(NOW, addr("198.51.100.7"), (NETWORK, id("node")), 9);
        let (text, nonce) = (challenge.as_str(), solve(&challenge));
        let foreign = Challenger::new(&HashKey::new([8; 16]));
        let foreign = foreign.challenge(NOW, addr("198.51.100.7"), (NETWORK, id("node")), 9);
        let short = &text[1..];
        let (here, record) = ("198.51.100.7", (NETWORK, "node"));
        let late = Instant::from_s(1121);
        for (what, text, nonce, now, from, record, hashes) in [
            ("no challenge", short, nonce, NOW, here, record, 0),
            ("somebody else's", foreign.as_str(), solve(&foreign), NOW, here, record, 0),
            ("too old", text, nonce, late, here, record, 0),
            ("from the future", text, nonce, Instant::from_s(999), here, record, 0),
            ("another asker's", text, nonce, NOW, "198.51.101.7", record, 0),
            ("for another record", text, nonce, NOW, here, (NETWORK, "other"), 1),
            ("too little work", text, nonce ^ (1 << 40), NOW, here, record, 2),
            ("good", text, nonce, NOW, here, record, 2),
        ] {
            let before = HASHES.get();
            assert_eq!(check(text, nonce, now, from, record), what == "good", "{what}");
            assert_eq!(HASHES.get() - before, hashes, "{what}");
        }
    }

    #[test]
    fn a_splice_is_no_challenge() {
        let challenger = challenger();
        let text = |difficulty| {
            let challenge =
                challenger.challenge(NOW, addr("198.51.100.7"), (NETWORK, id("node")), difficulty);
            std::string::String::from(challenge.as_str())
        };
        let (dear, cheap) = (text(20), text(0));
        for at in 1..dear.len() {
            let spliced = std::format!("{}{}", &cheap[..at], &dear[at..]);
            assert!(
                spliced == dear
                    || spliced == cheap
                    || !check(&spliced, 0, NOW, "198.51.100.7", (NETWORK, "node")),
                "{at}"
            );
        }
    }

    #[test]
    fn exactly_as_many_bits_as_asked_are_enough() {
        for difficulty in 0..=14 {
            let at = addr("198.51.100.7");
            let challenge = challenger().challenge(NOW, at, (NETWORK, id("node")), difficulty);
            let good = |nonce: &u64| worth(challenge.as_str(), *nonce) == difficulty.into();
            let bad = |nonce: &u64| worth(challenge.as_str(), *nonce) + 1 == difficulty.into();
            let nonce = (0..).find(good).unwrap();
            assert!(check(challenge.as_str(), nonce, NOW, "198.51.100.7", (NETWORK, "node")));
            if difficulty > 0 {
                let nonce = (0..).find(bad).unwrap();
                assert!(!check(challenge.as_str(), nonce, NOW, "198.51.100.7", (NETWORK, "node")));
            }
        }
    }

    #[test]
    fn the_price_follows_the_pressure_and_is_gone_within_a_quarter_of_an_hour() {
        let mut price = Price::new(Pricing::Auto);
        let mut now_s = 0;
        let mut observe = |price: &mut Price, percent, seconds: u64| {
            for _ in 0..seconds {
                now_s += 1;
                price.observe(Instant::from_s(now_s), percent);
            }
            price.bits()
        };
        assert_eq!(observe(&mut price, 50, 600), 0, "half is no pressure");
        assert_eq!(observe(&mut price, 51, 1), 16, "at once");
        assert_eq!(observe(&mut price, 51, 9), 16);
        assert_eq!(observe(&mut price, 51, 1), 17, "ten seconds later");
        assert_eq!(observe(&mut price, 100, 600), 22, "and no higher");
        assert_eq!(observe(&mut price, 30, 600), 22, "neither pressed nor calm");
        assert_eq!(observe(&mut price, 24, 59), 22);
        assert_eq!(observe(&mut price, 24, 1), 21);
        assert_eq!(observe(&mut price, 0, 5 * 60), 16);
        assert_eq!(observe(&mut price, 0, 60), 0, "seven minutes in all");
        assert_eq!(observe(&mut price, 0, 600), 0);
    }

    #[test]
    fn a_price_may_be_fixed_or_off() {
        for (pricing, bits) in [(Pricing::Off, 0), (Pricing::Fixed(7), 7)] {
            let mut price = Price::new(pricing);
            price.observe(NOW, 100);
            assert_eq!(price.bits(), bits);
        }
    }
}
