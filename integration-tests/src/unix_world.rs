//! A folder for sockets, and server processes that go with it.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use farcall::transport::Transport;
use farcall::unix::{Unix, UnixConfig};
use farcall::wire::Durability;
use farcall::{Config, Node};
use farcall_testkit::{Options, Remote, SERVICE, World};
use tempfile::TempDir;

use crate::Process;

/// Nobody but the test is in here.
#[derive(Debug)]
pub struct UnixWorld {
    folder: TempDir,
    ledger: TempDir,
    server: &'static str,
    variables: Vec<(&'static str, String)>,
}

impl UnixWorld {
    /// A world of its own, whose servers are this program.
    #[must_use]
    pub fn new(server: &'static str) -> Self {
        let folder = || tempfile::tempdir().expect("a temporary folder");
        UnixWorld { folder: folder(), ledger: folder(), server, variables: Vec::new() }
    }

    /// The same, with one more setting of all its processes.
    #[must_use]
    pub fn variable(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// The folder of its sockets.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where a server's socket lies.
    #[must_use]
    pub fn socket(&self, options: &Options) -> PathBuf {
        let folder = self.path().join(options.namespace).join(SERVICE);
        folder.join(format!("{}.sock", options.id))
    }

    /// Starts a server; it may return before it can be called.
    #[must_use = "it is killed when it is dropped"]
    pub fn spawn(&self, options: &Options) -> Process {
        let child = Command::new(self.server)
            .env("FARCALL_TRANSPORT", "unix")
            .env("FARCALL_UNIX__SOCKET_DIR", self.path())
            .env("FARCALL_LEDGER__PATH", self.ledger.path())
            .envs(options.variables())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .spawn();
        Process::new(child.expect("the server's program starts"))
    }

    /// A node in this world, which waits long enough for a process to start on a busy machine.
    pub async fn client(&self) -> Node {
        let mut config = Config::default();
        config.client.wait_for_server = Duration::from_secs(30);
        Node::open_with(config, self.transport()).await.expect("the transport opens")
    }
}

impl World for UnixWorld {
    fn name(&self) -> &'static str {
        "unix"
    }

    fn transport(&self) -> Box<dyn Transport> {
        let config = UnixConfig { socket_dir: self.path().to_owned(), ..UnixConfig::default() };
        Box::new(Unix::new(config))
    }

    fn start(&self, options: &Options) -> Box<dyn Remote> {
        Box::new(self.spawn(options))
    }

    fn tasks(&self) -> Option<Durability> {
        Some(Durability::Always)
    }

    fn garbage(&self, options: &Options) -> bool {
        let socket = self.socket(options);
        for round in 0..100_u8 {
            let frames = (0..100_u8)
                .flat_map(|frame| [0, 0, 0, 6, round, frame, 0xff, 0x00, 0x9f, frame ^ round]);
            let frames: Vec<u8> = frames.collect();
            let mut stream = UnixStream::connect(&socket).expect("the server listens");
            // At once: the server hangs up at the first of them, and is to find the others there.
            stream.write_all(&frames).expect("the socket takes a kilobyte");
        }
        true
    }
}
