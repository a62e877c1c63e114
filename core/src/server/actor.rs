//! The server actor: admits calls, begins their handlers, and sends their outcomes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use compact_str::CompactString;
use tokio::sync::oneshot;

use super::admission::{Admission, Admitted};
use super::handler::{Begun, begin};
use super::sessions::{CallKey, Running, Sessions, Stage};
use super::{ClientStatus, DrainReport, NodeStatus, ServiceStatus};
use crate::context::{Caller, Context as CallContext, Serving};
use crate::deadlines::{Deadlines, LONGEST};
use crate::nearest::nearest_few;
use crate::node::{Node, Outlet};
use crate::params::{NULL, Params};
use crate::queue::{Sender, queue};
use crate::service::{Descriptor, IntoService, Outcome, Service};
use crate::table::Table;
use crate::transport::{Address, Credentials, Outbound, PeerId, ServeError};
use crate::value;
use crate::wire::{
    Announcement, CallFrame, CallId, Failure, Frame, Hello, MAX_LIST, MAX_NAME_BYTES, Reason,
    ServerState,
};

/// Serves: one per node.
pub(crate) struct ServerActor {
    node: Node,
    services: Vec<Served>,
    /// Services that the transport has not made reachable yet.
    opening: Table<CompactString, Opening>,
    sessions: Sessions,
    deadlines: Deadlines<CallKey>,
    timer: Option<(Instant, SpawnHandle)>,
    ended: Sender<Ended>,
    ended_batches: Option<crate::queue::Batches<Ended>>,
    batch: Vec<Outbound>,
    out: Outlet,
    drain: Option<Drain>,
    /// It has been told to stop, once and for all.
    draining: bool,
}

/// A service that is served.
struct Served {
    service: Rc<dyn Service>,
    descriptor: Descriptor,
    methods: Table<CompactString, usize>,
    scope: Rc<Serving>,
    announcement: Announcement,
    admission: Admission<Waiting>,
}

struct Opening {
    service: Rc<dyn Service>,
    descriptor: Descriptor,
    announcement: Announcement,
    reply: ServeReply,
}

/// A call in the backlog.
struct Waiting {
    caller: Rc<Caller>,
    /// The method's place in the descriptor.
    method: usize,
    call: Box<CallFrame>,
    deadline: Instant,
}

impl Waiting {
    fn key(&self) -> CallKey {
        (self.caller.peer, self.call.id)
    }
}

/// A handler that was a task of its own is done.
struct Ended {
    key: CallKey,
    one_way: bool,
    outcome: Outcome,
}

struct Drain {
    since: Instant,
    finished: usize,
    /// When what is left is abandoned.
    until: Instant,
    timer: SpawnHandle,
    /// Whoever has asked for it.
    replies: Vec<oneshot::Sender<DrainReport>>,
}

impl Drain {
    fn end(self, abandoned: Vec<String>) {
        let report = DrainReport { finished: self.finished, abandoned, took: self.since.elapsed() };
        for reply in self.replies {
            let _ = reply.send(report.clone());
        }
    }
}

/// Parameters below this are copied when their call has to wait.
const COMPACT_BELOW: usize = 4096;

/// What came in on the link for the serving side, in its order.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ServerFrames(pub(crate) Vec<ServerInbound>);

#[derive(Debug)]
pub(crate) enum ServerInbound {
    Frame(PeerId, Frame),
    PeerUp(PeerId, Box<Hello>, Credentials),
    PeerDown(PeerId),
    Serving(CompactString, Result<u64, ServeError>),
}

/// Serves a service. The answer comes when it is reachable.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Serve(pub(crate) Box<dyn IntoService>, pub(crate) ServeReply);

pub(crate) type ServeReply = oneshot::Sender<Result<Announcement, ServeError>>;

/// Takes no more calls and finishes those that are here, within a time.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct DrainServer(pub(crate) Duration, pub(crate) oneshot::Sender<DrainReport>);

/// Cancels what is left and ends.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct CloseServer;

impl ServerActor {
    pub(crate) fn new(node: Node, out: Outlet) -> Self {
        let (ended, ended_batches) = queue();
        ServerActor {
            node,
            services: Vec::new(),
            opening: Table::default(),
            sessions: Sessions::default(),
            deadlines: Deadlines::new(),
            timer: None,
            ended,
            ended_batches: Some(ended_batches),
            batch: Vec::new(),
            out,
            drain: None,
            draining: false,
        }
    }

    /// Sends what this turn brought, and sees to the next deadline.
    fn settle(&mut self, ctx: &mut Context<Self>) {
        self.out.send(&mut self.batch);
        if self.is_idle()
            && let Some(drain) = self.drain.take()
        {
            ctx.cancel_future(drain.timer);
            drain.end(Vec::new());
        }
        let Some(due) = self.deadlines.next() else { return };
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
        let to = Address::Peer(peer);
        self.batch.push(Outbound::Frame { to, frame, confirm: false, settles: None });
    }

    fn reply(&mut self, (peer, id): CallKey, one_way: bool, outcome: Outcome) {
        if one_way {
            return;
        }
        let frame = match outcome {
            Ok(value) if value.len() > self.limit(peer, value.len()) => {
                let (size, limit) = (value.len(), self.limit(peer, value.len()));
                let message = format!(
                    "the method ran, but its result takes {size} bytes, the limit is {limit} \
                     (limits.max_message_bytes, the lower of both sides)"
                );
                Frame::Failure {
                    id,
                    failure: Box::new(Failure::new(Reason::ResultTooLarge, message)),
                }
            }
            Ok(value) if value.is_empty() => {
                let message = "the method ran, but the service gave no value for its result";
                Frame::Failure {
                    id,
                    failure: Box::new(Failure::new(Reason::ResultUnencodable, message)),
                }
            }
            Ok(value) => Frame::Answer { id, value },
            Err(failure) => {
                let limit = self.limit(peer, usize::MAX);
                Frame::Failure { id, failure: Box::new(bounded(failure, limit)) }
            }
        };
        self.send(peer, frame);
    }

    /// The most that a payload of this size for this peer may take.
    fn limit(&self, peer: PeerId, size: usize) -> usize {
        // No node may be configured to take less than this, so small answers need no look-up.
        if size <= 1024 {
            return 1024;
        }
        let own = self.node.config().limits.max_message_bytes;
        self.sessions.get(peer).map_or(own, |to| to.max_message_bytes.min(own))
    }

    fn call(&mut self, peer: PeerId, call: Box<CallFrame>, now: Instant) {
        let key = (peer, call.id);
        // Without a session its end was in this very batch.
        let Some(session) = self.sessions.get(peer) else { return };
        if session.has(call.id) {
            let reason = format!("it sent {} twice", call.id);
            self.batch.push(Outbound::Disconnect { peer, reason });
            return;
        }
        let caller = Rc::clone(&session.caller);
        let one_way = call.is_one_way();
        let (at, method) = match self.find(&call) {
            Ok(found) => found,
            Err(failure) => return self.reply(key, one_way, Err(failure)),
        };
        let deadline = now + call.time_left.min(LONGEST);
        let waiting = Waiting { caller, method, call, deadline };
        match self.services[at].admission.admit() {
            Admitted::Run => self.run(at, waiting),
            Admitted::Wait => {
                self.services[at].admission.wait(compact(waiting));
                self.sessions.put(key, Stage::Waiting { service: at, one_way });
                self.watch_deadline(key, deadline);
            }
            Admitted::Busy { retry_after } => {
                self.reply(key, one_way, Err(self.busy(at, retry_after)));
            }
        }
    }

    fn busy(&self, at: usize, retry_after: Duration) -> Failure {
        let served = &self.services[at];
        let (running, waiting) = (served.admission.running(), served.admission.waiting());
        let mut failure = Failure::new(
            Reason::Busy,
            format!(
                "server `{}` runs {running} calls and {waiting} wait, as many as may \
                 (server.concurrency, server.backlog)",
                served.scope.server
            ),
        );
        failure.retry_after = Some(retry_after);
        failure
    }

    /// The place of the service of this name. A node serves a handful: looking at each is cheaper
    /// than hashing the name.
    fn service(&self, name: &str) -> Result<usize, Failure> {
        let found = self.services.iter().position(|served| served.scope.service == name);
        found.ok_or_else(|| {
            let known = self.services.iter().map(|served| &*served.scope.service);
            unknown(Reason::UnknownService, "service", name, known)
        })
    }

    /// The service and the method a call is for, if it may begin there.
    fn find(&self, call: &CallFrame) -> Result<(usize, usize), Failure> {
        let at = self.service(&call.service)?;
        let served = &self.services[at];
        if served.announcement.state != ServerState::Ready {
            let message = format!("server `{}` is about to stop", served.scope.server);
            return Err(Failure::new(Reason::Draining, message));
        }
        let Some(method) = served.methods.get(&call.method).copied() else {
            let known = served.methods.keys().map(|name| &**name);
            let what = format!("method of `{}`", call.service);
            return Err(unknown(Reason::UnknownMethod, &what, &call.method, known));
        };
        if call.time_left.is_zero() {
            return Err(Failure::new(Reason::Expired, "its deadline had passed on arrival"));
        }
        match &call.options {
            Some(options) if options.task.is_some() => {
                let message = "this server has no ledger to record tasks in";
                Err(Failure::new(Reason::Unsupported, message))
            }
            Some(options) if options.streams != 0 => {
                Err(Failure::new(Reason::Unsupported, "this server takes no streams"))
            }
            _ => Ok((at, method)),
        }
    }

    /// Runs a call that was admitted, and those that its end lets run.
    fn run(&mut self, at: usize, first: Waiting) {
        let mut next = Some(first);
        while let Some(waiting) = next.take() {
            let key = waiting.key();
            let Waiting { caller, method, call, deadline } = waiting;
            let call = *call;
            let one_way = call.is_one_way();
            let options = call.options.map(|options| *options).unwrap_or_default();
            let served = &self.services[at];
            let context = CallContext::new(
                Rc::clone(&served.scope),
                caller,
                call.method,
                options.headers,
                deadline,
                options.attempt,
            );
            match begin(&*served.service, method, Params::new(call.params), context.clone()) {
                Begun::Done(outcome) => {
                    self.reply(key, one_way, outcome);
                    next = self.next(at);
                }
                Begun::Pending(handler) => {
                    let ended = self.ended.clone();
                    let task = tokio::task::spawn_local(async move {
                        let outcome = handler.await;
                        // Closed with the actor: then nobody is left to answer.
                        let _ = ended.push(Ended { key, one_way, outcome });
                    });
                    let abort = task.abort_handle();
                    let running = Running { service: at, one_way, context, abort };
                    self.sessions.put(key, Stage::Running(running));
                    self.watch_deadline(key, deadline);
                }
            }
        }
    }

    /// A running call has ended: the one whose turn it is now. Those whose client is gone have no
    /// turn, nor those whose time is over.
    fn next(&mut self, at: usize) -> Option<Waiting> {
        if let Some(drain) = &mut self.drain {
            drain.finished += 1;
        }
        loop {
            let next = self.services[at].admission.finished()?;
            if self.sessions.take(next.key()).is_none() {
                continue;
            }
            if next.deadline > Instant::now() {
                return Some(next);
            }
            let expired = Failure::new(Reason::Expired, "the deadline came before its turn");
            self.reply(next.key(), next.call.is_one_way(), Err(expired));
        }
    }

    fn watch_deadline(&mut self, key: CallKey, deadline: Instant) {
        let sessions = &self.sessions;
        let live = self.services.iter().map(|it| it.admission.running() + it.admission.waiting());
        self.deadlines.add(deadline, key, live.sum(), |_, key| sessions.has(*key));
    }

    /// A call's place is free.
    fn free(&mut self, at: usize) {
        if let Some(next) = self.next(at) {
            self.run(at, next);
        }
    }

    /// Ends a call whose outcome nobody wants, wherever it stands.
    fn cancel(&mut self, key: CallKey) {
        if let Some(stage) = self.sessions.take(key) {
            self.cancel_stage(key, stage);
        }
    }

    fn cancel_stage(&mut self, key: CallKey, stage: Stage) {
        match stage {
            Stage::Waiting { service, .. } => {
                let admission = &mut self.services[service].admission;
                admission.remove(|waiting| waiting.key() == key);
            }
            Stage::Running(running) => {
                running.context.cancel();
                running.abort.abort();
                self.free(running.service);
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some(key) = self.deadlines.pop_due(now) {
            let Some(stage) = self.sessions.take(key) else { continue };
            let (one_way, failure) = match &stage {
                Stage::Waiting { one_way, .. } => {
                    (*one_way, Failure::new(Reason::Expired, "the deadline came before its turn"))
                }
                Stage::Running(running) => {
                    let message = "the deadline came while it ran";
                    (running.one_way, Failure::new(Reason::DeadlineExceeded, message))
                }
            };
            self.reply(key, one_way, Err(failure));
            self.cancel_stage(key, stage);
        }
    }

    fn query(&mut self, peer: PeerId, id: CallId, subject: &str, params: Bytes) {
        let outcome = match subject {
            "status" => encode(self.status()),
            "ping" => Ok(Bytes::from_static(NULL)),
            "describe" => self.describe(&params).and_then(encode),
            _ => {
                let known = ["status", "describe", "ping"];
                Err(unknown(Reason::UnknownMethod, "query", subject, known))
            }
        };
        self.reply((peer, id), false, outcome);
    }

    fn status(&self) -> NodeStatus {
        let services = self.services.iter().map(|served| ServiceStatus {
            service: served.scope.service.to_string(),
            server: served.scope.server.to_string(),
            state: served.announcement.state.as_str().to_owned(),
            running: served.admission.running(),
            waiting: served.admission.waiting(),
            concurrency: self.node.config().server.concurrency,
            backlog: self.node.config().server.backlog,
        });
        let clients = self.sessions.callers().map(|caller| ClientStatus {
            identity: caller.identity.to_string(),
            uid: caller.credentials.uid,
            pid: caller.credentials.pid,
        });
        NodeStatus {
            identity: self.node.identity().to_owned(),
            services: services.collect(),
            clients: clients.collect(),
        }
    }

    fn describe(&self, params: &Bytes) -> Result<&Descriptor, Failure> {
        let params = Params::new(params.clone());
        let mut arguments = params.arguments(&["service"])?;
        let name: String = arguments.next()?;
        arguments.finish()?;
        Ok(&self.services[self.service(&name)?].descriptor)
    }

    /// Readies a service and asks the transport to make it reachable.
    fn open(&mut self, service: Box<dyn IntoService>, reply: ServeReply) {
        let made = catch_unwind(AssertUnwindSafe(|| {
            let service = service.into_service()?;
            let descriptor = service.descriptor();
            Ok::<_, String>((service, descriptor))
        }));
        let (service, descriptor) = match made {
            Ok(Ok(made)) => made,
            Ok(Err(words)) => {
                let _ = reply.send(Err(ServeError::Unusable(words)));
                return;
            }
            Err(_) => {
                let words = "the service panicked while it was made".to_owned();
                let _ = reply.send(Err(ServeError::Unusable(words)));
                return;
            }
        };
        let name = CompactString::from(descriptor.name.to_string());
        let refusal = if self.draining {
            Some(ServeError::Closed)
        } else if self.service(&name).is_ok() || self.opening.contains_key(&name) {
            Some(ServeError::AlreadyServed(name.clone()))
        } else {
            unusable(&descriptor).map(ServeError::Unusable)
        };
        if let Some(refusal) = refusal {
            let _ = reply.send(Err(refusal));
            return;
        }
        let server = &self.node.config().server;
        let announcement = Announcement {
            service: name.clone(),
            server: self.node.server_id().clone(),
            epoch: 0,
            node: self.node.id(),
            state: ServerState::Ready,
            schema: CompactString::from(&*descriptor.schema),
            concurrency: server.concurrency as u64,
            backlog: server.backlog as u64,
        };
        self.batch.push(Outbound::Serve(Box::new(announcement.clone())));
        self.opening.insert(name, Opening { service, descriptor, announcement, reply });
    }

    /// The transport has made a service reachable, or not.
    fn serving(&mut self, name: &CompactString, result: Result<u64, ServeError>) {
        let Some(opening) = self.opening.remove(name) else { return };
        let Opening { service, descriptor, mut announcement, reply } = opening;
        match result {
            Err(refusal) => {
                let _ = reply.send(Err(refusal));
            }
            Ok(epoch) if self.draining => {
                // It came too late: nobody is to find it.
                (announcement.epoch, announcement.state) = (epoch, ServerState::Gone);
                self.batch.push(Outbound::Announce(Box::new(announcement)));
                let _ = reply.send(Err(ServeError::Closed));
            }
            Ok(epoch) => {
                announcement.epoch = epoch;
                let names = descriptor.methods.iter().enumerate();
                let methods =
                    names.map(|(at, it)| (CompactString::from(it.name.to_string()), at)).collect();
                let scope = Rc::new(Serving {
                    node: self.node.clone(),
                    service: name.clone(),
                    server: announcement.server.clone(),
                    epoch,
                });
                let server = &self.node.config().server;
                let admission = Admission::new(server.concurrency, server.backlog);
                let _ = reply.send(Ok(announcement.clone()));
                self.services.push(Served {
                    service,
                    descriptor,
                    methods,
                    scope,
                    announcement,
                    admission,
                });
            }
        }
    }

    fn announce(&mut self, state: ServerState) {
        for served in &mut self.services {
            if served.announcement.state != state {
                served.announcement.state = state;
                self.batch.push(Outbound::Announce(Box::new(served.announcement.clone())));
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.services.iter().all(|it| it.admission.running() == 0 && it.admission.waiting() == 0)
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
        for served in &mut self.services {
            for waiting in served.admission.clear() {
                let name = format!("{}.{}", waiting.call.service, waiting.call.method);
                abandoned.push(name);
            }
        }
        for ((peer, id), stage) in self.sessions.drain_calls() {
            let (one_way, failure) = match stage {
                Stage::Waiting { one_way, .. } => (one_way, Failure::new(Reason::Draining, why)),
                Stage::Running(running) => {
                    let context = &running.context;
                    abandoned.push(format!("{}.{}", context.service(), context.method()));
                    context.cancel();
                    running.abort.abort();
                    self.services[running.service].admission.finished();
                    (running.one_way, Failure::new(Reason::Abandoned, why))
                }
            };
            self.reply((peer, id), one_way, Err(failure));
        }
        abandoned
    }

    fn inbound(&mut self, inbound: ServerInbound, now: Instant) {
        match inbound {
            ServerInbound::Frame(peer, frame) => match frame {
                Frame::Call(call) => self.call(peer, call, now),
                Frame::Cancel { id } => self.cancel((peer, id)),
                Frame::Query { id, subject, params } => self.query(peer, id, &subject, params),
                // Of streams, which nobody here has taken.
                _ => {}
            },
            ServerInbound::PeerUp(peer, hello, credentials) => {
                let caller =
                    Caller { identity: hello.identity, node: hello.node, peer, credentials };
                let limit = usize::try_from(hello.max_message_bytes).unwrap_or(usize::MAX);
                self.sessions.peer_up(caller, limit);
            }
            ServerInbound::PeerDown(peer) => {
                for (id, stage) in self.sessions.peer_down(peer) {
                    self.cancel_stage((peer, id), stage);
                }
            }
            ServerInbound::Serving(service, result) => self.serving(&service, result),
        }
    }
}

/// Readies a call for waiting: a small one is not to keep the large buffer alive in which it came.
fn compact(mut waiting: Waiting) -> Waiting {
    let call = &mut waiting.call;
    if call.params.len() < COMPACT_BELOW {
        call.params = Bytes::copy_from_slice(&call.params);
        call.service = call.service.to_string().into();
        call.method = call.method.to_string().into();
    }
    waiting
}

fn encode<T: serde::Serialize>(value: T) -> Outcome {
    match value::encode(&value) {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) => Err(Failure::new(Reason::ResultUnencodable, error.to_string())),
    }
}

/// A message and error value that fit; an own error over the limit becomes a failure that says so.
fn bounded(mut failure: Failure, limit: usize) -> Failure {
    const LONGEST: usize = 8 * 1024;
    if failure.message.len() > LONGEST {
        let end = failure.message.floor_char_boundary(LONGEST);
        failure.message.truncate(end);
        failure.message.push('…');
    }
    // What a service written by hand may give, and the caller's node would take for garbage.
    failure.nearest.retain(|name| name.len() <= MAX_NAME_BYTES);
    failure.nearest.truncate(MAX_LIST);
    failure.value = failure.value.filter(|value| !value.is_empty());
    match &failure.value {
        Some(value) if value.len() > limit => Failure::new(
            Reason::ResultTooLarge,
            format!(
                "the method returned an error of {} bytes, the limit is {limit} \
                 (limits.max_message_bytes, the lower of both sides): {}",
                value.len(),
                failure.message
            ),
        ),
        _ => failure,
    }
}

fn unknown<'a>(
    reason: Reason,
    what: &str,
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Failure {
    let nearest = nearest_few(name, known);
    let mut message = format!("no {what} is named `{}`", name.escape_debug());
    if let Some(first) = nearest.first() {
        message.push_str(&format!("; did you mean `{first}`?"));
    }
    let mut failure = Failure::new(reason, message);
    failure.nearest = nearest;
    failure
}

/// Why a service cannot be served under its names, if so.
fn unusable(descriptor: &Descriptor) -> Option<String> {
    if let Err(error) = descriptor.name.parse::<crate::config::Name>() {
        return Some(format!("the service's name `{}` cannot be used: {error}", descriptor.name));
    }
    let mut seen = std::collections::HashSet::new();
    descriptor.methods.iter().find_map(|method| {
        let name = &*method.name;
        if name.is_empty() || name.len() > crate::wire::MAX_NAME_BYTES {
            let limit = crate::wire::MAX_NAME_BYTES;
            Some(format!("the name of a method has 1 to {limit} bytes, not `{name}`"))
        } else if !seen.insert(name) {
            Some(format!("two methods of `{}` are named `{name}`", descriptor.name))
        } else {
            None
        }
    })
}

impl Actor for ServerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        if let Some(ended) = self.ended_batches.take() {
            ctx.add_stream(ended);
        }
    }
}

impl StreamHandler<Vec<Ended>> for ServerActor {
    fn handle(&mut self, batch: Vec<Ended>, ctx: &mut Context<Self>) {
        for Ended { key, one_way, outcome } in batch {
            // A call that was cancelled after its handler's last step has no place here any more.
            if let Some(running) = self.sessions.take_running(key) {
                self.reply(key, one_way, outcome);
                self.free(running.service);
            }
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

impl Handler<Serve> for ServerActor {
    type Result = ();

    fn handle(&mut self, Serve(service, reply): Serve, ctx: &mut Context<Self>) {
        self.open(service, reply);
        self.settle(ctx);
    }
}

impl Handler<DrainServer> for ServerActor {
    type Result = ();

    /// A drain that is asked for during another joins it; the earlier deadline holds.
    fn handle(&mut self, DrainServer(within, reply): DrainServer, ctx: &mut Context<Self>) {
        self.draining = true;
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
            this.abandon("the server's drain came to its deadline (server.drain)");
            this.settle(ctx);
        });
        self.drain = Some(Drain { since, finished, until, timer, replies });
        self.settle(ctx);
    }
}

impl Handler<CloseServer> for ServerActor {
    type Result = ();

    fn handle(&mut self, _: CloseServer, ctx: &mut Context<Self>) {
        self.draining = true;
        self.abandon("the server was closed");
        self.announce(ServerState::Gone);
        self.out.send(&mut self.batch);
        ctx.stop();
    }
}

impl std::fmt::Debug for ServerActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerActor").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}
