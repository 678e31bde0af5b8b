//! The commands of a build without the client half.

use argh::{ArgsInfo, FromArgs};

use super::Exit;
use super::check::Check;
use super::serve::Serve;

/// Commands that other builds have.
const CLIENT_COMMANDS: [&str; 7] =
    ["announce", "completions", "discover", "doctor", "invite", "join", "peers"];

/// All commands.
#[derive(FromArgs, ArgsInfo)]
#[argh(subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one, once")]
pub(super) enum Command {
    Serve(Serve),
    Check(Check),
}

impl Command {
    /// Does it.
    pub(super) fn run(&self) -> Exit {
        match self {
            Self::Serve(serve) => serve.run(),
            Self::Check(check) => check.run(),
        }
    }
}

/// Help as the argument parser gives it: the boards' servers have two commands, and no room to spare.
pub(super) fn wrapped(text: &str) -> &str {
    text
}

/// What to do about arguments that begin with `first` and are not understood.
pub(super) fn advice(first: &str) -> &'static str {
    if CLIENT_COMMANDS.contains(&first) {
        "this build is a server without the client half"
    } else {
        "see waypost --help"
    }
}
