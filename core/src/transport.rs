//! What carries frames: the one trait between core and every transport.
//!
//! A transport finds peers, moves frames and notices who is gone. Everything else (which call an
//! answer belongs to, deadlines, cancelling, streams, retries, who serves what) is core's and
//! written once. `docs/ARCHITECTURE.md` walks every line of the contract through this trait.
//!
//! # Obligations of a transport
//! - Frames of one call arrive in the order they were sent, and none is missing between, or the peer
//!   goes down. So do all frames of a peer, except that others may overtake a large one which is sent
//!   in parts ([`PARTS`](crate::wire::PARTS)); nothing overtakes a goodbye, nor does it overtake.
//! - A frame is delivered at most once. One that was certainly not delivered comes back as
//!   [`Inbound::Undelivered`] with `written: false`; one that may have been, with `written: true`.
//! - After [`Inbound::PeerDown`] nothing more comes from that [`PeerId`], and its number is not
//!   used again.
//! - Hello is exchanged, and checked with [`Hello::agrees_with`](crate::wire::Hello::agrees_with),
//!   before a peer is shown to core.
//! - Whatever a peer sends costs that peer alone: garbage ends its session and is reported as
//!   [`Inbound::Rejected`]. Sizes are checked against [`Attachment::limits`] before memory is taken.
//! - Frames queue for each peer within [`LinkLimits::max_peer_bytes`]; beyond it they come back
//!   undelivered. `poll_ready` is about the total only, so one stalled peer delays nobody.
//! - A [`Frame::Cancel`] that finds its call not wholly sent may take it back: neither is delivered
//!   then, and neither comes back.
//!
//! # Obligations of a transport with a shared queue
//! - A call to [`Address::Any`] waits in the queue until one server takes it. It arrives there with a
//!   [`Receipt`], as a frame of the peer that sent it, and is kept until core settles it: by the frame that
//!   answers it, by [`Outbound::Settle`], or by [`Outbound::PutBack`].
//! - One that a full queue does not take comes back as [`Inbound::Refused`]. One that has certainly
//!   not been taken by anybody comes back as [`Inbound::Undelivered`] with `written: false`, also when the
//!   last server goes, after that was told; one whose taker is lost, and of which nobody can say how it ended, with `written:
//!   true`.
//! - [`Frame::Cancel`] to [`Address::Any`] takes the call back, or is passed on to its taker.
//! - A call may be sent again under its id after it came back, or was lost with a taker that had said so. From then on
//!   nothing is told of how it was sent before.
//! - A server that has announced *draining* is not given calls from the queue any more: it puts back those that
//!   reach it all the same.
//! - When a link forgets its peers ([`Inbound::PeerDown`]), receipts of their calls mean nothing any more, and may
//!   still be settled. So do all of a service whose identity is lost ([`Inbound::Serving`]).
//!
//! What core does in turn: it reads the stream, and pauses only while its own frames wait for the link
//! in great number; it feeds many frames before it flushes. An error of the sink is the end of the link.
//! It closes the sink once every call that this node started is answered: closing flushes, then says
//! goodbye as *clean* to every peer ([`Frame::Goodbye`]), so that their calls which were still on the
//! way here go elsewhere. A link that is dropped unclosed says nothing, like a process that died.

mod backoff;
mod carrier;
mod inbox;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;
use futures::future::LocalBoxFuture;
use futures::{Sink, Stream};

pub use backoff::Backoff;
pub use carrier::Carrier;
pub use inbox::Inbox;

use crate::config::Section;
use crate::ledger::{LedgerKind, StoreError};
use crate::wire::{Announcement, CallId, Failure, Frame, Hello};

/// A way to reach other nodes, configured and not yet in use.
pub trait Transport: Send {
    /// Attaches a node. Called once, on the node's thread, which drives the returned link.
    ///
    /// # Errors
    /// The transport cannot be used at all (no permission, no such broker). What may pass by itself
    /// is not an error here: the link then starts without peers and goes on trying.
    fn open(self: Box<Self>, at: Attachment) -> LocalBoxFuture<'static, Result<Link, LinkError>>;

    /// Where recoverable calls are recorded with `[ledger] store = "auto"`, if the transport has a place
    /// of its own. Asked before `open`.
    fn ledger(&self) -> Option<Arc<dyn LedgerKind>> {
        None
    }
}

/// A kind of transport: its name in `transport = "…"`, and how its table is read.
pub trait TransportKind: Sync {
    /// The word in the configuration, which is also the table's name.
    fn name(&self) -> &'static str;

    /// Reads the table; mistakes are left with `section`, which reports them together.
    fn configure(&self, section: &mut Section<'_>) -> Option<Box<dyn Transport>>;

    /// Reads the table for `[ledger] store = "…"` with this name beside another transport, if tasks can be recorded here.
    fn ledger(&self, section: &mut Section<'_>) -> Option<Arc<dyn LedgerKind>> {
        let _ = section;
        None
    }
}

/// A transport whose nodes record tasks elsewhere than it would have them.
///
/// [`Config::resolve`](crate::Config::resolve) makes it for `[ledger] store = "redis"` beside another transport.
pub struct WithLedger {
    transport: Box<dyn Transport>,
    ledger: Arc<dyn LedgerKind>,
}

impl WithLedger {
    /// Calls go by `transport`, and tasks to `ledger`.
    #[must_use]
    pub fn new(transport: Box<dyn Transport>, ledger: Arc<dyn LedgerKind>) -> Self {
        WithLedger { transport, ledger }
    }
}

impl fmt::Debug for WithLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithLedger").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}

impl Transport for WithLedger {
    fn open(self: Box<Self>, at: Attachment) -> LocalBoxFuture<'static, Result<Link, LinkError>> {
        self.transport.open(at)
    }

    fn ledger(&self) -> Option<Arc<dyn LedgerKind>> {
        Some(Arc::clone(&self.ledger))
    }
}

/// Who is attached, and what it allows.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// What this node says at the beginning of every session.
    pub hello: Hello,
    /// What this node allows others.
    pub limits: LinkLimits,
}

/// Bounds that a transport keeps for core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkLimits {
    /// The largest frame, in bytes.
    pub max_frame_bytes: usize,
    /// Bytes of frames that may wait for one peer. One frame of any length may, alone.
    pub max_peer_bytes: usize,
    /// Bytes of frames that may wait in all.
    pub max_queued_bytes: usize,
    /// Sessions that others may open with one server.
    pub max_peers: usize,
    /// The time a new session has for its hello.
    pub handshake: Duration,
    /// The time a peer may leave half a frame unfinished, or a queue untouched.
    pub stall: Duration,
}

/// A node's attachment: a sink and a stream, both driven by one thread.
pub struct Link {
    /// Takes what goes out.
    pub sink: LinkSink,
    /// Yields what comes in. An `Err` is its last item: the link is beyond repair.
    pub stream: LinkStream,
    /// Whether the link carries a queue that any server may take from, such as a broker's. If it
    /// does not, core chooses a peer for each call and [`Address::Any`] is never used.
    pub shared_queue: bool,
}

/// What goes out of a node.
pub type LinkSink = Pin<Box<dyn Sink<Outbound, Error = LinkError>>>;

/// What comes in to a node.
pub type LinkStream = Pin<Box<dyn Stream<Item = Result<Inbound, LinkError>>>>;

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("shared_queue", &self.shared_queue).finish_non_exhaustive()
    }
}

/// One session with another node, numbered by the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u64);

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer {}", self.0)
    }
}

/// Where a frame is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// To whichever server of the service takes it first. Only with [`Link::shared_queue`].
    Any(CompactString),
    /// To one peer.
    Peer(PeerId),
}

/// A delivery from a queue that keeps it until it is settled. Opaque to core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Receipt(pub u64);

/// What core asks of a transport.
#[derive(Debug)]
pub enum Outbound {
    /// Carry a frame.
    Frame {
        /// Where to.
        to: Address,
        /// What.
        frame: Frame,
        /// Answer with [`Inbound::HandedOver`] once the operating system or broker has it.
        confirm: bool,
        /// The delivery that this frame concludes, to be settled together with it.
        settles: Option<Receipt>,
    },
    /// A delivery is concluded without a frame: its call was one-way, cancelled, or its caller is gone.
    /// Each delivery is concluded once, in one of the three ways.
    Settle(Receipt),
    /// A delivery was not started, and is for others to take.
    PutBack(Receipt),
    /// Take a call back that went to [`Address::Any`], if nobody has taken it: answered by
    /// [`Inbound::Undelivered`] with `written: false`, or else by [`Inbound::Taken`]. Unlike a cancel, it does a
    /// call that runs no harm. Unanswered if the call has ended.
    Withdraw {
        /// The service it is for.
        service: CompactString,
        /// Which call.
        id: CallId,
    },
    /// Find the servers of a service, now and as they come and go. Each shows itself by
    /// [`Inbound::PeerUp`] and a [`Frame::Announce`]; [`Inbound::Watching`] follows the first look. What is
    /// asked again is answered again, with an error if there can be no look now.
    Watch(Watch),
    /// Make this node reachable as a server. Answered by [`Inbound::Serving`].
    Serve(Box<Announcement>),
    /// Spread a change of what was served. `Draining` makes the server unfindable, while its
    /// sessions go on; `Gone` frees its identity. Sessions end with the sink.
    Announce(Box<Announcement>),
    /// End a session; the peer is told the reason, and so is core by [`Inbound::Rejected`].
    Disconnect {
        /// With whom.
        peer: PeerId,
        /// For both logs.
        reason: String,
    },
}

/// Which servers to look for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Watch {
    /// Those of one service.
    Service(CompactString),
    /// Those of every service of the namespace.
    Everything,
}

/// What a transport tells core.
#[derive(Debug)]
pub enum Inbound {
    /// A frame has come.
    Frame {
        /// From whom.
        from: PeerId,
        /// What.
        frame: Frame,
        /// To be settled, if it came from a queue that keeps it, as calls do.
        receipt: Option<Receipt>,
    },
    /// A frame with `confirm` is out of this process.
    HandedOver {
        /// The call it belongs to.
        id: CallId,
    },
    /// A frame could not be handed over: one of a call made here, or one with `confirm`. An answer
    /// that finds nobody is dropped.
    Undelivered {
        /// Where it was to go: by now the call may have gone elsewhere.
        to: Address,
        /// The call it belongs to.
        id: CallId,
        /// Why, for people.
        reason: String,
        /// Whether the peer may have got it all the same.
        written: bool,
    },
    /// The shared queue of a service does not take a call: it is full, or has no memory left.
    Refused {
        /// The call.
        id: CallId,
        /// Why, with a hint when to try again.
        failure: Box<Failure>,
    },
    /// The answer to [`Outbound::Withdraw`] for a call that some server has taken. Which one is not
    /// said: its first frame does.
    Taken {
        /// The call.
        id: CallId,
    },
    /// Other servers of this service have room, or go on where this one stops: calls from its queue that wait here are to be put
    /// back ([`Outbound::PutBack`]) rather than kept waiting.
    GiveBack {
        /// The service.
        service: CompactString,
    },
    /// How full the shared queue of a watched service is. Told before [`Inbound::Watching`], and again as it
    /// changes, about once a second while every service is watched.
    Queue {
        /// The service.
        service: CompactString,
        /// Calls that no server has taken yet.
        waiting: u64,
        /// Calls that servers have taken and not settled, by the server's id.
        pending: Vec<(CompactString, u64)>,
    },
    /// A session has begun.
    PeerUp {
        /// Its number.
        peer: PeerId,
        /// What the other side says of itself.
        hello: Box<Hello>,
        /// What the operating system or the transport's security says of it.
        credentials: Credentials,
    },
    /// A session has ended.
    PeerDown {
        /// Its number.
        peer: PeerId,
        /// Why, for people.
        reason: String,
        /// It ended with a clean goodbye: what the peer has not answered, it has not started.
        clean: bool,
    },
    /// The first look of a [`Outbound::Watch`] is over. An error may also come later, or for a service
    /// that is watched as one of all; the transport goes on trying then, and may say when it succeeds.
    Watching {
        /// Which watch.
        watch: Watch,
        /// Every server that could be reached then has been announced; or why none can be found.
        result: Result<(), LinkError>,
    },
    /// A server that was found cannot be connected with, or does not say hello. Told once for each
    /// reason; the transport goes on trying.
    Unreachable {
        /// Its service.
        service: CompactString,
        /// Its id.
        server: CompactString,
        /// Why, for people.
        reason: String,
    },
    /// The answer to [`Outbound::Serve`]. Comes again, as an error, if the identity is lost later: to
    /// another server, while this one was away for longer than its lease.
    Serving {
        /// The service.
        service: CompactString,
        /// The identity's epoch, given by the transport; or why it cannot be served.
        result: Result<u64, ServeError>,
    },
    /// Somebody was turned away or thrown out: garbage, wrong version, too many, too slow.
    Rejected {
        /// For people.
        reason: String,
    },
}

/// What is known of a peer beyond its own word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The user that runs it.
    pub uid: Option<u32>,
    /// Its group.
    pub gid: Option<u32>,
    /// Its process.
    pub pid: Option<u32>,
    /// The name that a proven key stands for.
    pub name: Option<CompactString>,
}

/// Why a server could not be made reachable.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A live server has this identity.
    #[error("{0}")]
    IdentityTaken(String),
    /// This node serves a service of this name already.
    #[error("this node serves `{0}` already")]
    AlreadyServed(CompactString),
    /// The names given cannot be used.
    #[error("{0}")]
    Unusable(String),
    /// The transport could not do it.
    #[error("{0}")]
    Transport(LinkError),
    /// It has recoverable methods, and the ledger cannot be opened.
    #[error("the ledger cannot be opened: {0}")]
    Ledger(StoreError),
    /// The node is closed, or about to be.
    #[error("the node is closed, or about to be")]
    Closed,
}

/// Why a link cannot be, or cannot be any longer.
#[derive(Clone)]
pub struct LinkError {
    message: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl LinkError {
    /// An error with what was attempted and what would fix it.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        LinkError { message: message.into(), source: None }
    }

    /// An error with its cause.
    #[must_use]
    pub fn with_source(
        message: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        LinkError { message: message.into(), source: Some(Arc::new(source)) }
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkError")
            .field("message", &self.message)
            .field("source", &self.source)
            .finish()
    }
}

impl std::error::Error for LinkError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}
