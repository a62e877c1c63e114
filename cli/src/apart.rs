//! A thread of its own for what may block.

use std::io;
use std::thread;

use tokio::sync::oneshot;

/// Runs `work` beside the node, which goes on meanwhile.
///
/// The runtime's own threads for such work are waited for when it ends: a file that nobody writes
/// would keep the program from ending.
///
/// # Errors
/// There is no thread to be had, or `work` has panicked.
///
/// # Cancellation
/// Dropping the future leaves the thread alone; the process ends without it.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (tell, done) = oneshot::channel();
    thread::Builder::new().name("apart".to_owned()).spawn(move || drop(tell.send(work())))?;
    done.await.map_err(|_| io::Error::other("it has panicked"))
}
