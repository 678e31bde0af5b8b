//! What programs that use a server need: so far the solver of its challenges.
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
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::string_slice))]

pub mod config;
pub mod failure;
pub mod http;
pub mod invite;
mod json;
pub mod lookup;
pub mod message;
pub mod plan;
pub mod pool;
pub mod pow;
pub mod reach;
pub mod seeds;
pub mod udp;
pub mod url;
