use std::rc::Rc;

use farcall_macros as farcall;

#[farcall::service(crate = "farcall_core")]
trait Calc {
    async fn none(a: i64);
    async fn by_value(self);
    async fn exclusive(&mut self, a: i64);
    async fn with_lifetime(&'static self);
    async fn typed(self: Rc<Self>);
}

fn main() {}
