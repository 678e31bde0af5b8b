use super::*;
use crate::client::invite::Invite;
use crate::rng::HashKey;

const ID: &str = "abababababababababababababababababababab";
const PIN: Option<[u8; 20]> = Some([0xab; 20]);

/// A look-up of example.com under a virtual clock: it has four seconds from second 100.
struct World {
    lookup: Lookup,
    now: Instant,
    rng: Rng,
}

impl World {
    fn new() -> Self {
        Self::with_time(4000)
    }

    fn with_time(ms: u64) -> Self {
        let now = Instant::from_s(100);
        let lookup = Lookup::new(now, "example.com", now.plus_ms(ms));
        Self { lookup, now, rng: Rng::new(HashKey::new([1; 16])) }
    }

    fn poll(&mut self) -> Step {
        self.lookup.poll(self.now, &mut self.rng)
    }

    /// Everything that is asked now, and until when.
    fn asks(&mut self) -> Vec<(Question, u64)> {
        let mut asked = Vec::new();
        while let Step::Ask(question, until) = self.poll() {
            asked.push((question, until.ms_since(Instant::from_s(100))));
        }
        asked
    }

    /// Lets the time pass that it waits, and tells when it is then.
    fn wait(&mut self) -> u64 {
        let step = self.poll();
        let Step::Wait(until) = step else { panic!("{step:?}") };
        assert!(until > self.now);
        self.now = until;
        until.ms_since(Instant::from_s(100))
    }

    fn done(&mut self) -> Result<Located, Failure> {
        match self.poll() {
            Step::Done(result) => result,
            step => panic!("{step:?}"),
        }
    }

    /// The look-up with this well-known document, and these records of each domain.
    fn located(
        document: Result<WellKnown, Failure>,
        records: &[(&str, Services)],
    ) -> Result<Located, Failure> {
        let mut world = Self::new();
        assert_eq!(world.asks(), [(Question::WellKnown, 2000)]);
        world.lookup.well_known(document);
        for (question, until) in world.asks() {
            let Question::Services(domain) = question else { panic!("asked twice") };
            assert_eq!(until, 3000);
            let answer = records.iter().find(|(name, _)| *name == domain);
            let answer = answer.map(|(_, answer)| answer.clone()).ok_or(Failure::TimedOut);
            world.lookup.services(&domain, answer);
        }
        // Those that come of it when all servers of the document refuse.
        for (question, _) in world.asks() {
            let Question::Services(domain) = question else { panic!("asked twice") };
            world.lookup.services(&domain, Ok(Services::None));
        }
        world.done()
    }
}

fn document(servers: &[(&str, u32)], id: Option<&str>) -> Result<WellKnown, Failure> {
    let servers = servers.iter().map(|(url, priority)| ((*url).into(), *priority)).collect();
    Ok(WellKnown { servers, bootstrap_id: id.map(Into::into) })
}

fn at(records: &[(u16, u16, &str)]) -> Services {
    let record = |(priority, port, host): &(u16, u16, &str)| SrvRecord::new(*priority, 0, *port, host);
    Services::At(records.iter().filter_map(record).collect())
}

fn missing() -> Result<WellKnown, Failure> {
    Err(Failure::Status(404))
}

/// Each target as text: its way, where that really leads, and whether it is pinned.
fn shown(located: &Located) -> Vec<String> {
    let show = |(to, priority): &(Target, u32)| {
        let via = to.via.as_ref().map(|(host, port)| format!(" via {host}:{port}")).unwrap_or_default();
        let pin = if to.pin.is_some() { " pinned" } else { "" };
        format!("{priority} {}{via}{pin}", to.way)
    };
    located.targets.iter().map(show).collect()
}

#[test]
fn a_document_names_the_servers() {
    let servers = [("https://a.example", 1), ("http://b.example:8080", 2), ("udp://c.example", 2)];
    let located = World::located(document(&servers, Some(ID)), &[]).unwrap();
    assert_eq!(located.how, How::WellKnown);
    assert_eq!(shown(&located), ["1 https://a.example", "2 http://b.example:8080", "2 udp://c.example:6881"]);
    assert!(located.tried.is_empty());
}

#[test]
fn an_empty_document_means_the_domain_itself() {
    let located = World::located(document(&[], Some(ID)), &[]).unwrap();
    assert_eq!((located.how, located.targets[0].0.pin), (How::WellKnown, PIN));
    assert_eq!(shown(&located), ["0 https://example.com pinned"]);
    let located = World::located(document(&[], None), &[]).unwrap();
    assert_eq!(shown(&located), ["0 https://example.com"]);
}

#[test]
fn its_id_is_that_of_the_domain_only() {
    let servers = [("https://example.com:8443", 1), ("https://a.example", 1), ("udp://example.com", 1)];
    let located = World::located(document(&servers, Some(ID)), &[]).unwrap();
    let expected = ["1 https://example.com:8443 pinned", "1 https://a.example", "1 udp://example.com:6881"];
    assert_eq!(shown(&located), expected);
}

#[test]
fn an_invite_keeps_its_own_pin() {
    let ways = ["https://a.example", "udp://a.example"].map(|way| Way::parse(way).unwrap());
    let invite = Invite {
        ways: ways.to_vec(),
        bootstrap_id: Some([7; 20]),
        network: "chess".into(),
        expires_unix_s: Some(1),
    };
    let located = World::located(document(&[(&invite.to_string(), 3)], Some(ID)), &[]).unwrap();
    assert_eq!(shown(&located), ["3 https://a.example pinned", "3 udp://a.example:6881 pinned"]);
    assert!(located.targets.iter().all(|(to, _)| to.pin == Some([7; 20])));
}

#[test]
fn a_domain_in_a_document_is_looked_up_by_records_and_name() {
    let servers = [("a.example", 1), ("b.example", 2), ("example.com", 3), ("c.example", 4)];
    let records = [
        ("a.example", at(&[(20, 8080, "two.example.net"), (10, 443, "one.example.net")])),
        ("b.example", Services::None),
        ("example.com", at(&[(0, 9000, "own.example.net")])),
        ("c.example", Services::Refused),
    ];
    let located = World::located(document(&servers, Some(ID)), &records).unwrap();
    assert_eq!(located.how, How::WellKnown);
    let expected = [
        "1 https://a.example via one.example.net:443",
        "1 http://a.example:8080 via two.example.net:8080",
        "2 http://b.example:8080",
        "2 udp://b.example:6881",
        "3 http://example.com:9000 via own.example.net:9000 pinned",
    ];
    assert_eq!(shown(&located), expected);
    assert_eq!(located.tried, [(How::Srv, NO_RECORD), (How::Srv, REFUSED)]);
}

#[test]
fn two_domains_that_name_each_other_are_no_loop() {
    // The document of the other one is never asked for, and a domain is asked for its records once.
    let servers = [("b.example", 1), ("b.example", 2), ("B.example", 2)];
    let records = [("b.example", at(&[(0, 443, "example.com")]))];
    let located = World::located(document(&servers, None), &records).unwrap();
    assert_eq!(shown(&located), ["1 https://b.example via example.com:443"]);
}

#[test]
fn only_so_many_servers_are_taken() {
    let urls: Vec<String> = (0..40).map(|n| format!("https://s{n}.example")).collect();
    let servers: Vec<(&str, u32)> = urls.iter().map(|url| (url.as_str(), 1)).collect();
    let located = World::located(document(&servers, None), &[]).unwrap();
    assert_eq!(located.targets.len(), MAX_TARGETS);
    let many: Vec<(u16, u16, &str)> =
        (0..40).map(|n| (n, 443, ["a", "b", "c"][usize::from(n % 3)])).collect();
    let located = World::located(missing(), &[("example.com", at(&many))]).unwrap();
    assert_eq!(located.targets.len(), 3, "without repeats");
    let ports: Vec<(u16, u16, &str)> = (0..40).map(|n| (n, 1000 + n, "a")).collect();
    let located = World::located(missing(), &[("example.com", at(&ports))]).unwrap();
    assert_eq!(located.targets.len(), MAX_TARGETS);
}

#[test]
fn what_names_no_server_falls_through() {
    let records = [("example.com", at(&[(10, 443, "host.example.net"), (5, 8080, "host.example.net")]))];
    for failure in [
        Failure::Status(404),
        Failure::NoSuchHost("no such host".into()),
        Failure::Unreachable("connection refused".into()),
        Failure::Tls("expired".into()),
        Failure::Nonsense("no strict JSON object"),
        Failure::TooLong,
        Failure::TimedOut,
    ] {
        let located = World::located(Err(failure.clone()), &records).unwrap();
        assert_eq!((located.how, &located.tried), (How::Srv, &vec![(How::WellKnown, failure)]));
        let expected = [
            "5 http://example.com:8080 via host.example.net:8080",
            "10 https://example.com via host.example.net:443",
        ];
        assert_eq!(shown(&located), expected);
    }
    // Neither does one that names nothing we understand.
    for url in ["ftp://a.example", "", "https://a.example/path", "waypost:x"] {
        let located = World::located(document(&[(url, 1)], Some(ID)), &records).unwrap();
        assert_eq!((located.how, &located.tried), (How::Srv, &vec![(How::WellKnown, NO_SERVER)]), "{url}");
        assert!(located.targets.iter().all(|(to, _)| to.pin.is_none()));
    }
}

#[test]
fn without_records_it_is_the_name() {
    for (records, failure) in
        [(vec![("example.com", Services::None)], NO_RECORD), (Vec::new(), Failure::TimedOut)]
    {
        let located = World::located(missing(), &records).unwrap();
        assert_eq!(located.how, How::Name);
        assert_eq!(shown(&located), ["0 http://example.com:8080", "1 udp://example.com:6881"]);
        assert_eq!(located.tried, [(How::WellKnown, Failure::Status(404)), (How::Srv, failure)]);
    }
}

#[test]
fn what_was_tried_is_told_where_nobody_is_there() {
    let located = World::located(missing(), &[("example.com", Services::None)]).unwrap();
    let refused = Failure::Unreachable("connection refused".into());
    assert_eq!(
        located.explain(refused.clone()).to_string(),
        "nobody answers for this domain: /.well-known/waypost: it answers with HTTP status 404; SRV records: it has no SRV \
         record of _waypost._tcp; the name itself: cannot connect: connection refused"
    );
    assert_eq!(located.explain(Failure::TooLong), Failure::TooLong, "somebody is there");
    let named = World::located(document(&[("http://a.example", 1)], None), &[]).unwrap();
    assert_eq!(named.explain(refused.clone()), refused);
}

#[test]
fn a_zone_that_refuses_is_the_end() {
    assert_eq!(World::located(missing(), &[("example.com", Services::Refused)]), Err(REFUSED));
    // Not so where it is a server of the document that is refused.
    let servers = [("a.example", 1)];
    let located = World::located(document(&servers, None), &[("a.example", Services::Refused)]).unwrap();
    assert_eq!((located.how, located.tried.len()), (How::Name, 2));
    assert_eq!(located.tried[0], (How::WellKnown, NO_SERVER));
}

#[test]
fn records_are_asked_for_beside_a_slow_document() {
    let mut world = World::new();
    assert_eq!(world.asks(), [(Question::WellKnown, 2000)]);
    assert_eq!(world.wait(), 1000);
    assert_eq!(world.asks(), [(Question::Services("example.com".into()), 3000)]);
    world.lookup.services("example.com", Ok(at(&[(0, 443, "a")])));
    // It is still preferred.
    let mut other = World::new();
    assert_eq!((other.asks().len(), other.wait(), other.asks().len()), (1, 1000, 1));
    other.lookup.services("example.com", Ok(Services::Refused));
    other.lookup.well_known(document(&[], None));
    assert_eq!(other.done().unwrap().how, How::WellKnown);
    // But not for ever.
    assert_eq!(world.wait(), 2000);
    let located = world.done().unwrap();
    assert_eq!((located.how, located.tried), (How::Srv, vec![(How::WellKnown, Failure::TimedOut)]));
}

#[test]
fn everything_ends_while_there_is_time_left() {
    for ms in [4000, 400, 4, 1, 0] {
        let mut world = World::with_time(ms);
        let mut last = 0;
        let located = loop {
            match world.poll() {
                Step::Ask(..) => {}
                Step::Wait(until) => {
                    assert!(until > world.now, "{ms}");
                    world.now = until;
                    last = until.ms_since(Instant::from_s(100));
                }
                Step::Done(located) => break located.unwrap(),
            }
        };
        assert_eq!((located.how, located.tried.len()), (How::Name, 2), "{ms}");
        assert!(located.tried.iter().all(|(_, failure)| *failure == Failure::TimedOut));
        assert_eq!(last, ms - ms / 4, "{ms}");
    }
}

#[test]
fn servers_of_a_document_that_do_not_come_in_time_go_by_name() {
    let mut world = World::new();
    world.asks();
    world.now = world.now.plus_ms(1999);
    world.lookup.well_known(document(&[("a.example", 1), ("https://b.example", 1)], None));
    assert_eq!(world.asks(), [(Question::Services("a.example".into()), 3000)]);
    assert_eq!(world.wait(), 3000);
    let located = world.done().unwrap();
    assert_eq!(shown(&located), ["1 http://a.example:8080", "1 udp://a.example:6881", "1 https://b.example"]);
    assert_eq!(located.tried, [(How::Srv, Failure::TimedOut)]);
}

#[test]
fn answers_that_nobody_waits_for_change_nothing() {
    let mut world = World::new();
    world.lookup.services("example.com", Ok(Services::Refused));
    world.lookup.services("other.example", Ok(Services::Refused));
    world.asks();
    world.lookup.well_known(document(&[], None));
    world.lookup.well_known(missing());
    assert_eq!(world.done().unwrap().how, How::WellKnown);
}
