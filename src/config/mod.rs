//! What the operator chooses, and the three places to choose it: flags, environment variables, and a file.
//!
//! Every setting has one name, one rule and one place in [`SETTINGS`]. A source only finds the text of a value; what the
//! text may be is decided in the table, so that no source is more lenient than another. A flag beats the environment,
//! the environment beats the file, the file beats the default. A list is replaced as a whole, never extended.

mod file;
mod settings;

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use heapless::Vec;

use crate::engine::Settings;
use crate::limits::{DEFAULT_TTL_S, MAX_BIND_ADDRESSES, MAX_DHT_NODES};
use crate::quoted::Quoted;

#[cfg(feature = "client")]
pub(crate) use settings::identity;
pub use settings::{SETTINGS, Setting};

/// Default of `--port`.
pub const DEFAULT_HTTP_PORT: u16 = 8080;
/// Default of `--udp-port`: where BitTorrent clients look first.
pub const DEFAULT_UDP_PORT: u16 = 6881;

/// Default of `--service`.
pub const DEFAULT_SERVICE: &str = "pscryptochat";

/// A complete, valid configuration of `waypost serve`.
#[derive(Clone, Debug)]
pub struct Config {
    /// HTTP port; 0 = any free one.
    pub port: u16,
    /// UDP port, 0 = any free one; `None` = no UDP.
    pub udp_port: Option<u16>,
    /// Addresses to listen on; all if empty.
    pub bind: Vec<IpAddr, MAX_BIND_ADDRESSES>,
    /// Nodes of a wider DHT to join, as `host:port`.
    pub dht_nodes: Vec<String, MAX_DHT_NODES>,
    /// DNS-SD service name, without underscore, for the advert on the LAN.
    pub service: String,
    /// Whether there is one.
    pub mdns: bool,
    /// What the engine has to know.
    pub engine: Settings,
    /// The life of a peer that asks for none, and who chose it. Whether it is below the longest life is only known in
    /// the end.
    peer_ttl: Option<(u32, Name)>,
}

/// Where a value comes from.
#[derive(Clone, Copy)]
pub enum Origin<'a> {
    /// The command line.
    Flag,
    /// The environment.
    Environment,
    /// The file at this path.
    File(&'a Path),
}

/// What the operator called a setting, for messages: `--port`, `PORT`, or the key and the file.
type Name = String;

/// Why there is no configuration: one line that names the flag, variable, or key and file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl Default for Config {
    fn default() -> Self {
        Self {
            port: DEFAULT_HTTP_PORT,
            udp_port: Some(DEFAULT_UDP_PORT),
            bind: Vec::new(),
            dht_nodes: Vec::new(),
            service: DEFAULT_SERVICE.into(),
            mdns: true,
            engine: Settings::default(),
            peer_ttl: None,
        }
    }
}

impl Config {
    /// Puts the sources together. `flags` are names and texts from the command line, `environment` looks a variable up.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn load<'f>(
        file: Option<&Path>,
        flags: impl IntoIterator<Item = (&'f str, &'f [String])>,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let variable = environment("CONFIG").filter(|path| !path.is_empty());
        if let Some(path) = file.or(variable.as_deref().map(Path::new)) {
            file::read(path, &mut config)?;
        }
        for setting in &SETTINGS {
            let variable = setting.variable();
            // `PORT=` in a compose file means that nobody chose a port.
            let Some(value) = environment(&variable).filter(|value| !value.is_empty()) else { continue };
            let Some(text) = value.to_str() else {
                return Err(ConfigError(format!("{variable}: not UTF-8")));
            };
            config.assign(setting, Origin::Environment, setting.split(text))?;
        }
        for (name, texts) in flags {
            let setting = Setting::named(name)
                .ok_or_else(|| ConfigError(format!("--{name}: there is no such setting")))?;
            if !texts.is_empty() {
                config.assign(setting, Origin::Flag, texts.iter().map(String::as_str))?;
            }
        }
        config.settle()
    }

    /// Gives a setting its value, or all its values if it is a list.
    fn assign<'t>(
        &mut self,
        setting: &Setting,
        origin: Origin<'_>,
        texts: impl IntoIterator<Item = &'t str>,
    ) -> Result<(), ConfigError> {
        setting.clear(self);
        texts.into_iter().try_for_each(|text| {
            setting
                .set(self, origin, text)
                .map_err(|problem| format!("{} {}: {problem}", setting.called(origin), Quoted(text)))
                .map_err(ConfigError)
        })
    }

    /// Checks what depends on more than one setting.
    fn settle(mut self) -> Result<Self, ConfigError> {
        let longest = self.engine.max_ttl_s;
        match &self.peer_ttl {
            Some((ttl, name)) if *ttl > longest => {
                return Err(ConfigError(format!(
                    "{name} \"{ttl}\": must not be longer than max-ttl, {longest} s"
                )));
            }
            Some((ttl, _)) => self.engine.peer_ttl_s = *ttl,
            None => self.engine.peer_ttl_s = DEFAULT_TTL_S.min(longest),
        }
        Ok(self)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_PEERS;

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    fn load(flags: Pairs<'_>, environment: Pairs<'_>) -> Result<Config, String> {
        let mut texts: std::collections::BTreeMap<&str, std::vec::Vec<String>> = Default::default();
        for (name, text) in flags {
            texts.entry(name).or_default().push((*text).into());
        }
        let variable = |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).into());
        let flags = texts.iter().map(|(name, texts)| (*name, texts.as_slice()));
        Config::load(None, flags, variable).map_err(|e| e.to_string())
    }

    #[test]
    fn nothing_chosen_is_the_default() {
        let config = load(&[], &[("PORT", "")]).unwrap();
        assert_eq!((config.port, config.udp_port), (8080, Some(6881)));
        assert_eq!((config.engine.peer_ttl_s, config.engine.max_ttl_s), (300, 3600));
        assert_eq!((config.engine.queries_per_minute, config.engine.announces_per_minute), (60, 30));
        assert_eq!(config.engine.max_peers, MAX_PEERS);
    }

    #[test]
    fn a_flag_beats_the_environment() {
        assert_eq!(load(&[], &[("PORT", "81")]).unwrap().port, 81);
        assert_eq!(load(&[("port", "82")], &[("PORT", "81")]).unwrap().port, 82);
        let config = load(&[("network", "a")], &[("NETWORK", "b,c")]).unwrap();
        assert_eq!(config.engine.networks.len(), 1, "a list is replaced");
    }

    #[test]
    fn every_setting_takes_what_it_should() {
        let config = load(
            &[
                ("udp-port", "0"),
                ("bind", "127.0.0.1"),
                ("bind", "::1"),
                ("peer-ttl", "30"),
                ("max-ttl", "86400"),
                ("max-peers", "1"),
                ("rate-limit", "0"),
                ("announce-limit", "60000"),
                ("pow", "off"),
                ("trusted-proxy", "10.0.0.0/8"),
                ("dht-node", "[2001:db8::7]:6881"),
                ("dht-node", "dht.example:1024"),
                ("network", "chess.club"),
                ("service", "my-chat2"),
                ("require-signed", "true"),
                ("stable-samples", "yes"),
            ],
            &[("ALLOW_FOREIGN_ENDPOINTS", "on"), ("NO_MDNS", "1")],
        )
        .unwrap();
        assert_eq!(config.udp_port, None);
        assert_eq!(config.bind.len(), 2);
        let engine = &config.engine;
        assert_eq!((engine.peer_ttl_s, engine.max_ttl_s, engine.max_peers), (30, 86_400, 1));
        assert_eq!((engine.queries_per_minute, engine.announces_per_minute), (0, 60_000));
        assert!(engine.require_signed && engine.stable_samples && engine.allow_foreign_endpoints);
        assert_eq!((engine.networks.len(), engine.trusted_proxies.len()), (1, 1));
        assert_eq!(config.dht_nodes, ["[2001:db8::7]:6881", "dht.example:1024"]);
        assert_eq!(load(&[("udp-port", "auto")], &[]).unwrap().udp_port, Some(0));
        let commas = load(&[], &[("BIND", "127.0.0.1, ::1")]).unwrap();
        assert_eq!(commas.bind.len(), 2);
    }

    #[test]
    fn a_shorter_longest_life_shortens_the_default_one() {
        assert_eq!(load(&[("max-ttl", "60")], &[]).unwrap().engine.peer_ttl_s, 60);
        let error = load(&[("max-ttl", "60")], &[("PEER_TTL", "61")]).unwrap_err();
        assert!(error.starts_with("PEER_TTL \"61\": "), "{error}");
    }

    #[test]
    fn what_is_out_of_range_is_named_and_refused() {
        let capacity = (MAX_PEERS + 1).to_string();
        for (name, text) in [
            ("port", "65536"),
            ("port", "-1"),
            ("port", "+1"),
            ("port", ""),
            ("port", " 1"),
            ("port", "http"),
            ("udp-port", "65536"),
            ("bind", "localhost"),
            ("bind", "127.0.0.1:80"),
            ("peer-ttl", "29"),
            ("peer-ttl", "3601"),
            ("max-ttl", "29"),
            ("max-ttl", "86401"),
            ("max-peers", "0"),
            ("max-peers", &capacity),
            ("rate-limit", "60001"),
            ("announce-limit", "60001"),
            ("pow", "0"),
            ("pow", "25"),
            ("pow", "on"),
            ("pow", "017x"),
            ("trusted-proxy", "10.0.0.0/33"),
            ("trusted-proxy", "proxy"),
            ("dht-node", "dht.example"),
            ("dht-node", ":6881"),
            ("dht-node", "dht.example:"),
            ("dht-node", "dht.example:65536"),
            ("dht-node", "dht.example:1023"),
            ("network", "a b"),
            ("network", ""),
            ("service", "_chat"),
            ("service", "sixteen-letters-"),
            ("service", "-chat"),
            ("service", "chat-"),
            ("service", "a--b"),
            ("service", "123"),
            ("require-signed", "maybe"),
            ("identity", "seed.bin"),
        ] {
            let error = load(&[(name, text)], &[]).unwrap_err();
            assert!(error.starts_with(&format!("--{name} \"{text}\": ")), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn lists_have_an_end() {
        let one_more = ["a"; crate::limits::MAX_SERVED_NETWORKS + 1].join(",");
        let error = load(&[], &[("NETWORK", &one_more)]).unwrap_err();
        assert!(error.starts_with("NETWORK \"a\": at most 8"), "{error}");
    }
}
