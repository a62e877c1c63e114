//! How much of a stream may be under way: pure arithmetic.

use bytes::Bytes;

/// What an item costs beside its bytes: about what a queue takes to hold it, so that a window full
/// of tiny items is no more memory than one of large ones. Part of the wire's rules.
const ITEM: i64 = 32;

/// How many items a writer makes before others have their turn: whoever sends them begins sooner, so
/// that both sides work at the same time, and what waits in between fits into the processor's caches.
pub(crate) const TURN: usize = 128;

/// What an item takes off its stream's credit.
pub(crate) fn cost(item: &Bytes) -> i64 {
    // No payload comes near to this bound.
    i64::try_from(item.len()).map_or(i64::MAX, |len| len.saturating_add(ITEM))
}

/// The most that may be granted and not used: the largest `limits.stream_window` there is. Part of the
/// wire's rules.
const MOST: i64 = 64 * 1024 * 1024;

/// The credit of a stream's writer; its reader keeps the same account to see that it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowance(i64);

impl Allowance {
    pub(crate) fn new(bytes: u64) -> Self {
        let mut allowance = Allowance::default();
        allowance.grant(bytes);
        allowance
    }

    /// Whether anybody may begin a stream with this much credit.
    pub(crate) fn may_be_granted(bytes: u64) -> bool {
        i64::try_from(bytes).is_ok_and(|bytes| bytes <= MOST)
    }

    /// The reader is ready for more. `false` if nobody may grant that: nothing, or so much that it
    /// is no bound.
    pub(crate) fn grant(&mut self, bytes: u64) -> bool {
        let sum = i64::try_from(bytes).ok().and_then(|bytes| self.0.checked_add(bytes));
        match sum {
            Some(sum) if sum <= MOST && bytes > 0 => {
                self.0 = sum;
                true
            }
            _ => false,
        }
    }

    /// Whether an item may be sent.
    pub(crate) fn is_open(self) -> bool {
        self.0 > 0
    }

    /// An item is sent: any size goes while there is credit at all, below zero if need be. `false`,
    /// and nothing is taken, if there is none.
    pub(crate) fn spend(&mut self, cost: i64) -> bool {
        let open = self.is_open();
        if open {
            self.0 = self.0.saturating_sub(cost);
        }
        open
    }
}

/// When a reader grants what it has taken out: at every half of its window, so that a writer which
/// keeps up never runs dry and credit frames stay few.
#[derive(Debug)]
pub(crate) struct Refill {
    window: u64,
    taken: u64,
}

impl Refill {
    pub(crate) fn new(window: u64) -> Self {
        Refill { window, taken: 0 }
    }

    /// An item was taken out: how much to grant now, if anything.
    pub(crate) fn taken(&mut self, cost: i64) -> Option<u64> {
        self.taken = self.taken.saturating_add(cost.unsigned_abs());
        (self.taken >= self.window / 2).then(|| std::mem::take(&mut self.taken))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_item_may_be_larger_than_what_is_left() {
        let mut allowance = Allowance::new(10);
        assert!(allowance.spend(1000));
        assert!(!allowance.spend(1));
        allowance.grant(990);
        assert!(!allowance.is_open(), "it paid for the first item only");
        allowance.grant(1);
        assert!(allowance.spend(1));
    }

    #[test]
    fn nobody_may_grant_without_bound() {
        let mut allowance = Allowance::default();
        for bytes in [0, u64::MAX, 64 * 1024 * 1024 + 1] {
            assert!(!allowance.grant(bytes), "{bytes}");
            assert!(!allowance.is_open());
        }
        assert!(allowance.grant(64 * 1024 * 1024));
        assert!(!allowance.grant(1));
    }

    proptest! {
        /// Whatever the items and whoever is slow: the reader never holds more than the window and
        /// one item, and the two of them never wait for each other.
        #[test]
        fn the_reader_holds_a_window_and_one_item_and_nobody_starves(
            sizes in prop::collection::vec(0_usize..5000, 1..200),
            window in 1_u64..4000,
            turns in prop::collection::vec(any::<bool>(), 0..400),
        ) {
            let items: Vec<Bytes> = sizes.iter().map(|size| Bytes::from(vec![0; *size])).collect();
            let largest = items.iter().map(cost).max().unwrap_or(0);
            let (mut writer, mut refill) = (Allowance::new(window), Refill::new(window));
            let (mut sent, mut held) = (0, VecDeque::new());
            let mut turns = turns.into_iter();
            // How many turns in a row brought nothing, once both take every other turn.
            let mut idle = 0;
            while sent < items.len() || !held.is_empty() {
                let turn = turns.next();
                if turn.unwrap_or(idle % 2 == 0) {
                    if sent < items.len() && writer.spend(cost(&items[sent])) {
                        held.push_back(cost(&items[sent]));
                        let holding: i64 = held.iter().sum();
                        prop_assert!(holding <= i64::try_from(window).unwrap() + largest);
                        sent += 1;
                        idle = 0;
                        continue;
                    }
                } else if let Some(cost) = held.pop_front() {
                    if let Some(grant) = refill.taken(cost) {
                        writer.grant(grant);
                    }
                    idle = 0;
                    continue;
                }
                idle += usize::from(turn.is_none());
                prop_assert!(idle < 3, "both wait");
            }
        }
    }
}
