//! Calls the calculator of `calc_server`, whichever process that is.
//!
//!     cargo run --example calc_client

use std::time::Duration;

use farcall::prelude::*;

/// What this program needs of the service: the methods it calls.
#[farcall::service]
trait Calc {
    async fn add(&self, a: i64, b: i64) -> i64;
    async fn div(&self, a: f64, b: f64) -> Result<f64, CalcError>;
    #[farcall(idempotent)]
    async fn whoami(&self) -> String;
}

#[farcall::data]
#[derive(Debug)]
enum CalcError {
    DivisionByZero,
}

impl std::fmt::Display for CalcError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("division by zero")
    }
}

#[farcall::main]
async fn main() -> farcall::Result<()> {
    let node = Node::open().await?;
    let calc = CalcClient::new(&node);

    println!("1 + 2 = {}", calc.add(1, 2).await?);
    println!("1 / 4 = {}", calc.div(1.0, 4.0).timeout(Duration::from_secs(1)).await?);
    match calc.div(1.0, 0.0).await {
        Err(MethodError::Returned(error)) => println!("1 / 0 = {error} ({error:?})"),
        other => println!("1 / 0 = {other:?}?"),
    }
    println!("answered by server `{}`", calc.whoami().await?);
    Ok(())
}
