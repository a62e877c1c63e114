use farcall_macros as farcall;

#[farcall::service(crate = "farcall_core")]
trait Calc {
    #[farcall(idempotnet)]
    async fn nearly(&self);
    #[farcall(priority = 3)]
    async fn unknown(&self);
    #[farcall]
    async fn bare(&self);
    #[farcall(idempotent, idempotent)]
    async fn twice(&self);
    #[farcall(idempotent)]
    #[farcall(idempotent)]
    async fn twice_apart(&self);
    #[farcall(idempotent = true)]
    async fn valued(&self);
    #[farcall(timeout = 2)]
    async fn number(&self);
    #[farcall(timeout = "2")]
    async fn unitless(&self);
    #[farcall(timeout = "1.5s")]
    async fn fraction(&self);
    #[farcall(timeout = "0s")]
    async fn zero(&self);
    #[farcall(timeout "2s")]
    async fn malformed(&self);
}

#[farcall::service(nmae = "calc", crate = "farcall_core")]
trait Unknown {}

#[farcall::service("calc", crate = "farcall_core")]
trait Literal {}

#[farcall::service(crate = "not a path")]
trait Path {}

fn main() {}
