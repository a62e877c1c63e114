//! What a node says of itself when it is asked.

use serde::{Deserialize, Serialize};

/// How a node is: the answer to the query `status`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The name it gives itself.
    pub identity: String,
    /// What it serves.
    pub services: Vec<ServiceStatus>,
    /// Who is connected to it.
    pub clients: Vec<ClientStatus>,
}

/// How one server is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// The service's name.
    pub service: String,
    /// The server's id.
    pub server: String,
    /// `ready` or `draining`.
    pub state: String,
    /// Calls that run.
    pub running: usize,
    /// Calls that wait.
    pub waiting: usize,
    /// How many may run.
    pub concurrency: usize,
    /// How many may wait.
    pub backlog: usize,
}

/// Who is connected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientStatus {
    /// The name it gives itself.
    pub identity: String,
    /// Its user, where the transport knows.
    #[serde(default)]
    pub uid: Option<u32>,
    /// Its process, where the transport knows.
    #[serde(default)]
    pub pid: Option<u32>,
}
