//! The link's tasks, which end with it.

use std::cell::RefCell;

use tokio::task::{AbortHandle, JoinSet};

#[derive(Default)]
pub(crate) struct Tasks(RefCell<JoinSet<()>>);

impl Tasks {
    /// Runs a future on this thread until it or the link ends.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) -> AbortHandle {
        let mut tasks = self.0.borrow_mut();
        while let Some(ended) = tasks.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                tracing::error!(%error, "a task of the unix transport has panicked");
            }
        }
        tasks.spawn_local(future)
    }

    pub(crate) fn end(&self) {
        self.0.borrow_mut().abort_all();
    }
}
