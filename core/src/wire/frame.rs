//! The kinds of frames, and which way each of them goes.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use compact_str::CompactString;

use super::{Announcement, Failure, Hello};

/// The number of a call, given by the caller: it only grows, and is unique in the life of the
/// caller's attachment to its transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub u64);

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call {}", self.0)
    }
}

/// Which stream of a call: 0 is its result, 1 and up are its arguments in order.
///
/// The number alone says who writes it, so an item needs no mark of its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);

impl StreamId {
    /// The stream of results, written by the callee.
    pub const RESULT: StreamId = StreamId(0);
}

/// Names and values that travel beside a call's parameters.
pub type Headers = Vec<(CompactString, CompactString)>;

/// One frame, as core sees it and as transports carry it.
///
/// The larger kinds are boxed: a frame passes through a few queues on its way, and what is small is
/// moved in a few instructions.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// The first frame either side of a session sends.
    Hello(Box<Hello>),
    /// Asks for a method to be run.
    Call(Box<CallFrame>),
    /// The callee has taken the call; names the taker of a call that was sent to *any* server.
    Started {
        /// Which call.
        id: CallId,
        /// Bytes that the callee is ready to take for each argument stream.
        credit: u64,
    },
    /// A call's result.
    Answer {
        /// Which call.
        id: CallId,
        /// The result, one CBOR item.
        value: Bytes,
    },
    /// A call's other outcome.
    Failure {
        /// Which call.
        id: CallId,
        /// What went wrong.
        failure: Box<Failure>,
    },
    /// The caller no longer wants the outcome.
    Cancel {
        /// Which call.
        id: CallId,
    },
    /// One item of a stream.
    Item {
        /// Which call.
        id: CallId,
        /// Which of its streams.
        stream: StreamId,
        /// The item, one CBOR item.
        value: Bytes,
    },
    /// The reader of a stream is ready for more.
    Credit {
        /// Which call.
        id: CallId,
        /// Which of its streams.
        stream: StreamId,
        /// How many bytes of items more.
        bytes: u64,
    },
    /// The writer of a stream has ended it.
    End {
        /// Which call.
        id: CallId,
        /// Which of its streams.
        stream: StreamId,
        /// Why, if it did not end well.
        failure: Option<Box<Failure>>,
    },
    /// The reader of a stream wants no more of it.
    Stop {
        /// Which call.
        id: CallId,
        /// Which of its streams.
        stream: StreamId,
    },
    /// A recoverable call is recorded as a task.
    Accepted {
        /// Which call.
        id: CallId,
        /// The task's token, by which any process can ask for its outcome.
        token: CompactString,
        /// What the record survives.
        durability: Durability,
    },
    /// A question to farcall itself, not to a service: answered outside of concurrency and backlog.
    Query {
        /// Answered by `Answer` or `Failure` with this id.
        id: CallId,
        /// What is asked: `status`, `describe`, `task.…`.
        subject: CompactString,
        /// Parameters, one CBOR item.
        params: Bytes,
    },
    /// A server says what it serves and how it is.
    Announce(Box<Announcement>),
    /// Are you there? Used by transports that cannot tell otherwise.
    Ping {
        /// Comes back in the pong.
        nonce: u64,
    },
    /// Yes.
    Pong {
        /// From the ping.
        nonce: u64,
    },
    /// A piece of a frame too large to be sent at once.
    Part {
        /// Pieces with one number form one frame, in their order.
        message: u64,
        /// Whether it is the last.
        last: bool,
        /// The piece; it travels as a byte string.
        bytes: Bytes,
    },
    /// The sender is about to end this session, and says why.
    Goodbye {
        /// For the log of the other side.
        reason: CompactString,
        /// The sender has answered every call that it started: those of the other side that have no
        /// answer by now were not started, and may safely go elsewhere.
        clean: bool,
    },
}

/// Asks for a method to be run.
#[derive(Clone, Debug, PartialEq)]
pub struct CallFrame {
    /// Which call.
    pub id: CallId,
    /// The caller's lowest id still open: what is below needs no memory at the callee.
    pub low: CallId,
    /// What is left of the deadline, in whole microseconds on the wire. Never a wall clock.
    pub time_left: Duration,
    /// The service's name.
    pub service: CompactString,
    /// The method's name.
    pub method: CompactString,
    /// What most calls do without.
    pub options: Option<Box<CallOptions>>,
    /// The parameters: a CBOR array (by position) or map (by name).
    pub params: Bytes,
}

/// What most calls do without.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallOptions {
    /// No outcome is wanted.
    pub one_way: bool,
    /// Which try of an idempotent call this is; 0 is the first.
    pub attempt: u8,
    /// Names and values for the callee's `Context`.
    pub headers: Headers,
    /// How many argument streams follow.
    pub streams: u32,
    /// Bytes of result items the caller is ready to take.
    pub credit: u64,
    /// The call is to be recorded as a task.
    pub task: Option<TaskOptions>,
    /// A handler makes the call and waits for it: the callee keeps a few places for such calls.
    pub nested: bool,
}

impl CallOptions {
    /// In the form that a frame holds: nothing, if nothing is set.
    #[must_use]
    pub fn into_frame(self) -> Option<Box<CallOptions>> {
        (self != CallOptions::default()).then(|| Box::new(self))
    }
}

impl CallFrame {
    /// Whether no outcome is wanted.
    #[must_use]
    pub fn is_one_way(&self) -> bool {
        self.options.as_ref().is_some_and(|options| options.one_way)
    }

    /// Whether a handler waits for it.
    #[must_use]
    pub fn is_nested(&self) -> bool {
        self.options.as_ref().is_some_and(|options| options.nested)
    }
}

/// How a recoverable call is to be recorded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskOptions {
    /// The idempotency key: the same key gives the same outcome.
    pub key: Option<CompactString>,
    /// After this long, a task that has not ended is expired.
    pub expires_in: Option<Duration>,
    /// The caller does not wait for the outcome, only for `Accepted`.
    pub detached: bool,
}

/// What the record of an accepted task survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Durability {
    /// The death of the server that runs it, not of the store's process.
    Memory,
    /// All but the last second before a power failure.
    EverySecond,
    /// A power failure.
    Always,
    /// The loss of machines: copies exist on this many more.
    Replicated(u32),
}

/// Who a frame is for: the side of a call that made it, the side that runs it, or the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Towards {
    /// The caller's side.
    Caller,
    /// The callee's side.
    Callee,
    /// Neither: it concerns the session or the membership.
    Session,
}

impl Frame {
    /// Which side of a call the frame is for.
    #[must_use]
    pub fn towards(&self) -> Towards {
        match self {
            Frame::Call(_) | Frame::Cancel { .. } | Frame::Query { .. } => Towards::Callee,
            Frame::Started { .. }
            | Frame::Answer { .. }
            | Frame::Failure { .. }
            | Frame::Accepted { .. } => Towards::Caller,
            // Items and ends go with the writer's words, credit and stop with the reader's.
            Frame::Item { stream, .. } | Frame::End { stream, .. } => {
                if *stream == StreamId::RESULT { Towards::Caller } else { Towards::Callee }
            }
            Frame::Credit { stream, .. } | Frame::Stop { stream, .. } => {
                if *stream == StreamId::RESULT { Towards::Callee } else { Towards::Caller }
            }
            Frame::Hello(_)
            | Frame::Announce(_)
            | Frame::Ping { .. }
            | Frame::Pong { .. }
            | Frame::Part { .. }
            | Frame::Goodbye { .. } => Towards::Session,
        }
    }

    /// The call this frame belongs to, if it belongs to one.
    #[must_use]
    pub fn call_id(&self) -> Option<CallId> {
        match self {
            Frame::Call(call) => Some(call.id),
            Frame::Started { id, .. }
            | Frame::Answer { id, .. }
            | Frame::Failure { id, .. }
            | Frame::Cancel { id }
            | Frame::Item { id, .. }
            | Frame::Credit { id, .. }
            | Frame::End { id, .. }
            | Frame::Stop { id, .. }
            | Frame::Accepted { id, .. }
            | Frame::Query { id, .. } => Some(*id),
            _ => None,
        }
    }

    /// The payload, which ends the frame's bytes: they are `encode_head` followed by it.
    ///
    /// `None` for kinds that carry none; those are complete with their head.
    #[must_use]
    pub fn payload(&self) -> Option<&Bytes> {
        match self {
            Frame::Call(call) => Some(&call.params),
            Frame::Answer { value, .. } | Frame::Item { value, .. } => Some(value),
            Frame::Query { params, .. } => Some(params),
            Frame::Failure { failure, .. } => failure.value.as_ref(),
            Frame::Part { bytes, .. } => Some(bytes),
            _ => None,
        }
    }

    /// About how many bytes this frame takes, for queues that are bounded in bytes: its payload, and
    /// a share for the rest, which has bounds of its own.
    #[must_use]
    pub fn weight(&self) -> usize {
        const HEAD: usize = 64;
        HEAD + self.payload().map_or(0, Bytes::len)
    }
}
