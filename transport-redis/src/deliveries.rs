//! Packs that this server has taken and not settled: pure bookkeeping.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use farcall_core::transport::Receipt;
use foldhash::{HashMap, HashMapExt};

use crate::entry_id::EntryId;
use crate::keys::{Member, Queue};

/// The most calls in one pack: as many as a receipt can tell apart, and as many bits as a word has.
pub(crate) const MAX_CALLS: usize = 64;

/// What is put back at a time, in entries and bytes.
const BATCH_BACK: usize = 256;
const BATCH_BACK_BYTES: usize = 1024 * 1024;

/// Packs, each under a receipt for every call of it.
///
/// A receipt is `generation (16 bits), slot (40), place in the pack (8)`. A new generation, which no other service
/// of this node has, begins when all is forgotten, so that receipts of before mean nothing.
#[derive(Debug)]
pub(crate) struct Deliveries {
    slots: Vec<Option<Delivery>>,
    free: Vec<usize>,
    /// By queue too: two streams may well give the same id.
    known: HashMap<(EntryId, Queue), usize>,
    /// Packs that are settled here and not yet at the broker, or were when one was read from there again: whether
    /// the broker knows by now.
    settling: HashMap<(EntryId, Queue), bool>,
    /// Reads under way that may bring packs again.
    rereads: usize,
    generation: u16,
    /// Calls that are not settled, by queue.
    unsettled: [usize; 2],
    /// Packs of which calls are put back.
    returning: VecDeque<usize>,
    /// Packs that are done with, of which the broker knows that calls were put back.
    forgettable: Vec<(EntryId, Queue)>,
}

#[derive(Debug)]
struct Delivery {
    id: EntryId,
    queue: Queue,
    client: Member,
    /// The broker's clock when the calls were handed over.
    since_ms: u64,
    frames: Vec<Bytes>,
    /// Places that are not concluded.
    left: u64,
    /// Places that are put back.
    back: u64,
    /// Calls that were in other hands when the rest was settled.
    moved: usize,
}

/// An entry that is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) id: EntryId,
    pub(crate) queue: Queue,
    /// How many calls of it were concluded here.
    pub(crate) calls: usize,
}

/// Calls of one entry that others may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PutBack {
    pub(crate) id: EntryId,
    pub(crate) queue: Queue,
    pub(crate) client: Member,
    pub(crate) since_ms: u64,
    /// Their places in the pack.
    pub(crate) places: Vec<usize>,
    pub(crate) pack: Bytes,
}

impl Deliveries {
    pub(crate) fn new(generation: u16) -> Self {
        Deliveries {
            slots: Vec::new(),
            free: Vec::new(),
            known: HashMap::new(),
            settling: HashMap::new(),
            rereads: 0,
            generation,
            unsettled: [0; 2],
            returning: VecDeque::new(),
            forgettable: Vec::new(),
        }
    }

    /// Calls that were taken from a queue and not settled.
    pub(crate) fn unsettled(&self, queue: Queue) -> usize {
        self.unsettled[queue.index()]
    }

    /// Whether this entry is here already.
    pub(crate) fn has(&self, id: EntryId, queue: Queue) -> bool {
        self.known.contains_key(&(id, queue)) || self.settling.contains_key(&(id, queue))
    }

    /// A read begins that may bring packs again.
    pub(crate) fn begin_reread(&mut self) {
        self.rereads += 1;
    }

    /// It is over, with all that it brought.
    pub(crate) fn end_reread(&mut self) {
        self.rereads = self.rereads.saturating_sub(1);
        self.forget_settled();
    }

    /// The broker knows that these are settled.
    pub(crate) fn acknowledged(&mut self, settled: &[Settled]) {
        for it in settled {
            if let Some(acknowledged) = self.settling.get_mut(&(it.id, it.queue)) {
                *acknowledged = true;
            }
        }
        self.forget_settled();
    }

    fn forget_settled(&mut self) {
        if self.rereads == 0 {
            self.settling.retain(|_, acknowledged| !*acknowledged);
        }
    }

    /// A pack was taken. Gives the receipt of its first call; those of the others follow it.
    pub(crate) fn add(
        &mut self,
        (id, queue): (EntryId, Queue),
        client: Member,
        since_ms: u64,
        frames: Vec<Bytes>,
    ) -> Receipt {
        debug_assert!((1..=MAX_CALLS).contains(&frames.len()));
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.unsettled[queue.index()] += frames.len();
        self.known.insert((id, queue), slot);
        let left = u64::MAX >> (MAX_CALLS - frames.len());
        let delivery = Delivery { id, queue, client, since_ms, frames, left, back: 0, moved: 0 };
        self.slots[slot] = Some(delivery);
        Receipt(u64::from(self.generation) << 48 | (slot as u64) << 8)
    }

    fn find(&mut self, receipt: Receipt) -> Option<(usize, u64)> {
        let slot = (receipt.0 >> 8) & 0xff_ffff_ffff;
        let (slot, bit) =
            (usize::try_from(slot).ok()?, 1_u64.checked_shl(receipt.0 as u32 & 0xff)?);
        let delivery = self.slots.get(slot)?.as_ref()?;
        let is_left = self.gave(receipt) && delivery.left & bit != 0;
        (is_left && delivery.back & bit == 0).then_some((slot, bit))
    }

    /// A call is concluded. Gives its entry if it was the last of it.
    pub(crate) fn settle(&mut self, receipt: Receipt) -> Option<Settled> {
        let (slot, bit) = self.find(receipt)?;
        let delivery = self.slots[slot].as_mut().expect("it was found above");
        delivery.left &= !bit;
        self.unsettled[delivery.queue.index()] -= 1;
        self.done(slot)
    }

    fn done(&mut self, slot: usize) -> Option<Settled> {
        if self.slots[slot].as_ref().is_none_or(|delivery| delivery.left != 0) {
            return None;
        }
        let delivery = self.slots[slot].take()?;
        self.free.push(slot);
        self.known.remove(&(delivery.id, delivery.queue));
        self.settling.insert((delivery.id, delivery.queue), false);
        if delivery.moved > 0 {
            self.forgettable.push((delivery.id, delivery.queue));
        }
        let calls = delivery.frames.len() - delivery.moved;
        Some(Settled { id: delivery.id, queue: delivery.queue, calls })
    }

    /// A call is to be put back.
    pub(crate) fn put_back(&mut self, receipt: Receipt) {
        let Some((slot, bit)) = self.find(receipt) else { return };
        let delivery = self.slots[slot].as_mut().expect("it was found above");
        if delivery.back == 0 {
            self.returning.push_back(slot);
        }
        delivery.back |= bit;
    }

    /// What is to be put back, as much as goes at a time, and the entries that are done with by that.
    pub(crate) fn take_back(&mut self) -> (Vec<PutBack>, Vec<Settled>) {
        let (mut back, mut settled, mut bytes) = (Vec::new(), Vec::new(), 0);
        while back.len() < BATCH_BACK
            && bytes < BATCH_BACK_BYTES
            && let Some(slot) = self.returning.pop_front()
        {
            let Some(delivery) = self.slots[slot].as_mut() else { continue };
            let bits = std::mem::take(&mut delivery.back);
            let places: Vec<usize> =
                (0..delivery.frames.len()).filter(|place| bits >> place & 1 == 1).collect();
            delivery.left &= !bits;
            delivery.moved += places.len();
            self.unsettled[delivery.queue.index()] -= places.len();
            let mut pack = BytesMut::new();
            for place in &places {
                let frame = &delivery.frames[*place];
                pack.put_u32(u32::try_from(frame.len()).expect("it came with such a length"));
                pack.put_slice(frame);
            }
            bytes += pack.len();
            back.push(PutBack {
                id: delivery.id,
                queue: delivery.queue,
                client: delivery.client.clone(),
                since_ms: delivery.since_ms,
                places,
                pack: pack.freeze(),
            });
            settled.extend(self.done(slot));
        }
        (back, settled)
    }

    /// Packs that are done with, of which the broker knows that calls were put back: so many of them at most.
    pub(crate) fn forget(&mut self, most: usize) -> Vec<(EntryId, Queue)> {
        let count = self.forgettable.len().min(most);
        self.forgettable.drain(..count).collect()
    }

    pub(crate) fn has_returning(&self) -> bool {
        !self.returning.is_empty()
    }

    /// Whether a receipt is one of these.
    pub(crate) fn gave(&self, receipt: Receipt) -> bool {
        (receipt.0 >> 48) as u16 == self.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ms: u64) -> EntryId {
        EntryId { ms, number: 0 }
    }

    fn add(deliveries: &mut Deliveries, ms: u64, calls: usize) -> Vec<Receipt> {
        let frames = (0..calls).map(|n| Bytes::from(vec![n as u8])).collect();
        let first = deliveries.add((id(ms), Queue::Plain), Member::named("c-1"), 5, frames);
        (0..calls as u64).map(|n| Receipt(first.0 + n)).collect()
    }

    #[test]
    fn an_entry_is_settled_with_its_last_call() {
        let mut deliveries = Deliveries::new(7);
        let receipts = add(&mut deliveries, 1, MAX_CALLS);
        for receipt in &receipts[1..] {
            assert_eq!(deliveries.settle(*receipt), None);
        }
        assert_eq!(deliveries.unsettled(Queue::Plain), 1);
        let settled = Settled { id: id(1), queue: Queue::Plain, calls: MAX_CALLS };
        assert_eq!(deliveries.settle(receipts[0]), Some(settled));
        assert_eq!(deliveries.settle(receipts[0]), None, "it is settled once");
        assert_eq!(deliveries.unsettled(Queue::Plain), 0);
        assert!(deliveries.has(id(1), Queue::Plain), "the broker may give it again");
        deliveries.begin_reread();
        deliveries.acknowledged(&[settled]);
        assert!(deliveries.has(id(1), Queue::Plain), "this read may have begun before");
        deliveries.end_reread();
        assert!(!deliveries.has(id(1), Queue::Plain));
    }

    #[test]
    fn what_is_put_back_goes_in_an_entry_of_its_own() {
        let mut deliveries = Deliveries::new(7);
        let receipts = add(&mut deliveries, 1, 3);
        deliveries.put_back(receipts[0]);
        deliveries.put_back(receipts[2]);
        assert_eq!(deliveries.settle(receipts[2]), None, "it is on its way back");
        let (back, settled) = deliveries.take_back();
        let [back] = &back[..] else { panic!("{back:?}") };
        assert_eq!((&back.places[..], back.since_ms), (&[0, 2][..], 5));
        assert_eq!(&back.pack[..], [0, 0, 0, 1, 0, 0, 0, 0, 1, 2]);
        assert!(settled.is_empty());
        assert!(deliveries.forget(9).is_empty());
        let settled = Settled { id: id(1), queue: Queue::Plain, calls: 1 };
        assert_eq!(deliveries.settle(receipts[1]), Some(settled));
        assert_eq!(deliveries.forget(9), [(id(1), Queue::Plain)]);
        assert!(deliveries.forget(9).is_empty());
    }

    #[test]
    fn an_entry_that_is_put_back_whole_is_settled_at_once() {
        let mut deliveries = Deliveries::new(7);
        let receipts = add(&mut deliveries, 1, 2);
        receipts.iter().for_each(|receipt| deliveries.put_back(*receipt));
        let (_, settled) = deliveries.take_back();
        assert_eq!(settled, [Settled { id: id(1), queue: Queue::Plain, calls: 0 }]);
        assert_eq!(deliveries.unsettled(Queue::Plain), 0);
        assert!(!deliveries.has_returning());
    }

    #[test]
    fn what_is_put_back_at_a_time_is_bounded() {
        let mut deliveries = Deliveries::new(7);
        for ms in 0..600 {
            let receipts = add(&mut deliveries, ms, 1);
            deliveries.put_back(receipts[0]);
        }
        let mut batches = Vec::new();
        while deliveries.has_returning() {
            let (back, settled) = deliveries.take_back();
            assert_eq!(back.len(), settled.len());
            batches.push(back);
        }
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [256, 256, 88]);
        assert!(batches.concat().is_sorted_by_key(|back| back.id), "they keep their order");
        let large: Vec<_> = (0..4).map(|_| Bytes::from(vec![0; 600 * 1024])).collect();
        for (ms, frame) in large.into_iter().enumerate() {
            let entry = (id(1000 + ms as u64), Queue::Plain);
            let receipt = deliveries.add(entry, Member::named("c-1"), 5, vec![frame]);
            deliveries.put_back(receipt);
        }
        assert_eq!([deliveries.take_back().0.len(), deliveries.take_back().0.len()], [2, 2]);
    }

    #[test]
    fn receipts_of_before_mean_nothing() {
        let mut deliveries = Deliveries::new(7);
        let old = add(&mut deliveries, 1, 1);
        assert!(deliveries.gave(old[0]));
        let mut deliveries = Deliveries::new(8);
        assert!(!deliveries.gave(old[0]));
        let new = add(&mut deliveries, 2, 1);
        assert_eq!(deliveries.settle(old[0]), None);
        assert!(deliveries.settle(new[0]).is_some());
        assert_eq!(deliveries.settle(Receipt(u64::MAX)), None);
    }
}
