//! The client of a storm.

use std::cell::Cell;
use std::io::BufRead;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use farcall::prelude::*;
use farcall::{Client, TaskToken};
use futures::future::{OptionFuture, join, join_all};
use tokio::sync::watch;

use super::chance::Chance;
use super::{SERVICE, TOLD, Told, Word};

/// How many tasks a client has under way.
const WORKERS: u64 = 6;

/// Of these a storm has few, since each kills its servers again and again.
const POISONS: u64 = 1;

/// Starts tasks and waits for them until it reads `stop`, then waits for those under way, and returns. It ends with
/// its standard input.
///
/// Its words are the storm's seed, and a number that is another for each client.
///
/// # Errors
/// The node does not open.
pub async fn visit() -> farcall::Result<()> {
    let mut words = std::env::args().skip(1).map(|word| word.parse().expect("a number"));
    let (seed, number): (u64, u64) =
        (words.next().expect("the seed"), words.next().expect("its number"));
    let (stop, stopping) = watch::channel(false);
    std::thread::spawn(move || {
        let mut lines = std::io::stdin().lock().lines();
        let stops = lines.next().and_then(Result::ok).is_some_and(|line| line == "stop");
        if !stops {
            std::process::exit(1);
        }
        stop.send_replace(true);
        // With the storm, however that ends.
        lines.for_each(drop);
        std::process::exit(1);
    });
    let node = Node::open().await?;
    let visitor = Visitor {
        storm: node.client(SERVICE),
        node,
        told: std::env::var_os(TOLD).expect("a file for what it is told").into(),
        stopping,
        seed,
        number,
        poisons: Cell::new(0),
    };
    let visitor = Rc::new(visitor);
    join_all((0..WORKERS).map(|worker| visitor.work(worker))).await;
    visitor.node.close().await;
    Ok(())
}

type Call = TaskCall<u64, MethodError<String>>;
type Started = Task<u64, MethodError<String>>;

struct Visitor {
    node: Node,
    storm: Client,
    told: PathBuf,
    stopping: watch::Receiver<bool>,
    seed: u64,
    number: u64,
    poisons: Cell<u64>,
}

impl Visitor {
    fn tell(&self, told: &Told) {
        told.append(&self.told).expect("it can be written");
    }

    async fn work(&self, worker: u64) {
        let chance = Chance::new(self.seed, &format!("client {} {worker}", self.number));
        for turn in 0.. {
            if *self.stopping.borrow() {
                return;
            }
            let (method, key, call) = self.call(&chance, worker, turn);
            // At once, and most likely at two servers.
            let twin =
                key.as_deref().map(|key| self.start(method, Some(key), self.keyed(key, turn)));
            let twin = OptionFuture::from(twin);
            let (task, _) = join(self.start(method, key.as_deref(), call), twin).await;
            let Some(task) = task else { continue };
            if chance.percent(3) {
                // Whether it is, its outcome says.
                let _ = task.cancel().await;
            }
            if chance.percent(30) && !*self.stopping.borrow() {
                // Somebody else's affair.
                continue;
            }
            self.wait_for(task.token()).await;
        }
    }

    /// Starts a task, and notes what came of that.
    async fn start(&self, method: &str, key: Option<&str>, call: Call) -> Option<Started> {
        let (told, task) = match call.timeout(Duration::from_secs(10)).start().await {
            Ok(task) => {
                let (token, method) = (task.token().to_string(), method.to_owned());
                (Told::Accepted { task: token, method, key: key.map(str::to_owned) }, Some(task))
            }
            Err(CallError::OutcomeUnknown(_)) => (Told::Doubt, None),
            Err(CallError::Refused(_) | CallError::NotSent(_)) => (Told::Refused, None),
            Err(error) => panic!("{error}"),
        };
        self.tell(&told);
        task
    }

    fn keyed(&self, key: &str, turn: u64) -> Call {
        self.storm.try_task("work", (turn % 20,)).key(key)
    }

    /// Waits for a task as another process would that has its token.
    async fn wait_for(&self, token: &TaskToken) {
        let task = Started::attach(&self.node, token.clone());
        loop {
            if let Some(word) = Word::of(task.result().await) {
                return self.tell(&Told::Outcome(token.to_string(), word));
            }
        }
    }

    fn call(
        &self,
        chance: &Chance,
        worker: u64,
        turn: u64,
    ) -> (&'static str, Option<String>, Call) {
        let ms = chance.of(0..30);
        let call = match chance.of(0..100) {
            // Both clients use the same keys, in about the same order.
            0..35 => {
                let key = format!("{worker}-{turn}");
                let call = self.keyed(&key, turn);
                return ("work", Some(key), call);
            }
            35..40 => {
                let call = self.storm.try_task("work", (chance.of(50..200),));
                return ("work", None, call.expires_in(Duration::from_millis(100)));
            }
            40..50 => ("stumble", self.storm.try_task("stumble", (ms, chance.of(1..3)))),
            50..55 => ("refuse", self.storm.try_task("refuse", (ms,))),
            55..58 if self.poisons.get() < POISONS => {
                self.poisons.set(self.poisons.get() + 1);
                ("poison", self.storm.try_task("poison", ()))
            }
            _ => ("work", self.storm.try_task("work", (ms,))),
        };
        (call.0, None, call.1)
    }
}
