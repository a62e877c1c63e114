//! Line 13: what a full server does.

use std::time::Duration;

use farcall_core::{CallError, Client, Reason, Retry};
use tokio::task::{JoinHandle, spawn_local};

use super::servers::until_servers;
use crate::world::{client, client_in, until_load};
use crate::{Options, SERVICE, World};

/// As many calls run and wait as may; the next are told *busy*, and when to try again. A client that
/// fills the backlog keeps nobody else out of it, and calls between handlers get through. Of two
/// servers, a full one does not turn callers away while the other has room.
pub async fn line_13_a_full_server_says_busy_shares_its_places_and_lets_nested_calls_through(
    world: &dyn World,
) {
    let _server = world.start(&Options { concurrency: 1, backlog: 4, ..Options::new("a") });
    let (greedy, modest) = (client(world).await, client(world).await);
    let (greedys, modests) = (greedy.client(SERVICE), modest.client(SERVICE));
    modests.call::<i64>("add", (1, 2)).await.unwrap();

    let running = hang(&greedys);
    until_load(&modest, 1, 0).await;
    let mut waiting = Vec::new();
    for n in 1..=4 {
        waiting.push(hang(&greedys));
        until_load(&modest, 1, n).await;
    }
    is_busy(greedys.call::<()>("hang", ("more",)).await.unwrap_err());

    // The newest call of the greedy one makes room.
    let sum = spawn_local(modests.call::<i64>("add", (1, 2)));
    let displaced = waiting.pop().expect("four wait");
    is_busy(displaced.await.unwrap().unwrap_err());
    // The other three are before it, but it comes second.
    running.abort();
    until_load(&modest, 1, 3).await;
    waiting[0].abort();
    assert_eq!(sum.await.unwrap().unwrap(), 3);
    waiting.iter().for_each(JoinHandle::abort);
    until_load(&modest, 0, 0).await;

    // The one place is taken by a handler that calls its own server, and another call waits before
    // that one comes.
    let held = hang(&greedys);
    until_load(&modest, 1, 0).await;
    let through = spawn_local(modests.call::<u32>("through", (1,)));
    until_load(&modest, 1, 1).await;
    let behind = hang(&greedys);
    until_load(&modest, 1, 2).await;
    held.abort();
    assert_eq!(through.await.unwrap().unwrap(), 1);
    behind.abort();
    until_load(&modest, 0, 0).await;
    another_server_is_tried(world).await;
}

async fn another_server_is_tried(world: &dyn World) {
    let small = Options { namespace: "two", concurrency: 1, backlog: 0, ..Options::new("a") };
    let _full = world.start(&small);
    let node = client_in(world, "two").await;
    let contract = node.client(SERVICE);
    contract.call::<i64>("add", (1, 2)).await.unwrap();
    let held = hang(&contract);
    until_load(&node, 1, 0).await;
    let _free = world.start(&Options { id: "b", ..small });
    let other = client_in(world, "two").await;
    until_servers(&other, 2).await;
    for _ in 0..10 {
        assert_eq!(other.client(SERVICE).call::<String>("who", ()).await.unwrap(), "b");
    }
    held.abort();
}

fn hang(contract: &Client) -> JoinHandle<Result<(), CallError>> {
    spawn_local(contract.call::<()>("hang", ("x",)).timeout(Duration::from_secs(3600)))
}

/// It was refused, and says when to try again.
fn is_busy(error: CallError) {
    assert!(matches!(error, CallError::Refused(_)), "{error:?}");
    assert_eq!(error.reason(), Reason::Busy);
    let Retry::After(wait) = error.retry() else { panic!("{:?}", error.retry()) };
    assert!((Duration::from_millis(10)..=Duration::from_secs(5)).contains(&wait), "{wait:?}");
}
