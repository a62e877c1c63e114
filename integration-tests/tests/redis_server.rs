//! Redis servers of tests: that they are what the tests take them for.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use farcall_integration_tests::{Certificates, RedisOptions, RedisServer, wait_until};
use redis::{ClientTlsConfig, RedisResult, TlsCertificates, Value};

fn connect(url: &str) -> RedisResult<redis::Connection> {
    redis::Client::open(url)?.get_connection()
}

fn ping(url: &str) -> RedisResult<String> {
    redis::cmd("PING").query(&mut connect(url)?)
}

fn get(server: &RedisServer, key: &str) -> Option<String> {
    server.ask(&["GET", key])
}

#[test]
fn it_answers_at_its_url_until_it_is_dropped() {
    for options in [RedisOptions::new(), RedisOptions::new().tcp()] {
        let server = options.start();
        let url = server.url();
        assert_eq!(ping(&url).unwrap(), "PONG");
        drop(server);
        connect(&url).map(drop).unwrap_err();
    }
}

#[test]
fn a_restarted_server_has_lost_everything_but_its_address() {
    for options in [RedisOptions::new(), RedisOptions::new().tcp()] {
        let server = options.start();
        server.command(&["SET", "key", "value"]);
        let (url, id) = (server.url(), server.id());
        let mut connection = connect(&url).unwrap();
        server.kill();
        redis::cmd("PING").query::<Value>(&mut connection).unwrap_err();
        connect(&url).map(drop).unwrap_err();
        server.restart();
        assert_ne!(server.id(), id);
        assert_eq!(ping(&url).unwrap(), "PONG");
        assert_eq!(get(&server, "key"), None);
    }
}

#[test]
fn an_append_only_file_survives_a_kill() {
    let server = RedisOptions::new().aof().start();
    server.command(&["SET", "key", "value"]);
    server.restart();
    assert_eq!(get(&server, "key").as_deref(), Some("value"));
}

#[test]
fn a_paused_server_answers_when_it_goes_on() {
    let server = RedisServer::start();
    let mut connection = connect(&server.url()).unwrap();
    connection.set_read_timeout(Some(std::time::Duration::from_millis(20))).unwrap();
    server.pause();
    redis::cmd("PING").query::<Value>(&mut connection).unwrap_err();
    server.resume();
    assert_eq!(server.ask::<String>(&["PING"]), "PONG");
    server.pause();
    // A stopped process dies of this as well.
    server.kill();
}

#[test]
fn a_password_is_asked_of_clients_and_not_of_the_test() {
    for options in [RedisOptions::new(), RedisOptions::new().tcp()] {
        let server = options.password("secret").start();
        assert_eq!(ping(&server.url()).unwrap(), "PONG");
        let without = server.url().replace(":secret@", "").replace("?pass=secret", "");
        assert_eq!(ping(&without).unwrap_err().code(), Some("NOAUTH"));
        server.command(&["SET", "key", "value"]);
    }
}

#[test]
fn users_may_do_what_the_acl_says() {
    let acl = "user default off\nuser reader on >secret ~* +get +ping";
    let server = RedisOptions::new().tcp().acl(acl).start();
    let mut reader = connect(&server.url_as("reader", "secret")).unwrap();
    server.command(&["SET", "key", "value"]);
    let read: String = redis::cmd("GET").arg("key").query(&mut reader).unwrap();
    assert_eq!(read, "value");
    let refused = redis::cmd("DEL").arg("key").query::<Value>(&mut reader).unwrap_err();
    assert_eq!(refused.code(), Some("NOPERM"));
    ping(&server.url()).unwrap_err();
}

fn ping_by_tls(
    server: &RedisServer,
    authority: &Certificates,
    client: bool,
) -> RedisResult<String> {
    let read = |path| std::fs::read(path).unwrap();
    let client_tls = client.then(|| ClientTlsConfig {
        client_cert: read(authority.client()),
        client_key: read(authority.client_key()),
    });
    let root_cert = Some(read(authority.authority()));
    let certificates = TlsCertificates { client_tls, root_cert };
    let client = redis::Client::build_with_tls(server.url(), certificates)?;
    redis::cmd("PING").query(&mut client.get_connection()?)
}

#[test]
fn tls_shows_who_the_server_is() {
    let server = RedisOptions::new().tls().password("secret").start();
    let other = RedisOptions::new().tls().start();
    assert!(server.url().starts_with("rediss://"), "{}", server.url());
    assert_eq!(ping_by_tls(&server, server.certificates(), false).unwrap(), "PONG");
    ping_by_tls(&server, other.certificates(), false).unwrap_err();
    ping(&server.url().replace("rediss://", "redis://")).unwrap_err();
}

#[test]
fn tls_shows_who_the_client_is_where_that_is_asked() {
    for (ask, without) in [("optional", true), ("yes", false)] {
        let asking = format!("tls-auth-clients {ask}");
        let server = RedisOptions::new().tls().config(&asking).start();
        assert_eq!(ping_by_tls(&server, server.certificates(), true).unwrap(), "PONG");
        assert_eq!(ping_by_tls(&server, server.certificates(), false).is_ok(), without);
    }
}

#[test]
fn lines_of_its_configuration_and_commands_for_tests_work() {
    let server = RedisOptions::new().config("maxmemory 5mb").start();
    assert_eq!(server.info("maxmemory").as_deref(), Some("5242880"));
    server.command(&["DEBUG", "SLEEP", "0"]);
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
    let refused = server.try_ask::<Value>(&["NONSENSE"]).unwrap_err();
    assert!(refused.to_string().contains("unknown command"), "{refused}");
}

#[test]
fn a_replica_follows_its_master() {
    let master = RedisOptions::new().tcp().password("secret").start();
    let replica = RedisOptions::new().tcp().replica_of(&master).start();
    master.command(&["SET", "key", "value"]);
    wait_until("the replica has the key", || get(&replica, "key").is_some());
    let refused = replica.try_ask::<Value>(&["SET", "key", "other"]).unwrap_err();
    assert_eq!(refused.code(), Some("READONLY"));
}

#[test]
fn what_is_wrong_with_a_configuration_is_shown() {
    let start = || drop(RedisOptions::new().config("maxmemory plenty").start());
    let panic = std::panic::catch_unwind(start).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("maxmemory plenty"), "{message}");
}

#[test]
fn a_server_dies_with_the_process_that_started_it() {
    let mut holder = Command::new(env!("CARGO_BIN_EXE_redis-holder"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut url).unwrap();
    assert_eq!(ping(url.trim()).unwrap(), "PONG");
    holder.kill().unwrap();
    holder.wait().unwrap();
    wait_until("the server has ended", || connect(url.trim()).is_err());
}
