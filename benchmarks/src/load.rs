//! The load that a client process puts on a server.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::meter::{Measurement, Meter};
use crate::peers::Peer;
use crate::shape::Shape;

/// What a peer's client is asked to do: keep calls of this shape in flight for as long as the meter
/// runs.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// Payload size and calls in flight.
    pub(crate) shape: Shape,
    /// Where calls and latencies are reported.
    pub(crate) meter: Arc<Meter>,
}

impl Load {
    /// A load that has not begun.
    pub(crate) fn new(shape: Shape) -> Self {
        Load { shape, meter: Arc::new(Meter::new()) }
    }

    /// A payload of the asked size, whose bytes are not all alike.
    pub(crate) fn payload(&self) -> Vec<u8> {
        (0..self.shape.size).map(|position| (position % 251) as u8).collect()
    }

    /// One call in how many is timed: all of them when few are in flight, else few enough for the
    /// clock not to count.
    pub(crate) fn timed_one_in(&self) -> usize {
        self.shape.in_flight.min(16)
    }

    /// Puts this load on the server at `socket`, and measures it for `window` after a warm-up.
    ///
    /// # Errors
    ///
    /// When a call fails or is answered wrongly, or when the meter cannot measure.
    pub(crate) fn measure(
        self,
        peer: &dyn Peer,
        socket: &Path,
        window: Duration,
        server: u32,
    ) -> anyhow::Result<Measurement> {
        let meter = Arc::clone(&self.meter);
        let watcher = thread::spawn(move || meter.watch(window, server));
        peer.load(socket, &self)?;
        watcher.join().expect("watching does not panic")
    }
}
