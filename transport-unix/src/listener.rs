//! How a server starts, and takes connections.

use std::fmt::Write as _;
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use farcall_core::transport::{Backoff, Inbound, LinkError, ServeError};
use farcall_core::wire::Announcement;
use futures::FutureExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::dial::{FIRST_WAIT, LAST_WAIT};
use crate::folder::{self, FolderError};
use crate::hub::Hub;
use crate::lock::{Holder, Lock, Taken, next_epoch};
use crate::paths::{PathError, ServerPaths};
use crate::server::{Seat, Server, publish};
use crate::session::{self, Side};

/// How long the lock of a server that cannot be reached is waited for: it may be on its way out,
/// or dead and held for a moment by a client that removes what it left.
const PATIENCE: Duration = Duration::from_millis(250);
/// How often a server looks whether its socket is still there: programs that clean up folders of
/// temporary files know no better than to remove it.
const LOOK_AFTER: Duration = Duration::from_secs(2);

/// Makes a server reachable, tells core, and then accepts connections as long as it is.
pub(crate) async fn serve(hub: Rc<Hub>, announcement: Announcement) {
    let service = announcement.service.clone();
    let started = start(&hub, announcement).await;
    hub.starting.borrow_mut().remove(&service);
    let result = match started {
        Ok((server, listener)) => {
            let epoch = server.announcement().epoch;
            hub.servers.borrow_mut().insert(service.clone(), Rc::clone(&server));
            let accepting = accept(Rc::clone(&hub), Rc::clone(&server), listener);
            server.accepts_with(hub.tasks.spawn(accepting));
            Ok(epoch)
        }
        Err(error) => Err(error),
    };
    hub.inbox.push(Inbound::Serving { service, result });
}

async fn start(
    hub: &Hub,
    mut announcement: Announcement,
) -> Result<(Rc<Server>, UnixListener), ServeError> {
    let paths = hub.paths.server(&announcement.service, &announcement.server)?;
    let folder = hub.paths.service(&announcement.service)?;
    folder::ensure_within(hub.paths.socket_dir(), &folder, &hub.allow)?;
    let (mut lock, last) = take_lock(&announcement, &paths).await?;
    if hub.is_closing() {
        return Err(ServeError::Closed);
    }
    announcement.epoch = next_epoch(last.epoch, SystemTime::now());
    lock.sign(std::process::id(), announcement.node, announcement.epoch)
        .map_err(|error| failed("cannot write the lock of", &paths, &error))?;
    let (listener, inode) =
        publish(&paths, &hub.allow).map_err(|error| failed("cannot listen at", &paths, &error))?;
    Ok((Rc::new(Server::new(paths, announcement, lock, inode)), listener))
}

async fn take_lock(
    announcement: &Announcement,
    paths: &ServerPaths,
) -> Result<(Lock, Holder), ServeError> {
    let until = Instant::now() + PATIENCE;
    loop {
        let taken =
            Lock::take(&paths.lock).map_err(|error| failed("cannot lock", paths, &error))?;
        match taken {
            Taken::Ours(lock, last) => return Ok((lock, last)),
            Taken::Held(holder) if Instant::now() > until || is_reachable(paths) => {
                return Err(ServeError::IdentityTaken(taken_by(announcement, &holder)));
            }
            Taken::Held(_) => sleep(FIRST_WAIT).await,
        }
    }
}

/// Whether somebody listens at the socket.
fn is_reachable(paths: &ServerPaths) -> bool {
    StdUnixStream::connect(&paths.socket).is_ok()
}

fn taken_by(announcement: &Announcement, holder: &Holder) -> String {
    let Announcement { service, server, .. } = announcement;
    let mut text = format!("a live server of `{service}` has the id `{server}` already");
    if let Some(pid) = holder.pid {
        let _ = write!(text, ": process {pid}");
    }
    text.push_str("; give this one another [server] id, or none to have one made up");
    text
}

fn failed(what: &str, paths: &ServerPaths, error: &io::Error) -> ServeError {
    let path = paths.socket.display();
    ServeError::Transport(LinkError::new(format!("{what} {path}: {error}")))
}

impl From<PathError> for ServeError {
    fn from(error: PathError) -> Self {
        ServeError::Unusable(error.to_string())
    }
}

impl From<FolderError> for ServeError {
    fn from(error: FolderError) -> Self {
        ServeError::Transport(LinkError::new(error.to_string()))
    }
}

async fn accept(hub: Rc<Hub>, server: Rc<Server>, mut listener: UnixListener) {
    let mut look = interval(LOOK_AFTER);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut backoff = Backoff::new(FIRST_WAIT, LAST_WAIT);
    loop {
        hub.inbox.room().await;
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    backoff.reset();
                    admit(&hub, &server, socket);
                }
                // Such as too many open files. The connection waits in the socket's queue.
                Err(error) => {
                    let wait = backoff.next(Backoff::random());
                    tracing::warn!(%error, ?wait, "cannot accept a connection, trying again");
                    sleep(wait).await;
                }
            },
            _ = look.tick() => if server.is_lost() {
                match recover(&hub, &server) {
                    Ok(new) => {
                        while let Some(Ok((socket, _))) = listener.accept().now_or_never() {
                            admit(&hub, &server, socket);
                        }
                        listener = new;
                        tracing::warn!("somebody removed a server's socket; it is there again");
                    }
                    Err(error) => tracing::error!(%error, "a server's socket is gone"),
                }
            }
        }
    }
}

fn recover(hub: &Hub, server: &Server) -> io::Result<UnixListener> {
    let service = server.announcement().service;
    let folder = hub.paths.service(&service).map_err(io::Error::other)?;
    folder::ensure_within(hub.paths.socket_dir(), &folder, &hub.allow).map_err(io::Error::other)?;
    server.recover(&hub.allow)
}

fn admit(hub: &Rc<Hub>, server: &Rc<Server>, socket: UnixStream) {
    let peer = match session::credentials(&socket) {
        Ok(peer) => peer,
        Err(error) => return tracing::debug!(%error, "a connection ended before it began"),
    };
    let uid = peer.uid;
    if !uid.is_some_and(|uid| hub.allow.admits(uid)) {
        let who = session::who(&peer);
        let reason = match uid {
            Some(uid) => format!("{who} may not connect: [unix] allow_uids does not list {uid}"),
            None => format!("{who} may not connect"),
        };
        session::turn_away(socket, &reason);
        return hub.inbox.push(Inbound::Rejected { reason });
    }
    let max = hub.limits.max_peers;
    let Some(seat) = Seat::take(server, max) else {
        let reason = format!("the server has as many peers as it takes ({max})");
        session::turn_away(socket, &reason);
        let reason = format!("{} was turned away: {reason}", session::who(&peer));
        return hub.inbox.push(Inbound::Rejected { reason });
    };
    let (hub_, server) = (Rc::clone(hub), Rc::clone(server));
    hub.tasks.spawn(async move {
        session::run(&hub_, socket, peer, Side::Server(server)).await;
        drop(seat);
    });
}
