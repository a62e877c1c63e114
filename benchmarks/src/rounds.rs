//! The order of a run: in each round, for each shape, each peer in turn.

use std::path::Path;
use std::time::Duration;

use crate::child::{self, Kept};
use crate::closed_loop::runtime;
use crate::memory::{self, IDLE_CONNECTIONS};
use crate::meter::Measurement;
use crate::peers::Peer;
use crate::results::Results;
use crate::shape::{Shape, Work};

/// What a run measures.
#[derive(Debug)]
pub(crate) struct Plan {
    /// How often everything is measured.
    pub(crate) rounds: u32,
    /// How long one measurement lasts.
    pub(crate) seconds: Duration,
    /// Who takes part.
    pub(crate) peers: Vec<&'static dyn Peer>,
    /// What is measured of them.
    pub(crate) works: Vec<Work>,
    /// Payload sizes of calls, in bytes.
    pub(crate) sizes: Vec<usize>,
    /// Numbers of calls in flight.
    pub(crate) in_flight: Vec<usize>,
    /// Sizes of items, in bytes.
    pub(crate) item_sizes: Vec<usize>,
    /// Numbers of open streams.
    pub(crate) streams: Vec<usize>,
}

impl Plan {
    /// Every size with every number of calls in flight, or of streams.
    pub(crate) fn shapes(&self, work: Work) -> Vec<Shape> {
        if !self.works.contains(&work) {
            return Vec::new();
        }
        let (sizes, numbers) = match work {
            Work::Calls => (&self.sizes, &self.in_flight),
            _ => (&self.item_sizes, &self.streams),
        };
        let shapes = sizes.iter().flat_map(|&size| {
            numbers.iter().map(move |&in_flight| Shape { work, size, in_flight })
        });
        shapes.collect()
    }

    /// Those who take part in loads of this kind.
    pub(crate) fn peers_of(&self, work: Work) -> impl Iterator<Item = &'static dyn Peer> {
        let takes_part = move |peer: &&dyn Peer| work == Work::Calls || peer.streaming().is_some();
        self.peers.iter().copied().filter(takes_part)
    }

    /// Those whose idle connections are measured, which are those of calls.
    fn idle_peers(&self) -> impl Iterator<Item = &'static dyn Peer> {
        self.peers_of(Work::Calls).filter(|_| self.works.contains(&Work::Calls))
    }

    /// All that is measured in a round, in its order.
    fn round(&self) -> Vec<Shape> {
        let works = [Work::Calls].iter().chain(Work::STREAMS);
        works.flat_map(|&work| self.shapes(work)).collect()
    }
}

/// Measures everything, telling on standard error how far it is. A measurement that fails is among
/// the results.
///
/// # Errors
///
/// When the run itself cannot go on, which is not for want of a peer.
pub(crate) fn run(plan: &Plan) -> anyhow::Result<Results> {
    runtime()?.block_on(async {
        let mut results = Results::default();
        for round in 0..plan.rounds {
            for shape in plan.round() {
                for peer in plan.peers_of(shape.work) {
                    let outcome = measure(peer, shape, plan.seconds).await;
                    match &outcome {
                        Ok(measurement) => {
                            let rate = measurement.calls as f64 / measurement.wall_seconds;
                            let name = peer.name();
                            eprintln!(
                                "round {} of {}: {shape}, {name}: {rate:.0} {}/s",
                                round + 1,
                                plan.rounds,
                                shape.work.unit()
                            );
                        }
                        Err(error) => {
                            eprintln!("round {}: {shape}, {}: {error:#}", round + 1, peer.name())
                        }
                    }
                    results.add(round, shape, peer.name(), outcome);
                }
            }
        }
        for peer in plan.idle_peers() {
            let outcome = idle_memory(peer).await;
            match &outcome {
                Ok(bytes) => {
                    eprintln!("an idle connection of {}: {:.1} KiB", peer.name(), bytes / 1024.0)
                }
                Err(error) => eprintln!("idle connections of {}: {error:#}", peer.name()),
            }
            results.add_idle_memory(peer.name(), outcome);
        }
        Ok(results)
    })
}

async fn measure(peer: &dyn Peer, shape: Shape, window: Duration) -> anyhow::Result<Measurement> {
    let directory = tempfile::tempdir()?;
    let socket = directory.path().join("echo.sock");
    let server = Kept::serve(peer, shape.work, &socket).await?;
    let measurement = child::load(peer, &socket, shape, window, server.id()).await?;
    server.end().await?;
    Ok(measurement)
}

/// Bytes that a server's resident memory grows by for each idle connection.
async fn idle_memory(peer: &dyn Peer) -> anyhow::Result<f64> {
    let directory = tempfile::tempdir()?;
    let socket: &Path = &directory.path().join("echo.sock");
    let server = Kept::serve(peer, Work::Calls, socket).await?;
    // The first connection brings in the code that serves it, which the others share.
    let first = Kept::hold(peer, socket, 1).await?;
    let before = memory::resident(server.id())?;
    let idle = Kept::hold(peer, socket, IDLE_CONNECTIONS).await?;
    let after = memory::resident(server.id())?;
    idle.end().await?;
    first.end().await?;
    server.end().await?;
    Ok((after as f64 - before as f64) / IDLE_CONNECTIONS as f64)
}
