//! Load generator: keeps a server busy from one thread and tells what each request costs it.
//!
//! ```text
//! cargo run --release --example load -- http --spawn target/release/waypost --path /health
//! cargo run --release --example load -- announce --target 127.0.0.1:8080 --pid 4711 --ids 100000
//! cargo run --release --example load -- udp find_peers --target 127.0.0.1:6881 --sockets 64
//! cargo run --release --example load -- tracker announce --target 127.0.0.1:6881 --peers 4096 --torrents 64 --spin
//! cargo run --release --example load -- attack --target 81.0.0.1:8080 --from 81.0.0.0 --connections 1280 --path /peers
//! cargo run --release --example load -- hostile --spawn target/release/waypost --requests 10000000
//! ```
//!
//! The loop is closed: a connection or socket sends its next request when the last one is answered. The figure that
//! compares servers is the processor time of the server per request; requests a second depend on the generator too.
//! A server that is not spawned here must run without rate limits, or most answers are refusals, which are counted.

mod attack;
mod clock;
mod echo;
mod epoll;
mod histogram;
mod hostile;
mod http;
mod json;
mod krpc;
mod process;
mod report;
mod swarms;
mod tracker;
mod udp;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use argh::FromArgs;

use process::{Server, Usage};
use report::{Report, Tally};

/// Keeps a server busy and tells what each request costs it.
#[derive(FromArgs)]
pub(crate) struct Options {
    /// what to send: http (GET --path), announce (POST /announce), udp (JSON), tracker (BEP 15), krpc (BEP 5); attack, which
    /// holds --connections by slow clients and tells how long a good one waits; hostile, which sends a mix of all that is bad
    /// and tells how much memory that takes; or echo, which sends back whatever comes, for comparison
    #[argh(positional)]
    what: What,
    /// with udp: ping, find_peers, announce; with tracker: connect, announce, scrape (which expects that all --peers have
    /// announced); with krpc: ping, find_node, get_peers, announce_peer
    #[argh(positional, default = "String::new()")]
    kind: String,
    /// address of a running server; with echo, its own
    #[argh(option)]
    target: Option<SocketAddr>,
    /// program to start as the server, as PROGRAM serve ..., without limits and on free ports
    #[argh(option)]
    spawn: Option<std::path::PathBuf>,
    /// process of a running server, for its cost; give it for each of several
    #[argh(option)]
    pid: Vec<u32>,
    /// seconds to measure, default 5
    #[argh(option, default = "5.0")]
    seconds: f64,
    /// seconds to run before measuring, default 0.5
    #[argh(option, default = "0.5")]
    warmup: f64,
    /// stop after this many answers
    #[argh(option, default = "u64::MAX")]
    requests: u64,
    /// with http and announce: connections, default 64
    #[argh(option, default = "64")]
    connections: usize,
    /// with http and announce: requests sent at once on a connection, default 1
    #[argh(option, default = "1")]
    pipeline: usize,
    /// with http: target of the request, default /health
    #[argh(option, default = "String::from(\"/health\")")]
    path: String,
    /// with udp, tracker and krpc: sockets, default 64; with tracker and krpc to 127.0.0.1, each has an address of its own
    #[argh(option, default = "64")]
    sockets: usize,
    /// with udp, tracker and krpc: sockets with a request under way at a time, default all
    #[argh(option, default = "usize::MAX")]
    window: usize,
    /// with udp, tracker and krpc: never wait for an answer, look for it again and again; this keeps the server busy if it
    /// has a processor of its own, as it must have
    #[argh(switch)]
    spin: bool,
    /// with tracker and krpc: peers, default 4096, a multiple of --torrents and of --sockets
    #[argh(option, default = "4096")]
    peers: usize,
    /// with tracker and krpc: torrents they share, default 64
    #[argh(option, default = "64")]
    torrents: usize,
    /// with tracker: peers wanted in an answer, default 30
    #[argh(option, default = "30")]
    want: u32,
    /// with echo: size of an answer, default 200
    #[argh(option, default = "200")]
    answer_bytes: usize,
    /// with echo: bytes of the request in front of the answer, default 8
    #[argh(option, default = "8")]
    skip: usize,
    /// with attack and hostile: the /8 to come from, default 127.0.0.0; from a LAN, as this is, a server may take more
    /// connections of one address
    #[argh(option, default = "std::net::Ipv4Addr::LOCALHOST")]
    from: std::net::Ipv4Addr,
    /// with announces: different ids, default 100000
    #[argh(option, default = "100_000")]
    ids: u64,
    /// with announces and find_peers: the network, default pscryptochat
    #[argh(option, default = "String::from(\"pscryptochat\")")]
    network: String,
}

/// What to send.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Http,
    Announce,
    Udp,
    Tracker,
    Krpc,
    Attack,
    Hostile,
    Echo,
}

impl FromStr for What {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "http" => Ok(Self::Http),
            "announce" => Ok(Self::Announce),
            "udp" => Ok(Self::Udp),
            "tracker" => Ok(Self::Tracker),
            "krpc" => Ok(Self::Krpc),
            "attack" => Ok(Self::Attack),
            "hostile" => Ok(Self::Hostile),
            "echo" => Ok(Self::Echo),
            _ => Err("there are http, announce, udp, tracker, krpc, attack, hostile and echo"),
        }
    }
}

/// A client that can be kept running.
trait Load {
    /// Runs for `time` or until `tally` holds `requests` answers.
    fn run(&mut self, time: Duration, requests: u64, tally: &mut Tally) -> std::io::Result<()>;
}

fn main() -> ExitCode {
    let options: Options = argh::from_env();
    match measure(&options) {
        Ok((text, is_clean)) => {
            print!("{text}");
            if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The protocol of datagrams that was asked for.
fn talk(options: &Options) -> std::io::Result<Box<dyn udp::Talk>> {
    let talk: Result<Box<dyn udp::Talk>, &str> = match options.what {
        What::Tracker => tracker::Tracker::new(options).map(|tracker| Box::new(tracker) as _),
        What::Krpc => krpc::Krpc::new(options).map(|krpc| Box::new(krpc) as _),
        _ => json::Json::new(options).map(|json| Box::new(json) as _),
    };
    talk.map_err(std::io::Error::other)
}

/// Sends a twentieth of `--requests`, looks at the server's memory, and sends the rest.
fn harass(server: &Server, options: &Options) -> std::io::Result<String> {
    let [network, ..] = options.from.octets();
    let mut hostile = hostile::Hostile::new(server.http, server.udp, network, 1);
    let mut counts = hostile::Counts::default();
    let resident =
        || Ok::<_, std::io::Error>(Usage::of(&[server.pid()])?.map_or(0, |usage| usage.resident_kib));
    let before = resident()?;
    hostile.run(options.requests / 20, &mut counts)?;
    let early = resident()?;
    hostile.run(options.requests.saturating_sub(counts.total()), &mut counts)?;
    let after = resident()?;
    Ok(format!(
        "{counts}requests             {:>10}\nresident at first    {before:>10} KiB\nresident after 5 %   {early:>10} KiB\n\
         resident at last     {after:>10} KiB\n",
        counts.total()
    ))
}

/// What was measured, as text, and whether nothing went wrong.
fn measure(options: &Options) -> std::io::Result<(String, bool)> {
    let spawned = options.spawn.as_deref().map(Server::spawn).transpose()?;
    if options.what == What::Hostile {
        let server = spawned.as_ref().ok_or_else(|| std::io::Error::other("give --spawn"))?;
        return Ok((harass(server, options)?, true));
    }
    let target = match (&spawned, options.target, options.what) {
        (Some(server), _, What::Http | What::Announce | What::Attack) => server.http,
        (Some(server), _, _) => server.udp,
        (None, Some(target), _) => target,
        (None, None, _) => return Err(std::io::Error::other("give --target or --spawn")),
    };
    let pids: Vec<u32> = options.pid.iter().copied().chain(spawned.as_ref().map(Server::pid)).collect();

    let mut load: Box<dyn Load> = match options.what {
        What::Http => Box::new(http::Client::new(target, http::Requests::get(options), options)?),
        What::Announce => Box::new(http::Client::new(target, http::Requests::announce(options), options)?),
        What::Udp | What::Tracker | What::Krpc => {
            Box::new(udp::Client::new(target, talk(options)?, options)?)
        }
        What::Attack => {
            let outcome = attack::run(target, options)?;
            return Ok((outcome.to_string(), outcome.is_clean()));
        }
        // Has been dealt with above.
        What::Hostile => return Ok((String::new(), false)),
        What::Echo => match echo::serve(&std::net::UdpSocket::bind(target)?, options)? {},
    };
    let mut warmup = Tally::new();
    load.run(Duration::from_secs_f64(options.warmup), options.requests, &mut warmup)?;

    let before = Usage::of(&pids)?;
    let mut tally = Tally::new();
    let began = clock::now();
    load.run(Duration::from_secs_f64(options.seconds), options.requests, &mut tally)?;
    let took = began.elapsed();
    let after = Usage::of(&pids)?;
    let start = spawned.as_ref().map(|server| server.start);
    let report = Report { tally, took, before, after, start };
    Ok((report.to_string(), report.tally.errors == 0))
}

/// What the command line `arguments` asks for.
#[cfg(test)]
fn options(arguments: &[&str]) -> Options {
    Options::from_args(&["load"], arguments).unwrap_or_else(|exit| panic!("{}", exit.output))
}
