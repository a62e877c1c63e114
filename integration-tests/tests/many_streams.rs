//! Streams that were dropped leave nothing behind.

use std::sync::Arc;

use farcall::{Bytes, Client, Node};
use farcall_integration_tests::{Memory, SCENARIO, UnixWorld};
use farcall_testkit::Options;
use futures::Stream;
use futures::stream::{self, StreamExt};
use tokio::sync::Notify;

/// How many streams are dropped.
const MANY: usize = 10_000;

/// How many go before, until memory is as it will be.
const FIRST: usize = 1_000;

/// Eight or so in a window.
const ITEM: usize = 32 << 10;

/// How much more memory may be taken in the end, whatever for: less than 100 bytes a stream.
const NEXT_TO_NOTHING: u64 = 900 << 10;

#[farcall::test]
async fn ten_thousand_dropped_streams_leave_nothing_behind() {
    let world = UnixWorld::new(env!("CARGO_BIN_EXE_scenario-server"));
    let server = world.spawn(&Options::new("a"));
    let node = world.client().await;
    let scenario = node.client(SCENARIO);

    drop_streams(&scenario, FIRST).await;
    until_idle(&node).await;
    let before = [server.memory(), Memory::own()];
    drop_streams(&scenario, MANY).await;
    until_idle(&node).await;
    let after = [server.memory(), Memory::own()];
    for (before, after) in before.into_iter().zip(after) {
        let grown = after.now.saturating_sub(before.now);
        assert!(grown <= NEXT_TO_NOTHING, "server and client: {before:?} became {after:?}");
    }
    assert_eq!(scenario.call::<i64>("add", (1, 2)).await.unwrap(), 3);
}

/// Opens streams of every kind and drops each after a few items, in the middle of its window.
async fn drop_streams(scenario: &Client, count: usize) {
    for kind in (0..4).cycle().take(count) {
        match kind {
            0 => {
                let flood = scenario.stream::<Bytes>("flood", (usize::MAX, ITEM));
                assert_eq!(take_three(flood).await, 3);
            }
            1 => {
                let echo = scenario.stream::<Bytes>("echo", ()).argument_stream(endless());
                assert_eq!(take_three(echo).await, 3);
            }
            2 => {
                let first = scenario.call::<usize>("first", (3,)).argument_stream(endless());
                assert_eq!(first.await.unwrap(), 3, "the server drops it");
            }
            _ => {
                let moved = Arc::new(Notify::new());
                let moving = Arc::clone(&moved);
                let items = endless().enumerate().map(move |(at, item)| {
                    if at == 3 {
                        moving.notify_one();
                    }
                    item
                });
                tokio::select! {
                    ended = scenario.call::<u64>("swallow", (0,)).argument_stream(items) => {
                        panic!("it has no end: {ended:?}")
                    }
                    () = moved.notified() => {}
                }
            }
        }
    }
}

fn endless() -> impl Stream<Item = Bytes> + Send + Unpin + 'static {
    stream::repeat(Bytes::from(vec![7; ITEM]))
}

async fn take_three(items: impl Stream<Item = Result<Bytes, farcall::CallError>>) -> usize {
    items
        .take(3)
        .map(|item| item.unwrap().len() / ITEM)
        .fold(0, |sum, one| async move { sum + one })
        .await
}

/// Waits until the server runs nothing. It tells by a query, which is no call of a service.
async fn until_idle(node: &Node) {
    let peer = node.servers(SCENARIO).await.unwrap()[0].peer;
    loop {
        let status = node.peer(peer).status().await.unwrap();
        if (status.services[0].running, status.services[0].waiting) == (0, 0) {
            break;
        }
    }
    assert_eq!(node.servers(SCENARIO).await.unwrap()[0].in_flight, 0);
}
