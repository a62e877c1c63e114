//! The time for which a call lies somewhere is taken off what it has left.

use std::time::Duration;

use farcall::Client;
use farcall_integration_tests::{Process, RedisWorld, until};
use farcall_testkit::{Options, SERVICE};

const TIMEOUT: Duration = Duration::from_secs(30);
const LIES: u64 = 500;

/// What the broker's clock says, in ms.
fn clock(world: &RedisWorld) -> u64 {
    let (seconds, micros): (u64, u64) = world.broker().ask(&["TIME"]);
    seconds * 1000 + micros / 1000
}

/// What a call says that it has left, in ms, which waits in this stream for a server that is stopped.
async fn time_left(world: &RedisWorld, server: &Process, contract: &Client, stream: &str) -> u64 {
    server.pause();
    let began = clock(world);
    let call = contract.call::<u64>("time_left", ()).timeout(TIMEOUT);
    let call = tokio::task::spawn_local(call);
    let lies_for = || {
        let last: Vec<(String, redis::Value)> =
            world.broker().ask(&["XREVRANGE", stream, "+", "-", "COUNT", "1"]);
        let id = last.first().and_then(|(id, _)| id.split('-').next()?.parse().ok());
        id.filter(|id| *id >= began).map(|id: u64| clock(world).saturating_sub(id))
    };
    until("it has lain there", async || lies_for().is_some_and(|ms| ms >= LIES)).await;
    server.resume();
    call.await.unwrap().unwrap()
}

#[farcall::test]
async fn what_lay_in_the_queue_or_in_an_inbox_has_less_time() {
    let world = RedisWorld::new(env!("CARGO_BIN_EXE_contract-server"));
    let world = world.lease(Duration::from_secs(60));
    let server = world.spawn(&Options::new("a"));
    let node = world.client().await;
    let contract = node.client(SERVICE);
    assert_eq!(contract.call::<i64>("add", (1, 2)).await.unwrap(), 3);
    let most = TIMEOUT.as_millis() as u64 - LIES;
    let prefix = format!("farcall:{{default/{SERVICE}}}:");
    let left = time_left(&world, &server, &contract, &format!("{prefix}q")).await;
    assert!(left <= most, "{left} ms");
    let peer = node.servers(SERVICE).await.unwrap()[0].peer;
    let members: Vec<String> = world.broker().ask(&["HKEYS", &format!("{prefix}servers")]);
    let inbox = format!("{prefix}in:{}", members[0]);
    let direct = node.peer(peer).client(SERVICE);
    let left = time_left(&world, &server, &direct, &inbox).await;
    assert!(left <= most, "{left} ms");
}
