//! `waypost invite`: all that somebody needs to join, as text and as a QR code.

use std::io::IsTerminal as _;

use argh::{ArgsInfo, FromArgs};

use super::show;
use crate::cli::{Exit, complain, say, warn};
use crate::client::config::{Config, DEFAULT_NETWORK};
use crate::client::invite::Invite;
use crate::client::qr::{Qr, Terminal};
use crate::client::url::{Scheme, Target, Way};
use crate::client::{Client, failure::Failure};
use crate::limits::EARLIEST_CREDIBLE_UNIX_S;
use crate::net::clock::unix_ms;
use crate::quoted::Quoted;
use crate::wire::hex;

/// How long an invite is good, unless chosen.
const DEFAULT_LIFE: &str = "30d";
/// Time in which the server must tell its id, in milliseconds.
const ASK_MS: u64 = 5_000;

/// make an invite with which others join, as text and QR code
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "invite",
    example = "{command_name} --server http://198.51.100.7:8080 --server udp://198.51.100.7:6881\n{command_name} --server https://bootstrap1.example.com --network chess --expires 12h --svg invite.svg",
    note = "The server is asked for its id, and the invite names it: who joins believes only answers that this server has signed. A server that was started without --identity has another id after each start, and its invites end with it.",
    error_code(1, "The server did not tell its id, or the file could not be written."),
    error_code(2, "A flag is wrong, or the invite would be longer than 160 characters.")
)]
pub(in crate::cli) struct InviteCommand {
    /// way to the server: http://, https:// or udp:// (repeatable, 1 to 4)
    #[argh(option, arg_name = "url")]
    server: Vec<String>,
    /// network to invite to (default pscryptochat)
    #[argh(option, arg_name = "name")]
    network: Option<String>,
    /// how long it is good: seconds, 90m, 12h, 30d, or "never" (default 30d)
    #[argh(option, arg_name = "time")]
    expires: Option<String>,
    /// the server's id, 40 hex digits, instead of asking for it
    #[argh(option, arg_name = "hex")]
    id: Option<String>,
    /// leave the id out: any server that answers there will be believed
    #[argh(switch)]
    no_pin: bool,
    /// also write the QR code to this file, as an SVG image
    #[argh(option, arg_name = "file")]
    svg: Option<String>,
    /// print the QR code also where standard output is no terminal
    #[argh(switch)]
    qr: bool,
    /// print no QR code
    #[argh(switch)]
    no_qr: bool,
    /// draw the QR code for dark text on a light ground, without colours
    #[argh(switch)]
    invert: bool,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

/// Why there is no invite, and how the program ends.
type Refusal = (String, Exit);

impl InviteCommand {
    /// Makes it and prints it.
    pub(super) fn run(&self) -> Exit {
        match self.make() {
            Ok(invite) => self.show(&invite),
            Err((line, exit)) => complain(line, exit),
        }
    }

    fn make(&self) -> Result<Invite, Refusal> {
        let usage = |line: String| (line, Exit::Usage);
        let way = |text: &String| {
            Way::parse(text).map_err(|problem| usage(format!("--server {}: {problem}", Quoted(text))))
        };
        let ways = self.server.iter().map(way).collect::<Result<Vec<_>, _>>()?;
        let mut invite = Invite {
            ways,
            bootstrap_id: None,
            network: self.network.clone().unwrap_or_else(|| DEFAULT_NETWORK.into()),
            expires_unix_s: self.end().map_err(usage)?,
        };
        // Before anybody is asked.
        invite.emit().map_err(|problem| usage(format!("{problem}{}", advice(&invite))))?;
        invite.bootstrap_id = self.pin(&invite)?;
        invite.emit().map_err(|problem| usage(format!("{problem}{}", advice(&invite))))?;
        Ok(invite)
    }

    /// The Unix second at which it ends.
    fn end(&self) -> Result<Option<u64>, String> {
        let text = self.expires.as_deref().unwrap_or(DEFAULT_LIFE);
        if text == "never" {
            return Ok(None);
        }
        let (number, unit) = match text.char_indices().last() {
            Some((at, 'd')) => (text.get(..at), 86_400),
            Some((at, 'h')) => (text.get(..at), 3_600),
            Some((at, 'm')) => (text.get(..at), 60),
            _ => (Some(text), 1),
        };
        let digits = |text: &&str| text.bytes().all(|byte| byte.is_ascii_digit());
        let number = number.filter(digits).and_then(|text| text.parse::<u32>().ok()).filter(|n| *n > 0);
        let number = number.ok_or_else(|| {
            format!("--expires {}: must be seconds, or a number of m, h or d, or \"never\"", Quoted(text))
        })?;
        let now = unix_ms() / 1000;
        if now < EARLIEST_CREDIBLE_UNIX_S {
            return Err(
                "this machine's clock is not set, so it cannot tell an end: set it, or give --expires never"
                    .into(),
            );
        }
        Ok(Some(now.saturating_add(u64::from(number).saturating_mul(unit))))
    }

    /// Whose key must sign.
    fn pin(&self, invite: &Invite) -> Result<Option<[u8; 20]>, Refusal> {
        let usage = |line: &str| Err((line.to_owned(), Exit::Usage));
        match (&self.id, self.no_pin) {
            (Some(_), true) => return usage("--id and --no-pin: one of them"),
            (None, true) => return Ok(None),
            (Some(text), false) => {
                let id = hex::decode(text.as_bytes()).filter(|id| *id != [0; 20]);
                return match id {
                    Some(id) => Ok(Some(id)),
                    None => Err((format!("--id {}: must be 40 hex digits", Quoted(text)), Exit::Usage)),
                };
            }
            (None, false) => {}
        }
        let mut known: Option<([u8; 20], &Way)> = None;
        for way in invite.ways.iter().filter(|way| way.scheme != Scheme::Udp) {
            let id = ask(way).map_err(|failure| {
                let line = format!("{way}: {failure}; without its id: --no-pin, or give it by --id");
                (line, Exit::Failed)
            })?;
            match known {
                Some((other, first)) if other != id => {
                    let line = format!(
                        "{first} and {way} are two servers: their ids differ, and an invite is for one"
                    );
                    return Err((line, Exit::Failed));
                }
                _ => known = Some((id, way)),
            }
        }
        match known {
            Some((id, _)) => Ok(Some(id)),
            None => usage(
                "over udp:// alone a server cannot prove who it is: add an http:// way, or give --no-pin",
            ),
        }
    }

    fn terminal(&self) -> Terminal {
        match self.invert {
            true => Terminal::Light,
            false if has_colours() => Terminal::Coloured,
            false => Terminal::Dark,
        }
    }

    fn show(&self, invite: &Invite) -> Exit {
        // It was written once before.
        let text = invite.to_string();
        let qr = match Qr::of(&text) {
            Ok(qr) => qr,
            Err(error) => return complain(error, Exit::Failed),
        };
        if let Some(path) = &self.svg
            && let Err(error) = std::fs::write(path, qr.svg())
        {
            return complain(format_args!("--svg {}: {error}", Quoted(path)), Exit::Failed);
        }
        if self.json {
            let ways = show::list(invite.ways.iter().map(|way| Quoted(&way.to_string()).to_string()));
            let id =
                invite.bootstrap_id.map_or_else(|| "null".into(), |id| Quoted(&show::hex(&id)).to_string());
            let end = invite.expires_unix_s.map_or_else(|| "null".into(), |second| second.to_string());
            return say(format_args!(
                "{{\"invite\":{},\"servers\":{ways},\"bootstrap_id\":{id},\"network\":{},\"expires\":{end}}}",
                Quoted(&text),
                Quoted(&invite.network)
            ));
        }
        say(&text);
        if (self.qr || std::io::stdout().is_terminal()) && !self.no_qr {
            say(qr.terminal(self.terminal()).trim_end_matches('\n'));
        }
        if let Some(way) = invite.ways.iter().find(|way| is_near(way)) {
            warn(format_args!("{way} leads nowhere but from this machine or its network"));
        }
        Exit::Done
    }
}

/// Whether a terminal takes escape sequences (no-color.org).
fn has_colours() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    std::io::stdout().is_terminal()
        && set("NO_COLOR").is_none()
        && set("TERM").is_some_and(|term| term != "dumb")
}

/// What to do about an invite that cannot be.
fn advice(invite: &Invite) -> &'static str {
    match invite.ways.len() {
        0 => ": name one by --server",
        2..=4 => ": leave out a way, or take a shorter name",
        _ => "",
    }
}

/// Whether a way is an address of this machine or of a private network.
fn is_near(way: &Way) -> bool {
    let address = way.host.parse::<std::net::IpAddr>();
    way.host == "localhost" || address.is_ok_and(|ip| crate::addr::CanonicalAddr::new(ip).is_lan())
}

/// The id that a server tells of itself.
fn ask(way: &Way) -> Result<[u8; 20], Failure> {
    let client = Client::new(Config::default()).map_err(|error| Failure::Broken(error.to_string()))?;
    let reach = client.reach();
    let target = Target::from(way.clone());
    let deadline = reach.clock().now().plus_ms(ASK_MS);
    let (told, _) = smol::block_on(reach.well_known(&target, deadline))?;
    let id = told.bootstrap_id.and_then(|text| hex::decode(text.as_bytes()));
    id.ok_or(Failure::Nonsense("it tells no id"))
}
