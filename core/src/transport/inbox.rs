//! What a transport has received and core has not taken yet.
//!
//! The inbox is bounded by asking first: whoever is about to read from a socket, or to accept
//! another connection, waits for room. So a flood stays in the sockets of those who send it. What
//! follows from things already admitted (a session's end, frames that come back) is always taken.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use super::{Inbound, PeerId, Receipt};
use crate::wire::Frame;

/// Bytes of frames beyond which nothing more is read.
const BYTES: usize = 1024 * 1024;
/// Events beyond which nothing more is read.
const EVENTS: usize = 16 * 1024;
/// How many events an empty inbox has room for.
const EVENTS_KEPT: usize = 2048;

/// A link's queue towards core, for transports to build their stream on: one thread, many who push, one who
/// takes.
///
/// ```
/// use farcall_core::transport::{Inbound, Inbox};
///
/// # farcall_core::block_on(async {
/// let inbox = Inbox::default();
/// inbox.room().await; // there is, so far
/// inbox.push(Inbound::Rejected { reason: "it said nothing".to_owned() });
/// inbox.close();
/// let first = std::future::poll_fn(|cx| inbox.poll_next(cx)).await;
/// assert!(matches!(first, Some(Inbound::Rejected { .. })));
/// assert!(std::future::poll_fn(|cx| inbox.poll_next(cx)).await.is_none());
/// # });
/// ```
#[derive(Default)]
pub struct Inbox {
    events: RefCell<VecDeque<Inbound>>,
    bytes: Cell<usize>,
    closed: Cell<bool>,
    /// Who takes the events.
    taker: Cell<Option<Waker>>,
    /// Those who wait for room.
    waiting: RefCell<Vec<Waker>>,
}

impl Inbox {
    /// Adds anything but a frame.
    pub fn push(&self, event: Inbound) {
        self.events.borrow_mut().push_back(event);
        self.wake_taker();
    }

    /// Adds a frame, and the receipt of one that is to be settled.
    pub fn push_frame(&self, from: PeerId, frame: Frame, receipt: Option<Receipt>) {
        self.bytes.set(self.bytes.get() + frame.weight());
        self.events.borrow_mut().push_back(Inbound::Frame { from, frame, receipt });
        self.wake_taker();
    }

    /// Nothing follows but what is there.
    pub fn close(&self) {
        self.closed.set(true);
        self.wake_taker();
    }

    /// Takes the next event; `None` after the last one of a closed inbox.
    pub fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Inbound>> {
        let event = self.events.borrow_mut().pop_front();
        let Some(event) = event else {
            if self.closed.get() {
                return Poll::Ready(None);
            }
            self.events.borrow_mut().shrink_to(EVENTS_KEPT);
            self.taker.set(Some(cx.waker().clone()));
            return Poll::Pending;
        };
        if let Inbound::Frame { frame, .. } = &event {
            self.bytes.set(self.bytes.get() - frame.weight());
        }
        // Only at half: a reader woken for each event taken would read in crumbs.
        if self.is_below(2) {
            self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
        }
        Poll::Ready(Some(event))
    }

    /// Ready while more may be read.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_below(1) {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Waits until more may be read.
    ///
    /// # Cancellation
    /// It may be dropped at any time.
    pub async fn room(&self) {
        poll_fn(|cx| self.poll_room(cx)).await;
    }

    fn is_below(&self, part: usize) -> bool {
        self.bytes.get() < BYTES / part && self.events.borrow().len() < EVENTS / part
    }

    fn wake_taker(&self) {
        if let Some(taker) = self.taker.take() {
            taker.wake();
        }
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (events, bytes) = (self.events.borrow().len(), self.bytes.get());
        f.debug_struct("Inbox")
            .field("events", &events)
            .field("bytes", &bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::task::noop_waker;

    use super::*;
    use crate::wire::CallId;

    fn push(inbox: &Inbox, bytes: usize) {
        let value = Bytes::from(vec![0; bytes]);
        inbox.push_frame(PeerId(1), Frame::Answer { id: CallId(1), value }, None);
    }

    fn with_context<T>(run: impl FnOnce(&mut Context<'_>) -> T) -> T {
        run(&mut Context::from_waker(&noop_waker()))
    }

    #[test]
    fn room_comes_back_when_half_is_taken() {
        let inbox = Inbox::default();
        with_context(|cx| {
            for _ in 0..4 {
                assert!(inbox.poll_room(cx).is_ready());
                push(&inbox, BYTES / 4);
            }
            assert!(inbox.poll_room(cx).is_pending());
            assert!(inbox.poll_next(cx).is_ready());
            assert!(inbox.poll_room(cx).is_ready(), "three quarters are taken");
            assert_eq!(inbox.waiting.borrow().len(), 1, "but who waits is left alone");
            assert!(inbox.poll_next(cx).is_ready() && inbox.poll_next(cx).is_ready());
            assert!(inbox.waiting.borrow().is_empty());
        });
    }

    #[test]
    fn many_small_events_fill_it_too() {
        let inbox = Inbox::default();
        for _ in 0..EVENTS {
            inbox.push(Inbound::Rejected { reason: String::new() });
        }
        assert!(with_context(|cx| inbox.poll_room(cx)).is_pending());
    }

    #[test]
    fn a_closed_inbox_gives_out_what_it_has_first() {
        let inbox = Inbox::default();
        push(&inbox, 1);
        inbox.close();
        with_context(|cx| {
            assert!(matches!(inbox.poll_next(cx), Poll::Ready(Some(_))));
            assert!(matches!(inbox.poll_next(cx), Poll::Ready(None)));
        });
    }
}
