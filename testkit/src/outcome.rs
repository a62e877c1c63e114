//! What became of a line, for whoever makes a table of it.

use std::path::PathBuf;

/// Names the folder in which the outcomes are noted, as `<transport>/<line>`, which holds `passed`,
/// `refused` or `failed`. Without it nothing is written. (It does not begin with `FARCALL_`: servers that inherit it
/// would take it for a setting.)
const RESULTS: &str = "CONTRACT_RESULTS";

/// A line that is being tried.
#[derive(Debug)]
pub(crate) struct Outcome(Option<PathBuf>);

impl Outcome {
    /// The line has failed until it passes: a run that is aborted says nothing more.
    ///
    /// # Panics
    /// It cannot be noted: a table that lacks it would tell less than was asked for.
    pub(crate) fn begin(transport: &str, line: &str) -> Self {
        let file = std::env::var_os(RESULTS).map(|folder| {
            let folder = PathBuf::from(folder).join(transport);
            std::fs::create_dir_all(&folder).expect("the folder of CONTRACT_RESULTS can be made");
            folder.join(line)
        });
        let outcome = Outcome(file);
        outcome.note("failed");
        outcome
    }

    pub(crate) fn passed(self) {
        self.note("passed");
    }

    pub(crate) fn refused(self) {
        self.note("refused");
    }

    fn note(&self, word: &str) {
        if let Some(file) = &self.0 {
            std::fs::write(file, word).expect("the folder of CONTRACT_RESULTS can be written to");
        }
    }
}
