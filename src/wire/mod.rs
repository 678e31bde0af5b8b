//! Bytes to values and back: one file a format, no state, no clock, no tables, no sockets.
//!
//! Nothing here trusts a byte: cursors return results, nothing indexes, nothing allocates, nothing recurses without
//! a bound.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, clippy::string_slice)
)]

pub mod base64url;
pub mod bencode;
pub mod dns;
pub mod hex;
pub mod http;
pub mod json;
pub mod krpc;
pub mod pow;
pub mod sha256;
pub mod stun;
pub mod tracker;

mod writer;

pub use writer::{Full, Writer};
