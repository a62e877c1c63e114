//! The order of a run: in each round, for each shape, each peer in turn.

use std::path::Path;
use std::time::Duration;

use crate::child::{self, Kept};
use crate::closed_loop::runtime;
use crate::memory::{self, IDLE_CONNECTIONS};
use crate::meter::Measurement;
use crate::peers::Peer;
use crate::results::Results;
use crate::shape::Shape;

/// What a run measures.
#[derive(Debug)]
pub(crate) struct Plan {
    /// How often everything is measured.
    pub(crate) rounds: u32,
    /// How long one measurement lasts.
    pub(crate) seconds: Duration,
    /// Who takes part.
    pub(crate) peers: Vec<&'static dyn Peer>,
    /// Payload sizes, in bytes.
    pub(crate) sizes: Vec<usize>,
    /// Numbers of calls in flight.
    pub(crate) in_flight: Vec<usize>,
}

impl Plan {
    /// Every size with every number of calls in flight.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = Shape> {
        self.sizes.iter().flat_map(|&size| {
            self.in_flight.iter().map(move |&in_flight| Shape { size, in_flight })
        })
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
            for shape in plan.shapes() {
                for &peer in &plan.peers {
                    let outcome = measure(peer, shape, plan.seconds).await;
                    match &outcome {
                        Ok(measurement) => {
                            let rate = measurement.calls as f64 / measurement.wall_seconds;
                            let name = peer.name();
                            eprintln!(
                                "round {} of {}: {shape}, {name}: {rate:.0} calls/s",
                                round + 1,
                                plan.rounds
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
        for &peer in &plan.peers {
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
    let server = Kept::serve(peer, &socket).await?;
    let measurement = child::load(peer, &socket, shape, window, server.id()).await?;
    server.end().await?;
    Ok(measurement)
}

/// Bytes that a server's resident memory grows by for each idle connection.
async fn idle_memory(peer: &dyn Peer) -> anyhow::Result<f64> {
    let directory = tempfile::tempdir()?;
    let socket: &Path = &directory.path().join("echo.sock");
    let server = Kept::serve(peer, socket).await?;
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
