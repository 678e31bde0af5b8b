//! `waypost announce`: announces a peer at servers, once or for as long as it runs.

use std::cell::Cell;
use std::fmt::Display;
use std::io::Write as _;
use std::path::Path;

use argh::{ArgsInfo, FromArgs};

use crate::cli::{Exit, check, complain, say, warn};
use crate::client::announcer::{
    Announcer, BadPeer, Event, MAX_ANNOUNCED_SERVERS, OwnPeer, Terms, What, keep_announced, leave_everywhere,
};
use crate::client::config::{Config, ConfigError, DEFAULT_SERVICE, INTERVAL_RANGE_S};
use crate::client::failure::Failure;
use crate::client::keep_present;
use crate::client::lan::LanAdvert;
use crate::client::reach::Reach;
use crate::client::url::ServerUrl;
use crate::config;
use crate::limits::{HIGHEST_MAX_TTL_S, MIN_TTL_S};
use crate::net::clock::Clock;
use crate::net::process;
use crate::net::signal::{EndSignals, Ending};
use crate::quoted::Quoted;
use crate::rng::{Rng, Seed};
use crate::time::Instant;

/// What a seed is used for here.
const JITTER: u8 = b'j';
const ID: u8 = b'i';

/// announce a peer at servers, once or until stopped
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "announce",
    example = "{command_name} --server https://bootstrap1.example.com --endpoint tcp://:9000\n{command_name} --config waypost.json --identity peer.seed --endpoint tcp://:9000 --endpoint udp://:9001\n{command_name} --server http://198.51.100.7:8080 --id alice --leave",
    note = "With --every, or with a configuration file that does not switch announcing off, it runs until SIGTERM or SIGINT, announces again before a registration ends, tries again what failed, and leaves in the end. tcp://:9000 is port 9000 of the address that a server sees. A server's challenge is solved if it is of 24 bits or less and takes 30 seconds or less. With --json each event is one object on one line.",
    error_code(1, "No server registered the peer, or with --leave no server answered."),
    error_code(2, "A flag, the configuration or the identity file is wrong."),
    error_code(130, "Interrupted, after leaving.")
)]
pub(in crate::cli) struct Announce {
    /// server to announce at: http://, https://, udp://, waypost:, or a bare domain (repeatable, at most 8; default http://127.0.0.1:PORT, with PORT from the environment or 8080)
    #[argh(option, arg_name = "url")]
    server: Vec<String>,
    /// where the peer can be reached, scheme://host:port or scheme://:port (repeatable, 1 to 4)
    #[argh(option, arg_name = "endpoint")]
    endpoint: Vec<String>,
    /// the peer's id (default 16 random hex digits, or that of the key)
    #[argh(option, arg_name = "id")]
    id: Option<String>,
    /// file with an Ed25519 seed, 32 bytes or 64 hex digits, to sign with
    #[argh(option, arg_name = "file")]
    identity: Option<String>,
    /// network to be found in (default pscryptochat, or that of the invite or the file)
    #[argh(option, arg_name = "name")]
    network: Option<String>,
    /// life to ask for, in seconds (default 300, or two and a half intervals up to 3600)
    #[argh(option, arg_name = "seconds")]
    ttl: Option<u32>,
    /// announce again after so many seconds, 10 to 86400, until stopped (default once, or what the file says)
    #[argh(option, arg_name = "seconds")]
    every: Option<u32>,
    /// JSON file with servers and interval, as of discover
    #[argh(option, arg_name = "file")]
    config: Option<String>,
    /// token of an earlier registration, to refresh or leave from another address
    #[argh(option, arg_name = "token")]
    token: Option<String>,
    /// while it runs, also let neighbours on the LAN find the peer; it needs a tcp:// endpoint
    #[argh(switch)]
    lan: bool,
    /// take the peer back instead
    #[argh(switch)]
    leave: bool,
    /// seconds for one answer, 0.1 to 120 (default 5)
    #[argh(option, arg_name = "seconds")]
    timeout: Option<String>,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

/// Everything that was chosen, checked but for what depends on other flags.
struct Choice {
    own: OwnPeer,
    terms: Terms,
    servers: Vec<ServerUrl>,
    /// The DNS-SD service of the LAN.
    service: String,
}

/// What was heard of the servers so far, and how it is told.
struct Report {
    json: bool,
    clock: Clock,
    /// A server has registered the peer, or has answered to its goodbye.
    success: bool,
    /// A server has refused.
    refused: bool,
}

impl Announce {
    /// Announces, and prints what the servers say.
    pub(super) fn run(&self) -> Exit {
        let seed = match process::seed() {
            Ok(seed) => seed,
            Err(error) => {
                return complain(format_args!("no randomness from the system: {error}"), Exit::Failed);
            }
        };
        let chosen = self.choose(&seed).and_then(|choice| {
            let advert = self.advert(&choice)?;
            self.announcer(choice, &seed).map(|announcer| (announcer, advert))
        });
        let ((announcer, runs), advert) = match chosen {
            Ok(chosen) => chosen,
            Err(error) => return complain(error, Exit::Usage),
        };
        let reach = Reach::new(Clock::start(), &seed);
        let report = Report { json: self.json, clock: reach.clock(), success: false, refused: false };
        if self.leave {
            leave(&reach, announcer, report)
        } else if runs {
            keep(&reach, announcer, advert, report)
        } else {
            once(&reach, announcer, report)
        }
    }

    /// What the flags and the file say.
    fn choose(&self, seed: &Seed) -> Result<Choice, ConfigError> {
        let mut config = match &self.config {
            Some(path) => Config::read(Path::new(path))?,
            // Once, unless somebody chooses an interval.
            None => Config { interval_s: None, ..Config::default() },
        };
        let default = [check::default_url()];
        let named =
            if self.server.is_empty() && config.servers.is_empty() { &default } else { &*self.server };
        config = super::with_servers(config, named)?;
        if config.servers.len() > MAX_ANNOUNCED_SERVERS {
            return Err(flag("--server", format_args!("at most {MAX_ANNOUNCED_SERVERS} servers")));
        }
        if let Some(seconds) = &self.timeout {
            config.budget_ms = super::timeout_ms(seconds)?;
        }
        let every = INTERVAL_RANGE_S.0..=INTERVAL_RANGE_S.1;
        let ttl = MIN_TTL_S..=HIGHEST_MAX_TTL_S;
        Ok(Choice {
            own: self.own(&config.network, seed)?,
            terms: Terms {
                interval_s: in_range("--every", self.every, every)?.or(config.interval_s),
                ttl_s: in_range("--ttl", self.ttl, ttl)?,
                token: self.token.clone(),
                ..Terms::from(&config)
            },
            service: config.lan_service.unwrap_or_else(|| DEFAULT_SERVICE.into()),
            servers: config.servers.into_iter().map(|server| server.url).collect(),
        })
    }

    fn own(&self, network: &str, seed: &Seed) -> Result<OwnPeer, ConfigError> {
        let read = |path: &String| {
            config::identity(path)
                .map_err(|problem| flag("--identity", format_args!("{}: {problem}", Quoted(path))))
        };
        let secret = self.identity.as_ref().map(read).transpose()?;
        let random = || format!("{:016x}", Rng::new(seed.key(ID)).next_u64());
        // Nobody has announced an id that is being made up.
        let made_up = (secret.is_none() && !self.leave).then(random);
        Ok(OwnPeer {
            network: self.network.clone().unwrap_or_else(|| network.into()),
            id: self.id.clone().or(made_up),
            endpoints: self.endpoint.clone(),
            secret,
        })
    }

    /// What neighbours are told.
    fn advert(&self, choice: &Choice) -> Result<Option<LanAdvert>, ConfigError> {
        let needs = |what| flag("--lan", format_args!("needs {what}"));
        match LanAdvert::of(&choice.service, &choice.own) {
            _ if !self.lan => Ok(None),
            _ if self.leave || choice.terms.interval_s.is_none() => {
                Err(needs("--every: it lasts as long as this runs"))
            }
            Some(advert) => Ok(Some(advert)),
            None => Err(needs("an endpoint of scheme tcp")),
        }
    }

    /// The announcer, and whether it runs until it is stopped.
    fn announcer(&self, choice: Choice, seed: &Seed) -> Result<(Announcer, bool), ConfigError> {
        let Choice { own, mut terms, servers, .. } = choice;
        let runs = terms.interval_s.is_some() && !self.leave;
        let (network, rng) = (own.network.clone(), Rng::new(seed.key(JITTER)));
        let announcer = if self.leave {
            terms.interval_s = None;
            Announcer::of_named(own, terms, &servers, rng)
        } else {
            Announcer::new(own, terms, &servers, rng)
        };
        let announcer = announcer.map_err(|problem| flag(flag_of(&problem), problem))?;
        if !self.json && !self.leave {
            say(format_args!("peer {} in {network}", announcer.id()));
        }
        Ok((announcer, runs))
    }
}

/// Announces once.
fn once(reach: &Reach, mut announcer: Announcer, mut report: Report) -> Exit {
    let never = smol::future::pending();
    match super::wait_for(keep_announced(reach, &mut announcer, |event| report.tell(&event), never)) {
        Ok(()) => report.end(),
        Err(exit) => exit,
    }
}

/// Announces until a signal comes.
fn keep(reach: &Reach, mut announcer: Announcer, advert: Option<LanAdvert>, mut report: Report) -> Exit {
    let signals = match EndSignals::listen() {
        Ok(signals) => signals,
        Err(error) => return complain(format_args!("cannot listen for signals: {error}"), Exit::Failed),
    };
    let ending = Cell::new(Ending::Terminated);
    let stop = async { ending.set(signals.next().await) };
    let told = |event| report.tell(&event);
    if let Err(error) = smol::block_on(keep_present(reach, &mut announcer, advert, told, stop)) {
        warn(format_args!("neighbours on the LAN could not find the peer: {error}"));
    }
    match ending.get() {
        Ending::Terminated => Exit::Done,
        Ending::Interrupted => Exit::Interrupted,
    }
}

/// Takes the peer back.
fn leave(reach: &Reach, mut announcer: Announcer, mut report: Report) -> Exit {
    match super::wait_for(leave_everywhere(reach, &mut announcer, |event| report.tell(&event))) {
        Ok(()) => report.end(),
        Err(exit) => exit,
    }
}

impl Report {
    /// Tells what happened at a server: successes on standard output, trouble on standard error; as JSON all on standard
    /// output.
    fn tell(&mut self, event: &Event) {
        match &event.what {
            What::Registered { .. } | What::Left(_) => self.success = true,
            What::Failed { failure, .. } | What::NotLeft(failure) => {
                self.refused |= matches!(failure, Failure::Refused { .. } | Failure::WrongIdentity(_));
            }
            What::Works(_) => {}
        }
        if self.json {
            if let Some(line) = self.json(event) {
                say(line);
            }
            return;
        }
        let line = format!("{event}{}", self.rest(&event.what));
        match event.what {
            What::Registered { .. } | What::Left(_) => drop(say(line)),
            What::Failed { .. } | What::NotLeft(_) => drop(complain(line, Exit::Failed)),
            // It goes on; standard error shows it to people who wait.
            What::Works(_) => drop(writeln!(std::io::stderr(), "{line}")),
        }
    }

    /// What people should know besides: what to do, and when it goes on.
    fn rest(&self, what: &What) -> String {
        match what {
            What::Registered { again: Some(again), .. } => format!("; again in {} s", self.s_until(*again)),
            What::Registered { token: Some(token), .. } => format!("; its token is {}", Quoted(token)),
            What::Failed { failure, again } => {
                let advice = advice(failure).map_or_else(String::new, |advice| format!("; {advice}"));
                let again =
                    again.map_or_else(String::new, |at| format!("; tried again in {} s", self.s_until(at)));
                advice + &again
            }
            _ => String::new(),
        }
    }

    /// One object on one line; keys are stable.
    fn json(&self, event: &Event) -> Option<String> {
        let server = Quoted(&event.server);
        let or_null = |value: Option<String>| value.unwrap_or_else(|| "null".into());
        let again = |again: &Option<Instant>| or_null(again.map(|at| self.s_until(at).to_string()));
        Some(match &event.what {
            What::Registered { id, expires_s, you, token, again: next } => format!(
                "{{\"server\":{server},\"registered\":true,\"id\":{},\"expires\":{expires_s},\"you\":{},\"token\":{},\"again_s\":{}}}",
                Quoted(id),
                or_null(you.map(|ip| format!("\"{ip}\""))),
                or_null(token.as_ref().map(|token| Quoted(token).to_string())),
                again(next)
            ),
            What::Works(_) => return None,
            What::Failed { failure, again: next } => format!(
                "{{\"server\":{server},\"registered\":false,\"word\":{},\"error\":{},\"again_s\":{}}}",
                word(failure),
                Quoted(&failure.to_string()),
                again(next)
            ),
            What::Left(removed) => format!("{{\"server\":{server},\"removed\":{removed}}}"),
            What::NotLeft(failure) => format!(
                "{{\"server\":{server},\"removed\":false,\"word\":{},\"error\":{}}}",
                word(failure),
                Quoted(&failure.to_string())
            ),
        })
    }

    /// Seconds from now until then.
    fn s_until(&self, then: Instant) -> u64 {
        then.ms_since(self.clock.now()).div_ceil(1000)
    }

    /// How a program ends that did this once.
    fn end(&self) -> Exit {
        if self.success {
            return Exit::Done;
        }
        if !self.json && !self.refused {
            complain("no server did what it was asked; waypost doctor looks for the cause", Exit::Failed);
        }
        Exit::Failed
    }
}

/// A server's word for why it refused, as JSON.
fn word(failure: &Failure) -> String {
    match failure {
        Failure::Refused { word, .. } => Quoted(word).to_string(),
        _ => "null".into(),
    }
}

/// What to do about a refusal, where there is something to do.
fn advice(failure: &Failure) -> Option<&'static str> {
    let Failure::Refused { word, .. } = failure else { return None };
    Some(match word.as_str() {
        "id_taken" => "choose another --id, or give the --token of the registration",
        "endpoint_not_yours" => "leave the host out of --endpoint, as in tcp://:9000",
        "signature_required" => "give a key by --identity",
        "network_not_served" => "choose another --network",
        "stale_seq" => "the key is in use with a clock that is ahead, here or elsewhere",
        _ => return None,
    })
}

/// One of these, if it was given.
fn in_range(
    name: &str,
    value: Option<u32>,
    range: std::ops::RangeInclusive<u32>,
) -> Result<Option<u32>, ConfigError> {
    match value.filter(|value| !range.contains(value)) {
        Some(value) => {
            Err(flag(name, format_args!("{value}: must be {} to {} seconds", range.start(), range.end())))
        }
        None => Ok(value),
    }
}

/// What is wrong with a flag.
fn flag(name: &str, problem: impl Display) -> ConfigError {
    ConfigError::of(format_args!("{name} {problem}"))
}

/// The flag that such a problem comes from.
fn flag_of(problem: &BadPeer) -> &'static str {
    match problem {
        BadPeer::Network(_) => "--network:",
        BadPeer::Id(_) | BadPeer::NoId => "--id:",
        BadPeer::Endpoints(_) | BadPeer::Endpoint(_) => "--endpoint:",
        BadPeer::Secret => "--identity:",
    }
}
