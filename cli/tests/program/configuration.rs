//! `farcall check`, and what mistakes in a configuration do to the other commands.

use crate::program::{Program, has};

#[test]
fn a_good_configuration_is_shown_with_its_origins() {
    let program = Program::new("transport = 'memory'\n[server]\nconcurrency = 8");
    let answer = program.variable("FARCALL_CLIENT__TIMEOUT", "2s").run(&["check"]).answer();
    assert!(answer.starts_with("# farcall.toml is good\n"), "{answer}");
    for (line, origin) in [
        ("server.concurrency = 8 ", "# farcall.toml"),
        ("client.timeout = \"2s\" ", "# FARCALL_CLIENT__TIMEOUT"),
        ("server.backlog = 1024 ", "# default"),
    ] {
        let shown = answer.lines().find(|shown| shown.starts_with(line));
        assert!(shown.is_some_and(|shown| shown.ends_with(origin)), "{line}: {answer}");
    }
    has(&answer, "# transports compiled in: unix, redis, memory\n");
}

#[test]
fn mistakes_are_told_in_full() {
    let program = Program::new("[server]\nconcurrency = 2.7\nx = 1");
    let notes = program.run(&["check"]).failure(2);
    assert!(notes.starts_with("error: 2 mistakes in the configuration\n"), "{notes}");
    has(&notes, "farcall.toml: server.concurrency: not accepted\n  found     2.7 (float)\n");
    has(&notes, "farcall.toml: server.x: unknown setting");
}

#[test]
fn a_file_may_be_named() {
    let program = Program::new("not toml");
    program.write("other.toml", "");
    has(&program.run(&["check", "other.toml"]).answer(), "# other.toml is good");
    has(&program.run(&["check", "absent.toml"]).failure(2), "cannot read absent.toml");
}

#[test]
fn checks_are_json_if_asked() {
    let good = Program::new("[server]\nconcurrency = 8").run(&["check", "--json"]);
    assert_eq!((good.status, &good.json()["ok"]), (0, &true.into()));
    let bad = Program::new("a = 1").run(&["check", "--json"]);
    assert_eq!((bad.status, &bad.json()["ok"]), (2, &false.into()));
    assert_eq!(bad.json()["mistakes"][0]["key"], "a");
}

#[test]
fn mistakes_stop_every_command() {
    for command in [&["list"][..], &["call", "calc", "add"]] {
        let notes = Program::new("a = 1").run(command).failure(2);
        has(&notes, "farcall.toml: a: unknown setting");
    }
}

#[test]
fn a_transport_that_cannot_be_opened_is_the_configurations() {
    let program = Program::new("").variable("FARCALL_UNIX__SOCKET_DIR", "/dev/null/sockets");
    has(&program.run(&["list"]).failure(2), "/dev/null");
}

#[test]
fn redis_is_shown_as_it_would_be_used() {
    let program = Program::new(
        "transport = 'redis'\n[redis]\nurl = 'rediss://shop:s3cret@broker.example:6380/3'\n\
         sentinel = { nodes = ['10.0.0.1:26379', '10.0.0.2:26379'], master = 'calls' }",
    );
    let answer = program.variable("FARCALL_REDIS__PASSWORD", "s3cret").run(&["check"]).answer();
    for (line, origin) in [
        ("transport = \"redis\" ", "# farcall.toml"),
        ("redis.url = \"rediss://shop:***@broker.example:6380/3\" ", "# farcall.toml"),
        ("redis.password = \"***\" ", "# FARCALL_REDIS__PASSWORD"),
        ("redis.lease = \"15s\" ", "# default"),
        ("redis.sentinel.master = \"calls\" ", "# farcall.toml"),
    ] {
        let shown = answer.lines().find(|shown| shown.starts_with(line));
        assert!(shown.is_some_and(|shown| shown.ends_with(origin)), "{line}: {answer}");
    }
    assert!(!answer.contains("s3cret"), "{answer}");
}

#[test]
fn mistakes_with_redis_are_named() {
    let program = Program::new(
        "transport = 'redis'\n[redis]\nurl = 'http://:s3cret@broker'\nlease = '1ms'\n\
         sentinels = []\ntls_cert = 'c.pem'\ncluster = ['redis://a']",
    );
    let notes = program.run(&["check"]).failure(2);
    for part in [
        "farcall.toml: redis.url: ",
        "farcall.toml: redis.lease: ",
        "from 300ms to 1h",
        "farcall.toml: redis.sentinels: unknown setting",
        "did you mean",
    ] {
        has(&notes, part);
    }
    assert!(!notes.contains("s3cret"), "{notes}");
}
