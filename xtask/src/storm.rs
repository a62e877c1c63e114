//! `cargo xtask storm`: the long storm, and whether broken rules are noticed.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Instant;

use crate::steps::{cargo, root, step};

/// Every rule that a build with `--cfg farcall_break` can break.
const RULES: [&str; 18] = [
    "no fencing",
    "outcome overwritten",
    "token not raised",
    "epoch not raised",
    "expired task run",
    "lane of one ignored",
    "crash not counted",
    "failure not counted",
    "sweep forgets unfinished ones",
    "key with other arguments",
    "key given without the lock",
    "stale claims kept",
    "accepted before it is recorded",
    "told before the commit",
    "acknowledged before the outcome",
    "commit without a sync",
    "crashed tasks not resumed",
    "recovery of a live twin",
];

const PACKAGE: &str = "farcall-integration-tests";

/// Longer, in seconds, than the ledger's tests ever take.
const PATIENCE: &str = "60";

/// What `timeout` says when it was too long.
const TIMED_OUT: i32 = 124;

/// How many kills a broken rule has to survive.
const KILLS: &str = "100";

/// Plays a storm with these words, or breaks rules.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    match words {
        ["--break", "all"] => break_rules(&RULES),
        ["--break", rule] if RULES.contains(rule) => break_rules(&[rule]),
        ["--break", ..] => {
            Err(format!("--break needs `all`, or one of these:\n  {}", RULES.join("\n  ")))
        }
        _ => {
            step("the programs of a storm", cargo(&["build", "--package", PACKAGE, "--bins"]))?;
            let mut storm =
                cargo(&["run", "--quiet", "--package", PACKAGE, "--bin", "storm", "--"]);
            storm.args(words);
            step("a storm", storm)
        }
    }
}

/// Breaks one rule after the other, and asks the ledger's own tests, then a storm.
fn break_rules(rules: &[&str]) -> Result<(), String> {
    let tests = ["test", "--package", "farcall-core", "--lib"];
    step("tests that can be broken", broken("", &[&tests[..], &["--no-run"]].concat()))?;
    let programs = ["build", "--package", PACKAGE, "--bins"];
    step("the programs of a storm that can be broken", broken("", &programs))?;
    let mut unnoticed = Vec::new();
    for rule in rules {
        let began = Instant::now();
        let by =
            tests_notice(rule, &tests)?.map_or_else(|| storm_notices(rule), |by| Ok(Some(by)))?;
        let seconds = began.elapsed().as_secs();
        println!("{rule} ({seconds} s): {}", by.as_deref().unwrap_or("NOBODY NOTICES"));
        if by.is_none() {
            unnoticed.push(*rule);
        }
    }
    match unnoticed.len() {
        0 => Ok(()),
        _ => Err(format!("nobody notices that these rules are broken: {}", unnoticed.join(", "))),
    }
}

fn tests_notice(rule: &str, tests: &[&str]) -> Result<Option<String>, String> {
    // A test that waits for what never happens has noticed too. `timeout` ends the tests, and not cargo alone.
    let run = broken(rule, &[tests, &["--", "ledger"]].concat());
    let mut command = Command::new("timeout");
    command.arg(PATIENCE).arg(run.get_program()).args(run.get_args()).current_dir(root());
    command.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = output(command)?;
    if output.status.code() == Some(TIMED_OUT) {
        return Ok(Some("tests, which wait for what never happens".to_owned()));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let failed = |line: &str| {
        let name = line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?;
        Some(name.rsplit("::").next().unwrap_or(name).to_owned())
    };
    let failed: Vec<String> = said.lines().filter_map(failed).collect();
    let first = failed.first();
    Ok(first.map(|first| format!("{} tests, such as {first}", failed.len())))
}

fn storm_notices(rule: &str) -> Result<Option<String>, String> {
    let storm = folder().join("debug/storm");
    let mut command = Command::new(&storm);
    command.args(["--kills", KILLS, "--seed", "1"]).env(VARIABLE, rule);
    let output = output(command)?;
    let said = String::from_utf8_lossy(&output.stdout);
    match output.status.code() {
        Some(0) => Ok(None),
        Some(1) => {
            let found = said.lines().find_map(|line| line.strip_prefix("  "));
            let found: String = found.unwrap_or("something").chars().take(150).collect();
            Ok(Some(format!("the storm: {found}")))
        }
        _ => Err(format!("{}: {}", storm.display(), String::from_utf8_lossy(&output.stderr))),
    }
}

/// Names the rule that is broken.
const VARIABLE: &str = "STORM_BREAK";

/// Builds that can be broken lie apart, so that nobody takes them for others.
fn folder() -> PathBuf {
    root().join("target/broken")
}

fn broken(rule: &str, arguments: &[&str]) -> Command {
    let mut command = cargo(arguments);
    command
        .env("RUSTFLAGS", "--cfg farcall_break")
        .env("CARGO_TARGET_DIR", folder())
        .env(VARIABLE, rule);
    command
}

fn output(mut command: Command) -> Result<Output, String> {
    command.output().map_err(|error| format!("cannot start {command:?}: {error}"))
}
