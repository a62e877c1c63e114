//! Connections to real servers.

mod cluster;
mod encrypted;
mod sentinels;

use std::io::Write;
use std::net::TcpListener;

use farcall_integration_tests::{RedisOptions, RedisServer};
use redis::PushKind;

use super::*;

const KEY: &str = "farcall:{default:calc}:servers";

fn config(url: &str) -> RedisConfig {
    // A busy machine takes its time; attempts that are to fail in time have a limit of their own.
    let patient = Duration::from_secs(60);
    RedisConfig { url: url.to_owned(), connect_timeout: patient, ..RedisConfig::default() }
}

async fn try_connect(config: &RedisConfig, purpose: Purpose) -> Result<Connection, ConnectError> {
    Connector::new(config)?.connect(KEY, purpose).await
}

async fn connect(config: &RedisConfig) -> Connection {
    try_connect(config, Purpose::Commands).await.unwrap()
}

async fn refused(config: &RedisConfig) -> ConnectError {
    let error = try_connect(config, Purpose::Commands).await.unwrap_err();
    assert!(!error.message.contains("secret"), "{error}");
    error
}

#[track_caller]
fn assert_says(error: &ConnectError, kind: Kind, parts: &[&str]) {
    assert_eq!(error.kind, kind, "{error}");
    for part in parts {
        assert!(error.message.contains(part), "{part}: {error}");
    }
}

/// The server's line about a connection.
fn client(server: &RedisServer, connection: &Connection) -> String {
    let id = connection.client_id.to_string();
    server.ask::<String>(&["CLIENT", "LIST", "ID", &id])
}

#[tokio::test]
async fn a_connection_knows_the_run_and_its_own_number() {
    for server in [RedisServer::start(), RedisOptions::new().tcp().start()] {
        let mut connection = connect(&config(&server.url())).await;
        assert_eq!(connection.run_id, server.info("run_id").unwrap());
        assert!(client(&server, &connection).contains(" name=farcall "));
        assert_eq!(connection.node, server.url());
        let id: u64 = redis::cmd("CLIENT").arg("ID").query_async(&mut connection.io).await.unwrap();
        assert_eq!(id, connection.client_id);
    }
}

#[tokio::test]
async fn a_restarted_server_has_another_run() {
    let server = RedisServer::start();
    let connector = Connector::new(&config(&server.url())).unwrap();
    let before = connector.connect(KEY, Purpose::Commands).await.unwrap();
    server.kill();
    let error = connector.connect(KEY, Purpose::Commands).await.unwrap_err();
    assert_says(&error, Kind::Passing, &[&server.url(), "must be a server that listens there"]);
    server.restart();
    let after = connector.connect(KEY, Purpose::Commands).await.unwrap();
    assert_ne!(before.run_id, after.run_id);
}

#[tokio::test]
async fn a_socket_that_is_not_there_may_come() {
    let error = refused(&config("redis+unix:///nowhere/redis.sock")).await;
    assert_says(&error, Kind::Passing, &["redis+unix:///nowhere/redis.sock", "at this path"]);
}

#[tokio::test]
async fn the_password_is_that_of_the_setting_or_of_the_url() {
    let server = RedisOptions::new().tcp().password("secret").start();
    let bare = format!("redis://127.0.0.1:{}", server.port());
    connect(&config(&server.url())).await;
    let with =
        |password: &str| RedisConfig { password: Some(password.to_owned()), ..config(&bare) };
    assert_eq!(connect(&with("secret")).await.node, bare);
    assert_says(&refused(&with("wrong")).await, Kind::Hopeless, &[&bare, "wrong user or password"]);
    assert_says(&refused(&config(&bare)).await, Kind::Hopeless, &[&bare, "wants a password"]);
    let both = RedisConfig { password: Some("wrong".to_owned()), ..config(&server.url()) };
    assert_says(&refused(&both).await, Kind::Hopeless, &["wrong user or password"]);
}

#[tokio::test]
async fn a_user_needs_no_permission_but_info() {
    let acl = "user default off\n\
               user worker on >secret resetchannels -@all +info\n\
               user nobody on >secret resetchannels -@all";
    let server = RedisOptions::new().acl(acl).start();
    let connection = connect(&config(&server.url_as("worker", "secret"))).await;
    let line = client(&server, &connection);
    assert!(line.contains(" name=farcall ") && line.contains(" user=worker "), "{line}");
    let error = refused(&config(&server.url_as("nobody", "secret"))).await;
    assert_says(&error, Kind::Hopeless, &["'info'", "access list"]);
    let as_worker = RedisConfig {
        username: Some("worker".to_owned()),
        password: Some("secret".to_owned()),
        ..config(&server.url())
    };
    connect(&as_worker).await;
}

#[tokio::test]
async fn a_database_is_chosen_if_there_is_one() {
    let server = RedisOptions::new().tcp().start();
    let connection = connect(&config(&format!("{}/3", server.url()))).await;
    assert!(client(&server, &connection).contains(" db=3 "));
    let error = refused(&config(&format!("{}/16", server.url()))).await;
    assert_says(&error, Kind::Hopeless, &["refuses the database", "out of range"]);
}

#[tokio::test]
async fn a_replica_is_refused_until_it_is_the_master() {
    let master = RedisOptions::new().tcp().start();
    let replica = RedisOptions::new().tcp().replica_of(&master).start();
    let error = refused(&config(&replica.url())).await;
    assert_says(&error, Kind::Passing, &[&replica.url(), "this is a replica"]);
    replica.command(&["REPLICAOF", "NO", "ONE"]);
    connect(&config(&replica.url())).await;
}

#[tokio::test]
async fn an_attempt_ends_in_time() {
    let server = RedisServer::start();
    server.pause();
    let limit = Duration::from_millis(50);
    let error = refused(&RedisConfig { connect_timeout: limit, ..config(&server.url()) }).await;
    assert_says(&error, Kind::Passing, &[&server.url(), "within 50ms", "redis.connect_timeout"]);
    server.resume();
    connect(&config(&server.url())).await;
}

#[tokio::test]
async fn only_commands_that_do_not_wait_have_a_limit() {
    let server = RedisServer::start();
    let limit = Duration::from_millis(50);
    let config = RedisConfig { response_timeout: limit, ..config(&server.url()) };
    let wait = redis::cmd("BLPOP").arg("nothing").arg(0.2).to_owned();
    for purpose in [Purpose::Commands, Purpose::Pushes] {
        let mut connection = try_connect(&config, purpose).await.unwrap();
        let answer: redis::RedisResult<()> = wait.query_async(&mut connection.io).await;
        assert!(answer.unwrap_err().is_timeout());
    }
    let mut connection = try_connect(&config, Purpose::Blocking).await.unwrap();
    assert_eq!(wait.query_async(&mut connection.io).await, Ok(redis::Value::Nil));
}

#[tokio::test]
async fn a_connection_that_waits_is_closed_by_dropping_it() {
    let server = RedisServer::start();
    let mut connection = try_connect(&config(&server.url()), Purpose::Blocking).await.unwrap();
    let id = connection.client_id.to_string();
    let waiting = tokio::spawn(async move {
        let wait = redis::cmd("BLPOP").arg("nothing").arg(0).to_owned();
        wait.query_async::<()>(&mut connection.io).await
    });
    let line = || server.ask::<String>(&["CLIENT", "LIST", "ID", &id]);
    until(|| line().contains(" cmd=blpop ")).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    until(|| line().is_empty()).await;
}

/// Lets other tasks of this thread go on until it holds.
async fn until(mut holds: impl FnMut() -> bool) {
    let limit = Instant::now() + farcall_integration_tests::PATIENCE;
    while !holds() {
        assert!(Instant::now() < limit);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_the_server_sends_by_itself_comes_and_then_the_end() {
    let server = RedisServer::start();
    let mut connection = try_connect(&config(&server.url()), Purpose::Pushes).await.unwrap();
    connection.io.subscribe("news").await.unwrap();
    let mut pushes = connection.pushes.take().unwrap();
    assert_eq!(pushes.next().await.unwrap().kind, PushKind::Subscribe);
    server.command(&["PUBLISH", "news", "one"]);
    let message = pushes.next().await.unwrap();
    assert_eq!(message.kind, PushKind::Message);
    assert_eq!(message.data[1], redis::Value::BulkString(b"one".to_vec()));
    server.kill();
    assert_eq!(pushes.next().await.unwrap().kind, PushKind::Disconnection);
    assert_eq!(pushes.next().await, None);
}

#[tokio::test]
async fn another_program_at_the_port_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let answer = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        listener.accept().unwrap().0.write_all(answer).unwrap();
        drop(listener.accept().unwrap());
    });
    assert_says(&refused(&config(&url)).await, Kind::Hopeless, &[&url, "no Redis"]);
    assert_says(&refused(&config(&url)).await, Kind::Passing, &[&url]);
}

#[tokio::test]
async fn a_busy_server_may_have_room_later() {
    let server = RedisOptions::new().config("maxclients 1").start();
    let first = connect(&config(&server.url())).await;
    let error = refused(&config(&server.url())).await;
    assert_says(&error, Kind::Passing, &["maxclients"]);
    drop(first);
}
