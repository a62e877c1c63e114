//! Opening a node on whatever the configuration says.

use farcall_core::config::{ConfigError, Layers, Resolved};
use farcall_core::transport::TransportKind;
use farcall_core::{Config, MemoryKind, Node, Result, blocking};
use futures::FutureExt;
use futures::future::BoxFuture;

/// The transports that this build can use, by the names that configurations choose them by.
///
/// Which there are depends on the cargo features of this crate, all of which are on by default.
#[must_use]
pub fn transports() -> &'static [&'static dyn TransportKind] {
    &[
        #[cfg(feature = "unix")]
        &farcall_transport_unix::UnixKind,
        #[cfg(feature = "redis")]
        &farcall_transport_redis::RedisKind,
        &MemoryKind,
    ]
}

/// What the configuration of this process says: defaults, then `$FARCALL_CONFIG` or `farcall.toml`,
/// then `FARCALL_…` variables. For programs that want to look at it, or change it, before they open
/// a node with [`Node::open_with`].
///
/// # Errors
/// Every mistake there is, by file or variable, with what would be accepted.
pub fn resolve() -> Result<Resolved, ConfigError> {
    Config::resolve(&Layers::from_process()?, transports())
}

/// Opens a node on the transport that the configuration names.
///
/// ```no_run
/// use farcall::prelude::*;
///
/// #[farcall::main]
/// async fn main() -> farcall::Result<()> {
///     let node = Node::open().await?;
///     # let _ = node;
///     Ok(())
/// }
/// ```
///
/// and without async:
///
/// ```no_run
/// use farcall::prelude::*;
///
/// # fn main() -> farcall::Result<()> {
/// let node = blocking::Node::open()?;
/// let sum: i64 = node.wait(node.client("calc").call("add", (1, 2)))?;
/// # Ok(()) }
/// ```
///
/// It is a trait since nodes know nothing of the transports there are; this crate does.
pub trait Open {
    /// What `open` gives: a node, or the promise of one.
    type Opened;

    /// Opens a node as the configuration of this process says; see [`resolve`].
    ///
    /// # Errors
    /// The configuration has mistakes, or the transport cannot be used.
    fn open() -> Self::Opened;
}

impl Open for Node {
    type Opened = BoxFuture<'static, Result<Node>>;

    fn open() -> Self::Opened {
        async {
            let Resolved { config, transport, .. } = resolve()?;
            Node::open_with(config, transport).await
        }
        .boxed()
    }
}

impl Open for blocking::Node {
    type Opened = Result<blocking::Node>;

    fn open() -> Self::Opened {
        let Resolved { config, transport, .. } = resolve()?;
        blocking::Node::open_with(config, transport)
    }
}
