//! A stream of results on its way to standard output.

use std::io::{self, Write};
use std::thread;

use futures::future::LocalBoxFuture;
use tokio::sync::{mpsc, oneshot};

/// Prints by a thread of its own: whoever reads slowly, or not at all, holds up the stream and
/// neither deadlines nor Ctrl-C.
pub(crate) struct Printer {
    jobs: mpsc::Sender<Job>,
    failure: oneshot::Receiver<io::Error>,
    reader_gone: LocalBoxFuture<'static, ()>,
}

enum Job {
    Print(Vec<u8>),
    /// Tell when all before it is printed.
    Tell(oneshot::Sender<()>),
}

impl Printer {
    /// Prints to `to`, until `reader_gone` says that nobody reads.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(crate) fn new(
        mut to: impl Write + Send + 'static,
        reader_gone: LocalBoxFuture<'static, ()>,
    ) -> io::Result<Self> {
        // One chunk is printed, one waits, and a third waits for its place.
        let (jobs, mut waiting) = mpsc::channel(1);
        let (tell, failure) = oneshot::channel();
        thread::Builder::new().name("printer".to_owned()).spawn(move || {
            while let Some(job) = waiting.blocking_recv() {
                match job {
                    Job::Print(chunk) => {
                        if let Err(error) = to.write_all(&chunk).and_then(|()| to.flush()) {
                            let _ = tell.send(error);
                            return;
                        }
                    }
                    // Who asked may have gone.
                    Job::Tell(printed) => drop(printed.send(())),
                }
            }
        })?;
        Ok(Printer { jobs, failure, reader_gone })
    }

    /// Hands over what is to be printed at once, as soon as there is a place for it.
    ///
    /// # Errors
    /// Nobody reads on, or it cannot be written.
    pub(crate) async fn print(&mut self, chunk: Vec<u8>) -> io::Result<()> {
        match self.jobs.send(Job::Print(chunk)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.failed().await),
        }
    }

    /// Waits until all is printed that was handed over.
    ///
    /// # Errors
    /// As of [`print`](Printer::print).
    pub(crate) async fn printed(&mut self) -> io::Result<()> {
        let (tell, printed) = oneshot::channel();
        // A thread that has ended drops what was sent to it, and has said why.
        let _ = self.jobs.send(Job::Tell(tell)).await;
        match printed.await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.failed().await),
        }
    }

    /// Waits until nothing more can be printed, and says why.
    pub(crate) async fn failed(&mut self) -> io::Error {
        tokio::select! {
            failure = &mut self.failure => {
                failure.unwrap_or_else(|_| io::Error::other("its thread has ended"))
            }
            () = &mut self.reader_gone => io::ErrorKind::BrokenPipe.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use futures::FutureExt;

    use super::*;

    #[farcall::test]
    async fn all_is_printed_in_its_order() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut printer = Printer::new(writer, pending().boxed_local()).unwrap();
        for line in ["1\n", "2\n", "3\n"] {
            printer.print(line.into()).await.unwrap();
        }
        printer.printed().await.unwrap();
        drop(printer);
        assert_eq!(io::read_to_string(&mut reader).unwrap(), "1\n2\n3\n");
    }

    #[farcall::test]
    async fn a_reader_that_is_gone_is_a_broken_pipe() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut printer = Printer::new(writer, pending().boxed_local()).unwrap();
        printer.print(b"1\n".into()).await.unwrap();
        assert_eq!(printer.printed().await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[farcall::test]
    async fn a_reader_that_goes_is_noticed_while_nothing_is_printed() {
        let (_reader, writer) = io::pipe().unwrap();
        let mut printer = Printer::new(writer, std::future::ready(()).boxed_local()).unwrap();
        assert_eq!(printer.failed().await.kind(), io::ErrorKind::BrokenPipe);
    }

    #[farcall::test]
    async fn a_reader_that_does_not_read_holds_it_up() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut printer = Printer::new(writer, pending().boxed_local()).unwrap();
        // More than any pipe holds.
        let large = vec![b'x'; 4 << 20];
        printer.print(large.clone()).await.unwrap();
        let held_up = printer.printed().now_or_never();
        assert!(held_up.is_none());
        drop(printer);
        let mut read = Vec::new();
        io::Read::read_to_end(&mut reader, &mut read).unwrap();
        assert_eq!(read.len(), large.len());
    }
}
