//! A drain under way.

use std::time::Instant;

use actix::SpawnHandle;
use tokio::sync::oneshot;

use super::DrainReport;

/// What a server that drains waits for, and who waits for it.
pub(super) struct Drain {
    pub(super) since: Instant,
    pub(super) finished: usize,
    /// When what is left is abandoned.
    pub(super) until: Instant,
    pub(super) timer: SpawnHandle,
    /// Whoever has asked for it.
    pub(super) replies: Vec<oneshot::Sender<DrainReport>>,
}

impl Drain {
    pub(super) fn end(self, abandoned: Vec<String>) {
        let report = DrainReport { finished: self.finished, abandoned, took: self.since.elapsed() };
        for reply in self.replies {
            let _ = reply.send(report.clone());
        }
    }
}
