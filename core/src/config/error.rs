//! Mistakes in a configuration.

use std::fmt;

use thiserror::Error;

use super::Origin;

/// A configuration that cannot be used: every mistake in it, in the order they were met.
///
/// It prints all of them, each with the file or variable, the key, what was found, what is accepted
/// and, where one can be guessed, what was meant:
///
/// ```text
/// 2 mistakes in the configuration
/// farcall.toml: server.concurrency: not accepted
///   found     2.7 (float)
///   accepted  an integer from 1 to 65536, such as concurrency = 256
///   help      an integer is never rounded
/// FARCALL_CLIENT__TIMOUT: client.timout: unknown setting
///   help      did you mean FARCALL_CLIENT__TIMEOUT?
/// ```
///
/// Secrets are hidden, here and in the `Debug` form.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", render(.mistakes))]
pub struct ConfigError {
    mistakes: Vec<Mistake>,
}

impl ConfigError {
    /// Fails if there is a mistake.
    pub(super) fn check(mistakes: Vec<Mistake>) -> Result<(), ConfigError> {
        if mistakes.is_empty() { Ok(()) } else { Err(ConfigError { mistakes }) }
    }

    /// The mistakes; there is at least one.
    pub fn mistakes(&self) -> &[Mistake] {
        &self.mistakes
    }
}

impl From<Mistake> for ConfigError {
    fn from(mistake: Mistake) -> ConfigError {
        ConfigError { mistakes: vec![mistake] }
    }
}

fn render(mistakes: &[Mistake]) -> String {
    let mut text = match mistakes.len() {
        1 => "1 mistake in the configuration".to_owned(),
        n => format!("{n} mistakes in the configuration"),
    };
    for mistake in mistakes {
        text.push('\n');
        text.push_str(&mistake.to_string());
    }
    text
}

/// One mistake of a [`ConfigError`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mistake {
    /// The file or variable it is in; [`Origin::Default`] if it is that something is not set.
    pub origin: Origin,
    /// The place in the file, where it is known: that of a mistake in the TOML itself.
    pub position: Option<Position>,
    /// The whole key, table first: `server.concurrency`.
    pub key: Option<String>,
    /// What is wrong, in a few words: `unknown setting`.
    pub problem: String,
    /// The value that was found, and its type.
    pub found: Option<String>,
    /// What would have been accepted: type, range or list, and an example.
    pub accepted: Option<String>,
    /// What was probably meant, or how to write it.
    pub help: Option<String>,
}

/// A place in the text of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl Mistake {
    pub(super) fn new(origin: Origin, problem: impl Into<String>) -> Mistake {
        Mistake {
            origin,
            position: None,
            key: None,
            problem: problem.into(),
            found: None,
            accepted: None,
            help: None,
        }
    }

    pub(super) fn at(mut self, position: Option<Position>) -> Mistake {
        self.position = position;
        self
    }

    pub(super) fn key(mut self, key: impl Into<String>) -> Mistake {
        self.key = Some(key.into());
        self
    }

    pub(super) fn found(mut self, found: impl Into<String>) -> Mistake {
        self.found = Some(found.into());
        self
    }

    pub(super) fn accepted(mut self, accepted: impl Into<String>) -> Mistake {
        self.accepted = Some(accepted.into());
        self
    }

    pub(super) fn help(mut self, help: Option<String>) -> Mistake {
        self.help = help;
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.origin != Origin::Default {
            write!(f, "{}", self.origin)?;
            if let Some(Position { line, column }) = self.position {
                write!(f, ":{line}:{column}")?;
            }
            f.write_str(": ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.problem)?;
        for (label, text) in
            [("found", &self.found), ("accepted", &self.accepted), ("help", &self.help)]
        {
            if let Some(text) = text {
                write!(f, "\n  {label:8}  {text}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake() -> Mistake {
        Mistake::new(Origin::File("farcall.toml".into()), "not accepted").key("server.drain")
    }

    #[test]
    fn no_mistakes_are_no_error() {
        assert_eq!(ConfigError::check(Vec::new()), Ok(()));
    }

    #[test]
    fn a_mistake_prints_where_what_and_how() {
        let mistake = mistake()
            .found("10 (integer)")
            .accepted("a duration")
            .help(Some("write 10s".to_owned()));
        assert_eq!(
            mistake.to_string(),
            "farcall.toml: server.drain: not accepted\n  \
             found     10 (integer)\n  \
             accepted  a duration\n  \
             help      write 10s"
        );
    }

    #[test]
    fn a_position_follows_the_file_as_in_a_compiler() {
        let place = Position { line: 3, column: 14 };
        let text = mistake().at(Some(place)).to_string();
        assert!(text.starts_with("farcall.toml:3:14: "), "{text}");
    }

    #[test]
    fn two_mistakes_are_counted_and_printed_both() {
        let error = ConfigError::check(vec![mistake(), mistake().key("server.id")]).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("2 mistakes in the configuration\nfarcall.toml: server.drain"));
        assert!(text.contains("\nfarcall.toml: server.id"));
    }
}
