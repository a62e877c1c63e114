//! Whose lease ends is reaped, and nobody else, however long their calls take.

use std::time::Duration;

use farcall::{CallError, Event, Node, ServerInfo};
use farcall_integration_tests::{RedisWorld, until};
use farcall_testkit::{Options, Remote, SERVICE};

const LEASE: Duration = Duration::from_secs(1);

fn world() -> RedisWorld {
    RedisWorld::new(env!("CARGO_BIN_EXE_contract-server")).lease(LEASE)
}

async fn servers(node: &Node, count: usize) -> Vec<ServerInfo> {
    let mut servers = Vec::new();
    until("so many servers are there", async || {
        servers = node.servers(SERVICE).await.unwrap();
        servers.len() == count
    })
    .await;
    servers.sort_by(|one, other| one.server.cmp(&other.server));
    servers
}

/// The dead one is `b`; who reaps it is the other server, or a client where there is none.
async fn a_long_call_survives(reaped: usize) {
    let world = world();
    let _living = world.spawn(&Options::new("a"));
    let node = world.client().await;
    let contract = node.client(SERVICE);
    let living = servers(&node, 1).await[0].peer;
    let long = tokio::task::spawn_local(contract.call::<()>("until_started", ("gate", 1)));
    contract.call::<()>("block", ("x", 0)).await.unwrap();
    for _ in 0..reaped {
        let mut dead = world.spawn(&Options::new("b"));
        let other = servers(&node, 2).await[1].peer;
        let at_dead = contract.at(other).call::<()>("hang", ("y",));
        let at_dead = tokio::task::spawn_local(at_dead);
        contract.at(other).call::<()>("until_started", ("y", 1)).await.unwrap();
        dead.kill();
        let lost = at_dead.await.unwrap().unwrap_err();
        assert!(matches!(lost, CallError::OutcomeUnknown(_)), "{lost:?}");
        servers(&node, 1).await;
        assert!(!long.is_finished());
    }
    contract.at(living).call::<()>("block", ("gate", 0)).await.unwrap();
    long.await.unwrap().unwrap();
}

#[farcall::test]
async fn a_long_call_stays_where_it_is_while_others_are_reaped() {
    a_long_call_survives(4).await;
}

#[farcall::test]
async fn a_waiting_client_reaps_the_last_server() {
    let world = world();
    let mut server = world.spawn(&Options::new("a"));
    let node = world.client().await;
    let contract = node.client(SERVICE);
    let hang = tokio::task::spawn_local(contract.call::<()>("hang", ("x",)));
    contract.call::<()>("until_started", ("x", 1)).await.unwrap();
    server.kill();
    let lost = hang.await.unwrap().unwrap_err();
    assert!(matches!(lost, CallError::OutcomeUnknown(_)), "{lost:?}");
    let key = format!("farcall:{{default/{SERVICE}}}:servers");
    assert_eq!(world.broker().ask::<u32>(&["HLEN", &key]), 0);
}

#[farcall::test]
async fn a_handler_that_blocks_its_thread_for_longer_than_the_lease_is_no_dead_peer() {
    let world = world();
    let _servers = ["a", "b"].map(|id| world.spawn(&Options::new(id)));
    let node = world.client().await;
    let contract = node.client(SERVICE);
    servers(&node, 2).await;
    let mut events = node.events();
    let blocked = 4 * LEASE.as_millis() as u64;
    contract.call::<()>("block", ("x", blocked)).await.unwrap();
    assert_eq!(contract.call::<i64>("add", (1, 2)).await.unwrap(), 3);
    // Whatever else is told later, nothing has gone before this.
    node.close().await;
    while let Some(event) = events.next().await {
        assert!(!matches!(event, Event::ServerDown { .. }), "{event:?}");
    }
}
