//! How a child process tells its parent that it is ready, and learns that it is no longer needed.

use std::io::{self, Write};
use std::{process, thread};

/// Leave to say `ready` on standard output, once.
#[derive(Debug)]
pub(crate) struct Ready(());

impl Ready {
    /// The leave of this process.
    pub(crate) fn new() -> Self {
        Ready(())
    }

    /// Prints `ready`, which the parent waits for.
    ///
    /// # Errors
    ///
    /// When standard output is closed.
    pub(crate) fn announce(self) -> io::Result<()> {
        let mut output = io::stdout().lock();
        writeln!(output, "ready")?;
        output.flush()
    }
}

/// Ends this process when its standard input closes, which it does when the parent dies, however it
/// dies.
pub(crate) fn end_with_standard_input() {
    thread::spawn(|| {
        // An input that cannot be read is as closed as one that has ended.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        process::exit(0);
    });
}
