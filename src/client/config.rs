//! What a program chooses: servers, seeds, the LAN, and limits. Built by hand, or read from the JSON file of `waypost discover`.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::json::{Document, Odd, plain_text};
use super::seeds::SEEDS;
use super::url::ServerUrl;
use crate::endpoint::Endpoint;
use crate::id::{NetworkKey, PeerId};
use crate::limits::MAX_CONFIG_BYTES;
use crate::quoted::Quoted;

/// The network of those who name none.
pub const DEFAULT_NETWORK: &str = "pscryptochat";
/// The DNS-SD service of those who name none.
pub const DEFAULT_SERVICE: &str = "_pscryptochat._tcp.local";
/// Most servers of a configuration.
pub const MAX_SERVERS: usize = 32;
/// Most seeds of a configuration.
pub const MAX_SEEDS: usize = 64;
/// Time for a whole discovery, in milliseconds, unless chosen.
pub const DEFAULT_BUDGET_MS: u64 = 5_000;
/// Time for a whole discovery, in milliseconds: shortest and longest.
pub const BUDGET_RANGE_MS: (u64, u64) = (100, 120_000);
/// Most peers of a discovery, unless chosen.
pub const DEFAULT_WANTED: usize = 50;
/// Seconds between two announces, unless chosen.
pub const DEFAULT_INTERVAL_S: u32 = 300;
/// Seconds between two announces: shortest and longest.
pub const INTERVAL_RANGE_S: (u32, u32) = (10, 86_400);

/// What a program chooses. Every field has a default that is of use.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bootstrap servers, at most 32.
    pub servers: Vec<Server>,
    /// Endpoints of peers that are nearly always there, `tcp://seed1.example.com:9000`, for when no server gave a peer. A
    /// seed with `http://`, `https://` or `udp://` is asked as well. At most 64; by default those of the build.
    pub seeds: Vec<String>,
    /// Whether seeds are used at all.
    pub use_seeds: bool,
    /// The DNS-SD service that is browsed on the LAN, `_NAME._tcp.local`; `None` = none.
    pub lan_service: Option<String>,
    /// Whether peers that are found are asked for more.
    pub exchange: bool,
    /// Peers known from before, as `udp://ADDRESS:PORT`: asked as well.
    pub known: Vec<String>,
    /// The network's name, or 40 hex digits.
    pub network: String,
    /// The program's own id: not to be found.
    pub own_id: Option<String>,
    /// Schemes of endpoints that are of use; all if empty.
    pub transport: Vec<String>,
    /// How many servers must tell of an endpoint before it is believed, 1 or more.
    pub quorum: usize,
    /// Most peers wanted.
    pub wanted: usize,
    /// Time for a whole discovery, in milliseconds, 100..=120,000.
    pub budget_ms: u64,
    /// Seconds between two announces, 10..=86,400; `None` = no announces.
    pub interval_s: Option<u32>,
    /// Where the servers that answered are remembered; `None` = nowhere.
    pub cache: Option<PathBuf>,
}

/// A bootstrap server of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// What it is called.
    pub url: ServerUrl,
    /// Servers of a lower number are asked first.
    pub priority: u32,
}

/// Why there is no configuration: one line that names the file, the place in it, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub(crate) String);

impl Default for Config {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            seeds: SEEDS.iter().map(|&seed| seed.into()).collect(),
            use_seeds: true,
            lan_service: Some(DEFAULT_SERVICE.into()),
            exchange: true,
            known: Vec::new(),
            network: DEFAULT_NETWORK.into(),
            own_id: None,
            transport: Vec::new(),
            quorum: 1,
            wanted: DEFAULT_WANTED,
            budget_ms: DEFAULT_BUDGET_MS,
            interval_s: Some(DEFAULT_INTERVAL_S),
            cache: None,
        }
    }
}

impl Config {
    /// A configuration with this server, and everything else by default.
    ///
    /// # Errors
    /// [`ConfigError`] if `url` names no server.
    pub fn of_server(url: &str) -> Result<Self, ConfigError> {
        Self::default().with_server(url)
    }

    /// With one more server, of the same priority as the last. An invite also chooses the network.
    ///
    /// # Errors
    /// [`ConfigError`] if `url` names no server.
    pub fn with_server(mut self, url: &str) -> Result<Self, ConfigError> {
        let priority = self.servers.last().map_or(1, |server| server.priority);
        self.add_server(url, priority)
            .map_err(|problem| ConfigError(format!("{}: {problem}", Quoted(url))))?;
        Ok(self)
    }

    /// Reads the file of `waypost discover`.
    ///
    /// # Errors
    /// [`ConfigError`] if it cannot be read, or the first thing in it that is wrong.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let fail = |problem: String| ConfigError(format!("{}: {problem}", path.display()));
        let mut text = Vec::new();
        // One byte more than allowed shows that there is more; a device that never ends is not read to its end.
        let limit = u64::try_from(MAX_CONFIG_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        File::open(path)
            .and_then(|file| file.take(limit).read_to_end(&mut text))
            .map_err(|error| fail(format!("cannot be read: {error}")))?;
        if text.len() > MAX_CONFIG_BYTES {
            return Err(fail(format!("longer than {MAX_CONFIG_BYTES} bytes")));
        }
        Self::parse(&text).map_err(|ConfigError(problem)| fail(problem))
    }

    /// Takes the text of such a file.
    ///
    /// # Errors
    /// [`ConfigError`], the first thing that is wrong.
    pub fn parse(text: &[u8]) -> Result<Self, ConfigError> {
        let file = Document::parse(text).ok_or_else(|| {
            ConfigError("must be one JSON object, strict, without equal keys or comments".into())
        })?;
        let file = Section { name: String::new(), document: file };
        file.known(&["bootstrap"])?;
        let bootstrap =
            file.section("bootstrap")?.ok_or_else(|| ConfigError("bootstrap is missing".into()))?;
        bootstrap.known(&[
            "servers",
            "fallback",
            "local_discovery",
            "announce",
            "peer_exchange",
            "network",
        ])?;

        let mut config = Self::default();
        for (at, entry) in bootstrap.list("servers")?.into_iter().flatten().enumerate() {
            config.read_server(at, entry)?;
        }
        if let Some(network) = bootstrap.text("network")? {
            config.network = network.into();
            config.check_network().map_err(|problem| bootstrap.wrong("network", network, problem))?;
        }
        if let Some(fallback) = bootstrap.section("fallback")? {
            config.read_fallback(&fallback)?;
        }
        if let Some(local) = bootstrap.section("local_discovery")? {
            config.read_local_discovery(&local)?;
        }
        if let Some(announce) = bootstrap.section("announce")? {
            config.read_announce(&announce)?;
        }
        if let Some(exchange) = bootstrap.section("peer_exchange")? {
            exchange.known(&["enabled"])?;
            config.exchange = exchange.flag("enabled")?.unwrap_or(true);
        }
        Ok(config)
    }

    /// Checks what was built by hand.
    ///
    /// # Errors
    /// [`ConfigError`], the first thing that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |problem: String| Err(ConfigError(problem));
        if let Err(problem) = self.check_network() {
            return wrong(format!("the network {}: {problem}", Quoted(&self.network)));
        }
        if let Some(id) = self.own_id.as_ref().filter(|id| PeerId::parse(id).is_err()) {
            return wrong(format!("the id {}: must be 1 to 64 bytes of [A-Za-z0-9._:-]", Quoted(id)));
        }
        let (shortest, longest) = BUDGET_RANGE_MS;
        if !(shortest..=longest).contains(&self.budget_ms) {
            return wrong(format!("the time for everything must be {shortest} to {longest} ms"));
        }
        if self.quorum == 0 || self.wanted == 0 {
            return wrong("the quorum and the number of peers wanted must be 1 or more".into());
        }
        if self.servers.len() > MAX_SERVERS || self.seeds.len() > MAX_SEEDS {
            return wrong(format!("at most {MAX_SERVERS} servers and {MAX_SEEDS} seeds"));
        }
        match self.seeds.iter().find_map(|seed| check_seed(seed).err().zip(Some(seed))) {
            Some((problem, seed)) => wrong(format!("the seed {}: {problem}", Quoted(seed))),
            None => Ok(()),
        }
    }

    fn check_network(&self) -> Result<(), &'static str> {
        NetworkKey::of_name(&self.network).map(drop).map_err(|_| "must be 1 to 64 bytes of [A-Za-z0-9._-]")
    }

    fn add_server(&mut self, url: &str, priority: u32) -> Result<(), String> {
        if self.servers.len() == MAX_SERVERS {
            return Err(format!("at most {MAX_SERVERS} servers"));
        }
        let url = ServerUrl::parse(url).map_err(|problem| problem.to_string())?;
        if let ServerUrl::Invite(invite) = &url {
            let other = |server: &Server| match &server.url {
                ServerUrl::Invite(other) => other.network != invite.network,
                _ => false,
            };
            if self.servers.iter().any(other) {
                return Err("is an invite to another network than one before it".into());
            }
            self.network.clone_from(&invite.network);
        }
        self.servers.push(Server { url, priority });
        Ok(())
    }

    fn read_server(&mut self, at: usize, entry: &str) -> Result<(), ConfigError> {
        let name = format!("bootstrap.servers[{at}]");
        let document = Document::parse(entry.as_bytes());
        let document = document.ok_or_else(|| ConfigError(format!("{name} must be an object")))?;
        let server = Section { name, document };
        server.known(&["url", "priority"])?;
        let url = server.text("url")?.ok_or_else(|| server.missing("url"))?;
        let priority = server.number("priority")?.unwrap_or(1);
        self.add_server(url, priority).map_err(|problem| server.wrong("url", url, &problem))
    }

    fn read_fallback(&mut self, fallback: &Section<'_>) -> Result<(), ConfigError> {
        fallback.known(&["enabled", "seeds"])?;
        self.use_seeds = fallback.flag("enabled")?.unwrap_or(true);
        let Some(seeds) = fallback.list("seeds")? else { return Ok(()) };
        self.seeds.clear();
        for entry in seeds {
            let wrong = |problem: &str| ConfigError(format!("bootstrap.fallback.seeds {entry}: {problem}"));
            let seed = plain_text(entry).ok_or_else(|| wrong("must be a text without escapes"))?;
            check_seed(seed).map_err(wrong)?;
            if self.seeds.len() == MAX_SEEDS {
                return Err(wrong(&format!("at most {MAX_SEEDS} seeds")));
            }
            self.seeds.push(seed.into());
        }
        Ok(())
    }

    fn read_local_discovery(&mut self, local: &Section<'_>) -> Result<(), ConfigError> {
        local.known(&["enabled", "mdns_service"])?;
        if let Some(text) = local.text("mdns_service")? {
            let service = service_of(text).map_err(|problem| local.wrong("mdns_service", text, problem))?;
            self.lan_service = Some(service);
        }
        if local.flag("enabled")? == Some(false) {
            self.lan_service = None;
        }
        Ok(())
    }

    fn read_announce(&mut self, announce: &Section<'_>) -> Result<(), ConfigError> {
        announce.known(&["enabled", "interval_seconds"])?;
        if let Some(interval) = announce.number("interval_seconds")? {
            let (shortest, longest) = INTERVAL_RANGE_S;
            if !(shortest..=longest).contains(&interval) {
                let problem = format!("must be a number of seconds in {shortest}..={longest}");
                return Err(announce.wrong("interval_seconds", &interval.to_string(), &problem));
            }
            self.interval_s = Some(interval);
        }
        if announce.flag("enabled")? == Some(false) {
            self.interval_s = None;
        }
        Ok(())
    }
}

/// Checks an endpoint that is handed out as a peer.
fn check_seed(seed: &str) -> Result<(), &'static str> {
    let right = Endpoint::parse_canonical(seed).is_ok();
    let problem = "must be scheme://host:port in lower case, as in tcp://seed1.example.com:9000";
    right.then_some(()).ok_or(problem)
}

/// The whole name of a DNS-SD service, `_NAME._tcp.local`; `NAME` alone will do.
///
/// # Errors
/// Why it is none (RFC 6335 section 5.1).
pub fn service_of(text: &str) -> Result<String, &'static str> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let name = name.strip_suffix(".local").unwrap_or(name);
    let name =
        name.strip_suffix("._tcp").map_or(Some(name), |name| name.strip_prefix('_')).unwrap_or_default();
    let clean = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let letter = name.bytes().any(|byte| byte.is_ascii_alphabetic());
    let hyphens = name.starts_with('-') || name.ends_with('-') || name.contains("--");
    if (1..=15).contains(&name.len()) && clean && letter && !hyphens {
        Ok(format!("_{name}._tcp.local"))
    } else {
        Err("must be _NAME._tcp.local, the name 1 to 15 letters, digits and single hyphens")
    }
}

/// An object of the file, and its name for messages; that of the whole file is empty.
struct Section<'a> {
    name: String,
    document: Document<'a>,
}

impl<'a> Section<'a> {
    /// The whole name of one of its keys.
    fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.into() } else { format!("{}.{key}", self.name) }
    }

    fn wrong(&self, key: &str, value: &str, problem: &str) -> ConfigError {
        ConfigError(format!("{} {}: {problem}", self.path(key), Quoted(value)))
    }

    fn missing(&self, key: &str) -> ConfigError {
        ConfigError(format!("{} is missing", self.path(key)))
    }

    /// Refuses keys that are none of these.
    fn known(&self, keys: &[&str]) -> Result<(), ConfigError> {
        match self.document.unknown_key(keys) {
            Some(key) => Err(ConfigError(format!("unknown key {}", Quoted(&self.path(key))))),
            None => Ok(()),
        }
    }

    fn section(&self, key: &'static str) -> Result<Option<Section<'a>>, ConfigError> {
        let document = self.read(self.document.object(key), "an object")?;
        Ok(document.map(|document| Section { name: self.path(key), document }))
    }

    fn text(&self, key: &'static str) -> Result<Option<&'a str>, ConfigError> {
        self.read(self.document.text(key), "a text without escapes")
    }

    fn number(&self, key: &'static str) -> Result<Option<u32>, ConfigError> {
        self.read(self.document.number(key), "a whole number")
    }

    fn flag(&self, key: &'static str) -> Result<Option<bool>, ConfigError> {
        self.read(self.document.flag(key), "true or false")
    }

    fn list(&self, key: &'static str) -> Result<Option<Vec<&'a str>>, ConfigError> {
        self.read(self.document.list(key), "a list")
    }

    fn read<T>(&self, value: Result<T, Odd>, wanted: &str) -> Result<T, ConfigError> {
        value.map_err(|Odd(key)| ConfigError(format!("{} must be {wanted}", self.path(key))))
    }
}

impl ConfigError {
    /// An error of this one line.
    pub(crate) fn of(line: impl std::fmt::Display) -> Self {
        Self(line.to_string())
    }
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::super::invite::Invite;
    use super::super::url::Way;
    use super::*;

    #[test]
    fn the_file_of_the_contract_is_read() {
        let config = Config::parse(
            br#"{"bootstrap":{"servers":[{"url":"https://bootstrap1.example.com","priority":1},{"url":"example.org","priority":2}],
                "fallback":{"enabled":true,"seeds":["tcp://seed1.example.com:9000"]},
                "local_discovery":{"enabled":true,"mdns_service":"_pscryptochat._tcp.local"},
                "announce":{"enabled":true,"interval_seconds":300}}}"#,
        )
        .unwrap();
        assert_eq!(config.servers.len(), 2);
        assert_eq!(config.servers[0].url.to_string(), "https://bootstrap1.example.com");
        assert_eq!(config.seeds, ["tcp://seed1.example.com:9000"]);
        assert_eq!(config.lan_service.as_deref(), Some("_pscryptochat._tcp.local"));
        assert_eq!((config.interval_s, config.use_seeds), (Some(300), true));
        assert!(config.check().is_ok());
    }

    #[test]
    fn what_is_left_out_is_the_default_and_all_can_be_switched_off() {
        let config = Config::parse(br#"{"bootstrap":{}}"#).unwrap();
        assert!(config.servers.is_empty() && config.use_seeds && config.exchange);
        assert_eq!(config.lan_service.as_deref(), Some(DEFAULT_SERVICE));
        let off = Config::parse(
            br#"{"bootstrap":{"network":"chess","fallback":{"enabled":false},"local_discovery":{"enabled":false},
                "announce":{"enabled":false,"interval_seconds":60},"peer_exchange":{"enabled":false}}}"#,
        )
        .unwrap();
        assert!(!off.use_seeds && !off.exchange && off.network == "chess");
        assert_eq!((off.lan_service, off.interval_s), (None, None));
    }

    #[test]
    fn what_is_wrong_is_named_by_its_place() {
        for (text, named) in [
            ("", "must be one JSON object"),
            ("[]", "must be one JSON object"),
            ("{}", "bootstrap is missing"),
            (r#"{"bootstrap":{},"x":1}"#, "unknown key \"x\""),
            (r#"{"bootstrap":[]}"#, "bootstrap must be an object"),
            (r#"{"bootstrap":{"server":[]}}"#, "unknown key \"bootstrap.server\""),
            (r#"{"bootstrap":{"servers":{}}}"#, "bootstrap.servers must be a list"),
            (r#"{"bootstrap":{"servers":["x"]}}"#, "bootstrap.servers[0] must be an object"),
            (r#"{"bootstrap":{"servers":[{}]}}"#, "bootstrap.servers[0].url is missing"),
            (r#"{"bootstrap":{"servers":[{"url":7}]}}"#, "bootstrap.servers[0].url must be a text"),
            (r#"{"bootstrap":{"servers":[{"url":"a.b","p":1}]}}"#, "unknown key \"bootstrap.servers[0].p\""),
            (
                r#"{"bootstrap":{"servers":[{"url":"a.b"},{"url":"ftp://a.b"}]}}"#,
                "bootstrap.servers[1].url \"ftp://a.b\": must begin with http://",
            ),
            (
                r#"{"bootstrap":{"servers":[{"url":"a.b","priority":-1}]}}"#,
                "bootstrap.servers[0].priority must be",
            ),
            (r#"{"bootstrap":{"fallback":{"enable":true}}}"#, "unknown key \"bootstrap.fallback.enable\""),
            (
                r#"{"bootstrap":{"fallback":{"enabled":1}}}"#,
                "bootstrap.fallback.enabled must be true or false",
            ),
            (
                r#"{"bootstrap":{"fallback":{"seeds":["a"]}}}"#,
                "bootstrap.fallback.seeds \"a\": must be scheme://",
            ),
            (r#"{"bootstrap":{"fallback":{"seeds":[1]}}}"#, "bootstrap.fallback.seeds 1: must be a text"),
            (
                r#"{"bootstrap":{"local_discovery":{"mdns_service":"_a_b._tcp.local"}}}"#,
                "bootstrap.local_discovery.mdns_service \"_a_b._tcp.local\": must be",
            ),
            (
                r#"{"bootstrap":{"announce":{"interval_seconds":5}}}"#,
                "bootstrap.announce.interval_seconds \"5\": must be a number of seconds",
            ),
            (r#"{"bootstrap":{"network":"a b"}}"#, "bootstrap.network \"a b\": must be 1 to 64"),
        ] {
            let ConfigError(error) = Config::parse(text.as_bytes()).unwrap_err();
            assert!(error.starts_with(named), "{text}: {error}");
        }
        let ConfigError(error) = Config::read(Path::new("/nowhere/w.json")).unwrap_err();
        assert!(error.starts_with("/nowhere/w.json: cannot be read: "), "{error}");
    }

    #[test]
    fn a_service_may_be_named_in_short() {
        for text in
            ["pscryptochat", "_pscryptochat._tcp", "_pscryptochat._tcp.local", "_pscryptochat._tcp.local."]
        {
            assert_eq!(service_of(text).as_deref(), Ok(DEFAULT_SERVICE), "{text}");
        }
        for text in ["", "a._tcp.local", "_a._udp.local", "123", "-a", "a--b", "sixteen-letters-"] {
            assert!(service_of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_invite_chooses_the_network() {
        let invite = Invite {
            ways: vec![Way::parse("http://192.0.2.1:8080").unwrap()],
            bootstrap_id: None,
            network: "chess".into(),
            expires_unix_s: None,
        };
        let config = Config::of_server(&invite.emit().unwrap()).unwrap();
        let config = config.with_server("http://a.example").unwrap();
        assert_eq!((config.network.as_str(), config.servers.len()), ("chess", 2));
        assert!(Config::of_server("nonsense://").is_err());
    }
}
