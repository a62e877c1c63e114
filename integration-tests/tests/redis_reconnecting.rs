//! Who is connecting again misses nothing that was said meanwhile.

use std::time::Duration;

use farcall::redis::Redis;
use farcall::{Config, Node};
use farcall_integration_tests::{RedisOptions, RedisWorld, until};
use farcall_testkit::{Options, SERVICE};

#[farcall::test]
async fn an_answer_waits_for_a_client_that_is_reconnecting() {
    let acl = "user default on nopass ~* &* +@all\nuser caller on >secret ~* &* +@all";
    let broker = RedisOptions::new().acl(acl).start();
    let world = RedisWorld::with(broker, env!("CARGO_BIN_EXE_contract-server"));
    // Nobody is to be thought dead meanwhile.
    let world = world.lease(Duration::from_secs(60));
    let _server = world.spawn(&Options::new("a"));
    let mut redis = world.config();
    redis.url = world.broker().url_as("caller", "secret");
    let mut config = Config::default();
    config.client.wait_for_server = Duration::from_secs(30);
    let caller = Node::open_with(config, Box::new(Redis::new(redis))).await.unwrap();
    let other = world.client().await;

    for round in ["1", "2", "3"] {
        let waiting = caller.client(SERVICE).call::<()>("until_started", (round, 1));
        let mut waiting = Box::pin(waiting);
        let contract = other.client(SERVICE);
        tokio::select! {
            ended = &mut waiting => panic!("{ended:?}"),
            () = is_running(&other) => {}
        }
        world.broker().command(&["ACL", "SETUSER", "caller", "off"]);
        world.broker().command(&["CLIENT", "KILL", "USER", "caller"]);
        contract.call::<()>("block", (round, 0)).await.unwrap();
        until("the answer is out", async || running(&other).await == 0).await;
        world.broker().command(&["ACL", "SETUSER", "caller", "on"]);
        waiting.await.unwrap();
    }
}

/// How many calls run at the only server.
async fn running(node: &Node) -> usize {
    let server = node.servers(SERVICE).await.unwrap()[0].peer;
    node.peer(server).status().await.unwrap().services[0].running
}

async fn is_running(node: &Node) {
    until("there is a server", async || !node.servers(SERVICE).await.unwrap().is_empty()).await;
    until("it runs", async || running(node).await == 1).await;
}
