//! Interfaces where the system has no netlink: unknown, so that nothing is advertised.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;

use super::Named;

pub(super) fn watch() -> io::Result<OwnedFd> {
    Err(io::Error::new(ErrorKind::Unsupported, "not on this system"))
}

pub(super) fn drain(_: &OwnedFd) {}

pub(super) fn interfaces() -> io::Result<Vec<Named>> {
    Err(io::Error::new(ErrorKind::Unsupported, "not on this system"))
}
