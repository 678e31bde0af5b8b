//! Waypost: a portable, disposable bootstrap server for peer-to-peer networks.
//!
//! # Layers
//!
//! The crate is four layers, and each knows only the ones before it.
//!
//! 1. **Small types.** [`time`], [`rng`], [`addr`] and the capacities in [`limits`]: values that are copied about, with
//!    no state and no input or output.
//! 2. [`wire`]: bytes to values and back, one file a format. No clock, no randomness, no tables, no sockets. [`id`] and
//!    [`endpoint`], the words all formats share, are read and written with its cursors.
//! 3. [`engine`]: all state and all rules, sans-IO. Time, randomness and addresses are arguments; answers are
//!    rendered into buffers the caller owns. It allocates nothing, ever, and builds without `std` and `alloc`.
//! 4. [`net`] (feature `std`): sockets, timers and signals around the engine, and the only code that waits.
//!
//! Around them lie [`config`], what an operator can choose, and [`cli`], the commands of the program (feature `std`).
//!
//! Every transport turns its bytes into the same [`engine::Request`], and the same [`engine::Reply`] goes back out:
//! what is announced over one protocol is found over every other.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

pub mod addr;
pub mod endpoint;
pub mod engine;
#[doc(hidden)]
pub mod fuzzing;
pub mod id;
pub mod limits;
pub mod rng;
pub mod time;
pub mod wire;

#[cfg(feature = "std")]
pub mod cli;
#[cfg(feature = "std")]
pub mod config;
#[cfg(feature = "std")]
pub mod net;
