use std::pin::Pin;

use farcall_macros as farcall;

#[farcall::service(crate = "farcall_core")]
trait Clock {
    async fn ticks(&self, every_ms: u64) -> impl Stream<Item = u64>;
    async fn sum(&self, numbers: impl futures::Stream<Item = u64> + Unpin) -> u64;
    async fn boxed(&self) -> Pin<Box<dyn Stream<Item = u64>>>;
}

fn main() {}
