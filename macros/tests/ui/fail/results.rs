use std::io;

use farcall_macros as farcall;

#[farcall::service(crate = "farcall_core")]
trait Files {
    async fn read(&self, path: &str) -> io::Result<Vec<u8>>;
    async fn size(&self, path: &str) -> farcall_core::Result<u64>;
}

fn main() {}
