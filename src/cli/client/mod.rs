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

use super::check::Check;
use super::serve::Serve;
use super::{Exit, complain};
use crate::client::config::{BUDGET_RANGE_MS, Config, ConfigError};
use crate::client::plan::Asked;
use crate::client::{Client, Discovery};
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

/// What `discover` and `peers` may be told of what is wanted.
struct Wanted<'f> {
    network: &'f Option<String>,
    quorum: Option<usize>,
    limit: Option<usize>,
    exclude: &'f Option<String>,
    transport: &'f Option<String>,
    timeout: &'f Option<String>,
}

impl Wanted<'_> {
    /// Takes these flags into a configuration. A wrong one is named.
    fn choose(&self, config: &mut Config) -> Result<(), ConfigError> {
        let wrong = |flag: &str, value: &str, problem: &str| {
            ConfigError::of(format_args!("{flag} {}: {problem}", Quoted(value)))
        };
        if let Some(name) = self.network {
            let problem = "must be 1 to 64 bytes of [A-Za-z0-9._-]";
            NetworkKey::of_name(name).map_err(|_| wrong("--network", name, problem))?;
            config.network.clone_from(name);
        }
        for (flag, number, place) in
            [("--quorum", self.quorum, &mut config.quorum), ("--limit", self.limit, &mut config.wanted)]
        {
            match number {
                Some(0) => return Err(ConfigError::of(format_args!("{flag} 0: must be 1 or more"))),
                Some(number) => *place = number,
                None => {}
            }
        }
        if let Some(id) = self.exclude {
            let problem = "must be 1 to 64 bytes of [A-Za-z0-9._:-]";
            PeerId::parse(id).map_err(|_| wrong("--exclude", id, problem))?;
            config.own_id = Some(id.clone());
        }
        if let Some(transport) = self.transport {
            config.transport = transport.split(',').map(|scheme| scheme.trim().into()).collect();
        }
        if let Some(seconds) = self.timeout {
            config.budget_ms = timeout_ms(seconds)?;
        }
        config.check()
    }
}

/// A configuration with these servers of `--server` besides.
fn with_servers(config: Config, urls: &[String]) -> Result<Config, ConfigError> {
    let wrong = |error: ConfigError| ConfigError::of(format_args!("--server {error}"));
    urls.iter().try_fold(config, |config, url| config.with_server(url).map_err(wrong))
}

/// Finds peers by a configuration, and says how the program ends if it cannot.
fn find(config: Result<Config, ConfigError>, told: impl FnMut(&Asked)) -> Result<Discovery, Exit> {
    let usage = |error: ConfigError| complain(error, Exit::Usage);
    let client = config.and_then(Client::new).map_err(usage)?;
    wait_for(client.discover_with(told))?.map_err(usage)
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
    whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(format!("{part:0<3}").parse().ok()?)
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
