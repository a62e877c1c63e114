//! A call: built, then awaited.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use compact_str::CompactString;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use super::{NewCall, Reply, Submission, Submissions, Target};
use crate::context::inherited_deadline;
use crate::error::{CallError, MethodError};
use crate::node::Node;
use crate::schema::ServiceSchema;
use crate::value::{self, ValueError};
use crate::wire::{
    CallId, Failure, Headers, MAX_HEADER_BYTES, MAX_HEADERS, MAX_NAME_BYTES, Reason,
};

/// What is known of a method before it is called.
#[derive(Clone, Copy, Debug, Default)]
pub struct Method {
    /// The name under which servers know it.
    pub name: &'static str,
    /// Whether it may run again when the first run's outcome is unknown.
    pub idempotent: bool,
    /// How long to wait for it, if not `[client] timeout`.
    pub timeout: Option<Duration>,
}

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
    decode: fn(&[u8]) -> Result<T, ValueError>,
    ending: PhantomData<fn() -> X>,
}

/// What outlives the sending, to word the outcome.
#[derive(Clone)]
struct About {
    node: Node,
    service: CompactString,
    method: CompactString,
    idempotent: bool,
}

enum State {
    Built(Built),
    Sent { id: CallId, outcome: oneshot::Receiver<Reply> },
    Done,
}

struct Built {
    params: Result<Bytes, Box<Failure>>,
    target: Target,
    timeout: Option<Duration>,
    inherited: Option<Instant>,
    wait_for_server: Option<Duration>,
    headers: Headers,
    expects: Option<&'static ServiceSchema>,
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
        let built = Built {
            params: params.map_err(Box::new),
            target,
            timeout: traits.timeout,
            inherited: inherited_deadline(),
            wait_for_server: None,
            headers: Headers::new(),
            expects: None,
        };
        let about = About { node, service, method, idempotent: traits.idempotent };
        Call { state: State::Built(built), about, decode, ending: PhantomData }
    }

    fn option(mut self, set: impl FnOnce(&mut Built)) -> Self {
        if let State::Built(built) = &mut self.state {
            set(built);
        }
        self
    }

    /// Only servers that fit to this may have it.
    pub(crate) fn expecting(self, expects: Option<&'static ServiceSchema>) -> Self {
        self.option(|built| built.expects = expects)
    }

    /// Ends the call this long after its first poll, at the latest.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.option(|built| built.timeout = Some(timeout))
    }

    /// Waits this long for a server, if there is none; otherwise `[client] wait_for_server` (5 s).
    pub fn wait_for_server(self, wait: Duration) -> Self {
        self.option(|built| built.wait_for_server = Some(wait))
    }

    /// Sends a name and a value along, for the handler's `Context`. At most 64 of them
    /// ([`MAX_HEADERS`]), and 16 KiB in all ([`MAX_HEADER_BYTES`]). A
    /// later one takes the place of an earlier one of its name.
    pub fn header(self, name: impl Into<CompactString>, value: impl Into<CompactString>) -> Self {
        let (name, value) = (name.into(), value.into());
        self.option(|built| {
            // They travel as a map, which has a key once.
            built.headers.retain(|(earlier, _)| *earlier != name);
            built.headers.push((name, value));
        })
    }

    /// Allows the call to be started again, at most twice more, if its server dies.
    pub fn idempotent(mut self) -> Self {
        self.about.idempotent = true;
        self
    }

    /// Makes it one way: done when it is handed over to the operating system or broker; no outcome
    /// is awaited and none is reported. It may be lost after that.
    pub fn notify(mut self) -> Notify {
        let state = std::mem::replace(&mut self.state, State::Done);
        let about = self.about.clone();
        Notify(Call { state, about, decode: |_| Ok(()), ending: PhantomData })
    }

    fn poll_with(&mut self, one_way: bool, cx: &mut TaskContext<'_>) -> Poll<Result<T, X>> {
        if let State::Built(_) = &self.state
            && let Err(failure) = self.submit(one_way)
        {
            self.state = State::Done;
            return Poll::Ready(Err(self.about.error(failure).into()));
        }
        let State::Sent { outcome, .. } = &mut self.state else {
            panic!("a call was polled after it ended");
        };
        let reply = ready!(Pin::new(outcome).poll(cx));
        self.state = State::Done;
        Poll::Ready(match reply {
            Ok(Ok(value)) => {
                (self.decode)(&value).map_err(|error| self.about.misfit(&error).into())
            }
            Ok(Err(failure)) => Err(self.about.ending(failure)),
            // The actor is gone without a word: the node was torn down under the call.
            Err(_) => {
                let lost = Failure::new(Reason::ServerLost, "the node was closed during the call");
                Err(self.about.error(lost).into())
            }
        })
    }

    /// Hands the call over to the client actor.
    fn submit(&mut self, one_way: bool) -> Result<(), Failure> {
        let State::Built(built) = std::mem::replace(&mut self.state, State::Done) else {
            unreachable!("asked for by the only caller");
        };
        let config = self.about.node.config();
        let inherited = match (built.inherited, inherited_deadline()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let wait = built.wait_for_server.unwrap_or(config.client.wait_for_server);
        names_fit(&self.about.service, &self.about.method)?;
        if !built.headers.is_empty() {
            headers_fit(&built.headers)?;
        }
        let params = built.params.map_err(|failure| *failure)?;
        let limit = config.limits.max_message_bytes;
        if params.len() > limit {
            return Err(Failure::new(
                Reason::ArgumentsTooLarge,
                format!(
                    "the arguments take {} bytes, the limit is {limit} (limits.max_message_bytes)",
                    params.len()
                ),
            ));
        }
        let (reply, outcome) = oneshot::channel();
        let id = self.about.submissions().call(NewCall {
            target: built.target,
            service: self.about.service.clone(),
            method: self.about.method.clone(),
            params,
            headers: built.headers,
            one_way,
            idempotent: self.about.idempotent,
            timeout: built.timeout.unwrap_or(config.client.timeout),
            inherited,
            wait_for_server: wait,
            expects: built.expects,
            reply,
        })?;
        self.state = State::Sent { id, outcome };
        Ok(())
    }
}

/// What would not fit into a frame is found here: the server would take it for garbage.
fn names_fit(service: &str, method: &str) -> Result<(), Failure> {
    for (what, name) in [("service", service), ("method", method)] {
        if name.len() > MAX_NAME_BYTES {
            let (size, limit) = (name.len(), MAX_NAME_BYTES);
            let message = format!("the name of the {what} has {size} bytes, the limit is {limit}");
            return Err(Failure::new(Reason::ArgumentsTooLarge, message));
        }
    }
    Ok(())
}

fn headers_fit(headers: &Headers) -> Result<(), Failure> {
    let too_much = |what: &str, size: usize, limit: usize| {
        let message = format!("{what} {size}, the limit is {limit}");
        Err(Failure::new(Reason::ArgumentsTooLarge, message))
    };
    if headers.len() > MAX_HEADERS {
        return too_much("headers in number:", headers.len(), MAX_HEADERS);
    }
    if let Some((name, _)) = headers.iter().find(|(name, _)| name.len() > MAX_NAME_BYTES) {
        return too_much("bytes in the name of a header:", name.len(), MAX_NAME_BYTES);
    }
    let bytes = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > MAX_HEADER_BYTES {
        return too_much("bytes in headers:", bytes, MAX_HEADER_BYTES);
    }
    Ok(())
}

impl About {
    fn submissions(&self) -> &Submissions {
        self.node.submissions()
    }

    fn error(&self, failure: Failure) -> CallError {
        CallError::new(failure, self.service.clone(), self.method.clone(), self.idempotent)
    }

    fn misfit(&self, error: &ValueError) -> CallError {
        self.error(Failure::new(
            Reason::WrongResult,
            format!("the method ran, but its result is not of the expected type: {error}"),
        ))
    }

    fn ending<X: Ending>(&self, failure: Failure) -> X {
        let own = match (failure.reason, &failure.value) {
            (Reason::Returned, Some(value)) => X::returned(value),
            _ => None,
        };
        match own {
            Some(Ok(ending)) => ending,
            Some(Err(error)) => self
                .error(Failure::new(
                    Reason::WrongResult,
                    format!(
                        "the method returned the error `{}`, which is not of the expected type: \
                         {error}",
                        failure.message
                    ),
                ))
                .into(),
            None => self.error(failure).into(),
        }
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
