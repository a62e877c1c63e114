//! What a ledger is told to do, and what it says to that.

use std::time::Duration;

use compact_str::CompactString;

use super::{Caller, Key, Outcome, Task, TaskId};
use crate::byte_string::Bytes;

/// One thing to be done to a ledger, in the name of the holder that says so.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Records a task. Answered by [`Reply::Accepted`] or [`Reply::NotAccepted`].
    Accept(Box<NewTask>),
    /// Begins up to so many tasks that are due, those that waited longest first. Answered by
    /// [`Reply::Claimed`].
    Claim {
        /// How many there are places for.
        limit: usize,
    },
    /// An attempt has come to an end. Answered by [`Reply::Ended`], or by [`Reply::Fenced`] if it is not
    /// the task's current attempt, whatever it brought.
    Finish {
        /// Which task.
        task: TaskId,
        /// The attempt.
        token: u64,
        /// What came of it.
        ending: Ending,
    },
    /// An attempt tells how far it is; the last word counts. Answered by [`Reply::Done`] or
    /// [`Reply::Fenced`].
    Progress {
        /// Which task.
        task: TaskId,
        /// The attempt.
        token: u64,
        /// One CBOR item.
        value: Bytes,
    },
    /// Ends a task that has not ended. Answered by [`Reply::Ended`], with whatever outcome it has by then.
    Cancel(TaskId),
    /// Makes a new task of a dead one. Answered by [`Reply::Accepted`], or by [`Reply::NotDead`].
    Retry(TaskId),
    /// Forgets a task that has ended, with its outcome and its key. Answered by [`Reply::Done`], or by
    /// [`Reply::NotEnded`].
    Purge(TaskId),
    /// Answered by [`Reply::Shown`].
    Show(TaskId),
    /// The newest tasks first. Answered by [`Reply::Listed`].
    List {
        /// No more than so many.
        limit: usize,
    },
    /// Expires what has no time left, and forgets what was kept long enough. Answered by
    /// [`Reply::Swept`]. A store may use the occasion to look for tasks whose holder is gone.
    Sweep,
}

/// A call that is to be recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTask {
    /// The method's name.
    pub method: CompactString,
    /// Its parameters: a CBOR array or map.
    pub params: bytes::Bytes,
    /// Who makes the call.
    pub caller: Caller,
    /// The headers that came with it.
    pub headers: Vec<(CompactString, CompactString)>,
    /// Its idempotency key.
    pub key: Option<Key>,
    /// How long it may take to end.
    pub expires_in: Option<Duration>,
    /// It is to begin in the same step: there is a place for it.
    pub begin: bool,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// This is the task's outcome.
    Outcome(Outcome),
    /// It failed with this message, and asks to be tried again.
    Again(String),
    /// Its server stops: somebody else is to run it, or the server when it is back.
    Released,
}

/// An attempt that was begun: what a handler needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Which task.
    pub task: TaskId,
    /// What it is told apart from others by: higher than that of any attempt of this task before.
    pub token: u64,
    /// The method's name.
    pub method: CompactString,
    /// Its parameters.
    pub params: bytes::Bytes,
    /// Who made the call.
    pub caller: Caller,
    /// The headers that came with it.
    pub headers: Vec<(CompactString, CompactString)>,
    /// What is left of its time, if that is limited.
    pub time_left: Option<Duration>,
}

/// What a ledger says to a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The task is recorded.
    Accepted(Box<Accepted>),
    /// The task is not recorded.
    NotAccepted(AcceptRefusal),
    /// These were begun.
    Claimed(Vec<Attempt>),
    /// What became of the task.
    Ended(Verdict),
    /// The attempt is not the task's current one, or not this holder's: what it brought is dropped.
    Fenced,
    /// It is done.
    Done,
    /// The task as it is, if it is here.
    Shown(Box<View>),
    /// The tasks, and how many there are in all.
    Listed(Vec<View>, usize),
    /// What the sweep brought.
    Swept(Swept),
    /// Only a dead task can be tried again.
    NotDead,
    /// The task has not ended.
    NotEnded,
    /// The ledger is this one, and has no such task.
    Unknown,
    /// The task is of a ledger that this store does not hold.
    NotHere,
}

/// What a task came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It has ended; here is its record.
    Ended(Box<View>),
    /// It waits for another attempt, at the earliest after this long.
    Again(Duration),
}

/// A task that is recorded, now or by an earlier call with its key.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// Which.
    pub task: TaskId,
    /// It was begun in the same step.
    pub attempt: Option<Attempt>,
    /// It was there before, and is as this says.
    pub known: Option<Box<Task>>,
    /// It is of a ledger that another server has: this one will not hear of its end.
    pub elsewhere: bool,
}

/// Why a task is not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptRefusal {
    /// Its key was used with other arguments.
    KeyConflict,
    /// As many tasks are unfinished as may be.
    TooMany,
    /// There is no room for it.
    Full,
    /// Another server is about to record a task with this key.
    KeyBusy,
}

/// A task as lists show it.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Which.
    pub id: TaskId,
    /// What is recorded.
    pub task: Task,
}

/// What a sweep brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// These have expired now.
    pub expired: Vec<TaskId>,
    /// Some task is due, and may be claimed.
    pub due: bool,
    /// When something will be due or expire next.
    pub next: Option<Duration>,
    /// These ran here, and are not this holder's any more: it was taken for dead. Told once, before any of them may be
    /// claimed here again.
    pub taken: Vec<TaskId>,
}
