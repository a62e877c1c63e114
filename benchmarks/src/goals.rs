//! What is wanted of farcall, as ratios to other peers, and whether a run reached it.

use crate::contest::Contest;
use crate::division::Pace;
use crate::results::{Figure, Results, Spread};
use crate::shape::Shape;

/// An idle connection's memory at the server stays below this many bytes.
const IDLE_MEMORY: f64 = 64.0 * 1024.0;

/// The busier of two servers gets no more than this part of the calls.
const BUSIER: f64 = 0.6;

/// A ratio to another peer, and the bound it shall keep.
#[derive(Debug)]
pub(crate) struct Goal {
    figure: Figure,
    shape: Shape,
    /// Whose goal it is, if not that of the contest's own peer.
    pub(crate) instead: Option<&'static str>,
    /// The other peer.
    pub(crate) other: &'static str,
    bound: Bound,
}

impl Goal {
    const fn new(figure: Figure, shape: Shape, other: &'static str, bound: Bound) -> Self {
        Goal { figure, shape, instead: None, other, bound }
    }

    /// The same goal for another peer than the contest's own.
    const fn of(self, peer: &'static str) -> Self {
        Goal { instead: Some(peer), ..self }
    }
}

/// Which side of a number is good.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    /// Smaller is better; the number itself will do.
    AtMost(f64),
    /// Larger is better; the number itself will do.
    AtLeast(f64),
}

/// Beside other libraries, and beside sockets used raw.
pub(crate) const UNIX: &[Goal] = &[
    Goal::new(Figure::Processor, Shape::calls(32, 64), "tarpc-bincode", Bound::AtMost(0.5)),
    Goal::new(Figure::Processor, Shape::calls(32, 64), "raw-mux", Bound::AtMost(2.0)),
    Goal::new(Figure::Processor, Shape::calls(32, 1024), "tarpc-bincode", Bound::AtMost(0.4)),
    Goal::new(Figure::P50, Shape::calls(32, 1), "raw-tokio", Bound::AtMost(1.15)),
    Goal::new(Figure::Rate, Shape::calls(65536, 64), "tarpc-bincode", Bound::AtLeast(1.2)),
    Goal::new(Figure::Rate, Shape::calls(65536, 1024), "tarpc-bincode", Bound::AtLeast(1.2)),
];

/// Beside a broker made for calls, and beside the bare commands; those beside NATS over its kind of
/// socket too.
pub(crate) const REDIS: &[Goal] = &[
    Goal::new(Figure::Rate, Shape::calls(32, 64), "nats", Bound::AtLeast(1.0)),
    Goal::new(Figure::Rate, Shape::calls(32, 64), "nats", Bound::AtLeast(1.0)).of(OVER_TCP),
    Goal::new(Figure::Rate, Shape::calls(32, 1024), "nats", Bound::AtLeast(1.0)),
    Goal::new(Figure::Rate, Shape::calls(32, 1024), "nats", Bound::AtLeast(1.0)).of(OVER_TCP),
    Goal::new(Figure::Processor, Shape::calls(32, 64), "nats", Bound::AtMost(1.0)),
    Goal::new(Figure::Processor, Shape::calls(32, 64), "nats", Bound::AtMost(1.0)).of(OVER_TCP),
    Goal::new(Figure::P50, Shape::calls(32, 1), "redis-bare", Bound::AtMost(1.2)),
];

/// Beside the database that tasks are written to.
pub(crate) const TASKS: &[Goal] = &[
    Goal::new(Figure::Rate, Shape::calls(32, 64), "redb-bare", Bound::AtLeast(0.7)),
    Goal::new(Figure::Rate, Shape::calls(32, 1024), "redb-bare", Bound::AtLeast(0.7)),
];

const OVER_TCP: &str = "farcall-redis-tcp";

/// What a run says of one goal.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    /// What was compared, in words.
    pub(crate) claim: String,
    /// What is wanted.
    pub(crate) bound: Bound,
    /// What was measured; absent when the run left out what the goal compares.
    pub(crate) measured: Option<Spread>,
}

impl Outcome {
    /// Whether the median keeps the bound; `None` when nothing was measured.
    pub(crate) fn reached(&self) -> Option<bool> {
        let median = self.measured?.median;
        Some(match self.bound {
            Bound::AtMost(bound) => median <= bound,
            Bound::AtLeast(bound) => median >= bound,
        })
    }
}

/// What a run says of the goals that are ratios, in order.
pub(crate) fn ratios(contest: &Contest, results: &Results) -> Vec<Outcome> {
    let outcome = |goal: &Goal| {
        let claim = format!("{} at {}, to `{}`", name(goal.figure), goal.shape, goal.other);
        Outcome {
            claim: match goal.instead {
                Some(peer) => format!("{claim}, of `{peer}`"),
                None => claim,
            },
            bound: goal.bound,
            measured: results.ratio(
                goal.figure,
                goal.shape,
                goal.instead.unwrap_or(contest.ours),
                goal.other,
            ),
        }
    };
    contest.goals.iter().map(outcome).collect()
}

/// What a run says of how two servers divide calls, at each pace.
pub(crate) fn divisions(contest: &Contest, paces: &[Pace], results: &Results) -> Vec<Outcome> {
    let outcome = |&pace: &Pace| Outcome {
        claim: format!("Part of the calls at the busier of two servers, {pace}"),
        bound: Bound::AtMost(BUSIER),
        measured: results.busier(pace, contest.ours),
    };
    paces.iter().map(outcome).collect()
}

/// Bytes an idle connection costs the server, and whether that is below the bound of 64 KiB; `None`
/// when not measured.
pub(crate) fn idle_memory(contest: &Contest, results: &Results) -> Option<(f64, bool)> {
    let bytes = results.idle_memory(contest.ours)?;
    Some((bytes, bytes < IDLE_MEMORY))
}

fn name(figure: Figure) -> &'static str {
    match figure {
        Figure::Rate => "Calls/s",
        Figure::P50 => "Median latency",
        Figure::P99 => "Latency of 99 in 100",
        Figure::ClientProcessor => "The client's processor time per call",
        Figure::ServerProcessor => "The server's processor time per call",
        Figure::BrokerProcessor => "The broker's processor time per call",
        Figure::Processor => "Processor time per call, all sides,",
        Figure::Commands => "Commands per call",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contest::{REDIS, UNIX};
    use crate::division::Division;
    use crate::results::tests::second;

    #[test]
    fn a_goal_is_reached_on_its_bound_and_not_beyond() {
        for (ours, reached) in [(2.0, true), (2.1, false)] {
            let mut results = Results::default();
            let shape = Shape::calls(32, 64);
            results.add(0, shape, UNIX.ours, Ok(second(1000, ours)));
            results.add(0, shape, "tarpc-bincode", Ok(second(1000, 4.0)));
            let outcomes = ratios(&UNIX, &results);
            assert_eq!(outcomes[0].reached(), Some(reached));
            assert_eq!(outcomes[1].reached(), None, "the multiplexer took no part");
        }
    }

    #[test]
    fn a_goal_may_be_that_of_another_peer() {
        let mut results = Results::default();
        let shape = Shape::calls(32, 64);
        results.add(0, shape, OVER_TCP, Ok(second(2000, 1.0)));
        results.add(0, shape, "nats", Ok(second(1000, 1.0)));
        let outcomes = ratios(&REDIS, &results);
        assert_eq!(outcomes[0].reached(), None);
        assert_eq!(outcomes[1].reached(), Some(true));
        assert!(outcomes[1].claim.ends_with("of `farcall-redis-tcp`"));
    }

    #[test]
    fn two_servers_may_differ_by_as_much_as_sixty_to_forty() {
        for (served, reached) in [([40, 60], true), ([61, 39], false)] {
            let mut results = Results::default();
            let pace = Pace::InFlight(64);
            let division = Division { served, measurement: second(1000, 1.0) };
            results.add_division(0, pace, REDIS.ours, Ok(division));
            let outcomes = divisions(&REDIS, &[pace, Pace::PerSecond(200)], &results);
            assert_eq!(outcomes[0].reached(), Some(reached));
            assert_eq!(outcomes[1].reached(), None);
        }
    }

    #[test]
    fn an_idle_connection_costs_less_than_the_bound() {
        let mut results = Results::default();
        assert_eq!(idle_memory(&UNIX, &results), None);
        results.add_idle_memory(UNIX.ours, Ok(IDLE_MEMORY));
        assert_eq!(idle_memory(&UNIX, &results), Some((IDLE_MEMORY, false)));
    }
}
