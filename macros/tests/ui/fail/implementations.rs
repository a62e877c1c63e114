use farcall_macros as farcall;

#[farcall::service(crate = "farcall_core")]
trait Calc {
    async fn add(&self, a: i64, b: i64) -> i64;
    async fn reset(&self);
}

struct Missing;

impl Calc for Missing {
    async fn add(&self, a: i64, b: i64) -> i64 {
        a + b
    }
}

struct Different;

impl Calc for Different {
    async fn add(&self, a: i64, b: f64) -> i64 {
        a + b as i64
    }
    async fn reset(&self) -> u8 {
        0
    }
}

fn main() {}
