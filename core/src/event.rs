//! What happens around a node: who comes and goes.

use compact_str::CompactString;

use crate::schema::Difference;
use crate::transport::PeerId;
use crate::wire::{Announcement, NodeId, ServerState};

/// One server as a node sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerInfo {
    /// The service's name.
    pub service: CompactString,
    /// The server's id.
    pub server: CompactString,
    /// Grows with every start of this identity.
    pub epoch: u64,
    /// The boot of its node.
    pub node: NodeId,
    /// Whether it takes calls.
    pub state: ServerState,
    /// How many calls it runs at once.
    pub concurrency: u64,
    /// How many more may wait.
    pub backlog: u64,
    /// The session with it.
    pub peer: PeerId,
    /// Calls of this node that it has now.
    pub in_flight: usize,
    /// Calls of all nodes that it has taken from the shared queue and not answered, as of about a second
    /// ago at most. In lists, where the transport has such a queue.
    pub pending: Option<u64>,
    /// Calls in the shared queue of its service that no server has taken yet: the same for each server
    /// of the service. As of about a second ago at most; in lists, where the transport has such a queue.
    pub lag: Option<u64>,
}

impl ServerInfo {
    pub(crate) fn new(peer: PeerId, it: &Announcement, in_flight: usize) -> Self {
        ServerInfo {
            service: it.service.clone(),
            server: it.server.clone(),
            epoch: it.epoch,
            node: it.node,
            state: it.state,
            concurrency: it.concurrency,
            backlog: it.backlog,
            peer,
            in_flight,
            pending: None,
            lag: None,
        }
    }
}

/// Something that happened around a node; see [`Node::events`](crate::Node::events).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A server of a service that this node calls is there.
    ServerUp(ServerInfo),
    /// A server finishes what it has and takes no more.
    ServerDraining(ServerInfo),
    /// A server is gone, or out of reach.
    ServerDown {
        /// Which.
        server: ServerInfo,
        /// Why, for people.
        reason: String,
    },
    /// A server was found and cannot be connected with, or does not answer. It may be stopped, stuck
    /// or of somebody else. The node goes on trying: `ServerUp` follows if it succeeds.
    ServerUnreachable {
        /// Its service.
        service: CompactString,
        /// Its id.
        server: CompactString,
        /// Why, for people.
        reason: String,
    },
    /// A server of this node has lost its identity to another server, since the node was out of reach
    /// for too long. Its service is no longer served, and its calls were stopped; it may be served
    /// again.
    IdentityLost {
        /// Its service.
        service: CompactString,
        /// Its id.
        server: CompactString,
        /// Why, for people.
        reason: String,
    },
    /// Servers cannot be looked for. The node goes on trying.
    WatchFailed {
        /// Those of which service; `None` stands for all.
        service: Option<CompactString>,
        /// Why, for people.
        reason: String,
    },
    /// A session with another node began: as client, as server, or both.
    PeerUp {
        /// The session.
        peer: PeerId,
        /// What the other node calls itself.
        identity: CompactString,
        /// Its boot.
        node: NodeId,
    },
    /// A session ended.
    PeerDown {
        /// The session.
        peer: PeerId,
        /// Why, for people.
        reason: String,
    },
    /// A typed client and a server of another version of its service may or may not fit together.
    /// Said once for each method and version, when it is called; under `[client] strict` such calls
    /// are refused instead.
    SchemaUndecided {
        /// The service's name.
        service: CompactString,
        /// The id of a server of that version.
        server: CompactString,
        /// What cannot be decided.
        difference: Difference,
    },
    /// Somebody was turned away or thrown out: garbage, wrong version, too many, too slow.
    Rejected {
        /// For people.
        reason: String,
    },
    /// The link is beyond repair; the node is closed.
    LinkLost {
        /// For people.
        reason: String,
    },
}
