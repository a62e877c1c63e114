//! Reads from one socket as much as there is at once.
//!
//! Small frames are read, many at a time, into a buffer that all sessions of the link share. A large
//! frame gets memory of its own size, and is read straight into it.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::unix::OwnedReadHalf;

use crate::buffers::{Buffers, READ_AT_LEAST};
use crate::framing::{Cut, Frames, cut};

/// Frames from this size on are read into memory of their own.
const LARGE: usize = 32 * 1024;
/// After a large frame, the next read takes no more than this: if another large one follows, only
/// its beginning has to be moved.
const BEGINNING: usize = 8 * 1024;

/// The reading half of a session, and what has been read of a frame that is not whole.
#[derive(Debug)]
pub(crate) struct Reader {
    socket: OwnedReadHalf,
    buffer: BytesMut,
    /// `buffer` holds no more than the beginning of a small frame, and has no room.
    is_put_aside: bool,
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
        Reader { socket, buffer: BytesMut::new(), is_put_aside: false, after_large: false }
    }

    /// Whether the beginning of a frame is there.
    pub(crate) fn is_midway(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Reads once. `None` is the end of what the peer sends.
    pub(crate) fn poll_read(
        &mut self,
        buffers: &Buffers,
        limit: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Batch>>> {
        self.make_room(buffers);
        let read = if self.after_large && self.buffer.is_empty() {
            let mut beginning = (&mut self.buffer).limit(BEGINNING);
            pin!(self.socket.read_buf(&mut beginning)).poll(cx)
        } else {
            pin!(self.socket.read_buf(&mut self.buffer)).poll(cx)
        };
        if read.is_pending() {
            self.put_aside(buffers);
        }
        if ready!(read)? == 0 {
            return Poll::Ready(Ok(None));
        }
        let found = cut(&self.buffer, limit);
        let whole = self.buffer.split_to(found.whole).freeze();
        self.prepare(found, buffers);
        Poll::Ready(Ok(Some(Batch {
            frames: Frames::new(whole),
            is_open: found.missing > 0,
            has_frames: found.whole > 0,
            too_long: found.too_long,
        })))
    }

    fn make_room(&mut self, buffers: &Buffers) {
        if self.is_put_aside || self.buffer.capacity() == 0 {
            let mut buffer = buffers.take_for_reading();
            buffer.extend_from_slice(&self.buffer);
            self.buffer = buffer;
            self.is_put_aside = false;
        } else if self.buffer.is_empty() && self.buffer.capacity() < READ_AT_LEAST {
            buffers.read(std::mem::take(&mut self.buffer));
            self.buffer = buffers.take_for_reading();
        }
    }

    /// Makes room for the rest of a frame. Its length is within the limit, and memory that is only
    /// reserved is not used yet.
    fn prepare(&mut self, found: Cut, buffers: &Buffers) {
        self.after_large = found.last >= LARGE;
        if found.missing > self.buffer.capacity() - self.buffer.len() {
            if self.after_large {
                let mut own = BytesMut::with_capacity(self.buffer.len() + found.missing);
                own.extend_from_slice(&self.buffer);
                buffers.read(std::mem::replace(&mut self.buffer, own));
            } else {
                self.put_aside(buffers);
            }
        }
    }

    /// Gives the shared buffer back. The beginning of a large frame keeps its memory.
    fn put_aside(&mut self, buffers: &Buffers) {
        if self.buffer.is_empty() || (self.buffer.len() < LARGE && !self.after_large) {
            let beginning = BytesMut::from(&self.buffer[..]);
            buffers.read(std::mem::replace(&mut self.buffer, beginning));
            self.is_put_aside = !self.buffer.is_empty();
        }
    }
}
