//! Peers that take all the room there is for what waits, and do not read it.
//!
//! When as much waits as may, nothing more goes out to anybody. Mostly that lasts for a moment, since peers read. One
//! that does not, or a little now and then, would hold up all others; so its part is ended if at its pace what waits for it
//! would take longer than a peer may stall. Only who was found with a full inbox is judged: a broker that is away
//! takes nothing for anybody.

use std::rc::Rc;
use std::time::Duration;

use farcall_core::transport::PeerId;
use foldhash::{HashMap, HashMapExt};
use tokio::sync::Notify;

use crate::hub::Hub;
use crate::outbox::Pace;

/// How many looks at the pace of peers make the time that one may stall.
const LOOKS: u32 = 100;

/// Told when there is no room.
#[derive(Debug, Default)]
pub(crate) struct Crowding(Notify);

impl Crowding {
    pub(crate) fn begins(&self) {
        self.0.notify_one();
    }
}

/// A peer as it was seen while there was no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    peer: PeerId,
    /// What waited for it.
    queued: usize,
    /// What was put into its inbox until the next look.
    taken: u64,
    /// Its inbox was full meanwhile.
    was_full: bool,
}

/// Ends the parts of peers as long as they leave no room for others.
pub(crate) async fn watch(hub: Rc<Hub>) {
    let stall = hub.limits.stall;
    let between = (stall / LOOKS).max(Duration::from_millis(1));
    loop {
        hub.crowding.0.notified().await;
        while hub.is_crowded() {
            let before = paces(&hub);
            tokio::time::sleep(between).await;
            if !hub.is_crowded() {
                break;
            }
            let after = paces(&hub);
            let seen = before.iter().filter_map(|(peer, before)| {
                let after = after.get(peer)?;
                let taken = after.taken - before.taken;
                let was_full = after.refusals > before.refusals;
                Some(Seen { peer: *peer, queued: before.queued, taken, was_full })
            });
            for peer in too_slow(seen.collect(), hub.limits.max_queued_bytes) {
                let why = format!(
                    "it is too slow: it would not read within {stall:?} what waits for it, and all room is taken \
                     (limits.max_queued_bytes)"
                );
                hub.disconnect(peer, why);
            }
        }
    }
}

fn paces(hub: &Hub) -> HashMap<PeerId, Pace> {
    let mut paces = HashMap::new();
    for branch in hub.branches() {
        paces.extend(branch.state.borrow().outbox.paces());
    }
    paces
}

/// Those that would not have taken what waits for them within the time of so many looks: the ones with most, until half
/// of all room is free.
fn too_slow(mut seen: Vec<Seen>, room: usize) -> Vec<PeerId> {
    let mut queued: usize = seen.iter().map(|it| it.queued).sum();
    seen.retain(|it| it.was_full && it.taken.saturating_mul(LOOKS.into()) < it.queued as u64);
    seen.sort_by_key(|it| std::cmp::Reverse(it.queued));
    let mut slow = Vec::new();
    for it in seen {
        if queued <= room / 2 {
            break;
        }
        queued -= it.queued;
        slow.push(it.peer);
    }
    slow
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: u64, queued: usize, taken: u64) -> Seen {
        Seen { peer: PeerId(peer), queued, taken, was_full: true }
    }

    #[test]
    fn who_reads_is_left_alone_however_much_waits() {
        assert_eq!(too_slow(vec![seen(1, 1000, 10), seen(2, 1, 1)], 1000), []);
    }

    #[test]
    fn drops_of_reading_buy_no_room() {
        assert_eq!(too_slow(vec![seen(1, 1000, 9)], 1000), [PeerId(1)]);
    }

    #[test]
    fn who_is_not_known_to_be_at_fault_is_left_alone() {
        let one = Seen { was_full: false, ..seen(1, 1000, 0) };
        assert_eq!(too_slow(vec![one], 1000), []);
    }

    #[test]
    fn those_with_most_go_until_there_is_room() {
        let all = vec![seen(1, 100, 0), seen(2, 500, 0), seen(3, 400, 0), seen(4, 0, 0)];
        assert_eq!(too_slow(all, 1000), [PeerId(2)]);
        let all = vec![seen(1, 100, 0), seen(2, 200, 0), seen(3, 700, 500)];
        assert_eq!(too_slow(all, 1000), [PeerId(2), PeerId(1)]);
    }
}
