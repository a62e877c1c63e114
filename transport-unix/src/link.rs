//! What core sends, given to whom it concerns.

use std::rc::Rc;
use std::task::{Context, Poll};

use farcall_core::transport::{Carrier, Inbox, Outbound};

use crate::discovery;
use crate::hub::Hub;

impl Carrier for Hub {
    fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    fn is_closing(&self) -> bool {
        Hub::is_closing(self)
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        Hub::poll_ready(self, cx)
    }

    fn take(self: &Rc<Self>, outbound: Outbound) {
        let hub = self;
        match outbound {
            Outbound::Frame { to, frame, confirm, settles: _ } => hub.send(&to, &frame, confirm),
            // Never asked for: there is no shared queue.
            Outbound::Settle(_) | Outbound::PutBack(_) | Outbound::Withdraw { .. } => {}
            Outbound::Watch(watch) => discovery::watch(hub, watch),
            Outbound::Serve(announcement) => hub.serve(*announcement),
            Outbound::Announce(announcement) => hub.announce(*announcement),
            Outbound::Disconnect { peer, reason } => hub.disconnect(peer, reason),
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<()> {
        Hub::poll_flush(self, cx)
    }

    fn poll_close(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        Hub::poll_close(self, cx)
    }

    fn end(&self) {
        Hub::end(self);
    }
}
