//! What it means, what was seen of a server.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::Finding;
use super::server::{Door, Place, Seen, Told};
use crate::addr::CanonicalAddr;
use crate::client::date::Date;
use crate::client::failure::Failure;
use crate::client::message::{Health, Pong};
use crate::client::url::{Scheme, Way};
use crate::limits::EARLIEST_CREDIBLE_UNIX_S;
use crate::wire::hex;

/// Difference of two clocks that nobody notices, in seconds.
const SMALL_DIFFERENCE_S: u64 = 60;

/// All that is to be said of a server, in the order in which one would ask.
pub(super) fn findings(seen: &Seen) -> Vec<Finding> {
    let mut findings: Vec<Finding> = seen.nowhere.iter().map(|(name, failure)| lost(name, failure)).collect();
    let is_udp = |door: &&Door| door.way.scheme == Scheme::Udp;
    for door in seen.doors.iter().filter(|door| !is_udp(door)).chain(seen.doors.iter().filter(is_udp)) {
        findings.extend(of_door(seen, door));
    }
    findings.extend(identity(seen));
    findings.extend(address(seen, true));
    findings.extend(address(seen, false));
    findings.extend(clock(seen));
    findings
}

/// A name that leads nowhere.
fn lost(name: &str, failure: &Failure) -> Finding {
    let advice = match failure {
        Failure::NoSuchHost(_) => "is it spelt right? ask whoever runs the server for its address",
        _ => "ask whoever gave it for another one",
    };
    Finding::fail("server", format!("{name}: {failure}"), advice)
}

/// Whether it can be reached by one way: a line for each address.
fn of_door(seen: &Seen, door: &Door) -> Vec<Finding> {
    let places = match &door.places {
        Ok(places) => places,
        Err(failure) => return vec![lost(&door.way.to_string(), failure)],
    };
    let works = places.iter().any(|place| problem(place).is_none());
    places.iter().flat_map(|place| of_place(seen, door, place, works)).collect()
}

fn of_place(seen: &Seen, door: &Door, place: &Place, works: bool) -> Vec<Finding> {
    let topic = if door.way.scheme == Scheme::Udp { "udp" } else { "http" };
    let label = label(&door.way, place.at);
    if let Some(failure) = problem(place) {
        let text = format!("{label}: {failure}");
        return vec![match (door.guessed, works) {
            (true, _) => Finding::warn(topic, text, GUESSED),
            (false, true) => Finding::warn(topic, text, "the other way works, so this one is missed by few"),
            (false, false) => Finding::fail(topic, text, advice(seen, door, place, failure)),
        }];
    }
    match &place.told {
        Told::Http { health: Ok(health), answer, .. } => {
            let mut findings = vec![healthy(&label, health)];
            // Who it is, is another question.
            if let Err(failure) = answer
                && !matches!(failure, Failure::WrongIdentity(_))
            {
                findings.push(Finding::warn(
                    "peers",
                    format!("{label}: {failure}"),
                    "it is well, but tells of no peers: does it serve that network, and is it a waypost server?",
                ));
            }
            findings
        }
        Told::Udp { mapped: Err(failure), .. } => vec![Finding::warn(
            topic,
            format!("{label}: it answers a ping, but not STUN: {failure}"),
            "peers cannot learn their ports from it",
        )],
        _ => vec![Finding::ok(topic, format!("{label}: it answers"))],
    }
}

const GUESSED: &str =
    "6881 is the usual port, this server may have another one or none: name it by --server udp://HOST:PORT";

fn healthy(label: &str, health: &Health) -> Finding {
    let mut text = format!("{label}: {}", health.status);
    if let Some(peers) = health.peers {
        text += &format!(", {peers} peer{}", if peers == 1 { "" } else { "s" });
    }
    if let Some(uptime) = health.uptime_s {
        text += &format!(", up {uptime} s");
    }
    if health.status == "healthy" {
        Finding::ok("http", text)
    } else {
        Finding::warn(
            "http",
            text,
            "its table is full, or it is asked more than it allows; give it more --max-peers, or run another one",
        )
    }
}

/// Why a server cannot be reached at an address.
fn problem(place: &Place) -> Option<&Failure> {
    match &place.told {
        Told::Http { health: Err(failure), .. } => Some(failure),
        // One with another identity is there.
        Told::Udp { pong: Err(failure), .. } if !matches!(failure, Failure::WrongIdentity(_)) => {
            Some(failure)
        }
        _ => None,
    }
}

/// What to do about it.
fn advice(seen: &Seen, door: &Door, place: &Place, failure: &Failure) -> String {
    let port = place.at.port();
    let is_udp = door.way.scheme == Scheme::Udp;
    let is_here = place.at.ip().is_loopback();
    let kind = if is_udp { "UDP" } else { "TCP" };
    match failure {
        Failure::Unreachable(_) if is_udp && web_works_at(seen, place.at.ip()) => {
            format!(
                "nothing listens at UDP port {port}, though HTTP works: is UDP off (--udp-port 0), or at another port?"
            )
        }
        Failure::Unreachable(why) if why.contains("unreachable") => {
            "this machine has no way there: is it on a network, with that kind of address?".into()
        }
        Failure::Unreachable(_) if is_here => {
            format!("nothing listens at port {port}: is the server running (waypost serve), and at that port?")
        }
        Failure::Unreachable(_) => {
            format!(
                "the machine is there, but nothing listens at port {port}: is the server running, and is the port right?"
            )
        }
        Failure::Broken(why) if why.contains("not permitted") => {
            format!("a firewall on this machine forbids it: allow {kind} port {port}")
        }
        Failure::TimedOut if is_here => {
            format!("a firewall on this machine drops {kind} port {port}, or what listens there hangs: allow it")
        }
        Failure::TimedOut if is_udp && web_works_at(seen, place.at.ip()) => format!(
            "HTTP works, so the server is there, and something on the way drops UDP: open UDP port {port} in the firewalls, and \
             forward it in the server's router"
        ),
        Failure::TimedOut => format!(
            "the machine is off, or a firewall drops it: open {kind} port {port} in the firewalls, and forward it in the \
             server's router"
        ),
        Failure::Nonsense(_) | Failure::Status(_) | Failure::TooLong => {
            "something else answers there: is the address right, and if it is a proxy, does it lead to the server?"
                .into()
        }
        Failure::Refused { .. } => "wait a while: it limits how often one address may ask".into(),
        Failure::Tls(_) => {
            "https:// needs a valid certificate for that very name; whoever runs the server can renew it".into()
        }
        Failure::Unsupported(_) => "try another way to it".into(),
        _ => "try again; if it stays, look at the server's own output".into(),
    }
}

fn web_works_at(seen: &Seen, ip: IpAddr) -> bool {
    let mut places = seen.doors.iter().filter_map(|door| door.places.as_ref().ok()).flatten();
    places.any(|place| place.at.ip() == ip && matches!(&place.told, Told::Http { health: Ok(_), .. }))
}

/// Whether it is one server that answers everywhere, and the one that was meant.
fn identity(seen: &Seen) -> Option<Finding> {
    let mut ids: Vec<(String, String)> = Vec::new();
    let mut wrong = None;
    let mut pin = None;
    for (door, place) in places(seen) {
        let label = label(&door.way, place.at);
        pin = pin.or(door.pin);
        match &place.told {
            Told::Http { answer: Err(failure @ Failure::WrongIdentity(_)), .. }
            | Told::Udp { pong: Err(failure @ Failure::WrongIdentity(_)), .. } => {
                wrong = Some((label, failure))
            }
            Told::Http { answer: Ok(answer), .. } => {
                ids.extend(answer.bootstrap_id.clone().map(|id| (id, label)))
            }
            Told::Udp { pong: Ok(Pong { server_id, .. }), .. } => {
                ids.extend(server_id.clone().map(|id| (id, label)))
            }
            _ => {}
        }
    }
    if let Some((label, failure)) = wrong {
        return Some(Finding::fail(
            "identity",
            format!("{label}: {failure}"),
            "a server without --identity has another one after each start, and its invites end with it: ask for a new invite; or \
             somebody stands in its place",
        ));
    }
    let (id, first) = ids.first()?;
    let proof = match pin {
        Some(pin) if hex::decode(id.as_bytes()) == Some(pin) => ", as the invite wants it",
        _ => "",
    };
    match ids.iter().find(|(other, _)| other != id) {
        Some((other, label)) => Some(Finding::fail(
            "identity",
            format!("two servers answer: {id} at {first}, {other} at {label}"),
            "are two servers running, or does one of the ports lead to another machine?",
        )),
        None => {
            let everywhere = if ids.len() > 1 { ", the same everywhere" } else { "" };
            Some(Finding::ok("identity", format!("{id}{everywhere}{proof}")))
        }
    }
}

/// Which address it sees, over one family.
fn address(seen: &Seen, is_v4: bool) -> Option<Finding> {
    let mut shown: Vec<(IpAddr, &str)> = Vec::new();
    let (mut own, mut server) = (None, None);
    for (_, place) in places(seen).filter(|(_, place)| place.at.is_ipv4() == is_v4) {
        own = own.or(place.own);
        server = server.or(Some(place.at.ip()));
        match &place.told {
            Told::Http { answer: Ok(answer), .. } => shown.extend(answer.you.map(|ip| (ip, "HTTP"))),
            Told::Udp { pong, mapped } => {
                let ping = pong.as_ref().ok().and_then(|pong| pong.you);
                shown.extend(ping.map(|addr| (addr.ip().to_canonical(), "UDP")));
                shown.extend(mapped.as_ref().ok().map(|addr| (addr.ip().to_canonical(), "STUN")));
            }
            Told::Http { .. } => {}
        }
    }
    let family = if is_v4 { "IPv4" } else { "IPv6" };
    let (you, how) = *shown.first()?;
    if let Some((other, other_how)) = shown.iter().find(|(ip, _)| *ip != you) {
        return Some(Finding::warn(
            "address",
            format!("over {family} it sees this machine as {you} by {how}, and as {other} by {other_how}"),
            "a proxy, a VPN or a provider's NAT is on one of the ways: others may not reach what you announce; a proxy in front of \
             the server must be named there by --trusted-proxy",
        ));
    }
    let kinds: BTreeSet<&str> = shown.iter().map(|(_, how)| *how).collect();
    let kinds = kinds.into_iter().collect::<Vec<_>>().join(", ");
    let text = format!("over {family} it sees this machine as {you} (by {kinds})");
    let is_near = |ip: IpAddr| CanonicalAddr::new(ip).is_lan();
    Some(match own {
        _ if server.is_some_and(|server| !is_near(server)) && is_near(you) => Finding::warn(
            "address",
            format!("{text}, which is the address of a proxy in front of it"),
            "name that proxy at the server by --trusted-proxy: until then all clients look like one",
        ),
        Some(own) if own != you && !own.is_loopback() => Finding::ok(
            "address",
            format!(
                "{text}; its own address is {own}, so there is a NAT between, and others reach it only where that lets them in"
            ),
        ),
        _ => Finding::ok("address", text),
    })
}

/// Whether the server's clock and ours agree.
fn clock(seen: &Seen) -> Option<Finding> {
    let (label, told, here) = places(seen).find_map(|(door, place)| match &place.told {
        Told::Http { answer: Ok(answer), unix_s, .. } => {
            Some((label(&door.way, place.at), answer.server_time, *unix_s))
        }
        _ => None,
    })?;
    let Some(there) = told else {
        return Some(Finding::warn(
            "clock",
            format!("{label}: the server's clock is not set"),
            "peers' ages are right all the same; set the clock there if the server signs or checks anything by it",
        ));
    };
    let difference = here.abs_diff(there);
    Some(if difference <= SMALL_DIFFERENCE_S {
        Finding::ok("clock", "the server's clock and this machine's agree")
    } else if here < EARLIEST_CREDIBLE_UNIX_S {
        Finding::warn(
            "clock",
            format!("the server says that it is {}", Date(there)),
            "set this machine's clock to that",
        )
    } else {
        Finding::warn(
            "clock",
            format!("the server's clock shows {}, this machine's {}", Date(there), Date(here)),
            "one of them is wrong: compare with your watch, and set it",
        )
    })
}

fn places(seen: &Seen) -> impl Iterator<Item = (&Door, &Place)> {
    seen.doors.iter().flat_map(|door| door.places.iter().flatten().map(move |place| (door, place)))
}

/// A way, and the address behind its name.
fn label(way: &Way, at: SocketAddr) -> String {
    let family = if at.is_ipv4() { "IPv4" } else { "IPv6" };
    if way.host.parse() == Ok(at.ip()) {
        format!("{way} ({family})")
    } else {
        format!("{way} at {} ({family})", at.ip())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use crate::client::message::PeersAnswer;

    const NOW: u64 = 1_800_000_000;
    const ID: &str = "56475aa75463474c0285df5dbf2bcab73da65135";

    fn http(at: &str, you: &str, id: &str) -> Place {
        let health = Health { status: "healthy".into(), uptime_s: Some(7), peers: Some(1), version: None };
        let answer = PeersAnswer {
            you: Some(you.parse().unwrap()),
            bootstrap_id: Some(id.into()),
            server_time: Some(NOW),
            ..PeersAnswer::default()
        };
        let told = Told::Http { health: Ok(health), answer: Ok(answer), unix_s: NOW };
        Place { at: at.parse().unwrap(), own: None, told }
    }

    fn udp(at: &str, you: &str, id: &str) -> Place {
        let you: IpAddr = you.parse().unwrap();
        let pong = Pong { server_id: Some(id.into()), you: Some((you, 9).into()) };
        let told = Told::Udp { pong: Ok(pong), mapped: Ok((you, 10).into()) };
        Place { at: at.parse().unwrap(), own: None, told }
    }

    fn dead(at: &str, failure: Failure, is_udp: bool) -> Place {
        let told = if is_udp {
            Told::Udp { pong: Err(failure.clone()), mapped: Err(failure) }
        } else {
            Told::Http { health: Err(failure.clone()), answer: Err(failure), unix_s: NOW }
        };
        Place { at: at.parse().unwrap(), own: None, told }
    }

    fn door(url: &str, places: Vec<Place>) -> Door {
        Door { way: Way::parse(url).unwrap(), guessed: false, pin: None, places: Ok(places) }
    }

    fn judged(doors: Vec<Door>) -> Vec<(Verdict, &'static str, String)> {
        let findings = findings(&Seen { nowhere: Vec::new(), doors });
        for finding in &findings {
            assert_eq!(finding.advice.is_some(), finding.verdict != Verdict::Ok, "{finding:?}");
        }
        findings
            .into_iter()
            .map(|finding| {
                (finding.verdict, finding.topic, finding.text + &finding.advice.unwrap_or_default())
            })
            .collect()
    }

    /// The finding of a topic, the first one that is not well.
    fn told(doors: Vec<Door>, topic: &str) -> (Verdict, String) {
        let found = judged(doors);
        let mut of_topic: Vec<_> = found.into_iter().filter(|(_, of, _)| *of == topic).collect();
        of_topic.sort_by_key(|(verdict, ..)| std::cmp::Reverse(*verdict));
        let (verdict, _, text) = of_topic.swap_remove(0);
        (verdict, text)
    }

    fn both() -> Vec<Door> {
        vec![
            door("http://203.0.113.9:8080", vec![http("203.0.113.9:8080", "198.51.100.7", ID)]),
            door("udp://203.0.113.9", vec![udp("203.0.113.9:6881", "198.51.100.7", ID)]),
        ]
    }

    #[test]
    fn a_healthy_server_is_fine() {
        let found = judged(both());
        assert!(found.iter().all(|(verdict, ..)| *verdict == Verdict::Ok), "{found:?}");
        let lines: Vec<&str> = found.iter().map(|(.., text)| text.as_str()).collect();
        assert_eq!(
            lines,
            [
                "http://203.0.113.9:8080 (IPv4): healthy, 1 peer, up 7 s",
                "udp://203.0.113.9:6881 (IPv4): it answers",
                "56475aa75463474c0285df5dbf2bcab73da65135, the same everywhere",
                "over IPv4 it sees this machine as 198.51.100.7 (by HTTP, STUN, UDP)",
                "the server's clock and this machine's agree",
            ]
        );
    }

    #[test]
    fn whoever_cannot_be_reached_has_a_cause() {
        let refused = || Failure::Unreachable("connection refused".into());
        let silent = |url: &str, failure, is_udp| {
            let way = Way::parse(url).unwrap();
            door(url, vec![dead(&format!("203.0.113.9:{}", way.port), failure, is_udp)])
        };
        let web = || both().swap_remove(0);
        for (doors, topic, cause) in [
            (vec![silent("http://203.0.113.9", refused(), false)], "http", "is the port right"),
            (vec![silent("http://203.0.113.9", Failure::TimedOut, false)], "http", "open TCP port 80"),
            (
                vec![silent("http://203.0.113.9", Failure::Status(404), false)],
                "http",
                "something else answers",
            ),
            (vec![web(), silent("udp://203.0.113.9", refused(), true)], "udp", "is UDP off (--udp-port 0)"),
            (vec![web(), silent("udp://203.0.113.9", Failure::TimedOut, true)], "udp", "drops UDP"),
            (vec![silent("udp://203.0.113.9", Failure::TimedOut, true)], "udp", "open UDP port 6881"),
            (
                vec![silent("udp://203.0.113.9", Failure::Broken("operation not permitted".into()), true)],
                "udp",
                "on this machine forbids",
            ),
        ] {
            let (verdict, text) = told(doors, topic);
            assert!(verdict == Verdict::Fail && text.contains(cause), "{text}");
        }
    }

    #[test]
    fn what_was_guessed_or_has_another_way_is_no_failure() {
        let mut guessed = door("udp://203.0.113.9", vec![dead("203.0.113.9:6881", Failure::TimedOut, true)]);
        guessed.guessed = true;
        assert_eq!(told(vec![both().swap_remove(0), guessed], "udp").0, Verdict::Warn);
        let gone = Failure::Unreachable("network is unreachable".into());
        let half = vec![http("203.0.113.9:80", "198.51.100.7", ID), dead("[2001:db8::9]:80", gone, false)];
        let (verdict, text) = told(vec![door("http://a.example", half)], "http");
        assert_eq!(verdict, Verdict::Warn);
        assert!(text.starts_with("http://a.example at 2001:db8::9 (IPv6): cannot connect"), "{text}");
    }

    #[test]
    fn another_identity_is_a_failure() {
        let mut doors = both();
        doors[1].places = Ok(vec![udp("203.0.113.9:6881", "198.51.100.7", &"17".repeat(20))]);
        let (verdict, text) = told(doors, "identity");
        assert!(verdict == Verdict::Fail && text.starts_with("two servers answer: 5647"), "{text}");
        let mut doors = both();
        let wrong = Failure::WrongIdentity("it does not sign its answer");
        let Ok(places) = &mut doors[0].places else { unreachable!() };
        let Told::Http { answer, .. } = &mut places[0].told else { unreachable!() };
        *answer = Err(wrong);
        let (verdict, text) = told(doors, "identity");
        assert!(verdict == Verdict::Fail && text.contains("ask for a new invite"), "{text}");
    }

    #[test]
    fn addresses_are_compared() {
        let one = |you: &str, own: &str| {
            let mut doors = both();
            let mut place = http("203.0.113.9:8080", you, ID);
            place.own = own.parse().ok();
            doors[0].places = Ok(vec![place]);
            doors.truncate(1);
            told(doors, "address")
        };
        assert_eq!(one("198.51.100.7", "198.51.100.7").0, Verdict::Ok);
        assert!(one("198.51.100.7", "192.168.1.5").1.contains("a NAT between"));
        let (verdict, text) = one("172.17.0.1", "198.51.100.7");
        assert!(verdict == Verdict::Warn && text.contains("a proxy in front"), "{text}");
        let mut doors = both();
        doors[1].places = Ok(vec![udp("203.0.113.9:6881", "198.51.100.8", ID)]);
        let (verdict, text) = told(doors, "address");
        assert!(verdict == Verdict::Warn && text.contains("and as 198.51.100.8 by UDP"), "{text}");
    }

    #[test]
    fn clocks_are_compared() {
        let at = |there: Option<u64>, here: u64| {
            let mut place = http("203.0.113.9:8080", "198.51.100.7", ID);
            let Told::Http { answer: Ok(answer), unix_s, .. } = &mut place.told else { unreachable!() };
            (answer.server_time, *unix_s) = (there, here);
            told(vec![door("http://203.0.113.9:8080", vec![place])], "clock")
        };
        assert_eq!(at(Some(NOW), NOW + 60).0, Verdict::Ok);
        assert!(at(Some(NOW), NOW + 61).1.contains("one of them is wrong"));
        assert!(at(Some(NOW), 7).1.starts_with("the server says that it is 2027-01-15 08:00 UTC"));
        assert!(at(None, NOW).1.contains("is not set"));
    }

    #[test]
    fn a_name_that_leads_nowhere_is_told() {
        let why = Failure::NoSuchHost("name or service not known".into());
        let lost = Door { places: Err(why.clone()), ..door("http://a.example", Vec::new()) };
        let (verdict, text) = told(vec![lost], "server");
        assert!(
            verdict == Verdict::Fail && text.starts_with("http://a.example: its name cannot be looked up"),
            "{text}"
        );
        let seen = Seen { nowhere: vec![("a.example".into(), why)], doors: Vec::new() };
        assert_eq!(findings(&seen).len(), 1);
    }
}
