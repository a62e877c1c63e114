//! A call with streams, from its sending to its outcome.

use std::task::{Context as TaskContext, Poll};
use std::vec;

use bytes::Bytes;

use super::request::{About, Request, Streams};
use super::upload::Uploads;
use super::watch::Watch;
use super::{Arrival, Reply, ReplyTo, Submission, Submissions};
use crate::queue::{Batches, queue};
use crate::stream::{Refill, cost};
use crate::wire::{CallId, Failure, Reason};

/// The caller's end of a call with streams. Dropping it cancels the call.
///
/// Polling it sends the argument streams along and takes in what has come; so it is its caller who
/// drives them, in his own task and at his own pace.
pub(crate) struct Flow {
    id: CallId,
    submissions: Submissions,
    arrivals: Batches<Arrival>,
    /// Taken from `arrivals`, and not looked at yet.
    taken: vec::IntoIter<Arrival>,
    uploads: Uploads,
    max_item: usize,
    /// Results taken out, until they are granted anew.
    refill: Refill,
    over: bool,
}

/// What polling has brought.
enum Step {
    Item(Bytes),
    End(Reply),
}

impl Flow {
    /// Sends a call. A `window` of 0 says that it has one result, and no stream of them.
    pub(crate) fn submit(
        request: Request,
        about: &About,
        uploads: Uploads,
        window: u64,
    ) -> Result<(Self, Option<Box<Watch>>), Failure> {
        let (sender, arrivals) = queue();
        let streams = Streams { arguments: uploads.count(), credit: window };
        let (id, watch) = request.submit(about, false, streams, ReplyTo::Flow(sender.into()))?;
        let flow = Flow {
            id,
            submissions: about.submissions().clone(),
            arrivals,
            taken: Vec::new().into_iter(),
            uploads,
            max_item: about.node.config().limits.max_message_bytes,
            refill: Refill::new(window),
            over: false,
        };
        Ok((flow, watch))
    }

    /// The next item of the results, or the call's outcome after the last.
    pub(crate) fn poll_item(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<Bytes, Reply>> {
        match self.poll_step(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Step::End(reply)) => Poll::Ready(Err(reply)),
            Poll::Ready(Step::Item(item)) => {
                if let Some(bytes) = self.refill.taken(cost(&item)) {
                    self.submissions.push(Submission::Credit(self.id, bytes));
                }
                Poll::Ready(Ok(item))
            }
        }
    }

    /// The outcome of a call that has one result.
    pub(crate) fn poll_outcome(&mut self, cx: &mut TaskContext<'_>) -> Poll<Reply> {
        loop {
            match std::task::ready!(self.poll_step(cx)) {
                Step::End(reply) => return Poll::Ready(reply),
                // Without credit none is passed on.
                Step::Item(_) => {}
            }
        }
    }

    fn poll_step(&mut self, cx: &mut TaskContext<'_>) -> Poll<Step> {
        if self.over {
            panic!("a call was polled after it ended");
        }
        loop {
            for arrival in self.taken.by_ref() {
                match arrival {
                    Arrival::Item(item) => return Poll::Ready(Step::Item(item)),
                    Arrival::Credit(stream, bytes) => self.uploads.granted(stream, bytes),
                    Arrival::Stop(stream) => self.uploads.stopped(stream),
                    Arrival::End(reply) => {
                        self.over = true;
                        return Poll::Ready(Step::End(reply.map_err(|failure| *failure)));
                    }
                }
            }
            // Before every look at what has come, so that a flood of results does not hold them up.
            if let Err(failure) = self.uploads.poll(self.id, self.max_item, &self.submissions, cx) {
                self.submissions.push(Submission::Cancel(self.id));
                self.over = true;
                return Poll::Ready(Step::End(Err(failure)));
            }
            match self.arrivals.poll_take(cx) {
                Poll::Ready(Some(batch)) => self.taken = batch.into_iter(),
                Poll::Ready(None) => {
                    // Not even its end came: the node was torn down under the call.
                    self.over = true;
                    let message = "the node was closed during the call";
                    let lost = Failure::new(Reason::ServerLost, message);
                    return Poll::Ready(Step::End(Err(lost)));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        if !self.over {
            self.submissions.push(Submission::Cancel(self.id));
        }
    }
}
