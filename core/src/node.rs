//! A program's attachment to a transport: the handle that everything begins with.

mod drive;
mod outlet;
mod spin;
mod start;

pub(crate) use outlet::Outlet;
pub(crate) use start::{LocalNodes, close_local};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use compact_str::CompactString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{broadcast, oneshot};
use tokio_util::sync::CancellationToken;

use crate::client::{
    About, Call, Client, ClientActor, Count, Counters, Listing, Request, Submission, Submissions,
    Target,
};
use crate::config::Config;
use crate::deadlines::LONGEST;
use crate::error::{Error, Result};
use crate::event::{Event, ServerInfo};
use crate::interceptor::{Chain, Intercepting, Interceptor};
use crate::observe::ClientMeters;
use crate::params::encode_dynamic;
use crate::peer::{Peer, PeerAddress, PeerInfo};
use crate::server::{Audience, DrainReport, DrainServer, ListPeers, Serve, ServerActor};
use crate::service::IntoService;
use crate::transport::{LinkError, ServeError, Transport};
use crate::value;
use crate::wire::{Announcement, NodeId};

/// A program's attachment to a transport, as client, server or both.
///
/// A handle is cheap to clone, may go to any thread, and keeps the node open: when the last one is
/// dropped, the node closes. (A client holds its node open as a
/// handle does; a context, and what is made from it, does not.)
///
/// Where it is opened inside [`block_on`](crate::block_on), `#[farcall::main]` or `#[farcall::test]`,
/// the node lives on that thread, and a call costs no hop to another; opened anywhere else, such as
/// under `#[tokio::main]`, it gets a thread of its own, which adds two wake-ups to a call that is
/// made alone (about 70 µs where cores sleep) and next to nothing where many are in flight.
#[derive(Clone)]
pub struct Node(Arc<Handle>);

/// What the clones of a handle share: one count for all that a call needs.
struct Handle {
    shared: Arc<Shared>,
    /// Not in the handles that the node itself holds.
    keep: Option<Arc<KeepOpen>>,
    /// Around what is called and served by this handle.
    interceptors: Option<Chain>,
}

struct Shared {
    config: Config,
    id: NodeId,
    identity: CompactString,
    server_id: CompactString,
    submissions: Submissions,
    client: Addr<ClientActor>,
    server: Addr<ServerActor>,
    events: broadcast::Sender<Event>,
    meters: ClientMeters,
    closing: CancellationToken,
    closed: CancellationToken,
}

/// Closes the node with the last handle.
struct KeepOpen(CancellationToken);

impl Drop for KeepOpen {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// A service that is being served.
#[derive(Clone, Debug)]
pub struct Server {
    announcement: Announcement,
}

impl Server {
    /// The service's name.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.announcement.service
    }

    /// The server's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.announcement.server
    }

    /// The epoch of this start: higher than that of any earlier one of the same identity.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.announcement.epoch
    }
}

impl Node {
    /// Opens a node on a transport. Most programs let a configuration choose it, by `Node::open`.
    ///
    /// # Errors
    /// The transport cannot be used.
    ///
    /// # Cancellation
    /// Dropping the future leaves nothing open.
    pub async fn open_with(config: Config, transport: Box<dyn Transport>) -> Result<Node> {
        start::start(config, transport, false).await
    }

    /// Opens a node that is only driven now and then, and says so in its hello.
    pub(crate) async fn open_passive(
        config: Config,
        transport: Box<dyn Transport>,
    ) -> Result<Node> {
        start::start(config, transport, true).await
    }

    /// Serves a service, until the node closes. Returns once it can be called.
    ///
    /// # Errors
    /// A live server has this identity; the service's names cannot be used; this node serves one of
    /// that name already; the transport cannot make it reachable.
    ///
    /// # Cancellation
    /// A service whose future is dropped may be served all the same.
    pub async fn serve(&self, service: impl IntoService) -> Result<Server, ServeError> {
        let announcement = self.serve_to(service, Audience::Everybody).await?;
        Ok(Server { announcement })
    }

    async fn serve_to(
        &self,
        service: impl IntoService,
        to: Audience,
    ) -> Result<Announcement, ServeError> {
        let (reply, served) = oneshot::channel();
        let mut service: Box<dyn IntoService> = Box::new(service);
        if let Some(chain) = self.0.interceptors.clone() {
            service = Box::new(Intercepting { service, chain });
        }
        let serve = Serve { service, to, reply };
        self.shared().server.send(serve).await.map_err(|_| ServeError::Closed)?;
        served.await.map_err(|_| ServeError::Closed)?
    }

    /// Offers a service to peers: nodes that this one has a session with call its methods by
    /// [`Node::peer`]. It is how a client has methods that its servers call back. Nobody else finds
    /// it: it has no place in lists, and shares no load with others of its name.
    ///
    /// # Errors
    /// As of [`serve`](Node::serve), but for those of the transport.
    ///
    /// # Cancellation
    /// A service whose future is dropped may be offered all the same.
    pub async fn offer(&self, service: impl IntoService) -> Result<(), ServeError> {
        self.serve_to(service, Audience::Peers).await.map(drop)
    }

    /// A handle on this node with one interceptor more, inside of those it has: calls made by it and
    /// by clients made from it go through them, and calls of services that are served or offered by it.
    ///
    /// ```
    /// # use farcall_core::{CallLog, Functions, Interceptor, Node};
    /// # async fn example(node: Node, token: impl Interceptor) -> farcall_core::Result<()> {
    /// let node = node.with(CallLog::new());                // whatever is called and served by it
    /// let calc = node.with(token).client("calc");          // this client says a token as well
    /// node.serve(Functions::new("tools")).await?;
    /// # Ok(()) }
    /// ```
    #[must_use = "this handle has the interceptor, the one it was made from has not"]
    pub fn with(&self, interceptor: impl Interceptor) -> Node {
        self.with_chain(Chain::and(self.interceptors(), Arc::new(interceptor)))
    }

    /// A client that calls a service's methods by their names.
    #[must_use]
    pub fn client(&self, service: impl Into<CompactString>) -> Client {
        Client::new(self, service)
    }

    /// What happens around this node from now on. One that is not read fast enough misses some.
    #[must_use]
    pub fn events(&self) -> Events {
        let closed = self.shared().closed.clone();
        Events { events: self.shared().events.subscribe(), closed }
    }

    /// The servers of a service that this node sees; the first time, once the transport has looked.
    ///
    /// # Errors
    /// The node is closed, or the transport cannot look for servers.
    pub async fn servers(&self, service: impl Into<CompactString>) -> Result<Vec<ServerInfo>> {
        self.list(Some(service.into())).await
    }

    /// The servers of all services of the namespace.
    ///
    /// # Errors
    /// The node is closed, or the transport cannot look for servers.
    pub async fn all_servers(&self) -> Result<Vec<ServerInfo>> {
        self.list(None).await
    }

    async fn list(&self, service: Option<CompactString>) -> Result<Vec<ServerInfo>> {
        let (reply, servers) = oneshot::channel();
        self.shared().client.send(Listing(service, reply)).await.map_err(|_| closed())?;
        servers.await.map_err(|_| closed())?.map_err(Error::Link)
    }

    /// The nodes that this one has a session with: its clients, and the servers it has found.
    ///
    /// # Errors
    /// The node is closed.
    pub async fn peers(&self) -> Result<Vec<PeerInfo>> {
        let (reply, peers) = oneshot::channel();
        self.shared().server.send(ListPeers(reply)).await.map_err(|_| closed())?;
        peers.await.map_err(|_| closed())
    }

    /// A handle to call one other node by: one of [`peers`](Node::peers), or the
    /// [caller](crate::Context::caller) of a call.
    #[must_use]
    pub fn peer(&self, address: impl Into<PeerAddress>) -> Peer {
        Peer::new(self.clone(), address.into())
    }

    pub(crate) fn query<T: DeserializeOwned>(
        &self,
        peer: PeerAddress,
        subject: &'static str,
        params: &impl Serialize,
    ) -> Call<T> {
        let (node, service, method) = (self.clone(), "farcall".into(), subject.into());
        let about = About { node, service, method, idempotent: false };
        let params = encode_dynamic(params);
        let request = Request::new(&about, Target::Core(peer), params, None, None);
        Call::new((about, request), value::decode)
    }

    /// Waits this long, or until the node is closed, on whatever runtime the caller lives.
    pub(crate) fn sleep(&self, wait: Duration) -> impl Future<Output = ()> + Send + use<> {
        let (sleeper, woken) = oneshot::channel();
        self.submissions().push(Submission::Wake(wait.min(LONGEST), sleeper));
        async move {
            let _ = woken.await;
        }
    }

    /// What this node has counted since it was opened; zeros once it is closed.
    pub async fn counters(&self) -> Counters {
        self.shared().client.send(Count).await.unwrap_or_default()
    }

    /// Serves until the program is told to stop (SIGTERM or SIGINT), then drains and closes; or until
    /// the node is closed by another handle. Told a second time, it waits no longer for what runs.
    ///
    /// # Errors
    /// The link was lost, or signals cannot be listened for.
    ///
    /// # Cancellation
    /// Dropping the future stops waiting for signals; the node goes on, and a drain that has begun
    /// does too.
    pub async fn run(&self) -> Result<()> {
        let mut events = self.events();
        tokio::select! {
            signal = stop_signal() => signal?,
            lost = events.link_lost() => match lost {
                Some(reason) => return Err(Error::Link(LinkError::new(reason))),
                // Closed by its owner.
                None => return Ok(()),
            },
        }
        let report = tokio::select! {
            report = self.drain(self.config().server.drain) => report,
            // Told a second time: whoever waits has waited long enough.
            again = stop_signal() => {
                again?;
                self.drain(Duration::ZERO).await
            }
        };
        for call in &report.abandoned {
            tracing::warn!(%call, "abandoned: it did not end within server.drain");
        }
        self.close().await;
        Ok(())
    }

    /// Stops taking calls, finishes those that are here within `within`, cancels the rest, and says
    /// what came of it. Answers are on their way when this returns; [`close`](Node::close) sees
    /// them out. Asked for again, it joins the drain under way; the earlier end holds.
    ///
    /// # Cancellation
    /// Dropping the future leaves the drain under way.
    pub async fn drain(&self, within: Duration) -> DrainReport {
        let (reply, report) = oneshot::channel();
        if self.shared().server.send(DrainServer(within, reply)).await.is_err() {
            return DrainReport::default();
        }
        report.await.unwrap_or_default()
    }

    /// Ends every call, flushes what is on its way, and detaches. Later calls are *not sent*.
    ///
    /// # Cancellation
    /// Dropping the future leaves the node closing.
    pub async fn close(&self) {
        self.shared().closing.cancel();
        self.shared().closed.cancelled().await;
    }

    /// This boot of the node.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.shared().id
    }

    /// The name under which servers know this node: `[client] identity`, or a generated one.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.shared().identity
    }

    /// The id of the servers of this node: `[server] id`, or a generated one.
    #[must_use]
    pub fn server_id(&self) -> &CompactString {
        &self.shared().server_id
    }

    /// What is in force.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.shared().config
    }

    fn new(shared: Arc<Shared>, keep: Option<KeepOpen>) -> Self {
        Node(Arc::new(Handle { shared, keep: keep.map(Arc::new), interceptors: None }))
    }

    /// The same node behind these interceptors.
    pub(crate) fn with_chain(&self, chain: Chain) -> Self {
        let (shared, keep) = (Arc::clone(self.shared()), self.0.keep.clone());
        Node(Arc::new(Handle { shared, keep, interceptors: Some(chain) }))
    }

    pub(crate) fn interceptors(&self) -> Option<&Chain> {
        self.0.interceptors.as_ref()
    }

    pub(crate) fn meters(&self) -> &ClientMeters {
        &self.shared().meters
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// Tells those who listen for events; no receiver is no fault.
    pub(crate) fn tell(&self, event: Event) {
        let _ = self.shared().events.send(event);
    }

    pub(crate) fn submissions(&self) -> &Submissions {
        &self.shared().submissions
    }
}

fn closed() -> Error {
    Error::Link(LinkError::new("the node is closed"))
}

async fn stop_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("id", &self.shared().id)
            .field("identity", &self.shared().identity)
            .field("transport", &self.shared().config.transport)
            .finish_non_exhaustive()
    }
}

/// What happens around a node; see [`Node::events`].
#[derive(Debug)]
pub struct Events {
    events: broadcast::Receiver<Event>,
    closed: CancellationToken,
}

impl Events {
    /// The next event; `None` once the node is closed.
    ///
    /// # Cancellation
    /// No event is lost by dropping the future.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let received = tokio::select! {
                biased;
                received = self.events.recv() => received,
                // What happened before is told first.
                () = self.closed.cancelled() => return None,
            };
            match received {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// Waits for the first event that `wanted` gives something for.
    pub async fn find<T>(&mut self, mut wanted: impl FnMut(Event) -> Option<T>) -> Option<T> {
        loop {
            if let Some(found) = wanted(self.next().await?) {
                return Some(found);
            }
        }
    }

    async fn link_lost(&mut self) -> Option<String> {
        let lost = |event| match event {
            Event::LinkLost { reason } => Some(reason),
            _ => None,
        };
        self.find(lost).await
    }
}
