//! What a client process counts while it calls: calls, latencies, and the processor time of all
//! sides.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{process, thread};

use anyhow::ensure;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::broker::Counters;
use crate::processor;

/// How long the first call may take before a load is given up.
const FIRST_CALL: Duration = Duration::from_secs(10);

/// The longest latency that is told apart from longer ones.
const LONGEST: Duration = Duration::from_secs(60);

/// Counts calls, and keeps the latencies of those that ended within the measured window.
///
/// Callers ask it whether to go on; [`Meter::watch`], on a thread of its own, opens and closes the
/// window. So the window's length does not depend on how a peer's runtime treats timers, and a peer
/// that blocks is measured the same.
#[derive(Debug)]
pub(crate) struct Meter {
    running: AtomicBool,
    recording: AtomicBool,
    calls: AtomicU64,
    latencies: Mutex<Histogram<u64>>,
}

/// What one client process measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measurement {
    /// Calls answered, or items moved, within the window.
    pub(crate) calls: u64,
    /// The window's length.
    pub(crate) wall_seconds: f64,
    /// Median latency of a call; 0 for streams.
    pub(crate) p50_ns: u64,
    /// The latency that 1 call of 100 exceeds; 0 for streams.
    pub(crate) p99_ns: u64,
    /// Processor time of the client process within the window.
    pub(crate) client_processor_seconds: f64,
    /// Processor time of the server processes within the window.
    pub(crate) server_processor_seconds: f64,
    /// Processor time of the broker within the window, if there is one.
    pub(crate) broker_processor_seconds: Option<f64>,
    /// Commands that the broker executed within the window, if it counts them.
    pub(crate) broker_commands: Option<u64>,
}

/// The processes whose processor time is measured beside the client's own.
#[derive(Debug, Clone)]
pub(crate) struct Others {
    /// The servers.
    pub(crate) servers: Vec<u32>,
    /// The broker, if there is one.
    pub(crate) broker: Option<u32>,
    /// Where the broker is reached, or the server.
    pub(crate) at: String,
}

impl Others {
    fn server_time(&self) -> anyhow::Result<Duration> {
        self.servers.iter().map(|&server| processor::time_of(server)).sum()
    }

    fn broker_time(&self) -> anyhow::Result<Option<Duration>> {
        self.broker.map(processor::time_of).transpose()
    }
}

impl Meter {
    /// A meter whose window has not begun.
    pub(crate) fn new() -> Self {
        let latencies = Histogram::new_with_max(LONGEST.as_nanos() as u64, 3)
            .expect("the bounds are in order and 3 digits are supported");
        Meter {
            running: AtomicBool::new(true),
            recording: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            latencies: Mutex::new(latencies),
        }
    }

    /// Whether to make another call.
    pub(crate) fn running(&self) -> bool {
        self.running.load(Ordering::Relaxed)
    }

    /// Counts calls that were answered, or items that have moved.
    pub(crate) fn count(&self, calls: u64) {
        self.calls.fetch_add(calls, Ordering::Relaxed);
    }

    /// How much has been counted, outside the window too.
    pub(crate) fn counted(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Keeps a latency. Callers may report a sample of their calls, as long as they pick it without
    /// regard to latency.
    pub(crate) fn record(&self, latency: Duration) {
        if self.recording.load(Ordering::Relaxed) {
            let mut latencies = self.latencies.lock().expect("recording does not panic");
            latencies.saturating_record(latency.as_nanos() as u64);
        }
    }

    /// Waits for the first call and a warm-up, measures for `window`, and stops the callers.
    ///
    /// # Errors
    ///
    /// When no call is answered in time, or when the processor time of a process or what the broker
    /// counts cannot be read. The callers are stopped then too.
    pub(crate) fn watch(&self, window: Duration, others: &Others) -> anyhow::Result<Measurement> {
        let measured = self.measure(window, others);
        self.running.store(false, Ordering::Relaxed);
        measured
    }

    fn measure(&self, window: Duration, others: &Others) -> anyhow::Result<Measurement> {
        let client = process::id();
        let mut counters =
            others.broker.and_then(|_| Counters::open(&others.at).transpose()).transpose()?;
        let started = Instant::now();
        while self.calls.load(Ordering::Relaxed) == 0 {
            ensure!(started.elapsed() < FIRST_CALL, "no call was answered within {FIRST_CALL:?}");
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(warm_up(window));

        let commands_before = counters.as_mut().map(Counters::commands).transpose()?;
        let broker_before = others.broker_time()?;
        let server_before = others.server_time()?;
        let client_before = processor::time_of(client)?;
        let calls_before = self.calls.load(Ordering::Relaxed);
        let opened = Instant::now();
        self.recording.store(true, Ordering::Relaxed);
        thread::sleep(window);
        self.recording.store(false, Ordering::Relaxed);
        let wall = opened.elapsed();
        let calls = self.calls.load(Ordering::Relaxed) - calls_before;
        let client_time = processor::time_of(client)?.saturating_sub(client_before);
        let server_time = others.server_time()?.saturating_sub(server_before);
        let broker_time = others.broker_time()?;
        let commands = counters.as_mut().map(Counters::commands).transpose()?;

        ensure!(calls > 0, "no call was answered within the window of {window:?}");
        let latencies = self.latencies.lock().expect("recording does not panic");
        Ok(Measurement {
            calls,
            wall_seconds: wall.as_secs_f64(),
            p50_ns: latencies.value_at_quantile(0.50),
            p99_ns: latencies.value_at_quantile(0.99),
            client_processor_seconds: client_time.as_secs_f64(),
            server_processor_seconds: server_time.as_secs_f64(),
            broker_processor_seconds: since(broker_before, broker_time, Duration::saturating_sub)
                .map(|time| time.as_secs_f64()),
            broker_commands: since(commands_before, commands, u64::saturating_sub),
        })
    }
}

/// The difference of two readings, if there is such a reading.
fn since<T>(before: Option<T>, after: Option<T>, difference: fn(T, T) -> T) -> Option<T> {
    Some(difference(after?, before?))
}

/// A quarter of the window, within bounds: long enough for buffers to reach their size.
pub(crate) fn warm_up(window: Duration) -> Duration {
    (window / 4).clamp(Duration::from_millis(50), Duration::from_millis(500))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_outside_the_window_are_not_kept() {
        let meter = Meter::new();
        meter.record(Duration::from_micros(5));
        assert_eq!(meter.latencies.lock().unwrap().len(), 0);
    }

    #[test]
    fn watching_counts_the_window_and_stops_the_callers() {
        let meter = Meter::new();
        let measurement = thread::scope(|scope| {
            scope.spawn(|| {
                while meter.running() {
                    meter.record(Duration::from_micros(5));
                    meter.count(1);
                }
            });
            let own = process::id();
            let others = Others { servers: vec![own, own], broker: None, at: String::new() };
            meter.watch(Duration::from_millis(20), &others).unwrap()
        });
        assert!(measurement.server_processor_seconds > measurement.client_processor_seconds);
        assert_eq!(measurement.broker_processor_seconds, None);
        assert!(measurement.calls > 0);
        assert!(measurement.wall_seconds >= 0.02);
        assert!((4_900..5_100).contains(&measurement.p50_ns), "{measurement:?}");
    }
}
