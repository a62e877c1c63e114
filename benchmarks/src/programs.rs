//! Programs that are no part of this one, and without which some peers cannot be measured.

use std::collections::BTreeSet;

use anyhow::Context;
use clap::ValueEnum;

use crate::broker::Broker;
use crate::closed_loop::runtime;
use crate::peers::Peer;
use crate::python;

/// A program that must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Program {
    /// `redis-server`, without which there is no contest.
    #[value(skip)]
    Redis,
    /// `nats-server`.
    Nats,
    /// `python3`, with `venv` and a package index to fetch redis-py from.
    Python,
}

impl Program {
    /// What this peer needs.
    pub(crate) fn of(peer: &dyn Peer) -> impl Iterator<Item = Self> {
        let broker = peer.via().map(|via| match via.broker() {
            Broker::Redis => Program::Redis,
            Broker::Nats => Program::Nats,
        });
        broker.into_iter().chain(peer.in_python().then_some(Program::Python))
    }

    /// Looks for it: its name and version.
    ///
    /// # Errors
    ///
    /// When it is not there: with what to do about it.
    async fn prepare(self) -> anyhow::Result<String> {
        let without = |name| format!("`--without {name}` leaves out the peers that need it");
        match self {
            Program::Redis => version(Broker::Redis).await,
            Program::Nats => version(Broker::Nats).await.with_context(|| without("nats")),
            Program::Python => python::prepare().await.with_context(|| without("python")),
        }
    }
}

/// Looks for whatever these peers need: names and versions.
///
/// # Errors
///
/// When something is not there: with what to do about it.
pub(crate) fn prepare(peers: &[&dyn Peer]) -> anyhow::Result<Vec<String>> {
    let programs: BTreeSet<_> = peers.iter().flat_map(|peer| Program::of(*peer)).collect();
    runtime()?.block_on(async {
        let mut found = Vec::with_capacity(programs.len());
        for program in programs {
            found.push(program.prepare().await?);
        }
        Ok(found)
    })
}

async fn version(broker: Broker) -> anyhow::Result<String> {
    Ok(format!("{} {}", broker.name(), broker.version().await?))
}
