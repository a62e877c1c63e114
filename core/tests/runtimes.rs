//! A node works wherever a program opens it.

use farcall_core::{Config, Functions, Memory, Node, block_on, blocking};

async fn adds(memory: &Memory) -> Node {
    let node = Node::open_with(Config::default(), memory.transport()).await.unwrap();
    node.serve(Functions::new("calc").add("add", |a: i64, b: i64| a + b)).await.unwrap();
    node
}

async fn add(node: &Node) -> i64 {
    node.client("calc").call("add", (1, 2)).await.unwrap()
}

#[test]
fn in_block_on_a_node_lives_on_this_thread() {
    block_on(async {
        let memory = Memory::new();
        let here = std::thread::current().id();
        let node = Node::open_with(Config::default(), memory.transport()).await.unwrap();
        let service =
            Functions::new("where").add("same", move || std::thread::current().id() == here);
        node.serve(service).await.unwrap();
        assert!(node.client("where").call::<bool>("same", ()).await.unwrap());
    });
}

#[test]
fn under_a_multi_threaded_tokio_calls_go_from_any_task() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let node = adds(&Memory::new()).await;
        let calls: Vec<_> = (0..100)
            .map(|_| {
                let node = node.clone();
                tokio::spawn(async move { add(&node).await })
            })
            .collect();
        for call in calls {
            assert_eq!(call.await.unwrap(), 3);
        }
        // A node may also be opened inside of a task that moves between threads.
        let moved = tokio::spawn(async { add(&adds(&Memory::new()).await).await });
        assert_eq!(moved.await.unwrap(), 3);
    });
}

#[test]
fn under_a_current_thread_tokio_a_node_has_its_own_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let node = adds(&Memory::new()).await;
        assert_eq!(add(&node).await, 3);
    });
    // Nor does a System that has ended on this thread mislead it.
    block_on(async {});
    runtime.block_on(async {
        let node = adds(&Memory::new()).await;
        assert_eq!(add(&node).await, 3);
    });
}

#[test]
fn a_handle_works_on_any_thread() {
    block_on(async {
        let node = adds(&Memory::new()).await;
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (node, (done, answer)) = (node.clone(), tokio::sync::oneshot::channel());
                std::thread::spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    done.send(runtime.block_on(add(&node))).unwrap();
                });
                answer
            })
            .collect();
        for answer in threads {
            assert_eq!(answer.await.unwrap(), 3);
        }
    });
}

#[test]
fn a_node_can_be_opened_on_a_plain_thread() {
    let answer = std::thread::spawn(|| {
        futures::executor::block_on(async { add(&adds(&Memory::new()).await).await })
    });
    assert_eq!(answer.join().unwrap(), 3);
}

#[test]
fn several_nodes_live_in_one_process_and_call_each_other() {
    block_on(async {
        let memory = Memory::new();
        let servers = [adds(&memory).await, adds(&memory).await, adds(&memory).await];
        let client = Node::open_with(Config::default(), memory.transport()).await.unwrap();
        assert_eq!(add(&client).await, 3);
        assert_eq!(client.servers("calc").await.unwrap().len(), servers.len());
        let ids: std::collections::HashSet<_> = servers.iter().map(Node::id).collect();
        assert_eq!(ids.len(), 3);
    });
}

#[test]
fn the_last_handle_closes_its_node() {
    block_on(async {
        let memory = Memory::new();
        let server = adds(&memory).await;
        let client = Node::open_with(Config::default(), memory.transport()).await.unwrap();
        assert_eq!(add(&client).await, 3);
        let mut events = client.events();
        drop(server);
        let down = |event| matches!(event, farcall_core::Event::ServerDown { .. }).then_some(());
        events.find(down).await.expect("the client sees it go");
    });
}

#[test]
fn a_blocking_node_needs_no_async() {
    let memory = Memory::new();
    let server = blocking::Node::open_with(Config::default(), memory.transport()).unwrap();
    server.wait(server.serve(Functions::new("calc").add("add", |a: i64, b: i64| a + b))).unwrap();
    assert_eq!(server.wait(server.client("calc").call::<i64>("add", (1, 2))).unwrap(), 3);
    // Several on one thread, each driven while it is waited with, and closed alone.
    let node = blocking::Node::open_with(Config::default(), Memory::new().transport()).unwrap();
    drop(server);
    let unsent = node.client("calc").call::<i64>("add", (1, 2));
    let unsent = unsent.wait_for_server(std::time::Duration::from_millis(10));
    assert!(node.wait(unsent).is_err());
}

#[test]
fn a_closed_node_sends_nothing_and_says_so() {
    block_on(async {
        let node = adds(&Memory::new()).await;
        let mut events = node.events();
        node.close().await;
        assert_eq!(events.next().await, None);
        node.run().await.unwrap();
        let error = node.client("calc").call::<i64>("add", (1, 2)).await.unwrap_err();
        assert_eq!(error.reason(), farcall_core::Reason::Closed);
        assert!(node.servers("calc").await.is_err());
        assert!(node.serve(Functions::new("more")).await.is_err());
    });
}
