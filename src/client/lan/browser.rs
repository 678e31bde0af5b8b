//! The asking half of DNS-SD, sans-IO: what to ask, what was said, and who is known well enough to be named.
//!
//! It hears nobody who is not on the link, keeps no more than [`MAX_INSTANCES`] services of [`MAX_ADDRESSES`] addresses, and
//! believes what it hears no further than that somebody on the LAN says so.

use std::net::{IpAddr, SocketAddr};

use super::LanService;
use crate::addr::{CanonicalAddr, Scope};
use crate::engine::mdns::{Interface, PORT};
use crate::limits::{MAX_ID_BYTES, MAX_MDNS_RECORDS};
use crate::rng::Rng;
use crate::time::Instant;
use crate::wire::Full;
use crate::wire::dns::{CLASS_IN, Data, Emitter, Flags, Message, Name, NameBuf, Record, Section, Txt, Type};

/// Most services that are kept.
pub(super) const MAX_INSTANCES: usize = 64;
/// Most addresses of one.
pub(super) const MAX_ADDRESSES: usize = 8;
/// Wait before the first question, in milliseconds: from and width (RFC 6762, section 5.2).
const FIRST_DELAY_MS: (u64, u32) = (20, 101);
/// Time between the first two questions, in milliseconds; it doubles each time.
const PAUSE_MS: u64 = 1_000;
/// Time until what is missing of a service is asked for again, in milliseconds, and how often it is.
const DETAIL_PAUSE_MS: u64 = 1_000;
const DETAIL_TRIES: u8 = 3;
/// Lifetime that known answers are given, in seconds: what was heard in this window has hardly aged.
const KNOWN_TTL_S: u32 = 4_000;
/// Time from the first address of a service to telling of it, in milliseconds: others answer over IPv4 with their IPv4 addresses,
/// and over IPv6 with the others.
const COMPANY_MS: u64 = 150;
/// Services of whose details one question asks.
const DETAILS_AT_ONCE: usize = 8;

/// Looks for one service.
pub(super) struct Browser {
    service: NameBuf,
    interfaces: Vec<Interface>,
    /// Whether an answer to us alone gets to us.
    is_alone: bool,
    /// How many questions were asked, and when the next one will be.
    asked: u32,
    next: Instant,
    instances: Vec<Instance>,
}

/// What is known of one that offers it.
struct Instance {
    name: NameBuf,
    interface: u32,
    /// Port and host.
    srv: Option<(u16, NameBuf)>,
    texts: Option<Vec<u8>>,
    addresses: Vec<IpAddr>,
    /// When all was known of it first.
    since: Option<Instant>,
    is_told: bool,
    /// How often what is missing was asked for, and when it will be.
    tries: u8,
    next: Instant,
}

impl Instance {
    const fn is_complete(&self) -> bool {
        self.srv.is_some() && self.texts.is_some() && !self.addresses.is_empty()
    }

    const fn will_be_asked_for(&self) -> bool {
        !self.is_told && !self.is_complete() && self.tries < DETAIL_TRIES
    }
}

impl Browser {
    /// One that knows nobody. `is_alone`: nobody else on this host gets what is sent to us alone.
    pub(super) fn new(
        now: Instant,
        service: NameBuf,
        interfaces: Vec<Interface>,
        is_alone: bool,
        mut rng: Rng,
    ) -> Self {
        let (from_ms, width_ms) = FIRST_DELAY_MS;
        let next = now.plus_ms(from_ms).plus_ms(rng.below(width_ms).into());
        Self { service, interfaces, is_alone, asked: 0, next, instances: Vec::new() }
    }

    /// Where it looks.
    pub(super) fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// When [`Browser::poll_transmit`] has something to send, or [`Browser::complete`] to tell.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let details = self.instances.iter().filter(|one| one.will_be_asked_for()).map(|one| one.next);
        let company = self.instances.iter().filter(|one| !one.is_told).filter_map(|one| one.since);
        details.chain([self.next]).chain(company.map(|since| since.plus_ms(COMPANY_MS))).min()
    }

    /// Writes what is to be asked now, on all interfaces. To be called until there is nothing more.
    pub(super) fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        if now >= self.next {
            let first = self.asked == 0 && self.is_alone;
            self.next = now.plus_ms(PAUSE_MS.saturating_mul(1 << self.asked.min(16)));
            self.asked = self.asked.saturating_add(1);
            return self.question(first, out).ok();
        }
        self.details(now, out)
    }

    /// Takes in a packet.
    pub(super) fn receive(&mut self, now: Instant, from: SocketAddr, packet: &[u8]) {
        // Section 6: whoever answers does so from this port.
        if from.port() != PORT {
            return;
        }
        let here = self.interfaces.iter().find(|interface| interface.has_neighbour(from));
        let Some(interface) = here.map(|interface| interface.index) else { return };
        let Ok(message) = Message::parse(packet) else { return };
        if !message.flags.is_response() || message.flags.opcode() != 0 || message.flags.rcode() != 0 {
            return;
        }
        // Whatever their order: who offers the service, where that is, and which addresses that has.
        for pass in [Self::heard_pointer, Self::heard_service, Self::heard_address] {
            for record in message.records().take(MAX_MDNS_RECORDS).flatten() {
                if record.class == CLASS_IN {
                    pass(self, now, interface, &record);
                }
            }
        }
    }

    /// Those of whom all has been known for [`COMPANY_MS`], once; at the `end`, those of whom enough is.
    pub(super) fn complete(&mut self, now: Instant, end: bool) -> Vec<LanService> {
        let mut found = Vec::new();
        for one in &mut self.instances {
            one.since = one.since.or(Some(now)).filter(|_| one.is_complete());
            let is_ready = one.since.is_some_and(|since| now.ms_since(since) >= COMPANY_MS);
            if one.is_told || !(is_ready || end) {
                continue;
            }
            let Some((port, host)) = &one.srv else { continue };
            if one.addresses.is_empty() || *port == 0 {
                continue;
            }
            one.is_told = true;
            let texts = Txt(one.texts.as_deref().unwrap_or_default());
            let text = |key| texts.value(key).and_then(|value| str::from_utf8(value).ok());
            let label = one.name.name().labels().next().unwrap_or_default();
            let id = text("id").filter(|id| (1..=MAX_ID_BYTES).contains(&id.len()));
            found.push(LanService {
                instance: String::from_utf8_lossy(label).into_owned(),
                host: host.to_string(),
                port: *port,
                addresses: one.addresses.clone(),
                udp_port: text("udp").and_then(|port| port.parse().ok()).filter(|&port| port != 0),
                id: id.map(Into::into),
                is_server: text("path").is_some(),
                interface: one.interface,
            });
        }
        found
    }

    fn question(&self, unicast: bool, out: &mut [u8]) -> Result<usize, Full> {
        let mut out = Emitter::new(out, 0, Flags::QUERY)?;
        out.question(self.service.name(), Type::PTR, unicast)?;
        for one in self.instances.iter().filter(|one| one.is_complete()) {
            let known = Data::Ptr(one.name.name());
            // Who is left out answers once more.
            let _ = out.record(Section::Answer, self.service.name(), false, KNOWN_TTL_S, &known);
        }
        Ok(out.finish())
    }

    /// Asks for what is missing of those who are next.
    fn details(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        let mut out = Emitter::new(out, 0, Flags::QUERY).ok()?;
        let due = self.instances.iter_mut().filter(|one| one.will_be_asked_for() && one.next <= now);
        for one in due.take(DETAILS_AT_ONCE) {
            one.tries = one.tries.saturating_add(1);
            one.next = now.plus_ms(DETAIL_PAUSE_MS);
            // What does not fit is asked for next time.
            let mut ask = |name: Name<'_>, kind| {
                let _ = out.question(name, kind, false);
            };
            match &one.srv {
                None => ask(one.name.name(), Type::SRV),
                Some((_, host)) if one.addresses.is_empty() => {
                    ask(host.name(), Type::A);
                    ask(host.name(), Type::AAAA);
                }
                Some(_) => {}
            }
            if one.texts.is_none() {
                ask(one.name.name(), Type::TXT);
            }
        }
        (!out.is_empty()).then(|| out.finish())
    }

    fn heard_pointer(&mut self, now: Instant, interface: u32, record: &Record<'_>) {
        let Data::Ptr(name) = record.data else { return };
        let is_instance = name.parent() == self.service.name() && !name.is_root();
        if record.name != self.service.name() || !is_instance {
            return;
        }
        if record.ttl_s == 0 {
            self.instances.retain(|one| one.is_told || one.name.name() != name);
            return;
        }
        let is_known = self.instances.iter().any(|one| one.name.name() == name);
        if !is_known && self.instances.len() < MAX_INSTANCES {
            self.instances.push(Instance {
                name: name.to_buf(),
                interface,
                srv: None,
                texts: None,
                addresses: Vec::new(),
                since: None,
                is_told: false,
                tries: 0,
                next: now,
            });
        }
    }

    fn heard_service(&mut self, _: Instant, _: u32, record: &Record<'_>) {
        let Some(one) = self.instances.iter_mut().find(|one| one.name.name() == record.name) else { return };
        match record.data {
            Data::Srv(srv) if record.ttl_s > 0 => {
                if one.srv.as_ref().is_none_or(|(_, host)| host.name() != srv.target) {
                    one.addresses.clear();
                }
                one.srv = Some((srv.port, srv.target.to_buf()));
            }
            Data::Srv(_) => one.srv = None,
            Data::Txt(texts) if record.ttl_s > 0 => one.texts = Some(texts.0.into()),
            _ => {}
        }
    }

    fn heard_address(&mut self, _: Instant, _: u32, record: &Record<'_>) {
        let ip: IpAddr = match record.data {
            Data::A(ip) => ip.into(),
            Data::Aaaa(ip) => ip.into(),
            _ => return,
        };
        let is_host = matches!(CanonicalAddr::new(ip).scope(), Scope::Global | Scope::Private);
        for one in &mut self.instances {
            let is_its = one.srv.as_ref().is_some_and(|(_, host)| host.name() == record.name);
            if !is_its || !is_host {
                continue;
            }
            if record.ttl_s == 0 {
                one.addresses.retain(|&other| other != ip);
            } else if one.addresses.len() < MAX_ADDRESSES && !one.addresses.contains(&ip) {
                one.addresses.push(ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::mdns::{Advert, Responder, Subnet};
    use crate::rng::Seed;
    use crate::wire::dns::Srv;

    const NEIGHBOUR: &str = "10.0.0.9:5353";
    const SERVICE: &str = "_pscryptochat._tcp.local";

    fn name(text: &str) -> NameBuf {
        NameBuf::from_text(text).unwrap()
    }

    fn here() -> Vec<Interface> {
        let subnet = Subnet { ip: [10, 0, 0, 1].into(), prefix_bits: 24, is_shown: true };
        vec![Interface { index: 3, addresses: [subnet].into_iter().collect() }]
    }

    fn browser(is_alone: bool) -> Browser {
        Browser::new(Instant::START, name(SERVICE), here(), is_alone, Rng::new(Seed([1; 32]).key(1)))
    }

    /// What it asks up to a moment: when, and whose what, `?` if an answer to it alone will do.
    fn asked(browser: &mut Browser, end_ms: u64) -> Vec<(u64, Vec<String>)> {
        let mut found = Vec::new();
        let mut buffer = [0; 1500];
        while let Some(at) = browser.poll_timeout().filter(|at| at.as_ms() <= end_ms) {
            let Some(length) = browser.poll_transmit(at, &mut buffer) else {
                panic!("nothing is due at {}", at.as_ms())
            };
            let message = Message::parse(&buffer[..length]).unwrap();
            let mut words: Vec<_> = message
                .questions()
                .map(Result::unwrap)
                .map(|q| format!("{} {}{}", q.name, q.kind.0, if q.unicast { "?" } else { "" }))
                .collect();
            words.extend(message.records().map(|known| format!("knows {:?}", known.unwrap().data)));
            found.push((at.as_ms(), words));
            assert!(found.len() < 1000, "it does not stop asking");
        }
        found
    }

    /// A packet with these records.
    fn packet(flags: Flags, records: &[(&str, u32, Data<'_>)]) -> Vec<u8> {
        let mut buffer = [0; 9000];
        let mut out = Emitter::new(&mut buffer, 0, flags).unwrap();
        for (owner, ttl_s, data) in records {
            out.record(Section::Answer, name(owner).name(), false, *ttl_s, data).unwrap();
        }
        let length = out.finish();
        buffer[..length].to_vec()
    }

    /// Who is told of now and after a while.
    fn complete(browser: &mut Browser, end: bool) -> Vec<LanService> {
        let mut found = browser.complete(Instant::START, end);
        assert!(end || found.is_empty(), "others may have more to say");
        found.extend(browser.complete(Instant::from_ms(COMPANY_MS), end));
        found
    }

    fn hear(browser: &mut Browser, from: &str, records: &[(&str, u32, Data<'_>)]) -> Vec<LanService> {
        browser.receive(Instant::START, from.parse().unwrap(), &packet(Flags::RESPONSE, records));
        complete(browser, false)
    }

    #[test]
    fn it_asks_at_doubling_intervals() {
        let times: Vec<_> = asked(&mut browser(true), 20_000).into_iter().map(|(at, _)| at).collect();
        let first = times[0];
        assert!((20..=120).contains(&first));
        assert_eq!(times, [0, 1_000, 3_000, 7_000, 15_000].map(|ms| first + ms));
        let questions = asked(&mut browser(true), 2_000);
        assert_eq!(questions[0].1, [format!("{SERVICE} 12?")]);
        assert_eq!(questions[1].1, [format!("{SERVICE} 12")]);
        // With others on the port, everybody's answer is the one that gets here.
        assert_eq!(asked(&mut browser(false), 500)[0].1, [format!("{SERVICE} 12")]);
    }

    #[test]
    fn a_responder_of_ours_is_found() {
        let advert = Advert::server("pscryptochat", &[7; 20], 8080, Some(6881)).unwrap();
        let mut responder = Responder::new(advert, Seed([1; 32]).key(1)).unwrap();
        responder.set_interfaces(Instant::START, &here());
        let mut browser = browser(true);
        let mut buffer = [0; 1500];
        let mut found = Vec::new();
        while let Some(at) = responder.poll_timeout() {
            while let Some(sent) = responder.poll_transmit(at, &mut buffer) {
                browser.receive(at, NEIGHBOUR.parse().unwrap(), &buffer[..sent.length]);
                found.extend(browser.complete(at, false));
            }
        }
        assert_eq!(
            found,
            [LanService {
                instance: "waypost 07070707".into(),
                host: "waypost-07070707.local".into(),
                port: 8080,
                addresses: vec![[10, 0, 0, 1].into()],
                udp_port: Some(6881),
                id: Some("07".repeat(20)),
                is_server: true,
                interface: 3,
            }]
        );
    }

    #[test]
    fn what_is_missing_is_asked_for() {
        let (one, host) = ("alice._pscryptochat._tcp.local", name("box.local"));
        let instance = name(one);
        let mut browser = browser(false);
        browser.next = Instant::from_s(1_000);
        assert_eq!(hear(&mut browser, NEIGHBOUR, &[(SERVICE, 4500, Data::Ptr(instance.name()))]), []);
        let both = vec![format!("{one} 33"), format!("{one} 16")];
        assert_eq!(asked(&mut browser, 500), [(0, both)]);
        let srv = Data::Srv(Srv { priority: 0, weight: 0, port: 9000, target: host.name() });
        assert_eq!(hear(&mut browser, NEIGHBOUR, &[(one, 120, srv)]), []);
        let three = ["box.local 1", "box.local 28", &format!("{one} 16")].map(String::from).to_vec();
        assert_eq!(asked(&mut browser, 1_500), [(1_000, three)]);
        assert_eq!(hear(&mut browser, NEIGHBOUR, &[("BOX.local", 120, Data::A([10, 0, 0, 9].into()))]), []);
        assert_eq!(asked(&mut browser, 2_500).len(), 1);
        assert_eq!(asked(&mut browser, 900_000), [], "it is not asked for ever");
        let found = hear(&mut browser, NEIGHBOUR, &[(one, 120, Data::Txt(Txt(b"\x08id=alice\x08udp=9001")))]);
        assert_eq!((found.len(), found[0].port, found[0].udp_port), (1, 9000, Some(9001)));
        assert!(found[0].id.as_deref() == Some("alice") && !found[0].is_server);
        assert_eq!(hear(&mut browser, NEIGHBOUR, &[("box.local", 120, Data::A([10, 0, 0, 8].into()))]), []);
        // Who is known need not answer again.
        browser.next = Instant::from_s(1_000);
        let questions = asked(&mut browser, 1_000_000);
        assert_eq!(questions[0].1, [format!("{SERVICE} 12"), format!("knows Ptr({one})")]);
    }

    /// All of one in one packet.
    fn whole<'r>(instance: &'r NameBuf, host: &'r NameBuf, ttl_s: u32) -> [(String, u32, Data<'r>); 4] {
        let srv = Data::Srv(Srv { priority: 0, weight: 0, port: 9000, target: host.name() });
        [
            // Addresses first: the order does not matter.
            (host.to_string(), ttl_s, Data::A([10, 0, 0, 9].into())),
            (instance.to_string(), ttl_s, Data::Txt(Txt(b"\0"))),
            (instance.to_string(), ttl_s, srv),
            (SERVICE.into(), ttl_s, Data::Ptr(instance.name())),
        ]
    }

    #[test]
    fn only_neighbours_are_heard() {
        let (instance, host) = (name("a._pscryptochat._tcp.local"), name("box.local"));
        let records = whole(&instance, &host, 120);
        let records: Vec<_> = records.iter().map(|(name, ttl, data)| (name.as_str(), *ttl, *data)).collect();
        for from in
            ["10.0.1.9:5353", "192.0.2.1:5353", "10.0.0.9:40000", "[fe80::9%4]:5353", "[fe80::9]:5353"]
        {
            assert_eq!(hear(&mut browser(true), from, &records), [], "{from}");
        }
        for from in [NEIGHBOUR, "[fe80::9%3]:5353"] {
            assert_eq!(hear(&mut browser(true), from, &records).len(), 1, "{from}");
        }
        let mut browser = browser(true);
        let question = packet(Flags::QUERY, &records);
        browser.receive(Instant::START, NEIGHBOUR.parse().unwrap(), &question);
        assert!(browser.instances.is_empty(), "what others know is no answer");
    }

    #[test]
    fn every_prefix_of_an_answer_is_survived() {
        let (instance, host) = (name("a._pscryptochat._tcp.local"), name("box.local"));
        let records = whole(&instance, &host, 120);
        let records: Vec<_> = records.iter().map(|(name, ttl, data)| (name.as_str(), *ttl, *data)).collect();
        let packet = packet(Flags::RESPONSE, &records);
        for end in 0..packet.len() {
            let mut browser = browser(true);
            browser.receive(Instant::START, NEIGHBOUR.parse().unwrap(), &packet[..end]);
            assert_eq!(complete(&mut browser, false), [], "{end}");
        }
    }

    #[test]
    fn goodbyes_are_heard() {
        let (instance, host) = (name("a._pscryptochat._tcp.local"), name("box.local"));
        let mut browser = browser(true);
        hear(&mut browser, NEIGHBOUR, &[(SERVICE, 4500, Data::Ptr(instance.name()))]);
        hear(&mut browser, NEIGHBOUR, &[(SERVICE, 0, Data::Ptr(instance.name()))]);
        assert!(browser.instances.is_empty());
        let records = whole(&instance, &host, 0);
        let records: Vec<_> = records.iter().map(|(name, ttl, data)| (name.as_str(), *ttl, *data)).collect();
        assert_eq!(hear(&mut browser, NEIGHBOUR, &records), []);
    }

    #[test]
    fn nobody_can_fill_its_memory() {
        let mut browser = browser(true);
        let host = name("box.local");
        for n in 0..200 {
            let instance = name(&format!("i{n}.{SERVICE}"));
            let records = whole(&instance, &host, 120);
            let records: Vec<_> =
                records.iter().map(|(name, ttl, data)| (name.as_str(), *ttl, *data)).collect();
            hear(&mut browser, NEIGHBOUR, &records);
            hear(&mut browser, NEIGHBOUR, &[("box.local", 120, Data::A([10, 0, 1, n].into()))]);
        }
        assert_eq!(browser.instances.len(), MAX_INSTANCES);
        assert!(browser.instances.iter().all(|one| one.addresses.len() <= MAX_ADDRESSES));
        // What is of another service, or of itself, is none.
        let own = name(SERVICE);
        let other = name("a._http._tcp.local");
        let mut browser = super::tests::browser(true);
        for instance in [&own, &other] {
            hear(&mut browser, NEIGHBOUR, &[(SERVICE, 120, Data::Ptr(instance.name()))]);
        }
        assert!(browser.instances.is_empty());
    }

    #[test]
    fn addresses_of_no_host_are_left_out() {
        let (instance, host) = (name("a._pscryptochat._tcp.local"), name("box.local"));
        let mut records = whole(&instance, &host, 120);
        for ip in [[127, 0, 0, 1], [224, 0, 0, 1], [0, 0, 0, 0], [255, 255, 255, 255]] {
            records[0].2 = Data::A(ip.into());
            let records: Vec<_> =
                records.iter().map(|(name, ttl, data)| (name.as_str(), *ttl, *data)).collect();
            assert_eq!(hear(&mut browser(true), NEIGHBOUR, &records), [], "{ip:?}");
        }
    }

    #[test]
    fn at_the_end_enough_is_enough() {
        let (instance, host) = (name("a._pscryptochat._tcp.local"), name("box.local"));
        let mut records = whole(&instance, &host, 120).to_vec();
        records.remove(1);
        let records: Vec<_> = records.iter().map(|(name, ttl, data)| (name.as_str(), *ttl, *data)).collect();
        let mut browser = browser(true);
        assert_eq!(hear(&mut browser, NEIGHBOUR, &records), []);
        let found = complete(&mut browser, true);
        assert!(found.len() == 1 && found[0].id.is_none() && !found[0].is_server);
        assert_eq!(complete(&mut browser, true), []);
    }
}
