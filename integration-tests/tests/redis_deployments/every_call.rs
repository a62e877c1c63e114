//! The same few calls on every deployment.

use std::collections::BTreeSet;
use std::process::ExitStatus;

use farcall::prelude::*;
use farcall::redis::RedisConfig;
use farcall::{Event, ServerInfo};
use farcall_integration_tests::Fleet;
use farcall_testkit::{Remote, SERVICE};
use futures::channel::mpsc::unbounded;
use futures::future::join;
use futures::stream::{self, StreamExt};

/// A part of the contract's service, as a program would write it.
#[farcall::service]
pub(crate) trait Contract {
    async fn add(&self, a: i64, b: i64) -> i64;
}

pub(crate) fn at(url: String) -> RedisConfig {
    RedisConfig { url, ..RedisConfig::default() }
}

pub(crate) fn fleet(config: RedisConfig) -> Fleet {
    Fleet::new(env!("CARGO_BIN_EXE_contract-server"), config)
}

/// The id of a server that came up.
pub(crate) fn up(event: Event) -> Option<String> {
    match event {
        Event::ServerUp(server) => Some(server.server.into()),
        _ => None,
    }
}

/// The id of a server that went away.
pub(crate) fn down(event: Event) -> Option<String> {
    match event {
        Event::ServerDown { server, .. } => Some(server.server.into()),
        _ => None,
    }
}

fn named(servers: &[ServerInfo]) -> Vec<(&str, &str)> {
    servers.iter().map(|it| (&*it.service, &*it.server)).collect()
}

/// Every kind of call, a list, and a server that is told to stop.
pub(crate) async fn everything_works(fleet: &Fleet) {
    let node = fleet.client().await;
    let mut events = node.events();
    let mut ann = fleet.spawn("ann");
    let contract = node.client(SERVICE);

    assert_eq!(ContractClient::new(&node).add(1, 2).await.unwrap(), 3);
    let items = contract.stream::<u64>("count", (1000,));
    assert_eq!(items.map(Result::unwrap).collect::<Vec<_>>().await, (0..1000).collect::<Vec<_>>());
    let sum = contract.call::<i64>("sum", ()).argument_stream(stream::iter(0..1000_i64));
    assert_eq!(sum.await.unwrap(), 499_500);
    assert_eq!(contract.try_call::<u32, String>("through", (3,)).await.unwrap(), 3);
    node.offer(Functions::new("callback").add("ask", || "it is me")).await.unwrap();
    let answer = contract.try_call::<String, String>("call_back", ()).await.unwrap();
    assert_eq!(answer, "it is me");

    let mut bob = fleet.spawn("bob");
    while events.find(up).await.unwrap() != "bob" {}
    let servers = node.all_servers().await.unwrap();
    assert_eq!(named(&servers), [(SERVICE, "ann"), (SERVICE, "bob")]);
    let each = contract.every(|it| it.call::<String>("who", ())).await.unwrap();
    let each: BTreeSet<String> = each.into_iter().map(|(_, it)| it.unwrap()).collect();
    assert_eq!(each, ["ann", "bob"].map(str::to_owned).into());

    // A server that stops ends what it has: the other one takes what comes.
    let ann_info = servers.iter().find(|it| it.server == "ann").unwrap();
    let (items, argument) = unbounded::<i64>();
    let ann_only = node.peer(ann_info.peer).client(SERVICE);
    let drinking = ann_only.call::<()>("drink", ("cup",)).argument_stream(argument);
    let stopping = async {
        ann_only.call::<()>("until_started", ("cup", 1)).await.unwrap();
        ann.terminate();
        let draining = |event| match event {
            Event::ServerDraining(server) => Some(server.server),
            _ => None,
        };
        assert_eq!(events.find(draining).await.unwrap(), "ann");
        assert_eq!(contract.call::<String>("who", ()).await.unwrap(), "bob");
        drop(items);
    };
    let (drunk, ()) = join(drinking, stopping).await;
    drunk.unwrap();
    assert_eq!(events.find(down).await.unwrap(), "ann");
    assert_eq!(named(&node.all_servers().await.unwrap()), [(SERVICE, "bob")]);
    bob.terminate();
    assert_eq!(events.find(down).await.unwrap(), "bob");
    // Waiting for a process blocks its thread, and this one's is the client's.
    let ended = tokio::task::spawn_blocking(move || [ann.wait(), bob.wait()]).await.unwrap();
    assert!(ended.iter().all(ExitStatus::success), "{ended:?}");
    node.close().await;
}
