//! What `cargo xtask test` does, in its order: quick complaints first.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::examples;
use crate::matrix::Results;
use crate::redis::redis_server;

/// Everything that must hold before a change lands.
pub(crate) fn test() -> Result<(), String> {
    let began = Instant::now();
    tools()?;
    redis_server()?;
    step("formatting", cargo(&["fmt", "--all", "--check"]))?;
    step("formatting of the benchmarks", benchmarks(&["fmt", "--all", "--check"]))?;
    step("clippy", cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    step(
        "without default features",
        cargo(&["check", "--package", "farcall", "--no-default-features"]),
    )?;
    let results = Results::new()?;
    let mut tests = cargo(&["test", "--workspace", "--all-targets"]);
    results.of(&mut tests);
    step("tests", tests)?;
    results.compare()?;
    step("tests in the documentation", cargo(&["test", "--workspace", "--doc"]))?;
    examples::run()?;
    let mut docs = cargo(&["doc", "--workspace", "--no-deps"]);
    docs.env("RUSTDOCFLAGS", "-D warnings");
    step("documentation", docs)?;
    step(
        "clippy of the benchmarks",
        benchmarks(&["clippy", "--all-targets", "--", "-D", "warnings"]),
    )?;
    println!("\nall of it holds ({} s)", began.elapsed().as_secs());
    Ok(())
}

/// The parts of the toolchain that the steps use.
fn tools() -> Result<(), String> {
    for (component, probe) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        let found = cargo(&[probe, "--version"]).output();
        if found.is_ok_and(|output| output.status.success()) {
            println!("found {component}");
        } else {
            let mut install = Command::new("rustup");
            install.args(["component", "add", component]);
            step(&format!("installing {component}"), install)?;
        }
    }
    Ok(())
}

/// Runs one step, and says which.
pub(crate) fn step(what: &str, mut command: Command) -> Result<(), String> {
    println!("\n== {what}: {}", shown(&command));
    let status = command.status().map_err(|error| format!("{what}: cannot start it: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{what}: failed ({status})")) }
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The cargo that runs this.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

fn benchmarks(arguments: &[&str]) -> Command {
    let mut command = cargo(arguments);
    command.current_dir(root().join("benchmarks"));
    command
}

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this package has a folder of its own")
}
