//! A Redis server for examples, which nobody else uses.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::redis;

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server at a socket in a folder of its own, killed when this is dropped.
pub(crate) struct Broker {
    child: Child,
    folder: TempDir,
}

impl Broker {
    /// Starts it, with nothing on disk, and waits until it answers.
    pub(crate) fn start() -> Result<Broker, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("a folder for Redis: {error}"))?;
        let mut command = Command::new(redis::program());
        command.args(["--port", "0", "--unixsocket", "redis.sock", "--unixsocketperm", "700"]);
        command.args(["--save", "", "--dir"]).arg(folder.path()).current_dir(folder.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child = child.map_err(|error| format!("redis-server: cannot start it: {error}"))?;
        let mut broker = Broker { child, folder };
        let began = Instant::now();
        while !broker.answers() {
            if let Ok(Some(status)) = broker.child.try_wait() {
                return Err(format!("redis-server: it ended before it answered ({status})"));
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("redis-server: it does not answer within {PATIENCE:?}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(broker)
    }

    /// How nodes reach it.
    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    fn answers(&self) -> bool {
        let mut answer = [0; 5];
        let asked = UnixStream::connect(self.socket()).and_then(|mut stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"PING\r\n")?;
            stream.read_exact(&mut answer)
        });
        asked.is_ok() && answer == *b"+PONG"
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
