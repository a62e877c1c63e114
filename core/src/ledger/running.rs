//! The task that a handler is an attempt of.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use serde::Serialize;

use super::{Command, TaskId, TaskToken};
use crate::byte_string::Bytes;
use crate::value::{self, ValueError};

/// The task that a handler runs an attempt of; see [`Context::task`](crate::Context::task).
///
/// A task runs at least once, and may run again if its server dies, also when it was nearly done. What
/// it does elsewhere is done exactly once only where that place keeps the pair ([`token`](RunningTask::token),
/// [`attempt`](RunningTask::attempt)): it takes what comes from the highest attempt that it has seen of a
/// task, and refuses what comes from lower ones.
#[derive(Clone)]
pub struct RunningTask(Rc<TaskScope>);

/// Progress is told often, and written each time.
const MAX_PROGRESS: usize = 64 << 10;

/// What the server keeps of an attempt for its handler.
pub(crate) struct TaskScope {
    pub(crate) token: TaskToken,
    pub(crate) id: TaskId,
    pub(crate) attempt: u64,
    /// The handler wants another attempt, if this one fails.
    pub(crate) again: Cell<bool>,
    pub(crate) tell: Box<dyn Fn(Command)>,
}

impl RunningTask {
    pub(crate) fn new(scope: Rc<TaskScope>) -> Self {
        RunningTask(scope)
    }

    /// Names the task: the same for all its attempts.
    #[must_use]
    pub fn token(&self) -> &TaskToken {
        &self.0.token
    }

    /// The number of this attempt; that of a later one is higher. Only the outcome of the last attempt
    /// counts.
    #[must_use]
    pub fn attempt(&self) -> u64 {
        self.0.attempt
    }

    /// If this attempt ends with an error, it is to be tried again, after a while; without this an error is
    /// the task's outcome. A task that has failed as often as `[ledger] failures` says is dead.
    pub fn retry_on_error(&self) {
        self.0.again.set(true);
    }

    pub(crate) fn progress<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), ValueError> {
        let (task, token) = (self.0.id, self.0.attempt);
        let value = Bytes::from(value::encode(value)?);
        if value.len() > MAX_PROGRESS {
            let size = value.len();
            let message = format!("progress takes {size} bytes, the limit is {MAX_PROGRESS}");
            return Err(ValueError::Encode(message));
        }
        (self.0.tell)(Command::Progress { task, token, value });
        Ok(())
    }
}

impl fmt::Debug for RunningTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningTask")
            .field("token", &self.0.token)
            .field("attempt", &self.0.attempt)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TaskScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskScope").field("id", &self.id).finish_non_exhaustive()
    }
}
