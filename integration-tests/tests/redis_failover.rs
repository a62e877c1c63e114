//! Redis servers that take over from each other, for tests that lose one.

use farcall_integration_tests::{
    RedisCluster, RedisOptions, RedisSentinels, RedisServer, wait_until,
};

fn set(server: &RedisServer, key: &str, replicas: &str) {
    server.command(&["SET", key, "value"]);
    let acknowledged: u32 = server.ask(&["WAIT", replicas, "0"]);
    assert_eq!(acknowledged.to_string(), replicas);
}

#[test]
fn sentinels_elect_another_master() {
    let sentinels = RedisSentinels::start_with(&RedisOptions::new().password("secret"));
    let old = sentinels.master();
    assert_eq!(sentinels.master_url(), old.url());
    set(old, "key", "2");

    assert_eq!(sentinels.kill_master().port(), old.port());
    let new = sentinels.wait_for_another(old);
    assert_eq!(sentinels.master_url(), new.url());
    assert_eq!(new.ask::<String>(&["GET", "key"]), "value");
    set(new, "other", "1");

    // What was master comes back as a replica, with what it missed.
    old.restart();
    wait_until("it has what was written meanwhile", || {
        // A server that becomes a replica closes its connections.
        old.try_ask::<Option<String>>(&["GET", "other"]).is_ok_and(|value| value.is_some())
    });
    assert!(!old.is_master());
    assert_eq!(sentinels.wait_for_another(old).port(), new.port());
}

#[test]
fn a_cluster_gives_slots_to_a_replica() {
    let cluster = RedisCluster::start();
    let slot = cluster.slot_of("key");
    let old = cluster.master_of(slot);
    set(old, "key", "1");
    let other = cluster.nodes().iter().find(|it| it.port() != old.port()).unwrap();
    let moved = other.try_ask::<String>(&["GET", "key"]).unwrap_err();
    assert_eq!(moved.code(), Some("MOVED"));

    assert_eq!(cluster.kill_master_of(slot).port(), old.port());
    let new = cluster.wait_for_another(slot, old);
    assert_eq!(new.ask::<String>(&["GET", "key"]), "value");

    old.restart();
    wait_until("it follows the new master", || !old.is_master());
    assert_eq!(cluster.wait_for_another(slot, old).port(), new.port());
}
