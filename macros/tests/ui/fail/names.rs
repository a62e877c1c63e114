use farcall_macros as farcall;

#[farcall::service(crate = "farcall_core")]
trait Calc {
    async fn new(&self);
    async fn r#try_into(&self);
    async fn add(&self);
    #[farcall(name = "add")]
    async fn plus(&self);
    #[farcall(name = "")]
    async fn empty(&self);
    #[farcall(name = "line\nbreak")]
    async fn control(&self);
    #[farcall(name = "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789")]
    async fn long(&self);
    #[farcall(name = new)]
    async fn bare(&self);
    #[farcall(name = "new")]
    async fn fine(&self);
}

#[farcall::service(name = "", crate = "farcall_core")]
trait Empty {}

#[farcall::service(name = "a/b", crate = "farcall_core")]
trait Slash {}

#[farcall::service(name = ".hidden", crate = "farcall_core")]
trait Dot {}

#[farcall::service(crate = "farcall_core")]
trait Größe {}

fn main() {}
