//! Runs every example, as a reader of the README would, and once more with another transport.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sha2::{Digest, Sha256};

use crate::broker::Broker;
use crate::steps::{cargo, root, step};

/// Examples that end by themselves.
const ALONE: &[&str] =
    &["quickstart", "streams", "call_back", "rolling_restart", "observability", "interceptors"];

/// Examples that end by themselves, and need a ledger, which transport `redis` has not.
const WITH_LEDGER: &[&str] = &["recover"];

/// Examples that are run together: a server, and a client of it.
const PAIRS: &[(&str, &str)] = &[("calc_server", "calc_client")];

/// What carries the calls.
enum Round<'a> {
    /// Built and started by cargo, with sockets in this folder.
    Unix(&'a Path),
    /// The same programs as they lie there.
    Redis(&'a Broker),
}

/// Runs them all by sockets in a folder that goes with them, and then by a Redis server that does.
pub(crate) fn run() -> Result<(), String> {
    complete()?;
    step("building the examples", cargo(&["build", "--examples"]))?;
    let sockets = tempfile::tempdir().map_err(|error| format!("a folder for sockets: {error}"))?;
    let broker = Broker::start()?;
    let rounds = [Round::Unix(sockets.path()), Round::Redis(&broker)];
    for example in WITH_LEDGER {
        let unix = &rounds[0];
        step(&format!("example {example} on {}", unix.name()), unix.command(example)?)?;
    }
    for round in &rounds {
        for example in ALONE {
            step(&format!("example {example} on {}", round.name()), round.command(example)?)?;
        }
        for (server, client) in PAIRS {
            let mut server = Server::start(server, round)?;
            step(&format!("example {client} on {}", round.name()), round.command(client)?)?;
            server.stop()?;
        }
    }
    one_program(&rounds)
}

/// Shows that a variable alone decides what carries the calls: a program, to the byte, on each transport.
fn one_program(rounds: &[Round<'_>]) -> Result<(), String> {
    let path = program("quickstart")?;
    println!("\n== one program on every transport: {}", path.display());
    let before = sha256(&path)?;
    println!("sha256 {before}");
    for round in rounds {
        let mut command = Command::new(&path);
        round.configure(&mut command);
        let output = command.output().map_err(|error| format!("quickstart: {error}"))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let travel = format!("calls travel over `{}`", round.name());
        if !output.status.success() || !said.contains(&travel) {
            let wrong = String::from_utf8_lossy(&output.stderr);
            return Err(format!("quickstart on {}: {said}{wrong}", round.name()));
        }
        println!("FARCALL_TRANSPORT={}: {travel}", round.name());
    }
    if sha256(&path)? == before { Ok(()) } else { Err("quickstart was built again".to_owned()) }
}

fn sha256(path: &Path) -> Result<String, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Where cargo has put an example: beside this program, with which it shares the folder of builds.
fn program(example: &str) -> Result<PathBuf, String> {
    let this = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let path = this.with_file_name("examples").join(example);
    if path.exists() { Ok(path) } else { Err(format!("{} was not built", path.display())) }
}

/// Every file in `examples/` is in one of the lists.
fn complete() -> Result<(), String> {
    let pairs = PAIRS.iter().flat_map(|(server, client)| [*server, *client]);
    let known: Vec<&str> = ALONE.iter().chain(WITH_LEDGER).copied().chain(pairs).collect();
    let folder = root().join("examples");
    let files =
        std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for file in files.flatten() {
        let path = file.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if path.extension().is_some_and(|it| it == "rs") && !known.contains(&&*name) {
            return Err(format!(
                "example {name} is run by nobody: add it to xtask/src/examples.rs"
            ));
        }
    }
    Ok(())
}

impl Round<'_> {
    fn name(&self) -> &'static str {
        match self {
            Round::Unix(_) => "unix",
            Round::Redis(_) => "redis",
        }
    }

    fn configure(&self, command: &mut Command) {
        command.env("FARCALL_TRANSPORT", self.name());
        match self {
            Round::Unix(folder) => command
                .env("FARCALL_UNIX__SOCKET_DIR", folder)
                .env("FARCALL_LEDGER__PATH", folder.join("ledger")),
            Round::Redis(broker) => command.env("FARCALL_REDIS__URL", broker.url()),
        };
    }

    fn command(&self, example: &str) -> Result<Command, String> {
        let mut command = match self {
            Round::Unix(_) => cargo(&["run", "--quiet", "--example", example]),
            Round::Redis(_) => Command::new(program(example)?),
        };
        self.configure(&mut command);
        Ok(command)
    }
}

/// A server, stopped with its owner.
struct Server {
    name: &'static str,
    child: Child,
}

impl Server {
    /// Starts it, and waits until it says that it serves.
    fn start(name: &'static str, round: &Round<'_>) -> Result<Server, String> {
        println!("\n== example {name} on {}", round.name());
        let mut command = round.command(name)?;
        let child = command.stderr(Stdio::piped()).spawn();
        let child = child.map_err(|error| format!("{name}: cannot start it: {error}"))?;
        let mut server = Server { name, child };
        let stderr = server.child.stderr.take().ok_or("its standard error was asked for")?;
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            println!("{line}");
            if line.contains("serves") {
                return Ok(server);
            }
        }
        Err(format!("{name}: it ended before it served"))
    }

    /// Stops it as an operator would, and sees that it ends well.
    fn stop(&mut self) -> Result<(), String> {
        let name = self.name;
        let mut kill = Command::new("kill");
        kill.args(["-TERM", &self.child.id().to_string()]);
        step(&format!("stopping {name}"), kill)?;
        let status = self.child.wait().map_err(|error| format!("{name}: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("{name}: it ended badly ({status})")) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended if all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
