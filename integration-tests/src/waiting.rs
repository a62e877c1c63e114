//! Waiting for what gives no event.

use std::time::{Duration, Instant};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Asks again and again until it holds, and blocks the calling thread meanwhile. For servers that
/// tell nobody; our own nodes have events.
///
/// # Panics
/// It does not hold within [`PATIENCE`]. What was waited for is in the message.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The same without blocking the thread, for tests whose node lives on it.
///
/// # Panics
/// It does not hold within [`PATIENCE`]. What was waited for is in the message.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
