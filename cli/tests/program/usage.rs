//! Help, mistakes in usage, and where output goes.

use std::fs::File;

use crate::program::{Program, has};

#[test]
fn mistakes_in_usage_are_status_two() {
    for line in [
        &[][..],
        &["cal"],
        &["call", "calc"],
        &["call", "--timeout", "2", "calc", "add"],
        &["call", "--count", "0", "calc", "add"],
        &["list", "--all"],
    ] {
        Program::new("").run(line).failure(2);
    }
}

#[test]
fn help_has_examples_and_the_exit_status() {
    for line in [&["--help"][..], &["check", "--help"], &["list", "--help"], &["call", "--help"]] {
        let answer = Program::new("").run(line).answer();
        has(&answer, "Examples:\n");
        has(&answer, "Exit status:\n");
    }
    has(&Program::new("").run(&["--version"]).answer(), "farcall ");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    Program::new("").run_into(&["check"], writer).answer();
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_cannot_be_written_is_a_failure() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let notes = Program::new("").run_into(&["check"], full).failure(74);
    has(&notes, "cannot write to standard output");
}
