//! How many calls run and how many wait: pure decisions for one service.

use std::collections::VecDeque;
use std::time::Duration;

/// Admits calls to one server.
#[derive(Debug)]
pub(crate) struct Admission<T> {
    concurrency: usize,
    backlog: usize,
    running: usize,
    waiting: VecDeque<T>,
}

/// What is to be done with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// It runs now.
    Run,
    /// It is to [`wait`](Admission::wait) for its turn.
    Wait,
    /// Too much runs and waits already.
    Busy {
        /// When it is worth trying again.
        retry_after: Duration,
    },
}

/// How long a refused caller is asked to wait, at least: a guess, since nothing is known of how
/// long calls take.
const RETRY_AFTER: Duration = Duration::from_millis(50);

impl<T> Admission<T> {
    pub(crate) fn new(concurrency: usize, backlog: usize) -> Self {
        Admission { concurrency, backlog, running: 0, waiting: VecDeque::new() }
    }

    /// A call has come. One that may run is counted as running from here on.
    pub(crate) fn admit(&mut self) -> Admitted {
        if self.running < self.concurrency {
            self.running += 1;
            Admitted::Run
        } else if self.waiting.len() < self.backlog {
            Admitted::Wait
        } else {
            Admitted::Busy { retry_after: RETRY_AFTER }
        }
    }

    /// A call that was admitted to wait.
    pub(crate) fn wait(&mut self, call: T) {
        self.waiting.push_back(call);
    }

    /// A call has ended: the next may run in its place.
    pub(crate) fn finished(&mut self) -> Option<T> {
        let next = self.waiting.pop_front();
        if next.is_none() {
            self.running -= 1;
        }
        next
    }

    /// Takes waiting calls out: their callers have lost interest.
    pub(crate) fn remove(&mut self, gone: impl Fn(&T) -> bool) {
        self.waiting.retain(|call| !gone(call));
    }

    /// Takes all waiting calls out.
    pub(crate) fn clear(&mut self) -> VecDeque<T> {
        std::mem::take(&mut self.waiting)
    }

    pub(crate) fn running(&self) -> usize {
        self.running
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(admission: &mut Admission<u8>, call: u8) -> Admitted {
        let admitted = admission.admit();
        if admitted == Admitted::Wait {
            admission.wait(call);
        }
        admitted
    }

    #[test]
    fn calls_run_then_wait_then_are_refused() {
        let mut admission = Admission::new(1, 1);
        assert_eq!(admit(&mut admission, 1), Admitted::Run);
        assert_eq!(admit(&mut admission, 2), Admitted::Wait);
        assert!(matches!(admit(&mut admission, 3), Admitted::Busy { .. }));
        assert_eq!((admission.running(), admission.waiting()), (1, 1));
    }

    #[test]
    fn a_waiting_call_takes_the_place_of_one_that_ended() {
        let mut admission = Admission::new(1, 2);
        admit(&mut admission, 1);
        admit(&mut admission, 2);
        admit(&mut admission, 3);
        admission.remove(|call| *call == 2);
        assert_eq!(admission.finished(), Some(3));
        assert_eq!(admission.finished(), None);
        assert_eq!(admission.running(), 0);
        assert_eq!(admit(&mut admission, 4), Admitted::Run);
    }
}
