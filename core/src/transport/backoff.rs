//! How long to wait before the next try.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Exponential backoff with full jitter: each wait is anything from nothing to a ceiling, which
/// doubles. A thousand clients of a restarted server thus come back spread over time.
///
/// Why all of the wait is random, and not a part of it: "Exponential Backoff And Jitter" in the AWS
/// Architecture Blog compares both, and this one ends soonest with the fewest tries.
///
/// ```
/// use std::time::Duration;
/// use farcall_core::transport::Backoff;
///
/// let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5)).at_once();
/// assert_eq!(backoff.next(u64::MAX), Duration::ZERO);
/// assert_eq!(backoff.next(u64::MAX), Duration::from_millis(50));
/// assert_eq!(backoff.next(u64::MAX), Duration::from_millis(100));
/// assert!(backoff.next(Backoff::random()) <= Duration::from_millis(200));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    last: Duration,
    /// The first wait is none.
    at_once: bool,
    /// Of the next wait.
    ceiling: Duration,
}

impl Backoff {
    /// Ceilings from `first`, doubling up to `last`.
    #[must_use]
    pub const fn new(first: Duration, last: Duration) -> Self {
        Backoff { first, last, at_once: false, ceiling: first }
    }

    /// The same, with a first try that waits for nothing: for what is mostly over at once.
    #[must_use]
    pub const fn at_once(self) -> Self {
        Backoff { at_once: true, ceiling: Duration::ZERO, ..self }
    }

    /// The next wait, for a number that is equally likely to be any.
    pub fn next(&mut self, random: u64) -> Duration {
        let wait = self.ceiling.mul_f64(random as f64 / u64::MAX as f64);
        self.ceiling = (self.ceiling * 2).clamp(self.first, self.last);
        wait
    }

    /// Begins anew.
    pub fn reset(&mut self) {
        self.ceiling = if self.at_once { Duration::ZERO } else { self.first };
    }

    /// A number that is equally likely to be any; not for secrets.
    #[must_use]
    pub fn random() -> u64 {
        // Each `RandomState` of a thread has other keys, the first of them from the operating system.
        RandomState::new().hash_one(0_u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(5);
    const LAST: Duration = Duration::from_secs(1);

    fn ceilings(mut backoff: Backoff) -> Vec<u128> {
        (0..10).map(|_| backoff.next(u64::MAX).as_millis()).collect()
    }

    #[test]
    fn the_ceiling_doubles_up_to_the_last() {
        let backoff = Backoff::new(FIRST, LAST);
        assert_eq!(ceilings(backoff), [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }

    #[test]
    fn the_first_try_may_be_at_once() {
        let backoff = Backoff::new(FIRST, LAST).at_once();
        assert_eq!(ceilings(backoff), [0, 5, 10, 20, 40, 80, 160, 320, 640, 1000]);
    }

    #[test]
    fn a_wait_is_anything_below_the_ceiling() {
        let backoff = Backoff::new(FIRST, LAST);
        assert_eq!({ backoff }.next(0), Duration::ZERO);
        let half = { backoff }.next(u64::MAX / 2);
        assert!(half > Duration::from_millis(2) && half < Duration::from_millis(3), "{half:?}");
    }

    #[test]
    fn a_reset_begins_anew() {
        for new in [Backoff::new(FIRST, LAST), Backoff::new(FIRST, LAST).at_once()] {
            let mut backoff = new;
            backoff.next(1);
            backoff.next(1);
            backoff.reset();
            assert_eq!(backoff, new);
        }
    }

    #[test]
    fn random_numbers_differ() {
        assert_ne!(Backoff::random(), Backoff::random());
    }
}
