//! A ledger in the broker: one for each service, shared by all its servers, whatever carries the calls.
//!
//! What becomes of tasks is decided by scripts, as core's [`Book`](farcall_core::ledger::Book) would, by the broker's clock.
//! Each holder has a thread (`holder`), which no handler can block: it renews the lease, hears of what others
//! change, and says one batch after the other, each under a number, so that one that is said again after a lost
//! connection is not done again. `commands` and `replies` are what is said and what comes back.

mod commands;
mod durability;
mod holder;
mod replies;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use farcall_core::ledger::{Command, LedgerKind, LedgerStore, Opening, Reply, StoreError};
use farcall_core::wire::Durability;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, oneshot};

use self::holder::{Batch, Holder};
use crate::config::RedisConfig;
use crate::connect::Connector;

/// Ledgers in a broker: `[ledger] store = "redis"`, and what `auto` is with `transport = "redis"`.
///
/// ```
/// use std::sync::Arc;
///
/// use farcall_core::transport::{Transport, WithLedger};
/// use farcall_transport_redis::{RedisConfig, RedisLedger};
///
/// /// The calls go by `transport`, and their tasks lie in the broker.
/// fn recorded(transport: Box<dyn Transport>) -> WithLedger {
///     let url = "redis://broker.example".into();
///     let ledger = RedisLedger::new(RedisConfig { url, ..RedisConfig::default() });
///     WithLedger::new(transport, Arc::new(ledger))
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct RedisLedger {
    config: RedisConfig,
}

impl RedisLedger {
    /// In the broker that the configuration names.
    #[must_use]
    pub fn new(config: RedisConfig) -> Self {
        RedisLedger { config }
    }
}

impl LedgerKind for RedisLedger {
    fn name(&self) -> &'static str {
        "redis"
    }

    /// Waits for a broker that cannot be reached now.
    fn open(&self, at: Opening) -> BoxFuture<'static, Result<Box<dyn LedgerStore>, StoreError>> {
        let config = self.config.clone();
        async move {
            let connector =
                Connector::new(&config).map_err(|error| StoreError::new(error.message))?;
            let (batches, orders) = unbounded_channel();
            let (opened, is_open) = oneshot::channel();
            let changed = Arc::new(Notify::new());
            let holder = Holder::new(connector, &config, at, Arc::clone(&changed), opened);
            let cannot = |error| StoreError::new(format!("no thread for a ledger: {error}"));
            holder.start(orders).map_err(cannot)?;
            let gone = |_| StoreError::new("the thread of a ledger has ended");
            let durability = is_open.await.map_err(gone)??;
            let store: Box<dyn LedgerStore> = Box::new(Held { durability, batches, changed });
            Ok(store)
        }
        .boxed()
    }
}

/// A ledger as one server holds it. The thread ends with it.
struct Held {
    durability: Durability,
    batches: UnboundedSender<Batch>,
    changed: Arc<Notify>,
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("durability", &self.durability).finish_non_exhaustive()
    }
}

impl LedgerStore for Held {
    fn durability(&self) -> Durability {
        self.durability
    }

    fn apply(&self, batch: Vec<Command>) -> BoxFuture<'static, Result<Vec<Reply>, StoreError>> {
        let (tell, told) = oneshot::channel();
        let sent = self.batches.send(Batch::new(batch, tell));
        async move {
            let gone = || StoreError::new("the ledger in the broker is closed");
            sent.map_err(|_| gone())?;
            told.await.map_err(|_| gone())?
        }
        .boxed()
    }

    fn changed(&self) -> BoxFuture<'static, ()> {
        let changed = Arc::clone(&self.changed);
        async move { changed.notified().await }.boxed()
    }
}
