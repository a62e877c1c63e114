//! farcall's streams, by functions and a client without a trait.

use std::future::{pending, ready};
use std::time::Duration;

use bytes::Bytes as Shared;
use farcall::{ArgumentStream, Bytes, Client, Functions};
use futures::{Stream, StreamExt, stream};

use super::Farcall;
use crate::lifeline::Ready;
use crate::load::{self, Load};
use crate::peers::Streaming;
use crate::shape::Work;
use crate::streaming::{Streams, drive};

/// The service that all of it is in.
const SERVICE: &str = "items";

/// Longer than any run: a call with an argument stream has a deadline.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

impl Streaming for Farcall {
    fn about(&self) -> &'static str {
        "Functions and a client without a trait, items as `farcall::Bytes`, windows of 512 KiB a \
         stream as they are by default."
    }

    fn serve(&self, _: Work, at: &str, ready: Ready) -> anyhow::Result<()> {
        farcall::block_on(async {
            let node = self.open(at).await?;
            node.serve(functions()).await?;
            ready.announce()?;
            pending().await
        })
    }

    fn load(&self, at: &str, load: &Load) -> anyhow::Result<()> {
        farcall::block_on(async {
            let node = self.open(at).await?;
            drive(node.client(SERVICE), load).await
        })
    }
}

fn functions() -> Functions {
    Functions::new(SERVICE)
        .stream("send", |size: usize| stream::repeat(Bytes::from(load::payload(size))))
        .add("count", |items: ArgumentStream<Bytes>| items.fold(0_u64, |sum, _| ready(sum + 1)))
        .stream("echo", |items: ArgumentStream<Bytes>| items)
}

impl Streams for Client {
    type Item = Bytes;

    async fn download(
        &self,
        size: usize,
    ) -> anyhow::Result<impl Stream<Item = anyhow::Result<Bytes>>> {
        Ok(self.stream("send", (size,)).map(|item| Ok(item?)))
    }

    async fn upload(
        &self,
        items: impl Stream<Item = Shared> + Send + 'static,
    ) -> anyhow::Result<u64> {
        let call = self.call("count", ()).argument_stream(items.map(Bytes::from));
        Ok(call.timeout(NEVER).await?)
    }

    async fn both_ways(
        &self,
        items: impl Stream<Item = Shared> + Send + 'static,
    ) -> anyhow::Result<impl Stream<Item = anyhow::Result<Bytes>>> {
        let call = self.stream("echo", ()).argument_stream(items.map(Bytes::from));
        Ok(call.map(|item| Ok(item?)))
    }
}
