//! The table of settings.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read as _;
use std::ops::RangeInclusive;

use heapless::Vec;

use super::{Config, Name, Origin};
use crate::engine::identity::Secret;
use crate::engine::pow::Pricing;
use crate::engine::settings::Cidr;
use crate::id::NetworkKey;
use crate::limits::{
    HIGHEST_MAX_TTL_S, HIGHEST_RATE_PER_MINUTE, LOWEST_CLIENT_PORT, MAX_PEERS, MAX_SERVICE_BYTES, MIN_TTL_S,
    POW_HIGHEST_FIXED,
};
use crate::wire::hex;

/// One setting: its name and its rule.
pub struct Setting {
    /// The name: of the flag behind `--`, of the key in the file, and in upper case with `_` of the variable.
    pub name: &'static str,
    kind: Kind,
}

/// How many values a setting has, and what is done with each.
enum Kind {
    /// One value.
    One(fn(&mut Config, &str) -> Result<(), Problem>),
    /// One value whose source is remembered.
    Remembered(fn(&mut Config, &str, Name) -> Result<(), Problem>),
    /// Yes or no. A flag of that name takes no value.
    Switch(fn(&mut Config, bool)),
    /// Any number of values: how to take one, and how to take none.
    List(fn(&mut Config, &str) -> Result<(), Problem>, fn(&mut Config)),
}

/// Why a text is no value of a setting; reads on after the text.
type Problem = Cow<'static, str>;

/// Every setting, in the order of the manual.
pub static SETTINGS: [Setting; 18] = [
    Setting { name: "port", kind: Kind::One(|c, text| number(text, 0..=u16::MAX, "").map(|n| c.port = n)) },
    Setting { name: "udp-port", kind: Kind::One(|c, text| udp_port(text).map(|port| c.udp_port = port)) },
    Setting { name: "bind", kind: Kind::List(bind, |c| c.bind.clear()) },
    Setting { name: "peer-ttl", kind: Kind::Remembered(peer_ttl) },
    Setting {
        name: "max-ttl",
        kind: Kind::One(|c, text| {
            number(text, MIN_TTL_S..=HIGHEST_MAX_TTL_S, " seconds").map(|n| c.engine.max_ttl_s = n)
        }),
    },
    Setting {
        name: "max-peers",
        kind: Kind::One(|c, text| {
            number(text, 1..=MAX_PEERS, ", the capacity of this build").map(|n| c.engine.max_peers = n)
        }),
    },
    Setting {
        name: "rate-limit",
        kind: Kind::One(|c, text| per_minute(text).map(|n| c.engine.queries_per_minute = n)),
    },
    Setting {
        name: "announce-limit",
        kind: Kind::One(|c, text| per_minute(text).map(|n| c.engine.announces_per_minute = n)),
    },
    Setting { name: "pow", kind: Kind::One(|c, text| pow(text).map(|p| c.engine.pow = p)) },
    Setting { name: "require-signed", kind: Kind::Switch(|c, on| c.engine.require_signed = on) },
    Setting {
        name: "allow-foreign-endpoints",
        kind: Kind::Switch(|c, on| c.engine.allow_foreign_endpoints = on),
    },
    Setting { name: "trusted-proxy", kind: Kind::List(trusted_proxy, |c| c.engine.trusted_proxies.clear()) },
    Setting { name: "dht-node", kind: Kind::List(dht_node, |c| c.dht_nodes.clear()) },
    Setting { name: "network", kind: Kind::List(network, |c| c.engine.networks.clear()) },
    Setting { name: "service", kind: Kind::One(|c, text| service(text).map(|()| c.service = text.into())) },
    Setting { name: "no-mdns", kind: Kind::Switch(|c, off| c.mdns = !off) },
    Setting { name: "stable-samples", kind: Kind::Switch(|c, on| c.engine.stable_samples = on) },
    Setting {
        name: "identity",
        kind: Kind::One(|c, path| identity(path).map(|secret| c.engine.identity = Some(secret))),
    },
];

impl Setting {
    /// The setting of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }

    /// Its environment variable.
    pub fn variable(&self) -> String {
        self.name.to_ascii_uppercase().replace('-', "_")
    }

    /// What it is called where it comes from.
    pub(super) fn called(&self, origin: Origin<'_>) -> Name {
        match origin {
            Origin::Flag => format!("--{}", self.name),
            Origin::Environment => self.variable(),
            Origin::File(path) => format!("{} in {}", self.name, path.display()),
        }
    }

    /// The values in the text of an environment variable: lists are separated by commas.
    pub(super) fn split<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> {
        let list = matches!(self.kind, Kind::List(..));
        text.split(move |c| list && c == ',').map(move |value| if list { value.trim() } else { value })
    }

    /// Whether it takes an array of values in a file.
    pub(super) const fn is_list(&self) -> bool {
        matches!(self.kind, Kind::List(..))
    }

    /// Takes back what was set before, if it is a list.
    pub(super) fn clear(&self, config: &mut Config) {
        if let Kind::List(_, clear) = self.kind {
            clear(config);
        }
    }

    /// Sets it to `text`, or adds `text` to it if it is a list.
    pub(super) fn set(&self, config: &mut Config, origin: Origin<'_>, text: &str) -> Result<(), Problem> {
        match self.kind {
            Kind::One(set) | Kind::List(set, _) => set(config, text),
            Kind::Remembered(set) => set(config, text, self.called(origin)),
            Kind::Switch(set) => switch(text).map(|on| set(config, on)),
        }
    }
}

/// A whole number in `range`: digits only.
fn number<T>(text: &str, range: RangeInclusive<T>, unit: &str) -> Result<T, Problem>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|value| digits && range.contains(value))
        .ok_or_else(|| format!("must be a number in {}..={}{unit}", range.start(), range.end()).into())
}

fn udp_port(text: &str) -> Result<Option<u16>, Problem> {
    match text {
        "0" => Ok(None),
        "auto" => Ok(Some(0)),
        _ => number(text, 1..=u16::MAX, "")
            .map(Some)
            .map_err(|_| "must be a port in 1..=65535, 0 for no UDP, or \"auto\" for any free port".into()),
    }
}

fn per_minute(text: &str) -> Result<u32, Problem> {
    number(text, 0..=HIGHEST_RATE_PER_MINUTE, " a minute; 0 is no limit")
}

fn peer_ttl(config: &mut Config, text: &str, name: Name) -> Result<(), Problem> {
    let ttl = number(text, MIN_TTL_S..=HIGHEST_MAX_TTL_S, " seconds, and not longer than max-ttl")?;
    config.peer_ttl = Some((ttl, name));
    Ok(())
}

fn pow(text: &str) -> Result<Pricing, Problem> {
    match text {
        "off" => Ok(Pricing::Off),
        "auto" => Ok(Pricing::Auto),
        _ => number(text, 1..=POW_HIGHEST_FIXED, "")
            .map(Pricing::Fixed)
            .map_err(|_| "must be \"off\", \"auto\", or a number of bits in 1..=24".into()),
    }
}

/// The secret in the file at `path`: 32 bytes, or 64 hex digits and perhaps a line end.
///
/// # Errors
/// Why there is none; reads on after the path.
pub(crate) fn identity(path: &str) -> Result<Secret, Problem> {
    let mut bytes = std::vec::Vec::new();
    // A longer file is none, and is not read to its end: it may have none.
    let read = File::open(path).and_then(|file| file.take(128).read_to_end(&mut bytes));
    read.map_err(|error| error.to_string())?;
    let raw = bytes.as_slice().try_into().ok();
    let secret = raw.or_else(|| hex::decode::<32>(bytes.trim_ascii_end()));
    match secret {
        None => Err("must be a file of 32 bytes or of 64 hex digits".into()),
        Some(secret) if secret == [0; 32] => Err("must not be all zeros: everybody knows that key".into()),
        Some(secret) => Ok(Secret(secret)),
    }
}

fn bind(config: &mut Config, text: &str) -> Result<(), Problem> {
    let ip = text.parse().map_err(|_| "must be an IPv4 or IPv6 address, without port or brackets")?;
    push(&mut config.bind, ip)
}

fn trusted_proxy(config: &mut Config, text: &str) -> Result<(), Problem> {
    let block = Cidr::parse(text).ok_or("must be address/bits, as in 10.0.0.0/8")?;
    push(&mut config.engine.trusted_proxies, block)
}

/// A host and a port. Whether there is such a host is not known before the server starts, and not even then: a router's
/// name service may come up after it.
fn dht_node(config: &mut Config, text: &str) -> Result<(), Problem> {
    let (host, port) = text.rsplit_once(':').unwrap_or_default();
    // What comes from lower ports is not read.
    if host.is_empty() || number(port, LOWEST_CLIENT_PORT..=u16::MAX, "").is_err() {
        return Err(
            "must be host:port, as in 198.51.100.7:6881 or [2001:db8::7]:6881, the port 1024 or higher"
                .into(),
        );
    }
    push(&mut config.dht_nodes, text.into())
}

fn network(config: &mut Config, text: &str) -> Result<(), Problem> {
    let key =
        NetworkKey::of_name(text).map_err(|_| "must be 1 to 64 bytes of [A-Za-z0-9._-], or 40 hex digits")?;
    push(&mut config.engine.networks, key)
}

fn push<T, const MAX: usize>(list: &mut Vec<T, MAX>, value: T) -> Result<(), Problem> {
    list.push(value).map_err(|_| format!("at most {MAX} are possible").into())
}

/// A DNS-SD service name, without underscore (RFC 6335, section 5.1).
fn service(text: &str) -> Result<(), Problem> {
    let fits = (1..=MAX_SERVICE_BYTES).contains(&text.len());
    let clean = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let hyphens =
        text.starts_with('-') || text.ends_with('-') || text.as_bytes().windows(2).any(|pair| pair == b"--");
    let letter = text.bytes().any(|b| b.is_ascii_alphabetic());
    if fits && clean && letter && !hyphens {
        Ok(())
    } else {
        Err("must be 1 to 15 letters, digits and single hyphens inside, with at least one letter".into())
    }
}

fn switch(text: &str) -> Result<bool, Problem> {
    match text {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("must be true or false".into()),
    }
}
