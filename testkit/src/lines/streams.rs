//! Line 7: streams of results, of arguments, and both ways.

use farcall_core::{Bytes, CallError, Client, Config, MethodError, Reason};
use futures::stream::{self, StreamExt};

use tokio::sync::watch;

use crate::world::client;
use crate::{Options, SERVICE, World};

/// Items arrive in order and to the end; a reader that stalls stops the writer, wherever it is;
/// either end that is dropped stops the other; an error ends a stream as that error, and a server's
/// death as *outcome unknown*.
pub async fn line_07_streams_flow_as_fast_as_they_are_read(world: &dyn World) {
    let mut server = world.start(&Options::new("a"));
    let node = client(world).await;
    let contract = node.client(SERVICE);
    everything_arrives(&contract).await;
    errors_end_a_stream(&contract).await;
    a_stalled_reader_stops_its_writer(&contract).await;
    a_dropped_end_stops_the_other(&contract).await;

    let mut count = contract.stream::<u64>("count", (u64::MAX,));
    assert_eq!(count.next().await.unwrap().unwrap(), 0);
    let drinking = contract.call::<()>("drink", ("d",)).argument_stream(stream::repeat(1_i64));
    let drinking = tokio::task::spawn_local(drinking);
    contract.call::<()>("until_made", ("d", 10_000)).await.unwrap();
    server.kill();
    let lost = loop {
        match count.next().await.expect("it ends with an error") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    for lost in [lost, drinking.await.unwrap().unwrap_err()] {
        assert!(matches!(lost, CallError::OutcomeUnknown(_)), "{lost:?}");
        assert_eq!(lost.reason(), Reason::ServerLost);
    }
    assert!(count.next().await.is_none(), "an error is the last item");
}

async fn everything_arrives(contract: &Client) {
    const MANY: u64 = 20_000;
    let counted = contract.stream::<u64>("count", (MANY,));
    let counted: Vec<u64> = counted.map(Result::unwrap).collect().await;
    assert!(counted.into_iter().eq(0..MANY));

    let numbers = stream::iter(0..20_000_i64);
    let sum = contract.call::<i64>("sum", ()).argument_stream(numbers.clone());
    assert_eq!(sum.await.unwrap(), (0..20_000).sum::<i64>());

    let doubled = contract.stream::<i64>("double", ()).argument_stream(numbers);
    let doubled: Vec<i64> = doubled.map(Result::unwrap).collect().await;
    assert!(doubled.into_iter().eq((0..20_000).map(|number| number * 2)));

    let nothing = contract.call::<i64>("sum", ()).argument_stream(stream::empty::<i64>());
    assert_eq!(nothing.await.unwrap(), 0);
}

async fn errors_end_a_stream(contract: &Client) {
    let failing = contract.try_stream::<u64, String>("fail_after", (3, "enough"));
    let items: Vec<_> = failing.collect().await;
    assert_eq!(items.len(), 4);
    assert_eq!(*items[2].as_ref().unwrap(), 2);
    assert!(matches!(&items[3], Err(MethodError::Returned(text)) if text == "enough"));

    let numbers = stream::iter(["1", "2"]);
    let broken = contract.call::<i64>("sum", ()).argument_stream(numbers).await.unwrap_err();
    assert_eq!(broken.reason(), Reason::StreamBroken, "{broken}");
    assert!(broken.to_string().contains("item 1"), "{broken}");

    // What has the wrong shape is refused before it begins.
    let one = contract.call::<u64>("count", (3,)).await.unwrap_err();
    let many = contract.stream::<i64>("add", (1, 2)).next().await.unwrap().unwrap_err();
    let missing = contract.call::<i64>("sum", ()).await.unwrap_err();
    for error in [one, many, missing] {
        assert!(matches!(error, CallError::Refused(_)), "{error:?}");
        assert_eq!(error.reason(), Reason::WrongArguments);
    }
}

/// How many items of a KiB go before a writer is stopped: the one that takes the credit below zero
/// is the last.
fn window_of_kibs() -> u32 {
    let window = Config::default().limits.stream_window;
    // As a byte string with a head of three bytes, and 32 that each item counts beside its own.
    u32::try_from(window.div_ceil(1024 + 3 + 32)).unwrap()
}

/// Time for whatever is not stopped to go on.
async fn meanwhile(contract: &Client) {
    for n in 0..100 {
        assert_eq!(contract.call::<i64>("add", (n, 1)).await.unwrap(), n + 1);
    }
}

async fn a_stalled_reader_stops_its_writer(contract: &Client) {
    let window = window_of_kibs();
    let mut endless = contract.stream::<Bytes>("endless", ("e",));
    assert_eq!(endless.next().await.unwrap().unwrap().len(), 1024);
    contract.call::<()>("until_made", ("e", window)).await.unwrap();
    meanwhile(contract).await;
    assert_eq!(contract.call::<u32>("made", ("e",)).await.unwrap(), window, "results");

    let (made, mut until_made) = watch::channel(0);
    let kibs = stream::repeat_with(move || {
        made.send_modify(|made| *made += 1);
        Bytes::from(vec![7; 1024])
    });
    let hold = contract.call::<()>("hold", ("h",)).argument_stream(kibs);
    let hold = tokio::task::spawn_local(hold);
    until_made.wait_for(|made| *made >= window).await.unwrap();
    meanwhile(contract).await;
    assert_eq!(*until_made.borrow(), window, "arguments");

    // Both go on when somebody reads, or ends them.
    for _ in 0..window * 2 {
        endless.next().await.unwrap().unwrap();
    }
    drop(endless);
    hold.abort();
    contract.call::<()>("until_cancelled", ("e", 1)).await.unwrap();
    contract.call::<()>("until_cancelled", ("h", 1)).await.unwrap();
}

async fn a_dropped_end_stops_the_other(contract: &Client) {
    // The handler drops its end, and ends: so does the caller's stream, which had no end.
    let (dropped, mut until_dropped) = watch::channel(false);
    let endless = stream::unfold(dropped, |dropped| async { Some((1_i64, dropped)) });
    let first = contract.call::<Vec<i64>>("first", (3,)).argument_stream(endless).await.unwrap();
    assert_eq!(first, [1, 1, 1]);
    assert!(until_dropped.changed().await.is_err(), "the stream is gone");

    // The caller goes away: the handler does not take that for the end of the stream.
    let numbers = stream::iter([1_i64, 2]).chain(stream::pending());
    let drink = contract.call::<()>("drink", ("c",)).argument_stream(numbers);
    let drink = tokio::task::spawn_local(drink);
    contract.call::<()>("until_made", ("c", 2)).await.unwrap();
    drink.abort();
    contract.call::<()>("until_cancelled", ("c", 1)).await.unwrap();
}
