//! What happens to a broker that is in use: calls that are under way end honestly, later ones work, and nothing
//! spins meanwhile.

use std::time::Duration;

use farcall::{CallError, Client, Config, Event, Node, Reason};
use farcall_integration_tests::{PATIENCE, Process, RedisOptions, RedisServer, RedisWorld};
use farcall_testkit::{Options, SERVICE, World};
use tokio::task::JoinHandle;

const HOUR: Duration = Duration::from_secs(3600);

/// A server in a process of its own, a client, and a call between them that is running.
struct Scene {
    world: RedisWorld,
    server: Process,
    node: Node,
    contract: Client,
    running: JoinHandle<Result<(), CallError>>,
}

impl Scene {
    async fn open() -> Self {
        Scene::with(RedisServer::start()).await
    }

    async fn with(broker: RedisServer) -> Self {
        let world = RedisWorld::with(broker, env!("CARGO_BIN_EXE_contract-server"));
        let server = world.spawn(&Options::new("a"));
        let node = world.client().await;
        let contract = node.client(SERVICE);
        assert_eq!(contract.call::<i64>("add", (1, 2)).await.unwrap(), 3);
        // It ends when something is started by the name of `gate`.
        let running = contract.call::<()>("until_started", ("gate", 1)).timeout(HOUR);
        let running = tokio::task::spawn_local(running);
        let hang = tokio::task::spawn_local(contract.call::<()>("hang", ("x",)));
        contract.call::<()>("until_started", ("x", 1)).await.unwrap();
        hang.abort();
        contract.call::<()>("until_cancelled", ("x", 1)).await.unwrap();
        Scene { world, server, node, contract, running }
    }

    fn broker(&self) -> &RedisServer {
        self.world.broker()
    }

    async fn calm(&self) {
        self.world.assert_calm(&self.server).await;
    }

    /// Later calls work, and all is quiet.
    async fn goes_on(&self) {
        for _ in 0..10 {
            let sum = self.contract.call::<i64>("add", (1, 2)).wait_for_server(PATIENCE).await;
            assert_eq!(sum.unwrap(), 3);
        }
        assert_eq!(self.node.servers(SERVICE).await.unwrap().len(), 1);
        self.calm().await;
    }

    /// The call that was under way has its answer.
    async fn nothing_was_lost(self) {
        assert!(!self.running.is_finished());
        self.contract.call::<()>("block", ("gate", 0)).await.unwrap();
        self.running.await.unwrap().unwrap();
    }

    /// Nobody can tell what became of the call that was under way.
    async fn is_in_doubt(self) {
        let error = self.running.await.unwrap().unwrap_err();
        assert!(matches!(error, CallError::OutcomeUnknown(_)), "{error:?}");
        assert_eq!(error.reason(), Reason::ServerLost);
    }
}

#[farcall::test]
async fn a_broker_that_is_killed_and_started_again() {
    let scene = Scene::open().await;
    scene.broker().kill();
    scene.calm().await;
    let waiting = tokio::task::spawn_local(
        scene.contract.call::<i64>("add", (1, 2)).wait_for_server(PATIENCE).idempotent(),
    );
    scene.broker().restart();
    assert_eq!(waiting.await.unwrap().unwrap(), 3);
    scene.goes_on().await;
    scene.is_in_doubt().await;
}

#[farcall::test]
async fn a_broker_that_comes_back_with_what_it_wrote_down() {
    let scene = Scene::with(RedisOptions::new().aof().start()).await;
    scene.broker().kill();
    scene.calm().await;
    scene.broker().restart();
    scene.goes_on().await;
    scene.is_in_doubt().await;
}

#[farcall::test]
async fn a_broker_that_is_flushed() {
    let scene = Scene::open().await;
    scene.broker().command(&["FLUSHALL"]);
    scene.goes_on().await;
    scene.is_in_doubt().await;
}

#[farcall::test]
async fn a_group_that_is_destroyed() {
    let scene = Scene::open().await;
    for queue in ["q", "n"] {
        let key = format!("farcall:{{default/{SERVICE}}}:{queue}");
        assert!(scene.broker().ask::<bool>(&["XGROUP", "DESTROY", &key, "farcall"]));
    }
    let mut events = scene.node.events();
    let again = |event| matches!(event, Event::ServerUp(_)).then_some(());
    events.find(again).await.unwrap();
    scene.goes_on().await;
    scene.is_in_doubt().await;
}

#[farcall::test]
async fn scripts_that_are_forgotten() {
    let scene = Scene::open().await;
    scene.broker().command(&["SCRIPT", "FLUSH"]);
    scene.goes_on().await;
    scene.nothing_was_lost().await;
}

/// All connections of nodes.
fn disconnect(broker: &RedisServer) {
    for kind in ["normal", "pubsub"] {
        broker.command(&["CLIENT", "KILL", "TYPE", kind]);
    }
}

#[farcall::test]
async fn connections_that_are_killed() {
    let scene = Scene::open().await;
    for _ in 0..5 {
        disconnect(scene.broker());
        scene.contract.call::<i64>("add", (1, 2)).await.unwrap();
    }
    disconnect(scene.broker());
    scene.goes_on().await;
    scene.nothing_was_lost().await;
}

#[farcall::test]
async fn a_broker_that_sleeps_for_longer_than_a_lease() {
    let scene = Scene::open().await;
    let mut connection = scene.broker().connection().unwrap();
    let asleep = tokio::task::spawn_blocking(move || {
        redis::cmd("DEBUG").arg("SLEEP").arg(5).exec(&mut connection).unwrap();
    });
    asleep.await.unwrap();
    scene.goes_on().await;
    scene.nothing_was_lost().await;
}

#[farcall::test]
async fn a_broker_that_follows_another_for_a_while() {
    let scene = Scene::open().await;
    let other = RedisOptions::new().tcp().start();
    scene.broker().command(&["REPLICAOF", "127.0.0.1", &other.port().to_string()]);
    farcall_integration_tests::until("it follows", async || scene.broker().is_in_step()).await;
    scene.calm().await;
    scene.broker().command(&["REPLICAOF", "NO", "ONE"]);
    scene.goes_on().await;
    scene.is_in_doubt().await;
}

#[farcall::test]
async fn a_broker_that_is_only_read_for_a_while_and_loses_nothing() {
    let scene = Scene::open().await;
    // Nobody is there to follow, so it keeps what it has.
    scene.broker().command(&["REPLICAOF", "127.0.0.1", "1"]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    scene.calm().await;
    scene.broker().command(&["REPLICAOF", "NO", "ONE"]);
    scene.goes_on().await;
    scene.nothing_was_lost().await;
}

#[farcall::test]
async fn a_broker_without_memory() {
    let mut scene = Scene::open().await;
    let broker = scene.world.broker();
    let memory = |bytes| broker.command(&["CONFIG", "SET", "maxmemory", bytes]);
    memory("1");
    let refused = scene.contract.call::<i64>("add", (1, 2)).await.unwrap_err();
    assert_eq!(refused.reason(), Reason::Busy, "{refused:?}");
    assert!(refused.to_string().contains("maxmemory"), "{refused}");
    scene.calm().await;
    // What is under way is answered all the same.
    let server = scene.node.servers(SERVICE).await.unwrap()[0].peer;
    scene.contract.at(server).call::<()>("block", ("gate", 0)).await.unwrap();
    (&mut scene.running).await.unwrap().unwrap();
    memory("0");
    assert_eq!(scene.contract.call::<i64>("add", (1, 2)).await.unwrap(), 3);
}

#[farcall::test]
async fn a_wrong_password_is_told_at_once() {
    let broker = RedisOptions::new().tcp().password("right").start();
    let world = RedisWorld::with(broker, env!("CARGO_BIN_EXE_contract-server"));
    let mut config = world.config();
    config.url = format!("redis://:wrong@127.0.0.1:{}", world.broker().port());
    let transport = Box::new(farcall::redis::Redis::new(config));
    let error = Node::open_with(Config::default(), transport).await.unwrap_err().to_string();
    assert!(error.contains("password") && !error.contains("wrong@"), "{error}");
}

#[farcall::test]
async fn a_password_that_is_changed() {
    let scene = Scene::with(RedisOptions::new().tcp().password("right").start()).await;
    let change = |password| scene.broker().command(&["CONFIG", "SET", "requirepass", password]);
    change("another");
    disconnect(scene.broker());
    tokio::time::sleep(Duration::from_secs(3)).await;
    scene.calm().await;
    change("right");
    scene.goes_on().await;
    scene.nothing_was_lost().await;
}

#[farcall::test]
async fn a_broker_that_comes_after_all_others() {
    let world = RedisWorld::new(env!("CARGO_BIN_EXE_contract-server"));
    world.broker().kill();
    let server = world.spawn(&Options::new("a"));
    let node = Node::open_with(Config::default(), world.transport()).await.unwrap();
    let call = node.client(SERVICE).call::<i64>("add", (1, 2)).wait_for_server(PATIENCE);
    let waiting = tokio::task::spawn_local(call.timeout(PATIENCE));
    world.assert_calm(&server).await;
    world.broker().restart();
    assert_eq!(waiting.await.unwrap().unwrap(), 3);
}
