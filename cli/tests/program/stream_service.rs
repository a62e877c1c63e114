//! The services `streams` and `line`, of streams in both directions.

use std::future::ready;

use farcall::{ArgumentStream, Bytes, Functions};
use futures::{Stream, StreamExt, stream};

use crate::server::Signs;

/// Methods of which each shows one thing; those that do not end tell when they begin and are dropped.
pub(crate) fn streams(signs: Signs) -> Functions {
    let ([ticks, flood, double, never], words) = ([(); 4].map(|()| signs.clone()), ["é\n", "2"]);
    Functions::new("streams")
        .stream("count", |to: u64| stream::iter(1..=to))
        // One item, and then none for ever.
        .stream("tick", move || stream::iter([1]).chain(held(&ticks, stream::pending())))
        // Items without end.
        .stream("flood", move || held(&flood, stream::iter(0_u64..)))
        .try_stream("fail", || {
            stream::iter([Ok(1), Ok(2), Err("no more".to_owned()), Ok(3)]).map(|item| item)
        })
        .stream("words", move || stream::iter(words))
        .stream("pieces", || stream::iter([Bytes::from(vec![0, 255]), Bytes::from(vec![1])]))
        .stream("double", move |numbers: ArgumentStream<i64>| {
            held(&double, numbers.map(|number| number * 2))
        })
        .stream("echo", |texts: ArgumentStream<String>| texts)
        .add("sum", |numbers: ArgumentStream<i64>, from: i64| async move {
            numbers.fold(from, |sum, number| ready(sum + number)).await
        })
        .add("size", |pieces: ArgumentStream<Bytes>| async move {
            pieces.fold(0, |size, piece| ready(size + piece.len())).await
        })
        .add("first", |numbers: ArgumentStream<i64>| async move {
            numbers.take(1).collect::<Vec<_>>().await
        })
        .add("never", move |numbers: ArgumentStream<i64>| {
            let guard = never.begin();
            async move {
                numbers.for_each(|_| ready(())).await;
                std::future::pending::<()>().await;
                drop(guard);
            }
        })
        .add("two", |a: ArgumentStream<i64>, b: ArgumentStream<i64>| async move {
            a.zip(b).count().await
        })
}

/// The stream, which tells when it is dropped.
fn held<S: Stream>(signs: &Signs, stream: S) -> impl Stream<Item = S::Item> + use<S> {
    let guard = signs.begin();
    stream.map(move |item| {
        let _ = &guard;
        item
    })
}

/// The same from a trait, with a stream between its parameters.
#[farcall::service(name = "line")]
pub(crate) trait Line {
    /// The points of a line.
    async fn points(
        &self,
        slope: i64,
        xs: impl Stream<Item = i64>,
        height: i64,
    ) -> impl Stream<Item = Result<i64, String>>;
}

pub(crate) struct Straight;

impl Line for Straight {
    async fn points(
        &self,
        slope: i64,
        xs: impl Stream<Item = i64>,
        height: i64,
    ) -> impl Stream<Item = Result<i64, String>> {
        let too_steep = || "too steep".to_owned();
        xs.map(move |x| x.checked_mul(slope).ok_or_else(too_steep).map(|y| y + height))
    }
}
