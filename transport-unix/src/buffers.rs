//! The memory that sessions share, so that an idle one holds none.

use std::cell::RefCell;

use bytes::BytesMut;

/// How much a buffer for reading has room for when it is new.
const READ: usize = 128 * 1024;
/// With less room than this left, another is made (or this one used again from its start, if none
/// of the frames read into it are alive).
pub(crate) const READ_AT_LEAST: usize = 32 * 1024;
/// A buffer for writing that grew beyond this is not kept.
const WRITE_AT_MOST: usize = 256 * 1024;
/// How many buffers for writing are kept.
const WRITE_KEPT: usize = 8;

/// One buffer that whoever has something to read borrows, and a few to write into.
#[derive(Default)]
pub(crate) struct Buffers {
    reading: RefCell<BytesMut>,
    writing: RefCell<Vec<BytesMut>>,
}

impl Buffers {
    /// An empty buffer with room to read into.
    pub(crate) fn take_for_reading(&self) -> BytesMut {
        let mut buffer = self.reading.take();
        if buffer.capacity() < READ_AT_LEAST {
            buffer.reserve(READ);
        }
        buffer
    }

    /// Takes a buffer back; what is in it is forgotten.
    pub(crate) fn read(&self, mut buffer: BytesMut) {
        buffer.clear();
        let mut kept = self.reading.borrow_mut();
        // Two sessions may have had one at a time: the roomier one stays.
        if buffer.capacity() > kept.capacity() {
            *kept = buffer;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_room_to_read() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take_for_reading();
        assert!(buffer.capacity() >= READ);
        buffer.extend_from_slice(&[1; READ - 1]);
        let _alive = buffer.split();
        buffers.read(buffer);
        let again = buffers.take_for_reading();
        assert!(again.is_empty() && again.capacity() >= READ_AT_LEAST);
    }

    #[test]
    fn a_buffer_is_used_again() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take_for_writing();
        buffer.reserve(100);
        let at = buffer.as_ptr();
        buffers.written(buffer);
        assert_eq!(buffers.take_for_writing().as_ptr(), at);
    }

    #[test]
    fn a_buffer_that_grew_too_large_is_not_kept() {
        let buffers = Buffers::default();
        buffers.written(BytesMut::with_capacity(WRITE_AT_MOST + 1));
        assert_eq!(buffers.take_for_writing().capacity(), 0);
    }
}
