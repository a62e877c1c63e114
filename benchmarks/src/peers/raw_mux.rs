//! The least a multiplexer must do: a future per call, an id that finds it, one write for whatever
//! is queued.
//!
//! A frame is a length in four bytes, an id in eight, and the payload; the length counts the last
//! two.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use anyhow::Context;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task;

use super::{MOST_IN_FLIGHT, Multiplexed, Streaming};
use crate::closed_loop::Client;
use crate::lifeline::Ready;

mod streams;

/// Bytes of length and id.
const HEADER: usize = 12;

/// How much is read at once, if there is as much.
const READ: usize = 256 * 1024;

/// How much is gathered before it is written, unless nothing more is queued. Without this bound the
/// buffer grows to all calls in flight, and large payloads spend their time in page faults.
const WRITE: usize = 256 * 1024;

/// The floor for a library whose calls are futures over a shared connection.
#[derive(Debug)]
pub(crate) struct RawMux;

impl Multiplexed for RawMux {
    type Client = Connection;

    const NAME: &'static str = "raw-mux";

    const ABOUT: &'static str = "\
        The least a multiplexer must do, on tokio's sockets: a future per call, a map from id to \
        the waiting call, a writer task that takes whatever is queued and writes it at once, a \
        reader task; a server that reads many, answers many and writes once. No encoding.";

    fn streaming(&self) -> Option<&dyn Streaming> {
        Some(self)
    }

    async fn serve(&self, socket: &str, ready: Ready) -> anyhow::Result<()> {
        let listener = UnixListener::bind(socket)?;
        ready.announce()?;
        loop {
            let (connection, _) = listener.accept().await?;
            tokio::spawn(echo(connection));
        }
    }

    async fn connect(&self, socket: &str) -> anyhow::Result<Connection> {
        let (reader, writer) = UnixStream::connect(socket).await?.into_split();
        let (outgoing, queued) = mpsc::channel(MOST_IN_FLIGHT);
        let waiting = Rc::default();
        task::spawn_local(write(writer, queued));
        task::spawn_local(read(reader, Rc::clone(&waiting)));
        Ok(Connection { outgoing, shared: Rc::new(Shared { next: Cell::new(0), waiting }) })
    }
}

/// The client's side of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    outgoing: mpsc::Sender<Request>,
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    next: Cell<u64>,
    waiting: Rc<Waiting>,
}

/// Calls that wait for their answers, by id.
type Waiting = RefCell<HashMap<u64, oneshot::Sender<Bytes>>>;

#[derive(Debug)]
struct Request {
    id: u64,
    payload: Vec<u8>,
}

impl Client for Connection {
    type Reply = Bytes;

    async fn call(&mut self, payload: &[u8]) -> anyhow::Result<Bytes> {
        let id = self.shared.next.get();
        self.shared.next.set(id + 1);
        let (answer, answered) = oneshot::channel();
        self.shared.waiting.borrow_mut().insert(id, answer);
        let payload = payload.to_vec();
        self.outgoing
            .send(Request { id, payload })
            .await
            .context("the connection can no longer be written to")?;
        answered.await.context("the server closed the connection")
    }
}

async fn write(mut writer: OwnedWriteHalf, mut queued: mpsc::Receiver<Request>) -> io::Result<()> {
    let mut buffer = Vec::new();
    while let Some(request) = queued.recv().await {
        put_frame(&mut buffer, request.id, &request.payload);
        while buffer.len() < WRITE
            && let Ok(request) = queued.try_recv()
        {
            put_frame(&mut buffer, request.id, &request.payload);
        }
        writer.write_all(&buffer).await?;
        buffer.clear();
    }
    Ok(())
}

async fn read(mut reader: OwnedReadHalf, waiting: Rc<Waiting>) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ);
        if !matches!(reader.read_buf(&mut buffer).await, Ok(1..)) {
            break;
        }
        let mut waiting = waiting.borrow_mut();
        while let Some((id, payload)) = take_frame(&mut buffer) {
            if let Some(answer) = waiting.remove(&id) {
                // A caller that no longer waits has no use for its answer.
                let _ = answer.send(payload.freeze());
            }
        }
    }
    waiting.borrow_mut().clear();
}

async fn echo(mut connection: UnixStream) -> io::Result<()> {
    let mut received = BytesMut::new();
    let mut answers = Vec::new();
    loop {
        received.reserve(READ);
        if connection.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
        while let Some((id, payload)) = take_frame(&mut received) {
            put_frame(&mut answers, id, &payload);
        }
        connection.write_all(&answers).await?;
        answers.clear();
    }
}

fn put_frame(buffer: &mut Vec<u8>, id: u64, payload: &[u8]) {
    let length = u32::try_from(8 + payload.len()).expect("payloads are shorter than 4 GiB");
    buffer.put_u32(length);
    buffer.put_u64(id);
    buffer.put_slice(payload);
}

fn take_frame(buffer: &mut BytesMut) -> Option<(u64, BytesMut)> {
    let length = u32::from_be_bytes(*buffer.first_chunk()?) as usize;
    if buffer.len() < 4 + length || length < 8 {
        return None;
    }
    buffer.advance(4);
    let id = buffer.get_u64();
    Some((id, buffer.split_to(length + 4 - HEADER)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_taken_only_whole() {
        let mut sent = Vec::new();
        put_frame(&mut sent, 7, b"abc");
        for end in 0..sent.len() {
            assert_eq!(take_frame(&mut BytesMut::from(&sent[..end])), None);
        }
        let mut received = BytesMut::from(&*sent);
        assert_eq!(take_frame(&mut received), Some((7, BytesMut::from(&b"abc"[..]))));
        assert!(received.is_empty());
    }
}
