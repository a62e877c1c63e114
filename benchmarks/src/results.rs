//! What a run measured: medians over rounds, and ratios between peers that took turns in the same
//! round.

use std::collections::BTreeMap;

use crate::division::{Division, Pace};
use crate::meter::Measurement;
use crate::shape::Shape;

/// A figure that a measurement yields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Calls answered, or items moved, per second.
    Rate,
    /// Median latency, in microseconds.
    P50,
    /// Latency exceeded by 1 call of 100, in microseconds.
    P99,
    /// Processor time of the client per call, in microseconds.
    ClientProcessor,
    /// Processor time of the server per call, in microseconds.
    ServerProcessor,
    /// Processor time of the broker per call, in microseconds.
    BrokerProcessor,
    /// Processor time of all per call, in microseconds.
    Processor,
    /// Commands of the broker per call.
    Commands,
}

impl Figure {
    /// The figure; not a number where it was not measured.
    fn of(self, measurement: &Measurement) -> f64 {
        let per_call = |seconds: f64| seconds * 1e6 / measurement.calls as f64;
        match self {
            Figure::Rate => measurement.calls as f64 / measurement.wall_seconds,
            Figure::P50 => measurement.p50_ns as f64 / 1e3,
            Figure::P99 => measurement.p99_ns as f64 / 1e3,
            Figure::ClientProcessor => per_call(measurement.client_processor_seconds),
            Figure::ServerProcessor => per_call(measurement.server_processor_seconds),
            Figure::BrokerProcessor => {
                per_call(measurement.broker_processor_seconds.unwrap_or(f64::NAN))
            }
            Figure::Processor => per_call(
                measurement.client_processor_seconds
                    + measurement.server_processor_seconds
                    + measurement.broker_processor_seconds.unwrap_or_default(),
            ),
            Figure::Commands => match measurement.broker_commands {
                Some(commands) => commands as f64 / measurement.calls as f64,
                None => f64::NAN,
            },
        }
    }
}

/// A figure over several rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    /// The smallest.
    pub(crate) least: f64,
    /// The middle one, or the mean of the middle two.
    pub(crate) median: f64,
    /// The largest.
    pub(crate) most: f64,
}

impl Spread {
    fn over(figures: impl Iterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.filter(|figure| figure.is_finite()).collect();
        figures.sort_by(f64::total_cmp);
        let (&least, &most) = (figures.first()?, figures.last()?);
        let middle = figures.len() / 2;
        let median = if figures.len().is_multiple_of(2) {
            (figures[middle - 1] + figures[middle]) / 2.0
        } else {
            figures[middle]
        };
        Some(Spread { least, median, most })
    }
}

/// Everything a run measured.
#[derive(Debug, Default)]
pub(crate) struct Results {
    measurements: BTreeMap<(Shape, &'static str), BTreeMap<u32, Measurement>>,
    divisions: BTreeMap<(Pace, &'static str), Vec<Division>>,
    idle_memory: BTreeMap<&'static str, f64>,
    failures: Vec<String>,
}

impl Results {
    /// Adds what a peer measured in a round, or why it could not.
    pub(crate) fn add(
        &mut self,
        round: u32,
        shape: Shape,
        peer: &'static str,
        outcome: anyhow::Result<Measurement>,
    ) {
        match outcome {
            Ok(measurement) => {
                self.measurements.entry((shape, peer)).or_default().insert(round, measurement);
            }
            Err(error) => {
                self.failures.push(format!("{peer}, {shape}, round {}: {error:#}", round + 1))
            }
        }
    }

    /// Adds how a peer's two servers divided calls in a round, or why that is not known.
    pub(crate) fn add_division(
        &mut self,
        round: u32,
        pace: Pace,
        peer: &'static str,
        outcome: anyhow::Result<Division>,
    ) {
        match outcome {
            Ok(division) => self.divisions.entry((pace, peer)).or_default().push(division),
            Err(error) => self
                .failures
                .push(format!("{peer}, two servers, {pace}, round {}: {error:#}", round + 1)),
        }
    }

    /// Adds the bytes that an idle connection costs a peer's server, or why that is not known.
    pub(crate) fn add_idle_memory(&mut self, peer: &'static str, outcome: anyhow::Result<f64>) {
        match outcome {
            Ok(bytes) => {
                self.idle_memory.insert(peer, bytes);
            }
            Err(error) => self.failures.push(format!("{peer}, idle connections: {error:#}")),
        }
    }

    /// A peer's figure over all rounds.
    pub(crate) fn figure(&self, figure: Figure, shape: Shape, peer: &str) -> Option<Spread> {
        Spread::over(self.rounds(shape, peer)?.values().map(|measurement| figure.of(measurement)))
    }

    /// A peer's figure divided by another's, in each round in which both were measured.
    pub(crate) fn ratio(
        &self,
        figure: Figure,
        shape: Shape,
        peer: &str,
        other: &str,
    ) -> Option<Spread> {
        let others = self.rounds(shape, other)?;
        Spread::over(self.rounds(shape, peer)?.iter().filter_map(|(round, measurement)| {
            let other = others.get(round)?;
            Some(figure.of(measurement) / figure.of(other))
        }))
    }

    /// The part of the calls that the busier of two servers has served.
    pub(crate) fn busier(&self, pace: Pace, peer: &str) -> Option<Spread> {
        Spread::over(self.divisions_of(pace, peer)?.iter().map(Division::busier))
    }

    /// A peer's figure with two servers.
    pub(crate) fn divided(&self, figure: Figure, pace: Pace, peer: &str) -> Option<Spread> {
        let divisions = self.divisions_of(pace, peer)?.iter();
        Spread::over(divisions.map(|division| figure.of(&division.measurement)))
    }

    /// Bytes of resident memory that an idle connection costs a peer's server.
    pub(crate) fn idle_memory(&self, peer: &str) -> Option<f64> {
        self.idle_memory.get(peer).copied()
    }

    /// What could not be measured, and why.
    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    fn divisions_of(&self, pace: Pace, peer: &str) -> Option<&[Division]> {
        let mut divisions = self.divisions.iter();
        divisions.find_map(|((at, name), all)| (*at == pace && *name == peer).then_some(&**all))
    }

    fn rounds(&self, shape: Shape, peer: &str) -> Option<&BTreeMap<u32, Measurement>> {
        // The map's key borrows for ever; any peer's own name does.
        self.measurements
            .iter()
            .find_map(|((at, name), rounds)| (*at == shape && *name == peer).then_some(rounds))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A second in which `calls` calls were answered, each taking both sides together `processor`
    /// microseconds.
    pub(crate) fn second(calls: u64, processor: f64) -> Measurement {
        let seconds = processor * calls as f64 / 1e6;
        Measurement {
            calls,
            wall_seconds: 1.0,
            p50_ns: 1_000_000_000 / calls,
            p99_ns: 2_000_000_000 / calls,
            client_processor_seconds: seconds / 4.0,
            server_processor_seconds: seconds * 3.0 / 4.0,
            broker_processor_seconds: None,
            broker_commands: None,
        }
    }

    const SHAPE: Shape = Shape::calls(32, 64);

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let spread = Spread::over([4.0, 1.0, 2.0, 8.0].into_iter()).unwrap();
        assert_eq!(spread, Spread { least: 1.0, median: 3.0, most: 8.0 });
        assert_eq!(Spread::over([f64::NAN].into_iter()), None);
    }

    #[test]
    fn ratios_pair_the_measurements_of_a_round() {
        let mut results = Results::default();
        for (round, (ours, theirs)) in [(10, 20), (100, 50), (1000, 500)].into_iter().enumerate() {
            results.add(round as u32, SHAPE, "ours", Ok(second(ours, 1.0)));
            results.add(round as u32, SHAPE, "theirs", Ok(second(theirs, 1.0)));
        }
        results.add(3, SHAPE, "ours", Ok(second(1, 1.0)));
        results.add(3, SHAPE, "theirs", Err(anyhow::anyhow!("did not answer")));

        let ratio = results.ratio(Figure::Rate, SHAPE, "ours", "theirs").unwrap();
        assert_eq!(ratio, Spread { least: 0.5, median: 2.0, most: 2.0 });
        assert_eq!(results.failures(), ["theirs, 32 B, 64 in flight, round 4: did not answer"]);
    }

    #[test]
    fn processor_time_is_per_call_and_side() {
        let mut results = Results::default();
        results.add(0, SHAPE, "ours", Ok(second(1000, 4.0)));
        let figure = |figure| results.figure(figure, SHAPE, "ours").unwrap().median;
        assert!((figure(Figure::ClientProcessor) - 1.0).abs() < 1e-9);
        assert!((figure(Figure::ServerProcessor) - 3.0).abs() < 1e-9);
        assert!((figure(Figure::Processor) - 4.0).abs() < 1e-9);
        assert_eq!(results.figure(Figure::BrokerProcessor, SHAPE, "ours"), None);
        assert_eq!(results.figure(Figure::Commands, SHAPE, "ours"), None);
    }

    #[test]
    fn a_broker_is_one_of_those_whose_time_counts() {
        let measurement = Measurement {
            broker_processor_seconds: Some(0.002),
            broker_commands: Some(3000),
            ..second(1000, 4.0)
        };
        assert!((Figure::BrokerProcessor.of(&measurement) - 2.0).abs() < 1e-9);
        assert!((Figure::Processor.of(&measurement) - 6.0).abs() < 1e-9);
        assert_eq!(Figure::Commands.of(&measurement), 3.0);
    }
}
