//! A broker, and server processes that use it.

use std::process::{Command, Stdio};
use std::time::Duration;

use farcall::redis::{Redis, RedisConfig};
use farcall::transport::Transport;
use farcall::{Config, Node};
use farcall_testkit::{Options, Remote, SERVICE, World};

use crate::{Process, RedisServer};

/// Nobody but the test is in here.
#[derive(Debug)]
pub struct RedisWorld {
    broker: RedisServer,
    server: &'static str,
}

/// As short as it may be on a busy machine: tests wait for it when they kill a server.
const LEASE: Duration = Duration::from_secs(2);

impl RedisWorld {
    /// A world of its own, whose servers are this program.
    #[must_use]
    pub fn new(server: &'static str) -> Self {
        RedisWorld::with(RedisServer::start(), server)
    }

    /// The same, with a broker that was started in some other way.
    #[must_use]
    pub fn with(broker: RedisServer, server: &'static str) -> Self {
        RedisWorld { broker, server }
    }

    /// The broker.
    #[must_use]
    pub fn broker(&self) -> &RedisServer {
        &self.broker
    }

    /// How nodes reach it.
    #[must_use]
    pub fn config(&self) -> RedisConfig {
        RedisConfig { url: self.broker.url(), lease: LEASE, ..RedisConfig::default() }
    }

    /// Starts a server; it may return before it can be called.
    #[must_use = "it is killed when it is dropped"]
    pub fn spawn(&self, options: &Options) -> Process {
        let child = Command::new(self.server)
            .env("FARCALL_TRANSPORT", "redis")
            .env("FARCALL_REDIS__URL", self.broker.url())
            .env("FARCALL_REDIS__LEASE", format!("{}ms", LEASE.as_millis()))
            .envs(options.variables())
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

impl World for RedisWorld {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn transport(&self) -> Box<dyn Transport> {
        Box::new(Redis::new(self.config()))
    }

    fn start(&self, options: &Options) -> Box<dyn Remote> {
        Box::new(self.spawn(options))
    }

    fn garbage(&self, options: &Options) -> bool {
        let prefix = format!("farcall:{{{}/{SERVICE}}}:", options.namespace);
        let members: Vec<String> = self.broker.ask(&["HKEYS", &format!("{prefix}servers")]);
        let places = ["q".to_owned(), "n".to_owned(), format!("in:{}", members[0])];
        for round in 0..2500_u32 {
            let bytes: Vec<u8> = (0..24).map(|at| (round.rotate_left(at) % 251) as u8).collect();
            let bytes = format!("{bytes:?}");
            for (place, field) in places.iter().zip(["p", "p", "frames"]) {
                let key = format!("{prefix}{place}");
                self.broker.command(&["XADD", &key, "*", "a", "nobody-1", field, &bytes]);
            }
            let key = format!("{prefix}in:{}", members[0]);
            self.broker.command(&["XADD", &key, "*", "lost", &bytes]);
        }
        true
    }
}
