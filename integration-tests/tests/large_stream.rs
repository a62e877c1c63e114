//! A stream that is larger than the memory of those who write and read it.

use farcall::{Bytes, Client};
use farcall_integration_tests::{Memory, Process, SCENARIO, UnixWorld};
use farcall_testkit::Options;
use futures::stream::{self, StreamExt};

const GIB: usize = 1 << 30;
const ITEM: usize = 64 << 10;
const ITEMS: usize = GIB / ITEM;

/// What each process may take in all, its program included.
const ENOUGH: u64 = 32 << 20;

#[farcall::test]
async fn a_gibibyte_streams_either_way_in_little_memory() {
    let world = UnixWorld::new(env!("CARGO_BIN_EXE_scenario-server"));
    let server = world.spawn(&Options::new("a"));
    let node = world.client().await;
    let scenario = node.client(SCENARIO);

    let mut flood = scenario.stream::<Bytes>("flood", (ITEMS, ITEM));
    for at in 0..ITEMS {
        if at == ITEMS / 2 {
            meanwhile(&scenario).await;
        }
        let item = flood.next().await.expect("it is not at its end").unwrap();
        assert_eq!(item.len(), ITEM);
    }
    assert!(flood.next().await.is_none());
    assert_little(&server, "results");

    let items = stream::repeat(Bytes::from(vec![7; ITEM])).take(ITEMS);
    let swallowed = scenario.call::<usize>("swallow", (ITEMS / 2,)).argument_stream(items);
    let stalled = async {
        scenario.call::<()>("until_paused", ()).await.unwrap();
        meanwhile(&scenario).await;
        scenario.call::<()>("go_on", ()).await.unwrap();
    };
    let (swallowed, ()) = futures::join!(swallowed, stalled);
    assert_eq!(swallowed.unwrap(), GIB);
    assert_little(&server, "arguments");
}

/// Time for a writer that is not stopped to go on.
async fn meanwhile(scenario: &Client) {
    for n in 0..1000 {
        assert_eq!(scenario.call::<i64>("add", (n, 1)).await.unwrap(), n + 1);
    }
}

fn assert_little(server: &Process, what: &str) {
    let (server, client) = (server.memory(), Memory::own());
    assert!(server.peak < ENOUGH, "{what}: the server took {server:?}");
    assert!(client.peak < ENOUGH, "{what}: the client took {client:?}");
}
