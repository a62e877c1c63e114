//! The matrix in `docs/SEMANTICS.md`: which lines of the contract each transport passes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::redis::redis_server;
use crate::steps::{cargo, root, step};

/// The transports in the order of their columns, and the test that tries each of them.
const SUITES: &[(&str, &[&str])] = &[
    ("memory", &["--package", "farcall-testkit", "--test", "memory"]),
    ("unix", &["--package", "farcall-integration-tests", "--test", "contract_unix"]),
    (
        "unix, tasks in redis",
        &["--package", "farcall-integration-tests", "--test", "contract_unix_redis"],
    ),
    ("redis", &["--package", "farcall-integration-tests", "--test", "contract_redis"]),
];

const BEGIN: &str = "<!-- The matrix: `cargo xtask matrix` writes it. -->\n";
const END: &str = "<!-- The end of the matrix. -->\n";

/// Runs the contract on every transport, and writes the matrix.
pub(crate) fn run_and_write() -> Result<(), String> {
    redis_server()?;
    let results = Results::new()?;
    for (transport, suite) in SUITES {
        let mut test = cargo(&["test"]);
        test.args(*suite);
        results.of(&mut test);
        step(&format!("the contract on {transport}"), test)?;
    }
    let (path, text) = document()?;
    let text = with_table(&text, &table(&results.read()?)?)?;
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// A folder in which a run of the tests notes what became of the lines.
pub(crate) struct Results(TempDir);

impl Results {
    pub(crate) fn new() -> Result<Self, String> {
        let folder = tempfile::tempdir();
        folder.map(Results).map_err(|error| format!("a folder for results: {error}"))
    }

    /// The results of this run are noted here.
    pub(crate) fn of(&self, run: &mut Command) {
        run.env("CONTRACT_RESULTS", self.0.path());
    }

    /// Compares the matrix of the document with what the run has noted.
    pub(crate) fn compare(&self) -> Result<(), String> {
        println!("\n== the matrix of docs/SEMANTICS.md");
        let (_, text) = document()?;
        if with_table(&text, &table(&self.read()?)?)? == text {
            Ok(())
        } else {
            Err("docs/SEMANTICS.md: the matrix is not what the contract's tests have just shown; \
                 `cargo xtask matrix` writes it anew"
                .into())
        }
    }

    fn read(&self) -> Result<Outcomes, String> {
        let failed = |path: &Path, error| format!("{}: {error}", path.display());
        let names = |path: &Path| -> Result<Vec<String>, String> {
            let entries = std::fs::read_dir(path).map_err(|error| failed(path, error))?;
            let entries = entries.map(|entry| {
                Ok(entry.map_err(|error| failed(path, error))?.file_name().to_string_lossy().into())
            });
            entries.collect()
        };
        let mut outcomes = Outcomes::new();
        for transport in names(self.0.path())? {
            let folder = self.0.path().join(&transport);
            let mut lines = BTreeMap::new();
            for line in names(&folder)? {
                let file = folder.join(&line);
                let word = std::fs::read_to_string(&file).map_err(|error| failed(&file, error))?;
                lines.insert(line, Word::parse(&word));
            }
            outcomes.insert(transport, lines);
        }
        Ok(outcomes)
    }
}

/// By transport and by line (the name of its test): what became of it.
type Outcomes = BTreeMap<String, BTreeMap<String, Word>>;

/// What became of a line on a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Passed,
    /// What the line is about is refused there, as it should be.
    Refused,
    Failed,
}

impl Word {
    fn parse(word: &str) -> Self {
        match word {
            "passed" => Word::Passed,
            "refused" => Word::Refused,
            _ => Word::Failed,
        }
    }
}

fn document() -> Result<(PathBuf, String), String> {
    let path = root().join("docs/SEMANTICS.md");
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok((path, text))
}

/// The document with this table.
fn with_table(document: &str, table: &str) -> Result<String, String> {
    let parts = document.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some(format!("{before}{BEGIN}{table}{END}{after}"))
    });
    parts.ok_or_else(|| format!("docs/SEMANTICS.md: the lines `{BEGIN}` and `{END}` are not there"))
}

/// The table of the outcomes, if every transport passes every line that has a test, or refuses it as it should.
fn table(outcomes: &Outcomes) -> Result<String, String> {
    let transports: BTreeSet<&str> = SUITES.iter().map(|(transport, _)| *transport).collect();
    if let Some(unknown) = outcomes.keys().find(|it| !transports.contains(&***it)) {
        return Err(format!(
            "the contract was tried on `{unknown}`, which has no column: add it to \
             xtask/src/matrix.rs"
        ));
    }
    let lines: BTreeSet<&String> = outcomes.values().flat_map(BTreeMap::keys).collect();
    let mut rows = BTreeMap::new();
    let mut wrong = Vec::new();
    for line in lines {
        let (number, promise) = parse(line)
            .ok_or_else(|| format!("`{line}` is no name of a line, such as line_01_a_promise"))?;
        let mut cells = Vec::new();
        for (transport, _) in SUITES {
            match outcomes.get(*transport).and_then(|lines| lines.get(line)) {
                Some(Word::Passed) => cells.push("passes"),
                Some(Word::Refused) => cells.push("refuses"),
                Some(Word::Failed) => wrong.push(format!("{line} failed on {transport}")),
                None => wrong.push(format!("{line} was not tried on {transport}")),
            }
        }
        if rows.insert(number, (promise, cells)).is_some() {
            wrong.push(format!("line {number} has more than one test body"));
        }
    }
    if rows.is_empty() {
        wrong.push("no line of the contract was tried".into());
    }
    if !wrong.is_empty() {
        return Err(format!("the contract does not hold: {}", wrong.join("; ")));
    }
    Ok(render(&rows))
}

/// `line_01_a_call_ends_once`: 1, and `a call ends once`.
fn parse(line: &str) -> Option<(u32, String)> {
    let (number, promise) = line.strip_prefix("line_")?.split_once('_')?;
    Some((number.parse().ok()?, promise.replace('_', " ")))
}

/// Lines up to the last that has a test; those between that have none say so.
fn render(rows: &BTreeMap<u32, (String, Vec<&str>)>) -> String {
    let columns =
        |cells: &[&str]| cells.iter().map(|cell| format!(" {cell} |")).collect::<String>();
    let names: String = SUITES.iter().map(|(transport, _)| format!(" {transport} |")).collect();
    let rule = "---|".repeat(2 + SUITES.len());
    let mut table = format!("| line | promise |{names}\n|{rule}\n");
    for number in 1..=rows.keys().copied().max().unwrap_or(0) {
        table += &match rows.get(&number) {
            Some((promise, cells)) => format!("| {number} | {promise} |{}\n", columns(cells)),
            None => format!("| {number} | *not promised yet* |{}\n", columns(&["–"; SUITES.len()])),
        };
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::Word::{Failed, Passed, Refused};

    fn outcomes(of: &[(&str, &str, Word)]) -> Outcomes {
        let mut outcomes = Outcomes::new();
        for (transport, line, word) in of {
            let lines = outcomes.entry((*transport).to_owned()).or_default();
            lines.insert((*line).to_owned(), *word);
        }
        outcomes
    }

    #[test]
    fn a_line_that_all_transports_pass_or_refuse_has_a_row() {
        let (last, others) = SUITES.split_last().unwrap();
        let mut all: Vec<_> =
            others.iter().map(|(transport, _)| (*transport, "line_02_it_holds", Passed)).collect();
        all.push((last.0, "line_02_it_holds", Refused));
        let cells = |cell: &str| format!(" {cell} |").repeat(others.len());
        let names: String = SUITES.iter().map(|(transport, _)| format!(" {transport} |")).collect();
        assert_eq!(
            table(&outcomes(&all)).unwrap(),
            format!(
                "| line | promise |{names}\n\
                 |---|---|{}---|\n\
                 | 1 | *not promised yet* |{} – |\n\
                 | 2 | it holds |{} refuses |\n",
                "---|".repeat(others.len()),
                cells("–"),
                cells("passes"),
            )
        );
    }

    #[test]
    fn what_failed_or_was_not_tried_is_named() {
        let failed = [("memory", "line_01_a", Passed), ("unix", "line_01_a", Failed)];
        assert!(table(&outcomes(&failed)).unwrap_err().contains("line_01_a failed on unix"));
        let missing = table(&outcomes(&failed[..1])).unwrap_err();
        assert!(missing.contains("line_01_a was not tried on unix"), "{missing}");
        assert!(table(&Outcomes::new()).is_err());
    }

    #[test]
    fn what_has_no_place_in_the_table_is_refused() {
        let unknown = [("pigeons", "line_01_a", Passed)];
        assert!(table(&outcomes(&unknown)).unwrap_err().contains("pigeons"));
        let nameless = [("memory", "something", Passed), ("unix", "something", Passed)];
        assert!(table(&outcomes(&nameless)).unwrap_err().contains("something"));
        let twice = ["line_01_a", "line_01_b"];
        let twice = twice.map(|line| [("memory", line, Passed), ("unix", line, Passed)]);
        assert!(table(&outcomes(twice.as_flattened())).unwrap_err().contains("more than one"));
    }

    #[test]
    fn the_table_takes_the_place_of_the_one_before() {
        let text = format!("before\n{BEGIN}old\n{END}after\n");
        let new = with_table(&text, "new\n").unwrap();
        assert_eq!(new, format!("before\n{BEGIN}new\n{END}after\n"));
        assert_eq!(with_table(&new, "new\n").unwrap(), new);
        assert!(with_table("no markers", "new\n").is_err());
    }
}
