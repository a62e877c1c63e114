//! A call of a recoverable method: recorded before it runs.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::{Duration, Instant};

use compact_str::CompactString;
use futures::FutureExt;
use futures::future::{BoxFuture, Either, select};
use tokio::sync::oneshot;

use super::call::Ending;
use super::holder;
use super::request::{About, Request};
use super::sent::Sent;
use super::task::Task;
use super::{Acceptance, Reply};
use crate::deadlines::LONGEST;
use crate::error::CallError;
use crate::ledger::TaskToken;
use crate::value::ValueError;
use crate::wire::{Failure, Reason, TaskOptions};

/// A call of a recoverable method: a task, which is recorded before it runs.
///
/// `await` records it and waits for its outcome, across deaths of its servers. [`start`](TaskCall::start)
/// returns a [`Task`] as soon as it is recorded.
///
/// ```no_run
/// # use std::time::Duration;
/// # async fn example(client: farcall_core::Client) -> farcall_core::Result<()> {
/// let task = client.task::<String>("report", ("2026-10",)).key("october").start().await?;
/// println!("{}", task.token());
/// println!("{}", task.result().await?);
/// # Ok(()) }
/// ```
///
/// # Errors
/// The task's outcome, if that is no value; that it could not be recorded; or *pending*
/// ([`Reason::Pending`]), with the task's [`token`](CallError::token), if the wait ended first. The wait takes
/// the method's timeout or `[client] timeout` (30 s), what [`timeout`](TaskCall::timeout) says, or what is
/// left to the handler that makes the call.
///
/// # Panics
/// When polled again after it has ended.
///
/// # Cancellation
/// Dropping it ends the waiting and never the task, once that is recorded.
#[must_use = "a call is made when it is awaited"]
pub struct TaskCall<T, X = CallError> {
    state: State,
    about: About,
    options: TaskOptions,
    timeout: Option<Duration>,
    decode: fn(&[u8]) -> Result<T, ValueError>,
    ending: PhantomData<fn() -> X>,
}

enum State {
    Built(Request),
    Waiting(BoxFuture<'static, Waited>),
    Done,
}

/// How a wait has ended.
pub(super) enum Waited {
    Outcome(Reply),
    /// It ended first.
    Pending(TaskToken),
}

impl Waited {
    /// As whoever waited is told.
    pub(super) fn told<T, X: Ending>(
        self,
        about: &About,
        decode: fn(&[u8]) -> Result<T, ValueError>,
    ) -> Result<T, X> {
        let reply = match self {
            Waited::Outcome(reply) => reply,
            Waited::Pending(token) => {
                let message = format!("the wait ended before the task did; its token is `{token}`");
                let error = about.error(Failure::new(Reason::Pending, message));
                return Err(error.with_token(token).into());
            }
        };
        let decoded = reply.and_then(|value| {
            decode(&value).map_err(|error| {
                let message = format!(
                    "the task has ended, but its result is not of the expected type: {error}"
                );
                Failure::new(Reason::WrongResult, message)
            })
        });
        decoded.map_err(|failure| about.ending(failure))
    }
}

impl<T, X: Ending> TaskCall<T, X> {
    pub(crate) fn new(
        (mut about, request): (About, Request),
        timeout: Option<Duration>,
        decode: fn(&[u8]) -> Result<T, ValueError>,
    ) -> Self {
        // Whether it may be repeated is its key's affair.
        about.idempotent = false;
        let (state, options) = (State::Built(request), TaskOptions::default());
        TaskCall { state, about, options, timeout, decode, ending: PhantomData }
    }

    fn option(mut self, set: impl FnOnce(&mut Request)) -> Self {
        if let State::Built(request) = &mut self.state {
            set(request);
        }
        self
    }

    /// Makes it the one task of this key: made again, with the same arguments, the call gives the same outcome and
    /// does not run again, for as long as the ledger keeps the outcome. With other arguments it is refused.
    /// A key belongs to a method.
    pub fn key(mut self, key: impl Into<CompactString>) -> Self {
        self.options.key = Some(key.into());
        // Made again, it does not run again.
        self.about.idempotent = true;
        self
    }

    /// Gives the task this long to end, from when it is recorded: then it is *expired*, and stopped if it
    /// runs. Otherwise it may take as long as it takes.
    pub fn expires_in(mut self, time: Duration) -> Self {
        self.options.expires_in = Some(time);
        self
    }

    /// Bounds the wait, and not the task: see *Errors*. Of [`start`](TaskCall::start) it bounds the wait
    /// until the task is recorded.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Waits this long for a server, if there is none; otherwise `[client] wait_for_server` (5 s).
    pub fn wait_for_server(self, wait: Duration) -> Self {
        self.option(|request| request.set(|call| call.wait_for_server = wait))
    }

    /// Sends a name and a value along, for the handler's `Context`; they are recorded with the task.
    pub fn header(self, name: impl Into<CompactString>, value: impl Into<CompactString>) -> Self {
        self.option(|request| request.set(|call| call.header(name.into(), value.into())))
    }

    /// Records the task, and does not wait for its outcome.
    pub fn start(mut self) -> Start<T, X> {
        self.options.detached = true;
        Start { call: self, recording: None }
    }

    /// The request with all that was said of it, and how long to wait. Taken once.
    fn take_request(&mut self) -> Option<(Request, Duration)> {
        let State::Built(mut request) = std::mem::replace(&mut self.state, State::Done) else {
            return None;
        };
        let wait = self.timeout.unwrap_or(self.about.node.config().client.timeout);
        let options = std::mem::take(&mut self.options);
        request.set(|call| {
            call.timeout = Some(wait);
            call.task = Some(options);
        });
        Some((request, wait))
    }
}

/// Makes the call, and waits for the task wherever it goes on.
async fn see_through(request: Request, about: About, wait: Duration) -> Waited {
    let until = Instant::now() + wait.min(LONGEST);
    let (accepted, mut acceptance) = oneshot::channel();
    let (sent, watch) = match Sent::submit(request, &about, Some(accepted)) {
        Ok(submitted) => submitted,
        Err(failure) => return Waited::Outcome(Err(failure)),
    };
    let reply = sent.await;
    let waited = match (reply, acceptance.try_recv()) {
        (Err(failure), Ok((token, _))) => match (failure.reason, token.parse()) {
            (Reason::DeadlineExceeded, Ok(token)) => Waited::Pending(token),
            // Its server is gone, or lets it go: whoever has it next is asked.
            (Reason::ServerLost | Reason::Pending, Ok(token)) => {
                wait_for(&about, token, Some(until.saturating_duration_since(Instant::now()))).await
            }
            _ => Waited::Outcome(Err(failure)),
        },
        (reply, _) => Waited::Outcome(reply),
    };
    if let Some(watch) = watch {
        match &waited {
            Waited::Outcome(reply) => watch.end(reply.as_ref().map(bytes::Bytes::len)),
            Waited::Pending(_) => {
                watch
                    .end(Err(&Failure::new(Reason::Pending, "the wait ended before the task did")));
            }
        }
    }
    waited
}

/// Waits for the outcome of a task, for so long at most.
pub(super) async fn wait_for(about: &About, token: TaskToken, wait: Option<Duration>) -> Waited {
    let inherited = crate::context::inherited_deadline();
    let inherited = inherited.map(|until| until.saturating_duration_since(Instant::now()));
    let wait = [wait, inherited].into_iter().flatten().min();
    let outcome = holder::outcome(&about.node, &token).boxed();
    let Some(wait) = wait else { return Waited::Outcome(outcome.await) };
    let ended = match select(outcome, about.node.sleep(wait).boxed()).await {
        Either::Left((reply, _)) => Some(reply),
        Either::Right(_) => None,
    };
    match ended {
        // Made in a handler, the question has no more time than the wait has.
        Some(Err(Failure { reason: Reason::DeadlineBeforeSending, .. })) | None => {
            Waited::Pending(token)
        }
        Some(reply) => Waited::Outcome(reply),
    }
}

// Nothing in a call refers to itself.
impl<T, X> Unpin for TaskCall<T, X> {}

impl<T, X: Ending> Future for TaskCall<T, X> {
    type Output = Result<T, X>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let State::Built(_) = &this.state
            && let Some((request, wait)) = this.take_request()
        {
            this.state = State::Waiting(see_through(request, this.about.clone(), wait).boxed());
        }
        let State::Waiting(waiting) = &mut this.state else {
            panic!("a call was polled after it ended");
        };
        let waited = ready!(waiting.as_mut().poll(cx));
        this.state = State::Done;
        Poll::Ready(waited.told(&this.about, this.decode))
    }
}

impl<T, X> fmt::Debug for TaskCall<T, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskCall")
            .field("service", &self.about.service)
            .field("method", &self.about.method)
            .finish_non_exhaustive()
    }
}

/// Records a task; see [`TaskCall::start`].
///
/// # Errors
/// It could not be recorded. *Outcome unknown* says that it may have been: with a key the call can be made
/// again.
///
/// # Cancellation
/// Dropping it leaves it open whether the task is recorded.
#[must_use = "a task is recorded when this is awaited"]
pub struct Start<T, X = CallError> {
    call: TaskCall<T, X>,
    recording: Option<BoxFuture<'static, Result<Acceptance, Failure>>>,
}

/// Makes the call, and waits until it is recorded.
async fn record(request: Request, about: About) -> Result<Acceptance, Failure> {
    let (accepted, acceptance) = oneshot::channel();
    let (sent, watch) = Sent::submit(request, &about, Some(accepted))?;
    let reply = sent.await;
    if let Some(watch) = watch {
        watch.end(reply.as_ref().map(bytes::Bytes::len));
    }
    reply?;
    let answered = "it was answered without being recorded";
    acceptance.await.map_err(|_| Failure::new(Reason::WrongResult, answered))
}

impl<T, X: Ending> Future for Start<T, X> {
    type Output = Result<Task<T, X>, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let Start { call, recording } = self.get_mut();
        if recording.is_none() {
            let (request, _) = call.take_request().expect("a call was polled after it ended");
            *recording = Some(record(request, call.about.clone()).boxed());
        }
        let recording = recording.as_mut().expect("set above");
        let recorded = ready!(recording.as_mut().poll(cx)).and_then(|(token, durability)| {
            let token: Result<TaskToken, _> = token.parse();
            let token = token.map_err(|it| Failure::new(Reason::WrongResult, it.to_string()))?;
            Ok((token, durability))
        });
        Poll::Ready(match recorded {
            Ok((token, durability)) => {
                Ok(Task::new(call.about.clone(), token, Some(durability), call.decode))
            }
            Err(failure) => Err(call.about.error(failure)),
        })
    }
}

impl<T, X> fmt::Debug for Start<T, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start").field("call", &self.call).finish_non_exhaustive()
    }
}
