//! Where the program writes: answers to one side, everything else to the other.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Write};

use crate::exit::{Exit, Status};

/// Standard output and standard error, or what stands in for them in a test.
pub(crate) struct Terminal<'a> {
    answers: &'a mut dyn Write,
    notes: &'a mut dyn Write,
}

impl<'a> Terminal<'a> {
    /// Writes answers to the first, everything else to the second.
    pub(crate) fn new(answers: &'a mut dyn Write, notes: &'a mut dyn Write) -> Self {
        Terminal { answers, notes }
    }

    /// Writes lines of an answer.
    ///
    /// # Errors
    /// Nobody reads on, or they cannot be written.
    pub(crate) fn answer(&mut self, lines: impl Display) -> io::Result<()> {
        writeln!(self.answers, "{lines}")?;
        // At the end of the program nobody would hear of a failure.
        self.answers.flush()
    }

    /// Writes an answer that is bytes, as they are.
    ///
    /// # Errors
    /// As [`answer`](Terminal::answer).
    pub(crate) fn answer_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.answers.write_all(bytes)?;
        self.answers.flush()
    }

    /// Writes anything that is not the answer.
    pub(crate) fn note(&mut self, lines: impl Display) {
        // Where people's side is closed there is nobody to tell.
        let _ = writeln!(self.notes, "{}", printable(&lines.to_string()));
    }

    /// Says why a command ends early, and gives its status.
    pub(crate) fn end(&mut self, exit: &Exit) -> Status {
        if !exit.message.is_empty() {
            self.note(format_args!("error: {}", exit.message));
        }
        exit.status
    }
}

/// The text without characters that command terminals; what peers say is shown to people.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let commands = |letter: char| letter.is_control() && letter != '\n' && letter != '\t';
    if !text.contains(commands) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if commands(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_commands_a_terminal_is_escaped() {
        assert_eq!(printable("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\nc");
        assert!(matches!(printable("été\t1"), Cow::Borrowed(_)));
    }

    #[test]
    fn an_end_without_words_says_nothing() {
        let (mut answers, mut notes) = (Vec::new(), Vec::new());
        let mut terminal = Terminal::new(&mut answers, &mut notes);
        terminal.end(&Exit::new(Status::Done, ""));
        terminal.end(&Exit::new(Status::Usage, "no"));
        assert_eq!(notes, b"error: no\n");
    }
}
