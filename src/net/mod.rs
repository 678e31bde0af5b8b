//! Sockets, timers and signals around the engine: the only code that waits.
