//! Short runs of every peer, through the program as it is used.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use tempfile::TempDir;

/// A folder with notes, where runs write their results.
struct Results {
    folder: TempDir,
}

impl Results {
    fn new() -> Self {
        let results = Results { folder: tempfile::tempdir().unwrap() };
        fs::write(results.folder.path().join("NOTES.md"), "## Notes\n\nBy hand.\n").unwrap();
        results
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("RESULTS.md")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    fn run(&self, arguments: &[&str]) -> ExitStatus {
        Command::new(env!("CARGO_BIN_EXE_farcall-benchmarks"))
            .args(arguments)
            .args(["--rounds", "1", "--seconds", "0.05", "--out"])
            .arg(self.path())
            .status()
            .unwrap()
    }
}

#[test]
fn every_peer_answers_and_the_notes_survive() {
    let results = Results::new();
    fs::write(results.path(), "what an earlier run wrote").unwrap();

    // 64 payloads of 64 KiB are more than the sockets hold: whoever writes all before reading would
    // hang.
    let shapes = ["--sizes", "32,65536", "--in-flight", "1,64"];
    let streams = ["--item-sizes", "64,65536", "--streams", "1,16"];
    let status = results.run(&[&["run"], &shapes[..], &streams].concat());

    let report = results.text();
    assert!(status.success(), "{report}");
    assert!(!report.contains("earlier run"));
    // Goals have a range each, and those of other loads are not measured here.
    for section in report.split("\n### ").filter(|section| !section.starts_with("Goals")) {
        assert!(!section.contains('–'), "a figure is missing:\n{section}");
    }
    assert!(report.ends_with("## Notes\n\nBy hand.\n"));
}

/// Needs `redis-server`, `nats-server` and `python3` with a package index in reach.
#[test]
fn every_peer_answers_through_its_broker_and_shares_calls() {
    let results = Results::new();
    results.run(&[
        "run",
        "--only",
        "raw-mux",
        "--work",
        "calls",
        "--sizes",
        "32",
        "--in-flight",
        "1",
    ]);

    let shapes = ["--sizes", "32,65536", "--in-flight", "1,64", "--divide", "1,64,500/s"];
    let status = results.run(&[&["redis"], &shapes[..]].concat());

    let report = results.text();
    assert!(status.success(), "{report}");
    assert!(report.contains("| `raw-mux` |"), "the other section is gone:\n{report}");
    // NATS counts no commands.
    for line in report.lines().filter(|line| line.starts_with("| `") && line.contains('–')) {
        assert!(line.starts_with("| `nats`") && line.matches('–').count() == 1, "{line}");
    }
    assert!(report.ends_with("## Notes\n\nBy hand.\n"));
}
