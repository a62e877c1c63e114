//! How a broker is reached.

use std::collections::BTreeSet;

use farcall::Config;
use farcall::prelude::*;
use farcall::redis::{Redis, RedisConfig, SentinelConfig};
use farcall_integration_tests::{
    RedisCluster, RedisOptions, RedisSentinels, RedisServer, SCENARIO,
};
use farcall_testkit::SERVICE;

use crate::every_call::{ContractClient, at, everything_works, fleet, up};

const SCENARIO_SERVER: &str = env!("CARGO_BIN_EXE_scenario-server");

#[farcall::test]
async fn by_tcp_with_a_password() {
    let broker = RedisOptions::new().tcp().password("secret").start();
    let without = broker.url().replace(":secret@", "");
    everything_works(&fleet(at(broker.url()))).await;
    everything_works(&fleet(RedisConfig { password: Some("secret".into()), ..at(without) })).await;
}

#[farcall::test]
async fn by_a_unix_socket() {
    let broker = RedisServer::start();
    everything_works(&fleet(at(broker.url()))).await;
    everything_works(&fleet(at(broker.url().replace("redis+unix", "unix")))).await;
}

#[farcall::test]
async fn by_tls_with_a_certificate_of_ones_own() {
    let broker = RedisOptions::new().tls().config("tls-auth-clients yes").start();
    let certificates = broker.certificates();
    let config = RedisConfig {
        tls_ca: Some(certificates.authority()),
        tls_cert: Some(certificates.client()),
        tls_key: Some(certificates.client_key()),
        ..at(broker.url())
    };
    everything_works(&fleet(config)).await;
}

#[farcall::test]
async fn two_databases_do_not_see_each_other() {
    let broker = RedisOptions::new().tcp().start();
    let (none, third) = (fleet(at(broker.url())), fleet(at(format!("{}/3", broker.url()))));
    let (here, there) = (none.client().await, third.client().await);
    let (mut seen_here, mut seen_there) = (here.events(), there.events());
    assert!(here.servers(SERVICE).await.unwrap().is_empty());
    assert!(there.servers(SERVICE).await.unwrap().is_empty());

    let _ann_there = third.spawn("ann");
    assert_eq!(seen_there.find(up).await.unwrap(), "ann");
    // One identity may live in each, and nothing was heard of the other.
    let _ann_here = none.spawn("ann");
    assert_eq!(seen_here.find(up).await.unwrap(), "ann");
    let (of_here, of_there) = (here.servers(SERVICE).await, there.servers(SERVICE).await);
    let (of_here, of_there) = (of_here.unwrap(), of_there.unwrap());
    assert_eq!((of_here.len(), of_there.len()), (1, 1));
    assert_ne!(of_here[0].epoch, of_there[0].epoch);
    let prefix = format!("farcall:{{default/{SERVICE}}}:");
    for (node, database, epoch) in [(&here, 0, of_here[0].epoch), (&there, 3, of_there[0].epoch)] {
        assert_eq!(ContractClient::new(node).add(1, 2).await.unwrap(), 3);
        let mut connection = broker.connection().unwrap();
        redis::cmd("SELECT").arg(database).exec(&mut connection).unwrap();
        let servers: Vec<Vec<u8>> =
            redis::cmd("HVALS").arg(format!("{prefix}servers")).query(&mut connection).unwrap();
        assert_eq!(servers.len(), 1);
        assert!(servers[0].starts_with(epoch.to_string().as_bytes()), "{servers:?}");
        let changes = format!("{prefix}{database}:changes");
        let (_, listeners): (String, u32) = broker.ask(&["PUBSUB", "SHARDNUMSUB", &changes]);
        assert_eq!(listeners, 2, "a client and a server");
    }
    everything_works(&fleet(at(format!("{}/5", broker.url())))).await;
}

#[farcall::test]
async fn by_the_master_that_sentinels_name() {
    let sentinels = RedisSentinels::start_with(&RedisOptions::new().password("secret"));
    let nodes = sentinels.sentinels().iter().map(|it| format!("127.0.0.1:{}", it.port()));
    let sentinel = SentinelConfig {
        nodes: nodes.collect(),
        master: sentinels.name().to_owned(),
        ..SentinelConfig::default()
    };
    let config = RedisConfig {
        sentinel: Some(sentinel),
        password: Some("secret".into()),
        ..RedisConfig::default()
    };
    everything_works(&fleet(config)).await;
}

/// Services whose keys lie on each of the three masters.
const SPREAD: [&str; 4] = ["calc", "clock", "store", "mail"];

#[farcall::test]
async fn by_a_cluster_over_which_services_are_spread() {
    let cluster = RedisCluster::start();
    // One that answers is enough.
    let seeds = cluster.urls()[..2].to_vec();
    let fleet = fleet(RedisConfig { cluster: seeds, ..RedisConfig::default() });
    everything_works(&fleet).await;

    let owner = |service: &str| {
        let slot = cluster.slot_of(&format!("farcall:{{default/{service}}}:"));
        cluster.master_of(slot).port()
    };
    let owners: BTreeSet<u16> = SPREAD.into_iter().map(owner).collect();
    assert_eq!(owners.len(), 3, "they lie on all masters");
    let server = fleet.server().await;
    for service in SPREAD {
        let who = move || service.to_owned();
        server.serve(Functions::new(service).add("who", who)).await.unwrap();
    }
    let _ann = fleet.spawn("ann");
    let _bob = fleet.clone().with_program(SCENARIO_SERVER).spawn("bob");
    let node = fleet.client().await;
    for service in SPREAD {
        assert_eq!(node.client(service).call::<String>("who", ()).await.unwrap(), service);
    }
    for service in [SERVICE, SCENARIO] {
        assert_eq!(node.client(service).call::<i64>("add", (1, 2)).await.unwrap(), 3);
    }
    // Who has never called any of them finds them all.
    let stranger = fleet.client().await;
    let servers = stranger.all_servers().await.unwrap();
    let found: BTreeSet<&str> = servers.iter().map(|it| &*it.service).collect();
    assert_eq!(found, SPREAD.into_iter().chain([SERVICE, SCENARIO]).collect());
    for each in [server, node, stranger] {
        each.close().await;
    }
}

#[farcall::test]
async fn a_wrong_password_is_told_at_once() {
    let broker = RedisOptions::new().tcp().password("secret").start();
    let transport = Box::new(Redis::new(at(broker.url().replace("secret", "s3cret"))));
    let error = Node::open_with(Config::default(), transport).await.unwrap_err().to_string();
    assert!(error.contains("redis.password") && !error.contains("s3cret"), "{error}");
}
