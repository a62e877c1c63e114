use farcall_macros as farcall;

#[farcall::service(crate = "farcall_core")]
trait Calc {
    async fn tuple(&self, (a, b): (i64, i64));
    async fn mutable(&self, mut a: i64);
    async fn nameless(&self, _: i64);
    async fn twice(&self, a: i64, a: i64);
    async fn attribute(&self, #[allow(unused)] a: i64);
}

fn main() {}
