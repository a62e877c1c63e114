//! Line 14: how a server stops.

use std::sync::Arc;
use std::time::Duration;

use farcall_core::transport::ServeError;
use farcall_core::{CallError, Event, Functions, Node, Reason, Retry};
use tokio::sync::Semaphore;
use tokio::task::spawn_local;

use super::servers::until_servers;
use crate::world::{client, until_load};
use crate::{Options, SERVICE, World, contract_service};

/// What a handler that never ends does not end within.
const SHORT: Duration = Duration::from_millis(50);

/// It says so, takes no more calls, finishes those that it has within a time, cancels the rest, and
/// loses no reply: told by a signal or by its own program.
pub async fn line_14_a_server_that_stops_finishes_what_it_has_and_loses_no_reply(
    world: &dyn World,
) {
    what_has_time_is_finished(world).await;
    what_has_not_is_cancelled(world).await;
    its_own_program_hears_what_came_of_it(world).await;
}

async fn what_has_time_is_finished(world: &dyn World) {
    let mut server = world.start(&Options { concurrency: 1, ..Options::new("a") });
    let node = client(world).await;
    let gate = ask_at_a_gate(&node).await;
    let contract = node.client(SERVICE);
    contract.call::<i64>("add", (1, 2)).await.unwrap();
    let running = spawn_local(contract.call::<String>("call_back", ()));
    until_load(&node, 1, 0).await;
    let waiting = spawn_local(contract.call::<i64>("add", (1, 2)));
    until_load(&node, 1, 1).await;

    let mut events = node.events();
    server.terminate();
    let draining = events.find(|event| match event {
        Event::ServerDraining(server) => Some(server),
        _ => None,
    });
    let draining = draining.await.unwrap();
    let refused = contract.at(draining.peer).call::<i64>("add", (1, 2)).await.unwrap_err();
    assert!(matches!(refused, CallError::Refused(_)), "{refused:?}");
    assert_eq!((refused.reason(), refused.retry()), (Reason::Draining, Retry::Safe));
    gate.add_permits(1);
    assert_eq!(running.await.unwrap().unwrap(), "at last");
    assert_eq!(waiting.await.unwrap().unwrap(), 3, "it had come before the drain began");
    until_servers(&node, 0).await;
}

async fn what_has_not_is_cancelled(world: &dyn World) {
    let options = Options { concurrency: 1, drain: SHORT, ..Options::new("b") };
    let mut server = world.start(&options);
    let node = client(world).await;
    let contract = node.client(SERVICE);
    contract.call::<i64>("add", (1, 2)).await.unwrap();
    let running = spawn_local(contract.call::<()>("hang", ("x",)));
    until_load(&node, 1, 0).await;
    let waiting = spawn_local(contract.call::<String>("who", ()));
    until_load(&node, 1, 1).await;

    server.terminate();
    let abandoned = running.await.unwrap().unwrap_err();
    assert!(matches!(abandoned, CallError::Failed(_)), "{abandoned:?}");
    assert_eq!(abandoned.reason(), Reason::Abandoned);
    // It was not started, so another server takes it.
    let _other = world.start(&Options::new("c"));
    assert_eq!(waiting.await.unwrap().unwrap(), "c");
}

async fn its_own_program_hears_what_came_of_it(world: &dyn World) {
    let options = Options { namespace: "own", ..Options::new("d") };
    let own = Node::open_with(options.config(), world.transport()).await.unwrap();
    own.serve(contract_service()).await.unwrap();
    let node = crate::world::client_in(world, "own").await;
    let gate = ask_at_a_gate(&node).await;
    let contract = node.client(SERVICE);
    let finished = spawn_local(contract.call::<String>("call_back", ()));
    let abandoned = spawn_local(contract.call::<()>("hang", ("x",)));
    until_load(&node, 2, 0).await;

    let mut events = node.events();
    let drain = {
        let own = own.clone();
        spawn_local(async move { own.drain(Duration::from_secs(3600)).await })
    };
    let draining = events.find(|event| matches!(event, Event::ServerDraining(_)).then_some(()));
    draining.await.unwrap();
    let late = own.serve(Functions::new("late")).await.unwrap_err();
    assert!(matches!(late, ServeError::Closed), "{late:?}");
    gate.add_permits(1);
    assert_eq!(finished.await.unwrap().unwrap(), "at last");
    // It loses patience: the earlier end holds for both.
    let report = own.drain(Duration::ZERO).await;
    assert_eq!((report.finished, &*report.abandoned), (1, &["contract.hang".to_owned()][..]));
    assert_eq!(drain.await.unwrap(), report);
    own.close().await;
    assert_eq!(abandoned.await.unwrap().unwrap_err().reason(), Reason::Abandoned);
}

/// What `call_back` asks of its caller, answered once for each permit.
async fn ask_at_a_gate(node: &Node) -> Arc<Semaphore> {
    let gate = Arc::new(Semaphore::new(0));
    let closed = Arc::clone(&gate);
    let ask = move || {
        let closed = Arc::clone(&closed);
        async move {
            closed.acquire().await.expect("it is not closed").forget();
            "at last"
        }
    };
    node.serve(Functions::new("callback").add("ask", ask)).await.unwrap();
    gate
}
