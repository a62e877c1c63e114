//! Who has an identity, and who gets it.

use std::time::{Duration, Instant};

use farcall::{CallError, Event};
use farcall_integration_tests::{RedisWorld, until};
use farcall_testkit::{Options, Remote, SERVICE};

#[farcall::test]
async fn a_server_that_is_started_again_serves_at_once() {
    let world = RedisWorld::new(env!("CARGO_BIN_EXE_contract-server"));
    let world = world.lease(Duration::from_secs(15));
    let node = world.client().await;
    let contract = node.client(SERVICE);
    let mut server = world.spawn(&Options::new("a"));
    for round in ["1", "2", "3"] {
        let hang = tokio::task::spawn_local(contract.call::<()>("hang", (round,)));
        contract.call::<()>("until_started", (round, 1)).await.unwrap();
        server.kill();
        let began = Instant::now();
        server = world.spawn(&Options::new("a"));
        let lost = hang.await.unwrap().unwrap_err();
        assert!(matches!(lost, CallError::OutcomeUnknown(_)), "{lost:?}");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert_eq!(contract.call::<i64>("add", (1, 2)).await.unwrap(), 3);
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert_eq!(node.servers(SERVICE).await.unwrap().len(), 1);
    }
}

#[farcall::test]
async fn a_holder_that_was_stopped_for_longer_than_its_lease_is_replaced_and_says_so() {
    let world = RedisWorld::new(env!("CARGO_BIN_EXE_contract-server"));
    let world = world.lease(Duration::from_secs(1));
    let node = world.client().await;
    let contract = node.client(SERVICE);
    let mut holder = world.spawn_heard(&Options::new("a"));
    assert_eq!(contract.call::<i64>("add", (1, 2)).await.unwrap(), 3);
    let first = node.servers(SERVICE).await.unwrap()[0].clone();
    let mut events = node.events();

    let late = tokio::task::spawn_local(contract.call::<()>("block", ("x", 500)));
    let queue = format!("farcall:{{default/{SERVICE}}}:q");
    until("the call was taken", async || {
        let pending = ["XPENDING", &queue, "farcall", "-", "+", "10"];
        !world.broker().ask::<Vec<redis::Value>>(&pending).is_empty()
    })
    .await;
    holder.pause();
    let lost = late.await.unwrap().unwrap_err();
    assert!(matches!(lost, CallError::OutcomeUnknown(_)), "{lost:?}");

    let _successor = world.spawn(&Options::new("a"));
    let up = |event| match event {
        Event::ServerUp(server) => Some(server),
        _ => None,
    };
    let second = events.find(up).await.unwrap();
    assert!(second.epoch > first.epoch);
    assert_eq!(contract.call::<u32>("started", ("x",)).await.unwrap(), 0);

    holder.resume();
    let said = tokio::task::spawn_blocking(move || (holder.line(), holder));
    let (line, _holder) = said.await.unwrap();
    assert_eq!(line, "identity lost");
    for number in 0..100 {
        assert_eq!(contract.call::<i64>("add", (number, 1)).await.unwrap(), number + 1);
    }
    assert_eq!(contract.call::<u32>("started", ("x",)).await.unwrap(), 0);
    let servers = node.servers(SERVICE).await.unwrap();
    assert_eq!((servers.len(), servers[0].epoch), (1, second.epoch));
}

#[farcall::test]
async fn a_holder_that_was_stopped_and_is_not_replaced_serves_again() {
    let world = RedisWorld::new(env!("CARGO_BIN_EXE_contract-server"));
    let world = world.lease(Duration::from_secs(1));
    let node = world.client().await;
    let contract = node.client(SERVICE);
    let holder = world.spawn(&Options::new("a"));
    assert_eq!(contract.call::<i64>("add", (1, 2)).await.unwrap(), 3);
    let mut events = node.events();
    holder.pause();
    let down = |event| matches!(event, Event::ServerDown { .. }).then_some(());
    events.find(down).await.unwrap();
    holder.resume();
    assert_eq!(contract.call::<i64>("add", (1, 2)).await.unwrap(), 3);
}
