//! Where streams come from and go to.

use std::future::pending;
use std::io::{self, IsTerminal, Read, Write};

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::apart::apart;

/// The ends of the program, or what stands in for them in a test.
pub(crate) struct Pipes {
    /// Read by a thread of its own.
    pub(crate) stdin: Box<dyn Read + Send>,
    /// Somebody types there.
    pub(crate) interactive: bool,
    /// Written by a thread of its own.
    pub(crate) stdout: Box<dyn Write + Send>,
    /// Ends when nobody reads that any more.
    pub(crate) reader_gone: LocalBoxFuture<'static, ()>,
}

impl Pipes {
    /// Those of the process.
    pub(crate) fn standard() -> Self {
        Pipes {
            stdin: Box::new(io::stdin()),
            interactive: io::stdin().is_terminal(),
            stdout: Box::new(io::stdout()),
            reader_gone: reader_gone().boxed_local(),
        }
    }
}

/// Ends when standard output is a pipe that nobody reads any more, also while nothing is printed.
/// Where that cannot be watched, the next item finds out.
async fn reader_gone() {
    let hung_up = apart(|| {
        let stdout = io::stdout();
        // Asked for nothing, it tells errors alone; a file has none.
        let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
        loop {
            match poll(&mut watched, None) {
                Ok(_) => return watched[0].revents().intersects(PollFlags::ERR | PollFlags::HUP),
                Err(Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    });
    if !hung_up.await.unwrap_or(false) {
        pending().await
    }
}
