//! `waypost doctor`: looks for what keeps this machine and a server apart.

use argh::{ArgsInfo, FromArgs};

use super::show;
use crate::cli::{Exit, complain, say};
use crate::client::Client;
use crate::client::config::{Config, ConfigError, DEFAULT_BUDGET_MS, DEFAULT_SERVICE, service_of};
use crate::client::doctor::server::Patient;
use crate::client::doctor::{Finding, Rounds, Verdict, examine};
use crate::client::url::ServerUrl;
use crate::config::{DEFAULT_HTTP_PORT, DEFAULT_UDP_PORT};
use crate::quoted::Quoted;

/// look for what is broken, and say what to do
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "doctor",
    example = "{command_name}\n{command_name} --server https://bootstrap1.example.com --server udp://bootstrap1.example.com:6881",
    note = "A line for each thing that was looked at: ok, warn (something works all the same) or fail, and what to do. First this machine: its network, clock, resolver and CA certificates. Then each server, over HTTP and over UDP, at each of its IPv4 and IPv6 addresses: whether it answers, whether it is the same server everywhere, which address it sees this machine as, whether the clocks agree. Last the LAN: the port of mDNS, the interfaces that lead there, and who advertises.\n\nOf an http:// or https:// server UDP port 6881 is tried unless its port is named by --server udp://HOST:PORT. If no server is named, the one on this machine is looked at, with PORT (8080) and UDP_PORT (6881) from the environment.",
    error_code(1, "Something does not work."),
    error_code(2, "A flag is wrong.")
)]
pub(in crate::cli) struct Doctor {
    /// server to look at: http://, https://, udp://, waypost:, or a bare domain (repeatable)
    #[argh(option, arg_name = "url")]
    server: Vec<String>,
    /// DNS-SD service to look for on the LAN (default pscryptochat)
    #[argh(option, arg_name = "name")]
    service: Option<String>,
    /// do not look on the LAN
    #[argh(switch)]
    no_lan: bool,
    /// seconds for each server, 0.1 to 120 (default 5)
    #[argh(option, arg_name = "seconds")]
    timeout: Option<String>,
    /// print JSON
    #[argh(switch)]
    json: bool,
}

impl Doctor {
    /// Looks, and prints each finding as it comes.
    pub(super) fn run(&self) -> Exit {
        let prepared = self.rounds().and_then(|rounds| Ok((Client::new(Config::default())?, rounds)));
        let (client, rounds) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return complain(error, Exit::Usage),
        };
        let mut findings = Vec::new();
        let examined = super::wait_for(examine(client.reach(), &rounds, |finding| {
            if !self.json {
                say(line(finding));
            }
            findings.push(finding.clone());
        }));
        if let Err(exit) = examined {
            return exit;
        }
        if self.json {
            say(show::list(findings.iter().map(json)));
        }
        let failed = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
        if failed { Exit::Failed } else { Exit::Done }
    }

    /// What to look at, and for how long.
    fn rounds(&self) -> Result<Rounds, ConfigError> {
        let budget_ms = match &self.timeout {
            Some(seconds) => super::timeout_ms(seconds)?,
            None => DEFAULT_BUDGET_MS,
        };
        let service = self.service.as_deref().unwrap_or(DEFAULT_SERVICE);
        let service = service_of(service)
            .map_err(|problem| ConfigError::of(format_args!("--service {}: {problem}", Quoted(service))))?;
        Ok(Rounds { patients: self.patients()?, service: Some(service).filter(|_| !self.no_lan), budget_ms })
    }

    fn patients(&self) -> Result<Vec<Patient>, ConfigError> {
        if self.server.is_empty() {
            let http = port("PORT", DEFAULT_HTTP_PORT)?;
            let udp = Some(port("UDP_PORT", DEFAULT_UDP_PORT)?).filter(|port| *port != 0);
            return Ok(vec![Patient::local(http, udp)]);
        }
        let urls = self.server.iter().map(|text| {
            let wrong = |problem| ConfigError::of(format_args!("--server {}: {problem}", Quoted(text)));
            ServerUrl::parse(text).map_err(wrong)
        });
        Ok(Patient::of(urls.collect::<Result<Vec<_>, _>>()?))
    }
}

/// A port from the environment.
fn port(variable: &str, default: u16) -> Result<u16, ConfigError> {
    match std::env::var(variable).ok().filter(|text| !text.is_empty()) {
        None => Ok(default),
        Some(text) => text
            .parse()
            .map_err(|_| ConfigError::of(format_args!("{variable} {}: must be a port", Quoted(&text)))),
    }
}

fn line(finding: &Finding) -> String {
    let advice = finding.advice.as_ref().map_or_else(String::new, |advice| format!("; {advice}"));
    format!("{:4}  {:8}  {}{advice}", finding.verdict, finding.topic, finding.text)
}

fn json(finding: &Finding) -> String {
    let advice = finding.advice.as_ref().map_or_else(|| "null".into(), |advice| Quoted(advice).to_string());
    format!(
        "{{\"verdict\":\"{}\",\"topic\":\"{}\",\"text\":{},\"advice\":{advice}}}",
        finding.verdict,
        finding.topic,
        Quoted(&finding.text)
    )
}
