//! A ledger in this process, for whoever shares the value.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use compact_str::CompactString;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use tokio::sync::watch;
use uuid::Uuid;

use super::{
    Book, Command, Holder, LedgerKind, LedgerStore, Moment, Opening, Reply, StoreError, Timestamp,
};
use crate::wire::Durability;

/// Ledgers in this process: they survive servers, and end with the last clone of this value.
///
/// All servers of a service that open it share one ledger. A server whose store is dropped is dead: what
/// it ran has crashed, and is due at the others, or at its next start.
#[derive(Clone, Debug, Default)]
pub struct MemoryLedger(Arc<Mutex<Ledgers>>);

/// By namespace and service.
type Ledgers = HashMap<(CompactString, CompactString), Shared>;

/// One ledger, for all that hold tasks of it.
#[derive(Clone, Debug)]
struct Shared {
    book: Arc<Mutex<Book>>,
    /// Counts what may concern others.
    changed: Arc<watch::Sender<u64>>,
}

impl MemoryLedger {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        MemoryLedger::default()
    }
}

impl LedgerKind for MemoryLedger {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn open(&self, at: Opening) -> BoxFuture<'static, Result<Box<dyn LedgerStore>, StoreError>> {
        let mut ledgers = lock(&self.0);
        let shared = ledgers.entry((at.namespace, at.service)).or_insert_with(|| Shared {
            book: Arc::new(Mutex::new(Book::new(Uuid::new_v4(), at.policy))),
            changed: Arc::new(watch::Sender::new(0)),
        });
        let shared = shared.clone();
        let holder = {
            let mut book = lock(&shared.book);
            let (holder, changes) = book.open(&at.server, at.node, Timestamp::now());
            changes.iter().for_each(|change| book.apply(change));
            holder
        };
        let news = Arc::new(News {
            changes: tokio::sync::Mutex::new((
                shared.changed.subscribe(),
                *shared.changed.borrow(),
            )),
            own: AtomicU64::new(0),
        });
        let store: Box<dyn LedgerStore> = Box::new(Held { shared, holder, news });
        ready(Ok(store)).boxed()
    }
}

/// A ledger as one server holds it.
#[derive(Debug)]
struct Held {
    shared: Shared,
    holder: Holder,
    news: Arc<News>,
}

/// What others have changed.
#[derive(Debug)]
struct News {
    /// How many changes there are, and how many of others were seen.
    changes: tokio::sync::Mutex<(watch::Receiver<u64>, u64)>,
    /// How many changes were this holder's.
    own: AtomicU64,
}

impl LedgerStore for Held {
    fn durability(&self) -> Durability {
        Durability::Memory
    }

    fn apply(&self, batch: Vec<Command>) -> BoxFuture<'static, Result<Vec<Reply>, StoreError>> {
        let mut concerns_others = false;
        let replies = {
            let mut book = lock(&self.shared.book);
            let decide = |command| {
                let (reply, changes) = book.decide(&self.holder, command, Moment::now());
                changes.iter().for_each(|change| book.apply(change));
                concerns_others |= matters(&reply);
                reply
            };
            batch.into_iter().map(decide).collect()
        };
        if concerns_others {
            self.shared.changed.send_modify(|changes| {
                self.news.own.fetch_add(1, Ordering::AcqRel);
                *changes += 1;
            });
        }
        ready(Ok(replies)).boxed()
    }

    fn changed(&self) -> BoxFuture<'static, ()> {
        let news = Arc::clone(&self.news);
        async move {
            let (all, seen) = &mut *news.changes.lock().await;
            loop {
                let others = *all.borrow_and_update() - news.own.load(Ordering::Acquire);
                if std::mem::replace(seen, others) != others {
                    return;
                }
                if all.changed().await.is_err() {
                    // The ledger is gone, and its holders with it.
                    return std::future::pending().await;
                }
            }
        }
        .boxed()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut book = lock(&self.shared.book);
        let changes = book.lost(|holder| *holder == self.holder, Moment::now());
        changes.iter().for_each(|change| book.apply(change));
        drop(book);
        self.shared.changed.send_modify(|changes| *changes += 1);
    }
}

/// Whether another server of the ledger may wait for this: a task has ended, or waits.
fn matters(reply: &Reply) -> bool {
    match reply {
        Reply::Ended(_) => true,
        Reply::Accepted(accepted) => accepted.attempt.is_none() && accepted.known.is_none(),
        Reply::Swept(swept) => !swept.expired.is_empty(),
        _ => false,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in here would be a bug of the book, which is whole between its statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;
    use crate::ledger::{Ending, NewTask, Outcome, Policy, Verdict};
    use crate::wire::NodeId;

    fn open(ledger: &MemoryLedger, server: &str) -> Box<dyn LedgerStore> {
        let at = Opening {
            namespace: "default".into(),
            service: "s".into(),
            server: server.into(),
            node: NodeId::generate(),
            policy: Policy::default(),
        };
        block_on(ledger.open(at)).unwrap()
    }

    fn one(store: &dyn LedgerStore, command: Command) -> Reply {
        block_on(store.apply(vec![command])).unwrap().remove(0)
    }

    fn task(begin: bool) -> Command {
        Command::Accept(Box::new(NewTask {
            method: "m".into(),
            params: bytes::Bytes::from_static(&[0x80]),
            caller: crate::ledger::Caller::of_tests(),
            headers: Vec::new(),
            key: None,
            expires_in: None,
            begin,
        }))
    }

    #[test]
    fn what_a_dropped_server_ran_is_due_at_another() {
        let ledger = MemoryLedger::new();
        let (first, second) = (open(&ledger, "a"), open(&ledger, "b"));
        let Reply::Accepted(accepted) = one(&*first, task(true)) else { panic!() };
        assert_eq!(one(&*second, Command::Claim { limit: 9 }), Reply::Claimed(Vec::new()));
        assert!(second.changed().now_or_never().is_none(), "what has begun concerns nobody else");
        drop(first);
        block_on(second.changed());
        let Reply::Claimed(attempts) = one(&*second, Command::Claim { limit: 9 }) else { panic!() };
        assert_eq!((attempts[0].task, attempts[0].token), (accepted.task, 2));
        let ending = Ending::Outcome(Outcome::Done(vec![1].into()));
        let finish = Command::Finish { task: accepted.task, token: 2, ending };
        assert!(matches!(one(&*second, finish), Reply::Ended(Verdict::Ended(_))));
    }

    #[test]
    fn ledgers_of_two_services_and_of_two_values_are_apart() {
        let (here, there) = (MemoryLedger::new(), MemoryLedger::new());
        let first = open(&here, "a");
        one(&*first, task(false));
        assert_eq!(one(&*open(&there, "a"), Command::Claim { limit: 1 }), Reply::Claimed(vec![]));
        let again = open(&here, "a");
        assert!(
            matches!(one(&*again, Command::Claim { limit: 1 }), Reply::Claimed(it) if it.len() == 1)
        );
    }

    #[test]
    fn each_start_has_a_higher_epoch() {
        let ledger = MemoryLedger::new();
        let (first, second) = (open(&ledger, "a"), open(&ledger, "a"));
        let epoch = |store: &dyn LedgerStore| format!("{store:?}");
        assert_ne!(epoch(&*first), epoch(&*second));
    }
}
