//! What is left out so that the result is nobody's alone.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::{Entry, Voucher};
use crate::addr::Prefix;

/// Most peers that share one /24 or /48.
const MAX_OF_ONE_PREFIX: usize = 2;
/// No server vouches alone for more than this part of the result.
const LARGEST_SHARE: usize = 3;

/// Leaves out what would be the third of one /24 or /48.
pub(super) fn keep_few_of_one_prefix(entries: &mut Vec<Entry>) {
    let mut taken: BTreeMap<Prefix, usize> = BTreeMap::new();
    entries.retain(|entry| {
        let prefixes = entry.prefixes();
        let free = prefixes.iter().all(|prefix| taken.get(prefix).is_none_or(|n| *n < MAX_OF_ONE_PREFIX));
        if free {
            for prefix in prefixes {
                let n = taken.entry(prefix).or_default();
                *n = n.saturating_add(1);
            }
        }
        free
    });
}

/// Leaves out what would make the result one voucher's, as little as that takes.
pub(super) fn limit_shares(entries: Vec<Entry>, wanted: usize) -> Vec<Entry> {
    let vouchers: BTreeSet<Voucher> =
        entries.iter().flat_map(|entry| &entry.endpoints).flat_map(|(_, told)| &told.by).copied().collect();
    let servers = vouchers.iter().filter(|voucher| matches!(voucher, Voucher::Server(_))).count();
    let part = |voucher: Voucher| match voucher {
        Voucher::Own => 1,
        Voucher::Exchange if servers > 0 => LARGEST_SHARE,
        Voucher::Exchange => 1,
        Voucher::Server(_) => servers.min(LARGEST_SHARE),
    };
    let limited: Vec<Voucher> = vouchers.into_iter().filter(|voucher| part(*voucher) > 1).collect();
    if limited.is_empty() {
        return entries;
    }
    // The largest number that each may vouch for alone, so that none has more than its part of what is left.
    for most in (0..=wanted).rev() {
        let mut left = entries.clone();
        for voucher in &limited {
            cut(&mut left, *voucher, most);
        }
        left.truncate(wanted);
        let within = |voucher: &Voucher| {
            let alone = left.iter().filter(|entry| entry.depends_on(*voucher)).count();
            alone.saturating_mul(part(*voucher)) <= left.len()
        };
        if limited.iter().all(within) {
            return left;
        }
    }
    Vec::new()
}

/// Leaves `most` entries that `voucher` alone vouches for, at least in part: others lose what nobody else vouches for, first those that
/// have more than that. The last ones go first.
fn cut(entries: &mut Vec<Entry>, voucher: Voucher, most: usize) {
    let alone = entries.iter().filter(|entry| entry.depends_on(voucher)).count();
    let mut surplus = alone.saturating_sub(most);
    for spare_only in [true, false] {
        let dependent = entries.iter_mut().rev().filter(|entry| entry.depends_on(voucher));
        for entry in dependent {
            let has_more =
                entry.seal.is_none() && entry.endpoints.iter().any(|(_, told)| !told.is_only_by(voucher));
            if surplus > 0 && (has_more || !spare_only) {
                surplus = surplus.saturating_sub(1);
                // A signed record is whole or none.
                entry.endpoints.retain(|(_, told)| has_more && !told.is_only_by(voucher));
            }
        }
    }
    entries.retain(|entry| !entry.endpoints.is_empty());
}
