//! Reads from one socket as much as there is at once.
//!
//! Small frames are read, many at a time, into a buffer that goes from session to session. A large
//! frame gets a buffer of its own size, and is read straight into it. So is a large part, into the
//! buffer where its message is put together: what has been read of it together with what was before
//! it (a few kilobytes, but for the first) is copied there, the rest is not.

use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, Bytes, BytesMut};
use farcall_core::wire::{Assembler, PartError, PartHead};
use tokio::io::AsyncReadExt;
use tokio::net::unix::OwnedReadHalf;

use crate::buffers::{Buffers, ReadBuffer};
use crate::framing::{Cut, FrameLimits, Frames, PREFIX, cut};

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
    /// What the last read left to make room for.
    found: Cut,
    /// A part that is read to where it belongs, and how many bytes of it are still to come.
    part: Option<(PartHead, usize)>,
}

/// What one read brought.
pub(crate) struct Batch {
    pub(crate) frames: Frames,
    /// A frame that came in parts. There are no others then.
    pub(crate) message: Option<Bytes>,
    /// Bytes of a further frame have come, but not all of them.
    pub(crate) is_open: bool,
    /// Whether a frame became whole.
    pub(crate) has_frames: bool,
    /// A length that is over the limit follows the frames.
    pub(crate) too_long: Option<(usize, usize)>,
}

impl Reader {
    pub(crate) fn new(socket: OwnedReadHalf) -> Self {
        Reader {
            socket,
            buffer: ReadBuffer::default(),
            put_aside: BytesMut::new(),
            after_large: false,
            found: Cut::default(),
            part: None,
        }
    }

    /// Whether the beginning of a frame is there.
    pub(crate) fn is_midway(&self) -> bool {
        !self.buffer.bytes.is_empty() || !self.put_aside.is_empty() || self.part.is_some()
    }

    /// Reads once. `None` is the end of what the peer sends. When the batch is taken in,
    /// [`prepare`](Self::prepare) follows.
    pub(crate) fn poll_read(
        &mut self,
        buffers: &Buffers,
        limits: FrameLimits,
        assembler: Option<&mut Assembler>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Batch>>> {
        if let (Some(part), Some(assembler)) = (self.part, assembler) {
            return self.poll_part(buffers, part, assembler, cx);
        }
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
        let found = cut(&self.buffer.bytes, limits);
        self.found = found;
        Poll::Ready(Ok(Some(Batch {
            frames: Frames::new(self.buffer.bytes.split_to(found.whole).freeze()),
            message: None,
            is_open: found.missing > 0,
            has_frames: found.whole > 0,
            too_long: found.too_long,
        })))
    }

    /// Reads the rest of a part, and nothing beyond it.
    fn poll_part(
        &mut self,
        buffers: &Buffers,
        (part, missing): (PartHead, usize),
        assembler: &mut Assembler,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Batch>>> {
        let bytes = assembler.buffer(part.message).expect("its part was admitted");
        let read = pin!(self.socket.read_buf(&mut bytes.limit(missing))).poll(cx);
        if read.is_pending() {
            self.give_back(buffers);
        }
        let missing = match ready!(read)? {
            0 => return Poll::Ready(Ok(None)),
            read => missing - read,
        };
        self.part = Some((part, missing)).filter(|(_, missing)| *missing > 0);
        let message = if missing == 0 { assembler.finish(part) } else { None };
        self.found = Cut { last: part.len, ..Cut::default() };
        Poll::Ready(Ok(Some(Batch {
            frames: Frames::new(Bytes::new()),
            has_frames: message.is_some(),
            message: message.map(|bytes| buffers.freeze(bytes)),
            is_open: missing > 0,
            too_long: None,
        })))
    }

    /// Makes room for the rest of a frame, or puts what is there of a part where it belongs. Its
    /// length is within the limit, and memory that is only reserved is not used yet.
    ///
    /// # Errors
    /// The part is none that may come now.
    pub(crate) fn prepare(
        &mut self,
        buffers: &Buffers,
        assembler: Option<&mut Assembler>,
    ) -> Result<(), PartError> {
        let found = std::mem::take(&mut self.found);
        self.after_large = found.last >= LARGE;
        if let Some(assembler) = assembler.filter(|_| found.missing > 0 && self.after_large)
            && let Some(frame) = self.buffer.bytes.get(PREFIX..)
            && let Some((part, head)) = PartHead::peek(frame)
            // What contradicts itself is read as any other frame, and refused then.
            && head.checked_add(part.len) == Some(found.last)
        {
            let bytes = assembler.admit(part, |room| buffers.take_for_message(room))?;
            bytes.extend_from_slice(&frame[head..]);
            self.part = Some((part, found.missing));
            self.buffer.bytes.clear();
            return Ok(());
        }
        if found.missing > self.buffer.room() {
            let len = self.buffer.bytes.len() + found.missing;
            let mut roomy =
                if len < LARGE { buffers.take_for_reading() } else { buffers.take_for_large(len) };
            roomy.bytes.extend_from_slice(&self.buffer.bytes);
            buffers.read(std::mem::replace(&mut self.buffer, roomy));
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use farcall_core::wire::{Frame, PART_BYTES};
    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixStream;

    use super::*;

    const LIMITS: FrameLimits = FrameLimits { first: 1 << 20, rest: 1 << 20 };

    fn part(last: bool) -> BytesMut {
        let mut bytes = BytesMut::from(&[0; PREFIX][..]);
        Frame::Part { message: 1, last, bytes: vec![7; PART_BYTES].into() }.encode(&mut bytes);
        let len = (bytes.len() - PREFIX) as u32;
        bytes[..PREFIX].copy_from_slice(&len.to_be_bytes());
        bytes
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_part_is_read_to_where_it_belongs_but_for_its_beginning() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (read, _write) = ours.into_split();
        let (mut reader, buffers) = (Reader::new(read), Buffers::default());
        let mut assembler = Assembler::new(1 << 20);
        let mut copied = 0;
        for last in [false, true] {
            theirs.write_all(&part(last)).await.unwrap();
            loop {
                let was_direct = reader.part.is_some();
                let read =
                    poll_fn(|cx| reader.poll_read(&buffers, LIMITS, Some(&mut assembler), cx));
                let batch = read.await.unwrap().unwrap();
                reader.prepare(&buffers, Some(&mut assembler)).unwrap();
                let there = assembler.buffer(1).map_or(0, |bytes| bytes.len());
                if !was_direct && last {
                    copied = there - PART_BYTES;
                }
                if let Some(message) = batch.message {
                    assert!(last && message[..] == [7; 2 * PART_BYTES]);
                    break;
                }
                if there == PART_BYTES && !last {
                    break;
                }
            }
        }
        assert!(copied > 0 && copied <= BEGINNING, "{copied} bytes were moved");
    }
}
