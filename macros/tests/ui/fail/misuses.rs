use std::cell::Cell;
use std::rc::Rc;

use farcall_macros as farcall;

#[farcall::service(crate = "farcall_core")]
trait Calc {
    async fn add(&self, a: i64, b: i64) -> i64;
}

struct Held(Rc<Cell<i64>>);

impl Calc for Held {
    async fn add(&self, a: i64, b: i64) -> i64 {
        a + b + self.0.get()
    }
}

struct Other;

async fn calls(calc: CalcClient) {
    let _ = calc.add("1", 2).await;
    let _: i64 = calc.add(1, 2).await;
    let _ = CalcServer::new(Held(Rc::new(Cell::new(0))));
    let _ = CalcServer::new(Other);
}

fn main() {}
