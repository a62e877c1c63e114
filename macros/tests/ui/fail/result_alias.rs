use farcall_macros as farcall;

type Fallible<T> = Result<T, String>;
type Outcome = std::result::Result<(), String>;

mod own {
    pub type Result = std::result::Result<u8, String>;
}

#[farcall::service(crate = "farcall_core")]
trait Calc {
    async fn div(&self, a: f64, b: f64) -> Fallible<f64>;
    async fn reset(&self) -> Outcome;
    async fn last(&self) -> own::Result;
    async fn fine(&self) -> Option<Outcome>;
}

fn main() {}
