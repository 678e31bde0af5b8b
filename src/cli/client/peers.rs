//! `waypost peers`: asks servers for peers, and nobody else.

use argh::{ArgsInfo, FromArgs};

use super::show;
use crate::cli::{Exit, check, complain, say, warn};
use crate::client::config::{Config, ConfigError};
use crate::client::failure::Failure;
use crate::client::plan::{Asked, Discovery};
use crate::quoted::Quoted;

/// ask servers for peers, and nobody else
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "peers",
    example = "{command_name} --server https://bootstrap1.example.com --network chess --transport tcp\n{command_name} --server http://198.51.100.7:8080 --server udp://203.0.113.9:6881 --quorum 2 --json",
    note = "A line for each peer: its id, its endpoints, how long ago a server last heard of it, whether it is signed (the signature has been verified), and which servers told of it. Over udp:// servers tell addresses alone. Of several servers none is believed for more than its share.",
    error_code(1, "No server answered."),
    error_code(2, "A flag is wrong.")
)]
pub(in crate::cli) struct Peers {
    /// server to ask: http://, https://, udp://, waypost:, or a bare domain (repeatable; default http://127.0.0.1:PORT, with PORT from the environment or 8080)
    #[argh(option, arg_name = "url")]
    server: Vec<String>,
    /// network to look in (default pscryptochat, or that of the invite)
    #[argh(option, arg_name = "name")]
    network: Option<String>,
    /// most peers wanted (default 50)
    #[argh(option, arg_name = "peers")]
    limit: Option<usize>,
    /// schemes of endpoints that are of use, separated by commas (default all)
    #[argh(option, arg_name = "schemes")]
    transport: Option<String>,
    /// own id, to be left out
    #[argh(option, arg_name = "id")]
    exclude: Option<String>,
    /// keep only what so many servers tell alike (default 1)
    #[argh(option, arg_name = "servers")]
    quorum: Option<usize>,
    /// seconds for everything, 0.1 to 120 (default 5)
    #[argh(option, arg_name = "seconds")]
    timeout: Option<String>,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Peers {
    /// Asks all servers at once, and prints what they told.
    pub(super) fn run(&self) -> Exit {
        match super::find(self.config(), |_| {}) {
            Ok(found) => self.show(&found),
            Err(exit) => exit,
        }
    }

    fn config(&self) -> Result<Config, ConfigError> {
        // The servers, and nobody else.
        let config = Config { use_seeds: false, lan_service: None, exchange: false, ..Config::default() };
        let default = [check::default_url()];
        let servers = if self.server.is_empty() { &default } else { self.server.as_slice() };
        let mut config = super::with_servers(config, servers)?;
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

    fn show(&self, found: &Discovery) -> Exit {
        let answered = found.asked.iter().filter(|asked| matches!(asked.outcome, Some(Ok(_)))).count();
        if self.json {
            let servers = show::list(found.asked.iter().map(server_json));
            say(format_args!("{{\"peers\":{},\"servers\":{servers}}}", show::peers_json(&found.peers)));
        } else {
            found.asked.iter().for_each(complain_of);
            if !found.peers.is_empty() {
                say(show::peers(&found.peers).trim_end());
            } else if answered > 0 {
                say("no peers");
            }
        }
        if answered > 0 { Exit::Done } else { Exit::Failed }
    }
}

/// A server as JSON.
fn server_json(asked: &Asked) -> String {
    let (ok, peers, error) = match &asked.outcome {
        Some(Ok(told)) => (true, *told, "null".into()),
        Some(Err(failure)) => (false, 0, Quoted(&failure.to_string()).to_string()),
        None => (false, 0, Quoted(&Failure::TimedOut.to_string()).to_string()),
    };
    format!("{{\"url\":{},\"ok\":{ok},\"peers\":{peers},\"error\":{error}}}", Quoted(&asked.name))
}

/// Says what is wrong with a server, if anything is.
fn complain_of(asked: &Asked) {
    match &asked.outcome {
        Some(Ok(_)) if asked.refused == 0 => {}
        Some(Ok(_)) => warn(format_args!(
            "{}: {} peers were left out, malformed or with a wrong signature",
            asked.name, asked.refused
        )),
        Some(Err(failure)) => drop(complain(format_args!("{}: {failure}", asked.name), Exit::Failed)),
        None => drop(complain(format_args!("{}: {}", asked.name, Failure::TimedOut), Exit::Failed)),
    }
}
