//! Tokens: short MACs that cost the server no memory.

use super::peers::*;
use crate::addr::CanonicalAddr;
use crate::id::{NetworkKey, PeerId};
use crate::rng::HashKey;
use crate::time::Instant;

/// Eight bytes nobody else can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(pub [u8; 8]);

/// Makes and checks tokens.
pub struct Minter {
    key: HashKey,
}

impl Minter {
    /// A minter with this key.
    pub const fn new(key: HashKey) -> Self {
        Self { key }
    }
    /// The token that proves `addr` over UDP.
    pub fn address_token(&self, now: Instant, addr: CanonicalAddr) -> Token {
        todo!()
    }
    /// Whether `token` was made for `addr` in this epoch or the one before.
    pub fn proves_address(&self, now: Instant, addr: CanonicalAddr, token: Token) -> bool {
        todo!()
    }
    /// The token that proves ownership of one registration.
    pub fn owner_token(&self, network: NetworkKey, id: PeerId<'_>, born: Instant) -> Token {
        todo!()
    }
}
