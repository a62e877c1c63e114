//! The load that a client process puts on a server.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context;

use crate::meter::{Measurement, Meter, Others};
use crate::peers::Peer;
use crate::shape::{Shape, Work};

/// What a peer's client is asked to do: keep calls or streams of this shape in flight for as long as
/// the meter runs.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// What travels.
    pub(crate) shape: Shape,
    /// How many calls begin in a second, whatever became of those before; if left out, as many as
    /// the shape has in flight begin again when they are answered.
    pub(crate) per_second: Option<u32>,
    /// How long it is measured, after a warm-up.
    pub(crate) window: Duration,
    /// The processes beside this one, and where they meet.
    pub(crate) others: Others,
    /// Where calls or items, and latencies, are reported.
    pub(crate) meter: Arc<Meter>,
}

impl Load {
    /// A load that has not begun.
    pub(crate) fn new(
        shape: Shape,
        per_second: Option<u32>,
        window: Duration,
        others: Others,
    ) -> Self {
        Load { shape, per_second, window, others, meter: Arc::new(Meter::new()) }
    }

    /// A payload of the asked size.
    pub(crate) fn payload(&self) -> Vec<u8> {
        payload(self.shape.size)
    }

    /// One call in how many is timed: all of them when few are in flight, else few enough for the
    /// clock not to count.
    pub(crate) fn timed_one_in(&self) -> usize {
        self.shape.in_flight.min(16)
    }

    /// Puts this load on the peer's server and measures it.
    ///
    /// # Errors
    ///
    /// When a call or stream fails or brings something else, or when the meter cannot measure.
    pub(crate) fn measure(self, peer: &dyn Peer) -> anyhow::Result<Measurement> {
        let Load { window, others, meter, .. } = self.clone();
        let at = others.at.clone();
        let watcher = thread::spawn(move || meter.watch(window, &others));
        match self.shape.work {
            Work::Calls => peer.load(&at, &self)?,
            _ => peer.streaming().context("it has no streams")?.load(&at, &self)?,
        }
        watcher.join().expect("watching does not panic")
    }
}

/// A payload of this size, whose bytes are not all alike.
pub(crate) fn payload(size: usize) -> Vec<u8> {
    (0..size).map(|position| (position % 251) as u8).collect()
}
