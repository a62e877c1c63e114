//! `farcall call`: a method by its name, with what was typed for arguments.

use std::future::pending;
use std::io::Read;
use std::time::{Duration, Instant};

use ciborium::Value;
use farcall::schema::Definitions;
use farcall::service::{Descriptor, MethodDescriptor, ParamDescriptor};
use farcall::wire::Failure;
use farcall::{CallError, Client, Node, Reason, StreamCall};
use futures::stream::{BoxStream, StreamExt};
use tokio::sync::oneshot;

use crate::apart::apart;
use crate::args::CallArgs;
use crate::description::{self, signature};
use crate::exit::{Exit, Status};
use crate::failure::Told;
use crate::fit::{self, Item};
use crate::lines;
use crate::pipes::Pipes;
use crate::printer::Printer;
use crate::show;
use crate::terminal::Terminal;

/// A list of methods in a message ends here.
const LISTED: usize = 24;

/// How many items of a stream are printed at once, if so many have come.
const CHUNK: usize = 256;

/// Runs the command.
///
/// # Errors
/// Nobody reads the answers.
///
/// # Cancellation
/// Dropping the future cancels the call that is under way.
pub(crate) async fn run(
    node: &Node,
    args: &CallArgs,
    pipes: Pipes,
    terminal: &mut Terminal<'_>,
) -> Result<Status, Exit> {
    let begun = Instant::now();
    let patience = args.timeout.unwrap_or(node.config().client.timeout);
    let descriptor = match description::of(node, &args.service, patience).await {
        Ok(descriptor) => descriptor,
        Err(failure) => return Ok(tell(args, &failure, None, terminal)),
    };
    if descriptor.is_none() {
        let service = &args.service;
        terminal.note(format_args!(
            "`{service}` does not say what it offers: arguments are taken for plain JSON"
        ));
    }
    let known = descriptor.as_ref().and_then(|it| Some((find(it, &args.method)?, &it.definitions)));
    let method = known.map(|(method, _)| method);
    let help = |reason| help(reason, descriptor.as_ref(), method);
    let refuse = |words: String, terminal: &mut Terminal<'_>| {
        let failure = Failure::new(Reason::WrongArguments, words);
        Ok(tell(args, &failure, help(failure.reason), terminal))
    };
    let input = match method.map_or(Ok(None), |method| input(method, args.count)) {
        Ok(input) => input,
        Err(words) => return refuse(words, terminal),
    };
    let arguments = match fitted(known, &args.arguments, input.is_some()).await? {
        Ok(arguments) => arguments,
        Err(words) => return refuse(words, terminal),
    };

    let Pipes { stdin, interactive, stdout, reader_gone } = pipes;
    let (mut items, mut mistake, mut printer) = (None, None, None);
    if let Some((param, (_, definitions))) = input.zip(known) {
        if interactive {
            let ParamDescriptor { name, ty, .. } = param;
            terminal
                .note(format_args!("type items of `{name}` ({ty}), one a line; Ctrl-D ends them"));
        }
        let limit = node.config().limits.max_message_bytes;
        let read = lines::items(stdin, Item::new(param, definitions), limit);
        let (stream, told) = read.map_err(no_thread)?;
        (items, mistake) = (Some(stream), Some(told));
    }
    if method.is_some_and(|method| method.stream) {
        printer = Some(Printer::new(stdout, reader_gone).map_err(no_thread)?);
    }
    // What has streams takes as long as it takes, unless somebody says otherwise.
    let default = (items.is_none() && printer.is_none()).then_some(patience);
    let timeout = args.timeout.or(method.and_then(|method| method.timeout)).or(default);
    let idempotent = method.is_some_and(|method| method.idempotent);
    let recoverable = method.is_some_and(|method| method.recoverable);
    if args.start && method.is_some() && !recoverable {
        return refuse(
            "it is not recoverable, so its calls are no tasks: leave out --start".to_owned(),
            terminal,
        );
    }
    let client = node.client(args.service.as_str());
    let mut calls = Calls {
        client,
        args,
        arguments,
        timeout,
        idempotent,
        recoverable,
        items,
        mistake,
        printer,
    };
    let mut first_failure = None;
    for turn in 0..args.count {
        let spent = if turn == 0 { begun.elapsed() } else { Duration::ZERO };
        if let Err(failure) = calls.next(spent, terminal).await? {
            let status = tell(args, &failure, help(failure.reason), terminal);
            first_failure.get_or_insert(status);
            if status == Status::Usage {
                // The same would fail again.
                break;
            }
        }
    }
    Ok(first_failure.unwrap_or(Status::Done))
}

/// Calls of one method, all the same.
struct Calls<'a> {
    client: Client,
    args: &'a CallArgs,
    arguments: Value,
    timeout: Option<Duration>,
    idempotent: bool,
    recoverable: bool,
    /// The argument stream; the first call takes it.
    items: Option<BoxStream<'static, Value>>,
    /// Who says what is wrong with that.
    mistake: Option<oneshot::Receiver<String>>,
    /// There for streams of results alone.
    printer: Option<Printer>,
}

impl Calls<'_> {
    /// Makes one, prints what it gives, and says how it ended. Of its time so much is spent.
    ///
    /// # Errors
    /// Nobody reads on, or it cannot be written.
    async fn next(
        &mut self,
        spent: Duration,
        terminal: &mut Terminal<'_>,
    ) -> Result<Result<(), Failure>, Exit> {
        let Calls {
            client,
            args,
            arguments,
            timeout,
            idempotent,
            recoverable,
            items,
            mistake,
            printer,
        } = self;
        let method = args.method.as_str();
        // The two kinds of calls have the same options, and no trait for them.
        macro_rules! with_options {
            ($call:expr) => {{
                let mut call = $call;
                if let Some(timeout) = timeout {
                    call = call.timeout(timeout.saturating_sub(spent));
                }
                if *idempotent {
                    call = call.idempotent();
                }
                if let Some(items) = items.take() {
                    call = call.argument_stream(items);
                }
                call
            }};
        }
        if *recoverable || args.start {
            let mut task = client.task::<Value>(method, arguments);
            if let Some(timeout) = timeout {
                task = task.timeout(timeout.saturating_sub(spent));
            }
            if args.start {
                return Ok(match task.start().await {
                    Ok(task) => Ok(terminal.answer(task.token())?),
                    Err(error) => Err(failure(&error)),
                });
            }
            return Ok(match task.await {
                Ok(value) => Ok(terminal.answer_bytes(&printed(&value, args.raw))?),
                Err(error) => Err(failure(&error)),
            });
        }
        if let Some(printer) = printer {
            let call = with_options!(client.stream::<Value>(method, arguments));
            return print_all(call, args.raw, mistake, printer).await;
        }
        let call = with_options!(client.call::<Value>(method, arguments));
        let outcome = tokio::select! {
            outcome = call => outcome.map_err(|error| failure(&error)),
            failure = mistaken(mistake) => Err(failure),
        };
        Ok(match outcome {
            Ok(value) => Ok(terminal.answer_bytes(&printed(&value, args.raw))?),
            Err(failure) => Err(failure),
        })
    }
}

/// What was typed for arguments, fitted to those of the method; or what is wrong with it.
async fn fitted(
    known: Option<(&MethodDescriptor, &Definitions)>,
    given: &[String],
    stdin_taken: bool,
) -> Result<Result<Value, String>, Exit> {
    let known = known.map(|(method, definitions)| (method.clone(), definitions.clone()));
    let given = given.to_vec();
    // A file may be one that nobody writes.
    let fitted = apart(move || {
        let known = known.as_ref().map(|(method, definitions)| (method, definitions));
        fit::arguments(known, &given, &|path| read_file(path, stdin_taken))
    });
    fitted.await.map_err(no_thread)
}

/// Prints what a stream gives, as it comes; then says how it ended.
///
/// # Errors
/// Nobody reads on, or it cannot be written.
async fn print_all(
    call: StreamCall<Value>,
    raw: bool,
    mistake: &mut Option<oneshot::Receiver<String>>,
    printer: &mut Printer,
) -> Result<Result<(), Failure>, Exit> {
    let mut items = call.ready_chunks(CHUNK);
    let mut outcome = Ok(());
    while outcome.is_ok() {
        let come = tokio::select! {
            come = items.next() => come,
            failure = mistaken(mistake) => {
                outcome = Err(failure);
                break;
            }
            error = printer.failed() => return Err(error.into()),
        };
        let Some(come) = come else { break };
        let mut chunk = Vec::new();
        for item in come {
            match item {
                Ok(value) => chunk.append(&mut printed(&value, raw)),
                Err(error) => outcome = Err(failure(&error)),
            }
        }
        if !chunk.is_empty() {
            printer.print(chunk).await?;
        }
    }
    // The handler need not wait for whoever reads slowly.
    drop(items);
    printer.printed().await?;
    Ok(outcome)
}

/// Waits for what is wrong with standard input; for ever, if nothing is.
async fn mistaken(mistake: &mut Option<oneshot::Receiver<String>>) -> Failure {
    if let Some(told) = mistake
        && let Ok(words) = told.await
    {
        return Failure::new(Reason::StreamBroken, words);
    }
    // The call's stream is gone, and with it whoever would tell.
    *mistake = None;
    pending().await
}

/// The parameter whose items come from standard input, if there is one.
///
/// # Errors
/// Standard input is not enough; in words.
fn input(method: &MethodDescriptor, count: u64) -> Result<Option<&ParamDescriptor>, String> {
    let streams: Vec<_> = method.params.iter().filter(|param| param.stream).collect();
    match streams[..] {
        [] => Ok(None),
        [_] if count > 1 => {
            Err("standard input, which it takes a stream from, can be read once: leave out --count"
                .to_owned())
        }
        [param] => Ok(Some(param)),
        _ => {
            let names: Vec<_> = streams.iter().map(|param| format!("`{}`", param.name)).collect();
            Err(format!(
                "it takes {} streams ({}), and there is one standard input: call it from a program",
                names.len(),
                names.join(", ")
            ))
        }
    }
}

fn no_thread(error: std::io::Error) -> Exit {
    Exit::new(Status::Usage, format!("a thread that it needs failed: {error}"))
}

fn find<'a>(descriptor: &'a Descriptor, method: &str) -> Option<&'a MethodDescriptor> {
    descriptor.methods.iter().find(|it| it.name == method)
}

/// One shape for all that may happen to a call.
pub(crate) fn failure(error: &CallError) -> Failure {
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
        (Reason::WrongArguments | Reason::StreamBroken, Some(method), _) => {
            Some(("takes", signature(method)))
        }
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

/// What is printed for a value.
pub(crate) fn printed(value: &Value, raw: bool) -> Vec<u8> {
    let mut line = match value {
        Value::Bytes(bytes) if raw => return bytes.clone(),
        Value::Text(text) if raw => text.clone(),
        value => show::json(value),
    };
    line.push('\n');
    line.into_bytes()
}

/// The bytes of an argument `@file`.
fn read_file(path: &str, stdin_taken: bool) -> Result<Vec<u8>, String> {
    if path != "-" {
        return std::fs::read(path).map_err(|error| error.to_string());
    }
    if stdin_taken {
        return Err("standard input has the items of the stream".to_owned());
    }
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut bytes);
    read.map(|_| bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use farcall::config::ClientConfig;
    use farcall::{Bytes, Config, Functions, Memory, block_on};

    use super::*;

    /// What came of a command.
    #[derive(Debug)]
    struct Outcome {
        status: Status,
        answers: String,
        notes: String,
    }

    #[farcall::data]
    #[derive(Debug)]
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
            run(&node, &args, Pipes::standard(), &mut Terminal::new(&mut answers, &mut notes))
                .await
                .unwrap()
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
