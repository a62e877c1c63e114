//! What moves in the streams of calls: who may send how much, and to whom.

use std::time::Instant;

use bytes::Bytes;

use super::{Arrival, Call, Pending, Place, Streams};
use crate::stream::{Allowance, cost};
use crate::transport::{Address, Outbound, PeerId};
use crate::wire::{CallId, Failure, Frame, Reason, StreamId};

/// The streams of a call, as far as they are this side's to watch.
#[derive(Debug)]
pub(super) struct Accounts {
    /// What may still come of the results, if they are a stream.
    results: Allowance,
    /// The argument streams, in their order.
    arguments: Box<[Argument]>,
    /// The callee has begun the call.
    begun: bool,
    /// Items have come, or may have gone: the call cannot begin anew elsewhere.
    pub(super) moved: bool,
}

/// An argument stream.
#[derive(Clone, Debug, Default)]
struct Argument {
    /// What may still be sent of it.
    credit: Allowance,
    /// The callee wants no more of it.
    stopped: bool,
}

impl Accounts {
    /// Those of a call, if it has any.
    pub(super) fn of(streams: Streams) -> Option<Box<Self>> {
        if streams.arguments == 0 && streams.credit == 0 {
            return None;
        }
        let arguments = vec![Argument::default(); streams.arguments as usize].into();
        let results = Allowance::new(streams.credit);
        Some(Box::new(Accounts { results, arguments, begun: false, moved: false }))
    }

    /// Streams of arguments are numbered from 1.
    fn argument(&mut self, stream: StreamId) -> Option<&mut Argument> {
        self.arguments.get_mut((stream.0 as usize).checked_sub(1)?)
    }
}

impl Pending {
    /// The results have ended.
    pub(crate) fn ended(
        &mut self,
        from: PeerId,
        id: CallId,
        failure: Option<Failure>,
        now: Instant,
    ) {
        if let Some(failure) = failure {
            return self.failed(from, id, failure, now);
        }
        if let Some(call) = self.take(id, from) {
            self.forget(&call);
            let service = call.service;
            if call.new.streams.credit > 0 {
                call.end(Ok(Bytes::new()));
            } else {
                call.fail(Reason::WrongResult, "a stream ended where one value was asked for");
            }
            self.resume(service, now);
        }
    }

    /// The call, if this peer has it. What comes of a call that has ended was on its way.
    fn call_of(&mut self, from: PeerId, id: CallId) -> Option<&mut Call> {
        let call = self.calls.get_mut(id)?;
        if call.place == Place::With(from) {
            return Some(call);
        }
        self.counters.stray_frames += 1;
        None
    }

    /// A peer does what no peer may.
    fn throw_out(&mut self, peer: PeerId, what: &str, id: CallId) {
        let reason = format!("it {what} {id}");
        self.out.push(Outbound::Disconnect { peer, reason });
    }

    /// A callee has begun a call, and is ready for this much of each of its argument streams.
    pub(crate) fn begun(&mut self, from: PeerId, id: CallId, credit: u64) {
        self.taken_by(from, id);
        let Some(call) = self.call_of(from, id) else { return };
        let Some(streams) = call.streams.as_mut().filter(|it| !it.arguments.is_empty()) else {
            return;
        };
        let mut fits = !std::mem::replace(&mut streams.begun, true);
        // From here on its caller sends, and what was sent is gone.
        streams.moved = true;
        for (argument, stream) in streams.arguments.iter_mut().zip(1..) {
            fits &= argument.credit.grant(credit);
            call.new.reply.tell(Arrival::Credit(StreamId(stream), credit));
        }
        if !fits {
            self.throw_out(from, "gave credit for arguments twice, or too much, in", id);
        }
    }

    /// The callee is ready for this much more of an argument stream.
    pub(crate) fn granted(&mut self, from: PeerId, id: CallId, stream: StreamId, bytes: u64) {
        let Some(call) = self.call_of(from, id) else { return };
        let streams = call.streams.as_mut().filter(|streams| streams.begun);
        let argument = streams.and_then(|streams| streams.argument(stream));
        if argument.is_some_and(|argument| argument.credit.grant(bytes)) {
            call.new.reply.tell(Arrival::Credit(stream, bytes));
        } else {
            self.throw_out(from, "gave credit that it may not, in", id);
        }
    }

    /// The callee wants no more of an argument stream.
    pub(crate) fn stopped(&mut self, from: PeerId, id: CallId, stream: StreamId) {
        let Some(call) = self.call_of(from, id) else { return };
        let argument = call.streams.as_mut().and_then(|streams| streams.argument(stream));
        if argument.is_some_and(|argument| !std::mem::replace(&mut argument.stopped, true)) {
            call.new.reply.tell(Arrival::Stop(stream));
        } else {
            self.throw_out(from, "stopped a stream that it may not, in", id);
        }
    }

    /// An item of the results has come.
    pub(crate) fn item(&mut self, from: PeerId, id: CallId, value: Bytes) {
        self.taken_by(from, id);
        let Some(call) = self.call_of(from, id) else { return };
        match &mut call.streams {
            Some(streams) if streams.results.is_open() => {
                streams.results.spend(cost(&value));
                streams.moved = true;
                call.new.reply.tell(Arrival::Item(value));
            }
            _ => self.throw_out(from, "sent more of the results than it might, in", id),
        }
    }

    /// The caller has read results: more may come.
    pub(crate) fn read(&mut self, id: CallId, bytes: u64) {
        if let Some(streams) = self.calls.get_mut(id).and_then(|call| call.streams.as_mut()) {
            streams.results.grant(bytes);
            self.send_along(id, Frame::Credit { id, stream: StreamId::RESULT, bytes });
        }
    }

    /// The caller sends an item of an argument stream, for which it has credit.
    pub(crate) fn send_item(&mut self, id: CallId, stream: StreamId, value: Bytes, now: Instant) {
        // It may have ended meanwhile.
        let Some(call) = self.calls.get_mut(id) else { return };
        let streams = call.streams.as_mut();
        if let Some(argument) = streams.and_then(|streams| streams.argument(stream)) {
            argument.credit.spend(cost(&value));
        }
        let Place::With(peer) = call.place else { return };
        let limit = self.peers.get(&peer).map_or(u64::MAX, |peer| peer.max_message_bytes);
        if value.len() as u64 <= limit {
            return self.send_along(id, Frame::Item { id, stream, value });
        }
        let Some(call) = self.calls.remove(id) else { return };
        self.forget(&call);
        self.tell_cancelled(id, &call);
        let (service, size, number) = (call.service, value.len(), stream.0);
        let message = format!(
            "an item of argument stream {number} takes {size} bytes, {peer} takes {limit} (its \
             limits.max_message_bytes)"
        );
        call.fail(Reason::StreamBroken, message);
        self.resume(service, now);
    }

    /// An argument stream has ended.
    pub(crate) fn send_end(&mut self, id: CallId, stream: StreamId) {
        self.send_along(id, Frame::End { id, stream, failure: None });
    }

    /// To whoever has the call, if it has not ended meanwhile.
    fn send_along(&mut self, id: CallId, frame: Frame) {
        if let Some(call) = self.calls.get(id)
            && let Place::With(peer) = call.place
        {
            let to = Address::Peer(peer);
            self.out.push(Outbound::Frame { to, frame, confirm: false, settles: None });
        }
    }
}
