//! Where the contract is tried: a transport, and servers beyond this node's reach.

use std::fmt;
use std::time::Duration;

use farcall_core::config::Name;
use farcall_core::transport::Transport;
use farcall_core::wire::Durability;
use farcall_core::{Config, Node};

use crate::SERVICE;

/// One transport with nobody on it yet. Each test has a world of its own.
pub trait World {
    /// What its transport is called in the configuration.
    fn name(&self) -> &'static str;

    /// A way into it.
    fn transport(&self) -> Box<dyn Transport>;

    /// Starts a server of the [contract service](crate::contract_service) in a process of its own,
    /// if the transport leaves this one; it may return before the server can be called.
    fn start(&self, options: &Options) -> Box<dyn Remote>;

    /// What the record of a task survives in this world. `None` if its transport refuses recoverable methods:
    /// then the lines about tasks show that, and the matrix says it.
    fn tasks(&self) -> Option<Durability>;

    /// How long it takes at most until a server that is killed and stays away has its tasks taken over.
    fn takeover(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// Throws bytes that are no frames at a server, ten thousand times. `false` if this transport
    /// has no place where anybody could.
    fn garbage(&self, options: &Options) -> bool;
}

/// A server that was started elsewhere. Dropping it kills it.
pub trait Remote: fmt::Debug {
    /// Ends it without warning, as SIGKILL does. It is dead when this returns.
    fn kill(&mut self);

    /// Asks it to stop, as SIGTERM does: it drains and ends in its own time.
    fn terminate(&mut self);
}

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its id.
    pub id: &'static str,
    /// Its namespace.
    pub namespace: &'static str,
    /// How many calls it runs at once.
    pub concurrency: usize,
    /// How many wait.
    pub backlog: usize,
    /// How long it takes to stop, at most.
    pub drain: Duration,
    /// The largest argument list or result.
    pub max_message_bytes: usize,
    /// It serves the [service of tasks](crate::task_service) as well.
    pub tasks: bool,
}

impl Options {
    /// A server of this id, and defaults.
    #[must_use]
    pub fn new(id: &'static str) -> Self {
        let config = Config::default();
        Options {
            id,
            namespace: "default",
            concurrency: config.server.concurrency,
            backlog: config.server.backlog,
            drain: config.server.drain,
            max_message_bytes: config.limits.max_message_bytes,
            tasks: false,
        }
    }

    /// The same, with the [service of tasks](crate::task_service).
    #[must_use]
    pub fn with_tasks(self) -> Self {
        Options { tasks: true, ..self }
    }

    /// The configuration that says so.
    #[must_use]
    pub fn config(&self) -> Config {
        let mut config = Config { namespace: name(self.namespace), ..Config::default() };
        config.server.id = Some(name(self.id));
        config.server.concurrency = self.concurrency;
        config.server.backlog = self.backlog;
        config.server.drain = self.drain;
        config.limits.max_message_bytes = self.max_message_bytes;
        config
    }

    /// The same as variables, for a process that reads its configuration by itself.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("FARCALL_NAMESPACE", self.namespace.to_owned()),
            ("FARCALL_SERVER__ID", self.id.to_owned()),
            ("FARCALL_SERVER__CONCURRENCY", self.concurrency.to_string()),
            ("FARCALL_SERVER__BACKLOG", self.backlog.to_string()),
            ("FARCALL_SERVER__DRAIN", format!("{}ms", self.drain.as_millis())),
            ("FARCALL_LIMITS__MAX_MESSAGE_BYTES", self.max_message_bytes.to_string()),
        ];
        if self.tasks {
            variables.push((TASKS_TOO, "1".to_owned()));
        }
        variables
    }
}

/// Set for a process that serves the service of tasks as well. (It does not begin with `FARCALL_`, since it is no
/// setting.)
pub const TASKS_TOO: &str = "CONTRACT_TASKS";

/// A name that the tests know to be one.
fn name(text: &str) -> Name {
    text.parse().expect("the suite's own names are names")
}

/// A client in this world.
pub(crate) async fn client(world: &dyn World) -> Node {
    client_in(world, "default").await
}

/// A client that calls itself so.
pub(crate) async fn client_called(world: &dyn World, identity: &str) -> Node {
    let mut config = Config::default();
    config.client.identity = Some(name(identity));
    open(world, config).await
}

/// A client in a namespace of this world.
pub(crate) async fn client_in(world: &dyn World, namespace: &str) -> Node {
    open(world, Config { namespace: name(namespace), ..Config::default() }).await
}

async fn open(world: &dyn World, mut config: Config) -> Node {
    // Long enough for a process to start on a busy machine.
    config.client.wait_for_server = Duration::from_secs(30);
    Node::open_with(config, world.transport()).await.expect("the transport opens")
}

/// Waits until the only server runs and keeps waiting this many calls. It tells by a query, which
/// needs no place.
pub(crate) async fn until_load(node: &Node, running: usize, waiting: usize) {
    let peer = node.servers(SERVICE).await.expect("the node is open")[0].peer;
    loop {
        let status = node.peer(peer).status().await.expect("the server is there");
        if (status.services[0].running, status.services[0].waiting) == (running, waiting) {
            return;
        }
    }
}
