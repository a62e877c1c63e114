//! Line 15: nodes that call each other, and see each other come and go.

use std::collections::BTreeSet;

use farcall_core::{Event, Functions, Node, Reason};

use crate::world::{client, client_called};
use crate::{Options, SERVICE, World};

/// A server calls its clients, those that call it and others; it lists them and sees them come and
/// go. A client calls every live server at once, and sees them come and go too. A handler that blocks
/// its server is no dead peer.
pub async fn line_15_peers_are_called_listed_and_seen(world: &dyn World) {
    let _first = world.start(&Options::new("a"));
    let asker = client(world).await;
    let contract = asker.client(SERVICE);

    // The server calls somebody who has not called it just now.
    let called = client_called(world, "called").await;
    called.offer(Functions::new("callback").add("ask", || "it is me")).await.unwrap();
    called.client(SERVICE).call::<String>("who", ()).await.unwrap();
    contract.call::<()>("until_up", ("called",)).await.unwrap();
    let answer = contract.try_call::<String, String>("call_peer", ("called",)).await.unwrap();
    assert_eq!(answer, "it is me");
    // What is offered to peers is no service of the namespace.
    assert!(asker.servers("callback").await.unwrap().is_empty());
    let lonely = asker.client("callback").call::<String>("ask", ());
    let lonely = lonely.wait_for_server(std::time::Duration::ZERO).await.unwrap_err();
    assert_eq!(lonely.reason(), Reason::NoServer);

    // A handler that blocks its server's thread: nobody is taken for dead meanwhile.
    let mut seen = asker.events();
    let blocked = contract.call::<()>("block", ("b", 300));
    let waiting = contract.call::<i64>("add", (1, 2));
    let (blocked, waiting) = futures::join!(blocked, waiting);
    blocked.unwrap();
    assert_eq!(waiting.unwrap(), 3);
    let peers = contract.call::<Vec<String>>("peers", ()).await.unwrap();
    assert!(peers.contains(&"called".to_owned()), "{peers:?}");

    called.close().await;
    contract.call::<()>("until_down", ("called",)).await.unwrap();
    let gone = contract.try_call::<String, String>("call_peer", ("called",)).await.unwrap_err();
    assert!(gone.to_string().contains("nobody"), "{gone}");

    // Every live server answers, each for itself.
    let mut second = world.start(&Options::new("b"));
    until_servers(&asker, 2).await;
    assert_eq!(everybody(&asker).await, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
    second.kill();
    let lost = |event| match event {
        Event::ServerDown { server, .. } => Some(server.server),
        _ => None,
    };
    assert_eq!(seen.find(lost).await.unwrap(), "b", "and none before");
    assert_eq!(everybody(&asker).await, BTreeSet::from(["a".to_owned()]));
}

/// The ids that the servers give, when all of them are asked.
async fn everybody(node: &Node) -> BTreeSet<String> {
    let contract = node.client(SERVICE);
    let answers = contract.every(|client| client.call::<String>("who", ())).await.unwrap();
    let each = answers.into_iter().map(|(server, id)| {
        let id = id.unwrap();
        assert_eq!(server.server, id);
        id
    });
    each.collect()
}

async fn until_servers(node: &Node, count: usize) {
    let mut events = node.events();
    while node.servers(SERVICE).await.unwrap().len() < count {
        events.next().await;
    }
}
