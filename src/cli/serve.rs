//! `waypost serve`: reads the configuration, takes its memory and its sockets, says what it is, and serves.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::io;
use std::path::Path;

use argh::{ArgsInfo, FromArgs};

use super::{Exit, complain, say, warn};
use crate::addr::CanonicalAddr;
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::mdns::{Advert, Responder};
use crate::limits::{MAX_CONNECTIONS, SPARE_DESCRIPTORS};
use crate::net::clock::Clock;
use crate::net::lan::Shown;
use crate::net::listen::Sockets;
use crate::net::mdns::{self, Advertiser};
use crate::net::memory::{self, MEMORY, Memory};
use crate::net::signal::{EndSignals, Ending};
use crate::net::supervisor::Supervisor;
use crate::net::{Server, names, process, watchdog};
use crate::rng::Seed;
use crate::wire::{Full, hex};

/// run a bootstrap server
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "serve",
    example = "{command_name}\n{command_name} --port 80 --identity /etc/waypost/identity --network chess",
    note = "Every option is also an environment variable (--udp-port is UDP_PORT) and a\n\
            key of the configuration file. A flag beats a variable, a variable beats the\n\
            file. Lists are separated by commas in a variable.",
    error_code(0, "SIGTERM ended it."),
    error_code(1, "A port cannot be had, or there is not enough memory."),
    error_code(2, "A flag, a variable or the configuration file is wrong."),
    error_code(130, "SIGINT ended it.")
)]
pub(super) struct Serve {
    /// HTTP port, 0 for any free one (default 8080)
    #[argh(option, arg_name = "port")]
    port: Option<String>,
    /// UDP port, 0 for no UDP, "auto" for any free one (default 6881)
    #[argh(option, arg_name = "port")]
    udp_port: Option<String>,
    /// address to listen on instead of all (repeatable, at most 4)
    #[argh(option, arg_name = "address")]
    bind: Vec<String>,
    /// seconds a peer lives without a new announce (default 300)
    #[argh(option, arg_name = "seconds")]
    peer_ttl: Option<String>,
    /// longest life a client may ask for, in seconds (default 3600)
    #[argh(option, arg_name = "seconds")]
    max_ttl: Option<String>,
    /// peers to have room for (default and most: the capacity of the build)
    #[argh(option, arg_name = "peers")]
    max_peers: Option<String>,
    /// queries a minute for one address, 0 for no limit (default 60)
    #[argh(option, arg_name = "queries")]
    rate_limit: Option<String>,
    /// announces a minute for one address, 0 for no limit (default 30)
    #[argh(option, arg_name = "announces")]
    announce_limit: Option<String>,
    /// work asked of newcomers: off, auto (0 bits when calm, 16 to 22 under pressure), or 1 to 24 bits (default auto)
    #[argh(option, arg_name = "bits")]
    pow: Option<String>,
    /// refuse unsigned announces
    #[argh(switch)]
    require_signed: bool,
    /// accept endpoints whose address is not the announcer's
    #[argh(switch)]
    allow_foreign_endpoints: bool,
    /// believe X-Forwarded-For from this block of addresses (repeatable, at most 16)
    #[argh(option, arg_name = "cidr")]
    trusted_proxy: Vec<String>,
    /// node of a wider DHT to join, host:port (repeatable, at most 8)
    #[argh(option, arg_name = "node")]
    dht_node: Vec<String>,
    /// serve only this network (repeatable, at most 8; default any)
    #[argh(option, arg_name = "name")]
    network: Vec<String>,
    /// DNS-SD service name that is advertised on the LAN (default pscryptochat)
    #[argh(option, arg_name = "name")]
    service: Option<String>,
    /// do not advertise on the LAN
    #[argh(switch)]
    no_mdns: bool,
    /// give one client network the same sample for 10 minutes
    #[argh(switch)]
    stable_samples: bool,
    /// JSON file with the same keys
    #[argh(option, arg_name = "file")]
    config: Option<String>,
    /// file with an Ed25519 seed, 32 bytes or 64 hex digits, that makes the identity a lasting one
    #[argh(option, arg_name = "file")]
    identity: Option<String>,
}

impl Serve {
    /// Serves until a signal comes.
    pub(super) fn run(&self) -> Exit {
        let clock = Clock::start();
        let flags = self.flags();
        let flags = flags.iter().map(|(name, texts)| (*name, texts.as_slice()));
        let file = self.config.as_deref().map(Path::new);
        let config = match Config::load(file, flags, |variable| std::env::var_os(variable)) {
            Ok(config) => config,
            Err(error) => return complain(error, Exit::Usage),
        };
        match serve(config, clock) {
            Ok(Ending::Terminated) => Exit::Done,
            Ok(Ending::Interrupted) => Exit::Interrupted,
            Err(line) => complain(line, Exit::Failed),
        }
    }

    /// What was given on the command line, by the names of the settings.
    fn flags(&self) -> [(&'static str, Vec<String>); 18] {
        let one = |value: &Option<String>| value.iter().cloned().collect();
        let switch = |on: bool| if on { vec!["true".into()] } else { Vec::new() };
        [
            ("port", one(&self.port)),
            ("udp-port", one(&self.udp_port)),
            ("bind", self.bind.clone()),
            ("peer-ttl", one(&self.peer_ttl)),
            ("max-ttl", one(&self.max_ttl)),
            ("max-peers", one(&self.max_peers)),
            ("rate-limit", one(&self.rate_limit)),
            ("announce-limit", one(&self.announce_limit)),
            ("pow", one(&self.pow)),
            ("require-signed", switch(self.require_signed)),
            ("allow-foreign-endpoints", switch(self.allow_foreign_endpoints)),
            ("trusted-proxy", self.trusted_proxy.clone()),
            ("dht-node", self.dht_node.clone()),
            ("network", self.network.clone()),
            ("service", one(&self.service)),
            ("no-mdns", switch(self.no_mdns)),
            ("stable-samples", switch(self.stable_samples)),
            ("identity", one(&self.identity)),
        ]
    }
}

/// Takes everything a server needs, says what it has, and serves. The error is one line for the operator.
fn serve(mut config: Config, clock: Clock) -> Result<Ending, String> {
    process::renounce_new_privileges();
    process::keep_pages_small();
    let seed = process::seed().map_err(|error| format!("no randomness from the system: {error}"))?;
    let signals = EndSignals::listen().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let sockets = Sockets::bind(config.port, config.udp_port, &config.bind).map_err(|e| e.to_string())?;
    check_descriptors();
    look_up_dht_nodes(&mut config);

    let mut memory = MEMORY.try_lock().map_err(|_| "another server runs in this process")?;
    let Memory { storage, connections } = &mut *memory;
    let engine = RefCell::new(storage.engine(std::mem::take(&mut config.engine), &seed));
    for &ip in &config.bind {
        engine.borrow_mut().settle_address(CanonicalAddr::new(ip));
    }
    let (advertiser, advert) = advertise(&config, &sockets, &engine.borrow(), &seed, clock);
    let description = description(&sockets, &engine.borrow(), &advert, clock);
    say(description.map_err(|error| format!("a socket has no address: {error}"))?.trim_end());
    let supervisor = Supervisor::open(|name| std::env::var_os(name)).unwrap_or_else(|error| {
        warn(format_args!("NOTIFY_SOCKET cannot be told anything: {error}"));
        Supervisor::default()
    });
    if let Err(error) = watchdog::start() {
        warn(format_args!("no watchdog, should the server hang: {error}"));
    }
    let server = Server { sockets, engine: &engine, connections, clock, advertiser, supervisor };
    smol::block_on(server.run(signals.next())).map_err(|error| format!("cannot serve: {error}"))
}

/// Opens the advert on the LAN, and says what becomes of it. The server starts without one: it is of use without.
fn advertise(
    config: &Config,
    sockets: &Sockets,
    engine: &Engine<'_>,
    seed: &Seed,
    clock: Clock,
) -> (Option<Advertiser>, String) {
    let shown = Shown::bound(&config.bind);
    if !mdns::IS_THERE {
        return (None, "not in this build".into());
    } else if !config.mdns {
        return (None, "off".into());
    } else if !shown.is_anything() {
        return (None, "nothing to advertise: bound to loopback only".into());
    }
    let http = sockets.tcp.first().and_then(|socket| socket.local_addr().ok());
    let udp = sockets.udp.first().and_then(|socket| socket.local_addr().ok());
    let port = http.map_or(0, |addr| addr.port());
    let opened = Advert::server(&config.service, &engine.bootstrap_id(), port, udp.map(|addr| addr.port()))
        .map_err(|Full| io::ErrorKind::InvalidInput.into())
        .and_then(|advert| Advertiser::open(advert, shown, Responder::key(seed), clock));
    match opened {
        Ok(advertiser) => {
            let advert = advertiser.to_string();
            (Some(advertiser), advert)
        }
        Err(error) => {
            let cause = match error.kind() {
                io::ErrorKind::AddrInUse => "a program has port 5353 that does not share it".into(),
                _ => error.to_string(),
            };
            warn(format_args!("not advertised on the LAN: {cause}"));
            (None, format!("none: {cause}"))
        }
    }
}

/// Finds the addresses of the nodes to join, one of each family. The server starts without those that have none: it is of
/// use without them, and may be up before the name service is.
fn look_up_dht_nodes(config: &mut Config) {
    for node in &config.dht_nodes {
        match names::addresses(node) {
            Ok(found) => {
                let v4 = found.iter().find(|addr| addr.is_ipv4());
                let v6 = found.iter().find(|addr| addr.is_ipv6());
                config.engine.dht_nodes.extend(v4.into_iter().chain(v6).copied());
            }
            Err(error) => warn(format_args!("--dht-node {node} is left out: {error}")),
        }
    }
}

/// Makes room for one descriptor a connection, and warns if there is none.
fn check_descriptors() {
    let wanted = u64::try_from(MAX_CONNECTIONS).unwrap_or(u64::MAX).saturating_add(SPARE_DESCRIPTORS);
    let allowed = process::raise_descriptor_limit(wanted);
    if allowed < wanted {
        warn(format_args!(
            "only {allowed} descriptors are allowed, {wanted} are needed for {MAX_CONNECTIONS} connections; \
             raise the limit (ulimit -n)"
        ));
    }
}

/// What the server is: a fact a line, `ready` last.
fn description(sockets: &Sockets, engine: &Engine<'_>, advert: &str, clock: Clock) -> io::Result<String> {
    let mut text = String::new();
    let mut put = |line: fmt::Arguments<'_>| {
        // A string takes everything.
        let _ = writeln!(text, "{line}");
    };
    for socket in &sockets.tcp {
        put(format_args!("listening  http  {}", socket.local_addr()?));
    }
    for socket in &sockets.udp {
        put(format_args!("listening  udp   {}", socket.local_addr()?));
    }
    if sockets.udp.is_empty() {
        put(format_args!("listening  udp   off"));
    }
    if let Some(cause) = &sockets.no_ipv6 {
        put(format_args!("ipv6       none: {cause}"));
    }
    let identity: String =
        engine.bootstrap_id().iter().flat_map(|&byte| hex::encode(byte)).map(char::from).collect();
    put(format_args!("identity   {identity}"));
    let (peers, networks) = (engine.peers().capacity(), engine.settings().networks.len());
    let networks = match networks {
        0 => "any network".into(),
        1 => "1 network".into(),
        _ => format!("{networks} networks"),
    };
    put(format_args!("capacity   {peers} peers, {MAX_CONNECTIONS} connections, {networks}"));
    put(format_args!("mdns       {advert}"));
    let (fixed, ceiling) = (memory::FIXED_BYTES, memory::CEILING_BYTES);
    put(format_args!("memory     {fixed} bytes fixed, resident at most {ceiling} bytes"));
    put(format_args!("ready      in {} ms", clock.now().as_ms()));
    Ok(text)
}
