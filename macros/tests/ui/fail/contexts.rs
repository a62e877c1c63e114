use farcall_core::Context;
use farcall_macros as farcall;

#[farcall::service(crate = "farcall_core")]
trait Two {
    async fn two(&self, ctx: &Context, other: &Context);
}

mod own {
    pub struct Context;
}

#[farcall::service(crate = "farcall_core")]
trait Other {
    async fn by_value(&self, ctx: Context);
    async fn of_another_crate(&self, ctx: &own::Context);
}

fn main() {}
