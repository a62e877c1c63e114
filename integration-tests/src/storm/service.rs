//! The server of a storm.

use std::sync::Arc;
use std::time::Duration;

use farcall::config::StoreChoice;
use farcall::ledger::{FileLedger, LedgerKind};
use farcall::prelude::*;

use super::points::{PointedTransport, die, note};
use super::{CRASHES, Deed, Effect, Point, SERVICE};

/// Serves until it is told to stop, or dies. It takes everything from its configuration.
///
/// # Errors
/// The node does not open.
pub async fn serve() -> farcall::Result<()> {
    let mut resolved = farcall::resolve()?;
    let config = &mut resolved.config;
    config.ledger.crashes = CRASHES;
    let ledger: Option<Arc<dyn LedgerKind>> = match (config.ledger.store, &config.ledger.path) {
        (StoreChoice::File, Some(path)) => Some(Arc::new(FileLedger::new(path))),
        _ => resolved.transport.ledger(),
    };
    config.ledger.store = StoreChoice::Auto;
    let ledger = ledger.ok_or("a storm needs a store that survives")?;
    let transport = PointedTransport { transport: resolved.transport, ledger };
    let node = Node::open_with(resolved.config, Box::new(transport)).await?;
    node.serve(service()).await?;
    node.run().await
}

/// | method | does |
/// |---|---|
/// | `work(ms)` | takes so long, and gives the number of its attempt |
/// | `stumble(ms, times)` | the same; its first attempts fail, and ask for another |
/// | `refuse(ms)` | takes so long, and fails |
/// | `poison()` | kills its server |
fn service() -> Functions {
    let work = |ctx: Context, ms: u64| async move {
        let running = Running::begin(&ctx)?;
        running.takes(ms).await;
        Ok::<u64, String>(running.done())
    };
    let stumble = |ctx: Context, ms: u64, times: u64| async move {
        let running = Running::begin(&ctx)?;
        running.takes(ms).await;
        if running.attempt() <= times {
            return Err(running.failed());
        }
        Ok::<u64, String>(running.done())
    };
    let refuse = |ctx: Context, ms: u64| async move {
        let running = Running::begin(&ctx)?;
        running.takes(ms).await;
        running.done();
        Err::<u64, String>("no".to_owned())
    };
    let poison = |ctx: Context| async move {
        let running = Running::begin(&ctx)?;
        // So that there are neighbours when it dies.
        running.takes(5).await;
        running.kills()
    };
    Functions::new(SERVICE)
        .try_add("work", work)
        .recoverable()
        .try_add("stumble", stumble)
        .recoverable()
        .try_add("refuse", refuse)
        .recoverable()
        .try_add("poison", poison)
        .recoverable()
}

/// An attempt that notes what becomes of it.
struct Running {
    task: farcall::RunningTask,
    context: Context,
    ended: std::cell::Cell<bool>,
}

impl Running {
    fn begin(context: &Context) -> Result<Self, String> {
        let task = context.task().ok_or("it is recoverable, so this is a task")?;
        let running = Running { task, context: context.clone(), ended: false.into() };
        running.note(Deed::Begun);
        Ok(running)
    }

    fn attempt(&self) -> u64 {
        self.task.attempt()
    }

    async fn takes(&self, ms: u64) {
        // Not more than it is worth: each is written down.
        if ms.is_multiple_of(4) {
            self.context.progress(&ms).expect("a number can be encoded");
        }
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Point::InHandler.pass();
    }

    fn done(&self) -> u64 {
        self.note(Deed::Done);
        self.ended.set(true);
        self.attempt()
    }

    fn kills(&self) -> Result<u64, String> {
        self.note(Deed::Poisoned);
        die()
    }

    fn failed(&self) -> String {
        self.task.retry_on_error();
        self.note(Deed::Failed);
        self.ended.set(true);
        "not yet".to_owned()
    }

    fn note(&self, deed: Deed) {
        let (task, attempt) = (self.task.token().to_string(), self.attempt());
        note(&Effect { deed, process: std::process::id(), task, attempt });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended.get() {
            self.note(Deed::Stopped);
        }
    }
}
