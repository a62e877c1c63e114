//! The master is killed under load: what becomes of the calls, and when there are calls again.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use farcall::redis::{RedisConfig, SentinelConfig};
use farcall::{CallError, Client, Event, MethodError};
use farcall_integration_tests::{Fleet, RedisCluster, RedisSentinels, SCENARIO};
use futures::future::{join_all, join5};
use tokio::sync::watch;

const SERVERS: [&str; 3] = ["a", "b", "c"];

/// How many calls of each kind are under way at any time.
const PLAIN: u64 = 12;
const LONG: u64 = 6;
const IDEMPOTENT: u64 = 8;

/// How long the long ones take: longer than anybody takes to notice, shorter than a failover.
const MS: u64 = 1000;

/// How much happens before the kill, and after calls work again.
const BETWEEN: u64 = 300;

#[farcall::test]
async fn sentinels_fail_over_under_load() {
    let sentinels = Arc::new(RedisSentinels::start());
    let nodes = sentinels.sentinels().iter().map(|it| format!("127.0.0.1:{}", it.port()));
    let sentinel = SentinelConfig {
        nodes: nodes.collect(),
        master: sentinels.name().to_owned(),
        ..SentinelConfig::default()
    };
    let config = RedisConfig { sentinel: Some(sentinel), ..RedisConfig::default() };
    let kill = move || sentinels.kill_master().kill();
    fail_over("sentinels", config, kill).await;
}

#[farcall::test]
async fn a_cluster_fails_over_under_load() {
    let cluster = Arc::new(RedisCluster::start());
    let config = RedisConfig { cluster: cluster.urls(), ..RedisConfig::default() };
    let slot = cluster.slot_of(&format!("farcall:{{default/{SCENARIO}}}:"));
    let kill = move || cluster.kill_master_of(slot).kill();
    fail_over("a cluster", config, kill).await;
}

/// Makes calls, kills the master, and sees what becomes of them.
async fn fail_over<F>(what: &str, config: RedisConfig, kill: F)
where
    F: Fn() + Send + Sync + 'static,
{
    // The lease is the default: a failover is over before it is.
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::new(env!("CARGO_BIN_EXE_scenario-server"), config);
    let node = fleet.client().await;
    let mut events = node.events();
    assert!(node.servers(SCENARIO).await.unwrap().is_empty());
    let mut servers = SERVERS.map(|id| fleet.spawn(id));
    for _ in SERVERS {
        events.find(up).await.unwrap();
    }
    let load = Load::new(node.client(SCENARIO), folder.path());
    let (kill, kept) = (Arc::new(kill), Cell::new(Duration::ZERO));
    let failing = async {
        load.goes_on().await;
        let killer = Arc::clone(&kill);
        // Finding the master blocks a thread, and this one's is the client's.
        tokio::task::spawn_blocking(move || killer()).await.unwrap();
        kept.set(load.answered_again().await);
        load.goes_on().await;
        load.stopping.set(true);
    };
    join5(
        failing,
        join_all((0..PLAIN).map(|_| load.plain())),
        join_all((0..LONG).map(|_| load.long())),
        join_all((0..IDEMPOTENT).map(|_| load.idempotent())),
        join_all((0..IDEMPOTENT).map(|_| load.long_idempotent())),
    )
    .await;

    let fates = load.fates.borrow().clone();
    println!("{what}: calls were answered again after {:?}", kept.get());
    for (kind, fates) in &fates {
        println!("{what}: {kind}: {fates:?}");
    }
    for kind in ["plain", "long"] {
        let ends: BTreeSet<&str> = fates[kind].keys().copied().collect();
        let allowed = BTreeSet::from(["value", "not sent", "outcome unknown"]);
        assert!(ends.is_subset(&allowed), "{kind}: {ends:?}");
    }
    for kind in ["idempotent", "long idempotent"] {
        assert!(fates[kind].keys().eq(&["value"]), "{kind}: {:?}", fates[kind]);
    }
    // No plain call ran twice; those that are said to have run did, and those that are said not to, did not.
    let ran: Vec<u64> = std::fs::read_to_string(&load.path)
        .unwrap()
        .lines()
        .map(|line| line.parse().unwrap())
        .collect();
    let once: BTreeSet<u64> = ran.iter().copied().collect();
    assert_eq!(ran.len(), once.len(), "a plain call ran twice");
    for (number, fate) in &*load.orders.borrow() {
        match *fate {
            "value" => assert!(once.contains(number), "{number} has a value and never ran"),
            "not sent" => assert!(!once.contains(number), "{number} was not sent and ran"),
            _ => {}
        }
    }
    node.close().await;
    for server in &mut servers {
        assert!(server.stop().success());
    }
}

/// The id of a server that came up.
fn up(event: Event) -> Option<String> {
    match event {
        Event::ServerUp(server) => Some(server.server.into()),
        _ => None,
    }
}

/// What goes on all the time, and what became of it.
struct Load {
    scenario: Client,
    /// Where plain calls are noted that run.
    path: PathBuf,
    /// Where those are noted that may run twice.
    often: PathBuf,
    next: Cell<u64>,
    /// By number of a plain call: how it ended.
    orders: RefCell<BTreeMap<u64, &'static str>>,
    fates: RefCell<BTreeMap<&'static str, BTreeMap<&'static str, u64>>>,
    /// When the last plain call began that was answered, and how many were.
    answered: watch::Sender<(Option<Instant>, u64)>,
    stopping: Cell<bool>,
}

impl Load {
    fn new(scenario: Client, folder: &Path) -> Self {
        Load {
            scenario,
            path: folder.join("orders"),
            often: folder.join("often"),
            next: Cell::default(),
            orders: RefCell::default(),
            fates: RefCell::default(),
            answered: watch::Sender::default(),
            stopping: Cell::default(),
        }
    }

    fn number(&self) -> u64 {
        self.next.replace(self.next.get() + 1)
    }

    async fn plain(&self) {
        while !self.stopping.get() {
            let (number, began) = (self.number(), Instant::now());
            let call = self.scenario.try_call::<u32, String>("order", (&self.path, number));
            let fate = fate(call.await);
            self.orders.borrow_mut().insert(number, fate);
            self.note("plain", fate);
            if fate == "value" {
                self.answered.send_modify(|(at, count)| {
                    *at = (*at).max(Some(began));
                    *count += 1;
                });
            }
        }
    }

    async fn long(&self) {
        while !self.stopping.get() {
            let number = self.number();
            let arguments = (&self.path, number, MS);
            let fate = fate(self.scenario.try_call::<(), String>("long_order", arguments).await);
            self.orders.borrow_mut().insert(number, fate);
            self.note("long", fate);
        }
    }

    async fn idempotent(&self) {
        while !self.stopping.get() {
            let sum = self.scenario.try_call::<i64, String>("add", (1, 2)).idempotent();
            self.note("idempotent", fate(sum.await));
        }
    }

    async fn long_idempotent(&self) {
        while !self.stopping.get() {
            let arguments = (&self.often, self.number(), MS);
            let call = self.scenario.try_call::<(), String>("long_order", arguments).idempotent();
            self.note("long idempotent", fate(call.await));
        }
    }

    fn note(&self, kind: &'static str, fate: &'static str) {
        *self.fates.borrow_mut().entry(kind).or_default().entry(fate).or_default() += 1;
    }

    /// Waits until some more plain calls have been answered.
    async fn goes_on(&self) {
        let goal = self.answered.borrow().1 + BETWEEN;
        let mut answered = self.answered.subscribe();
        answered.wait_for(|(_, count)| *count >= goal).await.expect("its sender is right here");
    }

    /// Waits until a call is answered that began after this moment; how long that was.
    async fn answered_again(&self) -> Duration {
        let now = Instant::now();
        let mut answered = self.answered.subscribe();
        let later = |(at, _): &(Option<Instant>, u64)| at.is_some_and(|at| at > now);
        answered.wait_for(later).await.expect("its sender is right here");
        now.elapsed()
    }
}

fn fate<T>(outcome: Result<T, MethodError<String>>) -> &'static str {
    match outcome {
        Ok(_) => "value",
        Err(MethodError::Returned(_)) => "its own error",
        Err(MethodError::Call(CallError::NotSent(_))) => "not sent",
        Err(MethodError::Call(CallError::Refused(_))) => "refused",
        Err(MethodError::Call(CallError::Failed(_))) => "failed",
        Err(MethodError::Call(CallError::OutcomeUnknown(_))) => "outcome unknown",
    }
}
