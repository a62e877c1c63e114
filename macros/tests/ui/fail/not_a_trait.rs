use farcall_macros as farcall;

trait Calc {}

#[farcall::service(crate = "farcall_core")]
struct Calculator;

#[farcall::service(crate = "farcall_core")]
impl Calc for Calculator {}

fn main() {}
