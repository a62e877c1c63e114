//! A client of the contract service, for tests that need one in a process of its own. It takes the transport from its
//! configuration, and what to do from its words:
//!
//! - `calls COUNT`: makes so many idempotent calls, 50 at a time. Says `half` in the middle, then what went wrong, then
//!   `done`.
//! - `drink COUNT SIZE`: keeps so many calls under way, each of which gives it so many bytes. Says `first` at the first
//!   answer.
//! - `clog COUNT SIZE`: the same, and blocks its thread for good at the first answer.

use std::cell::Cell;
use std::future::ready;

use farcall::prelude::*;
use farcall::{Bytes, Client};
use farcall_testkit::SERVICE;
use futures::future::join_all;
use futures::stream::{self, StreamExt};

#[farcall::main]
async fn main() -> farcall::Result<()> {
    farcall_integration_tests::end_with_parent();
    let node = Node::open().await?;
    let contract = node.client(SERVICE);
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| words[at].parse::<usize>().expect("a number");
    match &*words[0] {
        "calls" => calls(&contract, number(1)).await,
        "drink" => drink(&contract, number(1), number(2), false).await,
        "clog" => drink(&contract, number(1), number(2), true).await,
        other => panic!("what is `{other}`?"),
    }
    node.close().await;
    Ok(())
}

async fn calls(contract: &Client, count: usize) {
    let one = async |number: usize| {
        if number == count / 2 {
            println!("half");
        }
        let number = number as u64;
        match contract.call::<u64>("add", (number, 1)).idempotent().await {
            Ok(sum) if sum == number + 1 => {}
            other => println!("{number}: {other:?}"),
        }
    };
    stream::iter(0..count).map(one).buffer_unordered(50).for_each(ready).await;
    println!("done");
}

async fn drink(contract: &Client, count: usize, size: usize, clogs: bool) {
    let has_drunk = Cell::new(false);
    let one = async |_| loop {
        let drunk = contract.call::<Bytes>("large", (size,)).await;
        if drunk.is_ok() && !has_drunk.replace(true) {
            println!("first");
            if clogs {
                loop {
                    std::thread::park();
                }
            }
        }
    };
    join_all((0..count).map(one)).await;
}
