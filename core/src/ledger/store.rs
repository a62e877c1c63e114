//! What keeps a ledger.

use std::fmt;

use compact_str::CompactString;
use futures::future::BoxFuture;

use super::{Command, Policy, Reply};
use crate::wire::{Durability, NodeId};

/// A kind of store, ready to be opened for a service.
pub trait LedgerKind: Send + Sync + fmt::Debug {
    /// Its word in `[ledger] store`.
    fn name(&self) -> &'static str;

    /// Opens the ledger of a service for one of its servers. From then on the server is a *holder*, with
    /// an epoch above all before, until the store is dropped or the process dies.
    ///
    /// # Errors
    /// It cannot be kept there.
    fn open(&self, at: Opening) -> BoxFuture<'static, Result<Box<dyn LedgerStore>, StoreError>>;
}

/// For whom a ledger is opened.
#[derive(Clone, Debug, PartialEq)]
pub struct Opening {
    /// The namespace.
    pub namespace: CompactString,
    /// The service.
    pub service: CompactString,
    /// The server's id.
    pub server: CompactString,
    /// The boot of its node.
    pub node: NodeId,
    /// The limits.
    pub policy: Policy,
}

/// A ledger, as one holder sees it.
///
/// # Obligations of a store
/// - Commands of a batch take effect in their order, each as [`Book::decide`](super::Book::decide) would
///   have it, and each as a whole. One reply is given for each, in the same order.
/// - What `apply` has returned is as durable as [`durability`](LedgerStore::durability) says: a store
///   that cannot be sure returns an error, for the whole batch, and is of no more use. Batches that are
///   handed over while another is written may be written together.
/// - A holder that is gone has its running tasks taken away: those of a dead one have crashed. What it says
///   later is [`Reply::Fenced`].
/// - Nothing about a task need be in this process: the same commands may be scripts in a broker.
///
/// # Cancellation
/// Dropping the future of `apply` does not take the batch back.
pub trait LedgerStore: Send + Sync + fmt::Debug {
    /// What a record survives, at least.
    fn durability(&self) -> Durability;

    /// Does what a batch says.
    ///
    /// # Errors
    /// None of the batch is certain to have been done, nor not to have been.
    fn apply(&self, batch: Vec<Command>) -> BoxFuture<'static, Result<Vec<Reply>, StoreError>>;

    /// Waits until another holder has changed something that may concern this one: a task is due that
    /// was not, or has ended. A change since the last wait counts. It may be early, and never ends for a
    /// store that has one holder. It does not keep the store.
    fn changed(&self) -> BoxFuture<'static, ()>;
}

/// A store that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(String);

impl StoreError {
    /// In words for people: what was attempted, and what would help.
    pub fn new(message: impl Into<String>) -> Self {
        StoreError(message.into())
    }
}
