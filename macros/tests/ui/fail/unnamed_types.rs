use std::fmt::Display;

use farcall_macros as farcall;

#[farcall::service(crate = "farcall_core")]
trait Calc {
    async fn object(&self, value: Box<dyn Display>);
    async fn lent_object(&self, value: &dyn Display);
    async fn function(&self, value: fn(&str) -> u8);
    async fn inferred(&self, value: Vec<_>);
    async fn itself(&self) -> Option<Self>;
    async fn result(&self) -> impl Display;
}

fn main() {}
