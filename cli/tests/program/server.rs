//! A server for the program to call: in this process, or in one of its own that may die.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use farcall::Config;
use farcall::config::{Layers, Resolved};
use farcall::prelude::*;
use farcall::service::IntoService;
use futures::executor::block_on;
use rustix::process::{Pid, Signal, kill_process};

use crate::stream_service::{LineServer, Straight, streams};

/// As in `examples/calc_server.rs`, and a method that does not end.
#[farcall::service]
trait Calc {
    /// Adds two numbers.
    async fn add(&self, a: i64, b: i64) -> i64;
    async fn div(&self, a: f64, b: f64) -> Result<f64, CalcError>;
    #[farcall(idempotent)]
    async fn sleep(&self, ms: u64) -> u64;
    #[farcall(idempotent)]
    async fn echo(&self, bytes: &[u8]) -> Vec<u8>;
    #[farcall(idempotent)]
    async fn whoami(&self, ctx: &Context) -> String;
    async fn boom(&self);
    async fn never(&self);
    /// Moves a point.
    #[farcall(timeout = "5s")]
    async fn shift(&self, point: Point, steps: Vec<Step>, name: Option<String>) -> Point;
}

/// A point of the plane.
#[farcall::data]
struct Point {
    x: f64,
    #[serde(default)]
    y: f64,
}

#[farcall::data]
enum Step {
    Back,
    By { x: f64, y: f64 },
}

#[farcall::data]
#[derive(Debug)]
enum CalcError {
    DivisionByZero,
}

impl fmt::Display for CalcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("division by zero")
    }
}

/// Says when handlers have begun, and when they were dropped.
#[derive(Clone)]
pub(crate) struct Signs {
    started: Sender<()>,
    ended: Sender<()>,
}

/// Tells of `sleep` and `never`.
struct Calculator(Signs);

impl Signs {
    pub(crate) fn begin(&self) -> Guard {
        // Not every test listens.
        let _ = self.started.send(());
        Guard(self.ended.clone())
    }
}

impl Calc for Calculator {
    async fn add(&self, a: i64, b: i64) -> i64 {
        a + b
    }

    async fn div(&self, a: f64, b: f64) -> Result<f64, CalcError> {
        if b == 0.0 { Err(CalcError::DivisionByZero) } else { Ok(a / b) }
    }

    async fn sleep(&self, ms: u64) -> u64 {
        let _guard = self.0.begin();
        tokio::time::sleep(Duration::from_millis(ms)).await;
        ms
    }

    async fn echo(&self, bytes: &[u8]) -> Vec<u8> {
        bytes.to_vec()
    }

    async fn whoami(&self, ctx: &Context) -> String {
        ctx.server_id().to_owned()
    }

    async fn boom(&self) {
        panic!("boom, as asked");
    }

    async fn never(&self) {
        let _guard = self.0.begin();
        std::future::pending::<()>().await;
    }

    async fn shift(&self, point: Point, steps: Vec<Step>, _name: Option<String>) -> Point {
        steps.into_iter().fold(point, |Point { x, y }, step| match step {
            Step::Back => Point { x: 0.0, y: 0.0 },
            Step::By { x: right, y: up } => Point { x: x + right, y: y + up },
        })
    }
}

/// A server, until it is dropped.
pub(crate) struct Server {
    node: Node,
    started: Receiver<()>,
    ended: Receiver<()>,
}

/// Says when a handler's future is dropped.
pub(crate) struct Guard(Sender<()>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

impl Server {
    /// Serves `calc` in a folder of sockets, with more settings, as variables are named.
    pub(crate) fn start(sockets: &Path, settings: &[(&str, &str)]) -> Server {
        Server::serving(sockets, settings, |signs| CalcServer::new(Calculator(signs)))
    }

    /// Serves [`streams`](stream_service::streams).
    pub(crate) fn start_streams(sockets: &Path) -> Server {
        Server::serving(sockets, &[], streams)
    }

    /// Serves [`line`](stream_service::Line).
    pub(crate) fn start_line(sockets: &Path) -> Server {
        Server::start_line_with(sockets, &[])
    }

    /// The same, with more settings.
    pub(crate) fn start_line_with(sockets: &Path, settings: &[(&str, &str)]) -> Server {
        Server::serving(sockets, settings, |_| LineServer::new(Straight))
    }

    fn serving<S: IntoService>(
        sockets: &Path,
        settings: &[(&str, &str)],
        service: impl FnOnce(Signs) -> S,
    ) -> Server {
        let (send_started, started) = channel();
        let (send_ended, ended) = channel();
        let signs = Signs { started: send_started, ended: send_ended };
        let node = open(sockets, settings);
        block_on(node.serve(service(signs))).unwrap();
        Server { node, started, ended }
    }

    /// Waits until a handler has begun that says so.
    pub(crate) fn wait_started(&self) {
        self.started.recv_timeout(PATIENCE).unwrap();
    }

    /// Waits until such a handler was dropped.
    pub(crate) fn wait_cancelled(&self) {
        self.ended.recv_timeout(PATIENCE).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        block_on(self.node.close());
    }
}

fn open(sockets: &Path, settings: &[(&str, &str)]) -> Node {
    let sockets = ("FARCALL_UNIX__SOCKET_DIR", sockets.to_str().unwrap());
    let variables = settings.iter().chain([&sockets]);
    let variables = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let layers = Layers::new(None, variables).unwrap();
    let Resolved { config, transport, .. } =
        Config::resolve(&layers, farcall::transports()).unwrap();
    block_on(Node::open_with(config, transport)).unwrap()
}

/// A server in a process of its own: this test program, told to run nothing but
/// [`a_server_ends_with_whoever_started_it`].
pub(crate) struct ServerProcess {
    child: Child,
    started: Receiver<()>,
}

impl ServerProcess {
    /// Serves `calc`.
    pub(crate) fn start(sockets: &Path) -> ServerProcess {
        ServerProcess::serving(sockets, "calc")
    }

    /// Serves [`streams`](stream_service::streams).
    pub(crate) fn start_streams(sockets: &Path) -> ServerProcess {
        ServerProcess::serving(sockets, "streams")
    }

    fn serving(sockets: &Path, service: &str) -> ServerProcess {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "server::a_server_ends_with_whoever_started_it"])
            .env(SERVE_IN, sockets)
            .env(SERVE, service);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (send_started, started) = channel();
        thread::spawn(move || {
            for _ in lines.map_while(Result::ok).filter(|line| line == STARTED) {
                let _ = send_started.send(());
            }
        });
        ServerProcess { child, started }
    }

    /// Waits until a handler has begun that says so.
    pub(crate) fn wait_started(&self) {
        self.started.recv_timeout(PATIENCE).unwrap();
    }

    /// Stops it, as a debugger would: it lives and does nothing.
    pub(crate) fn stop(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
    }

    /// Kills it, as `kill -9` does.
    pub(crate) fn kill(&self) {
        kill_process(Pid::from_child(&self.child), Signal::KILL).unwrap();
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(20);

const SERVE_IN: &str = "SERVE_IN";
const SERVE: &str = "SERVE";

/// The line by which a server's process says that a method has begun.
const STARTED: &str = "started";

/// As a process of its own, which `SERVE_IN` makes it, this is the server of other tests.
#[test]
fn a_server_ends_with_whoever_started_it() {
    let Some(sockets) = std::env::var_os(SERVE_IN) else {
        let sockets = tempfile::tempdir().unwrap();
        let mut process = ServerProcess::start(sockets.path());
        drop(process.child.stdin.take());
        assert!(process.child.wait().unwrap().success());
        return;
    };
    let sockets = Path::new(&sockets);
    let server = match std::env::var(SERVE).as_deref() {
        Ok("streams") => Server::start_streams(sockets),
        _ => Server::start(sockets, &[]),
    };
    thread::spawn(|| {
        // Ends with whoever started it.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        std::process::exit(0);
    });
    while server.started.recv().is_ok() {
        // Not by a macro that prints: tests keep what those say to themselves.
        writeln!(io::stderr(), "{STARTED}").unwrap();
    }
}
