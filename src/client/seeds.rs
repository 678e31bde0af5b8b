//! The seeds of the build.

/// Endpoints of peers that are nearly always there, for when no server gives a peer, unless a configuration has its own. They are compiled
/// in from `seeds.json`, or from the file that the variable `WAYPOST_SEEDS` names when the program is built.
pub const SEEDS: &[&str] = include!(concat!(env!("OUT_DIR"), "/seeds.rs"));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Endpoint;

    #[test]
    fn all_seeds_of_the_build_are_endpoints() {
        assert!(SEEDS.iter().all(|seed| Endpoint::parse_canonical(seed).is_ok()));
    }
}
