//! Three servers are restarted one after the other while a client calls them, and no call is lost.
//!
//!     cargo run --example rolling_restart
//!
//! The servers are processes of their own: this same program, told to serve. Each is stopped as an
//! operating system or a supervisor does it, by SIGTERM. `Node::run` then drains: it takes no more
//! calls, finishes those that it has, and ends. Nothing here is repeated or marked as idempotent.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use farcall::Event;
use farcall::prelude::*;
use futures::future::{join, join_all};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// The servers' ids, which they keep over restarts.
const SERVERS: [&str; 3] = ["ann", "bob", "cy"];

/// How many calls are under way at any time.
const CALLERS: usize = 16;

/// How many calls go on between two restarts.
const BETWEEN: u64 = 500;

#[farcall::service]
trait Shop {
    /// Takes an order, which must not be taken twice. Returns who took it.
    async fn order(&self, ctx: &Context, number: u64) -> String;
}

struct Counter;

impl Shop for Counter {
    async fn order(&self, ctx: &Context, _number: u64) -> String {
        // Work that takes its time, so that a server that is stopped has some under way.
        tokio::time::sleep(Duration::from_millis(2)).await;
        format!("{}, process {}", ctx.server_id(), std::process::id())
    }
}

async fn serve() -> farcall::Result<()> {
    let node = Node::open().await?;
    node.serve(ShopServer::new(Counter)).await?;
    node.run().await
}

/// A server in a process of its own. Dropping it kills it.
struct Server(Child);

impl Server {
    fn start(id: &str, namespace: &str) -> farcall::Result<Server> {
        let child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .env("FARCALL_SERVER__ID", id)
            .env("FARCALL_NAMESPACE", namespace)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Server(child))
    }

    /// Stops it, and waits until it has ended.
    async fn stop(mut self) -> farcall::Result<()> {
        let pid = self.0.id().ok_or("it has ended by itself")?;
        let asked = Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
        let ended = self.0.wait().await?;
        if asked.success() && ended.success() {
            Ok(())
        } else {
            Err(format!("process {pid} did not end well: {ended}").into())
        }
    }
}

/// What became of the calls.
#[derive(Default)]
struct Tally {
    /// How many each process answered.
    answers: RefCell<BTreeMap<String, u64>>,
    lost: RefCell<Vec<CallError>>,
    ended: watch::Sender<u64>,
}

impl Tally {
    fn note(&self, outcome: Result<String, CallError>) {
        match outcome {
            Ok(process) => *self.answers.borrow_mut().entry(process).or_default() += 1,
            Err(error) => self.lost.borrow_mut().push(error),
        }
        self.ended.send_modify(|ended| *ended += 1);
    }

    /// Waits until this many more calls have ended.
    async fn more(&self, calls: u64) {
        let goal = *self.ended.borrow() + calls;
        let mut ended = self.ended.subscribe();
        // The sender is right here, so the wait ends by the goal only.
        let _ = ended.wait_for(|ended| *ended >= goal).await;
    }
}

/// Calls without a break until `stop` says so.
async fn call(shop: &ShopClient, tally: &Tally, caller: usize, stop: &watch::Sender<bool>) {
    for number in (caller as u64..).step_by(CALLERS) {
        if *stop.borrow() {
            return;
        }
        tally.note(shop.order(number).await);
    }
}

/// Starts the servers, and restarts each, one after the other. Gives those that run in the end.
async fn restart(node: &Node, tally: &Tally, namespace: &str) -> farcall::Result<Vec<Server>> {
    let mut events = node.events();
    let mut servers = Vec::new();
    for id in SERVERS {
        servers.push((id, Server::start(id, namespace)?));
    }
    for _ in SERVERS {
        events.find(up).await.ok_or("the node was closed")?;
    }
    println!("three servers are up");
    tally.more(BETWEEN).await;

    let mut new = Vec::new();
    for (id, old) in servers {
        print!("stopping `{id}` … ");
        old.stop().await?;
        print!("ended, and started again … ");
        new.push(Server::start(id, namespace)?);
        events.find(|event| up(event).filter(|up| up == id)).await.ok_or("the node was closed")?;
        println!("up");
        tally.more(BETWEEN).await;
    }
    Ok(new)
}

/// The id of a server that came up.
fn up(event: Event) -> Option<String> {
    match event {
        Event::ServerUp(server) => Some(server.server.into()),
        _ => None,
    }
}

async fn watch_restarts() -> farcall::Result<ExitCode> {
    let namespace = format!("rolling-restart-{}", std::process::id());
    let mut resolved = farcall::resolve()?;
    resolved.config.namespace = namespace.parse().map_err(farcall::Error::other)?;
    let node = Node::open_with(resolved.config, resolved.transport).await?;
    let (shop, tally, stop) = (ShopClient::new(&node), Tally::default(), watch::Sender::new(false));

    let callers = (0..CALLERS).map(|caller| call(&shop, &tally, caller, &stop));
    let restarts = async {
        let outcome = restart(&node, &tally, &namespace).await;
        stop.send_replace(true);
        outcome
    };
    let (servers, _) = join(restarts, join_all(callers)).await;
    for server in servers? {
        server.stop().await?;
    }

    println!("\ncalls answered by each process:");
    for (process, calls) in tally.answers.borrow().iter() {
        println!("  {process}: {calls}");
    }
    let lost = tally.lost.borrow();
    println!("calls made: {}, lost: {}", *tally.ended.borrow(), lost.len());
    for error in lost.iter().take(10) {
        println!("  {error}");
    }
    Ok(if lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[farcall::main]
async fn main() -> farcall::Result<ExitCode> {
    match std::env::args().nth(1).as_deref() {
        Some("serve") => serve().await.map(|()| ExitCode::SUCCESS),
        _ => watch_restarts().await,
    }
}
