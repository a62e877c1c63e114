//! Calls in the queue that any server takes from: nobody says who has them until the first frame does.

use std::time::{Duration, Instant};

use super::{Call, Pending, Place, ServiceIndex};
use crate::transport::{Address, Outbound, PeerId};
use crate::wire::{CallId, Failure, Reason};

/// What is known of a call in the queue as its deadline comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Withdrawal {
    /// It is asked back at this time.
    At(Instant),
    /// It was, and the answer is on its way.
    Asked,
    /// Some server has it.
    TooLate,
}

/// A call is asked back this part of its time before its deadline, so that one which nobody has taken
/// can be known to be *not sent* when the deadline comes. For that time nobody takes it any more, so it
/// is a small part.
const MARGIN_SHARE: u32 = 10;

/// And at most this long before: some round trips to a broker, on a network and with the node's thread
/// busy.
const MAX_MARGIN: Duration = Duration::from_millis(20);

/// When a call with this deadline, put into the queue now, is asked back.
fn ask_at(deadline: Instant, now: Instant) -> Instant {
    let left = deadline.saturating_duration_since(now);
    // Never before now, since it is a part of what is left.
    deadline - (left / MARGIN_SHARE).min(MAX_MARGIN)
}

impl Pending {
    /// Puts a call into the queue; it is in no table when this begins.
    pub(super) fn enqueue(&mut self, id: CallId, mut call: Call, now: Instant) {
        call.place = Place::Queued(Withdrawal::At(ask_at(call.deadline, now)));
        call.started = false;
        self.send(id, &call, Address::Any(call.new.service.clone()), now);
        self.keep(id, call);
    }

    /// Asks a call back, whose deadline is near.
    pub(super) fn withdraw(&mut self, id: CallId, mut call: Call) {
        self.out.push(Outbound::Withdraw { service: call.new.service.clone(), id });
        call.place = Place::Queued(Withdrawal::Asked);
        self.keep(id, call);
    }

    /// A call that was asked back has been taken before.
    pub(crate) fn taken(&mut self, id: CallId) {
        if let Some(call) = self.calls.get_mut(id)
            && call.place == Place::Queued(Withdrawal::Asked)
        {
            call.place = Place::Queued(Withdrawal::TooLate);
        }
    }

    /// A server says that it has taken a call which any could have taken. From here on the call is one
    /// of this server's, until it is released.
    pub(super) fn taken_by(&mut self, from: PeerId, id: CallId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        if !call.is_queued() || !self.peers.contains_key(&from) {
            return;
        }
        call.place = Place::With(from);
        call.started = true;
        let (due, service) = (call.due(), call.service);
        if let Some(service) = service {
            self.routes.took(service, from);
        }
        // Until now it was due when it had to be asked back.
        self.wake(due, id);
    }

    /// The queue does not take a call.
    pub(crate) fn refused(&mut self, id: CallId, failure: Failure, now: Instant) {
        if let Some(call) = self.calls.remove_if(id, Call::is_queued) {
            self.forget(&call);
            let service = call.service;
            call.end(Err(failure));
            self.resume(service, now);
        }
    }

    /// The queue gives a call back: nobody has taken it, or its taker is lost.
    pub(super) fn given_back(&mut self, id: CallId, reason: &str, written: bool, now: Instant) {
        let concerns = |call: &Call| call.is_queued() || (written && call.started);
        let Some(mut call) = self.calls.remove_if(id, concerns) else { return };
        let service = call.service.expect("only calls of a service are in its queue");
        if written {
            let server = match call.place {
                Place::With(peer) => self.routes.server_at(service, peer).cloned(),
                _ => None,
            };
            return self.lost(id, call, server, reason, now);
        }
        if call.place == Place::Queued(Withdrawal::Asked) {
            self.forget(&call);
            let name = &call.new.service;
            let message =
                format!("the deadline came, and no server of `{name}` had taken the call");
            let message = super::because(message, self.routes.failure(service));
            call.fail(Reason::DeadlineBeforeSending, message);
            return self.resume(Some(service), now);
        }
        if !self.routes.has_ready(service) {
            // None is left: it waits for one anew.
            call.waits_until = None;
            return self.park(id, call, service, now);
        }
        // The way into the queue is full, or its last server had gone before the one that is there came. One that comes back
        // twice waits until something has ended, if there is anything: trying on would only turn in circles.
        if std::mem::replace(&mut call.bounced, true) && self.has_under_way(service) {
            return self.park(id, call, service, now);
        }
        self.place(id, call, None, now);
    }

    /// Whether a call of this service is with a server, or in the queue.
    fn has_under_way(&self, service: ServiceIndex) -> bool {
        let waits = |call: &Call| matches!(call.place, Place::Waiting(_));
        self.calls.iter().any(|(_, call)| call.service == Some(service) && !waits(call))
    }
}
