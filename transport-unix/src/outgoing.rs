//! What waits to be written to one peer.
//!
//! Small frames are written one behind the other into a single buffer. A large payload is not
//! copied: it is kept as it is, together with the place in the buffer that it belongs at, and both
//! are handed to the operating system in one vectored write.
//!
//! A frame that is too large for one part waits in [`Lanes`] instead. Whenever all else is written, it
//! gives a part, and so it does after every so many bytes of other frames: small frames overtake large
//! ones, and do not starve them.
//!
//! The queue knows where the frames of calls begin and end, so that it can say of each, when the
//! session dies, whether a byte of it was written.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};
use farcall_core::wire::{CallId, Frame, PART_BYTES, PartHead, Piece, Towards};

use crate::framing::PREFIX;
use crate::lanes::{Lanes, Next, Waiting, Watch};

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
    /// The most bytes of frames in parts that the peer takes at a time, if it takes parts.
    parts: Option<usize>,
    /// Frames that go out in parts, while there are any.
    lanes: Option<Box<Lanes>>,
    /// The number of the last frame that went out in parts.
    last_message: u64,
    /// Bytes of other frames that were queued since the last part.
    since_part: usize,
}

/// A payload that is written from where it lies.
#[derive(Debug)]
struct Large {
    /// It follows the small bytes up to this one, counted from the first ever queued.
    after: u64,
    bytes: Bytes,
}

/// A frame whose fate somebody wants to know: the bytes from `start` to `end` of all ever queued. Of a
/// frame in parts these are the last one's, without which it is none.
#[derive(Debug)]
struct Mark {
    start: u64,
    end: u64,
    watch: Watch,
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
    /// Whether a byte of it was written; of a frame in parts, of the last part.
    pub(crate) written: bool,
}

/// What became of the frames of a call that was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GivenUp {
    /// Bytes that wait no longer.
    pub(crate) freed: usize,
    /// Bytes that wait instead.
    pub(crate) queued: usize,
    /// The peer has not heard of the call, and need not hear of its cancel.
    pub(crate) is_unheard: bool,
}

impl Outgoing {
    /// Bytes that wait. Those that say where parts begin count once they are queued.
    pub(crate) fn len(&self) -> usize {
        let line = usize::try_from(self.queued - self.written).expect("queued bytes are in memory");
        line + self.lanes.as_ref().map_or(0, |lanes| lanes.len())
    }

    /// Bytes ever written.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queued == self.written && self.lanes.is_none()
    }

    /// From now on large frames go out in parts, since the peer takes them: frames of up to `limit`
    /// bytes together at a time.
    pub(crate) fn cut_large(&mut self, limit: usize) {
        self.parts = Some(limit);
    }

    /// Queues a frame and answers how many bytes more wait, unless more than `limit` would wait then.
    ///
    /// `watch` is set for a frame that [`abandon`](Self::abandon) is to report, and in it whether
    /// [`advance`](Self::advance) is to report it as well.
    pub(crate) fn push(
        &mut self,
        frame: &Frame,
        watch: Option<Watch>,
        limit: usize,
    ) -> Result<usize, Full> {
        let begin = self.small.len();
        let large = frame.payload().filter(|payload| payload.len() >= LARGE);
        self.small.reserve(PREFIX + frame.weight() - large.map_or(0, Bytes::len));
        self.small.extend_from_slice(&[0; PREFIX]);
        match large {
            Some(_) => frame.encode_head(&mut self.small),
            None => frame.encode(&mut self.small),
        }
        let len = self.small.len() - begin + large.map_or(0, Bytes::len);
        let prefix = u32::try_from(len - PREFIX).ok().filter(|_| self.len() + len <= limit);
        let Some(prefix) = prefix else {
            self.small.truncate(begin);
            return Err(Full { len });
        };
        let is_cut = len - PREFIX > PART_BYTES && self.parts.is_some();
        if is_cut || self.lanes.as_ref().is_some_and(|lanes| lanes.is_before(frame)) {
            // The head is moved out again: to a large frame the few bytes make no difference.
            let head = Bytes::copy_from_slice(&self.small[begin + PREFIX..]);
            self.small.truncate(begin);
            let lanes =
                self.lanes.get_or_insert_with(|| Lanes::new(self.parts.unwrap_or(0)).into());
            lanes.push(frame, Waiting::new(frame, head, large, watch));
            return Ok(len - PREFIX);
        }
        self.small[begin..begin + PREFIX].copy_from_slice(&prefix.to_be_bytes());
        self.put_in_line(len, large.cloned(), watch);
        if self.lanes.is_none() {
            return Ok(len);
        }
        self.since_part += len;
        Ok(if self.since_part < PART_BYTES { len } else { len + self.queue_part() })
    }

    /// Takes note of bytes that were written to `small`, and of the payload that follows them.
    fn put_in_line(&mut self, len: usize, large: Option<Bytes>, watch: Option<Watch>) {
        if let Some(bytes) = large {
            let after = self.small_gone + self.small.len() as u64;
            self.large.push_back(Large { after, bytes });
        }
        let start = self.queued;
        self.queued += len as u64;
        if let Some(watch) = watch {
            self.marks.push_back(Mark { start, end: self.queued, watch });
        }
    }

    /// Queues a part if nothing else waits to be written. Answers how many bytes more wait by that.
    pub(crate) fn refill(&mut self) -> usize {
        if self.queued == self.written && self.lanes.is_some() { self.queue_part() } else { 0 }
    }

    /// Queues the next part of a large frame, and what waited for the end of that frame.
    fn queue_part(&mut self) -> usize {
        let Some(mut lanes) = self.lanes.take() else { return 0 };
        let before = self.queued + lanes.len() as u64;
        self.since_part = 0;
        let mut message = self.last_message;
        lanes.turn(&mut message, |next| self.put(next));
        self.last_message = message;
        let after = self.queued + lanes.len() as u64;
        self.lanes = Some(lanes).filter(|lanes| !lanes.is_empty());
        usize::try_from(after - before).expect("queued bytes are in memory")
    }

    fn put(&mut self, Next { part, piece, watch }: Next) {
        let begin = self.small.len();
        self.small.extend_from_slice(&[0; PREFIX]);
        if let Some(part) = part {
            part.encode(&mut self.small);
        }
        self.small.extend_from_slice(&piece.head);
        let large = match piece.payload {
            small if small.len() < LARGE => {
                self.small.extend_from_slice(&small);
                None
            }
            large => Some(large),
        };
        let len = self.small.len() - begin + large.as_ref().map_or(0, Bytes::len);
        let prefix = u32::try_from(len - PREFIX).expect("a part is small");
        self.small[begin..begin + PREFIX].copy_from_slice(&prefix.to_be_bytes());
        self.put_in_line(len, large, watch);
    }

    /// Gives up what waits of a call of this node's, which was cancelled: if frames of it wait in
    /// parts, the rest of them is not sent. Nothing of them is reported.
    pub(crate) fn give_up(&mut self, id: CallId) -> Option<GivenUp> {
        let given_up = self.lanes.as_mut()?.give_up((Towards::Callee, id))?;
        self.lanes.take_if(|lanes| lanes.is_empty());
        let before = self.queued;
        if let Some(message) = given_up.message {
            let part = Some(PartHead { message, last: true, len: 0 });
            self.put(Next { part, piece: Piece::default(), watch: None });
        }
        let queued = usize::try_from(self.queued - before).expect("it is small");
        Some(GivenUp { freed: given_up.bytes, queued, is_unheard: given_up.is_unheard })
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
            if mark.watch.confirm {
                confirmed(mark.watch.id);
            }
            self.marks.pop_front();
        }
    }

    /// Gives up what waits. Answers the frames that somebody wants to know of: those of which
    /// nothing was written, and those to be confirmed that were written in part.
    pub(crate) fn abandon(&mut self) -> Vec<Lost> {
        let queued = std::mem::take(self);
        let in_line = queued.marks.iter().map(|mark| (mark.watch, mark.start < queued.written));
        let in_lanes = queued.lanes.iter().flat_map(|lanes| lanes.watched());
        in_line
            .chain(in_lanes.map(|watch| (watch, false)))
            .filter(|(watch, written)| watch.confirm || !written)
            .map(|(watch, written)| Lost { id: watch.id, written })
            .collect()
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
    use farcall_core::wire::{Assembler, StreamId};

    use super::*;
    use crate::framing::Frames;

    const LIMIT: usize = 1 << 20;

    fn item(id: u64, len: usize) -> Frame {
        let value = Bytes::from(vec![id as u8; len]);
        Frame::Item { id: CallId(id), stream: StreamId(1), value }
    }

    fn watched(id: u64) -> Option<Watch> {
        Some(Watch { id: CallId(id), confirm: false })
    }

    fn confirmed(id: u64) -> Option<Watch> {
        Some(Watch { id: CallId(id), confirm: true })
    }

    /// Writes everything, at most `at_once` bytes at a time.
    fn drain(outgoing: &mut Outgoing, at_once: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while !outgoing.is_empty() {
            outgoing.refill();
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
        let len = outgoing.push(&item(1, LARGE), confirmed(1), LIMIT).unwrap();
        let mut out = Vec::new();
        outgoing.advance(len - 1, |id| out.push(id));
        assert!(out.is_empty());
        outgoing.advance(1, |id| out.push(id));
        assert_eq!(out, [CallId(1)]);
        assert!(outgoing.abandon().is_empty());
    }

    #[test]
    fn a_frame_to_be_confirmed_is_given_back_even_if_written_in_part() {
        let mut outgoing = Outgoing::default();
        outgoing.push(&item(1, 10), confirmed(1), LIMIT).unwrap();
        outgoing.advance(3, |_| {});
        assert_eq!(outgoing.abandon(), [Lost { id: CallId(1), written: true }]);
    }

    /// A queue to a peer that takes parts.
    fn in_parts() -> Outgoing {
        let mut outgoing = Outgoing::default();
        outgoing.cut_large(LIMIT);
        outgoing
    }

    /// Reads everything that waits: whole frames, and messages in parts by `None`.
    fn read(bytes: Vec<u8>) -> Vec<(Frame, bool)> {
        let mut assembler = Assembler::new(LIMIT);
        let mut frames = Vec::new();
        for bytes in Frames::new(bytes.into()) {
            match Frame::decode(bytes).unwrap() {
                Frame::Part { message, last, bytes } => {
                    assert!(bytes.len() <= PART_BYTES);
                    if let Some(whole) = assembler.push(message, last, &bytes).unwrap() {
                        frames.push((Frame::decode(whole.freeze()).unwrap(), true));
                    }
                }
                frame => frames.push((frame, false)),
            }
        }
        assert_eq!(assembler.oldest(), None);
        frames
    }

    /// The calls of the frames, in their order.
    fn calls(frames: &[(Frame, bool)]) -> Vec<u64> {
        frames.iter().map(|(frame, _)| frame.call_id().map_or(0, |id| id.0)).collect()
    }

    #[test]
    fn only_what_does_not_fit_into_a_part_is_cut() {
        let head = item(7, 0).weight() - 64 + 4;
        for (len, is_cut) in
            [(PART_BYTES - head, false), (PART_BYTES, true), (3 * PART_BYTES, true)]
        {
            for at_once in [1000, PART_BYTES, usize::MAX] {
                let mut outgoing = in_parts();
                let frame = item(7, len);
                outgoing.push(&frame, None, LIMIT).unwrap();
                assert_eq!(read(drain(&mut outgoing, at_once)), [(frame, is_cut)]);
            }
        }
        let mut outgoing = Outgoing::default();
        let frame = item(7, 3 * PART_BYTES);
        outgoing.push(&frame, None, LIMIT).unwrap();
        assert_eq!(read(drain(&mut outgoing, usize::MAX)), [(frame, false)], "it was not agreed");
    }

    #[test]
    fn small_frames_overtake_all_but_a_part() {
        let mut outgoing = in_parts();
        let large = item(1, 4 * PART_BYTES);
        let mut waiting = outgoing.push(&large, None, LIMIT).unwrap();
        waiting += outgoing.refill();
        assert_eq!((outgoing.len(), outgoing.refill()), (waiting, 0), "one part at a time");
        outgoing.advance(10, |_| {});
        waiting += outgoing.push(&item(2, 10), None, LIMIT).unwrap();
        assert_eq!(outgoing.len(), waiting - 10);
        let line = usize::try_from(outgoing.queued - outgoing.written).unwrap();
        assert!(line < PART_BYTES + 100, "{line}");
    }

    #[test]
    fn small_frames_do_not_starve_a_large_one() {
        let mut outgoing = in_parts();
        outgoing.push(&item(1, 2 * PART_BYTES), None, usize::MAX).unwrap();
        // The peer takes nothing, and more and more is to be sent.
        let small = item(2, PART_BYTES / 4);
        for _ in 0..20 {
            let before = outgoing.len();
            let more = outgoing.push(&small, None, usize::MAX).unwrap();
            assert_eq!(outgoing.len(), before + more);
        }
        let order = calls(&read(drain(&mut outgoing, usize::MAX)));
        assert_eq!(order.iter().position(|id| *id == 1), Some(12), "{order:?}");
    }

    #[test]
    fn a_payload_in_parts_is_not_copied() {
        let frame = item(1, 2 * PART_BYTES);
        let mut outgoing = in_parts();
        outgoing.push(&frame, None, LIMIT).unwrap();
        outgoing.refill();
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(outgoing.slices(&mut slices), 2);
        assert_eq!(slices[1].as_ptr(), frame.payload().unwrap().as_ptr());
    }

    #[test]
    fn goodbye_goes_last() {
        let mut outgoing = in_parts();
        let goodbye = Frame::Goodbye { reason: "enough".into(), clean: true };
        outgoing.push(&item(1, 3 * PART_BYTES), None, LIMIT).unwrap();
        outgoing.push(&goodbye, None, LIMIT).unwrap();
        let frames = read(drain(&mut outgoing, usize::MAX));
        assert_eq!(frames.last().unwrap(), &(goodbye, false));
        assert_eq!(frames.len(), 2);
    }

    #[test]
    fn a_frame_in_parts_comes_back_as_not_written_until_its_last_part_is_begun() {
        for (parts, written) in [(0, false), (1, false), (2, false), (3, true)] {
            let mut outgoing = in_parts();
            outgoing.push(&item(1, 3 * PART_BYTES - 100), confirmed(1), LIMIT).unwrap();
            for _ in 0..parts {
                outgoing.refill();
                let line = usize::try_from(outgoing.queued - outgoing.written).unwrap();
                // Not the last byte of the last part.
                outgoing.advance(line - usize::from(parts == 3), |_| panic!("it is not out"));
                if parts == 3 && outgoing.lanes.is_some() {
                    outgoing.advance(1, |_| panic!("it is not out"));
                }
            }
            assert_eq!(outgoing.abandon(), [Lost { id: CallId(1), written }], "{parts} parts");
            assert!(outgoing.is_empty());
        }
    }

    fn call(id: u64, len: usize) -> Frame {
        let params = Bytes::from(vec![id as u8; len]);
        Frame::Query { id: CallId(id), subject: "status".into(), params }
    }

    #[test]
    fn a_call_that_is_cancelled_before_it_is_out_is_given_up() {
        let mut outgoing = in_parts();
        let mut len = 0;
        for id in 1..=2 {
            len += outgoing.push(&call(id, 3 * PART_BYTES), watched(id), LIMIT).unwrap();
        }
        len += outgoing.refill();
        // The first is begun, the second is not; the peer hears of neither.
        for (id, told) in [(1, 4 + 5), (2, 0)] {
            let given_up = outgoing.give_up(CallId(id)).unwrap();
            assert!(given_up.is_unheard);
            assert_eq!(given_up.queued, told);
            len = len + given_up.queued - given_up.freed;
            assert_eq!(outgoing.len(), len);
            assert_eq!(outgoing.give_up(CallId(id)), None);
        }
        outgoing.push(&call(3, 2 * PART_BYTES), None, LIMIT).unwrap();
        let frames = read(drain(&mut outgoing, usize::MAX));
        assert_eq!(calls(&frames), [3]);
    }

    #[test]
    fn a_call_that_the_peer_has_is_cancelled_though_what_follows_is_given_up() {
        let mut outgoing = in_parts();
        outgoing.push(&call(1, 10), None, LIMIT).unwrap();
        outgoing.push(&item(1, 3 * PART_BYTES), None, LIMIT).unwrap();
        let given_up = outgoing.give_up(CallId(1)).unwrap();
        assert!(!given_up.is_unheard);
        assert_eq!(calls(&read(drain(&mut outgoing, usize::MAX))), [1]);
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
