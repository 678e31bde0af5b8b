//! Which of many sockets can be read.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

/// Sockets that are waited for together, by number.
pub(crate) struct Epoll {
    fd: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Epoll {
    /// Waits for nothing yet.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { fd: epoll::create(epoll::CreateFlags::CLOEXEC)?, events: Vec::with_capacity(256) })
    }

    /// Waits for `socket` as well, until it is closed.
    pub(crate) fn add(&self, socket: impl AsFd, number: usize) -> io::Result<()> {
        Ok(epoll::add(&self.fd, socket, epoll::EventData::new_u64(number as u64), epoll::EventFlags::IN)?)
    }

    /// Waits for the end of `socket` only, however much there is to read.
    pub(crate) fn add_for_end(&self, socket: impl AsFd, number: usize) -> io::Result<()> {
        Ok(epoll::add(&self.fd, socket, epoll::EventData::new_u64(number as u64), epoll::EventFlags::RDHUP)?)
    }

    /// Waits at most `time` until sockets can be read, and tells how many: ask [`Epoll::ready`] for each.
    pub(crate) fn wait(&mut self, time: Duration) -> io::Result<usize> {
        let timeout = Timespec::try_from(time).map_err(io::Error::other)?;
        self.events.clear();
        Ok(epoll::wait(&self.fd, spare_capacity(&mut self.events), Some(&timeout))?)
    }

    /// The number of the socket that came `nth` (from 0) in the last wait.
    pub(crate) fn ready(&self, nth: usize) -> usize {
        self.events[nth].data.u64() as usize
    }
}
