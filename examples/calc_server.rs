//! A calculator that other processes call. Start it as often as you like: every start is one more
//! server, and clients share their calls among them.
//!
//!     cargo run --example calc_server
//!
//! Then call it with `cargo run --example calc_client`, or with `farcall call calc add 1 2`.

use std::io::Write;
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
    /// Works for `ms` milliseconds, and survives the death of its server meanwhile. Returns who did it, in
    /// which attempt. With `CALC_EFFECTS` set to a file, each attempt that gets to its end adds a line
    /// there: token, attempt and name, by which the file's reader can tell attempts of one task apart.
    #[farcall(recoverable)]
    async fn report(&self, ctx: &Context, name: &str, ms: u64) -> Result<String, String>;
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

    async fn report(&self, ctx: &Context, name: &str, ms: u64) -> Result<String, String> {
        const STEPS: u32 = 10;
        for step in 0..STEPS {
            let percent = step * 100 / STEPS;
            ctx.progress(&percent).map_err(|error| error.to_string())?;
            tokio::time::sleep(Duration::from_millis(ms) / STEPS).await;
        }
        let task = ctx.task().ok_or("it is recoverable, so this is a task")?;
        let (token, attempt) = (task.token(), task.attempt());
        if let Some(path) = std::env::var_os("CALC_EFFECTS") {
            let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
            // One write, so that lines of several servers do not mix.
            let line = format!("{token} {attempt} {name}\n");
            let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
            written.map_err(|error| error.to_string())?;
        }
        Ok(format!("{name}, by {} in attempt {attempt}", ctx.server_id()))
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
