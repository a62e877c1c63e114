//! Large frames that wait for their turns to go out part by part, and what must stay behind them.
//!
//! A lane is one call's: frames of one call stay in their order, so whatever follows a large frame of
//! a call waits behind it in its lane. All other frames overtake.
//!
//! Up to [`MAX_OPEN_MESSAGES`] lanes are open at a time, as far as their frames have no more bytes
//! together than the peer takes of one, and these take turns, a part each: so a frame of some hundred
//! kilobytes does not wait for one of many megabytes. The others wait in the order they came.

use std::collections::VecDeque;

use bytes::Bytes;
use farcall_core::wire::{
    CallId, Cutter, Frame, MAX_OPEN_MESSAGES, PART_BYTES, PartHead, Piece, Towards,
};

/// One side of a call: both sides number theirs, so the number alone does not tell it.
pub(crate) type Key = (Towards, CallId);

fn key(frame: &Frame) -> Option<Key> {
    frame.call_id().map(|id| (frame.towards(), id))
}

/// Who wants to know what becomes of a frame, and whether also when it has gone out well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Watch {
    pub(crate) id: CallId,
    pub(crate) confirm: bool,
}

/// A frame in a lane.
#[derive(Debug)]
pub(crate) struct Waiting {
    bytes: Cutter,
    watch: Option<Watch>,
    /// It begins the call: without it the peer knows nothing of it.
    begins: bool,
}

#[derive(Debug)]
struct Lane {
    key: Option<Key>,
    /// Never empty, and large is the first.
    frames: VecDeque<Waiting>,
    /// The number of the first, once a part of it is on its way.
    message: Option<u64>,
    /// The whole length of the first.
    len: usize,
}

/// All lanes to one peer.
#[derive(Debug)]
pub(crate) struct Lanes {
    open: VecDeque<Lane>,
    waiting: VecDeque<Lane>,
    /// Bytes of frames that are left in all lanes.
    bytes: usize,
    /// How many bytes the frames being sent may have together.
    limit: usize,
    /// Goodbye: it goes when all else has gone.
    last: VecDeque<Waiting>,
}

/// What goes out next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Next {
    /// For a part; a whole frame has none.
    pub(crate) part: Option<PartHead>,
    pub(crate) piece: Piece,
    /// Who wants to know of the frame that this completes.
    pub(crate) watch: Option<Watch>,
}

/// What became of the frames of a call that was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GivenUp {
    /// Bytes that are not sent any more.
    pub(crate) bytes: usize,
    /// The message that was under way, of which the peer must be told.
    pub(crate) message: Option<u64>,
    /// The peer has not heard of the call, and need not hear of its cancel.
    pub(crate) is_unheard: bool,
}

impl Waiting {
    /// A frame of which `head` is encoded, without the payload that follows.
    pub(crate) fn new(
        frame: &Frame,
        head: Bytes,
        payload: Option<&Bytes>,
        watch: Option<Watch>,
    ) -> Self {
        let payload = payload.cloned().unwrap_or_default();
        let begins = matches!(frame, Frame::Call(_) | Frame::Query { .. });
        Waiting { bytes: Cutter::of_encoded(head, payload), watch, begins }
    }

    fn is_large(&self) -> bool {
        self.bytes.len() > PART_BYTES
    }
}

impl Lane {
    fn new(key: Option<Key>, frames: VecDeque<Waiting>) -> Self {
        let len = frames.front().map_or(0, |frame| frame.bytes.len());
        Lane { key, frames, message: None, len }
    }
}

impl Lanes {
    /// None, for a peer that takes frames of up to `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Lanes {
            open: VecDeque::new(),
            waiting: VecDeque::new(),
            bytes: 0,
            limit,
            last: VecDeque::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Whether something waits that the frame has to stay behind: others of its call, and everything
    /// if it is goodbye.
    pub(crate) fn is_before(&self, frame: &Frame) -> bool {
        let key = key(frame);
        let is_goodbye = matches!(frame, Frame::Goodbye { .. });
        is_goodbye || (key.is_some() && self.all().any(|lane| lane.key == key))
    }

    /// Adds a frame.
    pub(crate) fn push(&mut self, frame: &Frame, waiting: Waiting) {
        self.bytes += waiting.bytes.len();
        if let Frame::Goodbye { .. } = frame {
            return self.last.push_back(waiting);
        }
        let key = key(frame);
        let mut all = self.open.iter_mut().chain(&mut self.waiting);
        match all.find(|lane| key.is_some() && lane.key == key) {
            Some(lane) => lane.frames.push_back(waiting),
            None => {
                debug_assert!(waiting.is_large());
                self.waiting.push_back(Lane::new(key, VecDeque::from([waiting])));
            }
        }
    }

    /// Takes what has the next turn: a part; and, if that ends a frame, those frames behind it that
    /// need no parts. `next_message` is the number for a frame that is begun now.
    pub(crate) fn turn(&mut self, next_message: &mut u64, mut put: impl FnMut(Next)) {
        self.open_more();
        let Some(mut lane) = self.open.pop_front() else {
            let mut last = std::mem::take(&mut self.last);
            return self.put_whole_ones(&mut last, put);
        };
        let frame = lane.frames.front_mut().expect("a lane has a frame");
        let message = *lane.message.get_or_insert_with(|| {
            *next_message += 1;
            *next_message
        });
        let piece = frame.bytes.cut(PART_BYTES);
        self.bytes -= piece.len();
        let last = frame.bytes.is_empty();
        let part = PartHead { message, last, len: piece.len() };
        put(Next { part: Some(part), piece, watch: frame.watch.filter(|_| last) });
        if !last {
            return self.open.push_back(lane);
        }
        lane.frames.pop_front();
        self.put_whole_ones(&mut lane.frames, put);
        if !lane.frames.is_empty() {
            self.waiting.push_back(Lane::new(lane.key, lane.frames));
        }
    }

    /// Takes the frames that need no parts, up to the first that does.
    fn put_whole_ones(&mut self, frames: &mut VecDeque<Waiting>, mut put: impl FnMut(Next)) {
        while let Some(frame) = frames.front_mut().filter(|frame| !frame.is_large()) {
            let piece = frame.bytes.cut(PART_BYTES);
            self.bytes -= piece.len();
            put(Next { part: None, piece, watch: frame.watch });
            frames.pop_front();
        }
    }

    fn open_more(&mut self) {
        while self.open.len() < MAX_OPEN_MESSAGES {
            let open: usize = self.open.iter().map(|lane| lane.len).sum();
            // One may always go, whatever its length: whether it is too long is the peer's to say.
            let fits = |lane: &Lane| open == 0 || open + lane.len <= self.limit;
            if !self.waiting.front().is_some_and(fits) {
                return;
            }
            self.open.extend(self.waiting.pop_front());
        }
    }

    /// Takes out all frames of a call, which nobody wants any more.
    pub(crate) fn give_up(&mut self, key: Key) -> Option<GivenUp> {
        let of = |lane: &Lane| lane.key == Some(key);
        let lane = match self.open.iter().position(of) {
            Some(at) => self.open.remove(at),
            None => self.waiting.iter().position(of).and_then(|at| self.waiting.remove(at)),
        }?;
        let bytes = lane.frames.iter().map(|frame| frame.bytes.len()).sum();
        self.bytes -= bytes;
        let is_unheard = lane.frames.iter().any(|frame| frame.begins);
        Some(GivenUp { bytes, message: lane.message, is_unheard })
    }

    /// The frames that somebody wants to know of.
    pub(crate) fn watched(&self) -> impl Iterator<Item = Watch> {
        self.all().flat_map(|lane| &lane.frames).filter_map(|frame| frame.watch)
    }

    fn all(&self) -> impl Iterator<Item = &Lane> {
        self.open.iter().chain(&self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use farcall_core::wire::StreamId;

    use super::*;

    const LIMIT: usize = 10 * PART_BYTES;

    fn push(lanes: &mut Lanes, id: u64, stream: u32, len: usize) {
        let value = Bytes::from(vec![0; len]);
        let frame = Frame::Item { id: CallId(id), stream: StreamId(stream), value };
        let watch = Some(Watch { id: CallId(id), confirm: false });
        lanes.push(
            &frame,
            Waiting::new(&frame, Bytes::from_static(b"head"), frame.payload(), watch),
        );
    }

    /// What goes out in each turn: the message's number, or 0 for a whole frame, and its bytes in
    /// parts, rounded up.
    fn turns(lanes: &mut Lanes, count: usize) -> Vec<Vec<(u64, usize)>> {
        let mut message = 0;
        let mut turn = |_| {
            let mut all = Vec::new();
            lanes.turn(&mut message, |next| {
                let number = next.part.map_or(0, |part| part.message);
                all.push((number, next.piece.len().div_ceil(PART_BYTES)));
            });
            all
        };
        (0..count).map(&mut turn).collect()
    }

    fn order(lanes: &mut Lanes, count: usize) -> Vec<u64> {
        turns(lanes, count).iter().map(|turn| turn.first().map_or(99, |next| next.0)).collect()
    }

    #[test]
    fn open_frames_take_turns_and_others_follow_when_one_is_out() {
        let mut lanes = Lanes::new(100 * PART_BYTES);
        for id in 1..=MAX_OPEN_MESSAGES as u64 + 1 {
            push(&mut lanes, id, 0, 2 * PART_BYTES - 4);
        }
        assert_eq!(order(&mut lanes, 11), [1, 2, 3, 4, 1, 2, 3, 4, 5, 5, 99]);
        assert!(lanes.is_empty());
    }

    #[test]
    fn open_frames_have_no_more_bytes_than_the_peer_takes() {
        let mut lanes = Lanes::new(LIMIT);
        push(&mut lanes, 1, 0, 3 * PART_BYTES - 4);
        push(&mut lanes, 2, 0, 8 * PART_BYTES - 4);
        push(&mut lanes, 3, 0, 2 * PART_BYTES - 4);
        assert_eq!(order(&mut lanes, 6), [1, 1, 1, 2, 3, 2]);
        let mut lanes = Lanes::new(LIMIT);
        push(&mut lanes, 1, 0, 2 * LIMIT);
        assert_eq!(order(&mut lanes, 1), [1], "one goes in any case");
    }

    #[test]
    fn frames_of_one_call_stay_in_order_and_those_of_the_other_side_are_not_of_it() {
        let mut lanes = Lanes::new(LIMIT);
        push(&mut lanes, 1, 0, 2 * PART_BYTES - 4);
        push(&mut lanes, 1, 0, 10);
        push(&mut lanes, 1, 0, 10);
        push(&mut lanes, 1, 0, 2 * PART_BYTES - 4);
        push(&mut lanes, 1, 0, 10);
        // Number 1 of the other side, which writes its arguments.
        push(&mut lanes, 1, 1, 2 * PART_BYTES - 4);
        assert_eq!(lanes.all().count(), 2);
        assert_eq!(
            turns(&mut lanes, 6),
            [
                vec![(1, 1)],
                vec![(2, 1)],
                vec![(1, 1), (0, 1), (0, 1)],
                vec![(2, 1)],
                vec![(3, 1)],
                vec![(3, 1), (0, 1)],
            ]
        );
        assert!(lanes.is_empty());
    }

    #[test]
    fn who_wants_to_know_of_a_frame_is_named_with_its_last_part() {
        let mut lanes = Lanes::new(LIMIT);
        push(&mut lanes, 1, 0, 2 * PART_BYTES);
        push(&mut lanes, 1, 0, 10);
        assert_eq!(lanes.watched().count(), 2);
        let mut watched = Vec::new();
        for _ in 0..3 {
            lanes.turn(&mut 0, |next| watched.push(next.watch.is_some()));
        }
        assert_eq!(watched, [false, false, true, true]);
    }
}
