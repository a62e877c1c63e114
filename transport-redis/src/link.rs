//! The two ends of a link, as core holds them.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use farcall_core::transport::{Inbound, Link, LinkError, Outbound};
use farcall_core::wire::ServerState;
use futures::{Sink, Stream};

use crate::entries::GiveUp;
use crate::hub::Hub;

/// A link to the broker of a hub.
pub(crate) fn link(hub: Rc<Hub>) -> Link {
    let attached = Rc::new(Attached(hub));
    Link {
        sink: Box::pin(Outgoing(Rc::clone(&attached))),
        stream: Box::pin(Incoming(attached)),
        shared_queue: true,
    }
}

/// Ends everything when both ends of the link are dropped. Tasks hold the hub as well, but not this.
struct Attached(Rc<Hub>);

impl Drop for Attached {
    fn drop(&mut self) {
        self.0.end();
    }
}

struct Outgoing(Rc<Attached>);

impl Outgoing {
    fn open(&self) -> Result<&Rc<Hub>, LinkError> {
        let hub = &self.0.0;
        if hub.is_closing() { Err(LinkError::new("the link is closed")) } else { Ok(hub) }
    }
}

impl Sink<Outbound> for Outgoing {
    type Error = LinkError;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.open()?.poll_ready(cx).map(Ok)
    }

    fn start_send(self: Pin<&mut Self>, outbound: Outbound) -> Result<(), LinkError> {
        let hub = self.open()?;
        match outbound {
            Outbound::Frame { to, frame, confirm, settles } => {
                hub.send(&to, frame, confirm, settles)
            }
            Outbound::Settle(receipt) => hub.settle(receipt),
            Outbound::PutBack(receipt) => hub.put_back(receipt),
            Outbound::Withdraw { service, id } => {
                let branch = hub.branch(&service);
                branch.give_up(id, GiveUp::Withdraw);
                branch.work.notify_one();
            }
            Outbound::Watch(watch) => hub.watch(watch),
            Outbound::Serve(announcement) => hub.serve(*announcement),
            Outbound::Announce(announcement) if announcement.state == ServerState::Gone => {
                // The link is about to be closed, which ends it in order.
            }
            Outbound::Announce(announcement) => hub.announce(*announcement),
            Outbound::Disconnect { peer, reason } => hub.disconnect(peer, reason),
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.0.0.poll_flush(cx).map(Ok)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.0.0.poll_close(cx).map(Ok)
    }
}

struct Incoming(Rc<Attached>);

impl Stream for Incoming {
    type Item = Result<Inbound, LinkError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(ready!(self.0.0.inbox.poll_next(cx)).map(Ok))
    }
}
