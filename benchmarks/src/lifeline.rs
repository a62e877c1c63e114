//! How a child process tells its parent that it is ready, learns that it is no longer needed, and says
//! what it has served.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
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

static SERVED: AtomicU64 = AtomicU64::new(0);

/// Counts calls that this process has served, from one thread only: a server may do so for each call
/// without a locked instruction on its path.
pub(crate) fn served(calls: u64) {
    SERVED.store(SERVED.load(Ordering::Relaxed) + calls, Ordering::Relaxed);
}

/// Ends this process when its standard input closes, which it does when the parent dies, however it
/// dies. Its last words are how many calls it has [`served`].
pub(crate) fn end_with_standard_input() {
    thread::spawn(|| {
        // An input that cannot be read is as closed as one that has ended.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        // Nobody hears it when the parent has died.
        let _ = writeln!(io::stdout().lock(), "served {}", SERVED.load(Ordering::Relaxed));
        process::exit(0);
    });
}

/// The number of calls in a process's last words.
pub(crate) fn served_in(words: &str) -> Option<u64> {
    words.lines().find_map(|line| line.strip_prefix("served ")?.parse().ok())
}
