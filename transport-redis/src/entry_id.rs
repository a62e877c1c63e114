//! The id of an entry of a stream.

use std::fmt;
use std::str::FromStr;

/// `<milliseconds of the broker's clock>-<number>`: entries grow in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct EntryId {
    pub(crate) ms: u64,
    pub(crate) number: u64,
}

impl EntryId {
    /// Before all entries.
    pub(crate) const ZERO: EntryId = EntryId { ms: 0, number: 0 };

    /// The one that would be next, had there been any since.
    pub(crate) fn next(self) -> EntryId {
        EntryId { number: self.number.saturating_add(1), ..self }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.number)
    }
}

/// It is no id of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no id of an entry")]
pub(crate) struct NoEntryId;

impl FromStr for EntryId {
    type Err = NoEntryId;

    fn from_str(text: &str) -> Result<Self, NoEntryId> {
        let (ms, number) = text.split_once('-').ok_or(NoEntryId)?;
        let parse = |part: &str| part.parse().map_err(|_| NoEntryId);
        Ok(EntryId { ms: parse(ms)?, number: parse(number)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written_and_grow() {
        let id: EntryId = "1700000000000-12".parse().unwrap();
        assert_eq!(id.to_string(), "1700000000000-12");
        assert!(id > "1700000000000-2".parse().unwrap() && id > EntryId::ZERO);
        assert_eq!(id.next().to_string(), "1700000000000-13");
        assert_eq!("12".parse::<EntryId>(), Err(NoEntryId));
        assert_eq!("a-b".parse::<EntryId>(), Err(NoEntryId));
    }
}
