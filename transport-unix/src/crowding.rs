//! Peers that take all the room there is for what waits, and do not read it.
//!
//! When as much waits as may, nothing more goes out to anybody. Mostly that lasts for a moment, since
//! peers read. One that does not, or a few bytes now and then, would hold up all others; so it is ended
//! if at its pace what waits for it would take longer than a peer may stall.

use std::rc::Rc;
use std::time::Duration;

use farcall_core::transport::PeerId;
use foldhash::HashMap;
use tokio::sync::Notify;

use crate::hub::Hub;

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

/// A session as it was seen while there was no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    peer: PeerId,
    /// What waited for it.
    queued: usize,
    /// What it took until the next look.
    taken: u64,
}

/// Ends sessions as long as they leave no room for others.
pub(crate) async fn watch(hub: Rc<Hub>) {
    let stall = hub.limits.stall;
    let between = (stall / LOOKS).max(Duration::from_millis(1));
    loop {
        hub.crowding.0.notified().await;
        while hub.is_crowded() {
            let before: HashMap<PeerId, (usize, u64)> =
                hub.sessions().iter().map(|it| (it.peer, (it.queued(), it.written()))).collect();
            tokio::time::sleep(between).await;
            if !hub.is_crowded() {
                break;
            }
            let sessions = hub.sessions();
            let seen = sessions.iter().filter_map(|it| {
                let (queued, written) = *before.get(&it.peer)?;
                Some(Seen { peer: it.peer, queued, taken: it.written() - written })
            });
            let slow = too_slow(seen.collect(), hub.limits.max_queued_bytes);
            for session in sessions.iter().filter(|it| slow.contains(&it.peer)) {
                session.crowds(stall);
            }
        }
    }
}

/// Those that would not have taken what waits for them within the time of so many looks: the ones with
/// most, until half of all room is free.
fn too_slow(mut seen: Vec<Seen>, room: usize) -> Vec<PeerId> {
    let mut queued: usize = seen.iter().map(|it| it.queued).sum();
    seen.retain(|it| it.taken.saturating_mul(LOOKS.into()) < it.queued as u64);
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
        Seen { peer: PeerId(peer), queued, taken }
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
    fn those_with_most_go_until_there_is_room() {
        let all = vec![seen(1, 100, 0), seen(2, 500, 0), seen(3, 400, 0), seen(4, 0, 0)];
        assert_eq!(too_slow(all, 1000), [PeerId(2)]);
        let all = vec![seen(1, 100, 0), seen(2, 200, 0), seen(3, 700, 500)];
        assert_eq!(too_slow(all, 1000), [PeerId(2), PeerId(1)]);
    }
}
