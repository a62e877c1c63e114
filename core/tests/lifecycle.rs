//! Nodes that open, drain and close at awkward moments.

use std::time::Duration;

use farcall_core::config::{Limits, ServerConfig};
use farcall_core::transport::ServeError;
use farcall_core::{ArgumentStream, Bytes, Config, Functions, Memory, Node, Reason, block_on};
use futures::join;
use futures::stream::{self, StreamExt};

/// `add`, and `hang`, which never ends.
fn service() -> Functions {
    Functions::new("calc")
        .add("add", |a: i64, b: i64| a + b)
        .add("hang", || async { std::future::pending::<()>().await })
}

async fn server(memory: &Memory, concurrency: usize) -> Node {
    let server = ServerConfig { concurrency, ..ServerConfig::default() };
    let config = Config { server, ..Config::default() };
    let node = Node::open_with(config, memory.transport()).await.unwrap();
    node.serve(service()).await.unwrap();
    node
}

async fn client(memory: &Memory) -> Node {
    Node::open_with(Config::default(), memory.transport()).await.unwrap()
}

#[test]
fn a_reader_that_grants_all_it_may_keeps_nobody_from_being_served() {
    block_on(async {
        let memory = Memory::new();
        let endless = Functions::new("calc")
            .add("add", |a: i64, b: i64| a + b)
            .add("drink", |items: ArgumentStream<Bytes>| items.count())
            .stream("endless", || stream::repeat(Bytes::from(vec![7; 16 * 1024])));
        let limits = Limits { stream_window: 64 << 20, ..Limits::default() };
        let greedy = Config { limits, ..Config::default() };
        let server = Node::open_with(greedy.clone(), memory.transport()).await.unwrap();
        server.serve(endless).await.unwrap();
        let greedy = Node::open_with(greedy, memory.transport()).await.unwrap();
        let client = client(&memory).await;
        let mut results = greedy.client("calc").stream::<Bytes>("endless", ());
        assert_eq!(results.next().await.unwrap().unwrap().len(), 16 * 1024);
        let arguments = client.client("calc").call::<usize>("drink", ());
        let items = stream::repeat(Bytes::from(vec![7; 16 * 1024]));
        let arguments = arguments.argument_stream(items);
        let arguments = tokio::task::spawn_local(arguments);
        for _ in 0..3 {
            assert_eq!(client.client("calc").call::<i64>("add", (1, 2)).await.unwrap(), 3);
        }
        // Nor from being cancelled.
        drop(results);
        arguments.abort();
        until_busy(&client, 0, 0).await;

        // More than anybody may grant costs the session.
        let limits = Limits { stream_window: (64 << 20) + 1, ..Limits::default() };
        let config = Config { limits, ..Config::default() };
        let greedier = Node::open_with(config, memory.transport()).await.unwrap();
        let refused = greedier.client("calc").stream::<Bytes>("endless", ()).next().await;
        assert_eq!(refused.unwrap().unwrap_err().reason(), Reason::ServerLost);
    });
}

/// Waits until the server runs and keeps waiting this many calls.
async fn until_busy(client: &Node, running: usize, waiting: usize) {
    let peer = client.servers("calc").await.unwrap()[0].peer;
    loop {
        let status = client.peer(peer).status().await.unwrap();
        if (status.services[0].running, status.services[0].waiting) == (running, waiting) {
            return;
        }
    }
}

fn hang(client: &Node) -> tokio::task::JoinHandle<Reason> {
    let call = client.client("calc").call::<()>("hang", ());
    tokio::task::spawn_local(async move { call.await.unwrap_err().reason() })
}

#[test]
fn a_client_that_leaves_frees_all_its_places() {
    block_on(async {
        let memory = Memory::new();
        let _server = server(&memory, 1).await;
        let other = client(&memory).await;
        // Whichever of its calls is looked at first.
        for _ in 0..8 {
            let leaving = client(&memory).await;
            let hanging = [hang(&leaving), hang(&leaving), hang(&leaving)];
            until_busy(&other, 1, 2).await;
            leaving.close().await;
            assert_eq!(other.client("calc").call::<i64>("add", (1, 2)).await.unwrap(), 3);
            until_busy(&other, 0, 0).await;
            for call in hanging {
                assert_eq!(call.await.unwrap(), Reason::ServerLost);
            }
        }
    });
}

#[test]
fn what_waits_is_not_started_after_its_time() {
    block_on(async {
        let memory = Memory::new();
        let server = server(&memory, 1).await;
        let client = client(&memory).await;
        let call = || {
            let call = client.client("calc").call::<()>("hang", ());
            call.timeout(Duration::from_millis(30))
        };
        let (first, second) = join!(call(), call());
        assert!(first.is_err() && second.is_err());
        until_busy(&client, 0, 0).await;
        server.close().await;
    });
}

#[test]
fn servers_of_one_service_are_listed_after_those_of_all() {
    block_on(async {
        let memory = Memory::new();
        let _server = server(&memory, 8).await;
        let client = client(&memory).await;
        assert_eq!(client.all_servers().await.unwrap().len(), 1);
        assert_eq!(client.servers("calc").await.unwrap().len(), 1);
        assert_eq!(client.servers("other").await.unwrap().len(), 0);
    });
}

#[test]
fn a_drain_during_another_joins_it() {
    block_on(async {
        let memory = Memory::new();
        let server = server(&memory, 8).await;
        let client = client(&memory).await;
        let hanging = hang(&client);
        until_busy(&client, 1, 0).await;
        let (long, short) =
            join!(server.drain(Duration::from_secs(3600)), server.drain(Duration::from_millis(20)));
        assert_eq!(long, short);
        assert_eq!(long.abandoned, ["calc.hang"]);
        assert_eq!(hanging.await.unwrap(), Reason::Abandoned);
    });
}

#[test]
fn closing_ends_a_drain_and_says_what_was_abandoned() {
    block_on(async {
        let memory = Memory::new();
        let server = server(&memory, 8).await;
        let client = client(&memory).await;
        let hanging = hang(&client);
        until_busy(&client, 1, 0).await;
        let (report, ()) = join!(server.drain(Duration::MAX), server.close());
        assert_eq!(report.abandoned, ["calc.hang"]);
        assert_eq!(hanging.await.unwrap(), Reason::Abandoned);
    });
}

#[test]
fn a_drained_node_serves_nothing_new() {
    block_on(async {
        let memory = Memory::new();
        let server = server(&memory, 8).await;
        server.drain(Duration::from_secs(1)).await;
        let refused = server.serve(Functions::new("late")).await.unwrap_err();
        assert!(matches!(refused, ServeError::Closed));
    });
}

#[test]
fn a_call_that_the_node_has_not_taken_when_it_closes_is_not_sent() {
    block_on(async {
        let memory = Memory::new();
        let _server = server(&memory, 8).await;
        let client = client(&memory).await;
        let call = client.client("calc").call::<i64>("add", (1, 2));
        let ((), call) = join!(client.close(), call);
        if let Err(error) = call {
            assert_eq!(error.reason(), Reason::Closed);
        }
    });
}

#[test]
fn the_longest_timeouts_are_as_good_as_any() {
    block_on(async {
        let memory = Memory::new();
        let _server = server(&memory, 8).await;
        let client = client(&memory).await;
        let call = client.client("calc").call::<i64>("add", (1, 2));
        let call = call.timeout(Duration::MAX).wait_for_server(Duration::MAX);
        assert_eq!(call.await.unwrap(), 3);
    });
}

#[test]
fn a_configuration_with_which_nothing_would_move_is_refused() {
    block_on(async {
        let memory = Memory::new();
        let limits = Limits { stream_window: 0, ..Limits::default() };
        let config = Config { limits, ..Config::default() };
        let refused = Node::open_with(config, memory.transport()).await.unwrap_err();
        assert!(refused.to_string().contains("limits.stream_window"), "{refused}");
    });
}
