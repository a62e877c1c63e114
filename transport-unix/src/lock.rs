//! The lock that makes a server the only one of its identity.
//!
//! ```text
//! pid 4711
//! node 6b0f1c1e-5a8c-4a4e-9d0c-5f2f8e4f3b10
//! epoch 1795219200000000
//! ```
//!
//! The operating system lets go of it when its holder dies, however that happens. The file itself
//! may then be left over, and is removed by whoever takes the lock next.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use farcall_core::wire::NodeId;

use crate::paths::ServerPaths;

/// A lock that is held until it is dropped, which also removes the file.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

/// What a lock file says of its holder, living or dead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) pid: Option<u32>,
    pub(crate) node: Option<String>,
    pub(crate) epoch: u64,
}

/// The outcome of [`Lock::take`].
#[derive(Debug)]
pub(crate) enum Taken {
    /// It is ours; its last holder left this.
    Ours(Lock, Holder),
    /// Somebody holds it.
    Held(Holder),
}

impl Lock {
    /// Takes the lock if nobody holds it.
    pub(crate) fn take(path: &Path) -> io::Result<Taken> {
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
                .open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(Taken::Held(Holder::read(&mut file))),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // The last holder removes the file before it lets go. Whoever opened it before that
            // now holds the lock of a file that nobody will find: it is not the lock.
            let lock = Lock { file, path: path.to_owned() };
            if lock.is_current() {
                let last = Holder::read(&mut &lock.file);
                return Ok(Taken::Ours(lock, last));
            }
            // Its `Drop` leaves alone what is not its own.
        }
    }

    /// Whether the file at the path is still the one that is locked.
    pub(crate) fn is_current(&self) -> bool {
        let held = self.file.metadata().map(|held| (held.dev(), held.ino()));
        let found = fs::symlink_metadata(&self.path).map(|found| (found.dev(), found.ino()));
        matches!((held, found), (Ok(held), Ok(found)) if held == found)
    }

    /// Writes down who holds it.
    pub(crate) fn sign(&mut self, pid: u32, node: NodeId, epoch: u64) -> io::Result<()> {
        let text = format!("pid {pid}\nnode {node}\nepoch {epoch}\n");
        self.file.rewind()?;
        self.file.write_all(text.as_bytes())?;
        self.file.set_len(text.len() as u64)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while it is locked: whoever opened it meanwhile will see that it is gone.
        if self.is_current() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Holder {
    /// What cannot be read is left out: the file may be written at this moment.
    fn read(file: &mut impl Read) -> Self {
        let mut text = String::new();
        let _ = file.take(1024).read_to_string(&mut text);
        Holder::parse(&text)
    }

    fn parse(text: &str) -> Self {
        let mut holder = Holder::default();
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("pid", pid)) => holder.pid = pid.parse().ok(),
                Some(("node", node)) => holder.node = Some(node.to_owned()),
                Some(("epoch", epoch)) => holder.epoch = epoch.parse().unwrap_or(0),
                _ => {}
            }
        }
        holder
    }
}

/// The epoch after `last`: the clock in microseconds, so that it also grows where no file tells of
/// the last one.
pub(crate) fn next_epoch(last: u64, now: SystemTime) -> u64 {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    u64::try_from(now).unwrap_or(u64::MAX).max(last.saturating_add(1))
}

/// Removes what a dead server has left; `false` if it is not dead.
pub(crate) fn bury(server: &ServerPaths) -> io::Result<bool> {
    let Taken::Ours(_lock, _) = Lock::take(&server.lock)? else { return Ok(false) };
    // Servers hold the lock as long as they have a socket, so this one has no server.
    remove_socket(&server.socket)?;
    remove_socket(&server.unready)?;
    Ok(true)
}

/// Removes a socket, if there is one; another kind of file is not ours to remove.
pub(crate) fn remove_socket(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        },
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("{} is in the way and no socket", path.display()),
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ours(taken: io::Result<Taken>) -> (Lock, Holder) {
        match taken.unwrap() {
            Taken::Ours(lock, last) => (lock, last),
            Taken::Held(holder) => panic!("held by {holder:?}"),
        }
    }

    #[test]
    fn one_holder_at_a_time_and_the_file_says_who() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lock");
        let (mut lock, last) = ours(Lock::take(&path));
        assert_eq!(last, Holder::default());
        let node = NodeId::generate();
        lock.sign(1_000_000, node, 7).unwrap();
        lock.sign(12, node, 8).unwrap();
        let Taken::Held(holder) = Lock::take(&path).unwrap() else { panic!("taken twice") };
        assert_eq!(holder, Holder { pid: Some(12), node: Some(node.to_string()), epoch: 8 });
    }

    #[test]
    fn the_file_goes_with_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lock");
        drop(ours(Lock::take(&path)));
        assert!(!path.exists());
    }

    #[test]
    fn a_file_left_by_a_dead_holder_is_taken_over_with_its_epoch() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lock");
        fs::write(&path, "pid 12\nepoch 99\n").unwrap();
        assert_eq!(ours(Lock::take(&path)).1.epoch, 99);
    }

    #[test]
    fn a_lock_whose_file_was_replaced_is_not_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.lock");
        let (first, _) = ours(Lock::take(&path));
        fs::remove_file(&path).unwrap();
        assert!(!first.is_current());
        let (second, _) = ours(Lock::take(&path));
        drop(first);
        assert!(second.is_current(), "the first has left the second's file alone");
    }

    #[test]
    fn epochs_grow_by_the_clock_or_by_one() {
        let at = |micros| UNIX_EPOCH + Duration::from_micros(micros);
        assert_eq!(next_epoch(0, at(500)), 500);
        assert_eq!(next_epoch(500, at(500)), 501);
        assert_eq!(next_epoch(900, at(500)), 901);
    }

    #[test]
    fn garbage_in_the_file_is_no_holder() {
        assert_eq!(Holder::parse("pid x\nepoch -1\n\nnonsense"), Holder::default());
    }
}
