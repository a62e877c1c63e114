//! A client that takes nothing of what it is sent costs what one client may cost, and nobody else anything.

use std::time::{Duration, Instant};

use farcall::Node;
use farcall_integration_tests::{Process, RedisWorld, until};
use farcall_testkit::{Options, SERVICE};

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

/// A client with many large answers under way.
async fn scene(does: &str) -> Scene {
    let world = RedisWorld::new(env!("CARGO_BIN_EXE_contract-server")).lease(LEASE);
    let world = world.variable("FARCALL_LIMITS__MAX_QUEUED_BYTES", "32MiB");
    let options = Options { concurrency: AT_ONCE, ..Options::new("a") };
    let server = world.spawn(&options);
    let other = world.client().await;
    assert_eq!(other.client(SERVICE).call::<i64>("add", (1, 2)).await.unwrap(), 3);
    let words = [does, &AT_ONCE.to_string(), &SIZE.to_string()];
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
    let scene = scene("drink").await;
    scene.client.pause();
    scene.is_bounded().await;
    assert_eq!(inboxes(&scene.world).len(), 2, "its lease is long over");
    scene.client.resume();
    until("it is there again", async || inboxes(&scene.world).len() == 3).await;
}

#[farcall::test]
async fn a_client_whose_thread_is_blocked_for_good_is_bounded() {
    let scene = scene("clog").await;
    scene.is_bounded().await;
    scene.world.assert_calm(&scene.server).await;
}
