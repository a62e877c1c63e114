//! `farcall ping`, with servers and without.

use crate::program::{Outcome, Program, has};
use crate::server::{Server, ServerProcess};

#[test]
fn every_server_answers() {
    let program = Program::new("");
    let _one = Server::start(&program.sockets(), &[("FARCALL_SERVER__ID", "one")]);
    let _two = Server::start(&program.sockets(), &[("FARCALL_SERVER__ID", "two")]);
    let table = program.run(&["ping", "calc", "--count", "3"]).answer();
    let lines: Vec<Vec<&str>> =
        table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["SERVER", "ANSWERED", "MIN", "MEAN", "MAX"]);
    assert_eq!(
        (lines[1][..2].to_vec(), lines[2][..2].to_vec()),
        (vec!["one", "3/3"], vec!["two", "3/3"])
    );

    let pinged = program.run(&["ping", "calc", "--json"]).json();
    assert_eq!(
        (&pinged["service"], &pinged["servers"][1]["server"]),
        (&"calc".into(), &"two".into())
    );
    let server = &pinged["servers"][0];
    assert_eq!((&server["sent"], &server["answered"]), (&4.into(), &4.into()));
    assert!(server["min_us"].as_f64() <= server["mean_us"].as_f64());
    assert!(server["mean_us"].as_f64() <= server["max_us"].as_f64());
}

#[test]
fn a_server_that_is_killed_ends_it() {
    let program = Program::new("");
    let server = ServerProcess::start(&program.sockets());
    // Far more than can be answered before the server is killed.
    let ping = program.start(&["ping", "calc", "--count", "1000000", "--timeout", "20s", "--json"]);
    let mut call = program.start(&["call", "calc", "never"]);
    server.wait_started();
    server.kill();
    let outcome = Outcome::of_child(ping);
    call.wait().unwrap();
    match outcome.status {
        // It was lost between two questions, or before the first.
        3 => {}
        5 => assert!(outcome.json()["servers"][0]["problem"].is_string()),
        status => panic!("{status}: {}", outcome.notes),
    }
}

#[test]
fn a_service_that_nobody_serves_is_status_three() {
    let program = Program::new("[client]\nwait_for_server = '1ms'");
    has(
        &program.run(&["ping", "calc"]).failure(3),
        "error: calc.ping: not sent: no server of `calc`",
    );
}
