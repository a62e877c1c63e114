//! The least that streams over one connection must do: frames of an id and an item, gathered before
//! a write, taken apart after a read. The socket's buffer is all the flow control there is.

use std::io;

use anyhow::{bail, ensure};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::{READ, RawMux, WRITE, echo, put_frame, take_frame};
use crate::closed_loop::runtime;
use crate::lifeline::Ready;
use crate::load::{self, Load};
use crate::peers::Streaming;
use crate::shape::Work;
use crate::streaming::all_arrived;

impl Streaming for RawMux {
    fn about(&self) -> &'static str {
        "Frames of length, id and item over tokio's sockets: one task copies items of all streams in \
         turn into a buffer of 256 KiB and writes it, one reads as much and takes it apart. No window \
         of a stream's own, no task for each stream, no encoding."
    }

    fn serve(&self, work: Work, socket: &str, ready: Ready) -> anyhow::Result<()> {
        runtime()?.block_on(async {
            let listener = UnixListener::bind(socket)?;
            ready.announce()?;
            loop {
                let (connection, _) = listener.accept().await?;
                tokio::spawn(async move {
                    // A connection that breaks is its client's affair.
                    let _ = match work {
                        Work::ServerStream => send(connection).await,
                        Work::ClientStream => count(connection).await,
                        Work::BothWays | Work::Calls => echo(connection).await,
                    };
                });
            }
        })
    }

    fn load(&self, socket: &str, load: &Load) -> anyhow::Result<()> {
        runtime()?.block_on(async {
            let mut connection = UnixStream::connect(socket).await?;
            match load.shape.work {
                Work::ServerStream => {
                    connection.write_u64(load.shape.size as u64).await?;
                    connection.write_u64(load.shape.in_flight as u64).await?;
                    read(connection, load).await
                }
                Work::ClientStream => {
                    write(&mut connection, load, true).await?;
                    all_arrived(load, connection.read_u64().await?)
                }
                Work::BothWays => {
                    let (reader, mut writer) = connection.into_split();
                    tokio::try_join!(write(&mut writer, load, false), read(reader, load))?;
                    Ok(())
                }
                Work::Calls => bail!("calls are no streams"),
            }
        })
    }
}

/// Sends items of the asked size, of as many streams as asked.
async fn send(mut connection: UnixStream) -> io::Result<()> {
    let size = connection.read_u64().await?;
    let streams = connection.read_u64().await?;
    let payload = load::payload(usize::try_from(size).map_err(io::Error::other)?);
    let mut ids = (0..streams).cycle();
    let mut buffer = Vec::new();
    loop {
        fill(&mut buffer, &mut ids, &payload);
        connection.write_all(&buffer).await?;
    }
}

/// Counts items until the client ends them, and tells how many they were.
async fn count(mut connection: UnixStream) -> io::Result<()> {
    let mut received = BytesMut::new();
    let mut items = 0;
    loop {
        received.reserve(READ);
        if connection.read_buf(&mut received).await? == 0 {
            return connection.write_u64(items).await;
        }
        while let Some((_, item)) = take_frame(&mut received) {
            items += 1;
            drop(item.freeze());
        }
    }
}

async fn write(
    connection: &mut (impl AsyncWriteExt + Unpin),
    load: &Load,
    counted: bool,
) -> anyhow::Result<()> {
    let payload = load.payload();
    let mut ids = (0..load.shape.in_flight as u64).cycle();
    let mut buffer = Vec::new();
    while load.meter.running() {
        let items = fill(&mut buffer, &mut ids, &payload);
        connection.write_all(&buffer).await?;
        if counted {
            load.meter.count(items);
        }
    }
    Ok(connection.shutdown().await?)
}

async fn read(mut connection: impl AsyncReadExt + Unpin, load: &Load) -> anyhow::Result<()> {
    let payload = load.payload();
    let mut received = BytesMut::new();
    let mut compared = false;
    loop {
        received.reserve(READ);
        if connection.read_buf(&mut received).await? == 0 {
            ensure!(!load.meter.running(), "the server closed the connection");
            return Ok(());
        }
        let mut items = 0;
        while let Some((_, item)) = take_frame(&mut received) {
            let item = item.freeze();
            ensure!(
                item.len() == payload.len() && (compared || item == payload),
                "an item arrived with other bytes than it was sent with"
            );
            compared = true;
            items += 1;
        }
        load.meter.count(items);
        // What is sent back is read to its end: a client that only writes would not get far.
        if !load.meter.running() && load.shape.work == Work::ServerStream {
            return Ok(());
        }
    }
}

/// Fills a buffer with items of the streams in turn: how many they are.
fn fill(buffer: &mut Vec<u8>, ids: &mut impl Iterator<Item = u64>, payload: &[u8]) -> u64 {
    buffer.clear();
    let mut items = 0;
    while buffer.len() < WRITE
        && let Some(id) = ids.next()
    {
        put_frame(buffer, id, payload);
        items += 1;
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_filled_with_items_of_all_streams() {
        let mut buffer = Vec::new();
        let mut ids = (0..3).cycle();
        let items = fill(&mut buffer, &mut ids, &[7; 64]);
        let mut received = BytesMut::from(&*buffer);
        let mut expected = (0..3).cycle();
        for _ in 0..items {
            let (id, item) = take_frame(&mut received).unwrap();
            assert_eq!((Some(id), &*item), (expected.next(), &[7; 64][..]));
        }
        assert!(received.is_empty());
    }
}
