//! The commands of the program, one file each.

#[cfg(feature = "client")]
mod announce;
mod check;
#[cfg(feature = "client")]
mod completions;
#[cfg(feature = "client")]
mod discover;
#[cfg(feature = "client")]
mod doctor;
#[cfg(feature = "client")]
mod invite;
#[cfg(feature = "client")]
mod join;
#[cfg(feature = "client")]
mod peers;
mod serve;
#[cfg(feature = "client")]
mod show;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write as _;

use argh::{ArgsInfo, EarlyExit, FromArgs};

#[cfg(feature = "client")]
use crate::client::config::{BUDGET_RANGE_MS, ConfigError};
use crate::quoted::Quoted;

/// Columns of help.
#[cfg(feature = "client")]
const HELP_COLUMNS: usize = 80;

/// How the program ends: the exit codes are part of its interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what it was asked.
    Done = 0,
    /// The operation failed.
    Failed = 1,
    /// It was asked for something it does not understand.
    Usage = 2,
    /// Someone interrupted it: 128 and the number of SIGINT, as shells report it.
    Interrupted = 130,
}

/// A portable, disposable bootstrap server for peer-to-peer networks.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    example = "{command_name} serve\n{command_name} check",
    note = "{command_name} COMMAND --help tells more of a command.",
    error_code(0, "It is done."),
    error_code(1, "It failed."),
    error_code(2, "A flag or a file is wrong."),
    error_code(130, "Interrupted.")
)]
struct Waypost {
    /// print the version and exit
    #[argh(switch)]
    version: bool,
    #[argh(subcommand)]
    command: Option<Command>,
}

#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
#[cfg_attr(not(feature = "client"), expect(clippy::large_enum_variant, reason = "there is one, once"))]
enum Command {
    Serve(serve::Serve),
    Check(check::Check),
    #[cfg(feature = "client")]
    Announce(announce::Announce),
    #[cfg(feature = "client")]
    Completions(completions::Completions),
    #[cfg(feature = "client")]
    Discover(discover::Discover),
    #[cfg(feature = "client")]
    Doctor(doctor::Doctor),
    #[cfg(feature = "client")]
    Invite(invite::InviteCommand),
    #[cfg(feature = "client")]
    Join(join::Join),
    #[cfg(feature = "client")]
    Peers(peers::Peers),
}

/// Commands of the client half.
#[cfg(not(feature = "client"))]
const CLIENT_COMMANDS: [&str; 7] =
    ["announce", "completions", "discover", "doctor", "invite", "join", "peers"];

/// Runs the program with these arguments, the first of which is its own name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments = match texts(arguments.into_iter().skip(1)) {
        Ok(arguments) => arguments,
        Err(argument) => {
            return complain(format_args!("not UTF-8: {}", Quoted(&argument.to_string_lossy())), Exit::Usage);
        }
    };
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    #[cfg(not(feature = "client"))]
    if let Some(command) = arguments.first().filter(|command| CLIENT_COMMANDS.contains(command)) {
        return complain(
            format_args!("{command}: this build is a server without the client half"),
            Exit::Usage,
        );
    }
    match Waypost::from_args(&["waypost"], &arguments) {
        Err(early) => explain(&early),
        Ok(Waypost { version: true, .. }) => say(env!("CARGO_PKG_VERSION")),
        Ok(Waypost { command: Some(Command::Serve(serve)), .. }) => serve.run(),
        Ok(Waypost { command: Some(Command::Check(check)), .. }) => check.run(),
        #[cfg(feature = "client")]
        Ok(Waypost { command: Some(Command::Announce(announce)), .. }) => announce.run(),
        #[cfg(feature = "client")]
        Ok(Waypost { command: Some(Command::Completions(completions)), .. }) => completions.run(),
        #[cfg(feature = "client")]
        Ok(Waypost { command: Some(Command::Discover(discover)), .. }) => discover.run(),
        #[cfg(feature = "client")]
        Ok(Waypost { command: Some(Command::Doctor(doctor)), .. }) => doctor.run(),
        #[cfg(feature = "client")]
        Ok(Waypost { command: Some(Command::Invite(invite)), .. }) => invite.run(),
        #[cfg(feature = "client")]
        Ok(Waypost { command: Some(Command::Join(join)), .. }) => join.run(),
        #[cfg(feature = "client")]
        Ok(Waypost { command: Some(Command::Peers(peers)), .. }) => peers.run(),
        Ok(Waypost { command: None, .. }) => complain("no command; see waypost --help", Exit::Usage),
    }
}

/// The arguments as text, `--name=value` as two of them.
fn texts(arguments: impl Iterator<Item = OsString>) -> Result<Vec<String>, OsString> {
    let mut texts = Vec::new();
    for argument in arguments {
        let text = argument.into_string()?;
        match text.split_once('=') {
            Some((name, value)) if name.starts_with("--") => texts.extend([name.into(), value.into()]),
            _ => texts.push(text),
        }
    }
    Ok(texts)
}

/// Prints what the argument parser has to say: help, or what it does not understand.
fn explain(early: &EarlyExit) -> Exit {
    let text = early.output.trim_end();
    match early.status {
        Ok(()) => say(wrapped(text).trim_end()),
        Err(()) => {
            // One line, whatever the parser makes of it.
            let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
            complain(format_args!("{}; see waypost --help", line.trim_end_matches('.')), Exit::Usage)
        }
    }
}

/// Help in lines of 80 columns, but for the examples, which are there to be copied. What is too long goes on below its
/// beginning, and in the usage line with a whole option.
#[cfg(feature = "client")]
fn wrapped(text: &str) -> String {
    let mut help = String::with_capacity(text.len());
    let mut is_example = false;
    for line in text.lines() {
        let body = line.trim_start();
        let indent = if body.is_empty() { 0 } else { line.len() - body.len() };
        if indent == 0 && !body.is_empty() {
            is_example = body == "Examples:";
        }
        let (gap, indent_below) = if body.starts_with("Usage: ") { (" [", 4) } else { (" ", indent) };
        help.extend(std::iter::repeat_n(' ', indent));
        let mut column = indent;
        for (place, word) in body.split(gap).enumerate() {
            if place > 0 && !is_example && column + gap.len() + word.len() > HELP_COLUMNS {
                help.push('\n');
                help.extend(std::iter::repeat_n(' ', indent_below));
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

/// Help as the argument parser gives it: the boards' servers have two commands, and no room to spare.
#[cfg(not(feature = "client"))]
fn wrapped(text: &str) -> &str {
    text
}

/// The value of `--timeout` in milliseconds.
#[cfg(feature = "client")]
fn timeout_ms(seconds: &str) -> Result<u64, ConfigError> {
    let wrong = || ConfigError::of(format_args!("--timeout {}: must be 0.1 to 120 seconds", Quoted(seconds)));
    ms_of(seconds).filter(|ms| (BUDGET_RANGE_MS.0..=BUDGET_RANGE_MS.1).contains(ms)).ok_or_else(wrong)
}

/// A decimal number of seconds, with three digits behind the point at most, in milliseconds.
#[cfg(feature = "client")]
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

/// Prints `text` on standard output. A reader that went away is no failure.
fn say(text: impl Display) -> Exit {
    let mut out = std::io::stdout();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    Exit::Done
}

/// Prints one line on standard error, and returns how the program ends.
fn complain(line: impl Display, exit: Exit) -> Exit {
    let _ = writeln!(std::io::stderr(), "waypost: {line}");
    exit
}

/// Prints one line on standard error: something the operator should act on.
fn warn(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "warn: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "client")]
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

    #[test]
    fn a_value_may_follow_an_equals_sign() {
        let split = texts(["--port=80", "--config", "a=b", "-x=y"].map(OsString::from).into_iter());
        assert_eq!(split.unwrap(), ["--port", "80", "--config", "a=b", "-x=y"]);
    }
}
