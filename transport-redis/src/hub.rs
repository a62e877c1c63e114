//! What the link's sink, stream and tasks share. All of them run on one thread, but for the leases.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use compact_str::CompactString;
use farcall_core::transport::{
    Address, Attachment, Inbound, Inbox, LinkError, LinkLimits, PeerId, Receipt, ServeError, Watch,
};
use farcall_core::wire::{Announcement, Frame, Hello};
use foldhash::{HashMap, HashMapExt};
use tokio::task::JoinSet;

use crate::branch::Branch;
use crate::clock::Clock;
use crate::connect::Connector;
use crate::crowding::{self, Crowding};
use crate::directory::{self, Directory};
use crate::lease::Leases;
use crate::scripts::Scripts;

pub(crate) struct Hub {
    pub(crate) hello: Hello,
    pub(crate) limits: LinkLimits,
    pub(crate) connector: Connector,
    pub(crate) scripts: &'static Scripts,
    pub(crate) clock: Clock,
    pub(crate) leases: Leases,
    pub(crate) lease: std::time::Duration,
    pub(crate) database: i64,
    pub(crate) inbox: Inbox,
    branches: RefCell<HashMap<CompactString, Rc<Branch>>>,
    /// Whose peers they are.
    peers: RefCell<HashMap<PeerId, Rc<Branch>>>,
    last_peer: Cell<u64>,
    /// Members have numbers that no other of this node has.
    last_member: Cell<u64>,
    tasks: RefCell<JoinSet<()>>,
    pub(crate) directory: Directory,
    pub(crate) crowding: Crowding,
    closing: Cell<bool>,
    closed: Cell<bool>,
    /// Branches with something that nobody has tried to send.
    dirty: RefCell<Vec<Rc<Branch>>>,
    /// The sink's task, when it waits for room.
    wants_room: Cell<Option<Waker>>,
    /// The same, when it waits for all to be sent, or closed.
    wants_nothing_left: Cell<Option<Waker>>,
}

/// What a link needs before it is one.
pub(crate) struct Parts {
    pub(crate) connector: Connector,
    pub(crate) clock: Clock,
    pub(crate) leases: Leases,
    pub(crate) lease: std::time::Duration,
    pub(crate) database: i64,
}

impl Hub {
    pub(crate) fn start(at: Attachment, parts: Parts) -> Rc<Self> {
        let Parts { connector, clock, leases, lease, database } = parts;
        let hub = Rc::new(Hub {
            hello: at.hello,
            limits: at.limits,
            connector,
            scripts: Scripts::shared(),
            clock,
            leases,
            lease,
            database,
            inbox: Inbox::default(),
            branches: RefCell::new(HashMap::new()),
            peers: RefCell::new(HashMap::new()),
            last_peer: Cell::new(0),
            last_member: Cell::new(0),
            tasks: RefCell::default(),
            directory: Directory::default(),
            crowding: Crowding::default(),
            closing: Cell::new(false),
            closed: Cell::new(false),
            dirty: RefCell::default(),
            wants_room: Cell::default(),
            wants_nothing_left: Cell::default(),
        });
        hub.spawn(crowding::watch(Rc::clone(&hub)));
        hub
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    /// Runs a task for as long as the link is there, at most.
    pub(crate) fn spawn(
        &self,
        task: impl Future<Output = ()> + 'static,
    ) -> tokio::task::AbortHandle {
        let mut tasks = self.tasks.borrow_mut();
        // Those that have ended are many, where a service comes and goes.
        while tasks.try_join_next().is_some() {}
        tasks.spawn_local(task)
    }

    /// A number that no session has had.
    pub(crate) fn next_peer(&self) -> PeerId {
        let peer = self.last_peer.get() + 1;
        self.last_peer.set(peer);
        PeerId(peer)
    }

    pub(crate) fn next_member(&self) -> u64 {
        let number = self.last_member.get() + 1;
        self.last_member.set(number);
        number
    }

    pub(crate) fn peer_up(&self, peer: PeerId, branch: &Rc<Branch>) {
        self.peers.borrow_mut().insert(peer, Rc::clone(branch));
    }

    pub(crate) fn peer_down(&self, peer: PeerId) {
        self.peers.borrow_mut().remove(&peer);
    }

    /// The part of this node in a service, begun if need be.
    pub(crate) fn branch(self: &Rc<Self>, service: &CompactString) -> Rc<Branch> {
        if let Some(branch) = self.branches.borrow().get(service) {
            return Rc::clone(branch);
        }
        let branch = Branch::start(self, service);
        self.branches.borrow_mut().insert(service.clone(), Rc::clone(&branch));
        branch
    }

    pub(crate) fn branches(&self) -> Vec<Rc<Branch>> {
        self.branches.borrow().values().cloned().collect()
    }

    fn queued(&self) -> usize {
        self.branches.borrow().values().map(|branch| branch.queued()).sum()
    }

    /// Whether as much waits as may.
    pub(crate) fn is_crowded(&self) -> bool {
        self.queued() >= self.limits.max_queued_bytes
    }

    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_crowded() {
            return Poll::Ready(());
        }
        self.crowding.begins();
        self.send_dirty();
        self.wants_room.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// Has what waits sent; pending as long as the broker has not taken it.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.send_dirty();
        if self.queued() == 0 {
            return Poll::Ready(());
        }
        self.wants_nothing_left.set(Some(cx.waker().clone()));
        Poll::Pending
    }

    /// Something was sent.
    pub(crate) fn sent(&self) {
        let queued = self.queued();
        if !self.is_crowded() {
            wake(&self.wants_room);
        }
        if queued == 0 && !self.closing.get() {
            wake(&self.wants_nothing_left);
        }
    }

    /// Leaves every service in order; pending until that is done.
    pub(crate) fn poll_close(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.closed.get() {
            return Poll::Ready(());
        }
        self.wants_nothing_left.set(Some(cx.waker().clone()));
        if !self.closing.replace(true) {
            let hub = Rc::clone(self);
            self.spawn(async move {
                let branches = hub.branches();
                futures::future::join_all(branches.iter().map(|branch| branch.leave())).await;
                hub.closed.set(true);
                wake(&hub.wants_nothing_left);
                hub.inbox.close();
            });
        }
        Poll::Pending
    }

    /// Ends everything at once.
    pub(crate) fn end(&self) {
        self.closing.set(true);
        self.closed.set(true);
        self.tasks.borrow_mut().abort_all();
        self.branches.borrow_mut().clear();
        self.peers.borrow_mut().clear();
        self.inbox.close();
    }

    fn mark_dirty(&self, branch: &Rc<Branch>) {
        if !branch.is_dirty.replace(true) {
            self.dirty.borrow_mut().push(Rc::clone(branch));
        }
    }

    fn send_dirty(&self) {
        for branch in self.dirty.borrow_mut().drain(..) {
            branch.is_dirty.set(false);
            branch.work.notify_one();
        }
    }

    /// Queues a frame.
    pub(crate) fn send(
        self: &Rc<Self>,
        to: &Address,
        frame: Frame,
        confirm: bool,
        settles: Option<Receipt>,
    ) {
        if let Some(receipt) = settles {
            self.settle(receipt);
        }
        let branch = match to {
            Address::Any(service) => Some(self.branch(service)),
            Address::Peer(peer) => self.peers.borrow().get(peer).cloned(),
        };
        match (branch, to) {
            (Some(branch), Address::Any(_)) => {
                branch.send_any(frame);
                self.mark_dirty(&branch);
            }
            (Some(branch), Address::Peer(peer)) => {
                branch.send_peer(*peer, &frame, confirm);
                self.mark_dirty(&branch);
            }
            (None, _) => self.undelivered(to, &frame, "it is not there any longer"),
        }
    }

    /// A call comes back; what else finds nobody is dropped.
    pub(crate) fn undelivered(&self, to: &Address, frame: &Frame, reason: &str) {
        if let (Frame::Call(_) | Frame::Query { .. }, Some(id)) = (frame, frame.call_id()) {
            let (to, reason) = (to.clone(), reason.to_owned());
            self.inbox.push(Inbound::Undelivered { to, id, reason, written: false });
        }
    }

    fn of_receipt(&self, receipt: Receipt) -> Option<Rc<Branch>> {
        let branches = self.branches.borrow();
        branches.values().find(|branch| branch.gave(receipt)).cloned()
    }

    pub(crate) fn settle(&self, receipt: Receipt) {
        if let Some(branch) = self.of_receipt(receipt) {
            branch.settle(receipt);
            self.mark_dirty(&branch);
        }
    }

    pub(crate) fn put_back(&self, receipt: Receipt) {
        if let Some(branch) = self.of_receipt(receipt) {
            branch.put_back(receipt);
            self.mark_dirty(&branch);
        }
    }

    pub(crate) fn serve(self: &Rc<Self>, announcement: Announcement) {
        if self.is_closing() {
            let service = announcement.service;
            let result = Err(ServeError::Closed);
            return self.inbox.push(Inbound::Serving { service, result });
        }
        self.branch(&announcement.service).serve(announcement);
    }

    pub(crate) fn announce(self: &Rc<Self>, announcement: Announcement) {
        self.branch(&announcement.service).announce(announcement);
    }

    pub(crate) fn watch(self: &Rc<Self>, watch: Watch) {
        if self.is_closing() {
            let result = Err(LinkError::new("the link is closed"));
            return self.inbox.push(Inbound::Watching { watch, result });
        }
        match watch {
            Watch::Service(service) => self.branch(&service).watch(true),
            Watch::Everything => {
                if self.directory.ask() {
                    let hub = Rc::clone(self);
                    self.spawn(directory::look(hub));
                }
            }
        }
    }

    pub(crate) fn disconnect(self: &Rc<Self>, peer: PeerId, reason: String) {
        let branch = self.peers.borrow().get(&peer).cloned();
        if let Some(branch) = branch {
            self.inbox.push(Inbound::Rejected { reason: reason.clone() });
            branch.expel(peer, &reason);
        }
    }
}

fn wake(waiting: &Cell<Option<Waker>>) {
    if let Some(waker) = waiting.take() {
        waker.wake();
    }
}
