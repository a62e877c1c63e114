//! What is measured, in a file for each.
//!
//! To add a peer, write its file and name it twice here: as a module and among [`UNIX`], [`REDIS`] or [`TASKS`]. A
//! peer whose clients make calls at the same time from tasks of one thread implements
//! [`Multiplexed`] and is a [`Peer`] by that; any other implements [`Peer`] itself. One that has
//! streams implements [`Streaming`] too, and says so.

use std::fmt;
use std::future::pending;

use anyhow::ensure;

use crate::broker::Via;
use crate::closed_loop::{Client, drive, runtime};
use crate::lifeline::Ready;
use crate::load::Load;
use crate::shape::Work;

mod farcall;
mod nats;
mod python;
mod raw_blocking;
mod raw_mux;
mod raw_tokio;
mod redis_bare;
mod tarpc;
mod tasks;
mod tonic;

/// Those that talk over a Unix socket, in the order of the tables and of the turns in a round.
pub(crate) const UNIX: &[&dyn Peer] = &[
    &farcall::FARCALL_UNIX,
    &raw_blocking::RawBlocking,
    &raw_tokio::RawTokio,
    &raw_mux::RawMux,
    &tarpc::TarpcBincode,
    &tarpc::TarpcCbor,
    &tonic::Tonic,
];

/// Those that talk through a broker, in the same order.
pub(crate) const REDIS: &[&dyn Peer] = &[
    &farcall::FARCALL_REDIS,
    &farcall::FARCALL_REDIS_TCP,
    &redis_bare::RedisBare,
    &redis_bare::RedisBareTcp,
    &nats::Nats,
    &python::PYTHON,
    &python::PYTHON_ASYNCIO,
];

/// Those that make records durable.
pub(crate) const TASKS: &[&dyn Peer] = &[&tasks::FileTasks, &tasks::BareRedb, &tasks::BareDisk];

/// The most calls that may be in flight: peers with limits of their own set them so that this many
/// fit.
pub(crate) const MOST_IN_FLIGHT: usize = 4096;

/// The most streams that may be open: a server of farcall runs this many calls at a time by default.
pub(crate) const MOST_STREAMS: usize = 256;

/// One way of calling another process: its server, which echoes payloads, and its client.
///
/// Each method runs in a process of its own and may use its thread as it likes. `at` is where they
/// meet: the path of a Unix socket, or the URL of a [broker](Peer::via).
pub(crate) trait Peer: Sync {
    /// Its name, on the command line and in the tables.
    fn name(&self) -> &'static str;

    /// What it does, in a sentence for the results.
    fn about(&self) -> &'static str;

    /// The broker through which they meet, if there is one.
    fn via(&self) -> Option<Via> {
        None
    }

    /// Whether it is written in Python.
    fn in_python(&self) -> bool {
        false
    }

    /// Whether its servers share calls with each other, and count what they have
    /// [served](crate::lifeline::served).
    fn shares(&self) -> bool {
        self.via().is_some()
    }

    /// Echoes to any number of connections. Announces that it is ready as soon as a connection
    /// would be accepted, or a call delivered. Need not return: the process is ended from outside.
    ///
    /// # Errors
    ///
    /// When it cannot listen. A connection that fails must not end it.
    fn serve(&self, at: &str, ready: Ready) -> anyhow::Result<()>;

    /// Opens one connection and keeps the asked number of calls in flight on it until the load's
    /// meter stops, reporting them there. Returns when no call is in flight.
    ///
    /// # Errors
    ///
    /// When a call fails or is not answered with its payload.
    fn load(&self, at: &str, load: &Load) -> anyhow::Result<()>;

    /// Opens `connections` connections, makes one call on each so that it is complete, announces
    /// that it is ready, and keeps them open and idle. Never returns without an error.
    ///
    /// # Errors
    ///
    /// When a connection or its call fails.
    fn hold(&self, at: &str, connections: usize, ready: Ready) -> anyhow::Result<()>;

    /// Its streams, if it has any.
    fn streaming(&self) -> Option<&dyn Streaming> {
        None
    }
}

/// The streams of a peer. Its servers and clients of streams are others than those of calls.
///
/// Each method runs in a process of its own and may use its thread as it likes.
pub(crate) trait Streaming: Sync {
    /// How it streams, in a sentence for the results.
    fn about(&self) -> &'static str;

    /// Serves streams of this kind; else as [`Peer::serve`].
    ///
    /// # Errors
    ///
    /// When it cannot listen. A connection that fails must not end it.
    fn serve(&self, work: Work, at: &str, ready: Ready) -> anyhow::Result<()>;

    /// Opens one connection and keeps the asked number of streams open on it until the load's meter
    /// stops, reporting items there: the client's own when they are sent, all others when they
    /// arrive.
    ///
    /// # Errors
    ///
    /// When a stream fails, or when what arrives is not what was sent.
    fn load(&self, at: &str, load: &Load) -> anyhow::Result<()>;
}

/// A peer that multiplexes: many tasks call at the same time over one connection.
///
/// Both sides run on the [`runtime`] of one thread.
pub(crate) trait Multiplexed: Sync {
    /// Its client, whose clones share a connection.
    type Client: Client;

    /// See [`Peer::name`].
    const NAME: &'static str;

    /// See [`Peer::about`].
    const ABOUT: &'static str;

    /// See [`Peer::via`].
    const VIA: Option<Via> = None;

    /// See [`Peer::streaming`].
    fn streaming(&self) -> Option<&dyn Streaming> {
        None
    }

    /// See [`Peer::serve`].
    async fn serve(&self, at: &str, ready: Ready) -> anyhow::Result<()>;

    /// Opens a connection. What must go on beside the calls is spawned; the connection stays open
    /// while a clone of the client lives.
    ///
    /// # Errors
    ///
    /// When nobody listens there.
    async fn connect(&self, at: &str) -> anyhow::Result<Self::Client>;
}

impl<P: Multiplexed> Peer for P {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn about(&self) -> &'static str {
        P::ABOUT
    }

    fn via(&self) -> Option<Via> {
        P::VIA
    }

    fn streaming(&self) -> Option<&dyn Streaming> {
        Multiplexed::streaming(self)
    }

    fn serve(&self, at: &str, ready: Ready) -> anyhow::Result<()> {
        runtime()?.block_on(Multiplexed::serve(self, at, ready))
    }

    fn load(&self, at: &str, load: &Load) -> anyhow::Result<()> {
        runtime()?.block_on(async {
            let client = self.connect(at).await?;
            drive(client, load).await
        })
    }

    fn hold(&self, at: &str, connections: usize, ready: Ready) -> anyhow::Result<()> {
        runtime()?.block_on(async {
            let mut clients = Vec::with_capacity(connections);
            for _ in 0..connections {
                let mut client = self.connect(at).await?;
                let reply = client.call(b"hello").await?;
                ensure!(
                    reply.as_ref() == b"hello",
                    "the server answered with other bytes than it was sent"
                );
                clients.push(client);
            }
            ready.announce()?;
            pending().await
        })
    }
}

/// Every peer.
pub(crate) fn all() -> impl Iterator<Item = &'static dyn Peer> {
    UNIX.iter().chain(REDIS).chain(TASKS).copied()
}

/// The peer of this name.
pub(crate) fn find(name: &str) -> Option<&'static dyn Peer> {
    all().find(|peer| peer.name() == name)
}

impl fmt::Debug for dyn Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_is_found_by_its_name_alone() {
        for peer in all() {
            assert_eq!(find(peer.name()).unwrap().name(), peer.name());
            assert_eq!(all().filter(|other| other.name() == peer.name()).count(), 1);
        }
    }
}
