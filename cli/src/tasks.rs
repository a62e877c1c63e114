//! `farcall tasks`: recorded calls, by the servers that have them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ciborium::Value;
use farcall::{CallError, Node, Task, TaskInfo, value};
use serde::Serialize;

use crate::args::{TaskArgs, TaskResultArgs, TasksCommand, TasksListArgs};
use crate::call::{failure, printed};
use crate::columns::columns;
use crate::exit::{Exit, Status};
use crate::failure::Told;
use crate::show::Shown;
use crate::terminal::Terminal;

/// Runs the command.
///
/// # Errors
/// The answer cannot be written.
///
/// # Cancellation
/// Dropping the future ends the waiting, and no task.
pub(crate) async fn run(
    node: &Node,
    command: &TasksCommand,
    terminal: &mut Terminal<'_>,
) -> Result<Status, Exit> {
    match command {
        TasksCommand::List(args) => list(node, args, terminal).await,
        TasksCommand::Result(args) => result(node, args, terminal).await,
        TasksCommand::Show(args) => {
            let info = task(node, args).info().await;
            told(args, info, terminal, |info, terminal| {
                let answer = if args.json { json(&Line::new(&info)) } else { card(&info) };
                Ok(terminal.answer(answer)?)
            })
        }
        TasksCommand::Retry(args) => {
            let retry = task(node, args).retry().await;
            told(args, retry, terminal, |retry, terminal| Ok(terminal.answer(retry.token())?))
        }
        TasksCommand::Cancel(args) => {
            let task = task(node, args);
            let ended = match task.cancel().await {
                Ok(true) => Ok("cancelled".to_owned()),
                Ok(false) => task.info().await.map(|info| info.state),
                Err(error) => Err(error),
            };
            told(args, ended, terminal, |word, terminal| Ok(terminal.answer(word)?))
        }
        TasksCommand::Purge(args) => {
            let purged = task(node, args).purge().await;
            told(args, purged, terminal, |(), _| Ok(()))
        }
    }
}

fn task(node: &Node, args: &TaskArgs) -> Task<Value> {
    Task::attach(node, args.token.clone())
}

async fn list(
    node: &Node,
    args: &TasksListArgs,
    terminal: &mut Terminal<'_>,
) -> Result<Status, Exit> {
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    match node.client(args.service.as_str()).tasks(limit).await {
        Ok(tasks) if args.json => {
            terminal.answer(json(&tasks.iter().map(Line::new).collect::<Vec<_>>()))?;
        }
        Ok(tasks) if tasks.is_empty() => {
            let service = &args.service;
            terminal.note(format_args!("no server of `{service}` that is here has a task"));
        }
        Ok(tasks) => terminal.answer(table(&tasks))?,
        Err(error) => return Ok(fail(&args.service, "tasks", args.json, &error, terminal)),
    }
    Ok(Status::Done)
}

async fn result(
    node: &Node,
    args: &TaskResultArgs,
    terminal: &mut Terminal<'_>,
) -> Result<Status, Exit> {
    let mut outcome = task(node, &args.task).result();
    if let Some(timeout) = args.timeout {
        outcome = outcome.timeout(timeout);
    }
    let outcome = outcome.await;
    told(&args.task, outcome, terminal, |value, terminal| {
        Ok(terminal.answer_bytes(&printed(&value, args.raw))?)
    })
}

fn told<T>(
    args: &TaskArgs,
    outcome: Result<T, CallError>,
    terminal: &mut Terminal<'_>,
    answer: impl FnOnce(T, &mut Terminal<'_>) -> Result<(), Exit>,
) -> Result<Status, Exit> {
    match outcome {
        Ok(value) => answer(value, terminal).map(|()| Status::Done),
        Err(error) => Ok(fail(args.token.service(), "task", args.json, &error, terminal)),
    }
}

fn fail(
    service: &str,
    method: &str,
    as_json: bool,
    error: &CallError,
    terminal: &mut Terminal<'_>,
) -> Status {
    let failure = failure(error);
    let told = Told { service, method, failure: &failure, help: None };
    if as_json {
        terminal.note(told.json());
    } else {
        terminal.note(format_args!("error: {told}"));
    }
    told.status()
}

/// A task for programs; these names stay as they are.
#[derive(Serialize)]
struct Line<'a> {
    token: &'a str,
    method: &'a str,
    state: &'a str,
    why: Option<&'a str>,
    caller: &'a str,
    key: Option<&'a str>,
    server: Option<&'a str>,
    /// In microseconds since 1970, by the clock of its ledger, as the next two.
    accepted: u64,
    since: u64,
    expires: Option<u64>,
    attempts: u64,
    crashes: u32,
    failures: u32,
    interruptions: u32,
    problem: Option<&'a str>,
    progress: serde_json::Value,
    retry_of: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn new(info: &'a TaskInfo) -> Self {
        Line {
            token: &info.token,
            method: &info.method,
            state: &info.state,
            why: info.why.as_deref(),
            caller: &info.caller,
            key: info.key.as_deref(),
            server: info.server.as_deref(),
            accepted: info.accepted,
            since: info.since,
            expires: info.expires,
            attempts: info.attempts,
            crashes: info.crashes,
            failures: info.failures,
            interruptions: info.interruptions,
            problem: info.problem.as_deref(),
            progress: progress(info),
            retry_of: info.retry_of.as_deref(),
        }
    }
}

/// What a task last said of its progress, as JSON.
fn progress(info: &TaskInfo) -> serde_json::Value {
    let said = info.progress.as_ref().and_then(|it| value::decode::<Value>(it).ok());
    said.map_or(serde_json::Value::Null, |it| {
        serde_json::to_value(Shown(&it)).unwrap_or(serde_json::Value::Null)
    })
}

fn json<T: Serialize>(answer: &T) -> String {
    serde_json::to_string_pretty(answer).expect("keys are text, and writing to memory works")
}

fn table(tasks: &[TaskInfo]) -> String {
    let rows: Vec<_> = tasks
        .iter()
        .map(|info| {
            [
                info.token.clone(),
                info.method.clone(),
                state(info),
                ago(info.accepted),
                info.attempts.to_string(),
                info.server.clone().unwrap_or_default(),
                info.problem.clone().unwrap_or_default(),
            ]
        })
        .collect();
    columns(["TOKEN", "METHOD", "STATE", "AGE", "ATTEMPTS", "SERVER", "PROBLEM"], &rows)
}

/// One task, a line for each thing that is to be said.
fn card(info: &TaskInfo) -> String {
    let mut lines = vec![
        ("token", info.token.clone()),
        ("method", info.method.clone()),
        ("state", state(info)),
        ("caller", info.caller.clone()),
        ("age", ago(info.accepted)),
        ("attempts", info.attempts.to_string()),
    ];
    let counts = [
        ("crashes", u64::from(info.crashes)),
        ("failures", u64::from(info.failures)),
        ("let go", u64::from(info.interruptions)),
    ];
    lines.extend(
        counts
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(it, count)| (it, count.to_string())),
    );
    let progress = info.progress.as_ref().map(|_| progress(info).to_string());
    let texts = [
        ("server", info.server.clone()),
        ("key", info.key.clone()),
        ("progress", progress),
        ("problem", info.problem.clone()),
        ("retry of", info.retry_of.clone()),
    ];
    lines.extend(texts.into_iter().filter_map(|(label, text)| Some((label, text?))));
    let lines = lines.into_iter().map(|(label, text)| format!("{label:9} {text}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn state(info: &TaskInfo) -> String {
    match &info.why {
        Some(why) => format!("{} ({why})", info.state),
        None => info.state.clone(),
    }
}

/// How long ago that was, if its ledger's clock and this machine's agree.
fn ago(micros: u64) -> String {
    let then = Duration::from_micros(micros);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = now.saturating_sub(then).as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use farcall::{Config, Functions, Memory, TaskToken, block_on};

    use super::*;
    use crate::args::{Args, Command};
    use crate::pipes::Pipes;

    /// A server, and the program at the same memory.
    async fn farcall(node: &Node, line: &[&str]) -> (Status, String, String) {
        let args: Args = clap::Parser::try_parse_from(["farcall"].iter().chain(line)).unwrap();
        let (mut answers, mut notes) = (Vec::new(), Vec::new());
        let mut terminal = Terminal::new(&mut answers, &mut notes);
        let status = match &args.command {
            Command::Call(args) => {
                crate::call::run(node, args, Pipes::standard(), &mut terminal).await
            }
            Command::Tasks(args) => run(node, &args.command, &mut terminal).await,
            other => panic!("{other:?}"),
        };
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.unwrap(), text(answers), text(notes))
    }

    #[test]
    fn a_task_is_started_and_waited_for_and_looked_at() {
        block_on(async {
            let memory = Memory::new();
            let server = Node::open_with(Config::default(), memory.transport()).await.unwrap();
            let service = Functions::new("jobs")
                .add("double", |n: i64| n * 2)
                .recoverable()
                .add("never", std::future::pending::<()>)
                .recoverable()
                .add("plain", |n: i64| n);
            server.serve(service).await.unwrap();
            let node = Node::open_with(Config::default(), memory.transport()).await.unwrap();
            let (_, token, _) = farcall(&node, &["call", "--start", "jobs", "double", "4"]).await;
            let token = token.trim_end();
            assert!(token.parse::<TaskToken>().is_ok(), "{token}");
            let (status, answer, _) = farcall(&node, &["tasks", "result", token]).await;
            assert_eq!((status, &*answer), (Status::Done, "8\n"));
            let (_, shown, _) = farcall(&node, &["tasks", "show", token]).await;
            assert!(shown.contains("state     done") && shown.contains(token), "{shown}");
            let (status, _, notes) =
                farcall(&node, &["call", "--start", "jobs", "plain", "4"]).await;
            assert_eq!(status, Status::Usage, "{notes}");

            let waits = ["call", "--timeout", "30ms", "jobs", "never"];
            let (status, _, notes) = farcall(&node, &waits).await;
            assert_eq!(status, Status::Deadline);
            let never = notes.split('`').nth(1).unwrap();
            let result = ["tasks", "result", "--timeout", "30ms", never];
            assert_eq!(farcall(&node, &result).await.0, Status::Deadline);
            assert_eq!(farcall(&node, &["tasks", "purge", never]).await.0, Status::Usage);
            let (_, ended, _) = farcall(&node, &["tasks", "cancel", never]).await;
            assert_eq!(ended, "cancelled\n");
            assert_eq!(farcall(&node, &["tasks", "result", never]).await.0, Status::Failed);
            assert_eq!(farcall(&node, &["tasks", "retry", never]).await.0, Status::Usage);

            let (_, listed, _) = farcall(&node, &["tasks", "list", "jobs"]).await;
            assert_eq!(listed.lines().count(), 3, "{listed}");
            let (_, listed, _) = farcall(&node, &["tasks", "list", "--json", "jobs"]).await;
            let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
            assert_eq!(listed[0]["state"], "cancelled");
            assert_eq!(farcall(&node, &["tasks", "purge", token]).await.0, Status::Done);
            assert_eq!(farcall(&node, &["tasks", "show", token]).await.0, Status::Usage);
        });
    }

    #[test]
    fn what_is_no_token_is_a_mistake_of_the_command_line() {
        let args: Result<Args, _> =
            clap::Parser::try_parse_from(["farcall", "tasks", "show", "17"]);
        let error = args.unwrap_err().to_string();
        assert!(error.contains("`17` is no token of a task"), "{error}");
    }
}
