//! Recoverable calls on the memory transport: recorded, resumed, asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use farcall_core::config::StoreChoice;
use farcall_core::wire::Durability;
use farcall_core::{
    CallError, Config, Context, Functions, Memory, MethodError, Node, Reason, Task, TaskToken,
    block_on,
};
use futures::StreamExt;
use futures::future::join_all;
use tokio::sync::Semaphore;

/// Something that handlers wait for, and that counts how often one has begun.
#[derive(Clone, Default)]
struct Gate(Arc<Inner>);

#[derive(Default)]
struct Inner {
    begun: AtomicU32,
    starts: tokio::sync::Notify,
    permits: Permits,
}

struct Permits(Semaphore);

impl Default for Permits {
    fn default() -> Self {
        Permits(Semaphore::new(0))
    }
}

impl Gate {
    async fn pass(&self) {
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        self.0.starts.notify_waiters();
        self.0.permits.0.acquire().await.expect("it is not closed").forget();
    }

    fn open(&self, permits: usize) {
        self.0.permits.0.add_permits(permits);
    }

    fn begun(&self) -> u32 {
        self.0.begun.load(Ordering::SeqCst)
    }

    async fn until_begun(&self, count: u32) {
        loop {
            let mut started = std::pin::pin!(self.0.starts.notified());
            started.as_mut().enable();
            if self.begun() >= count {
                return;
            }
            started.await;
        }
    }
}

fn jobs(gate: &Gate) -> Functions {
    let (waits, reports, fails) = (gate.clone(), gate.clone(), gate.clone());
    Functions::new("jobs")
        .add("double", |n: i64| n * 2)
        .recoverable()
        .add("plain", |n: i64| n)
        .add("wait", move |n: i64| {
            let gate = waits.clone();
            async move {
                gate.pass().await;
                n
            }
        })
        .recoverable()
        .try_add("refuse", |text: String| Err::<i64, String>(text))
        .recoverable()
        .add("report", move |ctx: Context| {
            let gate = reports.clone();
            async move {
                ctx.progress(&"half").unwrap();
                gate.pass().await;
                let task = ctx.task().unwrap();
                (task.token().to_string(), task.attempt())
            }
        })
        .recoverable()
        .try_add("flaky", move |ctx: Context, times: u32| {
            fails.0.begun.fetch_add(1, Ordering::SeqCst);
            ctx.task().unwrap().retry_on_error();
            if ctx.task().unwrap().attempt() <= u64::from(times) { Err("not yet") } else { Ok(7) }
        })
        .recoverable()
        .add("boom", || -> i64 { panic!("on purpose") })
        .recoverable()
}

fn config(server: &str) -> Config {
    let mut config = Config::default();
    config.server.id = Some(server.parse().unwrap());
    config
}

async fn serve(memory: &Memory, server: &str, gate: &Gate) -> Node {
    let node = Node::open_with(config(server), memory.transport()).await.unwrap();
    node.serve(jobs(gate)).await.unwrap();
    node
}

async fn client(memory: &Memory) -> Node {
    Node::open_with(Config::default(), memory.transport()).await.unwrap()
}

/// One server, and a client of it.
async fn scene() -> (Memory, Gate, Node, Node) {
    let (memory, gate) = (Memory::new(), Gate::default());
    let server = serve(&memory, "a", &gate).await;
    let client = client(&memory).await;
    (memory, gate, server, client)
}

#[test]
fn a_task_is_accepted_and_gives_its_result() {
    block_on(async {
        let (_memory, _gate, _server, client) = scene().await;
        let jobs = client.client("jobs");
        assert_eq!(jobs.task::<i64>("double", (4,)).await.unwrap(), 8);
        let task = jobs.task::<i64>("double", (5,)).start().await.unwrap();
        assert_eq!(task.durability(), Some(Durability::Memory));
        assert_eq!((task.token().namespace(), task.token().service()), ("default", "jobs"));
        assert_eq!(task.result().await.unwrap(), 10);
        assert_eq!(task.result().await.unwrap(), 10, "as often as one likes");
        // Who does not know that it is recoverable gets its outcome as of any call.
        assert_eq!(jobs.call::<i64>("double", (6,)).await.unwrap(), 12);
        assert_eq!(client.counters().await.stray_frames, 0);
        assert_eq!(jobs.tasks(10).await.unwrap().len(), 3);
    });
}

#[test]
fn another_process_attaches_by_the_token() {
    block_on(async {
        let (memory, gate, _server, first) = scene().await;
        let task = first.client("jobs").task::<i64>("wait", (3,)).start().await.unwrap();
        let token: TaskToken = task.token().to_string().parse().unwrap();
        first.close().await;
        let second = client(&memory).await;
        let task = Task::<i64>::attach(&second, token);
        gate.until_begun(1).await;
        assert_eq!(task.info().await.unwrap().state, "running");
        gate.open(1);
        assert_eq!(task.result().await.unwrap(), 3);
        assert_eq!(task.info().await.unwrap().state, "done");
    });
}

#[test]
fn a_methods_own_error_is_an_outcome() {
    block_on(async {
        let (_memory, _gate, _server, client) = scene().await;
        let jobs = client.client("jobs");
        let refused = jobs.try_task::<i64, String>("refuse", ("no",));
        assert_eq!(refused.await.unwrap_err().returned().as_deref(), Some("no"));
        let task = jobs.try_task::<i64, String>("refuse", ("no",)).start().await.unwrap();
        let again = Task::<i64, MethodError<String>>::attach(&client, task.token().clone());
        assert_eq!(again.result().await.unwrap_err().returned().as_deref(), Some("no"));
        let boom = jobs.task::<i64>("boom", ()).await.unwrap_err();
        assert_eq!(boom.reason(), Reason::Panicked);
    });
}

#[test]
fn the_wait_has_a_timeout_and_the_task_has_none() {
    block_on(async {
        let (_memory, gate, _server, client) = scene().await;
        let jobs = client.client("jobs");
        let short = Duration::from_millis(50);
        let pending = jobs.task::<i64>("wait", (3,)).timeout(short).await.unwrap_err();
        assert!(matches!(pending, CallError::OutcomeUnknown(_)));
        assert_eq!(pending.reason(), Reason::Pending);
        let task = Task::<i64>::attach(&client, pending.token().unwrap().clone());
        let again = task.result().timeout(short).await.unwrap_err();
        assert_eq!((again.reason(), again.token()), (Reason::Pending, pending.token()));
        gate.open(1);
        assert_eq!(task.result().await.unwrap(), 3);
        assert_eq!(gate.begun(), 1);
    });
}

#[test]
fn dropping_a_call_or_a_task_cancels_nothing_and_cancelling_does() {
    block_on(async {
        let (_memory, gate, _server, client) = scene().await;
        let jobs = client.client("jobs");
        let mut call = Box::pin(jobs.task::<i64>("wait", (1,)).key("dropped"));
        assert!(futures::poll!(call.as_mut()).is_pending());
        gate.until_begun(1).await;
        drop(call);
        let task = jobs.task::<i64>("wait", (2,)).start().await.unwrap();
        gate.until_begun(2).await;
        assert!(task.cancel().await.unwrap());
        assert!(task.cancel().await.unwrap(), "it is");
        assert_eq!(task.result().await.unwrap_err().reason(), Reason::TaskCancelled);
        gate.open(1);
        let dropped = jobs.task::<i64>("wait", (1,)).key("dropped");
        assert_eq!(dropped.await.unwrap(), 1);
        assert_eq!(gate.begun(), 2);
        let done = jobs.task::<i64>("double", (1,)).start().await.unwrap();
        done.result().await.unwrap();
        assert!(!done.cancel().await.unwrap());
    });
}

#[test]
fn a_key_gives_one_outcome_and_takes_no_other_arguments() {
    block_on(async {
        let (_memory, gate, _server, client) = scene().await;
        let jobs = client.client("jobs");
        let first = jobs.task::<i64>("wait", (1,)).key("k").start().await.unwrap();
        let second = jobs.task::<i64>("wait", (1,)).key("k").start().await.unwrap();
        assert_eq!(first.token(), second.token());
        gate.open(1);
        let both = join_all([first.result(), second.result()]).await;
        assert!(both.into_iter().all(|result| result.unwrap() == 1));
        assert_eq!(jobs.task::<i64>("wait", (1,)).key("k").await.unwrap(), 1);
        assert_eq!(gate.begun(), 1);
        let other = jobs.task::<i64>("wait", (2,)).key("k").await.unwrap_err();
        assert_eq!(other.reason(), Reason::KeyConflict);
        assert!(matches!(other, CallError::Refused(_)));
    });
}

#[test]
fn progress_and_the_attempt_are_told() {
    block_on(async {
        let (_memory, gate, _server, client) = scene().await;
        let task = client.client("jobs").task::<(String, u64)>("report", ()).start().await.unwrap();
        gate.until_begun(1).await;
        let steps = task.poll(Duration::from_millis(1));
        let mut steps = std::pin::pin!(steps);
        loop {
            let info = steps.next().await.unwrap().unwrap();
            if info.progress.is_some() {
                break;
            }
        }
        assert_eq!(task.progress::<String>().await.unwrap().as_deref(), Some("half"));
        gate.open(1);
        let last = steps.fold(None, async |_, info| Some(info)).await.unwrap().unwrap();
        assert_eq!((&*last.state, last.attempts), ("done", 1));
        assert_eq!(task.result().await.unwrap(), (task.token().to_string(), 1));
    });
}

#[test]
fn more_tasks_than_places_wait_in_the_ledger_and_all_run() {
    block_on(async {
        let (memory, gate) = (Memory::new(), Gate::default());
        let mut few = config("a");
        few.server.concurrency = 2;
        few.server.backlog = 0;
        let server = Node::open_with(few, memory.transport()).await.unwrap();
        server.serve(jobs(&gate)).await.unwrap();
        let client = client(&memory).await;
        let jobs = client.client("jobs");
        let tasks = join_all((0..20).map(|n| jobs.task::<i64>("wait", (n,)).start())).await;
        gate.until_begun(2).await;
        assert_eq!(gate.begun(), 2);
        gate.open(100);
        for (n, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.unwrap().result().await.unwrap(), n as i64);
        }
        assert_eq!(gate.begun(), 20);
    });
}

#[test]
fn what_a_dead_server_ran_goes_on_at_another_and_whoever_waits_gets_it() {
    block_on(async {
        let (memory, gate, first, client) = scene().await;
        let jobs = client.client("jobs");
        let mut waiting = Box::pin(jobs.task::<i64>("wait", (3,)));
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        gate.until_begun(1).await;
        let _second = serve(&memory, "b", &gate).await;
        memory.cut(first.id());
        gate.until_begun(2).await;
        gate.open(2);
        assert_eq!(waiting.await.unwrap(), 3);
        let info = &jobs.tasks(1).await.unwrap()[0];
        assert_eq!((info.crashes, info.attempts), (1, 2));
    });
}

#[test]
fn a_server_that_is_stopped_lets_its_tasks_go_without_a_crash() {
    block_on(async {
        let (memory, gate, first, client) = scene().await;
        let task = client.client("jobs").task::<i64>("wait", (3,)).start().await.unwrap();
        gate.until_begun(1).await;
        let report = first.drain(Duration::ZERO).await;
        assert_eq!(report.abandoned, ["jobs.wait"]);
        first.close().await;
        let _again = serve(&memory, "a", &gate).await;
        gate.until_begun(2).await;
        gate.open(2);
        assert_eq!(task.result().await.unwrap(), 3);
        let info = task.info().await.unwrap();
        assert_eq!((info.crashes, info.interruptions, info.attempts), (0, 1, 2));
    });
}

#[test]
fn an_error_that_is_to_be_repeated_is_and_a_dead_task_may_be_tried_again() {
    block_on(async {
        let (memory, gate) = (Memory::new(), Gate::default());
        let mut stern = config("a");
        stern.ledger.failures = 2;
        let server = Node::open_with(stern, memory.transport()).await.unwrap();
        server.serve(jobs(&gate)).await.unwrap();
        let client = client(&memory).await;
        let jobs = client.client("jobs");
        assert_eq!(jobs.task::<i64>("flaky", (1,)).await.unwrap(), 7);
        let task = jobs.task::<i64>("flaky", (2,)).start().await.unwrap();
        let dead = task.result().await.unwrap_err();
        assert_eq!(dead.reason(), Reason::TaskDead);
        assert!(dead.to_string().contains("it failed 2 times"), "{dead}");
        let retry = task.retry().await.unwrap();
        assert_eq!(retry.info().await.unwrap().retry_of, Some(task.token().to_string()));
        assert_eq!(retry.result().await.unwrap_err().reason(), Reason::TaskDead);
        task.purge().await.unwrap();
        assert_eq!(task.info().await.unwrap_err().reason(), Reason::Forgotten);
        assert_eq!(task.result().await.unwrap_err().reason(), Reason::Forgotten);
    });
}

#[test]
fn a_task_expires_while_it_runs_and_its_handler_is_stopped() {
    block_on(async {
        let (_memory, gate, server, client) = scene().await;
        let jobs = client.client("jobs");
        let task = jobs.task::<i64>("wait", (1,)).expires_in(Duration::from_millis(100));
        let task = task.start().await.unwrap();
        gate.until_begun(1).await;
        assert_eq!(task.result().await.unwrap_err().reason(), Reason::TaskExpired);
        let status = client.peer(server.id()).status().await.unwrap();
        assert_eq!(status.services[0].running, 0);
    });
}

#[test]
fn what_is_not_recoverable_is_refused_as_a_task() {
    block_on(async {
        let (memory, gate, _server, client) = scene().await;
        let plain = client.client("jobs").task::<i64>("plain", (1,)).await.unwrap_err();
        assert_eq!(plain.reason(), Reason::Unsupported);
        let mut off = config("b");
        off.ledger.store = StoreChoice::Off;
        let server = Node::open_with(off, memory.transport()).await.unwrap();
        server
            .serve(Functions::new("off").add("double", |n: i64| n * 2).recoverable())
            .await
            .unwrap();
        for refused in [
            client.client("off").task::<i64>("double", (1,)).await.unwrap_err(),
            client.client("off").call::<i64>("double", (1,)).await.unwrap_err(),
        ] {
            assert_eq!(refused.reason(), Reason::Unsupported);
            assert!(refused.to_string().contains("ledger.store = \"off\""), "{refused}");
        }
        drop(gate);
    });
}

#[test]
fn streams_cannot_be_recoverable() {
    block_on(async {
        let node = client(&Memory::new()).await;
        let streams = Functions::new("s").stream("s", || futures::stream::iter([1])).recoverable();
        let error = node.serve(streams).await.unwrap_err();
        assert!(error.to_string().contains("has streams"), "{error}");
    });
}
