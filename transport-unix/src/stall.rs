//! Peers that have stopped midway: half a frame that is not finished, a queue that is not taken.
//!
//! Nothing is timed on the path of a frame. Sessions note the number of the current tick when
//! something begins to wait, and one task for the whole link counts ticks and looks at them, as long
//! as anything waits.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::hub::Hub;

/// How many ticks make the time that a peer may stall. What waits longer than that is found within
/// two more.
const TICKS: u64 = 8;

#[derive(Debug, Default)]
pub(crate) struct Ticks {
    now: Cell<u64>,
    running: Cell<bool>,
    start: Notify,
}

impl Ticks {
    /// The current tick, to be compared later. Ticks run from now on, until nothing waits.
    pub(crate) fn start(&self) -> u64 {
        if !self.running.replace(true) {
            self.start.notify_one();
        }
        self.now.get()
    }

    /// The current tick.
    pub(crate) fn now(&self) -> u64 {
        self.now.get()
    }

    /// Whether what has waited since then has waited too long.
    pub(crate) fn is_over(&self, since: u64) -> bool {
        self.now.get() - since > TICKS
    }
}

/// Ends the sessions that stall.
pub(crate) async fn watch(hub: Rc<Hub>) {
    let stall = hub.limits.stall;
    let tick = (stall / TICKS as u32).max(Duration::from_millis(1));
    loop {
        hub.ticks.start.notified().await;
        while hub.ticks.running.get() {
            tokio::time::sleep(tick).await;
            hub.ticks.now.set(hub.ticks.now.get() + 1);
            let mut waits = false;
            for session in hub.sessions() {
                waits |= session.check_stall(&hub.ticks, stall);
            }
            hub.ticks.running.set(waits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_within_the_time_is_not_over() {
        let ticks = Ticks::default();
        let since = ticks.start();
        ticks.now.set(TICKS);
        assert!(!ticks.is_over(since));
        ticks.now.set(TICKS + 1);
        assert!(ticks.is_over(since));
    }
}
