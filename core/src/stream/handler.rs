//! The streams of one call at the side that runs it.
//!
//! Shared by the server actor, which feeds in what arrives, and the handler, which runs on the same
//! thread: so a cell is all the lock there is.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, Waker};

use bytes::Bytes;

use super::credit::{Allowance, Refill, cost};
use crate::queue::Sender;
use crate::transport::PeerId;
use crate::wire::{CallId, Failure, Reason, StreamId};

/// What comes from a call's handler, in its order.
#[derive(Debug)]
pub(crate) enum FromHandler {
    /// Send an item of the results.
    Item(Bytes),
    /// Let the caller send the argument streams.
    Begun,
    /// Let the caller send more of an argument stream.
    Credit(StreamId, u64),
    /// The handler wants no more of an argument stream.
    Stop(StreamId),
    /// An item that came is no good: the call is to end like this.
    Break(Box<Failure>),
    /// The handler is done. Boxed, because for each of these there may be many items.
    Ended(Result<Bytes, Box<Failure>>),
}

/// Which call: ids are the caller's own.
pub(crate) type CallKey = (PeerId, CallId);

/// Which handler: the call, and a number that no other call has. A caller may use an id again, and
/// what an earlier handler has said may still be on its way then.
pub(crate) type HandlerKey = (CallKey, u64);

/// The streams of a call that runs.
pub(crate) struct HandlerStreams {
    key: HandlerKey,
    to_server: Sender<(HandlerKey, FromHandler)>,
    results: RefCell<Results>,
    arguments: RefCell<Vec<Argument>>,
    /// The largest item that the caller takes.
    max_item: usize,
    /// The call has ended: nothing more is wanted for it.
    over: Cell<bool>,
}

/// The writer's side of the results.
struct Results {
    credit: Allowance,
    /// Bytes of items so far.
    sent: usize,
    waker: Waker,
}

/// The reader's side of an argument stream.
struct Argument {
    items: VecDeque<Bytes>,
    /// What the caller may still send.
    open: Allowance,
    refill: Refill,
    ended: bool,
    /// Nobody reads it any more; what comes is dropped.
    dropped: bool,
    waker: Waker,
}

/// A peer has sent or granted more than it may, or to a stream that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overrun;

impl HandlerStreams {
    /// For a call with this many argument streams, each of this window, whose results have this
    /// much credit to begin with.
    pub(crate) fn new(
        key: HandlerKey,
        to_server: Sender<(HandlerKey, FromHandler)>,
        credit: u64,
        arguments: u32,
        window: u64,
        max_item: usize,
    ) -> Rc<Self> {
        let argument = || Argument {
            items: VecDeque::new(),
            open: Allowance::new(window),
            refill: Refill::new(window),
            ended: false,
            dropped: false,
            waker: Waker::noop().clone(),
        };
        Rc::new(HandlerStreams {
            key,
            to_server,
            results: RefCell::new(Results {
                credit: Allowance::new(credit),
                sent: 0,
                waker: Waker::noop().clone(),
            }),
            arguments: RefCell::new((0..arguments).map(|_| argument()).collect()),
            max_item,
            over: Cell::new(false),
        })
    }

    /// Whether the call has this argument stream.
    pub(crate) fn has_argument(&self, stream: StreamId) -> bool {
        at(&mut self.arguments.borrow_mut(), stream).is_some()
    }

    /// An item of an argument stream has come.
    pub(crate) fn arrived(&self, stream: StreamId, item: Bytes) -> Result<(), Overrun> {
        let waker = {
            let mut arguments = self.arguments.borrow_mut();
            let argument = at(&mut arguments, stream).ok_or(Overrun)?;
            if argument.ended || !argument.open.spend(cost(&item)) {
                return Err(Overrun);
            }
            if argument.dropped {
                return Ok(());
            }
            argument.items.push_back(item);
            std::mem::replace(&mut argument.waker, Waker::noop().clone())
        };
        waker.wake();
        Ok(())
    }

    /// An argument stream has ended well.
    pub(crate) fn ended(&self, stream: StreamId) -> Result<(), Overrun> {
        let waker = {
            let mut arguments = self.arguments.borrow_mut();
            let argument = at(&mut arguments, stream).ok_or(Overrun)?;
            argument.ended = true;
            std::mem::replace(&mut argument.waker, Waker::noop().clone())
        };
        waker.wake();
        Ok(())
    }

    /// The caller takes this much more of the results.
    pub(crate) fn granted(&self, bytes: u64) -> Result<(), Overrun> {
        let waker = {
            let mut results = self.results.borrow_mut();
            if !results.credit.grant(bytes) {
                return Err(Overrun);
            }
            std::mem::replace(&mut results.waker, Waker::noop().clone())
        };
        waker.wake();
        Ok(())
    }

    /// The handler begins: from now on the caller may send.
    pub(crate) fn begin(&self) {
        if !self.arguments.borrow().is_empty() {
            self.tell(FromHandler::Begun);
        }
    }

    /// The call has ended, or was cancelled.
    pub(crate) fn close(&self) {
        self.over.set(true);
    }

    /// Ready while the results have credit.
    pub(crate) fn poll_credit(&self, cx: &mut TaskContext<'_>) -> Poll<()> {
        let mut results = self.results.borrow_mut();
        if results.credit.is_open() {
            return Poll::Ready(());
        }
        results.waker = cx.waker().clone();
        Poll::Pending
    }

    /// Sends an item of the results; asked for after [`poll_credit`](Self::poll_credit) was ready.
    pub(crate) fn send(&self, item: Bytes) -> Result<(), Failure> {
        if item.len() > self.max_item {
            let (size, limit) = (item.len(), self.max_item);
            return Err(Failure::new(
                Reason::ResultTooLarge,
                format!(
                    "an item of the results takes {size} bytes, the limit is {limit} \
                     (limits.max_message_bytes, the lower of both sides)"
                ),
            ));
        }
        let mut results = self.results.borrow_mut();
        results.credit.spend(cost(&item));
        results.sent += item.len();
        drop(results);
        self.tell(FromHandler::Item(item));
        Ok(())
    }

    /// How many bytes of items of the results were sent.
    pub(crate) fn sent(&self) -> usize {
        self.results.borrow().sent
    }

    /// The next item of an argument stream; `None` at its end.
    pub(crate) fn poll_item(
        &self,
        stream: StreamId,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Bytes>> {
        let mut arguments = self.arguments.borrow_mut();
        let Some(argument) = at(&mut arguments, stream) else { return Poll::Ready(None) };
        let Some(item) = argument.items.pop_front() else {
            if argument.ended {
                return Poll::Ready(None);
            }
            argument.waker = cx.waker().clone();
            return Poll::Pending;
        };
        if let Some(bytes) = argument.refill.taken(cost(&item))
            && !argument.ended
        {
            argument.open.grant(bytes);
            self.tell(FromHandler::Credit(stream, bytes));
        }
        Poll::Ready(Some(item))
    }

    /// An item could not be read: the call is over.
    pub(crate) fn broken(&self, failure: Failure) {
        self.tell(FromHandler::Break(Box::new(failure)));
    }

    /// The handler has dropped an argument stream.
    pub(crate) fn dropped(&self, stream: StreamId) {
        let held = {
            let mut arguments = self.arguments.borrow_mut();
            let Some(argument) = at(&mut arguments, stream) else { return };
            argument.dropped = true;
            if !argument.ended {
                self.tell(FromHandler::Stop(stream));
            }
            std::mem::take(&mut argument.items)
        };
        drop(held);
    }

    fn tell(&self, word: FromHandler) {
        if !self.over.get() {
            // Closed with the actor: then nobody is left to tell.
            let _ = self.to_server.push((self.key, word));
        }
    }
}

/// Streams of arguments are numbered from 1.
fn at(arguments: &mut [Argument], stream: StreamId) -> Option<&mut Argument> {
    let at = usize::try_from(stream.0).ok()?.checked_sub(1)?;
    arguments.get_mut(at)
}

impl std::fmt::Debug for HandlerStreams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandlerStreams").field("over", &self.over).finish_non_exhaustive()
    }
}
