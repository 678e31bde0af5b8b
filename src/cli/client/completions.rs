//! `waypost completions`: what a shell needs to complete the command line.

use argh::{ArgsInfo as _, FromArgs};
use argh_complete::Generator as _;
use argh_complete::bash::Bash;
use argh_complete::fish::Fish;
use argh_complete::nushell::Nushell;
use argh_complete::zsh::Zsh;

use crate::cli::{Exit, Waypost, complain, say};
use crate::quoted::Quoted;

/// print the script by which a shell completes commands
#[derive(FromArgs, argh::ArgsInfo)]
#[argh(
    subcommand,
    name = "completions",
    example = "{command_name} bash >/etc/bash_completion.d/waypost\n{command_name} zsh >~/.zfunc/_waypost\n{command_name} fish >~/.config/fish/completions/waypost.fish",
    note = "Put where the shell looks for such scripts, it works from the next shell on.",
    error_code(2, "There is no script for that shell.")
)]
pub(in crate::cli) struct Completions {
    /// bash, fish, nushell or zsh
    #[argh(positional)]
    shell: String,
}

impl Completions {
    /// Prints the script.
    pub(super) fn run(&self) -> Exit {
        let generate = match self.shell.as_str() {
            "bash" => Bash::generate,
            "fish" => Fish::generate,
            "nushell" => Nushell::generate,
            "zsh" => Zsh::generate,
            other => {
                let line = format!("{}: must be bash, fish, nushell or zsh", Quoted(other));
                return complain(line, Exit::Usage);
            }
        };
        say(generate("waypost", &Waypost::get_args_info()).trim_end())
    }
}
