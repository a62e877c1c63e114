//! What waits to be sent: pure bookkeeping, and the making of packs.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use farcall_core::transport::PeerId;
use farcall_core::wire::{CallFrame, CallId, Frame};
use foldhash::{HashMap, HashMapExt};

use crate::deliveries::{MAX_CALLS, PutBack, Settled};
use crate::entry_id::EntryId;
use crate::keys::{Member, Queue};
use crate::message;

/// A pack of calls, and a message of frames, is closed when it has this many bytes. One frame of any length may be
/// one alone.
const PACK_BYTES: usize = 64 * 1024;
const MESSAGE_BYTES: usize = 256 * 1024;
/// What goes in one exchange, in bytes and pieces.
const BATCH_BYTES: usize = 1024 * 1024;
const BATCH_PACKS: usize = 64;
const BATCH_MESSAGES: usize = 1024;
const BATCH_ENTRIES: usize = 2000;

/// Tries at a full inbox follow each other within this time.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// All that one member has to send.
#[derive(Debug)]
pub(crate) struct Outbox {
    calls: [VecDeque<Waiting>; 2],
    peers: HashMap<PeerId, Lane>,
    /// Peers with something to send, in their order.
    turns: VecDeque<PeerId>,
    pub(crate) take_backs: VecDeque<TakeBack>,
    settled: [VecDeque<Settled>; 2],
    /// Settled entries that the broker has refused to know of: they go alone, so that nothing else is refused with them.
    refused: [VecDeque<Settled>; 2],
    /// These are to be tried again.
    tries_refused: bool,
    /// Settled entries that a long call keeps from being trimmed.
    pub(crate) deletes: [Vec<EntryId>; 2],
    pub(crate) trims: [bool; 2],
    /// The last entry that was read of the inbox, and the bytes since the last time it was told.
    pub(crate) read: Option<(EntryId, usize)>,
    /// How far the inbox was read is worth an exchange of its own.
    pub(crate) tells_read: bool,
    /// An exchange is wanted for what its reply says.
    pub(crate) asks: bool,
    /// How many calls of each queue were under way, when that was last told.
    pub(crate) under_way: [Option<(u64, Instant)>; 2],
    /// Bytes that wait in all.
    bytes: usize,
}

/// A call that waits for its pack.
#[derive(Debug)]
struct Waiting {
    call: Box<CallFrame>,
    since: Instant,
    weight: usize,
}

/// What waits for one peer.
#[derive(Debug)]
struct Lane {
    member: Member,
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// The number of the last message.
    number: u64,
    has_turn: bool,
    /// The bytes that it had not read of its inbox when it was last sent something, if that is known.
    unread: Option<u64>,
    /// Bytes ever put into its inbox.
    taken: u64,
    /// How often its inbox was found full.
    refusals: u64,
    /// Since when it was always found full, and when for the last time.
    full: Option<(Instant, Instant)>,
}

/// How fast a peer reads what waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Bytes that wait here.
    pub(crate) queued: usize,
    /// Bytes ever put into its inbox.
    pub(crate) taken: u64,
    /// How often its inbox was found full.
    pub(crate) refusals: u64,
}

/// Frames that become one message.
#[derive(Debug, Default)]
struct Chunk {
    frames: BytesMut,
    /// What the lane is charged for it.
    bytes: usize,
    /// One-way calls, whose handing over is to be told.
    confirms: Vec<CallId>,
    /// Given once, and kept by one that has to be sent again.
    number: Option<u64>,
}

/// A message to one peer.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) peer: PeerId,
    pub(crate) member: Member,
    pub(crate) number: u64,
    pub(crate) confirms: Vec<CallId>,
    pub(crate) frames: Bytes,
    charged: usize,
}

impl Message {
    /// What it has in an inbox.
    pub(crate) fn size(&self, sender: &Member) -> usize {
        message::head_size(sender) + self.frames.len()
    }
}

/// Calls that lie in one entry.
#[derive(Debug)]
pub(crate) struct Pack {
    pub(crate) queue: Queue,
    pub(crate) calls: Vec<CallId>,
    /// Those of them that are one-way.
    pub(crate) one_way: Vec<CallId>,
    pub(crate) bytes: Bytes,
    charged: usize,
}

/// An entry that is to be taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TakeBack {
    pub(crate) id: EntryId,
    pub(crate) queue: Queue,
    /// Nothing else in it is wanted.
    pub(crate) whole: bool,
    /// The call that a taker is to be told to cancel.
    pub(crate) cancel: Option<CallId>,
    /// The call that is to be told of being taken.
    pub(crate) withdraw: Option<CallId>,
}

/// What goes in one exchange.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) packs: Vec<Pack>,
    pub(crate) messages: Vec<Message>,
    pub(crate) take_backs: Vec<TakeBack>,
    pub(crate) put_backs: Vec<PutBack>,
    pub(crate) settled: [Vec<Settled>; 2],
    pub(crate) deletes: [Vec<EntryId>; 2],
    pub(crate) trims: [bool; 2],
    pub(crate) read: Option<(EntryId, usize)>,
    pub(crate) asks: bool,
}

/// How calls are divided into packs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// Servers that take calls.
    pub(crate) servers: usize,
    /// How many calls at once the smallest of them runs.
    pub(crate) smallest: usize,
}

impl Share {
    /// How many of `waiting` calls go into one pack: the fair share of a server, and so few that they hardly ever
    /// fill one.
    fn pack(self, waiting: usize) -> usize {
        let fair = waiting.div_ceil(self.servers.max(1));
        fair.min(self.smallest / 4).clamp(1, MAX_CALLS)
    }
}

/// Too much waits for one peer, or for the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) queued: usize,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Outbox {
            calls: [VecDeque::new(), VecDeque::new()],
            peers: HashMap::new(),
            turns: VecDeque::new(),
            take_backs: VecDeque::new(),
            settled: [VecDeque::new(), VecDeque::new()],
            refused: [VecDeque::new(), VecDeque::new()],
            tries_refused: false,
            deletes: [Vec::new(), Vec::new()],
            trims: [false; 2],
            read: None,
            tells_read: false,
            asks: false,
            under_way: [None; 2],
            bytes: 0,
        }
    }

    /// Bytes of frames that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether anything is to be sent now. Calls are not, while there is nobody to take them.
    pub(crate) fn is_empty(&self) -> bool {
        self.calls.iter().all(VecDeque::is_empty)
            && self.turns.is_empty()
            && self.take_backs.is_empty()
            && self.settled.iter().all(VecDeque::is_empty)
            && self.deletes.iter().all(Vec::is_empty)
            && self.trims == [false; 2]
            && !self.tells_read
            && !self.asks
            && !self.tries_refused
    }

    /// A call that any server may take.
    pub(crate) fn call(
        &mut self,
        call: Box<CallFrame>,
        limit: usize,
        now: Instant,
    ) -> Result<(), Full> {
        let weight = 64 + call.params.len();
        let queue = Queue::of(call.is_nested());
        let waiting = &mut self.calls[queue.index()];
        if !waiting.is_empty() && self.bytes + weight > limit {
            return Err(Full { queued: self.bytes });
        }
        self.bytes += weight;
        waiting.push_back(Waiting { call, since: now, weight });
        Ok(())
    }

    /// Takes a call out that waits for its pack. Those that are given up are mostly the oldest.
    pub(crate) fn remove(&mut self, call: CallId) -> bool {
        for waiting in &mut self.calls {
            if let Some(at) = waiting.iter().position(|it| it.call.id == call) {
                let removed = waiting.remove(at).expect("it was found there");
                self.bytes -= removed.weight;
                return true;
            }
        }
        false
    }

    /// All calls that wait for a pack.
    pub(crate) fn take_calls(&mut self) -> Vec<CallId> {
        let mut taken = Vec::new();
        for waiting in &mut self.calls {
            for it in waiting.drain(..) {
                self.bytes -= it.weight;
                taken.push(it.call.id);
            }
        }
        taken
    }

    /// A frame for one peer.
    pub(crate) fn send(
        &mut self,
        (peer, member): (PeerId, &Member),
        frame: &Frame,
        confirm: bool,
        limit: usize,
    ) -> Result<(), Full> {
        let lane = self.peers.entry(peer).or_insert_with(|| Lane {
            member: member.clone(),
            chunks: VecDeque::new(),
            bytes: 0,
            number: 0,
            has_turn: false,
            unread: None,
            taken: 0,
            refusals: 0,
            full: None,
        });
        let weight = frame.weight();
        // Calls leave an eighth of the room for what else has to pass, such as their cancels. All else passes: who reads
        // is not ended for being slower than this node, and what waits for all peers together is bounded.
        let is_call = matches!(frame, Frame::Call(_) | Frame::Query { .. });
        let limit = if is_call { limit / 8 * 7 } else { usize::MAX };
        if lane.bytes > 0 && lane.bytes + weight > limit {
            return Err(Full { queued: lane.bytes });
        }
        let is_open =
            |chunk: &Chunk| chunk.number.is_none() && chunk.bytes + weight <= MESSAGE_BYTES;
        if !lane.chunks.back().is_some_and(is_open) {
            lane.chunks.push_back(Chunk::default());
        }
        let chunk = lane.chunks.back_mut().expect("there is one now");
        message::add(frame, &mut chunk.frames);
        chunk.bytes += weight;
        if confirm {
            chunk.confirms.extend(frame.call_id());
        }
        lane.bytes += weight;
        self.bytes += weight;
        if !std::mem::replace(&mut lane.has_turn, true) {
            self.turns.push_back(peer);
        }
        Ok(())
    }

    /// A peer is gone, and what waits for it.
    pub(crate) fn forget(&mut self, peer: PeerId) {
        if let Some(lane) = self.peers.remove(&peer) {
            self.bytes -= lane.bytes;
            self.turns.retain(|it| *it != peer);
        }
    }

    /// An entry is done with.
    pub(crate) fn settle(&mut self, settled: Settled) {
        self.settled[settled.queue.index()].push_back(settled);
    }

    /// Entries are done with, and the broker has refused what told it of that.
    pub(crate) fn settle_later(&mut self, settled: &[Vec<Settled>; 2]) {
        for (refused, settled) in self.refused.iter_mut().zip(settled) {
            refused.extend(settled);
        }
    }

    /// It may do it now. `true` if there is anything to tell.
    pub(crate) fn try_refused(&mut self) -> bool {
        self.tries_refused = self.refused.iter().any(|refused| !refused.is_empty());
        self.tries_refused
    }

    /// Something was read of the inbox.
    pub(crate) fn has_read(&mut self, id: EntryId, bytes: usize) -> usize {
        let before = self.read.map_or(0, |(_, bytes)| bytes);
        self.read = Some((id, before + bytes));
        before + bytes
    }

    /// What goes now. With `share` none, calls stay.
    pub(crate) fn take(
        &mut self,
        share: Option<Share>,
        put_backs: Vec<PutBack>,
        now: Instant,
    ) -> Batch {
        let mut batch = Batch { put_backs, asks: self.asks, ..Batch::default() };
        self.asks = false;
        if std::mem::take(&mut self.tells_read) {
            batch.read = self.read.take();
        }
        batch.trims = std::mem::take(&mut self.trims);
        batch.deletes = std::mem::take(&mut self.deletes);
        let takes = self.take_backs.len().min(BATCH_ENTRIES);
        batch.take_backs = self.take_backs.drain(..takes).collect();
        for (settled, batch) in self.settled.iter_mut().zip(&mut batch.settled) {
            let count = settled.len().min(BATCH_ENTRIES);
            batch.extend(settled.drain(..count));
        }
        let mut bytes = 0;
        self.take_messages(&mut batch, &mut bytes);
        if let Some(share) = share {
            for queue in [Queue::Nested, Queue::Plain] {
                self.take_packs(queue, share, &mut batch, &mut bytes, now);
            }
        }
        if batch.is_empty() && std::mem::take(&mut self.tries_refused) {
            for (refused, batch) in self.refused.iter_mut().zip(&mut batch.settled) {
                let count = refused.len().min(BATCH_ENTRIES);
                batch.extend(refused.drain(..count));
            }
        }
        batch
    }

    /// One message for each peer: should it not be taken, none of those after it may be.
    fn take_messages(&mut self, batch: &mut Batch, bytes: &mut usize) {
        let turns = self.turns.len().min(BATCH_MESSAGES);
        for _ in 0..turns {
            if *bytes >= BATCH_BYTES {
                break;
            }
            let Some(peer) = self.turns.pop_front() else { break };
            let lane = self.peers.get_mut(&peer).expect("who has a turn has a lane");
            let chunk = lane.chunks.pop_front().expect("who has a turn has something to send");
            let number = chunk.number.unwrap_or_else(|| {
                lane.number += 1;
                lane.number
            });
            *bytes += chunk.frames.len();
            lane.has_turn = !lane.chunks.is_empty();
            if lane.has_turn {
                self.turns.push_back(peer);
            }
            batch.messages.push(Message {
                peer,
                member: lane.member.clone(),
                number,
                confirms: chunk.confirms,
                frames: chunk.frames.freeze(),
                charged: chunk.bytes,
            });
        }
    }

    fn take_packs(
        &mut self,
        queue: Queue,
        share: Share,
        batch: &mut Batch,
        bytes: &mut usize,
        now: Instant,
    ) {
        let waiting = &mut self.calls[queue.index()];
        let most = share.pack(waiting.len());
        while !waiting.is_empty() && batch.packs.len() < BATCH_PACKS && *bytes < BATCH_BYTES {
            let mut pack = BytesMut::new();
            let (mut calls, mut one_way, mut charged) = (Vec::with_capacity(most), Vec::new(), 0);
            while calls.len() < most
                && let Some(next) = waiting.front()
                && (calls.is_empty() || charged + next.weight <= PACK_BYTES)
            {
                let Waiting { mut call, since, weight } =
                    waiting.pop_front().expect("it was looked at above");
                call.time_left =
                    call.time_left.saturating_sub(now.saturating_duration_since(since));
                charged += weight;
                calls.push(call.id);
                if call.is_one_way() {
                    one_way.push(call.id);
                }
                message::add(&Frame::Call(call), &mut pack);
            }
            *bytes += pack.len();
            batch.packs.push(Pack { queue, calls, one_way, bytes: pack.freeze(), charged });
        }
    }

    /// What was taken is sent, or given up.
    pub(crate) fn sent(&mut self, batch: &Batch) {
        self.bytes -= batch.packs.iter().map(|pack| pack.charged).sum::<usize>();
        for message in &batch.messages {
            self.delivered(message);
        }
    }

    /// Calls of a batch are not sent.
    pub(crate) fn drop_packs(&mut self, batch: &mut Batch) {
        let packs = std::mem::take(&mut batch.packs);
        self.bytes -= packs.iter().map(|pack| pack.charged).sum::<usize>();
    }

    /// What a peer has not read of its inbox.
    pub(crate) fn unread(&self, peer: PeerId) -> Option<u64> {
        self.peers.get(&peer)?.unread
    }

    pub(crate) fn has_unread(&mut self, peer: PeerId, bytes: Option<u64>) {
        if let Some(lane) = self.peers.get_mut(&peer) {
            lane.unread = bytes;
        }
    }

    /// A message is where it was to go, or will never be.
    fn delivered(&mut self, message: &Message) {
        // What was charged for a peer that is gone was given back with its lane.
        if let Some(lane) = self.peers.get_mut(&message.peer) {
            lane.bytes -= message.charged;
            self.bytes -= message.charged;
            lane.taken += message.charged as u64;
            lane.full = None;
        }
    }

    /// How fast peers read for which something waits.
    pub(crate) fn paces(&self) -> impl Iterator<Item = (PeerId, Pace)> {
        let waiting = self.peers.iter().filter(|(_, lane)| lane.bytes > 0);
        waiting.map(|(peer, lane)| {
            let (taken, refusals) = (lane.taken, lane.refusals);
            (*peer, Pace { queued: lane.bytes, taken, refusals })
        })
    }

    /// Whether a peer has read nothing for so long that its inbox was full at each try.
    pub(crate) fn stalls(&self, peer: PeerId, stall: Duration) -> bool {
        let full = self.peers.get(&peer).and_then(|lane| lane.full);
        full.is_some_and(|(since, last)| last - since >= stall)
    }

    /// A message was not taken, for the moment: it is the next again. Call it instead of counting the message
    /// as [`sent`](Outbox::sent).
    pub(crate) fn again(&mut self, message: Message, now: Instant) {
        let Some(lane) = self.peers.get_mut(&message.peer) else { return };
        lane.refusals += 1;
        // A time without tries, since the broker was away, is no time of not reading.
        let since = lane.full.filter(|(_, last)| now - *last < LONGEST_PAUSE);
        lane.full = Some((since.map_or(now, |(since, _)| since), now));
        lane.chunks.push_front(Chunk {
            frames: BytesMut::from(message.frames),
            bytes: message.charged,
            confirms: message.confirms,
            number: Some(message.number),
        });
        // Its turn comes with `resume`, when there may be room.
        if std::mem::replace(&mut lane.has_turn, true) {
            self.turns.retain(|it| *it != message.peer);
        }
    }

    /// A peer whose inbox was full is tried again.
    pub(crate) fn resume(&mut self, peer: PeerId) {
        let waits = self.peers.get(&peer).is_some_and(|lane| lane.has_turn);
        if waits && !self.turns.contains(&peer) {
            self.turns.push_back(peer);
        }
    }

    /// A new membership: nothing that was for a peer, or about entries, means anything now. Calls
    /// that were not sent stay.
    pub(crate) fn begin_anew(&mut self) {
        self.bytes -= self.peers.values().map(|lane| lane.bytes).sum::<usize>();
        let (calls, bytes) = (std::mem::take(&mut self.calls), self.bytes);
        *self = Outbox { calls, bytes, ..Outbox::new() };
    }
}

impl Pack {
    /// So much time has passed since it was made, which its calls have less.
    fn age(&mut self, by: Duration) {
        let frames = message::frames(self.bytes.clone(), usize::MAX);
        let frames = frames.expect("it was made of frames");
        let mut pack = BytesMut::with_capacity(self.bytes.len());
        for mut frame in frames {
            if let Frame::Call(call) = &mut frame {
                call.time_left = call.time_left.saturating_sub(by);
            }
            message::add(&frame, &mut pack);
        }
        self.bytes = pack.freeze();
    }
}

impl Batch {
    /// So much time has passed since it was taken.
    pub(crate) fn age(&mut self, by: Duration) {
        self.packs.iter_mut().for_each(|pack| pack.age(by));
    }

    /// How many calls it puts into a queue.
    pub(crate) fn calls(&self, queue: Queue) -> usize {
        let packs = self.packs.iter().filter(|pack| pack.queue == queue);
        packs.map(|pack| pack.calls.len()).sum()
    }

    /// Whether it has what few have, and what needs a script.
    pub(crate) fn needs_script(&self) -> bool {
        self.asks
            || self.trims != [false; 2]
            || self.deletes.iter().any(|deletes| !deletes.is_empty())
            || !self.put_backs.is_empty()
            || !self.take_backs.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.packs.is_empty()
            && self.messages.is_empty()
            && self.take_backs.is_empty()
            && self.put_backs.is_empty()
            && self.settled.iter().all(Vec::is_empty)
            && self.deletes.iter().all(Vec::is_empty)
            && self.trims == [false; 2]
            && self.read.is_none()
            && !self.asks
    }
}

#[cfg(test)]
mod tests {
    use farcall_core::wire::CallOptions;

    use super::*;

    const LIMIT: usize = 16 << 20;
    const ONE: Share = Share { servers: 1, smallest: 256 };

    fn call(id: u64, size: usize) -> Box<CallFrame> {
        Box::new(CallFrame {
            id: CallId(id),
            low: CallId(id),
            time_left: Duration::from_secs(1),
            service: "s".into(),
            method: "m".into(),
            options: None,
            params: vec![0x80; size].into(),
        })
    }

    fn with_calls(count: u64, size: usize) -> (Outbox, Instant) {
        let (mut outbox, now) = (Outbox::new(), Instant::now());
        for id in 1..=count {
            outbox.call(call(id, size), LIMIT, now).unwrap();
        }
        (outbox, now)
    }

    fn packs(outbox: &mut Outbox, share: Share, now: Instant) -> Vec<usize> {
        let batch = outbox.take(Some(share), vec![], now);
        outbox.sent(&batch);
        batch.packs.iter().map(|pack| pack.calls.len()).collect()
    }

    #[test]
    fn a_pack_is_a_fair_share_and_fills_no_server() {
        for (calls, servers, smallest, expected) in [
            (1, 1, 256, vec![1]),
            (100, 1, 256, vec![64, 36]),
            (100, 2, 256, vec![50, 50]),
            (10, 3, 256, vec![4, 4, 2]),
            (10, 1, 16, vec![4, 4, 2]),
            (3, 1, 1, vec![1, 1, 1]),
        ] {
            let (mut outbox, now) = with_calls(calls, 1);
            let share = Share { servers, smallest };
            assert_eq!(packs(&mut outbox, share, now), expected, "{calls} calls, {share:?}");
            assert_eq!(outbox.bytes(), 0);
        }
    }

    #[test]
    fn large_calls_go_alone_and_a_batch_is_bounded() {
        let (mut outbox, now) = with_calls(40, 60 * 1024);
        let taken: usize = packs(&mut outbox, ONE, now).iter().sum();
        assert!((16..=20).contains(&taken), "{taken}");
        assert!(!outbox.is_empty());
    }

    #[test]
    fn calls_stay_while_nobody_takes_them_and_age_meanwhile() {
        let (mut outbox, now) = with_calls(2, 1);
        assert!(outbox.take(None, vec![], now).is_empty());
        assert!(outbox.remove(CallId(1)) && !outbox.remove(CallId(1)));
        let later = now + Duration::from_millis(400);
        let batch = outbox.take(Some(ONE), vec![], later);
        let frames = message::frames(batch.packs[0].bytes.clone(), 1000).unwrap();
        let Frame::Call(call) = &frames[0] else { panic!("{frames:?}") };
        assert_eq!((call.id, call.time_left), (CallId(2), Duration::from_millis(600)));
    }

    #[test]
    fn what_is_sent_later_than_it_was_taken_has_less_time() {
        let (mut outbox, now) = with_calls(2, 1);
        let mut batch = outbox.take(Some(Share { servers: 1, smallest: 8 }), vec![], now);
        batch.age(Duration::from_millis(400));
        batch.age(Duration::from_millis(100));
        let left = |pack: &Pack| {
            let frames = message::frames(pack.bytes.clone(), 1000).unwrap();
            let time_left = |frame: &Frame| match frame {
                Frame::Call(call) => (call.id, call.time_left.as_millis()),
                other => panic!("{other:?}"),
            };
            frames.iter().map(time_left).collect::<Vec<_>>()
        };
        assert_eq!(left(&batch.packs[0]), [(CallId(1), 500), (CallId(2), 500)]);
        batch.age(Duration::from_secs(9));
        assert_eq!(left(&batch.packs[0]), [(CallId(1), 0), (CallId(2), 0)]);
        outbox.sent(&batch);
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn nested_calls_go_first_and_in_their_own_queue() {
        let (mut outbox, now) = with_calls(1, 1);
        let mut nested = call(2, 1);
        nested.options = CallOptions { nested: true, ..CallOptions::default() }.into_frame();
        outbox.call(nested, LIMIT, now).unwrap();
        let batch = outbox.take(Some(ONE), vec![], now);
        let queues: Vec<Queue> = batch.packs.iter().map(|pack| pack.queue).collect();
        assert_eq!(queues, [Queue::Nested, Queue::Plain]);
    }

    #[test]
    fn too_many_bytes_are_refused_but_never_the_first() {
        let (mut outbox, now) = (Outbox::new(), Instant::now());
        assert_eq!(outbox.call(call(1, 2000), 1000, now), Ok(()));
        assert_eq!(outbox.call(call(2, 1), 1000, now), Err(Full { queued: 2064 }));
        let member = Member::named("m");
        let frame =
            Frame::Query { id: CallId(1), subject: "".into(), params: vec![0; 2000].into() };
        let send = |outbox: &mut Outbox| outbox.send((PeerId(1), &member), &frame, false, 1000);
        assert_eq!(send(&mut outbox), Ok(()));
        assert_eq!(send(&mut outbox), Err(Full { queued: 2064 }));
        // An answer has no way back.
        let answer = Frame::Answer { id: CallId(1), value: vec![0; 10].into() };
        outbox.send((PeerId(1), &member), &answer, false, 1000).unwrap();
        outbox.forget(PeerId(1));
        assert_eq!(outbox.bytes(), 2064);
        assert_eq!(outbox.take_calls(), [CallId(1)]);
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn a_message_that_is_not_taken_is_the_next_again_with_its_number() {
        let mut outbox = Outbox::new();
        let member = Member::named("m");
        let (now, to) = (Instant::now(), (PeerId(1), &member));
        let frame = |id| Frame::Answer { id: CallId(id), value: vec![0; 10].into() };
        outbox.send(to, &frame(1), false, LIMIT).unwrap();
        let mut batch = outbox.take(None, vec![], now);
        outbox.send(to, &frame(2), false, LIMIT).unwrap();
        let first = batch.messages.remove(0);
        assert_eq!(first.number, 1);
        outbox.again(first, now);
        assert!(outbox.take(None, vec![], now).is_empty(), "it waits for room");
        outbox.resume(PeerId(1));
        let again = outbox.take(None, vec![], now);
        outbox.sent(&again);
        assert_eq!(again.messages[0].number, 1);
        let next = outbox.take(None, vec![], now);
        outbox.sent(&next);
        assert_eq!(next.messages[0].number, 2);
        assert_eq!(outbox.bytes(), 0);
        assert!(outbox.is_empty());
    }

    #[test]
    fn who_reads_nothing_is_known_by_its_inbox() {
        let mut outbox = Outbox::new();
        let member = Member::named("m");
        let (began, peer) = (Instant::now(), PeerId(1));
        let stall = Duration::from_secs(2);
        let frame = Frame::Answer { id: CallId(1), value: vec![0; 10].into() };
        let send = |outbox: &mut Outbox| {
            outbox.send((peer, &member), &frame, false, LIMIT).unwrap();
        };
        let refuse = |outbox: &mut Outbox, ms: u64| {
            let now = began + Duration::from_millis(ms);
            outbox.resume(peer);
            let message = outbox.take(None, vec![], now).messages.remove(0);
            outbox.again(message, now);
            outbox.stalls(peer, stall)
        };
        send(&mut outbox);
        for ms in [0, 500, 1000, 1500, 1999] {
            assert!(!refuse(&mut outbox, ms));
        }
        assert!(refuse(&mut outbox, 2000));
        // Nobody could read while the broker was away.
        assert!(!refuse(&mut outbox, 9000));
        assert!(!refuse(&mut outbox, 9900));
        outbox.resume(peer);
        send(&mut outbox);
        let batch = outbox.take(None, vec![], began);
        outbox.sent(&batch);
        assert!(!refuse(&mut outbox, 10_800), "it has read something");
        assert!(!refuse(&mut outbox, 11_700));
        let paces: Vec<(PeerId, Pace)> = outbox.paces().collect();
        let weight = frame.weight();
        let pace = Pace { queued: weight, taken: weight as u64, refusals: 10 };
        assert_eq!(paces, [(peer, pace)]);
    }

    #[test]
    fn settlements_that_were_refused_are_tried_again_alone() {
        let (mut outbox, now) = with_calls(1, 1);
        let id = EntryId { ms: 1, number: 0 };
        let settled = Settled { id, queue: Queue::Nested, calls: 1 };
        outbox.settle(settled);
        assert!(!outbox.try_refused());
        let refused = outbox.take(Some(ONE), vec![], now);
        assert_eq!((refused.packs.len(), &refused.settled[1][..]), (1, &[settled][..]));
        outbox.sent(&refused);
        outbox.settle_later(&refused.settled);
        assert!(outbox.is_empty(), "not at once");
        assert!(outbox.try_refused());
        outbox.call(call(2, 1), LIMIT, now).unwrap();
        let other = outbox.take(Some(ONE), vec![], now);
        outbox.sent(&other);
        assert_eq!((other.packs.len(), other.settled[1].len()), (1, 0));
        let alone = outbox.take(Some(ONE), vec![], now);
        assert_eq!((alone.packs.len(), &alone.settled[1][..]), (0, &[settled][..]));
        assert!(outbox.is_empty() && !outbox.try_refused());
    }

    #[test]
    fn beginning_anew_keeps_calls_alone() {
        let (mut outbox, _) = with_calls(1, 1);
        let before = outbox.bytes();
        let frame = Frame::Answer { id: CallId(1), value: vec![0; 10].into() };
        outbox.send((PeerId(1), &Member::named("m")), &frame, false, LIMIT).unwrap();
        outbox.trims = [true; 2];
        outbox.begin_anew();
        assert_eq!(outbox.bytes(), before);
        assert_eq!(outbox.take_calls(), [CallId(1)]);
        assert!(outbox.is_empty());
    }
}
