//! The server actor: admits calls, begins their handlers, and sends their outcomes.

mod ledgers;
mod opening;
mod queries;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use compact_str::CompactString;
use tokio::sync::oneshot;

use super::admission::Lane;
use super::calls::{Arrival, Calls, Taken, Waiting};
use super::drain::Drain;
use super::handler::{Begun, begin};
use super::replies::ReplyTo;
use super::services::Services;
use super::sessions::{Running, Stage};
use super::tasks::{Asked, LEDGER, Tasks};
use super::watch::Watch;
use super::{DrainReport, replies};
use crate::context::{Beginning, Context as CallContext};
use crate::deadlines::LONGEST;
use crate::ledger::{FromLedger, LedgerKind};
use crate::node::{Node, Outlet};
use crate::observe;
use crate::params::Params;
use crate::peer::PeerInfo;
use crate::queue::{Batches, Sender, queue};
use crate::service::{IntoService, Outcome};
use crate::stream::{Allowance, CallKey, FromHandler, HandlerKey, HandlerStreams, Overrun};
use crate::transport::{Address, Credentials, Outbound, PeerId, Receipt, ServeError};
use crate::wire::{
    Announcement, CallFrame, CallOptions, Failure, Frame, Hello, Reason, ServerState, StreamId,
};

/// Serves: one per node.
pub(crate) struct ServerActor {
    node: Node,
    services: Services,
    calls: Calls,
    timer: Option<(Instant, SpawnHandle)>,
    handlers: Sender<(HandlerKey, FromHandler)>,
    from_handlers: Option<Batches<(HandlerKey, FromHandler)>>,
    /// The number of the handler that was begun last.
    begun: u64,
    batch: Vec<Outbound>,
    out: Outlet,
    drain: Option<Drain>,
    /// It has been told to stop, once and for all.
    draining: bool,
    tasks: Tasks,
    /// Where recoverable calls are recorded, and if nowhere, why.
    ledgers: Option<Arc<dyn LedgerKind>>,
    no_ledger: String,
    to_ledgers: Sender<FromLedger<Asked>>,
    from_ledgers: Option<Batches<FromLedger<Asked>>>,
}

/// What came in on the link for the serving side, in its order.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ServerFrames(pub(crate) Vec<ServerInbound>);

#[derive(Debug)]
pub(crate) enum ServerInbound {
    Frame(PeerId, Frame, Option<Receipt>),
    GiveBack(CompactString),
    PeerUp(PeerId, Box<Hello>, Credentials),
    PeerDown(PeerId),
    Serving(CompactString, Result<u64, ServeError>),
}

/// Serves a service. The answer comes when it is reachable.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Serve {
    pub(crate) service: Box<dyn IntoService>,
    pub(crate) to: Audience,
    pub(crate) reply: ServeReply,
}

/// Who is to find a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Every node of the namespace.
    Everybody,
    /// Nodes with a session, which know of it by themselves.
    Peers,
}

/// Asks for the nodes that there is a session with.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ListPeers(pub(crate) oneshot::Sender<Vec<PeerInfo>>);

pub(crate) type ServeReply = oneshot::Sender<Result<Announcement, ServeError>>;

/// Takes no more calls and finishes those that are here, within a time.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct DrainServer(pub(crate) Duration, pub(crate) oneshot::Sender<DrainReport>);

/// Cancels what is left and ends. One whose link was lost ends as if it had died: whether a task that ran here
/// was the cause, nobody knows.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct CloseServer {
    pub(crate) lost: bool,
}

impl ServerActor {
    pub(crate) fn new(
        node: Node,
        out: Outlet,
        ledgers: Result<Arc<dyn LedgerKind>, String>,
    ) -> Self {
        let (handlers, from_handlers) = queue();
        let (to_ledgers, from_ledgers) = queue();
        let (ledgers, no_ledger) = match ledgers {
            Ok(kind) => (Some(kind), String::new()),
            Err(why) => (None, why),
        };
        let room = node.config().limits.max_queued_bytes;
        ServerActor {
            node,
            services: Services::default(),
            calls: Calls::new(room),
            timer: None,
            handlers,
            from_handlers: Some(from_handlers),
            begun: 0,
            batch: Vec::new(),
            out,
            drain: None,
            draining: false,
            tasks: Tasks::default(),
            ledgers,
            no_ledger,
            to_ledgers,
            from_ledgers: Some(from_ledgers),
        }
    }

    /// Sends what this turn brought, and sees to the next deadline.
    fn settle(&mut self, ctx: &mut Context<Self>) {
        self.out.send(&mut self.batch);
        for (at, served) in self.services.iter_mut().enumerate() {
            let (running, waiting) = self.calls.load(at);
            served.meters.load(running, waiting);
        }
        if self.calls.is_empty()
            && self.tasks.is_idle()
            && let Some(drain) = self.drain.take()
        {
            ctx.cancel_future(drain.timer);
            drain.end(Vec::new());
        }
        let Some(due) = self.calls.next_due() else { return };
        match self.timer {
            Some((at, _)) if at <= due => {}
            _ => {
                if let Some((_, armed)) = self.timer.take() {
                    ctx.cancel_future(armed);
                }
                let wait = due.saturating_duration_since(Instant::now());
                let handle = ctx.run_later(wait, |this, ctx| {
                    this.timer = None;
                    this.expire(Instant::now());
                    this.settle(ctx);
                });
                self.timer = Some((due, handle));
            }
        }
    }

    fn send(&mut self, peer: PeerId, frame: Frame) {
        self.send_end(peer, frame, None);
    }

    /// Sends a frame that may be the end of a call.
    fn send_end(&mut self, peer: PeerId, frame: Frame, settles: Option<Receipt>) {
        let to = Address::Peer(peer);
        self.batch.push(Outbound::Frame { to, frame, confirm: false, settles });
    }

    /// The queue that a call came from need not keep it any longer, though nobody is told of its end.
    fn let_go(&mut self, receipt: Option<Receipt>) {
        self.batch.extend(receipt.map(Outbound::Settle));
    }

    fn disconnect(&mut self, peer: PeerId, reason: String) {
        self.batch.push(Outbound::Disconnect { peer, reason });
    }

    /// Tells the caller, and whoever listens, how a call ended.
    fn reply(&mut self, (peer, id): CallKey, to: ReplyTo, outcome: Outcome) {
        let ReplyTo { one_way, streams, watch, receipt } = to;
        if peer == LEDGER {
            if let Some(watch) = watch {
                watch.done(&outcome);
            }
            return self.attempt_ended(id, outcome);
        }
        if one_way {
            if let Some(watch) = watch {
                watch.done(&outcome);
            }
            return self.let_go(receipt);
        }
        let size = outcome.as_ref().map_or(usize::MAX, Bytes::len);
        let limit = self.limit(peer, size);
        let frame = replies::frame(id, outcome, streams, limit);
        if let Some(watch) = watch {
            watch.sent(&frame);
        }
        self.send_end(peer, frame, receipt);
    }

    fn refuse(&mut self, key: CallKey, to: ReplyTo, failure: Failure) {
        self.reply(key, to, Err(failure));
    }

    /// Refuses a call before it is anybody's turn.
    fn turn_away(
        &mut self,
        peer: PeerId,
        call: &CallFrame,
        receipt: Option<Receipt>,
        failure: Failure,
    ) {
        if let (Some(receipt), Reason::Draining) = (receipt, failure.reason) {
            return self.batch.push(Outbound::PutBack(receipt));
        }
        let (service, method) = self.services.known(call);
        observe::refused(service, method, failure.reason);
        let one_way = call.is_one_way();
        let to = ReplyTo { one_way, streams: false, watch: None, receipt };
        self.refuse((peer, call.id), to, failure);
    }

    /// Puts calls back into the queue they came from, for others to take.
    fn put_back(&mut self, calls: Vec<Waiting>) {
        for mut waiting in calls {
            let ReplyTo { watch, receipt, .. } = waiting.reply_to();
            self.batch.extend(receipt.map(Outbound::PutBack));
            if let Some(watch) = watch {
                watch.put_back();
            }
        }
    }

    /// The most that a payload of this size for this peer may take.
    fn limit(&self, peer: PeerId, size: usize) -> usize {
        // No node may be configured to take less than this, so small answers need no look-up.
        if size <= 1024 {
            return 1024;
        }
        let own = self.node.config().limits.max_message_bytes;
        self.calls.sessions.get(peer).map_or(own, |to| to.max_message_bytes.min(own))
    }

    fn call(&mut self, peer: PeerId, call: Box<CallFrame>, receipt: Option<Receipt>, now: Instant) {
        // Without a session its end was in this very batch.
        let Some(session) = self.calls.sessions.get(peer) else { return self.let_go(receipt) };
        if session.has(call.id) || self.tasks.waits((peer, call.id)) {
            self.let_go(receipt);
            return self.disconnect(peer, format!("it sent {} twice", call.id));
        }
        let credit = call.options.as_ref().map_or(0, |options| options.credit);
        if !Allowance::may_be_granted(credit) {
            self.let_go(receipt);
            return self
                .disconnect(peer, format!("it granted more credit than may be in {}", call.id));
        }
        let caller = Rc::clone(&session.caller);
        let (at, method) = match self.services.find(&call) {
            Ok(found) => found,
            Err(failure) => return self.turn_away(peer, &call, receipt, failure),
        };
        if method.recoverable {
            return self.record(at, method, peer, *call, receipt);
        }
        let deadline = now + call.time_left.min(LONGEST);
        let meters = self.services.at_mut(at).meters.method(method.at, &call.method);
        let watch = meters.map(|meters| Watch::arrived(meters, now, call.is_one_way()));
        let call = Waiting { caller, method, call, deadline, watch, receipt };
        match self.calls.arrive(at, call, now) {
            Arrival::Run(call) => self.run(at, call),
            Arrival::Waits { instead_of: None } => {}
            Arrival::Waits { instead_of: Some(other) } => self.too_many(at, other, now),
            Arrival::Busy(call, other) => {
                self.too_many(at, call, now);
                if let Some(other) = other {
                    self.too_many(at, other, now);
                }
            }
        }
    }

    /// Refuses a call for which there is no place.
    fn too_many(&mut self, at: usize, mut call: Waiting, now: Instant) {
        let busy = self.busy(at, now);
        self.refuse(call.key(), call.reply_to(), busy);
    }

    fn busy(&self, at: usize, now: Instant) -> Failure {
        let (running, waiting) = self.calls.load(at);
        let mut failure = Failure::new(
            Reason::Busy,
            format!(
                "server `{}` runs {running} calls and {waiting} wait, as many as may \
                 (server.concurrency, server.backlog, limits.max_queued_bytes)",
                self.services.at(at).scope.server
            ),
        );
        failure.retry_after = Some(self.calls.retry_after(at, now));
        failure
    }

    /// Runs a call whose turn it is, and those that its end lets run.
    fn run(&mut self, at: usize, first: Waiting) {
        let mut next = Some(first);
        while let Some(waiting) = next.take() {
            let (key, lane) = (waiting.key(), waiting.lane());
            let Waiting { caller, method, call, deadline, watch, receipt } = waiting;
            let call = *call;
            let one_way = call.is_one_way();
            let options = call.options.map(|options| *options).unwrap_or_default();
            self.begun += 1;
            let handler_key = (key, self.begun);
            let streams = self.streams(handler_key, &options);
            let served = self.services.at(at);
            let service = &served.scope.service;
            let task = if key.0 == LEDGER { self.tasks.scope(key.1) } else { None };
            let span = observe::server_span(service, &call.method, &caller, &options.headers);
            let context = CallContext::new(Beginning {
                server: Rc::clone(&served.scope),
                caller,
                method: call.method,
                headers: options.headers,
                deadline,
                attempt: options.attempt,
                streams,
                span,
                task,
            });
            let intercepted = served.service.__intercepted();
            if intercepted {
                context.intercepted();
            }
            let params = Params::new(call.params);
            let begun = begin(&*served.service, method.at, params, context.clone());
            let watch = Watch::begun(watch, &context, one_way);
            match begun {
                Begun::Done(outcome) => {
                    let to = ReplyTo { one_way, streams: method.streams, watch, receipt };
                    self.reply(key, to, outcome);
                    next = self.next_turn(at, lane);
                }
                Begun::Pending(handler) => {
                    if options.streams > 0 {
                        // Interceptors that may refuse it yet say so themselves.
                        if !intercepted {
                            self.started(key);
                        }
                    } else if receipt.is_some() && !one_way {
                        // Its caller does not know who has taken it.
                        let (peer, id) = key;
                        self.send(peer, Frame::Started { id, credit: 0 });
                    }
                    let done = self.handlers.clone();
                    let task = tokio::task::spawn_local(async move {
                        let outcome = handler.await;
                        // Closed with the actor: then nobody is left to answer.
                        let _ =
                            done.push((handler_key, FromHandler::Ended(outcome.map_err(Box::new))));
                    });
                    let abort = task.abort_handle();
                    let running = Running {
                        number: self.begun,
                        service: at,
                        lane,
                        one_way,
                        streams: method.streams,
                        context,
                        abort,
                        watch,
                        receipt,
                    };
                    self.calls.started(key, running, deadline);
                }
            }
        }
    }

    /// The caller may send the argument streams.
    fn started(&mut self, (peer, id): CallKey) {
        let credit = self.node.config().limits.stream_window as u64;
        self.send(peer, Frame::Started { id, credit });
    }

    /// What a call with streams keeps of them.
    fn streams(&self, key: HandlerKey, options: &CallOptions) -> Option<Rc<HandlerStreams>> {
        if options.streams == 0 && options.credit == 0 {
            return None;
        }
        let window = self.node.config().limits.stream_window as u64;
        let max_item = self.limit(key.0.0, usize::MAX);
        Some(HandlerStreams::new(
            key,
            self.handlers.clone(),
            options.credit,
            options.streams,
            window,
            max_item,
        ))
    }

    /// A running call has ended: the one whose turn it is now. Those whose time is over have none.
    fn next(&mut self, at: usize, mut lane: Lane) -> Option<Waiting> {
        if let Some(drain) = &mut self.drain {
            drain.finished += 1;
        }
        loop {
            let mut next = self.calls.next(at, lane)?;
            lane = next.lane();
            if next.deadline > Instant::now() {
                return Some(next);
            }
            let expired = Failure::new(Reason::Expired, "the deadline came before its turn");
            self.refuse(next.key(), next.reply_to(), expired);
        }
    }

    /// The same where tasks wait for places too: they and calls take turns.
    fn next_turn(&mut self, at: usize, lane: Lane) -> Option<Waiting> {
        if lane == Lane::Plain && !self.draining && self.tasks.takes_turn(at) {
            self.claim_for(at, 1);
            return None;
        }
        let next = self.next(at, lane);
        if next.is_none() {
            self.claim(at);
        }
        next
    }

    /// A call's place is free.
    fn free(&mut self, at: usize, lane: Lane) {
        if let Some(next) = self.next_turn(at, lane) {
            self.run(at, next);
        }
    }

    /// Ends a call whose outcome nobody wants, wherever it stands.
    fn cancel(&mut self, key: CallKey) {
        if self.tasks.waits(key) {
            // The waiting ends, and not the task.
            self.tasks.leave(key);
        }
        if let Some(taken) = self.calls.take(key) {
            self.end(taken);
        }
    }

    /// Ends a call that was taken out: its handler, and what is still owed to the queue it came from.
    fn end(&mut self, mut taken: Taken) {
        self.let_go(taken.take_receipt());
        if let Taken::Running(running) = taken {
            running.stop();
            self.free(running.service, running.lane);
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some((key, mut taken)) = self.calls.take_due(now) {
            let (reason, message) = match &taken {
                Taken::Waiting(_) => (Reason::Expired, "the deadline came before its turn"),
                Taken::Running(_) => (Reason::DeadlineExceeded, "the deadline came while it ran"),
            };
            self.refuse(key, taken.reply_to(), Failure::new(reason, message));
            self.end(taken);
        }
    }

    /// Something comes from a handler. A call that was ended meanwhile has no place here any more.
    fn heard(&mut self, (key, number): HandlerKey, word: FromHandler) {
        if !self.calls.sessions.runs(key, number) {
            return;
        }
        let (peer, id) = key;
        match word {
            FromHandler::Ended(outcome) => {
                if let Some(mut running) = self.calls.take_running(key) {
                    self.reply(key, running.reply_to(), outcome.map_err(|failure| *failure));
                    self.free(running.service, running.lane);
                }
            }
            FromHandler::Break(failure) => {
                if let Some(mut running) = self.calls.take_running(key) {
                    self.refuse(key, running.reply_to(), *failure);
                    self.end(Taken::Running(running));
                }
            }
            FromHandler::Begun => self.started(key),
            FromHandler::Item(value) => {
                self.send(peer, Frame::Item { id, stream: StreamId::RESULT, value });
            }
            FromHandler::Credit(stream, bytes) => {
                self.send(peer, Frame::Credit { id, stream, bytes });
            }
            FromHandler::Stop(stream) => self.send(peer, Frame::Stop { id, stream }),
        }
    }

    /// A frame of a call's streams. They may come late, for a call that has ended.
    fn stream_frame(&mut self, (peer, id): CallKey, frame: Frame) {
        let Some(stage) = self.calls.sessions.stage((peer, id)) else { return };
        let fed = match (stage, frame) {
            (_, Frame::Stop { .. } | Frame::End { failure: Some(_), .. }) => {
                return self.cancel((peer, id));
            }
            (Stage::Running(running), frame) => match (running.context.streams(), frame) {
                (Some(streams), Frame::Item { stream, value, .. }) => {
                    streams.arrived(stream, value)
                }
                (Some(streams), Frame::End { stream, .. }) => streams.ended(stream),
                (Some(streams), Frame::Credit { bytes, .. }) => streams.granted(bytes),
                _ => Err(Overrun),
            },
            (&Stage::Waiting { service, ticket }, Frame::Credit { bytes, .. }) => {
                self.calls.grant(service, ticket, bytes).then_some(()).ok_or(Overrun)
            }
            // Before its turn nothing was granted to it.
            (Stage::Waiting { .. }, _) => Err(Overrun),
        };
        if fed == Err(Overrun) {
            self.disconnect(
                peer,
                format!("it sent or granted what it may not in the streams of {id}"),
            );
        }
    }

    /// Cancels what is left, and says so to whoever has asked for a drain.
    fn abandon(&mut self, why: &str) {
        let abandoned = self.cancel_all(why);
        self.out.send(&mut self.batch);
        if let Some(drain) = self.drain.take() {
            drain.end(abandoned);
        }
    }

    /// Cancels every call, tells its caller, and gives its name.
    fn cancel_all(&mut self, why: &str) -> Vec<String> {
        let mut abandoned = Vec::new();
        for (key, mut taken) in self.calls.take_all() {
            let reason = match &taken {
                Taken::Waiting(call) => {
                    abandoned.push(format!("{}.{}", call.call.service, call.call.method));
                    Reason::Draining
                }
                Taken::Running(running) => {
                    let context = &running.context;
                    abandoned.push(format!("{}.{}", context.service(), context.method()));
                    running.stop();
                    Reason::Abandoned
                }
            };
            self.refuse(key, taken.reply_to(), Failure::new(reason, why));
        }
        abandoned
    }

    fn inbound(&mut self, inbound: ServerInbound, now: Instant) {
        match inbound {
            ServerInbound::Frame(peer, Frame::Call(call), receipt) => {
                self.call(peer, call, receipt, now);
            }
            ServerInbound::Frame(peer, frame, receipt) => {
                // Whatever else came from a queue is concluded by having come.
                self.let_go(receipt);
                match frame {
                    Frame::Cancel { id } => self.cancel((peer, id)),
                    Frame::Query { id, subject, params } => self.query(peer, id, &subject, params),
                    Frame::Item { id, .. }
                    | Frame::Credit { id, .. }
                    | Frame::End { id, .. }
                    | Frame::Stop { id, .. } => self.stream_frame((peer, id), frame),
                    // Of those that are for callees there are no others.
                    _ => {}
                }
            }
            ServerInbound::GiveBack(service) => {
                if let Ok(at) = self.services.service(&service) {
                    let waiting = self.calls.give_back(at);
                    self.put_back(waiting);
                }
            }
            ServerInbound::PeerUp(peer, hello, credentials) => {
                let caller =
                    PeerInfo { identity: hello.identity, node: hello.node, peer, credentials };
                let limit = usize::try_from(hello.max_message_bytes).unwrap_or(usize::MAX);
                self.calls.sessions.peer_up(caller, limit);
            }
            ServerInbound::PeerDown(peer) => {
                self.tasks.peer_down(peer);
                for taken in self.calls.peer_down(peer) {
                    self.end(taken);
                }
            }
            ServerInbound::Serving(service, result) => self.serving(&service, result),
        }
    }
}

impl Actor for ServerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        if let Some(handlers) = self.from_handlers.take() {
            ctx.add_stream(handlers);
        }
        if let Some(ledgers) = self.from_ledgers.take() {
            ctx.add_stream(ledgers);
        }
    }
}

impl StreamHandler<Vec<(HandlerKey, FromHandler)>> for ServerActor {
    fn handle(&mut self, batch: Vec<(HandlerKey, FromHandler)>, ctx: &mut Context<Self>) {
        for (key, word) in batch {
            self.heard(key, word);
        }
        self.settle(ctx);
    }

    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl Handler<ServerFrames> for ServerActor {
    type Result = ();

    fn handle(&mut self, ServerFrames(batch): ServerFrames, ctx: &mut Context<Self>) {
        let now = Instant::now();
        for inbound in batch {
            self.inbound(inbound, now);
        }
        self.settle(ctx);
    }
}

impl Handler<ListPeers> for ServerActor {
    type Result = ();

    fn handle(&mut self, ListPeers(reply): ListPeers, _: &mut Context<Self>) {
        let _ = reply.send(self.calls.sessions.peers().cloned().collect());
    }
}

impl Handler<Serve> for ServerActor {
    type Result = ();

    fn handle(&mut self, serve: Serve, ctx: &mut Context<Self>) {
        self.open(serve);
        self.settle(ctx);
    }
}

impl Handler<DrainServer> for ServerActor {
    type Result = ();

    /// A drain that is asked for during another joins it; the earlier deadline holds.
    fn handle(&mut self, DrainServer(within, reply): DrainServer, ctx: &mut Context<Self>) {
        self.draining = true;
        // Calls of a shared queue that wait here have come before the drain began, as others have: the
        // transport says if somebody else had better take them.
        self.announce(ServerState::Draining);
        let within = within.min(LONGEST);
        let until = Instant::now() + within;
        let mut replies = vec![reply];
        let (mut since, mut finished) = (Instant::now(), 0);
        if let Some(drain) = self.drain.take() {
            if drain.until <= until {
                let joined = drain.replies.into_iter().chain(replies).collect();
                self.drain = Some(Drain { replies: joined, ..drain });
                return self.settle(ctx);
            }
            ctx.cancel_future(drain.timer);
            (since, finished) = (drain.since, drain.finished);
            replies.extend(drain.replies);
        }
        let timer = ctx.run_later(within, |this, ctx| {
            this.abandon("the server stopped before it had ended: its time to drain was over (server.drain), or \
                          cut short");
            this.settle(ctx);
        });
        self.drain = Some(Drain { since, finished, until, timer, replies });
        self.settle(ctx);
    }
}

impl Handler<CloseServer> for ServerActor {
    type Result = ResponseFuture<()>;

    fn handle(
        &mut self,
        CloseServer { lost }: CloseServer,
        ctx: &mut Context<Self>,
    ) -> ResponseFuture<()> {
        self.draining = true;
        let waiting = self.calls.give_back_all();
        if !waiting.is_empty() {
            // Before that this server would be given them again.
            self.announce(ServerState::Draining);
            self.put_back(waiting);
        }
        let dead = lost.then(|| self.close_ledgers());
        self.abandon("the server was closed");
        let closed = dead.unwrap_or_else(|| self.close_ledgers());
        self.announce(ServerState::Gone);
        self.out.send(&mut self.batch);
        ctx.stop();
        closed
    }
}

impl std::fmt::Debug for ServerActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerActor").field("calls", &self.calls).finish_non_exhaustive()
    }
}
