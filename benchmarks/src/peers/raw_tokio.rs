//! Tokio's sockets without multiplexing: a batch is written, then its answers are read.

use std::future::pending;
use std::time::Instant;

use anyhow::{bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::Peer;
use crate::closed_loop::runtime;
use crate::frames::{Batch, FrameBuffer};
use crate::lifeline::Ready;
use crate::load::Load;

/// What the runtime alone costs: with one call in flight, a plain ping-pong between two tasks.
#[derive(Debug)]
pub(crate) struct RawTokio;

impl Peer for RawTokio {
    fn name(&self) -> &'static str {
        "raw-tokio"
    }

    fn about(&self) -> &'static str {
        "Tokio's sockets, length-prefixed frames, one task on each side. Calls in flight are a \
         batch: all are written, and all answers are read before the next batch."
    }

    fn serve(&self, socket: &str, ready: Ready) -> anyhow::Result<()> {
        runtime()?.block_on(async {
            let listener = UnixListener::bind(socket)?;
            ready.announce()?;
            loop {
                let (connection, _) = listener.accept().await?;
                tokio::spawn(echo(connection));
            }
        })
    }

    fn load(&self, socket: &str, load: &Load) -> anyhow::Result<()> {
        runtime()?.block_on(async {
            let mut connection = UnixStream::connect(socket).await?;
            let mut received = FrameBuffer::new();
            let batch = Batch::new(&load.payload(), load.shape.in_flight);
            while load.meter.running() {
                let started = Instant::now();
                exchange(&mut connection, &batch, &mut received).await?;
                load.meter.record(started.elapsed());
                load.meter.count(batch.frames() as u64);
            }
            Ok(())
        })
    }

    fn hold(&self, socket: &str, connections: usize, ready: Ready) -> anyhow::Result<()> {
        runtime()?.block_on(async {
            let hello = Batch::new(b"hello", 1);
            let mut held = Vec::with_capacity(connections);
            for _ in 0..connections {
                let mut connection = UnixStream::connect(socket).await?;
                exchange(&mut connection, &hello, &mut FrameBuffer::new()).await?;
                held.push(connection);
            }
            ready.announce()?;
            pending().await
        })
    }
}

async fn echo(mut connection: UnixStream) -> std::io::Result<()> {
    let mut received = FrameBuffer::new();
    loop {
        match connection.read(received.space()).await? {
            0 => return Ok(()),
            bytes => received.fill(bytes),
        }
        let whole = received.whole();
        connection.write_all(received.head(whole.bytes)).await?;
        received.consume(whole.bytes);
    }
}

/// Writes a batch and reads its answers, at the same time: the sockets' buffers need not hold all
/// of it.
async fn exchange(
    connection: &mut UnixStream,
    batch: &Batch,
    received: &mut FrameBuffer,
) -> anyhow::Result<()> {
    let (mut reader, mut writer) = connection.split();
    let write = async {
        for piece in batch.pieces() {
            writer.write_all(piece).await?;
        }
        anyhow::Ok(())
    };
    let read = async {
        let mut missing = batch.frames();
        while missing > 0 {
            match reader.read(received.space()).await? {
                0 => bail!("the server closed the connection"),
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
    };
    tokio::try_join!(biased; write, read)?;
    Ok(())
}
