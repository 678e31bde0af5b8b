//! Solves a server's challenges, within limits of the client's own: a hostile server must not keep its processor busy.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use waypost::client::pow::solve;
//!
//! let challenge = "AQkEAQAAAADX3cRzZXnE5XGKpSYt3kdSlSqLNcpzJzmvoVZdMh2prg"; // from a 428, as is the difficulty
//! let began = Instant::now();
//! let nonce = solve(challenge, 9, || began.elapsed()).unwrap();
//! let announce = format!(r#"{{"id":"alice","endpoints":["tcp://:9000"],"pow":{{"challenge":"{challenge}","nonce":{nonce}}}}}"#);
//! # assert!(announce.ends_with("}}"));
//! ```

use core::fmt;
use core::time::Duration;

use crate::limits::POW_HIGHEST_FIXED;
use crate::wire::pow::worth;

/// Most tries: four times what the highest difficulty takes on average.
pub const MAX_TRIES: u64 = 1 << 26;
/// Longest time that is spent.
pub const MAX_TIME: Duration = Duration::from_secs(30);
/// Tries between two looks at the clock.
const TRIES_PER_LOOK: u64 = 1 << 12;

/// Why there is no solution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsolved {
    /// The server asks for more than 24 bits.
    TooDear(u8),
    /// It took too many tries, or too long.
    GaveUp,
}

/// The nonce that solves `challenge`, found by trying. `spent` tells how long it has been since the start.
///
/// # Errors
/// [`Unsolved::TooDear`] at once if more than 24 bits are asked for, [`Unsolved::GaveUp`] after [`MAX_TRIES`] tries or
/// [`MAX_TIME`].
pub fn solve(challenge: &str, difficulty: u8, mut spent: impl FnMut() -> Duration) -> Result<u64, Unsolved> {
    if difficulty > POW_HIGHEST_FIXED {
        return Err(Unsolved::TooDear(difficulty));
    }
    for nonce in 0..MAX_TRIES {
        if worth(challenge, nonce) >= u32::from(difficulty) {
            return Ok(nonce);
        }
        if nonce % TRIES_PER_LOOK == TRIES_PER_LOOK - 1 && spent() >= MAX_TIME {
            break;
        }
    }
    Err(Unsolved::GaveUp)
}

impl fmt::Display for Unsolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooDear(bits) => {
                write!(f, "the server asks for {bits} bits of work, and {POW_HIGHEST_FIXED} are the most")
            }
            Self::GaveUp => f.write_str("the server's challenge took too long to solve"),
        }
    }
}

impl core::error::Error for Unsolved {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_solution_is_the_first_there_is() {
        let nonce = solve("challenge", 8, || Duration::ZERO).unwrap();
        assert!(worth("challenge", nonce) >= 8);
        assert!((0..nonce).all(|nonce| worth("challenge", nonce) < 8));
        assert_eq!(solve("challenge", 0, || unreachable!("no time is needed")), Ok(0));
    }

    #[test]
    fn a_server_cannot_ask_for_more_than_a_client_wants_to_give() {
        assert_eq!(solve("challenge", 25, || Duration::ZERO), Err(Unsolved::TooDear(25)));
        let mut looks = 0;
        let spent = || {
            looks += 1;
            Duration::from_secs(10 * looks)
        };
        assert_eq!(solve("challenge", 24, spent), Err(Unsolved::GaveUp));
        assert_eq!(looks, 3);
    }
}
