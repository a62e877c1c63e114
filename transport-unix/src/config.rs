//! The table `[unix]`.

use std::path::{Path, PathBuf};

use farcall_core::config::Section;

/// Where sockets lie, and who may connect to them.
///
/// ```
/// use farcall_transport_unix::UnixConfig;
///
/// let config = UnixConfig { socket_dir: "/run/calc".into(), ..UnixConfig::default() };
/// assert!(config.allow_uids.is_empty(), "only our own user");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixConfig {
    /// The folder of all sockets, which lie at `<socket_dir>/<namespace>/<service>/<server id>.sock`.
    ///
    /// Nodes find each other if they name the same one. It is made if it is not there; it and the
    /// folders in it must belong to this user (or root, or one of `allow_uids`), and nobody else
    /// may write in them. Default: `$XDG_RUNTIME_DIR/farcall`, or `farcall-<user id>` in the
    /// system's folder for temporary files. Set it where some of the programs are started without
    /// that variable, such as by cron or as a service of the system.
    pub socket_dir: PathBuf,
    /// Other users who may connect to servers of this node, and whose servers this node calls.
    ///
    /// Empty by default: folders then have mode 0700 and sockets 0600. Otherwise it is 0755 and
    /// 0666, so that others can find and reach the sockets, and each connection's user is checked
    /// before anything is read from it. This user and root are always allowed.
    pub allow_uids: Vec<u32>,
}

impl Default for UnixConfig {
    fn default() -> Self {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let uid = rustix::process::geteuid().as_raw();
        UnixConfig {
            socket_dir: default_dir(runtime.as_deref(), &std::env::temp_dir(), uid),
            allow_uids: Vec::new(),
        }
    }
}

impl UnixConfig {
    pub(crate) fn read(section: &mut Section<'_>) -> Self {
        let default = UnixConfig::default();
        let dir = section.text_or("socket_dir", &default.socket_dir.to_string_lossy());
        if dir.is_empty() {
            section.reject("socket_dir", "the path of a folder, such as /run/farcall");
        }
        let set = section.is_set("socket_dir");
        UnixConfig {
            // The default is text only for the report; as a path it need not be UTF-8.
            socket_dir: if set { dir.into() } else { default.socket_dir },
            allow_uids: section.list_of_u32("allow_uids", &[]),
        }
    }
}

/// A relative `XDG_RUNTIME_DIR` is invalid by its specification, and ignored.
fn default_dir(runtime: Option<&Path>, temporary: &Path, uid: u32) -> PathBuf {
    match runtime.filter(|dir| dir.is_absolute()) {
        Some(dir) => dir.join("farcall"),
        None => temporary.join(format!("farcall-{uid}")),
    }
}

/// The users who may connect.
#[derive(Clone, Debug)]
pub(crate) struct Allow {
    own: u32,
    others: Vec<u32>,
}

impl Allow {
    pub(crate) fn new(own: u32, others: Vec<u32>) -> Self {
        Allow { own, others }
    }

    /// This user and whom it named.
    pub(crate) fn of(config: &UnixConfig) -> Self {
        Allow::new(rustix::process::geteuid().as_raw(), config.allow_uids.clone())
    }

    pub(crate) fn admits(&self, uid: u32) -> bool {
        uid == self.own || uid == 0 || self.others.contains(&uid)
    }

    pub(crate) fn is_own(&self, uid: u32) -> bool {
        uid == self.own
    }

    /// Whether folders and sockets are open to others.
    pub(crate) fn is_open(&self) -> bool {
        !self.others.is_empty()
    }

    /// Others need to list folders in order to find servers.
    pub(crate) fn folder_mode(&self) -> u32 {
        if self.is_open() { 0o755 } else { 0o700 }
    }

    pub(crate) fn socket_mode(&self) -> u32 {
        if self.is_open() { 0o666 } else { 0o600 }
    }
}

#[cfg(test)]
mod tests {
    use farcall_core::config::Layers;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<UnixConfig, String> {
        let variables = variables.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        let layers = Layers::new(None, variables).unwrap();
        let mut reading = layers.read();
        let config = UnixConfig::read(&mut reading.section("unix"));
        reading.finish().map(|_| config).map_err(|error| error.to_string())
    }

    #[test]
    fn sockets_lie_in_the_runtime_folder_or_a_temporary_one() {
        let (run, tmp) = (Path::new("/run/user/7"), Path::new("/tmp"));
        assert_eq!(default_dir(Some(run), tmp, 7), Path::new("/run/user/7/farcall"));
        assert_eq!(default_dir(None, tmp, 7), Path::new("/tmp/farcall-7"));
        assert_eq!(default_dir(Some(Path::new("run")), tmp, 7), Path::new("/tmp/farcall-7"));
    }

    #[test]
    fn the_table_is_read() {
        assert_eq!(read(&[]), Ok(UnixConfig::default()));
        let config =
            read(&[("FARCALL_UNIX__SOCKET_DIR", "/s"), ("FARCALL_UNIX__ALLOW_UIDS", "1,2")]);
        assert_eq!(config, Ok(UnixConfig { socket_dir: "/s".into(), allow_uids: vec![1, 2] }));
    }

    #[test]
    fn an_empty_folder_is_a_mistake() {
        let mistake = read(&[("FARCALL_UNIX__SOCKET_DIR", "")]).unwrap_err();
        assert!(mistake.contains("unix.socket_dir"), "{mistake}");
    }

    #[test]
    fn root_and_ourselves_are_always_allowed() {
        let nobody_else = Allow::new(7, vec![]);
        assert!(nobody_else.admits(7) && nobody_else.admits(0) && !nobody_else.admits(8));
        assert!(Allow::new(7, vec![8]).admits(8));
    }

    #[test]
    fn modes_are_closed_unless_others_are_allowed() {
        let closed = Allow::new(7, vec![]);
        assert_eq!((closed.folder_mode(), closed.socket_mode()), (0o700, 0o600));
        let open = Allow::new(7, vec![8]);
        assert_eq!((open.folder_mode(), open.socket_mode()), (0o755, 0o666));
    }
}
