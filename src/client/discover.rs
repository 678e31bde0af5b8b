//! Runs a [`Plan`] on sockets.

use std::io::ErrorKind;

use smol::Executor;
use smol::channel::{Sender, unbounded};

use super::cache;
use super::config::{Config, ConfigError, MAX_SERVERS, Server};
use super::failure::Failure;
use super::lan::{LanService, browse};
use super::message::{PeersAnswer, PeersQuery};
use super::plan::{Asked, Discovery, Level, Neighbour, Order, Plan, Step, Task};
use super::reach::{Reach, race};
use super::servers;
use super::url::ServerUrl;
use crate::time::Instant;

/// What a task has to say.
enum News {
    /// What an answer was, or why there is none.
    Answered(usize, Result<PeersAnswer, Failure>),
    /// Somebody is on the LAN.
    Found(Neighbour),
    /// Listening on the LAN has ended.
    Browsed(usize, Result<(), Failure>),
}

/// Finds peers by the whole chain (see [`super::plan`]), within the time that the configuration gives. `told` hears of everybody who
/// is asked, and again when an answer came or there will be none.
///
/// # Errors
/// What is wrong with the configuration. That nobody was found is no error: the result tells who was asked, and why they gave
/// nothing.
pub async fn discover(
    reach: &Reach,
    config: &Config,
    mut told: impl FnMut(&Asked),
) -> Result<Discovery, ConfigError> {
    config.check()?;
    let mut config = config.clone();
    let cached = config.cache.as_deref().map(cache::recall).unwrap_or_default();
    for url in cached {
        if config.servers.len() < MAX_SERVERS && config.servers.iter().all(|server| server.url != url) {
            config.servers.push(Server { url, priority: u32::MAX });
        }
    }
    let mut plan = Plan::new(reach.now(), config.clone(), reach.rng());
    let query = plan.query();
    let executor = Executor::new();
    let (sender, news) = unbounded();
    let (mut begun, mut ended) = (0, Vec::new());
    let run = async {
        loop {
            let step = plan.poll(reach.now());
            report(&plan, &mut begun, &mut ended, &mut told);
            match step {
                Step::Start(order) => {
                    executor.spawn(carry_out(reach, order, query.clone(), sender.clone())).detach();
                }
                Step::Done => break,
                Step::Wait(until) => {
                    match race::until(reach.clock(), until, news.recv()).await.and_then(Result::ok) {
                        Some(News::Answered(number, answer)) => plan.answered(reach.now(), number, answer),
                        Some(News::Found(neighbour)) => plan.found(neighbour),
                        Some(News::Browsed(number, result)) => plan.browsed(reach.now(), number, result),
                        None => {}
                    }
                }
            }
        }
    };
    executor.run(run).await;
    let found = plan.finish(reach.now());
    if let Some(path) = &config.cache {
        // A cache that cannot be written is none; whoever finds peers has no use for the reason.
        let _ = cache::remember(path, &answered(&config, &found));
    }
    Ok(found)
}

/// The servers that told of somebody.
fn answered(config: &Config, found: &Discovery) -> Vec<ServerUrl> {
    let good = |url: &&ServerUrl| {
        let label = url.label();
        found.asked.iter().any(|asked| {
            asked.level == Level::Servers && asked.name == label && matches!(asked.outcome, Some(Ok(1..)))
        })
    };
    config.servers.iter().map(|server| &server.url).filter(good).cloned().collect()
}

/// Tells of those who were asked since, and of those who are done since.
fn report(plan: &Plan, begun: &mut usize, ended: &mut Vec<bool>, told: &mut impl FnMut(&Asked)) {
    for (number, asked) in plan.all_asked().iter().enumerate() {
        if number >= *begun {
            *begun = number.saturating_add(1);
            ended.push(false);
            if asked.outcome.is_none() {
                told(asked);
            }
        }
        if let Some(ended) = ended.get_mut(number).filter(|ended| !**ended && asked.outcome.is_some()) {
            *ended = true;
            told(asked);
        }
    }
}

/// Does what a plan ordered.
async fn carry_out(reach: &Reach, order: Order, query: PeersQuery, news: Sender<News>) {
    let Order { number, task, deadline } = order;
    let last = match task {
        Task::Ask(url) => News::Answered(number, servers::peers(reach, &url, &query, deadline).await),
        Task::Exchange(address) => {
            let answer = match address.parse() {
                Ok(address) => reach.find_peers_at(address, &query, deadline).await,
                Err(_) => Err(Failure::Unsupported("no address")),
            };
            News::Answered(number, answer)
        }
        Task::Browse(service) => News::Browsed(number, listen(reach, &service, deadline, &news).await),
    };
    // Nobody hears it once the plan is done.
    let _ = news.send(last).await;
}

/// Listens on the LAN until then.
async fn listen(reach: &Reach, service: &str, until: Instant, news: &Sender<News>) -> Result<(), Failure> {
    let window = std::time::Duration::from_millis(until.ms_since(reach.now()));
    let found = |service: LanService| {
        let _ = news.try_send(News::Found(Neighbour {
            name: service.instance,
            is_server: service.is_server,
            id: service.id,
            addresses: service.addresses,
            port: service.port,
            udp_port: service.udp_port,
        }));
    };
    browse(service, window, found).await.map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::Unsupported("there is no LAN here"),
        _ => Failure::of_io(&error),
    })
}
