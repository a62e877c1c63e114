//! How long to wait before the next try.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Exponential backoff with full jitter: each wait is anything from nothing to a ceiling, which
/// doubles. A thousand clients of a restarted server thus come back spread over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    ceiling: Duration,
}

impl Backoff {
    /// The first ceiling.
    pub(crate) const FIRST: Duration = Duration::from_millis(5);
    /// The last one.
    pub(crate) const LAST: Duration = Duration::from_secs(1);

    pub(crate) fn new() -> Self {
        Backoff { ceiling: Self::FIRST }
    }

    /// The next wait, for a number that is equally likely to be any.
    pub(crate) fn next(&mut self, random: u64) -> Duration {
        let wait = self.ceiling.mul_f64(random as f64 / u64::MAX as f64);
        self.ceiling = (self.ceiling * 2).min(Self::LAST);
        wait
    }

    /// Begins anew.
    pub(crate) fn reset(&mut self) {
        *self = Self::new();
    }
}

/// A number that is equally likely to be any; not for secrets.
pub(crate) fn random() -> u64 {
    // Each `RandomState` of a thread has other keys, the first of them from the operating system.
    RandomState::new().hash_one(0_u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_a_second() {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..10).map(|_| backoff.next(u64::MAX).as_millis()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }

    #[test]
    fn a_wait_is_anything_below_the_ceiling() {
        assert_eq!(Backoff::new().next(0), Duration::ZERO);
        let half = Backoff::new().next(u64::MAX / 2);
        assert!(half > Duration::from_millis(2) && half < Duration::from_millis(3), "{half:?}");
    }

    #[test]
    fn a_reset_begins_anew() {
        let mut backoff = Backoff::new();
        backoff.next(1);
        backoff.reset();
        assert_eq!(backoff, Backoff::new());
    }

    #[test]
    fn random_numbers_differ() {
        assert_ne!(random(), random());
    }
}
