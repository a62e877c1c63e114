//! The serving side: sessions with clients, admission, and handlers under way.
//!
//! The server actor takes calls in batches. Each is looked up ([`services`]), admitted or refused
//! ([`calls`], [`admission`]) and begun ([`handler`]); a handler that is done at once is answered in
//! the same turn, any other goes on as a task of its own and comes back by a queue, as do the items
//! of its streams.

mod actor;
mod admission;
mod calls;
mod drain;
mod handler;
mod replies;
mod services;
mod sessions;
mod status;
mod tasks;
mod watch;

pub(crate) use actor::{
    Audience, CloseServer, DrainServer, ListPeers, Serve, ServerActor, ServerFrames, ServerInbound,
};

pub use status::{ClientStatus, NodeStatus, ServiceStatus};

use std::time::Duration;

/// What a drain came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Calls that ran and ended while the server drained, by whatever outcome.
    pub finished: usize,
    /// Calls that did not end in time, as `service.method`: those that ran were cancelled, those that
    /// still waited go elsewhere.
    pub abandoned: Vec<String>,
    /// How long it took.
    pub took: Duration,
}
