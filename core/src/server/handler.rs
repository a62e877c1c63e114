//! A handler under way: in its call's scope, and with its panics caught.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, Waker};

use bytes::Bytes;

use crate::context::Context;
use crate::params::Params;
use crate::service::{Invocation, Outcome, Service};
use crate::wire::{Failure, Reason};

/// A handler as a future that always ends with an outcome.
pub(crate) struct Handler {
    context: Context,
    invocation: Invocation,
}

/// What became of a call when its handler was begun.
pub(crate) enum Begun {
    /// It is done.
    Done(Outcome),
    /// It waits for something.
    Pending(Handler),
}

/// Begins a call and runs its handler as far as it goes without waiting.
///
/// Most handlers end here, which saves them a task. One that waits is polled again when it becomes
/// a task, with that task's waker, so the waker used here need not do anything. One with streams is
/// always a task: its outcome has to come after its items, by the same way.
pub(crate) fn begin(
    service: &dyn Service,
    method: usize,
    params: Params,
    context: Context,
) -> Begun {
    let first = guarded(&context, || {
        let mut invocation = service.call(method, params, &context)?;
        if context.streams().is_some() {
            return Ok(First::Pending(invocation));
        }
        match invocation.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
            // What is done is dropped in here, where its destructors may do what handlers may.
            Poll::Ready(outcome) => outcome.map(First::Done),
            Poll::Pending => Ok(First::Pending(invocation)),
        }
    });
    match first {
        Ok(Ok(First::Done(value))) => Begun::Done(Ok(value)),
        Ok(Ok(First::Pending(invocation))) => Begun::Pending(Handler { context, invocation }),
        Ok(Err(failure)) | Err(failure) => Begun::Done(Err(failure)),
    }
}

/// How far a handler came without waiting.
enum First {
    Done(Bytes),
    Pending(Invocation),
}

impl Future for Handler {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Outcome> {
        let this = &mut *self;
        match guarded(&this.context, || this.invocation.as_mut().poll(cx)) {
            Ok(poll) => poll,
            Err(failure) => Poll::Ready(Err(failure)),
        }
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        // Destructors of a cancelled handler may make calls, and may panic.
        let ended: Invocation = Box::pin(std::future::pending());
        let invocation = std::mem::replace(&mut self.invocation, ended);
        let _ = guarded(&self.context, move || drop(invocation));
    }
}

/// Runs user code in its call's scope; a panic becomes a failure.
fn guarded<R>(context: &Context, code: impl FnOnce() -> R) -> Result<R, Failure> {
    // What a panic leaves half done is the service's own: it is dropped or seen by other calls as
    // in any program that catches panics at a boundary.
    catch_unwind(AssertUnwindSafe(|| context.enter(code))).map_err(|panic| {
        let method = context.method();
        Failure::new(Reason::Panicked, format!("`{method}` panicked: {}", words(&*panic)))
    })
}

fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
