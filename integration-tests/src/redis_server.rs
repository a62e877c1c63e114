//! A Redis server of a test's own.

mod certificates;
mod launch;
mod options;
mod port;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use redis::{Cmd, Connection, FromRedisValue, RedisResult, Value};
use tempfile::TempDir;

pub use self::certificates::Certificates;
use self::launch::Running;
pub use self::options::RedisOptions;
pub(crate) use self::options::USER;
use self::port::Ports;
use crate::{PATIENCE, wait_until};

/// A real server in a temporary folder, killed when this is dropped, or with the process that
/// started it.
///
/// It is reached by a Unix socket, for nobody but the test, and keeps nothing on disk, unless its
/// [options](RedisOptions) say otherwise. Tests speak to it beside the code that they try:
///
/// ```
/// use farcall_integration_tests::RedisServer;
///
/// let server = RedisServer::start();
/// server.command(&["SET", "key", "value"]);
/// server.restart();
/// assert_eq!(server.ask::<Option<String>>(&["GET", "key"]), None);
/// ```
#[derive(Debug)]
pub struct RedisServer {
    options: RedisOptions,
    folder: TempDir,
    ports: Ports,
    certificates: Option<Certificates>,
    running: Mutex<Option<Running>>,
}

impl RedisServer {
    /// Starts one with nothing but a socket, and waits until it answers.
    ///
    /// # Panics
    /// There is no `redis-server`, or it does not come up; its log is in the message.
    #[must_use = "it is killed when it is dropped"]
    pub fn start() -> Self {
        RedisOptions::new().start()
    }

    fn start_with(options: RedisOptions) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let certificates = options.tls.then(|| Certificates::make(folder.path()));
        let (ports, running) = (Ports::default(), Mutex::new(None));
        let mut server = RedisServer { options, folder, ports, certificates, running };
        if let Some(acl) = server.options.acl_file() {
            server.write("acl.conf", &acl);
        }
        loop {
            server.ports = Ports::reserve(&server.options);
            let config = server.options.config_file(server.folder.path(), &server.ports);
            server.write("redis.conf", &config);
            match server.launch() {
                Ok(()) => return server,
                // Somebody who reserves nothing was faster: another port.
                Err(log) if taken(&log) => {}
                Err(log) => panic!("{}", failure(&log)),
            }
        }
    }

    /// How clients reach it: `redis+unix://…`, `redis://127.0.0.1:…` or `rediss://127.0.0.1:…`,
    /// with its password.
    #[must_use]
    pub fn url(&self) -> String {
        match self.options.password.as_deref() {
            Some(password) => self.url_with(&format!(":{password}@"), &format!("?pass={password}")),
            None => self.url_with("", ""),
        }
    }

    /// How a user of its [ACL](RedisOptions::acl) reaches it. Letters and digits.
    #[must_use]
    pub fn url_as(&self, user: &str, password: &str) -> String {
        self.url_with(&format!("{user}:{password}@"), &format!("?user={user}&pass={password}"))
    }

    fn url_with(&self, before: &str, after: &str) -> String {
        if !self.options.tcp {
            return format!("redis+unix://{}{after}", self.socket().display());
        }
        let scheme = if self.options.tls { "rediss" } else { "redis" };
        format!("{scheme}://{before}127.0.0.1:{}", self.port())
    }

    /// Its port.
    ///
    /// # Panics
    /// It was started without [one](RedisOptions::tcp).
    #[must_use]
    pub fn port(&self) -> u16 {
        assert!(self.options.tcp, "a server that is started with a port");
        self.ports.clients()
    }

    /// Its port for other nodes of its cluster.
    pub(crate) fn bus(&self) -> u16 {
        self.ports.bus()
    }

    /// Its certificate's authority, and a certificate for clients.
    ///
    /// # Panics
    /// It was started without [TLS](RedisOptions::tls).
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        self.certificates.as_ref().expect("a server that is started with TLS")
    }

    /// Its process.
    ///
    /// # Panics
    /// It was killed.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.running().as_ref().expect("a server that runs").id()
    }

    /// What it has logged since it was first started.
    #[must_use]
    pub fn log(&self) -> String {
        let log = std::fs::read(self.path("redis.log")).expect("it was made at the start");
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Kills it (SIGKILL), and waits until it has ended. Clients see their connections break.
    pub fn kill(&self) {
        self.running().take();
    }

    /// Whether it was started and not killed since.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.running().is_some()
    }

    /// Starts it at the same address, after killing it if it runs. What was not kept is lost.
    ///
    /// # Panics
    /// It does not come up; its log is in the message.
    pub fn restart(&self) {
        self.kill();
        let began = Instant::now();
        while let Err(log) = self.launch() {
            let again = taken(&log) && began.elapsed() < PATIENCE;
            assert!(again, "{}", failure(&log));
        }
    }

    /// Stops it in its tracks (SIGSTOP): connections stay, and nobody is answered.
    ///
    /// # Panics
    /// It does not run.
    pub fn pause(&self) {
        self.signal("STOP");
        // It may be at an answer when the signal is sent.
        let stat = format!("/proc/{}/stat", self.id());
        wait_until("the server has stopped", || {
            let stat =
                std::fs::read_to_string(&stat).expect("our child is there, and this is Linux");
            stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
        });
    }

    /// Lets it go on.
    ///
    /// # Panics
    /// It does not run.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Sends it a command by its own socket, with all rights, and blocks the calling thread until
    /// it answers.
    ///
    /// # Panics
    /// The server refuses it, does not run, or does not answer within [`PATIENCE`].
    pub fn command(&self, words: &[&str]) -> Value {
        self.ask(words)
    }

    /// [`command`](RedisServer::command), with the answer as something better.
    ///
    /// # Panics
    /// As there, or the answer is something else.
    pub fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// [`ask`](RedisServer::ask) where the server may refuse.
    ///
    /// # Errors
    /// The server's refusal, and whatever happens to the connection.
    pub fn try_ask<T: FromRedisValue>(&self, words: &[&str]) -> RedisResult<T> {
        let mut command = Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.query(&mut self.connection()?)
    }

    /// A connection by its own socket, with all rights: for commands in a row, and pipelines.
    ///
    /// # Errors
    /// It does not run.
    pub fn connection(&self) -> RedisResult<Connection> {
        let url = format!("redis+unix://{}?user={USER}&pass=any", self.socket().display());
        let connection = redis::Client::open(url)?.get_connection_with_timeout(PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        Ok(connection)
    }

    /// A field of what `INFO everything` says, such as `role` or `connected_clients`.
    ///
    /// # Panics
    /// As [`command`](RedisServer::command) does.
    #[must_use]
    pub fn info(&self, field: &str) -> Option<String> {
        value(&self.ask::<String>(&["INFO", "everything"]), field)
    }

    /// Whether it follows nobody.
    ///
    /// # Panics
    /// As [`command`](RedisServer::command) does.
    #[must_use]
    pub fn is_master(&self) -> bool {
        self.info("role").is_some_and(|role| role == "master")
    }

    /// Whether it follows a master, and has all that was there when it began.
    ///
    /// # Panics
    /// As [`command`](RedisServer::command) does.
    #[must_use]
    pub fn is_in_step(&self) -> bool {
        self.info("master_link_status").is_some_and(|status| status == "up")
    }

    fn socket(&self) -> PathBuf {
        self.path("redis.sock")
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.path(file), text).expect("a temporary folder takes files");
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, name: &str) {
        self.running().as_ref().expect("a server that runs").signal(name);
    }

    /// Starts the program and waits until it answers, or gives what it logged.
    fn launch(&self) -> Result<(), String> {
        let log = File::options().create(true).append(true).open(self.path("redis.log"));
        let log = log.expect("a temporary folder takes files");
        let before = log.metadata().expect("it is open").len();
        let since = |server: &Self| {
            let log = std::fs::read(server.path("redis.log")).expect("it was just opened");
            String::from_utf8_lossy(&log[before.try_into().expect("it fits")..]).into_owned()
        };
        let config = self.path("redis.conf");
        let sentinel = self.options.sentinel.then_some(Path::new("--sentinel"));
        let words: Vec<&Path> = std::iter::once(config.as_path()).chain(sentinel).collect();
        let mut running = Running::start(&words, log);
        let began = Instant::now();
        while self.try_ask::<Value>(&["PING"]).is_err() {
            if let Some(status) = running.ended() {
                return Err(format!("{}({status})", since(self)));
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("{}(it does not answer)", since(self)));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        *self.running() = Some(running);
        Ok(())
    }
}

impl Drop for RedisServer {
    /// A test that fails shows what the server saw of it.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read(self.path("redis.log")).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(30)..];
            eprintln!("redis-server {}:\n{}", self.ports.clients(), last.join("\n"));
        }
    }
}

fn taken(log: &str) -> bool {
    log.contains("Address already in use")
}

fn failure(log: &str) -> String {
    format!(
        "redis-server does not come up (`cargo xtask test` finds or installs it; \
         REDIS_SERVER names another): {log}"
    )
}

/// The value of a field of `INFO`.
fn value(info: &str, field: &str) -> Option<String> {
    let value = |line: &str| Some(line.strip_prefix(field)?.strip_prefix(':')?.trim().to_owned());
    info.lines().find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let info = "# Replication\r\nrole:master\r\nmaster_failover_state:no-failover\r\n";
        assert_eq!(value(info, "role").unwrap(), "master");
        assert_eq!(value(info, "master"), None);
    }
}
