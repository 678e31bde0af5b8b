//! What everybody told, put together: one entry a peer, the endpoints that were told most often first, and nobody's word for more
//! than a third of it.
//!
//! A server can lie, and a lying server tells of as many peers as it likes (SECURITY.md, row E7). So
//!
//! - a peer is its id, and what counts is how many servers told of an **endpoint** of it, not of the peer: a liar can name
//!   an honest id with an address of its own;
//! - a signed peer is what its record of the highest number says, and unsigned tales of its id count for nothing;
//! - at most two peers of one /24 (IPv6: /48), the often told ones first;
//! - of three servers or more none is the only one to vouch for more than a third of the result, of two for more than
//!   half, and all those who were met by peer exchange together for no more than a third;
//! - with a quorum, an endpoint that fewer servers told of is left out. A host is one server, whatever its ports.
//!
//! What a program finds by itself, seeds and the LAN, is its own knowledge and is not limited.

mod entry;
mod shares;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::message::PeerRecord;
use super::url::Way;
use crate::addr::{CanonicalAddr, Scope};
use crate::endpoint::Endpoint;
use crate::limits::MAX_ENDPOINTS;
use crate::record::Seal;
use crate::rng::Rng;
use entry::{Entry, Voucher};
use shares::{keep_few_of_one_prefix, limit_shares};

/// Who told of a peer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A bootstrap server of the configuration: what it is called.
    Server(String),
    /// A server that was found on the LAN: what it is called.
    LanServer(String),
    /// A peer that told of others: its address.
    Exchange(String),
    /// The peer itself, on the LAN.
    Lan,
    /// The configuration, or the build.
    Seed,
}

/// A peer that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its id; `None` where only an address was told.
    pub id: Option<String>,
    /// Where it can be reached, 1..=4; what was told most often first.
    pub endpoints: Vec<String>,
    /// Seconds since a server last heard of it.
    pub age_s: Option<u32>,
    /// What it is signed with, verified.
    pub seal: Option<Seal>,
    /// Who told of it.
    pub sources: Vec<Source>,
}

/// How a result is made.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'r> {
    /// How many servers must tell of an endpoint, 1 or more.
    pub quorum: usize,
    /// Most peers.
    pub wanted: usize,
    /// The program's own id.
    pub own_id: Option<&'r str>,
    /// Schemes of endpoints that are of use; all if empty.
    pub transport: &'r [String],
}

/// What everybody told so far.
#[derive(Debug, Default)]
pub struct Pool {
    sources: Vec<(Source, Voucher)>,
    tales: Vec<Tale>,
    /// Ids of peers that were told of with no endpoint that is believed.
    nowhere: BTreeSet<String>,
}

/// What a pool comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// The peers, the often told ones first.
    pub peers: Vec<Peer>,
    /// How many more were told of, and left out by the rules.
    pub left_out: usize,
}

/// What one of them told of one peer.
#[derive(Debug)]
struct Tale {
    source: usize,
    record: PeerRecord,
}

impl Pool {
    /// Takes what `source` told. `from` is the address that it told it from, if it has one: only who is on this machine may tell of
    /// endpoints on this machine.
    pub fn add(
        &mut self,
        source: Source,
        from: Option<IpAddr>,
        records: impl IntoIterator<Item = PeerRecord>,
    ) {
        let voucher = self.voucher_of(&source);
        let number = match self.sources.iter().position(|(known, _)| *known == source) {
            Some(number) => number,
            None => {
                self.sources.push((source, voucher));
                self.sources.len().saturating_sub(1)
            }
        };
        let near = voucher == Voucher::Own
            || from.is_some_and(|ip| CanonicalAddr::new(ip).scope() == Scope::Loopback);
        for mut record in records {
            let all = record.endpoints.len();
            record.endpoints.retain(|text| near || scope_of(text) != Some(Scope::Loopback));
            let cut = record.endpoints.len() < all;
            // A signed record is whole or none.
            if !(record.endpoints.is_empty() || cut && record.seal.is_some()) {
                self.tales.push(Tale { source: number, record });
            } else if let Some(id) = record.id {
                self.nowhere.insert(id);
            }
        }
    }

    /// Whether nobody told of anybody.
    pub fn is_empty(&self) -> bool {
        self.tales.is_empty()
    }

    /// How many tales were told; of one peer there may be several.
    pub fn len(&self) -> usize {
        self.tales.len()
    }

    /// Addresses of endpoints of scheme `udp`, in the order they were told.
    pub(super) fn udp_endpoints(&self) -> impl Iterator<Item = &str> {
        let endpoints = self.tales.iter().flat_map(|tale| &tale.record.endpoints);
        endpoints.filter_map(|text| text.strip_prefix("udp://"))
    }

    /// Who answers for what `source` tells. A peer that only one server told of is that server's creature.
    fn voucher_of(&self, source: &Source) -> Voucher {
        match source {
            Source::Lan | Source::Seed => Voucher::Own,
            Source::Server(name) | Source::LanServer(name) => {
                let is_this = |known: &Source| match known {
                    Source::Server(known) | Source::LanServer(known) => {
                        known == name || host_of(known).is_some_and(|host| host_of(name) == Some(host))
                    }
                    _ => false,
                };
                let known = self.sources.iter().find(|(known, _)| is_this(known));
                known.map_or(Voucher::Server(self.sources.len()), |(_, voucher)| *voucher)
            }
            Source::Exchange(address) => {
                let endpoint = format!("udp://{address}");
                let mut vouchers: Vec<Voucher> = self
                    .tales
                    .iter()
                    .filter(|tale| tale.record.endpoints.contains(&endpoint))
                    .filter_map(|tale| self.sources.get(tale.source).map(|(_, voucher)| *voucher))
                    .collect();
                vouchers.sort_unstable();
                vouchers.dedup();
                match vouchers.as_slice() {
                    &[Voucher::Server(number)] => Voucher::Server(number),
                    _ => Voucher::Exchange,
                }
            }
        }
    }

    /// The result: at most `rules.wanted` peers, the often told ones first and at random within.
    pub fn settle(&self, rules: Rules<'_>, rng: &mut Rng) -> Settled {
        let mut entries = self.entries();
        let is_own = |id: Option<&str>| id.is_some() && id == rules.own_id;
        entries.retain(|entry| !is_own(entry.id.as_deref()));
        let known = |id: &&String| entries.iter().any(|entry| entry.id.as_ref() == Some(*id));
        let nowhere = self.nowhere.iter().filter(|id| !known(id) && !is_own(Some(id))).count();
        let told = entries.len().saturating_add(nowhere);
        for entry in &mut entries {
            self.choose_endpoints(entry, rules);
        }
        entries.retain(|entry| !entry.endpoints.is_empty());
        shuffle(&mut entries, rng);
        entries.sort_by_key(|entry| usize::MAX.saturating_sub(entry.most_vouchers()));
        keep_few_of_one_prefix(&mut entries);
        let mut entries = limit_shares(entries, rules.wanted);
        entries.truncate(rules.wanted);
        let left_out = told.saturating_sub(entries.len());
        Settled { peers: entries.into_iter().map(|entry| self.peer(entry)).collect(), left_out }
    }

    /// Leaves the endpoints that are believed and of use. Those of a signed record stay together, in their order.
    fn choose_endpoints(&self, entry: &mut Entry, rules: Rules<'_>) {
        let of_use = |text: &str| {
            let scheme = text.split("://").next();
            rules.transport.is_empty() || rules.transport.iter().any(|wanted| Some(wanted.as_str()) == scheme)
        };
        if entry.seal.is_some() {
            let useful = entry.endpoints.iter().any(|(text, _)| of_use(text));
            if !useful || !entry.endpoints.iter().all(|(_, told)| self.is_believed(&told.by, rules.quorum)) {
                entry.endpoints.clear();
            }
            return;
        }
        entry.endpoints.retain(|(text, told)| of_use(text) && self.is_believed(&told.by, rules.quorum));
        // Sorting is stable: what was told first stays first among equals.
        entry.endpoints.sort_by_key(|(_, told)| usize::MAX.saturating_sub(told.by.len()));
        entry.endpoints.truncate(MAX_ENDPOINTS);
    }

    /// One entry a peer.
    fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut by_id: BTreeMap<&str, usize> = BTreeMap::new();
        let named = self.tales.iter().filter_map(|tale| Some((tale, tale.record.id.as_deref()?)));
        // The signed ones first, the highest number before others: then the rest is what does not count.
        let mut named: Vec<_> = named.collect();
        named.sort_by_key(|(tale, _)| {
            u64::MAX.saturating_sub(tale.record.seal.map_or(0, |seal| seal.seq.saturating_add(1)))
        });
        for (tale, id) in named {
            let at = *by_id.entry(id).or_insert(entries.len());
            if at == entries.len() {
                entries.push(Entry { id: Some(id.into()), seal: tale.record.seal, ..Entry::default() });
            }
            if let (Some(entry), Some((_, voucher))) = (entries.get_mut(at), self.sources.get(tale.source)) {
                entry.take(tale, *voucher);
            }
        }
        // Bare addresses vouch for those who have them, or stand for themselves.
        for tale in self.tales.iter().filter(|tale| tale.record.id.is_none()) {
            let Some((_, voucher)) = self.sources.get(tale.source) else { continue };
            let Some(address) = tale.record.endpoints.first().and_then(|text| text.split("://").nth(1))
            else {
                continue;
            };
            let mut met = false;
            for entry in &mut entries {
                for (text, told) in &mut entry.endpoints {
                    if text.split("://").nth(1) == Some(address) {
                        told.add(tale.source, *voucher);
                        met = true;
                    }
                }
            }
            if !met {
                let mut entry = Entry::default();
                entry.take(tale, *voucher);
                entries.push(entry);
            }
        }
        entries
    }

    /// Whether enough servers of the configuration are among the vouchers, or the program itself is.
    fn is_believed(&self, vouchers: &BTreeSet<Voucher>, quorum: usize) -> bool {
        let servers = self.sources.iter().filter(|(source, _)| matches!(source, Source::Server(_)));
        let servers: BTreeSet<&Voucher> = servers.map(|(_, voucher)| voucher).collect();
        let told = vouchers.iter().filter(|voucher| servers.contains(voucher)).count();
        quorum <= 1 || told >= quorum || vouchers.contains(&Voucher::Own)
    }

    fn peer(&self, entry: Entry) -> Peer {
        let sources: BTreeSet<usize> =
            entry.endpoints.iter().flat_map(|(_, told)| &told.sources).copied().collect();
        let sources = sources.into_iter().filter_map(|source| self.sources.get(source));
        Peer {
            id: entry.id,
            endpoints: entry.endpoints.into_iter().map(|(text, _)| text).collect(),
            age_s: entry.age_s,
            seal: entry.seal,
            sources: sources.map(|(source, _)| source.clone()).collect(),
        }
    }
}

/// The host of a server, which has one voice however many ports it has; `None` on this machine and in private networks, where one
/// address may be that of many.
fn host_of(name: &str) -> Option<String> {
    let host = Way::parse(name).map_or_else(|_| name.into(), |way| way.host);
    let is_near = host.parse::<IpAddr>().is_ok_and(|ip| CanonicalAddr::new(ip).is_lan());
    (host != "localhost" && !is_near).then_some(host)
}

/// Where an endpoint's address can be reached from; `None` of a name.
fn scope_of(text: &str) -> Option<Scope> {
    Endpoint::parse(text).ok().and_then(|endpoint| endpoint.ip()).map(CanonicalAddr::scope)
}

/// Puts a list in random order (Fisher and Yates).
fn shuffle<T>(list: &mut [T], rng: &mut Rng) {
    for end in (1..list.len()).rev() {
        let bound = u32::try_from(end).unwrap_or(u32::MAX).saturating_add(1);
        list.swap(end, usize::try_from(rng.below(bound)).unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NetworkKey;
    use crate::rng::Seed;

    const RULES: Rules<'static> = Rules { quorum: 1, wanted: 50, own_id: None, transport: &[] };

    fn record(id: &str, endpoints: &[&str]) -> PeerRecord {
        PeerRecord {
            id: Some(id.into()),
            endpoints: endpoints.iter().map(|&text| text.into()).collect(),
            age_s: Some(3),
            seal: None,
        }
    }

    fn bare(address: &str) -> PeerRecord {
        PeerRecord { id: None, endpoints: vec![format!("udp://{address}")], age_s: None, seal: None }
    }

    fn signed(seed: u8, seq: u64, endpoint: &str) -> PeerRecord {
        let network = NetworkKey::of_name("pscryptochat").unwrap();
        let parsed = Endpoint::parse_canonical(endpoint).unwrap();
        let seal = Seal::sign(&[seed; 32], network, seq, [parsed]).unwrap();
        let id = seal.id().id().as_str().into();
        PeerRecord { id: Some(id), endpoints: vec![endpoint.into()], age_s: None, seal: Some(seal) }
    }

    /// A pool of servers `a`, `b` ... on the Internet that tell these.
    fn told(servers: &[Vec<PeerRecord>]) -> Pool {
        let mut pool = Pool::default();
        for (number, records) in servers.iter().enumerate() {
            let name = ["a", "b", "c", "d"][number];
            pool.add(Source::Server(name.into()), "198.51.100.1".parse().ok(), records.iter().cloned());
        }
        pool
    }

    fn settle(pool: &Pool, rules: Rules<'_>) -> Vec<Peer> {
        pool.settle(rules, &mut Rng::new(Seed([5; 32]).key(0))).peers
    }

    /// So many peers in networks of their own, from the `first` on.
    fn crowd(first: u16, n: u16) -> Vec<PeerRecord> {
        let address = |n: u16| format!("tcp://{}.{}.7.1:9000", 11 + n / 250, n % 250);
        (first..first + n).map(|n| record(&format!("p{n}"), &[&address(n)])).collect()
    }

    fn vouched_by_alone(peers: &[Peer], server: &str) -> usize {
        peers.iter().filter(|peer| peer.sources == [Source::Server(server.into())]).count()
    }

    #[test]
    fn one_peer_is_one_entry_and_what_two_tell_comes_first() {
        let pool = told(&[
            vec![record("p", &["tcp://11.0.0.1:1"]), record("q", &["tcp://12.0.0.1:1"])],
            vec![
                record("p", &["tcp://13.0.0.1:1", "tcp://11.0.0.1:1"]),
                bare("12.0.0.1:1"),
                bare("14.0.0.1:9"),
            ],
        ]);
        let peers = settle(&pool, RULES);
        assert_eq!(peers.len(), 3);
        let p = peers.iter().find(|peer| peer.id.as_deref() == Some("p")).unwrap();
        assert_eq!(
            p.endpoints,
            ["tcp://11.0.0.1:1"],
            "its other address would make two of three the word of one"
        );
        assert_eq!(p.sources.len(), 2);
        let q = peers.iter().find(|peer| peer.id.as_deref() == Some("q")).unwrap();
        assert_eq!((q.endpoints.len(), q.sources.len()), (1, 2), "a bare address vouches");
        assert_eq!(peers.last().unwrap().id, None);
    }

    #[test]
    fn one_hostile_server_of_three_has_at_most_a_third() {
        for (common, of_a, of_b, lies) in
            [(0, 9, 9, 50), (0, 2, 2, 50), (0, 1, 5, 50), (6, 0, 0, 50), (1, 0, 0, 50), (4, 3, 0, 64)]
        {
            let both = crowd(0, common);
            let a = [both.clone(), crowd(100, of_a)].concat();
            let b = [both, crowd(200, of_b)].concat();
            let peers = settle(&told(&[a, b, crowd(300, lies)]), RULES);
            assert!(peers.len() >= usize::from(common), "what two tell stays: {peers:?}");
            assert!(vouched_by_alone(&peers, "c") * 3 <= peers.len(), "{common} {of_a} {of_b}: {peers:?}");
            assert!(!peers.is_empty());
        }
    }

    #[test]
    fn a_liar_gives_an_honest_id_no_address_of_its_own() {
        let honest = crowd(0, 12);
        let lies: Vec<PeerRecord> =
            (0..12).map(|n| record(&format!("p{n}"), &[&format!("tcp://66.{n}.0.1:6")])).collect();
        let peers = settle(&told(&[honest.clone(), honest.clone(), lies.clone()]), RULES);
        assert_eq!(peers.len(), 12);
        let spoilt =
            peers.iter().filter(|peer| peer.endpoints.iter().any(|text| text.contains("//66."))).count();
        assert!(spoilt * 3 <= 12, "{spoilt}");
        assert!(peers.iter().all(|peer| !peer.endpoints[0].contains("//66.")), "and it never comes first");
        let believed = settle(&told(&[honest.clone(), honest, lies]), Rules { quorum: 2, ..RULES });
        assert_eq!(believed.len(), 12);
        assert!(
            believed.iter().all(|peer| peer.endpoints.len() == 1 && !peer.endpoints[0].contains("//66."))
        );
    }

    #[test]
    fn of_two_servers_each_has_half_and_one_alone_has_all() {
        let peers = settle(&told(&[crowd(0, 3), crowd(100, 40)]), RULES);
        assert_eq!((vouched_by_alone(&peers, "a"), vouched_by_alone(&peers, "b")), (3, 3));
        assert_eq!(settle(&told(&[crowd(0, 40)]), RULES).len(), 40);
        assert_eq!(
            settle(&told(&[vec![], crowd(0, 40)]), RULES).len(),
            40,
            "who tells of nobody takes nothing away"
        );
        assert_eq!(settle(&told(&[crowd(0, 40)]), Rules { wanted: 7, ..RULES }).len(), 7);
    }

    #[test]
    fn a_quorum_counts_servers() {
        let pool = told(&[crowd(0, 4), crowd(2, 4), crowd(3, 4)]);
        for (quorum, left) in [(1, true), (2, true), (3, true), (4, false)] {
            assert_eq!(!settle(&pool, Rules { quorum, ..RULES }).is_empty(), left, "{quorum}");
        }
        assert_eq!(settle(&pool, Rules { quorum: 3, ..RULES }).len(), 1);
        let mut pool = told(&[crowd(0, 4)]);
        pool.add(Source::LanServer("l".into()), None, crowd(0, 4));
        pool.add(Source::Exchange("11.0.7.1:9000".into()), None, crowd(0, 4));
        pool.add(Source::Lan, None, [record("near", &["tcp://192.168.1.2:1"])]);
        let peers = settle(&pool, Rules { quorum: 2, ..RULES });
        assert_eq!(peers.len(), 1, "neighbours and peers are no servers: {peers:?}");
        assert_eq!(
            peers[0].id.as_deref(),
            Some("near"),
            "what one sees oneself needs nobody to vouch for it"
        );
    }

    #[test]
    fn a_host_has_one_voice() {
        let of = |names: [&str; 3], quorum| {
            let mut pool = Pool::default();
            for name in names {
                pool.add(Source::Server(name.into()), None, crowd(0, 3));
            }
            settle(&pool, Rules { quorum, ..RULES }).len()
        };
        assert_eq!(of(["http://a.example:8080", "udp://a.example:6881", "a.example"], 2), 0);
        assert_eq!(of(["http://a.example:8080", "udp://a.example:6881", "http://b.example"], 2), 3);
        assert_eq!(of(["http://198.51.100.1", "udp://198.51.100.1:1", "https://198.51.100.1"], 2), 0);
        assert_eq!(
            of(["http://127.0.0.1:1", "http://127.0.0.1:2", "http://192.168.1.1"], 3),
            3,
            "near ones may be many"
        );
    }

    #[test]
    fn two_of_one_network_are_enough_but_not_on_the_lan() {
        let near = |n: u8| record(&format!("n{n}"), &[&format!("tcp://10.0.0.{n}:1")]);
        let far = |n: u8| record(&format!("f{n}"), &[&format!("tcp://11.0.0.{n}:1")]);
        let six = |n: u8| record(&format!("s{n}"), &[&format!("tcp://[2600:1:2:{n}::1]:1")]);
        let records = (1..9).flat_map(|n| [near(n), far(n), six(n)]).collect();
        let peers = settle(&told(&[records]), RULES);
        let of =
            |start: &str| peers.iter().filter(|peer| peer.id.as_ref().unwrap().starts_with(start)).count();
        assert_eq!((of("n"), of("f"), of("s")), (8, 2, 2));
    }

    #[test]
    fn a_signed_peer_is_its_newest_record() {
        let (old, new) = (signed(1, 4, "tcp://11.0.0.1:1"), signed(1, 5, "tcp://12.0.0.1:1"));
        let forged = PeerRecord { seal: None, ..signed(1, 9, "tcp://66.0.0.1:1") };
        let pool = told(&[vec![old.clone()], vec![new.clone()], vec![forged]]);
        let peers = settle(&pool, RULES);
        assert_eq!(peers.len(), 1);
        assert_eq!((&peers[0].endpoints, peers[0].seal), (&new.endpoints, new.seal));
        assert_eq!(peers[0].sources.len(), 2, "a tale without a signature is none");
        assert_eq!(settle(&pool, Rules { quorum: 2, ..RULES }).len(), 1, "two know the key");
        assert_eq!(settle(&pool, Rules { quorum: 3, ..RULES }).len(), 0);
    }

    #[test]
    fn what_is_of_no_use_is_left_out() {
        let records = vec![
            record("me", &["tcp://11.0.0.1:1"]),
            record("p", &["tcp://12.0.0.1:1", "udp://12.0.0.1:2"]),
            record("q", &["wss://13.0.0.1:1"]),
        ];
        let transport = ["udp".into(), "tcp".into()];
        let peers = settle(&told(&[records]), Rules { own_id: Some("me"), transport: &transport, ..RULES });
        assert_eq!(peers.len(), 1);
        assert_eq!(peers[0].endpoints.len(), 2);
    }

    #[test]
    fn only_this_machine_tells_of_this_machine() {
        let here =
            || [record("p", &["tcp://127.0.0.1:1", "tcp://11.0.0.1:1"]), record("q", &["tcp://[::1]:1"])];
        let mut far = Pool::default();
        far.add(Source::Server("far".into()), "198.51.100.1".parse().ok(), here());
        let peers = settle(&far, RULES);
        assert_eq!((peers.len(), peers[0].endpoints.as_slice()), (1, &["tcp://11.0.0.1:1".into()][..]));
        assert_eq!(far.settle(RULES, &mut Rng::new(Seed([5; 32]).key(0))).left_out, 1);
        let mut near = Pool::default();
        near.add(Source::Server("near".into()), "127.0.0.1".parse().ok(), here());
        assert_eq!(settle(&near, RULES).len(), 2);
        let mut signed_one = Pool::default();
        signed_one.add(Source::Server("far".into()), None, [signed(1, 1, "tcp://127.0.0.1:1")]);
        assert!(signed_one.is_empty());
    }

    #[test]
    fn peers_of_one_server_add_nothing_to_its_word() {
        let mut pool = told(&[crowd(0, 6), crowd(0, 6), vec![bare("66.0.0.1:1"), bare("66.1.0.1:1")]]);
        // The creature of `c` tells of a hundred more; what `a` and `b` both know is an honest peer that tells of three.
        pool.add(Source::Exchange("66.0.0.1:1".into()), None, crowd(300, 100));
        let peers = settle(&pool, RULES);
        let honest = peers.iter().filter(|peer| peer.sources.contains(&Source::Server("a".into()))).count();
        assert_eq!(honest, 6);
        assert!(peers.len() <= 9, "{} with those of c", peers.len());
        pool.add(Source::Server("d".into()), None, [bare("77.0.0.1:1")]);
        pool.add(Source::Server("a".into()), None, [bare("77.0.0.1:1")]);
        pool.add(Source::Exchange("77.0.0.1:1".into()), None, crowd(500, 40));
        let peers = settle(&pool, RULES);
        let met = peers.iter().filter(|peer| matches!(peer.sources[..], [Source::Exchange(_)])).count();
        assert!(met > 0 && met * 3 <= peers.len() * 2, "{met} of {}", peers.len());
    }
}
