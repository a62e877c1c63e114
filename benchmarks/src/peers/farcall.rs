//! farcall as its users write it: the same program over each transport.

use std::future::pending;
use std::path::Path;

use anyhow::{Context as _, ensure};
use farcall::config::Name;
use farcall::redis::{Redis, RedisConfig};
use farcall::transport::Transport;
use farcall::unix::{Unix, UnixConfig};
use farcall::{Config, Node};

use super::{Peer, Streaming};
use crate::broker::Via;
use crate::closed_loop::{Client, drive};
use crate::lifeline::{Ready, served};
use crate::load::Load;

mod streams;

/// The service as its server sees it: the payload is given, and given back.
#[farcall::service(name = "echo")]
trait Echo {
    /// Answers with the payload.
    async fn echo(&self, payload: Vec<u8>) -> Vec<u8>;
}

struct Server;

impl Echo for Server {
    async fn echo(&self, payload: Vec<u8>) -> Vec<u8> {
        served(1);
        payload
    }
}

/// The same service as its clients see it: the payload is lent.
#[farcall::service(name = "echo")]
trait LentEcho {
    /// Answers with the payload.
    async fn echo(&self, payload: &[u8]) -> Vec<u8>;
}

impl Client for LentEchoClient {
    type Reply = Vec<u8>;

    async fn call(&mut self, payload: &[u8]) -> anyhow::Result<Vec<u8>> {
        Ok(self.echo(payload).await?)
    }
}

/// farcall over one of its transports.
#[derive(Debug)]
pub(crate) struct Farcall {
    name: &'static str,
    about: &'static str,
    via: Option<Via>,
    transport: fn(&str) -> anyhow::Result<Box<dyn Transport>>,
}

/// The transport for one machine.
pub(crate) static FARCALL_UNIX: Farcall = Farcall {
    name: "farcall-unix",
    about: "farcall over Unix sockets: a typed service and client, defaults throughout, every call with \
            its deadline.",
    via: None,
    transport: unix,
};

/// The transport for a fleet.
pub(crate) static FARCALL_REDIS: Farcall = Farcall {
    name: "farcall-redis",
    about: "farcall over Redis, by its Unix socket: a typed service and client, defaults throughout, \
            every call with its deadline.",
    via: Some(Via::RedisUnix),
    transport: redis,
};

/// The same over TCP.
pub(crate) static FARCALL_REDIS_TCP: Farcall = Farcall {
    name: "farcall-redis-tcp",
    about: "The same over TCP on the loopback interface.",
    via: Some(Via::RedisTcp),
    transport: redis,
};

impl Peer for Farcall {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn via(&self) -> Option<Via> {
        self.via
    }

    fn streaming(&self) -> Option<&dyn Streaming> {
        Some(self)
    }

    fn serve(&self, at: &str, ready: Ready) -> anyhow::Result<()> {
        farcall::block_on(async {
            let node = self.open(at).await?;
            node.serve(EchoServer::new(Server)).await?;
            ready.announce()?;
            pending().await
        })
    }

    fn load(&self, at: &str, load: &Load) -> anyhow::Result<()> {
        farcall::block_on(async {
            let node = self.open(at).await?;
            drive(LentEchoClient::new(&node), load).await
        })
    }

    fn hold(&self, at: &str, connections: usize, ready: Ready) -> anyhow::Result<()> {
        farcall::block_on(async {
            let mut nodes = Vec::with_capacity(connections);
            for _ in 0..connections {
                let node = self.open(at).await?;
                let reply = LentEchoClient::new(&node).call(b"hello").await?;
                ensure!(reply == b"hello", "the server answered with other bytes than it was sent");
                nodes.push(node);
            }
            ready.announce()?;
            pending().await
        })
    }
}

impl Farcall {
    async fn open(&self, at: &str) -> anyhow::Result<Node> {
        let config = Config { namespace: Name::new("bench")?, ..Config::default() };
        Ok(Node::open_with(config, (self.transport)(at)?).await?)
    }
}

/// Sockets that lie beside where the other peers have theirs.
fn unix(socket: &str) -> anyhow::Result<Box<dyn Transport>> {
    let folder = Path::new(socket).parent().context("the socket has a folder")?;
    let config = UnixConfig { socket_dir: folder.to_owned(), ..UnixConfig::default() };
    Ok(Box::new(Unix::new(config)))
}

/// The broker that the other peers use too.
fn redis(url: &str) -> anyhow::Result<Box<dyn Transport>> {
    let config = RedisConfig { url: url.to_owned(), ..RedisConfig::default() };
    Ok(Box::new(Redis::new(config)))
}
