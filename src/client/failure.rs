//! Why a server gave nothing.

use std::fmt;
use std::io;

use crate::quoted::Quoted;

/// Why a server gave nothing, in words for people. What it is called stands beside it, not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Its name has no address, or could not be looked up: what the resolver said.
    NoSuchHost(String),
    /// There was no way to it: what the system said.
    Unreachable(String),
    /// It did not answer in time.
    TimedOut,
    /// The connection broke, or could not be used: what the system said.
    Broken(String),
    /// It cannot prove who it is over TLS: what is wrong with its certificate, or with ours of trust.
    Tls(String),
    /// What answers is no Waypost server, or one that makes mistakes: in what.
    Nonsense(&'static str),
    /// The answer is longer than is believed.
    TooLong,
    /// It answered with this HTTP status, without a word that we know.
    Status(u16),
    /// It refused: its word (SPEC's list of errors), its sentence, and when to come back, in seconds.
    Refused {
        /// The stable word.
        word: String,
        /// The sentence; may be empty.
        detail: String,
        /// Seconds after which it may be asked again.
        retry_after_s: Option<u32>,
    },
    /// It is not the one that was pinned, or does not prove it.
    WrongIdentity(&'static str),
    /// The work it asks for is more than we do.
    Work(super::pow::Unsolved),
    /// Nobody answers for a domain: what was tried, and why it failed.
    Nowhere(String),
    /// It cannot be asked that way: why.
    Unsupported(&'static str),
}

impl Failure {
    /// What the system said about a connection that could not be made or kept.
    pub fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Self::TimedOut,
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::AddrNotAvailable => Self::Unreachable(plain(error)),
            _ => Self::Broken(plain(error)),
        }
    }
}

/// What the system said about a connection that was not made: there was none that could have broken.
pub(crate) fn unreachable(error: &io::Error) -> Failure {
    match Failure::of_io(error) {
        Failure::Broken(why) => Failure::Unreachable(why),
        other => other,
    }
}

/// An error of the system without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchHost(why) => write!(f, "its name cannot be looked up: {why}"),
            Self::Unreachable(why) => write!(f, "cannot connect: {why}"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Broken(why) => write!(f, "the connection broke: {why}"),
            Self::Tls(why) => write!(f, "its certificate is not accepted: {why}"),
            Self::Nonsense(what) => write!(f, "the answer is not one of a waypost server: {what}"),
            Self::TooLong => f.write_str("the answer is longer than is believed"),
            Self::Status(status) => write!(f, "it answers with HTTP status {status}"),
            Self::Refused { word, detail, retry_after_s } => {
                write!(f, "it refuses: {}", if is_word(word) { word } else { "an unknown word" })?;
                if !detail.is_empty() {
                    write!(f, ", {}", Quoted(detail))?;
                }
                retry_after_s.map_or(Ok(()), |s| write!(f, "; it may be asked again in {s} s"))
            }
            Self::WrongIdentity(why) => write!(f, "it is not the server that was meant: {why}"),
            Self::Work(unsolved) => unsolved.fmt(f),
            Self::Nowhere(tried) => write!(f, "nobody answers for this domain: {tried}"),
            Self::Unsupported(why) => f.write_str(why),
        }
    }
}

/// Whether a server's word can be shown as it is.
fn is_word(word: &str) -> bool {
    (1..=32).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_plain_line() {
        let refused = io::Error::from_raw_os_error(rustix::io::Errno::CONNREFUSED.raw_os_error());
        assert_eq!(Failure::of_io(&refused).to_string(), "cannot connect: connection refused");
        let denied = io::Error::from_raw_os_error(rustix::io::Errno::PERM.raw_os_error());
        assert_eq!(unreachable(&denied).to_string(), "cannot connect: operation not permitted");
        assert_eq!(Failure::of_io(&denied).to_string(), "the connection broke: operation not permitted");
        let refusal = |word: &str, detail: &str| Failure::Refused {
            word: word.into(),
            detail: detail.into(),
            retry_after_s: Some(3),
        };
        assert_eq!(
            refusal("rate_limited", "Slow down.").to_string(),
            "it refuses: rate_limited, \"Slow down.\"; it may be asked again in 3 s"
        );
        let evil = refusal("\u{1b}[2J", "a\nb").to_string();
        assert!(!evil.chars().any(char::is_control), "{evil}");
    }
}
