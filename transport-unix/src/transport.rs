//! The transport and its kind, as core knows them.

use farcall_core::config::Section;
use farcall_core::transport::{Attachment, Link, LinkError, Transport, TransportKind};
use futures::FutureExt;
use futures::future::LocalBoxFuture;

use crate::config::{Allow, UnixConfig};
use crate::folder;
use crate::hub::Hub;
use crate::paths::Paths;

/// The kind that `transport = "unix"` chooses.
pub static UNIX: UnixKind = UnixKind;

/// How the table `[unix]` becomes a [`Unix`].
#[derive(Clone, Copy, Debug, Default)]
pub struct UnixKind;

impl TransportKind for UnixKind {
    fn name(&self) -> &'static str {
        "unix"
    }

    fn configure(&self, section: &mut Section<'_>) -> Option<Box<dyn Transport>> {
        Some(Box::new(Unix::new(UnixConfig::read(section))))
    }
}

/// Unix sockets, not in use yet.
///
/// Programs choose it in their configuration. With one made by hand, a test can have a folder of
/// its own:
///
/// ```
/// use farcall_core::transport::{Attachment, LinkError, Transport};
/// use farcall_transport_unix::{Unix, UnixConfig};
///
/// # async fn open(at: Attachment) -> Result<(), LinkError> {
/// let socket_dir = "/tmp/only-for-this-test".into();
/// let unix = Unix::new(UnixConfig { socket_dir, ..UnixConfig::default() });
/// let link = Box::new(unix).open(at).await?;
/// assert!(!link.shared_queue);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Unix {
    config: UnixConfig,
}

impl Unix {
    /// Sockets where the configuration says.
    #[must_use]
    pub fn new(config: UnixConfig) -> Self {
        Unix { config }
    }

    fn open_now(&self, at: Attachment) -> Result<Link, LinkError> {
        let allow = Allow::of(&self.config);
        let paths = Paths::new(&self.config.socket_dir, &at.hello.namespace)
            .map_err(|error| LinkError::new(error.to_string()))?;
        folder::ensure_with_parents(paths.socket_dir(), &allow)
            .map_err(|error| LinkError::new(error.to_string()))?;
        Ok(Link::carried_by(Hub::start(at, paths, allow), false))
    }
}

impl Transport for Unix {
    /// Needs a tokio runtime with IO and time, and a `LocalSet` (or an actix `System`) on it.
    ///
    /// # Errors
    /// The folder of sockets cannot be made or is not to be trusted, or its path is too long.
    ///
    /// # Panics
    /// Without a `LocalSet`.
    fn open(self: Box<Self>, at: Attachment) -> LocalBoxFuture<'static, Result<Link, LinkError>> {
        async move { self.open_now(at) }.boxed_local()
    }
}
