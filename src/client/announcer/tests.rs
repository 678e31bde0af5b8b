//! Every rule, on a virtual clock.

use super::*;
use crate::client::invite::Invite;
use crate::client::message::Announce;
use crate::client::url::Way;
use crate::limits::EARLIEST_CREDIBLE_UNIX_S;
use crate::rng::HashKey;

const START: Instant = Instant::START;

fn terms(interval_s: Option<u32>) -> Terms {
    Terms { interval_s, ttl_s: None, token: None, answer_ms: 5_000 }
}

fn alice() -> OwnPeer {
    OwnPeer::unsigned("chess", "alice", &["tcp://:9000"])
}

fn signer() -> OwnPeer {
    OwnPeer::signed("chess", [7; 32], &["tcp://:9000"])
}

fn urls(texts: &[&str]) -> Vec<ServerUrl> {
    texts.iter().map(|text| ServerUrl::parse(text).unwrap()).collect()
}

fn rng(seed: u8) -> Rng {
    Rng::new(HashKey::new([seed; 16]))
}

fn announcer(own: OwnPeer, interval_s: Option<u32>, servers: &[&str]) -> Announcer {
    Announcer::new(own, terms(interval_s), &urls(servers), rng(1)).unwrap()
}

/// One that announces alice at one server every 300 s, and its wall clock right.
fn usual() -> Announcer {
    announcer(alice(), Some(300), &["http://a.example"])
}

fn wall(unix_s: u64) -> WallClock {
    WallClock::read(START, unix_s * 1000)
}

const NOW_UNIX_S: u64 = EARLIEST_CREDIBLE_UNIX_S + 1_000_000;

fn signing(unix_s: Option<u64>) -> Announcer {
    let mut announcer = announcer(signer(), Some(300), &["http://a.example"]);
    announcer.set_wall_clock(unix_s.map(wall).unwrap_or_default());
    announcer
}

fn registered(expires_s: u32, token: Option<&str>) -> Result<AnnounceAnswer, Failure> {
    Ok(AnnounceAnswer::Registered {
        expires_s,
        id: None,
        you: "198.51.100.7".parse().ok(),
        token: token.map(Into::into),
    })
}

fn work(difficulty: u8) -> Result<AnnounceAnswer, Failure> {
    Ok(AnnounceAnswer::WorkWanted { challenge: format!("C{difficulty}"), difficulty })
}

fn refused(word: &str, retry_after_s: Option<u32>) -> Result<AnnounceAnswer, Failure> {
    Err(Failure::Refused { word: word.into(), detail: String::new(), retry_after_s })
}

fn introduced(you: &str, server_time: Option<u64>) -> Result<Introduction, Failure> {
    Ok(Introduction { you: you.parse().ok(), bootstrap_id: None, server_time })
}

/// The announce that is due.
fn announce(announcer: &mut Announcer, now: Instant) -> (usize, Announce) {
    match announcer.poll(now) {
        Step::Announce { server, announce, .. } => (server, *announce),
        step => panic!("{step:?} instead of an announce"),
    }
}

fn ask(announcer: &mut Announcer, now: Instant) -> usize {
    match announcer.poll(now) {
        Step::Ask { server, .. } => server,
        step => panic!("{step:?} instead of a question"),
    }
}

/// How long it waits from `now` on, in milliseconds.
fn wait_ms(announcer: &mut Announcer, now: Instant) -> u64 {
    match announcer.poll(now) {
        Step::Wait(until) if until > now => until.ms_since(now),
        step => panic!("{step:?} instead of waiting"),
    }
}

/// Announces and hears this: what is told of it.
fn hears(announcer: &mut Announcer, now: Instant, answer: Result<AnnounceAnswer, Failure>) -> Option<What> {
    let (server, _) = announce(announcer, now);
    announcer.answered(now, server, answer).map(|event| event.what)
}

#[test]
fn it_announces_and_keeps_announcing() {
    let mut announcer = usual();
    let (server, first) = announce(&mut announcer, START);
    assert_eq!((first.id.as_deref(), first.ttl_s, first.token), (Some("alice"), Some(750), None));
    assert_eq!(announcer.poll(START), Step::Nothing, "one at a time");
    let event = announcer.answered(START, server, registered(750, Some("T"))).unwrap();
    assert_eq!(event.server, "http://a.example");
    let What::Registered { id, expires_s: 750, again: Some(again), token, .. } = event.what else { panic!() };
    assert_eq!((id.as_str(), token.as_deref()), ("alice", Some("T")));
    assert_eq!(announcer.poll(START), Step::Wait(again));
    let (_, second) = announce(&mut announcer, again);
    assert_eq!(second.token.as_deref(), Some("T"), "the token is kept");
    announcer.answered(again, server, registered(750, None));
    let Step::Wait(later) = announcer.poll(again) else { panic!() };
    assert_eq!(announce(&mut announcer, later).1.token.as_deref(), Some("T"), "also when none came");
}

#[test]
fn the_next_announce_comes_after_an_interval_a_tenth_more_or_less() {
    let waits = |interval_s: u32, expires_s: u32| -> Vec<u64> {
        let wait = |seed: u8| {
            let servers = urls(&["http://a.example"]);
            let terms = terms(Some(interval_s));
            let mut announcer = Announcer::new(alice(), terms, &servers, rng(seed)).unwrap();
            hears(&mut announcer, START, registered(expires_s, None));
            wait_ms(&mut announcer, START)
        };
        (0..200).map(wait).collect()
    };
    let usual = waits(300, 750);
    assert!(usual.iter().all(|ms| (270_000..=330_000).contains(ms)));
    assert!(usual.iter().min() < Some(&275_000) && usual.iter().max() > Some(&325_000), "not all at once");
    let short = waits(300, 30);
    assert!(short.iter().all(|ms| (14_000..=18_000).contains(ms)), "60 % of what was granted: {short:?}");
    assert!(short.iter().min() < short.iter().max());
    assert!(waits(300, 0).iter().all(|ms| *ms >= 1_000), "a server cannot have us run in circles");
    assert!(waits(300, u32::MAX).iter().all(|ms| *ms <= 330_000));
}

#[test]
fn the_life_asked_for_is_two_and_a_half_intervals() {
    for (interval_s, ttl_s, asked) in [
        (Some(300), None, 750),
        (Some(10), None, 30),
        (Some(86_400), None, 3_600),
        (Some(300), Some(7_200), 7_200),
        (None, None, 300),
        (None, Some(60), 60),
    ] {
        let terms = Terms { ttl_s, ..terms(interval_s) };
        let mut announcer = Announcer::new(alice(), terms, &urls(&["http://a.example"]), rng(1)).unwrap();
        assert_eq!(announce(&mut announcer, START).1.ttl_s, Some(asked));
    }
}

#[test]
fn failures_back_off() {
    let mut announcer = usual();
    let mut now = START;
    for expected_s in [5, 10, 20, 40, 80, 160, 300, 300] {
        let Some(What::Failed { failure: Failure::TimedOut, again: Some(again) }) =
            hears(&mut announcer, now, Err(Failure::TimedOut))
        else {
            panic!()
        };
        let wait = again.ms_since(now);
        assert!((expected_s * 900..=expected_s * 1100).contains(&wait), "{wait} ms for {expected_s} s");
        now = again;
    }
    hears(&mut announcer, now, registered(750, None));
    let Step::Wait(later) = announcer.poll(now) else { panic!() };
    hears(&mut announcer, later, Err(Failure::TimedOut));
    assert!(wait_ms(&mut announcer, later) <= 5_500, "success ends it");
}

#[test]
fn a_server_says_when_to_come_back() {
    let mut announcer = usual();
    hears(&mut announcer, START, refused("rate_limited", Some(120)));
    assert!((120_000..=132_000).contains(&wait_ms(&mut announcer, START)));
    let mut announcer = usual();
    hears(&mut announcer, START, refused("table_full", Some(u32::MAX)));
    assert!(wait_ms(&mut announcer, START) <= 3_960_000, "but not for ever");
}

#[test]
fn what_will_be_refused_again_is_told_and_tried_slowly() {
    for word in ["id_taken", "bad_endpoint", "endpoint_not_yours", "signature_required", "stale_seq"] {
        let mut announcer = usual();
        let told = hears(&mut announcer, START, refused(word, None));
        let Some(What::Failed { failure: Failure::Refused { word: told, .. }, .. }) = told else { panic!() };
        assert_eq!(told, word);
        assert!((270_000..=330_000).contains(&wait_ms(&mut announcer, START)), "{word}");
    }
}

#[test]
fn a_token_that_is_refused_is_forgotten() {
    let terms = Terms { token: Some("old".into()), ..terms(Some(300)) };
    let mut announcer = Announcer::new(alice(), terms, &urls(&["http://a.example"]), rng(1)).unwrap();
    let (server, first) = announce(&mut announcer, START);
    assert_eq!(first.token.as_deref(), Some("old"));
    assert_eq!(announcer.answered(START, server, refused("bad_token", None)), None);
    assert_eq!(announce(&mut announcer, START).1.token, None);
    let told = announcer.answered(START, server, refused("bad_token", None));
    assert!(told.is_some(), "once");
}

#[test]
fn work_is_done_for_one_server_at_a_time() {
    let mut announcer = announcer(alice(), Some(300), &["http://a.example", "http://b.example"]);
    let (a, _) = announce(&mut announcer, START);
    let (b, _) = announce(&mut announcer, START);
    assert!(matches!(announcer.answered(START, a, work(12)).unwrap().what, What::Works(12)));
    announcer.answered(START, b, work(13));
    let Step::Solve { server, challenge, difficulty: 12 } = announcer.poll(START) else { panic!() };
    assert_eq!((server, challenge.as_str()), (a, "C12"));
    assert_eq!(announcer.poll(START), Step::Nothing);
    announcer.solved(START, a, Ok(77));
    let (server, again) = announce(&mut announcer, START);
    assert_eq!((server, again.pow), (a, Some(("C12".into(), 77))));
    assert!(matches!(announcer.poll(START), Step::Solve { server, .. } if server == b));
    announcer.answered(START, a, registered(750, None));
    announcer.solved(START, b, Err(Unsolved::GaveUp));
    assert!(wait_ms(&mut announcer, START) >= 270_000, "what takes too long is tried slowly");
}

#[test]
fn a_challenge_that_waited_too_long_is_asked_for_anew() {
    let mut announcer = announcer(alice(), Some(300), &["http://a.example", "http://b.example"]);
    let (a, _) = announce(&mut announcer, START);
    let (b, _) = announce(&mut announcer, START);
    announcer.answered(START, a, work(24));
    announcer.answered(START, b, work(24));
    assert!(matches!(announcer.poll(START), Step::Solve { .. }));
    let later = Instant::from_s(61);
    let (server, again) = announce(&mut announcer, later);
    assert_eq!((server, again.pow), (b, None));
}

#[test]
fn too_much_work_is_refused_without_a_try() {
    let mut announcer = usual();
    let told = hears(&mut announcer, START, work(25));
    assert!(matches!(told, Some(What::Failed { failure: Failure::Work(Unsolved::TooDear(25)), .. })));
    assert!(wait_ms(&mut announcer, START) >= 270_000);
}

#[test]
fn a_server_that_is_never_content_has_failed() {
    let mut announcer = usual();
    let mut solved = 0;
    let told = loop {
        match announcer.poll(START) {
            Step::Announce { server, .. } => {
                if let Some(Event { what: What::Failed { failure, .. }, .. }) =
                    announcer.answered(START, server, work(8))
                {
                    break failure;
                }
            }
            Step::Solve { server, .. } => {
                solved += 1;
                announcer.solved(START, server, Ok(1));
            }
            step => panic!("{step:?}"),
        }
    };
    assert_eq!((told, solved), (Failure::Nonsense("it wants work again and again"), 3));
    assert!(wait_ms(&mut announcer, START) <= 5_500);
}

#[test]
fn another_id_than_ours_is_nonsense() {
    let mut announcer = usual();
    let answer =
        AnnounceAnswer::Registered { expires_s: 300, id: Some("mallory".into()), you: None, token: None };
    let told = hears(&mut announcer, START, Ok(answer));
    assert!(matches!(told, Some(What::Failed { failure: Failure::Nonsense(_), .. })));
}

#[test]
fn a_server_that_started_anew_is_announced_to_at_once() {
    let mut announcer = usual();
    hears(&mut announcer, START, registered(750, Some("T")));
    let now = Instant::from_s(10);
    announcer.seen(now, "http://a.example", "aa");
    announcer.seen(now, "http://b.example", "bb");
    assert!(matches!(announcer.poll(now), Step::Wait(_)));
    announcer.seen(now, "http://a.example", "bb");
    assert_eq!(announce(&mut announcer, now).1.token, None, "what the old one gave is of no use");
}

#[test]
fn a_signed_record_waits_for_its_address() {
    let mut announcer = signing(Some(NOW_UNIX_S));
    let server = ask(&mut announcer, START);
    assert_eq!(announcer.poll(START), Step::Nothing);
    assert_eq!(announcer.asked(START, server, introduced("198.51.100.7", None)), None);
    let (_, first) = announce(&mut announcer, START);
    assert_eq!(first.endpoints, ["tcp://198.51.100.7:9000"]);
    assert_eq!(first.seal.unwrap().seq, NOW_UNIX_S);
    announcer.answered(START, server, registered(750, None));
    let Step::Wait(later) = announcer.poll(START) else { panic!() };
    let (_, second) = announce(&mut announcer, later);
    assert_eq!(second.seal.unwrap().seq, NOW_UNIX_S + later.as_s(), "it is not asked each time");
    // Our address has changed.
    assert_eq!(announcer.answered(later, server, refused("endpoint_not_yours", None)), None);
    let server = ask(&mut announcer, later);
    announcer.asked(later, server, introduced("198.51.100.8", None));
    let (_, third) = announce(&mut announcer, later);
    assert_eq!(third.endpoints, ["tcp://198.51.100.8:9000"]);
    assert_eq!(third.seal.unwrap().seq, second.seal.unwrap().seq + 1, "and the number is higher");
    let told = announcer.answered(later, server, refused("endpoint_not_yours", None));
    assert!(told.is_some(), "once");
}

#[test]
fn a_server_that_does_not_tell_our_address_has_no_use_for_one_that_signs() {
    for you in ["", "0.0.0.0", "224.0.0.1"] {
        let mut announcer = signing(Some(NOW_UNIX_S));
        let server = ask(&mut announcer, START);
        let told = announcer.asked(START, server, introduced(you, None));
        assert!(matches!(told.unwrap().what, What::Failed { failure: Failure::Unsupported(_), .. }), "{you}");
        assert!(wait_ms(&mut announcer, START) >= 270_000);
    }
}

#[test]
fn whole_endpoints_need_no_question() {
    let own = OwnPeer { endpoints: vec!["tcp://198.51.100.7:9000".into()], ..signer() };
    let mut announcer = announcer(own, Some(300), &["http://a.example"]);
    announcer.set_wall_clock(wall(NOW_UNIX_S));
    assert!(announce(&mut announcer, START).1.seal.is_some());
}

/// Announces until the server, which has a record with the number `known`, takes one: its number, and the tries.
fn passes(announcer: &mut Announcer, mut now: Instant, known: u64) -> (u64, u32) {
    for tries in 1.. {
        let (server, announce) = announce(announcer, now);
        let seq = announce.seal.unwrap().seq;
        if seq > known {
            announcer.answered(now, server, registered(750, None));
            return (seq, tries);
        }
        assert_eq!(announcer.answered(now, server, refused("stale_seq", None)), None, "not worth telling");
        let wait = wait_ms(announcer, now);
        assert!((900..=1100).contains(&wait));
        now = now.plus_ms(wait);
    }
    unreachable!()
}

#[test]
fn numbers_pass_those_of_an_earlier_run() {
    for (ahead, most_tries) in [(0, 2), (1, 3), (3_600, 13), (10 * 366 * 86_400, 30)] {
        let mut announcer = signing(Some(NOW_UNIX_S));
        let server = ask(&mut announcer, START);
        announcer.asked(START, server, introduced("198.51.100.7", None));
        let known = NOW_UNIX_S + ahead;
        let (seq, tries) = passes(&mut announcer, START, known);
        assert!(tries <= most_tries, "{tries} for {ahead}");
        assert!(seq - NOW_UNIX_S <= 2 * ahead + 40, "{} for {ahead}", seq - NOW_UNIX_S);
    }
}

#[test]
fn without_a_clock_the_servers_one_counts_or_the_time_that_we_run() {
    let mut announcer = signing(None);
    let server = ask(&mut announcer, START);
    announcer.asked(START, server, introduced("198.51.100.7", Some(NOW_UNIX_S)));
    let now = Instant::from_s(3);
    assert_eq!(announce(&mut announcer, now).1.seal.unwrap().seq, NOW_UNIX_S + 3);

    for told in [None, Some(7), Some(EARLIEST_CREDIBLE_UNIX_S + 200 * 366 * 86_400), Some(u64::MAX)] {
        let mut announcer = signing(None);
        let server = ask(&mut announcer, START);
        announcer.asked(START, server, introduced("198.51.100.7", told));
        let (seq, tries) = passes(&mut announcer, START, NOW_UNIX_S);
        assert!(tries <= 22 && seq < NOW_UNIX_S + 1_100_000, "{tries} {seq}");
    }
}

#[test]
fn a_server_that_finds_every_number_stale_has_failed() {
    let mut announcer = signing(Some(NOW_UNIX_S));
    let server = ask(&mut announcer, START);
    announcer.asked(START, server, introduced("198.51.100.7", None));
    let mut now = START;
    for tries in 1.. {
        let (server, _) = announce(&mut announcer, now);
        if let Some(event) = announcer.answered(now, server, refused("stale_seq", None)) {
            assert!(matches!(event.what, What::Failed { .. }) && tries == 35, "{tries}");
            break;
        }
        now = now.plus_ms(1100);
    }
    assert!(wait_ms(&mut announcer, now) >= 270_000);
}

fn invite(pin: Option<[u8; 20]>) -> String {
    let ways = WAYS.map(|way| Way::parse(way).unwrap()).into();
    Invite { ways, bootstrap_id: pin, network: "chess".into(), expires_unix_s: None }.emit().unwrap()
}

const WAYS: [&str; 2] = ["http://192.0.2.1:8080", "udp://192.0.2.1:6881"];

/// One that announces alice by way of an invite.
fn invited(pin: Option<[u8; 20]>) -> Announcer {
    let mut announcer = announcer(alice(), Some(300), &[&invite(pin)]);
    let Step::Locate { origin, .. } = announcer.poll(START) else { panic!() };
    let ways = WAYS.map(|way| Target { pin, ..Way::parse(way).unwrap().into() });
    assert_eq!(announcer.located(START, origin, Ok(ways.into())), None);
    announcer
}

#[test]
fn who_is_pinned_proves_itself_before_every_announce() {
    let mut announcer = invited(Some([7; 20]));
    let Step::Ask { server, target } = announcer.poll(START) else { panic!() };
    assert_eq!((target.pin, target.way.to_string().as_str()), (Some([7; 20]), "http://192.0.2.1:8080"));
    announcer.asked(START, server, introduced("198.51.100.7", None));
    hears(&mut announcer, START, registered(750, None));
    let Step::Wait(later) = announcer.poll(START) else { panic!() };
    let server = ask(&mut announcer, later);
    let impostor = Failure::WrongIdentity("another key");
    let told = announcer.asked(later, server, Err(impostor.clone())).unwrap();
    assert!(matches!(told.what, What::Failed { failure, .. } if failure == impostor), "UDP is no way out");
    assert!(wait_ms(&mut announcer, later) >= 270_000, "never announced to");
}

#[test]
fn the_ways_of_an_invite_are_tried_in_turn() {
    let mut announcer = invited(None);
    let target = |announcer: &mut Announcer, now| match announcer.poll(now) {
        Step::Announce { target, .. } => target.way.to_string(),
        step => panic!("{step:?}"),
    };
    assert_eq!(target(&mut announcer, START), "http://192.0.2.1:8080");
    assert_eq!(announcer.answered(START, 0, Err(Failure::TimedOut)), None);
    assert_eq!(target(&mut announcer, START), "udp://192.0.2.1:6881");
    let told = announcer.answered(START, 0, registered(750, None)).unwrap();
    assert_eq!(told.server, "udp://192.0.2.1:6881");
    let What::Registered { again: Some(later), .. } = told.what else { panic!() };
    assert_eq!(target(&mut announcer, later), "udp://192.0.2.1:6881", "what works is kept");
    assert!(announcer.answered(later, 0, refused("table_full", None)).is_some(), "a refusal is an answer");
}

#[test]
fn a_domain_is_looked_up_and_all_its_servers_are_announced_to() {
    let mut announcer = announcer(alice(), Some(300), &["example.org"]);
    let Step::Locate { origin, url, afresh: false } = announcer.poll(START) else { panic!() };
    assert_eq!(url.to_string(), "example.org");
    assert_eq!(announcer.poll(START), Step::Nothing);
    let told = announcer.located(START, origin, Err(Failure::TimedOut)).unwrap();
    assert_eq!(told.server, "example.org");
    let later = START.plus_ms(wait_ms(&mut announcer, START));
    assert!(matches!(announcer.poll(later), Step::Locate { .. }));
    let way = |text: &str| Target::from(Way::parse(text).unwrap());
    announcer.located(later, origin, Ok(vec![way("http://a.example"), way("http://b.example")]));
    let (a, _) = announce(&mut announcer, later);
    let (b, _) = announce(&mut announcer, later);
    announcer.answered(later, a, registered(750, Some("A")));
    announcer.answered(later, b, registered(750, Some("B")));
    // An hour later there is another one instead of the second.
    let hour = later.plus_s(3_960);
    assert!(matches!(announcer.poll(hour), Step::Locate { .. }));
    announcer.located(hour, origin, Ok(vec![way("http://a.example"), way("http://c.example")]));
    assert_eq!(announce(&mut announcer, hour).1.token.as_deref(), Some("A"));
    let (c, announce) = announce(&mut announcer, hour);
    assert_eq!((announce.token, c > b), (None, true));
    assert_eq!(announcer.answered(hour, b, registered(750, None)), None, "nobody listens to the second");
    // It moves while nobody looks.
    let mut now = hour;
    for _ in 0..3 {
        announcer.answered(now, c, Err(Failure::TimedOut));
        let Step::Wait(until) = announcer.poll(now) else { return };
        now = until;
        if matches!(announcer.poll(now), Step::Locate { .. }) {
            assert!(now.s_since(hour) < 60);
            return;
        }
    }
    panic!("it was not looked up again");
}

#[test]
fn what_was_learnt_of_a_domain_is_forgotten_when_it_led_to_another_server() {
    let mut announcer = announcer(alice(), Some(300), &["example.org"]);
    let Step::Locate { origin, .. } = announcer.poll(START) else { panic!() };
    let way = |pin: u8| Target { pin: Some([pin; 20]), ..Way::parse("https://example.org").unwrap().into() };
    announcer.located(START, origin, Ok(vec![way(1)]));
    let server = ask(&mut announcer, START);
    announcer.asked(START, server, Err(Failure::WrongIdentity("another key")));
    assert!(matches!(announcer.poll(START), Step::Locate { afresh: true, .. }));
    announcer.located(START, origin, Ok(vec![way(2)]));
    let Step::Ask { server, target } = announcer.poll(START) else { panic!() };
    assert_eq!(target.pin, Some([2; 20]));
    // Once more only after five minutes, whoever is there.
    announcer.asked(START, server, Err(Failure::WrongIdentity("another key")));
    assert!(matches!(announcer.poll(START), Step::Locate { afresh: true, .. }));
    announcer.located(START, origin, Ok(vec![way(2)]));
    assert!(wait_ms(&mut announcer, START) >= 270_000);
}

#[test]
fn behind_a_domain_one_host_is_one_server() {
    let mut announcer = announcer(alice(), Some(300), &["example.org"]);
    let Step::Locate { origin, .. } = announcer.poll(START) else { panic!() };
    let way = |text: &str| Target::from(Way::parse(text).unwrap());
    let via = |host: &str| Target { via: Some((host.into(), 443)), ..way("https://example.org") };
    let targets = vec![
        way("http://example.org:8080"),
        way("udp://example.org:6881"),
        via("a.example"),
        via("b.example"),
    ];
    announcer.located(START, origin, Ok(targets));
    let begun: Vec<String> = std::iter::from_fn(|| match announcer.poll(START) {
        Step::Announce { target, .. } => Some(format!("{} {:?}", target.way, target.via)),
        _ => None,
    })
    .collect();
    assert_eq!(begun.len(), 3, "{begun:?}");
}

#[test]
fn once_is_once() {
    let mut announcer = announcer(alice(), None, &["http://a.example", "http://b.example"]);
    let (a, _) = announce(&mut announcer, START);
    let (b, _) = announce(&mut announcer, START);
    let told = announcer.answered(START, a, registered(300, None)).unwrap();
    assert!(matches!(told.what, What::Registered { again: None, .. }));
    let told = announcer.answered(START, b, Err(Failure::TimedOut)).unwrap();
    assert!(matches!(told.what, What::Failed { again: None, .. }));
    assert_eq!(announcer.poll(Instant::from_s(10_000)), Step::Nothing);
}

#[test]
fn goodbye_is_said_where_somebody_may_know_us() {
    let servers = ["http://a.example", "http://b.example", "http://c.example"];
    let mut announcer = announcer(alice(), Some(300), &servers);
    let (a, _) = announce(&mut announcer, START);
    let (b, _) = announce(&mut announcer, START);
    let (c, _) = announce(&mut announcer, START);
    announcer.answered(START, a, registered(750, Some("T")));
    announcer.answered(START, b, Err(Failure::TimedOut));
    let goodbyes = announcer.leave(Instant::from_s(1));
    let told: Vec<&str> = goodbyes.iter().map(|goodbye| goodbye.server.as_str()).collect();
    assert_eq!(told, ["http://a.example", "http://c.example"], "an announce that is under way may arrive");
    assert_eq!(goodbyes[0].leave.token.as_deref(), Some("T"));
    assert_eq!(announcer.poll(Instant::from_s(2)), Step::Nothing);
    assert_eq!(announcer.answered(Instant::from_s(2), c, registered(750, None)), None);
    assert!(announcer.leave(Instant::from_s(2)).is_empty());
}

#[test]
fn a_signed_goodbye_has_a_higher_number() {
    let mut announcer = signing(Some(NOW_UNIX_S));
    let server = ask(&mut announcer, START);
    announcer.asked(START, server, introduced("198.51.100.7", None));
    let (server, announce) = announce(&mut announcer, START);
    announcer.answered(START, server, registered(750, None));
    let mut goodbyes = announcer.leave(START);
    let numbers: Vec<u64> = (0..3)
        .map(|_| {
            let seq = goodbyes[0].leave.seal.unwrap().seq;
            assert!(goodbyes[0].raise());
            seq - announce.seal.unwrap().seq
        })
        .collect();
    assert_eq!(numbers, [1, 3, 7]);
    while goodbyes[0].raise() {}
    let mut unsigned = usual();
    hears(&mut unsigned, START, registered(750, None));
    assert!(!unsigned.leave(START)[0].raise());
}

#[test]
fn what_comes_out_of_turn_changes_nothing() {
    let mut announcer = usual();
    assert_eq!(announcer.answered(START, 0, registered(1, None)), None);
    assert_eq!(announcer.answered(START, 9, registered(1, None)), None);
    assert_eq!(announcer.solved(START, 0, Ok(1)), None);
    assert_eq!(announcer.asked(START, 0, introduced("192.0.2.1", None)), None);
    assert_eq!(announcer.located(START, 9, Ok(Vec::new())), None);
    announce(&mut announcer, START);
}

#[test]
fn there_is_an_end_to_the_number_of_servers() {
    let texts: Vec<String> = (0..20).map(|n| format!("http://s{n}.example")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let mut announcer = announcer(alice(), Some(300), &texts);
    let begun = (0..20).filter(|_| matches!(announcer.poll(START), Step::Announce { .. })).count();
    assert_eq!(begun, MAX_ANNOUNCED_SERVERS);
}
