//! Runs every example, as a reader of the README would.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::steps::{cargo, root, step};

/// Examples that end by themselves.
const ALONE: &[&str] =
    &["quickstart", "streams", "call_back", "rolling_restart", "observability", "interceptors"];

/// Examples that are run together: a server, and a client of it.
const PAIRS: &[(&str, &str)] = &[("calc_server", "calc_client")];

/// Runs them all, in a folder for their sockets that goes with them.
pub(crate) fn run() -> Result<(), String> {
    complete()?;
    step("building the examples", cargo(&["build", "--examples"]))?;
    let sockets = tempfile::tempdir().map_err(|error| format!("a folder for sockets: {error}"))?;
    for example in ALONE {
        step(&format!("example {example}"), run_example(example, sockets.path()))?;
    }
    for (server, client) in PAIRS {
        let mut server = Server::start(server, sockets.path())?;
        step(&format!("example {client}"), run_example(client, sockets.path()))?;
        server.stop()?;
    }
    Ok(())
}

/// Every file in `examples/` is in one of the lists.
fn complete() -> Result<(), String> {
    let pairs = PAIRS.iter().flat_map(|(server, client)| [*server, *client]);
    let known: Vec<&str> = ALONE.iter().copied().chain(pairs).collect();
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

fn run_example(name: &str, sockets: &Path) -> Command {
    let mut command = cargo(&["run", "--quiet", "--example", name]);
    command.env("FARCALL_UNIX__SOCKET_DIR", sockets);
    command
}

/// A server, stopped with its owner.
struct Server {
    name: &'static str,
    child: Child,
}

impl Server {
    /// Starts it, and waits until it says that it serves.
    fn start(name: &'static str, sockets: &Path) -> Result<Server, String> {
        println!("\n== example {name}");
        let mut command = run_example(name, sockets);
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
