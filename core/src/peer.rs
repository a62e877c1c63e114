//! Other nodes, as this one sees and addresses them.

use compact_str::CompactString;

use crate::client::Client;
use crate::error::CallError;
use crate::node::Node;
use crate::server::NodeStatus;
use crate::service::Descriptor;
use crate::transport::{Credentials, PeerId};
use crate::wire::NodeId;

/// A node that this one has a session with: whoever made a call, or is listed by
/// [`Node::peers`](crate::Node::peers).
#[derive(Clone, Debug, PartialEq)]
pub struct PeerInfo {
    /// The name it gives itself as a client: `[client] identity`. Its own word, nobody checked it.
    pub identity: CompactString,
    /// Its boot. A peer that comes back after a broken connection has the same; one that was
    /// started again has another.
    pub node: NodeId,
    /// The session with it. One that comes back has another.
    pub peer: PeerId,
    /// What the operating system or the transport's security says of it.
    pub credentials: Credentials,
}

/// Which peer: one boot of a node, by whatever session there is with it ([`NodeId`]), or one session
/// ([`PeerId`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerAddress {
    /// Whatever session there is with this boot of a node.
    Node(NodeId),
    /// This session.
    Session(PeerId),
}

impl From<NodeId> for PeerAddress {
    fn from(node: NodeId) -> Self {
        PeerAddress::Node(node)
    }
}

impl From<PeerId> for PeerAddress {
    fn from(peer: PeerId) -> Self {
        PeerAddress::Session(peer)
    }
}

impl From<&PeerInfo> for PeerAddress {
    fn from(peer: &PeerInfo) -> Self {
        PeerAddress::Node(peer.node)
    }
}

/// One other node, to be called: what a server uses to call its clients.
///
/// A client offers methods to those it is connected to by [`Node::offer`](crate::Node::offer); its
/// servers call them, during a call of that client or at any other time:
///
/// ```
/// # use farcall_core::{CallError, Context};
/// async fn greet(ctx: &Context) -> Result<String, CallError> {
///     let name: String = ctx.peer().client("prompt").call("ask", ("Your name?",)).await?;
///     Ok(format!("Hello, {name}"))
/// }
/// ```
///
/// A call of a peer that is not connected is *not sent*; its loss during a call is an *outcome
/// unknown*, like that of a server.
///
/// # Cancellation
/// Its questions are calls: dropping their futures takes them back.
#[derive(Clone, Debug)]
pub struct Peer {
    node: Node,
    address: PeerAddress,
}

impl Peer {
    pub(crate) fn new(node: Node, address: PeerAddress) -> Self {
        Peer { node, address }
    }

    /// A client of a service that this peer serves or offers. A typed one is made from it:
    /// `PromptClient::from(peer.client("prompt"))`.
    #[must_use]
    pub fn client(&self, service: impl Into<CompactString>) -> Client {
        self.node.client(service).at(self.address)
    }

    /// How it is: what it serves and runs, and who is connected to it. Answered also while it is busy.
    ///
    /// # Errors
    /// As of any call.
    pub async fn status(&self) -> Result<NodeStatus, CallError> {
        self.node.query(self.address, "status", &()).await
    }

    /// Asks it for a sign of life, which it gives also while it is busy.
    ///
    /// # Errors
    /// As of any call.
    pub async fn ping(&self) -> Result<(), CallError> {
        self.node.query(self.address, "ping", &()).await
    }

    /// What a service of this peer offers.
    ///
    /// # Errors
    /// As of any call.
    pub async fn describe(&self, service: &str) -> Result<Descriptor, CallError> {
        self.node.query(self.address, "describe", &(service,)).await
    }
}
