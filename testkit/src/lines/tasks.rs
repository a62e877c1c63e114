//! Lines 18 to 21: tasks survive their servers.

use std::time::{Duration, Instant};

use farcall_core::{CallError, Client, Event, Functions, Node, Reason, Task};
use futures::future::join_all;

use crate::world::client;
use crate::{Options, TASKS, World};

/// How the names of these lines begin.
pub(super) const LINES: [&str; 4] = ["line_18", "line_19", "line_20", "line_21"];

/// Where no tasks are recorded, their methods are refused, and say so.
pub(super) async fn are_refused(world: &dyn World) {
    let node = client(world).await;
    let service = Functions::new("recoverable").add("add", |a: i64, b: i64| a + b).recoverable();
    node.serve(service).await.unwrap();
    let caller = client(world).await;
    let refused = caller.client("recoverable").task::<i64>("add", (1, 2)).await.unwrap_err();
    assert!(matches!(refused, CallError::Refused(_)), "{refused:?}");
    assert_eq!(refused.reason(), Reason::Unsupported);
}

/// Waits until a task runs.
async fn until_runs<T>(task: &Task<T>, attempts: u64) {
    loop {
        let info = task.info().await.unwrap();
        if (&*info.state, info.attempts) == ("running", attempts) {
            return;
        }
        assert!(!info.is_ended(), "{info:?}");
        tokio::task::yield_now().await;
    }
}

/// Waits for a server of this id, of which the node has not been told yet.
async fn until_up(node: &Node, id: &str) {
    let mut events = node.events();
    let is_there = |server: &farcall_core::ServerInfo| server.server == id;
    if node.servers(TASKS).await.unwrap().iter().any(is_there) {
        return;
    }
    let up = events.find(|event| match event {
        Event::ServerUp(server) if server.service == TASKS && server.server == id => Some(()),
        _ => None,
    });
    up.await.expect("the node is open");
}

/// What `accepted` says is true: whatever was accepted is there when its server was killed and is back, and each task
/// has one outcome, the same for all who ask.
pub async fn line_18_an_accepted_task_is_recorded_and_has_one_outcome(world: &dyn World) {
    let options = Options::new("a").with_tasks();
    let mut server = world.start(&options);
    let node = client(world).await;
    let tasks = node.client(TASKS);
    let sums = join_all((0..20).map(|n| tasks.task::<i64>("add", (n, 1)).start())).await;
    let hanging = join_all((0..5).map(|_| tasks.task::<u64>("hang_once", ()).start())).await;
    let refused = tasks.try_task::<(), String>("refuse", ("no",)).start().await.unwrap();
    let sums: Vec<_> = sums.into_iter().map(Result::unwrap).collect();
    let hanging: Vec<_> = hanging.into_iter().map(Result::unwrap).collect();
    let durability = world.tasks().expect("it records tasks");
    assert!(sums.iter().all(|task| task.durability() == Some(durability)));
    for task in &hanging {
        until_runs(task, 1).await;
    }
    for task in &sums {
        task.result().await.unwrap();
    }
    server.kill();
    let _again = world.start(&options);
    let other = client(world).await;
    for (n, task) in (0..).zip(&sums) {
        assert_eq!(task.result().await.unwrap(), n + 1);
        let same = Task::<i64>::attach(&other, task.token().clone());
        assert_eq!(same.result().await.unwrap(), n + 1);
        assert_eq!(task.info().await.unwrap().attempts, 1, "one that has ended does not run again");
    }
    for task in &hanging {
        assert_eq!(task.result().await.unwrap(), 2);
    }
    assert_eq!(refused.result().await.unwrap_err().returned().as_deref(), Some("no"));
    let all = tasks.tasks(100).await.unwrap();
    assert_eq!(all.len(), 26);
    assert!(all.iter().all(|task| task.is_ended()), "{all:?}");
}

/// A server that was killed and is back resumes what it ran in under a second; one that stays away is taken over from in
/// the time that its world takes. Whoever waits gets the outcome and knows nothing of it.
pub async fn line_19_tasks_of_a_dead_server_resume_when_it_is_back_or_at_another(
    world: &dyn World,
) {
    let options = Options::new("a").with_tasks();
    let mut server = world.start(&options);
    let node = client(world).await;
    let tasks = node.client(TASKS);
    let task = tasks.task::<u64>("hang_once", ()).start().await.unwrap();
    until_runs(&task, 1).await;
    let mut events = node.events();
    server.kill();
    let mut again = world.start(&options);
    let up = |event| match event {
        Event::ServerUp(server) if server.service == TASKS => Some(Instant::now()),
        _ => None,
    };
    let up = events.find(up).await.expect("the node is open");
    assert_eq!(task.result().await.unwrap(), 2);
    assert!(up.elapsed() < Duration::from_secs(1), "{:?}", up.elapsed());

    let task = tasks.task::<u64>("hang_once", ()).start().await.unwrap();
    until_runs(&task, 1).await;
    let waits = tokio::task::spawn_local({
        let task = Task::<u64>::attach(&node, task.token().clone());
        async move { task.result().await }
    });
    let _other = world.start(&Options::new("b").with_tasks());
    until_up(&node, "b").await;
    again.kill();
    let gone = Instant::now();
    assert_eq!(waits.await.unwrap().unwrap(), 2);
    assert!(gone.elapsed() < world.takeover(), "{:?}", gone.elapsed());
    assert_eq!(task.info().await.unwrap().crashes, 1);
}

async fn who(tasks: &Client, key: &str) -> (String, u64) {
    let who = tasks.task::<Option<(String, u64)>>("who", (key,)).key(key);
    who.await.unwrap().expect("it is a task")
}

/// A key gives the same outcome again and again, from whichever server, also after all were killed; with other arguments
/// it is refused.
pub async fn line_20_one_key_is_one_task_with_one_outcome(world: &dyn World) {
    let options = ["a", "b"].map(|id| Options::new(id).with_tasks());
    let mut servers = options.each_ref().map(|options| world.start(options));
    let node = client(world).await;
    let tasks = node.client(TASKS);
    for id in ["a", "b"] {
        until_up(&node, id).await;
    }
    let first = who(&tasks, "one").await;
    assert_eq!(first.1, 1);
    for again in join_all((0..20).map(|_| who(&tasks, "one"))).await {
        assert_eq!(again, first);
    }
    assert_ne!(who(&tasks, "two").await.0, first.0);
    for _ in 0..4 {
        let other = tasks.task::<Option<(String, u64)>>("who", ("x",)).key("one").await;
        assert_eq!(other.unwrap_err().reason(), Reason::KeyConflict);
    }
    servers.iter_mut().for_each(|server| server.kill());
    let _servers = options.each_ref().map(|options| world.start(options));
    assert_eq!(who(&tasks, "one").await, first);
    for id in ["a", "b"] {
        until_up(&node, id).await;
    }
    assert_eq!(tasks.tasks(100).await.unwrap().len(), 2);
}

/// A task that is there whenever its server dies ends as a dead letter after three times, and can be looked at; those
/// that were there by chance end well.
pub async fn line_21_a_task_that_kills_its_servers_dies_alone(world: &dyn World) {
    let options = Options::new("a").with_tasks();
    let mut server = world.start(&options);
    let node = client(world).await;
    let tasks = node.client(TASKS);
    let poison = tasks.task::<()>("hang", ()).start().await.unwrap();
    let others = join_all((0..3).map(|_| tasks.task::<u64>("hang_once", ()).start())).await;
    let others: Vec<_> = others.into_iter().map(Result::unwrap).collect();
    for task in &others {
        until_runs(task, 1).await;
    }
    for attempt in 1..=3 {
        until_runs(&poison, attempt).await;
        server.kill();
        server = world.start(&options);
    }
    let dead = poison.result().await.unwrap_err();
    assert_eq!(dead.reason(), Reason::TaskDead);
    assert!(dead.to_string().contains("its server died 3 times"), "{dead}");
    let info = poison.info().await.unwrap();
    assert_eq!((&*info.state, info.crashes, info.attempts), ("dead", 3, 3));
    for task in &others {
        assert_eq!(task.result().await.unwrap(), 2);
    }
    assert_eq!(tasks.task::<i64>("add", (1, 2)).await.unwrap(), 3);
}
