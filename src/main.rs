//! The `waypost` program.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(waypost::cli::run(std::env::args_os()) as u8)
}
