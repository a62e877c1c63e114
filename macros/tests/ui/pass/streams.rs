//! Streams of results, of arguments, and both ways, in all the forms they have.

use std::pin::pin;

use farcall::StreamCall;
use farcall::prelude::*;
use futures::stream;

#[farcall::data]
#[derive(Debug, PartialEq)]
pub struct Tick {
    at: u64,
}

#[farcall::data]
#[derive(Debug, PartialEq)]
pub enum Broken {
    Early,
    Late(u64),
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

#[farcall::service]
pub trait Streams {
    /// Ticks.
    async fn ticks(&self, every_ms: u64) -> impl Stream<Item = Tick>;
    /// Borrows from what it is given.
    async fn words(&self, text: &str) -> impl Stream<Item = String>;
    async fn fragile(&self, fail_at: u64) -> impl Stream<Item = Result<u64, Broken>>;
    async fn refused(&self, refuse: bool) -> Result<impl Stream<Item = u64>, Broken>;
    async fn doubtful(
        &self,
        refuse: bool,
    ) -> Result<impl Stream<Item = Result<u64, Broken>>, Broken>;
    async fn sum(&self, numbers: impl Stream<Item = i64>) -> i64;
    async fn scaled(
        &self,
        ctx: &Context,
        factor: i64,
        numbers: impl Stream<Item = i64>,
        offset: i64,
    ) -> impl futures::Stream<Item = i64>;
    async fn zip(
        &self,
        left: impl Stream<Item = String>,
        right: impl Stream<Item = Vec<u8>>,
    ) -> Result<u64, Broken>;
    async fn chunks(&self, size: usize) -> impl Stream<Item = Vec<u8>>;
}

struct Service {
    ticks: u64,
}

impl Streams for Service {
    async fn ticks(&self, every_ms: u64) -> impl Stream<Item = Tick> {
        stream::iter(0..self.ticks).map(move |n| Tick { at: n * every_ms })
    }

    async fn words(&self, text: &str) -> impl Stream<Item = String> {
        stream::iter(text.split(' ')).map(str::to_owned)
    }

    async fn fragile(&self, fail_at: u64) -> impl Stream<Item = Result<u64, Broken>> {
        stream::iter(0..).map(move |n| if n == fail_at { Err(Broken::Late(n)) } else { Ok(n) })
    }

    async fn refused(&self, refuse: bool) -> Result<impl Stream<Item = u64>, Broken> {
        if refuse { Err(Broken::Early) } else { Ok(stream::iter([7])) }
    }

    async fn doubtful(
        &self,
        refuse: bool,
    ) -> Result<impl Stream<Item = Result<u64, Broken>>, Broken> {
        if refuse { Err(Broken::Early) } else { Ok(stream::iter([Ok(1), Err(Broken::Late(1))])) }
    }

    // What comes needs no pinning, but may be pinned as any stream.
    async fn sum(&self, numbers: impl Stream<Item = i64>) -> i64 {
        let mut numbers = pin!(numbers);
        let mut sum = 0;
        while let Some(number) = numbers.next().await {
            sum += number;
        }
        sum
    }

    async fn scaled(
        &self,
        ctx: &Context,
        factor: i64,
        numbers: impl Stream<Item = i64>,
        offset: i64,
    ) -> impl futures::Stream<Item = i64> {
        assert_eq!(ctx.method(), "scaled");
        numbers.map(move |number| number * factor + offset)
    }

    async fn zip(
        &self,
        left: impl Stream<Item = String> + Unpin,
        right: impl Stream<Item = Vec<u8>> + Unpin,
    ) -> Result<u64, Broken> {
        let pairs = left.zip(right).filter(|(left, right)| {
            let same = left.as_bytes() == right;
            async move { same }
        });
        Ok(pairs.count().await as u64)
    }

    async fn chunks(&self, size: usize) -> impl Stream<Item = Vec<u8>> {
        stream::iter([vec![0; size], vec![1; size]])
    }
}

fn is_send<T: Send + 'static>(value: T) -> T {
    value
}

async fn check() {
    let memory = farcall::Memory::new();
    let config = farcall::Config::default;
    let server = farcall::Node::open_with(config(), memory.transport()).await.unwrap();
    server.serve(StreamsServer::new(Service { ticks: 3 })).await.unwrap();
    let node = farcall::Node::open_with(config(), memory.transport()).await.unwrap();
    let streams = StreamsClient::new(&node);

    let ticks: StreamCall<Tick, CallError> = is_send(streams.ticks(10));
    let ticks: Vec<_> = ticks.map(|tick| tick.unwrap().at).collect().await;
    assert_eq!(ticks, [0, 10, 20]);
    let words: Vec<_> = streams.words("a b c").map(Result::unwrap).collect().await;
    assert_eq!(words, ["a", "b", "c"]);

    let fragile: Vec<_> = streams.fragile(2).collect().await;
    assert_eq!(fragile.len(), 3);
    assert!(matches!(fragile[2], Err(MethodError::Returned(Broken::Late(2)))));
    for mut refused in [streams.refused(true), streams.doubtful(true)] {
        let first = refused.next().await.unwrap();
        assert!(matches!(first, Err(MethodError::Returned(Broken::Early))));
        assert!(refused.next().await.is_none());
    }
    assert_eq!(streams.refused(false).next().await.unwrap().unwrap(), 7);
    let doubtful: Vec<_> = streams.doubtful(false).collect().await;
    assert!(matches!(doubtful[..], [Ok(1), Err(MethodError::Returned(Broken::Late(1)))]));

    let sum = is_send(streams.sum(stream::iter([1, 2, 3])));
    assert_eq!(sum.await.unwrap(), 6);
    let scaled = streams.scaled(3, stream::iter([1, 2]), 1);
    let scaled: Vec<_> = scaled.map(Result::unwrap).collect().await;
    assert_eq!(scaled, [4, 7]);
    let left = stream::iter(["a".to_owned(), "b".to_owned()]);
    let right = stream::iter([b"a".to_vec(), b"c".to_vec()]);
    assert_eq!(streams.zip(left, right).await.unwrap(), 1);
    let chunks: Vec<_> = streams.chunks(4).map(Result::unwrap).collect().await;
    assert_eq!(chunks, [[0; 4], [1; 4]]);

    let peer = node.servers("streams").await.unwrap()[0].peer;
    let descriptor = node.peer(peer).describe("streams").await.unwrap();
    let scaled = descriptor.methods.iter().find(|it| it.name == "scaled").unwrap();
    assert!(scaled.stream);
    let params: Vec<_> = scaled.params.iter().map(|it| (&*it.name, &*it.ty, it.stream)).collect();
    assert_eq!(params, [("factor", "i64", false), ("numbers", "i64", true), ("offset", "i64", false)]);
}

fn main() {
    farcall::block_on(check());
}
