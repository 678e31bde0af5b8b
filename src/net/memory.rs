//! All memory of a server, fixed when the program is built.

use std::sync::Mutex;

use crate::engine::Storage;
use crate::engine::http::Connection;
use crate::limits::{LIMITER_CELLS, MAX_CONNECTIONS, MAX_PEERS};

/// What a server works in. All zero when new: a `static` of it takes no place in the program's file, and no page of it
/// is resident before it is used.
pub struct Memory {
    /// The engine's part.
    pub storage: Storage<MAX_PEERS, LIMITER_CELLS>,
    /// One for each HTTP connection at a time, with its buffers.
    pub connections: [Connection; MAX_CONNECTIONS],
}

/// The memory of the one server of this process.
pub static MEMORY: Mutex<Memory> = Mutex::new(Memory {
    storage: Storage::new(),
    connections: [const { Connection::new() }; MAX_CONNECTIONS],
});

/// Bytes that are fixed.
pub const FIXED_BYTES: usize = size_of::<Memory>();

/// MiB of the program itself with its libraries and three stacks. The client half with its TLS makes a larger program; so does a
/// build without optimisation, which nobody runs but its developers.
const PROGRAM_MIB: usize = match (cfg!(feature = "client"), cfg!(debug_assertions)) {
    (false, _) => 4,
    (true, false) => 7,
    (true, true) => 16,
};

/// Most bytes that are resident besides: the program, and for each connection its task and what the reactor keeps of its
/// socket.
const RUNTIME_BYTES: usize = PROGRAM_MIB * 1024 * 1024 + MAX_CONNECTIONS * 1024;

/// Most bytes of the process that are resident, under any traffic.
pub const CEILING_BYTES: usize = FIXED_BYTES + RUNTIME_BYTES;
