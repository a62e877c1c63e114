//! What waits to be written to one peer.
//!
//! Small frames are written one behind the other into a single buffer. A large payload is not
//! copied: it is kept as it is, together with the place in the buffer that it belongs at, and both
//! are handed to the operating system in one vectored write.
//!
//! The queue knows where the frames of calls begin and end, so that it can say of each, when the
//! session dies, whether a byte of it was written.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};
use farcall_core::wire::{CallId, Frame};

use crate::framing::PREFIX;

/// Payloads from this size on are not copied.
const LARGE: usize = 8 * 1024;
/// How many entries an empty list has room for.
const MARKS_KEPT: usize = 64;

/// The frames that wait for one peer, and how much of them is written.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    /// Lengths, heads and small payloads that are not written yet.
    small: BytesMut,
    /// How many bytes have gone out of the front of `small`.
    small_gone: u64,
    large: VecDeque<Large>,
    /// Bytes ever queued.
    queued: u64,
    /// Bytes ever written.
    written: u64,
    marks: VecDeque<Mark>,
}

/// A payload that is written from where it lies.
#[derive(Debug)]
struct Large {
    /// It follows the small bytes up to this one, counted from the first ever queued.
    after: u64,
    bytes: Bytes,
}

/// A frame whose fate somebody wants to know: the bytes from `start` to `end` of all ever queued.
#[derive(Debug)]
struct Mark {
    start: u64,
    end: u64,
    id: CallId,
    confirm: bool,
}

/// There is no room for the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full {
    /// The bytes it would take.
    pub(crate) len: usize,
}

/// A frame that did not go out wholly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) id: CallId,
    /// Whether a byte of it was written.
    pub(crate) written: bool,
}

impl Outgoing {
    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        usize::try_from(self.queued - self.written).expect("queued bytes are in memory")
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queued == self.written
    }

    /// Queues a frame and answers its bytes, unless more than `limit` would wait then.
    ///
    /// `watch` is set for a frame that [`abandon`](Self::abandon) is to report, and in it whether
    /// [`advance`](Self::advance) is to report it as well.
    pub(crate) fn push(
        &mut self,
        frame: &Frame,
        watch: Option<(CallId, bool)>,
        limit: usize,
    ) -> Result<usize, Full> {
        let begin = self.small.len();
        self.small.reserve(PREFIX + frame.weight());
        self.small.extend_from_slice(&[0; PREFIX]);
        let large = match frame.payload() {
            Some(payload) if payload.len() >= LARGE => {
                frame.encode_head(&mut self.small);
                Some(payload)
            }
            _ => {
                frame.encode(&mut self.small);
                None
            }
        };
        let len = self.small.len() - begin + large.map_or(0, Bytes::len);
        let prefix = u32::try_from(len - PREFIX).ok().filter(|_| self.len() + len <= limit);
        let Some(prefix) = prefix else {
            self.small.truncate(begin);
            return Err(Full { len });
        };
        self.small[begin..begin + PREFIX].copy_from_slice(&prefix.to_be_bytes());
        if let Some(payload) = large {
            let after = self.small_gone + self.small.len() as u64;
            self.large.push_back(Large { after, bytes: payload.clone() });
        }
        let start = self.queued;
        self.queued += len as u64;
        if let Some((id, confirm)) = watch {
            self.marks.push_back(Mark { start, end: self.queued, id, confirm });
        }
        Ok(len)
    }

    /// What waits, if it lies in one piece.
    pub(crate) fn one_slice(&self) -> Option<&[u8]> {
        self.large.is_empty().then_some(&self.small[..])
    }

    /// Fills `slices` with what waits, from its front, and answers how many it took.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut taken = 0;
        let mut small = &self.small[..];
        let mut small_from = self.small_gone;
        let mut put = |bytes: &'a [u8]| {
            if !bytes.is_empty() && taken < slices.len() {
                slices[taken] = IoSlice::new(bytes);
                taken += 1;
            }
            taken < slices.len()
        };
        for large in &self.large {
            let (before, after) = small.split_at((large.after - small_from) as usize);
            if !put(before) || !put(&large.bytes) {
                return taken;
            }
            (small, small_from) = (after, large.after);
        }
        put(small);
        taken
    }

    /// Takes note that `len` bytes were written; `confirmed` is told the calls whose frames were to
    /// be confirmed and are out.
    pub(crate) fn advance(&mut self, len: usize, mut confirmed: impl FnMut(CallId)) {
        debug_assert!(len <= self.len());
        self.written += len as u64;
        let mut left = len;
        while left > 0 {
            let until = self.large.front().map_or(self.small.len(), |large| {
                usize::try_from(large.after - self.small_gone).expect("small bytes are in memory")
            });
            let small = left.min(until);
            if small == self.small.len() {
                // Not `advance`: this way the whole buffer can be used again.
                self.small.clear();
            } else {
                self.small.advance(small);
            }
            self.small_gone += small as u64;
            left -= small;
            let Some(large) = self.large.front_mut().filter(|_| left > 0) else { break };
            let part = left.min(large.bytes.len());
            large.bytes.advance(part);
            left -= part;
            if large.bytes.is_empty() {
                self.large.pop_front();
            }
        }
        while let Some(mark) = self.marks.front().filter(|mark| mark.end <= self.written) {
            if mark.confirm {
                confirmed(mark.id);
            }
            self.marks.pop_front();
        }
    }

    /// Gives up what waits. Answers the frames that somebody wants to know of: those of which
    /// nothing was written, and those to be confirmed that were written in part.
    pub(crate) fn abandon(&mut self) -> Vec<Lost> {
        let written = self.written;
        let lost = self
            .marks
            .drain(..)
            .map(|mark| (mark.confirm, Lost { id: mark.id, written: mark.start < written }))
            .filter(|(confirm, lost)| *confirm || !lost.written)
            .map(|(_, lost)| lost)
            .collect();
        *self = Outgoing::default();
        lost
    }

    /// Takes a buffer to write into, if the queue has none.
    pub(crate) fn lend(&mut self, buffer: impl FnOnce() -> BytesMut) {
        if self.small.capacity() == 0 {
            self.small = buffer();
        }
    }

    /// Gives the buffer back, if nothing waits in it; lists that have become long are let go of.
    pub(crate) fn give_back(&mut self) -> Option<BytesMut> {
        if !self.is_empty() {
            return None;
        }
        self.marks.shrink_to(MARKS_KEPT);
        self.large.shrink_to(MARKS_KEPT);
        (self.small.capacity() > 0).then(|| std::mem::take(&mut self.small))
    }
}

#[cfg(test)]
mod tests {
    use farcall_core::wire::StreamId;

    use super::*;
    use crate::framing::Frames;

    const LIMIT: usize = 1 << 20;

    fn item(id: u64, len: usize) -> Frame {
        let value = Bytes::from(vec![id as u8; len]);
        Frame::Item { id: CallId(id), stream: StreamId(1), value }
    }

    fn watched(id: u64) -> Option<(CallId, bool)> {
        Some((CallId(id), false))
    }

    /// Writes everything, at most `at_once` bytes at a time.
    fn drain(outgoing: &mut Outgoing, at_once: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !outgoing.is_empty() {
            let mut slices = [IoSlice::new(&[]); 3];
            let taken = outgoing.slices(&mut slices);
            let before = all.len();
            for slice in &slices[..taken] {
                let room = at_once - (all.len() - before);
                all.extend_from_slice(&slice[..slice.len().min(room)]);
            }
            let written = all.len() - before;
            assert!(written > 0);
            outgoing.advance(written, |_| {});
        }
        all
    }

    #[test]
    fn frames_come_out_as_they_went_in_however_they_are_written() {
        let frames: Vec<Frame> =
            [3, LARGE, 0x100, 2 * LARGE, LARGE, 1].iter().map(|len| item(7, *len)).collect();
        for at_once in [1, 7, LARGE, LARGE + 1, usize::MAX] {
            let mut outgoing = Outgoing::default();
            let mut len = 0;
            for frame in &frames {
                len += outgoing.push(frame, None, LIMIT).unwrap();
            }
            assert_eq!(outgoing.len(), len);
            let bytes = drain(&mut outgoing, at_once);
            assert_eq!(bytes.len(), len);
            let back: Vec<_> =
                Frames::new(bytes.into()).map(|frame| Frame::decode(frame).unwrap()).collect();
            assert_eq!(back, frames);
        }
    }

    #[test]
    fn a_large_payload_is_not_copied() {
        let frame = item(1, LARGE);
        let mut outgoing = Outgoing::default();
        outgoing.push(&frame, None, LIMIT).unwrap();
        assert!(outgoing.one_slice().is_none());
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(outgoing.slices(&mut slices), 2);
        assert_eq!(slices[1].as_ptr(), frame.payload().unwrap().as_ptr());
    }

    #[test]
    fn what_does_not_fit_leaves_no_trace() {
        let mut outgoing = Outgoing::default();
        let first = outgoing.push(&item(1, 10), watched(1), 100).unwrap();
        let full = outgoing.push(&item(2, 100), watched(2), 100).unwrap_err();
        assert!(full.len > 100);
        assert_eq!(outgoing.len(), first);
        assert_eq!(drain(&mut outgoing, usize::MAX).len(), first);
        assert!(outgoing.abandon().is_empty());
    }

    #[test]
    fn only_frames_of_which_nothing_was_written_are_given_back() {
        let mut outgoing = Outgoing::default();
        let len = outgoing.push(&item(1, 10), watched(1), LIMIT).unwrap();
        for id in 2..=4 {
            outgoing.push(&item(id, 10), watched(id), LIMIT).unwrap();
        }
        outgoing.advance(len + 1, |_| {});
        let lost: Vec<_> = outgoing.abandon().iter().map(|l| (l.id.0, l.written)).collect();
        assert_eq!(lost, [(3, false), (4, false)]);
        assert!(outgoing.is_empty());
    }

    #[test]
    fn a_confirmation_waits_for_the_last_byte() {
        let mut outgoing = Outgoing::default();
        let len = outgoing.push(&item(1, LARGE), Some((CallId(1), true)), LIMIT).unwrap();
        let mut confirmed = Vec::new();
        outgoing.advance(len - 1, |id| confirmed.push(id));
        assert!(confirmed.is_empty());
        outgoing.advance(1, |id| confirmed.push(id));
        assert_eq!(confirmed, [CallId(1)]);
        assert!(outgoing.abandon().is_empty());
    }

    #[test]
    fn a_frame_to_be_confirmed_is_given_back_even_if_written_in_part() {
        let mut outgoing = Outgoing::default();
        outgoing.push(&item(1, 10), Some((CallId(1), true)), LIMIT).unwrap();
        outgoing.advance(3, |_| {});
        assert_eq!(outgoing.abandon(), [Lost { id: CallId(1), written: true }]);
    }

    #[test]
    fn an_empty_queue_needs_no_buffer() {
        let mut outgoing = Outgoing::default();
        outgoing.lend(|| BytesMut::with_capacity(1024));
        outgoing.push(&item(1, 10), None, LIMIT).unwrap();
        assert!(outgoing.give_back().is_none());
        drain(&mut outgoing, usize::MAX);
        assert_eq!(outgoing.give_back().unwrap().capacity(), 1024);
        assert!(outgoing.give_back().is_none());
    }
}
