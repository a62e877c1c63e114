//! The processes of a run: this program again, with other arguments.

use std::env;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::lifeline::served_in;
use crate::meter::{Measurement, Others, warm_up};
use crate::peers::Peer;
use crate::shape::{Shape, Work};

/// How long a process may take to be ready, to end, or to be late with what it measured.
const PATIENCE: Duration = Duration::from_secs(30);

/// A process that lives until it is told to end: a server, or a client that holds connections.
///
/// Dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Kept {
    child: Child,
    lifeline: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Kept {
    /// A server that has begun to accept.
    ///
    /// # Errors
    ///
    /// When it ends instead, or is not ready in time.
    pub(crate) async fn serve(peer: &dyn Peer, work: Work, at: &str) -> anyhow::Result<Self> {
        let mut command = this_program("serve", peer, at)?;
        command.args(["--work", work.name()]);
        Kept::start(&mut command)
            .await
            .with_context(|| format!("cannot start the server of {}", peer.name()))
    }

    /// A client that has opened idle connections.
    ///
    /// # Errors
    ///
    /// When it ends instead, or is not ready in time.
    pub(crate) async fn hold(
        peer: &dyn Peer,
        at: &str,
        connections: usize,
    ) -> anyhow::Result<Self> {
        let mut command = this_program("hold", peer, at)?;
        command.args(["--connections", &connections.to_string()]);
        Kept::start(&mut command)
            .await
            .with_context(|| format!("cannot open {connections} connections of {}", peer.name()))
    }

    async fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let lifeline = child.stdin.take().expect("standard input is a pipe");
        let output = child.stdout.take().expect("standard output is a pipe");
        let (mut output, mut line) = (BufReader::new(output), String::new());
        timeout(PATIENCE, output.read_line(&mut line))
            .await
            .with_context(|| format!("not ready within {PATIENCE:?}"))??;
        ensure!(line.trim_end() == "ready", "said {line:?} instead of being ready");
        Ok(Kept { child, lifeline, output })
    }

    /// The number of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("the process is waited for only when it ends")
    }

    /// Ends the process: how many calls it has served, if it says so.
    ///
    /// # Errors
    ///
    /// When it had already ended, or does not end in time.
    pub(crate) async fn end(self) -> anyhow::Result<Option<u64>> {
        let Kept { mut child, lifeline, mut output } = self;
        drop(lifeline);
        let mut words = String::new();
        let ended = async {
            output.read_to_string(&mut words).await?;
            child.wait().await
        };
        let status = timeout(PATIENCE, ended)
            .await
            .with_context(|| format!("a process did not end within {PATIENCE:?}"))??;
        ensure!(
            status.success(),
            "a process that was to serve or hold connections ended with {status}"
        );
        Ok(served_in(&words))
    }
}

/// Runs a client process beside others, and returns what it measured.
///
/// # Errors
///
/// With what the client printed, when it failed; or when it is not done in time.
pub(crate) async fn load(
    peer: &dyn Peer,
    shape: Shape,
    per_second: Option<u32>,
    window: Duration,
    others: &Others,
) -> anyhow::Result<Measurement> {
    let mut command = this_program("load", peer, &others.at)?;
    command
        .args(["--work", shape.work.name()])
        .args(["--size", &shape.size.to_string()])
        .args(["--in-flight", &shape.in_flight.to_string()])
        .args(["--seconds", &window.as_secs_f64().to_string()])
        .stdin(Stdio::null());
    for server in &others.servers {
        command.args(["--server-pid", &server.to_string()]);
    }
    if let Some(broker) = others.broker {
        command.args(["--broker-pid", &broker.to_string()]);
    }
    if let Some(per_second) = per_second {
        command.args(["--per-second", &per_second.to_string()]);
    }
    let output = timeout(window + warm_up(window) + PATIENCE, command.output())
        .await
        .with_context(|| format!("the client was {PATIENCE:?} late"))??;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("the client ended with {}: {}", output.status, errors.trim());
    }
    serde_json::from_slice(&output.stdout).context("the client printed no measurement")
}

fn this_program(command: &str, peer: &dyn Peer, at: &str) -> anyhow::Result<Command> {
    let mut process = Command::new(env::current_exe().context("cannot find this program's file")?);
    process.args([command, peer.name(), at]).kill_on_drop(true);
    Ok(process)
}
