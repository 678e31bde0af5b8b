//! Turns `WAYPOST_...` environment variables into the capacities of `src/limits.rs`.
//!
//! A capacity fixes memory, so it is chosen when the program is built: `WAYPOST_MAX_PEERS=1024 cargo build`.
//! A name that is not in [`CAPACITIES`] stops the build: a misspelt capacity must not go unnoticed.

use std::{env, fs, path::Path};

/// Name, default, lowest and highest value, whether it must be a power of two, and what it counts.
const CAPACITIES: [(&str, u32, u32, u32, bool, &str); 3] = [
    ("MAX_PEERS", 4096, 16, 65_536, false, "Peers the table has room for."),
    ("MAX_CONNECTIONS", 256, 4, 4096, false, "HTTP connections served at the same time."),
    ("LIMITER_CELLS", 16_384, 256, 65_536, true, "Cells in one row of a rate limiter's sketch."),
];

/// Variables that start with `WAYPOST_` and are read by the tests when they run, not by the build.
const TEST_VARIABLES: [&str; 3] = ["WAYPOST_CORPORA", "WAYPOST_TEST_RUNNER", "WAYPOST_SEED"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for (name, _) in env::vars() {
        let Some(capacity) = name.strip_prefix("WAYPOST_") else { continue };
        println!("cargo::rerun-if-env-changed={name}");
        let known = CAPACITIES.iter().any(|c| c.0 == capacity) || TEST_VARIABLES.contains(&name.as_str());
        assert!(known, "{name}: no capacity of that name; there are {}", names());
    }

    let mut source = String::new();
    for (name, default, min, max, power_of_two, what) in CAPACITIES {
        let variable = format!("WAYPOST_{name}");
        println!("cargo::rerun-if-env-changed={variable}");
        let value = match env::var(&variable) {
            Err(_) => default,
            Ok(text) => text
                .parse()
                .ok()
                .filter(|v| (min..=max).contains(v) && (!power_of_two || v.is_power_of_two()))
                .unwrap_or_else(|| {
                    let kind = if power_of_two { "a power of two" } else { "a number" };
                    panic!("{variable}={text}: must be {kind} in {min}..={max}")
                }),
        };
        source += &format!("/// {what} Build time: `{variable}`, {min}..={max}, default {default}.\n");
        source += &format!("pub const {name}: usize = {value};\n");
    }
    let out = env::var("OUT_DIR").expect("cargo sets OUT_DIR for build scripts");
    fs::write(Path::new(&out).join("capacities.rs"), source).expect("OUT_DIR is writable");
}

fn names() -> String {
    CAPACITIES.map(|c| format!("WAYPOST_{}", c.0)).join(", ")
}
