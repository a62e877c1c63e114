//! A broker that is killed for a while, in the middle of many calls.

use std::time::Duration;

use farcall_integration_tests::{Process, RedisOptions, RedisServer, RedisWorld};
use farcall_testkit::Options;

const CLIENTS: usize = 4;
const CALLS: usize = 10_000;

/// For longer than a lease, and than it takes a call to be made anew.
const AWAY: Duration = Duration::from_secs(5);

fn lose_nothing(broker: RedisServer) {
    let world = RedisWorld::with(broker, env!("CARGO_BIN_EXE_contract-server"));
    let _servers = ["a", "b"].map(|id| world.spawn(&Options::new(id)));
    let calls = (CALLS / CLIENTS).to_string();
    let client = |_| {
        let program = env!("CARGO_BIN_EXE_contract-client");
        world.spawn_client(program, &Options::new("client"), &["calls", &calls])
    };
    let mut clients: Vec<Process> = (0..CLIENTS).map(client).collect();
    // Each has seen servers, and has saved up more retries than it has calls under way.
    for client in &mut clients {
        assert_eq!(client.line(), "half");
    }
    world.broker().kill();
    // The outage is what is tried.
    std::thread::sleep(AWAY);
    world.broker().restart();
    for client in &mut clients {
        assert_eq!(client.line(), "done");
        assert!(client.wait().success());
    }
}

#[test]
fn a_broker_that_forgets_loses_no_idempotent_call() {
    lose_nothing(RedisServer::start());
}

#[test]
fn a_broker_that_writes_everything_down_loses_no_idempotent_call() {
    lose_nothing(RedisOptions::new().aof().start());
}
