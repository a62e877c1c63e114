//! Which task of which ledger a key belongs to, for all servers of a service.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::ledger::{ArgumentsHash, Key, TaskId, broken};

/// The folder `keys`, and its lock. What is in it is written under the lock, and durable before the task is.
#[derive(Debug)]
pub(super) struct Keys {
    folder: PathBuf,
    lock: File,
}

/// Nobody else gives a key while this lives.
#[derive(Debug)]
pub(super) struct Giving<'a>(&'a Keys);

/// What is written of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) task: TaskId,
    pub(super) arguments: ArgumentsHash,
    /// The task is recorded. This alone need not survive: who reads the ledger next makes it good.
    pub(super) recorded: bool,
}

const SIZE: usize = 16 + 8 + 32;
const RECORDED: u8 = 1;

impl Keys {
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(folder.join("keys.lock"))?;
        Ok(Keys { folder: folder.join("keys"), lock })
    }

    pub(super) fn give(&self) -> io::Result<Giving<'_>> {
        self.lock.lock()?;
        Ok(Giving(self))
    }

    fn file(&self, method: &str, key: &Key) -> PathBuf {
        let mut hash = Sha256::new();
        hash.update((method.len() as u64).to_be_bytes());
        hash.update(method);
        hash.update(&key.key);
        let name: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(name)
    }

    /// The task of a key is recorded.
    pub(super) fn recorded(&self, method: &str, key: &Key) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).open(self.file(method, key))?;
        file.write_all(&[RECORDED])
    }

    /// The key belongs to nobody any more.
    pub(super) fn forget(&self, method: &str, key: &Key, task: TaskId) -> io::Result<()> {
        let _giving = self.give()?;
        let file = self.file(method, key);
        match read(&file)? {
            Some(claim) if claim.task == task => fs::remove_file(file),
            _ => Ok(()),
        }
    }

    /// Goes through all claims of a ledger: those of tasks that are not there were never recorded, or are forgotten.
    pub(super) fn tidy(&self, ledger: Uuid, is_there: impl Fn(u64) -> bool) -> io::Result<()> {
        let _giving = self.give()?;
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let Some(claim) = read(&path)?.filter(|claim| claim.task.ledger == ledger) else {
                continue;
            };
            if !is_there(claim.task.number) {
                fs::remove_file(path)?;
            } else if !claim.recorded {
                OpenOptions::new().append(true).open(path)?.write_all(&[RECORDED])?;
            }
        }
        Ok(())
    }
}

impl Giving<'_> {
    /// Whose a key is.
    pub(super) fn claim(&self, method: &str, key: &Key) -> io::Result<Option<Claim>> {
        let claim = read(&self.0.file(method, key));
        if broken!("key given without the lock") {
            let _ = self.0.lock.unlock();
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        claim
    }

    /// Gives a key to a task that is about to be recorded.
    pub(super) fn give(&self, method: &str, key: &Key, task: TaskId) -> io::Result<()> {
        let path = self.0.file(method, key);
        let new = path.with_extension("new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        let mut claim = Vec::with_capacity(SIZE);
        claim.extend(task.ledger.as_bytes());
        claim.extend(task.number.to_be_bytes());
        claim.extend(key.arguments.0);
        file.write_all(&claim)?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(&self.0.folder)?.sync_all()
    }
}

impl Drop for Giving<'_> {
    fn drop(&mut self) {
        // It is let go with the file at the latest.
        let _ = self.0.lock.unlock();
    }
}

/// `None` if there is none, or what is there is none.
fn read(path: &Path) -> io::Result<Option<Claim>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let parse = || {
        let (ledger, rest) = bytes.split_first_chunk::<16>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (arguments, rest) = rest.split_first_chunk::<32>()?;
        Some(Claim {
            task: TaskId { ledger: Uuid::from_bytes(*ledger), number: u64::from_be_bytes(*number) },
            arguments: ArgumentsHash(*arguments),
            recorded: rest.first() == Some(&RECORDED),
        })
    };
    Ok(parse())
}
