//! Every call of this node that has no outcome yet: pure decisions, driven by the client actor.

mod queued;
mod streams;

use std::time::Instant;

use bytes::Bytes;
use compact_str::CompactString;

use queued::Withdrawal;
use streams::Accounts;

use super::budget::RetryBudget;
use super::compatibility::{Compatibility, Judgement, Question, refusal};
use super::request::Streams;
use super::routes::{Route, Routes, ServiceIndex};
use super::window::Window;
use super::{Acceptance, Arrival, NewCall, Reply, Target};
use crate::deadlines::{Deadlines, LONGEST};
use crate::event::Event;
use crate::peer::PeerAddress;
use crate::service::Descriptor;
use crate::table::Table;
use crate::transport::{Address, Outbound, PeerId, Watch};
use crate::wire::{
    Announcement, CallFrame, CallId, CallOptions, Failure, Frame, NodeId, Reason, ReasonClass,
};

/// An idempotent call is started again at most this often.
const MAX_RETRIES: u8 = 2;

/// Parameters that every node takes: none may be configured to take less.
const SMALL: usize = 1024;

/// Calls without an outcome, and all that decides about it.
///
/// ```text
///             a server is there                answer, failure
///  submitted ───────────────────> with a peer ─────────────────> ended
///      │  no server      ┌─────────┘ │  ▲  │  deadline, cancel,
///      v                 │ undelivered,│  │  │  peer lost
///   waiting <────────────┘ draining,   │  │  └──────────────────> ended
///      │ a server comes    lost and    │  │
///      └───────────────────idempotent──┴──┘
///      │                   or busy (once)
///      │ wait_for_server, deadline, cancel
///      └────────────────────────────────────────────────────────> ended
/// ```
///
/// Where the link carries a shared queue, a call is not given to a peer but to the queue, unless some
/// servers must not have it:
///
/// ```text
///                                  started, first item
///  submitted, waiting ──> queued ───────────────────────> with a peer, as above
///      ^                    │  │  answer, refused, cancel
///      │ no server is left, │  ├──────────────────────────────────> ended
///      │ or its taker lost  │  │ a little before the deadline
///      └── and idempotent ──┤  └──> asked back ── nobody has it ──> ended: not sent
///                           │         │     └──── taken ──> queued until it ends, or the deadline
///                           v         v
///                 at the deadline, and when its taker is lost ────> ended: outcome unknown
/// ```
#[derive(Debug)]
pub(crate) struct Pending {
    calls: Window<Call>,
    deadlines: Deadlines<CallId>,
    pub(crate) routes: Routes,
    peers: Table<PeerId, Peer>,
    /// The youngest session with each node.
    nodes: Table<NodeId, PeerId>,
    budget: RetryBudget,
    /// How typed clients and the servers of other versions fit together.
    pub(crate) compatibility: Compatibility,
    bounds: Bounds,
    bytes: usize,
    /// What is to be sent, and told, before the actor's turn ends.
    pub(crate) out: Vec<Outbound>,
    pub(crate) events: Vec<Event>,
    pub(crate) counters: Counters,
}

/// What one node may have under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) calls: usize,
    pub(crate) bytes: usize,
    /// The link carries a queue that any server takes from.
    pub(crate) shared_queue: bool,
}

/// What a node has counted since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Calls that were made.
    pub calls: u64,
    /// Calls that were started again because their server died.
    pub retries: u64,
    /// Answers that came after the deadline or a cancel, and were dropped.
    pub late_answers: u64,
    /// Frames that belonged to no call of the peer that sent them, and were dropped.
    pub stray_frames: u64,
}

/// One session.
#[derive(Debug)]
struct Peer {
    node: NodeId,
    /// The largest payload that it takes.
    max_message_bytes: u64,
}

#[derive(Debug)]
struct Call {
    new: Box<NewCall>,
    /// The service, unless the call is for one peer.
    service: Option<ServiceIndex>,
    place: Place,
    retries: u8,
    /// The transport has given it back once.
    bounced: bool,
    /// A full server has refused it once.
    refused: bool,
    /// A server that took it from the queue has said so: it has been started.
    started: bool,
    streams: Option<Box<Accounts>>,
    /// Until when it waits for a server: from when it first had to.
    waits_until: Option<Instant>,
    deadline: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Here, until a server comes or this time does.
    Waiting(Instant),
    /// At a peer, or on the way to it.
    With(PeerId),
    /// In the queue that any server takes from.
    Queued(Withdrawal),
}

/// Where a call goes.
enum Choice {
    Server(PeerId),
    /// To whichever server takes it from the queue.
    Any,
    /// Nowhere yet.
    Wait,
    Refused(Failure),
}

/// Most calls have none, and are spared the comparison of all there could be.
fn options(new: &NewCall, retries: u8) -> Option<Box<CallOptions>> {
    let Streams { arguments: streams, credit } = new.streams;
    // A handler that makes a one-way call does not wait for it.
    let nested = new.inherited.is_some() && !new.one_way;
    let plain =
        !new.one_way && !nested && retries == 0 && new.headers.is_empty() && new.task.is_none();
    if plain && streams == 0 && credit == 0 {
        return None;
    }
    let (one_way, attempt, headers) = (new.one_way, retries, new.headers.clone());
    let task = new.task.clone();
    Some(Box::new(CallOptions { one_way, nested, attempt, headers, streams, credit, task }))
}

impl Call {
    fn due(&self) -> Instant {
        match self.place {
            Place::Waiting(until) => until,
            Place::Queued(Withdrawal::At(asked)) => asked,
            Place::With(_) | Place::Queued(_) => self.deadline,
        }
    }

    fn is_queued(&self) -> bool {
        matches!(self.place, Place::Queued(_))
    }

    /// Whether something of its streams has moved, so that it cannot begin anew elsewhere.
    fn moved(&self) -> bool {
        self.streams.as_ref().is_some_and(|streams| streams.moved)
    }

    fn end(self, reply: Reply) {
        let not_started = |failure: &Failure| {
            matches!(failure.reason.class(), ReasonClass::NotSent | ReasonClass::Refused)
        };
        self.new.reply.end(match reply {
            // What becomes of a later try does not undo that it was started once.
            Err(failure) if self.retries > 0 && not_started(&failure) => Err(Failure::new(
                Reason::ServerLost,
                format!("its server was lost during the call, and then: {}", failure.message),
            )),
            reply => reply,
        });
    }

    fn fail(self, reason: Reason, message: impl Into<String>) {
        self.end(Err(Failure::new(reason, message)));
    }
}

/// A message with its cause, if that is known.
fn because(message: String, why: Option<&str>) -> String {
    match why {
        Some(why) => format!("{message}: {why}"),
        None => message,
    }
}

impl Pending {
    /// `strict`: calls of methods whose compatibility is undecided are refused.
    pub(crate) fn new(bounds: Bounds, strict: bool) -> Self {
        Pending {
            calls: Window::new(),
            deadlines: Deadlines::new(),
            routes: Routes::default(),
            peers: Table::default(),
            nodes: Table::default(),
            budget: RetryBudget::new(),
            compatibility: Compatibility::new(strict),
            bounds,
            bytes: 0,
            out: Vec::new(),
            events: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// A call is made.
    pub(crate) fn submit(&mut self, id: CallId, new: Box<NewCall>, now: Instant) {
        self.counters.calls += 1;
        self.budget.earn();
        let service = match new.target {
            Target::Service => {
                let (index, is_new) = self.routes.service(&new.service);
                if is_new {
                    self.out.push(Outbound::Watch(Watch::Service(new.service.clone())));
                }
                Some(index)
            }
            Target::Peer(_) | Target::Core(_) => None,
        };
        let own = now + new.timeout.unwrap_or(LONGEST).min(LONGEST);
        let deadline = new.inherited.map_or(own, |inherited| inherited.min(own));
        let streams = Accounts::of(new.streams);
        let call = Call {
            new,
            service,
            place: Place::Waiting(deadline),
            retries: 0,
            bounced: false,
            refused: false,
            started: false,
            streams,
            waits_until: None,
            deadline,
        };
        let (calls, bytes) = (self.calls.len(), self.bytes + call.new.params.len());
        // Questions to farcall itself are few, and calls may wait for their answers.
        let is_question = matches!(call.new.target, Target::Core(_));
        if !is_question && (calls >= self.bounds.calls || bytes > self.bounds.bytes) {
            return call.fail(
                Reason::Overloaded,
                format!(
                    "this node has {calls} calls of {} bytes under way, as many as it may \
                     (limits.max_calls, limits.max_queued_bytes)",
                    self.bytes
                ),
            );
        }
        self.bytes = bytes;
        self.place(id, call, None, now);
    }

    /// Sends a call, or lets it wait; the call is in no table when this begins.
    fn place(&mut self, id: CallId, mut call: Call, avoid: Option<PeerId>, now: Instant) {
        if now >= call.deadline {
            self.bytes -= call.new.params.len();
            let message = "the deadline came before the call could be sent";
            return call.fail(Reason::DeadlineBeforeSending, message);
        }
        let peer = match (call.new.target, call.service) {
            (Target::Peer(address) | Target::Core(address), _) => match self.session(address) {
                Some(peer) => peer,
                None => {
                    self.bytes -= call.new.params.len();
                    return call.fail(Reason::PeerGone, "the peer is not connected");
                }
            },
            (Target::Service, Some(service)) => {
                match self.choose(service, (avoid, call.refused), &call.new) {
                    Choice::Server(peer) => peer,
                    Choice::Any => return self.enqueue(id, call, now),
                    Choice::Wait => return self.park(id, call, service, now),
                    Choice::Refused(failure) => return self.refuse(call, failure),
                }
            }
            (Target::Service, None) => unreachable!("calls of a service have its index"),
        };
        call.place = Place::With(peer);
        let limit = self.peers.get(&peer).map_or(u64::MAX, |peer| peer.max_message_bytes);
        if call.new.params.len() as u64 > limit {
            return self.too_large(call, peer, limit);
        }
        self.send(id, &call, Address::Peer(peer), now);
        self.keep(id, call);
    }

    /// The session with a peer, if there is one.
    fn session(&self, address: PeerAddress) -> Option<PeerId> {
        match address {
            PeerAddress::Session(peer) => self.peers.contains_key(&peer).then_some(peer),
            PeerAddress::Node(node) => self.nodes.get(&node).copied(),
        }
    }

    /// Whether every server of a service takes parameters of this size.
    fn all_take(&mut self, service: ServiceIndex, size: usize) -> bool {
        let peers = &self.peers;
        let takes = |route: &mut Route| {
            peers.get(&route.peer).is_none_or(|peer| size as u64 <= peer.max_message_bytes)
        };
        size <= SMALL || self.routes.all_ready(service, takes)
    }

    /// The server that gets a call, if one may have it. One that a full server has refused goes to another, since
    /// out of a queue the same might take it again.
    #[inline]
    fn choose(
        &mut self,
        service: ServiceIndex,
        (avoid, refused): (Option<PeerId>, bool),
        new: &NewCall,
    ) -> Choice {
        let any = self.bounds.shared_queue && !refused && self.all_take(service, new.params.len());
        if any && self.routes.agree(service, new.expects) {
            return Choice::Any;
        }
        let Some(expects) = new.expects else {
            return self.routes.pick(service, avoid).map_or(Choice::Wait, Choice::Server);
        };
        let (compatibility, events) = (&mut self.compatibility, &mut self.events);
        let (mut unknown, mut refused) = (false, None);
        let mut may = |route: &mut Route| {
            if route.agrees(expects) {
                return true;
            }
            let (hash, called) = (&route.announcement.schema, (&new.service, &*new.method));
            match compatibility.judge(expects, hash, called, route.peer) {
                Judgement::Fits => true,
                Judgement::Undecided(difference) => {
                    let server = route.announcement.server.clone();
                    let service = new.service.clone();
                    events.push(Event::SchemaUndecided { service, server, difference });
                    true
                }
                Judgement::Unknown => {
                    unknown = true;
                    false
                }
                Judgement::Refused(difference) => {
                    refused = Some(difference);
                    false
                }
            }
        };
        // What is in the queue may be taken by any of them, so all must fit.
        if any && self.routes.all_ready(service, &mut may) {
            return Choice::Any;
        }
        let picked = self.routes.pick_where(service, avoid, may);
        match (picked, refused) {
            (Some(peer), _) => Choice::Server(peer),
            (None, Some(difference)) if !unknown => Choice::Refused(refusal(&difference)),
            _ => Choice::Wait,
        }
    }

    /// No server there is may have the call; it is in no table.
    fn refuse(&mut self, call: Call, failure: Failure) {
        self.bytes -= call.new.params.len();
        call.end(Err(failure));
    }

    /// A server has said what it offers, or not: calls have waited for that.
    pub(crate) fn described(
        &mut self,
        question: &Question,
        answer: Result<Descriptor, Failure>,
        now: Instant,
    ) {
        self.compatibility.answered(question, answer);
        let (service, _) = self.routes.service(&question.service);
        self.send_waiting(service, now);
    }

    /// Lets a call wait for a server.
    fn park(&mut self, id: CallId, mut call: Call, service: ServiceIndex, now: Instant) {
        let calls = &self.calls;
        self.routes.wait(service, id, calls.len(), |id| calls.get(id).is_some());
        let wait = now + call.new.wait_for_server.min(LONGEST);
        let until = *call.waits_until.get_or_insert(wait);
        call.place = Place::Waiting(call.deadline.min(until));
        self.keep(id, call);
    }

    fn keep(&mut self, id: CallId, call: Call) {
        self.wake(call.due(), id);
        self.calls.insert(id, call);
    }

    /// Sees to it that a call is looked at when it is due.
    fn wake(&mut self, due: Instant, id: CallId) {
        let calls = &self.calls;
        self.deadlines.add(due, id, calls.len(), |at, id| {
            calls.get(*id).is_some_and(|call| call.due() == at)
        });
    }

    /// Whether the link carries a queue that any server takes from.
    pub(crate) fn has_queue(&self) -> bool {
        self.bounds.shared_queue
    }

    fn too_large(&mut self, call: Call, peer: PeerId, limit: u64) {
        let size = call.new.params.len();
        self.forget(&call);
        call.fail(
            Reason::RequestTooLarge,
            format!("the arguments take {size} bytes, {peer} takes {limit} (its limits.max_message_bytes)"),
        );
    }

    fn send(&mut self, id: CallId, call: &Call, to: Address, now: Instant) {
        let new = &call.new;
        let frame = if let Target::Core(_) = new.target {
            Frame::Query { id, subject: new.method.clone(), params: new.params.clone() }
        } else {
            Frame::Call(Box::new(CallFrame {
                id,
                low: self.lowest_open(id),
                time_left: call.deadline.saturating_duration_since(now),
                service: new.service.clone(),
                method: new.method.clone(),
                options: options(new, call.retries),
                params: new.params.clone(),
            }))
        };
        self.out.push(Outbound::Frame { to, frame, confirm: new.one_way, settles: None });
    }

    /// The call that is being sent is in no table yet.
    fn lowest_open(&self, sent: CallId) -> CallId {
        self.calls.lowest().map_or(sent, |lowest| lowest.min(sent))
    }

    /// Whoever had the call has it no longer.
    fn forget(&mut self, call: &Call) {
        self.bytes -= call.new.params.len();
        self.release(call);
    }

    fn release(&mut self, call: &Call) {
        if let (Some(service), Place::With(peer)) = (call.service, call.place) {
            self.routes.release(service, peer);
        }
    }

    /// Takes out a call that `from` has.
    fn take(&mut self, id: CallId, from: PeerId) -> Option<Call> {
        let place = match self.calls.get(id) {
            Some(call) => call.place,
            None => {
                self.counters.late_answers += 1;
                return None;
            }
        };
        match place {
            // Any server of the service may have taken it.
            Place::Queued(_) if self.peers.contains_key(&from) => self.calls.remove(id),
            Place::With(peer) if peer == from => self.calls.remove(id),
            Place::Queued(_) | Place::With(_) | Place::Waiting(_) => {
                self.counters.stray_frames += 1;
                None
            }
        }
    }

    /// A result has come.
    pub(crate) fn answered(&mut self, from: PeerId, id: CallId, value: Bytes, now: Instant) {
        if let Some(call) = self.take(id, from) {
            self.forget(&call);
            let service = call.service;
            if call.new.streams.credit == 0 {
                call.end(Ok(value));
            } else {
                call.fail(Reason::WrongResult, "one value came where a stream was asked for");
            }
            self.resume(service, now);
        }
    }

    /// A recoverable call is recorded.
    pub(crate) fn accepted(
        &mut self,
        from: PeerId,
        id: CallId,
        acceptance: Acceptance,
        now: Instant,
    ) {
        self.taken_by(from, id);
        let is_its = |call: &Call| call.place == Place::With(from);
        let Some(call) = self.calls.get_mut(id).filter(|call| is_its(call)) else {
            return self.counters.stray_frames += 1;
        };
        call.new.reply.accepted(acceptance);
        // What is recorded is not made again, here or elsewhere: it is asked for.
        call.started = true;
        call.new.idempotent = false;
        if call.new.task.as_ref().is_some_and(|task| task.detached) {
            self.answered(from, id, Bytes::new(), now);
        }
    }

    /// A failure has come.
    pub(crate) fn failed(&mut self, from: PeerId, id: CallId, failure: Failure, now: Instant) {
        let Some(mut call) = self.take(id, from) else { return };
        match (failure.reason, call.service) {
            // Nor was this one. Another server may have room: one is tried, and paid for as a retry
            // is, so that servers which are all full get a tenth more calls by it at most.
            (Reason::Busy, Some(service))
                if !call.refused
                    && !call.moved()
                    && now < call.deadline
                    && self.routes.has_ready_besides(service, from)
                    && self.budget.spend() =>
            {
                self.release(&call);
                call.refused = true;
                self.place(id, call, Some(from), now);
                self.resume(Some(service), now);
            }
            // It was not started, and others may take it: the caller need not know.
            (Reason::Draining, Some(service)) if !call.moved() => {
                self.release(&call);
                self.routes.draining(service, from);
                call.waits_until = None;
                self.place(id, call, Some(from), now);
            }
            (_, service) => {
                self.forget(&call);
                call.end(Err(failure));
                self.resume(service, now);
            }
        }
    }

    /// Room was made: calls that found the only server's queue full may go.
    fn resume(&mut self, service: Option<ServiceIndex>, now: Instant) {
        if let Some(service) = service
            && self.routes.has_waiting(service)
        {
            self.send_waiting(service, now);
        }
    }

    fn send_waiting(&mut self, service: ServiceIndex, now: Instant) {
        for id in self.routes.take_waiting(service) {
            let waits = |call: &Call| matches!(call.place, Place::Waiting(_));
            if let Some(call) = self.calls.remove_if(id, waits) {
                self.place(id, call, None, now);
            }
        }
    }

    /// A one-way call is out of this process.
    pub(crate) fn handed_over(&mut self, id: CallId, now: Instant) {
        if let Some(call) = self.calls.remove_if(id, |call| call.new.one_way) {
            self.forget(&call);
            let service = call.service;
            call.end(Ok(Bytes::new()));
            self.resume(service, now);
        }
    }

    /// The transport gives a call back.
    pub(crate) fn undelivered(
        &mut self,
        id: CallId,
        to: &Address,
        reason: &str,
        written: bool,
        now: Instant,
    ) {
        let Address::Peer(peer) = *to else {
            return self.given_back(id, reason, written, now);
        };
        // It may have gone elsewhere since, when the session that it was for ended.
        let there = |call: &Call| call.place == Place::With(peer);
        let Some(mut call) = self.calls.remove_if(id, there) else { return };
        if written || call.started {
            let server = call.service.and_then(|it| self.routes.server_at(it, peer).cloned());
            self.lost(id, call, server, reason, now);
        } else if call.service.is_some() {
            self.release(&call);
            let again = std::mem::replace(&mut call.bounced, true);
            self.requeue(id, call, peer, again, now);
        } else {
            self.forget(&call);
            call.fail(Reason::PeerGone, format!("{peer}: {reason}"));
        }
    }

    /// Another server takes the call, or it waits: for a server, or for room at the only one.
    fn requeue(&mut self, id: CallId, call: Call, from: PeerId, again: bool, now: Instant) {
        let service = call.service.expect("only calls of a service are requeued");
        // One that comes back twice found two queues full: trying on would only turn in circles.
        if !again && self.routes.has_ready_besides(service, from) {
            return self.place(id, call, Some(from), now);
        }
        self.park(id, call, service, now);
    }

    /// Whoever had the call is gone, and may have run it.
    fn lost(
        &mut self,
        id: CallId,
        mut call: Call,
        server: Option<CompactString>,
        reason: &str,
        now: Instant,
    ) {
        if call.new.idempotent
            && !call.moved()
            && call.service.is_some()
            && call.retries < MAX_RETRIES
            && now < call.deadline
            && self.budget.spend()
        {
            self.release(&call);
            call.retries += 1;
            call.waits_until = None;
            self.counters.retries += 1;
            let avoid = if let Place::With(peer) = call.place { Some(peer) } else { None };
            return self.place(id, call, avoid, now);
        }
        self.forget(&call);
        let who = match server {
            Some(server) => format!("server `{server}`"),
            None => "its server".to_owned(),
        };
        call.fail(Reason::ServerLost, format!("{who} was lost during the call: {reason}"));
    }

    /// A session has begun.
    pub(crate) fn peer_up(&mut self, peer: PeerId, node: NodeId, max_message_bytes: u64) {
        self.peers.insert(peer, Peer { node, max_message_bytes });
        self.nodes.insert(node, peer);
    }

    /// A node whose youngest session ends may have another.
    fn forget_peer(&mut self, peer: PeerId) {
        let Some(Peer { node, .. }) = self.peers.remove(&peer) else { return };
        if self.nodes.get(&node) != Some(&peer) {
            return;
        }
        let others = self.peers.iter().filter(|(_, other)| other.node == node);
        match others.map(|(other, _)| *other).max() {
            Some(other) => self.nodes.insert(node, other),
            None => self.nodes.remove(&node),
        };
    }

    /// A session has ended: its calls are lost, or go to others.
    pub(crate) fn peer_down(&mut self, peer: PeerId, reason: &str, clean: bool, now: Instant) {
        self.forget_peer(peer);
        let had = self.calls.iter().filter(|(_, call)| call.place == Place::With(peer));
        let had: Vec<CallId> = had.map(|(id, _)| id).collect();
        // What the server was called, before its route goes; and the route goes before any of the
        // calls is placed again.
        let had: Vec<_> = had
            .into_iter()
            .filter_map(|id| {
                let call = self.calls.remove(id)?;
                let server = call.service.and_then(|it| self.routes.server_at(it, peer).cloned());
                Some((id, call, server))
            })
            .collect();
        self.routes.peer_down(peer, reason, &mut self.events);
        for (id, mut call, server) in had {
            // One of which it has said that it was started was not answered, clean or not.
            match (clean && !call.moved() && !call.started, call.service) {
                // It was not started: others take it, and the caller need not know.
                (true, Some(_)) => {
                    call.waits_until = None;
                    self.place(id, call, None, now);
                }
                (true, None) => {
                    self.forget(&call);
                    call.fail(Reason::PeerGone, format!("{peer} has left: {reason}"));
                }
                (false, _) => self.lost(id, call, server, reason, now),
            }
        }
    }

    /// A server says what it is.
    pub(crate) fn announced(&mut self, peer: PeerId, announcement: Announcement, now: Instant) {
        let (ready, event) = self.routes.announced(peer, announcement);
        self.events.extend(event);
        if let Some(service) = ready {
            self.send_waiting(service, now);
        }
    }

    /// The caller no longer wants the outcome.
    pub(crate) fn cancel(&mut self, id: CallId, now: Instant) {
        if let Some(call) = self.calls.remove(id) {
            self.forget(&call);
            self.tell_cancelled(id, &call);
            if let Place::With(_) = call.place {
                self.resume(call.service, now);
            }
        }
    }

    fn tell_cancelled(&mut self, id: CallId, call: &Call) {
        let to = match call.place {
            Place::With(peer) => Address::Peer(peer),
            Place::Queued(_) => Address::Any(call.new.service.clone()),
            Place::Waiting(_) => return,
        };
        if !call.new.one_way {
            let frame = Frame::Cancel { id };
            self.out.push(Outbound::Frame { to, frame, confirm: false, settles: None });
        }
    }

    /// Ends what is due.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(id) = self.deadlines.pop_due(now) {
            let Some(call) = self.calls.remove_if(id, |call| call.due() <= now) else { continue };
            if now < call.deadline && call.is_queued() {
                self.withdraw(id, call);
                continue;
            }
            self.forget(&call);
            self.tell_cancelled(id, &call);
            match call.place {
                Place::Waiting(_) => {
                    let service = call.new.service.clone();
                    let waited = call.new.wait_for_server;
                    let why = call.service.and_then(|it| self.routes.failure(it));
                    let (reason, message) = match (now >= call.deadline, why) {
                        (true, _) => (
                            Reason::DeadlineBeforeSending,
                            format!("the deadline came, and no server of `{service}`"),
                        ),
                        (false, Some(_)) => (
                            Reason::NoServer,
                            format!("no server of `{service}` within {waited:?}"),
                        ),
                        (false, None) => (
                            Reason::NoServer,
                            format!(
                                "no server of `{service}` within {waited:?}; start one, or raise \
                                 client.wait_for_server"
                            ),
                        ),
                    };
                    let message = because(message, why);
                    call.fail(reason, message);
                }
                Place::With(_) | Place::Queued(_) => {
                    let message = match call.place {
                        Place::Queued(Withdrawal::At(_) | Withdrawal::Asked) => {
                            "the deadline came before it was known whether a server had the call"
                        }
                        _ => "the deadline came while a server had the call",
                    };
                    let service = call.service;
                    call.fail(Reason::DeadlineExceeded, message);
                    self.resume(service, now);
                }
            }
        }
    }

    /// When `expire` is to be called next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// The node is closed: every call ends.
    pub(crate) fn close(&mut self) {
        let calls: Vec<_> = self.calls.drain().collect();
        for (id, call) in calls {
            // Sessions end with the node, and what peers have of it with them; the queue stays.
            if call.is_queued() {
                self.tell_cancelled(id, &call);
            }
            match call.place {
                Place::Waiting(_) => call.fail(Reason::Closed, "the node was closed"),
                Place::With(_) | Place::Queued(_) => {
                    call.fail(Reason::ServerLost, "the node was closed during the call");
                }
            }
        }
        self.bytes = 0;
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.calls.len() == 0 && self.bytes == 0
    }
}

#[cfg(test)]
mod tests;
