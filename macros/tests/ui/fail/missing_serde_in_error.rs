use std::fmt;

use farcall_macros as farcall;

#[derive(Debug)]
struct NoSerde;

impl fmt::Display for NoSerde {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no serde")
    }
}

#[farcall::data(crate = "farcall_core")]
#[derive(Debug)]
struct NoDisplay;

#[farcall::data(crate = "farcall_core")]
struct Neither;

#[farcall::service(crate = "farcall_core")]
trait Calc {
    async fn no_serde(&self) -> Result<u8, NoSerde>;
    async fn no_display(&self) -> Result<u8, NoDisplay>;
    async fn neither(&self) -> Result<u8, Neither>;
}

fn main() {}
