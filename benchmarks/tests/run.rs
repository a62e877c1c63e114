//! A short run of every peer, through the program as it is used.

use std::fs;
use std::process::Command;

#[test]
fn every_peer_answers_and_the_notes_survive() {
    let directory = tempfile::tempdir().unwrap();
    let results = directory.path().join("RESULTS.md");
    fs::write(directory.path().join("NOTES.md"), "## Notes\n\nBy hand.\n").unwrap();
    fs::write(&results, "what an earlier run wrote").unwrap();

    // 64 payloads of 64 KiB are more than the sockets hold: whoever writes all before reading would
    // hang.
    let status = Command::new(env!("CARGO_BIN_EXE_farcall-benchmarks"))
        .args([
            "run",
            "--rounds",
            "1",
            "--seconds",
            "0.05",
            "--sizes",
            "32,65536",
            "--in-flight",
            "1,64",
            "--item-sizes",
            "64,65536",
            "--streams",
            "1,16",
        ])
        .arg("--out")
        .arg(&results)
        .status()
        .unwrap();

    let report = fs::read_to_string(&results).unwrap();
    assert!(status.success(), "{report}");
    assert!(!report.contains("earlier run"));
    // Goals have a range each, and those of other loads are not measured here.
    for section in report.split("\n## ").filter(|section| !section.starts_with("Goals")) {
        assert!(!section.contains('–'), "a figure is missing:\n{section}");
    }
    assert!(report.ends_with("## Notes\n\nBy hand.\n"));
}
