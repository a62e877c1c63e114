//! Where a server can be told to die: around each step of its ledger, and in its handlers.
//!
//! The points lie in a store around the store, and in the handlers of the storm's service. Both are parts of test
//! programs only: there is nothing in a real server that could be told to die.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use farcall::ledger::{Command, LedgerKind, LedgerStore, Opening, Reply, StoreError};
use farcall::transport::{Attachment, Link, LinkError, Transport};
use farcall::wire::Durability;
use futures::FutureExt;
use futures::future::{BoxFuture, LocalBoxFuture};

use super::{DEATH, EFFECTS, Effect};

/// A place on a task's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The server is about to open its ledger.
    BeforeOpen,
    /// It has, and what its last process ran has crashed.
    AfterOpen,
    /// A task is about to be recorded.
    BeforeAccept,
    /// It is recorded, and nobody has been told.
    AfterAccept,
    /// Tasks are about to be begun.
    BeforeClaim,
    /// They are recorded as running, and do not run yet.
    AfterClaim,
    /// An outcome is about to be recorded.
    BeforeFinish,
    /// It is recorded, and nobody has been told.
    AfterFinish,
    /// Somebody has been told that a task is recorded, or its outcome, most likely.
    AfterTelling,
    /// It is about to be looked for what is due, has expired, or may be adopted.
    BeforeSweep,
    /// It has been.
    AfterSweep,
    /// A handler runs.
    InHandler,
}

impl Point {
    /// All of them.
    pub const ALL: [Point; 12] = [
        Point::BeforeOpen,
        Point::AfterOpen,
        Point::BeforeAccept,
        Point::AfterAccept,
        Point::BeforeClaim,
        Point::AfterClaim,
        Point::BeforeFinish,
        Point::AfterFinish,
        Point::AfterTelling,
        Point::BeforeSweep,
        Point::AfterSweep,
        Point::InHandler,
    ];

    /// Its name, by which a server is told.
    #[must_use]
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// Whether a server that has nothing to do comes by only a few times.
    pub(super) fn is_rare(self) -> bool {
        matches!(self, Point::BeforeOpen | Point::AfterOpen)
    }

    /// The server is here; if it was told to die now, it does.
    pub(super) fn pass(self) {
        static PLAN: OnceLock<Option<(Point, u64)>> = OnceLock::new();
        static PASSED: AtomicU64 = AtomicU64::new(0);
        let plan = PLAN.get_or_init(|| {
            let plan = std::env::var(DEATH).ok()?;
            let (point, times) = plan.split_once(' ').expect("a point and a number");
            Some((point.parse().expect("a point"), times.parse().expect("a number")))
        });
        if let Some((point, times)) = plan
            && *point == self
            && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == *times
        {
            die();
        }
    }
}

impl FromStr for Point {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Point::ALL.into_iter().find(|point| point.name() == name);
        found.ok_or_else(|| format!("`{name}` is no point"))
    }
}

/// The process ends here, as by SIGKILL: nothing is flushed, told or let go of.
pub(super) fn die() -> ! {
    note(&Effect::death(std::process::id()));
    std::process::abort()
}

/// Notes what this server does.
pub(super) fn note(effect: &Effect) {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let path = PATH.get_or_init(|| std::env::var_os(EFFECTS).expect("a file for effects").into());
    effect.append(path).expect("effects can be written");
}

/// A transport whose servers pass the points.
pub(super) struct PointedTransport {
    pub(super) transport: Box<dyn Transport>,
    pub(super) ledger: Arc<dyn LedgerKind>,
}

impl Transport for PointedTransport {
    fn open(self: Box<Self>, at: Attachment) -> LocalBoxFuture<'static, Result<Link, LinkError>> {
        self.transport.open(at)
    }

    fn ledger(&self) -> Option<Arc<dyn LedgerKind>> {
        Some(Arc::new(PointedKind(Arc::clone(&self.ledger))))
    }
}

#[derive(Debug)]
struct PointedKind(Arc<dyn LedgerKind>);

impl LedgerKind for PointedKind {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn open(
        &self,
        mut at: Opening,
    ) -> BoxFuture<'static, Result<Box<dyn LedgerStore>, StoreError>> {
        // A storm is short.
        at.policy.backoff = Duration::from_millis(20);
        at.policy.longest_backoff = Duration::from_millis(400);
        let kind = Arc::clone(&self.0);
        async move {
            Point::BeforeOpen.pass();
            let store = kind.open(at).await?;
            Point::AfterOpen.pass();
            let pointed: Box<dyn LedgerStore> = Box::new(PointedStore(store));
            Ok(pointed)
        }
        .boxed()
    }
}

#[derive(Debug)]
struct PointedStore(Box<dyn LedgerStore>);

impl LedgerStore for PointedStore {
    fn durability(&self) -> Durability {
        self.0.durability()
    }

    fn apply(&self, batch: Vec<Command>) -> BoxFuture<'static, Result<Vec<Reply>, StoreError>> {
        // Whoever was told by the batch before has been by now: the frames leave in the turn of the reply.
        Point::AfterTelling.pass();
        let around: Vec<(Point, Point)> = batch.iter().filter_map(points).collect();
        around.iter().for_each(|(before, _)| before.pass());
        let applied = self.0.apply(batch);
        async move {
            let replies = applied.await;
            around.iter().for_each(|(_, after)| after.pass());
            replies
        }
        .boxed()
    }

    fn changed(&self) -> BoxFuture<'static, ()> {
        self.0.changed()
    }
}

/// The points before and after a command.
fn points(command: &Command) -> Option<(Point, Point)> {
    match command {
        Command::Accept(_) => Some((Point::BeforeAccept, Point::AfterAccept)),
        Command::Claim { .. } => Some((Point::BeforeClaim, Point::AfterClaim)),
        Command::Finish { .. } => Some((Point::BeforeFinish, Point::AfterFinish)),
        Command::Sweep => Some((Point::BeforeSweep, Point::AfterSweep)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_told_by_their_names() {
        for point in Point::ALL {
            assert_eq!(point.name().parse(), Ok(point));
        }
        assert!("Rain".parse::<Point>().is_err());
    }
}
