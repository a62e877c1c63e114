//! A server for the program to call: in this process, or in one of its own that may die.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use farcall_core::config::{Layers, Resolved};
use farcall_core::{Bytes, Config, Context, Functions, Node};
use farcall_transport_unix::UnixKind;
use futures::executor::block_on;
use rustix::process::{Pid, Signal, kill_process};

/// A server of `calc`, until it is dropped.
pub(crate) struct Server {
    node: Node,
    started: Receiver<()>,
    cancelled: Receiver<()>,
}

/// Says when a handler's future is dropped.
struct Guard(Sender<()>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

impl Server {
    /// Serves in a folder of sockets, with more settings, as variables are named.
    pub(crate) fn start(sockets: &Path, settings: &[(&str, &str)]) -> Server {
        let (send_started, started) = channel();
        let (send_cancelled, cancelled) = channel();
        let never = move || {
            let (started, guard) = (send_started.clone(), Guard(send_cancelled.clone()));
            async move {
                started.send(()).unwrap();
                let _guard = guard;
                std::future::pending::<()>().await;
            }
        };
        let node = open(sockets, settings);
        block_on(node.serve(calc().add("never", never))).unwrap();
        Server { node, started, cancelled }
    }

    /// Waits until `never` has begun.
    pub(crate) fn wait_started(&self) {
        self.started.recv_timeout(Duration::from_secs(20)).unwrap();
    }

    /// Waits until `never` was cancelled.
    pub(crate) fn wait_cancelled(&self) {
        self.cancelled.recv_timeout(Duration::from_secs(20)).unwrap();
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
    let Resolved { config, transport, .. } = Config::resolve(&layers, &[&UnixKind]).unwrap();
    block_on(Node::open_with(config, transport)).unwrap()
}

fn calc() -> Functions {
    Functions::new("calc")
        .add("add", |a: i64, b: i64| a + b)
        .try_add(
            "div",
            |a: f64, b: f64| {
                if b == 0.0 { Err("division by zero".to_owned()) } else { Ok(a / b) }
            },
        )
        .add("echo", |bytes: Bytes| bytes)
        .add("whoami", |ctx: Context| ctx.server_id().to_owned())
        .add("boom", || -> i64 { panic!("on purpose") })
        .add("die", || -> i64 { std::process::abort() })
}

/// A server in a process of its own: this test program, told to run nothing but [`serve`].
pub(crate) struct ServerProcess(Child);

impl ServerProcess {
    pub(crate) fn start(sockets: &Path) -> ServerProcess {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "server::serve", "--ignored"]).env(SERVE_IN, sockets);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        ServerProcess(command.spawn().unwrap())
    }

    /// Stops it, as a debugger would: it lives and does nothing.
    pub(crate) fn stop(&self) {
        kill_process(Pid::from_child(&self.0), Signal::STOP).unwrap();
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const SERVE_IN: &str = "SERVE_IN";

#[test]
#[ignore = "not a test: the server of others, in its own process"]
fn serve() {
    if let Some(sockets) = std::env::var_os(SERVE_IN) {
        let _server = Server::start(Path::new(&sockets), &[]);
        // Ends with whoever started it.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    }
}
