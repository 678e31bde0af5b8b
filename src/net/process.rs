//! What the server asks of its process: random bytes, descriptors, no privileges, small pages, and how much memory it has.

use crate::rng::Seed;

/// A seed from the operating system's generator. Waits until that one is seeded itself, which on a first boot can take
/// a moment; there is no weaker source to fall back on.
///
/// # Errors
/// Why the system has no randomness. The server must not start then.
pub fn seed() -> Result<Seed, getrandom::Error> {
    seed_from(getrandom::fill)
}

fn seed_from(fill: impl FnOnce(&mut [u8]) -> Result<(), getrandom::Error>) -> Result<Seed, getrandom::Error> {
    let mut bytes = [0; 32];
    fill(&mut bytes)?;
    Ok(Seed(bytes))
}

/// Raises the limit on open descriptors to `wanted`, or as far as the process may, and returns what it is now.
pub fn raise_descriptor_limit(wanted: u64) -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let now = limit.current.unwrap_or(u64::MAX);
    if now >= wanted {
        return now;
    }
    let raised = limit.maximum.map_or(wanted, |highest| highest.min(wanted));
    match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum }) {
        Ok(()) => raised,
        Err(_) => now,
    }
}

/// Gives up for good the way to more privileges: no program that this process or a child of it starts can have more, not
/// even one that is setuid. A supervisor may have done it already; some can only do it in a jail (procd).
pub fn renounce_new_privileges() {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // Kernels before 3.5 do not know it, and have nothing to be told.
    let _ = rustix::thread::set_no_new_privs(true);
}

/// Keeps the system from backing the server's memory with huge pages: a single byte used would make 2 MiB resident.
pub fn keep_pages_small() {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // A kernel without huge pages refuses, and has nothing to be told.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Tells how much memory the process has resident.
pub struct ResidentMemory {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    statm: Option<std::fs::File>,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl ResidentMemory {
    /// Opens the system's account of the process, once, so that neither a lack of descriptors nor a sandbox stops it.
    pub fn open() -> Self {
        Self { statm: std::fs::File::open("/proc/self/statm").ok() }
    }

    /// The resident memory in bytes; `None` if the system does not tell. Allocates nothing.
    pub fn bytes(&self) -> Option<u64> {
        use std::os::unix::fs::FileExt as _;
        let mut text = [0; 128];
        let read = self.statm.as_ref()?.read_at(&mut text, 0).ok()?;
        let pages = resident_pages(text.get(..read)?)?;
        pages.checked_mul(u64::try_from(rustix::param::page_size()).ok()?)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl ResidentMemory {
    /// Opens nothing: this system is not asked.
    pub fn open() -> Self {
        Self {}
    }

    /// Not known here.
    pub fn bytes(&self) -> Option<u64> {
        None
    }
}

/// The second number of `/proc/self/statm` (proc(5)).
#[cfg(any(target_os = "linux", target_os = "android"))]
fn resident_pages(statm: &[u8]) -> Option<u64> {
    str::from_utf8(statm).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_the_second_number() {
        assert_eq!(resident_pages(b"1234 567 89 1 0 2 0\n"), Some(567));
        assert_eq!(resident_pages(b"1234"), None);
        assert_eq!(resident_pages(b""), None);
        let resident = ResidentMemory::open();
        let bytes = resident.bytes().unwrap();
        assert!(resident.bytes().is_some(), "it can be asked again");
        assert!((100_000..10_000_000_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn new_privileges_are_renounced() {
        renounce_new_privileges();
        // Of the thread that asked, which in a server is the first one.
        assert!(rustix::thread::no_new_privs().unwrap());
    }

    #[test]
    fn seeds_differ() {
        assert_ne!(seed().unwrap().0, seed().unwrap().0);
    }

    #[test]
    fn there_is_no_seed_without_randomness() {
        let error = seed_from(|_| Err(getrandom::Error::UNSUPPORTED)).err();
        assert_eq!(error, Some(getrandom::Error::UNSUPPORTED));
    }

    #[test]
    fn a_limit_that_is_high_enough_is_left_alone() {
        let now = raise_descriptor_limit(1);
        assert_eq!(raise_descriptor_limit(1), now);
        assert!(raise_descriptor_limit(now) >= now);
    }
}
