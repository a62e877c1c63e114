use farcall_macros as farcall;
use futures::Stream;

#[farcall::service(crate = "farcall_core")]
trait Calc {
    #[farcall(recoverable)]
    async fn results(&self) -> impl Stream<Item = u64>;
    #[farcall(recoverable)]
    async fn arguments(&self, of: impl Stream<Item = u64>);
    #[farcall(recoverable, idempotent)]
    async fn both(&self);
    #[farcall(recoverable = true)]
    async fn valued(&self);
}

fn main() {}
