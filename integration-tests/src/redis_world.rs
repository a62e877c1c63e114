//! A broker, and server processes that use it.

use std::process::{Command, Stdio};
use std::time::Duration;

use farcall::redis::{Redis, RedisConfig};
use farcall::transport::Transport;
use farcall::wire::Durability;
use farcall::{Config, Node};
use farcall_testkit::{Options, Remote, SERVICE, World};

use crate::{Process, RedisServer, own_processor};

/// Nobody but the test is in here.
#[derive(Debug)]
pub struct RedisWorld {
    broker: RedisServer,
    server: &'static str,
    lease: Duration,
    variables: Vec<(&'static str, &'static str)>,
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
        RedisWorld { broker, server, lease: LEASE, variables: Vec::new() }
    }

    /// The same, with another lease than 2 s.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// The same, with one more setting of all its processes.
    #[must_use]
    pub fn variable(mut self, name: &'static str, value: &'static str) -> Self {
        self.variables.push((name, value));
        self
    }

    /// The broker.
    #[must_use]
    pub fn broker(&self) -> &RedisServer {
        &self.broker
    }

    /// How nodes reach it.
    #[must_use]
    pub fn config(&self) -> RedisConfig {
        RedisConfig { url: self.broker.url(), lease: self.lease, ..RedisConfig::default() }
    }

    /// Starts a server; it may return before it can be called.
    #[must_use = "it is killed when it is dropped"]
    pub fn spawn(&self, options: &Options) -> Process {
        let child = self.command(self.server, options).spawn();
        Process::new(child.expect("the server's program starts"))
    }

    /// Starts a server whose lines are read by [`Process::line`].
    #[must_use = "it is killed when it is dropped"]
    pub fn spawn_heard(&self, options: &Options) -> Process {
        self.spawn_client(self.server, options, &[])
    }

    /// Starts another program in this world, such as the `contract-client`, with words for it. What it says is
    /// read by [`Process::line`].
    #[must_use = "it is killed when it is dropped"]
    pub fn spawn_client(&self, program: &str, options: &Options, words: &[&str]) -> Process {
        let mut command = self.command(program, options);
        let child = command.args(words).stdout(Stdio::piped()).spawn();
        Process::new(child.expect("the client's program starts"))
    }

    fn command(&self, program: &str, options: &Options) -> Command {
        let mut command = Command::new(program);
        command
            .env("FARCALL_TRANSPORT", "redis")
            .env("FARCALL_REDIS__URL", self.broker.url())
            .env("FARCALL_REDIS__LEASE", format!("{}ms", self.lease.as_millis()))
            .envs(options.variables())
            .envs(self.variables.iter().copied())
            .stdin(Stdio::piped());
        command
    }

    /// A node in this world, which waits long enough for a process to start on a busy machine.
    pub async fn client(&self) -> Node {
        let mut config = Config::default();
        config.client.wait_for_server = Duration::from_secs(30);
        Node::open_with(config, self.transport()).await.expect("the transport opens")
    }
}

impl RedisWorld {
    /// How often nodes have asked the broker for something so far.
    #[must_use]
    pub fn asked(&self) -> u64 {
        let stats: String = self.broker.ask(&["INFO", "commandstats"]);
        let calls = |line: &str| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            // Others are run by scripts, or by tests.
            let asks = ["eval", "evalsha", "hello", "xread", "xreadgroup", "ssubscribe"];
            asks.contains(&name).then(|| rest.split(',').next()?.parse::<u64>().ok())?
        };
        stats.lines().filter_map(calls).sum()
    }

    /// Watches for a second how busy the broker, the nodes of this thread and a server are kept, and
    /// fails if that is more than what some nodes need which have nothing to do. A broker that was
    /// killed is not asked.
    ///
    /// # Panics
    /// Something spins.
    pub async fn assert_calm(&self, server: &Process) {
        let asked = || if self.broker.runs() { self.asked() } else { 0 };
        let (began, before) = (asked(), (own_processor(), server.processor()));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let after = (own_processor() - before.0, server.processor() - before.1);
        let asked = asked() - began;
        let busy = Duration::from_millis(400);
        assert!(asked < 300, "the broker is asked {asked} times a second");
        assert!(after.0 < busy && after.1 < busy, "a second took (client, server) {after:?}");
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

    fn tasks(&self) -> Option<Durability> {
        Some(Durability::Memory)
    }

    fn takeover(&self) -> Duration {
        self.lease + Duration::from_secs(5)
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
