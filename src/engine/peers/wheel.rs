//! A timer wheel: which peers are due to be looked at.
//!
//! Every item has a timer, which stays on the wheel until it is met, whatever becomes of the item meanwhile: a peer that
//! announces again, or leaves, costs the wheel nothing. Who meets a timer looks at the item, and sets it anew if it is
//! too early.
//!
//! One bucket a second. A deadline more than one turn of the wheel away stays in its bucket for a later turn. Sweeping
//! takes no more steps a call than it is told to, and a clock that jumps costs one turn, however far it jumps.

use super::cut;
use crate::time::Instant;

/// Seconds in one turn: above `--max-ttl`'s default, so that a peer is usually met once.
const TURN_S: u32 = 4096;

/// The memory of a [`Wheel`] of up to `N` items. A link is an item's number plus one; 0 is no item.
pub(super) struct WheelStorage<const N: usize> {
    buckets: [u32; TURN_S as usize],
    timers: [Timer; N],
}

/// An item's timer, in the list of its bucket. The `prev` of a list's first is its last.
#[derive(Clone, Copy)]
struct Timer {
    next: u32,
    prev: u32,
    /// 0 if it is not on the wheel.
    due_s: u32,
}

/// Keeps items until they are due.
pub(super) struct Wheel<'s> {
    buckets: &'s mut [u32],
    timers: &'s mut [Timer],
    /// The second whose bucket is being swept; all earlier ones have been.
    swept_s: u32,
    /// The next item to look at in that bucket; 0 when it is done.
    sweeping: u32,
}

impl Timer {
    /// Not on the wheel.
    const NONE: Self = Self { next: 0, prev: 0, due_s: 0 };
}

impl<const N: usize> WheelStorage<N> {
    pub(super) const fn new() -> Self {
        Self { buckets: [0; TURN_S as usize], timers: [Timer::NONE; N] }
    }
}

impl<'s> Wheel<'s> {
    /// A wheel for the items `0..n`, with no timer on it, in new storage.
    pub(super) fn new<const N: usize>(storage: &'s mut WheelStorage<N>, n: usize) -> Self {
        let timers = cut(&mut storage.timers, n);
        Self { buckets: &mut storage.buckets, timers, swept_s: 0, sweeping: 0 }
    }

    /// Has the timer of `item` met in the first whole second not before `deadline`, or earlier if it is set already.
    pub(super) fn set(&mut self, item: u32, deadline: Instant) {
        let before = self.timer(item.saturating_add(1)).due_s;
        if before == 0 || before > due_s(deadline) {
            if before != 0 {
                self.remove(item);
            }
            self.insert(item, deadline);
        }
    }

    fn insert(&mut self, item: u32, deadline: Instant) {
        let due_s = due_s(deadline).max(self.swept_s.saturating_add(1));
        let link = item.saturating_add(1);
        let Some(bucket) = self.buckets.get_mut(bucket(due_s)) else { return };
        let first = *bucket;
        if first == 0 {
            *bucket = link;
        }
        let last = if first == 0 { link } else { self.timer(first).prev };
        self.change(link, |timer| *timer = Timer { next: 0, prev: last, due_s });
        if first != 0 {
            self.change(last, |timer| timer.next = link);
            self.change(first, |timer| timer.prev = link);
        }
    }

    fn remove(&mut self, item: u32) {
        let link = item.saturating_add(1);
        let Timer { next, prev, due_s } = self.timer(link);
        let Some(bucket) = self.buckets.get_mut(bucket(due_s)) else { return };
        if *bucket == link {
            *bucket = next;
        } else {
            self.change(prev, |timer| timer.next = next);
        }
        let behind = if next == 0 { self.first(due_s) } else { next };
        self.change(behind, |timer| timer.prev = prev);
        if self.sweeping == link {
            self.sweeping = next;
        }
        self.change(link, |timer| timer.due_s = 0);
    }

    /// Takes a timer that is due off the wheel, and returns its item. Each timer looked at takes one from `steps`; `None`
    /// with no steps left means that there may be more.
    pub(super) fn pop(&mut self, now: Instant, steps: &mut u32) -> Option<u32> {
        let now_s = whole_s(now.as_s());
        self.swept_s = self.swept_s.max(now_s.saturating_sub(TURN_S));
        while *steps > 0 {
            if let Some(item) = self.sweeping.checked_sub(1) {
                *steps = steps.saturating_sub(1);
                let Timer { next, due_s, .. } = self.timer(self.sweeping);
                self.sweeping = next;
                if due_s <= now_s {
                    self.remove(item);
                    return Some(item);
                }
            } else if self.swept_s < now_s {
                self.swept_s = self.swept_s.saturating_add(1);
                self.sweeping = self.first(self.swept_s);
            } else {
                return None;
            }
        }
        None
    }

    /// The items whose timers are due in the next second, the first set first.
    pub(super) fn next_second(&self, now: Instant) -> impl Iterator<Item = u32> {
        let first = self.first(whole_s(now.as_s()).saturating_add(1));
        core::iter::successors(Some(first), |&link| Some(self.timer(link).next))
            .map_while(|link| link.checked_sub(1))
    }

    /// The first item in the bucket of `second`.
    fn first(&self, second: u32) -> u32 {
        self.buckets.get(bucket(second)).copied().unwrap_or(0)
    }

    fn timer(&self, link: u32) -> Timer {
        let timer = link.checked_sub(1).and_then(|item| self.timers.get(item as usize));
        timer.copied().unwrap_or(Timer::NONE)
    }

    fn change(&mut self, link: u32, change: impl FnOnce(&mut Timer)) {
        link.checked_sub(1).and_then(|item| self.timers.get_mut(item as usize)).map(change);
    }
}

/// The first whole second not before `deadline`.
fn due_s(deadline: Instant) -> u32 {
    whole_s(deadline.as_ms().div_ceil(1000))
}

/// Seconds as the wheel counts them: 136 years of them.
fn whole_s(seconds: u64) -> u32 {
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

const fn bucket(second: u32) -> usize {
    (second % TURN_S) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::vec::Vec;

    use super::*;
    use crate::rng::{HashKey, Rng};

    fn pop_all(wheel: &mut Wheel<'_>, now: Instant) -> Vec<u32> {
        let mut steps = u32::MAX;
        core::iter::from_fn(|| wheel.pop(now, &mut steps)).collect()
    }

    #[test]
    fn items_are_met_in_the_first_second_not_before_their_deadline() {
        let mut storage = WheelStorage::<4>::new();
        let mut wheel = Wheel::new(&mut storage, usize::MAX);
        wheel.set(0, Instant::from_ms(5000));
        wheel.set(1, Instant::from_ms(5001));
        wheel.set(2, Instant::from_ms(6000));
        assert_eq!(pop_all(&mut wheel, Instant::from_ms(4999)), []);
        assert_eq!(wheel.next_second(Instant::from_ms(4999)).collect::<Vec<_>>(), [0]);
        assert_eq!(pop_all(&mut wheel, Instant::from_ms(5000)), [0]);
        assert_eq!(wheel.next_second(Instant::from_ms(5000)).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(pop_all(&mut wheel, Instant::from_ms(5999)), []);
        assert_eq!(pop_all(&mut wheel, Instant::from_ms(6000)), [1, 2]);
    }

    #[test]
    fn an_item_stays_through_whole_turns() {
        let mut storage = WheelStorage::<4>::new();
        let mut wheel = Wheel::new(&mut storage, usize::MAX);
        let turn = u64::from(TURN_S);
        wheel.set(0, Instant::from_s(10));
        wheel.set(1, Instant::from_s(10 + turn));
        wheel.set(2, Instant::from_s(10 + 3 * turn));
        assert_eq!(pop_all(&mut wheel, Instant::from_s(10)), [0]);
        assert_eq!(pop_all(&mut wheel, Instant::from_s(9 + turn)), []);
        assert_eq!(pop_all(&mut wheel, Instant::from_s(10 + turn)), [1]);
        assert_eq!(pop_all(&mut wheel, Instant::from_s(9 + 3 * turn)), []);
        assert_eq!(pop_all(&mut wheel, Instant::from_s(10 + 3 * turn)), [2]);
    }

    #[test]
    fn a_clock_that_jumps_loses_nothing() {
        let mut storage = WheelStorage::<8>::new();
        let mut wheel = Wheel::new(&mut storage, usize::MAX);
        (0..8).for_each(|item| wheel.set(item, Instant::from_s(1 + 700 * u64::from(item))));
        let mut met = pop_all(&mut wheel, Instant::from_s(u64::from(u32::MAX) / 2));
        met.sort();
        assert_eq!(met, [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn a_deadline_that_has_passed_is_met_in_the_next_second() {
        let mut storage = WheelStorage::<4>::new();
        let mut wheel = Wheel::new(&mut storage, usize::MAX);
        assert_eq!(pop_all(&mut wheel, Instant::from_s(100)), []);
        wheel.set(0, Instant::from_s(50));
        assert_eq!(pop_all(&mut wheel, Instant::from_s(101)), [0]);
    }

    #[test]
    fn a_sweep_takes_no_more_steps_than_it_is_told() {
        let mut storage = WheelStorage::<100>::new();
        let mut wheel = Wheel::new(&mut storage, usize::MAX);
        (0..100).for_each(|item| wheel.set(item, Instant::from_s(if item % 2 == 0 { 5 } else { 4101 })));
        let now = Instant::from_s(5);
        let mut met = 0;
        for _ in 0..10 {
            let mut steps = 10;
            met += core::iter::from_fn(|| wheel.pop(now, &mut steps)).count();
            assert_eq!(steps, 0);
        }
        assert_eq!(met, 50);
        let mut steps = 10;
        assert_eq!((wheel.pop(now, &mut steps), steps), (None, 10));
    }

    #[test]
    fn agrees_with_a_map_under_random_operations() {
        const ITEMS: u32 = 30;
        let mut storage = WheelStorage::<32>::new();
        let mut wheel = Wheel::new(&mut storage, usize::MAX);
        let mut model: BTreeMap<u32, u64> = BTreeMap::new();
        let mut rng = Rng::new(HashKey::new([6; 16]));
        let mut now_s = 0;
        for step in 0..30_000 {
            let item = rng.below(ITEMS);
            match rng.below(8) {
                0 => now_s += u64::from(rng.below(3)),
                1 if rng.below(50) == 0 => now_s += u64::from(rng.below(3 * TURN_S)),
                2 => {
                    // Few steps, so that sweeps stop in the middle of a bucket.
                    let mut steps = 2;
                    while let Some(item) = wheel.pop(Instant::from_s(now_s), &mut steps) {
                        assert!(model.remove(&item).is_some_and(|due| due <= now_s), "step {step}");
                    }
                }
                _ if model.remove(&item).is_some() => wheel.remove(item),
                _ => {
                    // Few distinct seconds, so that buckets are long.
                    let due = (now_s / 4 + 1 + u64::from(rng.below(3))) * 4
                        + u64::from(rng.below(2)) * u64::from(TURN_S);
                    wheel.set(item, Instant::from_s(due));
                    model.insert(item, due);
                }
            }
            if rng.below(40) == 0 {
                let mut met = pop_all(&mut wheel, Instant::from_s(now_s));
                met.sort();
                let due: Vec<u32> =
                    model.iter().filter(|&(_, &due)| due <= now_s).map(|(&item, _)| item).collect();
                assert_eq!(met, due, "step {step}");
                model.retain(|_, due| *due > now_s);
            }
        }
    }
}
