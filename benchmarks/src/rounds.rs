//! The order of a run: in each round, for each shape, each peer in turn.

use std::time::Duration;

use anyhow::{Context, ensure};

use crate::child::{self, Kept};
use crate::closed_loop::runtime;
use crate::contest::Contest;
use crate::division::{self, Division, Pace};
use crate::memory::{self, IDLE_CONNECTIONS};
use crate::meter::{Measurement, Others};
use crate::peers::Peer;
use crate::place::Place;
use crate::results::Results;
use crate::shape::{Shape, Work};

/// What a run measures.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Whose peers these are.
    pub(crate) contest: &'static Contest,
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
    /// At which paces calls are divided between two servers.
    pub(crate) paces: Vec<Pace>,
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
    pub(crate) fn idle_peers(&self) -> impl Iterator<Item = &'static dyn Peer> {
        let measured = self.works.contains(&Work::Calls) && self.contest.idle;
        self.peers_of(Work::Calls).filter(move |_| measured)
    }

    /// Those whose servers share calls with each other.
    pub(crate) fn sharing_peers(&self) -> impl Iterator<Item = &'static dyn Peer> {
        self.peers.iter().copied().filter(|peer| peer.shares())
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
            for &pace in &plan.paces {
                for peer in plan.sharing_peers() {
                    let outcome = divide(peer, pace, plan.seconds).await;
                    let (of, name) = (plan.rounds, peer.name());
                    match &outcome {
                        Ok(division) => {
                            let part = 100.0 * division.busier();
                            eprintln!(
                                "round {} of {of}: two servers, {pace}, {name}: {part:.0} % at one",
                                round + 1
                            );
                        }
                        Err(error) => {
                            eprintln!("round {}: two servers, {pace}, {name}: {error:#}", round + 1)
                        }
                    }
                    results.add_division(round, pace, name, outcome);
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
    let place = Place::prepare(peer).await?;
    let server = Kept::serve(peer, shape.work, place.at()).await?;
    let others = others(&place, [&server]);
    let measurement = child::load(peer, shape, None, window, &others).await?;
    server.end().await?;
    place.leave().await?;
    Ok(measurement)
}

/// What two servers get of the calls of one client.
async fn divide(peer: &dyn Peer, pace: Pace, window: Duration) -> anyhow::Result<Division> {
    let place = Place::prepare(peer).await?;
    let servers = [
        Kept::serve(peer, Work::Calls, place.at()).await?,
        Kept::serve(peer, Work::Calls, place.at()).await?,
    ];
    let others = others(&place, &servers);
    let shape = Shape::calls(division::SIZE, pace.in_flight());
    let measurement = child::load(peer, shape, pace.per_second(), window, &others).await?;
    let mut served = [0; 2];
    for (server, served) in servers.into_iter().zip(&mut served) {
        *served = server.end().await?.context("a server did not say how many calls it served")?;
    }
    place.leave().await?;
    let all: u64 = served.iter().sum();
    ensure!(
        all >= measurement.calls,
        "the servers count {all} calls, and their client {} of them in a part of the time",
        measurement.calls
    );
    Ok(Division { served, measurement })
}

fn others<'a>(place: &Place, servers: impl IntoIterator<Item = &'a Kept>) -> Others {
    Others {
        servers: servers.into_iter().map(Kept::id).collect(),
        broker: place.broker(),
        at: place.at().to_owned(),
    }
}

/// Bytes that a server's resident memory grows by for each idle connection.
async fn idle_memory(peer: &dyn Peer) -> anyhow::Result<f64> {
    let place = Place::prepare(peer).await?;
    let server = Kept::serve(peer, Work::Calls, place.at()).await?;
    // The first connection brings in the code that serves it, which the others share.
    let first = Kept::hold(peer, place.at(), 1).await?;
    let before = memory::resident(server.id())?;
    let idle = Kept::hold(peer, place.at(), IDLE_CONNECTIONS).await?;
    let after = memory::resident(server.id())?;
    idle.end().await?;
    first.end().await?;
    server.end().await?;
    place.leave().await?;
    Ok((after as f64 - before as f64) / IDLE_CONNECTIONS as f64)
}
