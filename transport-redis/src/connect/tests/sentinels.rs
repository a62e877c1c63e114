//! Masters that sentinels name.

use farcall_integration_tests::RedisSentinels;

use super::*;
use crate::SentinelConfig;

fn watched(sentinels: &RedisSentinels) -> RedisConfig {
    let node = |url: String| url.trim_start_matches("redis://").to_owned();
    let sentinel = SentinelConfig {
        nodes: sentinels.urls().into_iter().map(node).collect(),
        master: sentinels.name().to_owned(),
        ..SentinelConfig::default()
    };
    // The host of the URL is not there, and not asked for.
    RedisConfig { sentinel: Some(sentinel), ..config("redis://nowhere.invalid/1") }
}

#[tokio::test]
async fn the_master_is_found_and_so_is_the_next_one() {
    let sentinels = RedisSentinels::start();
    let connector = Connector::new(&watched(&sentinels)).unwrap();
    let before = connector.connect(KEY, Purpose::Commands).await.unwrap();
    let master = sentinels.master();
    assert_eq!(before.node, master.url());
    assert!(client(master, &before).contains(" db=1 "));

    let old = sentinels.kill_master();
    let new = sentinels.wait_for_another(old);
    let after = connector.connect(KEY, Purpose::Commands).await.unwrap();
    assert_eq!(after.node, new.url());
    assert_ne!(after.run_id, before.run_id);
}

#[tokio::test]
async fn one_sentinel_is_enough_and_none_is_too_few() {
    let sentinels = RedisSentinels::start();
    let connector = Connector::new(&watched(&sentinels)).unwrap();
    let master = sentinels.master_url();
    let [first, second, third] = sentinels.sentinels() else {
        panic!("there are three");
    };
    first.kill();
    second.kill();
    let connection = connector.connect(KEY, Purpose::Commands).await.unwrap();
    assert_eq!(connection.node, master);
    third.kill();
    let error = connector.connect(KEY, Purpose::Commands).await.unwrap_err();
    assert_says(&error, Kind::Passing, &["the master `", &first.url(), &third.url()]);
}

#[tokio::test]
async fn what_sentinels_do_not_accept_is_hopeless() {
    let sentinels = RedisSentinels::start();
    let good = watched(&sentinels);
    let with = |change: &dyn Fn(&mut SentinelConfig)| {
        let mut config = good.clone();
        change(config.sentinel.as_mut().unwrap());
        config
    };
    let unknown = with(&|sentinel| sentinel.master = "nobody".to_owned());
    assert_says(&refused(&unknown).await, Kind::Hopeless, &["`nobody`", "redis.sentinel.master"]);

    let server = sentinels.master_url().trim_start_matches("redis://").to_owned();
    let no_sentinel = with(&|sentinel| sentinel.nodes = vec![server.clone()]);
    assert_says(&refused(&no_sentinel).await, Kind::Hopeless, &["this is no sentinel"]);

    for sentinel in sentinels.sentinels() {
        sentinel.command(&["ACL", "SETUSER", "default", "resetpass", ">secret"]);
    }
    assert_says(&refused(&good).await, Kind::Hopeless, &["redis.sentinel.password"]);
    let wrong = with(&|sentinel| sentinel.password = Some("wrong".to_owned()));
    assert_says(&refused(&wrong).await, Kind::Hopeless, &["redis.sentinel.password"]);
    connect(&with(&|sentinel| sentinel.password = Some("secret".to_owned()))).await;
}
