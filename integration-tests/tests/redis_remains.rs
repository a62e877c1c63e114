//! What lies in a broker: what is pending, and nothing for longer than it may take somebody to come back.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use farcall::{Client, Node};
use farcall_integration_tests::{RedisServer, RedisWorld, until, wait_until};
use farcall_testkit::{Options, Remote, SERVICE};
use futures::StreamExt;
use futures::future::join_all;

/// How long keys live, at most, if nobody renews them.
const KEPT: Duration = Duration::from_secs(60);

/// All keys that live for longer than they may.
fn lasting(broker: &RedisServer) -> Vec<String> {
    let look = "local found = {}
        for _, key in ipairs(redis.call('KEYS', '*')) do
            local left = redis.call('PTTL', key)
            if left < 0 or left > tonumber(ARGV[1]) then table.insert(found, key .. ' ' .. left) end
        end
        return found";
    broker.ask(&["EVAL", look, "0", &KEPT.as_millis().to_string()])
}

/// The streams that hold something, and how much.
fn held(broker: &RedisServer) -> Vec<(String, u64)> {
    let keys: Vec<String> = broker.ask(&["KEYS", "farcall:*"]);
    let streams = keys
        .into_iter()
        .filter(|key| key.ends_with(":q") || key.ends_with(":n") || key.contains(":in:"));
    let lengths = streams.map(|key| {
        let length = broker.ask(&["XLEN", &key]);
        (key, length)
    });
    lengths.filter(|(_, length)| *length > 0).collect()
}

async fn load(contract: &Client) {
    let adds = async {
        for number in 0..400 {
            assert_eq!(contract.call::<i64>("add", (number, 1)).await.unwrap(), number + 1);
        }
    };
    let nested = async {
        for _ in 0..100 {
            assert_eq!(contract.call::<u32>("through", (1,)).await.unwrap(), 1);
        }
    };
    let streams = async {
        for _ in 0..20 {
            assert_eq!(contract.stream::<u64>("count", (500,)).count().await, 500);
        }
    };
    futures::join!(adds, nested, streams);
}

async fn many(world: &RedisWorld) -> Vec<Node> {
    let nodes = join_all((0..4).map(|_| world.client())).await;
    join_all(nodes.iter().map(async |node| load(&node.client(SERVICE)).await)).await;
    nodes
}

#[farcall::test]
async fn after_load_nothing_is_held() {
    let world = RedisWorld::new(env!("CARGO_BIN_EXE_contract-server"));
    let _servers = ["a", "b"].map(|id| world.spawn(&Options::new(id)));
    let _nodes = many(&world).await;
    let mut last = Vec::new();
    let began = std::time::Instant::now();
    until("streams are trimmed", async || {
        last = held(world.broker());
        // A running broker may keep a few that were just read.
        last.is_empty() || began.elapsed() > Duration::from_secs(20)
    })
    .await;
    assert!(last.is_empty(), "{last:?}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn every_key_has_an_end_at_all_times() {
    let world = RedisWorld::new(env!("CARGO_BIN_EXE_contract-server"));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut looks = 0;
            while !is_over.load(Ordering::Relaxed) {
                let found = lasting(world.broker());
                assert!(found.is_empty(), "{found:?}");
                looks += 1;
            }
            looks
        });
        // The watcher's thread ends by this also where the test fails.
        struct Over<'a>(&'a AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        {
            let _over = Over(&is_over);
            farcall::block_on(async {
                for _ in 0..2 {
                    let mut servers = ["a", "b"].map(|id| world.spawn(&Options::new(id)));
                    let nodes = many(&world).await;
                    servers[0].kill();
                    let left = &nodes[0];
                    until("the dead one is gone", async || {
                        left.servers(SERVICE).await.unwrap().len() < 2
                    })
                    .await;
                    for node in nodes {
                        node.close().await;
                    }
                    let mut servers = servers.into_iter();
                    drop(servers.next());
                    let mut last = servers.next().unwrap();
                    tokio::task::spawn_blocking(move || last.stop()).await.unwrap();
                }
            });
        }
        assert!(watcher.join().unwrap() > 100);
    });
}

#[farcall::test]
async fn nothing_but_sums_is_left_by_those_who_leave() {
    let world = RedisWorld::new(env!("CARGO_BIN_EXE_contract-server"));
    let servers = ["a", "b"].map(|id| world.spawn(&Options::new(id)));
    for node in many(&world).await {
        node.close().await;
    }
    for mut server in servers {
        assert!(tokio::task::spawn_blocking(move || server.stop()).await.unwrap().success());
    }
    let left: Vec<String> = world.broker().ask(&["KEYS", "*"]);
    let inboxes = left.iter().filter(|key| key.contains(":in:")).count();
    assert_eq!((held(world.broker()), inboxes), (Vec::new(), 0), "{left:?}");
    let lasting = lasting(world.broker());
    assert!(lasting.is_empty(), "{lasting:?}");
}

#[test]
fn what_is_left_by_those_who_are_killed_has_an_end() {
    let world = RedisWorld::new(env!("CARGO_BIN_EXE_contract-server"));
    let mut servers = ["a", "b"].map(|id| world.spawn(&Options::new(id)));
    let program = env!("CARGO_BIN_EXE_contract-client");
    let mut client = world.spawn_client(program, &Options::new("client"), &["drink", "8", "10000"]);
    assert_eq!(client.line(), "first");
    client.kill();
    servers.iter_mut().for_each(Remote::kill);
    wait_until("something is left", || {
        !world.broker().ask::<Vec<String>>(&["KEYS", "*"]).is_empty()
    });
    let lasting = lasting(world.broker());
    assert!(lasting.is_empty(), "{lasting:?}");
}
