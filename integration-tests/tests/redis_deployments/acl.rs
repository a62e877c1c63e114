//! The access lists of `docs/REDIS.md`: enough, not more, and what they keep out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use farcall::Reason;
use farcall::prelude::*;
use farcall::redis::RedisConfig;
use farcall_integration_tests::{
    Fleet, PATIENCE, RedisCluster, RedisOptions, RedisServer, until, wait_until,
};
use farcall_testkit::{Remote, SERVICE};
use futures::StreamExt;
use futures::channel::mpsc::unbounded;
use redis::Value;

use crate::every_call::{at, down, everything_works, fleet, up};

/// The document that administrators copy from.
const DOCUMENT: &str = include_str!("../../../docs/REDIS.md");

const SERVER: &str = "shop-server";
const CLIENT: &str = "shop-client";

fn lines() -> Vec<&'static str> {
    DOCUMENT.lines().filter(|line| line.starts_with("user ")).collect()
}

fn line(user: &str) -> &'static str {
    lines().into_iter().find(|line| line.split(' ').nth(1) == Some(user)).unwrap()
}

fn password(user: &str) -> &'static str {
    line(user).split(' ').find_map(|word| word.strip_prefix('>')).unwrap()
}

/// The commands that a user is given.
fn commands(user: &str) -> BTreeSet<&'static str> {
    line(user).split(' ').filter_map(|word| word.strip_prefix('+')).collect()
}

fn broker() -> RedisServer {
    RedisOptions::new().tcp().acl(&format!("user default off\n{}", lines().join("\n"))).start()
}

fn config(broker: &RedisServer, user: &str) -> RedisConfig {
    let url = broker.url_as(user, password(user));
    RedisConfig { lease: Duration::from_secs(1), ..at(url) }
}

fn shop(broker: &RedisServer) -> Fleet {
    let fleet = fleet(config(broker, SERVER)).with_clients(config(broker, CLIENT));
    fleet.in_namespace("shop")
}

/// What happens rarely: servers that die with work, one that takes the place of another, calls that
/// are long, withdrawn, or put back.
async fn faults_are_dealt_with(fleet: &Fleet) {
    let node = fleet.client().await;
    let mut events = node.events();
    let contract = node.client(SERVICE);
    assert!(node.servers(SERVICE).await.unwrap().is_empty());
    let mut ann = fleet.spawn("ann");
    assert_eq!(events.find(up).await.unwrap(), "ann");
    let (_items, argument) = unbounded::<i64>();
    let lost = contract.call::<()>("drink", ("cup",)).argument_stream(argument);
    let dies = async {
        contract.call::<()>("until_started", ("cup", 1)).await.unwrap();
        ann.kill();
    };
    let (lost, ()) = futures::join!(lost, dies);
    assert_eq!(lost.unwrap_err().reason(), Reason::ServerLost);
    assert_eq!(events.find(down).await.unwrap(), "ann");

    // The next start of an identity takes its place while the lease of the last runs.
    for _ in 0..2 {
        let mut bob = fleet.spawn("bob");
        assert_eq!(events.find(up).await.unwrap(), "bob");
        bob.kill();
    }
    let _bob = fleet.spawn("bob");
    assert_eq!(events.find(up).await.unwrap(), "bob");
    let long = contract.call::<()>("hang", ("rope",)).timeout(Duration::from_millis(3500));
    assert_eq!(long.await.unwrap_err().reason(), Reason::DeadlineExceeded);
    contract.call::<()>("until_cancelled", ("rope", 1)).await.unwrap();
    // Enough of them, an entry each, that what is settled is trimmed.
    let calls = (0..500_i64).map(|it| contract.call::<i64>("add", (it, 1)));
    let sums = futures::stream::iter(calls).buffer_unordered(1);
    assert!(sums.all(|sum| async move { sum.is_ok() }).await);
    // Calls that are recorded.
    let server = fleet.server().await;
    let recorded = Functions::new("recorded").add("add", |a: i64, b: i64| a + b).recoverable();
    server.serve(recorded).await.unwrap();
    assert_eq!(node.client("recorded").task::<i64>("add", (1, 2)).await.unwrap(), 3);
    server.close().await;
    node.close().await;
}

/// What was refused since the log was last emptied.
fn refused(broker: &RedisServer) -> Vec<String> {
    let log: Vec<Vec<(String, Value)>> = broker.ask(&["ACL", "LOG", "1000"]);
    log.into_iter().map(|entry| format!("{entry:?}")).collect()
}

/// The commands that somebody has called, scripts included.
fn called(broker: &RedisServer) -> BTreeSet<String> {
    let stats: String = broker.ask(&["INFO", "commandstats"]);
    let names = stats.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(':'));
    names.map(|(name, _)| name.to_owned()).collect()
}

#[farcall::test]
async fn the_access_lists_of_the_document_are_enough() {
    let broker = broker();
    let fleet = shop(&broker);
    broker.command(&["CONFIG", "RESETSTAT"]);
    everything_works(&fleet).await;
    faults_are_dealt_with(&fleet).await;
    assert_eq!(refused(&broker), Vec::<String>::new());
    let called = called(&broker);
    let unused = |user: &str| -> Vec<&str> {
        commands(user).into_iter().filter(|command| !called.contains(*command)).collect()
    };
    assert_eq!(unused(SERVER), ["select"], "of another database than 0 only");
    assert!(commands(CLIENT).is_subset(&commands(SERVER)));
}

#[farcall::test]
async fn in_a_cluster_they_need_one_command_more() {
    let lines = lines().into_iter().map(|line| format!("{line} +cluster|slots"));
    let lines: Vec<String> = lines.collect();
    let options = RedisOptions::new().acl(&format!("user default off\n{}", lines.join("\n")));
    let cluster = RedisCluster::start_with(&options);
    let config = |user: &str| RedisConfig {
        cluster: cluster.urls(),
        username: Some(user.to_owned()),
        password: Some(password(user).to_owned()),
        ..RedisConfig::default()
    };
    let shop = fleet(config(SERVER)).with_clients(config(CLIENT)).in_namespace("shop");
    everything_works(&shop).await;
    for node in cluster.nodes() {
        assert_eq!(refused(node), Vec::<String>::new());
    }
}

/// Whether a user is refused a command, and for that reason.
fn is_refused(broker: &RedisServer, user: &str, words: &[&str]) -> bool {
    let url = broker.url_as(user, password(user));
    let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    match command.query::<Value>(&mut connection) {
        Ok(_) => false,
        // Redis 7.0 has no code for what a script may not do.
        Err(error) => {
            let said = error.to_string();
            assert!(said.contains("NoPerm") || said.contains("executing the script"), "{said}");
            true
        }
    }
}

#[farcall::test]
async fn the_access_lists_of_the_document_keep_everything_else_out() {
    let broker = broker();
    let _ann = shop(&broker).spawn("ann");
    let node = shop(&broker).client().await;
    assert_eq!(node.client(SERVICE).call::<i64>("add", (1, 2)).await.unwrap(), 3);
    let queue = "farcall:{shop/contract}:q";
    let delete = "return redis.call('HGETALL', 'farcall:{bank/contract}:servers')";
    for user in [SERVER, CLIENT] {
        let refused = |words: &[&str]| is_refused(&broker, user, words);
        assert!(!refused(&["XLEN", queue]), "what is its own");
        for words in [
            // Other namespaces, also one whose name begins alike, and whatever else lies there.
            &["XLEN", "farcall:{bank/contract}:q"][..],
            &["XLEN", "farcall:{shop2/contract}:q"],
            &["HSET", "farcall:{bank/contract}:servers", "a", "b"],
            &["ZRANGE", "farcall:bank:services", "0", "-1"],
            &["EXISTS", "session:1"],
            &["SSUBSCRIBE", "farcall:{bank/contract}:0:changes"],
            &["SPUBLISH", "farcall:{bank/contract}:0:changes", "left nobody"],
            // No way around it by a script, whatever keys it names.
            &["EVAL", delete, "0"],
            &["EVAL", delete, "1", queue],
            &["EVAL", "return redis.call('FLUSHALL')", "0"],
            // What is the administrators' business.
            &["FLUSHALL"],
            &["FLUSHDB"],
            &["CONFIG", "GET", "*"],
            &["KEYS", "*"],
            &["SCAN", "0"],
            &["MONITOR"],
            &["ACL", "LIST"],
            &["CLIENT", "LIST"],
            &["CLIENT", "KILL", "TYPE", "normal"],
            &["SCRIPT", "FLUSH"],
            &["FUNCTION", "LIST"],
            &["SHUTDOWN"],
            &["REPLICAOF", "NO", "ONE"],
            &["PSUBSCRIBE", "*"],
            &["SUBSCRIBE", "news"],
            &["PUBLISH", "news", "none"],
        ] {
            assert!(refused(words), "{user} may {words:?}");
        }
    }
    let refused = |words: &[&str]| is_refused(&broker, CLIENT, words);
    // A client takes no calls, and is no server.
    let take = ["XREADGROUP", "GROUP", "farcall", "thief:1", "STREAMS", queue, ">"];
    assert!(refused(&take));
    assert!(refused(&["XGROUP", "CREATE", queue, "thieves", "0"]));
    assert!(refused(&["XGROUP", "CREATECONSUMER", queue, "farcall", "thief:1"]));
    assert!(refused(&["XCLAIM", queue, "farcall", "thief:1", "0", "1-1"]));
    assert!(refused(&["XAUTOCLAIM", queue, "farcall", "thief:1", "0", "0"]));
    assert!(refused(&["ZADD", "farcall:shop:services", "1", "thieves"]));
    assert!(!refused(&["ZRANGE", "farcall:shop:services", "0", "-1"]));
    // What the document says of the limits of all this: it reads what waits, if it wants to.
    assert!(!refused(&["XRANGE", queue, "-", "+"]));

    let error = node.serve(Functions::new("thieves").add("take", || ())).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("docs/REDIS.md") && said.contains("permi"), "{said}");
    node.close().await;
}

#[farcall::test]
async fn who_may_not_list_services_is_told_so() {
    let lines = lines().join("\n").replace(" %R~farcall:shop:services", "");
    let broker = RedisOptions::new().tcp().acl(&format!("user default off\n{lines}")).start();
    let _ann = shop(&broker).spawn("ann");
    let node = shop(&broker).client().await;
    assert_eq!(node.client(SERVICE).call::<i64>("add", (1, 2)).await.unwrap(), 3);
    let said = node.all_servers().await.unwrap_err().to_string();
    assert!(said.contains("cannot be listed") && said.contains("NOPERM"), "{said}");
    node.close().await;
}

#[farcall::test]
async fn a_service_that_may_not_be_looked_at_does_not_hold_up_the_list_of_all() {
    let lines = lines().join("\n").replace("{shop/*}", &format!("{{shop/{SERVICE}}}"));
    let broker = RedisOptions::new().tcp().acl(&format!("user default off\n{lines}")).start();
    let _ann = shop(&broker).spawn("ann");
    let node = shop(&broker).client().await;
    assert_eq!(node.client(SERVICE).call::<i64>("add", (1, 2)).await.unwrap(), 3);
    broker.command(&["ZADD", "farcall:shop:services", "+inf", "vault"]);
    for _ in 0..2 {
        assert_eq!(node.all_servers().await.unwrap().len(), 1);
    }
    node.close().await;
}

/// How often a user was refused a command.
fn refusals(broker: &RedisServer, user: &str, command: &str) -> u64 {
    let log: Vec<BTreeMap<String, Value>> = broker.ask(&["ACL", "LOG", "1000"]);
    let text = |entry: &BTreeMap<String, Value>, field: &str| {
        redis::from_redis_value::<String>(entry[field].clone()).unwrap()
    };
    let of = log.iter().filter(|it| text(it, "username") == user && text(it, "object") == command);
    of.map(|it| redis::from_redis_value::<u64>(it["count"].clone()).unwrap()).sum()
}

const HOUR: Duration = Duration::from_secs(3600);

#[farcall::test]
async fn what_was_settled_while_the_broker_refused_is_settled_in_the_end() {
    let broker = broker();
    let config = |user| RedisConfig { lease: Duration::from_secs(60), ..config(&broker, user) };
    let shop = fleet(config(SERVER)).with_clients(config(CLIENT)).in_namespace("shop");
    let _ann = shop.spawn("ann");
    let node = shop.client().await;
    let contract = node.client(SERVICE);
    assert_eq!(contract.call::<i64>("add", (1, 2)).await.unwrap(), 3);
    let taken = || {
        let queue = format!("farcall:{{shop/{SERVICE}}}:q");
        let pending: (u64, Value, Value, Value) = broker.ask(&["XPENDING", &queue, "farcall"]);
        pending.0
    };
    // It takes the call, and cannot say what became of it.
    broker.command(&["ACL", "SETUSER", SERVER, "-xack"]);
    let call = tokio::task::spawn_local(contract.call::<i64>("add", (1, 2)).timeout(HOUR));
    until("it is refused", async || refusals(&broker, SERVER, "xack") >= 1).await;
    assert_eq!(taken(), 1);
    broker.command(&["ACL", "SETUSER", SERVER, "+xack"]);
    until("nothing is left", async || taken() == 0).await;
    call.abort();
}

#[farcall::test]
async fn news_that_the_broker_did_not_let_a_client_follow_are_followed_later() {
    let broker = broker();
    let config = |user| RedisConfig { lease: Duration::from_secs(60), ..config(&broker, user) };
    let shop = fleet(config(SERVER)).with_clients(config(CLIENT)).in_namespace("shop");
    let node = shop.client().await;
    let mut events = node.events();
    assert!(node.servers(SERVICE).await.unwrap().is_empty());
    let _ann = shop.spawn("ann");
    assert_eq!(events.find(up).await.unwrap(), "ann");
    broker.command(&["ACL", "SETUSER", CLIENT, "-evalsha"]);
    let _bob = shop.spawn("bob");
    let servers = format!("farcall:{{shop/{SERVICE}}}:servers");
    until("it has joined", async || broker.ask::<usize>(&["HLEN", &servers]) == 2).await;
    // Some of it is the renewal of its lease, the rest are looks.
    let before = refusals(&broker, CLIENT, "evalsha");
    until("it has tried", async || refusals(&broker, CLIENT, "evalsha") >= before + 5).await;
    broker.command(&["ACL", "SETUSER", CLIENT, "+evalsha"]);
    let bob = tokio::time::timeout(PATIENCE, events.find(up)).await;
    assert_eq!(bob.expect("it is seen").unwrap(), "bob");
    node.close().await;
}

/// How many connections of farcall the broker has.
fn connections(broker: &RedisServer) -> usize {
    let clients =
        ["normal", "pubsub"].map(|it| broker.ask::<String>(&["CLIENT", "LIST", "TYPE", it]));
    let lines = clients.iter().flat_map(|list| list.lines());
    lines.filter(|line| line.contains(" name=farcall ")).count()
}

/// Counted where the broker counts them.
#[farcall::test]
async fn a_node_has_as_many_connections_as_the_document_says() {
    let broker = Arc::new(RedisOptions::new().tcp().start());
    let fleet = fleet(at(broker.url()));
    let count = async |what: &'static str, wanted: usize| {
        let broker = Arc::clone(&broker);
        // Waiting blocks its thread, and this one's is the nodes'.
        let counted = move || wait_until(what, || connections(&broker) == wanted);
        tokio::task::spawn_blocking(counted).await.unwrap();
    };
    let client = fleet.client().await;
    assert!(client.servers("one").await.unwrap().is_empty());
    count("a client of one service", 3).await;
    assert!(client.servers("two").await.unwrap().is_empty());
    count("a client of two", 6).await;
    let server = fleet.server().await;
    server.serve(Functions::new("one").add("who", || "me")).await.unwrap();
    count("a server of one beside it", 6 + 5).await;
    assert_eq!(client.client("one").call::<String>("who", ()).await.unwrap(), "me");
    assert_eq!(client.all_servers().await.unwrap().len(), 1);
    count("one that looks at all services", 6 + 5 + 1).await;
    client.close().await;
    server.close().await;
    count("nobody", 0).await;
}
