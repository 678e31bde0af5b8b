//! The commands of a build with the client half: those of the server, and one file for each other.

mod announce;
mod completions;
mod discover;
mod doctor;
mod invite;
mod join;
mod peers;
mod show;

use std::future::Future;
use std::iter::repeat_n;

use argh::{ArgsInfo, FromArgs};
use smol::future::or;

use super::Exit;
use super::check::Check;
use super::serve::Serve;
use crate::client::config::{BUDGET_RANGE_MS, ConfigError};
use crate::id::{NetworkKey, PeerId};
use crate::net::signal::{EndSignals, Ending};
use crate::quoted::Quoted;

/// Columns of help.
const HELP_COLUMNS: usize = 80;

/// All commands.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
pub(super) enum Command {
    Serve(Serve),
    Check(Check),
    Announce(announce::Announce),
    Completions(completions::Completions),
    Discover(discover::Discover),
    Doctor(doctor::Doctor),
    Invite(invite::InviteCommand),
    Join(join::Join),
    Peers(peers::Peers),
}

impl Command {
    /// Does it.
    pub(super) fn run(&self) -> Exit {
        match self {
            Self::Serve(serve) => serve.run(),
            Self::Check(check) => check.run(),
            Self::Announce(announce) => announce.run(),
            Self::Completions(completions) => completions.run(),
            Self::Discover(discover) => discover.run(),
            Self::Doctor(doctor) => doctor.run(),
            Self::Invite(invite) => invite.run(),
            Self::Join(join) => join.run(),
            Self::Peers(peers) => peers.run(),
        }
    }
}

/// Help in lines of 80 columns, but for the examples, which are there to be copied. What is too long goes on below its
/// beginning, and in the usage line with a whole option.
pub(super) fn wrapped(text: &str) -> String {
    let mut help = String::with_capacity(text.len());
    let mut is_example = false;
    for line in text.lines() {
        let body = line.trim_start();
        let indent = if body.is_empty() { 0 } else { line.len() - body.len() };
        if indent == 0 && !body.is_empty() {
            is_example = body == "Examples:";
        }
        let (gap, indent_below) = if body.starts_with("Usage: ") { (" [", 4) } else { (" ", indent) };
        help.extend(repeat_n(' ', indent));
        let mut column = indent;
        for (place, word) in body.split(gap).enumerate() {
            if place > 0 && !is_example && column + gap.len() + word.len() > HELP_COLUMNS {
                help.push('\n');
                help.extend(repeat_n(' ', indent_below));
                help.push_str(gap.trim_start());
                column = indent_below + gap.len() - 1;
            } else if place > 0 {
                help.push_str(gap);
                column += gap.len();
            }
            help.push_str(word);
            column += word.len();
        }
        help.push('\n');
    }
    help
}

/// What to do about arguments that are not understood.
pub(super) const fn advice(_: &str) -> &'static str {
    "see waypost --help"
}

/// Waits for `work`. A signal ends it before, and says how the program ends.
fn wait_for<T>(work: impl Future<Output = T>) -> Result<T, Exit> {
    // Where signals cannot be listened for, they end the program by themselves.
    let Ok(signals) = EndSignals::listen() else { return Ok(smol::block_on(work)) };
    let interrupted = async {
        Err(match signals.next().await {
            Ending::Interrupted => Exit::Interrupted,
            Ending::Terminated => Exit::Failed,
        })
    };
    smol::block_on(or(async { Ok(work.await) }, interrupted))
}

/// A number of 1 or more, if there is one.
fn positive(flag: &str, value: Option<usize>) -> Result<Option<usize>, ConfigError> {
    match value {
        Some(0) => Err(ConfigError::of(format_args!("{flag} 0: must be 1 or more"))),
        value => Ok(value),
    }
}

/// The value of `--network`, if there is one.
fn network(name: &Option<String>) -> Result<Option<String>, ConfigError> {
    match name.as_deref().map(|name| (name, NetworkKey::of_name(name))) {
        Some((name, Err(_))) => Err(ConfigError::of(format_args!(
            "--network {}: must be 1 to 64 bytes of [A-Za-z0-9._-]",
            Quoted(name)
        ))),
        _ => Ok(name.clone()),
    }
}

/// The value of `--exclude`, if there is one.
fn own_id(id: &Option<String>) -> Result<Option<String>, ConfigError> {
    match id.as_deref().map(|id| (id, PeerId::parse(id))) {
        Some((id, Err(_))) => Err(ConfigError::of(format_args!(
            "--exclude {}: must be 1 to 64 bytes of [A-Za-z0-9._:-]",
            Quoted(id)
        ))),
        _ => Ok(id.clone()),
    }
}

/// The value of `--timeout` in milliseconds.
fn timeout_ms(seconds: &str) -> Result<u64, ConfigError> {
    let wrong = || ConfigError::of(format_args!("--timeout {}: must be 0.1 to 120 seconds", Quoted(seconds)));
    ms_of(seconds).filter(|ms| (BUDGET_RANGE_MS.0..=BUDGET_RANGE_MS.1).contains(ms)).ok_or_else(wrong)
}

/// A decimal number of seconds, with three digits behind the point at most, in milliseconds.
fn ms_of(seconds: &str) -> Option<u64> {
    let (whole, part) = seconds.split_once('.').unwrap_or((seconds, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 3 {
        return None;
    }
    let ms =
        whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(format!("{part:0<3}").parse().ok()?)?;
    Some(ms).filter(|ms| (BUDGET_RANGE_MS.0..=BUDGET_RANGE_MS.1).contains(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_have_a_fraction() {
        for (text, ms) in [
            ("5", Some(5000)),
            ("0.5", Some(500)),
            ("0.25", Some(250)),
            ("120.000", Some(120_000)),
            ("120.001", None),
            ("0.09", None),
            (".5", None),
            ("", None),
            ("-1", None),
            ("1e1", None),
            ("1.2345", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(timeout_ms(text).ok(), ms, "{text}");
        }
    }
}
