//! What others are told of a task.

use serde::{Deserialize, Serialize};

use super::{State, TaskToken, Timestamp, View, Why};
use crate::byte_string::Bytes;

/// A task as those who ask for it see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskInfo {
    /// Its token.
    pub token: String,
    /// The method.
    pub method: String,
    /// Where it stands: `waiting`, `running`, `done`, `failed`, `cancelled`, `expired` or `dead`.
    pub state: String,
    /// What it waits for, if it does: `accepted`, `failed`, `crashed` or `interrupted`.
    #[serde(default)]
    pub why: Option<String>,
    /// What its caller called itself.
    pub caller: String,
    /// Its idempotency key.
    #[serde(default)]
    pub key: Option<String>,
    /// The id of the server that runs it.
    #[serde(default)]
    pub server: Option<String>,
    /// When it was accepted, by the store's clock, in microseconds since 1970.
    pub accepted: u64,
    /// When it is due, if it waits; since when it runs or has ended.
    pub since: u64,
    /// When its time is over, if ever.
    #[serde(default)]
    pub expires: Option<u64>,
    /// How many attempts there were.
    pub attempts: u64,
    /// How often a server died that ran it.
    pub crashes: u32,
    /// How often it failed and was to be tried again.
    pub failures: u32,
    /// How often a server that stopped let it go.
    pub interruptions: u32,
    /// What its last failed attempt said.
    #[serde(default)]
    pub problem: Option<String>,
    /// What it last said of its progress, one CBOR item.
    #[serde(default)]
    pub progress: Option<Bytes>,
    /// The token of the dead task that it is another try of.
    #[serde(default)]
    pub retry_of: Option<String>,
}

/// What a server says to a question about tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer<T> {
    /// It does not hold that ledger.
    NotHere,
    /// It does, and the ledger has no such task (any more).
    Unknown,
    /// Only a dead task can be tried again.
    NotDead,
    /// The task has not ended.
    NotEnded,
    /// This is it.
    Here(T),
}

impl TaskInfo {
    /// Whether it has an outcome.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        !matches!(&*self.state, "waiting" | "running")
    }

    pub(crate) fn new(namespace: &str, service: &str, View { id, task }: View) -> Self {
        let token = |number| {
            let id = super::TaskId { number, ..id };
            TaskToken::new(namespace, service, id).to_string()
        };
        let (why, server, Timestamp(since)) = match &task.state {
            State::Waiting { due, why } => (Some(word(*why).to_owned()), None, *due),
            State::Running { holder, since } => (None, Some(holder.server.clone()), *since),
            State::Ended { at, .. } => (None, None, *at),
        };
        TaskInfo {
            token: token(task.number),
            state: task.word().to_owned(),
            why,
            caller: task.caller.identity,
            key: task.key.map(|key| key.key),
            server,
            accepted: task.accepted.0,
            since,
            expires: task.expires.map(|Timestamp(expires)| expires),
            attempts: task.token,
            crashes: task.crashes,
            failures: task.failures,
            interruptions: task.interruptions,
            problem: task.problem,
            progress: task.progress,
            retry_of: task.retry_of.map(token),
            method: task.method,
        }
    }
}

fn word(why: Why) -> &'static str {
    match why {
        Why::Accepted => "accepted",
        Why::Failed => "failed",
        Why::Crashed => "crashed",
        Why::Interrupted => "interrupted",
    }
}
