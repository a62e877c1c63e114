//! Finds servers: every socket in the folders of the services that are watched.
//!
//! The operating system tells of changes; if it cannot (it gives each user only so many watchers),
//! the folders are looked through several times a second.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use compact_str::CompactString;
use farcall_core::transport::{Inbound, LinkError, Watch};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::dial::{self, Dial};
use crate::folder;
use crate::hub::Hub;
use crate::paths::{self, ServerPaths};
use crate::watcher::Watcher;

/// How often folders are looked through when nobody tells of changes.
const POLL: Duration = Duration::from_millis(200);

/// What is watched, and what was found.
#[derive(Debug, Default)]
pub(crate) struct Discovery {
    services: RefCell<BTreeSet<CompactString>>,
    everything: Cell<bool>,
    /// Watches whose first look has not begun.
    fresh: RefCell<Vec<Watch>>,
    is_running: Cell<bool>,
    /// There is something to look for. Notified from the watcher's thread.
    news: Arc<Notify>,
    /// By socket.
    dials: RefCell<HashMap<PathBuf, Rc<Dial>>>,
}

impl Discovery {
    /// The socket is gone; another that appears there is a new one.
    pub(crate) fn forget(&self, dial: &Rc<Dial>) {
        let mut dials = self.dials.borrow_mut();
        if dials.get(dial.socket()).is_some_and(|known| Rc::ptr_eq(known, dial)) {
            dials.remove(dial.socket());
        }
    }

    pub(crate) fn end(&self) {
        let dials = self.dials.take();
        // Dropped without a borrow: with it end the looks.
        drop(dials);
    }
}

/// The first look of a watch: over when the last of the servers it found has let go of this.
#[derive(Debug)]
pub(crate) struct FirstLook {
    hub: Weak<Hub>,
    watch: Watch,
    failed: RefCell<Option<LinkError>>,
}

impl FirstLook {
    fn is_for(&self, service: &str) -> bool {
        match &self.watch {
            Watch::Service(watched) => watched == service,
            Watch::Everything => true,
        }
    }
}

impl Drop for FirstLook {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade().filter(|hub| !hub.is_closing()) {
            let result = self.failed.take().map_or(Ok(()), Err);
            hub.inbox.push(Inbound::Watching { watch: self.watch.clone(), result });
        }
    }
}

/// Begins to watch; asking again is answered again.
pub(crate) fn watch(hub: &Rc<Hub>, watch: Watch) {
    let discovery = &hub.discovery;
    match &watch {
        Watch::Service(service) => {
            if let Err(error) = hub.paths.service(service) {
                let result = Err(LinkError::new(error.to_string()));
                return hub.inbox.push(Inbound::Watching { watch, result });
            }
            discovery.services.borrow_mut().insert(service.clone());
        }
        Watch::Everything => discovery.everything.set(true),
    }
    discovery.fresh.borrow_mut().push(watch);
    discovery.news.notify_one();
    if !discovery.is_running.replace(true) {
        hub.tasks.spawn(run(Rc::clone(hub)));
    }
}

async fn run(hub: Rc<Hub>) {
    let news = Arc::clone(&hub.discovery.news);
    let mut folders = Folders::new(Arc::clone(&news));
    loop {
        match folders.poll_every() {
            None => news.notified().await,
            // What comes of the timeout is the same look.
            Some(every) => drop(timeout(every, news.notified()).await),
        }
        let looks: Vec<_> = hub
            .discovery
            .fresh
            .take()
            .into_iter()
            .map(|watch| {
                let (hub, failed) = (Rc::downgrade(&hub), RefCell::default());
                Rc::new(FirstLook { hub, watch, failed })
            })
            .collect();
        look(&hub, &mut folders, &looks);
    }
}

/// Looks through all folders and dials what is new in them.
fn look(hub: &Rc<Hub>, folders: &mut Folders, looks: &[Rc<FirstLook>]) {
    let mut services = hub.discovery.services.borrow().clone();
    if hub.discovery.everything.get() {
        let listed = folders.list(hub, hub.paths.namespace());
        for name in or_tell(hub, listed, looks, Watch::Everything) {
            if let Some(service) = name.to_str().filter(|name| paths::is_service(name))
                && hub.paths.namespace().join(service).is_dir()
            {
                services.insert(service.into());
            }
        }
    }
    for service in services {
        let Ok(folder) = hub.paths.service(&service) else { continue };
        let listed = folders.list(hub, &folder);
        let names = or_tell(hub, listed, looks, Watch::Service(service.clone()));
        let looks = || looks.iter().filter(|look| look.is_for(&service)).cloned().collect();
        for name in names {
            if let Some(server) = paths::server_id(&name)
                && let Ok(paths) = hub.paths.server(&service, server)
                && is_socket(&paths.socket)
            {
                found(hub, &service, server, paths, looks());
            }
        }
    }
}

/// What was listed. If that failed, whoever watches just this is told: by the first look, or at once
/// if it fails only now.
fn or_tell(hub: &Hub, listed: Listed, looks: &[Rc<FirstLook>], watch: Watch) -> Vec<OsString> {
    let Failed { error, is_new } = match listed {
        Ok(names) => return names,
        Err(failed) => failed,
    };
    let mut fresh = looks.iter().filter(|look| look.watch == watch).peekable();
    if fresh.peek().is_none() && is_new {
        hub.inbox.push(Inbound::Watching { watch, result: Err(error) });
        return Vec::new();
    }
    for look in fresh {
        look.failed.replace(Some(error.clone()));
    }
    Vec::new()
}

fn found(
    hub: &Rc<Hub>,
    service: &str,
    server: &str,
    paths: ServerPaths,
    looks: Vec<Rc<FirstLook>>,
) {
    let mut dials = hub.discovery.dials.borrow_mut();
    if let Some(dial) = dials.get(&paths.socket) {
        return dial.seen(looks);
    }
    let dial = Rc::new(Dial::new(service, server, paths));
    dial.seen(looks);
    dials.insert(dial.socket().to_owned(), Rc::clone(&dial));
    hub.tasks.spawn(dial::keep(Rc::clone(hub), dial));
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

/// The names of the files in a folder.
type Listed = Result<Vec<OsString>, Failed>;

/// Why a folder cannot be listed.
struct Failed {
    error: LinkError,
    /// It was not so when it was tried last.
    is_new: bool,
}

/// The folders that are looked through.
struct Folders {
    /// `None`: nobody tells of changes.
    watcher: Option<Watcher>,
    /// Folders that cannot be used, each told of once.
    complained: HashSet<PathBuf>,
}

impl Folders {
    fn new(news: Arc<Notify>) -> Self {
        let watcher = Watcher::new(news).map_err(|error| cannot_watch(&error)).ok();
        Folders { watcher, complained: HashSet::new() }
    }

    fn poll_every(&self) -> Option<Duration> {
        // A folder that is not there, and not ours to make, may appear.
        (self.watcher.is_none() || !self.complained.is_empty()).then_some(POLL)
    }

    /// Names of the files in a folder, which is made and watched first: what appears after this is
    /// told of.
    fn list(&mut self, hub: &Hub, folder: &Path) -> Listed {
        let made = folder::ensure_within(hub.paths.socket_dir(), folder, &hub.allow);
        let listed = made.map_err(io::Error::other).and_then(|()| {
            self.watch(folder)?;
            fs::read_dir(folder)
        });
        match listed {
            Ok(files) => {
                self.complained.remove(folder);
                Ok(files.filter_map(|file| Some(file.ok()?.file_name())).collect())
            }
            Err(error) => {
                let is_new = self.complain(folder, &error);
                let error = LinkError::new(format!("cannot look for servers: {error}"));
                Err(Failed { error, is_new })
            }
        }
    }

    fn watch(&mut self, folder: &Path) -> io::Result<()> {
        if let Some(watcher) = &self.watcher {
            let found = fs::metadata(folder)?;
            let id = (found.dev(), found.ino(), found.created().ok());
            if let Err(error) = watcher.watch(folder, id) {
                cannot_watch(&error);
                self.watcher = None;
            }
        }
        Ok(())
    }

    /// Whether this was not said before.
    fn complain(&mut self, folder: &Path, error: &dyn fmt::Display) -> bool {
        let is_new = self.complained.insert(folder.to_owned());
        if is_new {
            tracing::warn!(folder = %folder.display(), %error, "cannot look for servers");
        }
        is_new
    }
}

fn cannot_watch(error: &notify::Error) {
    tracing::warn!(%error, every = ?POLL, "nobody tells of new sockets; looking for them instead");
}
