//! A broker from its start to its end.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;
use tokio::process::{Child, ChildStdin};
use tokio::time::sleep;

use super::{BECOME, Broker, Via};

/// How long a broker may take until it answers.
const PATIENCE: Duration = Duration::from_secs(10);

/// Becomes the program, after it left a child behind that kills it when standard input ends: so no
/// broker outlives the run, however that ends. The child looks whether the broker is its parent
/// still, since the number may have passed to another process.
const LAUNCH: &str = r#"exec 3<&0 </dev/null
(
    cat <&3 >/dev/null 2>&1
    read -r pid name state parent rest </proc/self/stat
    [ "$parent" = $$ ] && kill -KILL $$
) >/dev/null 2>&1 &
exec 3<&-
"#;

/// A broker that runs.
///
/// Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    _lifeline: ChildStdin,
    _folder: TempDir,
    address: String,
}

impl Running {
    /// Starts a broker and waits until it accepts connections.
    ///
    /// # Errors
    ///
    /// When there is no such program or it does not come up: with its log.
    pub(crate) async fn start(via: Via) -> anyhow::Result<Self> {
        let name = via.broker().name();
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("log");
        let place = Listening::choose(via, &folder)?;
        let config = folder.path().join("config");
        fs::write(&config, place.config(via.broker(), &folder))?;

        let mut command = via.broker().command(&format!("{LAUNCH}{BECOME}"));
        if via.broker() == Broker::Nats {
            command.arg("--config");
        }
        let output = fs::File::create(&log)?;
        let mut child = command
            .arg(&config)
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let lifeline = child.stdin.take().expect("standard input is a pipe");

        let started = Instant::now();
        while !place.accepts() {
            let ended = child.try_wait()?;
            if ended.is_some() || started.elapsed() > PATIENCE {
                let log = fs::read_to_string(&log).unwrap_or_default();
                bail!("{name} does not come up: {}", log.trim());
            }
            sleep(Duration::from_millis(2)).await;
        }
        let address = place.address(via.broker())?;
        Ok(Running { child, _lifeline: lifeline, _folder: folder, address })
    }

    /// Its URL.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("the process is waited for only when it ends")
    }

    /// Kills it, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// When it had ended by itself.
    pub(crate) async fn end(mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the broker ended with {status} while it was needed");
        }
        Ok(self.child.kill().await?)
    }
}

/// Where a broker listens.
#[derive(Debug, PartialEq)]
enum Listening {
    Socket(PathBuf),
    Port(u16),
}

impl Listening {
    fn choose(via: Via, folder: &TempDir) -> anyhow::Result<Self> {
        match via {
            Via::RedisUnix => Ok(Listening::Socket(folder.path().join("redis.sock"))),
            // Freed at once for the broker, whose log says so if somebody else was faster.
            Via::RedisTcp | Via::NatsTcp => {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                Ok(Listening::Port(listener.local_addr()?.port()))
            }
        }
    }

    fn accepts(&self) -> bool {
        match self {
            Listening::Socket(path) => UnixStream::connect(path).is_ok(),
            Listening::Port(port) => TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_ok(),
        }
    }

    fn address(&self, broker: Broker) -> anyhow::Result<String> {
        Ok(match self {
            Listening::Socket(path) => {
                let path = path.to_str().context("the socket's path is not UTF-8")?;
                format!("redis+unix://{path}")
            }
            Listening::Port(port) => {
                let scheme = if broker == Broker::Redis { "redis" } else { "nats" };
                format!("{scheme}://{}:{port}", Ipv4Addr::LOCALHOST)
            }
        })
    }

    /// The broker's defaults, but for where it listens, nothing on disk, and room for all payloads
    /// in flight.
    fn config(&self, broker: Broker, folder: &TempDir) -> String {
        match (broker, self) {
            (Broker::Redis, place) => {
                let listen = match place {
                    Listening::Socket(path) => {
                        format!("port 0\nunixsocket {}\nunixsocketperm 700\n", path.display())
                    }
                    Listening::Port(port) => format!("bind {}\nport {port}\n", Ipv4Addr::LOCALHOST),
                };
                format!("{listen}dir {}\nsave \"\"\nappendonly no\n", folder.path().display())
            }
            (Broker::Nats, Listening::Port(port)) => {
                format!("listen: {}:{port}\nmax_pending: 512MB\n", Ipv4Addr::LOCALHOST)
            }
            (Broker::Nats, Listening::Socket(_)) => unreachable!("NATS listens at ports only"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_and_a_port_have_urls() {
        let socket = Listening::Socket("/tmp/a/redis.sock".into());
        assert_eq!(socket.address(Broker::Redis).unwrap(), "redis+unix:///tmp/a/redis.sock");
        assert_eq!(Listening::Port(7).address(Broker::Redis).unwrap(), "redis://127.0.0.1:7");
        assert_eq!(Listening::Port(7).address(Broker::Nats).unwrap(), "nats://127.0.0.1:7");
    }
}
