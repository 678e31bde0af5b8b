//! Sockets, timers and signals around the engine: the only code that waits.
pub mod clock;
pub mod listen;
pub mod process;
pub mod signal;
