//! One connection: hello first, then frames both ways until one side has had enough.
//!
//! ```text
//! Greeting --hello of a client--> Up        (the server now announces itself)
//! Greeting --hello of a server--> Meeting --its announcement--> Up
//! any --goodbye, end, garbage, stall, broken socket--> Ended
//! ```
//!
//! Core learns of a session when it is up, by `PeerUp`, and by `PeerDown` exactly once when it has
//! ended, whatever ended it; the frames that did not go out come back in between.
//!
//! Whoever sends a frame writes it, as far as the socket takes it at once. Only what is left then is
//! written by the session's task, which otherwise reads.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, IoSlice, Write};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use farcall_core::transport::{Address, Credentials, Inbound, PeerId};
use farcall_core::wire::{
    Announcement, Assembler, FRAME_OVERHEAD, Frame, Hello, PARTS, PartError, PartHead, ServerState,
    Towards, WireError,
};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::dial::Dial;
use crate::framing::FrameLimits;
use crate::hub::Hub;
use crate::lanes::Watch;
use crate::outgoing::{Full, Lost, Outgoing};
use crate::reader::{Batch, Reader};
use crate::server::Server;
use crate::stall::Ticks;

/// Slices of one vectored write.
const SLICES: usize = 64;
/// From this many waiting bytes on a frame is written without waiting for a flush: the peer can
/// begin, and the buffer stays small enough for the processor's caches.
const WRITE_FROM: usize = 64 * 1024;
/// How much is written to one peer before others have their turn.
const TURN: usize = 1024 * 1024;
/// After this part of the time for a handshake a server is slow: a quarter of a second of five.
const SLOW: u32 = 20;

/// Which side of a session this node is on.
#[derive(Clone, Debug)]
pub(crate) enum Side {
    /// The peer has connected to this server.
    Server(Rc<Server>),
    /// This node has connected to that server.
    Client(Rc<Dial>),
}

/// One connection, shared by the sink, which writes, and a task, which reads.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) peer: PeerId,
    side: Side,
    credentials: Credentials,
    /// What the other side says of itself, once it has.
    hello: RefCell<Option<Hello>>,
    phase: Cell<Phase>,
    is_open: Cell<bool>,
    socket: RefCell<Option<OwnedWriteHalf>>,
    outgoing: RefCell<Outgoing>,
    /// The socket takes no more for now; the task waits until it does.
    blocked: Cell<bool>,
    /// It is in the hub's list of sessions to be flushed.
    pub(crate) is_dirty: Cell<bool>,
    /// Goodbye is queued; when it is written the session ends like this.
    closing: RefCell<Option<End>>,
    /// Writing has failed. What the peer sent before that is still there to be read, and ends with
    /// the end of the session.
    is_broken: Cell<bool>,
    /// The session is to end at once.
    end: RefCell<Option<End>>,
    /// The task, for whoever has news for it.
    task: RefCell<Option<Waker>>,
    /// The tick when the frame began that has not come wholly.
    half_since: Cell<Option<u64>>,
    /// Messages that come in parts, if both sides take them.
    assembler: RefCell<Option<Assembler>>,
    /// The oldest message of which parts have come and not all, and the tick when it became that.
    half_message: Cell<Option<(u64, u64)>>,
    /// The tick when the socket last took something, or when it began not to.
    taken_at: Cell<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waiting for hello.
    Greeting,
    /// Waiting for the server's announcement.
    Meeting,
    /// Core knows the session.
    Up,
    /// It is over.
    Ended,
}

/// Why a session ends.
#[derive(Clone, Debug)]
pub(crate) struct End {
    reason: String,
    /// The peer is thrown out, and core is to count it.
    is_rejection: bool,
    /// The peer is to be told.
    is_told: bool,
    /// The peer has said that it started none of the calls that it has not answered.
    is_clean: bool,
}

impl End {
    /// It ended by itself.
    fn by_itself(reason: impl Into<String>) -> Self {
        End { reason: reason.into(), is_rejection: false, is_told: false, is_clean: false }
    }

    /// The peer has done what it must not.
    fn rejected(reason: impl Into<String>) -> Self {
        End { is_rejection: true, is_told: true, ..End::by_itself(reason) }
    }
}

/// What a poll of the task has come to.
enum Step {
    Up,
    End(End),
}

/// How a session was.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Core has seen it.
    pub(crate) was_up: bool,
    /// Why it ended.
    pub(crate) reason: String,
}

/// Runs a session to its end.
pub(crate) async fn run(
    hub: &Rc<Hub>,
    socket: UnixStream,
    credentials: Credentials,
    side: Side,
) -> Outcome {
    if hub.is_closing() {
        let reason = "the node is closing";
        turn_away(socket, reason);
        return Outcome { was_up: false, reason: reason.to_owned() };
    }
    let (read, write) = socket.into_split();
    let session = Rc::new(Session::new(hub.next_peer(), side, credentials, write));
    hub.add(Rc::clone(&session));
    // Whatever becomes of this task, a panic included, core hears that the peer is gone.
    let ending = Ending { hub, session: &session };
    let end = session.live(hub, Reader::new(read)).await;
    let outcome = Outcome { was_up: session.phase.get() == Phase::Up, reason: end.reason.clone() };
    session.finally(hub, end);
    drop(ending);
    outcome
}

struct Ending<'a> {
    hub: &'a Hub,
    session: &'a Session,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.session.finally(self.hub, End::by_itself("the session's task has ended"));
    }
}

impl Session {
    fn new(peer: PeerId, side: Side, credentials: Credentials, socket: OwnedWriteHalf) -> Self {
        Session {
            peer,
            side,
            credentials,
            hello: RefCell::default(),
            phase: Cell::new(Phase::Greeting),
            is_open: Cell::new(false),
            socket: RefCell::new(Some(socket)),
            outgoing: RefCell::default(),
            blocked: Cell::new(false),
            is_dirty: Cell::new(false),
            closing: RefCell::default(),
            is_broken: Cell::new(false),
            end: RefCell::default(),
            task: RefCell::default(),
            half_since: Cell::new(None),
            assembler: RefCell::default(),
            half_message: Cell::new(None),
            taken_at: Cell::new(0),
        }
    }

    /// Whether core knows it and frames may be sent: it has not begun to end.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.get()
    }

    /// Whether it is a connection to this server.
    pub(crate) fn is_with(&self, server: &Rc<Server>) -> bool {
        matches!(&self.side, Side::Server(ours) if Rc::ptr_eq(ours, server))
    }

    /// Bytes that wait to be written.
    pub(crate) fn queued(&self) -> usize {
        self.outgoing.borrow().len()
    }

    /// Bytes that the socket ever took.
    pub(crate) fn written(&self) -> u64 {
        self.outgoing.borrow().written()
    }

    /// Queues a frame, and writes if much is queued by then. Otherwise the caller flushes.
    pub(crate) fn send(&self, hub: &Hub, frame: &Frame, confirm: bool) -> Result<(), Full> {
        let is_call = matches!(frame, Frame::Call(_) | Frame::Query { .. });
        let max = hub.limits.max_peer_bytes;
        let mut outgoing = self.outgoing.borrow_mut();
        if let Frame::Cancel { id } = frame
            && let Some(given_up) = outgoing.give_up(*id)
        {
            hub.queue(given_up.queued);
            hub.unqueue(given_up.freed);
            if given_up.is_unheard {
                return Ok(());
            }
        }
        let limit = match is_call {
            // Whatever its length, one frame may always wait.
            _ if outgoing.is_empty() => usize::MAX,
            // Calls leave room for what may have to be said of them later (a cancel, credit), for
            // which there is no way back: without it such a frame would end the session.
            true => max - max / 8,
            false => max,
        };
        let watch = frame.call_id().filter(|_| is_call || confirm);
        let watch = watch.map(|id| Watch { id, confirm });
        outgoing.lend(|| hub.buffers.take_for_writing());
        let len = outgoing.push(frame, watch, limit)?;
        hub.queue(len);
        let much = outgoing.len() >= WRITE_FROM;
        drop(outgoing);
        if much {
            self.write(hub);
        }
        Ok(())
    }

    /// Writes what waits, as far as the socket takes it.
    pub(crate) fn write(&self, hub: &Hub) {
        if !self.blocked.get() && !self.is_broken.get() {
            self.write_now(hub);
        }
    }

    fn write_now(&self, hub: &Hub) {
        let socket = self.socket.borrow();
        let Some(socket) = &*socket else { return };
        let mut outgoing = self.outgoing.borrow_mut();
        let mut turn = 0;
        while !outgoing.is_empty() {
            if turn >= TURN {
                // Others want their turn as well; the task goes on after them.
                self.blocked.set(true);
                self.wake_task();
                return;
            }
            hub.queue(outgoing.refill());
            let written = match outgoing.one_slice() {
                Some(bytes) => socket.try_write(bytes),
                None => {
                    let mut slices = [IoSlice::new(&[]); SLICES];
                    let taken = outgoing.slices(&mut slices);
                    socket.try_write_vectored(&slices[..taken])
                }
            };
            match written {
                Ok(len) if len > 0 => {
                    outgoing.advance(len, |id| hub.inbox.push(Inbound::HandedOver { id }));
                    hub.unqueue(len);
                    turn += len;
                    self.taken_at.set(hub.ticks.now());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !self.blocked.replace(true) {
                        self.taken_at.set(hub.ticks.start());
                        self.wake_task();
                    }
                    return;
                }
                failed => {
                    tracing::debug!(peer = self.peer.0, ?failed, "cannot write to a peer");
                    self.is_broken.set(true);
                    self.is_open.set(false);
                    self.blocked.set(false);
                    self.taken_at.set(hub.ticks.start());
                    self.wake_task();
                    return;
                }
            }
        }
        self.blocked.set(false);
        if let Some(buffer) = outgoing.give_back() {
            hub.buffers.written(buffer);
        }
        if self.closing.borrow().is_some() {
            self.wake_task();
        }
    }

    /// Ends the session once everything that waits is written. A clean goodbye is written last, and
    /// is true: nothing is read any more, so that what the peer still sends is not started.
    pub(crate) fn say_goodbye(&self, hub: &Hub) {
        self.close(hub, End::by_itself("the node has closed"), true);
    }

    /// Ends the session because core wants it, with a goodbye as well.
    pub(crate) fn disconnect(&self, hub: &Hub, reason: String) {
        self.close(hub, End { is_rejection: true, ..End::by_itself(reason) }, false);
    }

    fn close(&self, hub: &Hub, end: End, clean: bool) {
        if self.closing.borrow().is_some() {
            return;
        }
        if !self.is_open() {
            // Nobody knows it yet, or it is about to end anyway.
            return self.throw(End { is_told: true, is_rejection: false, ..end });
        }
        let mut outgoing = self.outgoing.borrow_mut();
        outgoing.lend(|| hub.buffers.take_for_writing());
        // It may exceed the bound: it is the last.
        if let Ok(len) = outgoing.push(&goodbye(&end.reason, clean), None, usize::MAX) {
            hub.queue(len);
        }
        drop(outgoing);
        *self.closing.borrow_mut() = Some(end);
        self.is_open.set(false);
        self.write(hub);
        self.wake_task();
    }

    /// Ends the session because its queue is full and this must not be lost in silence.
    pub(crate) fn too_slow(&self, hub: &Hub, full: Full) {
        self.throw(End::rejected(format!(
            "it is too slow: {} bytes wait for it, {} more are to be sent, and limits.max_peer_bytes \
             is {}",
            self.queued(),
            full.len,
            hub.limits.max_peer_bytes
        )));
    }

    /// Ends the session because what waits for it leaves no room for others.
    pub(crate) fn crowds(&self, stall: Duration) {
        self.throw(End::rejected(format!(
            "it is too slow: {} bytes wait for it, which it would not read within {stall:?}, and all \
             room is taken (limits.max_queued_bytes)",
            self.queued()
        )));
    }

    /// Ends the session if it stalls; answers whether something waits that may become a stall.
    pub(crate) fn check_stall(&self, ticks: &Ticks, stall: Duration) -> bool {
        let half = self.half_since.get();
        let message = self.half_message.get().map(|(_, since)| since);
        let untaken = self.blocked.get() || self.is_broken.get();
        let untaken = untaken.then(|| self.taken_at.get());
        if half.is_some_and(|since| ticks.is_over(since)) {
            self.throw(End::rejected(format!("it left a frame unfinished for {stall:?}")));
        } else if message.is_some_and(|since| ticks.is_over(since)) {
            self.throw(End::rejected(format!(
                "it left a frame that it sends in parts unfinished for {stall:?}"
            )));
        } else if untaken.is_some_and(|since| ticks.is_over(since)) {
            self.throw(End::rejected(format!(
                "it read nothing of what is sent to it for {stall:?}"
            )));
        }
        half.is_some() || message.is_some() || untaken.is_some()
    }

    /// Closes the socket at once, for a link that nobody drives any longer.
    pub(crate) fn cut(&self) {
        self.is_open.set(false);
        self.socket.take();
    }

    /// Ends the session as soon as its task runs.
    fn throw(&self, end: End) {
        self.end.borrow_mut().get_or_insert(end);
        self.is_open.set(false);
        self.wake_task();
    }

    fn wake_task(&self) {
        if let Some(task) = &*self.task.borrow() {
            task.wake_by_ref();
        }
    }

    async fn live(&self, hub: &Hub, mut reader: Reader) -> End {
        self.send_now(hub, &Frame::Hello(Box::new(hub.hello.clone())));
        match self.handshake(hub, &mut reader).await {
            Ok(Step::Up) => {}
            Ok(Step::End(end)) => return end,
            Err(_) => {
                let reason = format!("it said no hello within {:?}", hub.limits.handshake);
                return match self.side {
                    Side::Server(_) => End::rejected(reason),
                    // It may be busy: a handler that blocks its thread is no offence.
                    Side::Client(_) => End::by_itself(reason),
                };
            }
        }
        loop {
            if let Step::End(end) = poll_fn(|cx| self.poll(hub, &mut reader, cx)).await {
                return end;
            }
        }
    }

    /// Waits until the other side is known, or it has had its time. That a server takes long is told
    /// early: whoever lists servers does not wait for all of it.
    async fn handshake(&self, hub: &Hub, reader: &mut Reader) -> Result<Step, Elapsed> {
        let mut up = pin!(poll_fn(|cx| self.poll(hub, reader, cx)));
        let all = hub.limits.handshake;
        let Side::Client(dial) = &self.side else { return timeout(all, up).await };
        let some = all / SLOW;
        if let Ok(step) = timeout(some, &mut up).await {
            return Ok(step);
        }
        dial.complain(hub, format!("it has said no hello within {some:?}"));
        timeout(all - some, up).await
    }

    fn poll(&self, hub: &Hub, reader: &mut Reader, cx: &mut Context<'_>) -> Poll<Step> {
        {
            let mut task = self.task.borrow_mut();
            match &mut *task {
                Some(task) => task.clone_from(cx.waker()),
                None => *task = Some(cx.waker().clone()),
            }
        }
        if self.blocked.get() {
            self.poll_write(hub, cx);
        }
        if let Some(end) = self.end.take() {
            return Poll::Ready(Step::End(end));
        }
        if self.closing.borrow().is_some() {
            return self.poll_closed();
        }
        loop {
            if hub.inbox.poll_room(cx).is_pending() {
                // It is us who do not read: the peer cannot finish its frame.
                self.half_since.set(None);
                self.half_message.set(None);
                return Poll::Pending;
            }
            self.note_half_message(hub);
            if reader.is_midway() && self.half_since.get().is_none() {
                self.half_since.set(Some(hub.ticks.start()));
            }
            if let Some(step) = ready!(self.poll_read(hub, reader, cx)) {
                return Poll::Ready(step);
            }
            if let Some(end) = self.end.take() {
                return Poll::Ready(Step::End(end));
            }
        }
    }

    fn poll_closed(&self) -> Poll<Step> {
        if self.is_broken.get() {
            return Poll::Ready(Step::End(End::by_itself("the connection broke at the goodbye")));
        }
        match self.closing.borrow_mut().take_if(|_| self.outgoing.borrow().is_empty()) {
            Some(end) => Poll::Ready(Step::End(end)),
            None => Poll::Pending,
        }
    }

    fn poll_write(&self, hub: &Hub, cx: &mut Context<'_>) {
        let ready = match &*self.socket.borrow() {
            Some(socket) => socket.as_ref().poll_write_ready(cx),
            None => return,
        };
        if ready.is_ready() {
            // An error shows itself again in the attempt to write. If it blocks once more, the
            // task is woken, and comes back here to wait.
            self.blocked.set(false);
            self.write_now(hub);
        }
    }

    fn poll_read(
        &self,
        hub: &Hub,
        reader: &mut Reader,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Step>> {
        let rest = hub.limits.max_frame_bytes;
        // Nobody has said who they are by half a hello: it may not take much.
        let is_hello = self.phase.get() == Phase::Greeting;
        let first = if is_hello { rest.min(FRAME_OVERHEAD) } else { rest };
        let limits = FrameLimits { first, rest };
        let read = reader.poll_read(&hub.buffers, limits, self.assembler.borrow_mut().as_mut(), cx);
        let batch = match ready!(read) {
            Ok(Some(batch)) => batch,
            Ok(None) if reader.is_midway() => return ended("it closed in the middle of a frame"),
            Ok(None) => return ended("it closed the connection"),
            Err(error) => return ended(format!("the connection broke: {error}")),
        };
        self.note_half(hub, &batch);
        let was_up = self.phase.get() == Phase::Up;
        for bytes in batch.frames {
            let taken = match Frame::decode(bytes) {
                Ok(frame) => self.take(hub, frame),
                Err(error) => Err(garbage(error)),
            };
            if let Err(end) = taken {
                return Poll::Ready(Some(Step::End(end)));
            }
        }
        if let Some(bytes) = batch.message
            && let Err(end) = self.take_whole(hub, bytes)
        {
            return Poll::Ready(Some(Step::End(end)));
        }
        // Before the server has announced itself, parts are no more welcome than anything else.
        let mut assembler = self.assembler.borrow_mut();
        let assembler = assembler.as_mut().filter(|_| self.phase.get() == Phase::Up);
        if let Err(error) = reader.prepare(&hub.buffers, assembler) {
            return Poll::Ready(Some(Step::End(wrong_part(error))));
        }
        if let Some((len, limit)) = batch.too_long {
            let reason = format!("it sent a frame of {len} bytes, and the limit is {limit}");
            return Poll::Ready(Some(Step::End(End::rejected(reason))));
        }
        Poll::Ready((!was_up && self.phase.get() == Phase::Up).then_some(Step::Up))
    }

    fn note_half(&self, hub: &Hub, batch: &Batch) {
        if !batch.is_open {
            self.half_since.set(None);
        } else if batch.has_frames || self.half_since.get().is_none() {
            self.half_since.set(Some(hub.ticks.start()));
        }
    }

    /// Takes note of how long the oldest message has been on its way.
    fn note_half_message(&self, hub: &Hub) {
        let oldest = self.assembler.borrow().as_ref().and_then(Assembler::oldest);
        let known = self.half_message.get();
        if oldest != known.map(|(message, _)| message) {
            self.half_message.set(oldest.map(|message| (message, hub.ticks.start())));
        }
    }

    /// Takes in a frame that has come in parts.
    fn take_whole(&self, hub: &Hub, bytes: Bytes) -> Result<(), End> {
        match Frame::decode(bytes) {
            Ok(Frame::Part { .. }) => Err(End::rejected("it sent parts of a part")),
            Ok(frame) => self.take(hub, frame),
            Err(error) => Err(garbage(error)),
        }
    }

    /// Takes one frame in.
    fn take(&self, hub: &Hub, frame: Frame) -> Result<(), End> {
        // First and short: nearly every frame goes this way.
        if self.phase.get() == Phase::Up && frame.towards() != Towards::Session {
            hub.inbox.push_frame(self.peer, frame, None);
            return Ok(());
        }
        self.take_for_session(hub, frame)
    }

    /// Takes a frame that is about the session and not about a call.
    fn take_for_session(&self, hub: &Hub, frame: Frame) -> Result<(), End> {
        match (self.phase.get(), frame) {
            (_, Frame::Goodbye { reason, clean: is_clean }) => {
                let reason = format!("it said goodbye: {}", printable(&reason));
                Err(End { is_clean, ..End::by_itself(reason) })
            }
            (Phase::Greeting, Frame::Hello(hello)) => self.greet(hub, *hello),
            (Phase::Greeting, _) => Err(End::rejected("it did not say hello first")),
            (Phase::Meeting, Frame::Announce(it)) => self.meet(hub, *it),
            (Phase::Meeting, _) => Err(End::rejected("it did not announce itself after hello")),
            (_, Frame::Hello(_)) => Err(End::rejected("it said hello twice")),
            (_, Frame::Part { message, last, bytes }) => {
                let whole = match &mut *self.assembler.borrow_mut() {
                    Some(assembler) => {
                        let part = PartHead { message, last, len: bytes.len() };
                        let buffer = |room| hub.buffers.take_for_message(room);
                        let place = assembler.admit(part, buffer).map_err(wrong_part)?;
                        place.extend_from_slice(&bytes);
                        assembler.finish(part)
                    }
                    None => return Err(End::rejected("it sent a part, which was not agreed")),
                };
                whole.map_or(Ok(()), |whole| self.take_whole(hub, hub.buffers.freeze(whole)))
            }
            (_, Frame::Ping { nonce }) => {
                self.send_now(hub, &Frame::Pong { nonce });
                Ok(())
            }
            (_, Frame::Pong { .. }) => Ok(()),
            (_, frame) => {
                if let (Side::Client(dial), Frame::Announce(it)) = (&self.side, &frame)
                    && it.state == ServerState::Gone
                {
                    // Its socket is gone; one that appears there is another server's.
                    dial.ends();
                    hub.discovery.forget(dial);
                }
                hub.inbox.push_frame(self.peer, frame, None);
                Ok(())
            }
        }
    }

    fn greet(&self, hub: &Hub, hello: Hello) -> Result<(), End> {
        hub.hello.agrees_with(&hello).map_err(End::rejected)?;
        if hub.hello.has(PARTS) && hello.has(PARTS) {
            let theirs = usize::try_from(hello.max_message_bytes).unwrap_or(usize::MAX);
            self.outgoing.borrow_mut().cut_large(theirs.saturating_add(FRAME_OVERHEAD));
            *self.assembler.borrow_mut() = Some(Assembler::new(hub.limits.max_frame_bytes));
        }
        match &self.side {
            Side::Server(server) => {
                self.up(hub, hello);
                self.send_now(hub, &Frame::Announce(Box::new(server.announcement())));
            }
            Side::Client(_) => {
                *self.hello.borrow_mut() = Some(hello);
                self.phase.set(Phase::Meeting);
            }
        }
        Ok(())
    }

    fn meet(&self, hub: &Hub, announcement: Announcement) -> Result<(), End> {
        if let Side::Client(dial) = &self.side {
            if !dial.is_of(&announcement) {
                let Announcement { service, server, .. } = &announcement;
                let reason = format!("its socket is not that of server `{server}` of `{service}`");
                return Err(End::rejected(reason));
            }
            if let Some(hello) = self.hello.take() {
                self.up(hub, hello);
            }
            let frame = Frame::Announce(Box::new(announcement));
            hub.inbox.push_frame(self.peer, frame, None);
            dial.has_met();
        }
        Ok(())
    }

    fn up(&self, hub: &Hub, hello: Hello) {
        self.phase.set(Phase::Up);
        self.is_open.set(true);
        let credentials = self.credentials.clone();
        hub.inbox.push(Inbound::PeerUp { peer: self.peer, hello: Box::new(hello), credentials });
    }

    fn send_now(&self, hub: &Hub, frame: &Frame) {
        match self.send(hub, frame, false) {
            Ok(()) => self.write(hub),
            Err(full) => self.too_slow(hub, full),
        }
    }

    /// What remains to be done, once: frames that did not go out come back, then core is told.
    fn finally(&self, hub: &Hub, end: End) {
        let phase = self.phase.replace(Phase::Ended);
        if phase == Phase::Ended {
            return;
        }
        self.is_open.set(false);
        hub.remove(self.peer);
        let mut reason = end.reason;
        if end.is_told {
            let mut outgoing = self.outgoing.borrow_mut();
            if let Ok(len) = outgoing.push(&goodbye(&reason, false), None, usize::MAX) {
                hub.queue(len);
            }
            drop(outgoing);
            self.write(hub);
        }
        let mut outgoing = self.outgoing.borrow_mut();
        hub.unqueue(outgoing.len());
        for Lost { id, written } in outgoing.abandon() {
            hub.inbox.push(Inbound::Undelivered {
                to: Address::Peer(self.peer),
                id,
                reason: reason.clone(),
                written,
            });
        }
        drop(outgoing);
        let who = who(&self.credentials);
        tracing::debug!(peer = self.peer.0, %who, %reason, "a session has ended");
        if end.is_rejection {
            hub.inbox.push(Inbound::Rejected { reason: format!("{who} was thrown out: {reason}") });
        }
        if phase == Phase::Up {
            let reason = std::mem::take(&mut reason);
            let down = Inbound::PeerDown { peer: self.peer, reason, clean: end.is_clean };
            hub.inbox.push(down);
        }
        self.half_since.set(None);
        self.half_message.set(None);
        self.assembler.take();
        self.blocked.set(false);
        self.socket.take();
    }
}

/// Tells a connection that it cannot be, as far as it takes that at once, and closes it.
pub(crate) fn turn_away(socket: UnixStream, reason: &str) {
    let mut outgoing = Outgoing::default();
    if outgoing.push(&goodbye(reason, false), None, usize::MAX).is_ok()
        && let Some(bytes) = outgoing.one_slice()
        // Past tokio, which does not know yet that it can be written.
        && let Ok(mut socket) = socket.into_std()
    {
        let _ = socket.write(bytes);
    }
}

/// What the operating system knows of the other side.
pub(crate) fn credentials(socket: &UnixStream) -> io::Result<Credentials> {
    let found = socket.peer_cred()?;
    Ok(Credentials {
        uid: Some(found.uid()),
        gid: Some(found.gid()),
        pid: found.pid().and_then(|pid| u32::try_from(pid).ok()),
        name: None,
    })
}

/// The other side in words, for logs.
pub(crate) fn who(it: &Credentials) -> String {
    match (it.pid, it.uid) {
        (Some(pid), Some(uid)) => format!("process {pid} of user {uid}"),
        (None, Some(uid)) => format!("a process of user {uid}"),
        _ => "somebody unknown".to_owned(),
    }
}

fn goodbye(reason: &str, clean: bool) -> Frame {
    Frame::Goodbye { reason: reason.into(), clean }
}

fn garbage(error: WireError) -> End {
    End::rejected(format!("it sent garbage: {error}"))
}

fn wrong_part(error: PartError) -> End {
    End::rejected(format!("it sent {error}"))
}

fn ended(reason: impl Into<String>) -> Poll<Option<Step>> {
    Poll::Ready(Some(Step::End(End::by_itself(reason))))
}

/// A peer's words, fit for a log.
fn printable(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}
