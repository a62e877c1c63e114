//! The folder of a service's ledgers: which there are, and who holds which.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::ledger::StoreError;

/// One service's folder.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

/// A ledger that is held, for as long as this lives.
#[derive(Debug)]
pub(super) struct Lock {
    pub(super) ledger: Uuid,
    file: File,
}

impl Folder {
    pub(super) fn open(path: PathBuf) -> Result<Self, StoreError> {
        let folder = Folder(path);
        for made in [folder.0.clone(), folder.0.join("keys")] {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700);
            builder.create(&made).map_err(|it| failed("cannot make the folder", &made, &it))?;
        }
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn file(&self, ledger: Uuid, ending: &str) -> PathBuf {
        self.0.join(format!("{}.{ending}", ledger.simple()))
    }

    /// The ledgers that are here, oldest first by their names, which grow with time.
    pub(super) fn ledgers(&self) -> Result<Vec<Uuid>, StoreError> {
        let failed = |error: io::Error| failed("cannot look into the folder", &self.0, &error);
        let mut ledgers = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(".lock"));
            ledgers.extend(name.and_then(|name| Uuid::try_parse(name).ok()));
        }
        ledgers.sort_unstable();
        Ok(ledgers)
    }

    /// Takes a ledger, if nobody has it.
    pub(super) fn try_lock(&self, ledger: Uuid) -> Result<Option<Lock>, StoreError> {
        let path = self.file(ledger, "lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(|it| failed("cannot open", &path, &it))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { ledger, file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed("cannot lock", &path, &error)),
        }
    }

    /// Who had a ledger last.
    pub(super) fn owner(&self, ledger: Uuid) -> Option<String> {
        let text = fs::read_to_string(self.file(ledger, "lock")).ok()?;
        text.lines().find_map(|line| line.strip_prefix("server ")).map(str::to_owned)
    }
}

impl Lock {
    /// Says who has it, for whoever looks and for this server's next start.
    pub(super) fn sign(&mut self, server: &str) -> io::Result<()> {
        let text = format!("server {server}\npid {}\n", std::process::id());
        let mut now = String::new();
        self.file.rewind()?;
        self.file.read_to_string(&mut now)?;
        if now != text {
            self.file.rewind()?;
            self.file.set_len(0)?;
            self.file.write_all(text.as_bytes())?;
        }
        Ok(())
    }
}

/// What was attempted, where, and what came of it.
pub(super) fn failed(what: &str, path: &Path, error: &dyn std::error::Error) -> StoreError {
    StoreError::new(format!("{what} {}: {error}", path.display()))
}
