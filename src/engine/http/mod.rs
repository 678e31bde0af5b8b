//! HTTP/1.1, sans-IO: one [`Connection`] a client, bytes in, bytes out, a deadline.
//!
//! A driver accepts a socket, calls [`Connection::open`] and then does what [`Connection::wants`] says, again and again:
//! it reads into [`Connection::space`] and tells [`Connection::received`], or writes [`Connection::pending`] and tells
//! [`Connection::sent`]. At [`Connection::deadline`] it calls [`Connection::expired`] instead.
//!
//! A request goes through `input` (framing), `routes` (what there is), `answers` and `output` (the response), and all that
//! asks something of a network goes through [`Engine::handle`](super::Engine::handle), as on every other transport.

mod answers;
mod bodies;
mod connection;
mod input;
mod metrics;
mod output;
mod page;
mod parameters;
mod refusal;
mod routes;
mod source;
mod tracker;

pub use connection::{Connection, Wants};

#[cfg(test)]
mod tests;
