//! A ledger in files of this machine, which survives processes and power failures.
//!
//! ```text
//! <path>/<namespace>/<service>/
//!     <ledger>.redb      its tasks
//!     <ledger>.lock      held by the server that has it: never removed while the other is there
//!     <ledger>.reserve   room for outcomes when the disk is full
//!     keys/<hash>        which task a key belongs to, of which ledger
//!     keys.lock          held while a key is given
//! ```
//!
//! *Whoever holds a ledger's lock owns its tasks.* A server that starts takes the ledger that it had before, if it is free; else
//! another that is; else a new one. A server that runs adopts what has been free for a while, and keeps it until it ends.
//! So resuming, taking over and coming back are one path. A server that is stopped (SIGSTOP) keeps its locks, and its tasks wait.

mod database;
mod folder;
mod keys;
mod writer;

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::oneshot;

use super::{Command, LedgerKind, LedgerStore, Opening, Reply, StoreError};
use crate::wire::Durability;
use folder::Folder;
use writer::{Job, Writer};

/// Ledgers in files, below a folder that all servers of a machine share.
#[derive(Clone, Debug)]
pub struct FileLedger {
    path: PathBuf,
}

impl FileLedger {
    /// Below this folder, which is made if it is not there. It must be of a file system of this machine: locks of a
    /// network's may be lost in silence.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        FileLedger { path: path.into() }
    }

    /// Where this user's programs keep what is to survive them: `farcall` in `$XDG_STATE_HOME`, or in
    /// `~/.local/state`.
    #[must_use]
    pub fn default_path() -> Option<PathBuf> {
        let set =
            |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
        Some(state?.join("farcall"))
    }
}

impl LedgerKind for FileLedger {
    fn name(&self) -> &'static str {
        "file"
    }

    fn open(&self, at: Opening) -> BoxFuture<'static, Result<Box<dyn LedgerStore>, StoreError>> {
        let path = self.path.join(&*at.namespace).join(&*at.service);
        async move {
            let (opened, is_open) = oneshot::channel();
            let (jobs, work) = mpsc::channel();
            let name = format!("ledger-{}", at.service);
            let run = move || {
                let writer = Folder::open(path).and_then(|folder| Writer::open(folder, at));
                match writer {
                    Ok(writer) => {
                        // Whoever asked may be gone; then its end of the channel is too.
                        let _ = opened.send(Ok(()));
                        writer.run(&work);
                    }
                    Err(error) => drop(opened.send(Err(error))),
                }
            };
            let thread = thread::Builder::new().name(name).spawn(run);
            let thread = thread.map_err(|it| StoreError::new(format!("a thread for it: {it}")))?;
            let gone = |_| Err(StoreError::new("its thread ended while it was opened"));
            is_open.await.unwrap_or_else(gone)?;
            let store: Box<dyn LedgerStore> =
                Box::new(Files { jobs: Some(jobs), thread: Some(thread) });
            Ok(store)
        }
        .boxed()
    }
}

/// The ledgers of one server's service. Their thread does all that may wait for a disk.
#[derive(Debug)]
struct Files {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl LedgerStore for Files {
    fn durability(&self) -> Durability {
        Durability::Always
    }

    fn apply(&self, batch: Vec<Command>) -> BoxFuture<'static, Result<Vec<Reply>, StoreError>> {
        let (reply, replies) = oneshot::channel();
        if let Some(jobs) = &self.jobs {
            // A thread that has ended drops the job, which is heard below.
            let _ = jobs.send(Job { batch, reply });
        }
        let gone = |_| Err(StoreError::new("it was closed after an error"));
        replies.map(move |replies| replies.unwrap_or_else(gone)).boxed()
    }

    fn changed(&self) -> BoxFuture<'static, ()> {
        // What others do is found by looking, at each sweep.
        futures::future::pending().boxed()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // The thread ends when it has done what it was given; its locks are free when this returns.
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of a ledger panicked");
        }
    }
}

#[cfg(test)]
mod tests;
