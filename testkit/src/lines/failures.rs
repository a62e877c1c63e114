//! Line 8: what is wrong with one call costs nobody else anything.

use std::collections::BTreeMap;

use farcall_core::{Bytes, CallError, Client, Reason};

use crate::world::client;
use crate::{Options, SERVICE, World};

/// Unknown names, wrong arguments, too much, what cannot be encoded, a panic: each is a typed
/// failure of that caller alone. Garbage costs its sender the session.
pub async fn line_08_what_is_wrong_with_one_call_is_its_callers_alone(world: &dyn World) {
    const LIMIT: usize = 100_000;
    let options = Options { max_message_bytes: LIMIT, ..Options::new("a") };
    let _server = world.start(&options);
    let node = client(world).await;
    let contract = node.client(SERVICE);
    contract.call::<i64>("add", (1, 2)).await.unwrap();
    let bystander = tokio::task::spawn_local(contract.call::<()>("hang", ("bystander",)));
    let peer = node.servers(SERVICE).await.unwrap()[0].peer;

    let unknown = node.client("contrast").at(peer).call::<()>("add", (1, 2)).await.unwrap_err();
    assert_eq!(unknown.reason(), Reason::UnknownService);
    assert_eq!(unknown.details().nearest, [SERVICE]);

    let unknown = contract.call::<()>("ad", (1, 2)).await.unwrap_err();
    assert_eq!(unknown.reason(), Reason::UnknownMethod);
    assert_eq!(unknown.details().nearest[0], "add");
    assert!(unknown.to_string().contains("did you mean `add`"), "{unknown}");

    let by_name = BTreeMap::from([("a", 1), ("b", 2)]);
    assert_eq!(contract.call::<i64>("add", by_name).await.unwrap(), 3);
    wrong_arguments(&contract).await;

    let over = Bytes::from(vec![0; LIMIT + 1]);
    let error = contract.call::<Bytes>("echo", (over,)).await.unwrap_err();
    assert_eq!(error.reason(), Reason::RequestTooLarge, "{error}");
    assert!(error.to_string().contains("max_message_bytes"), "{error}");
    assert!(error.to_string().contains("100000"), "{error}");
    let error = contract.call::<Bytes>("large", (LIMIT + 1,)).await.unwrap_err();
    assert_eq!(error.reason(), Reason::ResultTooLarge, "{error}");
    assert!(error.to_string().contains("max_message_bytes"), "{error}");
    let most = contract.call::<Bytes>("large", (LIMIT - 5,)).await.unwrap();
    assert_eq!(most.len(), LIMIT - 5, "up to the limit it passes");

    let error = contract.call::<()>("unencodable", ()).await.unwrap_err();
    assert_eq!(error.reason(), Reason::ResultUnencodable);
    let error = contract.call::<()>("boom", ()).await.unwrap_err();
    assert!(matches!(error, CallError::Failed(_)));
    assert_eq!(error.reason(), Reason::Panicked);
    let error = contract.call::<String>("add", (1, 2)).await.unwrap_err();
    assert_eq!(error.reason(), Reason::WrongResult);

    if world.garbage(&options) {
        assert_eq!(contract.call::<i64>("add", (1, 2)).await.unwrap(), 3);
    }
    // Through all of it another call of this very session went on.
    assert_eq!(node.servers(SERVICE).await.unwrap()[0].peer, peer);
    assert!(!bystander.is_finished());
    bystander.abort();
    contract.call::<()>("until_cancelled", ("bystander", 1)).await.unwrap();
}

async fn wrong_arguments(contract: &Client) {
    let too_many = contract.call::<()>("add", (1, 2, 3)).await.unwrap_err();
    let missing = contract.call::<()>("add", (1,)).await.unwrap_err();
    let wrong = contract.call::<()>("add", (1, "two")).await.unwrap_err();
    let unknown = contract.call::<()>("add", BTreeMap::from([("a", 1), ("x", 2)])).await;
    for (error, says) in [
        (too_many, "3 arguments given, it takes 2"),
        (missing, "argument `b` is missing"),
        (wrong, "argument `b`: "),
        (unknown.unwrap_err(), "no argument is named `x`"),
    ] {
        assert_eq!(error.reason(), Reason::WrongArguments);
        assert!(error.to_string().contains(says), "{error}");
    }
}
