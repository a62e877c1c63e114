//! What is wanted of farcall, as ratios to other peers, and whether a run reached it.

use crate::results::{Figure, Results, Spread};
use crate::shape::Shape;

/// The peer whose goals these are.
pub(crate) const OURS: &str = "farcall-unix";

/// An idle connection's memory at the server stays below this many bytes.
const IDLE_MEMORY: f64 = 64.0 * 1024.0;

/// A ratio to another peer, and the bound it shall keep.
#[derive(Debug)]
struct Goal {
    figure: Figure,
    shape: Shape,
    other: &'static str,
    bound: Bound,
}

/// Which side of a number is good.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    /// Smaller is better; the number itself will do.
    AtMost(f64),
    /// Larger is better; the number itself will do.
    AtLeast(f64),
}

const GOALS: &[Goal] = &[
    Goal {
        figure: Figure::Processor,
        shape: Shape::calls(32, 64),
        other: "tarpc-bincode",
        bound: Bound::AtMost(0.5),
    },
    Goal {
        figure: Figure::Processor,
        shape: Shape::calls(32, 64),
        other: "raw-mux",
        bound: Bound::AtMost(2.0),
    },
    Goal {
        figure: Figure::Processor,
        shape: Shape::calls(32, 1024),
        other: "tarpc-bincode",
        bound: Bound::AtMost(0.4),
    },
    Goal {
        figure: Figure::P50,
        shape: Shape::calls(32, 1),
        other: "raw-tokio",
        bound: Bound::AtMost(1.15),
    },
    Goal {
        figure: Figure::Rate,
        shape: Shape::calls(65536, 64),
        other: "tarpc-bincode",
        bound: Bound::AtLeast(1.2),
    },
    Goal {
        figure: Figure::Rate,
        shape: Shape::calls(65536, 1024),
        other: "tarpc-bincode",
        bound: Bound::AtLeast(1.2),
    },
];

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
pub(crate) fn ratios(results: &Results) -> Vec<Outcome> {
    GOALS
        .iter()
        .map(|goal| Outcome {
            claim: format!("{} at {}, to `{}`", name(goal.figure), goal.shape, goal.other),
            bound: goal.bound,
            measured: results.ratio(goal.figure, goal.shape, OURS, goal.other),
        })
        .collect()
}

/// Bytes an idle connection costs the server, and whether that is below the bound of 64 KiB; `None`
/// when not measured.
pub(crate) fn idle_memory(results: &Results) -> Option<(f64, bool)> {
    let bytes = results.idle_memory(OURS)?;
    Some((bytes, bytes < IDLE_MEMORY))
}

fn name(figure: Figure) -> &'static str {
    match figure {
        Figure::Rate => "Calls/s",
        Figure::P50 => "Median latency",
        Figure::P99 => "Latency of 99 in 100",
        Figure::ClientProcessor => "The client's processor time per call",
        Figure::ServerProcessor => "The server's processor time per call",
        Figure::Processor => "Processor time per call, both sides,",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers;
    use crate::results::tests::second;

    #[test]
    fn every_goal_compares_with_a_peer_that_exists() {
        for goal in GOALS {
            assert!(peers::find(goal.other).is_some(), "{}", goal.other);
        }
    }

    #[test]
    fn a_goal_is_reached_on_its_bound_and_not_beyond() {
        for (ours, reached) in [(2.0, true), (2.1, false)] {
            let mut results = Results::default();
            let shape = Shape::calls(32, 64);
            results.add(0, shape, OURS, Ok(second(1000, ours)));
            results.add(0, shape, "tarpc-bincode", Ok(second(1000, 4.0)));
            let outcomes = ratios(&results);
            assert_eq!(outcomes[0].reached(), Some(reached));
            assert_eq!(outcomes[1].reached(), None, "the multiplexer took no part");
        }
    }

    #[test]
    fn an_idle_connection_costs_less_than_the_bound() {
        let mut results = Results::default();
        assert_eq!(idle_memory(&results), None);
        results.add_idle_memory(OURS, Ok(IDLE_MEMORY));
        assert_eq!(idle_memory(&results), Some((IDLE_MEMORY, false)));
    }
}
