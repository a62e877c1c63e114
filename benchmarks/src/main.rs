//! Measures calls and streams between two processes over a Unix socket: farcall, other libraries, and sockets
//! used raw.
//!
//! `run` starts, for every measurement, a fresh server process (`serve`) and a fresh client process
//! (`load`), both this same program. Peers take turns within a round, so that an hour in which the
//! machine is slow is slow for all of them, and every ratio is taken within a round before the
//! median over rounds is. `run` writes `RESULTS.md`.
//!
//! | File | Holds |
//! |---|---|
//! | [`peers`] | what is measured: the [`peers::Peer`] trait, and a file for each peer |
//! | [`meter`] | what a client process counts while it calls |
//! | [`closed_loop`] | callers that wait for each answer before they call again |
//! | [`streaming`] | streams that go as fast as there is room |
//! | [`processor`], [`memory`] | what the kernel says a process used |
//! | [`rounds`], [`child`] | the processes of a run and their order |
//! | [`results`], [`goals`] | medians and ratios, and what is wanted of them |
//! | [`report`], [`machine`] | `RESULTS.md` |

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

use crate::load::Load;
use crate::peers::Peer;
use crate::rounds::Plan;
use crate::shape::{Shape, Work};

mod child;
mod closed_loop;
mod frames;
mod goals;
mod lifeline;
mod load;
mod machine;
mod memory;
mod meter;
mod peers;
mod processor;
mod report;
mod results;
mod rounds;
mod shape;
mod streaming;

/// Measures farcall beside raw sockets and other libraries.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure the peers in interleaved rounds and write the results.
    Run(RunArguments),
    /// Echo or stream at a socket; prints `ready`, ends when standard input closes.
    Serve(ServeArguments),
    /// Call the server at a socket for a while, or stream; prints one line of JSON.
    Load(LoadArguments),
    /// Open connections, make one call on each, and keep them; prints `ready`, ends when standard
    /// input closes.
    Hold(HoldArguments),
}

#[derive(Debug, Args)]
struct RunArguments {
    /// How often everything is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long one measurement lasts, after its warm-up.
    #[arg(long, default_value = "1", value_parser = seconds)]
    seconds: Duration,
    /// The peers that take part, by name; all of them if left out.
    #[arg(long, value_name = "PEER", value_delimiter = ',', value_parser = peer_names())]
    only: Vec<&'static dyn Peer>,
    /// What is measured: calls, and kinds of streams.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "calls,server-stream,client-stream,both-ways"
    )]
    work: Vec<Work>,
    /// Payload sizes of calls, in bytes.
    #[arg(long, value_delimiter = ',', default_value = "32,1024,65536")]
    sizes: Vec<usize>,
    /// How many calls are in flight at a time.
    #[arg(long, value_delimiter = ',', default_value = "1,64,1024", value_parser = in_flight)]
    in_flight: Vec<usize>,
    /// Sizes of streams' items, in bytes.
    #[arg(long, value_delimiter = ',', default_value = "64,65536")]
    item_sizes: Vec<usize>,
    /// How many streams are open at a time.
    #[arg(long, value_delimiter = ',', default_value = "1,16", value_parser = streams)]
    streams: Vec<usize>,
    /// Where the results are written; a `NOTES.md` beside it is appended.
    #[arg(long, default_value = "RESULTS.md")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct PeerArguments {
    #[arg(value_parser = peer_names())]
    peer: &'static dyn Peer,
    socket: PathBuf,
}

#[derive(Debug, Args)]
struct ServeArguments {
    #[command(flatten)]
    at: PeerArguments,
    /// What is served.
    #[arg(long, value_enum, default_value = "calls")]
    work: Work,
}

#[derive(Debug, Args)]
struct LoadArguments {
    #[command(flatten)]
    at: PeerArguments,
    /// What travels.
    #[arg(long, value_enum, default_value = "calls")]
    work: Work,
    /// Payload size of calls or items, in bytes.
    #[arg(long)]
    size: usize,
    /// How many calls are in flight, or streams open, at a time.
    #[arg(long, value_parser = in_flight)]
    in_flight: usize,
    /// How long to measure, after the warm-up.
    #[arg(long, value_parser = seconds)]
    seconds: Duration,
    /// The server's process, whose processor time is measured too.
    #[arg(long)]
    server_pid: u32,
}

#[derive(Debug, Args)]
struct HoldArguments {
    #[command(flatten)]
    at: PeerArguments,
    /// How many connections to open.
    #[arg(long)]
    connections: usize,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Run(arguments) => run(arguments),
        Command::Serve(ServeArguments { at: PeerArguments { peer, socket }, work }) => {
            lifeline::end_with_standard_input();
            memory::allow_many_connections()?;
            let ready = lifeline::Ready::new();
            match work {
                Work::Calls => peer.serve(&socket, ready),
                _ => peer.streaming().context("it has no streams")?.serve(work, &socket, ready),
            }
        }
        Command::Load(LoadArguments {
            at: PeerArguments { peer, socket },
            work,
            size,
            in_flight,
            seconds,
            server_pid,
        }) => {
            let load = Load::new(Shape { work, size, in_flight });
            let measurement = load.measure(peer, &socket, seconds, server_pid)?;
            println!("{}", serde_json::to_string(&measurement)?);
            Ok(())
        }
        Command::Hold(HoldArguments { at: PeerArguments { peer, socket }, connections }) => {
            lifeline::end_with_standard_input();
            memory::allow_many_connections()?;
            peer.hold(&socket, connections, lifeline::Ready::new())
        }
    }
}

fn run(arguments: RunArguments) -> anyhow::Result<()> {
    let plan = Plan {
        rounds: arguments.rounds,
        seconds: arguments.seconds,
        peers: if arguments.only.is_empty() { peers::ALL.to_vec() } else { arguments.only },
        works: arguments.work,
        sizes: arguments.sizes,
        in_flight: arguments.in_flight,
        item_sizes: arguments.item_sizes,
        streams: arguments.streams,
    };
    let machine = machine::Machine::read()?;
    let notes = arguments.out.with_file_name("NOTES.md");
    let notes = match fs::read_to_string(&notes) {
        Ok(notes) => Some(notes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", notes.display()));
        }
    };
    // A run takes minutes: that its results cannot be written is better known before it.
    let cannot_write = || format!("cannot write {}", arguments.out.display());
    File::options().append(true).create(true).open(&arguments.out).with_context(cannot_write)?;

    let results = rounds::run(&plan)?;
    let report = report::markdown(&plan, &machine, &results, notes.as_deref());
    fs::write(&arguments.out, report).with_context(cannot_write)?;
    eprintln!("wrote {}", arguments.out.display());

    if !results.failures().is_empty() {
        bail!("{} measurements failed; the results name them", results.failures().len());
    }
    Ok(())
}

fn peer_names() -> impl TypedValueParser<Value = &'static dyn Peer> {
    PossibleValuesParser::new(peers::ALL.iter().map(|peer| peer.name()))
        .map(|name| peers::find(&name).expect("the parser accepts only names of peers"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let duration = text.parse().map_err(|error| format!("{error}")).and_then(|seconds| {
        Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
    })?;
    if duration.is_zero() {
        return Err("must be more than 0".to_owned());
    }
    Ok(duration)
}

fn in_flight(text: &str) -> Result<usize, String> {
    number(text, peers::MOST_IN_FLIGHT)
}

fn streams(text: &str) -> Result<usize, String> {
    number(text, peers::MOST_STREAMS)
}

fn number(text: &str, most: usize) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) if number > most => {
            Err(format!("must be at most {most}, for which the peers' limits are set"))
        }
        Ok(number) => Ok(number),
        Err(error) => Err(error.to_string()),
    }
}
