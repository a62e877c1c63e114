//! A server of this node, as others find it: lock, socket, and who is connected.

use std::cell::{Cell, RefCell};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::Path;
use std::rc::Rc;

use farcall_core::wire::{Announcement, ServerState};
use tokio::net::UnixListener;
use tokio::task::AbortHandle;

use crate::config::Allow;
use crate::lock::{Lock, Taken, remove_socket};
use crate::paths::ServerPaths;

/// A server that is reachable, or was and drains.
#[derive(Debug)]
pub(crate) struct Server {
    paths: ServerPaths,
    announcement: RefCell<Announcement>,
    lock: RefCell<Option<Lock>>,
    /// Device and inode of the socket, as long as it can be found.
    socket: Cell<Option<(u64, u64)>>,
    connected: Cell<usize>,
    accepting: RefCell<Option<AbortHandle>>,
}

impl Server {
    /// A server that holds its lock and listens at a socket with this device and inode.
    pub(crate) fn new(
        paths: ServerPaths,
        announcement: Announcement,
        lock: Lock,
        socket: (u64, u64),
    ) -> Self {
        Server {
            paths,
            announcement: RefCell::new(announcement),
            lock: RefCell::new(Some(lock)),
            socket: Cell::new(Some(socket)),
            connected: Cell::new(0),
            accepting: RefCell::default(),
        }
    }

    /// What accepts connections, to be ended with the server.
    pub(crate) fn accepts_with(&self, accepting: AbortHandle) {
        *self.accepting.borrow_mut() = Some(accepting);
    }

    /// What is said of it to whoever connects.
    pub(crate) fn announcement(&self) -> Announcement {
        self.announcement.borrow().clone()
    }

    /// Takes note of a change. What holds the identity together is not core's to change.
    pub(crate) fn update(&self, announcement: Announcement) {
        let mut current = self.announcement.borrow_mut();
        let (server, epoch) = (current.server.clone(), current.epoch);
        *current = Announcement { server, epoch, ..announcement };
        let state = current.state;
        drop(current);
        match state {
            ServerState::Ready => {}
            ServerState::Draining => self.hide(),
            ServerState::Gone => self.end(),
        }
    }

    /// Nobody finds it any longer; who is connected remains so.
    fn hide(&self) {
        if let Some(ours) = self.socket.take()
            && inode(&self.paths.socket) == Some(ours)
            && let Err(error) = remove_socket(&self.paths.socket)
        {
            tracing::warn!(socket = %self.paths.socket.display(), %error, "cannot remove a socket");
        }
    }

    /// Nobody is accepted any longer, and another may take the identity.
    pub(crate) fn end(&self) {
        self.hide();
        self.lock.take();
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
        }
    }

    /// Whether the socket should be found and is not: somebody has cleaned up.
    pub(crate) fn is_lost(&self) -> bool {
        self.socket.get().is_some_and(|ours| inode(&self.paths.socket) != Some(ours))
    }

    /// Makes the socket again where it was, in a folder that is there. Its lock may have been removed as well, and then the
    /// identity may be another's by now.
    pub(crate) fn recover(&self, allow: &Allow) -> io::Result<UnixListener> {
        let mut lock = self.lock.borrow_mut();
        if !lock.as_ref().is_some_and(Lock::is_current) {
            match Lock::take(&self.paths.lock)? {
                Taken::Ours(mut new, _) => {
                    let current = self.announcement.borrow();
                    new.sign(std::process::id(), current.node, current.epoch)?;
                    *lock = Some(new);
                }
                Taken::Held(_) => {
                    self.socket.take();
                    return Err(io::Error::other("another server has its identity by now"));
                }
            }
        }
        let (listener, socket) = publish(&self.paths, allow)?;
        self.socket.set(Some(socket));
        Ok(listener)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// One of the connections that a server has; its place is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Seat(Rc<Server>);

impl Seat {
    /// A place, if fewer than `limit` are taken.
    pub(crate) fn take(server: &Rc<Server>, limit: usize) -> Option<Self> {
        let connected = server.connected.get();
        (connected < limit).then(|| {
            server.connected.set(connected + 1);
            Seat(Rc::clone(server))
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.connected.set(self.0.connected.get() - 1);
    }
}

/// A socket that listens and can be found, and its device and inode.
///
/// It is made under another name and renamed once it listens, so that whoever finds it can connect.
pub(crate) fn publish(
    paths: &ServerPaths,
    allow: &Allow,
) -> io::Result<(UnixListener, (u64, u64))> {
    remove_socket(&paths.unready)?;
    remove_socket(&paths.socket)?;
    // Whoever connects before the mode is set is asked for its user all the same.
    let listener = StdUnixListener::bind(&paths.unready)?;
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    fs::set_permissions(&paths.unready, Permissions::from_mode(allow.socket_mode()))?;
    let inode = inode(&paths.unready).ok_or(io::ErrorKind::NotFound)?;
    fs::rename(&paths.unready, &paths.socket)?;
    Ok((listener, inode))
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}
