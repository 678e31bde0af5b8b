//! Turns `WAYPOST_...` environment variables into the capacities of `src/limits.rs`, and `seeds.json` into the seeds of
//! `src/client/seeds.rs`.
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

/// The seeds that are compiled in, and the variable that names another file of them.
const SEEDS_FILE: &str = "seeds.json";
const SEEDS_VARIABLE: &str = "WAYPOST_SEEDS";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for (name, _) in env::vars() {
        let Some(capacity) = name.strip_prefix("WAYPOST_") else { continue };
        println!("cargo::rerun-if-env-changed={name}");
        let other = name == SEEDS_VARIABLE || TEST_VARIABLES.contains(&name.as_str());
        let known = CAPACITIES.iter().any(|c| c.0 == capacity) || other;
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
    let write = |name: &str, source: String| {
        fs::write(Path::new(&out).join(name), source).expect("OUT_DIR is writable");
    };
    write("capacities.rs", source);
    write("seeds.rs", seeds_source());
}

/// The seeds as an expression of Rust.
fn seeds_source() -> String {
    println!("cargo::rerun-if-env-changed={SEEDS_VARIABLE}");
    let path = env::var(SEEDS_VARIABLE).unwrap_or_else(|_| SEEDS_FILE.into());
    println!("cargo::rerun-if-changed={path}");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let seeds = seeds(&text).unwrap_or_else(|problem| panic!("{path}: {problem}"));
    format!("&{seeds:?}")
}

/// Reads `{"seeds":["scheme://host:port", ...]}`, strictly.
///
/// # Errors
/// What is wrong, for whoever builds.
pub(crate) fn seeds(text: &str) -> Result<Vec<String>, String> {
    let shape = || "must be {\"seeds\":[\"scheme://host:port\", ...]}".to_owned();
    // No text that is right has white space or brackets of this kind in it, so the shape can be seen from the tokens.
    let mut tokens = tokens(text).ok_or_else(shape)?.into_iter();
    let mut expect = |wanted: &[&str]| wanted.iter().all(|wanted| tokens.next().as_deref() == Some(*wanted));
    if !expect(&["{", "\"seeds", ":", "["]) {
        return Err(shape());
    }
    let rest: Vec<String> = tokens.collect();
    let list = rest.strip_suffix(&["]".to_owned(), "}".to_owned()]).ok_or_else(shape)?;
    let mut seeds = Vec::new();
    for (at, token) in list.iter().enumerate() {
        match (at % 2, token.strip_prefix('"')) {
            (0, Some(seed)) if is_seed(seed) => seeds.push(seed.to_owned()),
            (0, Some(seed)) => return Err(format!("{seed:?}: must be scheme://host:port in lower case")),
            (1, None) if token == "," && at + 1 < list.len() => {}
            _ => return Err(shape()),
        }
    }
    Ok(seeds)
}

/// Brackets, colons and commas; strings with the quote they begin with. `None` if there is anything else.
fn tokens(text: &str) -> Option<Vec<String>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_ascii_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => 1 + rest[1..].find(['"', '\\', '\n'])?,
            '{' | '}' | '[' | ']' | ':' | ',' => 1,
            _ => return None,
        };
        let after = if first == '"' { rest[length..].strip_prefix('"')? } else { &rest[length..] };
        tokens.push(rest[..length].to_owned());
        rest = after.trim_ascii_start();
    }
    Some(tokens)
}

/// Whether `text` has the form of an endpoint: `waypost::endpoint` is stricter, and a test compares the two.
fn is_seed(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else { return false };
    let Some((host, port)) = authority.rsplit_once(':') else { return false };
    let plain = |text: &str, more: &str| {
        !text.is_empty()
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || more.contains(c))
    };
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => plain(host, ".-"),
    };
    let port = !port.starts_with(['0', '+']) && port.parse::<u16>().is_ok();
    plain(scheme, "+.-") && host && port && text.len() <= 96
}

fn names() -> String {
    CAPACITIES.map(|c| format!("WAYPOST_{}", c.0)).join(", ")
}
