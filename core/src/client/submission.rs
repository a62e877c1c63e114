//! What handles hand to the client actor.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use bytes::Bytes;
use compact_str::CompactString;
use tokio::sync::oneshot;

use super::request::Streams;
use crate::peer::PeerAddress;
use crate::queue::{Batches, Closed, Sender, queue};
use crate::schema::ServiceSchema;
use crate::wire::{CallId, Durability, Failure, Headers, Reason, StreamId, TaskOptions};

/// A call's outcome on its way to the future that waits for it.
pub(crate) type Reply = Result<Bytes, Failure>;

/// What handles hand over.
#[derive(Debug)]
pub(crate) enum Submission {
    Call(CallId, Box<NewCall>),
    Cancel(CallId),
    /// An item of an argument stream, for which there was credit.
    Item(CallId, StreamId, Bytes),
    /// An argument stream has ended.
    End(CallId, StreamId),
    /// This much more of the results may come.
    Credit(CallId, u64),
    /// Somebody wants to be woken after this long.
    Wake(Duration, oneshot::Sender<()>),
}

/// What a recoverable call is accepted as: the task's token, and what its record survives.
pub(crate) type Acceptance = (CompactString, Durability);

/// What comes to a call with streams, in its order; its outcome is the last.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// An item of the results.
    Item(Bytes),
    /// This much more of an argument stream may be sent.
    Credit(StreamId, u64),
    /// The handler wants no more of an argument stream.
    Stop(StreamId),
    /// The call has ended. Boxed, because before it there may be many items.
    End(Result<Bytes, Box<Failure>>),
}

impl Arrival {
    /// Makes `next` part of this one, which came before it; or says whether to look at what came
    /// before this one.
    fn join(&mut self, next: &Arrival) -> ControlFlow<bool> {
        match (self, next) {
            (Arrival::Credit(stream, bytes), Arrival::Credit(same, more)) if stream == same => {
                *bytes = bytes.saturating_add(*more);
                ControlFlow::Break(true)
            }
            (Arrival::Stop(stream), Arrival::Stop(same)) if stream == same => {
                ControlFlow::Break(true)
            }
            (Arrival::Credit(..) | Arrival::Stop(_), Arrival::Credit(..) | Arrival::Stop(_)) => {
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Break(false),
        }
    }
}

/// Where a call's outcome goes.
#[derive(Debug)]
pub(crate) enum ReplyTo {
    /// Not known before it is sent.
    Nobody,
    Once(oneshot::Sender<Reply>),
    /// To a recoverable call, which is told before when it is recorded.
    Task(oneshot::Sender<Reply>, Option<oneshot::Sender<Acceptance>>),
    /// To a call with streams, whose items go there too.
    Flow(Arrivals),
}

/// The way to a call with streams. Dropping it without a word is heard, as with a oneshot.
#[derive(Debug)]
pub(crate) struct Arrivals(Sender<Arrival>);

impl From<Sender<Arrival>> for Arrivals {
    fn from(sender: Sender<Arrival>) -> Self {
        Arrivals(sender)
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl ReplyTo {
    pub(crate) fn end(self, reply: Reply) {
        // Nobody listens any more if the call was dropped; its cancel is on the way.
        match self {
            ReplyTo::Nobody => {}
            ReplyTo::Once(once) | ReplyTo::Task(once, _) => drop(once.send(reply)),
            ReplyTo::Flow(flow) => drop(flow.0.push(Arrival::End(reply.map_err(Box::new)))),
        }
    }

    /// Tells a recoverable call that it is recorded.
    pub(crate) fn accepted(&mut self, acceptance: Acceptance) {
        if let ReplyTo::Task(_, accepted) = self
            && let Some(accepted) = accepted.take()
        {
            let _ = accepted.send(acceptance);
        }
    }

    /// Tells a call with streams; one without gets nothing but its outcome.
    pub(crate) fn tell(&self, arrival: Arrival) {
        if let ReplyTo::Flow(flow) = self {
            // Items come for credit only; what comes for nothing must not pile up where nobody looks.
            let _ = flow.0.push_joining(arrival, Arrival::join);
        }
    }
}

/// Who is to run a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Any server of the service.
    Service,
    /// One peer.
    Peer(PeerAddress),
    /// One peer's farcall itself: the call is a query.
    Core(PeerAddress),
}

/// A call as it was made. Its box is made with the call, and goes on to the actor: what is moved on the
/// way is a pointer.
#[derive(Debug)]
pub(crate) struct NewCall {
    pub(crate) target: Target,
    pub(crate) service: CompactString,
    pub(crate) method: CompactString,
    pub(crate) params: Bytes,
    pub(crate) headers: Headers,
    pub(crate) one_way: bool,
    pub(crate) streams: Streams,
    pub(crate) idempotent: bool,
    /// How it is to be recorded, if its caller knows that it is.
    pub(crate) task: Option<TaskOptions>,
    /// How long it may take, from when the actor gets it; as long as it takes, if nobody says.
    pub(crate) timeout: Option<Duration>,
    /// The deadline of the call whose handler makes it, if one does.
    pub(crate) inherited: Option<Instant>,
    /// How long it waits for a server, if there is none.
    pub(crate) wait_for_server: Duration,
    /// What a typed client knows of the service.
    pub(crate) expects: Option<&'static ServiceSchema>,
    pub(crate) reply: ReplyTo,
}

/// The way from handles to the client actor.
#[derive(Clone, Debug)]
pub(crate) struct Submissions(Sender<Submission>);

impl Submissions {
    pub(crate) fn new() -> (Self, Batches<Submission>) {
        let (sender, batches) = queue();
        (Submissions(sender), batches)
    }

    /// Hands a call over. Its id is given inside the queue, so that ids reach the actor in their
    /// order and "the lowest open one" is true when it is said.
    pub(crate) fn call(&self, call: Box<NewCall>) -> Result<CallId, Failure> {
        let submission = Submission::Call(CallId(0), call);
        let numbered = self.0.push_numbered(submission, |submission, number| {
            if let Submission::Call(id, _) = submission {
                *id = CallId(number);
            }
        });
        match numbered {
            Ok(number) => Ok(CallId(number)),
            Err(Closed(_)) => Err(Failure::new(Reason::Closed, "the node is closed")),
        }
    }

    /// Hands anything else over; a closed node needs none of it.
    pub(crate) fn push(&self, submission: Submission) {
        let _ = self.0.push(submission);
    }

    /// Takes no more calls; those that the actor has not taken end as *not sent*.
    pub(crate) fn close(&self) {
        for submission in self.0.close_and_take() {
            if let Submission::Call(_, call) = submission {
                call.reply.end(Err(Failure::new(Reason::Closed, "the node was closed")));
            }
        }
    }
}
