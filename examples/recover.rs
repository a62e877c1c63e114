//! A long task survives the death of its server: once at the same server, started again, and once at another.
//!
//!     cargo run --example recover
//!
//! The servers are processes of their own: this same program, told to serve. They are killed as `kill -9` does it. What
//! they run is recorded in files of a folder that they share (`[ledger] path`).

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use farcall::Event;
use farcall::prelude::*;
use tokio::process::{Child, Command};

#[farcall::service]
trait Reports {
    /// Takes its time, and says who did it. Its first attempt takes so much that it never ends by itself.
    #[farcall(recoverable)]
    async fn monthly(&self, ctx: &Context, month: &str) -> Result<String, String>;
}

struct Office;

impl Reports for Office {
    async fn monthly(&self, ctx: &Context, month: &str) -> Result<String, String> {
        let task = ctx.task().ok_or("it is recoverable, so this is a task")?;
        ctx.progress(&"counting").map_err(|error| error.to_string())?;
        if task.attempt() == 1 {
            std::future::pending::<()>().await;
        }
        Ok(format!(
            "report for {month}, by server {} in attempt {}",
            ctx.server_id(),
            task.attempt()
        ))
    }
}

async fn serve() -> farcall::Result<()> {
    let node = Node::open().await?;
    node.serve(ReportsServer::new(Office)).await?;
    node.run().await
}

/// A server in a process of its own, killed when this is dropped.
fn start(id: &str, namespace: &str, ledger: &Path) -> farcall::Result<Child> {
    let child = Command::new(std::env::current_exe()?)
        .arg("serve")
        .env("FARCALL_SERVER__ID", id)
        .env("FARCALL_NAMESPACE", namespace)
        .env("FARCALL_LEDGER__PATH", ledger)
        .kill_on_drop(true)
        .spawn()?;
    Ok(child)
}

/// Starts a task, and waits until its handler has said that it counts.
async fn counting(reports: &ReportsClient, month: &str) -> farcall::Result<Started> {
    let task = reports.monthly(month).start().await?;
    println!("started: {}", task.token());
    let steps = task.poll(Duration::from_millis(10));
    let mut steps = std::pin::pin!(steps);
    while let Some(step) = steps.next().await {
        if step?.progress.is_some() {
            break;
        }
    }
    Ok(task)
}

type Started = Task<String, MethodError<String>>;

async fn show(namespace: &str, ledger: &Path) -> farcall::Result<()> {
    let mut resolved = farcall::resolve()?;
    resolved.config.namespace = namespace.parse().map_err(farcall::Error::other)?;
    resolved.config.client.wait_for_server = Duration::from_secs(30);
    let node = Node::open_with(resolved.config, resolved.transport).await?;
    let reports = ReportsClient::new(&node);

    let mut ann = start("ann", namespace, ledger)?;
    let task = counting(&reports, "May").await?;
    ann.kill().await?;
    println!("server ann was killed; it starts again");
    let mut ann = start("ann", namespace, ledger)?;
    println!("{}", task.result().await?);

    let task = counting(&reports, "June").await?;
    let mut events = node.events();
    let _bob = start("bob", namespace, ledger)?;
    let is_bob = |event| matches!(&event, Event::ServerUp(it) if it.server == "bob").then_some(());
    events.find(is_bob).await.ok_or("the node was closed")?;
    ann.kill().await?;
    let killed = Instant::now();
    println!("server ann was killed, and stays away; server bob is there");
    println!("{}, after {:.1} s", task.result().await?, killed.elapsed().as_secs_f64());
    Ok(())
}

#[farcall::main]
async fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1).as_deref() {
        Some("serve") => serve().await,
        _ => {
            let namespace = format!("recover-{}", std::process::id());
            let ledger = std::env::temp_dir().join(&namespace);
            let outcome = show(&namespace, &ledger).await;
            // What the servers have left behind.
            let _ = std::fs::remove_dir_all(ledger);
            outcome
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:?}");
            ExitCode::FAILURE
        }
    }
}
