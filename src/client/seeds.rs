//! The seeds of the build.

/// Endpoints that are used when no server gives a peer, unless a configuration has its own.
pub const SEEDS: &[&str] = &[];
