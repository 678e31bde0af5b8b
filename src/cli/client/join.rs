//! `waypost join`: finds peers by an invite.

use argh::{ArgsInfo, FromArgs};

use super::discover::{conclude, tell};
use super::show;
use crate::cli::{Exit, complain, say};
use crate::client::config::{Config, ConfigError};
use crate::client::date::{Date, Day};
use crate::client::invite::{BadInvite, Invite};
use crate::limits::EARLIEST_CREDIBLE_UNIX_S;
use crate::net::clock::unix_ms;
use crate::quoted::Quoted;

/// find peers by an invite, and keep it for later
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "join",
    example = "{command_name} waypost:AhhodHRwOi8v...\n{command_name} --save waypost.json waypost:AhhodHRwOi8v... && waypost discover --config waypost.json",
    note = "The server must prove by its signature that it is the one the invite is for. Then the chain goes on as with discover: the LAN, seeds, and the peers that were found.",
    error_code(1, "The invite has expired, or its server gave nothing and nobody else was found."),
    error_code(2, "That is no invite, or a flag is wrong.")
)]
pub(in crate::cli) struct Join {
    /// the invite
    #[argh(positional)]
    invite: String,
    /// write a configuration for waypost discover --config
    #[argh(option, arg_name = "file")]
    save: Option<String>,
    /// seconds for everything, 0.1 to 120 (default 5)
    #[argh(option, arg_name = "seconds")]
    timeout: Option<String>,
    /// do not look on the LAN
    #[argh(switch)]
    no_lan: bool,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Join {
    /// Joins, and prints who is there.
    pub(super) fn run(&self) -> Exit {
        let invite = match Invite::parse(self.invite.trim()) {
            Ok(invite) => invite,
            Err(BadInvite::Scheme) => return complain("an invite begins with waypost:", Exit::Usage),
            Err(problem) => return complain(problem, Exit::Usage),
        };
        let now = unix_ms() / 1000;
        if let Some(end) = invite.expires_unix_s.filter(|_| invite.has_expired(now)) {
            return complain(
                format_args!("the invite expired on {}: ask for a new one", Day(end)),
                Exit::Failed,
            );
        }
        let config = match self.config(&invite) {
            Ok(config) => config,
            Err(error) => return complain(error, Exit::Usage),
        };
        if let Some(path) = &self.save {
            // Who has joined may stay.
            let lasting = Invite { expires_unix_s: None, ..invite.clone() }.to_string();
            let text = format!("{{\"bootstrap\":{{\"servers\":[{{\"url\":{}}}]}}}}\n", Quoted(&lasting));
            if let Err(error) = std::fs::write(path, text) {
                return complain(format_args!("--save {}: {error}", Quoted(path)), Exit::Failed);
            }
        }
        if !self.json {
            introduce(&invite, now);
        }
        match super::find(Ok(config), |asked| tell(asked, self.json)) {
            Ok(found) => conclude(&found, self.json),
            Err(exit) => exit,
        }
    }

    fn config(&self, invite: &Invite) -> Result<Config, ConfigError> {
        let mut config = Config::of_server(&invite.to_string())?;
        if let Some(seconds) = &self.timeout {
            config.budget_ms = super::timeout_ms(seconds)?;
        }
        if self.no_lan {
            config.lan_service = None;
        }
        Ok(config)
    }
}

/// What the invite says, in lines for people.
fn introduce(invite: &Invite, now: u64) {
    let ways: Vec<String> = invite.ways.iter().map(ToString::to_string).collect();
    say(format_args!("network   {}", invite.network));
    say(format_args!("server    {}", ways.join(" or ")));
    match &invite.bootstrap_id {
        Some(id) => say(format_args!("identity  {}, proved by signatures", show::hex(id))),
        None => say("identity  none: whoever answers there is believed"),
    };
    if let Some(end) = invite.expires_unix_s {
        let unsure = if now < EARLIEST_CREDIBLE_UNIX_S {
            "; this machine's clock is not set, and cannot tell"
        } else {
            ""
        };
        say(format_args!("expires   {}{unsure}", Date(end)));
    }
    say("");
}
