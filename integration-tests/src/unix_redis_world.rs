//! Unix sockets for calls, and a broker for their tasks.

use std::time::Duration;

use farcall::transport::Transport;
use farcall::wire::Durability;
use farcall_testkit::{Options, Remote, World};

use crate::{RedisServer, UnixWorld};

/// Nobody but the test is in here.
#[derive(Debug)]
pub struct UnixRedisWorld {
    unix: UnixWorld,
    _broker: RedisServer,
}

/// As short as it may be on a busy machine: tests wait for it when they kill a server.
const LEASE: Duration = Duration::from_secs(2);

impl UnixRedisWorld {
    /// A world of its own, whose servers are this program.
    #[must_use]
    pub fn new(server: &'static str) -> Self {
        let broker = RedisServer::start();
        let unix = UnixWorld::new(server)
            .variable("FARCALL_LEDGER__STORE", "redis")
            .variable("FARCALL_REDIS__URL", broker.url())
            .variable("FARCALL_REDIS__LEASE", format!("{}ms", LEASE.as_millis()));
        UnixRedisWorld { unix, _broker: broker }
    }
}

impl World for UnixRedisWorld {
    fn name(&self) -> &'static str {
        "unix, tasks in redis"
    }

    fn transport(&self) -> Box<dyn Transport> {
        self.unix.transport()
    }

    fn start(&self, options: &Options) -> Box<dyn Remote> {
        self.unix.start(options)
    }

    fn tasks(&self) -> Option<Durability> {
        Some(Durability::Memory)
    }

    fn takeover(&self) -> Duration {
        LEASE + Duration::from_secs(5)
    }

    fn garbage(&self, options: &Options) -> bool {
        self.unix.garbage(options)
    }
}
