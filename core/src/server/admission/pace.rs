//! How fast calls end, and so how long a refused caller had better wait.

use std::time::{Duration, Instant};

/// The pace of a server that has more calls than it may run.
///
/// Ends are counted, which costs an addition each. The clock is looked at by calls that find no
/// place only: the first begins a window, and the first after [`WINDOW`] closes it and begins the
/// next one. A window tells the time between two ends, and half of the estimate is the last
/// window's. One that is old and in which the server had places to spare says nothing of how fast
/// it can be, and is dropped. While nothing ends the window stays open, and an end takes at least as
/// long as it has been.
///
/// The advice is the time in which what waits now, and one more, will have ended.
#[derive(Debug, Default)]
pub(super) struct Pace {
    ended: u64,
    window: Option<Window>,
    /// The time between two ends while there is more to do than places.
    each: Option<Duration>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    /// How many had ended when it began.
    ended: u64,
    /// A place was free in it.
    rested: bool,
}

/// How long a window is, at least: long enough that one slow call does not make it.
const WINDOW: Duration = Duration::from_millis(100);
/// How old a window may be in which the server had nothing to do for a while.
const STALE: Duration = Duration::from_secs(1);
/// The advice before anything is known.
const GUESS: Duration = Duration::from_millis(50);
/// Sooner than this it is not worth the message.
const SOONEST: Duration = Duration::from_millis(10);
/// Later than this says more than an estimate can know.
const LATEST: Duration = Duration::from_secs(5);

impl Pace {
    /// A call has ended; `rested` if none waited for its place.
    pub(super) fn ended(&mut self, rested: bool) {
        self.ended += 1;
        if rested && let Some(window) = &mut self.window {
            window.rested = true;
        }
    }

    /// A call has found no place.
    pub(super) fn full(&mut self, now: Instant) {
        let Some(window) = &self.window else { return self.begin(now) };
        let (open, ended) = (now.saturating_duration_since(window.since), self.count(window));
        if ended == 0 {
            return;
        }
        if window.rested && open > STALE {
            self.begin(now);
        } else if open >= WINDOW {
            let each = open.div_f64(ended as f64);
            self.each = Some(self.each.map_or(each, |before| (before + each) / 2));
            self.begin(now);
        }
    }

    /// When it is worth trying again, while so many calls wait.
    pub(super) fn retry_after(&self, waiting: usize, now: Instant) -> Duration {
        let (open, ended) = self.window.as_ref().map_or((Duration::ZERO, 0), |window| {
            (now.saturating_duration_since(window.since), self.count(window))
        });
        // An end takes as long as the window is open without one, at least.
        let least = if ended == 0 { open } else { Duration::ZERO };
        let first = (ended > 0).then(|| open.div_f64(ended as f64));
        let wait = match self.each.or(first) {
            Some(each) => {
                let ends = u32::try_from(waiting).unwrap_or(u32::MAX).saturating_add(1);
                each.max(least).saturating_mul(ends)
            }
            None => GUESS.max(least),
        };
        wait.clamp(SOONEST, LATEST)
    }

    fn begin(&mut self, since: Instant) {
        self.window = Some(Window { since, ended: self.ended, rested: false });
    }

    fn count(&self, window: &Window) -> u64 {
        self.ended - window.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A full server in which so many calls end in each of these milliseconds.
    fn busy(pace: &mut Pace, now: &mut Instant, ms: u32, each_ms: u32) {
        for _ in 0..ms {
            pace.full(*now);
            (0..each_ms).for_each(|_| pace.ended(false));
            *now += MS;
        }
        pace.full(*now);
    }

    #[test]
    fn before_anything_is_known_the_advice_is_a_guess() {
        let now = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.retry_after(1000, now), GUESS);
        pace.full(now);
        assert_eq!(pace.retry_after(1000, now), GUESS);
    }

    #[test]
    fn the_advice_is_the_time_that_what_waits_will_take() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        busy(&mut pace, &mut now, 1000, 2);
        // Two a millisecond.
        assert_eq!(pace.retry_after(199, now), 100 * MS);
        assert_eq!(pace.retry_after(999, now), 500 * MS);
    }

    #[test]
    fn the_advice_follows_a_change_within_a_few_windows() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        busy(&mut pace, &mut now, 1000, 10);
        busy(&mut pace, &mut now, 1000, 1);
        let advice = pace.retry_after(99, now);
        assert!((95 * MS..=105 * MS).contains(&advice), "{advice:?}");
    }

    #[test]
    fn the_advice_has_bounds() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        busy(&mut pace, &mut now, 200, 100);
        assert_eq!(pace.retry_after(0, now), SOONEST);
        assert_eq!(pace.retry_after(usize::MAX, now), LATEST);
    }

    #[test]
    fn while_nothing_ends_the_advice_grows() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        pace.full(now);
        pace.full(now + 200 * MS);
        assert_eq!(pace.retry_after(0, now + 200 * MS), 200 * MS);
        pace.full(now + 3000 * MS);
        assert_eq!(pace.retry_after(0, now + 3000 * MS), 3000 * MS);
    }

    #[test]
    fn a_rest_is_not_taken_for_slowness() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        busy(&mut pace, &mut now, 500, 1);
        let before = pace.retry_after(99, now);
        pace.ended(false);
        pace.ended(true);
        now += 3600 * 1000 * MS;
        pace.full(now);
        assert_eq!(pace.retry_after(99, now), before);
    }
}
