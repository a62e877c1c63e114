//! Calls from programs that are not async.

use std::fmt;
use std::future::Future;
use std::ops::Deref;

use actix::SystemRunner;

use crate::config::Config;
use crate::error::Result;
use crate::node::LocalNodes;
use crate::transport::Transport;

/// A node for programs that are not async: it lives in the calling thread and is driven while that
/// thread waits for something.
///
/// ```
/// use farcall_core::{Config, Functions, Memory, blocking};
///
/// let node = blocking::Node::open_with(Config::default(), Memory::new().transport())?;
/// node.wait(node.serve(Functions::new("calc").add("add", |a: i64, b: i64| a + b)))?;
/// let sum: i64 = node.wait(node.client("calc").call("add", (1, 2)))?;
/// assert_eq!(sum, 3);
/// # Ok::<(), farcall_core::Error>(())
/// ```
///
/// It tells servers that it is *passive*, so that its silence between calls is not taken for death.
///
/// # Panics
/// When opened or dropped inside of async code, which it would block.
pub struct Node {
    node: Option<crate::Node>,
    nodes: LocalNodes,
    runner: SystemRunner,
}

impl Node {
    /// Opens a node on a transport.
    ///
    /// # Errors
    /// The transport cannot be used.
    pub fn open_with(config: Config, transport: Box<dyn Transport>) -> Result<Node> {
        let runner = actix::System::new();
        let nodes = LocalNodes::default();
        let node = {
            let _running = nodes.enter();
            runner.block_on(crate::Node::open_passive(config, transport))?
        };
        Ok(Node { node: Some(node), nodes, runner })
    }

    /// Drives the node until `future` is done.
    pub fn wait<F: Future>(&self, future: F) -> F::Output {
        let _running = self.nodes.enter();
        self.runner.block_on(future)
    }
}

impl Deref for Node {
    type Target = crate::Node;

    fn deref(&self) -> &crate::Node {
        self.node.as_ref().expect("taken out when dropped only")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _running = self.nodes.enter();
        drop(self.node.take());
        self.runner.block_on(crate::node::close_local());
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
