//! How fast newcomers may come in, all together, and what they have to bring.
//!
//! No flood turns the table over faster than once a minute: the [`Gate`] holds it. While the gate has much to do, newcomers are
//! asked for work ([`Price`]), and those without it no longer get to the gate: they cannot take the places of those who
//! pay. BitTorrent's protocols have no place for work, so their newcomers then share a gate of their own, a quarter as
//! wide. Who is in the table already never comes this way.

use super::pow::{Price, Pricing};
use super::ratelimit::Gate;
use super::{Error, Settings};
use crate::limits::{UNABLE_GATE_DIVISOR, UNABLE_GATE_LEAST};
use crate::time::Instant;
use crate::wire::pow::Challenge;

/// What a newcomer brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payment {
    /// Work that was checked.
    Paid,
    /// Nothing, though its protocol has a place for work.
    Owing,
    /// Nothing, and it could not.
    Unable,
}

/// A newcomer got in, by this gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// There is none.
    Free,
    /// That of all.
    All,
    /// That of those who cannot pay.
    Unable,
}

/// Why a newcomer does not get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// It has to bring work, of so many bits.
    Owes(u8),
    /// There are too many of them; after so many seconds, at least 1, there is room for one.
    Crowded(u32),
}

/// The way in for newcomers.
pub(super) struct Door {
    /// `None` if the operator wants no limit.
    gates: Option<Gates>,
    price: Price,
}

struct Gates {
    all: Gate,
    /// For those who cannot pay, while others have to.
    unable: Gate,
}

impl Door {
    /// The door of a table of `capacity` places.
    pub(super) fn new(capacity: usize, settings: &Settings) -> Self {
        let unable = capacity.checked_div(UNABLE_GATE_DIVISOR).unwrap_or(0).max(UNABLE_GATE_LEAST);
        Self {
            gates: (settings.announces_per_minute != 0).then(|| Gates {
                all: Gate::table_in_a_minute(capacity),
                unable: Gate::table_in_a_minute(unable),
            }),
            price: Price::new(settings.pow),
        }
    }

    /// What a newcomer has to pay, in bits; 0 for nothing.
    pub(super) const fn price(&self) -> u8 {
        self.price.bits()
    }

    /// Asks for a way in.
    ///
    /// # Errors
    /// [`Closed`] says what is missing.
    pub(super) fn pass(&mut self, now: Instant, payment: Payment) -> Result<Pass, Closed> {
        let price = self.price.bits();
        let fixed = matches!(self.price.pricing(), Pricing::Fixed(_));
        if price > 0 && (payment == Payment::Owing || fixed && payment == Payment::Unable) {
            return Err(Closed::Owes(price));
        }
        let Some(gates) = &mut self.gates else { return Ok(Pass::Free) };
        if price > 0 && payment == Payment::Unable {
            return gates.unable.pass(now).map(|()| Pass::Unable).map_err(Closed::Crowded);
        }
        let passed = gates.all.pass(now);
        self.price.observe(now, if passed.is_ok() { gates.all.taken_percent(now) } else { 100 });
        passed.map(|()| Pass::All).map_err(|wait_s| match (self.price.bits(), payment) {
            (bits, Payment::Owing) if bits > 0 => Closed::Owes(bits),
            _ => Closed::Crowded(wait_s),
        })
    }

    /// Takes a pass back from a newcomer that found no place.
    pub(super) const fn give_back(&mut self, pass: Pass) {
        match (&mut self.gates, pass) {
            (Some(gates), Pass::All) => gates.all.give_back(),
            (Some(gates), Pass::Unable) => gates.unable.give_back(),
            _ => {}
        }
    }

    /// Lets the price follow the time.
    pub(super) fn tick(&mut self, now: Instant) {
        if let Some(gates) = &self.gates {
            self.price.observe(now, gates.all.taken_percent(now));
        }
    }
}

impl Closed {
    /// What the newcomer is told; `challenge` makes a challenge of that many bits.
    pub(super) fn error(self, challenge: impl FnOnce(u8) -> Challenge) -> Error {
        match self {
            Self::Owes(bits) => Error::PowRequired(challenge(bits)),
            Self::Crowded(retry_after_s) => Error::RateLimited { retry_after_s },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPACITY: usize = 4096;
    /// What the gate lets through at once.
    const AT_ONCE: usize = CAPACITY / 6;

    fn door(pow: Pricing) -> Door {
        Door::new(CAPACITY, &Settings { pow, ..Settings::default() })
    }

    /// How many of `count` newcomers, spread evenly over `seconds` from `from_s` on, get in.
    fn come(door: &mut Door, from_s: u64, seconds: u64, count: u64, payment: Payment) -> usize {
        (0..count)
            .filter(|n| {
                let now = Instant::from_ms(from_s * 1000 + n * seconds * 1000 / count);
                door.tick(now);
                door.pass(now, payment).is_ok()
            })
            .count()
    }

    #[test]
    fn a_network_that_comes_back_pays_nothing() {
        let mut door = door(Pricing::Auto);
        assert_eq!(come(&mut door, 0, 150, CAPACITY as u64, Payment::Owing), CAPACITY);
        assert_eq!(door.price(), 0);
    }

    #[test]
    fn a_flood_is_asked_to_pay_and_those_who_do_get_in() {
        let mut door = door(Pricing::Auto);
        let now = Instant::from_s(1);
        let free = (0..CAPACITY).take_while(|_| door.pass(now, Payment::Owing).is_ok()).count();
        assert!(
            (AT_ONCE / 2..AT_ONCE / 2 + 10).contains(&free),
            "{free}: half of what may come at once is free"
        );
        assert_eq!(door.price(), 16);
        assert_eq!(door.pass(now, Payment::Owing), Err(Closed::Owes(16)));
        // However many ask, nobody takes a place of those who pay.
        assert_eq!(come(&mut door, 1, 10, 100_000, Payment::Owing), 0);
        let paid =
            (0..CAPACITY).take_while(|_| door.pass(Instant::from_s(11), Payment::Paid).is_ok()).count();
        assert_eq!(paid, AT_ONCE);
        assert!(matches!(door.pass(Instant::from_s(11), Payment::Paid), Err(Closed::Crowded(1))));
        // They pay more and more, until they stay away; within a quarter of an hour nobody pays any more.
        come(&mut door, 12, 120, 120 * 200, Payment::Paid);
        assert_eq!(door.price(), 22);
        for s in 132..132 + 15 * 60 {
            door.tick(Instant::from_s(s));
        }
        assert_eq!(door.price(), 0);
    }

    #[test]
    fn those_who_cannot_pay_have_a_gate_of_their_own() {
        let mut door = door(Pricing::Auto);
        let now = Instant::from_s(1);
        while door.price() == 0 {
            let _ = door.pass(now, Payment::Unable);
        }
        let passed = (0..CAPACITY).take_while(|_| door.pass(now, Payment::Unable).is_ok()).count();
        assert_eq!(passed, CAPACITY / 4 / 6);
        assert!(matches!(door.pass(now, Payment::Unable), Err(Closed::Crowded(_))));
        door.give_back(Pass::Unable);
        assert_eq!(door.pass(now, Payment::Unable), Ok(Pass::Unable), "what was given back is there again");
        assert_eq!(door.pass(now, Payment::Paid), Ok(Pass::All), "and take nothing from those who do");
    }

    #[test]
    fn a_fixed_price_is_for_all() {
        let mut door = door(Pricing::Fixed(5));
        for payment in [Payment::Owing, Payment::Unable] {
            assert_eq!(door.pass(Instant::START, payment), Err(Closed::Owes(5)));
        }
        assert_eq!(door.pass(Instant::START, Payment::Paid), Ok(Pass::All));
    }

    #[test]
    fn without_a_price_the_gate_alone_holds() {
        let mut door = door(Pricing::Off);
        let passed = (0..CAPACITY).take_while(|_| door.pass(Instant::START, Payment::Owing).is_ok()).count();
        assert_eq!(passed, AT_ONCE);
        assert!(matches!(door.pass(Instant::START, Payment::Owing), Err(Closed::Crowded(1))));
    }

    #[test]
    fn without_a_limit_there_is_no_gate_and_no_price_of_its_own() {
        let settings = Settings { announces_per_minute: 0, ..Settings::default() };
        let mut door = Door::new(CAPACITY, &settings);
        assert_eq!(come(&mut door, 0, 1, 100_000, Payment::Owing), 100_000);
        let mut door = Door::new(CAPACITY, &Settings { pow: Pricing::Fixed(3), ..settings });
        assert_eq!(door.pass(Instant::START, Payment::Owing), Err(Closed::Owes(3)));
    }
}
