//! The broker's clock, as this process knows it.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

/// How far the broker's clock is from one of this process that only goes forward. All clones are one.
///
/// Its error is the way of one answer at most, and it is set again with each renewal of a lease.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock(Arc<AtomicI64>);

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Clock {
    /// The broker has just said that it is `ms`.
    pub(crate) fn set(&self, ms: u64) {
        let offset = ms.cast_signed() - since_began(Instant::now());
        self.0.store(offset, Ordering::Relaxed);
    }

    /// The broker's clock at this time, in ms.
    pub(crate) fn at(&self, now: Instant) -> u64 {
        (since_began(now) + self.0.load(Ordering::Relaxed)).cast_unsigned()
    }
}

fn since_began(now: Instant) -> i64 {
    i64::try_from(now.saturating_duration_since(*BEGAN).as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_goes_on_by_itself() {
        let clock = Clock::default();
        clock.set(1_700_000_000_000);
        let later = Instant::now() + Duration::from_secs(2);
        let off = clock.at(later).abs_diff(1_700_000_002_000);
        assert!(off < 1000, "{off}");
    }
}
