//! Calls that wait: peers take turns, and the calls of each come in their order.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;

use crate::table::Table;
use crate::transport::PeerId;

/// Waiting calls, taken round-robin over the peers that have any.
///
/// Between two turns of a peer every other one has at most one: whoever becomes one of them joins at
/// the end. So the `k`-th call of a peer is taken among the next `k * n` if `n` peers wait, however
/// much the others have waiting.
///
/// To join and to be next take constant time. Removing a call takes the logarithm of what its own peer
/// has waiting, and a move of half of it at most; if it was the peer's last, and for the newest of the
/// greediest, one look at each peer.
#[derive(Debug)]
pub(super) struct Turns<T> {
    queues: Table<PeerId, Queue<T>>,
    /// Who has calls waiting; the turn is the first one's.
    round: VecDeque<PeerId>,
    /// How many peers have as many calls waiting as the place in this list.
    holders: Vec<usize>,
    /// The most that one peer has waiting.
    most: usize,
    len: usize,
}

/// The calls of one peer and their numbers, which grow: a call is found by halving.
type Queue<T> = VecDeque<(u64, T)>;

impl<T> Turns<T> {
    pub(super) fn new() -> Self {
        let (queues, round) = (Table::default(), VecDeque::new());
        Turns { queues, round, holders: Vec::new(), most: 0, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The most that one peer has waiting.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// How much this peer has waiting.
    pub(super) fn held(&self, peer: PeerId) -> usize {
        self.queues.get(&peer).map_or(0, VecDeque::len)
    }

    /// A call begins to wait. Its number is higher than those of all before it.
    pub(super) fn push(&mut self, peer: PeerId, number: u64, call: T) {
        let queue = match self.queues.entry(peer) {
            Entry::Occupied(queue) => queue.into_mut(),
            Entry::Vacant(none) => {
                self.round.push_back(peer);
                none.insert(VecDeque::new())
            }
        };
        queue.push_back((number, call));
        let held = queue.len();
        self.len += 1;
        self.count(held - 1, held);
    }

    /// The call whose turn it is.
    pub(super) fn next(&mut self) -> Option<T> {
        let peer = self.round.pop_front()?;
        let (call, left) = self.take(peer, VecDeque::pop_front)?;
        if left > 0 {
            self.round.push_back(peer);
        }
        Some(call)
    }

    /// Takes a call out that is not to wait any longer.
    pub(super) fn remove(&mut self, peer: PeerId, number: u64) -> Option<T> {
        self.take_out_of_turn(peer, |queue| {
            let at = queue.binary_search_by_key(&number, |(number, _)| *number).ok()?;
            queue.remove(at)
        })
    }

    /// A call that waits.
    pub(super) fn get_mut(&mut self, peer: PeerId, number: u64) -> Option<&mut T> {
        let queue = self.queues.get_mut(&peer)?;
        let at = queue.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(&mut queue[at].1)
    }

    /// Takes out what came last of the peer that has most waiting; of several, the one whose turn is
    /// furthest away.
    pub(super) fn take_newest_of_greediest(&mut self) -> Option<T> {
        let peer = *self.round.iter().rev().find(|peer| self.held(**peer) == self.most)?;
        self.take_out_of_turn(peer, VecDeque::pop_back)
    }

    /// Takes out the calls that are `wanted`, with their numbers. Peers that have others left keep
    /// their places in the round.
    pub(super) fn take_if(&mut self, wanted: impl Fn(&T) -> bool) -> Vec<(u64, T)> {
        let Turns { mut queues, round, .. } = std::mem::replace(self, Turns::new());
        let mut taken = Vec::new();
        for peer in round {
            for (number, call) in queues.remove(&peer).into_iter().flatten() {
                match wanted(&call) {
                    true => taken.push((number, call)),
                    false => self.push(peer, number, call),
                }
            }
        }
        taken
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = T> + use<T> {
        let all = std::mem::replace(self, Turns::new());
        all.queues.into_values().flatten().map(|(_, call)| call)
    }

    fn take_out_of_turn(
        &mut self,
        peer: PeerId,
        out: impl FnOnce(&mut Queue<T>) -> Option<(u64, T)>,
    ) -> Option<T> {
        let (call, left) = self.take(peer, out)?;
        if left == 0
            && let Some(at) = self.round.iter().position(|other| *other == peer)
        {
            self.round.remove(at);
        }
        Some(call)
    }

    /// Takes a call of this peer, and tells how many it has left. The round is the caller's to see to.
    fn take(
        &mut self,
        peer: PeerId,
        out: impl FnOnce(&mut Queue<T>) -> Option<(u64, T)>,
    ) -> Option<(T, usize)> {
        let queue = self.queues.get_mut(&peer)?;
        let (_, call) = out(queue)?;
        let left = queue.len();
        self.len -= 1;
        self.count(left + 1, left);
        if left == 0 {
            self.queues.remove(&peer);
        }
        Some((call, left))
    }

    /// A peer has another number of calls waiting, by one.
    fn count(&mut self, before: usize, now: usize) {
        if self.holders.len() <= now {
            self.holders.resize(now + 1, 0);
        }
        self.holders[before] -= usize::from(before > 0);
        self.holders[now] += usize::from(now > 0);
        if now > self.most || (before == self.most && self.holders[before] == 0) {
            self.most = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PeerId = PeerId(1);
    const B: PeerId = PeerId(2);
    const C: PeerId = PeerId(3);

    /// Calls of these peers in this order, numbered from 1.
    fn turns(peers: &[PeerId]) -> Turns<u64> {
        let mut turns = Turns::new();
        for (number, peer) in (1..).zip(peers) {
            turns.push(*peer, number, number);
        }
        turns
    }

    fn rest(mut turns: Turns<u64>) -> Vec<u64> {
        std::iter::from_fn(|| turns.next()).collect()
    }

    #[test]
    fn peers_take_turns_and_their_calls_keep_their_order() {
        assert_eq!(rest(turns(&[A, A, A, A, B, B, C])), [1, 5, 7, 2, 6, 3, 4]);
    }

    #[test]
    fn who_joins_comes_after_those_that_wait() {
        let mut turns = turns(&[A, A, B]);
        assert_eq!(turns.next(), Some(1));
        turns.push(C, 9, 9);
        assert_eq!(rest(turns), [3, 2, 9]);
    }

    #[test]
    fn a_removed_call_is_found_among_its_peers() {
        let mut turns = turns(&[A, A, A, B]);
        assert_eq!(turns.remove(A, 2), Some(2));
        assert_eq!(turns.remove(A, 2), None);
        assert_eq!(turns.remove(A, 4), None, "it is another peer's");
        assert_eq!(turns.remove(B, 4), Some(4));
        assert_eq!((turns.len(), turns.held(A), turns.held(B)), (2, 2, 0));
        assert_eq!(rest(turns), [1, 3]);
    }

    #[test]
    fn what_is_wanted_is_taken_out_and_peers_keep_their_turns() {
        let mut turns = turns(&[A, A, B, B, C, A]);
        assert_eq!(turns.next(), Some(1));
        let taken: Vec<u64> =
            turns.take_if(|call| [2, 3, 5].contains(call)).into_iter().map(|it| it.0).collect();
        assert_eq!(taken, [3, 5, 2]);
        assert_eq!((turns.len(), turns.most(), turns.held(C)), (2, 1, 0));
        assert_eq!(rest(turns), [4, 6]);
    }

    #[test]
    fn a_peer_that_has_nothing_left_is_forgotten() {
        let mut turns = turns(&[A, B]);
        turns.remove(A, 1);
        turns.push(A, 7, 7);
        assert_eq!(turns.round, [B, A]);
        assert_eq!(rest(turns), [2, 7]);
    }

    #[test]
    fn the_greediest_is_known_and_loses_its_newest() {
        let mut turns = turns(&[A, B, B, B, A]);
        assert_eq!(turns.most(), 3);
        assert_eq!(turns.take_newest_of_greediest(), Some(4));
        assert_eq!(turns.most(), 2);
        assert_eq!(turns.take_newest_of_greediest(), Some(3), "of two, the one later in the round");
        assert_eq!(turns.take_newest_of_greediest(), Some(5));
        assert_eq!(turns.most(), 1);
        assert_eq!(rest(turns), [1, 2]);
    }

    #[test]
    fn everything_can_be_taken_out() {
        let mut turns = turns(&[A, B, B]);
        let mut all: Vec<u64> = turns.clear().collect();
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3]);
        assert_eq!((turns.len(), turns.most(), turns.next()), (0, 0, None));
    }
}
