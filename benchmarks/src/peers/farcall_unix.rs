//! farcall over Unix sockets, as its users write it.

use std::future::pending;
use std::path::Path;

use anyhow::{Context as _, ensure};
use farcall::config::Name;
use farcall::transport::Transport;
use farcall::unix::{Unix, UnixConfig};
use farcall::{Config, Node};

use super::{Peer, Streaming};
use crate::closed_loop::{Client, drive};
use crate::lifeline::Ready;
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

/// farcall's own transport for one machine.
#[derive(Debug)]
pub(crate) struct FarcallUnix;

impl Peer for FarcallUnix {
    fn name(&self) -> &'static str {
        "farcall-unix"
    }

    fn about(&self) -> &'static str {
        "farcall over Unix sockets: a typed service and client, defaults throughout, every call with \
         its deadline."
    }

    fn streaming(&self) -> Option<&dyn Streaming> {
        Some(self)
    }

    fn serve(&self, socket: &str, ready: Ready) -> anyhow::Result<()> {
        farcall::block_on(async {
            let node = open(socket).await?;
            node.serve(EchoServer::new(Server)).await?;
            ready.announce()?;
            pending().await
        })
    }

    fn load(&self, socket: &str, load: &Load) -> anyhow::Result<()> {
        farcall::block_on(async {
            let node = open(socket).await?;
            drive(LentEchoClient::new(&node), load).await
        })
    }

    fn hold(&self, socket: &str, connections: usize, ready: Ready) -> anyhow::Result<()> {
        farcall::block_on(async {
            let mut nodes = Vec::with_capacity(connections);
            for _ in 0..connections {
                let node = open(socket).await?;
                let reply = LentEchoClient::new(&node).call(b"hello").await?;
                ensure!(reply == b"hello", "the server answered with other bytes than it was sent");
                nodes.push(node);
            }
            ready.announce()?;
            pending().await
        })
    }
}

/// A node whose sockets lie beside where the other peers have theirs.
async fn open(socket: &str) -> anyhow::Result<Node> {
    let folder = Path::new(socket).parent().context("the socket has a folder")?;
    let unix = UnixConfig { socket_dir: folder.to_owned(), ..UnixConfig::default() };
    let transport: Box<dyn Transport> = Box::new(Unix::new(unix));
    let config = Config { namespace: Name::new("bench")?, ..Config::default() };
    Ok(Node::open_with(config, transport).await?)
}
