//! `waypost discover`: finds peers by the whole fallback chain.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use argh::{ArgsInfo, FromArgs};

use super::show;
use crate::cli::{Exit, complain, say};
use crate::client::config::{Config, ConfigError};
use crate::client::plan::{Asked, Discovery, Level};
use crate::quoted::Quoted;

/// find peers by all means: servers, the LAN, seeds, other peers
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "discover",
    example = "{command_name} --config waypost.json\n{command_name} --server https://bootstrap1.example.com --server udp://198.51.100.7:6881 --quorum 2",
    note = "Servers are asked by priority and the LAN beside them; seeds if no server gave a peer; then peers that were found are asked for more. A line tells of each answer, and a list of the peers found.\n\nThe configuration file is JSON, its keys are in docs/client.md:\n\n  {{\"bootstrap\":{{\"servers\":[{{\"url\":\"https://bootstrap1.example.com\",\"priority\":1}}],\n   \"fallback\":{{\"enabled\":true,\"seeds\":[\"tcp://seed1.example.com:9000\"]}},\n   \"local_discovery\":{{\"enabled\":true,\"mdns_service\":\"_pscryptochat._tcp.local\"}}}}}}",
    error_code(1, "Nobody answered, and nobody was found."),
    error_code(2, "A flag or the configuration file is wrong.")
)]
pub(in crate::cli) struct Discover {
    /// JSON file with servers, seeds and the rest
    #[argh(option, arg_name = "file")]
    config: Option<String>,
    /// server to ask, besides those of the file: http://, https://, udp://, waypost:, or a bare domain (repeatable)
    #[argh(option, arg_name = "url")]
    server: Vec<String>,
    /// network to look in (default pscryptochat, or that of the invite or the file)
    #[argh(option, arg_name = "name")]
    network: Option<String>,
    /// keep only what so many servers tell alike (default 1)
    #[argh(option, arg_name = "servers")]
    quorum: Option<usize>,
    /// most peers wanted (default 50)
    #[argh(option, arg_name = "peers")]
    limit: Option<usize>,
    /// schemes of endpoints that are of use, separated by commas (default all)
    #[argh(option, arg_name = "schemes")]
    transport: Option<String>,
    /// own id, not to be found
    #[argh(option, arg_name = "id")]
    exclude: Option<String>,
    /// seconds for everything, 0.1 to 120 (default 5)
    #[argh(option, arg_name = "seconds")]
    timeout: Option<String>,
    /// file that remembers the servers that answered, and is asked when others do not
    #[argh(option, arg_name = "file")]
    cache: Option<String>,
    /// do not look on the LAN
    #[argh(switch)]
    no_lan: bool,
    /// use no seeds
    #[argh(switch)]
    no_seeds: bool,
    /// do not ask peers for others
    #[argh(switch)]
    no_exchange: bool,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Discover {
    /// Finds, and prints who gave what while it goes on.
    pub(super) fn run(&self) -> Exit {
        match super::find(self.config(), |asked| tell(asked, self.json)) {
            Ok(found) => conclude(&found, self.json),
            Err(exit) => exit,
        }
    }

    fn config(&self) -> Result<Config, ConfigError> {
        let mut config = match &self.config {
            Some(path) => Config::read(Path::new(path))?,
            None => Config::default(),
        };
        config = super::with_servers(config, &self.server)?;
        config.cache = self.cache.clone().map(Into::into).or(config.cache);
        config.exchange &= !self.no_exchange;
        config.use_seeds &= !self.no_seeds;
        if self.no_lan {
            config.lan_service = None;
        }
        super::Wanted {
            network: &self.network,
            quorum: self.quorum,
            limit: self.limit,
            exclude: &self.exclude,
            transport: &self.transport,
            timeout: &self.timeout,
        }
        .choose(&mut config)?;
        Ok(config)
    }
}

/// Prints a line for each answer, and on a terminal also for each question.
pub(super) fn tell(asked: &Asked, json: bool) {
    if json {
        return;
    }
    if asked.outcome.is_some() {
        say(show::asked(asked));
    } else if std::io::stderr().is_terminal() {
        let _ = writeln!(std::io::stderr(), "{}", show::asked(asked));
    }
}

/// Prints who was found, and returns how the program ends.
pub(super) fn conclude(found: &Discovery, json: bool) -> Exit {
    if json {
        let you = show::list(found.you.iter().map(|ip| Quoted(&ip.to_string()).to_string()));
        say(format_args!(
            "{{\"peers\":{},\"left_out\":{},\"asked\":{},\"you\":{you},\"took_ms\":{}}}",
            show::peers_json(&found.peers),
            found.left_out,
            show::asked_json(&found.asked),
            found.took_ms
        ));
    } else {
        let left_out = match found.left_out {
            0 => String::new(),
            more => format!("; {more} more are not believed, of no use, or more than wanted"),
        };
        say(format_args!("\n{} in {} ms{left_out}", show::number_of(found.peers.len()), found.took_ms));
        if !found.peers.is_empty() {
            say(show::peers(&found.peers).trim_end());
        }
    }
    let answered = |asked: &Asked| {
        let is_server = matches!(asked.level, Level::Servers | Level::Lan) && !asked.is_browse();
        is_server && matches!(asked.outcome, Some(Ok(_)))
    };
    if !found.peers.is_empty() || found.asked.iter().any(answered) {
        return Exit::Done;
    }
    let hint = if found.asked.is_empty() {
        "nobody to ask: name a server by --server or in a file by --config"
    } else {
        "nobody answered, and nobody was found; waypost doctor looks for the cause"
    };
    complain(hint, Exit::Failed)
}
