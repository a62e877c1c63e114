//! Callers that wait for each answer before they call again: as many tasks of one client as calls
//! are in flight.

use std::rc::Rc;
use std::time::Instant;

use anyhow::ensure;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::task::JoinSet;

use crate::load::Load;
use crate::paced;

/// A client whose clones make calls at the same time over one connection.
pub(crate) trait Client: Clone + 'static {
    /// The payload of a response.
    type Reply: AsRef<[u8]>;

    /// Calls the server's echo. Copying the payload into whatever the peer sends belongs to the
    /// call.
    ///
    /// # Errors
    ///
    /// When the call fails; the load is given up then.
    async fn call(&mut self, payload: &[u8]) -> anyhow::Result<Self::Reply>;
}

/// The runtime of every asynchronous peer, on both sides: one thread, with or without tasks that
/// may leave it.
///
/// # Errors
///
/// When the system gives it no event queue.
pub(crate) fn runtime() -> std::io::Result<LocalRuntime> {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
}

/// Keeps the asked number of calls in flight until the meter stops, or the asked rate. Runs on
/// [`runtime`], or wherever local tasks may be spawned.
///
/// # Errors
///
/// When a call fails or its answer is not the payload.
pub(crate) async fn drive(client: impl Client, load: &Load) -> anyhow::Result<()> {
    if let Some(per_second) = load.per_second {
        return paced::drive(client, load, per_second).await;
    }
    let payload: Rc<[u8]> = load.payload().into();
    let mut callers = JoinSet::new();
    for position in 0..load.shape.in_flight {
        callers.spawn_local(call_repeatedly(
            client.clone(),
            Rc::clone(&payload),
            load.clone(),
            position,
        ));
    }
    while let Some(ended) = callers.join_next().await {
        ended??;
    }
    Ok(())
}

async fn call_repeatedly(
    mut client: impl Client,
    payload: Rc<[u8]>,
    load: Load,
    position: usize,
) -> anyhow::Result<()> {
    let first = client.call(&payload).await?;
    ensure!(first.as_ref() == &*payload, "the server answered with other bytes than it was sent");
    load.meter.count(1);

    // Callers time different calls of a burst, so that the sample holds early and late ones alike.
    let mut call = position;
    while load.meter.running() {
        let started = call.is_multiple_of(load.timed_one_in()).then(Instant::now);
        let reply = client.call(&payload).await?;
        if let Some(started) = started {
            load.meter.record(started.elapsed());
        }
        ensure!(
            reply.as_ref().len() == payload.len(),
            "the server answered with fewer or more bytes"
        );
        load.meter.count(1);
        call = call.wrapping_add(1);
    }
    Ok(())
}
