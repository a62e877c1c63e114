//! Nodes of a cluster that have a key.

use farcall_integration_tests::RedisCluster;

use super::*;
use crate::connect::slot::slot;

fn nodes(urls: &[String]) -> RedisConfig {
    RedisConfig { cluster: urls.to_vec(), ..config("redis://nowhere.invalid") }
}

#[tokio::test]
async fn the_owner_of_a_key_is_found_and_so_is_the_next_one() {
    let cluster = RedisCluster::start();
    // One node is named, and it goes.
    let seed = &cluster.urls()[..1];
    let connector = Connector::new(&nodes(seed)).unwrap();
    let mut of_the_seed = None;
    for key in ["a", "b", "c", "d", "farcall:{default:calc}:calls"] {
        assert_eq!(slot(key), cluster.slot_of(key));
        let owner = cluster.master_of(slot(key));
        let connection = connector.connect(key, Purpose::Commands).await.unwrap();
        assert_eq!(connection.node, owner.url());
        if owner.url() == seed[0] {
            of_the_seed = Some(key);
        }
    }
    let key = of_the_seed.expect("of these keys, each master has one");
    let old = cluster.kill_master_of(slot(key));
    let new = cluster.wait_for_another(slot(key), old);
    let connection = connector.connect(key, Purpose::Commands).await.unwrap();
    assert_eq!(connection.node, new.url());
}

#[tokio::test]
async fn a_cluster_is_not_taken_for_a_server_alone_nor_the_other_way_round() {
    let cluster = RedisCluster::start();
    let elsewhere =
        cluster.urls().into_iter().find(|url| *url != cluster.master_of(slot(KEY)).url());
    let elsewhere = elsewhere.unwrap();
    let error = refused(&config(&elsewhere)).await;
    assert_says(&error, Kind::Hopeless, &[&elsewhere, "one node of a cluster", "redis.cluster"]);

    let alone = RedisOptions::new().tcp().start();
    let error = refused(&nodes(&[alone.url()])).await;
    assert_says(&error, Kind::Hopeless, &[&alone.url(), "no node of a cluster", "redis.url"]);
}
