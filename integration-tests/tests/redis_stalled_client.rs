//! A client that takes nothing of what it is sent costs what one client may cost, and nobody else anything. One that
//! reads, but not as fast as the server sends, loses nothing.

use std::time::{Duration, Instant};

use farcall::{Bytes, Node};
use farcall_integration_tests::{Process, RedisWorld, until};
use farcall_testkit::{Options, SERVICE};
use futures::future::join_all;

const LEASE: Duration = Duration::from_secs(2);
const SIZE: usize = 256 << 10;
/// Nearly as much as may wait for one peer.
const AT_ONCE: usize = 100;

/// Twice what may wait for one peer (`max_queued_bytes / 2 + max_message_bytes`), since what it is reading lies there
/// as well; and what everything else takes.
const BOUND: u64 = (2 * 32 + 24) << 20;

struct Scene {
    world: RedisWorld,
    server: Process,
    other: Node,
    client: Process,
}

/// A client with so many large answers under way.
async fn scene(does: &str, at_once: usize) -> Scene {
    let world = RedisWorld::new(env!("CARGO_BIN_EXE_contract-server")).lease(LEASE);
    let world = world.variable("FARCALL_LIMITS__MAX_QUEUED_BYTES", "32MiB");
    let options = Options { concurrency: at_once, ..Options::new("a") };
    let server = world.spawn(&options);
    let other = world.client().await;
    assert_eq!(other.client(SERVICE).call::<i64>("add", (1, 2)).await.unwrap(), 3);
    let words = [does, &at_once.to_string(), &SIZE.to_string()];
    let program = env!("CARGO_BIN_EXE_contract-client");
    let mut client = world.spawn_client(program, &Options::new("client"), &words);
    let said = tokio::task::spawn_blocking(move || (client.line(), client));
    let (line, client) = said.await.unwrap();
    assert_eq!(line, "first");
    Scene { world, server, other, client }
}

fn inboxes(world: &RedisWorld) -> Vec<String> {
    world.broker().ask(&["KEYS", "farcall:*:in:*"])
}

impl Scene {
    /// For some leases, others are served at once, and neither the broker nor the server holds more than it may.
    async fn is_bounded(&self) {
        let began = Instant::now();
        let before = self.server.memory().now;
        while began.elapsed() < 3 * LEASE {
            let asked = Instant::now();
            let add = self.other.client(SERVICE).call::<i64>("add", (1, 2)).await;
            assert_eq!(add.unwrap(), 3);
            assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
            let used: u64 = self.world.broker().info("used_memory").unwrap().parse().unwrap();
            assert!(used < BOUND, "the broker holds {used} bytes");
            let taken = self.server.memory().now.saturating_sub(before);
            assert!(taken < BOUND, "the server holds {taken} bytes more");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[farcall::test]
async fn a_client_that_is_stopped_is_dropped_when_its_lease_ends_and_comes_back_when_it_goes_on() {
    let scene = scene("drink", AT_ONCE).await;
    scene.client.pause();
    scene.is_bounded().await;
    assert_eq!(inboxes(&scene.world).len(), 2, "its lease is long over");
    scene.client.resume();
    until("it is there again", async || inboxes(&scene.world).len() == 3).await;
}

#[farcall::test]
async fn a_client_whose_thread_is_blocked_for_good_is_bounded() {
    let scene = scene("clog", AT_ONCE).await;
    scene.is_bounded().await;
    scene.world.assert_calm(&scene.server).await;
}

#[farcall::test]
async fn a_client_that_reads_nothing_leaves_room_for_others_however_much_it_is_sent() {
    let scene = scene("clog", 3 * AT_ONCE).await;
    // For a moment all room may be taken; then it is ended, and its membership with it.
    until("it is gone", async || inboxes(&scene.world).len() == 2).await;
    scene.is_bounded().await;
}

#[farcall::test]
async fn a_client_that_reads_is_not_dropped_for_being_slower_than_the_server() {
    let world = RedisWorld::new(env!("CARGO_BIN_EXE_contract-server"));
    // So that one peer may have 3 MiB, and all together 4, of 25 that are sent.
    let world = world.variable("FARCALL_LIMITS__MAX_QUEUED_BYTES", "4MiB");
    let options = Options { concurrency: AT_ONCE, max_message_bytes: 1 << 20, ..Options::new("a") };
    let server = world.spawn(&options);
    let node = world.client().await;
    let contract = node.client(SERVICE);
    assert_eq!(contract.call::<i64>("add", (1, 2)).await.unwrap(), 3);
    let before = server.memory().now;
    let calls = (0..AT_ONCE).map(|_| contract.call::<Bytes>("large", (SIZE,)));
    for answer in join_all(calls).await {
        assert_eq!(answer.unwrap().len(), SIZE);
    }
    // What they return lies there once, and what it is sent as.
    let taken = server.memory().now.saturating_sub(before);
    assert!(taken < BOUND, "the server holds {taken} bytes more");
}
