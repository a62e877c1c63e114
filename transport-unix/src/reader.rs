//! Reads from one socket as much as there is at once.
//!
//! Small frames are read, many at a time, into a buffer that goes from session to session. A large
//! frame gets a buffer of its own size, and is read straight into it.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::unix::OwnedReadHalf;

use crate::buffers::{Buffers, ReadBuffer};
use crate::framing::{Cut, Frames, cut};

/// Frames from this size on are read into a buffer of their own.
const LARGE: usize = 32 * 1024;
/// After a large frame, the next read takes no more than this: if another large one follows, only
/// its beginning has to be moved.
const BEGINNING: usize = 8 * 1024;

/// The reading half of a session, and what has been read of a frame that is not whole.
#[derive(Debug)]
pub(crate) struct Reader {
    socket: OwnedReadHalf,
    buffer: ReadBuffer,
    /// The beginning of a small frame, while the session has no buffer.
    put_aside: BytesMut,
    after_large: bool,
}

/// What one read brought.
pub(crate) struct Batch {
    pub(crate) frames: Frames,
    /// Bytes of a further frame have come, but not all of them.
    pub(crate) is_open: bool,
    /// Whether a frame became whole.
    pub(crate) has_frames: bool,
    /// A length that is over the limit follows the frames.
    pub(crate) too_long: Option<usize>,
}

impl Reader {
    pub(crate) fn new(socket: OwnedReadHalf) -> Self {
        Reader {
            socket,
            buffer: ReadBuffer::default(),
            put_aside: BytesMut::new(),
            after_large: false,
        }
    }

    /// Whether the beginning of a frame is there.
    pub(crate) fn is_midway(&self) -> bool {
        !self.buffer.bytes.is_empty() || !self.put_aside.is_empty()
    }

    /// Reads once. `None` is the end of what the peer sends.
    pub(crate) fn poll_read(
        &mut self,
        buffers: &Buffers,
        limit: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Batch>>> {
        if self.buffer.bytes.is_empty() && !self.buffer.is_roomy() {
            buffers.read(std::mem::replace(&mut self.buffer, buffers.take_for_reading()));
            self.buffer.bytes.extend_from_slice(&std::mem::take(&mut self.put_aside));
        }
        let bytes = &mut self.buffer.bytes;
        let read = if self.after_large && bytes.is_empty() {
            pin!(self.socket.read_buf(&mut bytes.limit(BEGINNING))).poll(cx)
        } else {
            pin!(self.socket.read_buf(bytes)).poll(cx)
        };
        if read.is_pending() {
            self.give_back(buffers);
        }
        if ready!(read)? == 0 {
            return Poll::Ready(Ok(None));
        }
        let found = cut(&self.buffer.bytes, limit);
        let whole = self.buffer.bytes.split_to(found.whole).freeze();
        self.prepare(found, buffers);
        Poll::Ready(Ok(Some(Batch {
            frames: Frames::new(whole),
            is_open: found.missing > 0,
            has_frames: found.whole > 0,
            too_long: found.too_long,
        })))
    }

    /// Makes room for the rest of a frame. Its length is within the limit, and memory that is only
    /// reserved is not used yet.
    fn prepare(&mut self, found: Cut, buffers: &Buffers) {
        self.after_large = found.last >= LARGE;
        if found.missing > self.buffer.room() {
            let len = self.buffer.bytes.len() + found.missing;
            let mut roomy =
                if len < LARGE { buffers.take_for_reading() } else { buffers.take_for_large(len) };
            roomy.bytes.extend_from_slice(&self.buffer.bytes);
            buffers.read(std::mem::replace(&mut self.buffer, roomy));
        }
    }

    /// Gives the buffer back while there is nothing to read. The beginning of a large frame keeps
    /// its own; that of a small one is put aside, in no more memory than it needs.
    fn give_back(&mut self, buffers: &Buffers) {
        let beginning = &self.buffer.bytes[..];
        if beginning.is_empty() || (beginning.len() < LARGE && !self.after_large) {
            self.put_aside = BytesMut::from(beginning);
            buffers.read(std::mem::take(&mut self.buffer));
        }
    }
}
