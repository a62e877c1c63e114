//! Argument streams on their way out of a caller.

use std::fmt;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use futures::{Stream, StreamExt};

use super::{Submission, Submissions};
use crate::stream::{Allowance, TURN, cost};
use crate::value::ValueError;
use crate::wire::{CallId, Failure, Reason, StreamId};

type Items = Pin<Box<dyn Stream<Item = Result<Bytes, ValueError>> + Send>>;

/// A stream that a call sends along.
pub struct Upload {
    /// `None` once it has ended, or nobody wants more of it.
    items: Option<Items>,
    credit: Allowance,
    sent: u64,
}

impl Upload {
    /// For these items; `encode` turns each into what travels.
    pub fn new<S>(stream: S, encode: fn(&S::Item) -> Result<Bytes, ValueError>) -> Self
    where
        S: Stream + Send + 'static,
    {
        let items = stream.map(move |item| encode(&item));
        Upload { items: Some(Box::pin(items)), credit: Allowance::default(), sent: 0 }
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("sent", &self.sent).finish_non_exhaustive()
    }
}

/// All argument streams of a call, numbered from 1.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Vec<Upload>);

impl Uploads {
    pub(crate) fn push(&mut self, upload: Upload) {
        self.0.push(upload);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    /// The handler takes this much more.
    pub(crate) fn granted(&mut self, stream: StreamId, bytes: u64) {
        if let Some(upload) = self.at(stream) {
            upload.credit.grant(bytes);
        }
    }

    /// The handler wants no more of it: the stream is dropped.
    pub(crate) fn stopped(&mut self, stream: StreamId) {
        if let Some(upload) = self.at(stream) {
            upload.items = None;
        }
    }

    fn at(&mut self, stream: StreamId) -> Option<&mut Upload> {
        let at = usize::try_from(stream.0).ok()?.checked_sub(1)?;
        self.0.get_mut(at)
    }

    /// Sends what the streams have and their credit allows.
    ///
    /// # Errors
    /// An item cannot be sent, so the call cannot go on.
    pub(crate) fn poll(
        &mut self,
        id: CallId,
        max_item: usize,
        to: &Submissions,
        cx: &mut TaskContext<'_>,
    ) -> Result<(), Failure> {
        for (upload, number) in self.0.iter_mut().zip(1..) {
            upload.poll(id, StreamId(number), max_item, to, cx)?;
        }
        Ok(())
    }
}

impl Upload {
    fn poll(
        &mut self,
        id: CallId,
        stream: StreamId,
        max_item: usize,
        to: &Submissions,
        cx: &mut TaskContext<'_>,
    ) -> Result<(), Failure> {
        let mut turn = 0;
        while self.credit.is_open()
            && let Some(items) = &mut self.items
        {
            if turn == TURN {
                cx.waker().wake_by_ref();
                break;
            }
            turn += 1;
            let item = match items.as_mut().poll_next(cx) {
                Poll::Pending => break,
                Poll::Ready(None) => {
                    self.items = None;
                    to.push(Submission::End(id, stream));
                    break;
                }
                Poll::Ready(Some(item)) => item,
            };
            self.sent += 1;
            let broken = |what: String| {
                let (number, at) = (stream.0, self.sent);
                let message = format!("item {at} of argument stream {number} {what}");
                Failure::new(Reason::StreamBroken, message)
            };
            let item = item.map_err(|error| broken(format!("cannot be encoded: {error}")))?;
            if item.len() > max_item {
                return Err(broken(format!(
                    "takes {} bytes, the limit is {max_item} (limits.max_message_bytes)",
                    item.len()
                )));
            }
            self.credit.spend(cost(&item));
            to.push(Submission::Item(id, stream, item));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Wake, Waker};

    use futures::stream;

    use super::*;
    use crate::value;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_stream_that_is_always_ready_leaves_others_their_turn() {
        let (to, batches) = Submissions::new();
        let mut uploads = Uploads::default();
        let items = stream::repeat(7_u8);
        uploads.push(Upload::new(items, |item| value::encode(item).map(Bytes::from)));
        uploads.granted(StreamId(1), 1 << 20);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let cx = &mut TaskContext::from_waker(&waker);
        uploads.poll(CallId(1), 100, &to, cx).unwrap();
        assert!(woken.0.load(Ordering::Relaxed), "it goes on after them");
        let Poll::Ready(Some(sent)) = batches.poll_take(cx) else { panic!("nothing was sent") };
        assert_eq!(sent.len(), TURN);
    }
}
