//! What a server says of itself, again whenever it changes.

use compact_str::CompactString;

use super::NodeId;

/// Whether a server takes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerState {
    /// It does.
    Ready,
    /// It finishes what it has and takes no more.
    Draining,
    /// It is no server of this service any longer.
    Gone,
}

impl ServerState {
    /// The word that travels, and that logs and lists use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ServerState::Ready => "ready",
            ServerState::Draining => "draining",
            ServerState::Gone => "gone",
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        [ServerState::Ready, ServerState::Draining, ServerState::Gone]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

/// One server of one service: who it is, and how it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Announcement {
    /// The service's name.
    pub service: CompactString,
    /// The server's id; with namespace and service it is the server's identity.
    pub server: CompactString,
    /// Grows with every start of this identity.
    pub epoch: u64,
    /// The boot of the node that serves.
    pub node: NodeId,
    /// Whether it takes calls.
    pub state: ServerState,
    /// A hash of the service's schema; empty if it has none.
    pub schema: CompactString,
    /// How many calls it runs at once.
    pub concurrency: u64,
    /// How many more may wait.
    pub backlog: u64,
}
