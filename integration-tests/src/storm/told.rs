//! What clients were told: one line for each, written before anything else is done with it.

use std::io;
use std::path::Path;

use farcall::{MethodError, Reason};

use super::effects::append;

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A task is recorded.
    Accepted {
        /// Its token.
        task: String,
        /// Its method.
        method: String,
        /// The key it was started with.
        key: Option<String>,
    },
    /// A task has this outcome.
    Outcome(String, Word),
    /// A task may be recorded or not.
    Doubt,
    /// A task is not recorded.
    Refused,
}

/// A task's outcome, as far as it is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// What this attempt gave.
    Done(u64),
    /// The method's own error.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// Its time was over.
    Expired,
    /// It is dead.
    Dead,
    /// Its ledger knows nothing of it: not an outcome.
    Forgotten,
}

impl Word {
    /// What a wait has brought. `None` if it has not brought the outcome.
    pub(super) fn of(outcome: Result<u64, MethodError<String>>) -> Option<Self> {
        match outcome {
            Ok(attempt) => Some(Word::Done(attempt)),
            Err(MethodError::Returned(_)) => Some(Word::Failed),
            Err(MethodError::Call(error)) => match error.reason() {
                Reason::TaskCancelled => Some(Word::Cancelled),
                Reason::TaskExpired => Some(Word::Expired),
                Reason::TaskDead => Some(Word::Dead),
                Reason::Forgotten => Some(Word::Forgotten),
                _ => None,
            },
        }
    }

    /// The same as the state of a record says it.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self {
            Word::Done(_) => "done",
            Word::Failed => "failed",
            Word::Cancelled => "cancelled",
            Word::Expired => "expired",
            Word::Dead => "dead",
            Word::Forgotten => "forgotten",
        }
    }
}

impl Told {
    /// Adds it to the others.
    pub(super) fn append(&self, path: &Path) -> io::Result<()> {
        append(path, &self.line())
    }

    fn line(&self) -> String {
        match self {
            Told::Accepted { task, method, key } => {
                format!("accepted {task} {method} {}", key.as_deref().unwrap_or("-"))
            }
            Told::Outcome(task, Word::Done(attempt)) => format!("outcome {task} done {attempt}"),
            Told::Outcome(task, word) => format!("outcome {task} {}", word.state()),
            Told::Doubt => "doubt".to_owned(),
            Told::Refused => "refused".to_owned(),
        }
    }

    /// All of a file.
    pub(super) fn read(path: &Path) -> io::Result<Vec<Self>> {
        let parse = |line: &str| {
            let none = || io::Error::other(format!("`{line}` is nothing that a client is told"));
            Told::parse(line).ok_or_else(none)
        };
        std::fs::read_to_string(path)?.lines().map(parse).collect()
    }

    fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        Some(match words[..] {
            ["accepted", task, method, key] => Told::Accepted {
                task: task.to_owned(),
                method: method.to_owned(),
                key: (key != "-").then(|| key.to_owned()),
            },
            ["outcome", task, "done", attempt] => {
                Told::Outcome(task.to_owned(), Word::Done(attempt.parse().ok()?))
            }
            ["outcome", task, word] => {
                let words = [Word::Failed, Word::Cancelled, Word::Expired, Word::Dead];
                let mut words = words.into_iter().chain([Word::Forgotten]);
                Told::Outcome(task.to_owned(), words.find(|it| it.state() == word)?)
            }
            ["doubt"] => Told::Doubt,
            ["refused"] => Told::Refused,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_comes_back() {
        let accepted = |key: Option<&str>| Told::Accepted {
            task: "t/1".into(),
            method: "work".into(),
            key: key.map(str::to_owned),
        };
        let outcome = |word| Told::Outcome("t/1".into(), word);
        for told in [
            accepted(None),
            accepted(Some("k")),
            outcome(Word::Done(3)),
            outcome(Word::Dead),
            outcome(Word::Forgotten),
            Told::Doubt,
            Told::Refused,
        ] {
            assert_eq!(Told::parse(&told.line()), Some(told));
        }
        assert_eq!(Told::parse("rain"), None);
    }
}
