//! Calls that begin at a steady rate, whatever became of those before.

use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::closed_loop::Client;
use crate::load::Load;
use crate::meter::Meter;
use crate::peers::MOST_IN_FLIGHT;

/// Begins this many calls in a second until the meter stops. Runs wherever local tasks may be
/// spawned.
///
/// # Errors
///
/// When a call fails or its answer is not the payload, or when as many calls wait as may be in
/// flight.
pub(crate) async fn drive(client: impl Client, load: &Load, per_second: u32) -> anyhow::Result<()> {
    let payload: Rc<[u8]> = load.payload().into();
    let mut ticks = ticks(Arc::clone(&load.meter), per_second);
    let mut calls = JoinSet::new();
    loop {
        tokio::select! {
            tick = ticks.recv() => match tick {
                Some(()) if calls.len() < MOST_IN_FLIGHT => {
                    let call = call(client.clone(), Rc::clone(&payload), Arc::clone(&load.meter));
                    calls.spawn_local(call);
                }
                Some(()) => bail!("{MOST_IN_FLIGHT} calls wait: the rate cannot be kept"),
                None => break,
            },
            Some(ended) = calls.join_next() => ended??,
        }
    }
    while let Some(ended) = calls.join_next().await {
        ended??;
    }
    Ok(())
}

/// A tick for each call that shall begin, until the meter stops. They come from a thread of their own,
/// whose sleep is finer than the millisecond of the runtime's timers.
fn ticks(meter: Arc<Meter>, per_second: u32) -> mpsc::Receiver<()> {
    let (tick, ticks) = mpsc::channel(MOST_IN_FLIGHT);
    let period = Duration::from_secs(1) / per_second;
    thread::spawn(move || {
        let mut due = Instant::now();
        while meter.running() && tick.blocking_send(()).is_ok() {
            due += period;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    });
    ticks
}

async fn call(mut client: impl Client, payload: Rc<[u8]>, meter: Arc<Meter>) -> anyhow::Result<()> {
    let started = Instant::now();
    let reply = client.call(&payload).await?;
    meter.record(started.elapsed());
    ensure!(reply.as_ref() == &*payload, "the server answered with other bytes than it was sent");
    meter.count(1);
    Ok(())
}
