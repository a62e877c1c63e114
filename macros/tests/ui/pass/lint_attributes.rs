//! A lint that is turned off at the trait is off in its client too.
#![deny(warnings, non_snake_case)]

use farcall_macros as farcall;

#[farcall::service(crate = "farcall_core")]
trait Calc {
    #[expect(non_snake_case, reason = "the formula has it so")]
    async fn force(&self, M: f64, a: f64) -> f64;
}

#[farcall::service(crate = "farcall_core")]
#[allow(non_snake_case)]
trait Other {
    async fn energy(&self, M: f64) -> f64;
}

struct Both;

impl Calc for Both {
    async fn force(&self, mass: f64, a: f64) -> f64 {
        mass * a
    }
}

impl Other for Both {
    async fn energy(&self, mass: f64) -> f64 {
        mass * 299_792_458.0 * 299_792_458.0
    }
}

fn main() {
    drop((CalcServer::new(Both), OtherServer::new(Both)));
}
