//! Calls that wait in the queue: given up there, or handed on.

use std::time::Duration;

use farcall::{CallError, Client, Event, Node, Reason};
use farcall_integration_tests::{Process, RedisWorld, until};
use farcall_testkit::{Options, Remote, SERVICE};
use futures::future::join_all;
use tokio::task::{JoinHandle, spawn_local};

const WAITING: usize = 30;
const HOUR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(400);

/// One that runs a single call at a time.
fn narrow(id: &'static str) -> Options {
    Options { concurrency: 1, drain: SOON, ..Options::new(id) }
}

fn queued(world: &RedisWorld) -> usize {
    world.broker().ask(&["XLEN", &format!("farcall:{{default/{SERVICE}}}:q")])
}

fn taken(world: &RedisWorld) -> u64 {
    let queue = format!("farcall:{{default/{SERVICE}}}:q");
    let pending: (u64, redis::Value, redis::Value, redis::Value) =
        world.broker().ask(&["XPENDING", &queue, "farcall"]);
    pending.0
}

async fn servers(node: &Node, count: usize) {
    until("so many servers are there", async || {
        node.servers(SERVICE).await.unwrap().len() == count
    })
    .await;
}

/// Two servers that have no room, and what keeps them busy.
struct Busy {
    world: RedisWorld,
    _servers: [Process; 2],
    _node: Node,
    contract: Client,
    running: Vec<JoinHandle<Result<(), CallError>>>,
}

async fn busy(timeout: Duration) -> Busy {
    let world = RedisWorld::new(env!("CARGO_BIN_EXE_contract-server"));
    let _servers = ["a", "b"].map(|id| world.spawn(&narrow(id)));
    let node = world.client().await;
    servers(&node, 2).await;
    let contract = node.client(SERVICE);
    let mut running = Vec::new();
    for count in 1..=2 {
        let hang = contract.call::<()>("hang", ("x",)).timeout(timeout);
        running.push(spawn_local(hang));
        until("it is taken", async || taken(&world) == count).await;
    }
    Busy { world, _servers, _node: node, contract, running }
}

#[farcall::test]
async fn a_call_that_waits_in_the_queue_until_its_deadline_is_not_sent() {
    let busy = busy(Duration::from_secs(60)).await;
    let one = || busy.contract.call::<i64>("add", (1, 2)).timeout(SOON);
    // They are asked back 20 ms before, and it takes longer now and then on a busy machine: then it is not known.
    until("it is known in time", async || {
        // Some of them lie in one pack.
        let ended = join_all((0..WAITING).map(|_| one())).await;
        ended.into_iter().map(Result::unwrap_err).all(|error| match error {
            CallError::NotSent(_) => error.reason() == Reason::DeadlineBeforeSending,
            CallError::OutcomeUnknown(_) => false,
            other => panic!("{other:?}"),
        })
    })
    .await;
    until("nothing of them is left", async || queued(&busy.world) == 2).await;
}

#[farcall::test]
async fn a_call_that_is_dropped_while_it_waits_is_taken_out_of_the_queue() {
    let busy = busy(Duration::from_secs(60)).await;
    let one = || busy.contract.call::<i64>("add", (1, 2));
    let waiting: Vec<_> = (0..WAITING).map(|_| spawn_local(one())).collect();
    until("they wait", async || queued(&busy.world) > 2).await;
    let (kept, dropped) = waiting.split_at(1);
    dropped.iter().for_each(JoinHandle::abort);
    // The pack of the one that is kept stays.
    until("the others are gone", async || queued(&busy.world) == 3).await;
    assert!(!kept[0].is_finished());
    kept[0].abort();
    until("nothing of them is left", async || queued(&busy.world) == 2).await;
}

#[farcall::test]
async fn of_a_call_that_was_taken_the_outcome_is_unknown() {
    let busy = busy(SOON).await;
    for ended in busy.running {
        let error = ended.await.unwrap().unwrap_err();
        assert!(matches!(error, CallError::OutcomeUnknown(_)), "{error:?}");
        assert_eq!(error.reason(), Reason::DeadlineExceeded);
    }
    // There is room again.
    assert_eq!(busy.contract.call::<i64>("add", (1, 2)).await.unwrap(), 3);
}

/// A server that is alone and holds calls that it has not started.
async fn holding(
    world: &RedisWorld,
    node: &Node,
) -> (Process, JoinHandle<Result<(), CallError>>, Vec<JoinHandle<Result<i64, CallError>>>) {
    let server = world.spawn(&narrow("a"));
    let contract = node.client(SERVICE);
    servers(node, 1).await;
    let hang = spawn_local(contract.call::<()>("hang", ("x",)));
    until("it is taken", async || taken(world) == 1).await;
    let add = |number| contract.call::<i64>("add", (number as i64, 1));
    let waiting: Vec<_> = (0..WAITING).map(|number| spawn_local(add(number))).collect();
    until("it holds them", async || {
        let peer = node.servers(SERVICE).await.unwrap()[0].peer;
        node.peer(peer).status().await.unwrap().services[0].waiting == WAITING
    })
    .await;
    (server, hang, waiting)
}

#[farcall::test]
async fn a_server_that_is_no_longer_alone_hands_on_what_it_has_not_started() {
    let world = RedisWorld::new(env!("CARGO_BIN_EXE_contract-server"));
    let node = world.client().await;
    let (_first, hang, waiting) = holding(&world, &node).await;
    let _second = world.spawn(&narrow("b"));
    for (number, call) in waiting.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), number as i64 + 1);
    }
    assert!(!hang.is_finished());
}

/// How many calls the broker counts as under way.
fn counted(world: &RedisWorld) -> Option<usize> {
    world.broker().ask(&["ZSCORE", &format!("farcall:{{default/{SERVICE}}}:counts"), "q"])
}

/// What each server runs, and keeps waiting.
async fn loads(node: &Node) -> Vec<(usize, usize)> {
    let mut loads = Vec::new();
    for server in node.servers(SERVICE).await.unwrap() {
        let status = node.peer(server.peer).status().await.unwrap();
        loads.push((status.services[0].running, status.services[0].waiting));
    }
    loads
}

#[farcall::test]
async fn calls_that_were_handed_on_are_not_counted_as_lost_with_the_server_that_had_them() {
    let world = RedisWorld::new(env!("CARGO_BIN_EXE_contract-server"));
    // Packs of two calls, the last of which is begun by half, since the first call was alone.
    let wide = |id| Options { concurrency: 8, ..Options::new(id) };
    let mut first = world.spawn(&wide("a"));
    let node = world.client().await;
    servers(&node, 1).await;
    let contract = node.client(SERVICE);
    let hang = || spawn_local(contract.call::<()>("hang", ("x",)).timeout(HOUR));
    let mut calls = vec![hang()];
    until("it is taken", async || taken(&world) == 1).await;
    calls.extend((1..16).map(|_| hang()));
    until("half of them wait", async || loads(&node).await == [(8, 8)]).await;
    let _second = world.spawn(&wide("b"));
    until("all run", async || loads(&node).await == [(8, 0), (8, 0)]).await;
    assert_eq!(counted(&world), Some(16));
    first.kill();
    let ended = |calls: &[JoinHandle<_>]| calls.iter().filter(|call| call.is_finished()).count();
    until("its own are lost", async || ended(&calls) == 8).await;
    assert_eq!(counted(&world), Some(8));
}

#[farcall::test]
async fn a_server_that_stops_puts_back_what_it_has_not_started() {
    let world = RedisWorld::new(env!("CARGO_BIN_EXE_contract-server"));
    let node = world.client().await;
    let (mut first, hang, waiting) = holding(&world, &node).await;
    let mut events = node.events();
    let _second = world.spawn(&narrow("b"));
    events.find(|event| matches!(event, Event::ServerUp(_)).then_some(())).await.unwrap();
    first.terminate();
    for (number, call) in waiting.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), number as i64 + 1);
    }
    let abandoned = hang.await.unwrap().unwrap_err();
    assert_eq!(abandoned.reason(), Reason::Abandoned, "{abandoned}");
}

#[farcall::test]
async fn the_last_server_puts_back_what_the_next_one_takes() {
    let world = RedisWorld::new(env!("CARGO_BIN_EXE_contract-server"));
    let node = world.client().await;
    let (mut first, _hang, waiting) = holding(&world, &node).await;
    first.terminate();
    servers(&node, 0).await;
    let _second = world.spawn(&narrow("b"));
    for (number, call) in waiting.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), number as i64 + 1);
    }
}
