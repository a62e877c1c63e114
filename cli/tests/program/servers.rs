//! `farcall list` and `farcall call`, with servers and without.

use std::io::Write;

use rustix::process::{Pid, Signal, kill_process};

use crate::program::{Outcome, Program, has};
use crate::server::{Server, ServerProcess};

#[test]
fn a_list_of_nothing_is_no_failure() {
    let program = Program::new("namespace = 'test'");
    let outcome = program.run(&["list"]);
    assert_eq!((outcome.status, &*outcome.answers), (0, ""));
    assert_eq!(outcome.notes, "no servers in namespace `test` (transport unix)\n");
    let outcome = program.run(&["list", "--json", "calc"]);
    assert_eq!(outcome.json()["servers"], serde_json::json!([]));
    has(&outcome.notes, "no servers of `calc`");
}

#[test]
fn servers_are_listed_with_their_load_and_clients() {
    let program = Program::new("");
    let one = Server::start(&program.sockets(), &[("FARCALL_SERVER__ID", "one")]);
    let two = Server::start(&program.sockets(), &[("FARCALL_SERVER__ID", "two")]);
    let list = program.run(&["list"]).answer();
    let lines: Vec<Vec<&str>> =
        list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["SERVICE", "SERVER", "STATE", "RUNNING", "WAITING", "CLIENTS"]);
    assert_eq!(lines[1], ["calc", "one", "ready", "0/256", "0/1024", "0"]);
    assert_eq!(lines[2], ["calc", "two", "ready", "0/256", "0/1024", "0"]);
    assert_eq!(lines.len(), 3, "the program does not list itself: {list}");

    drop(one);
    let mut caller = program.command(&["call", "calc", "never"]).spawn().unwrap();
    two.wait_started();
    let list = program.run(&["list", "--json", "calc"]).json();
    assert_eq!(list["servers"][0]["running"], 1, "{list}");
    assert_eq!(list["clients"][0]["pid"], caller.id());
    assert_eq!(list["clients"][0]["servers"][0], "two");
    caller.kill().unwrap();
    caller.wait().unwrap();
}

#[test]
fn a_result_is_an_answer() {
    let program = Program::new("");
    let _server = Server::start(&program.sockets(), &[("FARCALL_SERVER__ID", "one")]);
    assert_eq!(program.run(&["call", "calc", "add", "1", "2"]).answer(), "3\n");
    assert_eq!(program.run(&["call", "calc", "add", "b=-2", "a=1"]).answer(), "-1\n");
    let three = program.run(&["call", "--count", "3", "--raw", "calc", "whoami"]).answer();
    assert_eq!(three, "one\none\none\n");
    assert_eq!(program.run(&["call", "calc", "whoami"]).answer(), "\"one\"\n");
    // Bytes are base64 in JSON, as it has no form of its own for them.
    assert_eq!(program.run(&["call", "calc", "echo", "abc"]).answer(), "{\"base64\":\"YWJj\"}\n");
    assert_eq!(program.run(&["call", "--raw", "calc", "echo", "abc"]).answer(), "abc");
    assert_eq!(program.run(&["call", "calc", "sleep", "1"]).answer(), "1\n");
}

#[test]
fn bytes_come_from_files_and_standard_input() {
    let program = Program::new("");
    program.write("image", "\u{0}png");
    let _server = Server::start(&program.sockets(), &[]);
    let echo = |argument| ["call", "--raw", "calc", "echo", argument];
    assert_eq!(program.run(&echo("@image")).answer(), "\u{0}png");
    assert_eq!(program.run_from(&echo("@-"), "image").answer(), "\u{0}png");
    has(&program.run(&echo("@absent")).failure(2), "No such file");
}

#[test]
fn a_failure_of_the_method_is_status_one() {
    let program = Program::new("");
    let _server = Server::start(&program.sockets(), &[]);
    let notes = program.run(&["call", "calc", "div", "1", "0"]).failure(1);
    assert_eq!(notes, "error: calc.div: division by zero (\"DivisionByZero\")\n");
    has(&program.run(&["call", "calc", "boom"]).failure(1), "error: calc.boom: failed: ");
}

#[test]
fn a_failure_is_json_on_standard_error_if_asked() {
    let program = Program::new("");
    let _server = Server::start(&program.sockets(), &[]);
    let notes = program.run(&["call", "--json", "calc", "div", "1", "0"]).failure(1);
    let told: serde_json::Value = serde_json::from_str(&notes).unwrap();
    assert_eq!((&told["status"], &told["reason"]), (&1.into(), &"returned".into()));
    assert_eq!(told["message"], "division by zero");
    assert_eq!(told["value"], "DivisionByZero");
}

#[test]
fn what_would_fail_again_is_status_two() {
    let program = Program::new("");
    let _server = Server::start(&program.sockets(), &[]);
    has(&program.run(&["call", "calc", "ad", "1", "2"]).failure(2), "did you mean `add`?");
    has(&program.run(&["call", "calc", "add", "1", "x"]).failure(2), "found `x`");
    has(&program.run(&["call", "calc", "add", "1"]).failure(2), "takes     add(a: i64, b: i64)");
}

#[test]
fn a_call_that_nobody_could_take_is_status_three() {
    let program = Program::new("[client]\nwait_for_server = '1ms'");
    let notes = program.run(&["call", "calc", "add", "1", "2"]).failure(3);
    assert!(notes.starts_with("error: calc.add: not sent: no server of `calc`"), "{notes}");

    let one_at_a_time = [("FARCALL_SERVER__CONCURRENCY", "1"), ("FARCALL_SERVER__BACKLOG", "0")];
    let server = Server::start(&program.sockets(), &one_at_a_time);
    let mut caller = program.command(&["call", "calc", "never"]).spawn().unwrap();
    server.wait_started();
    let notes = program.run(&["call", "calc", "add", "1", "2"]).failure(3);
    assert!(notes.starts_with("error: calc.add: refused: "), "{notes}");
    caller.kill().unwrap();
    caller.wait().unwrap();
}

#[test]
fn a_call_that_takes_too_long_is_status_four() {
    let program = Program::new("");
    let _server = Server::start(&program.sockets(), &[]);
    // On a busy machine 50 ms may be over before it is sent.
    let call = ["call", "calc", "sleep", "10000", "--timeout", "50ms"];
    has(&program.run(&call).failure(4), "error: calc.sleep: ");
}

#[test]
fn a_deadline_is_status_four() {
    let program = Program::new("[client]\nwait_for_server = '1h'");
    let call = ["call", "--timeout", "50ms", "calc", "never"];
    has(&program.run(&call).failure(4), "not sent: the deadline came");
    let server = Server::start(&program.sockets(), &[]);
    has(&program.run(&["call", "--timeout", "1s", "calc", "never"]).failure(4), "outcome unknown");
    server.wait_cancelled();
}

#[test]
fn a_server_killed_in_the_middle_of_a_call_is_status_five() {
    let program = Program::new("[client]\nwait_for_server = '20s'");
    let server = ServerProcess::start(&program.sockets());
    let call = program.start(&["call", "calc", "never"]);
    server.wait_started();
    server.kill();
    has(&Outcome::of_child(call).failure(5), "error: calc.never: outcome unknown: ");
}

#[test]
fn an_idempotent_call_runs_again_at_another_server() {
    let program = Program::new("[client]\nwait_for_server = '20s'");
    let server = ServerProcess::start(&program.sockets());
    let call = program.start(&["call", "calc", "sleep", "1"]);
    let again = program.start(&["call", "calc", "sleep", "2000"]);
    assert_eq!(Outcome::of_child(call).answer(), "1\n");
    server.wait_started();
    server.wait_started();
    server.kill();
    let _other = Server::start(&program.sockets(), &[]);
    assert_eq!(Outcome::of_child(again).answer(), "2000\n");
}

#[test]
fn a_server_that_comes_late_is_waited_for() {
    let program = Program::new("[client]\nwait_for_server = '20s'");
    let call = program.start(&["call", "calc", "add", "1", "2"]);
    let _server = Server::start(&program.sockets(), &[]);
    assert_eq!(Outcome::of_child(call).answer(), "3\n");
}

#[test]
fn ctrl_c_cancels_the_call() {
    let program = Program::new("");
    let server = Server::start(&program.sockets(), &[]);
    let mut caller = program.command(&["call", "calc", "never"]).spawn().unwrap();
    server.wait_started();
    let pid = Pid::from_child(&caller);
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(caller.wait().unwrap().code(), Some(130));
    server.wait_cancelled();
}

#[test]
fn ctrl_c_ends_a_call_that_waits_for_its_argument() {
    let program = Program::new("");
    let _server = Server::start(&program.sockets(), &[]);
    let (call, mut input) = program.start_with_input(&["call", "calc", "echo", "@-"]);
    // More than a pipe holds: once it is written, the program reads, and waits for the end.
    input.write_all(&[b'x'; 1 << 20]).unwrap();
    kill_process(Pid::from_child(&call), Signal::INT).unwrap();
    Outcome::of_child(call).failure(130);
    drop(input);
}

#[test]
fn sigterm_cancels_the_call() {
    let program = Program::new("");
    let server = Server::start(&program.sockets(), &[]);
    let caller = program.start(&["call", "calc", "never"]);
    server.wait_started();
    kill_process(Pid::from_child(&caller), Signal::TERM).unwrap();
    Outcome::of_child(caller).failure(143);
    server.wait_cancelled();
}

#[test]
fn a_folder_that_cannot_be_trusted_is_named() {
    let program = Program::new("");
    let _server = Server::start(&program.sockets(), &[]);
    let folder = program.sockets().join("default/calc");
    let writable = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(folder, writable).unwrap();
    has(&program.run(&["list", "calc"]).failure(2), "cannot look for servers");
    let outcome = program.run(&["list"]);
    has(&outcome.notes, "calc: cannot look for servers");
    has(&outcome.notes, "chmod go-w");
    assert_eq!((outcome.status, &*outcome.answers), (0, ""));
}

#[test]
fn a_server_that_hangs_does_not_hide_the_others() {
    let program = Program::new("");
    let hanging = ServerProcess::start(&program.sockets());
    let id = program.command(&["call", "--raw", "calc", "whoami"]).output().unwrap().stdout;
    assert!(!id.is_empty(), "it is up");
    hanging.stop();
    let _server = Server::start(&program.sockets(), &[("FARCALL_SERVER__ID", "well")]);
    let outcome = program.run(&["list", "--timeout", "300ms", "--json"]);
    let list = outcome.json();
    assert_eq!((outcome.status, &list["complete"]), (0, &false.into()), "{list}");
    let well = list["servers"].as_array().unwrap().iter().find(|it| it["server"] == "well");
    assert_eq!(well.unwrap()["state"], "ready");
    let id = String::from_utf8(id).unwrap();
    has(
        &program.run(&["list"]).notes,
        &format!("calc {} is unresponsive: it has said no hello", id.trim()),
    );
    assert_eq!(program.run(&["call", "calc", "add", "1", "2"]).answer(), "3\n");
}
