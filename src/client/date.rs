//! Seconds as people read them.

use std::fmt;

/// A Unix second as a day of the Gregorian calendar, in UTC: `2027-01-15`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day(pub u64);

/// A Unix second as a day and the time of day: `2027-01-15 08:00 UTC`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date(pub u64);

const DAY_S: u64 = 86_400;

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.0 % DAY_S / 60;
        write!(f, "{} {:02}:{:02} UTC", Day(self.0), minutes / 60, minutes % 60)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut days = self.0 / DAY_S;
        let mut year: u64 = 1970;
        // The calendar begins anew every 400 years, of 146,097 days.
        year = year.saturating_add((days / 146_097).saturating_mul(400));
        days %= 146_097;
        loop {
            let length = if is_leap(year) { 366 } else { 365 };
            if days < length {
                break;
            }
            (days, year) = (days.saturating_sub(length), year.saturating_add(1));
        }
        let february = if is_leap(year) { 29 } else { 28 };
        let mut month: u32 = 1;
        for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
            if days < length {
                break;
            }
            (days, month) = (days.saturating_sub(length), month.saturating_add(1));
        }
        write!(f, "{year}-{month:02}-{:02}", days.saturating_add(1))
    }
}

/// Whether a year has a 29 February, in the Gregorian calendar.
const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_dates() {
        for (unix_s, text) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_399, "2000-02-28 23:59 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (951_868_800, "2000-03-01 00:00 UTC"),
            (1_767_225_599, "2025-12-31 23:59 UTC"),
            (1_800_000_000, "2027-01-15 08:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
            (253_402_300_799, "9999-12-31 23:59 UTC"),
        ] {
            assert_eq!(Date(unix_s).to_string(), text);
        }
        assert!(Date(u64::MAX).to_string().ends_with(" UTC"));
    }
}
