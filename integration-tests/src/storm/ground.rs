//! Where a storm is played: a transport, and a store.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use farcall::transport::Transport;
use farcall::unix::{Unix, UnixConfig};
use tempfile::TempDir;

/// A transport and a store with nobody on them yet.
#[derive(Clone, Debug)]
pub struct Ground {
    folder: Arc<TempDir>,
}

impl Ground {
    /// The pairs that can be played on.
    pub const ALL: [(&str, &str); 1] = [("unix", "file")];

    /// A new one.
    ///
    /// # Errors
    /// There is no such pair.
    ///
    /// # Panics
    /// It cannot be made.
    pub fn new(transport: &str, store: &str) -> Result<Self, String> {
        match (transport, store) {
            ("unix", "file") => {
                let folder = tempfile::tempdir().expect("a temporary folder");
                Ok(Ground { folder: Arc::new(folder) })
            }
            other => Err(format!("no storm is played on {other:?}, but on {:?}", Self::ALL)),
        }
    }

    /// Its folder, for notes.
    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What its processes have in their environment.
    pub(super) fn variables(&self) -> Vec<(&'static str, String)> {
        let path = |name| self.path().join(name).display().to_string();
        vec![
            ("FARCALL_TRANSPORT", "unix".to_owned()),
            ("FARCALL_UNIX__SOCKET_DIR", path("sockets")),
            ("FARCALL_LEDGER__STORE", "file".to_owned()),
            ("FARCALL_LEDGER__PATH", path("ledger")),
        ]
    }

    /// A way into it.
    pub(super) fn transport(&self) -> Box<dyn Transport> {
        let config =
            UnixConfig { socket_dir: self.path().join("sockets"), ..UnixConfig::default() };
        Box::new(Unix::new(config))
    }

    /// Whether tasks of a server that only does not answer may be taken over.
    pub(super) fn has_leases(&self) -> bool {
        false
    }

    /// The longest that a server is stopped for: beyond the lease, if there is one, and what it takes to adopt a
    /// ledger otherwise.
    pub(super) fn longest_pause(&self) -> Duration {
        Duration::from_millis(1500)
    }

    /// Whether a server has everything that is recorded, if it is the only one.
    pub(super) fn has_all(&self, server: &str) -> bool {
        let signed = |lock: &PathBuf| {
            let text = fs::read_to_string(lock).unwrap_or_default();
            text.lines().any(|line| line.strip_prefix("server ") == Some(server))
        };
        self.files("lock").iter().filter(|lock| lock.with_extension("redb").exists()).all(signed)
    }

    /// What is there of which nobody has any use, when no server runs, and so many tasks with keys are recorded.
    pub(super) fn remains(&self, keyed: usize) -> Vec<String> {
        let mut remains = Vec::new();
        for lock in self.files("lock") {
            let is_free = File::open(&lock).is_ok_and(|file| file.try_lock().is_ok());
            if !is_free {
                remains.push(format!("{} is held", lock.display()));
            }
        }
        let claims = self.entries("storm/keys");
        if claims.len() != keyed {
            remains.push(format!("{} claims of keys for {keyed} tasks with keys", claims.len()));
        }
        remains
    }

    fn entries(&self, folder: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path().join("ledger/default").join(folder));
        let entries = entries.into_iter().flatten();
        entries.map(|entry| entry.expect("its folder is there").path()).collect()
    }

    fn files(&self, ending: &str) -> Vec<PathBuf> {
        let ends = |path: &PathBuf| path.extension().is_some_and(|it| it == ending);
        let of_ledgers = |path: &PathBuf| path.file_name().is_some_and(|it| it != "keys.lock");
        self.entries("storm").into_iter().filter(ends).filter(of_ledgers).collect()
    }
}
