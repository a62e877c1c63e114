#![deny(unused_must_use, deprecated)]

use farcall_macros as farcall;

#[farcall::service(crate = "farcall_core")]
trait Calc {
    async fn add(&self, a: i64, b: i64) -> i64;
    #[deprecated = "use `add`"]
    async fn plus(&self, a: i64, b: i64) -> i64;
}

struct Calculator;

impl Calc for Calculator {
    async fn add(&self, a: i64, b: i64) -> i64 {
        a + b
    }
    async fn plus(&self, a: i64, b: i64) -> i64 {
        a + b
    }
}

async fn calls(calc: CalcClient) {
    calc.add(1, 2);
    let _ = calc.plus(1, 2).await;
    CalcServer::new(Calculator);
}

fn main() {}
