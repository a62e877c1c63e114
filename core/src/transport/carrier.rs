//! The two ends of a link, on top of whatever a transport keeps behind them.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures::{Sink, Stream};

use super::{Inbound, Inbox, Link, LinkError, Outbound};

/// What stands behind a link, on its one thread, for transports that build on an [`Inbox`].
///
/// The sink and the stream of [`Link::carried_by`] share it; when both are dropped it is told to
/// [`end`](Carrier::end). Its own tasks may hold it as long as they like.
pub trait Carrier: 'static {
    /// What has come in.
    fn inbox(&self) -> &Inbox;

    /// Whether nothing more is taken.
    fn is_closing(&self) -> bool;

    /// Ready while there is room for something more to send, in all.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Takes something to send. It need not go before the next flush.
    fn take(self: &Rc<Self>, outbound: Outbound);

    /// Sends what was taken; ready when nothing is left.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Says goodbye to everybody; ready when that is done. Called again until then.
    fn poll_close(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<()>;

    /// Ends everything at once, saying nothing. May follow a close.
    fn end(&self);
}

impl Link {
    /// A link whose two ends lead to this.
    pub fn carried_by<C: Carrier>(carrier: Rc<C>, shared_queue: bool) -> Link {
        let attached = Rc::new(Attached(carrier));
        Link {
            sink: Box::pin(Outgoing(Rc::clone(&attached))),
            stream: Box::pin(Incoming(attached)),
            shared_queue,
        }
    }
}

/// Ends the carrier when both ends of the link are dropped.
struct Attached<C: Carrier>(Rc<C>);

impl<C: Carrier> Drop for Attached<C> {
    fn drop(&mut self) {
        self.0.end();
    }
}

struct Outgoing<C: Carrier>(Rc<Attached<C>>);

impl<C: Carrier> Outgoing<C> {
    fn open(&self) -> Result<&Rc<C>, LinkError> {
        let carrier = &self.0.0;
        if carrier.is_closing() { Err(LinkError::new("the link is closed")) } else { Ok(carrier) }
    }
}

impl<C: Carrier> Sink<Outbound> for Outgoing<C> {
    type Error = LinkError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.open()?.poll_ready(cx).map(Ok)
    }

    fn start_send(self: Pin<&mut Self>, outbound: Outbound) -> Result<(), LinkError> {
        self.open()?.take(outbound);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.0.0.poll_flush(cx).map(Ok)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.0.0.poll_close(cx).map(Ok)
    }
}

struct Incoming<C: Carrier>(Rc<Attached<C>>);

impl<C: Carrier> Stream for Incoming<C> {
    type Item = Result<Inbound, LinkError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(ready!(self.0.0.inbox().poll_next(cx)).map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::{FutureExt, SinkExt, StreamExt};

    use super::*;
    use crate::transport::Watch;

    #[derive(Default)]
    struct Nowhere {
        inbox: Inbox,
        closing: Cell<bool>,
        taken: Cell<usize>,
        ended: Cell<bool>,
    }

    impl Carrier for Nowhere {
        fn inbox(&self) -> &Inbox {
            &self.inbox
        }

        fn is_closing(&self) -> bool {
            self.closing.get()
        }

        fn poll_ready(&self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }

        fn take(self: &Rc<Self>, _: Outbound) {
            self.taken.set(self.taken.get() + 1);
        }

        fn poll_flush(&self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Ready(())
        }

        fn poll_close(self: &Rc<Self>, _: &mut Context<'_>) -> Poll<()> {
            self.closing.set(true);
            self.inbox.close();
            Poll::Ready(())
        }

        fn end(&self) {
            self.ended.set(true);
        }
    }

    #[test]
    fn a_link_takes_until_it_is_closed_and_ends_with_its_second_half() {
        let carrier = Rc::new(Nowhere::default());
        let Link { mut sink, mut stream, .. } = Link::carried_by(Rc::clone(&carrier), false);
        let watch = || Outbound::Watch(Watch::Everything);
        assert!(sink.send(watch()).now_or_never().expect("it is ready").is_ok());
        assert_eq!(carrier.taken.get(), 1);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(stream.poll_next_unpin(&mut cx).is_pending());
        assert!(sink.close().now_or_never().expect("it is ready").is_ok());
        assert!(sink.send(watch()).now_or_never().expect("it is ready").is_err());
        assert!(matches!(stream.poll_next_unpin(&mut cx), Poll::Ready(None)));
        drop(sink);
        assert!(!carrier.ended.get());
        drop(stream);
        assert!(carrier.ended.get());
    }
}
