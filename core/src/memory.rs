//! The transport within one process: for tests of services, and to compare others with.
//!
//! Nodes meet at a [`Memory`]; frames pass through the same bytes as on any other transport, so that
//! what works here works there. Every clone of one `Memory` leads to the same meeting place;
//! `transport = "memory"` in a configuration means one that the whole process shares.
//!
//! ```
//! use farcall_core::{Config, Functions, Memory, Node};
//!
//! farcall_core::block_on(async {
//!     let memory = Memory::new();
//!     let server = Node::open_with(Config::default(), memory.transport()).await?;
//!     server.serve(Functions::new("text").add("upper", |s: String| s.to_uppercase())).await?;
//!
//!     let client = Node::open_with(Config::default(), memory.transport()).await?;
//!     let loud: String = client.client("text").call("upper", ("abc",)).await?;
//!     assert_eq!(loud, "ABC");
//!     Ok::<(), farcall_core::Error>(())
//! })?;
//! # Ok::<(), farcall_core::Error>(())
//! ```

use std::collections::{HashMap, HashSet, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use compact_str::CompactString;
use futures::future::LocalBoxFuture;
use futures::{FutureExt, Sink, Stream};

use crate::config::Section;
use crate::ledger::{LedgerKind, MemoryLedger};
use crate::queue::{Batches, Sender, queue};
use crate::transport::{
    Address, Attachment, Credentials, Inbound, Link, LinkError, Outbound, PeerId, ServeError,
    Transport, TransportKind, Watch,
};
use crate::wire::{Announcement, Frame, NodeId, ServerState};

/// A meeting place for the nodes of one process.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    hub: Arc<Mutex<Hub>>,
    /// Recoverable calls are recorded beside the nodes, and survive them.
    ledger: MemoryLedger,
}

/// `transport = "memory"`: the meeting place of the whole process.
#[derive(Debug)]
pub struct MemoryKind;

static PROCESS: LazyLock<Memory> = LazyLock::new(Memory::new);

impl TransportKind for MemoryKind {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn configure(&self, _: &mut Section<'_>) -> Option<Box<dyn Transport>> {
        Some(PROCESS.transport())
    }
}

impl Memory {
    /// A meeting place of its own.
    #[must_use]
    pub fn new() -> Self {
        Memory::default()
    }

    /// A way to it, for [`Node::open_with`](crate::Node::open_with).
    #[must_use]
    pub fn transport(&self) -> Box<dyn Transport> {
        Box::new(self.clone())
    }

    /// Cuts a node off as if its process had died: no farewell, nothing flushed.
    pub fn cut(&self, node: NodeId) {
        self.hub().detach(node, "it was cut off", false);
    }

    fn hub(&self) -> MutexGuard<'_, Hub> {
        // A panic in here would be a bug of this file; the tables are whole between statements.
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for Memory {
    fn open(self: Box<Self>, at: Attachment) -> LocalBoxFuture<'static, Result<Link, LinkError>> {
        async move {
            let (inbox, batches) = queue();
            let node = at.hello.node;
            let attached = Attached { at, inbox, watches: HashSet::new(), watches_all: false };
            self.hub().nodes.insert(node, attached);
            let sink = MemorySink { memory: (*self).clone(), node };
            let stream = MemoryStream { memory: *self, node, batches, batch: VecDeque::new() };
            Ok(Link { sink: Box::pin(sink), stream: Box::pin(stream), shared_queue: false })
        }
        .boxed_local()
    }

    fn ledger(&self) -> Option<Arc<dyn LedgerKind>> {
        Some(Arc::new(self.ledger.clone()))
    }
}

/// All nodes, and the sessions between them.
#[derive(Debug, Default)]
struct Hub {
    nodes: HashMap<NodeId, Attached>,
    servers: Vec<Announcement>,
    sessions: HashMap<PeerId, Session>,
    last_peer: u64,
    last_epoch: u64,
}

#[derive(Debug)]
struct Attached {
    at: Attachment,
    inbox: Sender<Envelope>,
    watches: HashSet<CompactString>,
    watches_all: bool,
}

/// One end of a session, under the number that its owner knows the other end by.
#[derive(Debug)]
struct Session {
    owner: NodeId,
    other: NodeId,
    /// The number under which `other` knows `owner`.
    back: PeerId,
    /// The server that the session is about.
    service: CompactString,
    /// Bytes that wait at the other end.
    queued: usize,
}

#[derive(Debug)]
enum Envelope {
    Event(Inbound),
    /// Bytes of a frame that came by this session.
    Frame(PeerId, Bytes),
}

impl Hub {
    fn tell(&self, node: NodeId, inbound: Inbound) {
        if let Some(attached) = self.nodes.get(&node) {
            // A node whose stream is gone needs no news.
            let _ = attached.inbox.push(Envelope::Event(inbound));
        }
    }

    fn connect(&mut self, client: NodeId, server: &Announcement) {
        let (Some(from), Some(to)) = (self.nodes.get(&client), self.nodes.get(&server.node)) else {
            return;
        };
        if from.at.hello.namespace != to.at.hello.namespace {
            return;
        }
        let known = |session: &Session| {
            session.owner == client
                && session.other == server.node
                && session.service == server.service
        };
        if self.sessions.values().any(known) {
            return;
        }
        let peers = self.sessions.values().filter(|it| it.owner == server.node).count();
        if peers >= to.at.limits.max_peers {
            let reason = format!("more than {peers} clients (limits.max_peers)");
            return self.tell(server.node, Inbound::Rejected { reason });
        }
        let (hello_from, hello_to) = (from.at.hello.clone(), to.at.hello.clone());
        let credentials = Credentials { pid: Some(std::process::id()), ..Credentials::default() };
        let (there, here) = (PeerId(self.last_peer + 1), PeerId(self.last_peer + 2));
        self.last_peer += 2;
        let service = server.service.clone();
        for (number, owner, other, back, hello) in [
            (there, client, server.node, here, hello_to),
            (here, server.node, client, there, hello_from),
        ] {
            let service = service.clone();
            self.sessions.insert(number, Session { owner, other, back, service, queued: 0 });
            let credentials = credentials.clone();
            self.tell(owner, Inbound::PeerUp { peer: number, hello: Box::new(hello), credentials });
        }
        self.announce_to(here, server);
    }

    /// Tells the other end of a server's session how the server is.
    fn announce_to(&mut self, session: PeerId, server: &Announcement) {
        self.carry(session, &Frame::Announce(Box::new(server.clone())));
    }

    /// Carries a frame over a session; `false` if the other end has too much waiting or is gone.
    fn carry(&mut self, session: PeerId, frame: &Frame) -> bool {
        let mut bytes = BytesMut::with_capacity(frame.weight());
        frame.encode(&mut bytes);
        let Some(it) = self.sessions.get_mut(&session) else { return false };
        let Some(to) = self.nodes.get(&it.other) else { return false };
        // Calls leave an eighth of the room for what else has to pass, such as their cancels.
        let most = match frame {
            Frame::Call(_) | Frame::Query { .. } => to.at.limits.max_peer_bytes / 8 * 7,
            _ => to.at.limits.max_peer_bytes,
        };
        if it.queued > 0 && it.queued + bytes.len() > most {
            return false;
        }
        it.queued += bytes.len();
        to.inbox.push(Envelope::Frame(it.back, bytes.freeze())).is_ok()
    }

    fn disconnect(&mut self, session: PeerId, reason: &str, clean: bool) {
        let Some(it) = self.sessions.remove(&session) else { return };
        self.sessions.remove(&it.back);
        for (node, peer) in [(it.owner, session), (it.other, it.back)] {
            self.tell(node, Inbound::PeerDown { peer, reason: reason.to_owned(), clean });
        }
    }

    fn serve(&mut self, node: NodeId, mut announcement: Announcement) {
        let namespace = |node: NodeId| self.nodes.get(&node).map(|it| &it.at.hello.namespace);
        let taken = self.servers.iter().any(|it| {
            it.service == announcement.service
                && it.server == announcement.server
                && namespace(it.node) == namespace(node)
        });
        let service = announcement.service.clone();
        if taken {
            let server = &announcement.server;
            let result = Err(ServeError::IdentityTaken(format!(
                "a live server of `{service}` has the id `{server}`; give this one another \
                 (server.id), or none"
            )));
            return self.tell(node, Inbound::Serving { service, result });
        }
        let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_micros());
        self.last_epoch = u64::try_from(micros).unwrap_or(u64::MAX).max(self.last_epoch + 1);
        announcement.epoch = self.last_epoch;
        self.tell(node, Inbound::Serving { service, result: Ok(announcement.epoch) });
        self.servers.push(announcement.clone());
        let watchers: Vec<NodeId> = self
            .nodes
            .iter()
            .filter(|(_, it)| it.watches_all || it.watches.contains(&announcement.service))
            .map(|(node, _)| *node)
            .collect();
        for watcher in watchers {
            self.connect(watcher, &announcement);
        }
    }

    fn announce(&mut self, announcement: &Announcement) {
        let mine =
            |it: &Announcement| it.node == announcement.node && it.service == announcement.service;
        match announcement.state {
            ServerState::Gone => self.servers.retain(|it| !mine(it)),
            _ => {
                if let Some(it) = self.servers.iter_mut().find(|it| mine(it)) {
                    *it = announcement.clone();
                }
            }
        }
        let sessions: Vec<PeerId> = self
            .sessions
            .iter()
            .filter(|(_, it)| it.owner == announcement.node && it.service == announcement.service)
            .map(|(number, _)| *number)
            .collect();
        for session in sessions {
            self.announce_to(session, announcement);
        }
    }

    fn watch(&mut self, node: NodeId, watch: Watch) {
        let Some(attached) = self.nodes.get_mut(&node) else { return };
        match &watch {
            Watch::Everything => attached.watches_all = true,
            Watch::Service(name) => {
                attached.watches.insert(name.clone());
            }
        }
        let found: Vec<Announcement> = self
            .servers
            .iter()
            .filter(|it| match &watch {
                Watch::Everything => true,
                Watch::Service(name) => it.service == *name,
            })
            .filter(|it| it.state == ServerState::Ready)
            .cloned()
            .collect();
        for server in found {
            self.connect(node, &server);
        }
        self.tell(node, Inbound::Watching { watch, result: Ok(()) });
    }

    fn detach(&mut self, node: NodeId, reason: &str, clean: bool) {
        self.servers.retain(|it| it.node != node);
        let sessions = self.sessions.iter().filter(|(_, it)| it.owner == node);
        let sessions: Vec<PeerId> = sessions.map(|(number, _)| *number).collect();
        if let Some(attached) = self.nodes.remove(&node) {
            attached.inbox.close();
        }
        for session in sessions {
            self.disconnect(session, reason, clean);
        }
    }

    fn outbound(&mut self, node: NodeId, outbound: Outbound) {
        match outbound {
            Outbound::Frame { to: Address::Peer(peer), frame, confirm, .. } => {
                let mine = self.sessions.get(&peer).is_some_and(|it| it.owner == node);
                let carried = mine && self.carry(peer, &frame);
                match (frame.call_id(), &frame) {
                    (Some(id), _) if carried && confirm => {
                        self.tell(node, Inbound::HandedOver { id });
                    }
                    (Some(id), Frame::Call(_) | Frame::Query { .. }) if !carried => {
                        let reason = "it has too much waiting, or is gone".to_owned();
                        self.tell(
                            node,
                            Inbound::Undelivered {
                                to: Address::Peer(peer),
                                id,
                                reason,
                                written: false,
                            },
                        );
                    }
                    _ if mine && !carried => {
                        self.disconnect(peer, "it does not read its answers", false);
                    }
                    _ => {}
                }
            }
            // Never asked for, since the link says that it has no shared queue.
            Outbound::Frame { to: Address::Any(_), .. }
            | Outbound::Settle(_)
            | Outbound::PutBack(_)
            | Outbound::Withdraw { .. } => {}
            Outbound::Watch(watch) => self.watch(node, watch),
            Outbound::Serve(announcement) => self.serve(node, *announcement),
            Outbound::Announce(announcement) => self.announce(&announcement),
            Outbound::Disconnect { peer, reason } => {
                if self.sessions.get(&peer).is_some_and(|it| it.owner == node) {
                    self.tell(node, Inbound::Rejected { reason: reason.clone() });
                    self.disconnect(peer, &reason, false);
                }
            }
        }
    }
}

struct MemorySink {
    memory: Memory,
    node: NodeId,
}

impl Sink<Outbound> for MemorySink {
    type Error = LinkError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, outbound: Outbound) -> Result<(), LinkError> {
        self.memory.hub().outbound(self.node, outbound);
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.memory.hub().detach(self.node, "it was closed", true);
        Poll::Ready(Ok(()))
    }
}

struct MemoryStream {
    memory: Memory,
    node: NodeId,
    batches: Batches<Envelope>,
    batch: VecDeque<Envelope>,
}

impl Stream for MemoryStream {
    type Item = Result<Inbound, LinkError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match this.batch.pop_front() {
                Some(Envelope::Event(inbound)) => return Poll::Ready(Some(Ok(inbound))),
                Some(Envelope::Frame(from, bytes)) => {
                    if let Some(inbound) = this.frame(from, bytes) {
                        return Poll::Ready(Some(Ok(inbound)));
                    }
                }
                None => {
                    let Some(batch) = ready!(this.batches.poll_take(cx)) else {
                        return Poll::Ready(None);
                    };
                    this.batch = batch.into();
                }
            }
        }
    }
}

impl MemoryStream {
    fn frame(&self, from: PeerId, bytes: Bytes) -> Option<Inbound> {
        let mut hub = self.memory.hub();
        // The session may have ended since; its end was told after this frame.
        let back = hub.sessions.get(&from).map(|session| session.back);
        if let Some(sender) = back.and_then(|back| hub.sessions.get_mut(&back)) {
            sender.queued = sender.queued.saturating_sub(bytes.len());
        }
        match Frame::decode(bytes) {
            Ok(frame) => Some(Inbound::Frame { from, frame, receipt: None }),
            Err(error) => {
                let reason = error.to_string();
                hub.disconnect(from, &reason, false);
                Some(Inbound::Rejected { reason })
            }
        }
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        self.memory.hub().detach(self.node, "it was dropped", false);
    }
}
