//! What a ledger allows: how often a task is tried, how long it is kept, and how much may be there.

use std::time::Duration;

/// Limits of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A task is dead after so many crashes.
    pub crashes: u32,
    /// A task is dead after so many failures.
    pub failures: u32,
    /// The longest first wait after a failure, and after the second crash; it doubles with each.
    pub backoff: Duration,
    /// The longest wait.
    pub longest_backoff: Duration,
    /// How long outcomes and keys are kept.
    pub retention: Duration,
    /// How long dead tasks are kept.
    pub dead_retention: Duration,
    /// How many dead tasks are kept.
    pub max_dead: usize,
    /// How many tasks may be unfinished.
    pub max_unfinished: usize,
    /// The bytes of all tasks, outcomes included. An outcome is always taken.
    pub max_bytes: usize,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Default for Policy {
    fn default() -> Self {
        Policy {
            crashes: 3,
            failures: 5,
            backoff: Duration::from_secs(1),
            longest_backoff: Duration::from_secs(5 * 60),
            retention: DAY,
            dead_retention: 90 * DAY,
            max_dead: 10_000,
            max_unfinished: 100_000,
            max_bytes: 256 << 20,
        }
    }
}

impl Policy {
    /// The wait before the next attempt of a task that has failed so often.
    pub(super) fn after_failure(&self, failures: u32, random: u64) -> Duration {
        self.wait(failures, random)
    }

    /// The wait before a task is resumed that has crashed so often: none the first time.
    pub(super) fn after_crash(&self, crashes: u32, random: u64) -> Duration {
        self.wait(crashes.saturating_sub(1), random)
    }

    /// Exponential with full jitter: anything from nothing to a ceiling, which doubles.
    fn wait(&self, tries: u32, random: u64) -> Duration {
        let Some(doublings) = tries.checked_sub(1) else { return Duration::ZERO };
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let ceiling = self.backoff.saturating_mul(factor).min(self.longest_backoff);
        let wait = ceiling.mul_f64(random as f64 / u64::MAX as f64);
        // As clocks of stores count.
        Duration::from_micros(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u64 = u64::MAX;

    #[test]
    fn the_wait_after_a_failure_doubles_up_to_the_longest() {
        let policy = Policy::default();
        let waits =
            [1, 2, 3, 9, 10, 40, u32::MAX].map(|it| policy.after_failure(it, ALL).as_secs());
        assert_eq!(waits, [1, 2, 4, 256, 300, 300, 300]);
    }

    #[test]
    fn the_first_crash_is_resumed_at_once() {
        let policy = Policy::default();
        let waits = [1, 2, 3].map(|it| policy.after_crash(it, ALL).as_secs());
        assert_eq!(waits, [0, 1, 2]);
    }

    #[test]
    fn all_of_a_wait_is_chance() {
        let policy = Policy::default();
        assert_eq!(policy.after_failure(5, 0), Duration::ZERO);
        let half = policy.after_failure(1, ALL / 2);
        assert!(half > Duration::from_millis(490) && half < Duration::from_millis(510));
    }
}
