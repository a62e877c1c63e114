use farcall_macros as farcall;

#[farcall::service(crate = "farcall_core")]
trait Store {
    type Item;
    const SIZE: usize;
    more_methods!();
    async fn get(&self) -> u8;
}

#[farcall::service(crate = "farcall_core")]
unsafe trait Unsafe {}

#[farcall::service]
#[farcall(name = "options", crate = "farcall_core")]
trait Options {}

fn main() {}
