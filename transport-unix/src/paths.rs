//! Where things lie: `<socket_dir>/<namespace>/<service>/<server id>.sock`, and beside it the
//! server's lock.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use farcall_core::config::{InvalidName, Name};

/// The longest path a socket can have, in bytes: `sun_path` less its closing zero.
pub(crate) const LONGEST: usize =
    if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };

/// The paths of one namespace.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    socket_dir: PathBuf,
    namespace: PathBuf,
}

/// The paths of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerPaths {
    /// What clients connect to.
    pub(crate) socket: PathBuf,
    /// What the socket is called until it listens. No longer than `socket`, so that whatever can be
    /// found can also be made.
    pub(crate) unready: PathBuf,
    /// Whoever holds its lock is the server.
    pub(crate) lock: PathBuf,
}

/// Why there can be no socket at a path.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PathError {
    #[error(
        "the socket's path {path} has {len} bytes and the operating system takes {LONGEST}: shorten \
         [unix] socket_dir by {} or more, or the namespace, service or server id in it",
        .len - LONGEST
    )]
    TooLong { path: PathBuf, len: usize },
    #[error(
        "[unix] socket_dir {path} is too long for any socket: with the namespace a socket's path \
         has {len} bytes or more, and the operating system takes {LONGEST}"
    )]
    DirTooLong { path: PathBuf, len: usize },
    #[error("the {what} `{}` cannot be part of a path: {error}", .name.escape_debug())]
    Name { what: &'static str, name: String, error: InvalidName },
}

impl Paths {
    /// Checks the names and, as far as it can be told, the length.
    pub(crate) fn new(socket_dir: &Path, namespace: &str) -> Result<Self, PathError> {
        check("namespace", namespace)?;
        let paths =
            Paths { socket_dir: socket_dir.to_owned(), namespace: socket_dir.join(namespace) };
        let shortest = paths.namespace.join("s/0.sock").as_os_str().len();
        if shortest > LONGEST {
            return Err(PathError::DirTooLong { path: paths.socket_dir, len: shortest });
        }
        Ok(paths)
    }

    /// The folder of everything.
    pub(crate) fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    /// The folder of the namespace.
    pub(crate) fn namespace(&self) -> &Path {
        &self.namespace
    }

    /// The folder of a service.
    pub(crate) fn service(&self, service: &str) -> Result<PathBuf, PathError> {
        check("service", service)?;
        Ok(self.namespace.join(service))
    }

    /// The paths of a server, if a socket can lie there.
    pub(crate) fn server(&self, service: &str, server: &str) -> Result<ServerPaths, PathError> {
        check("server id", server)?;
        let folder = self.service(service)?;
        let paths = ServerPaths {
            socket: folder.join(format!("{server}.sock")),
            unready: folder.join(format!("{server}.new")),
            lock: folder.join(format!("{server}.lock")),
        };
        let len = paths.socket.as_os_str().len();
        if len > LONGEST {
            return Err(PathError::TooLong { path: paths.socket, len });
        }
        Ok(paths)
    }
}

/// The server id that a file's name stands for, if it is that of a socket.
pub(crate) fn server_id(file_name: &std::ffi::OsStr) -> Option<&str> {
    let id = std::str::from_utf8(file_name.as_bytes()).ok()?.strip_suffix(".sock")?;
    Name::new(id).is_ok().then_some(id)
}

/// Whether a folder's name can be that of a service.
pub(crate) fn is_service(folder_name: &str) -> bool {
    Name::new(folder_name).is_ok()
}

fn check(what: &'static str, name: &str) -> Result<(), PathError> {
    match Name::new(name) {
        Ok(_) => Ok(()),
        Err(error) => Err(PathError::Name { what, name: name.to_owned(), error }),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn paths() -> Paths {
        Paths::new(Path::new("/s"), "default").unwrap()
    }

    #[test]
    fn a_servers_files_lie_side_by_side() {
        let server = paths().server("calc", "a").unwrap();
        assert_eq!(server.socket, Path::new("/s/default/calc/a.sock"));
        assert_eq!(server.lock, Path::new("/s/default/calc/a.lock"));
        assert!(server.unready.as_os_str().len() <= server.socket.as_os_str().len());
    }

    #[test]
    fn a_path_too_long_is_told_with_its_length_and_the_setting() {
        let dir = format!("/{}", "d".repeat(LONGEST - "//default/calc/a.sock".len()));
        let paths = Paths::new(Path::new(&dir), "default").unwrap();
        assert!(paths.server("calc", "a").is_ok());
        let error = paths.server("calc", "abc").unwrap_err().to_string();
        for part in [
            format!("{dir}/default/calc/abc.sock has {} bytes", LONGEST + 2),
            format!("takes {LONGEST}"),
            "[unix] socket_dir by 2 or more".to_owned(),
        ] {
            assert!(error.contains(&part), "{error}");
        }
    }

    #[test]
    fn a_folder_too_long_for_any_socket_is_told_at_once() {
        let dir = format!("/{}", "d".repeat(LONGEST - "//default/s/0.sock".len()));
        assert!(Paths::new(Path::new(&dir), "default").is_ok());
        let error = Paths::new(Path::new(&(dir + "d")), "default").unwrap_err().to_string();
        assert!(error.contains("[unix] socket_dir"), "{error}");
        assert!(error.contains(&format!("{} bytes or more", LONGEST + 1)), "{error}");
    }

    #[test]
    fn names_that_would_lead_elsewhere_are_refused() {
        assert!(Paths::new(Path::new("/s"), "..").is_err());
        assert!(paths().server("../calc", "a").is_err());
        let error = paths().server("calc", "").unwrap_err().to_string();
        assert!(error.starts_with("the server id ``"), "{error}");
    }

    #[test]
    fn a_server_id_is_read_back_from_its_sockets_name() {
        assert_eq!(server_id(OsStr::new("a.sock")), Some("a"));
        assert_eq!(server_id(OsStr::new("a.b.sock")), Some("a.b"));
        for other in ["a.lock", "a.new", "a.sock.lock", ".sock", "sock", "é.sock"] {
            assert_eq!(server_id(OsStr::new(other)), None, "{other}");
        }
    }
}
