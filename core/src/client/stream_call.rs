//! A call whose results are a stream.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use compact_str::CompactString;
use futures::Stream;
use futures::stream::FusedStream;
use serde::Serialize;

use super::call::Ending;
use super::flow::Flow;
use super::request::{About, Request};
use super::upload::Upload;
use super::watch::Watch;
use crate::error::CallError;
use crate::value::{self, ValueError};
use crate::wire::{Failure, Reason};

/// A call of a method that gives a stream of results: a `Stream` of `Result<T, X>`, sent when first
/// polled.
///
/// ```no_run
/// use farcall_core::{CallError, Client};
/// use futures::StreamExt;
///
/// # async fn example(client: Client) -> Result<(), CallError> {
/// let mut ticks = client.stream::<u64>("ticks", (100,));
/// while let Some(tick) = ticks.next().await {
///     println!("{}", tick?);
/// }
/// # Ok(()) }
/// ```
///
/// The handler may be ahead by `limits.stream_window` bytes (512 KiB); when its caller reads no more,
/// it stops there and waits.
///
/// # Errors
/// An error is the last item. It is the method's own, which may come before the first item or after
/// some; or a [`CallError`]: no server, refused, its server lost in the middle (*outcome unknown*).
///
/// A stream has no deadline, however long it takes, unless it is given one by
/// [`timeout`](StreamCall::timeout), by the method's `timeout`, or by the handler that makes the
/// call; that is then the deadline of the whole stream.
///
/// # Cancellation
/// Dropping it cancels the handler.
#[must_use = "a call is made when its stream is polled"]
pub struct StreamCall<T, X = CallError> {
    state: State,
    about: About,
    /// Whoever listens, from the first poll to the end.
    watch: Option<Box<Watch>>,
    /// Bytes of items so far.
    received: usize,
    decode: fn(&[u8]) -> Result<T, ValueError>,
    ending: PhantomData<fn() -> X>,
}

enum State {
    Built(Request),
    Flowing(Box<Flow>),
    Done,
}

impl<T, X: Ending> StreamCall<T, X> {
    /// A call that is sent when it is first polled; `decode` reads an item.
    pub(crate) fn new(
        (about, request): (About, Request),
        decode: fn(&[u8]) -> Result<T, ValueError>,
    ) -> Self {
        let (state, watch) = (State::Built(request), None);
        StreamCall { state, about, watch, received: 0, decode, ending: PhantomData }
    }

    fn option(mut self, set: impl FnOnce(&mut Request)) -> Self {
        if let State::Built(request) = &mut self.state {
            set(request);
        }
        self
    }

    /// Ends the whole stream this long after its first poll, at the latest.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.option(|request| request.set(|call| call.timeout = Some(timeout)))
    }

    /// Waits this long for a server, if there is none; otherwise `[client] wait_for_server` (5 s).
    pub fn wait_for_server(self, wait: Duration) -> Self {
        self.option(|request| request.set(|call| call.wait_for_server = wait))
    }

    /// Sends a name and a value along; see [`Call::header`](crate::Call::header).
    pub fn header(self, name: impl Into<CompactString>, value: impl Into<CompactString>) -> Self {
        self.option(|request| request.set(|call| call.header(name.into(), value.into())))
    }

    /// Allows the call to be started again, at most twice more, if its server dies before anything
    /// of its streams has moved.
    pub fn idempotent(mut self) -> Self {
        self.about.idempotent = true;
        self
    }

    /// Sends the items of `stream` as the method's next argument stream; see
    /// [`Call::argument_stream`](crate::Call::argument_stream). It is polled when this is.
    pub fn argument_stream<S>(self, stream: S) -> Self
    where
        S: Stream<Item: Serialize> + Send + 'static,
    {
        self.upload(Upload::new(stream, |item| value::encode(item).map(Bytes::from)))
    }

    /// As typed clients send an argument stream.
    pub fn upload(self, upload: Upload) -> Self {
        self.option(|request| request.upload(upload))
    }

    fn poll_flow(&mut self, cx: &mut TaskContext<'_>) -> Poll<Option<Result<T, X>>> {
        if let State::Built(_) = &self.state {
            let State::Built(request) = std::mem::replace(&mut self.state, State::Done) else {
                unreachable!("looked at above");
            };
            let window = self.about.node.config().limits.stream_window as u64;
            match Flow::submit(request, &self.about, window) {
                Ok((flow, watch)) => {
                    (self.state, self.watch) = (State::Flowing(Box::new(flow)), watch);
                }
                Err(failure) => return Poll::Ready(Some(Err(self.about.error(failure).into()))),
            }
        }
        let State::Flowing(flow) = &mut self.state else { return Poll::Ready(None) };
        let outcome = match ready!(flow.poll_item(cx)) {
            Ok(item) => match (self.decode)(&item) {
                Ok(decoded) => {
                    self.received += item.len();
                    return Poll::Ready(Some(Ok(decoded)));
                }
                // Dropping the flow cancels the handler.
                Err(error) => Err(Failure::new(
                    Reason::WrongResult,
                    format!("an item of the results is not of the expected type: {error}"),
                )),
            },
            Err(reply) => reply,
        };
        self.state = State::Done;
        if let Some(watch) = self.watch.take() {
            watch.end(outcome.as_ref().map(|_| self.received));
        }
        Poll::Ready(outcome.err().map(|failure| Err(self.about.ending(failure))))
    }
}

// Nothing in it refers to itself.
impl<T, X> Unpin for StreamCall<T, X> {}

impl<T, X: Ending> Stream for StreamCall<T, X> {
    type Item = Result<T, X>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_flow(cx)
    }
}

impl<T, X: Ending> FusedStream for StreamCall<T, X> {
    fn is_terminated(&self) -> bool {
        matches!(self.state, State::Done)
    }
}

impl<T, X> fmt::Debug for StreamCall<T, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamCall")
            .field("service", &self.about.service)
            .field("method", &self.about.method)
            .finish_non_exhaustive()
    }
}
