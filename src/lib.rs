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
//! Beside the server stands the [`client`] (feature `client`): what programs that use it need.
//!
//! Around them lie [`config`], what an operator can choose, and [`cli`], the commands of the program (feature `std`).
//!
//! Every transport turns its bytes into the same [`engine::Request`], and the same [`engine::Reply`] goes back out:
//! what is announced over one protocol is found over every other.
//!
//! # A server without sockets
//!
//! ```
//! use waypost::engine::{Settings, Storage};
//! use waypost::rng::Seed;
//! use waypost::time::Instant;
//!
//! let mut storage = Storage::<64, 256>::new();
//! let mut engine = storage.engine(Settings::default(), &Seed([7; 32])); // a real seed comes from the system
//! let mut answer = [0; 1200];
//! let mut ask = |from: &str, question: String| {
//!     let bytes = engine.datagram(Instant::START, from.parse().unwrap(), question.as_bytes(), &mut answer);
//!     String::from_utf8(answer[..bytes].to_vec()).unwrap()
//! };
//!
//! // Alice has to show that she is where she says she is, and gets a token sent there.
//! let token = ask("192.0.2.1:4000", format!(r#"{{"type":"announce","id":"1","pad":"{:40}"}}"#, ""));
//! assert!(token.starts_with(r#"{"type":"token","id":"1","token":""#));
//! let announce = token.replace("token\",\"id", "announce\",\"id").replace('}', r#","peer_id":"alice"}"#);
//! assert!(ask("192.0.2.1:4000", announce).contains(r#""registered":true"#));
//!
//! // Bob asks with as many bytes as he wants to have answered.
//! let peers = ask("203.0.113.9:5000", format!(r#"{{"type":"find_peers","id":"2","pad":"{:80}"}}"#, ""));
//! assert!(peers.starts_with(r#"{"type":"peers","id":"2","peers":["192.0.2.1:4000"],"#));
//! ```
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

pub mod addr;
pub mod endpoint;
pub mod engine;
#[doc(hidden)]
pub mod fuzzing;
pub mod id;
pub mod limits;
pub mod record;
pub mod rng;
pub mod time;
pub mod wire;

#[cfg(feature = "std")]
pub mod cli;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "std")]
pub mod config;
#[cfg(feature = "std")]
pub mod net;
#[cfg(feature = "std")]
mod quoted;
