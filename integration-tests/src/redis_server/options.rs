//! How a server is to be.

use std::fmt::Write;
use std::path::Path;

use super::RedisServer;
use super::port::Port;

/// The user by which tests reach a server whatever its passwords are. Its socket lies where nobody
/// else comes.
pub(super) const USER: &str = "farcall-tests";

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

    /// Follows another server, which has a port.
    ///
    /// # Panics
    /// It has none.
    #[must_use]
    pub fn replica_of(mut self, master: &RedisServer) -> Self {
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
    pub(super) fn config_file(&self, folder: &Path, port: Option<&Port>) -> String {
        let folder = folder.display();
        let mut text = format!(
            "dir {folder}\n\
             unixsocket {folder}/redis.sock\n\
             unixsocketperm 700\n\
             bind 127.0.0.1\n\
             port {}\n\
             save \"\"\n\
             enable-debug-command yes\n\
             # Replicas are to be there at once, and to leave nothing on disk.\n\
             repl-diskless-sync-delay 0\n\
             rdb-del-sync-files yes\n",
            port.map_or(0, Port::number),
        );
        if self.aof {
            text += "appendonly yes\nappendfsync always\n";
        }
        match &self.acl {
            Some(_) => writeln!(text, "aclfile {folder}/acl.conf"),
            None => writeln!(text, "{}", user()),
        }
        .expect("text takes text");
        if let Some(password) = &self.password {
            writeln!(text, "requirepass {password}").expect("text takes text");
        }
        if let Some(master) = self.replica_of {
            write!(text, "replicaof 127.0.0.1 {master}\nmasteruser {USER}\nmasterauth any\n")
                .expect("text takes text");
        }
        for line in &self.lines {
            text += line;
            text.push('\n');
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
        options.config_file(Path::new("/f"), None)
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
        assert!(!text(&options).contains(USER));
        let file = options.acl_file().unwrap();
        assert!(file.starts_with("user default off\n") && file.contains(USER), "{file}");
        assert!(text(&RedisOptions::new()).contains(USER));
    }

    #[test]
    fn own_lines_come_last() {
        let options = RedisOptions::new().config("maxmemory 1mb").config("hz 50").aof();
        let text = text(&options);
        assert!(text.ends_with("appendfsync always\nuser farcall-tests on nopass ~* &* +@all\nmaxmemory 1mb\nhz 50\n"), "{text}");
    }
}
