use farcall_macros as farcall;

#[farcall::service(crate = "farcall_core")]
trait Calc {
    fn add(&self, a: i64, b: i64) -> i64;
    async unsafe fn sub(&self, a: i64, b: i64) -> i64;
    async extern "C" fn mul(&self, a: i64, b: i64) -> i64;
    async fn fine(&self, a: i64) -> i64;
}

#[farcall::service(crate = "farcall_core")]
trait Constant {
    const fn zero(&self) -> i64;
}

struct Calculator;

impl Calc for Calculator {
    fn add(&self, a: i64, b: i64) -> i64 {
        a + b
    }
    async unsafe fn sub(&self, a: i64, b: i64) -> i64 {
        a - b
    }
    async extern "C" fn mul(&self, a: i64, b: i64) -> i64 {
        a * b
    }
    async fn fine(&self, a: i64) -> i64 {
        a
    }
}

fn main() {
    // What is right is there all the same.
    let _ = CalcServer::new(Calculator);
    let _ = |calc: CalcClient| calc.fine(1);
}
