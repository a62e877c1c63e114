//! A service that stays on its thread, and holds what no other thread may see.
#![deny(warnings)]

use std::cell::RefCell;
use std::rc::Rc;

use farcall_core::{Config, Memory, Node, Result};
use farcall_macros as farcall;

#[farcall::service(crate = "farcall_core")]
trait Counter {
    async fn next(&self) -> u64;
}

struct Shared(Rc<RefCell<u64>>);

impl Counter for Shared {
    async fn next(&self) -> u64 {
        let count = Rc::clone(&self.0);
        std::future::ready(()).await;
        *count.borrow_mut() += 1;
        *count.borrow()
    }
}

fn send<T: Send + 'static>(call: T) -> T {
    call
}

#[farcall::main(crate = "farcall_core")]
async fn main() -> Result<()> {
    let node = Node::open_with(Config::default(), Memory::new().transport()).await?;
    node.serve(CounterServer::build(|| Shared(Rc::new(RefCell::new(0))))).await?;
    let counter = CounterClient::new(&node);
    let debug = format!("{counter:?}");
    assert!(debug.starts_with("CounterClient"), "{debug}");
    assert_eq!(send(counter.next()).await?, 1);
    assert_eq!(counter.clone().next().await?, 2);
    Ok(())
}
