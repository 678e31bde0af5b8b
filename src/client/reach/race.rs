//! Waiting for one of several things: a result or the end of its time, and the first of several ways.

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use async_io::Timer;
use smol::future::{or, poll_fn};

use crate::client::failure::Failure;
use crate::net::clock::Clock;
use crate::time::Instant;

/// Time until the next address is tried beside one that has not answered yet, in milliseconds (RFC 8305 section 5).
const STAGGER_MS: u64 = 250;
/// Most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;

/// What `work` comes to by `deadline`.
pub(super) async fn within<T>(
    clock: Clock,
    deadline: Instant,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    until(clock, deadline, work).await.unwrap_or(Err(Failure::TimedOut))
}

/// What `work` comes to by `deadline`; `None` if it does not.
pub(in crate::client) async fn until<T>(
    clock: Clock,
    deadline: Instant,
    work: impl Future<Output = T>,
) -> Option<T> {
    let left_ms = deadline.ms_since(clock.now());
    if left_ms == 0 {
        return None;
    }
    or(async { Some(work.await) }, async {
        Timer::after(Duration::from_millis(left_ms)).await;
        None
    })
    .await
}

/// The first attempt that succeeds, of one for each address, in turn: the next one begins when one has failed, or has not come
/// to anything for [`STAGGER_MS`].
///
/// # Errors
/// What the first attempt failed with, if all do.
pub(super) async fn first_of<T, A: Future<Output = Result<T, Failure>>>(
    addresses: &[SocketAddr],
    attempt: impl Fn(SocketAddr) -> A,
) -> Result<T, Failure> {
    let mut waiting: VecDeque<SocketAddr> = interleaved(addresses).into();
    let mut running: Vec<Pin<Box<A>>> = Vec::new();
    let mut failure = None;
    loop {
        match waiting.pop_front() {
            Some(address) => running.push(Box::pin(attempt(address))),
            None if running.is_empty() => {
                return Err(failure.unwrap_or(Failure::NoSuchHost("it has no address".into())));
            }
            None => {}
        }
        let mut pause = pin!(async {
            if waiting.is_empty() {
                smol::future::pending::<()>().await;
            }
            Timer::after(Duration::from_millis(STAGGER_MS)).await;
        });
        // Ready with a success, or when it is time for the next address.
        let progress = poll_fn(|context| {
            let mut failed = false;
            let mut success = None;
            running.retain_mut(|attempt| match attempt.as_mut().poll(context) {
                Poll::Pending => true,
                Poll::Ready(Ok(result)) => {
                    success = Some(result);
                    false
                }
                Poll::Ready(Err(error)) => {
                    failed = true;
                    failure.get_or_insert(error);
                    false
                }
            });
            if success.is_some() || failed || pause.as_mut().poll(context).is_ready() {
                return Poll::Ready(success);
            }
            Poll::Pending
        });
        if let Some(result) = progress.await {
            return Ok(result);
        }
    }
}

/// The addresses in turns of both families, beginning with that of the first one (RFC 8305 section 4), without repeats.
fn interleaved(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let mut one = addresses.iter().filter(|address| address.is_ipv4() == first_is_v4);
    let mut other = addresses.iter().filter(|address| address.is_ipv4() != first_is_v4);
    let mut turns = Vec::new();
    for _ in addresses {
        for address in [one.next(), other.next()].into_iter().flatten() {
            if !turns.contains(address) && turns.len() < MAX_ADDRESSES {
                turns.push(*address);
            }
        }
    }
    turns
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns() {
        let mixed = addresses(&["[::1]:1", "[::2]:1", "[::1]:1", "1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1"]);
        let turns = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "3.3.3.3:1"]);
        assert_eq!(interleaved(&mixed), turns);
        assert!(interleaved(&[]).is_empty());
        let many: Vec<SocketAddr> = (1..=20).map(|port| ([127, 0, 0, 1], port).into()).collect();
        assert_eq!(interleaved(&many).len(), MAX_ADDRESSES);
    }

    #[test]
    fn a_failure_brings_the_next_and_silence_does_too() {
        let tried = RefCell::new(Vec::new());
        let attempt = async |address: SocketAddr| {
            tried.borrow_mut().push(address.port());
            match address.port() {
                1 => Err(Failure::TooLong),
                2 => smol::future::pending().await,
                port => Ok(port),
            }
        };
        let three: Vec<SocketAddr> = (1..=4).map(|port| ([127, 0, 0, 1], port).into()).collect();
        assert_eq!(smol::block_on(first_of(&three, attempt)), Ok(3));
        assert_eq!(*tried.borrow(), [1, 2, 3]);
        let one: Vec<SocketAddr> = vec![([127, 0, 0, 1], 1).into()];
        assert_eq!(smol::block_on(first_of(&one, attempt)), Err(Failure::TooLong));
        assert!(smol::block_on(first_of(&[], attempt)).is_err());
    }

    #[test]
    fn time_is_up_when_it_is_up() {
        let clock = Clock::start();
        let never = || smol::future::pending::<Result<(), Failure>>();
        let soon = clock.now().plus_ms(30);
        assert_eq!(smol::block_on(within(clock, soon, never())), Err(Failure::TimedOut));
        assert!(clock.now() >= soon);
        assert_eq!(smol::block_on(within(clock, soon, async { Ok(1) })), Err(Failure::TimedOut), "too late");
    }
}
