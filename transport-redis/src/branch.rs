//! This node's part in one service: what it holds, and how it meets what happens.
//!
//! Tasks around it move things: `keeper` has the connection and the membership, `exchange` sends, `incoming` reads
//! the inbox, `requests` takes calls, `presence` follows who comes and goes, `audit` looks after old calls.
//! All state is here, and is never borrowed across an await.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use compact_str::CompactString;
use farcall_core::transport::{
    Address, Credentials, Inbound, LinkError, PeerId, Receipt, ServeError, Watch,
};
use farcall_core::wire::{Announcement, CallId, Failure, Frame, Reason, ServerState, StreamId};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::connect::Connection;
use crate::deliveries::Deliveries;
use crate::entries::{Entries, GiveUp, Heard};
use crate::entry_id::EntryId;
use crate::hub::Hub;
use crate::keeper::{self, Live};
use crate::keys::{Keys, Member, Queue};
use crate::lease::{News, Told};
use crate::members::{Change, Gone, Listed, Members, Order};
use crate::outbox::{Batch, Outbox, Share, TakeBack};
use crate::presence::Presence;
use crate::{audit, exchange, incoming, message, presence, requests};

pub(crate) struct Branch {
    pub(crate) hub: Rc<Hub>,
    pub(crate) service: CompactString,
    pub(crate) keys: Keys,
    pub(crate) state: RefCell<State>,
    /// The connection for commands, while there is one and this node is a member.
    pub(crate) live: watch::Sender<Option<Rc<Live>>>,
    /// There is something to send.
    pub(crate) work: Notify,
    /// The keeper has something to see to.
    pub(crate) trouble: Notify,
    /// There may be room for more calls, or none are to be taken any more.
    pub(crate) room: Notify,
    pub(crate) presence: Presence,
    pub(crate) is_dirty: Cell<bool>,
    /// Something is on its way to the broker.
    pub(crate) exchanging: Cell<bool>,
    /// Somebody asks again and again whether others have room.
    pub(crate) asking: Cell<bool>,
}

pub(crate) struct State {
    pub(crate) member: Member,
    /// What core has asked for.
    pub(crate) watches: bool,
    /// Whether the watch was asked for by its name, and is to be answered by it.
    pub(crate) named: bool,
    pub(crate) serving: Option<Serving>,
    /// Something of the above has changed since this node joined.
    pub(crate) must_join: bool,
    /// Listening for news of others, and showing that this process lives.
    pub(crate) listens: bool,
    pub(crate) joined: bool,
    pub(crate) members: Members,
    pub(crate) outbox: Outbox,
    pub(crate) entries: Entries,
    pub(crate) deliveries: Deliveries,
    /// The number of the last exchange.
    pub(crate) exchange: u64,
    /// Calls that were given up while they were on their way to the queue.
    pub(crate) late: Vec<(CallId, GiveUp)>,
    /// What went wrong last with the connection, as core was told.
    pub(crate) told: Option<String>,
    /// The last entry of the inbox that was read.
    pub(crate) read: EntryId,
    /// Tasks that end with the membership.
    pub(crate) tasks: Vec<AbortHandle>,
    /// The last that this node says in the service is on its way, or said.
    pub(crate) leaving: bool,
}

/// This node's server of the service.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) announcement: Announcement,
    /// Whether core knows the epoch.
    pub(crate) is_told: bool,
    /// The consumer's name, once there is one.
    pub(crate) consumer: Option<String>,
    /// Entries that were settled and not trimmed, by queue.
    pub(crate) untrimmed: [Vec<EntryId>; 2],
    /// Connections for reads, made before others hear of this server.
    pub(crate) ready: [Option<Connection>; 2],
    /// Connections that wait for calls, to be woken when no more are wanted.
    pub(crate) readers: [Option<u64>; 2],
    /// Reads that are under way.
    pub(crate) reading: usize,
    /// The calls that it had taken and not settled, as the broker was told last.
    pub(crate) told_load: Option<usize>,
}

impl State {
    /// The calls that this server has taken and not settled.
    pub(crate) fn load(&self) -> usize {
        Queue::BOTH.iter().map(|queue| self.deliveries.unsettled(*queue)).sum()
    }

    /// That number, if it is another than the broker was told.
    pub(crate) fn news_of_load(&mut self) -> Option<usize> {
        let load = self.load();
        let told = &mut self.serving.as_mut()?.told_load;
        (told.replace(load) != Some(load)).then_some(load)
    }

    /// Asks all calls of the queue back that no server has taken.
    pub(crate) fn recall(&mut self) {
        for (id, queue) in self.entries.recall() {
            let take_back = TakeBack { id, queue, whole: true, cancel: None, withdraw: None };
            self.outbox.take_backs.push_back(take_back);
        }
    }

    /// Whether it has more than it can run, and others may have room.
    pub(crate) fn wants_room_elsewhere(&self) -> bool {
        let concurrency = self.serving.as_ref().map(|it| it.announcement.concurrency);
        self.members.ready().0 > 1 && concurrency.is_some_and(|most| self.load() as u64 > most)
    }
}

impl Serving {
    pub(crate) fn takes_calls(&self) -> bool {
        self.announcement.state == ServerState::Ready
    }
}

/// How many settled entries are trimmed at a time.
const TRIM: usize = 128;
/// With so many that a trim has left, a long call holds the rest: they are deleted one by one.
const PINNED: usize = 256;
/// The most that are deleted at a time.
const BATCH_DELETES: usize = 1000;
/// How much may be read of the inbox before the broker is told.
const READ_BYTES: usize = 256 * 1024;
const READ_ENTRIES: usize = 64;

impl Branch {
    pub(crate) fn start(hub: &Rc<Hub>, service: &CompactString) -> Rc<Self> {
        let number = hub.next_member();
        let hello = hub.hello.clone();
        let state = State {
            member: Member::new(hello.node, number),
            watches: false,
            named: false,
            serving: None,
            must_join: true,
            listens: false,
            joined: false,
            deliveries: Deliveries::new(number as u16),
            members: Members::new(hello),
            outbox: Outbox::new(),
            entries: Entries::new(),
            exchange: 0,
            late: Vec::new(),
            told: None,
            read: EntryId::ZERO,
            tasks: Vec::new(),
            leaving: false,
        };
        let branch = Rc::new(Branch {
            hub: Rc::clone(hub),
            service: service.clone(),
            keys: Keys::new(&hub.hello.namespace, service, hub.database),
            state: RefCell::new(state),
            live: watch::Sender::new(None),
            work: Notify::new(),
            trouble: Notify::new(),
            room: Notify::new(),
            presence: Presence::default(),
            is_dirty: Cell::new(false),
            exchanging: Cell::new(false),
            asking: Cell::new(false),
        });
        hub.spawn(keeper::keep(Rc::clone(&branch)));
        hub.spawn(exchange::run(Rc::clone(&branch)));
        hub.spawn(presence::follow(Rc::clone(&branch)));
        hub.spawn(audit::run(Rc::clone(&branch)));
        branch
    }

    /// Bytes of frames that wait.
    pub(crate) fn queued(&self) -> usize {
        self.state.borrow().outbox.bytes()
    }

    // What core asks for.

    /// Looks for servers.
    pub(crate) fn watch(&self, named: bool) {
        let mut state = self.state.borrow_mut();
        state.named |= named;
        if !std::mem::replace(&mut state.watches, true) {
            state.members.watches = true;
            state.must_join = true;
            self.presence.forget_look();
            return self.trouble.notify_one();
        }
        if named {
            if let Some(trouble) = &state.told {
                let result = Err(LinkError::new(trouble.clone()));
                return self.answer_watch(result);
            }
            self.presence.look_and_tell();
        }
    }

    fn answer_watch(&self, result: Result<(), LinkError>) {
        let watch = Watch::Service(self.service.clone());
        self.hub.inbox.push(Inbound::Watching { watch, result });
    }

    pub(crate) fn serve(&self, announcement: Announcement) {
        let mut state = self.state.borrow_mut();
        if state.serving.is_some() {
            return self.serving(Err(ServeError::AlreadyServed(self.service.clone())));
        }
        state.serving = Some(Serving {
            announcement,
            is_told: false,
            consumer: None,
            untrimmed: [Vec::new(), Vec::new()],
            ready: [None, None],
            readers: [None; 2],
            reading: 0,
            told_load: None,
        });
        state.members.serves = true;
        state.must_join = true;
        self.trouble.notify_one();
    }

    pub(crate) fn serving(&self, result: Result<u64, ServeError>) {
        self.hub.inbox.push(Inbound::Serving { service: self.service.clone(), result });
    }

    /// The server's state has changed.
    pub(crate) fn announce(self: &Rc<Self>, announcement: Announcement) {
        let mut state = self.state.borrow_mut();
        let Some(serving) = &mut state.serving else { return };
        let epoch = serving.announcement.epoch;
        serving.announcement = Announcement { epoch, ..announcement };
        if !serving.takes_calls() {
            self.wake_readers(serving);
            // What waits here goes to others, if there are any. This one still counts among the ready.
            if state.members.ready().0 > 1 {
                self.hub.inbox.push(Inbound::GiveBack { service: self.service.clone() });
            }
        }
        drop(state);
        let branch = Rc::clone(self);
        self.hub.spawn(async move { keeper::announce(&branch).await });
    }

    /// How much is to be taken has changed: reads that wait at the broker ask for what it was.
    fn wake_readers(self: &Rc<Self>, serving: &Serving) {
        self.room.notify_waiters();
        let branch = Rc::clone(self);
        let wake: Vec<u64> = serving.readers.iter().flatten().copied().collect();
        self.hub.spawn(async move { requests::wake(&branch, &wake).await });
    }

    /// A frame for whichever server takes it.
    pub(crate) fn send_any(&self, frame: Frame) {
        match frame {
            Frame::Call(call) => {
                let id = call.id;
                let limit = self.hub.limits.max_peer_bytes;
                let mut state = self.state.borrow_mut();
                // Another attempt: where it lay before is no word about this one.
                if call.options.as_ref().is_some_and(|it| it.attempt > 0) {
                    state.entries.ended(id);
                }
                if let Err(full) = state.outbox.call(call, limit, Instant::now()) {
                    drop(state);
                    let reason = format!(
                        "{} bytes wait for the broker, as many as may (limits.max_peer_bytes)",
                        full.queued
                    );
                    self.undelivered(id, reason, false);
                }
            }
            Frame::Cancel { id } => self.give_up(id, GiveUp::Cancel),
            // Nothing else is for anybody.
            _ => {}
        }
    }

    /// A call that went to the queue is given up, wherever it is.
    pub(crate) fn give_up(&self, id: CallId, how: GiveUp) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if state.outbox.remove(id) {
            if how == GiveUp::Withdraw {
                self.undelivered(
                    id,
                    "it was not handed over to the broker in time".to_owned(),
                    false,
                );
            }
            return;
        }
        match state.entries.give_up(id, how) {
            Some((entry, queue, whole)) => {
                let (cancel, withdraw) = match how {
                    GiveUp::Cancel => (Some(id), None),
                    GiveUp::Withdraw => (None, Some(id)),
                };
                let take_back = TakeBack { id: entry, queue, whole, cancel, withdraw };
                state.outbox.take_backs.push_back(take_back);
            }
            // On its way, or over.
            None if self.exchanging.get() => state.late.push((id, how)),
            None => {}
        }
    }

    pub(crate) fn undelivered(&self, id: CallId, reason: String, written: bool) {
        let to = Address::Any(self.service.clone());
        self.hub.inbox.push(Inbound::Undelivered { to, id, reason, written });
    }

    /// A frame for one peer.
    pub(crate) fn send_peer(self: &Rc<Self>, peer: PeerId, frame: &Frame, confirm: bool) {
        let mut state = self.state.borrow_mut();
        let State { members, outbox, .. } = &mut *state;
        let limit = self.hub.limits.max_peer_bytes;
        let sent = match members.member(peer) {
            Some(member) => outbox.send((peer, member), frame, confirm, limit),
            None => {
                drop(state);
                return self.hub.undelivered(
                    &Address::Peer(peer),
                    frame,
                    "it is not there any longer",
                );
            }
        };
        drop(state);
        if let Err(full) = sent {
            let reason = format!(
                "{} bytes wait for {peer}, as many as may (limits.max_peer_bytes)",
                full.queued
            );
            self.hub.undelivered(&Address::Peer(peer), frame, &reason);
        }
    }

    /// Ends the part of a peer that does what it may not.
    pub(crate) fn expel(self: &Rc<Self>, peer: PeerId, reason: &str) {
        let Some(member) = self.state.borrow().members.member(peer).cloned() else { return };
        tracing::debug!(%peer, reason, "a peer is expelled");
        let change = self.state.borrow_mut().members.forget(&member, Gone::Lost);
        self.changed(change);
        let branch = Rc::clone(self);
        self.hub.spawn(async move { keeper::expel(&branch, &member).await });
    }

    // Calls of the queue that are here.

    pub(crate) fn gave(&self, receipt: Receipt) -> bool {
        self.state.borrow().deliveries.gave(receipt)
    }

    pub(crate) fn settle(&self, receipt: Receipt) {
        let mut state = self.state.borrow_mut();
        if let Some(settled) = state.deliveries.settle(receipt) {
            state.outbox.settle(settled);
        }
        self.room.notify_waiters();
    }

    pub(crate) fn put_back(&self, receipt: Receipt) {
        self.state.borrow_mut().deliveries.put_back(receipt);
        self.room.notify_waiters();
    }

    // What is sent.

    /// What goes in the next exchange, if there is anything.
    pub(crate) fn take(&self) -> Option<Batch> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let (servers, smallest) = state.members.ready();
        if state.outbox.is_empty() && !state.deliveries.has_returning() {
            return None;
        }
        let (put_backs, settled) = state.deliveries.take_back();
        settled.into_iter().for_each(|settled| state.outbox.settle(settled));
        let share = (servers > 0).then_some(Share { servers, smallest });
        let batch = state.outbox.take(share, put_backs, Instant::now());
        if batch.is_empty() {
            return None;
        }
        state.exchange += 1;
        Some(batch)
    }

    /// A batch was exchanged.
    pub(crate) fn exchanged(self: &Rc<Self>, mut batch: Batch, reply: exchange::Reply) {
        if self.state.borrow().told.is_some() {
            // The trouble is over, which whoever lists servers is to see.
            self.presence.look_again();
        }
        for (message, unread) in batch.messages.iter().zip(&reply.unread) {
            self.state.borrow_mut().outbox.has_unread(message.peer, *unread);
        }
        let mut full = Vec::new();
        let mut stalled = Vec::new();
        let mut gone = Vec::new();
        let mut kept = Vec::with_capacity(batch.messages.len());
        for (message, fate) in std::mem::take(&mut batch.messages).into_iter().zip(&reply.messages)
        {
            match fate {
                exchange::Fate::Full => full.push(message),
                exchange::Fate::Gone => {
                    gone.push(message.member.clone());
                    kept.push(message);
                }
                exchange::Fate::Delivered => {
                    for id in &message.confirms {
                        self.hub.inbox.push(Inbound::HandedOver { id: *id });
                    }
                    kept.push(message);
                }
            }
        }
        batch.messages = kept;
        let mut state = self.state.borrow_mut();
        let now = Instant::now();
        for (known, told) in state.outbox.under_way.iter_mut().zip(reply.under_way) {
            *known = told.map(|count| (count, now)).or(*known);
        }
        state.outbox.sent(&batch);
        for message in full {
            let (branch, peer) = (Rc::clone(self), message.peer);
            state.outbox.again(message, now);
            if state.outbox.stalls(peer, self.hub.limits.stall) {
                stalled.push(peer);
                continue;
            }
            self.hub.spawn(async move {
                // Its reader tells how far it has come at least that often, if it reads at all.
                tokio::time::sleep(Duration::from_millis(20)).await;
                branch.state.borrow_mut().outbox.resume(peer);
                branch.work.notify_one();
            });
        }
        for (pack, fate) in batch.packs.iter().zip(&reply.packs) {
            match fate {
                exchange::PackFate::Added(id) => {
                    state.entries.add(*id, pack.queue, &pack.calls, now);
                    for id in &pack.one_way {
                        state.entries.ended(*id);
                        self.hub.inbox.push(Inbound::HandedOver { id: *id });
                    }
                }
                exchange::PackFate::Busy { waiting, limit, age } => {
                    let retry_after =
                        (*age).clamp(Duration::from_millis(10), Duration::from_secs(5));
                    let message = format!(
                        "{waiting} calls are under way or wait at the servers of `{}`, and they take {limit} \
                         (server.concurrency, server.backlog)",
                        self.service
                    );
                    self.refuse(&pack.calls, &message, retry_after);
                }
                exchange::PackFate::Gone => {
                    let (branch, mut calls) = (Rc::clone(self), pack.calls.clone());
                    for id in &pack.one_way {
                        self.hub.inbox.push(Inbound::HandedOver { id: *id });
                    }
                    calls.retain(|id| !pack.one_way.contains(id));
                    self.hub.spawn(async move { branch.read_and_give_up(&calls).await });
                }
                exchange::PackFate::NoServer => {
                    // This node believes in one that is gone: first it learns better, or its calls would
                    // come again at once.
                    let (branch, calls) = (Rc::clone(self), pack.calls.clone());
                    self.hub.spawn(async move {
                        branch.look_and_give_back(&calls).await;
                    });
                }
            }
        }
        for settled in &batch.settled {
            state.deliveries.acknowledged(settled);
        }
        self.trimmed(&mut state, &batch, &reply);
        for (take_back, fate) in batch.take_backs.iter().zip(&reply.take_backs) {
            match fate {
                exchange::TakeBackFate::Removed => {
                    for id in state.entries.remove(take_back.id, take_back.queue) {
                        let reason = "no server has taken it".to_owned();
                        self.undelivered(id, reason, false);
                    }
                }
                exchange::TakeBackFate::Taken => {
                    if let Some(id) = take_back.withdraw
                        && state.entries.is_taken(id)
                    {
                        self.hub.inbox.push(Inbound::Taken { id });
                    }
                }
                exchange::TakeBackFate::Waits => {}
            }
        }
        let late = std::mem::take(&mut state.late);
        drop(state);
        for (id, how) in late {
            let known = self.state.borrow_mut().entries.give_up(id, how).is_some();
            if known {
                self.give_up(id, how);
                self.work.notify_one();
            }
        }
        for peer in stalled {
            let stall = self.hub.limits.stall;
            let why = format!("it read nothing of what is sent to it for {stall:?}");
            self.hub.disconnect(peer, why);
        }
        for member in gone {
            let change = self.state.borrow_mut().members.forget(&member, Gone::Lost);
            self.changed(change);
        }
        if reply.room_elsewhere > 0 {
            self.hub.inbox.push(Inbound::GiveBack { service: self.service.clone() });
        }
        self.hub.sent();
    }

    /// Calls are refused by the broker.
    pub(crate) fn refuse(&self, calls: &[CallId], message: &str, retry_after: Duration) {
        for id in calls {
            let mut failure = Failure::new(Reason::Busy, message);
            failure.retry_after = Some(retry_after);
            self.hub.inbox.push(Inbound::Refused { id: *id, failure: Box::new(failure) });
        }
    }

    async fn look_and_give_back(self: &Rc<Self>, calls: &[CallId]) {
        self.presence.look_again();
        self.has_looked().await;
        for id in calls {
            self.undelivered(*id, "no server takes calls".to_owned(), false);
        }
    }

    /// Calls that were taken and settled, though it was not known where they lay: those that the inbox says nothing of
    /// are lost.
    async fn read_and_give_up(self: &Rc<Self>, calls: &[CallId]) {
        self.presence.look_again();
        self.has_looked().await;
        for id in calls {
            self.undelivered(*id, "the broker was lost while it was handed over".to_owned(), true);
        }
    }

    fn trimmed(&self, state: &mut State, batch: &Batch, reply: &exchange::Reply) {
        let Some(serving) = &mut state.serving else { return };
        for queue in Queue::BOTH {
            let at = queue.index();
            if reply.deleted[at] {
                continue;
            }
            let untrimmed = &mut serving.untrimmed[at];
            untrimmed.extend(batch.settled[at].iter().map(|settled| settled.id));
            if let Some(below) = reply.trimmed[at] {
                untrimmed.retain(|id| *id >= below);
                if untrimmed.len() >= PINNED {
                    let count = untrimmed.len().min(BATCH_DELETES);
                    state.outbox.deletes[at].extend(untrimmed.drain(..count));
                    self.work.notify_one();
                }
            } else if untrimmed.len() >= TRIM
                && untrimmed.len() % TRIM < batch.settled[at].len().max(1)
            {
                state.outbox.trims[at] = true;
                self.work.notify_one();
            }
        }
    }

    /// What is left to trim after a quiet time.
    pub(crate) fn tidy(&self) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        if let Some(serving) = &state.serving {
            for queue in Queue::BOTH {
                let left = !serving.untrimmed[queue.index()].is_empty();
                state.outbox.trims[queue.index()] |= left;
                if left {
                    self.work.notify_one();
                }
            }
        }
        if state.outbox.try_refused() {
            self.work.notify_one();
        }
        if state.outbox.read.is_some() {
            // It alone is worth an exchange now.
            state.outbox.tells_read = true;
            self.work.notify_one();
        }
    }

    /// Calls of a batch were refused: the rest goes without them.
    pub(crate) fn drop_packs(&self, batch: &mut Batch) {
        self.state.borrow_mut().outbox.drop_packs(batch);
        self.hub.sent();
    }

    /// A batch was not exchanged, or, in doubt, nobody knows whether it was.
    pub(crate) fn lost(&self, batch: &Batch, in_doubt: bool) {
        self.state.borrow_mut().outbox.sent(batch);
        for pack in &batch.packs {
            for id in &pack.calls {
                let reason = "the broker was lost while it was handed over".to_owned();
                self.undelivered(*id, reason, in_doubt);
            }
        }
        self.hub.sent();
    }

    // What comes in.

    /// A frame has come from a peer.
    pub(crate) fn frame(self: &Rc<Self>, from: PeerId, frame: Frame) {
        let heard = {
            let mut state = self.state.borrow_mut();
            match &frame {
                Frame::Answer { id, .. } | Frame::Failure { id, .. } => state.entries.ended(*id),
                // What is recorded is settled: the queue has no more to do with it.
                Frame::Accepted { id, .. } => state.entries.ended(*id),
                Frame::End { id, stream, .. } if *stream == StreamId::RESULT => {
                    state.entries.ended(*id)
                }
                Frame::Started { id, .. } | Frame::Item { id, .. } => state.entries.heard(*id),
                _ => Heard::Wanted,
            }
        };
        match (heard, &frame) {
            (Heard::Wanted, _) => self.hub.inbox.push_frame(from, frame, None),
            (Heard::Cancelled, Frame::Started { id, .. } | Frame::Item { id, .. }) => {
                self.send_peer(from, &Frame::Cancel { id: *id }, false);
                self.work.notify_one();
            }
            // Too late: core counts it.
            (Heard::Cancelled, _) => self.hub.inbox.push_frame(from, frame, None),
        }
    }

    /// A message has come from a member who is a peer, and has lain in the inbox for some time.
    pub(crate) fn message(
        self: &Rc<Self>,
        member: &Member,
        number: u64,
        pack: Bytes,
        age: Duration,
    ) {
        let (peer, order) = {
            let mut state = self.state.borrow_mut();
            let Some(peer) = state.members.peer(member) else { return };
            (peer, state.members.message(member, number))
        };
        match order {
            Order::Again => return,
            Order::Gap => {
                return self.expel(peer, "messages of it are missing");
            }
            Order::Next => {}
        }
        match message::frames(pack, self.hub.limits.max_frame_bytes) {
            Ok(frames) => {
                for mut frame in frames {
                    if let Frame::Call(call) = &mut frame {
                        call.time_left = call.time_left.saturating_sub(age);
                    }
                    self.frame(peer, frame);
                }
            }
            Err(error) => {
                let reason = format!("a message of {peer} is malformed: {error}");
                self.hub.inbox.push(Inbound::Rejected { reason: reason.clone() });
                self.expel(peer, &reason);
            }
        }
    }

    /// The server that had taken an entry is lost.
    pub(crate) fn entry_lost(&self, id: EntryId, queue: Queue, why: &str) {
        let calls = self.state.borrow_mut().entries.remove(id, queue);
        for call in calls {
            self.undelivered(call, why.to_owned(), true);
        }
    }

    /// Calls of an entry lie in another.
    pub(crate) fn entry_moved(&self, queue: Queue, from: EntryId, to: EntryId, places: &[usize]) {
        let moved = self.state.borrow_mut().entries.moved(queue, from, to, places, Instant::now());
        // The server that put them back may have been the last.
        self.without_servers();
        for (call, how) in moved {
            self.give_up(call, how);
            self.work.notify_one();
        }
    }

    /// Something was read of the inbox.
    pub(crate) fn has_read(&self, id: EntryId, bytes: usize, entries: usize) {
        let mut state = self.state.borrow_mut();
        state.read = id;
        let unread = state.outbox.has_read(id, bytes);
        if unread >= READ_BYTES || entries >= READ_ENTRIES {
            state.outbox.tells_read = true;
            self.work.notify_one();
        }
    }

    // Who is there.

    pub(crate) fn listed(self: &Rc<Self>, list: Vec<Listed>, asked: &[Member], gone: Gone) {
        let changes = {
            let mut state = self.state.borrow_mut();
            state.members.listed(list, asked, gone, || self.hub.next_peer())
        };
        for change in changes {
            self.changed(Some(change));
        }
        self.without_servers();
        self.work.notify_one();
    }

    /// Calls do not wait in the queue of a service that has no server: core holds them, and has their time.
    fn without_servers(&self) {
        let mut guard = self.state.borrow_mut();
        let state = &mut *guard;
        if state.members.ready().0 > 0 || !state.joined {
            return;
        }
        for id in state.outbox.take_calls() {
            self.undelivered(id, "no server takes calls".to_owned(), false);
        }
        state.recall();
        drop(guard);
        self.hub.sent();
    }

    pub(crate) fn changed(self: &Rc<Self>, change: Option<Change>) {
        let inbox = &self.hub.inbox;
        match change {
            None => {}
            Some(Change::Up(peer, hello)) => {
                self.hub.peer_up(peer, self);
                inbox.push(Inbound::PeerUp { peer, hello, credentials: Credentials::default() });
            }
            Some(Change::Announced(peer, announcement)) => {
                inbox.push_frame(peer, Frame::Announce(announcement), None);
            }
            Some(Change::Down { peer, reason, clean }) => {
                self.hub.peer_down(peer);
                self.state.borrow_mut().outbox.forget(peer);
                self.hub.sent();
                inbox.push(Inbound::PeerDown { peer, reason: reason.to_owned(), clean });
            }
            Some(Change::Unfit { server: Some(announcement), reason }) => {
                let (service, server) = (announcement.service, announcement.server);
                inbox.push(Inbound::Unreachable { service, server, reason });
            }
            Some(Change::Unfit { server: None, reason }) => {
                inbox.push(Inbound::Rejected { reason })
            }
            Some(Change::Alone(alone)) => {
                if let Some(serving) = &self.state.borrow().serving {
                    if !alone {
                        inbox.push(Inbound::GiveBack { service: self.service.clone() });
                    }
                    self.wake_readers(serving);
                }
            }
        }
    }

    /// This node is no member any more, and begins anew: whatever it had under way is in doubt.
    pub(crate) fn begin_anew(self: &Rc<Self>, why: &'static str) {
        if self.state.borrow().leaving {
            // Nothing follows.
            return;
        }
        let number = self.hub.next_member();
        let (changes, calls) = {
            let mut state = self.state.borrow_mut();
            let state = &mut *state;
            tracing::warn!(service = %self.service, why, "the membership is lost");
            state.member = Member::new(self.hub.hello.node, number);
            (state.joined, state.listens, state.must_join) = (false, false, true);
            state.read = EntryId::ZERO;
            state.exchange = 0;
            state.late.clear();
            state.tasks.drain(..).for_each(|task| task.abort());
            state.deliveries = Deliveries::new(number as u16);
            state.outbox.begin_anew();
            if let Some(serving) = &mut state.serving {
                serving.consumer = None;
                serving.untrimmed = [Vec::new(), Vec::new()];
                serving.readers = [None; 2];
                serving.reading = 0;
                serving.told_load = None;
            }
            (state.members.clear(why), state.entries.clear())
        };
        self.live.send_replace(None);
        // Calls first: the end of their taker's session makes idempotent ones anew, and would have what is
        // said here of the last attempt taken for a word about the next.
        for id in calls {
            self.undelivered(id, why.to_owned(), true);
        }
        for change in changes {
            self.changed(Some(change));
        }
        self.presence.forget_look();
        self.trouble.notify_one();
    }

    /// The connection does not come about, or was lost.
    pub(crate) fn tell_trouble(&self, trouble: &str) {
        let mut state = self.state.borrow_mut();
        if state.told.as_deref() == Some(trouble) {
            return;
        }
        state.told = Some(trouble.to_owned());
        tracing::warn!(service = %self.service, trouble, "the broker cannot be used");
        if state.watches && state.named {
            self.answer_watch(Err(LinkError::new(trouble)));
        }
    }

    /// The first look is over, or another one that was asked for.
    pub(crate) fn tell_watching(&self) {
        let mut state = self.state.borrow_mut();
        state.told = None;
        if state.watches && state.named {
            self.answer_watch(Ok(()));
        }
    }

    pub(crate) fn news(self: &Rc<Self>, told: Told) {
        // A renewal and a new connection find out at the same time that a membership is lost: what is
        // said of one that has ended must not end the next.
        if told.member != self.state.borrow().member.as_str() {
            return;
        }
        match told.news {
            News::Listening => {
                self.state.borrow_mut().listens = true;
                self.trouble.notify_one();
            }
            News::Changed { member, gone } => self.presence.changed(Member::named(&member), gone),
            News::Version(version) => self.presence.version(version),
            News::Missed => self.presence.look_again(),
            News::Lost => {
                let joined = self.state.borrow().joined;
                if joined {
                    self.begin_anew("its lease ended, or the broker forgot it");
                }
            }
        }
    }

    /// Ends this node's part, in order: what waits is sent first.
    pub(crate) async fn leave(self: &Rc<Self>) {
        keeper::leave(self).await;
    }

    /// Waits until the broker was looked at once.
    pub(crate) async fn has_looked(&self) {
        self.presence.has_looked().await;
    }

    /// Whether it was, and can be.
    pub(crate) fn is_seen(&self) -> bool {
        self.presence.is_seen() && self.live.borrow().is_some()
    }

    pub(crate) async fn tell_depth(self: &Rc<Self>) {
        presence::tell_depth(self).await;
    }

    /// Everything that belongs to a new membership begins.
    pub(crate) fn begin_tasks(self: &Rc<Self>) {
        let inbox = self.hub.spawn(incoming::read(Rc::clone(self)));
        self.state.borrow_mut().tasks.push(inbox);
    }
}
