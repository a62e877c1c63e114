//! The chores of this repository.
//!
//!     cargo xtask test      everything that must hold before a change lands
//!     cargo xtask examples  runs the examples alone
//!     cargo xtask matrix    runs the contract and writes its outcomes into docs/SEMANTICS.md
//!     cargo xtask storm     kills servers of recoverable calls, and looks whether anything is lost
//!
//! It needs nothing but cargo: what else the steps use is found or installed first, and named;
//! where it cannot be, what to install is said.

mod broker;
mod examples;
mod matrix;
mod redis;
mod steps;
mod storm;

use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask COMMAND

  test      finds or installs what the tests need, then runs formatting, clippy, all tests,
            doc tests, every example on unix and on redis, and the documentation, each with
            warnings denied; the outcomes of the contract are compared with the matrix in
            docs/SEMANTICS.md
  examples  runs the examples alone, on unix and on redis
  matrix    runs the contract on every transport and writes that matrix
  storm     [--kills 1000] [--seed N] [--transport unix] [--store file]
            kills servers of recoverable calls so often, and looks whether anything is lost
  storm     --break RULE|all
            breaks rules of the ledger, in a build of its own, and looks who notices
  help      this
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["test"] => steps::test(),
        ["examples"] => redis::redis_server().and_then(|()| examples::run()),
        ["matrix"] => matrix::run_and_write(),
        ["storm", ..] => storm::run(&words[1..]),
        ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nxtask: {failure}");
            ExitCode::FAILURE
        }
    }
}
