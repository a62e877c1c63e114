//! Lines 9 to 12, 16 and 17: servers come and go, and clients go on.

use std::collections::HashMap;
use std::time::Duration;

use farcall_core::transport::ServeError;
use farcall_core::{CallError, Client, Event, Node, Reason, Retry};
use futures::future::join_all;

use crate::world::{client, client_in};
use crate::{Options, SERVICE, World, contract_service};

/// Waits until this many servers of the contract service are seen.
pub(super) async fn until_servers(node: &Node, count: usize) {
    let mut events = node.events();
    while node.servers(SERVICE).await.unwrap().len() != count {
        events.next().await.expect("the node is open");
    }
}

async fn who(contract: &Client, calls: usize) -> HashMap<String, usize> {
    let mut answers = HashMap::new();
    for _ in 0..calls {
        *answers.entry(contract.call::<String>("who", ()).await.unwrap()).or_default() += 1;
    }
    answers
}

/// A second server gets its share at once, alone or in a crowd; when it is told to stop under load,
/// no call is lost.
pub async fn line_09_a_second_server_shares_the_load_and_leaves_without_loss(world: &dyn World) {
    let _first = world.start(&Options::new("a"));
    let node = client(world).await;
    let contract = node.client(SERVICE);
    assert_eq!(who(&contract, 10).await, HashMap::from([("a".to_owned(), 10)]));

    let mut second = world.start(&Options::new("b"));
    until_servers(&node, 2).await;
    let shares = who(&contract, 100).await;
    assert!(shares.values().all(|calls| (40..=60).contains(calls)), "{shares:?}");
    let crowd = join_all((0..100).map(|_| contract.call::<String>("who", ()))).await;
    let of_a = crowd.iter().filter(|who| who.as_deref().is_ok_and(|who| who == "a")).count();
    assert!((40..=60).contains(&of_a), "{of_a} of 100");

    let load: Vec<_> = (0..8)
        .map(|_| {
            let contract = contract.clone();
            tokio::task::spawn_local(async move {
                let mut calls = 0;
                loop {
                    let answer: String = contract.call("who", ()).await.unwrap();
                    calls += 1;
                    if answer == "stop" || calls == 2000 {
                        return calls;
                    }
                }
            })
        })
        .collect();
    second.terminate();
    until_servers(&node, 1).await;
    for calls in join_all(load).await {
        assert_eq!(calls.expect("no call was lost"), 2000);
    }
    assert_eq!(who(&contract, 10).await, HashMap::from([("a".to_owned(), 10)]));
}

/// Without a server a call waits; then it is not sent, and nothing of it runs later.
pub async fn line_10_without_a_server_calls_wait_and_are_then_not_sent(world: &dyn World) {
    let node = client(world).await;
    let contract = node.client(SERVICE);
    let short = Duration::from_millis(50);
    let unsent = contract.call::<()>("hang", ("x",)).wait_for_server(short).await.unwrap_err();
    assert!(matches!(unsent, CallError::NotSent(_)), "{unsent:?}");
    assert_eq!((unsent.reason(), unsent.retry()), (Reason::NoServer, Retry::Safe));
    assert!(unsent.to_string().contains("wait_for_server"), "{unsent}");
    let unsent = contract.call::<()>("hang", ("x",)).timeout(short).await.unwrap_err();
    assert_eq!(unsent.reason(), Reason::DeadlineBeforeSending);
    let dropped = tokio::time::timeout(short, contract.call::<()>("hang", ("x",))).await;
    assert!(dropped.is_err());

    let waiting = tokio::task::spawn_local(contract.call::<i64>("add", (1, 2)));
    let _server = world.start(&Options::new("a"));
    assert_eq!(waiting.await.unwrap().unwrap(), 3);
    assert_eq!(contract.call::<u32>("started", ("x",)).await.unwrap(), 0);
}

/// Calls of a server that is killed end as *outcome unknown* as soon as that can be known.
pub async fn line_11_a_killed_server_leaves_no_call_hanging(world: &dyn World) {
    let mut first = world.start(&Options::new("a"));
    let mut second = world.start(&Options::new("b"));
    let node = client(world).await;
    let contract = node.client(SERVICE);
    until_servers(&node, 2).await;
    let hang = || {
        let call = contract.call::<()>("hang", ("x",)).timeout(Duration::from_secs(3600));
        tokio::task::spawn_local(call)
    };
    let hanging: Vec<_> = (0..20).map(|_| hang()).collect();
    let servers = node.servers(SERVICE).await.unwrap();
    let mut started = 0;
    while started < 20 {
        let counts = servers.iter().map(|it| contract.at(it.peer).call::<u32>("started", ("x",)));
        started = join_all(counts).await.into_iter().map(Result::unwrap).sum();
    }
    first.kill();
    until_servers(&node, 1).await;
    // The other server is the last one; its death is noticed as well.
    second.kill();
    for call in hanging {
        let lost = call.await.unwrap().unwrap_err();
        assert!(matches!(lost, CallError::OutcomeUnknown(_)), "{lost:?}");
        assert_eq!((lost.reason(), lost.retry()), (Reason::ServerLost, Retry::Unsafe));
    }
}

/// A client needs no new code, and no new start, when its server is started again.
pub async fn line_12_clients_survive_restarts_and_say_so(world: &dyn World) {
    let node = client(world).await;
    let contract = node.client(SERVICE);
    let mut events = node.events();
    let mut epoch = 0;
    for _ in 0..3 {
        let mut server = world.start(&Options::new("a"));
        assert_eq!(contract.call::<i64>("add", (1, 2)).await.unwrap(), 3);
        let up = events.find(|event| match event {
            Event::ServerUp(server) => Some(server),
            _ => None,
        });
        let up = up.await.unwrap();
        assert_eq!((&*up.service, &*up.server), (SERVICE, "a"));
        assert!(up.epoch > epoch, "each start has a higher epoch");
        epoch = up.epoch;
        server.kill();
        let down = events.find(|event| match event {
            Event::ServerDown { server, .. } => Some(server),
            _ => None,
        });
        assert_eq!(down.await.unwrap().epoch, epoch);
    }
}

/// The second of two live servers with one identity does not start; a dead one is no obstacle.
pub async fn line_16_a_second_server_of_one_identity_is_refused(world: &dyn World) {
    let options = Options::new("a");
    let mut first = world.start(&options);
    let node = client(world).await;
    let contract = node.client(SERVICE);
    contract.call::<i64>("add", (1, 2)).await.unwrap();

    let twin = Node::open_with(options.config(), world.transport()).await.unwrap();
    let refused = twin.serve(contract_service()).await.unwrap_err();
    assert!(matches!(refused, ServeError::IdentityTaken(_)), "{refused:?}");
    assert!(refused.to_string().contains("`a`"), "{refused}");
    assert_eq!(contract.call::<i64>("add", (1, 2)).await.unwrap(), 3);
    assert_eq!(node.servers(SERVICE).await.unwrap().len(), 1);

    let elsewhere = Options { namespace: "elsewhere", ..options };
    let other = Node::open_with(elsewhere.config(), world.transport()).await.unwrap();
    other.serve(contract_service()).await.expect("another namespace, another identity");

    first.kill();
    until_servers(&node, 0).await;
    twin.serve(contract_service()).await.expect("the identity is free");
    assert_eq!(contract.call::<i64>("add", (1, 2)).await.unwrap(), 3);
}

/// What is in one namespace is nowhere in another; who is dead is on no list.
pub async fn line_17_namespaces_never_meet_and_nothing_dead_is_listed(world: &dyn World) {
    let mut red = world.start(&Options { namespace: "red", ..Options::new("r") });
    let _blue = world.start(&Options { namespace: "blue", ..Options::new("b") });
    let (in_red, in_blue) = (client_in(world, "red").await, client_in(world, "blue").await);
    for _ in 0..10 {
        assert_eq!(in_red.client(SERVICE).call::<String>("who", ()).await.unwrap(), "r");
        assert_eq!(in_blue.client(SERVICE).call::<String>("who", ()).await.unwrap(), "b");
    }
    let listed = in_red.all_servers().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((&*listed[0].service, &*listed[0].server), (SERVICE, "r"));
    let status = in_red.peer(listed[0].peer).status().await.unwrap();
    assert!(status.clients.iter().all(|client| client.identity == in_red.identity()));

    red.kill();
    until_servers(&in_red, 0).await;
    assert!(in_red.all_servers().await.unwrap().is_empty());
    let fresh = client_in(world, "red").await;
    assert!(fresh.all_servers().await.unwrap().is_empty(), "a newcomer sees no dead server either");
    assert_eq!(in_blue.all_servers().await.unwrap().len(), 1);
}
