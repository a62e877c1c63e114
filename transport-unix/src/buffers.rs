//! The memory that the sessions of a thread share, so that an idle one holds none.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};

/// The size of a buffer to read small frames into.
const READ: usize = 128 * 1024;
/// With less room than this left, another is used.
const READ_AT_LEAST: usize = 32 * 1024;
/// Buffers for reading are kept up to this many bytes in all.
const READ_KEPT: usize = 4 * 1024 * 1024;
/// How many kept buffers are tried before another is made.
const TRIES: usize = 4;
/// A buffer for writing that grew beyond this is not kept.
const WRITE_AT_MOST: usize = 256 * 1024;
/// How many buffers for writing are kept.
const WRITE_KEPT: usize = 8;

thread_local! {
    static OF_THIS_THREAD: Rc<Buffers> = Rc::default();
}

/// Buffers that are used again and again: memory that was just used is in the processor's caches,
/// and new memory costs a page fault for every 4 KiB.
#[derive(Default)]
pub(crate) struct Buffers {
    /// Frames may still lie in these; a buffer is free when the last of them is dropped.
    reading: RefCell<VecDeque<ReadBuffer>>,
    /// The sizes of all in `reading`.
    kept: Cell<usize>,
    writing: RefCell<Vec<BytesMut>>,
}

/// A buffer to read into, and how large it is when it is free.
#[derive(Debug, Default)]
pub(crate) struct ReadBuffer {
    pub(crate) bytes: BytesMut,
    size: usize,
}

impl ReadBuffer {
    fn with_size(size: usize) -> Self {
        ReadBuffer { bytes: BytesMut::with_capacity(size), size }
    }

    /// How many bytes more can be read into it.
    pub(crate) fn room(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// Whether it is worth reading into without knowing how much there is.
    pub(crate) fn is_roomy(&self) -> bool {
        self.room() >= READ_AT_LEAST
    }
}

impl Buffers {
    /// Those that all links of this thread share.
    pub(crate) fn of_this_thread() -> Rc<Self> {
        OF_THIS_THREAD.with(Rc::clone)
    }

    /// An empty buffer with room to read into.
    pub(crate) fn take_for_reading(&self) -> ReadBuffer {
        self.take(READ_AT_LEAST).unwrap_or_else(|| ReadBuffer::with_size(READ))
    }

    /// An empty buffer with room for so many bytes.
    pub(crate) fn take_for_large(&self, bytes: usize) -> ReadBuffer {
        self.take(bytes).unwrap_or_else(|| ReadBuffer::with_size(in_steps(bytes)))
    }

    /// An empty buffer to put a frame together in, which may grow; [`freeze`](Self::freeze) takes it
    /// back.
    pub(crate) fn take_for_message(&self, bytes: usize) -> BytesMut {
        if bytes < READ_AT_LEAST {
            return BytesMut::with_capacity(bytes);
        }
        let mut reading = self.reading.borrow_mut();
        for _ in 0..TRIES.min(reading.len()) {
            let Some(mut buffer) = reading.pop_front() else { break };
            // A whole one: of what is left of another nobody could tell its size later.
            if buffer.size >= bytes && buffer.bytes.try_reclaim(buffer.size) {
                self.kept.set(self.kept.get() - buffer.size);
                return buffer.bytes;
            }
            reading.push_back(buffer);
        }
        BytesMut::with_capacity(in_steps(bytes))
    }

    /// Makes a frame of what was put together in a buffer, which is used again afterwards.
    pub(crate) fn freeze(&self, mut bytes: BytesMut) -> Bytes {
        let size = bytes.capacity();
        let frame = bytes.split().freeze();
        self.read(ReadBuffer { bytes, size });
        frame
    }

    fn take(&self, room: usize) -> Option<ReadBuffer> {
        let mut reading = self.reading.borrow_mut();
        for _ in 0..TRIES.min(reading.len()) {
            let mut buffer = reading.pop_front()?;
            if buffer.bytes.try_reclaim(room) {
                self.kept.set(self.kept.get() - buffer.size);
                return Some(buffer);
            }
            reading.push_back(buffer);
        }
        None
    }

    /// Takes a buffer back; what is in it is forgotten, and the frames made of it are left alone.
    pub(crate) fn read(&self, mut buffer: ReadBuffer) {
        buffer.bytes.clear();
        let kept = self.kept.get() + buffer.size;
        if buffer.size == 0 || kept > READ_KEPT {
            return;
        }
        self.kept.set(kept);
        let mut reading = self.reading.borrow_mut();
        // What has room is used up first. Of the others, the oldest is the likeliest to be free.
        if buffer.is_roomy() { reading.push_front(buffer) } else { reading.push_back(buffer) }
    }

    /// An empty buffer to write into.
    pub(crate) fn take_for_writing(&self) -> BytesMut {
        self.writing.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a buffer back.
    pub(crate) fn written(&self, mut buffer: BytesMut) {
        buffer.clear();
        let mut kept = self.writing.borrow_mut();
        if kept.len() < WRITE_KEPT && buffer.capacity() <= WRITE_AT_MOST {
            kept.push(buffer);
        }
    }
}

/// A size in steps of an eighth, so that the next frame of about this one finds room in it.
fn in_steps(bytes: usize) -> usize {
    bytes.next_multiple_of((bytes / 8).next_power_of_two())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills a buffer and makes one frame of it.
    fn fill(buffer: &mut ReadBuffer) -> bytes::Bytes {
        let room = buffer.room();
        buffer.bytes.extend_from_slice(&vec![1; room]);
        buffer.bytes.split().freeze()
    }

    #[test]
    fn a_buffer_is_used_until_it_is_full() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take_for_reading();
        let at = buffer.bytes.as_ptr();
        buffer.bytes.extend_from_slice(&[1; 100]);
        let frame = buffer.bytes.split().freeze();
        buffers.read(buffer);
        let again = buffers.take_for_reading();
        assert_eq!(again.bytes.as_ptr(), at.wrapping_add(100));
        assert!(again.is_roomy());
        assert_eq!(frame[..], [1; 100]);
    }

    #[test]
    fn a_full_buffer_is_used_again_once_its_frames_are_dropped() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take_for_reading();
        let at = buffer.bytes.as_ptr();
        let frame = fill(&mut buffer);
        buffers.read(buffer);
        let other = buffers.take_for_reading();
        assert_ne!(other.bytes.as_ptr(), at, "the frame is alive");
        drop(frame);
        let again = buffers.take_for_reading();
        assert_eq!(again.bytes.as_ptr(), at);
        assert!(again.bytes.is_empty() && again.room() >= READ);
    }

    #[test]
    fn a_large_buffer_is_used_again_for_a_frame_of_about_its_size() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take_for_large(1_000_000);
        assert!(buffer.room() >= 1_000_000 && buffer.room() < 1_150_000);
        let at = buffer.bytes.as_ptr();
        drop(fill(&mut buffer));
        buffers.read(buffer);
        assert_eq!(buffers.take_for_large(1_010_000).bytes.as_ptr(), at);
    }

    #[test]
    fn a_buffer_for_a_message_is_used_again_for_the_next() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take_for_message(1_000_000);
        let at = buffer.as_ptr();
        buffer.extend_from_slice(&[1; 400_000]);
        let message = buffers.freeze(buffer);
        assert_ne!(buffers.take_for_message(400_000).as_ptr(), at, "the message is alive");
        drop(message);
        let again = buffers.take_for_message(1_000_000);
        assert_eq!((again.as_ptr(), again.len()), (at, 0));
        assert_eq!(buffers.kept.get(), 0);
    }

    #[test]
    fn only_so_much_is_kept() {
        let buffers = Buffers::default();
        for _ in 0..4 {
            buffers.read(ReadBuffer::with_size(READ_KEPT / 2));
        }
        assert_eq!(buffers.reading.borrow().len(), 2);
        assert!(buffers.take_for_large(READ_KEPT / 2).room() >= READ_KEPT / 2);
        assert_eq!(buffers.kept.get(), READ_KEPT / 2);
    }

    #[test]
    fn a_buffer_for_writing_is_used_again_unless_it_grew_too_large() {
        let buffers = Buffers::default();
        let buffer = BytesMut::with_capacity(100);
        let at = buffer.as_ptr();
        buffers.written(buffer);
        buffers.written(BytesMut::with_capacity(WRITE_AT_MOST + 1));
        assert_eq!(buffers.take_for_writing().as_ptr(), at);
        assert_eq!(buffers.take_for_writing().capacity(), 0);
    }
}
