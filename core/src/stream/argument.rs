//! An argument stream as its handler reads it.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, ready};

use futures::Stream;

use super::handler::HandlerStreams;
use crate::value::ValueError;
use crate::wire::{Failure, Reason, StreamId};

/// The items that a caller streams into a call, as they arrive.
///
/// A method of a service trait takes one as `impl Stream<Item = T>`; a function registered with
/// [`Functions`](crate::Functions) as this type:
///
/// ```
/// use farcall_core::{ArgumentStream, Functions};
/// use futures::StreamExt;
///
/// let tools = Functions::new("tools").add("sum", |numbers: ArgumentStream<i64>| async move {
///     numbers.fold(0, |sum, number| async move { sum + number }).await
/// });
/// ```
///
/// It ends when the caller's stream has ended, and never because something failed: when the caller
/// goes away, or sends an item that is not of this type, the handler is dropped instead.
///
/// It belongs to its handler: in a task that outlives the handler it gives nothing more, and no end.
///
/// The caller may be ahead by `limits.stream_window` bytes; reading makes room for more. Dropping it
/// stops the caller's stream.
pub struct ArgumentStream<T> {
    streams: Rc<HandlerStreams>,
    stream: StreamId,
    name: &'static str,
    /// How many items came before.
    read: u64,
    decode: fn(&[u8]) -> Result<T, ValueError>,
}

impl<T> ArgumentStream<T> {
    pub(crate) fn new(
        streams: Rc<HandlerStreams>,
        stream: StreamId,
        name: &'static str,
        decode: fn(&[u8]) -> Result<T, ValueError>,
    ) -> Self {
        ArgumentStream { streams, stream, name, read: 0, decode }
    }
}

impl<T> Stream for ArgumentStream<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<T>> {
        let this = self.get_mut();
        let Some(item) = ready!(this.streams.poll_item(this.stream, cx)) else {
            return Poll::Ready(None);
        };
        this.read += 1;
        match (this.decode)(&item) {
            Ok(item) => Poll::Ready(Some(item)),
            Err(error) => {
                let (name, at) = (this.name, this.read);
                let message = format!("argument `{name}`: item {at} of the stream: {error}");
                this.streams.broken(Failure::new(Reason::StreamBroken, message));
                // The server ends the handler, which is not to take this for an end.
                Poll::Pending
            }
        }
    }
}

// Nothing in it refers to itself.
impl<T> Unpin for ArgumentStream<T> {}

impl<T> Drop for ArgumentStream<T> {
    fn drop(&mut self) {
        self.streams.dropped(self.stream);
    }
}

impl<T> fmt::Debug for ArgumentStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArgumentStream").field("name", &self.name).finish_non_exhaustive()
    }
}
