//! Three servers are killed at random while clients start tasks: nothing that was accepted is lost, or has two outcomes.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use farcall::{CallError, Client, Node};
use farcall_integration_tests::UnixWorld;
use farcall_testkit::{Options, Remote};
use futures::future::{join, join_all};
use tokio::sync::watch;

const SERVERS: [&str; 3] = ["a", "b", "c"];
const KILLS: usize = 50;
const WORKERS: u64 = 12;

/// How many tasks end between two kills.
const BETWEEN: usize = 15;

/// Numbers that look random, and are the same for the same seed.
struct Chance(Cell<u64>);

impl Chance {
    fn below(&self, bound: u64) -> u64 {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        x % bound
    }
}

/// What the clients were told.
#[derive(Default)]
struct History {
    /// The attempt whose outcome each task has, by its token.
    outcomes: RefCell<BTreeMap<String, BTreeSet<u64>>>,
    /// The token of each key.
    keys: RefCell<BTreeMap<String, BTreeSet<String>>>,
    accepted: RefCell<BTreeSet<String>>,
    unknown: Cell<usize>,
    ended: watch::Sender<usize>,
    stopping: Cell<bool>,
}

/// Starts tasks one after the other, every second one with a key that another worker uses too.
async fn work(worker: u64, storm: &Client, effects: &Path, history: &History, chance: &Chance) {
    for turn in 0.. {
        if history.stopping.get() {
            return;
        }
        let ms = chance.below(30);
        let key = (turn % 2 == 0).then(|| format!("{}-{turn}", worker / 2));
        // The same key has the same arguments.
        let ms = if key.is_some() { turn % 30 } else { ms };
        let mut call = storm.try_task::<u64, String>("work", (effects, ms));
        if let Some(key) = &key {
            call = call.key(key.as_str());
        }
        let task = match call.start().await {
            Ok(task) => task,
            Err(CallError::OutcomeUnknown(_)) => {
                history.unknown.set(history.unknown.get() + 1);
                continue;
            }
            // Somebody else is about to record it, or nobody is there.
            Err(CallError::Refused(_) | CallError::NotSent(_)) => continue,
            Err(error) => panic!("{error}"),
        };
        let token = task.token().to_string();
        history.accepted.borrow_mut().insert(token.clone());
        if let Some(key) = key {
            history.keys.borrow_mut().entry(key).or_default().insert(token.clone());
        }
        let attempt = task.result().await.unwrap();
        history.outcomes.borrow_mut().entry(token).or_default().insert(attempt);
        history.ended.send_modify(|ended| *ended += 1);
    }
}

async fn kill(world: &UnixWorld, history: &History, chance: &Chance) {
    let options = SERVERS.map(|id| Options::new(id));
    let mut servers = options.each_ref().map(|options| world.spawn(options));
    for _ in 0..KILLS {
        let goal = *history.ended.borrow() + BETWEEN;
        let mut ended = history.ended.subscribe();
        ended.wait_for(|ended| *ended >= goal).await.expect("its sender is right here");
        let victim = usize::try_from(chance.below(3)).expect("it is below 3");
        servers[victim].kill();
        servers[victim] = world.spawn(&options[victim]);
    }
    history.stopping.set(true);
    // All that is under way is waited for by those who have started it, while the servers are there.
    let mut ended = history.ended.subscribe();
    let all = |_: &usize| history.outcomes.borrow().len() == history.accepted.borrow().len();
    ended.wait_for(all).await.expect("its sender is right here");
    settled(&world.client().await, history).await;
}

/// At rest: every task has ended, and nothing ran more often than is recorded.
async fn settled(node: &Node, history: &History) {
    let storm = node.client("storm");
    let accepted = history.accepted.borrow().clone();
    let tasks = storm.tasks(10_000).await.unwrap();
    let found: BTreeSet<String> = tasks.iter().map(|task| task.token.clone()).collect();
    assert!(accepted.is_subset(&found), "{:?}", accepted.difference(&found).collect::<Vec<_>>());
    for task in tasks {
        let known = accepted.contains(&task.token);
        assert!(!known || task.state == "done", "{task:?}");
        assert!(task.attempts <= 1 + u64::from(task.crashes + task.interruptions), "{task:?}");
    }
}

#[farcall::test]
async fn servers_that_are_killed_at_random_lose_no_task_and_give_none_two_outcomes() {
    let given = std::env::var("STORM_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.filter(|seed| *seed != 0).unwrap_or(7);
    println!("STORM_SEED={seed}");
    let world = UnixWorld::new(env!("CARGO_BIN_EXE_storm-server"));
    let (history, chance) = (History::default(), Chance(Cell::new(seed)));
    let effects = world.path().join("effects");
    let storm = world.client().await.client("storm");
    let workers = (0..WORKERS).map(|worker| work(worker, &storm, &effects, &history, &chance));
    let whole = join(kill(&world, &history, &chance), join_all(workers));
    tokio::time::timeout(Duration::from_secs(120), whole).await.expect("it comes to an end");

    let outcomes = history.outcomes.borrow();
    assert!(outcomes.values().all(|attempts| attempts.len() == 1), "all who ask are told the same");
    assert!(history.keys.borrow().values().all(|tokens| tokens.len() == 1), "a key is one task");
    let effects = std::fs::read_to_string(effects).unwrap();
    let mut ran: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for line in effects.lines() {
        let (token, attempt) = line.split_once(' ').unwrap();
        ran.entry(token).or_default().push(attempt.parse().unwrap());
    }
    for (token, attempts) in &*outcomes {
        let (told, ran) = (attempts.first().unwrap(), &ran[&**token]);
        assert!(ran.contains(told), "{token}: what is told was done");
        assert!(
            ran.iter().all(|attempt| attempt <= told),
            "{token}: nothing runs after its outcome"
        );
        assert!(ran.is_sorted_by(|a, b| a < b), "{token}: {ran:?}");
    }
    let again = ran.values().filter(|attempts| attempts.len() > 1).count();
    let (tasks, unknown) = (outcomes.len(), history.unknown.get());
    println!(
        "{KILLS} kills, {tasks} tasks, {again} that did their work twice, {unknown} starts in doubt"
    );
}
