//! One recorded call: what is known of it, and where it stands.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ArgumentsHash;
use crate::byte_string::Bytes;
use crate::wire::{Failure, NodeId, Reason};

/// A task: the ledger that it belongs to for ever, and its number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskId {
    /// Which ledger.
    pub ledger: Uuid,
    /// Which task; numbers grow and are not used again.
    pub number: u64,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ledger.simple(), self.number)
    }
}

/// A point in time by the store's clock, in microseconds since 1970. Clocks of two stores are never
/// compared.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// By this machine's clock.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(micros(since))
    }

    /// This much later.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Timestamp(self.0.saturating_add(micros(wait)))
    }

    /// How long it is from `earlier` to this; nothing if it was not earlier.
    #[must_use]
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Who may run tasks of a ledger: one start of one server.
///
/// An attempt belongs to the holder that began it. What is written by it must name the holder that is
/// recorded, in all three parts: equal, not greater.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Holder {
    /// The server's id.
    pub server: String,
    /// The boot of its node.
    #[serde(with = "boot")]
    pub node: NodeId,
    /// Higher at every start: the last one and one more, or the store's clock in microseconds, if that
    /// is higher.
    pub epoch: u64,
}

mod boot {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use uuid::Uuid;

    use crate::wire::NodeId;

    pub(super) fn serialize<S: Serializer>(node: &NodeId, to: S) -> Result<S::Ok, S::Error> {
        node.0.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<NodeId, D::Error> {
        Uuid::deserialize(from).map(NodeId)
    }
}

/// Where a task stands.
///
/// ```text
///             its turn                      an outcome, by the running attempt
///   Waiting ───────────> Running(token) ───────────────────────────> Ended(Done | Failed)
///    ^  │  <─────────────   │  │ error marked retryable: failures + 1
///    │  │                   │  │ holder died: crashes + 1
///    │  │                   │  │ holder let it go: interruptions + 1
///    │  │                   │  └── failures or crashes at their limit ─> Ended(Dead)
///    │  ├── cancelled ──────┴────────────────────────────────────────> Ended(Cancelled)
///    │  └── its time is over ────────────────────────────────────────> Ended(Expired)
///  accepted                                                               │
///                                                            retention, purge
///                                                                         v
///                                                                     forgotten
/// ```
///
/// A dead task that is tried again is a new one, with `retry_of`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum State {
    /// It is to run, from `due` on.
    Waiting {
        /// Not before this.
        due: Timestamp,
        /// What it waits for.
        why: Why,
    },
    /// An attempt has it: the one with the task's current token.
    Running {
        /// Who runs it.
        holder: Holder,
        /// Since when.
        since: Timestamp,
    },
    /// It has its one outcome.
    Ended {
        /// Since when.
        at: Timestamp,
        /// Which.
        outcome: Outcome,
    },
}

/// Why a task waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// It has not run yet.
    Accepted,
    /// Its last attempt returned an error, and asked to be repeated.
    Failed,
    /// The server that ran it died.
    Crashed,
    /// The server that ran it stopped, and let it go.
    Interrupted,
}

/// The one outcome of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// The method's result, one CBOR item.
    Done(Bytes),
    /// The method's own error, or that there is no result to be had.
    Failed {
        /// The number of a [`Reason`].
        code: u16,
        /// For people.
        message: String,
        /// The method's own error, one CBOR item, if it is that.
        value: Option<Bytes>,
    },
    /// Somebody cancelled it.
    Cancelled,
    /// Its time was over before it ended.
    Expired,
    /// It was tried as often as may be.
    Dead(DeadBy),
}

/// What a dead task died of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeadBy {
    /// It killed its servers, or died with them, too often.
    Crashes,
    /// It failed too often.
    Failures,
}

impl Outcome {
    /// The outcome of a handler.
    #[must_use]
    pub fn of(outcome: crate::service::Outcome) -> Self {
        match outcome {
            Ok(value) => Outcome::Done(value.into()),
            Err(Failure { reason, message, value, .. }) => {
                Outcome::Failed { code: reason.code(), message, value: value.map(Bytes::from) }
            }
        }
    }

    /// In the words of a list.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Done(_) => "done",
            Outcome::Failed { .. } => "failed",
            Outcome::Cancelled => "cancelled",
            Outcome::Expired => "expired",
            Outcome::Dead(_) => "dead",
        }
    }

    /// How many bytes it holds.
    pub(super) fn size(&self) -> usize {
        match self {
            Outcome::Done(value) => value.len(),
            Outcome::Failed { message, value, .. } => {
                message.len() + value.as_ref().map_or(0, |value| value.len())
            }
            Outcome::Cancelled | Outcome::Expired | Outcome::Dead(_) => 0,
        }
    }
}

/// Who made a call, as far as it is known and survives the caller's session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// What it calls itself.
    pub identity: String,
    /// The boot of its node.
    pub node: Uuid,
    /// The user that runs it, if the transport knows.
    pub uid: Option<u32>,
    /// Its process, if the transport knows.
    pub pid: Option<u32>,
}

#[cfg(test)]
impl Caller {
    /// Somebody.
    pub(crate) fn of_tests() -> Self {
        Caller { identity: "c".to_owned(), node: Uuid::from_u128(5), uid: Some(7), pid: None }
    }
}

/// An idempotency key, and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The key, as the caller gave it.
    pub key: String,
    /// The arguments that it was first used with.
    pub arguments: ArgumentsHash,
}

/// What a ledger knows of one recoverable call, but for its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Its number in its ledger.
    pub number: u64,
    /// The method's name.
    pub method: String,
    /// Who made the call.
    pub caller: Caller,
    /// The headers that came with it.
    pub headers: Vec<(String, String)>,
    /// Its idempotency key, if it has one.
    pub key: Option<Key>,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// When its time is over, if ever.
    pub expires: Option<Timestamp>,
    /// Where it stands.
    pub state: State,
    /// The number of its last attempt: it grows with each, and is 0 before the first.
    pub token: u64,
    /// How often a server died that ran it.
    pub crashes: u32,
    /// How often it returned an error and asked to be repeated.
    pub failures: u32,
    /// How often a server that stopped let it go.
    pub interruptions: u32,
    /// What its last failed attempt said, for people.
    pub problem: Option<String>,
    /// What it last said of its progress, one CBOR item.
    pub progress: Option<Bytes>,
    /// The dead task that it is another try of.
    pub retry_of: Option<u64>,
    /// The bytes of its parameters.
    pub params_size: usize,
}

impl Task {
    /// Whether it has an outcome.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended { .. })
    }

    /// Its outcome, if it has one.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.state {
            State::Ended { outcome, .. } => Some(outcome),
            State::Waiting { .. } | State::Running { .. } => None,
        }
    }

    /// How it stands, in the words of a list.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match &self.state {
            State::Waiting { .. } => "waiting",
            State::Running { .. } => "running",
            State::Ended { outcome, .. } => outcome.word(),
        }
    }

    /// What its caller is told, if it has ended.
    pub fn told(&self) -> Option<crate::service::Outcome> {
        let failed = |reason, message: String| Err(Failure::new(reason, message));
        Some(match self.outcome()? {
            Outcome::Done(value) => Ok(value.clone().into_inner()),
            Outcome::Failed { code, message, value } => {
                let reason = Reason::from_code(*code).unwrap_or(Reason::Abandoned);
                let mut failure = Failure::new(reason, message.clone());
                failure.value = value.clone().map(Bytes::into_inner);
                Err(failure)
            }
            Outcome::Cancelled => failed(Reason::TaskCancelled, "the task was cancelled".into()),
            Outcome::Expired => {
                failed(Reason::TaskExpired, "the time of the task was over before it ended".into())
            }
            Outcome::Dead(by) => {
                let times = match by {
                    DeadBy::Crashes => format!("its server died {} times", self.crashes),
                    DeadBy::Failures => format!("it failed {} times", self.failures),
                };
                let mut message = format!("the task is dead: {times} while it ran");
                if let Some(problem) = &self.problem {
                    message.push_str(&format!("; last: {problem}"));
                }
                failed(Reason::TaskDead, message)
            }
        })
    }

    /// What it is counted as in the size of its ledger.
    pub(super) fn size(&self) -> usize {
        const RECORD: usize = 256;
        let outcome = self.outcome().map_or(0, Outcome::size);
        let progress = self.progress.as_ref().map_or(0, |it| it.len());
        let headers: usize = self.headers.iter().map(|(name, it)| name.len() + it.len()).sum();
        RECORD + self.params_size + outcome + progress + headers
    }
}
