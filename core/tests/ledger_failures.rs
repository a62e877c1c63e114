//! A ledger that fails under a server.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use farcall_core::config::Config;
use farcall_core::ledger::{
    Command, LedgerKind, LedgerStore, MemoryLedger, Opening, Reply, StoreError,
};
use farcall_core::transport::{Attachment, Link, LinkError, Transport};
use farcall_core::wire::Durability;
use farcall_core::{Functions, Memory, Node, Reason, block_on};
use futures::FutureExt;
use futures::future::{BoxFuture, LocalBoxFuture};

/// A ledger in memory that fails when it is told to.
#[derive(Clone, Default)]
struct Failing {
    ledger: MemoryLedger,
    fails: Arc<AtomicBool>,
}

struct Store(Box<dyn LedgerStore>, Arc<AtomicBool>);

impl fmt::Debug for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Failing")
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

impl LedgerKind for Failing {
    fn name(&self) -> &'static str {
        "failing"
    }

    fn open(&self, at: Opening) -> BoxFuture<'static, Result<Box<dyn LedgerStore>, StoreError>> {
        let (opened, fails) = (self.ledger.open(at), Arc::clone(&self.fails));
        async move {
            if fails.load(Ordering::SeqCst) {
                return Err(StoreError::new("the disk is broken"));
            }
            let store: Box<dyn LedgerStore> = Box::new(Store(opened.await?, fails));
            Ok(store)
        }
        .boxed()
    }
}

impl LedgerStore for Store {
    fn durability(&self) -> Durability {
        self.0.durability()
    }

    fn apply(&self, batch: Vec<Command>) -> BoxFuture<'static, Result<Vec<Reply>, StoreError>> {
        if self.1.load(Ordering::SeqCst) {
            return async { Err(StoreError::new("the disk is broken")) }.boxed();
        }
        self.0.apply(batch)
    }

    fn changed(&self) -> BoxFuture<'static, ()> {
        self.0.changed()
    }
}

/// The memory transport, with that ledger.
struct With(Memory, Failing);

impl Transport for With {
    fn open(self: Box<Self>, at: Attachment) -> LocalBoxFuture<'static, Result<Link, LinkError>> {
        self.0.transport().open(at)
    }

    fn ledger(&self) -> Option<Arc<dyn LedgerKind>> {
        Some(Arc::new(self.1.clone()))
    }
}

fn jobs() -> Functions {
    Functions::new("jobs")
        .add("double", |n: i64| n * 2)
        .recoverable()
        .add("never", std::future::pending::<()>)
        .recoverable()
        .add("plain", |n: i64| n)
}

async fn serve(memory: &Memory, ledger: &Failing, id: &str) -> Node {
    let mut config = Config::default();
    config.server.id = Some(id.parse().unwrap());
    let transport = Box::new(With(memory.clone(), ledger.clone()));
    let node = Node::open_with(config, transport).await.unwrap();
    node.serve(jobs()).await.unwrap();
    node
}

#[test]
fn a_ledger_that_fails_costs_no_task_and_no_plain_call() {
    block_on(async {
        let (memory, ledger) = (Memory::new(), Failing::default());
        let server = serve(&memory, &ledger, "a").await;
        let client = Node::open_with(Config::default(), memory.transport()).await.unwrap();
        let jobs = client.client("jobs");
        let runs = jobs.task::<()>("never", ()).start().await.unwrap();
        assert_eq!(jobs.task::<i64>("double", (1,)).await.unwrap(), 2);
        ledger.fails.store(true, Ordering::SeqCst);
        let doubt = jobs.task::<i64>("double", (2,)).await.unwrap_err();
        assert_eq!(doubt.reason(), Reason::Pending, "nobody knows whether it is recorded");
        assert!(doubt.to_string().contains("the disk is broken"), "{doubt}");
        let refused = jobs.task::<i64>("double", (3,)).await.unwrap_err();
        assert_eq!(refused.reason(), Reason::Busy);
        assert_eq!(jobs.call::<i64>("plain", (4,)).await.unwrap(), 4);
        let status = client.peer(server.id()).status().await.unwrap();
        assert_eq!(status.services[0].running, 0, "what ran was stopped");
        // Another has what was recorded.
        ledger.fails.store(false, Ordering::SeqCst);
        let _other = serve(&memory, &ledger, "b").await;
        while runs.info().await.unwrap().server.as_deref() != Some("b") {
            tokio::task::yield_now().await;
        }
        assert_eq!(jobs.task::<i64>("double", (5,)).await.unwrap(), 10);
        // Nothing is left over that a drain would wait for.
        server.drain(std::time::Duration::from_secs(60)).await;
    });
}

#[test]
fn a_ledger_that_cannot_be_opened_keeps_its_service_from_being_served() {
    block_on(async {
        let (memory, ledger) = (Memory::new(), Failing::default());
        ledger.fails.store(true, Ordering::SeqCst);
        let transport = Box::new(With(memory, ledger.clone()));
        let node = Node::open_with(Config::default(), transport).await.unwrap();
        let error = node.serve(jobs()).await.unwrap_err().to_string();
        assert_eq!(error, "the ledger cannot be opened: the disk is broken");
        node.serve(Functions::new("other").add("plain", |n: i64| n)).await.unwrap();
        ledger.fails.store(false, Ordering::SeqCst);
        node.serve(jobs()).await.unwrap();
    });
}
