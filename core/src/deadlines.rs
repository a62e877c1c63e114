//! Which of many entries is due next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// Due times of entries that are mostly gone before they are due.
///
/// Nothing is removed when an entry ends: what the heap yields is checked against its owner's
/// table, and once more than half of it is stale it is rebuilt. With deadlines that mostly grow, as
/// those of calls with one timeout do, adding one is a comparison, and the rebuilding a constant
/// share of it.
#[derive(Debug)]
pub(crate) struct Deadlines<K: Ord> {
    heap: BinaryHeap<Reverse<(Instant, K)>>,
}

/// A deadline further away than this is none; it keeps sums of time within range, whatever a peer or a
/// caller asks for.
pub(crate) const LONGEST: Duration = Duration::from_secs(400 * 24 * 3600);

/// Below this many entries a rebuild is not worth it.
const REBUILD_FROM: usize = 256;

impl<K: Ord> Default for Deadlines<K> {
    fn default() -> Self {
        Deadlines { heap: BinaryHeap::new() }
    }
}

impl<K: Ord + Copy> Deadlines<K> {
    pub(crate) fn new() -> Self {
        Deadlines::default()
    }

    /// Adds an entry. `live` is how many entries the owner has, `is_live` whether one of them is
    /// still to be woken at that time.
    pub(crate) fn add(
        &mut self,
        at: Instant,
        key: K,
        live: usize,
        is_live: impl Fn(Instant, &K) -> bool,
    ) {
        if self.heap.len() >= REBUILD_FROM && self.heap.len() > 2 * live {
            self.heap.retain(|Reverse((at, key))| is_live(*at, key));
        }
        self.heap.push(Reverse((at, key)));
    }

    /// Takes an entry that is due, stale or not.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.heap.peek()?.0.0 > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, key))| key)
    }

    /// When the next entry is due, stale or not.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_in_the_order_of_their_time() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new();
        for ms in [30, 10, 20] {
            deadlines.add(start + Duration::from_millis(ms), ms, 3, |_, _| true);
        }
        assert_eq!(deadlines.pop_due(start), None);
        assert_eq!(deadlines.next(), Some(start + Duration::from_millis(10)));
        let late = start + Duration::from_millis(25);
        assert_eq!(deadlines.pop_due(late), Some(10));
        assert_eq!(deadlines.pop_due(late), Some(20));
        assert_eq!(deadlines.pop_due(late), None);
    }

    #[test]
    fn stale_entries_do_not_pile_up() {
        let start = Instant::now();
        let mut deadlines = Deadlines::new();
        for key in 0..100_000_u64 {
            deadlines.add(start + Duration::from_micros(key), key, 1, |_, other| *other + 1 >= key);
        }
        assert!(deadlines.heap.len() <= REBUILD_FROM + 1);
    }
}
