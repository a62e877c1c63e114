//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use farcall::TaskToken;
use farcall::config::Layers;

/// Below the help of every command.
const EXIT: &str = "\
Exit status:
    0  done
    1  the remote method failed: its own error, a panic, a result that cannot travel
    2  usage, configuration, unknown method, wrong arguments or items: the same would fail again
    3  no server could take the call: there is none, or all are busy or about to stop
    4  a deadline ended it, before it was sent or after
    5  outcome unknown: its server was lost
   74  standard output cannot be written
  130  Ctrl-C
  143  SIGTERM

A call that a signal ends is cancelled first. A reader of the answers that has seen enough, as
`head` has, is no failure: it cancels the call too, with status 0.

Answers go to standard output, everything else to standard error.";

const CONFIGURATION: &str = "\
Configuration: the file that FARCALL_CONFIG names, else farcall.toml here if there is one; over it
variables, such as FARCALL_TRANSPORT=unix or FARCALL_CLIENT__WAIT_FOR_SERVER=1s.";

/// Calls between processes: check a configuration, see who serves, call a method.
#[derive(Debug, Parser)]
#[command(
    name = "farcall",
    version,
    after_long_help = format!("\
Examples:
  farcall check
  farcall list
  farcall describe calc
  farcall call calc add 1 2

{CONFIGURATION}

{EXIT}")
)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Check(CheckArgs),
    List(ListArgs),
    Describe(DescribeArgs),
    Call(CallArgs),
    Ping(PingArgs),
    Tasks(TasksArgs),
}

/// Recorded calls: list them, wait for one, cancel it, try a dead one again.
///
/// A task has a token, which `farcall call --start` prints. It is asked for at the servers of its service,
/// whichever has it now.
#[derive(Debug, clap::Args)]
#[command(after_long_help = format!("\
Examples:
  farcall call --start calc report may 5000
  farcall tasks result TOKEN
  farcall tasks list calc
  farcall tasks list calc --json | jq '.[] | select(.state == \"dead\") | .token'

{CONFIGURATION}

{EXIT}"))]
pub(crate) struct TasksArgs {
    #[command(subcommand)]
    pub(crate) command: TasksCommand,
}

/// What to do about tasks.
#[derive(Debug, Subcommand)]
pub(crate) enum TasksCommand {
    /// The tasks of a service, the newest first
    List(TasksListArgs),
    /// How a task stands
    Show(TaskArgs),
    /// Waits for a task's outcome, and prints it as `farcall call` does
    Result(TaskResultArgs),
    /// Tries a dead task again, as a new one, and prints its token
    Retry(TaskArgs),
    /// Cancels a task, and prints how it has ended
    Cancel(TaskArgs),
    /// Forgets a task that has ended, with its outcome and its key
    Purge(TaskArgs),
}

/// Which tasks.
#[derive(Debug, clap::Args)]
pub(crate) struct TasksListArgs {
    /// The service
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,

    /// No more than so many
    #[arg(long, value_name = "N", default_value = "100",
          value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) limit: u64,

    /// Print JSON, a failure too
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which task.
#[derive(Debug, clap::Args)]
pub(crate) struct TaskArgs {
    /// Its token
    #[arg(value_name = "TOKEN")]
    pub(crate) token: TaskToken,

    /// Print JSON, a failure too
    #[arg(long)]
    pub(crate) json: bool,
}

/// Whose outcome, and for how long to wait.
#[derive(Debug, clap::Args)]
pub(crate) struct TaskResultArgs {
    #[command(flatten)]
    pub(crate) task: TaskArgs,

    /// Wait no longer than this
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    /// Print a result that is text or bytes as it is: text as a line, bytes without one
    #[arg(long)]
    pub(crate) raw: bool,
}

/// Is this configuration good, and what would be used.
///
/// Prints every setting in force and who said so: the file, a variable or the default. The output is
/// TOML, with secrets hidden. Mistakes are told all at once. Nothing is opened or called.
#[derive(Debug, clap::Args)]
#[command(after_long_help = format!("\
Examples:
  farcall check
  farcall check deploy/fleet.toml
  FARCALL_TRANSPORT=unix farcall check --json | jq .settings

{CONFIGURATION}

{EXIT}"))]
pub(crate) struct CheckArgs {
    /// The file to check, instead of the one that programs would find here
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// Print JSON, mistakes too
    #[arg(long)]
    pub(crate) json: bool,
}

/// Live services, servers, clients, and load.
///
/// Asks each server how it is. One that does not answer in time is listed as unresponsive.
#[derive(Debug, clap::Args)]
#[command(after_long_help = format!("\
Examples:
  farcall list
  farcall list calc
  farcall list --json | jq '.servers[] | select(.waiting > 0)'

{CONFIGURATION}

{EXIT}"))]
pub(crate) struct ListArgs {
    /// The service whose servers to list; otherwise those of all
    #[arg(value_name = "SERVICE")]
    pub(crate) service: Option<String>,

    /// How long a server has to answer
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub(crate) timeout: Duration,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a service offers: methods, parameters, docs, and the types they name.
///
/// One of its live servers is asked. With --json the JSON Schemas are printed too.
#[derive(Debug, clap::Args)]
#[command(after_long_help = format!("\
Types are told in short: numbers as in Rust, [T] for lists, {{ name: T }} for fields, {{ name?: T }} for
those that may be left out, {{ text: T }} for maps, and | between alternatives. A schema that --json
does not show is that of anything.

Examples:
  farcall describe calc
  farcall describe calc --json | jq '.methods[].name'

{CONFIGURATION}

{EXIT}"))]
pub(crate) struct DescribeArgs {
    /// The service
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,

    /// How long to wait for a server and its answer, instead of client.timeout
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    /// Print JSON, a failure too
    #[arg(long)]
    pub(crate) json: bool,
}

/// The round trip to each server of a service.
///
/// Servers answer also when they are busy or draining. All are asked at once, each so many times in a
/// row.
#[derive(Debug, clap::Args)]
#[command(after_long_help = format!("\
Examples:
  farcall ping calc
  farcall ping --count 1000 calc
  farcall ping calc --json | jq '.servers[].mean_us'

{CONFIGURATION}

{EXIT}"))]
pub(crate) struct PingArgs {
    /// The service
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,

    /// Ask each server so many times
    #[arg(long, value_name = "N", default_value = "4",
          value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) count: u64,

    /// How long a server has to answer, each time
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub(crate) timeout: Duration,

    /// Print JSON, a failure too
    #[arg(long)]
    pub(crate) json: bool,
}

/// Call a method, and print its result as one line of JSON, or each item of a stream as it comes.
///
/// The method's server is asked for its parameters first (see `farcall describe`), and arguments are
/// fitted to their schemas. The method's own timeout holds, and an idempotent one may run again if its
/// server dies. Ctrl-C cancels the call at its server. A call of a recoverable method is a task, which goes on: a
/// wait that ends first says its token.
#[derive(Debug, clap::Args)]
#[command(after_long_help = format!("\
Arguments are JSON. Where the parameter is
  text      any word is text, also 1 or true; in quotes it is a JSON string
  bytes     the characters are sent; also @file, @- (standard input), base64:AP8=, [0, 255]
  a float   a number, NaN, inf, -inf
  an enum   the name of a variant without fields; any other in JSON
  not told  JSON, and a word that is no JSON is text
name=value is an argument by name, if the method has a parameter of that name.
Put -- before arguments that begin with a dash and are no numbers.

Streams:
  A stream of results is printed an item a line, as the items come. A failure comes after them.
  A parameter that is a stream has no argument: its items are the lines of standard input, by the
  same rules, but for @file; blank ones are skipped unless they are text. They are read no faster
  than they are taken. A line that does not fit ends the call. One stream can be read so.
  Calls with streams have no deadline but that of --timeout or the method, which is for the whole.

Results are JSON. What JSON lacks is written so, and read back in arguments:
  bytes                          {{\"base64\": \"AP8=\"}}
  NaN and infinities             \"NaN\", \"inf\", \"-inf\"
  a map with keys of other types [[key, value], ...]
  integers of up to 128 bits     numbers with all their digits

Examples:
  farcall call calc add 1 2
  farcall call --timeout 500ms calc div a=1 b=3
  farcall call --raw images thumbnail @photo.png width=64 > small.png
  farcall call --count 3 calc whoami
  farcall call clock ticks 100 | head -3
  seq 10 | farcall call calc sum

{CONFIGURATION}

{EXIT}"))]
pub(crate) struct CallArgs {
    /// The service
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,

    /// The method
    #[arg(value_name = "METHOD")]
    pub(crate) method: String,

    /// Its arguments, by position or by name
    #[arg(value_name = "ARG|NAME=VALUE", allow_negative_numbers = true)]
    pub(crate) arguments: Vec<String>,

    /// The deadline of each call, instead of the method's or client.timeout; the first includes
    /// finding the server, and a stream's is that of the whole
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    /// Call so many times, one after the other; the exit status is that of the first failure. Not
    /// for methods that read standard input
    #[arg(long, value_name = "N", default_value = "1",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: u64,

    /// Print the token of the task as soon as it is recorded, and do not wait for its outcome (see `farcall
    /// tasks`). For recoverable methods
    #[arg(long)]
    pub(crate) start: bool,

    /// Print a result or item that is text or bytes as it is: text as a line, bytes without one
    #[arg(long)]
    pub(crate) raw: bool,

    /// Print a failure as one line of JSON too, on standard error
    #[arg(long)]
    pub(crate) json: bool,
}

/// A duration as the configuration writes it.
fn duration(text: &str) -> Result<Duration, String> {
    const RANGE: std::ops::RangeInclusive<Duration> =
        Duration::from_millis(1)..=Duration::from_secs(24 * 3600);
    let layers = [("FARCALL_TIMEOUT".to_owned(), text.to_owned())];
    let layers = Layers::new(None, layers).map_err(|error| error.to_string())?;
    let mut reading = layers.read();
    let duration = reading.root().optional_duration("timeout", RANGE);
    let help = match reading.finish() {
        Ok(_) => None,
        Err(error) => error.mistakes().first().and_then(|mistake| mistake.help.clone()),
    };
    duration.ok_or_else(|| {
        help.unwrap_or_else(|| "a duration from 1ms to 24h, such as 2s or 1m30s".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn call(line: &str) -> CallArgs {
        match Args::try_parse_from(line.split(' ')).unwrap().command {
            Command::Call(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn numbers_below_zero_are_arguments() {
        assert_eq!(call("farcall call calc add -1 -2.5e3").arguments, ["-1", "-2.5e3"]);
        assert_eq!(call("farcall call calc f -- -inf").arguments, ["-inf"]);
    }

    #[test]
    fn options_may_stand_anywhere() {
        let args = call("farcall call calc add 1 --timeout 2s 2");
        assert_eq!(args.timeout, Some(Duration::from_secs(2)));
        assert_eq!(args.arguments, ["1", "2"]);
    }

    #[test]
    fn durations_are_those_of_the_configuration() {
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert!(duration("2").unwrap_err().contains("2s"));
        for text in ["0s", "", "soon", "25h"] {
            assert!(duration(text).unwrap_err().contains("1m30s"), "{text}");
        }
    }

    #[test]
    fn no_calls_at_all_is_a_mistake() {
        assert!(Args::try_parse_from(["farcall", "call", "--count", "0", "a", "b"]).is_err());
    }
}
