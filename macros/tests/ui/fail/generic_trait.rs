use farcall_macros as farcall;

#[farcall::service(crate = "farcall_core")]
trait Store<'a, T: Clone> {
    async fn get(&self) -> u8;
}

struct Memory;

impl Store<'_, u8> for Memory {
    async fn get(&self) -> u8 {
        0
    }
}

fn main() {}
