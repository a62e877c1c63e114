//! What came of a storm.

use std::collections::BTreeSet;
use std::fmt;

use super::{Deed, History, Told, Violation};

/// What came of a storm, or of several.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Everything that must not be.
    pub violations: Vec<Violation>,
    counts: Vec<(&'static str, u64)>,
}

/// What was done to processes.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) killed: u64,
    /// Servers that died by themselves, of poison or at a point.
    pub(super) ended: u64,
    pub(super) poisoned: u64,
    pub(super) stopped: u64,
    pub(super) paused: u64,
    pub(super) clients: u64,
    pub(super) killed_clients: u64,
}

/// More than that is repetition.
const SHOWN: usize = 12;

impl Report {
    pub(super) fn new(tally: &Tally, history: &History, violations: Vec<Violation>) -> Self {
        let told = |is: fn(&&Told) -> bool| history.told.iter().filter(is).count() as u64;
        let accepted = history.told.iter().filter_map(|told| match told {
            Told::Accepted { task, key, .. } => Some((task, key)),
            _ => None,
        });
        let (tasks, keys): (BTreeSet<_>, Vec<_>) = (
            accepted.clone().map(|(task, _)| task).collect(),
            accepted.filter_map(|it| it.1.as_ref()).collect(),
        );
        let different: BTreeSet<_> = keys.iter().collect();
        let deeds = |deed| history.effects.iter().filter(|it| it.deed == deed).count() as u64;
        let states = |state| history.records.iter().filter(|it| it.state == state).count() as u64;
        let sum = |of: fn(&super::Record) -> u32| {
            history.records.iter().map(|it| u64::from(of(it))).sum::<u64>()
        };
        let counts = vec![
            ("tasks accepted", tasks.len() as u64),
            ("tasks recorded", history.records.len() as u64),
            ("servers killed", tally.killed),
            ("died at points", tally.ended.saturating_sub(tally.poisoned)),
            ("poisoned", tally.poisoned),
            ("told to stop", tally.stopped),
            ("paused", tally.paused),
            ("clients killed", tally.killed_clients),
            ("executions", deeds(Deed::Begun)),
            ("crashes", sum(|it| it.crashes)),
            ("failures", sum(|it| it.failures)),
            ("interruptions", sum(|it| it.interruptions)),
            ("done", states("done")),
            ("failed", states("failed")),
            ("cancelled", states("cancelled")),
            ("expired", states("expired")),
            ("dead", states("dead")),
            ("keys repeated", (keys.len() - different.len()) as u64),
            ("starts in doubt", told(|it| matches!(it, Told::Doubt))),
            ("starts refused", told(|it| matches!(it, Told::Refused))),
            ("outcomes told", told(|it| matches!(it, Told::Outcome(..)))),
        ];
        Report { violations, counts }
    }

    /// The same of two storms together.
    #[must_use]
    pub fn and(mut self, other: Report) -> Self {
        self.violations.extend(other.violations);
        if self.counts.is_empty() {
            self.counts = other.counts;
        } else {
            for ((_, count), (_, more)) in self.counts.iter_mut().zip(other.counts) {
                *count += more;
            }
        }
        self
    }

    /// How many there were of something, by the words in which it is shown.
    #[must_use]
    pub fn count(&self, of: &str) -> u64 {
        self.counts.iter().find(|(name, _)| *name == of).map_or(0, |(_, count)| *count)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts: Vec<String> =
            self.counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        write!(f, "{}", counts.join(", "))?;
        for violation in self.violations.iter().take(SHOWN) {
            write!(f, "\n  {violation}")?;
        }
        match self.violations.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}
