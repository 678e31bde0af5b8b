//! The signals that end a server.

use std::io;
use std::os::unix::net::UnixStream;

use async_io::Async;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use smol::future::or;

/// Why the server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was told to (SIGTERM): the ordinary end of a service.
    Terminated,
    /// Someone at the terminal interrupted it (SIGINT).
    Interrupted,
}

/// Waits for SIGTERM or SIGINT, from the moment it is made. Each has a pipe of its own, which it makes readable.
pub struct EndSignals {
    terminated: Async<UnixStream>,
    interrupted: Async<UnixStream>,
}

impl EndSignals {
    /// Takes both signals over from the system's default, which is to kill the process.
    ///
    /// # Errors
    /// Why the system refused.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { terminated: pipe_of(SIGTERM)?, interrupted: pipe_of(SIGINT)? })
    }

    /// Waits for the first signal.
    pub async fn next(&self) -> Ending {
        // Waiting does not fail; if it did, nobody could stop the server any more.
        let told = async {
            let _ = self.terminated.readable().await;
            Ending::Terminated
        };
        let interrupted = async {
            let _ = self.interrupted.readable().await;
            Ending::Interrupted
        };
        or(told, interrupted).await
    }
}

/// A pipe that `signal` makes readable.
fn pipe_of(signal: i32) -> io::Result<Async<UnixStream>> {
    let (read, write) = UnixStream::pair()?;
    pipe::register(signal, write)?;
    Async::new(read)
}
