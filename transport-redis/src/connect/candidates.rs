//! Servers that may know where another one is, in the order in which they are asked.

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::address::Endpoint;
use super::error::{ConnectError, Kind};

/// How many are asked in one attempt: each has a share of its time.
const TRIES: usize = 5;
/// How many are remembered.
const KNOWN: usize = 64;

/// Servers to ask: first the one that answered last time, last those that did not.
#[derive(Debug)]
pub(crate) struct Candidates {
    /// From the configuration; never forgotten.
    seeds: Vec<Endpoint>,
    order: Mutex<Vec<Endpoint>>,
}

impl Candidates {
    pub(crate) fn new(seeds: Vec<Endpoint>) -> Self {
        let order = Mutex::new(seeds.clone());
        Candidates { seeds, order }
    }

    /// Asks one after the other, until one answers or `until` comes near: what is left of the time
    /// is divided among those to come and whatever comes after them.
    ///
    /// # Errors
    /// None answered. It is hopeless if all are.
    pub(crate) async fn ask<T, F: Future<Output = Result<T, ConnectError>>>(
        &self,
        what: &str,
        until: Instant,
        ask: impl Fn(Endpoint) -> F,
    ) -> Result<T, ConnectError> {
        let mut failures = Vec::new();
        let turns: Vec<_> = self.order().iter().take(TRIES).cloned().collect();
        for (index, candidate) in turns.iter().enumerate() {
            let left = until.saturating_duration_since(Instant::now());
            let limit = share(left, turns.len() - index);
            let failure = match timeout(limit, ask(candidate.clone())).await {
                Ok(Ok(answer)) => {
                    self.answered(candidate);
                    return Ok(answer);
                }
                Ok(Err(error)) => error,
                Err(_) => ConnectError::new(Kind::Passing, candidate, "no answer in time", ""),
            };
            self.failed(candidate);
            failures.push(failure);
        }
        Err(ConnectError::of_all(what, &failures))
    }

    /// What the first one said last time was of no use: another one is asked first.
    pub(crate) fn distrust(&self) {
        let mut order = self.order();
        if order.len() > 1 {
            order.rotate_left(1);
        }
    }

    /// Others that can be asked as well, instead of all that were known but the seeds.
    pub(crate) fn learn(&self, others: impl IntoIterator<Item = Endpoint>) {
        let mut order = self.order();
        order.clear();
        for candidate in others.into_iter().take(KNOWN).chain(self.seeds.iter().cloned()) {
            if !order.contains(&candidate) {
                order.push(candidate);
            }
        }
    }

    fn answered(&self, candidate: &Endpoint) {
        let mut order = self.order();
        if let Some(index) = order.iter().position(|known| known == candidate) {
            order[..=index].rotate_right(1);
        }
    }

    fn failed(&self, candidate: &Endpoint) {
        let mut order = self.order();
        if let Some(index) = order.iter().position(|known| known == candidate) {
            order[index..].rotate_left(1);
        }
    }

    fn order(&self) -> MutexGuard<'_, Vec<Endpoint>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one of `remaining` candidates gets of the time that is left: as much as each of the others,
/// and as what is done with the answer.
fn share(left: Duration, remaining: usize) -> Duration {
    left / u32::try_from(remaining + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn node(name: &str) -> Endpoint {
        Endpoint::Tcp { host: name.to_owned(), port: 1, tls: false }
    }

    fn candidates(names: &str) -> Candidates {
        Candidates::new(names.split(' ').map(node).collect())
    }

    fn order(candidates: &Candidates) -> String {
        let host = |endpoint: &Endpoint| match endpoint {
            Endpoint::Tcp { host, .. } => host.clone(),
            Endpoint::Unix(_) => String::new(),
        };
        candidates.order().iter().map(host).collect::<Vec<_>>().join(" ")
    }

    /// Asks with those of these names answering; gives who was asked.
    async fn ask(
        candidates: &Candidates,
        answering: &str,
    ) -> (Result<Endpoint, ConnectError>, usize) {
        let asked = RefCell::new(0);
        let until = Instant::now() + Duration::from_secs(60);
        let result = candidates.ask("the master", until, async |candidate| {
            *asked.borrow_mut() += 1;
            if answering.split(' ').any(|name| node(name) == candidate) {
                Ok(candidate)
            } else {
                Err(ConnectError::passing(format!("{candidate} is down")))
            }
        });
        (result.await, asked.take())
    }

    #[tokio::test]
    async fn whoever_answered_is_asked_first_the_next_time() {
        let candidates = candidates("a b c");
        assert_eq!(ask(&candidates, "b c").await, (Ok(node("b")), 2));
        assert_eq!(order(&candidates), "b c a");
        assert_eq!(ask(&candidates, "a b c").await, (Ok(node("b")), 1));
    }

    #[tokio::test]
    async fn if_none_answers_all_are_named() {
        let candidates = candidates("a b");
        let (result, asked) = ask(&candidates, "").await;
        let error = result.unwrap_err();
        assert_eq!((asked, error.kind), (2, Kind::Passing));
        assert_eq!(
            error.message,
            "cannot find the master: redis://a:1 is down, and redis://b:1 is down"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_does_not_answer_leaves_time_for_the_others() {
        let candidates = candidates("a b c");
        let began = Instant::now();
        let result = candidates.ask("it", began + Duration::from_secs(4), async |candidate| {
            if candidate != node("c") {
                std::future::pending::<()>().await;
            }
            Ok(candidate)
        });
        assert_eq!(result.await, Ok(node("c")));
        assert_eq!(began.elapsed(), Duration::from_secs(2));
    }

    #[test]
    fn a_distrusted_one_goes_last() {
        let candidates = candidates("a b c");
        candidates.distrust();
        assert_eq!(order(&candidates), "b c a");
    }

    #[test]
    fn seeds_stay_when_others_are_learnt() {
        let candidates = candidates("a b");
        candidates.learn([node("x"), node("b")]);
        assert_eq!(order(&candidates), "x b a");
        candidates.learn((0..1000).map(|n| node(&n.to_string())));
        assert_eq!(candidates.order().len(), KNOWN + 2);
        candidates.learn([]);
        assert_eq!(order(&candidates), "a b");
    }

    #[test]
    fn the_time_is_divided_with_a_part_for_what_follows() {
        assert_eq!(share(Duration::from_secs(4), 3), Duration::from_secs(1));
        assert_eq!(share(Duration::from_secs(2), 1), Duration::from_secs(1));
    }
}
