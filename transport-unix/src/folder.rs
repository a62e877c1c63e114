//! Folders that sockets can be trusted in.
//!
//! Whoever may write in a folder may put a socket of their own there, and be taken for the server.
//! So a folder is used only if it belongs to us, to root or to a user we allow, and if nobody
//! besides its owner may write in it.

use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::config::Allow;

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    #[error(
        "{path} belongs to user {owner}, who is neither this user nor root: remove it, choose \
         another [unix] socket_dir, or add {owner} to [unix] allow_uids if that user is trusted"
    )]
    Foreign { path: PathBuf, owner: u32 },
    #[error(
        "{path} has mode {mode:03o}, so that others may put sockets into it: chmod go-w it, or \
         choose another [unix] socket_dir"
    )]
    Writable { path: PathBuf, mode: u32 },
    #[error("{path} is no folder: remove it, or choose another [unix] socket_dir")]
    NotAFolder { path: PathBuf },
    #[error("{what} {path}: {error}; is [unix] socket_dir right?")]
    Io { what: &'static str, path: PathBuf, error: io::Error },
}

/// Makes the folder if it is not there, with all that lead to it, and checks it.
pub(crate) fn ensure_with_parents(path: &Path, allow: &Allow) -> Result<(), FolderError> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(allow.folder_mode()).create(parent).map_err(
            |error| FolderError::Io { what: "cannot create", path: parent.into(), error },
        )?;
    }
    ensure(path, allow)
}

/// Makes the folder and those between it and `top` if they are not there, and checks all of them:
/// whoever may write in one of them may put another in the place of the next.
pub(crate) fn ensure_within(top: &Path, path: &Path, allow: &Allow) -> Result<(), FolderError> {
    ensure_with_parents(top, allow)?;
    let mut at = top.to_owned();
    for name in path.strip_prefix(top).into_iter().flatten() {
        at.push(name);
        ensure(&at, allow)?;
    }
    Ok(())
}

/// Makes the folder if it is not there, and checks it.
fn ensure(path: &Path, allow: &Allow) -> Result<(), FolderError> {
    let failed = |what| move |error| FolderError::Io { what, path: path.into(), error };
    let mode = allow.folder_mode();
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed("cannot create")(error)),
    }
    let found = inspect(path).map_err(failed("cannot inspect"))?;
    check(path, &found, allow)?;
    // The process's umask may have taken bits off a new folder, and an old one may be from before
    // others were allowed.
    if allow.is_own(found.uid()) && found.mode() & mode != mode {
        let permissions = Permissions::from_mode(found.mode() & 0o7777 | mode);
        fs::set_permissions(path, permissions).map_err(failed("cannot set the mode of"))?;
    }
    Ok(())
}

/// What is at the path, or behind the link at it; the link's owner counts as well.
fn inspect(path: &Path) -> io::Result<Found> {
    let here = fs::symlink_metadata(path)?;
    if here.is_symlink() {
        return Ok(Found { link_owner: Some(here.uid()), target: fs::metadata(path)? });
    }
    Ok(Found { link_owner: None, target: here })
}

struct Found {
    link_owner: Option<u32>,
    target: Metadata,
}

impl Found {
    fn uid(&self) -> u32 {
        self.target.uid()
    }

    fn mode(&self) -> u32 {
        self.target.mode()
    }
}

fn check(path: &Path, found: &Found, allow: &Allow) -> Result<(), FolderError> {
    let path = || path.to_owned();
    for owner in found.link_owner.into_iter().chain([found.uid()]) {
        if !allow.admits(owner) {
            return Err(FolderError::Foreign { path: path(), owner });
        }
    }
    if !found.target.is_dir() {
        return Err(FolderError::NotAFolder { path: path() });
    }
    if found.mode() & 0o022 != 0 {
        return Err(FolderError::Writable { path: path(), mode: found.mode() & 0o777 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us() -> Allow {
        Allow::new(rustix::process::geteuid().as_raw(), vec![])
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn folders_are_made_for_us_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        ensure_with_parents(&path, &us()).unwrap();
        assert_eq!(mode(&path), 0o700);
        ensure_with_parents(&path, &us()).unwrap();
    }

    #[test]
    fn folders_are_opened_once_others_are_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        ensure(&path, &us()).unwrap();
        ensure(&path, &Allow::new(rustix::process::geteuid().as_raw(), vec![12])).unwrap();
        assert_eq!(mode(&path), 0o755);
    }

    #[test]
    fn a_folder_that_others_may_write_in_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for writable in [0o720, 0o702, 0o777] {
            set_mode(dir.path(), writable);
            let error = ensure(dir.path(), &us()).unwrap_err().to_string();
            assert!(error.contains(&format!("{writable:o}")) && error.contains("chmod"), "{error}");
        }
    }

    #[test]
    fn a_folder_of_somebody_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let owner = fs::metadata(dir.path()).unwrap().uid();
        if owner == 0 {
            std::os::unix::fs::chown(dir.path(), Some(12), None).unwrap();
        }
        let owner = fs::metadata(dir.path()).unwrap().uid();
        let error = ensure(dir.path(), &Allow::new(owner + 1, vec![])).unwrap_err().to_string();
        assert!(error.contains(&format!("belongs to user {owner}")), "{error}");
        assert!(ensure(dir.path(), &Allow::new(owner + 1, vec![owner])).is_ok());
    }

    #[test]
    fn a_file_is_no_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "").unwrap();
        assert!(matches!(ensure(&path, &us()), Err(FolderError::NotAFolder { .. })));
    }

    #[test]
    fn our_own_link_to_a_good_folder_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, link) = (dir.path().join("folder"), dir.path().join("link"));
        ensure(&folder, &us()).unwrap();
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        ensure(&link, &us()).unwrap();
        set_mode(&folder, 0o777);
        assert!(ensure(&link, &us()).is_err());
    }
}
