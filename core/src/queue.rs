//! A queue whose reader takes everything that waits at once.
//!
//! It joins handles to actors and actors to the link: whatever has gathered since the reader last
//! ran is one batch, so that the cost of waking it is shared. The lock is held for a push or a swap
//! of two pointers and hardly ever contended.
//!
//! The queue itself has no bound: its reader admits what it takes, where the number of calls and of
//! their bytes is bounded (see `docs/ARCHITECTURE.md`, "Bounds"). What waits before that is at most
//! one entry for each future that its caller holds, one for each that it has dropped since, and of
//! each stream what there is credit for.

use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::Stream;

/// The end that pushes; all clones feed one reader.
#[derive(Debug)]
pub(crate) struct Sender<T>(Arc<Mutex<Inner<T>>>);

/// The end that takes; dropping it closes the queue.
#[derive(Debug)]
pub(crate) struct Batches<T>(Arc<Mutex<Inner<T>>>);

#[derive(Debug)]
struct Inner<T> {
    waiting: Vec<T>,
    pushed: u64,
    reader: Option<Waker>,
    closed: bool,
}

/// The most items that room is kept for.
const AGAIN: usize = 1024;

/// The queue is closed; the item comes back.
#[derive(Debug)]
pub(crate) struct Closed<T>(pub(crate) T);

/// A queue of its two ends.
pub(crate) fn queue<T>() -> (Sender<T>, Batches<T>) {
    let inner = Inner { waiting: Vec::new(), pushed: 0, reader: None, closed: false };
    let inner = Arc::new(Mutex::new(inner));
    (Sender(Arc::clone(&inner)), Batches(inner))
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender(Arc::clone(&self.0))
    }
}

impl<T> Sender<T> {
    /// Appends an item.
    pub(crate) fn push(&self, item: T) -> Result<(), Closed<T>> {
        self.push_numbered(item, |_, _| ()).map(|_| ())
    }

    /// Appends an item, which `prepare` may change once it knows its number: numbers grow in the
    /// order of the queue.
    pub(crate) fn push_numbered(
        &self,
        mut item: T,
        prepare: impl FnOnce(&mut T, u64),
    ) -> Result<u64, Closed<T>> {
        let reader = {
            let mut inner = lock(&self.0);
            if inner.closed {
                return Err(Closed(item));
            }
            inner.pushed += 1;
            let number = inner.pushed;
            prepare(&mut item, number);
            inner.waiting.push(item);
            match inner.reader.take() {
                None => return Ok(number),
                Some(reader) => (reader, number),
            }
        };
        // Outside the lock: waking may run the reader on another thread at once.
        reader.0.wake();
        Ok(reader.1)
    }

    /// Appends an item, unless it can be joined to one that waits: `join` is asked of those at the
    /// end, the last one first, until it breaks with whether it has done so.
    pub(crate) fn push_joining(
        &self,
        item: T,
        mut join: impl FnMut(&mut T, &T) -> ControlFlow<bool>,
    ) -> Result<(), Closed<T>> {
        let joined = {
            let mut inner = lock(&self.0);
            let mut joined = inner.waiting.iter_mut().rev().map(|last| join(last, &item));
            joined.find_map(ControlFlow::break_value).unwrap_or(false)
        };
        // Whoever reads has been woken for the one that it was joined to.
        if joined { Ok(()) } else { self.push(item) }
    }

    /// Ends the queue, and takes back what its reader has not taken.
    pub(crate) fn close_and_take(&self) -> Vec<T> {
        self.close();
        std::mem::take(&mut lock(&self.0).waiting)
    }

    /// Ends the queue: what waits is still taken, nothing more comes in.
    pub(crate) fn close(&self) {
        let reader = {
            let mut inner = lock(&self.0);
            inner.closed = true;
            inner.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl<T> Batches<T> {
    /// Takes everything that waits; `None` at the end of the queue.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Option<Vec<T>>> {
        let mut inner = lock(&self.0);
        if !inner.waiting.is_empty() {
            // Room for as much again, so that a steady load does not grow each batch from nothing.
            let next = Vec::with_capacity(inner.waiting.len().min(AGAIN));
            return Poll::Ready(Some(std::mem::replace(&mut inner.waiting, next)));
        }
        if inner.closed {
            return Poll::Ready(None);
        }
        if !inner.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            inner.reader = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl<T> Stream for Batches<T> {
    type Item = Vec<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Vec<T>>> {
        self.poll_take(cx)
    }
}

impl<T> Drop for Batches<T> {
    fn drop(&mut self) {
        let waiting = {
            let mut inner = lock(&self.0);
            inner.closed = true;
            std::mem::take(&mut inner.waiting)
        };
        // Outside the lock: dropping an item may push into this very queue.
        drop(waiting);
    }
}

fn lock<T>(inner: &Mutex<Inner<T>>) -> MutexGuard<'_, Inner<T>> {
    // A panic inside these short sections leaves the queue whole.
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use futures::executor::block_on;

    use super::*;

    #[test]
    fn what_waits_is_taken_at_once_and_in_order() {
        let (sender, mut batches) = queue();
        for item in 0..5 {
            sender.push(item).unwrap();
        }
        assert_eq!(block_on(batches.next()), Some(vec![0, 1, 2, 3, 4]));
    }

    #[test]
    fn a_closed_queue_gives_what_it_has_and_takes_no_more() {
        let (sender, mut batches) = queue();
        sender.push(1).unwrap();
        sender.close();
        assert!(sender.push(2).is_err());
        assert_eq!(block_on(batches.next()), Some(vec![1]));
        assert_eq!(block_on(batches.next()), None);
    }

    #[test]
    fn numbers_grow_in_the_order_of_the_queue() {
        let (sender, mut batches) = queue();
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for _ in 0..100 {
                        sender.push_numbered(0, |item, number| *item = number).unwrap();
                    }
                });
            }
        });
        assert_eq!(block_on(batches.next()), Some((1..=400).collect::<Vec<u64>>()));
    }

    #[test]
    fn what_joins_takes_no_place() {
        let (sender, mut batches) = queue();
        let join = |last: &mut (char, u32), next: &(char, u32)| match (last.0, next.0) {
            ('|', _) | (_, '|') => ControlFlow::Break(false),
            (a, b) if a == b => {
                last.1 += next.1;
                ControlFlow::Break(true)
            }
            _ => ControlFlow::Continue(()),
        };
        for item in [('a', 1), ('b', 1), ('a', 2), ('b', 2), ('|', 0), ('a', 4)] {
            sender.push_joining(item, join).unwrap();
        }
        assert_eq!(block_on(batches.next()), Some(vec![('a', 3), ('b', 3), ('|', 0), ('a', 4)]));
    }

    #[test]
    fn a_push_wakes_the_reader_on_another_thread() {
        let (sender, mut batches) = queue();
        let reader = std::thread::spawn(move || block_on(batches.next()));
        sender.push("x").unwrap();
        assert_eq!(reader.join().unwrap(), Some(vec!["x"]));
    }
}
