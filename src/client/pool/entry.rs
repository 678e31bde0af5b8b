//! One peer while the result is made, and who vouches for its endpoints.

use std::collections::BTreeSet;

use super::Tale;
use crate::addr::{Level, Prefix, Scope};
use crate::endpoint::Endpoint;
use crate::record::Seal;

/// Who answers for a tale, when it is counted who tells how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Voucher {
    /// The server of this number.
    Server(usize),
    /// All that was met by exchange.
    Exchange,
    /// The program itself.
    Own,
}

/// One peer while the result is made.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    pub(super) id: Option<String>,
    pub(super) endpoints: Vec<(String, Vouched)>,
    pub(super) age_s: Option<u32>,
    pub(super) seal: Option<Seal>,
}

/// Who told of an endpoint, and who answers for that.
#[derive(Clone, Debug, Default)]
pub(super) struct Vouched {
    pub(super) sources: BTreeSet<usize>,
    pub(super) by: BTreeSet<Voucher>,
}

impl Entry {
    /// Takes a tale of this peer. Of a signed peer only the record that came first counts, and others vouch for it if
    /// their signature is right too.
    pub(super) fn take(&mut self, tale: &Tale, voucher: Voucher) {
        if self.seal.is_some() && tale.record.seal.is_none() {
            return;
        }
        self.age_s = match (self.age_s, tale.record.age_s) {
            (Some(known), Some(told)) => Some(known.min(told)),
            (known, told) => known.or(told),
        };
        if self.seal.is_some() && !self.endpoints.is_empty() {
            for (_, told) in &mut self.endpoints {
                told.add(tale.source, voucher);
            }
            return;
        }
        for text in &tale.record.endpoints {
            let at = match self.endpoints.iter().position(|(known, _)| known == text) {
                Some(at) => at,
                None => {
                    self.endpoints.push((text.clone(), Vouched::default()));
                    self.endpoints.len().saturating_sub(1)
                }
            };
            if let Some((_, told)) = self.endpoints.get_mut(at) {
                told.add(tale.source, voucher);
            }
        }
    }

    pub(super) fn most_vouchers(&self) -> usize {
        self.endpoints.iter().map(|(_, told)| told.by.len()).max().unwrap_or(0)
    }

    /// Whether `voucher` alone vouches for one of its endpoints.
    pub(super) fn depends_on(&self, voucher: Voucher) -> bool {
        self.endpoints.iter().any(|(_, told)| told.is_only_by(voucher))
    }

    /// The networks it is in: those of its public addresses.
    pub(super) fn prefixes(&self) -> BTreeSet<Prefix> {
        let address =
            |(text, _): &(String, Vouched)| Endpoint::parse(text).ok().and_then(|endpoint| endpoint.ip());
        let global = self.endpoints.iter().filter_map(address).filter(|ip| ip.scope() == Scope::Global);
        global.map(|ip| ip.prefix(Level::Narrow)).collect()
    }
}

impl Vouched {
    pub(super) fn add(&mut self, source: usize, voucher: Voucher) {
        self.sources.insert(source);
        self.by.insert(voucher);
    }

    pub(super) fn is_only_by(&self, voucher: Voucher) -> bool {
        self.by.len() == 1 && self.by.contains(&voucher)
    }
}
