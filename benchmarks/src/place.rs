//! Where a peer's processes meet: a socket in a fresh folder, or a fresh broker.

use anyhow::Context;
use tempfile::TempDir;

use crate::broker::Running;
use crate::peers::Peer;

/// A place for one measurement.
#[derive(Debug)]
pub(crate) enum Place {
    /// A folder for a socket, and the socket's path.
    Folder(TempDir, String),
    /// A broker.
    Broker(Running),
}

impl Place {
    /// A place as the peer needs it.
    ///
    /// # Errors
    ///
    /// When there is no room for a folder, or when the broker does not come up.
    pub(crate) async fn prepare(peer: &dyn Peer) -> anyhow::Result<Self> {
        if let Some(via) = peer.via() {
            return Ok(Place::Broker(Running::start(via).await?));
        }
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("echo.sock");
        let socket = socket.to_str().context("the socket's path is not UTF-8")?.to_owned();
        Ok(Place::Folder(folder, socket))
    }

    /// The socket's path, or the broker's URL.
    pub(crate) fn at(&self) -> &str {
        match self {
            Place::Folder(_, socket) => socket,
            Place::Broker(broker) => broker.address(),
        }
    }

    /// The broker's process, if there is one.
    pub(crate) fn broker(&self) -> Option<u32> {
        match self {
            Place::Folder(..) => None,
            Place::Broker(broker) => Some(broker.id()),
        }
    }

    /// Ends the broker and removes what is left.
    ///
    /// # Errors
    ///
    /// When the broker had ended by itself.
    pub(crate) async fn leave(self) -> anyhow::Result<()> {
        match self {
            Place::Folder(folder, _) => Ok(folder.close()?),
            Place::Broker(broker) => broker.end().await,
        }
    }
}
