//! `farcall ping`: the round trip to each server of a service.

use std::time::{Duration, Instant};

use farcall::wire::Failure;
use farcall::{CallError, Node, Reason, ServerInfo};
use futures::future::join_all;
use serde::Serialize;

use crate::args::PingArgs;
use crate::columns::columns;
use crate::description;
use crate::exit::{Exit, Status};
use crate::failure::Told;
use crate::terminal::Terminal;

/// What `--json` prints; these names stay as they are.
#[derive(Serialize)]
struct Pinged {
    service: String,
    servers: Vec<Server>,
}

/// One server; times are in microseconds, and absent if it never answered.
#[derive(Debug, PartialEq, Serialize)]
struct Server {
    server: String,
    sent: u64,
    answered: u64,
    min_us: Option<f64>,
    mean_us: Option<f64>,
    max_us: Option<f64>,
    /// What became of the first that was not answered.
    problem: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// The node is closed, or the answer cannot be written.
pub(crate) async fn run(
    node: &Node,
    args: &PingArgs,
    terminal: &mut Terminal<'_>,
) -> Result<Status, Exit> {
    let service = args.service.as_str();
    if let Err(failure) = description::find_server(node, service).await {
        let told = Told { service, method: "ping", failure: &failure, help: None };
        terminal.note(match args.json {
            true => told.json(),
            false => format!("error: {told}"),
        });
        return Ok(told.status());
    }
    let look = crate::list::look(node, Some(service), args.timeout).await?;
    for (what, reason) in look.unreachable {
        terminal.note(format_args!("{what}: {reason}"));
    }
    let found = look.servers;
    let asked = found.iter().map(|server| ping(node, server, args));
    let (servers, statuses): (Vec<_>, Vec<_>) = join_all(asked).await.into_iter().unzip();
    if args.json {
        let pinged = Pinged { service: service.to_owned(), servers };
        let json = serde_json::to_string_pretty(&pinged);
        terminal.answer(json.expect("keys are text, and writing to memory works"))?;
    } else {
        terminal.answer(table(&servers))?;
    }
    Ok(statuses.into_iter().find(|status| *status != Status::Done).unwrap_or(Status::Done))
}

/// Asks one server as often as is wanted, and stops at the first time that it does not answer.
async fn ping(node: &Node, server: &ServerInfo, args: &PingArgs) -> (Server, Status) {
    let mut times = Vec::new();
    for sent in 1..=args.count {
        let begun = Instant::now();
        let sign = node.peer(server.peer);
        let problem = match tokio::time::timeout(args.timeout, sign.ping()).await {
            Ok(Ok(())) => {
                times.push(begun.elapsed());
                continue;
            }
            Ok(Err(error)) => problem(&error),
            Err(_) => {
                let message = format!("no answer within {:?}", args.timeout);
                Failure::new(Reason::DeadlineExceeded, message)
            }
        };
        let status = Status::of(problem.reason);
        return (summary(&server.server, sent, &times, Some(problem.message)), status);
    }
    (summary(&server.server, args.count, &times, None), Status::Done)
}

fn problem(error: &CallError) -> Failure {
    let details = error.details();
    Failure::new(details.reason, details.message.clone())
}

fn summary(server: &str, sent: u64, times: &[Duration], problem: Option<String>) -> Server {
    let us = |time: Duration| time.as_nanos() as f64 / 1000.0;
    let answered = times.len() as u64;
    let mean =
        times.iter().sum::<Duration>().checked_div(times.len().try_into().unwrap_or(u32::MAX));
    Server {
        server: server.to_owned(),
        sent,
        answered,
        min_us: times.iter().min().copied().map(us),
        mean_us: mean.map(us),
        max_us: times.iter().max().copied().map(us),
        problem,
    }
}

/// For people.
fn table(servers: &[Server]) -> String {
    let time =
        |us: Option<f64>| us.map_or_else(|| "?".to_owned(), |us| format!("{:.3} ms", us / 1e3));
    let rows: Vec<_> = servers
        .iter()
        .map(|it| {
            [
                it.server.clone(),
                format!("{}/{}", it.answered, it.sent),
                time(it.min_us),
                time(it.mean_us),
                time(it.max_us),
                it.problem.clone().unwrap_or_default(),
            ]
        })
        .collect();
    columns(["SERVER", "ANSWERED", "MIN", "MEAN", "MAX", ""], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_summed_up() {
        let times = [3, 1, 2].map(Duration::from_millis);
        let server = summary("one", 4, &times, Some("gone".to_owned()));
        assert_eq!(
            table(&[server, summary("two", 1, &[], None)]),
            "SERVER  ANSWERED  MIN       MEAN      MAX\n\
             one     3/4       1.000 ms  2.000 ms  3.000 ms  gone\n\
             two     0/1       ?         ?         ?"
        );
    }
}
