//! What a handler knows of its call, and what it passes on to calls it makes.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use compact_str::CompactString;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::interceptor::Passage;
use crate::ledger::{RunningTask, TaskScope};
use crate::node::Node;
use crate::peer::{Peer, PeerInfo};
use crate::stream::HandlerStreams;
use crate::trace_context::{TraceContext, is_tracestate};
use crate::value::ValueError;
use crate::wire::Headers;

/// A handler's view of the call it serves.
///
/// A method of a service trait takes one as `ctx: &Context`, anywhere among its parameters; a
/// function registered with [`Functions`](crate::Functions) as `Context`. It does not travel.
///
/// Calls that a handler makes inherit what is left of its deadline by themselves. Work that a
/// handler spawns does so inside [`scope`](Context::scope).
///
/// # Cancellation
/// When the caller drops or cancels the call, or its deadline comes, the handler's future is
/// dropped at its next `.await`. What it spawned elsewhere can wait for
/// [`cancelled`](Context::cancelled).
#[derive(Clone)]
pub struct Context(Rc<Inner>);

struct Inner {
    server: Rc<Serving>,
    caller: Rc<PeerInfo>,
    method: CompactString,
    headers: Headers,
    deadline: Instant,
    attempt: u8,
    streams: Option<Rc<HandlerStreams>>,
    cancelled: Cell<bool>,
    // Made when somebody first asks for it: most handlers never do.
    token: OnceCell<CancellationToken>,
    /// Entered whenever code of the handler runs.
    span: Span,
    stand: Cell<Stand>,
    /// Set before the handler begins, where interceptors are.
    passage: OnceCell<Box<Passage>>,
    /// Headers that interceptors gave; they go before the caller's.
    given: OnceCell<Headers>,
    /// The task that this is an attempt of.
    task: Option<Rc<TaskScope>>,
}

/// Where the code that runs stands to the call's span.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stand {
    /// It is not to be entered yet: until then, interceptors may say whose child it is.
    Before,
    Outside,
    Inside,
}

/// The server that runs a handler.
pub(crate) struct Serving {
    pub(crate) node: Node,
    pub(crate) service: CompactString,
    pub(crate) server: CompactString,
    pub(crate) epoch: u64,
}

/// What a call's context is made of, when its handler is about to begin.
pub(crate) struct Beginning {
    pub(crate) server: Rc<Serving>,
    pub(crate) caller: Rc<PeerInfo>,
    pub(crate) method: CompactString,
    pub(crate) headers: Headers,
    pub(crate) deadline: Instant,
    pub(crate) attempt: u8,
    pub(crate) streams: Option<Rc<HandlerStreams>>,
    pub(crate) span: Span,
    pub(crate) task: Option<Rc<TaskScope>>,
}

impl Context {
    pub(crate) fn new(beginning: Beginning) -> Self {
        let Beginning { server, caller, method, headers, deadline, attempt, streams, span, task } =
            beginning;
        Context(Rc::new(Inner {
            server,
            caller,
            method,
            headers,
            deadline,
            attempt,
            streams,
            cancelled: Cell::new(false),
            token: OnceCell::new(),
            span,
            stand: Cell::new(Stand::Outside),
            passage: OnceCell::new(),
            given: OnceCell::new(),
            task,
        }))
    }

    /// Who made the call.
    #[must_use]
    pub fn caller(&self) -> &PeerInfo {
        &self.0.caller
    }

    /// A handle to call the caller back by, in this call or later.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.node().peer(self.caller().node)
    }

    /// What is left of the call's deadline; zero once it has passed. A call without one, as most with
    /// streams are, has 400 days from its beginning.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.0.deadline.saturating_duration_since(Instant::now())
    }

    /// When the call's time is over, on this machine's monotonic clock.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.0.deadline
    }

    /// The header of this name, if the caller sent one or an interceptor set it, which goes before.
    /// Names are compared as they are.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(given, _)| *given == name).map(|(_, value)| value)
    }

    /// All headers: those that interceptors set, then the caller's, each in the order they were
    /// given.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let given = self.0.given.get().map_or(&[][..], |given| given);
        let sent = self.0.headers.iter();
        let sent = sent.filter(|(name, _)| given.iter().all(|(instead, _)| instead != name));
        given.iter().chain(sent).map(|(name, value)| (&**name, &**value))
    }

    /// The name of the service.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.0.server.service
    }

    /// The name of the method.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.0.method
    }

    /// The id of the server that runs the call.
    #[must_use]
    pub fn server_id(&self) -> &str {
        &self.0.server.server
    }

    /// The epoch of the server that runs the call: higher at every start of its identity.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.0.server.epoch
    }

    /// Which try of an idempotent call this is; 0 is the first.
    #[must_use]
    pub fn attempt(&self) -> u8 {
        self.0.attempt
    }

    /// The task that the handler runs an attempt of, if the call is recoverable.
    #[must_use]
    pub fn task(&self) -> Option<RunningTask> {
        self.0.task.clone().map(RunningTask::new)
    }

    /// Tells how far the handler of a recoverable call is, in any form, for whoever asks the task for its
    /// progress. The last word counts, also after a crash, and is as durable as everything of the task. A call that is not
    /// recoverable has nobody to tell it to: then this does nothing.
    ///
    /// # Errors
    /// The value cannot be encoded, or takes more than 64 KiB.
    pub fn progress<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), ValueError> {
        self.task().map_or(Ok(()), |task| task.progress(value))
    }

    /// The node that serves, for calls to other services. It does not keep the node open. Its calls
    /// pass through the interceptors of the handle by which the service is served.
    #[must_use]
    pub fn node(&self) -> &Node {
        self.passage().map_or(&self.0.server.node, Passage::node)
    }

    /// Whether the outcome is no longer wanted.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.get()
    }

    /// A token that is cancelled with the call; it may be sent to other threads.
    #[must_use]
    pub fn cancellation(&self) -> CancellationToken {
        let token = self.0.token.get_or_init(CancellationToken::new);
        if self.is_cancelled() {
            token.cancel();
        }
        token.clone()
    }

    /// Waits until the outcome is no longer wanted. It never does so by itself in a handler's own
    /// future, which is dropped then.
    pub async fn cancelled(&self) {
        self.cancellation().cancelled_owned().await;
    }

    /// Runs `future` so that calls made in it inherit this call's deadline.
    ///
    /// The handler itself is run so already; work that it spawns is not, since a spawned task has
    /// no parent:
    ///
    /// ```
    /// # use farcall_core::Context;
    /// # fn handler(ctx: &Context) {
    /// let inner = ctx.clone();
    /// actix::spawn(ctx.scope(async move {
    ///     assert!(inner.time_left() > std::time::Duration::ZERO);
    /// }));
    /// # }
    /// ```
    pub fn scope<F: Future>(&self, future: F) -> Scope<F> {
        Scope { context: self.clone(), future: Box::pin(future) }
    }

    /// The call's streams, if it has any.
    pub(crate) fn streams(&self) -> Option<&Rc<HandlerStreams>> {
        self.0.streams.as_ref()
    }

    pub(crate) fn span(&self) -> &Span {
        &self.0.span
    }

    /// The call's way through the interceptors, if there are any.
    pub(crate) fn passage(&self) -> Option<&Passage> {
        self.0.passage.get().map(|passage| &**passage)
    }

    /// The call is to go through interceptors before its handler begins.
    pub(crate) fn intercepted(&self) {
        self.0.stand.set(Stand::Before);
    }

    /// The call goes through interceptors.
    pub(crate) fn pass(&self, passage: Passage) {
        // Nobody but the service behind interceptors says this, and once for each call.
        let _ = self.0.passage.set(Box::new(passage));
    }

    /// All interceptors have let the call pass, and given it these headers.
    pub(crate) fn passed(&self, headers: Headers) {
        let _ = self.0.given.set(headers);
        self.0.stand.set(Stand::Outside);
        if let Some(streams) = &self.0.streams {
            streams.begin();
        }
    }

    pub(crate) fn cancel(&self) {
        self.0.cancelled.set(true);
        if let Some(streams) = &self.0.streams {
            streams.close();
        }
        if let Some(token) = self.0.token.get() {
            token.cancel();
        }
    }

    /// Runs `f` in the call's span, if it may be entered and is not yet.
    pub(crate) fn enter_span<R>(&self, f: impl FnOnce() -> R) -> R {
        if self.0.span.is_disabled() || self.0.stand.get() != Stand::Outside {
            return f();
        }
        struct Leave<'a>(&'a Cell<Stand>);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.set(Stand::Outside);
            }
        }
        self.0.stand.set(Stand::Inside);
        let _leave = Leave(&self.0.stand);
        self.0.span.in_scope(f)
    }

    /// Makes this the call that calls made inside `f` descend from.
    pub(crate) fn enter<R>(&self, f: impl FnOnce() -> R) -> R {
        struct Leave(Option<Context>);
        impl Drop for Leave {
            fn drop(&mut self) {
                CURRENT.with(|current| *current.borrow_mut() = self.0.take());
            }
        }
        let _leave = Leave(CURRENT.with(|current| current.borrow_mut().replace(self.clone())));
        self.enter_span(f)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("service", &self.service())
            .field("method", &self.method())
            .field("caller", &self.0.caller)
            .field("time_left", &self.time_left())
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Context>> = const { RefCell::new(None) };
}

/// The deadline of the call whose handler is running here, if one is.
pub(crate) fn inherited_deadline() -> Option<Instant> {
    CURRENT.with(|current| current.borrow().as_ref().map(Context::deadline))
}

/// The trace that the call whose handler is running here belongs to, as its headers tell: the
/// position, and what tracing systems have put beside it.
pub(crate) fn inherited_trace() -> Option<(TraceContext, Option<CompactString>)> {
    CURRENT.with(|current| {
        let current = current.borrow();
        let context = current.as_ref()?;
        let trace = TraceContext::parse(context.header(TraceContext::TRACEPARENT)?)?;
        let state = context.header(TraceContext::TRACESTATE).filter(|state| is_tracestate(state));
        Some((trace, state.map(CompactString::from)))
    })
}

/// A future whose calls descend from a call; see [`Context::scope`].
#[must_use = "futures do nothing unless polled"]
pub struct Scope<F> {
    context: Context,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Scope<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let output = ready!(this.context.enter(|| this.future.as_mut().poll(cx)));
        Poll::Ready(output)
    }
}

impl<F> fmt::Debug for Scope<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("context", &self.context).finish_non_exhaustive()
    }
}
