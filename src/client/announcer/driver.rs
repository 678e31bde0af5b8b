//! Runs an [`Announcer`] on sockets.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use smol::Executor;
use smol::channel::{Sender, unbounded};
use smol::future::or;

use super::{Announcer, Event, Goodbye, Introduction, Step, What};
use crate::client::failure::Failure;
use crate::client::message::{AnnounceAnswer, PeersQuery};
use crate::client::pow::{MAX_TIME, Unsolved, solve};
use crate::client::reach::{Reach, race};
use crate::client::servers;
use crate::client::url::{Scheme, ServerUrl, Target};
use crate::net::clock::{Clock, unix_ms};
use crate::time::{Instant, WallClock};

/// Time for saying goodbye when all is over, in milliseconds.
const LEAVE_MS: u64 = 1_000;

/// What came of a step.
enum News {
    Located(usize, Result<Vec<Target>, Failure>),
    Asked(usize, Result<Introduction, Failure>),
    Answered(usize, Result<AnnounceAnswer, Failure>),
    Solved(usize, Result<u64, Unsolved>),
}

/// Keeps a peer announced until `stop` is ready, and then tells the servers goodbye, for a second at most. `told` hears how it
/// goes. One that announces once is done when every server has answered or failed.
pub async fn keep_announced(
    reach: &Reach,
    announcer: &mut Announcer,
    mut told: impl FnMut(Event),
    stop: impl Future<Output = ()>,
) {
    let executor = Executor::new();
    let stopped = async {
        stop.await;
        true
    };
    let announced = async {
        announce(reach, &executor, announcer, &mut told).await;
        false
    };
    let is_stopped = executor.run(or(stopped, announced)).await;
    drop(executor);
    if is_stopped {
        let now = reach.now();
        say_goodbye(reach, announcer.leave(now), now.plus_ms(LEAVE_MS), &mut told).await;
    }
}

/// Takes a peer back from all servers that it may have been announced at by an earlier run. `told` hears how it goes.
pub async fn leave_everywhere(reach: &Reach, announcer: &mut Announcer, mut told: impl FnMut(Event)) {
    loop {
        let now = look_at_the_clocks(reach, announcer);
        let Step::Locate { origin, url, afresh } = announcer.poll(now) else { break };
        let found = locate(reach, &url, afresh, now.plus_ms(announcer.answer_ms())).await;
        announcer.located(reach.now(), origin, found).into_iter().for_each(&mut told);
    }
    let now = look_at_the_clocks(reach, announcer);
    let deadline = now.plus_ms(announcer.answer_ms());
    say_goodbye(reach, announcer.leave_all(now), deadline, &mut told).await;
}

/// What time it is, which the announcer is told too.
fn look_at_the_clocks(reach: &Reach, announcer: &mut Announcer) -> Instant {
    let now = reach.now();
    announcer.set_wall_clock(WallClock::read(now, unix_ms()));
    now
}

/// Does what the announcer wants, all servers beside each other, until it wants nothing any more.
async fn announce<'r>(
    reach: &'r Reach,
    executor: &Executor<'r>,
    announcer: &mut Announcer,
    told: &mut impl FnMut(Event),
) {
    let (sender, news) = unbounded();
    let mut under_way: usize = 0;
    let mut solver = None;
    loop {
        let now = look_at_the_clocks(reach, announcer);
        let until = match announcer.poll(now) {
            Step::Nothing if under_way == 0 => return,
            Step::Nothing => None,
            Step::Wait(until) => Some(until),
            Step::Solve { server, challenge, difficulty } => {
                under_way = under_way.saturating_add(1);
                solver = Some(Solver::start(reach.clock(), server, challenge, difficulty, sender.clone()));
                continue;
            }
            step => {
                under_way = under_way.saturating_add(1);
                let deadline = now.plus_ms(announcer.answer_ms());
                let network = announcer.own.network.clone();
                executor.spawn(carry_out(reach, step, network, deadline, sender.clone())).detach();
                continue;
            }
        };
        let came = match until {
            Some(until) => race::until(reach.clock(), until, news.recv()).await.and_then(Result::ok),
            None => news.recv().await.ok(),
        };
        let Some(came) = came else { continue };
        under_way = under_way.saturating_sub(1);
        let now = reach.now();
        let event = match came {
            News::Located(origin, found) => announcer.located(now, origin, found),
            News::Asked(server, answer) => announcer.asked(now, server, answer),
            News::Answered(server, answer) => announcer.answered(now, server, answer),
            News::Solved(server, nonce) => {
                drop(solver.take());
                announcer.solved(now, server, nonce)
            }
        };
        event.into_iter().for_each(&mut *told);
    }
}

/// Does one step, and tells what came of it.
async fn carry_out(reach: &Reach, step: Step, network: String, deadline: Instant, sender: Sender<News>) {
    let news = match step {
        Step::Locate { origin, url, afresh } => {
            News::Located(origin, locate(reach, &url, afresh, deadline).await)
        }
        Step::Ask { server, target } => {
            News::Asked(server, introduction(reach, &target, network, deadline).await)
        }
        Step::Announce { server, target, announce } => {
            News::Answered(server, reach.announce(&target, &announce, deadline).await)
        }
        Step::Solve { .. } | Step::Wait(_) | Step::Nothing => return,
    };
    // Nobody hears it when all is over.
    let _ = sender.try_send(news);
}

/// Finds the ways to who is called so.
async fn locate(
    reach: &Reach,
    url: &ServerUrl,
    afresh: bool,
    deadline: Instant,
) -> Result<Vec<Target>, Failure> {
    if let (ServerUrl::Domain(domain), true) = (url, afresh) {
        reach.forget(domain);
    }
    servers::targets(reach, url, deadline).await
}

/// Asks a server who it is and who we are.
async fn introduction(
    reach: &Reach,
    target: &Target,
    network: String,
    deadline: Instant,
) -> Result<Introduction, Failure> {
    if target.way.scheme == Scheme::Udp && target.pin.is_none() {
        let pong = reach.ping(target, deadline).await?;
        let you = pong.you.map(|addr| addr.ip());
        return Ok(Introduction { you, bootstrap_id: pong.server_id, server_time: None });
    }
    let query = PeersQuery { network, limit: 1, transport: Vec::new(), exclude: None };
    let answer = reach.peers(target, &query, deadline).await?;
    Ok(Introduction { you: answer.you, bootstrap_id: answer.bootstrap_id, server_time: answer.server_time })
}

/// Says all these goodbyes beside each other, and tells what came of each.
async fn say_goodbye(reach: &Reach, goodbyes: Vec<Goodbye>, deadline: Instant, told: &mut impl FnMut(Event)) {
    let executor = Executor::new();
    let (sender, said) = unbounded();
    for mut goodbye in goodbyes {
        let sender = sender.clone();
        let say = async move {
            let what = match leave(reach, &mut goodbye, deadline).await {
                Ok(removed) => What::Left(removed),
                Err(failure) => What::NotLeft(failure),
            };
            let _ = sender.try_send(Event { server: goodbye.server, what });
        };
        executor.spawn(say).detach();
    }
    drop(sender);
    let hear = async {
        while let Ok(event) = said.recv().await {
            told(event);
        }
    };
    executor.run(hear).await;
}

/// Says one goodbye, on one way after the other.
async fn leave(reach: &Reach, goodbye: &mut Goodbye, deadline: Instant) -> Result<bool, Failure> {
    let mut result = Err(Failure::TimedOut);
    let mut left = u64::try_from(goodbye.ways.len()).unwrap_or(u64::MAX);
    for target in goodbye.ways.clone() {
        // Each has a fair part of the time that is left.
        let now = reach.now();
        let part_ms = deadline.ms_since(now).checked_div(left).unwrap_or(0);
        left = left.saturating_sub(1);
        loop {
            result = reach.leave(&target, &goodbye.leave, now.plus_ms(part_ms)).await;
            if !(is_stale(&result) && goodbye.raise()) {
                break;
            }
        }
        if matches!(result, Ok(_) | Err(Failure::Refused { .. })) {
            break;
        }
    }
    result
}

fn is_stale(result: &Result<bool, Failure>) -> bool {
    matches!(result, Err(Failure::Refused { word, .. }) if word == "stale_seq")
}

/// A challenge that is being solved on a thread of its own. It is given up when this is dropped.
struct Solver(Arc<AtomicBool>);

impl Solver {
    fn start(clock: Clock, server: usize, challenge: String, difficulty: u8, sender: Sender<News>) -> Self {
        let given_up = Arc::new(AtomicBool::new(false));
        let is_given_up = Arc::clone(&given_up);
        let failed = sender.clone();
        let began = clock.now();
        let work = move || {
            let nonce = solve(&challenge, difficulty, || {
                let spent = Duration::from_millis(clock.now().ms_since(began));
                if is_given_up.load(Ordering::Relaxed) { MAX_TIME } else { spent }
            });
            // Nobody hears it when all is over.
            let _ = sender.try_send(News::Solved(server, nonce));
        };
        if thread::Builder::new().name("work".into()).spawn(work).is_err() {
            let _ = failed.try_send(News::Solved(server, Err(Unsolved::GaveUp)));
        }
        Self(given_up)
    }
}

impl Drop for Solver {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
