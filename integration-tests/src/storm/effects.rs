//! What servers did: one line for each, of all processes in one file, in the order in which it happened.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// A handler has begun.
    Begun,
    /// It has done its work, and is about to say so.
    Done,
    /// It is about to ask for another attempt.
    Failed,
    /// It was dropped before its end.
    Stopped,
    /// It is about to kill its server.
    Poisoned,
    /// The process is about to die, or has ended.
    Died,
}

/// One deed of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// What.
    pub deed: Deed,
    /// Which process.
    pub process: u32,
    /// Of which task, if of one.
    pub task: String,
    /// Its attempt.
    pub attempt: u64,
}

const WORDS: [(Deed, &str); 6] = [
    (Deed::Begun, "begun"),
    (Deed::Done, "done"),
    (Deed::Failed, "failed"),
    (Deed::Stopped, "stopped"),
    (Deed::Poisoned, "poisoned"),
    (Deed::Died, "died"),
];

impl Effect {
    /// The death of a process.
    #[must_use]
    pub fn death(process: u32) -> Self {
        Effect { deed: Deed::Died, process, task: "-".to_owned(), attempt: 0 }
    }

    /// Adds it to the others, by one write, so that lines of several processes do not mix.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append(&self, path: &Path) -> io::Result<()> {
        append(path, &self.line())
    }

    fn line(&self) -> String {
        let word = WORDS.iter().find(|(deed, _)| *deed == self.deed).map_or("", |(_, word)| word);
        format!("{word} {} {} {}", self.process, self.task, self.attempt)
    }

    /// All of a file.
    ///
    /// # Errors
    /// It cannot be read, or holds something else.
    pub fn read(path: &Path) -> io::Result<Vec<Self>> {
        let parse = |line: &str| {
            Effect::parse(line).ok_or_else(|| io::Error::other(format!("`{line}` is no effect")))
        };
        std::fs::read_to_string(path)?.lines().map(parse).collect()
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (word, process, task) = (words.next()?, words.next()?, words.next()?);
        Some(Effect {
            deed: WORDS.iter().find(|(_, it)| *it == word)?.0,
            process: process.parse().ok()?,
            task: task.to_owned(),
            attempt: words.next()?.parse().ok()?,
        })
    }
}

/// Adds a line to a file of several processes.
pub(super) fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(format!("{line}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_come_back_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("effects");
        let all =
            WORDS.map(|(deed, _)| Effect { deed, process: 7, task: "t/1".into(), attempt: 2 });
        all.iter().for_each(|effect| effect.append(&path).unwrap());
        assert_eq!(Effect::read(&path).unwrap(), all);
        append(&path, "rain").unwrap();
        assert!(Effect::read(&path).is_err());
    }
}
