//! A master with replicas, watched by sentinels.

use std::collections::HashMap;

use crate::redis_server::USER;
use crate::{RedisOptions, RedisServer, wait_until};

/// What clients ask the sentinels for.
const NAME: &str = "tests";

/// How often sentinels do what they do. By their defaults they ping once a second, at first after
/// that second; so they would take a new master for down at once, and finding each other, and making
/// a master that comes back a replica, would take ten seconds. They promote a replica that has told
/// of itself within five times the period of pings, which it is asked to once a second.
const PERIODS: &str =
    "SENTINEL DEBUG PING-PERIOD 300 ASK-PERIOD 300 INFO-PERIOD 500 PUBLISH-PERIOD 200";

/// Three servers, a master and two replicas, and three sentinels of which two decide. They take a
/// dead master for down after a second, and have another one a second or two later.
///
/// ```no_run
/// use farcall_integration_tests::RedisSentinels;
///
/// let sentinels = RedisSentinels::start();
/// let old = sentinels.kill_master();
/// let new = sentinels.wait_for_another(old);
/// assert_ne!(new.url(), old.url());
/// old.restart();
/// ```
#[derive(Debug)]
pub struct RedisSentinels {
    servers: Vec<RedisServer>,
    sentinels: Vec<RedisServer>,
}

impl RedisSentinels {
    /// Starts them, and waits until the sentinels know everybody and the replicas are in step.
    ///
    /// # Panics
    /// A server does not come up, or they do not find each other.
    #[must_use = "they are killed when they are dropped"]
    pub fn start() -> Self {
        RedisSentinels::start_with(&RedisOptions::new())
    }

    /// Starts them, and the servers with these options.
    ///
    /// # Panics
    /// As [`start`](RedisSentinels::start) does.
    #[must_use = "they are killed when they are dropped"]
    pub fn start_with(options: &RedisOptions) -> Self {
        let options = options.clone().tcp();
        let master = options.clone().start();
        let replicas = (0..2).map(|_| options.clone().replica_of(&master).start());
        let replicas: Vec<_> = replicas.collect();
        // A sentinel asks for replicas at once and then only every ten seconds.
        for replica in &replicas {
            wait_until("the replica is in step", || replica.is_in_step());
        }
        let watch = format!(
            "sentinel monitor {NAME} 127.0.0.1 {} 2\n\
             sentinel auth-user {NAME} {USER}\n\
             sentinel auth-pass {NAME} any\n\
             sentinel down-after-milliseconds {NAME} 1000\n\
             sentinel failover-timeout {NAME} 5000\n\
             sentinel parallel-syncs {NAME} 2",
            master.port()
        );
        let sentinels = (0..3).map(|_| {
            let sentinel = RedisOptions::new().sentinel().config(&watch).start();
            sentinel.command(&PERIODS.split(' ').collect::<Vec<_>>());
            sentinel
        });
        let sentinels = sentinels.collect();
        let servers = std::iter::once(master).chain(replicas).collect();
        let all = RedisSentinels { servers, sentinels };
        for sentinel in &all.sentinels {
            wait_until("the sentinel knows everybody", || knows_everybody(sentinel));
        }
        all
    }

    /// The name of the master.
    #[must_use]
    pub fn name(&self) -> &'static str {
        NAME
    }

    /// The servers, of which one is the master.
    #[must_use]
    pub fn servers(&self) -> &[RedisServer] {
        &self.servers
    }

    /// The sentinels.
    #[must_use]
    pub fn sentinels(&self) -> &[RedisServer] {
        &self.sentinels
    }

    /// How clients reach the sentinels.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(RedisServer::url).collect()
    }

    /// The server that the sentinels name, dead or alive.
    ///
    /// # Panics
    /// They do not agree within [`PATIENCE`](crate::PATIENCE).
    #[must_use]
    pub fn master(&self) -> &RedisServer {
        let mut master = None;
        wait_until("the sentinels agree", || {
            master = self.agreed();
            master.is_some()
        });
        master.expect("it was just found")
    }

    /// How clients reach the server that the sentinels name.
    ///
    /// # Panics
    /// As [`master`](RedisSentinels::master) does.
    #[must_use]
    pub fn master_url(&self) -> String {
        self.master().url()
    }

    /// Kills the master (SIGKILL), and says which it was.
    ///
    /// # Panics
    /// As [`master`](RedisSentinels::master) does.
    pub fn kill_master(&self) -> &RedisServer {
        let master = self.master();
        master.kill();
        master
    }

    /// Waits until all sentinels name another master, it is one, and every other server that runs
    /// follows it.
    ///
    /// # Panics
    /// That is not so within [`PATIENCE`](crate::PATIENCE).
    pub fn wait_for_another(&self, old: &RedisServer) -> &RedisServer {
        let mut master = None;
        wait_until("another master is followed", || {
            master = self.agreed().filter(|it| it.port() != old.port() && self.is_followed(it));
            master.is_some()
        });
        master.expect("it was just found")
    }

    fn agreed(&self) -> Option<&RedisServer> {
        let command = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME];
        let named = self.sentinels.iter().filter(|it| it.runs()).map(|sentinel| {
            let (_, port): (String, u16) = sentinel.ask(&command);
            port
        });
        let mut named: Vec<u16> = named.collect();
        named.dedup();
        match named[..] {
            [port] => self.servers.iter().find(|it| it.port() == port),
            _ => None,
        }
    }

    fn is_followed(&self, master: &RedisServer) -> bool {
        let port = master.port().to_string();
        let follows = |it: &RedisServer| {
            it.is_in_step() && it.info("master_port").is_some_and(|master| master == port)
        };
        let mut running = self.servers.iter().filter(|it| it.runs());
        running.all(|it| if it.port() == master.port() { it.is_master() } else { follows(it) })
    }
}

fn knows_everybody(sentinel: &RedisServer) -> bool {
    let master: HashMap<String, String> = sentinel.ask(&["SENTINEL", "MASTER", NAME]);
    let replicas: Vec<HashMap<String, String>> = sentinel.ask(&["SENTINEL", "REPLICAS", NAME]);
    let is =
        |of: &HashMap<String, String>, field, value| of.get(field).is_some_and(|it| it == value);
    is(&master, "flags", "master")
        && is(&master, "num-other-sentinels", "2")
        && replicas.len() == 2
        && replicas.iter().all(|it| is(it, "flags", "slave") && is(it, "master-link-status", "ok"))
}
