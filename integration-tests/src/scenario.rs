//! The service that scenarios are played with.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use farcall::{ArgumentStream, Bytes, Functions};
use futures::StreamExt;
use futures::stream;
use tokio::sync::Semaphore;

/// Its name.
pub const SCENARIO: &str = "scenario";

/// The service that every scenario server serves.
///
/// | method | does |
/// |---|---|
/// | `add(a, b)` | adds |
/// | `order(path, number)` | writes `number` as a line to a file, takes a moment, and gives its process |
/// | `long_order(path, number, ms)` | writes `number` as a line to a file, and takes so long |
/// | `flood(items, size)` | streams so many items of `size` bytes, all of which are the same memory |
/// | `swallow(pause, stream)` | counts the bytes of a stream; after `pause` items it waits for `go_on` |
/// | `until_paused()` | waits until a `swallow` has come to its pause |
/// | `go_on()` | lets that one go on |
/// | `first(n, stream)` | takes `n` items of a stream, and drops it |
/// | `echo(stream)` | streams back what it is sent |
pub fn scenario_service() -> Functions {
    let (pausing, going_on) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (paused, go_on) = (Arc::clone(&pausing), Arc::clone(&going_on));
    Functions::new(SCENARIO)
        .add("add", |a: i64, b: i64| a + b)
        .try_add("order", |path: String, number: u64| async move {
            note(&path, number)?;
            // So that a server which is told to stop has work under way.
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok::<u32, String>(std::process::id())
        })
        .try_add("long_order", |path: String, number: u64, ms: u64| async move {
            note(&path, number)?;
            tokio::time::sleep(Duration::from_millis(ms)).await;
            Ok::<(), String>(())
        })
        .stream("flood", |items: usize, size: usize| {
            stream::repeat(Bytes::from(vec![7; size])).take(items)
        })
        .add("swallow", move |pause: u64, items: ArgumentStream<Bytes>| {
            let (pausing, going_on) = (Arc::clone(&pausing), Arc::clone(&going_on));
            async move {
                let (mut items, mut bytes) = (items.enumerate(), 0);
                while let Some((at, item)) = items.next().await {
                    bytes += item.len() as u64;
                    if at as u64 + 1 == pause {
                        pausing.add_permits(1);
                        take_one(&going_on).await;
                    }
                }
                bytes
            }
        })
        .add("until_paused", move || {
            let paused = Arc::clone(&paused);
            async move { take_one(&paused).await }
        })
        .add("go_on", move || go_on.add_permits(1))
        .add("first", |n: usize, items: ArgumentStream<Bytes>| async move {
            items.take(n).collect::<Vec<_>>().await.len()
        })
        .stream("echo", |items: ArgumentStream<Bytes>| items)
}

fn note(path: &str, number: u64) -> Result<(), String> {
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
    // One write, so that lines of several processes do not mix.
    let written = file.and_then(|mut file| file.write_all(format!("{number}\n").as_bytes()));
    written.map_err(|error| error.to_string())
}

async fn take_one(permits: &Semaphore) {
    permits.acquire().await.expect("nobody closes it").forget();
}
