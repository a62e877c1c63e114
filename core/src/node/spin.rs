//! Whether to look again before going to sleep: pure decisions.

use std::time::Duration;

/// Spins only where it has paid lately.
///
/// A thread that sleeps has to be woken, which costs more than a whole small call. Where the next
/// frames mostly come within microseconds, as the answer does to someone who makes one call after
/// the other, looking again for a moment saves both sides that, and processor time as well. Where
/// they do not, it is a waste; after each failure the next few occasions are passed over, twice as
/// many each time, so that a node wastes little on a load of another rhythm and nothing when idle.
#[derive(Debug)]
pub(super) struct Spin {
    limit: Duration,
    /// Occasions to pass over after the next failure.
    penalty: u32,
    /// Occasions still to pass over.
    passing: u32,
}

/// The most occasions to pass over: a node whose rhythm changes finds out soon.
const MOST: u32 = 256;

impl Spin {
    /// For at most `limit` each time; never, if that is zero or there is only one processor, which
    /// whoever is waited for needs.
    pub(super) fn new(limit: Duration, processors: usize) -> Self {
        let limit = if processors > 1 { limit } else { Duration::ZERO };
        Spin { limit, penalty: 1, passing: 0 }
    }

    /// There is nothing to read: for how long to look again.
    pub(super) fn begin(&mut self) -> Option<Duration> {
        if self.limit.is_zero() {
            return None;
        }
        if self.passing > 0 {
            self.passing -= 1;
            return None;
        }
        Some(self.limit)
    }

    /// Looking again has found something, or not.
    pub(super) fn end(&mut self, found: bool) {
        if found {
            self.penalty = 1;
        } else {
            self.passing = self.penalty;
            self.penalty = (self.penalty * 2).min(MOST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_micros(20);

    #[test]
    fn while_it_pays_it_goes_on() {
        let mut spin = Spin::new(LIMIT, 2);
        for _ in 0..10 {
            assert_eq!(spin.begin(), Some(LIMIT));
            spin.end(true);
        }
    }

    #[test]
    fn where_it_does_not_pay_it_becomes_rare_and_recovers() {
        let mut spin = Spin::new(LIMIT, 2);
        let mut spins = 0;
        for _ in 0..10_000 {
            if spin.begin().is_some() {
                spins += 1;
                spin.end(false);
            }
        }
        assert!(spins < 60, "{spins}");
        while spin.begin().is_none() {}
        spin.end(true);
        assert!(spin.begin().is_some());
    }

    #[test]
    fn one_processor_or_no_limit_means_never() {
        assert_eq!(Spin::new(LIMIT, 1).begin(), None);
        assert_eq!(Spin::new(Duration::ZERO, 8).begin(), None);
    }
}
