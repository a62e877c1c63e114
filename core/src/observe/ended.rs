//! How a call ended, as spans, metrics and interceptors are told.

use crate::wire::{Reason, ReasonClass};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// With a value. At the client, a one-way call that was handed over.
    Ok,
    /// Without one.
    Failed(Reason),
    /// Nobody wanted its outcome any more: at the client the call was dropped; at the server it was
    /// cancelled, or its client is gone.
    Cancelled,
}

impl Ended {
    /// How many there are.
    pub(crate) const COUNT: usize = Reason::ALL.len() + 2;

    /// The word for logs and metrics: `ok`, `cancelled`, or the reason's.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Ended::Ok => "ok",
            Ended::Failed(reason) => reason.as_str(),
            Ended::Cancelled => "cancelled",
        }
    }

    /// Its place among all of them.
    pub(crate) fn index(self) -> usize {
        match self {
            Ended::Ok => 0,
            Ended::Cancelled => 1,
            Ended::Failed(reason) => reason as usize + 2,
        }
    }

    /// Whether it is a fault of the server's, and not the caller's or one that a method speaks of.
    pub(crate) fn is_servers_fault(self) -> bool {
        let Ended::Failed(reason) = self else { return false };
        matches!(reason.class(), ReasonClass::Failed | ReasonClass::OutcomeUnknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_place_and_a_word_of_its_own() {
        let failed = Reason::ALL.iter().map(|reason| Ended::Failed(*reason));
        let all: Vec<Ended> = [Ended::Ok, Ended::Cancelled].into_iter().chain(failed).collect();
        let places: Vec<usize> = all.iter().map(|ended| ended.index()).collect();
        assert_eq!(places, (0..Ended::COUNT).collect::<Vec<_>>());
        let words: std::collections::HashSet<_> = all.iter().map(|it| it.as_str()).collect();
        assert_eq!(words.len(), Ended::COUNT);
    }
}
