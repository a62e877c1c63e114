//! Blocking sockets: a batch is written, then its answers are read.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use anyhow::ensure;

use super::Peer;
use crate::frames::{Batch, FrameBuffer};
use crate::lifeline::Ready;
use crate::load::Load;

/// A batch of at most this many bytes fits in the sockets' buffers on its way there and back. Of a
/// larger one, answers must be read while it is still being written, or both sides end up waiting
/// for the other to read.
const FITS: usize = 128 * 1024;

/// The floor of what a call can cost: no runtime, no multiplexing, one system call for a whole
/// batch.
#[derive(Debug)]
pub(crate) struct RawBlocking;

impl Peer for RawBlocking {
    fn name(&self) -> &'static str {
        "raw-blocking"
    }

    fn about(&self) -> &'static str {
        "Blocking sockets of the standard library, length-prefixed frames, no runtime. Calls in \
         flight are a batch: all are written, then all answers are read; a batch larger than \
         128 KiB is written by a second thread."
    }

    fn serve(&self, socket: &str, ready: Ready) -> anyhow::Result<()> {
        let listener = UnixListener::bind(socket)?;
        ready.announce()?;
        for connection in listener.incoming() {
            let connection = connection?;
            // A connection that breaks is its client's affair.
            thread::spawn(move || echo(connection).ok());
        }
        Ok(())
    }

    fn load(&self, socket: &str, load: &Load) -> anyhow::Result<()> {
        let connection = UnixStream::connect(socket)?;
        let batch = Batch::new(&load.payload(), load.shape.in_flight);
        if batch.bytes() <= FITS {
            return call_in_batches(&connection, &batch, load, || write(&connection, &batch));
        }
        thread::scope(|scope| {
            let (begin, begun) = mpsc::channel();
            let (connection, batch) = (&connection, &batch);
            let writer =
                scope.spawn(move || begun.iter().try_for_each(|()| write(connection, batch)));
            let called = call_in_batches(connection, batch, load, move || {
                ensure!(begin.send(()).is_ok(), "the batch before could not be written");
                Ok(())
            });
            // A writer whose answers are no longer read would wait for ever.
            connection.shutdown(Shutdown::Both)?;
            let written = writer.join().expect("writing does not panic");
            called.and(written)
        })
    }

    fn hold(&self, socket: &str, connections: usize, ready: Ready) -> anyhow::Result<()> {
        let hello = Batch::new(b"hello", 1);
        let mut held = Vec::with_capacity(connections);
        for _ in 0..connections {
            let connection = UnixStream::connect(socket)?;
            write(&connection, &hello)?;
            read(&connection, &hello, &mut FrameBuffer::new())?;
            held.push(connection);
        }
        ready.announce()?;
        loop {
            thread::park();
        }
    }
}

fn echo(mut connection: UnixStream) -> std::io::Result<()> {
    let mut received = FrameBuffer::new();
    loop {
        match connection.read(received.space())? {
            0 => return Ok(()),
            bytes => received.fill(bytes),
        }
        let whole = received.whole();
        connection.write_all(received.head(whole.bytes))?;
        received.consume(whole.bytes);
    }
}

fn call_in_batches(
    connection: &UnixStream,
    batch: &Batch,
    load: &Load,
    send: impl Fn() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut received = FrameBuffer::new();
    while load.meter.running() {
        let started = Instant::now();
        send()?;
        read(connection, batch, &mut received)?;
        load.meter.record(started.elapsed());
        load.meter.count(batch.frames() as u64);
    }
    Ok(())
}

fn write(mut connection: &UnixStream, batch: &Batch) -> anyhow::Result<()> {
    for piece in batch.pieces() {
        connection.write_all(piece)?;
    }
    Ok(())
}

fn read(
    mut connection: &UnixStream,
    batch: &Batch,
    received: &mut FrameBuffer,
) -> anyhow::Result<()> {
    let mut missing = batch.frames();
    while missing > 0 {
        match connection.read(received.space())? {
            0 => anyhow::bail!("the server closed the connection"),
            bytes => received.fill(bytes),
        }
        let whole = received.whole();
        ensure!(whole.frames <= missing, "the server answered more calls than were made");
        ensure!(
            whole.bytes == whole.frames * batch.frame().len(),
            "the server answered with other lengths"
        );
        missing -= whole.frames;
        received.consume(whole.bytes);
    }
    Ok(())
}
