//! `farcall call`: a method by its name, with what was typed for arguments.

use std::io::Read;
use std::time::{Duration, Instant};

use ciborium::Value;
use farcall::service::{Descriptor, MethodDescriptor};
use farcall::transport::PeerId;
use farcall::wire::{Failure, ServerState};
use farcall::{CallError, Event, Node, Reason, ServerInfo};

use crate::args::CallArgs;
use crate::exit::{Exit, Status};
use crate::failure::Told;
use crate::fit;
use crate::show;
use crate::terminal::Terminal;

/// A list of methods in a message ends here.
const LISTED: usize = 24;

/// Runs the command.
///
/// # Errors
/// Nobody reads the answers.
pub(crate) async fn run(
    node: &Node,
    args: &CallArgs,
    terminal: &mut Terminal<'_>,
) -> Result<Status, Exit> {
    let begun = Instant::now();
    let timeout = args.timeout.unwrap_or(node.config().client.timeout);
    let described = match tokio::time::timeout(timeout, describe(node, &args.service)).await {
        Ok(described) => described,
        Err(_) => Err(Failure::new(
            Reason::DeadlineBeforeSending,
            format!("the deadline came, and no server of `{}` had answered", args.service),
        )),
    };
    let descriptor = match described {
        Ok(descriptor) => descriptor,
        Err(failure) => return Ok(tell(args, &failure, None, terminal)),
    };
    if descriptor.is_none() {
        let service = &args.service;
        terminal.note(format_args!(
            "`{service}` does not say what it offers: arguments are taken for plain JSON"
        ));
    }
    let method = descriptor.as_ref().and_then(|descriptor| find(descriptor, &args.method));
    let help = |reason| help(reason, descriptor.as_ref(), method);
    let arguments = match fit::arguments(method, &args.arguments, &read_file) {
        Ok(arguments) => arguments,
        Err(words) => {
            let failure = Failure::new(Reason::WrongArguments, words);
            return Ok(tell(args, &failure, help(failure.reason), terminal));
        }
    };

    let client = node.client(args.service.as_str());
    let mut first_failure = None;
    for turn in 0..args.count {
        let spent = if turn == 0 { begun.elapsed() } else { Duration::ZERO };
        let call = client
            .call::<Value>(args.method.as_str(), &arguments)
            .timeout(timeout.saturating_sub(spent));
        match call.await {
            Ok(value) => print(&value, args.raw, terminal)?,
            Err(error) => {
                let failure = failure(&error);
                let status = tell(args, &failure, help(failure.reason), terminal);
                first_failure.get_or_insert(status);
                if status == Status::Usage {
                    // The same would fail again.
                    break;
                }
            }
        }
    }
    Ok(first_failure.unwrap_or(Status::Done))
}

/// What a service offers, from a server of it, once there is one. `None` if that does not say.
async fn describe(node: &Node, service: &str) -> Result<Option<Descriptor>, Failure> {
    loop {
        let server = find_server(node, service).await?;
        match node.peer(server).describe(service).await {
            Ok(descriptor) => return Ok(Some(descriptor)),
            Err(error) => match error.reason() {
                // It has left meanwhile, or hangs: others may come until the caller's deadline.
                Reason::ServerLost | Reason::PeerGone | Reason::DeadlineExceeded => {}
                _ => return Ok(None),
            },
        }
    }
}

/// A server of a service that takes calls, waited for as a call would.
async fn find_server(node: &Node, service: &str) -> Result<PeerId, Failure> {
    let ready =
        |server: &ServerInfo| server.service == service && server.state == ServerState::Ready;
    let closed = || Failure::new(Reason::Closed, "the node was closed");
    let begun = Instant::now();
    let wait = node.config().client.wait_for_server;
    // From before the look, so that nobody comes between.
    let mut events = node.events();
    let up = events.find(|event| match event {
        Event::ServerUp(server) if ready(&server) => Some(server.peer),
        _ => None,
    });
    tokio::pin!(up);
    // The look waits for all that can be found. The first that shows itself will do, lest one that
    // hangs keeps calls from those that do not.
    tokio::select! {
        server = &mut up => return server.ok_or_else(closed),
        found = node.servers(service) => {
            if let Some(server) = found.map_err(|_| closed())?.iter().find(|it| ready(it)) {
                return Ok(server.peer);
            }
        }
    }
    match tokio::time::timeout(wait.saturating_sub(begun.elapsed()), up).await {
        Ok(server) => server.ok_or_else(closed),
        Err(_) => Err(Failure::new(
            Reason::NoServer,
            format!(
                "no server of `{service}` within {wait:?}; start one, or raise \
                 client.wait_for_server"
            ),
        )),
    }
}

fn find<'a>(descriptor: &'a Descriptor, method: &str) -> Option<&'a MethodDescriptor> {
    descriptor.methods.iter().find(|it| it.name == method)
}

/// One shape for all that may happen to a call.
fn failure(error: &CallError) -> Failure {
    let details = error.details();
    let mut failure = Failure::new(details.reason, details.message.clone());
    failure.retry_after = details.retry_after;
    failure.nearest.clone_from(&details.nearest);
    failure.value.clone_from(&details.value);
    failure
}

/// What helps against a failure: the method's signature, or the methods there are.
fn help(
    reason: Reason,
    descriptor: Option<&Descriptor>,
    method: Option<&MethodDescriptor>,
) -> Option<(&'static str, String)> {
    match (reason, method, descriptor) {
        (Reason::WrongArguments, Some(method), _) => Some(("takes", signature(method))),
        (Reason::UnknownMethod, _, Some(descriptor)) => {
            let mut names: Vec<&str> =
                descriptor.methods.iter().map(|method| &*method.name).take(LISTED).collect();
            if names.len() < descriptor.methods.len() {
                names.push("…");
            }
            Some(("methods", names.join(", ")))
        }
        _ => None,
    }
}

fn signature(method: &MethodDescriptor) -> String {
    let params = method.params.iter().map(|param| format!("{}: {}", param.name, param.ty));
    let params = params.collect::<Vec<_>>().join(", ");
    let result = match &method.error {
        Some(error) => format!("Result<{}, {error}>", method.result),
        None => method.result.to_string(),
    };
    format!("{}({params}) -> {result}", method.name)
}

fn tell(
    args: &CallArgs,
    failure: &Failure,
    help: Option<(&'static str, String)>,
    terminal: &mut Terminal<'_>,
) -> Status {
    let told = Told { service: &args.service, method: &args.method, failure, help };
    if args.json {
        terminal.note(told.json());
    } else {
        terminal.note(format_args!("error: {told}"));
    }
    told.status()
}

fn print(value: &Value, raw: bool, terminal: &mut Terminal<'_>) -> Result<(), Exit> {
    match value {
        Value::Bytes(bytes) if raw => terminal.answer_bytes(bytes)?,
        Value::Text(text) if raw => terminal.answer(text)?,
        value => terminal.answer(show::json(value))?,
    }
    Ok(())
}

/// The bytes of an argument `@file`.
fn read_file(path: &str) -> Result<Vec<u8>, String> {
    if path == "-" {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().read_to_end(&mut bytes);
        return read.map(|_| bytes).map_err(|error| error.to_string());
    }
    std::fs::read(path).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use farcall::config::ClientConfig;
    use farcall::{Bytes, Config, Functions, Memory, block_on};
    use serde::Serialize;

    use super::*;

    /// What came of a command.
    #[derive(Debug)]
    struct Outcome {
        status: Status,
        answers: String,
        notes: String,
    }

    #[derive(Debug, Serialize)]
    enum MathError {
        ByZero { a: f64 },
    }

    impl std::fmt::Display for MathError {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let MathError::ByZero { a } = self;
            write!(f, "cannot divide {a} by zero")
        }
    }

    fn service() -> Functions {
        let div = |a: f64, b: f64| if b == 0.0 { Err(MathError::ByZero { a }) } else { Ok(a / b) };
        Functions::new("calc")
            .add("add", |a: i64, b: i64| a + b)
            .add("big", |a: i128| a)
            .add("echo", |bytes: Bytes| bytes)
            .add("upper", |s: String| s.to_uppercase())
            .add("nan", || f64::NAN)
            .add("boom", || -> i64 { panic!("on purpose") })
            .try_add("div", div)
            .add("never", std::future::pending::<()>)
    }

    fn call(line: &[&str]) -> Outcome {
        let defaults = ["farcall", "call"];
        let args = clap::Parser::try_parse_from(defaults.iter().chain(line)).unwrap();
        let crate::args::Args { command: crate::args::Command::Call(args) } = args else {
            panic!("not a call");
        };
        let (mut answers, mut notes) = (Vec::new(), Vec::new());
        let status = block_on(async {
            let memory = Memory::new();
            let server = Node::open_with(Config::default(), memory.transport()).await.unwrap();
            server.serve(service()).await.unwrap();
            let wait_for_server = Duration::from_millis(1);
            let client = ClientConfig { wait_for_server, ..ClientConfig::default() };
            let config = Config { client, ..Config::default() };
            let node = Node::open_with(config, memory.transport()).await.unwrap();
            run(&node, &args, &mut Terminal::new(&mut answers, &mut notes)).await.unwrap()
        });
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Outcome { status, answers: text(answers), notes: text(notes) }
    }

    fn answer(line: &[&str]) -> String {
        let outcome = call(line);
        assert_eq!((outcome.status, &*outcome.notes), (Status::Done, ""));
        outcome.answers
    }

    #[test]
    fn a_result_is_a_line_of_json() {
        assert_eq!(answer(&["calc", "add", "1", "2"]), "3\n");
        assert_eq!(answer(&["calc", "add", "b=2", "-5"]), "-3\n");
        assert_eq!(answer(&["calc", "div", "1", "2"]), "0.5\n");
        assert_eq!(answer(&["calc", "upper", "true"]), "\"TRUE\"\n");
        assert_eq!(answer(&["calc", "nan"]), "\"NaN\"\n");
        assert_eq!(answer(&["calc", "echo", "base64:AP8="]), "{\"base64\":\"AP8=\"}\n");
    }

    #[test]
    fn integers_of_128_bits_survive() {
        for value in [i128::MIN, i128::MAX, 1 << 64, -1] {
            assert_eq!(answer(&["calc", "big", "--", &value.to_string()]), format!("{value}\n"));
        }
    }

    #[test]
    fn raw_results_are_as_they_are() {
        assert_eq!(answer(&["--raw", "calc", "echo", "abc"]), "abc");
        assert_eq!(answer(&["--raw", "calc", "upper", "abc"]), "ABC\n");
        assert_eq!(answer(&["--raw", "calc", "add", "1", "2"]), "3\n");
    }

    #[test]
    fn a_call_is_repeated() {
        assert_eq!(answer(&["--count", "3", "calc", "add", "1", "2"]), "3\n3\n3\n");
        let outcome = call(&["--count", "2", "calc", "boom"]);
        assert_eq!((outcome.status, outcome.notes.lines().count()), (Status::Failed, 2));
    }

    #[test]
    fn a_typed_error_is_told_and_fails() {
        let outcome = call(&["calc", "div", "1", "0"]);
        assert_eq!((outcome.status, &*outcome.answers), (Status::Failed, ""));
        assert_eq!(
            outcome.notes,
            "error: calc.div: cannot divide 1 by zero ({\"ByZero\":{\"a\":1.0}})\n"
        );
    }

    #[test]
    fn a_panic_is_the_methods_failure() {
        assert_eq!(call(&["calc", "boom"]).status, Status::Failed);
    }

    #[test]
    fn an_unknown_method_names_the_nearest_and_all() {
        let outcome = call(&["calc", "ad", "1", "2"]);
        assert_eq!(outcome.status, Status::Usage);
        assert!(outcome.notes.contains("did you mean `add`?"), "{}", outcome.notes);
        assert!(outcome.notes.contains("methods   add, big, echo"), "{}", outcome.notes);
    }

    #[test]
    fn wrong_arguments_show_the_signature() {
        for line in [
            &["calc", "add", "1", "x"][..],
            &["calc", "add", "1"],
            &["calc", "add", "1", "2", "3"],
            &["calc", "add", "a=1", "a=2"],
        ] {
            let outcome = call(line);
            assert_eq!(outcome.status, Status::Usage, "{line:?}");
            assert!(
                outcome.notes.ends_with("\n  takes     add(a: i64, b: i64) -> i64\n"),
                "{}",
                outcome.notes
            );
        }
    }

    #[test]
    fn a_service_that_nobody_serves_is_waited_for() {
        let outcome = call(&["other", "add", "1", "2"]);
        assert_eq!(outcome.status, Status::NoServer);
        assert!(outcome.notes.contains("no server of `other` within 1ms"), "{}", outcome.notes);
    }

    #[test]
    fn a_deadline_ends_a_call() {
        assert_eq!(call(&["--timeout", "20ms", "calc", "never"]).status, Status::Deadline);
    }

    #[test]
    fn failures_are_json_if_asked() {
        let outcome = call(&["--json", "calc", "ad"]);
        let told: serde_json::Value = serde_json::from_str(&outcome.notes).unwrap();
        assert_eq!(told["status"], 2);
        assert_eq!(told["reason"], "unknown_method");
        assert_eq!(told["nearest"][0], "add");
        let outcome = call(&["--json", "calc", "div", "1", "0"]);
        let told: serde_json::Value = serde_json::from_str(&outcome.notes).unwrap();
        assert_eq!(told["reason"], "returned");
        assert_eq!(told["message"], "cannot divide 1 by zero");
        assert_eq!(told["value"]["ByZero"]["a"], 1.0);
    }
}
