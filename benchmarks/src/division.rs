//! How calls are divided between two servers of one service.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, ensure};

use crate::meter::Measurement;
use crate::peers::MOST_IN_FLIGHT;

/// Payload of the calls that are divided, in bytes.
pub(crate) const SIZE: usize = 32;

/// The most calls that may begin in a second.
const FASTEST: u32 = 100_000;

/// How fast one client calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pace {
    /// As many as this are in flight at any time.
    InFlight(usize),
    /// As many as this begin in a second, evenly.
    PerSecond(u32),
}

impl Pace {
    /// As many as this are in flight, at the least.
    pub(crate) fn in_flight(self) -> usize {
        match self {
            Pace::InFlight(number) => number,
            Pace::PerSecond(_) => 1,
        }
    }

    /// As the command line has it.
    pub(crate) fn argument(self) -> String {
        match self {
            Pace::InFlight(number) => number.to_string(),
            Pace::PerSecond(number) => format!("{number}/s"),
        }
    }

    /// As many as this begin in a second, if that is given.
    pub(crate) fn per_second(self) -> Option<u32> {
        match self {
            Pace::InFlight(_) => None,
            Pace::PerSecond(number) => Some(number),
        }
    }
}

impl FromStr for Pace {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let pace = match text.strip_suffix("/s") {
            Some(number) => {
                let number = number.parse().context("not a number of calls per second")?;
                ensure!((1..=FASTEST).contains(&number), "must be from 1/s to {FASTEST}/s");
                Pace::PerSecond(number)
            }
            None => {
                let number = text.parse().context("not a number of calls, nor of calls `/s`")?;
                ensure!(
                    (1..=MOST_IN_FLIGHT).contains(&number),
                    "must be from 1 to {MOST_IN_FLIGHT}"
                );
                Pace::InFlight(number)
            }
        };
        Ok(pace)
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pace::InFlight(number) => write!(f, "{number} in flight"),
            Pace::PerSecond(number) => write!(f, "{number} calls/s"),
        }
    }
}

/// What two servers have served, and what their client measured meanwhile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Division {
    /// Calls of each server, from the client's first to its last.
    pub(crate) served: [u64; 2],
    /// What the client measured.
    pub(crate) measurement: Measurement,
}

impl Division {
    /// The part of the calls that the busier server has served: from 0.5 to 1.
    pub(crate) fn busier(&self) -> f64 {
        let [one, other] = self.served;
        one.max(other) as f64 / (one + other) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::second;

    #[test]
    fn paces_are_calls_in_flight_or_per_second() {
        for (text, pace) in [("64", Pace::InFlight(64)), ("2000/s", Pace::PerSecond(2000))] {
            assert_eq!(text.parse::<Pace>().unwrap(), pace);
            assert_eq!(pace.argument(), text);
        }
        for text in ["0", "0/s", "", "/s", "4097", "x/s"] {
            assert!(text.parse::<Pace>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_busier_server_is_either() {
        let busier = |served| Division { served, measurement: second(1000, 1.0) }.busier();
        assert_eq!(busier([30, 10]), 0.75);
        assert_eq!(busier([10, 30]), 0.75);
        assert_eq!(busier([7, 7]), 0.5);
    }
}
