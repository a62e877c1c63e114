//! Recoverable calls, and what they rest on: a database of one file, and a disk.
//!
//! A "call" is a task that is recorded: `start()` has returned, and the task runs beside and has its outcome recorded too. The
//! payload is its argument, and its result.

use std::future::pending;
use std::path::Path;

use anyhow::Context as _;
use farcall::config::{LedgerConfig, Name, StoreChoice};
use farcall::unix::{Unix, UnixConfig};
use farcall::{Config, Node};

use super::Peer;
use crate::closed_loop::{Client, drive};
use crate::lifeline::{Ready, served};
use crate::load::Load;

mod disk;

pub(crate) use disk::{BareDisk, BareRedb};

#[farcall::service(name = "work")]
trait Work {
    /// Gives the payload back.
    #[farcall(recoverable)]
    async fn work(&self, payload: Vec<u8>) -> Vec<u8>;
}

struct Worker;

impl Work for Worker {
    async fn work(&self, payload: Vec<u8>) -> Vec<u8> {
        served(1);
        payload
    }
}

/// A client that starts tasks and does not wait for their outcomes.
#[derive(Clone)]
struct Starter(WorkClient);

impl Client for Starter {
    type Reply = Vec<u8>;

    async fn call(&mut self, payload: &[u8]) -> anyhow::Result<Vec<u8>> {
        self.0.work(payload.to_vec()).start().await?;
        Ok(payload.to_vec())
    }
}

/// farcall's tasks, recorded in files.
#[derive(Debug)]
pub(crate) struct FileTasks;

impl Peer for FileTasks {
    fn name(&self) -> &'static str {
        "farcall-file"
    }

    fn about(&self) -> &'static str {
        "farcall's tasks over a Unix socket, recorded in files (`store = \"file\"`): the client starts them, and \
         counts those that it is told are recorded. Each runs, and its outcome is recorded, within the same time."
    }

    fn serve(&self, at: &str, ready: Ready) -> anyhow::Result<()> {
        farcall::block_on(async {
            let node = open(at).await?;
            node.serve(WorkServer::new(Worker)).await?;
            ready.announce()?;
            pending().await
        })
    }

    fn load(&self, at: &str, load: &Load) -> anyhow::Result<()> {
        farcall::block_on(async {
            let node = open(at).await?;
            drive(Starter(WorkClient::new(&node)), load).await
        })
    }

    fn hold(&self, _: &str, _: usize, _: Ready) -> anyhow::Result<()> {
        anyhow::bail!("idle connections are those of calls")
    }
}

async fn open(socket: &str) -> anyhow::Result<Node> {
    let folder = Path::new(socket).parent().context("the socket has a folder")?.to_owned();
    let ledger = LedgerConfig {
        store: StoreChoice::File,
        path: Some(folder.join("ledger")),
        // More than a run starts: what has ended is kept for a day.
        max_tasks: 10_000_000,
        max_bytes: 16 << 30,
        ..LedgerConfig::default()
    };
    let config = Config { namespace: Name::new("bench")?, ledger, ..Config::default() };
    let unix = UnixConfig { socket_dir: folder, ..UnixConfig::default() };
    Ok(Node::open_with(config, Box::new(Unix::new(unix))).await?)
}
