//! A call on its way, without its types: what tasks and questions about them are made of.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use super::request::{About, Request, Submitted};
use super::watch::Watch;
use super::{Acceptance, Reply, ReplyTo, Submission, Submissions};
use crate::wire::{CallId, Failure, Reason};

/// Gives the call's outcome. Dropping it before sends a cancel.
pub(super) struct Sent {
    id: CallId,
    outcome: oneshot::Receiver<Reply>,
    submissions: Submissions,
    over: bool,
}

impl Sent {
    /// Sends a call; what it is accepted as comes by `accepted`, if somebody wants to know.
    pub(super) fn submit(
        request: Request,
        about: &About,
        accepted: Option<oneshot::Sender<Acceptance>>,
    ) -> Result<(Self, Option<Box<Watch>>), Failure> {
        let (reply, outcome) = oneshot::channel();
        let reply = match accepted {
            Some(accepted) => ReplyTo::Task(reply, Some(accepted)),
            None => ReplyTo::Once(reply),
        };
        let Submitted { id, watch } = request.submit(about, false, reply)?;
        Ok((Sent { id, outcome, submissions: about.submissions().clone(), over: false }, watch))
    }
}

impl Future for Sent {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reply> {
        let reply = ready!(Pin::new(&mut self.outcome).poll(cx));
        self.over = true;
        // Gone without a word: the node was torn down under the call.
        let lost = |_| Err(Failure::new(Reason::ServerLost, "the node was closed during the call"));
        Poll::Ready(reply.unwrap_or_else(lost))
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        if !self.over {
            self.submissions.push(Submission::Cancel(self.id));
        }
    }
}
