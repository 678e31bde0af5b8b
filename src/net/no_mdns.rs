//! No advert on the LAN: the build is without the feature `mdns`.

use std::fmt;
use std::future::pending;
use std::io::{self, ErrorKind};

use super::clock::Clock;
use super::lan::Shown;
use crate::engine::mdns::Advert;
use crate::rng::HashKey;

/// Whether this build advertises.
pub const IS_THERE: bool = false;

/// Would advertise. There is none.
pub enum Advertiser {}

impl Advertiser {
    /// Fails.
    ///
    /// # Errors
    /// Always.
    pub fn open(_: Advert, _: Shown, _: HashKey, _: Clock) -> io::Result<Self> {
        Err(io::Error::new(ErrorKind::Unsupported, "not in this build"))
    }

    /// Would advertise.
    pub async fn run(&self, _: Clock) {
        pending().await
    }

    /// Would say that it is over.
    pub fn say_goodbye(&self, _: Clock) {}
}

impl fmt::Display for Advertiser {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}
