//! Keeps this node connected to one socket, as long as there is one.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use compact_str::CompactString;
use farcall_core::transport::{Backoff, Credentials, Inbound};
use farcall_core::wire::Announcement;
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::discovery::FirstLook;
use crate::hub::Hub;
use crate::lock;
use crate::paths::ServerPaths;
use crate::session::{self, Side};

/// The first ceiling of a wait before a next try: what is tried is on this machine.
pub(crate) const FIRST_WAIT: Duration = Duration::from_millis(5);
/// The last ceiling.
pub(crate) const LAST_WAIT: Duration = Duration::from_secs(1);

/// A server that was found.
#[derive(Debug)]
pub(crate) struct Dial {
    service: CompactString,
    server: CompactString,
    paths: ServerPaths,
    state: Cell<State>,
    /// The looks that are not over before this server was met or could not be.
    looks: RefCell<Vec<Rc<FirstLook>>>,
    /// The socket that was tried last.
    tried: Cell<Option<SocketFile>>,
    /// Why it could not be met so far, as core was told.
    told: RefCell<VecDeque<String>>,
    again: Notify,
}

/// How many reasons are remembered.
const TOLD: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A connection is being made.
    Trying,
    /// It is up.
    Met,
    /// It could not be made or has ended; another one follows.
    Waiting,
    /// It may still be up, and none follows.
    Over,
}

/// Which of the sockets that have had a path it is: device, inode, and when it was made.
type SocketFile = (u64, u64, i64, i64);

impl Dial {
    pub(crate) fn new(service: &str, server: &str, paths: ServerPaths) -> Self {
        Dial {
            service: service.into(),
            server: server.into(),
            paths,
            state: Cell::new(State::Trying),
            looks: RefCell::default(),
            tried: Cell::new(None),
            told: RefCell::default(),
            again: Notify::new(),
        }
    }

    /// Where it connects to.
    pub(crate) fn socket(&self) -> &Path {
        &self.paths.socket
    }

    /// Whether this is what the server should say of itself.
    pub(crate) fn is_of(&self, announcement: &Announcement) -> bool {
        announcement.service == self.service && announcement.server == self.server
    }

    /// The socket was seen: a look waits for it if it is being tried, and one that is new is tried
    /// at once.
    pub(crate) fn seen(&self, looks: Vec<Rc<FirstLook>>) {
        match self.state.get() {
            State::Trying => self.looks.borrow_mut().extend(looks),
            State::Met | State::Over => {}
            State::Waiting => {
                if socket_file(self.socket()) != self.tried.get() {
                    self.again.notify_one();
                }
            }
        }
    }

    /// The server has said that it is gone: there is nothing to come back to.
    pub(crate) fn ends(&self) {
        self.state.set(State::Over);
    }

    /// The server has announced itself.
    pub(crate) fn has_met(&self) {
        self.state.set(State::Met);
        self.looks.take();
        self.told.take();
    }

    /// Tells core why the server cannot be reached: each reason once, until it was reached.
    pub(crate) fn complain(&self, hub: &Hub, reason: String) {
        let (service, server) = (self.service.clone(), self.server.clone());
        let mut told = self.told.borrow_mut();
        if told.contains(&reason) {
            return;
        }
        if told.len() == TOLD {
            told.pop_front();
        }
        tracing::info!(%server, %service, %reason, "not connected to a server");
        told.push_back(reason.clone());
        hub.inbox.push(Inbound::Unreachable { service, server, reason });
    }
}

/// Connects, again and again, until the socket is gone.
pub(crate) async fn keep(hub: Rc<Hub>, dial: Rc<Dial>) {
    let began = Instant::now();
    let mut backoff = Backoff::new(FIRST_WAIT, LAST_WAIT);
    loop {
        let tried = Instant::now();
        dial.state.set(State::Trying);
        dial.tried.set(socket_file(dial.socket()));
        let trouble = match connect(&hub, &dial).await {
            Ok((socket, credentials)) => {
                let side = Side::Client(Rc::clone(&dial));
                let outcome = session::run(&hub, socket, credentials, side).await;
                // One that was thrown out at once comes back no faster each time.
                if outcome.was_up && tried.elapsed() > LAST_WAIT {
                    backoff.reset();
                }
                // Of a session that was up core knows by its end.
                Some(outcome.reason).filter(|_| !outcome.was_up)
            }
            Err(error) => match error.kind() {
                ErrorKind::NotFound => break,
                ErrorKind::ConnectionRefused => match lock::bury(&dial.paths) {
                    Ok(true) => {
                        tracing::debug!(socket = %dial.socket().display(), "removed a dead socket");
                        break;
                    }
                    Ok(false) => Some(error.to_string()),
                    Err(denied) => {
                        Some(format!("{error}, and cannot tell whether it is dead: {denied}"))
                    }
                },
                // Its queue of connections is full, so it lives: a first look waits for it.
                ErrorKind::WouldBlock if began.elapsed() < hub.limits.handshake => {
                    sleep(backoff.next(Backoff::random())).await;
                    continue;
                }
                _ => Some(error.to_string()),
            },
        };
        if hub.is_closing() || dial.state.get() == State::Over {
            break;
        }
        dial.state.set(State::Waiting);
        let looks = dial.looks.take();
        if let Some(trouble) = trouble {
            dial.complain(&hub, trouble);
        }
        // After that, so that whoever waits for the look knows it.
        drop(looks);
        tokio::select! {
            () = sleep(backoff.next(Backoff::random())) => {}
            () = dial.again.notified() => backoff.reset(),
        }
    }
    hub.discovery.forget(&dial);
}

async fn connect(hub: &Hub, dial: &Dial) -> io::Result<(UnixStream, Credentials)> {
    let socket = UnixStream::connect(dial.socket()).await?;
    let credentials = session::credentials(&socket)?;
    if !credentials.uid.is_some_and(|uid| hub.allow.admits(uid)) {
        let who = session::who(&credentials);
        return Err(io::Error::new(
            ErrorKind::PermissionDenied,
            format!("it belongs to {who}, whom [unix] allow_uids does not list"),
        ));
    }
    Ok((socket, credentials))
}

fn socket_file(path: &Path) -> Option<SocketFile> {
    let found = fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino(), found.ctime(), found.ctime_nsec()))
}
