//! Lines 1 to 6: what becomes of one call.

use std::time::Duration;

use farcall_core::{CallError, Functions, MethodError, Reason, Retry};
use futures::future::join_all;

use crate::world::client;
use crate::{Options, SERVICE, World};

/// A value, the method's own error, or a failure that says what is known and whether a retry is
/// safe: exactly one of them, by the deadline.
pub async fn line_01_a_call_ends_exactly_once_and_says_how(world: &dyn World) {
    let _server = world.start(&Options::new("a"));
    let node = client(world).await;
    let contract = node.client(SERVICE);

    assert_eq!(contract.call::<i64>("add", (1, 2)).await.unwrap(), 3);

    let refused = contract.try_call::<(), String>("refuse", ("no",)).await.unwrap_err();
    assert!(matches!(&refused, MethodError::Returned(text) if text == "no"), "{refused:?}");

    let hung = contract.call::<()>("hang", ("x",)).timeout(Duration::from_millis(50)).await;
    let hung = hung.unwrap_err();
    assert!(matches!(hung, CallError::OutcomeUnknown(_)), "{hung:?}");
    assert_eq!((hung.reason(), hung.retry()), (Reason::DeadlineExceeded, Retry::Unsafe));

    let boom = contract.call::<()>("boom", ()).await.unwrap_err();
    assert!(matches!(boom, CallError::Failed(_)), "{boom:?}");

    let unsent = contract.call::<i64>("add", (1, 2)).timeout(Duration::ZERO).await.unwrap_err();
    assert!(matches!(unsent, CallError::NotSent(_)), "{unsent:?}");
    assert_eq!((unsent.reason(), unsent.retry()), (Reason::DeadlineBeforeSending, Retry::Safe));
}

/// The death of its server ends a plain call; an idempotent one is started again, with the same
/// deadline, and says to the handler that it is.
pub async fn line_02_a_plain_call_starts_at_most_once_an_idempotent_one_again(world: &dyn World) {
    let mut first = world.start(&Options::new("a"));
    let node = client(world).await;
    let contract = node.client(SERVICE);
    let (plain, again) = (contract.clone(), contract.clone());
    let plain = tokio::task::spawn_local(async move { plain.call::<u8>("die_once", ("p",)).await });
    let again =
        tokio::task::spawn_local(
            async move { again.call::<u8>("die_once", ("i",)).idempotent().await },
        );
    contract.call::<()>("until_started", ("p", 1)).await.unwrap();
    contract.call::<()>("until_started", ("i", 1)).await.unwrap();

    first.kill();
    let _second = world.start(&Options::new("b"));

    let lost = plain.await.unwrap().unwrap_err();
    assert!(matches!(lost, CallError::OutcomeUnknown(_)), "{lost:?}");
    assert_eq!(lost.reason(), Reason::ServerLost);
    assert_eq!(again.await.unwrap().unwrap(), 1, "the second attempt answers");
    assert_eq!(contract.call::<u32>("started", ("p",)).await.unwrap(), 0, "on the second server");
    assert_eq!(contract.call::<u32>("started", ("i",)).await.unwrap(), 1, "on the second server");

    // A one-way call is done when it is handed over; here it arrives as well.
    contract.call::<()>("hang", ("n",)).notify().await.unwrap();
    contract.call::<()>("until_started", ("n", 1)).await.unwrap();
}

/// Many calls of many clients at once, some of which hang, call back or call on.
pub async fn line_03_concurrent_calls_get_their_own_answers(world: &dyn World) {
    let _server = world.start(&Options::new("a"));
    let mut nodes = Vec::new();
    for _ in 0..4 {
        nodes.push(client(world).await);
    }
    let hanging: Vec<_> = nodes
        .iter()
        .map(|node| {
            let call = node.client(SERVICE).call::<()>("hang", ("x",));
            tokio::task::spawn_local(call)
        })
        .collect();
    let sums = nodes.iter().enumerate().flat_map(|(n, node)| {
        let contract = node.client(SERVICE);
        (0..250).map(move |i| {
            let call = contract.call::<i64>("add", (1000 * n as i64, i));
            async move { assert_eq!(call.await.unwrap(), 1000 * n as i64 + i) }
        })
    });
    join_all(sums).await;
    assert!(hanging.iter().all(|call| !call.is_finished()));

    let caller = &nodes[0];
    caller.offer(Functions::new("callback").add("ask", || "it is me")).await.unwrap();
    let contract = caller.client(SERVICE);
    assert_eq!(contract.call::<String>("call_back", ()).await.unwrap(), "it is me");
    assert_eq!(contract.call::<u32>("through", (10,)).await.unwrap(), 10);
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
}

/// An answer that comes when nobody waits is dropped and counted, and the link goes on.
pub async fn line_04_late_answers_are_dropped_and_counted(world: &dyn World) {
    let _server = world.start(&Options::new("a"));
    let node = client(world).await;
    let contract = node.client(SERVICE);
    contract.call::<i64>("add", (1, 2)).await.unwrap();
    // The handler blocks its thread, so that no cancel reaches it before it is done.
    let blocked = contract.call::<()>("block", ("x", 100)).timeout(Duration::from_millis(10)).await;
    assert_eq!(blocked.unwrap_err().reason(), Reason::DeadlineExceeded);
    assert_eq!(contract.call::<i64>("add", (1, 2)).await.unwrap(), 3);
    assert_eq!(node.counters().await.late_answers, 1);
}

/// The handler sees what is left, calls made in it have no more, and what is expired never starts.
pub async fn line_05_the_deadline_travels_and_is_inherited(world: &dyn World) {
    let _server = world.start(&Options { concurrency: 2, ..Options::new("a") });
    let node = client(world).await;
    let contract = node.client(SERVICE);

    let whole = contract.call::<u64>("time_left", ()).timeout(Duration::from_secs(20)).await;
    assert!((10_000..=20_000).contains(&whole.unwrap()));
    // It asks for an hour and has no more than its caller.
    let nested = contract.call::<Option<u64>>("nested_time_left", (3_600_000,));
    let nested = nested.timeout(Duration::from_secs(20)).await.unwrap();
    assert!((10_000..=20_000).contains(&nested.unwrap()));
    // It asks for less and has less.
    let nested = contract.call::<Option<u64>>("nested_time_left", (15_000,));
    let nested = nested.timeout(Duration::from_secs(20)).await.unwrap();
    assert!((5_000..=15_000).contains(&nested.unwrap()));

    // Both places are taken; what waits behind them expires and is not started.
    let hang = || {
        let call = contract.call::<()>("hang", ("held",));
        tokio::task::spawn_local(call)
    };
    let held = [hang(), hang()];
    let peer = node.servers(SERVICE).await.unwrap()[0].peer;
    while node.peer(peer).status().await.unwrap().services[0].running < 2 {}
    let late = contract.call::<()>("hang", ("late",)).timeout(Duration::from_millis(50)).await;
    let late = late.unwrap_err();
    assert!([Reason::DeadlineExceeded, Reason::Expired].contains(&late.reason()), "{late:?}");
    held.iter().for_each(tokio::task::JoinHandle::abort);
    contract.call::<()>("until_cancelled", ("held", 2)).await.unwrap();
    assert_eq!(contract.call::<u32>("started", ("late",)).await.unwrap(), 0);
}

/// A call that is dropped, aborted or out of time takes its handler with it.
pub async fn line_06_dropping_a_call_cancels_its_handler(world: &dyn World) {
    let _server = world.start(&Options::new("a"));
    let node = client(world).await;
    let contract = node.client(SERVICE);

    let dropped = tokio::task::spawn_local(contract.call::<()>("hang", ("dropped",)));
    contract.call::<()>("until_started", ("dropped", 1)).await.unwrap();
    dropped.abort();
    contract.call::<()>("until_cancelled", ("dropped", 1)).await.unwrap();

    let timed = contract.call::<()>("hang", ("timed",)).timeout(Duration::from_millis(20)).await;
    timed.unwrap_err();
    contract.call::<()>("until_cancelled", ("timed", 1)).await.unwrap();

    // Never polled: never sent.
    drop(contract.call::<()>("hang", ("unsent",)));
    contract.call::<i64>("add", (1, 2)).await.unwrap();
    assert_eq!(contract.call::<u32>("started", ("unsent",)).await.unwrap(), 0);

    // A client that leaves altogether cancels all that it had.
    let other = client(world).await;
    let leaving: Vec<_> = (0..3)
        .map(|_| tokio::task::spawn_local(other.client(SERVICE).call::<()>("hang", ("left",))))
        .collect();
    contract.call::<()>("until_started", ("left", 3)).await.unwrap();
    other.close().await;
    contract.call::<()>("until_cancelled", ("left", 3)).await.unwrap();
    for call in leaving {
        assert_eq!(call.await.unwrap().unwrap_err().reason(), Reason::ServerLost);
    }
}
