//! The signals that end a server.

use std::io;

use async_signal::{Signal, Signals};
use smol::stream::StreamExt as _;

/// Why the server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was told to (SIGTERM): the ordinary end of a service.
    Terminated,
    /// Someone at the terminal interrupted it (SIGINT).
    Interrupted,
}

/// Waits for SIGTERM or SIGINT, from the moment it is made.
pub struct EndSignals(Signals);

impl EndSignals {
    /// Takes both signals over from the system's default, which is to kill the process.
    ///
    /// # Errors
    /// Why the system refused.
    pub fn listen() -> io::Result<Self> {
        Ok(Self(Signals::new([Signal::Term, Signal::Int])?))
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Ending {
        match self.0.next().await {
            Some(Ok(Signal::Int)) => Ending::Interrupted,
            // The stream neither ends nor fails; if it did, nobody could stop the server any more.
            _ => Ending::Terminated,
        }
    }
}
