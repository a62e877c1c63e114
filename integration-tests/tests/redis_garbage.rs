//! Somebody writes into our keys what does not belong there: nobody crashes or spins, and once it is removed all goes on.

use std::time::Duration;

use farcall::{Client, Node};
use farcall_integration_tests::{PATIENCE, Process, RedisWorld, until};
use farcall_testkit::{Options, SERVICE};

struct Scene {
    world: RedisWorld,
    server: Process,
    node: Node,
    contract: Client,
}

impl Scene {
    async fn open() -> Self {
        let world = RedisWorld::new(env!("CARGO_BIN_EXE_contract-server"));
        let server = world.spawn(&Options::new("a"));
        let node = world.client().await;
        let contract = node.client(SERVICE);
        let scene = Scene { world, server, node, contract };
        scene.goes_on().await;
        scene
    }

    fn command(&self, words: &[&str]) -> redis::Value {
        self.world.broker().command(words)
    }

    /// All keys of the service, with their types.
    fn keys(&self) -> Vec<(String, String)> {
        let keys: Vec<String> = self.world.broker().ask(&["KEYS", "farcall:*"]);
        let kind = |key: String| {
            let kind = self.world.broker().ask(&["TYPE", &key]);
            (key, kind)
        };
        keys.into_iter().map(kind).collect()
    }

    /// Calls end, whichever way, while nothing spins.
    async fn stands_it(&self) {
        let call = self.contract.call::<i64>("add", (1, 2)).timeout(Duration::from_secs(1));
        let (ended, ()) = futures::join!(call, self.world.assert_calm(&self.server));
        drop(ended);
    }

    /// Calls work, after a while.
    async fn goes_on(&self) {
        until("calls work", async || {
            let call = self.contract.call::<u32>("through", (1,)).wait_for_server(PATIENCE);
            call.timeout(Duration::from_secs(3)).await.is_ok()
        })
        .await;
        // Some may notice only now that they are no members any more.
        until("the server is listed", async || {
            self.node.servers(SERVICE).await.is_ok_and(|servers| servers.len() == 1)
        })
        .await;
    }
}

#[farcall::test]
async fn keys_of_the_wrong_type() {
    let scene = Scene::open().await;
    let mut names: Vec<String> = scene.keys().into_iter().map(|(key, _)| key).collect();
    names.sort_unstable();
    names.retain(|key| !key.contains(":in:"));
    for key in names {
        eprintln!("{key} holds something else");
        scene.command(&["SET", &key, "something else"]);
        scene.stands_it().await;
        scene.command(&["DEL", &key]);
        scene.goes_on().await;
    }
    for (key, _) in scene.keys().into_iter().filter(|(key, _)| key.contains(":in:")) {
        eprintln!("{key} holds something else");
        scene.command(&["SET", &key, "something else"]);
        scene.stands_it().await;
        scene.command(&["DEL", &key]);
        scene.goes_on().await;
    }
}

#[farcall::test]
async fn fields_that_mean_nothing() {
    let scene = Scene::open().await;
    for garbage in ["", "garbage", "-1 -1", "99999999999999999999999 x", "\u{0}\u{1}", "1 1"] {
        for (key, kind) in scene.keys() {
            eprintln!("{key} holds {garbage:?}");
            match &*kind {
                "hash" => {
                    let fields: Vec<String> = scene.world.broker().ask(&["HKEYS", &key]);
                    for field in fields {
                        scene.command(&["HSET", &key, &field, garbage]);
                    }
                    scene.command(&["HSET", &key, garbage, garbage]);
                }
                "string" => drop(scene.command(&["SET", &key, garbage, "KEEPTTL"])),
                "zset" => drop(scene.command(&["ZADD", &key, "inf", garbage])),
                _ => {
                    for field in ["frames", "p", "a", "lost", "moved", garbage] {
                        scene.command(&["XADD", &key, "*", field, garbage]);
                        scene.command(&["XADD", &key, "*", "a", garbage, field, garbage]);
                    }
                }
            }
        }
        scene.stands_it().await;
        scene.command(&["FLUSHALL"]);
        scene.goes_on().await;
    }
}

#[farcall::test]
async fn a_flood_of_entries_that_nobody_can_read() {
    let scene = Scene::open().await;
    let mut connection = scene.world.broker().connection().unwrap();
    let streams = scene.keys().into_iter().filter(|(_, kind)| kind == "stream");
    let streams: Vec<String> = streams.map(|(key, _)| key).collect();
    for round in 0..20_u32 {
        let mut pipe = redis::pipe();
        for number in 0..500_u32 {
            let bytes: Vec<u8> = (0..40).map(|at| (round ^ number).rotate_left(at) as u8).collect();
            for key in &streams {
                let field = ["p", "frames", "lost", "moved", "else"][number as usize % 5];
                pipe.cmd("XADD").arg(key).arg("*").arg("a").arg(&bytes).arg(field).arg(&bytes);
                pipe.cmd("XADD").arg(key).arg("*").arg(field).arg(&bytes);
            }
        }
        pipe.exec(&mut connection).unwrap();
    }
    scene.goes_on().await;
    until("it is cleared away", async || {
        streams.iter().all(|key| scene.world.broker().ask::<u64>(&["XLEN", key]) < 100)
    })
    .await;
    scene.world.assert_calm(&scene.server).await;
}
