//! A handler's stream of results, on its way out.

use std::future::poll_fn;
use std::pin::pin;

use bytes::Bytes;
use futures::{Stream, StreamExt};

use crate::context::Context;
use crate::service::Outcome;
use crate::wire::{Failure, Reason};

/// Sends what `stream` gives as the results of the call, as fast as its caller takes them.
///
/// `encode` turns an item into what travels, or into the failure that ends the stream. A method that
/// streams is written as one future: this one, with the stream made inside of it, so that the stream
/// may borrow from the service and from the arguments.
///
/// # Errors
/// An item is a failure, cannot be encoded, or is too large; or the caller did not ask for a stream.
///
/// # Cancellation
/// Dropping it drops the stream; what was sent stays sent.
pub async fn results<S: Stream>(
    context: &Context,
    stream: S,
    encode: impl Fn(&S::Item) -> Outcome,
) -> Outcome {
    let Some(streams) = context.streams() else {
        let message = "this method returns a stream; the call asked for one value";
        return Err(Failure::new(Reason::WrongArguments, message));
    };
    let mut stream = pin!(stream);
    loop {
        poll_fn(|cx| streams.poll_credit(cx)).await;
        match stream.next().await {
            None => return Ok(Bytes::new()),
            Some(item) => streams.send(encode(&item)?)?,
        }
    }
}
