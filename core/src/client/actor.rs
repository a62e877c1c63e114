//! The client actor: feeds the pending calls with what happens, and sends what they decide.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use actix::prelude::*;
use compact_str::CompactString;
use tokio::sync::{broadcast, oneshot};

use super::compatibility::Question;
use super::pending::{Bounds, Counters, Pending};
use super::request::Streams;
use super::{NewCall, Reply, ReplyTo, Submission, Submissions, Target};
use crate::event::{Event, ServerInfo};
use crate::node::Outlet;
use crate::observe::LinkMeters;
use crate::params::encode_dynamic;
use crate::queue::Batches;
use crate::transport::{Address, LinkError, Outbound, PeerId, Watch};
use crate::value;
use crate::wire::{CallId, Failure, Frame, Headers, Hello, Reason};

/// Sees calls through: one per node.
pub(crate) struct ClientActor {
    pending: Pending,
    out: Outlet,
    events: broadcast::Sender<Event>,
    submissions: Option<Batches<Submission>>,
    /// The way for questions of its own.
    own: Submissions,
    timer: Timer,
    listings: Vec<(Watch, oneshot::Sender<Listed>)>,
    /// What the transport was asked by a listing and has not answered yet.
    asked: HashSet<Watch>,
    /// What it has answered.
    watching: HashSet<Watch>,
    meters: LinkMeters,
}

/// The one timer, armed for the earliest deadline.
#[derive(Default)]
struct Timer {
    armed: Option<(Instant, SpawnHandle)>,
}

/// What came in on the link for the calling side, in its order.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ClientFrames(pub(crate) Vec<ClientInbound>);

#[derive(Debug)]
pub(crate) enum ClientInbound {
    Frame(PeerId, Frame),
    HandedOver(CallId),
    Refused(CallId, Box<Failure>),
    Taken(CallId),
    Queue { service: CompactString, waiting: u64, pending: Vec<(CompactString, u64)> },
    Undelivered { to: Address, id: CallId, reason: String, written: bool },
    PeerUp(PeerId, Box<Hello>),
    PeerDown { peer: PeerId, reason: String, clean: bool },
    Watching(Watch, Result<(), LinkError>),
    Unreachable { service: CompactString, server: CompactString, reason: String },
}

/// Asks for the servers of a service, or of all, once the transport has had its first look.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Listing(pub(crate) Option<CompactString>, pub(crate) oneshot::Sender<Listed>);

/// The servers, or why none can be looked for.
pub(crate) type Listed = Result<Vec<ServerInfo>, LinkError>;

/// A server has said what it offers, or not.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Described(Question, Reply);

/// How long a server may take to say what it offers, during which calls wait for it.
const DESCRIBE: Duration = Duration::from_secs(2);

/// What a server offers, encoded, takes dozens of kilobytes if there is much of it.
const MAX_DESCRIPTION: usize = 1 << 20;

/// Asks what was counted.
#[derive(Debug, Message)]
#[rtype(result = "Counters")]
pub(crate) struct Count;

/// Ends every call.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Close;

impl ClientActor {
    pub(crate) fn new(
        (bounds, strict): (Bounds, bool),
        (own, submissions): (Submissions, Batches<Submission>),
        out: Outlet,
        events: broadcast::Sender<Event>,
    ) -> Self {
        ClientActor {
            pending: Pending::new(bounds, strict),
            own,
            out,
            events,
            submissions: Some(submissions),
            timer: Timer::default(),
            listings: Vec::new(),
            asked: HashSet::new(),
            watching: HashSet::new(),
            meters: LinkMeters::default(),
        }
    }

    /// Does what the pure part decided in this turn.
    fn settle(&mut self, ctx: &mut Context<Self>) {
        self.out.send(&mut self.pending.out);
        self.meters.counted(self.pending.counters);
        for event in self.pending.events.drain(..) {
            self.meters.happened(&event);
            // No receiver is no fault: events are for those who ask.
            let _ = self.events.send(event);
        }
        for question in std::mem::take(&mut self.pending.compatibility.questions) {
            self.ask(question, ctx);
        }
        let Some(due) = self.pending.next_due() else { return };
        match self.timer.armed {
            // A timer that comes too early finds nothing due and arms itself again.
            Some((at, _)) if at <= due => {}
            _ => {
                if let Some((_, armed)) = self.timer.armed.take() {
                    ctx.cancel_future(armed);
                }
                let wait = due.saturating_duration_since(Instant::now());
                let handle = ctx.run_later(wait, |this, ctx| {
                    this.timer.armed = None;
                    this.pending.expire(Instant::now());
                    this.settle(ctx);
                });
                self.timer.armed = Some((due, handle));
            }
        }
    }

    /// Asks a server what it offers.
    fn ask(&self, question: Question, ctx: &mut Context<Self>) {
        let (reply, answer) = oneshot::channel();
        let params = encode_dynamic(&(&*question.service,)).unwrap_or_default();
        let asked = self.own.call(Box::new(NewCall {
            target: Target::Core(question.peer.into()),
            service: "farcall".into(),
            method: "describe".into(),
            params,
            headers: Headers::new(),
            one_way: false,
            idempotent: true,
            task: None,
            timeout: Some(DESCRIBE),
            inherited: None,
            wait_for_server: Duration::ZERO,
            streams: Streams::default(),
            expects: None,
            reply: ReplyTo::Once(reply),
        }));
        if asked.is_err() {
            // The node is closing, and all calls end.
            return;
        }
        let actor = ctx.address();
        actix::spawn(async move {
            if let Ok(answer) = answer.await {
                // Gone only with the node.
                let _ = actor.send(Described(question, answer)).await;
            }
        });
    }

    fn inbound(&mut self, inbound: ClientInbound, now: Instant) {
        let pending = &mut self.pending;
        match inbound {
            ClientInbound::Frame(from, frame) => match frame {
                Frame::Answer { id, value } => pending.answered(from, id, value, now),
                Frame::Failure { id, failure } => pending.failed(from, id, *failure, now),
                Frame::Started { id, credit } => pending.begun(from, id, credit),
                Frame::Item { id, value, .. } => pending.item(from, id, value),
                Frame::End { id, failure, .. } => {
                    pending.ended(from, id, failure.map(|failure| *failure), now);
                }
                Frame::Credit { id, stream, bytes } => pending.granted(from, id, stream, bytes),
                Frame::Stop { id, stream } => pending.stopped(from, id, stream),
                Frame::Announce(it) => pending.announced(from, *it, now),
                Frame::Accepted { id, token, durability } => {
                    pending.accepted(from, id, (token, durability), now);
                }
                _ => pending.counters.stray_frames += 1,
            },
            ClientInbound::HandedOver(id) => pending.handed_over(id, now),
            ClientInbound::Refused(id, failure) => pending.refused(id, *failure, now),
            ClientInbound::Taken(id) => pending.taken(id),
            ClientInbound::Queue { service, waiting, pending: taken } => {
                pending.routes.depth(service, waiting, taken, now);
            }
            ClientInbound::Undelivered { to, id, reason, written } => {
                pending.undelivered(id, &to, &reason, written, now);
            }
            ClientInbound::PeerUp(peer, hello) => {
                pending.peer_up(peer, hello.node, hello.max_message_bytes);
                let (identity, node) = (hello.identity, hello.node);
                pending.events.push(Event::PeerUp { peer, identity, node });
            }
            ClientInbound::PeerDown { peer, reason, clean } => {
                pending.peer_down(peer, &reason, clean, now);
                pending.events.push(Event::PeerDown { peer, reason });
            }
            ClientInbound::Watching(watch, result) => {
                let service = name(&watch);
                let failure = result.as_ref().err().map(ToString::to_string);
                if let Some(service) = service {
                    pending.routes.watched(service, failure.clone());
                }
                self.asked.remove(&watch);
                match failure {
                    None => drop(self.watching.insert(watch.clone())),
                    Some(reason) => {
                        if pending.has_queue() {
                            // What was found is gone with the broker: the next listing asks again.
                            self.watching.remove(&watch);
                        }
                        pending
                            .events
                            .push(Event::WatchFailed { service: service.cloned(), reason });
                    }
                }
                for (_, reply) in self.listings.extract_if(.., |(of, _)| *of == watch) {
                    let _ = reply.send(result.clone().map(|()| pending.routes.list(service)));
                }
            }
            ClientInbound::Unreachable { service, server, reason } => {
                pending.events.push(Event::ServerUnreachable { service, server, reason });
            }
        }
    }
}

fn name(watch: &Watch) -> Option<&CompactString> {
    match watch {
        Watch::Service(name) => Some(name),
        Watch::Everything => None,
    }
}

impl Actor for ClientActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        if let Some(submissions) = self.submissions.take() {
            ctx.add_stream(submissions);
        }
    }
}

impl StreamHandler<Vec<Submission>> for ClientActor {
    fn handle(&mut self, batch: Vec<Submission>, ctx: &mut Context<Self>) {
        let now = Instant::now();
        for submission in batch {
            match submission {
                Submission::Call(id, call) => self.pending.submit(id, call, now),
                Submission::Cancel(id) => self.pending.cancel(id, now),
                Submission::Item(id, stream, value) => {
                    self.pending.send_item(id, stream, value, now);
                }
                Submission::End(id, stream) => self.pending.send_end(id, stream),
                Submission::Credit(id, bytes) => self.pending.read(id, bytes),
                Submission::Wake(after, mut sleeper) => {
                    // Not in the actor's context, which looks at all that it has at each wake.
                    actix::spawn(async move {
                        tokio::select! {
                            () = tokio::time::sleep(after) => {}
                            () = sleeper.closed() => {}
                        }
                        let _ = sleeper.send(());
                    });
                }
            }
        }
        self.settle(ctx);
    }

    /// The node is closing; `Close` follows.
    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl Handler<ClientFrames> for ClientActor {
    type Result = ();

    fn handle(&mut self, ClientFrames(batch): ClientFrames, ctx: &mut Context<Self>) {
        let now = Instant::now();
        for inbound in batch {
            self.inbound(inbound, now);
        }
        self.settle(ctx);
    }
}

impl Handler<Listing> for ClientActor {
    type Result = ();

    fn handle(&mut self, Listing(service, reply): Listing, ctx: &mut Context<Self>) {
        let watch = match service {
            Some(name) => Watch::Service(name),
            None => Watch::Everything,
        };
        // What a shared queue holds is told for every service only where all are watched.
        let is_fresh = match &watch {
            Watch::Service(name) if self.pending.has_queue() => {
                self.pending.routes.is_fresh(name, Instant::now())
            }
            _ => true,
        };
        if is_fresh && self.watching.contains(&watch) {
            let _ = reply.send(Ok(self.pending.routes.list(name(&watch))));
            return;
        }
        match &watch {
            // A call may have asked for it already; asked again, the transport answers again.
            Watch::Service(name) => {
                self.pending.routes.service(name);
            }
            Watch::Everything => self.pending.routes.everything = true,
        }
        if self.asked.insert(watch.clone()) {
            self.pending.out.push(Outbound::Watch(watch.clone()));
        }
        self.listings.push((watch, reply));
        self.settle(ctx);
    }
}

impl Handler<Described> for ClientActor {
    type Result = ();

    fn handle(&mut self, Described(question, reply): Described, ctx: &mut Context<Self>) {
        let answer = reply.and_then(|bytes| {
            if bytes.len() > MAX_DESCRIPTION {
                let message = format!(
                    "it takes {} bytes to say, the limit is {MAX_DESCRIPTION}",
                    bytes.len()
                );
                return Err(Failure::new(Reason::ResultTooLarge, message));
            }
            value::decode(&bytes)
                .map_err(|error| Failure::new(Reason::WrongResult, error.to_string()))
        });
        self.pending.described(&question, answer, Instant::now());
        self.settle(ctx);
    }
}

impl Handler<Count> for ClientActor {
    type Result = MessageResult<Count>;

    fn handle(&mut self, _: Count, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.pending.counters)
    }
}

impl Handler<Close> for ClientActor {
    type Result = ();

    fn handle(&mut self, _: Close, ctx: &mut Context<Self>) {
        self.pending.close();
        self.settle(ctx);
        ctx.stop();
    }
}

impl std::fmt::Debug for ClientActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientActor").field("pending", &self.pending).finish_non_exhaustive()
    }
}

impl Submissions {
    /// The client actor that these submissions go to.
    pub(crate) fn actor(
        (bounds, strict): (Bounds, bool),
        out: Outlet,
        events: broadcast::Sender<Event>,
    ) -> (Self, ClientActor) {
        let (submissions, batches) = Submissions::new();
        let own = submissions.clone();
        (submissions, ClientActor::new((bounds, strict), (own, batches), out, events))
    }
}
