//! Three servers are restarted one after the other under load.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::Path;

use farcall::{Bytes, CallError, Client, Event, Node};
use farcall_integration_tests::{Process, SCENARIO, UnixWorld};
use farcall_testkit::Options;
use futures::future::{join, join_all, join3};
use futures::stream::{self, StreamExt};
use tokio::sync::watch;

const SERVERS: [&str; 3] = ["a", "b", "c"];

/// How many calls and streams are under way at any time.
const CALLERS: u64 = 12;
const STREAMS: u64 = 4;

/// How much happens between two restarts.
const BETWEEN: u64 = 300;

/// More than a window, so that a stream needs its server for some time.
const ITEMS: usize = 40;
const ITEM: usize = 16 << 10;

#[farcall::test]
async fn a_rolling_restart_under_load_loses_no_call_and_repeats_none() {
    let world = UnixWorld::new(env!("CARGO_BIN_EXE_scenario-server"));
    let orders = world.path().join("orders");
    let node = world.client().await;
    let load = Load::new(node.client(SCENARIO));

    let (servers, _, _) = join3(
        async {
            let servers = restart_each(&world, &node, &load).await;
            load.stop();
            servers
        },
        join_all((0..CALLERS).map(|_| load.order(&orders))),
        join_all((0..STREAMS).map(|_| load.stream())),
    )
    .await;

    assert_eq!(*load.lost.borrow(), Vec::<String>::new());
    assert_eq!(load.processes.borrow().len(), 2 * SERVERS.len(), "each took part");
    let recorded = std::fs::read_to_string(&orders).unwrap();
    let mut recorded: Vec<u64> = recorded.lines().map(|line| line.parse().unwrap()).collect();
    recorded.sort_unstable();
    assert!(recorded.into_iter().eq(0..load.orders.get()), "each order was taken once");
    for mut server in servers {
        assert!(server.stop().success());
    }
}

/// Starts three servers and restarts each, one after the other. Gives those that run in the end.
async fn restart_each(world: &UnixWorld, node: &Node, load: &Load) -> Vec<Process> {
    let mut events = node.events();
    let old: Vec<Process> = SERVERS.map(|id| world.spawn(&Options::new(id))).into();
    for _ in SERVERS {
        events.find(up).await.unwrap();
    }
    load.goes_on().await;
    let mut new = Vec::new();
    for (id, mut server) in SERVERS.into_iter().zip(old) {
        // Waiting for a process blocks its thread, and this one's is the client's.
        let stopped = tokio::task::spawn_blocking(move || server.stop());
        assert!(stopped.await.unwrap().success());
        new.push(world.spawn(&Options::new(id)));
        assert_eq!(events.find(up).await.unwrap(), id);
        load.goes_on().await;
    }
    new
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
    orders: Cell<u64>,
    processes: RefCell<BTreeSet<u32>>,
    lost: RefCell<Vec<String>>,
    /// How many calls and streams have ended.
    ended: watch::Sender<[u64; 2]>,
    stopping: Cell<bool>,
}

impl Load {
    fn new(scenario: Client) -> Self {
        Load {
            scenario,
            orders: Cell::default(),
            processes: RefCell::default(),
            lost: RefCell::default(),
            ended: watch::Sender::default(),
            stopping: Cell::default(),
        }
    }

    fn stop(&self) {
        self.stopping.set(true);
    }

    /// Makes plain calls, one after the other.
    async fn order(&self, orders: &Path) {
        while !self.stopping.get() {
            let number = self.orders.replace(self.orders.get() + 1);
            let order = self.scenario.call::<u32>("order", (orders, number)).await;
            self.note(0, order.map(|process| _ = self.processes.borrow_mut().insert(process)));
        }
    }

    /// Reads and writes streams, one after the other.
    async fn stream(&self) {
        while !self.stopping.get() {
            let items = stream::repeat(Bytes::from(vec![7; ITEM])).take(ITEMS);
            let written = self.scenario.call::<usize>("swallow", (0,)).argument_stream(items);
            let flood = self.scenario.stream::<Bytes>("flood", (ITEMS, ITEM));
            let read = flood.fold(Ok(0), |sum, item| async move { Ok(sum? + item?.len()) });
            let (written, read) = join(written, read).await;
            for bytes in [written, read] {
                self.note(1, bytes.map(|bytes| assert_eq!(bytes, ITEMS * ITEM)));
            }
        }
    }

    fn note(&self, kind: usize, outcome: Result<(), CallError>) {
        if let Err(error) = outcome {
            self.lost.borrow_mut().push(error.to_string());
        }
        self.ended.send_modify(|ended| ended[kind] += 1);
    }

    /// Waits until some more calls and streams have ended.
    async fn goes_on(&self) {
        let [calls, streams] = *self.ended.borrow();
        let mut ended = self.ended.subscribe();
        let goal = |ended: &[u64; 2]| ended[0] >= calls + BETWEEN && ended[1] >= streams + STREAMS;
        ended.wait_for(goal).await.expect("its sender is right here");
    }
}
