//! A server in a process of its own.

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use farcall_testkit::Remote;

use crate::{Memory, processor};

/// A process, killed when this is dropped.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    pub(crate) fn new(child: Child) -> Self {
        Process(child)
    }

    /// Asks it to stop, and blocks the calling thread until it has ended.
    pub fn stop(&mut self) -> ExitStatus {
        self.terminate();
        self.wait()
    }

    /// Blocks the calling thread until it has ended.
    pub fn wait(&mut self) -> ExitStatus {
        // Waiting closes it otherwise, and it would end by that.
        let _open = self.0.stdin.take();
        self.0.wait().expect("it is our child")
    }

    /// How it has ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().expect("it is our child")
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Writes a line to its standard input. If it has ended it hears nothing.
    ///
    /// # Panics
    /// It was started without a pipe for them.
    pub fn say(&mut self, line: &str) {
        let input = self.0.stdin.as_mut().expect("a process that is spoken to");
        let _ = writeln!(input, "{line}");
    }

    /// The next line that it says, without its end; empty at the end. Blocks the calling thread until there is
    /// one.
    ///
    /// # Panics
    /// It was started without a pipe for them.
    #[expect(
        clippy::unbuffered_bytes,
        reason = "a buffer would keep what follows the line from the next call"
    )]
    pub fn line(&mut self) -> String {
        let lines = self.0.stdout.as_mut().expect("a process whose lines are read");
        // Byte by byte: nothing is lost between two calls.
        let bytes = lines.bytes().map_while(Result::ok).take_while(|byte| *byte != b'\n');
        String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
    }

    /// Stops it in its tracks (SIGSTOP): its connections stay, and it does nothing.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// The memory that it takes.
    #[must_use]
    pub fn memory(&self) -> Memory {
        Memory::of(self.0.id())
    }

    /// The processor time that it has taken.
    #[must_use]
    pub fn processor(&self) -> Duration {
        processor::of(&format!("/proc/{}/stat", self.0.id()))
    }

    fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status();
        assert!(kill.expect("`kill` is there").success());
    }
}

impl Remote for Process {
    fn kill(&mut self) {
        self.0.kill().expect("it is our child");
        self.0.wait().expect("it is our child");
    }

    fn terminate(&mut self) {
        self.signal("TERM");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ends this process when its standard input does, so that no server outlives the test that started
/// it, however that ends.
pub fn end_with_parent() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(1);
    });
}
