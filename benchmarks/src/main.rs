//! Measures calls and streams between two processes: farcall, other libraries, and the same done by
//! hand.
//!
//! `run` does so over a Unix socket, `redis` through brokers: Redis, and NATS beside it; `tasks` for calls
//! that are recorded on a disk. All start, for every measurement, a fresh server process (`serve`) and a
//! fresh client process (`load`), both this same program, and a fresh broker where there is one. Peers
//! take turns within a round, so that an hour in which the machine is slow is slow for all of them, and
//! every ratio is taken within a round before the median over rounds is. Each writes its section of
//! `RESULTS.md`.
//!
//! | File | Holds |
//! |---|---|
//! | [`contest`] | who is measured beside whom over what |
//! | [`peers`] | what is measured: the [`peers::Peer`] trait, and a file for each peer |
//! | [`broker`], [`programs`], [`python`] | what must be there beside this program |
//! | [`meter`] | what a client process counts while it calls |
//! | [`closed_loop`] | callers that wait for each answer before they call again |
//! | [`paced`] | calls that begin at a steady rate |
//! | [`streaming`] | streams that go as fast as there is room |
//! | [`processor`], [`memory`] | what the kernel says a process used |
//! | [`rounds`], [`child`], [`place`] | the processes of a run and their order |
//! | [`division`] | how two servers share calls |
//! | [`results`], [`goals`] | medians and ratios, and what is wanted of them |
//! | [`document`], [`report`], [`machine`] | `RESULTS.md` |

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

use crate::contest::Contest;
use crate::division::Pace;
use crate::load::Load;
use crate::machine::Machine;
use crate::meter::Others;
use crate::peers::Peer;
use crate::programs::Program;
use crate::rounds::Plan;
use crate::shape::{Shape, Work};

mod broker;
mod child;
mod closed_loop;
mod contest;
mod division;
mod document;
mod frames;
mod goals;
mod lifeline;
mod load;
mod machine;
mod memory;
mod meter;
mod paced;
mod peers;
mod place;
mod processor;
mod programs;
mod python;
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
    /// Measure the peers over Unix sockets in interleaved rounds and write the results.
    Run(RunArguments),
    /// Measure the peers over Redis, and over NATS beside it, in the same way.
    Redis(RedisArguments),
    /// Measure how fast recoverable calls are recorded, beside the database and the disk alone.
    Tasks(TasksArguments),
    /// Echo or stream at a socket or broker; prints `ready`, ends when standard input closes.
    Serve(ServeArguments),
    /// Call the server at a socket or broker for a while, or stream; prints one line of JSON.
    Load(LoadArguments),
    /// Open connections, make one call on each, and keep them; prints `ready`, ends when standard
    /// input closes.
    Hold(HoldArguments),
}

/// What every run has.
#[derive(Debug, Args)]
struct RoundsArguments {
    /// How often everything is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long one measurement lasts, after its warm-up.
    #[arg(long, default_value = "1", value_parser = seconds)]
    seconds: Duration,
    /// Payload sizes of calls, in bytes.
    #[arg(long, value_delimiter = ',', default_value = "32,1024,65536")]
    sizes: Vec<usize>,
    /// How many calls are in flight at a time.
    #[arg(long, value_delimiter = ',', default_value = "1,64,1024", value_parser = in_flight)]
    in_flight: Vec<usize>,
    /// Where the results are written; a `NOTES.md` beside it is appended.
    #[arg(long, default_value = "RESULTS.md")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct RunArguments {
    #[command(flatten)]
    rounds: RoundsArguments,
    /// The peers that take part, by name; all of them if left out.
    #[arg(long, value_name = "PEER", value_delimiter = ',', value_parser = peer_names(peers::UNIX.iter().copied()))]
    only: Vec<&'static dyn Peer>,
    /// What is measured: calls, and kinds of streams.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "calls,server-stream,client-stream,both-ways"
    )]
    work: Vec<Work>,
    /// Sizes of streams' items, in bytes.
    #[arg(long, value_delimiter = ',', default_value = "64,65536")]
    item_sizes: Vec<usize>,
    /// How many streams are open at a time.
    #[arg(long, value_delimiter = ',', default_value = "1,16", value_parser = streams)]
    streams: Vec<usize>,
}

#[derive(Debug, Args)]
struct RedisArguments {
    #[command(flatten)]
    rounds: RoundsArguments,
    /// The peers that take part, by name; all of them if left out.
    #[arg(long, value_name = "PEER", value_delimiter = ',', value_parser = peer_names(peers::REDIS.iter().copied()))]
    only: Vec<&'static dyn Peer>,
    /// Programs that are not there, and whose peers take no part.
    #[arg(long, value_name = "PROGRAM", value_enum, value_delimiter = ',')]
    without: Vec<Program>,
    /// How fast calls come that are divided between two servers: in flight, or begun per second (`/s`).
    #[arg(
        long,
        value_name = "PACE",
        value_delimiter = ',',
        default_value = "1,64,1024,200/s,2000/s"
    )]
    divide: Vec<Pace>,
}

#[derive(Debug, Args)]
struct TasksArguments {
    #[command(flatten)]
    rounds: RoundsArguments,
    /// The peers that take part, by name; all of them if left out.
    #[arg(long, value_name = "PEER", value_delimiter = ',', value_parser = peer_names(peers::TASKS.iter().copied()))]
    only: Vec<&'static dyn Peer>,
}

#[derive(Debug, Args)]
struct PeerArguments {
    #[arg(value_parser = peer_names(peers::all()))]
    peer: &'static dyn Peer,
    /// The path of a socket, or the URL of a broker.
    at: String,
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
    /// How many calls begin in a second, whatever became of those before.
    #[arg(long)]
    per_second: Option<u32>,
    /// A server's process, whose processor time is measured too.
    #[arg(long, required = true)]
    server_pid: Vec<u32>,
    /// The broker's process, whose processor time is measured too.
    #[arg(long)]
    broker_pid: Option<u32>,
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
        Command::Redis(arguments) => redis(arguments),
        Command::Tasks(arguments) => tasks(arguments),
        Command::Serve(ServeArguments { at: PeerArguments { peer, at }, work }) => {
            lifeline::end_with_standard_input();
            memory::allow_many_connections()?;
            let ready = lifeline::Ready::new();
            match work {
                Work::Calls => peer.serve(&at, ready),
                _ => peer.streaming().context("it has no streams")?.serve(work, &at, ready),
            }
        }
        Command::Load(LoadArguments {
            at: PeerArguments { peer, at },
            work,
            size,
            in_flight,
            seconds,
            per_second,
            server_pid,
            broker_pid,
        }) => {
            let others = Others { servers: server_pid, broker: broker_pid, at };
            let load = Load::new(Shape { work, size, in_flight }, per_second, seconds, others);
            let measurement = load.measure(peer)?;
            println!("{}", serde_json::to_string(&measurement)?);
            Ok(())
        }
        Command::Hold(HoldArguments { at: PeerArguments { peer, at }, connections }) => {
            lifeline::end_with_standard_input();
            memory::allow_many_connections()?;
            peer.hold(&at, connections, lifeline::Ready::new())
        }
    }
}

fn run(arguments: RunArguments) -> anyhow::Result<()> {
    let RunArguments { rounds, only, work, item_sizes, streams } = arguments;
    let plan = Plan {
        peers: if only.is_empty() { peers::UNIX.to_vec() } else { only },
        works: work,
        item_sizes,
        streams,
        ..plan(&contest::UNIX, &rounds)
    };
    measure(&plan, &rounds.out)
}

fn redis(arguments: RedisArguments) -> anyhow::Result<()> {
    let RedisArguments { rounds, only, without, divide } = arguments;
    let mut peers = if only.is_empty() { peers::REDIS.to_vec() } else { only };
    peers.retain(|peer| !Program::of(*peer).any(|program| without.contains(&program)));
    let plan = Plan { peers, paces: divide, ..plan(&contest::REDIS, &rounds) };
    measure(&plan, &rounds.out)
}

fn tasks(arguments: TasksArguments) -> anyhow::Result<()> {
    let TasksArguments { rounds, only } = arguments;
    let peers = if only.is_empty() { peers::TASKS.to_vec() } else { only };
    measure(&Plan { peers, ..plan(&contest::TASKS, &rounds) }, &rounds.out)
}

/// Calls of nobody yet.
fn plan(contest: &'static Contest, arguments: &RoundsArguments) -> Plan {
    let RoundsArguments { rounds, seconds, sizes, in_flight, .. } = arguments;
    Plan {
        contest,
        rounds: *rounds,
        seconds: *seconds,
        peers: Vec::new(),
        works: vec![Work::Calls],
        sizes: sizes.clone(),
        in_flight: in_flight.clone(),
        item_sizes: Vec::new(),
        streams: Vec::new(),
        paces: Vec::new(),
    }
}

fn measure(plan: &Plan, out: &Path) -> anyhow::Result<()> {
    ensure!(!plan.peers.is_empty(), "nobody is left to take part");
    let programs = programs::prepare(&plan.peers)?;
    let machine = Machine::read(programs)?;
    let notes = read(&out.with_file_name("NOTES.md"))?;
    // A run takes minutes: that its results cannot be written is better known before it.
    let cannot_write = || format!("cannot write {}", out.display());
    File::options().append(true).create(true).open(out).with_context(cannot_write)?;

    let results = rounds::run(plan)?;
    let section = report::markdown(plan, &machine, &results);
    let before = read(out)?.unwrap_or_default();
    let document = document::with(&before, plan.contest, &section, notes.as_deref());
    fs::write(out, document).with_context(cannot_write)?;
    eprintln!("wrote {}", out.display());

    if !results.failures().is_empty() {
        bail!("{} measurements failed; the results name them", results.failures().len());
    }
    Ok(())
}

/// A file's text, if there is such a file.
fn read(path: &Path) -> anyhow::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn peer_names(
    peers: impl IntoIterator<Item = &'static dyn Peer>,
) -> impl TypedValueParser<Value = &'static dyn Peer> {
    PossibleValuesParser::new(peers.into_iter().map(|peer| peer.name()))
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
