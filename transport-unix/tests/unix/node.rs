//! A node without core: it asks of the transport what core would, and waits for what is told.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::path::Path;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use farcall_core::transport::{
    Address, Attachment, Inbound, Link, LinkError, LinkLimits, Outbound, PeerId, ServeError,
    Transport, Watch,
};
use farcall_core::wire::{Announcement, CallFrame, CallId, Frame, Hello, NodeId, ServerState};
use farcall_transport_unix::{Unix, UnixConfig};
use futures::{SinkExt, StreamExt};
use tokio::task::LocalSet;
use tokio::time::timeout;

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test on one thread, as a node does.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

pub(crate) fn limits() -> LinkLimits {
    LinkLimits {
        max_frame_bytes: 32 << 20,
        max_peer_bytes: 64 << 20,
        max_queued_bytes: 128 << 20,
        max_peers: 1000,
        handshake: Duration::from_secs(10),
        stall: Duration::from_secs(30),
    }
}

pub(crate) fn attachment() -> Attachment {
    Attachment { hello: Hello::new("default", "tester"), limits: limits() }
}

pub(crate) fn config(dir: &Path) -> UnixConfig {
    UnixConfig { socket_dir: dir.join("s"), ..UnixConfig::default() }
}

pub(crate) struct Node {
    link: Link,
    id: NodeId,
    /// What came while something else was waited for.
    passed: VecDeque<Inbound>,
}

impl Node {
    pub(crate) async fn open(dir: &Path) -> Node {
        Node::open_as(dir, attachment()).await
    }

    pub(crate) async fn open_as(dir: &Path, at: Attachment) -> Node {
        Node::try_open(config(dir), at).await.unwrap()
    }

    pub(crate) async fn try_open(config: UnixConfig, at: Attachment) -> Result<Node, LinkError> {
        let id = at.hello.node;
        let link = Box::new(Unix::new(config)).open(at).await?;
        Ok(Node { link, id, passed: VecDeque::new() })
    }

    /// Feeds and flushes once, whether or not everything is taken: as core does.
    pub(crate) async fn ask(&mut self, outbound: Outbound) {
        self.link.sink.feed(outbound).await.unwrap();
        self.flush_once().await;
    }

    pub(crate) async fn flush_once(&mut self) {
        let flushed = poll_fn(|cx| Poll::Ready(self.link.sink.as_mut().poll_flush(cx))).await;
        if let Poll::Ready(flushed) = flushed {
            flushed.unwrap();
        }
    }

    pub(crate) async fn flush(&mut self) {
        timeout(PATIENCE, self.link.sink.flush()).await.unwrap().unwrap();
    }

    /// Closes in order, and answers what was still to be told.
    pub(crate) async fn close(mut self) -> Vec<Inbound> {
        timeout(PATIENCE, self.link.sink.close()).await.unwrap().unwrap();
        let rest = timeout(PATIENCE, self.link.stream.map(Result::unwrap).collect::<Vec<_>>());
        self.passed.into_iter().chain(rest.await.unwrap()).collect()
    }

    pub(crate) async fn serve(&mut self, service: &str, server: &str) -> Result<u64, ServeError> {
        self.ask(Outbound::Serve(self.announcement(service, server, ServerState::Ready).into()))
            .await;
        self.until(|inbound| match inbound {
            Inbound::Serving { service: of, result } if of == service => Some(result.clone()),
            _ => None,
        })
        .await
    }

    pub(crate) async fn announce(&mut self, service: &str, server: &str, state: ServerState) {
        self.ask(Outbound::Announce(self.announcement(service, server, state).into())).await;
    }

    fn announcement(&self, service: &str, server: &str, state: ServerState) -> Announcement {
        Announcement {
            service: service.into(),
            server: server.into(),
            epoch: 0,
            node: self.id,
            state,
            schema: "".into(),
            concurrency: 1,
            backlog: 1,
        }
    }

    /// Watches, and waits until the first look is over.
    pub(crate) async fn watch(&mut self, service: &str) {
        self.watch_for(Watch::Service(service.into())).await;
    }

    pub(crate) async fn watch_for(&mut self, watch: Watch) {
        self.try_watch_for(watch).await.unwrap();
    }

    pub(crate) async fn try_watch_for(&mut self, watch: Watch) -> Result<(), LinkError> {
        self.ask(Outbound::Watch(watch.clone())).await;
        self.watching(watch).await
    }

    /// Waits for what becomes of a watch.
    pub(crate) async fn watching(&mut self, of: Watch) -> Result<(), LinkError> {
        self.until(|inbound| match inbound {
            Inbound::Watching { watch, result } if *watch == of => Some(result.clone()),
            _ => None,
        })
        .await
    }

    /// The next server that cannot be reached, and why.
    pub(crate) async fn unreachable(&mut self) -> (String, String) {
        self.until(|inbound| match inbound {
            Inbound::Unreachable { service, server, reason } => {
                Some((format!("{service}/{server}"), reason.clone()))
            }
            _ => None,
        })
        .await
    }

    /// The next server that announces itself.
    pub(crate) async fn server(&mut self) -> (PeerId, Announcement) {
        self.until(|inbound| match inbound {
            Inbound::Frame { from, frame: Frame::Announce(it), .. } => {
                Some((*from, (**it).clone()))
            }
            _ => None,
        })
        .await
    }

    /// The next peer that has come up.
    pub(crate) async fn peer(&mut self) -> PeerId {
        self.until(|inbound| match inbound {
            Inbound::PeerUp { peer, .. } => Some(*peer),
            _ => None,
        })
        .await
    }

    /// Waits until the peer is gone, and answers why and whether it went cleanly.
    pub(crate) async fn down(&mut self, of: PeerId) -> (String, bool) {
        self.until(|inbound| match inbound {
            Inbound::PeerDown { peer, reason, clean } if *peer == of => {
                Some((reason.clone(), *clean))
            }
            _ => None,
        })
        .await
    }

    pub(crate) async fn rejected(&mut self) -> String {
        self.until(|inbound| match inbound {
            Inbound::Rejected { reason } => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    /// The next frame that is no announcement.
    pub(crate) async fn frame(&mut self) -> (PeerId, Frame) {
        self.until(|inbound| match inbound {
            Inbound::Frame { from, frame, .. } if !matches!(frame, Frame::Announce(_)) => {
                Some((*from, frame.clone()))
            }
            _ => None,
        })
        .await
    }

    pub(crate) async fn send(&mut self, to: PeerId, frame: Frame) {
        self.ask(outbound(to, frame, false)).await;
    }

    pub(crate) async fn send_confirmed(&mut self, to: PeerId, frame: Frame) {
        self.ask(outbound(to, frame, true)).await;
    }

    /// Sends a call and waits for it at the other end: the way there works.
    pub(crate) async fn reaches(&mut self, to: PeerId, other: &mut Node) {
        let id = 1_000_000 + to.0;
        self.send(to, call(id, 1)).await;
        loop {
            if let (_, Frame::Call(call)) = other.frame().await
                && call.id == CallId(id)
            {
                return;
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Inbound {
        if let Some(inbound) = self.passed.pop_front() {
            return inbound;
        }
        self.next_new().await
    }

    async fn next_new(&mut self) -> Inbound {
        let next = timeout(PATIENCE, self.link.stream.next()).await;
        next.expect("nothing came").expect("the link has ended").unwrap()
    }

    /// What is there now, without waiting for more than what is under way.
    pub(crate) async fn so_far(&mut self) -> Vec<Inbound> {
        while let Ok(Some(inbound)) =
            timeout(Duration::from_millis(1), self.link.stream.next()).await
        {
            self.passed.push_back(inbound.unwrap());
        }
        self.passed.drain(..).collect()
    }

    /// Waits for what `wanted` knows; the rest stays for later, in its order.
    pub(crate) async fn until<T>(&mut self, mut wanted: impl FnMut(&Inbound) -> Option<T>) -> T {
        let mut looked_at = 0;
        loop {
            if looked_at == self.passed.len() {
                let inbound = self.next_new().await;
                self.passed.push_back(inbound);
            }
            if let Some(found) = wanted(&self.passed[looked_at]) {
                self.passed.remove(looked_at);
                return found;
            }
            looked_at += 1;
        }
    }
}

pub(crate) fn outbound(to: PeerId, frame: Frame, confirm: bool) -> Outbound {
    Outbound::Frame { to: Address::Peer(to), frame, confirm, settles: None }
}

/// A call with parameters of this many bytes.
pub(crate) fn call(id: u64, bytes: usize) -> Frame {
    Frame::Call(Box::new(CallFrame {
        id: CallId(id),
        low: CallId(id),
        time_left: Duration::from_secs(1),
        service: "calc".into(),
        method: "add".into(),
        options: Default::default(),
        params: Bytes::from(vec![id as u8; bytes]),
    }))
}

pub(crate) fn answer(id: u64, bytes: usize) -> Frame {
    Frame::Answer { id: CallId(id), value: Bytes::from(vec![id as u8; bytes]) }
}

/// A server and a client that know each other: the client's number for the server, and back.
pub(crate) async fn pair(dir: &Path) -> (Node, PeerId, Node, PeerId) {
    pair_as(dir, attachment(), attachment()).await
}

pub(crate) async fn pair_as(
    dir: &Path,
    server: Attachment,
    client: Attachment,
) -> (Node, PeerId, Node, PeerId) {
    let mut server = Node::open_as(dir, server).await;
    server.serve("calc", "a").await.unwrap();
    let mut client = Node::open_as(dir, client).await;
    client.watch("calc").await;
    let (to_server, _) = client.server().await;
    let to_client = server.peer().await;
    (server, to_client, client, to_server)
}
