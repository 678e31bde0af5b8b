//! Who passes, when exactly, and how seldom somebody is refused for the requests of others.

use core::iter::repeat_n;
use core::net::{Ipv4Addr, Ipv6Addr};

use super::*;
use crate::engine::Protocol;
use crate::rng::Rng;

fn limiter<const CELLS: usize>(memory: &mut LimiterStorage<CELLS>) -> RateLimiter<'_> {
    RateLimiter::new(memory, &Settings::default(), HashKey::new([6; 16]))
}

fn storage<const CELLS: usize>() -> Box<LimiterStorage<CELLS>> {
    Box::new(LimiterStorage::new())
}

fn source(addr: CanonicalAddr, proof: Proof) -> Source {
    Source { addr, port: 40_000, protocol: Protocol::Http, proof }
}

fn tcp(ip: &str) -> Source {
    source(CanonicalAddr::new(ip.parse().unwrap()), Proof::Tcp)
}

/// The `n`th of a lot of addresses that no two share a /16.
fn scattered_v6(n: u32) -> CanonicalAddr {
    CanonicalAddr::new(Ipv6Addr::from(0x2001_0000_u128.wrapping_add(u128::from(n)) << 96).into())
}

/// How many of `n` queries at the same moment pass.
fn passed(limiter: &mut RateLimiter<'_>, now: Instant, sources: impl Iterator<Item = Source>) -> usize {
    sources.filter(|source| limiter.spend(now, source, Spending::Query).is_ok()).count()
}

#[test]
fn a_minutes_allowance_at_once_then_one_a_second() {
    let mut memory = storage::<16_384>();
    let limiter = &mut limiter(&mut memory);
    let host = tcp("198.51.100.7");
    let at = |ms| Instant::from_s(5).plus_ms(ms);
    assert_eq!(passed(limiter, at(0), repeat_n(host, 60)), 60);
    let limited = |retry_after_s| Err(Error::RateLimited { retry_after_s });
    for (ms, verdict) in [
        (0, limited(1)),
        (999, limited(1)),
        (1000, Ok(())),
        (1001, limited(1)),
        (1999, limited(1)),
        (2000, Ok(())),
    ] {
        assert_eq!(limiter.spend(at(ms), &host, Spending::Query), verdict, "{ms} ms");
    }
    assert_eq!(passed(limiter, at(62_000), repeat_n(host, 100)), 60, "a minute later all is back");
}

#[test]
fn announces_have_their_own_allowance() {
    let mut memory = storage::<16_384>();
    let limiter = &mut limiter(&mut memory);
    let (now, host) = (Instant::START, tcp("198.51.100.7"));
    for n in 0..30 {
        assert_eq!(limiter.spend(now, &host, Spending::Announce), Ok(()), "{n}");
    }
    assert_eq!(limiter.spend(now, &host, Spending::Announce), Err(Error::RateLimited { retry_after_s: 2 }));
    assert_eq!(passed(limiter, now, repeat_n(host, 100)), 60);
}

#[test]
fn zero_is_no_limit() {
    let mut memory = storage::<256>();
    let settings = Settings { queries_per_minute: 0, announces_per_minute: 1, ..Settings::default() };
    let limiter = &mut RateLimiter::new(&mut memory, &settings, HashKey::new([6; 16]));
    let host = tcp("198.51.100.7");
    assert_eq!(passed(limiter, Instant::START, repeat_n(host, 10_000)), 10_000);
    assert_eq!(limiter.spend(Instant::START, &host, Spending::Announce), Ok(()));
    let refused = limiter.spend(Instant::START, &host, Spending::Announce);
    assert_eq!(refused, Err(Error::RateLimited { retry_after_s: 60 }));
}

#[test]
fn wider_prefixes_have_more_but_not_without_end() {
    let v4 = |bits: u32| CanonicalAddr::new(Ipv4Addr::from(bits).into());
    let v6 = |bits: u128| CanonicalAddr::new(Ipv6Addr::from(bits).into());
    let base4 = 0xc633_0000; // 198.51.0.0
    let base6 = 0x2001_0db8_u128 << 96;
    // Sources of one prefix, one query each, over and over; how many pass at one moment.
    type Hosts = Box<dyn Fn(u32) -> CanonicalAddr>;
    let cases: [(&str, Hosts, usize); 6] = [
        ("v4 /24", Box::new(move |n| v4(base4 | (n % 256))), 60 * 32),
        ("v4 /16", Box::new(move |n| v4(base4 | (n % 65_536))), 60 * 256),
        ("v6 /64", Box::new(move |n| v6(base6 | u128::from(n))), 60),
        ("v6 /56", Box::new(move |n| v6(base6 | (u128::from(n % 256) << 64))), 60 * 2),
        ("v6 /48", Box::new(move |n| v6(base6 | (u128::from(n % 65_536) << 64))), 60 * 4),
        ("v6 /32", Box::new(move |n| v6(base6 | (u128::from(n) << 80))), 60 * 64),
    ];
    for (name, addr, allowed) in cases {
        let mut memory = storage::<16_384>();
        let limiter = &mut limiter(&mut memory);
        let flood = (0..20_000).map(|n| source(addr(n), Proof::Tcp));
        assert_eq!(passed(limiter, Instant::START, flood), allowed, "{name}");
    }
}

#[test]
fn every_level_admits_at_its_exact_time() {
    let v4 = |bits: u32| CanonicalAddr::new(Ipv4Addr::from(0x1401_0000 | bits).into());
    let v6 = |bits: u128| CanonicalAddr::new(Ipv6Addr::from(0x2a00_u128 << 112 | bits).into());
    // Hosts of one prefix that share no narrower one for long, and how many times a host's allowance it has.
    type Hosts = Box<dyn Fn(u32) -> CanonicalAddr>;
    let cases = |spending| -> [(&'static str, Hosts, u64); 7] {
        let [narrow, wide] = if spending == Spending::Query { [32, 256] } else { [8, 64] };
        [
            ("v4 /32", Box::new(move |_| v4(7)), 1),
            ("v4 /24", Box::new(move |n| v4(n % 256)), narrow),
            ("v4 /16", Box::new(move |n| v4(n % 65_536)), wide),
            ("v6 /64", Box::new(move |n| v6(n.into())), 1),
            ("v6 /56", Box::new(move |n| v6(u128::from(n % 256) << 64)), 2),
            ("v6 /48", Box::new(move |n| v6(u128::from(n % 256) << 72)), 4),
            ("v6 /32", Box::new(move |n| v6(u128::from(n % 65_536) << 80)), 64),
        ]
    };
    for proof in [Proof::None, Proof::Token, Proof::Tcp] {
        for (spending, per_minute) in [(Spending::Query, 60), (Spending::Announce, 30)] {
            for (name, host, factor) in cases(spending) {
                let mut memory = storage::<16_384>();
                let limiter = &mut limiter(&mut memory);
                let mut next = 0;
                // Everybody of the prefix tries, once each; how many pass.
                let mut passed = |ms, tries: u32| {
                    let now = Instant::from_s(9).plus_ms(ms);
                    let hosts = (next..next + tries).map(&host);
                    next += tries;
                    hosts.filter(|&addr| limiter.spend(now, &source(addr, proof), spending).is_ok()).count()
                };
                let allowance = per_minute * factor;
                let named = format!("{name} {spending:?} {proof:?}");
                assert_eq!(passed(0, 20_000) as u64, allowance, "{named}");
                for n in 1..=10_u64 {
                    let due_ms = (n * 60_000).div_ceil(allowance);
                    assert_eq!(passed(due_ms - 1, 300), 0, "{named}: the {n}th before its time");
                    assert_eq!(passed(due_ms, 300), 1, "{named}: the {n}th in its time");
                }
            }
        }
    }
}

#[test]
fn a_refused_request_costs_nothing_at_any_level() {
    let mut memory = storage::<16_384>();
    let limiter = &mut limiter(&mut memory);
    let now = Instant::START;
    passed(limiter, now, repeat_n(tcp("198.51.100.7"), 100_000));
    for n in 8..38 {
        let neighbour = tcp(&format!("198.51.100.{n}"));
        assert_eq!(passed(limiter, now, repeat_n(neighbour, 61)), 60, "{n}");
    }
}

#[test]
fn the_lan_is_counted_by_address_alone() {
    let mut memory = storage::<16_384>();
    let limiter = &mut limiter(&mut memory);
    for n in 1..=100 {
        for ip in
            [format!("192.168.1.{n}"), format!("fe80::{n:x}"), format!("fd00::{n:x}"), format!("127.0.0.{n}")]
        {
            assert_eq!(passed(limiter, Instant::START, repeat_n(tcp(&ip), 70)), 60, "{ip}");
        }
    }
}

#[test]
fn a_mapped_address_spends_what_the_ipv4_address_has() {
    let mut memory = storage::<16_384>();
    let limiter = &mut limiter(&mut memory);
    let both = [tcp("198.51.100.7"), tcp("::ffff:198.51.100.7")];
    assert_eq!(passed(limiter, Instant::START, both.into_iter().cycle().take(100)), 60);
}

#[test]
fn a_flood_from_a_million_prefixes_is_held_and_strangers_still_pass() {
    let mut memory = storage::<16_384>();
    let limiter = &mut limiter(&mut memory);
    let flooder = tcp("203.0.113.7");
    let mut flooder_passed = 0;
    // 1e6 sources, a thousand a millisecond, and a flooder that sends with each.
    for n in 0..1_000_000_u32 {
        let now = Instant::from_ms(u64::from(n / 1000));
        let spoofed = source(scattered_v6(n), Proof::None);
        let _verdict = limiter.spend(now, &spoofed, Spending::Query);
        flooder_passed += usize::from(n % 10 == 0 && limiter.spend(now, &flooder, Spending::Query).is_ok());
    }
    assert_eq!(flooder_passed, 60, "the burst; the first refill is due a second later");
    let strangers = (0..1000).map(|n| source(scattered_v6(2_000_000 + n), Proof::Tcp));
    assert_eq!(passed(limiter, Instant::from_s(1), strangers), 1000, "TCP is not where the flood is");
}

#[test]
fn a_flood_in_one_class_never_refuses_another() {
    let classes = [Proof::None, Proof::Token, Proof::Tcp];
    let victim = CanonicalAddr::new("198.51.100.7".parse().unwrap());
    for flooded in classes {
        let mut memory = storage::<4096>();
        let limiter = &mut limiter(&mut memory);
        let hosts = (0..20_000_u32).map(|n| source(scattered_v6(n), flooded));
        passed(limiter, Instant::START, hosts);
        passed(limiter, Instant::START, repeat_n(source(victim, flooded), 1000));
        for class in classes.into_iter().filter(|&class| class != flooded) {
            let queries = repeat_n(source(victim, class), 100);
            assert_eq!(
                passed(limiter, Instant::START, queries),
                60,
                "{class:?} while {flooded:?} is flooded"
            );
        }
    }
}

/// The share of strangers refused while `hot` hosts spend all they have, over several keys.
fn false_refusals<const CELLS: usize>(hot: u32, strangers: u32) -> f64 {
    const KEYS: u8 = 10;
    let mut refused = 0_u32;
    for key in 0..KEYS {
        let mut memory = storage::<CELLS>();
        let settings = Settings { queries_per_minute: 1, ..Settings::default() };
        let limiter = &mut RateLimiter::new(&mut memory, &settings, HashKey::new([key; 16]));
        let mut rng = Rng::new(HashKey::new([0x55 ^ key; 16]));
        let lan_host = |n: u64| {
            let host = Ipv6Addr::from((0xfd00_u128 << 112) | u128::from(n));
            source(CanonicalAddr::new(host.into()), Proof::Tcp)
        };
        for n in 0..hot {
            let _verdict = limiter.spend(Instant::START, &lan_host(u64::from(n)), Spending::Query);
        }
        // Asked without being charged, so that strangers do not make each other hot.
        let allowance = Gcra::per_minute(1);
        for _ in 0..strangers / u32::from(KEYS) {
            let stranger = lan_host(rng.next_u64() | (1 << 63));
            let cells = limiter.tcp.cells(&hash_input(stranger.addr, Spending::Query, Level::Host));
            refused += u32::from(allowance.admit(0, limiter.tcp.due_us(cells)).is_err());
        }
    }
    f64::from(refused) / f64::from(strangers)
}

#[test]
fn strangers_are_refused_as_seldom_as_the_formula_says() {
    fn check<const CELLS: usize>(hot: u32, strangers: u32) {
        let cell_is_hot = 1.0 - (1.0 - 1.0 / CELLS as f64).powf(f64::from(hot));
        let formula = cell_is_hot.powi(3);
        let measured = false_refusals::<CELLS>(hot, strangers);
        println!("{CELLS} cells, {hot} hot hosts: measured {measured:.2e}, formula {formula:.2e}");
        assert!(
            measured < formula * 2.0 && measured > formula / 2.0,
            "{CELLS}, {hot}: {measured:e}, {formula:e}"
        );
    }
    check::<4096>(500, 200_000);
    check::<4096>(2000, 50_000);
    check::<16_384>(500, 500_000);
    check::<16_384>(2000, 200_000);
}

#[test]
fn a_new_key_gives_new_cells_and_a_fresh_allowance() {
    let mut memory = storage::<16_384>();
    let limiter = &mut limiter(&mut memory);
    let host = tcp("198.51.100.7");
    let input = hash_input(host.addr, Spending::Query, Level::Host);
    let before = limiter.tcp.cells(&input);
    let last = Instant::from_s(u64::from(LIMITER_EPOCH_S)).plus_ms(0);
    let just_before = Instant::from_ms(last.as_ms() - 1);
    assert_eq!(passed(limiter, just_before, repeat_n(host, 100)), 60);
    assert_eq!(limiter.tcp.cells(&input), before);
    limiter.tick(last);
    assert_ne!(limiter.tcp.cells(&input), before);
    assert_eq!(passed(limiter, last, repeat_n(host, 100)), 60);
}

#[test]
fn clocks_may_jump_forward_and_stand_still() {
    let mut memory = storage::<16_384>();
    let limiter = &mut limiter(&mut memory);
    let host = tcp("198.51.100.7");
    let burst = |limiter: &mut RateLimiter<'_>, now| passed(limiter, now, repeat_n(host, 100));
    for days in [0, 30, 49, 50, 51, 365, 365_000] {
        let now = Instant::from_s(days * 86_400 + 59 * days);
        assert_eq!(burst(limiter, now), 60, "day {days}");
        assert_eq!(burst(limiter, now), 0, "day {days}");
        assert_eq!(burst(limiter, now.plus_ms(30_000)), 30, "day {days}");
    }
    // The wrap of a 32-bit millisecond clock, and of one in microseconds.
    for wrap_ms in [u64::from(u32::MAX), u64::from(u32::MAX) / 1000, u64::MAX / 1000] {
        let mut memory = storage::<16_384>();
        let limiter = &mut self::limiter(&mut memory);
        let total: usize = (wrap_ms - 1..=wrap_ms + 1).map(|ms| burst(limiter, Instant::from_ms(ms))).sum();
        assert_eq!(total, 60, "around {wrap_ms} ms");
    }
    assert_eq!(burst(limiter, Instant::START), 0, "a clock that went back gives nothing away");
}
