//! Streams that never wait for more than room: as many tasks of one client as streams are open.

use std::pin::pin;

use anyhow::{Context, ensure};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use tokio::task::JoinSet;

use crate::load::Load;
use crate::shape::Work;

/// A client whose clones have streams at the same time over one connection.
///
/// Items are handed over as shared bytes by both sides' programs: what is copied beyond that is the
/// peer's doing.
pub(crate) trait Streams: Clone + 'static {
    /// An item as the client gets it.
    type Item: AsRef<[u8]>;

    /// Has the server send items of this size, without end.
    ///
    /// # Errors
    ///
    /// When the stream cannot be opened; the load is given up then.
    async fn download(
        &self,
        size: usize,
    ) -> anyhow::Result<impl Stream<Item = anyhow::Result<Self::Item>>>;

    /// Sends items until they end: how many of them the server has got.
    ///
    /// # Errors
    ///
    /// When the stream fails; the load is given up then.
    async fn upload(
        &self,
        items: impl Stream<Item = Bytes> + Send + 'static,
    ) -> anyhow::Result<u64>;

    /// Sends items and takes what the server sends back.
    ///
    /// # Errors
    ///
    /// When the stream cannot be opened; the load is given up then.
    async fn both_ways(
        &self,
        items: impl Stream<Item = Bytes> + Send + 'static,
    ) -> anyhow::Result<impl Stream<Item = anyhow::Result<Self::Item>>>;
}

/// Keeps the asked number of streams open until the meter stops. Runs wherever local tasks may be
/// spawned.
///
/// # Errors
///
/// When a stream fails, or when what arrives is not what was sent.
pub(crate) async fn drive(client: impl Streams, load: &Load) -> anyhow::Result<()> {
    let mut streams = JoinSet::new();
    for _ in 0..load.shape.in_flight {
        streams.spawn_local(stream(client.clone(), load.clone()));
    }
    let mut arrived = 0;
    while let Some(ended) = streams.join_next().await {
        arrived += ended??;
    }
    all_arrived(load, arrived)
}

/// Compares what the server says to have got with what was sent, where it is asked at all.
///
/// # Errors
///
/// When items were lost or made up.
pub(crate) fn all_arrived(load: &Load, arrived: u64) -> anyhow::Result<()> {
    let counted = load.meter.counted();
    ensure!(
        load.shape.work != Work::ClientStream || arrived == counted,
        "the server got {arrived} items of {counted}"
    );
    Ok(())
}

/// One stream; how many of the client's items the server has got, if it was asked.
async fn stream(client: impl Streams, load: Load) -> anyhow::Result<u64> {
    match load.shape.work {
        Work::ServerStream => {
            read(client.download(load.shape.size).await?, &load).await?;
            Ok(0)
        }
        Work::ClientStream => {
            let meter = load.meter.clone();
            client.upload(items(&load).inspect(move |_| meter.count(1))).await
        }
        Work::BothWays => {
            read(client.both_ways(items(&load)).await?, &load).await?;
            Ok(0)
        }
        Work::Calls => unreachable!("calls are no streams"),
    }
}

/// What a client sends: the payload again and again, until the meter stops.
fn items(load: &Load) -> impl Stream<Item = Bytes> + Send + 'static {
    let (payload, meter) = (Bytes::from(load.payload()), load.meter.clone());
    stream::iter(std::iter::from_fn(move || meter.running().then(|| payload.clone())))
}

async fn read<T: AsRef<[u8]>>(
    items: impl Stream<Item = anyhow::Result<T>>,
    load: &Load,
) -> anyhow::Result<()> {
    let mut items = pin!(items);
    let payload = load.payload();
    let mut compared = false;
    while load.meter.running() {
        // A stream of the client's own items ends when the meter stops.
        let Some(item) = items.next().await else { break };
        let item = item.context("a stream failed")?;
        let item = item.as_ref();
        ensure!(
            item.len() == payload.len() && (compared || item == payload),
            "an item arrived with other bytes than it was sent with"
        );
        compared = true;
        load.meter.count(1);
    }
    ensure!(!load.meter.running(), "the server ended a stream");
    Ok(())
}
