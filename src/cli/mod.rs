//! The commands of the program, one file each. A build has one of two lists of them: with the
//! client half, or the server's alone.

mod check;
#[cfg(feature = "client")]
mod client;
mod serve;
#[cfg(not(feature = "client"))]
mod server;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write as _;

use argh::{ArgsInfo, EarlyExit, FromArgs};

use crate::quoted::Quoted;
#[cfg(feature = "client")]
use client::{Command, advice, wrapped};
#[cfg(not(feature = "client"))]
use server::{Command, advice, wrapped};

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

/// Runs the program with these arguments, the first of which is its own name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments = match texts(arguments.into_iter().skip(1)) {
        Ok(arguments) => arguments,
        Err(argument) => {
            return complain(format_args!("not UTF-8: {}", Quoted(&argument.to_string_lossy())), Exit::Usage);
        }
    };
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match Waypost::from_args(&["waypost"], &arguments) {
        Err(early) => explain(&early, arguments.first().copied().unwrap_or_default()),
        Ok(Waypost { version: true, .. }) => say(env!("CARGO_PKG_VERSION")),
        Ok(Waypost { command: Some(command), .. }) => command.run(),
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
fn explain(early: &EarlyExit, first: &str) -> Exit {
    let text = early.output.trim_end();
    match early.status {
        Ok(()) => say(wrapped(text).trim_end()),
        Err(()) => {
            // One line, whatever the parser makes of it.
            let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
            complain(format_args!("{}; {}", line.trim_end_matches('.'), advice(first)), Exit::Usage)
        }
    }
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
    fn a_value_may_follow_an_equals_sign() {
        let split = texts(["--port=80", "--config", "a=b", "-x=y"].map(OsString::from).into_iter());
        assert_eq!(split.unwrap(), ["--port", "80", "--config", "a=b", "-x=y"]);
    }
}
