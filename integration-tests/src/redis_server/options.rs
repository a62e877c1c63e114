//! How a server is to be.

use std::path::Path;

use super::RedisServer;
use super::certificates::Certificates;
use super::port::Ports;

/// The user by which tests reach a server whatever its passwords are. Its socket lies where nobody
/// else comes.
pub(crate) const USER: &str = "farcall-tests";

/// What a server has beyond a socket in a folder of its own.
///
/// ```
/// use farcall_integration_tests::RedisOptions;
///
/// let server = RedisOptions::new().tcp().password("secret").start();
/// assert!(server.url().starts_with("redis://:secret@127.0.0.1:"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct RedisOptions {
    pub(super) tcp: bool,
    pub(super) tls: bool,
    pub(super) bus: bool,
    pub(super) sentinel: bool,
    pub(super) password: Option<String>,
    aof: bool,
    acl: Option<String>,
    replica_of: Option<u16>,
    lines: Vec<String>,
}

impl RedisOptions {
    /// A Unix socket, nothing on disk, nobody to authenticate.
    #[must_use]
    pub fn new() -> Self {
        RedisOptions::default()
    }

    /// Its [`url`](RedisServer::url) is a port of 127.0.0.1.
    #[must_use]
    pub fn tcp(mut self) -> Self {
        self.tcp = true;
        self
    }

    /// Its [`url`](RedisServer::url) is a port of 127.0.0.1 that speaks TLS only, with
    /// [certificates](RedisServer::certificates) of its own. Clients need none, unless a line of
    /// [`config`](RedisOptions::config) says `tls-auth-clients optional` or `yes`.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.tcp = true;
        self.tls = true;
        self
    }

    /// Watches other servers, as lines of its configuration say.
    pub(crate) fn sentinel(mut self) -> Self {
        self.tcp = true;
        self.sentinel = true;
        self
    }

    /// A node of a cluster, which has a second port for the other nodes.
    pub(crate) fn cluster_node(mut self) -> Self {
        assert!(!self.tls, "servers speak no TLS to each other");
        self.tcp = true;
        self.bus = true;
        self.config("cluster-enabled yes")
    }

    /// Writes what it is told to an append-only file, and syncs it at each command: a
    /// [restart](RedisServer::restart) finds it all again.
    #[must_use]
    pub fn aof(mut self) -> Self {
        self.aof = true;
        self
    }

    /// The password of everybody who names no user. Letters and digits.
    ///
    /// # Panics
    /// Something else is in it, which would have to be written in another way in each place.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        assert!(password.bytes().all(|it| it.is_ascii_alphanumeric()), "letters and digits");
        self.password = Some(password.to_owned());
        self
    }

    /// The lines of an ACL file, such as `user default off` and `user worker on >secret ~* +@all`.
    /// They rule out a [`password`](RedisOptions::password), as for the server itself.
    #[must_use]
    pub fn acl(mut self, lines: &str) -> Self {
        self.acl = Some(lines.to_owned());
        self
    }

    /// Follows another server, which has a port without TLS.
    ///
    /// # Panics
    /// It has none.
    #[must_use]
    pub fn replica_of(mut self, master: &RedisServer) -> Self {
        assert!(!master.options.tls, "servers speak no TLS to each other");
        self.replica_of = Some(master.port());
        self
    }

    /// A line of `redis.conf`, after all others.
    #[must_use]
    pub fn config(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// As [`RedisServer::start`] does.
    #[must_use = "it is killed when it is dropped"]
    pub fn start(self) -> RedisServer {
        RedisServer::start_with(self)
    }

    /// The text of `acl.conf`, if there is one.
    pub(super) fn acl_file(&self) -> Option<String> {
        self.acl.as_ref().map(|lines| format!("{lines}\n{}\n", user()))
    }

    /// The text of `redis.conf`.
    pub(super) fn config_file(&self, folder: &Path, ports: &Ports) -> String {
        let at = folder.display();
        let (plain, tls) = if self.tls { (0, ports.clients()) } else { (ports.clients(), 0) };
        let mut text = format!(
            "dir {at}\n\
             unixsocket {at}/redis.sock\n\
             unixsocketperm 700\n\
             bind 127.0.0.1\n\
             port {plain}\n\
             save \"\"\n\
             enable-debug-command yes\n\
             # Replicas are to be there at once, and to leave nothing on disk.\n\
             repl-diskless-sync-delay 0\n\
             rdb-del-sync-files yes\n\
             masteruser {USER}\n\
             masterauth any\n"
        );
        if self.tls {
            text += &format!("tls-port {tls}\n{}", Certificates::config(folder));
        }
        if self.bus {
            text += &format!("cluster-port {}\n", ports.bus());
        }
        if self.aof {
            text += "appendonly yes\nappendfsync always\n";
        }
        text += &match self.acl {
            Some(_) => format!("aclfile {at}/acl.conf\n"),
            None => format!("{}\n", user()),
        };
        if let Some(password) = &self.password {
            text += &format!("requirepass {password}\n");
        }
        if let Some(master) = self.replica_of {
            text += &format!("replicaof 127.0.0.1 {master}\n");
        }
        for line in &self.lines {
            text += &format!("{line}\n");
        }
        text
    }
}

fn user() -> String {
    format!("user {USER} on nopass ~* &* +@all")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(options: &RedisOptions) -> String {
        options.config_file(Path::new("/f"), &Ports::default())
    }

    #[test]
    fn by_default_it_is_private_and_keeps_nothing() {
        let text = text(&RedisOptions::new());
        assert!(text.contains("port 0\n") && text.contains("unixsocket /f/redis.sock\n"), "{text}");
        assert!(text.contains("save \"\"\n") && !text.contains("appendonly"), "{text}");
        assert_eq!(RedisOptions::new().acl_file(), None);
    }

    #[test]
    fn the_user_of_the_tests_is_where_the_other_users_are() {
        let options = RedisOptions::new().acl("user default off");
        assert!(text(&options).contains("aclfile /f/acl.conf\n"));
        assert!(!text(&options).contains(&user()));
        let file = options.acl_file().unwrap();
        assert!(file.starts_with("user default off\n") && file.contains(USER), "{file}");
        assert!(text(&RedisOptions::new()).contains(&user()));
    }

    #[test]
    fn a_port_that_speaks_tls_is_the_only_one() {
        let text = text(&RedisOptions::new().tls().config("tls-auth-clients yes"));
        assert!(text.contains("\nport 0\n") && text.contains("tls-port "), "{text}");
        assert!(text.contains("tls-auth-clients no\n"), "{text}");
        assert!(text.ends_with("tls-auth-clients yes\n"), "{text}");
    }

    #[test]
    fn own_lines_come_last() {
        let options = RedisOptions::new().config("maxmemory 1mb").config("hz 50").aof();
        let text = text(&options);
        assert!(text.contains("appendonly yes\n"), "{text}");
        assert!(text.ends_with("maxmemory 1mb\nhz 50\n"), "{text}");
    }
}
