//! Large frames in parts, so that small ones need not wait for the whole of them.
//!
//! Both sides are pure. A [`Cutter`] gives a frame away piece by piece, as slices of what is there
//! already; an [`Assembler`] keeps the pieces of a few messages, within a bound, until they are whole.
//! Which piece goes when is the transport's to decide, within the rules of `docs/WIRE.md`, "Parts".
//!
//! ```
//! use farcall_core::wire::{Assembler, CallId, Cutter, Frame};
//!
//! let frame = Frame::Answer { id: CallId(7), value: vec![0xf6; 300].into() };
//! let mut assembler = Assembler::new(1000);
//! let mut cutter = Cutter::new(&frame);
//! let mut whole = None;
//! while !cutter.is_empty() {
//!     let piece = cutter.cut(100);
//!     let bytes = [&piece.head[..], &piece.payload[..]].concat();
//!     whole = assembler.push(1, cutter.is_empty(), &bytes)?;
//! }
//! assert_eq!(Frame::decode(whole.unwrap().freeze()).unwrap(), frame);
//! # Ok::<(), farcall_core::wire::PartError>(())
//! ```

use bytes::{Bytes, BytesMut};

use super::Frame;

/// The feature that both sides of a session name if parts may be sent in it.
pub const PARTS: &str = "parts";

/// How many bytes of a frame go into one part; a frame that fits into one is not cut.
///
/// A small frame waits for one part at most. Copying 128 KiB into a socket and out of it takes about as
/// long as one small call does (20 to 40 µs each), and it is less than a Unix socket holds by itself
/// (208 KiB on Linux), so that the wait for a part is not what counts. Smaller parts would not make it
/// shorter, and each costs a system call at both ends.
pub const PART_BYTES: usize = 128 * 1024;

/// How many messages of one side may be under way in parts at a time.
pub const MAX_OPEN_MESSAGES: usize = 4;

/// A frame on its way out, piece by piece. The payload is not copied.
#[derive(Clone, Debug)]
pub struct Cutter {
    head: Bytes,
    payload: Bytes,
}

/// Consecutive bytes of a frame: those of its head, then those of its payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// What is not payload. Empty but in the first pieces.
    pub head: Bytes,
    /// A slice of the payload.
    pub payload: Bytes,
}

impl Cutter {
    /// All of a frame.
    #[must_use]
    pub fn new(frame: &Frame) -> Self {
        let mut head = BytesMut::new();
        frame.encode_head(&mut head);
        Cutter::of_encoded(head.freeze(), frame.payload().cloned().unwrap_or_default())
    }

    /// All of a frame of which the head is encoded already.
    #[must_use]
    pub fn of_encoded(head: Bytes, payload: Bytes) -> Self {
        Cutter { head, payload }
    }

    /// How many bytes are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.payload.len()
    }

    /// Whether nothing is left: the piece before was the last.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the next bytes off.
    pub fn cut(&mut self, at_most: usize) -> Piece {
        let head = self.head.split_to(at_most.min(self.head.len()));
        let payload = self.payload.split_to((at_most - head.len()).min(self.payload.len()));
        Piece { head, payload }
    }
}

impl Piece {
    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.payload.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// All of a part but its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartHead {
    /// Pieces with one number form one frame.
    pub message: u64,
    /// Whether it is the last of them.
    pub last: bool,
    /// How many bytes follow.
    pub len: usize,
}

impl PartHead {
    /// Appends it; the bytes follow.
    pub fn encode(&self, out: &mut BytesMut) {
        super::encode::part_head(*self, out);
    }

    /// Reads it from the beginning of a frame that need not be there wholly, and answers how many
    /// bytes it took. `None` if the frame is no part, or if this cannot be told yet.
    #[must_use]
    pub fn peek(frame: &[u8]) -> Option<(PartHead, usize)> {
        super::decode::part_head(frame)
    }
}

/// Messages of one peer that come in parts.
///
/// At most [`MAX_OPEN_MESSAGES`] of them, with as many bytes together as one frame may have: so a peer
/// takes no more memory than by one frame that it does not finish.
#[derive(Debug)]
pub struct Assembler {
    /// The oldest first.
    open: Vec<Open>,
    /// The highest number so far.
    newest: Option<u64>,
    /// Bytes of all that are open.
    bytes: usize,
    limit: usize,
    /// How large the last message was. The next of a row is likely to be like it.
    usual: usize,
}

#[derive(Debug)]
struct Open {
    message: u64,
    bytes: BytesMut,
}

/// Why a part is not taken; its sender is not to be trusted further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PartError {
    /// The message is over, or a newer one was begun before it.
    #[error("a part of message {0}, which is over, or was not begun in its turn")]
    OutOfOrder(u64),
    /// Too many messages are open.
    #[error("parts of more than {MAX_OPEN_MESSAGES} messages at a time")]
    TooMany,
    /// The open messages have too many bytes.
    #[error("messages in parts with more than {limit} bytes together, which is the limit")]
    TooLarge {
        /// How many they may have.
        limit: usize,
    },
    /// It has no bytes and gives nothing up.
    #[error("a part of message {0} without bytes")]
    Empty(u64),
}

impl Assembler {
    /// Takes messages of up to `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Assembler { open: Vec::new(), newest: None, bytes: 0, limit, usual: 0 }
    }

    /// Takes a part, and answers the frame that it completes.
    ///
    /// # Errors
    /// The part breaks the rules; the session is to end.
    pub fn push(
        &mut self,
        message: u64,
        last: bool,
        bytes: &[u8],
    ) -> Result<Option<BytesMut>, PartError> {
        let part = PartHead { message, last, len: bytes.len() };
        self.admit(part, BytesMut::with_capacity)?.extend_from_slice(bytes);
        Ok(self.finish(part))
    }

    /// Makes room for a part whose bytes are still to come, and answers where they belong: behind what
    /// is there. When all have been put there, [`finish`](Self::finish) follows.
    ///
    /// `buffer` is asked for an empty buffer if the message is new. What it is asked for is a guess:
    /// it may be larger than the part, and is at most the limit.
    ///
    /// # Errors
    /// The part breaks the rules; the session is to end. Nothing is reserved then.
    pub fn admit(
        &mut self,
        part: PartHead,
        buffer: impl FnOnce(usize) -> BytesMut,
    ) -> Result<&mut BytesMut, PartError> {
        let PartHead { message, last, len } = part;
        let known = self.open.iter().position(|open| open.message == message);
        if known.is_none() {
            if self.newest.is_some_and(|newest| message <= newest) {
                return Err(PartError::OutOfOrder(message));
            }
            if self.open.len() == MAX_OPEN_MESSAGES {
                return Err(PartError::TooMany);
            }
        }
        if len == 0 && !(last && known.is_some()) {
            return Err(PartError::Empty(message));
        }
        if len > self.limit - self.bytes {
            return Err(PartError::TooLarge { limit: self.limit });
        }
        self.bytes += len;
        let at = known.unwrap_or_else(|| {
            self.newest = Some(message);
            let usual = if last { len } else { self.usual.max(len).min(self.limit) };
            self.open.push(Open { message, bytes: buffer(usual) });
            self.open.len() - 1
        });
        let bytes = &mut self.open[at].bytes;
        bytes.reserve(len);
        Ok(bytes)
    }

    /// Where the bytes of an open message are put together.
    pub fn buffer(&mut self, message: u64) -> Option<&mut BytesMut> {
        self.open.iter_mut().find(|open| open.message == message).map(|open| &mut open.bytes)
    }

    /// All bytes of an admitted part are there. Answers the frame that it completes; there is none if
    /// others follow, or if its sender has given the message up.
    pub fn finish(&mut self, part: PartHead) -> Option<BytesMut> {
        if !part.last {
            return None;
        }
        let at = self.open.iter().position(|open| open.message == part.message)?;
        let bytes = self.open.remove(at).bytes;
        self.bytes -= bytes.len();
        if part.len == 0 {
            return None;
        }
        self.usual = bytes.len();
        Some(bytes)
    }

    /// The message that was begun first of those that are not over.
    #[must_use]
    pub fn oldest(&self) -> Option<u64> {
        self.open.first().map(|open| open.message)
    }
}

#[cfg(test)]
mod tests {
    use super::super::CallId;
    use super::*;

    fn answer(len: usize) -> Frame {
        let value = (0..len).map(|at| at as u8).collect::<Vec<_>>();
        Frame::Answer { id: CallId(7), value: value.into() }
    }

    fn encoded(frame: &Frame) -> BytesMut {
        let mut bytes = BytesMut::new();
        frame.encode(&mut bytes);
        bytes
    }

    #[test]
    fn pieces_in_a_row_are_the_frame_and_the_payload_is_not_copied() {
        let frame = answer(1000);
        for at_most in [1, 2, 3, 100, 999, 1000, 5000] {
            let mut cutter = Cutter::new(&frame);
            let mut all = Vec::new();
            let mut payload = frame.payload().unwrap().as_ptr();
            while !cutter.is_empty() {
                let piece = cutter.cut(at_most);
                assert!(!piece.is_empty() && piece.len() <= at_most);
                if !piece.payload.is_empty() {
                    assert_eq!(piece.payload.as_ptr(), payload);
                    payload = payload.wrapping_add(piece.payload.len());
                }
                all.extend_from_slice(&piece.head);
                all.extend_from_slice(&piece.payload);
            }
            assert_eq!(all, encoded(&frame));
        }
    }

    #[test]
    fn a_head_is_read_as_it_was_written_as_soon_as_it_is_there() {
        for len in [0, 1, 23, 24, 255, 256, PART_BYTES, 1 << 33] {
            for message in [0, 24, u64::MAX] {
                for last in [false, true] {
                    let head = PartHead { message, last, len };
                    let mut bytes = BytesMut::new();
                    head.encode(&mut bytes);
                    let took = bytes.len();
                    assert_eq!(PartHead::peek(&bytes), Some((head, took)));
                    for part in 0..took {
                        assert_eq!(PartHead::peek(&bytes[..part]), None);
                    }
                    bytes.extend_from_slice(b"what follows");
                    assert_eq!(PartHead::peek(&bytes), Some((head, took)));
                }
            }
        }
    }

    #[test]
    fn a_head_is_that_of_the_whole_frame() {
        let mut head = BytesMut::new();
        PartHead { message: 9, last: true, len: 300 }.encode(&mut head);
        let part = encoded(&Frame::Part { message: 9, last: true, bytes: vec![1; 300].into() });
        assert_eq!(part[..head.len()], head);
        assert_eq!(PartHead::peek(&encoded(&answer(10))), None);
        assert_eq!(PartHead::peek(b"\x84\x0f\x01\xf4\x5f\x41"), None, "of indefinite length");
        assert_eq!(PartHead::peek(b"\x84\x0f\x01\xf4\x61a"), None, "a text");
    }

    #[test]
    fn pieces_of_different_messages_may_alternate() {
        let mut assembler = Assembler::new(100);
        assert_eq!(assembler.push(3, false, b"a"), Ok(None));
        assert_eq!(assembler.push(8, false, b"x"), Ok(None));
        assert_eq!(assembler.push(3, false, b"b"), Ok(None));
        assert_eq!(assembler.oldest(), Some(3));
        assert_eq!(assembler.push(3, true, b"c").unwrap().unwrap(), b"abc"[..]);
        assert_eq!(assembler.oldest(), Some(8));
        assert_eq!(assembler.push(8, true, b"y").unwrap().unwrap(), b"xy"[..]);
        assert_eq!(assembler.push(9, true, b"alone").unwrap().unwrap(), b"alone"[..]);
        assert_eq!((assembler.oldest(), assembler.bytes), (None, 0));
    }

    #[test]
    fn a_message_that_is_over_does_not_begin_again_and_none_begins_before_an_older_one() {
        let mut assembler = Assembler::new(100);
        assembler.push(3, true, b"a").unwrap();
        for message in [3, 2] {
            let refused = assembler.push(message, true, b"a").unwrap_err();
            assert_eq!(refused, PartError::OutOfOrder(message));
        }
    }

    #[test]
    fn only_so_many_messages_are_open() {
        let mut assembler = Assembler::new(100);
        for message in 0..MAX_OPEN_MESSAGES as u64 {
            assembler.push(message, false, b"a").unwrap();
        }
        assert_eq!(assembler.push(9, false, b"a"), Err(PartError::TooMany));
        assert!(assembler.push(0, true, b"a").unwrap().is_some());
        assert_eq!(assembler.push(9, false, b"a"), Ok(None));
    }

    #[test]
    fn all_open_messages_share_one_limit_and_nothing_is_reserved_beyond_it() {
        let mut assembler = Assembler::new(100);
        assembler.push(1, false, &[0; 60]).unwrap();
        let none = |_| -> BytesMut { panic!("memory was taken") };
        let part = PartHead { message: 2, last: false, len: 41 };
        assert_eq!(assembler.admit(part, none).unwrap_err(), PartError::TooLarge { limit: 100 });
        let part = PartHead { message: 2, last: false, len: usize::MAX };
        assert_eq!(assembler.admit(part, none).unwrap_err(), PartError::TooLarge { limit: 100 });
        assembler.push(2, false, &[0; 40]).unwrap();
        assert!(assembler.push(1, false, b"a").is_err());
    }

    #[test]
    fn a_last_part_without_bytes_gives_the_message_up() {
        let mut assembler = Assembler::new(100);
        assembler.push(1, false, &[0; 100]).unwrap();
        assert_eq!(assembler.push(1, true, b""), Ok(None));
        assert_eq!((assembler.oldest(), assembler.bytes), (None, 0));
        assert_eq!(assembler.push(2, true, &[0; 100]).unwrap().unwrap().len(), 100);
    }

    #[test]
    fn other_parts_without_bytes_are_refused() {
        let mut assembler = Assembler::new(100);
        assert_eq!(assembler.push(1, false, b""), Err(PartError::Empty(1)));
        assert_eq!(assembler.push(1, true, b""), Err(PartError::Empty(1)));
        assembler.push(1, false, b"a").unwrap();
        assert_eq!(assembler.push(1, false, b""), Err(PartError::Empty(1)));
    }

    #[test]
    fn bytes_are_put_together_where_they_arrive() {
        let mut assembler = Assembler::new(1000);
        let first = PartHead { message: 1, last: false, len: 300 };
        let buffer = assembler.admit(first, BytesMut::with_capacity).unwrap();
        assert!(buffer.capacity() >= 300);
        buffer.extend_from_slice(&[1; 100]);
        assembler.buffer(1).unwrap().extend_from_slice(&[2; 200]);
        assert_eq!(assembler.finish(first), None);
        let last = PartHead { message: 1, last: true, len: 1 };
        assembler.admit(last, |_| panic!("it has one")).unwrap().extend_from_slice(&[3]);
        assert_eq!(assembler.finish(last).unwrap().len(), 301);
        // The next is given room for as much at once.
        let next = PartHead { message: 2, last: false, len: 10 };
        assembler
            .admit(next, |room| {
                assert_eq!(room, 301);
                BytesMut::with_capacity(room)
            })
            .unwrap();
    }
}
