//! The fallback chain, sans-IO: whom to ask next, what came back, and when to give up.
//!
//! A [`Plan`] is driven by a loop: [`Plan::poll`] says what to start or until when to wait, what comes of it is handed to
//! [`Plan::answered`], [`Plan::found`] and [`Plan::browsed`], and after [`Step::Done`] the result is [`Plan::finish`]. The levels:
//!
//! 1. **Bootstrap servers**, eight at a time. Those of one priority start together; the next ones start when these are done, or
//!    half a second later: a first success stops nothing, or one server could be the only one that is heard.
//! 2. **The LAN**, beside them from the beginning, for two fifths of the time, at most two seconds.
//! 3. **Seeds**, when all servers are done or out of time and none gave a peer.
//! 4. **Peer exchange**, after the servers: peers with a `udp` endpoint are asked for more while fewer are known than
//!    wanted; four at a time, eight in all, and what they tell of may be asked too.
//!
//! Everything ends with the time that the configuration gives for it.

mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::config::Config;
use super::failure::Failure;
use super::message::{PeerRecord, PeersAnswer, PeersQuery};
use super::pool::{Pool, Rules, Settled, Source};
use super::url::{Scheme, ServerUrl, Way};
use crate::addr::{CanonicalAddr, Scope};
use crate::id::PeerId;
use crate::rng::Rng;
use crate::time::Instant;

pub use step::{Asked, Discovery, Level, Neighbour, Order, Step, Task};

/// Most servers that are asked at a time.
const SERVERS_AT_ONCE: usize = 8;
/// Head start of one priority before the next, in milliseconds.
const HEAD_START_MS: u64 = 500;
/// Longest time that the LAN is listened to, in milliseconds.
const BROWSE_MS: u64 = 2_000;
/// Most servers of the LAN that are asked.
const MAX_LAN_SERVERS: usize = 4;
/// Most neighbours that are taken in.
const MAX_NEIGHBOURS: usize = 64;
/// Most peers that are asked for others at a time, and in all.
const EXCHANGES_AT_ONCE: usize = 4;
const MAX_EXCHANGES: usize = 8;
/// Time for a peer's answer, in milliseconds.
const EXCHANGE_MS: u64 = 1_200;

/// The chain, on its way.
pub struct Plan {
    config: Config,
    started: Instant,
    deadline: Instant,
    rng: Rng,
    /// Servers of each priority that have not had their turn, the next one last.
    priorities: Vec<Vec<ServerUrl>>,
    /// Servers whose turn it is.
    due: Vec<ServerUrl>,
    /// When those of the next priority have their turn, though others are not done.
    next_priority: Instant,
    running: BTreeMap<usize, (Source, Instant)>,
    asked: Vec<Asked>,
    pool: Pool,
    /// Whether a server of the configuration told of a peer.
    served: bool,
    browsing: bool,
    seeded: bool,
    /// Seeds and servers of the LAN that have not been asked yet.
    later: Vec<(Source, ServerUrl)>,
    neighbours: usize,
    lan_servers: usize,
    exchanged: BTreeSet<String>,
    you: BTreeSet<IpAddr>,
}

impl Plan {
    /// A chain that starts now.
    pub fn new(now: Instant, config: Config, rng: Rng) -> Self {
        let mut priorities: BTreeMap<u32, Vec<ServerUrl>> = BTreeMap::new();
        for server in config.servers.iter().rev() {
            priorities.entry(server.priority).or_default().push(server.url.clone());
        }
        Self {
            started: now,
            deadline: now.plus_ms(config.budget_ms),
            rng,
            priorities: priorities.into_values().rev().collect(),
            due: Vec::new(),
            next_priority: now,
            running: BTreeMap::new(),
            asked: Vec::new(),
            pool: Pool::default(),
            served: false,
            browsing: false,
            seeded: false,
            later: Vec::new(),
            neighbours: 0,
            lan_servers: 0,
            exchanged: BTreeSet::new(),
            you: BTreeSet::new(),
            config,
        }
    }

    /// What all servers are asked.
    pub fn query(&self) -> PeersQuery {
        PeersQuery {
            network: self.config.network.clone(),
            limit: 50,
            transport: self.config.transport.clone(),
            exclude: self.config.own_id.clone(),
        }
    }

    /// What to do now.
    pub fn poll(&mut self, now: Instant) -> Step {
        self.give_up(now);
        if now >= self.deadline {
            return Step::Done;
        }
        if let Some(order) = self.next_order(now) {
            return Step::Start(order);
        }
        let next = self.running.values().map(|(_, deadline)| *deadline).min();
        match next {
            None => Step::Done,
            Some(deadline) if self.priorities.is_empty() => Step::Wait(deadline.min(self.deadline)),
            Some(deadline) => Step::Wait(deadline.min(self.next_priority).min(self.deadline)),
        }
    }

    /// Takes the answer to an order to ask, or why there is none. One that is no longer waited for changes nothing.
    pub fn answered(&mut self, now: Instant, number: usize, answer: Result<PeersAnswer, Failure>) {
        let Some((source, _)) = self.running.remove(&number) else { return };
        let outcome = answer.map(|answer| {
            let told = answer.peers.len();
            self.served |= matches!(source, Source::Server(_)) && told > 0;
            self.you.extend(answer.you);
            if let Some(asked) = self.asked.get_mut(number) {
                asked.refused = answer.refused;
            }
            self.pool.add(source, answer.from, answer.peers);
            told
        });
        self.note(now, number, outcome);
    }

    /// Takes somebody that was found on the LAN.
    pub fn found(&mut self, neighbour: Neighbour) {
        let usable = |ip: &IpAddr| match ip {
            // A link-local address is of use only together with an interface.
            IpAddr::V6(v6) => !v6.is_unicast_link_local(),
            IpAddr::V4(_) => true,
        };
        let mut addresses = neighbour.addresses.into_iter().filter(usable);
        if neighbour.is_server {
            let Some(ip) = addresses.next().filter(|_| self.lan_servers < MAX_LAN_SERVERS) else { return };
            self.lan_servers = self.lan_servers.saturating_add(1);
            let way = Way { scheme: Scheme::Http, host: ip.to_string(), port: neighbour.port };
            self.later.push((Source::LanServer(way.to_string()), ServerUrl::Way(way)));
            return;
        }
        if self.neighbours == MAX_NEIGHBOURS {
            return;
        }
        self.neighbours = self.neighbours.saturating_add(1);
        let mut endpoints = Vec::new();
        for ip in addresses.filter(|ip| CanonicalAddr::new(*ip).scope() != Scope::Invalid).take(2) {
            endpoints.push(format!("tcp://{}", SocketAddr::new(ip, neighbour.port)));
            endpoints.extend(neighbour.udp_port.map(|port| format!("udp://{}", SocketAddr::new(ip, port))));
        }
        let id = neighbour.id.filter(|id| PeerId::parse(id).is_ok());
        if !endpoints.is_empty() {
            self.pool.add(Source::Lan, None, [PeerRecord { id, endpoints, age_s: Some(0), seal: None }]);
        }
    }

    /// Takes the end of an order to browse: an error if the LAN could not be listened to.
    pub fn browsed(&mut self, now: Instant, number: usize, result: Result<(), Failure>) {
        if self.running.remove(&number).is_some() {
            let found = self.neighbours.saturating_add(self.lan_servers);
            self.note(now, number, result.map(|()| found));
        }
    }

    /// Whoever was asked by this order, and what came of it.
    pub fn asked(&self, number: usize) -> Option<&Asked> {
        self.asked.get(number)
    }

    /// Everybody who was asked, by the numbers of their orders.
    pub fn all_asked(&self) -> &[Asked] {
        &self.asked
    }

    /// Ends the chain, now or before it is done.
    pub fn finish(mut self, now: Instant) -> Discovery {
        for number in std::mem::take(&mut self.running).into_keys() {
            self.note(now, number, Err(Failure::TimedOut));
        }
        let rules = Rules {
            quorum: self.config.quorum,
            wanted: self.config.wanted,
            own_id: self.config.own_id.as_deref(),
            transport: &self.config.transport,
        };
        let Settled { peers, left_out } = self.pool.settle(rules, &mut self.rng);
        Discovery {
            peers,
            left_out,
            asked: self.asked,
            you: self.you.into_iter().collect(),
            took_ms: now.ms_since(self.started),
        }
    }

    /// Forgets those who had their time.
    fn give_up(&mut self, now: Instant) {
        let late = self.running.iter().filter(|(_, (_, deadline))| *deadline <= now);
        let late: Vec<(usize, Source)> =
            late.map(|(number, (source, _))| (*number, source.clone())).collect();
        for (number, source) in late {
            match source {
                // Listening has no other end than that of its time.
                Source::Lan => self.browsed(now, number, Ok(())),
                _ => self.answered(now, number, Err(Failure::TimedOut)),
            }
        }
    }

    /// The next thing to start, if there is one.
    fn next_order(&mut self, now: Instant) -> Option<Order> {
        if !std::mem::replace(&mut self.browsing, true)
            && let Some(service) = self.config.lan_service.clone()
        {
            let window = (self.config.budget_ms / 5).saturating_mul(2).min(BROWSE_MS);
            return Some(self.start(now, Source::Lan, Task::Browse(service), now.plus_ms(window)));
        }
        let servers_end = self.started.plus_ms((self.config.budget_ms / 5).saturating_mul(3));
        if let Some(url) = self.next_server(now, servers_end) {
            return Some(self.start(now, Source::Server(url.label()), Task::Ask(url), servers_end));
        }
        let over = self.servers_running() == 0 && self.due.is_empty() && self.priorities.is_empty();
        if over && !self.served && self.config.use_seeds && !std::mem::replace(&mut self.seeded, true) {
            self.sow(now);
        }
        if let Some((source, url)) = self.later.pop() {
            return Some(self.start(now, source, Task::Ask(url), self.deadline));
        }
        let exchange = if over { self.next_exchange() } else { None };
        exchange.map(|address| {
            let source = Source::Exchange(address.clone());
            self.start(now, source, Task::Exchange(address), now.plus_ms(EXCHANGE_MS))
        })
    }

    /// The next server to ask, if it is its turn. After `end` no server is asked any more.
    fn next_server(&mut self, now: Instant, end: Instant) -> Option<ServerUrl> {
        if now >= end {
            let late = std::mem::take(&mut self.priorities).into_iter().rev().flatten();
            for url in std::mem::take(&mut self.due).into_iter().chain(late) {
                let number = self.start(now, Source::Server(url.label()), Task::Ask(url), now).number;
                self.answered(now, number, Err(Failure::TimedOut));
            }
            return None;
        }
        let running = self.servers_running();
        if self.due.is_empty() && (running == 0 || now >= self.next_priority) {
            self.due = self.priorities.pop()?;
            self.next_priority = now.plus_ms(HEAD_START_MS);
        }
        if running < SERVERS_AT_ONCE { self.due.pop() } else { None }
    }

    fn servers_running(&self) -> usize {
        self.running.values().filter(|(source, _)| matches!(source, Source::Server(_))).count()
    }

    /// Takes the seeds in: as peers, and those that can be asked as servers.
    fn sow(&mut self, now: Instant) {
        let (mut peers, mut names) = (Vec::new(), Vec::new());
        for seed in &self.config.seeds {
            if let Ok(way) = Way::parse(seed) {
                if way.scheme == Scheme::Udp {
                    // Once is enough.
                    self.exchanged.insert(way.authority());
                }
                let source = Source::Exchange(seed.clone());
                self.later.push((source, ServerUrl::Way(way)));
            }
            if !seed.starts_with("http") {
                peers.push(PeerRecord { id: None, endpoints: vec![seed.clone()], age_s: None, seal: None });
            }
            names.push(seed.clone());
        }
        if !names.is_empty() {
            let told = peers.len();
            self.pool.add(Source::Seed, None, peers);
            let number = self.asked.len();
            self.asked.push(Asked::begun(Level::Seeds, "hard-coded seeds".into(), now));
            self.note(now, number, Ok(told));
        }
    }

    /// Somebody who may know more peers, drawn at random.
    fn next_exchange(&mut self) -> Option<String> {
        let running =
            self.running.values().filter(|(source, _)| matches!(source, Source::Exchange(_))).count();
        let enough = self.pool.len() >= self.config.wanted;
        if !self.config.exchange
            || enough
            || running >= EXCHANGES_AT_ONCE
            || self.exchanged.len() >= MAX_EXCHANGES
        {
            return None;
        }
        let known = self.config.known.iter().filter_map(|text| text.strip_prefix("udp://"));
        let candidates: Vec<&str> = known
            .chain(self.pool.udp_endpoints())
            .filter(|address| address.parse::<SocketAddr>().is_ok() && !self.exchanged.contains(*address))
            .collect();
        let chosen = self.rng.below(u32::try_from(candidates.len()).unwrap_or(u32::MAX));
        let address: String = (*candidates.get(usize::try_from(chosen).ok()?)?).into();
        self.exchanged.insert(address.clone());
        Some(address)
    }

    fn start(&mut self, now: Instant, source: Source, task: Task, deadline: Instant) -> Order {
        let (level, name) = match &source {
            Source::Server(name) => (Level::Servers, name.clone()),
            Source::LanServer(name) => (Level::Lan, name.clone()),
            Source::Exchange(name) if matches!(task, Task::Ask(_)) => (Level::Seeds, name.clone()),
            Source::Exchange(name) => (Level::Exchange, name.clone()),
            Source::Lan | Source::Seed => match &task {
                Task::Browse(service) => (Level::Lan, service.clone()),
                _ => (Level::Seeds, String::new()),
            },
        };
        let number = self.asked.len();
        let deadline = deadline.min(self.deadline);
        self.asked.push(Asked::begun(level, name, now));
        self.running.insert(number, (source, deadline));
        Order { number, task, deadline }
    }

    fn note(&mut self, now: Instant, number: usize, outcome: Result<usize, Failure>) {
        if let Some(asked) = self.asked.get_mut(number) {
            asked.outcome = Some(outcome);
            asked.to = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seed;

    fn at(ms: u64) -> Instant {
        Instant::from_ms(ms)
    }

    fn plan(json: &str) -> Plan {
        let config = Config::parse(json.as_bytes()).unwrap();
        Plan::new(at(0), config, Rng::new(Seed([9; 32]).key(0)))
    }

    /// A configuration without the LAN.
    fn servers(list: &str, rest: &str) -> Plan {
        plan(&format!(
            r#"{{"bootstrap":{{"servers":[{list}],"local_discovery":{{"enabled":false}}{rest}}}}}"#
        ))
    }

    /// Everything that the plan starts now, and what it waits for then.
    fn begun(plan: &mut Plan, now: Instant) -> (Vec<Order>, Option<Instant>) {
        let mut orders = Vec::new();
        loop {
            match plan.poll(now) {
                Step::Start(order) => orders.push(order),
                Step::Wait(until) => {
                    assert!(until > now, "waiting makes progress");
                    return (orders, Some(until));
                }
                Step::Done => return (orders, None),
            }
        }
    }

    fn names(plan: &Plan, orders: &[Order]) -> Vec<String> {
        orders.iter().map(|order| plan.asked(order.number).unwrap().name.clone()).collect()
    }

    fn answer(addresses: &[&str]) -> Result<PeersAnswer, Failure> {
        let peer =
            |text: &&str| PeerRecord { id: None, endpoints: vec![(*text).into()], age_s: None, seal: None };
        Ok(PeersAnswer { peers: addresses.iter().map(peer).collect(), ..PeersAnswer::default() })
    }

    #[test]
    fn one_priority_starts_together_and_the_next_later() {
        let list = r#"{"url":"http://a.example","priority":1},{"url":"http://c.example","priority":2},{"url":"udp://b.example","priority":1}"#;
        let mut slow = servers(list, "");
        let (orders, until) = begun(&mut slow, at(0));
        assert_eq!(names(&slow, &orders), ["http://a.example", "udp://b.example:6881"]);
        assert_eq!((until, orders[0].deadline), (Some(at(500)), at(3000)));
        let (orders, _) = begun(&mut slow, at(500));
        assert_eq!(names(&slow, &orders), ["http://c.example"]);

        let mut quick = servers(list, "");
        let (orders, _) = begun(&mut quick, at(0));
        quick.answered(at(20), orders[0].number, answer(&["tcp://11.0.0.1:1"]));
        assert_eq!(begun(&mut quick, at(20)).0, [], "one answer is not all");
        quick.answered(at(30), orders[1].number, Err(Failure::TooLong));
        let (orders, _) = begun(&mut quick, at(30));
        assert_eq!(names(&quick, &orders), ["http://c.example"], "a success stops nothing");
    }

    #[test]
    fn eight_servers_at_a_time() {
        let list: Vec<String> = (0..20).map(|n| format!(r#"{{"url":"http://s{n}.example"}}"#)).collect();
        let mut plan = servers(&list.join(","), "");
        let (orders, _) = begun(&mut plan, at(0));
        assert_eq!(orders.len(), 8);
        plan.answered(at(1), orders[3].number, answer(&[]));
        assert_eq!(begun(&mut plan, at(1)).0.len(), 1);
        // Nobody answers: their time is over, and those who had no turn are told of as well.
        assert_eq!(begun(&mut plan, at(3000)), (vec![], None));
        let found = plan.finish(at(3000));
        assert_eq!((found.asked.len(), found.took_ms), (20, 3000));
        assert_eq!(
            found.asked.iter().filter(|asked| asked.outcome == Some(Err(Failure::TimedOut))).count(),
            19
        );
    }

    #[test]
    fn seeds_come_when_no_server_gave_a_peer() {
        let rest = r#","fallback":{"seeds":["tcp://seed.example:9000","udp://seed.example:9001","http://s.example:80"]}"#;
        let list = r#"{"url":"http://a.example"}"#;
        let mut dead = servers(list, rest);
        let (orders, _) = begun(&mut dead, at(0));
        dead.answered(at(10), orders[0].number, Err(Failure::TimedOut));
        let (orders, _) = begun(&mut dead, at(10));
        let mut asked = names(&dead, &orders);
        asked.sort();
        assert_eq!(asked, ["http://s.example:80", "udp://seed.example:9001"]);
        let found = dead.finish(at(11));
        let mut endpoints: Vec<&str> = found.peers.iter().map(|peer| peer.endpoints[0].as_str()).collect();
        endpoints.sort_unstable();
        assert_eq!(endpoints, ["tcp://seed.example:9000", "udp://seed.example:9001"]);
        assert!(found.peers.iter().all(|peer| peer.sources == [Source::Seed]));

        let mut empty = servers(list, rest);
        let (orders, _) = begun(&mut empty, at(0));
        empty.answered(at(10), orders[0].number, answer(&[]));
        assert_eq!(begun(&mut empty, at(10)).0.len(), 2, "a server that knows nobody is no help");

        let mut alive = servers(list, rest);
        let (orders, _) = begun(&mut alive, at(0));
        alive.answered(at(10), orders[0].number, answer(&["tcp://11.0.0.1:1"]));
        assert_eq!(begun(&mut alive, at(10)), (vec![], None));

        let off = r#","fallback":{"enabled":false,"seeds":["tcp://seed.example:9000"]}"#;
        assert_eq!(begun(&mut servers("", off), at(0)), (vec![], None));
    }

    #[test]
    fn the_lan_is_listened_to_beside() {
        let mut plan = plan(r#"{"bootstrap":{"servers":[{"url":"http://a.example"}]}}"#);
        let (orders, until) = begun(&mut plan, at(0));
        assert_eq!(orders[0].task, Task::Browse("_pscryptochat._tcp.local".into()));
        assert_eq!((orders[0].deadline, until), (at(2000), Some(at(2000))));
        plan.found(Neighbour {
            name: "bob".into(),
            is_server: false,
            id: Some("bob".into()),
            addresses: ["192.168.1.7", "fe80::1", "ff02::1"].map(|ip| ip.parse().unwrap()).into(),
            port: 9000,
            udp_port: Some(9001),
        });
        let server = |ip: &str| Neighbour {
            name: "s".into(),
            is_server: true,
            id: None,
            addresses: vec!["fe80::1".parse().unwrap(), ip.parse().unwrap()],
            port: 8080,
            udp_port: None,
        };
        (1..9).for_each(|n| plan.found(server(&format!("192.168.1.{n}"))));
        let (asked, _) = begun(&mut plan, at(100));
        assert_eq!(asked.len(), MAX_LAN_SERVERS, "a neighbour cannot have us ask all the world");
        assert!(asked.iter().all(|order| matches!(&order.task, Task::Ask(ServerUrl::Way(_)))));
        plan.answered(at(200), asked[0].number, answer(&["tcp://192.168.1.9:1"]));
        begun(&mut plan, at(2000));
        assert_eq!(plan.asked(0).unwrap().outcome, Some(Ok(5)), "its time is its end");
        let found = plan.finish(at(2001));
        assert!(
            found.peers.iter().any(|peer| peer.id.as_deref() == Some("bob") && peer.endpoints.len() == 2)
        );
        assert!(found.peers.iter().any(|peer| matches!(peer.sources[..], [Source::LanServer(_)])));
    }

    #[test]
    fn peers_are_asked_for_more_and_not_without_end() {
        let mut plan = servers(r#"{"url":"http://a.example"}"#, "");
        let (orders, _) = begun(&mut plan, at(0));
        plan.answered(at(1), orders[0].number, answer(&["udp://11.0.0.1:1", "tcp://12.0.0.1:1"]));
        let mut total = 0;
        let mut now = 1;
        loop {
            let (orders, until) = begun(&mut plan, at(now));
            assert!(orders.len() <= EXCHANGES_AT_ONCE);
            total += orders.len();
            for order in &orders {
                assert!(
                    matches!(&order.task, Task::Exchange(address) if address.parse::<SocketAddr>().is_ok())
                );
                let n = order.number;
                let more = [
                    format!("udp://21.{n}.0.1:1"),
                    format!("udp://22.{n}.0.1:1"),
                    format!("udp://23.{n}.0.1:1"),
                ];
                plan.answered(at(now), n, answer(&more.each_ref().map(String::as_str)));
            }
            if orders.is_empty() && until.is_none() {
                break;
            }
            now += 1;
        }
        assert_eq!(total, MAX_EXCHANGES);

        let mut off = servers(r#"{"url":"http://a.example"}"#, r#","peer_exchange":{"enabled":false}"#);
        let (orders, _) = begun(&mut off, at(0));
        off.answered(at(1), orders[0].number, answer(&["udp://11.0.0.1:1"]));
        assert_eq!(begun(&mut off, at(1)), (vec![], None));
    }

    #[test]
    fn the_time_for_everything_is_kept() {
        let mut plan = plan(
            r#"{"bootstrap":{"servers":[{"url":"http://a.example"}],"fallback":{"seeds":["udp://s.example:1"]}}}"#,
        );
        let mut now = 0;
        let mut steps = 0;
        while let (_, Some(until)) = begun(&mut plan, at(now)) {
            now = until.as_ms();
            steps += 1;
            assert!(steps < 50);
        }
        assert!(now <= 5000, "{now}");
        // What comes too late is heard by nobody.
        plan.answered(at(now), 0, answer(&["tcp://11.0.0.1:1"]));
        let found = plan.finish(at(now));
        assert!(found.asked.iter().all(|asked| asked.outcome.is_some()));
        assert!(found.peers.iter().all(|peer| peer.sources == [Source::Seed]));
    }

    #[test]
    fn nothing_to_do_is_done_at_once() {
        assert_eq!(servers("", "").poll(at(0)), Step::Done);
    }
}
