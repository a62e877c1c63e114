//! How a node comes to life: on this thread if it can, else on one of its own.

use std::cell::RefCell;
use std::sync::Arc;

use actix::prelude::*;
use tokio::sync::{broadcast, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::drive::{Driver, drive};
use super::outlet::Outlet;
use super::{KeepOpen, Node, Shared};
use crate::client::{Bounds, Submissions};
use crate::config::{Config, StoreChoice};
use crate::error::{Error, Result};
use crate::ledger::{FileLedger, LedgerKind, MemoryLedger};
use crate::observe::ClientMeters;
use crate::runtime;
use crate::server::ServerActor;
use crate::transport::{Attachment, LinkError, LinkLimits, Transport};
use crate::wire::{FRAME_OVERHEAD, Hello};

/// How many events may wait for a slow reader before it misses some.
const EVENTS: usize = 1024;

/// Messages an actor's mailbox holds; senders wait beyond it.
const MAILBOX: usize = 8;

/// Opens a node, wherever this is called.
pub(super) async fn start(
    config: Config,
    transport: Box<dyn Transport>,
    passive: bool,
) -> Result<Node> {
    let (reply, opened) = oneshot::channel();
    if runtime::drives_actors() {
        // A task of its own keeps this future `Send` although the link is not.
        actix::spawn(async move {
            // Whoever asked may be gone; the handle then closes the node at once.
            let _ = reply.send(start_here(config, transport, passive).await);
        });
    } else {
        std::thread::Builder::new().name("farcall-node".into()).spawn(move || {
            System::new().block_on(async move {
                let started = start_here(config, transport, passive).await;
                let closed = started.as_ref().ok().map(|node| node.shared().closed.clone());
                let _ = reply.send(started);
                if let Some(closed) = closed {
                    closed.cancelled().await;
                }
            });
        })?;
    }
    opened.await.unwrap_or_else(|_| {
        Err(Error::Link(LinkError::new("the thread of the node ended while it was opened")))
    })
}

/// A setting of a configuration made by hand with which nothing would ever move.
fn zero(config: &Config) -> Option<&'static str> {
    let settings = [
        ("server.concurrency", config.server.concurrency),
        ("limits.max_calls", config.limits.max_calls),
        ("limits.max_message_bytes", config.limits.max_message_bytes),
        ("limits.max_queued_bytes", config.limits.max_queued_bytes),
        ("limits.stream_window", config.limits.stream_window),
    ];
    settings.into_iter().find(|(_, value)| *value == 0).map(|(name, _)| name)
}

async fn start_here(
    mut config: Config,
    transport: Box<dyn Transport>,
    passive: bool,
) -> Result<Node> {
    if let Some(zero) = zero(&config) {
        // Files and variables are checked key by key; this one was made by hand.
        return Err(Error::Link(LinkError::new(format!("{zero} must not be 0"))));
    }
    // A longer identity would not fit into a hello.
    let identity = match &config.client.identity {
        Some(identity) => identity.to_string(),
        None => format!("{}-{}", program(), short_id()),
    };
    let server_id = match &config.server.id {
        Some(id) => id.to_string(),
        None => short_id(),
    };
    config.limits.max_queued_bytes =
        config.limits.max_queued_bytes.max(config.limits.max_message_bytes);
    let spin = config.spin;
    let limits = &config.limits;
    let mut hello = Hello::new(config.namespace.to_string(), identity.clone());
    hello.passive = passive;
    hello.max_message_bytes = limits.max_message_bytes as u64;
    let id = hello.node;
    let attachment = Attachment {
        hello,
        limits: LinkLimits {
            max_frame_bytes: limits.max_message_bytes + FRAME_OVERHEAD,
            max_peer_bytes: limits.max_queued_bytes / 2 + limits.max_message_bytes,
            max_queued_bytes: limits.max_queued_bytes,
            max_peers: limits.max_peers,
            handshake: limits.handshake,
            stall: limits.stall,
        },
    };
    let own = transport.ledger();
    let link = transport.open(attachment).await?;
    let ledgers = ledgers(&config, own, link.shared_queue)?;

    let bounds = Bounds {
        calls: limits.max_calls,
        bytes: limits.max_queued_bytes,
        shared_queue: link.shared_queue,
    };
    let out = Outlet::new(link.sink);
    let (events, _) = broadcast::channel(EVENTS);
    let (submissions, client) =
        Submissions::actor((bounds, config.client.strict), out.clone(), events.clone());
    let client = Actor::create(|ctx: &mut Context<_>| {
        ctx.set_mailbox_capacity(MAILBOX);
        client
    });
    let (closing, closed) = (CancellationToken::new(), CancellationToken::new());
    let mut shared = None;
    let server = ServerActor::create(|ctx| {
        ctx.set_mailbox_capacity(MAILBOX);
        let made = Arc::new(Shared {
            config,
            id,
            identity: identity.into(),
            server_id: server_id.into(),
            submissions,
            client: client.clone(),
            server: ctx.address(),
            events: events.clone(),
            meters: ClientMeters::default(),
            closing: closing.clone(),
            closed: closed.clone(),
        });
        shared = Some(Arc::clone(&made));
        ServerActor::new(Node::new(made, None), out.clone(), ledgers)
    });
    let shared = shared.expect("`create` runs its closure before it returns");
    LOCAL.with(|local| {
        let mut local = local.borrow_mut();
        local.retain(|(_, closed)| !closed.is_cancelled());
        local.push((closing.clone(), closed));
    });
    actix::spawn(drive(Driver {
        stream: link.stream,
        out,
        spin,
        client,
        server,
        events,
        submissions: shared.submissions.clone(),
        closing: closing.clone(),
        closed: shared.closed.clone(),
    }));
    Ok(Node::new(shared, Some(KeepOpen(closing))))
}

/// Where recoverable calls are recorded; if nowhere, why, for those that make some.
fn ledgers(
    config: &Config,
    own: Option<Arc<dyn LedgerKind>>,
    shared_queue: bool,
) -> Result<Result<Arc<dyn LedgerKind>, String>> {
    let transport = &config.transport;
    let store: Arc<dyn LedgerKind> = match (config.ledger.store, own) {
        (StoreChoice::Off, _) => {
            return Ok(Err("this server records no tasks (ledger.store = \"off\")".to_owned()));
        }
        (StoreChoice::Auto, Some(own)) => return Ok(Ok(own)),
        (StoreChoice::Auto, None) if shared_queue => {
            return Ok(Err(format!(
                "this server records no tasks: transport {transport} has no place for them"
            )));
        }
        (StoreChoice::Auto | StoreChoice::File, _) => {
            let path = config.ledger.path.clone().or_else(FileLedger::default_path);
            match path {
                Some(path) => Arc::new(FileLedger::new(path)),
                None => {
                    let message = "this server records no tasks: there is no home folder for them, so \
                                   set ledger.path";
                    return Ok(Err(message.to_owned()));
                }
            }
        }
        (StoreChoice::Memory, _) => Arc::new(MemoryLedger::new()),
        (StoreChoice::Redis, Some(own)) if own.name() == "redis" => return Ok(Ok(own)),
        (StoreChoice::Redis, _) => {
            let message = "ledger.store = \"redis\" cannot be used: this program was built without redis, or \
                           opens its node with a transport of its own, which `WithLedger` can give a ledger";
            return Err(Error::Link(LinkError::new(message)));
        }
    };
    if shared_queue {
        // Any server takes a call from the queue, and all must see one ledger.
        let message = format!(
            "ledger.store = \"{}\" cannot be used with transport {transport}, whose servers share a \
             queue: leave it out, or set it to \"off\"",
            store.name()
        );
        return Err(Error::Link(LinkError::new(message)));
    }
    Ok(Ok(store))
}

/// Nodes that one runner drives, each with what tells it to close and what says that it has.
type Driven = Vec<(CancellationToken, CancellationToken)>;

thread_local! {
    /// Those of the runner that runs on this thread now.
    static LOCAL: RefCell<Driven> = const { RefCell::new(Vec::new()) };
}

/// The nodes of one runner; a thread may have several runners, of which one runs.
#[derive(Debug, Default)]
pub(crate) struct LocalNodes(RefCell<Driven>);

/// While it lives, nodes that are opened on this thread belong to one runner.
pub(crate) struct Running<'a>(&'a LocalNodes);

impl LocalNodes {
    /// The runner runs from here on, until what this returns is dropped.
    pub(crate) fn enter(&self) -> Running<'_> {
        self.swap();
        Running(self)
    }

    fn swap(&self) {
        LOCAL.with(|local| local.swap(&self.0));
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.swap();
    }
}

/// Closes the nodes of the runner that runs, which is about to stop driving them.
pub(crate) async fn close_local() {
    let local = LOCAL.with(|local| std::mem::take(&mut *local.borrow_mut()));
    for (closing, _) in &local {
        closing.cancel();
    }
    for (_, closed) in local {
        closed.cancelled().await;
    }
}

/// Ten letters and digits: short enough for the path of a socket, and 50 bits of chance.
fn short_id() -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut bits = Uuid::new_v4().as_u128();
    // The version and variant of a random uuid are constant: skip the middle.
    bits ^= bits >> 64;
    (0..10).map(|at| char::from(ALPHABET[(bits >> (at * 5)) as usize & 31])).collect()
}

/// The name of this program, as far as it makes a name.
fn program() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let fit: String = name
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || "-_".contains(*letter))
        .take(32)
        .collect();
    if fit.is_empty() { "node".to_owned() } else { fit }
}
