use std::pin::Pin;

use farcall_macros as farcall;
use futures::Stream;

#[farcall::service(crate = "farcall_core")]
trait Clock {
    async fn boxed(&self) -> Pin<Box<dyn Stream<Item = u64>>>;
    async fn untyped(&self) -> impl Stream;
    async fn several(&self) -> Vec<impl Stream<Item = u64>>;
    async fn lent(&self) -> impl Stream<Item = &str>;
    async fn by_reference(&self, numbers: &impl Stream<Item = u64>) -> u64;
    async fn two_errors(&self) -> Result<impl Stream<Item = Result<u64, String>>, u8>;
    async fn nested(&self, of: impl Stream<Item = impl Stream<Item = u64>>) -> u64;
}

fn main() {}
