//! What the link's sink, stream and tasks share. All of them run on one thread.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use compact_str::CompactString;
use farcall_core::transport::{
    Address, Attachment, Inbound, Inbox, LinkLimits, PeerId, ServeError,
};
use farcall_core::wire::{Announcement, Frame, Hello, PARTS, ServerState};
use foldhash::{HashMap, HashMapExt};

use crate::buffers::Buffers;
use crate::config::Allow;
use crate::crowding::{self, Crowding};
use crate::discovery::Discovery;
use crate::listener;
use crate::paths::Paths;
use crate::server::Server;
use crate::session::Session;
use crate::stall::{self, Ticks};
use crate::tasks::Tasks;

pub(crate) struct Hub {
    pub(crate) hello: Hello,
    pub(crate) limits: LinkLimits,
    pub(crate) paths: Paths,
    pub(crate) allow: Allow,
    pub(crate) inbox: Inbox,
    pub(crate) buffers: Rc<Buffers>,
    pub(crate) ticks: Ticks,
    pub(crate) crowding: Crowding,
    pub(crate) discovery: Discovery,
    pub(crate) tasks: Tasks,
    /// The servers of this node, by service.
    pub(crate) servers: RefCell<HashMap<CompactString, Rc<Server>>>,
    /// Services whose server is about to be reachable.
    pub(crate) starting: RefCell<HashSet<CompactString>>,
    sessions: RefCell<HashMap<PeerId, Rc<Session>>>,
    last_peer: Cell<u64>,
    /// Sessions with frames that nobody has tried to write.
    dirty: RefCell<Vec<Rc<Session>>>,
    /// Bytes that wait in all sessions.
    queued: Cell<usize>,
    closing: Cell<bool>,
    /// The sink's task, when it waits for room.
    wants_room: Cell<Option<Waker>>,
    /// The same, when it waits for everything to be written, or all sessions to end.
    wants_nothing_left: Cell<Option<Waker>>,
}

impl Hub {
    pub(crate) fn start(mut at: Attachment, paths: Paths, allow: Allow) -> Rc<Self> {
        at.hello.add(PARTS);
        let hub = Rc::new(Hub {
            hello: at.hello,
            limits: at.limits,
            paths,
            allow,
            inbox: Inbox::default(),
            buffers: Buffers::of_this_thread(),
            ticks: Ticks::default(),
            crowding: Crowding::default(),
            discovery: Discovery::default(),
            tasks: Tasks::default(),
            servers: RefCell::new(HashMap::new()),
            starting: RefCell::default(),
            sessions: RefCell::new(HashMap::new()),
            last_peer: Cell::new(0),
            dirty: RefCell::default(),
            queued: Cell::new(0),
            closing: Cell::new(false),
            wants_room: Cell::default(),
            wants_nothing_left: Cell::default(),
        });
        hub.tasks.spawn(stall::watch(Rc::clone(&hub)));
        hub.tasks.spawn(crowding::watch(Rc::clone(&hub)));
        hub
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    /// A number that no session has had.
    pub(crate) fn next_peer(&self) -> PeerId {
        let peer = self.last_peer.get() + 1;
        self.last_peer.set(peer);
        PeerId(peer)
    }

    pub(crate) fn add(&self, session: Rc<Session>) {
        self.sessions.borrow_mut().insert(session.peer, session);
    }

    pub(crate) fn remove(&self, peer: PeerId) {
        let mut sessions = self.sessions.borrow_mut();
        sessions.remove(&peer);
        if sessions.is_empty() {
            wake(&self.wants_nothing_left);
        }
    }

    /// All sessions as they are now, so that they may come and go while one looks at them.
    pub(crate) fn sessions(&self) -> Vec<Rc<Session>> {
        self.sessions.borrow().values().cloned().collect()
    }

    fn sessions_with(&self, server: &Rc<Server>) -> Vec<Rc<Session>> {
        let sessions = self.sessions.borrow();
        sessions.values().filter(|session| session.is_with(server)).cloned().collect()
    }

    /// Charges bytes that wait.
    pub(crate) fn queue(&self, bytes: usize) {
        self.queued.set(self.queued.get() + bytes);
    }

    /// Takes off bytes that no longer wait.
    pub(crate) fn unqueue(&self, bytes: usize) {
        let queued = self.queued.get() - bytes;
        self.queued.set(queued);
        if queued < self.limits.max_queued_bytes {
            wake(&self.wants_room);
        }
        if queued == 0 {
            wake(&self.wants_nothing_left);
        }
    }

    /// Whether another frame may be sent, as far as the total is concerned.
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.queued.get() < self.limits.max_queued_bytes {
            return Poll::Ready(());
        }
        self.write_dirty();
        if self.queued.get() < self.limits.max_queued_bytes {
            return Poll::Ready(());
        }
        self.wants_room.set(Some(cx.waker().clone()));
        self.crowding.begins();
        Poll::Pending
    }

    /// Whether there is hardly any room for what is to be sent. Not only if there is none: who takes a
    /// byte for each that is sent would make that end all the time.
    pub(crate) fn is_crowded(&self) -> bool {
        self.queued.get() >= self.limits.max_queued_bytes / 4 * 3
    }

    /// Writes what waits; pending as long as some socket does not take it.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.write_dirty();
        if self.queued.get() == 0 {
            return Poll::Ready(());
        }
        self.wants_nothing_left.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// Ends everything in order; pending until the last session has ended.
    pub(crate) fn poll_close(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.closing.replace(true) {
            self.servers.borrow().values().for_each(|server| server.end());
            for session in self.sessions() {
                session.say_goodbye(self);
            }
        }
        if self.sessions.borrow().is_empty() {
            self.end();
            return Poll::Ready(());
        }
        self.wants_nothing_left.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// Ends everything at once.
    pub(crate) fn end(&self) {
        self.closing.set(true);
        self.tasks.end();
        self.servers.borrow().values().for_each(|server| server.end());
        self.servers.borrow_mut().clear();
        self.sessions.borrow().values().for_each(|session| session.cut());
        self.discovery.end();
        self.inbox.close();
    }

    fn write_dirty(&self) {
        if self.dirty.borrow().is_empty() {
            return;
        }
        let mut dirty = self.dirty.take();
        for session in dirty.drain(..) {
            session.is_dirty.set(false);
            session.write(self);
        }
        // Keeps the list's memory; nothing was added to the new one while writing.
        self.dirty.replace(dirty);
    }

    fn mark_dirty(&self, session: &Rc<Session>) {
        if !session.is_dirty.replace(true) {
            self.dirty.borrow_mut().push(Rc::clone(session));
        }
    }

    /// Queues a frame for a peer.
    pub(crate) fn send(&self, to: &Address, frame: &Frame, confirm: bool) {
        let undelivered = |reason: String| {
            if let (Frame::Call(_) | Frame::Query { .. }, Some(id)) = (frame, frame.call_id()) {
                self.inbox.push(Inbound::Undelivered {
                    to: to.clone(),
                    id,
                    reason,
                    written: false,
                });
            }
        };
        let Address::Peer(peer) = to else {
            return undelivered("sockets carry no queue that any server may take from".to_owned());
        };
        let sessions = self.sessions.borrow();
        let Some(session) = sessions.get(peer).filter(|session| session.is_open()) else {
            return undelivered(format!("{peer} is not connected any longer"));
        };
        match session.send(self, frame, confirm) {
            Ok(()) => self.mark_dirty(session),
            Err(full) => match frame {
                Frame::Call(_) | Frame::Query { .. } => undelivered(format!(
                    "{} bytes wait for {peer} already; with {} more they are over \
                     limits.max_peer_bytes ({})",
                    session.queued(),
                    full.len,
                    self.limits.max_peer_bytes
                )),
                _ => session.too_slow(self, full),
            },
        }
    }

    pub(crate) fn serve(self: &Rc<Self>, announcement: Announcement) {
        let service = announcement.service.clone();
        let refused = if self.is_closing() {
            ServeError::Closed
        } else if self.servers.borrow().contains_key(&service)
            || !self.starting.borrow_mut().insert(service.clone())
        {
            ServeError::AlreadyServed(service.clone())
        } else {
            self.tasks.spawn(listener::serve(Rc::clone(self), announcement));
            return;
        };
        self.inbox.push(Inbound::Serving { service, result: Err(refused) });
    }

    /// Takes note of a change of a server, and spreads it.
    pub(crate) fn announce(&self, announcement: Announcement) {
        let Some(server) = self.servers.borrow().get(&announcement.service).cloned() else {
            return tracing::debug!(service = %announcement.service, "no such server to announce");
        };
        let is_gone = announcement.state == ServerState::Gone;
        server.update(announcement);
        let frame = Frame::Announce(Box::new(server.announcement()));
        for session in self.sessions_with(&server) {
            if session.is_open() {
                match session.send(self, &frame, false) {
                    Ok(()) => self.mark_dirty(&session),
                    Err(full) => session.too_slow(self, full),
                }
            }
        }
        // Its sessions go on: calls the other way may be under way in them.
        if is_gone {
            self.servers.borrow_mut().retain(|_, other| !Rc::ptr_eq(other, &server));
        }
    }

    pub(crate) fn disconnect(&self, peer: PeerId, reason: String) {
        let session = self.sessions.borrow().get(&peer).cloned();
        if let Some(session) = session {
            session.disconnect(self, reason);
        }
    }
}

fn wake(waiting: &Cell<Option<Waker>>) {
    if let Some(waker) = waiting.take() {
        waker.wake();
    }
}
