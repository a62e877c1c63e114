//! `farcall call` of methods with streams.

use std::io::Write;
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};

use crate::program::{Outcome, Program, has, lines};
use crate::server::{Server, ServerProcess};

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn items_are_lines_of_json() {
    let program = Program::new("");
    let _server = Server::start_streams(&program.sockets());
    let run = |line: &[&str]| program.run(line).answer();
    assert_eq!(run(&["call", "streams", "count", "3"]), "1\n2\n3\n");
    assert_eq!(run(&["call", "streams", "count", "0"]), "");
    assert_eq!(run(&["call", "streams", "words"]), "\"é\\n\"\n\"2\"\n");
    assert_eq!(run(&["call", "--count", "2", "streams", "count", "2"]), "1\n2\n1\n2\n");
}

#[test]
fn raw_items_are_as_they_are() {
    let program = Program::new("");
    let _server = Server::start_streams(&program.sockets());
    assert_eq!(program.run(&["call", "--raw", "streams", "words"]).answer(), "é\n\n2\n");
    let pieces = program.command(&["call", "--raw", "streams", "pieces"]).output().unwrap();
    assert_eq!(pieces.stdout, [0, 255, 1]);
}

#[test]
fn a_long_stream_is_printed_whole() {
    let program = Program::new("");
    let _server = Server::start_streams(&program.sockets());
    let answer = program.run(&["call", "streams", "count", "100000"]).answer();
    assert!(answer.lines().map(|line| line.parse::<u64>().unwrap()).eq(1..=100_000));
}

#[test]
fn items_are_printed_as_they_come_and_ctrl_c_cancels_the_handler() {
    let program = Program::new("");
    let server = Server::start_streams(&program.sockets());
    for (stop, status) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut call = program.start(&["call", "streams", "tick"]);
        let mut lines = lines(&mut call);
        // The stream has not ended, and never will.
        assert_eq!(lines.next().as_deref(), Some("1"));
        server.wait_started();
        signal(&call, stop);
        Outcome::of_child(call).failure(status);
        assert_eq!(lines.next(), None);
        server.wait_cancelled();
    }
}

#[test]
fn a_reader_that_has_seen_enough_cancels_the_handler() {
    let program = Program::new("");
    let server = Server::start_streams(&program.sockets());
    let mut call = program.start(&["call", "streams", "flood"]);
    let seen: Vec<_> = lines(&mut call).take(3).collect();
    assert_eq!(seen, ["0", "1", "2"]);
    assert_eq!(Outcome::of_child(call).answer(), "");
    server.wait_cancelled();
}

#[test]
fn a_reader_that_goes_is_noticed_without_an_item() {
    let program = Program::new("");
    let server = Server::start_streams(&program.sockets());
    let mut call = program.start(&["call", "streams", "tick"]);
    assert_eq!(lines(&mut call).next().as_deref(), Some("1"));
    assert_eq!(Outcome::of_child(call).answer(), "");
    server.wait_cancelled();
}

#[test]
fn a_reader_that_does_not_read_keeps_neither_ctrl_c_nor_the_handlers_end_away() {
    let program = Program::new("");
    let server = Server::start_streams(&program.sockets());
    let mut call = program.start(&["call", "streams", "flood"]);
    // Nobody reads any further, so that soon nothing more can be written.
    let mut lines = lines(&mut call);
    assert_eq!(lines.next().as_deref(), Some("0"));
    signal(&call, Signal::INT);
    assert_eq!(call.wait().unwrap().code(), Some(130));
    server.wait_cancelled();
}

#[test]
fn a_failure_comes_after_the_items_before_it() {
    let program = Program::new("");
    let _server = Server::start_streams(&program.sockets());
    let outcome = program.run(&["call", "streams", "fail"]);
    assert_eq!((outcome.status, &*outcome.answers), (1, "1\n2\n"));
    assert_eq!(outcome.notes, "error: streams.fail: no more\n");
    let outcome = program.run(&["call", "--json", "streams", "fail"]);
    let told: serde_json::Value = serde_json::from_str(&outcome.notes).unwrap();
    assert_eq!((&*outcome.answers, &told["value"]), ("1\n2\n", &"no more".into()));
}

#[test]
fn a_server_killed_in_the_middle_of_a_stream_is_status_five() {
    let program = Program::new("[client]\nwait_for_server = '20s'");
    let server = ServerProcess::start_streams(&program.sockets());
    let mut call = program.start(&["call", "streams", "tick"]);
    let mut lines = lines(&mut call);
    assert_eq!(lines.next().as_deref(), Some("1"));
    server.kill();
    has(&Outcome::of_child(call).failure(5), "error: streams.tick: outcome unknown: ");
    assert_eq!(lines.next(), None);
}

#[test]
fn a_deadline_is_that_of_the_whole_stream() {
    let program = Program::new("");
    let server = Server::start_streams(&program.sockets());
    let outcome = program.run(&["call", "--timeout", "2s", "streams", "tick"]);
    assert_eq!((outcome.status, &*outcome.answers), (4, "1\n"), "{}", outcome.notes);
    has(&outcome.notes, "outcome unknown");
    server.wait_cancelled();
}

#[test]
fn an_argument_stream_is_read_from_standard_input() {
    let program = Program::new("");
    let _server = Server::start_streams(&program.sockets());
    let run = |line: &[&str], input| program.run_with(line, input).answer();
    assert_eq!(run(&["call", "streams", "sum", "10"], "1\n2\n\n-3"), "10\n");
    assert_eq!(run(&["call", "streams", "sum", "a=1"], ""), "1\n");
    assert_eq!(run(&["call", "streams", "echo"], "a\ntrue\n\"b\"\n"), "\"a\"\n\"true\"\n\"b\"\n");
    // Lines are data, and name no files.
    assert_eq!(run(&["call", "streams", "size"], "@input\n\nbase64:AP8=\n[1, 2]\n"), "10\n");
    // A handler that has seen enough.
    assert_eq!(run(&["call", "streams", "first"], "7\n8\n"), "[7]\n");
}

#[test]
fn a_long_input_goes_as_fast_as_it_is_taken() {
    let program = Program::new("");
    let _server = Server::start_streams(&program.sockets());
    let input: String = (1..=200_000).map(|number| format!("{number}\n")).collect();
    let doubled = program.run_with(&["call", "streams", "double"], &input).answer();
    let doubled = doubled.lines().map(|line| line.parse::<u64>().unwrap());
    assert!(doubled.eq((1..=200_000).map(|number| number * 2)));
}

#[test]
fn items_go_both_ways_as_they_come() {
    let program = Program::new("");
    let _server = Server::start_streams(&program.sockets());
    let (mut call, mut input) = program.start_with_input(&["call", "streams", "double"]);
    let mut lines = lines(&mut call);
    for number in [1, 2, 3] {
        writeln!(input, "{number}").unwrap();
        assert_eq!(lines.next(), Some((number * 2).to_string()));
    }
    drop(input);
    assert_eq!(lines.next(), None);
    assert_eq!(Outcome::of_child(call).answer(), "");
}

#[test]
fn a_handler_that_has_seen_enough_does_not_wait_for_the_end_of_input() {
    let program = Program::new("");
    let _server = Server::start_streams(&program.sockets());
    let (call, mut input) = program.start_with_input(&["call", "streams", "first"]);
    writeln!(input, "7").unwrap();
    assert_eq!(Outcome::of_child(call).answer(), "[7]\n");
}

#[test]
fn ctrl_c_cancels_a_call_that_waits_for_input() {
    let program = Program::new("");
    let server = Server::start_streams(&program.sockets());
    let (call, input) = program.start_with_input(&["call", "streams", "never"]);
    server.wait_started();
    signal(&call, Signal::INT);
    Outcome::of_child(call).failure(130);
    server.wait_cancelled();
    drop(input);
}

#[test]
fn a_line_that_does_not_fit_ends_the_call() {
    let program = Program::new("");
    let server = Server::start_streams(&program.sockets());
    let notes = program.run_with(&["call", "streams", "never"], "1\n2\nx\n4\n").failure(2);
    has(&notes, "error: streams.never: failed: line 3 of standard input: expected an integer");
    has(&notes, "found `x`");
    has(&notes, "\n  takes     never(stream_1: stream of i64) -> ()\n");
    server.wait_cancelled();
    // It is no end, which the handler would take for an answer.
    program.run_with(&["call", "streams", "sum", "0"], "1\nx\n").failure(2);
}

#[test]
fn what_standard_input_cannot_give_is_refused() {
    let program = Program::new("");
    let _server = Server::start_streams(&program.sockets());
    let notes = |line: &[&str]| program.run(line).failure(2);
    has(&notes(&["call", "streams", "two"]), "it takes 2 streams (`stream_1`, `stream_2`)");
    has(&notes(&["call", "--count", "2", "streams", "sum", "0"]), "leave out --count");
    has(&notes(&["call", "streams", "sum", "0", "stream_1=1"]), "`stream_1` is a stream");
    has(&notes(&["call", "streams", "sum", "0", "1"]), "2 arguments given, it takes 1");
}

#[test]
fn streams_are_described() {
    let program = Program::new("");
    let _server = Server::start_streams(&program.sockets());
    let page = program.run(&["describe", "streams"]).answer();
    has(&page, "\ncount(a: u64) -> stream of u64\n");
    has(&page, "\nfail() -> stream of Result<i32, String>\n");
    has(&page, "\nsum(stream_1: stream of i64, a: i64) -> i64\n");
    let described = program.run(&["describe", "streams", "--json"]).json();
    assert_eq!(described["methods"][0]["stream"], true);
}

#[test]
fn a_stream_stands_between_arguments_and_is_none_of_them() {
    let program = Program::new("");
    let _server = Server::start_line(&program.sockets());
    has(
        &program.run(&["describe", "line"]).answer(),
        "\npoints(slope: i64, xs: stream of i64, height: i64) -> stream of Result<i64, String>\n    \
         The points of a line.\n",
    );
    let points = |line: &[&str], input| {
        program.run_with(&[&["call", "line", "points"], line].concat(), input)
    };
    assert_eq!(points(&["2", "1"], "1\n2\n").answer(), "3\n5\n");
    assert_eq!(points(&["height=1", "slope=2"], "1\n2\n").answer(), "3\n5\n");
    let steep = points(&["2", "1"], "1\n9223372036854775807\n3\n");
    assert_eq!((steep.status, &*steep.answers), (1, "3\n"), "{}", steep.notes);
    has(&points(&["2", "xs=1"], "").failure(2), "`xs` is a stream");
}
