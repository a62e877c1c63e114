//! The whole of it in one file: this program starts two servers, which are processes of their own,
//! and calls them.
//!
//!     cargo run --example quickstart

use std::collections::BTreeMap;
use std::process::{Child, Command};

use farcall::prelude::*;

#[farcall::service]
trait Calc {
    /// Adds two numbers.
    async fn add(&self, a: i64, b: i64) -> i64;
    /// Divides `a` by `b`.
    async fn div(&self, a: f64, b: f64) -> Result<f64, CalcError>;
    /// The id of the server that answers. Asking twice does no harm.
    #[farcall(idempotent)]
    async fn whoami(&self, ctx: &Context) -> String;
}

#[farcall::data]
#[derive(Debug)]
enum CalcError {
    DivisionByZero { dividend: f64 },
}

impl std::fmt::Display for CalcError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let CalcError::DivisionByZero { dividend } = self;
        write!(f, "{dividend} cannot be divided by zero")
    }
}

struct Calculator;

impl Calc for Calculator {
    async fn add(&self, a: i64, b: i64) -> i64 {
        a + b
    }

    async fn div(&self, a: f64, b: f64) -> Result<f64, CalcError> {
        if b == 0.0 { Err(CalcError::DivisionByZero { dividend: a }) } else { Ok(a / b) }
    }

    async fn whoami(&self, ctx: &Context) -> String {
        ctx.server_id().to_owned()
    }
}

async fn serve() -> farcall::Result<()> {
    let node = Node::open().await?;
    node.serve(CalcServer::new(Calculator)).await?;
    node.run().await
}

async fn call(namespace: &str) -> farcall::Result<()> {
    let mut servers = [Server::start("ann", namespace)?, Server::start("bob", namespace)?];

    // The same configuration as the servers have, in the namespace of this run.
    let mut resolved = farcall::resolve()?;
    resolved.config.namespace = namespace.parse().map_err(farcall::Error::other)?;
    println!("calls travel over `{}`", resolved.config.transport);
    let node = Node::open_with(resolved.config, resolved.transport).await?;
    let calc = CalcClient::new(&node);

    println!("\ntyped calls:");
    println!("  add(1, 2) = {}", calc.add(1, 2).await?);
    println!("  div(1.0, 8.0) = {}", calc.div(1.0, 8.0).await?);

    println!("\na typed error arrives as what it was:");
    match calc.div(1.0, 0.0).await {
        Err(MethodError::Returned(error)) => println!("  div(1.0, 0.0): {error:?}: {error}"),
        other => return Err(format!("a division by zero gave {other:?}").into()),
    }

    println!("\ntwo servers share the load:");
    let mut events = node.events();
    while node.servers("calc").await?.len() < 2 {
        events.next().await;
    }
    println!("  100 calls were answered by {:?}", count(&calc).await?);

    println!("\none is killed with SIGKILL, and the calls go on:");
    servers[0].kill()?;
    println!("  100 calls were answered by {:?}", count(&calc).await?);
    Ok(())
}

/// A hundred calls, and how many of them each server answered.
async fn count(calc: &CalcClient) -> farcall::Result<BTreeMap<String, usize>> {
    let mut answers = BTreeMap::new();
    for _ in 0..100 {
        *answers.entry(calc.whoami().await?).or_default() += 1;
    }
    Ok(answers)
}

/// A server in a process of its own: this same program, told to serve.
struct Server(Child);

impl Server {
    fn start(id: &str, namespace: &str) -> farcall::Result<Server> {
        let child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .env("FARCALL_SERVER__ID", id)
            .env("FARCALL_NAMESPACE", namespace)
            .spawn()?;
        println!("started server `{id}`, process {}", child.id());
        Ok(Server(child))
    }

    fn kill(&mut self) -> farcall::Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be dead already; there is nobody to tell either way.
        let _ = self.kill();
    }
}

#[farcall::main]
async fn main() -> farcall::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("serve") => serve().await,
        _ => call(&format!("quickstart-{}", std::process::id())).await,
    }
}
