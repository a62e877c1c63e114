//! Calls of this node that lie in the queue, or were taken out of it and have no outcome yet: pure bookkeeping.

use std::time::{Duration, Instant};

use farcall_core::wire::CallId;
use foldhash::{HashMap, HashMapExt};

use crate::entry_id::EntryId;
use crate::keys::Queue;

/// Packs in the queue, and where each call is.
///
/// ```text
///          added                        its outcome comes, or it is taken back
///  packed ───────> open ──────────────────────────────────────────────────────> ended
///                   │ given up                        a frame of it comes
///                   └─────────> given up (cancelled or to be withdrawn) ──────> ended
/// ```
#[derive(Debug)]
pub(crate) struct Entries {
    slots: Vec<Option<Entry>>,
    free: Vec<usize>,
    /// By queue too: two streams may well give the same id.
    by_id: HashMap<(EntryId, Queue), usize>,
    calls: HashMap<CallId, (usize, usize)>,
}

#[derive(Debug)]
struct Entry {
    id: EntryId,
    queue: Queue,
    /// In the order of the pack, of which others name the places.
    calls: Vec<(CallId, State)>,
    open: usize,
    since: Instant,
    /// It was asked back as no server was left.
    recalled: bool,
    /// An audit has found it gone once: what it had to say may still be in the inbox.
    missed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Withdrawn,
    Cancelled,
    Ended,
}

/// Why a call is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GiveUp {
    /// Nobody wants its outcome.
    Cancel,
    /// Unless a server has taken it.
    Withdraw,
}

/// What a frame is worth that came for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It is passed on.
    Wanted,
    /// The call was cancelled when its taker was not known: now it is.
    Cancelled,
}

impl Entries {
    pub(crate) fn new() -> Self {
        Entries {
            slots: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            calls: HashMap::new(),
        }
    }

    /// A pack lies in the queue.
    pub(crate) fn add(&mut self, id: EntryId, queue: Queue, calls: &[CallId], now: Instant) {
        if calls.is_empty() {
            return;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        for (place, call) in calls.iter().enumerate() {
            self.calls.insert(*call, (slot, place));
        }
        self.by_id.insert((id, queue), slot);
        let open = calls.len();
        let calls = calls.iter().map(|call| (*call, State::Open)).collect();
        self.slots[slot] =
            Some(Entry { id, queue, calls, open, since: now, recalled: false, missed: false });
    }

    fn set(&mut self, call: CallId, to: State) -> Option<State> {
        let &(slot, place) = self.calls.get(&call)?;
        let entry = self.slots[slot].as_mut().expect("a call's entry is there");
        Some(std::mem::replace(&mut entry.calls[place].1, to))
    }

    /// A call has its outcome.
    pub(crate) fn ended(&mut self, call: CallId) -> Heard {
        let Some((slot, place)) = self.calls.remove(&call) else { return Heard::Wanted };
        let entry = self.slots[slot].as_mut().expect("a call's entry is there");
        let before = std::mem::replace(&mut entry.calls[place].1, State::Ended);
        entry.open -= 1;
        if entry.open == 0 {
            let entry = self.slots[slot].take().expect("it was there above");
            self.by_id.remove(&(entry.id, entry.queue));
            self.free.push(slot);
        }
        if before == State::Cancelled { Heard::Cancelled } else { Heard::Wanted }
    }

    /// A frame of a call has come that is not its last.
    pub(crate) fn heard(&mut self, call: CallId) -> Heard {
        let Some(&(slot, place)) = self.calls.get(&call) else { return Heard::Wanted };
        let entry = self.slots[slot].as_ref().expect("a call's entry is there");
        if entry.calls[place].1 != State::Cancelled {
            return Heard::Wanted;
        }
        self.ended(call);
        Heard::Cancelled
    }

    /// A call is given up: the entry to ask for, and whether nothing else of it is wanted. `None` if
    /// the call lies in no entry.
    pub(crate) fn give_up(&mut self, call: CallId, how: GiveUp) -> Option<(EntryId, Queue, bool)> {
        let state = match how {
            GiveUp::Cancel => State::Cancelled,
            GiveUp::Withdraw => State::Withdrawn,
        };
        self.set(call, state)?;
        let (slot, _) = self.calls[&call];
        let entry = self.slots[slot].as_ref().expect("a call's entry is there");
        let unwanted = |state: &State| !matches!(state, State::Open);
        let whole = entry.calls.iter().all(|(_, state)| unwanted(state));
        Some((entry.id, entry.queue, whole))
    }

    /// A server has taken a call that was to be withdrawn.
    pub(crate) fn is_taken(&mut self, call: CallId) -> bool {
        let Some(&(slot, place)) = self.calls.get(&call) else { return false };
        let entry = self.slots[slot].as_mut().expect("a call's entry is there");
        let state = &mut entry.calls[place].1;
        let was = *state == State::Withdrawn;
        if was {
            *state = State::Open;
        }
        was
    }

    /// An entry was taken back, or lost: its calls that have no outcome, but for cancelled ones.
    pub(crate) fn remove(&mut self, id: EntryId, queue: Queue) -> Vec<CallId> {
        let Some(slot) = self.by_id.remove(&(id, queue)) else { return Vec::new() };
        let entry = self.slots[slot].take().expect("what is found by its id is there");
        self.free.push(slot);
        let mut left = Vec::new();
        for (call, state) in entry.calls {
            if state != State::Ended {
                self.calls.remove(&call);
            }
            if matches!(state, State::Open | State::Withdrawn) {
                left.push(call);
            }
        }
        left
    }

    /// A server has put some calls of an entry back, in an entry of their own. Gives those of them that are given up.
    pub(crate) fn moved(
        &mut self,
        queue: Queue,
        from: EntryId,
        to: EntryId,
        places: &[usize],
        now: Instant,
    ) -> Vec<(CallId, GiveUp)> {
        let Some(&slot) = self.by_id.get(&(from, queue)) else { return Vec::new() };
        let entry = self.slots[slot].as_ref().expect("what is found by its id is there");
        let known = places.iter().map(|place| entry.calls.get(*place).copied());
        // The places of the new entry are counted from its beginning, ended calls included.
        let Some(moved) = known.collect::<Option<Vec<_>>>() else { return Vec::new() };
        for (call, state) in &moved {
            if *state != State::Ended {
                self.ended(*call);
            }
        }
        let calls: Vec<CallId> = moved.iter().map(|(call, _)| *call).collect();
        self.add(to, queue, &calls, now);
        let mut given_up = Vec::new();
        for (call, state) in moved {
            match state {
                State::Open => {}
                State::Ended => drop(self.ended(call)),
                State::Withdrawn | State::Cancelled => {
                    self.set(call, state);
                    let cancelled = state == State::Cancelled;
                    given_up
                        .push((call, if cancelled { GiveUp::Cancel } else { GiveUp::Withdraw }));
                }
            }
        }
        given_up
    }

    /// All entries that were not asked back by this before. A server that had taken one puts its calls back in
    /// another, if at all.
    pub(crate) fn recall(&mut self) -> Vec<(EntryId, Queue)> {
        let new = self.slots.iter_mut().flatten().filter_map(|entry| {
            let is_new = !std::mem::replace(&mut entry.recalled, true);
            is_new.then_some((entry.id, entry.queue))
        });
        new.collect()
    }

    /// Entries that lie there for longer than `age`, the oldest first, at most so many.
    pub(crate) fn older_than(
        &self,
        age: Duration,
        now: Instant,
        most: usize,
    ) -> Vec<(EntryId, Queue)> {
        let old = self.slots.iter().flatten();
        let old = old.filter(|entry| now.saturating_duration_since(entry.since) >= age);
        let mut old: Vec<_> = old.map(|entry| (entry.since, entry.id, entry.queue)).collect();
        old.sort_unstable_by_key(|(since, id, _)| (*since, *id));
        old.into_iter().take(most).map(|(_, id, queue)| (id, queue)).collect()
    }

    /// An audit has looked at an entry. `true` if it is gone for the second time, and so lost.
    pub(crate) fn audited(
        &mut self,
        (id, queue): (EntryId, Queue),
        gone: bool,
        now: Instant,
    ) -> bool {
        let Some(&slot) = self.by_id.get(&(id, queue)) else { return false };
        let entry = self.slots[slot].as_mut().expect("what is found by its id is there");
        // The others have their turn.
        entry.since = now;
        gone && std::mem::replace(&mut entry.missed, gone)
    }

    /// Forgets everything: the calls that had no outcome, but for cancelled ones.
    pub(crate) fn clear(&mut self) -> Vec<CallId> {
        let ids: Vec<(EntryId, Queue)> = self.by_id.keys().copied().collect();
        ids.into_iter().flat_map(|(id, queue)| self.remove(id, queue)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(ms: u64) -> EntryId {
        EntryId { ms, number: 0 }
    }

    fn call(n: u64) -> CallId {
        CallId(n)
    }

    fn three() -> (Entries, Instant) {
        let (mut entries, now) = (Entries::new(), Instant::now());
        entries.add(id(1), Queue::Plain, &[call(1), call(2), call(3)], now);
        (entries, now)
    }

    fn is_clean(entries: &Entries) -> bool {
        entries.by_id.is_empty()
            && entries.calls.is_empty()
            && entries.slots.iter().all(Option::is_none)
            && entries.free.len() == entries.slots.len()
    }

    #[test]
    fn an_entry_ends_with_its_last_call() {
        let (mut entries, _) = three();
        for n in 1..=3 {
            assert!(!entries.by_id.is_empty());
            assert_eq!(entries.ended(call(n)), Heard::Wanted);
        }
        assert!(is_clean(&entries));
    }

    #[test]
    fn an_entry_is_asked_for_whole_once_nothing_of_it_is_wanted() {
        let (mut entries, _) = three();
        entries.ended(call(1));
        assert_eq!(entries.give_up(call(2), GiveUp::Cancel), Some((id(1), Queue::Plain, false)));
        assert_eq!(entries.give_up(call(3), GiveUp::Withdraw), Some((id(1), Queue::Plain, true)));
        assert_eq!(entries.give_up(call(4), GiveUp::Cancel), None);
        assert_eq!(
            entries.remove(id(1), Queue::Plain),
            [call(3)],
            "who has cancelled hears nothing"
        );
        assert!(is_clean(&entries));
    }

    #[test]
    fn a_cancelled_call_shows_itself_when_it_is_heard_of() {
        let (mut entries, _) = three();
        entries.give_up(call(1), GiveUp::Cancel);
        assert_eq!(entries.heard(call(2)), Heard::Wanted);
        assert_eq!(entries.heard(call(1)), Heard::Cancelled);
        assert_eq!(entries.heard(call(1)), Heard::Wanted, "it is no longer ours to say");
    }

    #[test]
    fn a_call_that_was_taken_is_open_again() {
        let (mut entries, _) = three();
        entries.give_up(call(1), GiveUp::Withdraw);
        assert!(entries.is_taken(call(1)));
        assert!(!entries.is_taken(call(1)) && !entries.is_taken(call(2)));
    }

    #[test]
    fn calls_that_are_put_back_move_and_keep_their_state() {
        let (mut entries, now) = three();
        entries.give_up(call(3), GiveUp::Cancel);
        let given_up = entries.moved(Queue::Plain, id(1), id(9), &[1, 2], now);
        assert_eq!(given_up, [(call(3), GiveUp::Cancel)]);
        assert_eq!(entries.remove(id(1), Queue::Plain), [call(1)]);
        let given_up = entries.moved(Queue::Plain, id(9), id(10), &[0, 1], now);
        assert_eq!(given_up, [(call(3), GiveUp::Cancel)]);
        assert_eq!(entries.remove(id(10), Queue::Plain), [call(2)]);
        assert!(is_clean(&entries));
        assert!(entries.moved(Queue::Plain, id(1), id(2), &[0], now).is_empty());
    }

    #[test]
    fn an_ended_call_stays_ended_where_it_moves() {
        let (mut entries, now) = three();
        entries.ended(call(2));
        entries.moved(Queue::Plain, id(1), id(9), &[0, 1], now);
        assert_eq!(entries.remove(id(9), Queue::Plain), [call(1)]);
        assert_eq!(entries.remove(id(1), Queue::Plain), [call(3)]);
        assert!(is_clean(&entries));
    }

    #[test]
    fn queues_may_give_the_same_id() {
        let (mut entries, now) = three();
        entries.add(id(1), Queue::Nested, &[call(4)], now);
        assert_eq!(entries.remove(id(1), Queue::Nested), [call(4)]);
        assert_eq!(entries.remove(id(1), Queue::Plain), [call(1), call(2), call(3)]);
        assert!(is_clean(&entries));
    }

    #[test]
    fn an_entry_is_recalled_once() {
        let (mut entries, now) = three();
        assert_eq!(entries.recall(), [(id(1), Queue::Plain)]);
        assert!(entries.recall().is_empty());
        entries.moved(Queue::Plain, id(1), id(9), &[1], now);
        assert_eq!(entries.recall(), [(id(9), Queue::Plain)], "it may be taken again");
        assert!(entries.recall().is_empty());
    }

    #[test]
    fn what_is_gone_twice_is_lost() {
        let (mut entries, now) = three();
        let age = Duration::from_secs(2);
        assert!(entries.older_than(age, now, 9).is_empty());
        let later = now + age;
        assert_eq!(entries.older_than(age, later, 9), [(id(1), Queue::Plain)]);
        assert!(!entries.audited((id(1), Queue::Plain), true, later));
        assert!(entries.older_than(age, later, 9).is_empty(), "it was looked at just now");
        assert!(entries.audited((id(1), Queue::Plain), true, later));
    }

    #[test]
    fn clearing_tells_what_was_open() {
        let (mut entries, now) = three();
        entries.add(id(2), Queue::Nested, &[call(4)], now);
        entries.give_up(call(1), GiveUp::Cancel);
        let mut open = entries.clear();
        open.sort_unstable();
        assert_eq!(open, [call(2), call(3), call(4)]);
        assert!(is_clean(&entries));
    }
}
