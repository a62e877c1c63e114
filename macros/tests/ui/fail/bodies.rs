use farcall_macros as farcall;

#[farcall::service(crate = "farcall_core")]
trait Calc {
    async fn add(&self, a: i64, b: i64) -> i64 {
        a + b
    }
    #[cfg(unix)]
    async fn only_here(&self);
}

struct Calculator;

impl Calc for Calculator {
    async fn only_here(&self) {}
}

fn main() {}
