//! Calls over Redis by redis-py, as small libraries make them: a baseline.
//!
//! Another program takes this one's place, with the same arguments. It counts and measures by itself.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, bail};

use super::Peer;
use crate::broker::Via;
use crate::lifeline::Ready;
use crate::load::Load;
use crate::python::interpreter;

const PROGRAM: &str = include_str!("python/echo.py");

/// One way of writing it.
#[derive(Debug)]
pub(crate) struct Python {
    name: &'static str,
    about: &'static str,
}

/// With threads, which is how most are written.
pub(crate) static PYTHON: Python = Python {
    name: "python",
    about: "Python with redis-py, in a few lines, over the Unix socket: a list of requests and one of \
            replies for each caller (RPUSH, BLPOP), no encoding; callers are threads with a connection \
            each, the server answers one call after the other. Every call is timed.",
};

/// With coroutines.
pub(crate) static PYTHON_ASYNCIO: Python = Python {
    name: "python-asyncio",
    about: "The same with `asyncio`: callers are tasks, the server has 16 of them.",
};

impl Peer for Python {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn via(&self) -> Option<Via> {
        Some(Via::RedisUnix)
    }

    fn in_python(&self) -> bool {
        true
    }

    fn shares(&self) -> bool {
        false
    }

    fn serve(&self, at: &str, _: Ready) -> anyhow::Result<()> {
        self.run(Command::new(interpreter()?).args(["-c", PROGRAM, "serve", self.name, at]))
    }

    fn load(&self, at: &str, load: &Load) -> anyhow::Result<()> {
        let broker = load.others.broker.context("Python measures a broker too")?;
        let mut command = Command::new(interpreter()?);
        command
            .args(["-c", PROGRAM, "load", self.name, at])
            .args(["--size", &load.shape.size.to_string()])
            .args(["--in-flight", &load.shape.in_flight.to_string()])
            .args(["--seconds", &load.window.as_secs_f64().to_string()])
            .args(["--broker-pid", &broker.to_string()]);
        for server in &load.others.servers {
            command.args(["--server-pid", &server.to_string()]);
        }
        self.run(&mut command)
    }

    fn hold(&self, _: &str, _: usize, _: Ready) -> anyhow::Result<()> {
        bail!("its connections are the broker's")
    }
}

impl Python {
    /// Ends only with an error: a program that runs does so in this one's place.
    fn run(&self, command: &mut Command) -> anyhow::Result<()> {
        Err(command.exec()).with_context(|| format!("cannot become the program of `{}`", self.name))
    }
}
