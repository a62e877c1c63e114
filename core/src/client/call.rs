//! A call: built, then awaited.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use compact_str::CompactString;
use futures::Stream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::flow::Flow;
use super::request::{About, Method, Request, Streams};
use super::upload::{Upload, Uploads};
use super::watch::Watch;
use super::{Reply, ReplyTo, Submission, Target};
use crate::error::{CallError, MethodError};
use crate::node::Node;
use crate::schema::ServiceSchema;
use crate::value::{self, ValueError};
use crate::wire::{CallId, Failure, Reason};

/// How a call ends when not with a value: [`CallError`], or [`MethodError`] for methods that have
/// an error of their own.
pub trait Ending: From<CallError> + 'static {
    /// Reads the method's own error out of a failure that carries one.
    ///
    /// # Errors
    /// It is not of the expected type.
    fn returned(value: &Bytes) -> Option<Result<Self, ValueError>>;
}

impl Ending for CallError {
    fn returned(_: &Bytes) -> Option<Result<Self, ValueError>> {
        None
    }
}

impl<E: DeserializeOwned + 'static> Ending for MethodError<E> {
    fn returned(value: &Bytes) -> Option<Result<Self, ValueError>> {
        Some(value::decode(value).map(MethodError::Returned))
    }
}

/// A call of a method: its arguments are encoded, and it is sent when first polled.
///
/// `await` gives `Result<T, X>`. Options come before:
///
/// ```no_run
/// # use std::time::Duration;
/// # async fn example(client: farcall_core::Client) -> Result<(), farcall_core::CallError> {
/// let sum: i64 = client.call("add", (1, 2)).timeout(Duration::from_millis(50)).await?;
/// # Ok(()) }
/// ```
///
/// # Errors
/// Exactly one outcome comes, by the deadline at the latest: `[client] timeout` (30 s) from when the
/// node takes the call, which it does at once unless its thread is blocked; or what `timeout` says; or
/// what is left to the handler that makes the call, whichever is first.
///
/// # Panics
/// When polled again after it has ended.
///
/// # Cancellation
/// Dropping a call that was polled cancels its handler. Dropping one that was not sends nothing.
#[must_use = "a call is made when it is awaited"]
pub struct Call<T, X = CallError> {
    state: State,
    about: About,
    /// Whoever listens, from the first poll to the end.
    watch: Option<Box<Watch>>,
    decode: fn(&[u8]) -> Result<T, ValueError>,
    ending: PhantomData<fn() -> X>,
}

enum State {
    Built(Request, Uploads),
    Sent {
        id: CallId,
        outcome: oneshot::Receiver<Reply>,
    },
    /// It has argument streams, which are sent along.
    Flowing(Box<Flow>),
    Done,
}

impl<T, X: Ending> Call<T, X> {
    pub(crate) fn new(
        node: Node,
        target: Target,
        service: CompactString,
        method: CompactString,
        traits: Method,
        params: Result<Bytes, Failure>,
        decode: fn(&[u8]) -> Result<T, ValueError>,
    ) -> Self {
        let request = Request::new(target, params, &traits);
        let about = About { node, service, method, idempotent: traits.idempotent };
        let state = State::Built(request, Uploads::default());
        Call { state, about, watch: None, decode, ending: PhantomData }
    }

    fn option(mut self, set: impl FnOnce(&mut Request)) -> Self {
        if let State::Built(request, _) = &mut self.state {
            set(request);
        }
        self
    }

    /// Only servers that fit to this may have it.
    pub(crate) fn expecting(self, expects: Option<&'static ServiceSchema>) -> Self {
        self.option(|built| built.expects = expects)
    }

    /// Ends the call this long after its first poll, at the latest.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.option(|request| request.timeout = Some(timeout))
    }

    /// Waits this long for a server, if there is none; otherwise `[client] wait_for_server` (5 s).
    pub fn wait_for_server(self, wait: Duration) -> Self {
        self.option(|request| request.wait_for_server = Some(wait))
    }

    /// Sends a name and a value along, for the handler's `Context`. At most 64 of them
    /// ([`MAX_HEADERS`](crate::wire::MAX_HEADERS)), and 16 KiB in all
    /// ([`MAX_HEADER_BYTES`](crate::wire::MAX_HEADER_BYTES)). A later one takes the place of an
    /// earlier one of its name.
    pub fn header(self, name: impl Into<CompactString>, value: impl Into<CompactString>) -> Self {
        self.option(|request| request.header(name.into(), value.into()))
    }

    /// Allows the call to be started again, at most twice more, if its server dies. A call whose
    /// argument streams have begun to flow is not started again: what was sent is gone.
    pub fn idempotent(mut self) -> Self {
        self.about.idempotent = true;
        self
    }

    /// Sends the items of `stream` as the method's next argument stream, as fast as its handler
    /// takes them. Typed clients do this by themselves.
    ///
    /// The stream is polled by whoever awaits the call, and dropped when the handler wants no more
    /// of it or the call ends.
    pub fn argument_stream<S>(self, stream: S) -> Self
    where
        S: Stream<Item: Serialize> + Send + 'static,
    {
        self.upload(Upload::new(stream, |item| value::encode(item).map(Bytes::from)))
    }

    /// As typed clients send an argument stream.
    pub fn upload(mut self, upload: Upload) -> Self {
        if let State::Built(_, uploads) = &mut self.state {
            uploads.push(upload);
        }
        self
    }

    /// Makes it one way: done when it is handed over to the operating system or broker; no outcome
    /// is awaited and none is reported. It may be lost after that. A call with argument streams
    /// cannot be one way, and fails.
    pub fn notify(mut self) -> Notify {
        let state = std::mem::replace(&mut self.state, State::Done);
        let about = self.about.clone();
        Notify(Call { state, about, watch: None, decode: |_| Ok(()), ending: PhantomData })
    }

    fn poll_with(&mut self, one_way: bool, cx: &mut TaskContext<'_>) -> Poll<Result<T, X>> {
        if let State::Built(..) = &self.state
            && let Err(failure) = self.submit(one_way)
        {
            return Poll::Ready(Err(self.about.error(failure).into()));
        }
        let reply = match &mut self.state {
            State::Sent { outcome, .. } => match ready!(Pin::new(outcome).poll(cx)) {
                Ok(reply) => reply,
                // The actor is gone without a word: the node was torn down under the call.
                Err(_) => {
                    Err(Failure::new(Reason::ServerLost, "the node was closed during the call"))
                }
            },
            State::Flowing(flow) => ready!(flow.poll_outcome(cx)),
            State::Built(..) | State::Done => panic!("a call was polled after it ended"),
        };
        self.state = State::Done;
        let outcome = reply.and_then(|value| match (self.decode)(&value) {
            Ok(decoded) => Ok((decoded, value.len())),
            Err(error) => Err(Failure::new(
                Reason::WrongResult,
                format!("the method ran, but its result is not of the expected type: {error}"),
            )),
        });
        if let Some(watch) = self.watch.take() {
            watch.end(outcome.as_ref().map(|(_, size)| *size));
        }
        Poll::Ready(match outcome {
            Ok((decoded, _)) => Ok(decoded),
            Err(failure) => Err(self.about.ending(failure)),
        })
    }

    /// Hands the call over to the client actor.
    fn submit(&mut self, one_way: bool) -> Result<(), Failure> {
        let State::Built(request, uploads) = std::mem::replace(&mut self.state, State::Done) else {
            unreachable!("asked for by the only caller");
        };
        if !uploads.is_empty() {
            if one_way {
                let message = "a call with argument streams cannot be one way";
                return Err(Failure::new(Reason::ArgumentsUnencodable, message));
            }
            let (flow, watch) = Flow::submit(request, &self.about, uploads, 0)?;
            self.state = State::Flowing(Box::new(flow));
            self.watch = watch;
            return Ok(());
        }
        let (reply, outcome) = oneshot::channel();
        let reply = ReplyTo::Once(reply);
        let (id, watch) = request.submit(&self.about, one_way, Streams::default(), reply)?;
        self.state = State::Sent { id, outcome };
        self.watch = watch;
        Ok(())
    }
}

// Nothing in a call refers to itself.
impl<T, X> Unpin for Call<T, X> {}

impl<T, X: Ending> Future for Call<T, X> {
    type Output = Result<T, X>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.get_mut().poll_with(false, cx)
    }
}

impl<T, X> Drop for Call<T, X> {
    fn drop(&mut self) {
        if let State::Sent { id, .. } = self.state {
            self.about.submissions().push(Submission::Cancel(id));
        }
    }
}

impl<T, X> fmt::Debug for Call<T, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("service", &self.about.service)
            .field("method", &self.about.method)
            .finish_non_exhaustive()
    }
}

/// A one-way call; see [`Call::notify`].
///
/// # Cancellation
/// Dropping it takes it back while it waits for a server; once it is on its way it is not.
#[derive(Debug)]
#[must_use = "a call is made when it is awaited"]
pub struct Notify(Call<(), CallError>);

impl Future for Notify {
    type Output = Result<(), CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        self.0.poll_with(true, cx)
    }
}
