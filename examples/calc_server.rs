//! A calculator that other processes call. Start it as often as you like: every start is one more
//! server, and clients share their calls among them.
//!
//!     cargo run --example calc_server
//!
//! Then call it with `cargo run --example calc_client`, or with `farcall call calc add 1 2`.

use std::time::Duration;

use farcall::prelude::*;

#[farcall::service]
trait Calc {
    /// Adds two numbers.
    async fn add(&self, a: i64, b: i64) -> i64;
    /// Divides `a` by `b`.
    async fn div(&self, a: f64, b: f64) -> Result<f64, CalcError>;
    /// Waits for `ms` milliseconds, and returns their number.
    #[farcall(idempotent)]
    async fn sleep(&self, ms: u64) -> u64;
    /// Returns what it is given.
    #[farcall(idempotent)]
    async fn echo(&self, bytes: &[u8]) -> Vec<u8>;
    /// The id of the server that answers.
    #[farcall(idempotent)]
    async fn whoami(&self, ctx: &Context) -> String;
    /// Panics, to show that only its caller notices.
    async fn boom(&self);
}

#[farcall::data]
#[derive(Debug, PartialEq)]
enum CalcError {
    DivisionByZero,
}

impl std::fmt::Display for CalcError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("division by zero")
    }
}

struct Calculator;

impl Calc for Calculator {
    async fn add(&self, a: i64, b: i64) -> i64 {
        a.wrapping_add(b)
    }

    async fn div(&self, a: f64, b: f64) -> Result<f64, CalcError> {
        if b == 0.0 { Err(CalcError::DivisionByZero) } else { Ok(a / b) }
    }

    async fn sleep(&self, ms: u64) -> u64 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        ms
    }

    async fn echo(&self, bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }

    async fn whoami(&self, ctx: &Context) -> String {
        ctx.server_id().to_owned()
    }

    async fn boom(&self) {
        panic!("boom, as asked");
    }
}

#[farcall::main]
async fn main() -> farcall::Result<()> {
    let node = Node::open().await?;
    let server = node.serve(CalcServer::new(Calculator)).await?;
    eprintln!("server `{}` serves `{}`; stop it with Ctrl-C", server.id(), server.service());
    node.run().await
}
