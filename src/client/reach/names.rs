//! Host names to addresses, by the system's resolver, which waits as long as it likes: on threads of their own.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use smol::channel;
use smol::lock::Semaphore;

use crate::client::failure::Failure;
use crate::net::names;

/// Threads that look up names at a time.
const MAX_LOOK_UPS: usize = 8;
/// Stack of such a thread, in bytes: resolvers keep whole answers there.
const STACK_BYTES: usize = 512 * 1024;

/// Looks up names, a few at a time.
pub(super) struct Resolver {
    free: Arc<Semaphore>,
}

impl Resolver {
    pub(super) fn new() -> Self {
        Self { free: Arc::new(Semaphore::new(MAX_LOOK_UPS)) }
    }

    /// The addresses of `host`: a name, or an address without brackets. Its thread is not waited for when this is dropped: it ends
    /// by itself, and has its place until then.
    pub(super) async fn look_up(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let target = format!("{host}:{port}");
        let place = self.free.acquire_arc().await;
        let (tell, hear) = channel::bounded(1);
        let work = move || {
            // Nobody may be there any more to hear it.
            let _ = tell.try_send(names::addresses(&target));
            drop(place);
        };
        let thread = std::thread::Builder::new().name("resolve".into()).stack_size(STACK_BYTES).spawn(work);
        thread.map_err(|error| Failure::NoSuchHost(error.to_string()))?;
        let found = hear.recv().await.map_err(|_| Failure::NoSuchHost("the resolver gave up".into()))?;
        let found = found.map_err(|error| Failure::NoSuchHost(plain(&error.to_string())))?;
        if found.is_empty() { Err(Failure::NoSuchHost("it has no address".into())) } else { Ok(found) }
    }
}

/// What the resolver says, without what it says each time.
fn plain(text: &str) -> String {
    let said = text.strip_prefix("failed to lookup address information: ").unwrap_or(text);
    said.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_up(host: &str) -> Result<Vec<SocketAddr>, Failure> {
        smol::block_on(Resolver::new().look_up(host, 80))
    }

    #[test]
    fn addresses_and_localhost_are_found() {
        assert_eq!(look_up("192.0.2.1").unwrap(), ["192.0.2.1:80".parse().unwrap()]);
        assert_eq!(look_up("2001:db8::1").unwrap(), ["[2001:db8::1]:80".parse().unwrap()]);
        assert_eq!(look_up("localhost").unwrap().len(), 2);
    }

    #[test]
    fn no_more_are_looked_up_than_there_are_places() {
        let resolver = Resolver::new();
        let held: Vec<_> = (0..MAX_LOOK_UPS).map(|_| resolver.free.try_acquire_arc().unwrap()).collect();
        let mut look_up = Box::pin(resolver.look_up("localhost", 80));
        let once = |look_up: &mut std::pin::Pin<Box<_>>| smol::block_on(smol::future::poll_once(look_up));
        assert!(once(&mut look_up).is_none());
        drop(held);
        assert!(smol::block_on(look_up).is_ok());
    }

    #[test]
    fn what_the_resolver_says_is_cut_short() {
        let said = "failed to lookup address information: Name or service not known";
        assert_eq!(plain(said), "name or service not known");
    }
}
