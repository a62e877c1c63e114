//! The way out of a node: frames go to the link in the very turn that made them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::transport::{LinkError, LinkSink, Outbound};

/// Hands batches to the link's sink; all clones share it.
///
/// An actor gives what its turn brought, which is fed and flushed at once: no other task has to be
/// woken for it. What the link does not take now waits here, until [`drive`](Outlet::drive) is woken
/// by the link.
#[derive(Clone)]
pub(crate) struct Outlet(Rc<RefCell<Inner>>);

struct Inner {
    sink: LinkSink,
    waiting: VecDeque<Outbound>,
    /// About how many bytes wait.
    bytes: usize,
    /// The driver's: the link wakes it for whatever it was asked in any turn.
    driver: Waker,
    /// Those who wait for room.
    readers: Vec<Waker>,
    closing: bool,
    failed: Option<LinkError>,
}

impl Outlet {
    pub(crate) fn new(sink: LinkSink) -> Self {
        Outlet(Rc::new(RefCell::new(Inner {
            sink,
            waiting: VecDeque::new(),
            bytes: 0,
            driver: Waker::noop().clone(),
            readers: Vec::new(),
            closing: false,
            failed: None,
        })))
    }

    /// Sends all of `batch`, in its order, after what waits already.
    pub(crate) fn send(&self, batch: &mut Vec<Outbound>) {
        if batch.is_empty() {
            return;
        }
        let inner = &mut *self.0.borrow_mut();
        if inner.closing || inner.failed.is_some() {
            batch.clear();
            return;
        }
        let driver = inner.driver.clone();
        let mut cx = Context::from_waker(&driver);
        for outbound in batch.drain(..) {
            let ready = match inner.waiting.is_empty() {
                true => inner.sink.as_mut().poll_ready(&mut cx),
                false => Poll::Pending,
            };
            let fed = match ready {
                Poll::Ready(ready) => ready.and_then(|()| inner.sink.as_mut().start_send(outbound)),
                Poll::Pending => {
                    inner.bytes += weight(&outbound);
                    inner.waiting.push_back(outbound);
                    Ok(())
                }
            };
            if let Err(error) = fed {
                inner.failed = Some(error);
                break;
            }
        }
        inner.flush(&mut cx);
        if inner.failed.is_some() {
            inner.driver.wake_by_ref();
        }
    }

    /// Ends the way out, once what waits is fed.
    pub(crate) fn close(&self) {
        let mut inner = self.0.borrow_mut();
        inner.closing = true;
        inner.driver.wake_by_ref();
    }

    /// Waits until no more than this many frames, and bytes of them, wait for the link.
    pub(crate) async fn room(&self, frames: usize, bytes: usize) {
        poll_fn(|cx| {
            let mut inner = self.0.borrow_mut();
            let room = inner.waiting.len() <= frames && inner.bytes <= bytes;
            if room || inner.failed.is_some() {
                return Poll::Ready(());
            }
            inner.readers.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Feeds and flushes whenever the link has room again; ends when the way out was closed and the
    /// link with it, or when the link failed.
    pub(crate) async fn drive(&self) -> Result<(), LinkError> {
        poll_fn(|cx| self.0.borrow_mut().poll_drive(cx)).await
    }
}

impl Inner {
    fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if !self.driver.will_wake(cx.waker()) {
            self.driver = cx.waker().clone();
        }
        while !self.waiting.is_empty() && self.failed.is_none() {
            match self.sink.as_mut().poll_ready(cx) {
                Poll::Pending => break,
                Poll::Ready(ready) => {
                    let fed = self.waiting.pop_front().expect("it is not empty");
                    self.bytes -= weight(&fed);
                    if let Err(error) = ready.and_then(|()| self.sink.as_mut().start_send(fed)) {
                        self.failed = Some(error);
                    }
                }
            }
        }
        self.flush(cx);
        self.readers.drain(..).for_each(Waker::wake);
        match &self.failed {
            Some(error) => Poll::Ready(Err(error.clone())),
            None if self.closing && self.waiting.is_empty() => self.sink.as_mut().poll_close(cx),
            None => Poll::Pending,
        }
    }

    /// One flush for all that was fed. It need not finish: a slow peer is the transport's to wait
    /// for, which wakes the driver when there is more to write.
    fn flush(&mut self, cx: &mut Context<'_>) {
        if let Poll::Ready(Err(error)) = self.sink.as_mut().poll_flush(cx) {
            self.failed.get_or_insert(error);
        }
    }
}

fn weight(outbound: &Outbound) -> usize {
    match outbound {
        Outbound::Frame { frame, .. } => frame.weight(),
        _ => 0,
    }
}
