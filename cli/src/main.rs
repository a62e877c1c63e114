//! The program `farcall`: checks configurations, lists and describes services, makes calls.
//!
//! | step | module |
//! |---|---|
//! | the command line | `args` |
//! | the commands | `check`, `list`, `describe`, `call`, `ping`, `tasks` |
//! | what a service offers | `description` |
//! | arguments: text to values | `fit`, `shape`, `json`, `lines` |
//! | results: values to text | `show`, `failure`, `columns` |
//! | what the shell gets | `terminal`, `printer`, `exit` |
//! | where streams come from and go to | `pipes` |
//! | what may block | `apart` |

mod apart;
mod args;
mod call;
mod check;
mod columns;
mod describe;
mod description;
mod exit;
mod failure;
mod fit;
mod json;
mod lines;
mod list;
mod ping;
mod pipes;
mod printer;
mod shape;
mod show;
mod tasks;
mod terminal;

use std::io;
use std::process::ExitCode;

use clap::Parser;
use farcall::{Config, Node, block_on};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::{Args, Command};

use crate::exit::{Exit, Status};
use crate::pipes::Pipes;
use crate::terminal::Terminal;

fn main() -> ExitCode {
    let args = Args::parse();
    let (mut stdout, mut stderr) = (io::stdout(), io::stderr());
    let mut terminal = Terminal::new(&mut stdout, &mut stderr);
    let ended = match &args.command {
        Command::Check(args) => check::run(args, &mut terminal),
        Command::List(args) => online(async {
            // A name of its own, so that it can tell itself from the clients it lists.
            let node = open(|config| config.client.identity = None).await?;
            list::run(&node, args, &mut terminal).await
        }),
        Command::Describe(args) => online(async {
            let node = open(|_| {}).await?;
            describe::run(&node, args, &mut terminal).await
        }),
        Command::Ping(args) => online(async {
            let node = open(|_| {}).await?;
            ping::run(&node, args, &mut terminal).await
        }),
        Command::Tasks(args) => online(async {
            let node = open(|_| {}).await?;
            tasks::run(&node, &args.command, &mut terminal).await
        }),
        Command::Call(args) => online(async {
            let node = open(|_| {}).await?;
            call::run(&node, args, Pipes::standard(), &mut terminal).await
        }),
    };
    let status = ended.unwrap_or_else(|exit| terminal.end(&exit));
    ExitCode::from(status.code())
}

/// Runs a command until it ends or a signal ends it. What it has under way is dropped then, which
/// cancels its calls; the node sees that out when it closes, before this returns. A second signal does
/// not wait for it.
fn online(command: impl Future<Output = Result<Status, Exit>>) -> Result<Status, Exit> {
    block_on(async {
        let mut signals = Signals::listen()?;
        tokio::select! {
            ended = command => ended,
            status = signals.next() => {
                tokio::task::spawn_local(async move {
                    std::process::exit(signals.next().await.code().into());
                });
                Ok(status)
            }
        }
    })
}

/// The signals that end a command.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes them from the operating system, which would end the process at once.
    fn listen() -> Result<Self, Exit> {
        let failed =
            |error| Exit::new(Status::Usage, format!("cannot listen for signals: {error}"));
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let terminate = signal(SignalKind::terminate()).map_err(failed)?;
        Ok(Signals { interrupt, terminate })
    }

    async fn next(&mut self) -> Status {
        tokio::select! {
            _ = self.interrupt.recv() => Status::Interrupted,
            _ = self.terminate.recv() => Status::Terminated,
        }
    }
}

/// A node with the configuration of this process.
async fn open(adjust: impl FnOnce(&mut Config)) -> Result<Node, Exit> {
    let mut resolved = farcall::resolve()?;
    adjust(&mut resolved.config);
    Ok(Node::open_with(resolved.config, resolved.transport).await?)
}
