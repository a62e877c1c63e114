//! Every call of this node that has no outcome yet: pure decisions, driven by the client actor.

use std::time::Instant;

use bytes::Bytes;
use compact_str::CompactString;

use super::budget::RetryBudget;
use super::compatibility::{Compatibility, Judgement, Question, refusal};
use super::request::Streams;
use super::routes::{Routes, ServiceIndex};
use super::window::Window;
use super::{Arrival, NewCall, Reply, Target};
use crate::deadlines::{Deadlines, LONGEST};
use crate::event::Event;
use crate::peer::PeerAddress;
use crate::service::Descriptor;
use crate::stream::{Allowance, compact, cost};
use crate::table::Table;
use crate::transport::{Address, Outbound, PeerId, Watch};
use crate::wire::{
    Announcement, CallFrame, CallId, CallOptions, Failure, Frame, NodeId, Reason, ReasonClass,
    StreamId,
};

/// An idempotent call is started again at most this often.
const MAX_RETRIES: u8 = 2;

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
    /// Items of its streams were sent or have come, or may be on their way since a server has begun
    /// it: it cannot begin anew elsewhere.
    moved: bool,
    /// A server has said that it has begun it.
    begun: bool,
    /// What may still come of its results, if they are a stream.
    results: Allowance,
    deadline: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Here, until a server comes or this time does.
    Waiting(Instant),
    /// At a peer, or on the way to it.
    With(PeerId),
    /// In the queue that any server takes from.
    Queued,
}

/// Where a call goes.
enum Choice {
    Server(PeerId),
    /// Nowhere yet.
    Wait,
    Refused(Failure),
}

/// Most calls have none, and are spared the comparison of all there could be.
fn options(new: &NewCall, retries: u8) -> Option<Box<CallOptions>> {
    let Streams { arguments: streams, credit } = new.streams;
    // A handler that makes a one-way call does not wait for it.
    let nested = new.inherited.is_some() && !new.one_way;
    let plain = !new.one_way && !nested && retries == 0 && new.headers.is_empty();
    if plain && streams == 0 && credit == 0 {
        return None;
    }
    let (one_way, attempt, headers) = (new.one_way, retries, new.headers.clone());
    Some(Box::new(CallOptions { one_way, nested, attempt, headers, streams, credit, task: None }))
}

/// A call was started by a server that was lost, and then refused by this one.
fn lost_and_refused(refusal: Failure) -> Failure {
    let message =
        format!("its server was lost during the call, and another refused it: {}", refusal.message);
    Failure { retry_after: refusal.retry_after, ..Failure::new(Reason::ServerLost, message) }
}

impl Call {
    fn due(&self) -> Instant {
        match self.place {
            Place::Waiting(until) => until,
            Place::With(_) | Place::Queued => self.deadline,
        }
    }

    fn end(self, reply: Reply) {
        self.new.reply.end(reply);
    }

    fn fail(self, reason: Reason, message: impl Into<String>) {
        self.end(Err(Failure::new(reason, message)));
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
        let own = now + new.timeout.min(LONGEST);
        let deadline = new.inherited.map_or(own, |inherited| inherited.min(own));
        let results = Allowance::new(new.streams.credit);
        let place = Place::Queued;
        let call = Call {
            new,
            service,
            place,
            retries: 0,
            bounced: false,
            refused: false,
            moved: false,
            begun: false,
            results,
            deadline,
        };
        let (calls, bytes) = (self.calls.len(), self.bytes + call.new.params.len());
        if calls >= self.bounds.calls || bytes > self.bounds.bytes {
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
            if call.retries > 0 {
                let message = "its server was lost during the call, and the deadline came";
                return call.fail(Reason::DeadlineExceeded, message);
            }
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
            (Target::Service, Some(service)) if self.bounds.shared_queue => {
                match self.choose(service, avoid, &call.new) {
                    // Any server takes it, this one or another.
                    Choice::Server(peer) => self.routes.release(service, peer),
                    Choice::Wait => return self.park(id, call, service, now),
                    Choice::Refused(failure) => return self.refuse(call, failure),
                }
                call.place = Place::Queued;
                self.send(id, &call, Address::Any(call.new.service.clone()), now);
                return self.keep(id, call);
            }
            (Target::Service, Some(service)) => match self.choose(service, avoid, &call.new) {
                Choice::Server(peer) => peer,
                Choice::Wait => return self.park(id, call, service, now),
                Choice::Refused(failure) => return self.refuse(call, failure),
            },
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

    /// The server that gets a call, if one may have it.
    fn choose(&mut self, service: ServiceIndex, avoid: Option<PeerId>, new: &NewCall) -> Choice {
        let Some(expects) = new.expects else {
            return self.routes.pick(service, avoid).map_or(Choice::Wait, Choice::Server);
        };
        let (compatibility, events) = (&mut self.compatibility, &mut self.events);
        let (mut unknown, mut refused) = (false, None);
        let picked = self.routes.pick_where(service, avoid, |route| {
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
        });
        match (picked, refused) {
            (Some(peer), _) => Choice::Server(peer),
            (None, Some(difference)) if !unknown => Choice::Refused(refusal(&difference)),
            _ => Choice::Wait,
        }
    }

    /// No server there is may have the call; it is in no table.
    fn refuse(&mut self, call: Call, failure: Failure) {
        self.bytes -= call.new.params.len();
        if call.retries > 0 {
            let message = "its server was lost during the call, and no other fits the client";
            return call.fail(Reason::ServerLost, message);
        }
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
        call.place = Place::Waiting(call.deadline.min(now + call.new.wait_for_server.min(LONGEST)));
        self.keep(id, call);
    }

    fn keep(&mut self, id: CallId, call: Call) {
        let calls = &self.calls;
        self.deadlines.add(call.due(), id, calls.len(), |at, id| {
            calls.get(*id).is_some_and(|call| call.due() == at)
        });
        self.calls.insert(id, call);
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
            Place::Queued => self.calls.remove(id),
            Place::With(peer) if peer == from => self.calls.remove(id),
            Place::With(_) | Place::Waiting(_) => {
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

    /// The call, if this peer has it.
    fn call_of(&mut self, from: PeerId, id: CallId) -> Option<&mut Call> {
        match self.calls.get_mut(id) {
            Some(call) if call.place == Place::With(from) => Some(call),
            Some(_) => {
                self.counters.stray_frames += 1;
                None
            }
            None => {
                self.counters.late_answers += 1;
                None
            }
        }
    }

    /// The call, if this peer has it and it has this argument stream.
    fn argument_of(&mut self, from: PeerId, id: CallId, stream: StreamId) -> Option<&mut Call> {
        let arguments = self.call_of(from, id)?.new.streams.arguments;
        if !(1..=arguments).contains(&stream.0) {
            self.counters.stray_frames += 1;
            return None;
        }
        self.calls.get_mut(id)
    }

    /// An item of the results has come.
    pub(crate) fn item(&mut self, from: PeerId, id: CallId, value: Bytes) {
        self.started(from, id);
        let Some(call) = self.call_of(from, id) else { return };
        if call.results.spend(cost(&value)) {
            call.moved = true;
            call.new.reply.tell(Arrival::Item(compact(value)));
        } else {
            let reason = format!("it sent more of the results of {id} than it might");
            self.out.push(Outbound::Disconnect { peer: from, reason });
        }
    }

    /// The callee is ready for this much of an argument stream.
    pub(crate) fn granted(&mut self, from: PeerId, id: CallId, stream: StreamId, bytes: u64) {
        if let Some(call) = self.argument_of(from, id, stream) {
            call.new.reply.tell(Arrival::Credit(stream, bytes));
        }
    }

    /// The callee wants no more of an argument stream.
    pub(crate) fn stopped(&mut self, from: PeerId, id: CallId, stream: StreamId) {
        if let Some(call) = self.argument_of(from, id, stream) {
            call.new.reply.tell(Arrival::Stop(stream));
        }
    }

    /// The caller sends something of its streams to whoever has the call.
    pub(crate) fn send_stream(&mut self, id: CallId, frame: Frame) {
        // It may have ended meanwhile.
        let Some(call) = self.calls.get_mut(id) else { return };
        let Place::With(peer) = call.place else { return };
        match &frame {
            Frame::Credit { bytes, .. } => call.results.grant(*bytes),
            _ => call.moved = true,
        }
        let to = Address::Peer(peer);
        self.out.push(Outbound::Frame { to, frame, confirm: false, settles: None });
    }

    /// A failure has come.
    pub(crate) fn failed(&mut self, from: PeerId, id: CallId, failure: Failure, now: Instant) {
        let Some(mut call) = self.take(id, from) else { return };
        match (failure.reason, call.service) {
            // Nor was this one. Another server may have room: one is tried, and paid for as a retry
            // is, so that servers which are all full get a tenth more calls by it at most.
            (Reason::Busy, Some(service))
                if !call.refused
                    && !call.moved
                    && !self.bounds.shared_queue
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
            (Reason::Draining, Some(service)) if !call.moved => {
                self.release(&call);
                self.routes.draining(service, from);
                self.place(id, call, Some(from), now);
            }
            (_, service) => {
                self.forget(&call);
                let class = failure.reason.class();
                // That this server has not started it does not undo that another has.
                let is_denied = matches!(class, ReasonClass::NotSent | ReasonClass::Refused);
                let undone = is_denied && call.retries > 0;
                call.end(Err(if undone { lost_and_refused(failure) } else { failure }));
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

    /// A server has taken a call that any could have taken.
    pub(crate) fn started(&mut self, from: PeerId, id: CallId) {
        if let Some(call) = self.calls.get_mut(id)
            && call.place == Place::Queued
        {
            call.place = Place::With(from);
        }
    }

    /// A server has begun a call, and is ready for this much of each of its argument streams.
    pub(crate) fn begun(&mut self, from: PeerId, id: CallId, credit: u64) {
        self.started(from, id);
        let Some(call) = self.call_of(from, id) else { return };
        if std::mem::replace(&mut call.begun, true) {
            self.counters.stray_frames += 1;
            return;
        }
        let arguments = call.new.streams.arguments;
        // From here on items may be on their way to this server, and to no other: neither they nor
        // the credit they cost can be taken back.
        call.moved |= arguments > 0;
        for stream in 1..=arguments {
            call.new.reply.tell(Arrival::Credit(StreamId(stream), credit));
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
        // It may have gone elsewhere since, when the session that it was for ended.
        let Address::Peer(peer) = *to else { return };
        let there = |call: &Call| call.place == Place::With(peer);
        let Some(mut call) = self.calls.remove_if(id, there) else { return };
        if written {
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
            && !call.moved
            && call.service.is_some()
            && call.retries < MAX_RETRIES
            && now < call.deadline
            && self.budget.spend()
        {
            self.release(&call);
            call.retries += 1;
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
        for (id, call, server) in had {
            match (clean, call.service) {
                // It was not started: others take it, and the caller need not know.
                (true, Some(_)) if !call.moved => self.place(id, call, None, now),
                (true, None) if !call.moved => {
                    self.forget(&call);
                    call.fail(Reason::PeerGone, format!("{peer} has left: {reason}"));
                }
                _ => self.lost(id, call, server, reason, now),
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
        if let Place::With(peer) = call.place
            && !call.new.one_way
        {
            let (to, frame) = (Address::Peer(peer), Frame::Cancel { id });
            self.out.push(Outbound::Frame { to, frame, confirm: false, settles: None });
        }
    }

    /// Ends what is due.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(id) = self.deadlines.pop_due(now) {
            let Some(call) = self.calls.remove_if(id, |call| call.due() <= now) else { continue };
            self.forget(&call);
            self.tell_cancelled(id, &call);
            match call.place {
                // It was started once: that no other server came does not undo that.
                Place::Waiting(_) if call.retries > 0 => {
                    let message = "its server was lost during the call, and no other came in time";
                    call.fail(Reason::ServerLost, message);
                }
                Place::Waiting(_) => {
                    let service = call.new.service.clone();
                    let waited = call.new.wait_for_server;
                    if now >= call.deadline {
                        let message = format!("the deadline came, and no server of `{service}`");
                        call.fail(Reason::DeadlineBeforeSending, message);
                    } else {
                        let message = format!(
                            "no server of `{service}` within {waited:?}; start one, or raise \
                             client.wait_for_server"
                        );
                        call.fail(Reason::NoServer, message);
                    }
                }
                Place::With(_) | Place::Queued => {
                    let message = "the deadline came while a server had the call";
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
        for call in self.calls.drain() {
            match call.place {
                Place::Waiting(_) if call.retries == 0 => {
                    call.fail(Reason::Closed, "the node was closed");
                }
                Place::Waiting(_) | Place::With(_) | Place::Queued => {
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
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::super::ReplyTo;
    use super::super::routes::tests::announcement;
    use super::*;
    use crate::wire::ServerState;

    const SECOND: Duration = Duration::from_secs(1);

    /// A table, a clock that stands still until it is moved, and what the test waits for.
    struct Table {
        pending: Pending,
        now: Instant,
        next: u64,
    }

    type Outcome = oneshot::Receiver<Reply>;

    impl Table {
        fn new() -> Self {
            let bounds = Bounds { calls: 8, bytes: 1000, shared_queue: false };
            Table { pending: Pending::new(bounds, false), now: Instant::now(), next: 0 }
        }

        fn with_servers(peers: &[u64]) -> Self {
            let mut table = Table::new();
            for peer in peers {
                table.up(*peer);
            }
            table
        }

        fn up(&mut self, peer: u64) {
            self.pending.routes.service(&"calc".into());
            self.pending.peer_up(PeerId(peer), NodeId(uuid::Uuid::from_u128(peer.into())), 500);
            let server = announcement("calc", &format!("s{peer}"), ServerState::Ready);
            self.pending.announced(PeerId(peer), server, self.now);
        }

        fn call(&mut self, change: impl FnOnce(&mut NewCall)) -> (CallId, Outcome) {
            let (reply, outcome) = oneshot::channel();
            let mut new = NewCall {
                target: Target::Service,
                service: "calc".into(),
                method: "add".into(),
                params: bytes::Bytes::from_static(&[0x80]),
                headers: Vec::new(),
                one_way: false,
                idempotent: false,
                timeout: 10 * SECOND,
                inherited: None,
                wait_for_server: SECOND,
                expects: None,
                streams: Streams::default(),
                reply: ReplyTo::Once(reply),
            };
            change(&mut new);
            self.next += 1;
            let id = CallId(self.next);
            self.pending.submit(id, Box::new(new), self.now);
            (id, outcome)
        }

        fn plain(&mut self) -> (CallId, Outcome) {
            self.call(|_| {})
        }

        /// The frames that go out, and to whom.
        fn sent(&mut self) -> Vec<(u64, Frame)> {
            let out = self.pending.out.drain(..);
            out.filter_map(|outbound| match outbound {
                Outbound::Frame { to: Address::Peer(peer), frame, .. } => Some((peer.0, frame)),
                _ => None,
            })
            .collect()
        }

        fn sent_to(&mut self) -> Vec<u64> {
            self.sent().into_iter().map(|(peer, _)| peer).collect()
        }

        fn answer(&mut self, peer: u64, id: CallId) {
            self.pending.answered(PeerId(peer), id, bytes::Bytes::from_static(&[3]), self.now);
        }

        fn pass(&mut self, time: Duration) {
            self.now += time;
            self.pending.expire(self.now);
        }

        fn down(&mut self, peer: u64, clean: bool) {
            self.pending.peer_down(PeerId(peer), "it died", clean, self.now);
        }
    }

    fn to(peer: u64) -> Address {
        Address::Peer(PeerId(peer))
    }

    fn reason(outcome: &mut Outcome) -> Option<Reason> {
        outcome.try_recv().ok().map(|reply| reply.expect_err("it failed").reason)
    }

    #[test]
    fn an_answer_ends_its_call_and_leaves_nothing() {
        let mut table = Table::with_servers(&[1]);
        let (id, mut outcome) = table.plain();
        assert_eq!(table.sent_to(), [1]);
        table.answer(1, id);
        assert!(outcome.try_recv().unwrap().is_ok());
        assert!(table.pending.is_empty());
        table.answer(1, id);
        assert_eq!(table.pending.counters.late_answers, 1);
    }

    #[test]
    fn an_answer_of_another_peer_is_not_taken() {
        let mut table = Table::with_servers(&[1, 2]);
        let (id, mut outcome) = table.plain();
        table.answer(2, id);
        assert!(outcome.try_recv().is_err());
        assert_eq!(table.pending.counters.stray_frames, 1);
        table.answer(1, id);
        assert!(outcome.try_recv().unwrap().is_ok());
    }

    #[test]
    fn a_call_waits_for_a_server_and_goes_when_one_comes() {
        let mut table = Table::new();
        let (_, mut outcome) = table.plain();
        assert!(matches!(&table.pending.out[..], [Outbound::Watch(Watch::Service(_))]));
        assert!(table.sent().is_empty());
        table.up(1);
        assert_eq!(table.sent_to(), [1]);
        table.pass(2 * SECOND);
        assert_eq!(reason(&mut outcome), None, "the wait was for the server only");
        table.pass(10 * SECOND);
        assert_eq!(reason(&mut outcome), Some(Reason::DeadlineExceeded));
    }

    #[test]
    fn waiting_ends_by_its_own_time_or_the_deadline() {
        let mut table = Table::new();
        let (_, mut patient) = table.plain();
        let (_, mut hurried) = table.call(|new| new.timeout = SECOND / 2);
        table.pass(SECOND / 2);
        assert_eq!(reason(&mut hurried), Some(Reason::DeadlineBeforeSending));
        table.pass(SECOND / 2);
        assert_eq!(reason(&mut patient), Some(Reason::NoServer));
        table.up(1);
        assert!(table.sent().is_empty(), "nothing of them is left to run");
        assert!(table.pending.is_empty());
    }

    #[test]
    fn cancelling_tells_the_server_that_has_the_call() {
        let mut table = Table::with_servers(&[1]);
        let (id, _outcome) = table.plain();
        table.sent();
        table.pending.cancel(id, table.now);
        assert_eq!(table.sent(), [(1, Frame::Cancel { id })]);
        table.pending.cancel(id, table.now);
        assert!(table.sent().is_empty());
        assert!(table.pending.is_empty());
    }

    #[test]
    fn a_lost_server_ends_plain_calls_and_moves_idempotent_ones() {
        let mut table = Table::with_servers(&[1]);
        let (_, mut plain) = table.plain();
        let (id, mut again) = table.call(|new| new.idempotent = true);
        table.sent();
        table.down(1, false);
        assert_eq!(reason(&mut plain), Some(Reason::ServerLost));
        table.up(2);
        let sent = table.sent();
        let (2, Frame::Call(call)) = &sent[0] else { panic!("{sent:?}") };
        assert_eq!((call.id, call.options.as_ref().unwrap().attempt), (id, 1));
        table.answer(2, id);
        assert!(again.try_recv().unwrap().is_ok());
    }

    #[test]
    fn an_idempotent_call_that_no_other_server_takes_may_have_run() {
        let mut table = Table::with_servers(&[1]);
        let (_, mut outcome) = table.call(|new| new.idempotent = true);
        table.down(1, false);
        assert_eq!(reason(&mut outcome), None);
        table.now += 2 * SECOND;
        table.pending.expire(table.now);
        assert_eq!(reason(&mut outcome), Some(Reason::ServerLost));
        assert!(table.pending.is_empty());

        table.up(2);
        let (_, mut outcome) = table.call(|new| new.idempotent = true);
        table.down(2, false);
        // The server comes before anybody has looked at the clock.
        table.now += 20 * SECOND;
        table.up(3);
        assert_eq!(reason(&mut outcome), Some(Reason::DeadlineExceeded));
    }

    #[test]
    fn an_idempotent_call_is_started_three_times_at_most() {
        let mut table = Table::with_servers(&[1, 2, 3, 4]);
        let (_, mut outcome) = table.call(|new| new.idempotent = true);
        for _ in 0..3 {
            assert_eq!(reason(&mut outcome), None);
            let to = table.sent_to();
            table.down(to[0], false);
        }
        assert_eq!(reason(&mut outcome), Some(Reason::ServerLost));
        assert_eq!(table.pending.counters.retries, 2);
    }

    #[test]
    fn what_a_leaving_server_has_not_started_goes_elsewhere() {
        let mut table = Table::with_servers(&[1]);
        let (id, mut outcome) = table.plain();
        table.sent();
        table.up(2);
        table.down(1, true);
        assert_eq!(table.sent_to(), [2]);
        table.answer(2, id);
        assert!(outcome.try_recv().unwrap().is_ok());
    }

    #[test]
    fn a_draining_server_gets_no_more_and_its_refusals_go_elsewhere() {
        let mut table = Table::with_servers(&[1, 2]);
        let (id, _outcome) = table.plain();
        assert_eq!(table.sent_to(), [1]);
        let draining = Failure::new(Reason::Draining, "about to stop");
        table.pending.failed(PeerId(1), id, draining, table.now);
        let _more = [table.plain(), table.plain()];
        assert_eq!(table.sent_to(), [2, 2, 2]);
    }

    fn busy(table: &mut Table, peer: u64, id: CallId) {
        let mut busy = Failure::new(Reason::Busy, "as many as may");
        busy.retry_after = Some(SECOND);
        table.pending.failed(PeerId(peer), id, busy, table.now);
    }

    #[test]
    fn what_a_full_server_refuses_is_tried_at_one_other() {
        let mut table = Table::with_servers(&[1, 2, 3]);
        let (id, mut outcome) = table.plain();
        assert_eq!(table.sent_to(), [1]);
        busy(&mut table, 1, id);
        let sent = table.sent();
        let [(2, Frame::Call(again))] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!((again.id, &again.options), (id, &None), "the first attempt has not begun");
        busy(&mut table, 2, id);
        let failure = outcome.try_recv().unwrap().unwrap_err();
        assert_eq!((failure.reason, failure.retry_after), (Reason::Busy, Some(SECOND)));
        assert!(table.sent().is_empty() && table.pending.is_empty());
    }

    #[test]
    fn what_the_only_server_refuses_is_the_callers() {
        let mut table = Table::with_servers(&[1]);
        let (id, mut outcome) = table.plain();
        table.sent();
        busy(&mut table, 1, id);
        assert_eq!(reason(&mut outcome), Some(Reason::Busy));
        assert!(table.sent().is_empty());
    }

    #[test]
    fn trying_again_stays_within_the_budget() {
        let mut table = Table::with_servers(&[1, 2]);
        let mut again = 0;
        for _ in 0..1000 {
            let (id, mut outcome) = table.call(|new| new.idempotent = true);
            let first = table.sent_to()[0];
            busy(&mut table, first, id);
            if let [other] = table.sent_to()[..] {
                again += 1;
                busy(&mut table, other, id);
            }
            assert_eq!(reason(&mut outcome), Some(Reason::Busy));
        }
        assert_eq!(again, 110, "a tenth of the calls, and ten that were there from the start");
        // The deaths of servers are paid from the same purse.
        let (_, mut lost) = table.call(|new| new.idempotent = true);
        let with = table.sent_to()[0];
        table.down(with, false);
        assert_eq!(reason(&mut lost), Some(Reason::ServerLost));
    }

    #[test]
    fn what_was_not_written_is_sent_again_and_what_was_is_unknown() {
        let mut table = Table::with_servers(&[1, 2]);
        let (id, mut outcome) = table.plain();
        assert_eq!(table.sent_to(), [1]);
        table.pending.undelivered(id, &to(1), "the connection broke", false, table.now);
        assert_eq!(table.sent_to(), [2]);
        table.pending.undelivered(id, &to(2), "the connection broke", true, table.now);
        assert_eq!(reason(&mut outcome), Some(Reason::ServerLost));
    }

    /// A call with these streams, and what comes to it.
    fn streaming(
        table: &mut Table,
        arguments: u32,
        credit: u64,
    ) -> (CallId, crate::queue::Batches<Arrival>) {
        let (sender, arrivals) = crate::queue::queue();
        let (id, _) = table.call(|new| {
            new.idempotent = true;
            new.streams = Streams { arguments, credit };
            new.reply = ReplyTo::Flow(sender);
        });
        (id, arrivals)
    }

    fn came(arrivals: &mut crate::queue::Batches<Arrival>) -> Vec<Arrival> {
        futures::executor::block_on(futures::StreamExt::next(arrivals)).unwrap()
    }

    #[test]
    fn a_stream_that_has_moved_begins_nowhere_else_whatever_its_server_says() {
        let item = bytes::Bytes::from_static(&[1]);
        let ends: [fn(&mut Table, CallId); 3] = [
            |table, id| {
                let draining = Failure::new(Reason::Draining, "");
                table.pending.failed(PeerId(1), id, draining, table.now);
            },
            |table, _| table.down(1, true),
            |table, _| table.down(1, false),
        ];
        for end in ends {
            for arguments in [0, 1] {
                let mut table = Table::with_servers(&[1]);
                let (id, mut arrivals) = streaming(&mut table, arguments, 100);
                table.up(2);
                match arguments {
                    0 => table.pending.item(PeerId(1), id, item.clone()),
                    // An item may be on its way from now on.
                    _ => table.pending.begun(PeerId(1), id, 100),
                }
                table.sent();
                end(&mut table, id);
                assert_eq!(table.sent_to(), [0_u64; 0]);
                assert!(matches!(came(&mut arrivals)[..], [_, Arrival::End(Err(_))]));
            }
        }
    }

    #[test]
    fn what_a_server_says_for_nothing_does_not_pile_up() {
        let mut table = Table::with_servers(&[1]);
        let (id, mut arrivals) = streaming(&mut table, 2, 0);
        for _ in 0..1000 {
            table.pending.begun(PeerId(1), id, 10);
            for stream in 0..=3 {
                table.pending.granted(PeerId(1), id, StreamId(stream), 1);
                table.pending.stopped(PeerId(1), id, StreamId(stream));
            }
        }
        let came = came(&mut arrivals);
        assert!(matches!(came[..2], [Arrival::Credit(_, 1010), Arrival::Credit(_, 1010)]));
        assert_eq!(came.len(), 4, "{came:?}");
    }

    #[test]
    fn a_call_that_was_lost_and_then_refused_does_not_end_as_refused() {
        let mut table = Table::with_servers(&[1]);
        let (id, mut outcome) = table.call(|new| new.idempotent = true);
        table.down(1, false);
        table.up(2);
        let busy = Failure::new(Reason::Busy, "full");
        table.pending.failed(PeerId(2), id, busy, table.now);
        assert_eq!(reason(&mut outcome), Some(Reason::ServerLost));
    }

    #[test]
    fn a_call_that_went_elsewhere_is_not_moved_by_its_old_bounce() {
        let mut table = Table::with_servers(&[1]);
        let (id, mut outcome) = table.plain();
        table.sent();
        table.up(2);
        table.down(1, true);
        assert_eq!(table.sent_to(), [2]);
        table.pending.undelivered(id, &to(1), "the session is over", false, table.now);
        assert!(table.sent().is_empty());
        table.answer(2, id);
        assert!(outcome.try_recv().unwrap().is_ok());
    }

    #[test]
    fn a_call_that_two_servers_have_no_room_for_waits() {
        let mut table = Table::with_servers(&[1, 2]);
        let (first, _one) = table.plain();
        let (id, _two) = table.plain();
        assert_eq!(table.sent_to(), [1, 2]);
        table.pending.undelivered(id, &to(2), "its queue is full", false, table.now);
        assert_eq!(table.sent_to(), [1]);
        table.pending.undelivered(id, &to(1), "its queue is full", false, table.now);
        assert!(table.sent().is_empty());
        table.pending.cancel(first, table.now);
        assert!(table.sent().iter().any(|(_, frame)| matches!(frame, Frame::Call(_))));
    }

    #[test]
    fn the_longest_timeouts_are_within_range() {
        let mut table = Table::new();
        let (_, mut outcome) = table.call(|new| {
            (new.timeout, new.wait_for_server) = (Duration::MAX, Duration::MAX);
        });
        table.pass(3600 * SECOND);
        assert_eq!(reason(&mut outcome), None);
    }

    #[test]
    fn a_full_queue_of_the_only_server_holds_calls_until_there_is_room() {
        let mut table = Table::with_servers(&[1]);
        let (first, _one) = table.plain();
        let (second, mut two) = table.plain();
        table.sent();
        table.pending.undelivered(second, &to(1), "its queue is full", false, table.now);
        assert!(table.sent().is_empty());
        table.answer(1, first);
        assert_eq!(table.sent_to(), [1]);
        table.answer(1, second);
        assert!(two.try_recv().unwrap().is_ok());
    }

    #[test]
    fn calls_and_their_bytes_are_bounded() {
        let mut table = Table::with_servers(&[1]);
        let mut outcomes: Vec<_> = (0..9).map(|_| table.plain().1).collect();
        assert_eq!(reason(&mut outcomes[8]), Some(Reason::Overloaded));
        let mut table = Table::new();
        let large = |new: &mut NewCall| new.params = vec![0; 600].into();
        let (_, _first) = table.call(large);
        let (_, mut second) = table.call(large);
        assert_eq!(reason(&mut second), Some(Reason::Overloaded));
    }

    #[test]
    fn arguments_over_the_servers_limit_are_not_sent() {
        let mut table = Table::with_servers(&[1]);
        let (_, mut outcome) = table.call(|new| new.params = vec![0; 600].into());
        assert_eq!(reason(&mut outcome), Some(Reason::RequestTooLarge));
        assert!(table.sent().is_empty() && table.pending.is_empty());
        let (_, _next) = table.plain();
        assert_eq!(table.sent_to(), [1], "the server's share was given back");
    }

    #[test]
    fn frames_carry_the_lowest_open_id() {
        let mut table = Table::with_servers(&[1]);
        let (first, _one) = table.plain();
        let (second, _two) = table.plain();
        table.answer(1, first);
        let (_, _three) = table.plain();
        let lows: Vec<CallId> = table
            .sent()
            .into_iter()
            .map(|(_, frame)| match frame {
                Frame::Call(call) => call.low,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(lows, [first, first, second]);
    }

    #[test]
    fn a_one_way_call_is_done_when_it_is_handed_over() {
        let mut table = Table::with_servers(&[1]);
        let (id, mut outcome) = table.call(|new| new.one_way = true);
        assert!(matches!(table.pending.out.last(), Some(Outbound::Frame { confirm: true, .. })));
        table.pending.handed_over(id, table.now);
        assert!(outcome.try_recv().unwrap().is_ok());
        assert!(table.pending.is_empty());
    }

    #[test]
    fn closing_ends_every_call_and_says_what_is_known() {
        let mut table = Table::with_servers(&[1]);
        let (_, mut sent) = table.plain();
        let (_, mut waiting) = table.call(|new| new.service = "other".into());
        table.pending.close();
        assert_eq!(reason(&mut sent), Some(Reason::ServerLost));
        assert_eq!(reason(&mut waiting), Some(Reason::Closed));
    }
}
